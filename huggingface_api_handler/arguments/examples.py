"""The argument ``examples``: inputs of a language model with good answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..tasks.output_schema import NotValid, OutputSchema, restored
from .coercion import BadValue, shown
from .template import parse_template

MAX_EXAMPLES = 50
_EXAMPLE = "{'input': 'Where is my parcel?', 'output': …}"


def check_examples(examples: list[Any]) -> list[dict[str, Any]]:
    """Return ``examples``: objects with an input, which is text or an object of columns, and an output.

    Raises:
        BadValue: with what is wrong.
    """
    if not 1 <= len(examples) <= MAX_EXAMPLES:
        raise BadValue(f"must have from 1 to {MAX_EXAMPLES} examples, not {len(examples)}")
    for number, one in enumerate(examples, start=1):
        if {*one} != {"input", "output"}:
            raise BadValue(f"must have exactly an input and an output in each example, but example {number} "
                           f"has {', '.join(one) or 'neither'}: write {_EXAMPLE}")  # fmt: skip
        given = one["input"]
        if not given or not isinstance(given, (str, Mapping)):
            raise BadValue(f"must have text as input, or an object of columns, but example {number} has {shown(given)}")
        if one["output"] is None or one["output"] == "":
            raise BadValue(f"must have an output in each example, but example {number} has none")
    return examples


def rendered(
    examples: Sequence[Mapping[str, Any]], template: str | None, stored: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Return examples as pairs of a prompt and an answer.

    Args:
        template: ``prompt_template``; a text as input is the value of its only column.
        stored: ``output_schema`` as it is stored.

    Raises:
        BadValue: an input that does not fit the template, or an output that does not fit the schema.
    """
    schema = None if stored is None else restored(stored)
    return [
        (_prompt(number, one["input"], template), _answer(number, one["output"], schema))
        for number, one in enumerate(examples, start=1)
    ]


def _prompt(number: int, given: Any, source: str | None) -> str:
    if source is None:
        if isinstance(given, str):
            return given
        raise BadValue(f"must have text as input, without prompt_template, but example {number} has an object")
    template = parse_template(source)
    names = template.columns
    if isinstance(given, str) and len(names) == 1:
        return template.render({names[0]: given}) or ""
    cells = {str(name).lower(): value for name, value in given.items()} if isinstance(given, Mapping) else {}
    if {*cells} != {name.lower() for name in names}:
        wanted = ", ".join(f"'{name}': '…'" for name in names)
        raise BadValue(
            f"must have the columns of prompt_template as input, but example {number} has others: write "
            f"{{'input': {{{wanted}}}, 'output': …}}"
        )
    texts = {name: None if (cell := cells[name.lower()]) is None else _text(cell) for name in names}
    return template.render(texts) or ""


def _answer(number: int, output: Any, schema: OutputSchema | None) -> str:
    if schema is None:
        return _text(output)
    try:
        found = json.loads(output) if isinstance(output, str) else output
        return json.dumps(schema.validated(found), ensure_ascii=False)
    except NotValid as fault:
        raise BadValue(
            f"must have outputs that match output_schema, but in example {number} {fault}: {_write_output(schema)}"
        ) from None
    except (ValueError, RecursionError):
        raise BadValue(
            f"must have outputs that match output_schema, but example {number} has text: {_write_output(schema)}"
        ) from None


#: A value of each type of ``output_schema``.
_VALUES = {
    "text": "…", "integer": 1, "number": 0.5, "boolean": True, "date": "2026-01-31", "datetime": "2026-01-31T12:00:00",
    "list": ["…"],
}  # fmt: skip


def _write_output(schema: OutputSchema) -> str:
    """Return how to write an output with the first fields of a schema."""
    values: dict[str, Any] = {}
    for one in schema.fields[:4]:
        chosen = one.choices[0] if one.choices else None
        values[one.name] = _VALUES[one.type] if chosen is None else [chosen] if one.type == "list" else chosen
    more = ", …" if len(schema.fields) > len(values) else ""
    output = json.dumps(values, ensure_ascii=False).removesuffix("}")
    return f'write {{"input": "…", "output": {output}{more}}}}}'


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
