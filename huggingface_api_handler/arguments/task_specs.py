"""The arguments of one task: its columns, its own arguments, and the parameters of huggingface_hub's type for it.

A task names that type (``TextGenerationInputGenerateParameters``); names, types, choices and meanings are read from
it, so that a new version of huggingface_hub adds new parameters without a change here.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..tasks import TASKS
from ..tasks.task import Argument, Input, Kind, Task
from .coercion import as_sql
from .specs import EXAMPLES, MODEL, OUTPUT_DIR, OUTPUT_SCHEMA, PACKING, PROMPT_TEMPLATE, SYSTEM_PROMPT, ArgumentSpec

#: Fields of huggingface_hub's types that are the input, or how it is sent.
_NOT_PARAMETERS = frozenset({"inputs", "messages", "model", "parameters", "stream", "stream_options"})

#: Values that services accept beside those of the type.
_MORE_CHOICES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("AutomaticSpeechRecognitionParameters", "return_timestamps"): ("word", "char"),
}

#: Types of fields that huggingface_hub's types give a wrong one. A list of biases names no tokens.
_TYPES: Mapping[tuple[str, str], str] = {("ChatCompletionInput", "logit_bias"): "object"}

_COUNT = {"least": 1}
_NOT_NEGATIVE = {"least": 0}
_SHARE = {"least": 0, "most": 1}
#: Bounds that hold for an argument of this name in every task. huggingface_hub's types have none. Numbers to which
#: some server gives a meaning of its own, such as ``max_tokens = -1``, are left to the server.
_BOUNDS: Mapping[str, Mapping[str, float]] = {
    **dict.fromkeys(
        (
            "best_of", "dimensions", "frame_sampling_rate", "height", "max_answer_len", "max_question_len",
            "max_seq_len", "n", "num_frames", "num_inference_steps", "stride", "top_k", "truncate", "width",
        ),
        _COUNT,
    ),
    **dict.fromkeys(("doc_stride", "min_output_length", "temperature", "top_logprobs", "top_n_tokens"), _NOT_NEGATIVE),
    **dict.fromkeys(
        ("mask_threshold", "overlap_mask_area_threshold", "threshold", "top_p", "typical_p"), _SHARE
    ),
}  # fmt: skip
#: Where tokens are drawn, 0 and -1 are servers' names for "all of them"; elsewhere ``top_k`` counts results.
_SAMPLING_TYPES = frozenset({"TextGenerationInputGenerateParameters", "ChatCompletionInput"})


def column_spec(one: Input) -> ArgumentSpec:
    """Return the argument that names an input's column."""
    many = one.kind is Kind.RECORD
    example = "'age, height'" if many else f"'{_example_column(one)}'"
    return ArgumentSpec(
        one.argument, "columns" if many else "column", one.meaning, aliases=one.aliases, example=example
    )


def _example_column(one: Input) -> str:
    if one.argument.startswith("input_column"):
        return one.kind.value + one.argument.removeprefix("input_column")
    return one.argument.removesuffix("_column")


def constant_spec(task: Task, one: Input) -> ArgumentSpec:
    """Return the argument that gives an input the same value in every row."""
    name = str(one.constant)
    meaning = f"{one.meaning}, the same for every row"
    return ArgumentSpec(name, "text", meaning, example=_example(task, name, "text"))


def argument_spec(task: Task, one: Argument) -> ArgumentSpec:
    """Return one of a task's own arguments."""
    return _bounded(
        ArgumentSpec(
            one.name, one.type, one.meaning, aliases=one.aliases, choices=one.choices,
            example=f"'{one.choices[0]}'" if one.choices else _example(task, one.name, one.type),
        )
    )  # fmt: skip


def parameter_specs(task: Task) -> tuple[ArgumentSpec, ...]:
    """Return the parameters that a task accepts as arguments, in the order of huggingface_hub's type.

    Those for which the task has an argument or a column of its own are left out.
    """
    if task.parameters is None:
        return ()
    own = {argument.name for argument in task.arguments} | {one.constant for one in task.inputs}
    return tuple(spec for spec in _specs_of(task.parameters) if spec.name not in own)


def own_specs(task: Task) -> tuple[ArgumentSpec, ...]:
    """Return all arguments that only some tasks accept, parameters excepted."""
    specs = [column_spec(one) for one in task.inputs]
    specs += [constant_spec(task, one) for one in task.inputs if one.constant]
    specs += [argument_spec(task, one) for one in task.arguments]
    if any(one.template for one in task.inputs):
        specs.append(PROMPT_TEMPLATE)
    if task.chat:
        specs += [SYSTEM_PROMPT, OUTPUT_SCHEMA, EXAMPLES, *PACKING]
    if task.makes is not None:
        specs.append(OUTPUT_DIR)
    return tuple(specs)


def all_names(specs: Iterable[ArgumentSpec]) -> list[str]:
    """Return all names, aliases included."""
    return [name for spec in specs for name in spec.names]


def model_names() -> list[str]:
    """Return the names of all arguments of CREATE MODEL, of any task; some several times."""
    return all_names(
        [*MODEL, *(spec for task in TASKS.values() for spec in (*own_specs(task), *parameter_specs(task)))]
    )


_EXAMPLES = {
    "text": "'…'", "number": "0.5", "integer": "100", "boolean": "true", "list": "'first, second'", "object": "{…}",
}  # fmt: skip


def _example(task: Task, name: str, kind: str) -> str:
    if name in task.example.using:
        return as_sql(task.example.using[name])
    return _EXAMPLES.get(kind, "'…'")


def _bounded(spec: ArgumentSpec, owner: str = "") -> ArgumentSpec:
    if spec.type not in ("integer", "number") or (spec.name == "top_k" and owner in _SAMPLING_TYPES):
        return spec
    return replace(spec, **_BOUNDS.get(spec.name, {}))  # type: ignore[arg-type]


# --- huggingface_hub's types -----------------------------------------------------------------


@lru_cache(maxsize=64)
def _specs_of(name: str) -> tuple[ArgumentSpec, ...]:
    import huggingface_hub

    kind = getattr(huggingface_hub, name, None)
    if not dataclasses.is_dataclass(kind):  # a later huggingface_hub may not have it
        return ()
    hints, meanings = _hints(kind), _meanings(kind)
    return tuple(
        _parameter_spec(
            name,
            field,
            hints.get(field.name, Any),
            meanings.get(field.name) or _MEANINGS.get(field.name, "passed to the model"),
        )
        for field in dataclasses.fields(kind)
        if field.name not in _NOT_PARAMETERS
    )


def _hints(kind: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:  # annotations of that library's version that this Python cannot evaluate
        return {}


#: Meanings of fields that the Hub's types leave without one.
_MEANINGS: Mapping[str, str] = {
    "grammar": "what the generated text must match: {'type': 'json', 'value': <schema>} or {'type': 'regex', …}",
    "normalize": "whether to scale vectors to length 1",
    "response_format": "the form of the answer: {'type': 'json_object'}, or 'json_schema' with a schema",
    "seed": "seed for sampling; the same seed and prompt give the same answer where the server supports it",
    "tool_choice": "which tool the model calls",
    "truncate": "whether to shorten a text that is longer than the model accepts",
    "truncation_direction": "the side from which a text is shortened",
}


def _meanings(kind: Any) -> dict[str, str]:
    """Return the text below each field of a class."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: " ".join(note.value.value.split()).removeprefix("UNUSED ").replace("``", "`")
        for field, note in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
    }


def _parameter_spec(owner: str, field: dataclasses.Field[Any], hint: Any, meaning: str) -> ArgumentSpec:
    kinds: dict[str, None] = {}
    choices: list[str] = []
    items = "any"
    for part in _parts(hint):
        kind = _kind(part)
        if kind == "choice":
            choices += [str(choice) for choice in typing.get_args(part)]
            kind = "text"
        elif kind == "list":
            items = next((_kind(one) for one in typing.get_args(part)), "any")
        kinds[kind] = None
    more = _MORE_CHOICES.get((owner, field.name), ())
    if more:
        choices += more
        kinds["text"] = None
    if (owner, field.name) in _TYPES:
        kinds = {_TYPES[owner, field.name]: None}
    if "any" in kinds:
        kinds = {"any": None}
    spec = ArgumentSpec(
        field.name,
        " or ".join(kinds),
        meaning,
        default=None if field.default is dataclasses.MISSING else field.default,
        choices=tuple(choices),
        items=items,
        example=_parameter_example(field.name, next(iter(kinds)), choices, items),
    )
    return _bounded(spec, owner)


_OF_PARAMETERS = {"top_k": "3", "response_format": "{'type': 'json_object'}"}


def _parameter_example(name: str, kind: str, choices: list[str], items: str) -> str | None:
    if choices:
        return f"'{choices[0]}'"
    if name in _OF_PARAMETERS:
        return _OF_PARAMETERS[name]
    return _EXAMPLES[kind] if kind in ("number", "integer", "boolean") or (kind, items) == ("list", "text") else None


def _parts(hint: Any) -> list[Any]:
    """Return the members of a union without ``None``; any other type is its only member."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for one in typing.get_args(hint) for part in _parts(one) if part is not type(None)]
    return [hint]


_BY_TYPE: Mapping[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "text"}


def _kind(hint: Any) -> str:
    if hint in _BY_TYPE:
        return _BY_TYPE[hint]
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return "choice"
    if origin is list:
        return "list"
    return "object" if inspect.isclass(origin) and issubclass(origin, dict) else "any"
