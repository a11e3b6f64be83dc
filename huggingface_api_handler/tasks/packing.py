"""Rows that share the prompt of a chat: the prompt, and the answer of each row in the response.

Each row has an id that follows from its own cache key: short, and neither a number nor the row's position. So a model
that numbers its answers itself, or mixes up its list, does not hit the id of another row by chance.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from .chat import is_cut, one_object
from .output_schema import NotValid, OutputSchema, output_schema
from .shapes import dumps, is_number, share, storable
from .task import Answer, Arguments

#: Characters of an id; more where two rows of a request would have the same.
_ID_LENGTH = 5
#: Tokens that the id and the signs around one answer take.
ENTRY_TOKENS = 24
#: Where ``<target>_explain`` tells how many rows shared the request.
ROWS_IN_REQUEST = "rows_in_request"
#: Arguments that limit the tokens of an answer.
_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_length")


# --- the request -----------------------------------------------------------------------------


def row_ids(keys: Sequence[str]) -> list[str]:
    """Return an id for each row of a request; the same for the same key unless two would be equal.

    Args:
        keys: the rows' cache keys. Of equal ones, all but the first are told apart by their position.
    """
    if len({*keys}) < len(keys):
        keys = [f"{key} {position}" if key in keys[:position] else key for position, key in enumerate(keys)]
    whole = [base64.b32encode(blake2b(key.encode(), digest_size=20).digest()).decode().lower() for key in keys]
    length = _ID_LENGTH
    while len({one[:length] for one in whole}) < len(whole):
        length += 1
    return [one[:length] for one in whole]


def packed_prompt(
    ids: Sequence[str], rows: Sequence[Mapping[str, str]], instruction: str | None, args: Arguments
) -> str:
    """Return the prompt of several rows.

    Args:
        rows: the cells of each row by name; no name is ``id``.
        instruction: what to do with a row, with its columns in double braces; ``None``: a row's only cell is all that
            there is to say.
        args: of the model; ``output_schema`` and ``examples`` become part of the prompt.
    """
    if instruction is None:
        task = (
            f"Below are {len(rows)} messages, one JSON object a line. Answer each message as if it were the only one."
        )
    else:
        task = (
            f"Below are {len(rows)} rows, one JSON object a line. Do the following for each row as if it were the only "
            f"one, with its values in place of the names in double braces:\n\n{instruction}"
        )
    form = (
        'Answer with one JSON object, {"answers": [{"id": "…", "answer": …}, …]}, which holds the answer to each line '
        "once, under the id of that line. Write nothing else."
    )
    schema = output_schema(args)
    if schema is not None:
        properties = {"properties": _answers_schema(schema.json_schema)["properties"]}
        form += (
            " Each answer is an object with all of the properties below; one that the line does not tell is null.\n"
            + json.dumps(properties, ensure_ascii=False, separators=(",", ":"))
        )
    lines = [json.dumps({"id": name, **row}, ensure_ascii=False) for name, row in zip(ids, rows, strict=True)]
    return "\n\n".join([task, form, *_examples(args, schema), "\n".join(lines)])


def _examples(args: Arguments, schema: OutputSchema | None) -> list[str]:
    pairs = args.values.get("examples")
    if not pairs:
        return []
    examples = [{"message": prompt, "answer": json.loads(answer) if schema else answer} for prompt, answer in pairs]
    return [
        "Examples of messages and their answers:\n" + "\n".join(json.dumps(one, ensure_ascii=False) for one in examples)
    ]


def packed_arguments(args: Arguments, rows: int) -> Arguments:
    """Return the arguments of a request for several rows: its answer is a list, and may be as long as theirs together.

    ``packed_prompt`` says what ``output_schema`` and ``examples`` would add to the messages.
    """
    schema = output_schema(args)
    parameters = dict(args.parameters)
    values = {name: value for name, value in args.values.items() if name not in ("output_schema", "examples")}
    for limits in (parameters, values):
        for name in _TOKEN_LIMITS:
            if isinstance(limits.get(name), int):
                limits[name] = rows * (limits[name] + ENTRY_TOKENS)
    answers = _answers_schema({"type": "string"} if schema is None else schema.json_schema)
    return replace(args, values=values, parameters=parameters, json_schema=answers)


def _answers_schema(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of a response, by that of one answer."""
    entry = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "answer": answer},
        "required": ["id", "answer"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": entry}},
        "required": ["answers"],
        "additionalProperties": False,
    }


# --- the response ----------------------------------------------------------------------------


def unpacked(answer: Answer, ids: Sequence[str], args: Arguments) -> list[Answer | None]:
    """Return the answer of each row out of the answer to all; ``None`` for a row to which nothing certainly belongs.

    A row needs one entry with its id. If it has none or several, an entry beside it may hold its answer: a model that
    merges two rows answers both under one id. So the rows next to it in the prompt get ``None`` as well.

    A response that was cut at the token limit answers the rows before the cut, if its entries are in their order: then
    those that are missing are after the cut.

    Args:
        answer: to the request of all rows.
        ids: the rows' ids, in the order of the prompt.
        args: of the model: an answer must fit ``output_schema`` if there is one.
    """
    entries = _entries(answer.value)
    if not entries and is_cut(answer.explain or {}):
        entries = _entries_before_cut(answer.value, ids)
        answer = replace(answer, explain={**(answer.explain or {}), "finish_reason": "stop"})  # of these entries
    counts = Counter(name for name, _ in entries)
    bad = {position for position, name in enumerate(ids) if counts[name] != 1}
    bad |= {position + step for position in bad for step in (-1, 1)}
    found, schema = dict(entries), output_schema(args)
    shares = _shares(answer, len(ids))
    answers: list[Answer | None] = []
    for position, name in enumerate(ids):
        value = None if position in bad else _value(found[name], schema)
        answers.append(None if value is None else replace(shares[position], value=value))
    return answers


def _value(answer: Any, schema: OutputSchema | None) -> str | None:
    """Return one row's answer as text; ``None`` for what is no answer."""
    if schema is not None:
        try:
            return dumps(schema.validated(answer))
        except NotValid:
            return None
    if isinstance(answer, str):
        return storable(answer) if answer.strip() else None
    return dumps(answer) if is_number(answer) or isinstance(answer, bool) else None


def _entries(value: Any) -> list[tuple[str, Any]]:
    """Return the (id, answer) pairs of a response; none if it has another form."""
    try:
        found = one_object(value) if isinstance(value, str) else {}
    except NotValid:
        return []
    entries = found.get("answers")
    if not isinstance(entries, list):
        return []
    return [
        (one["id"], one["answer"])
        for one in entries
        if isinstance(one, Mapping) and isinstance(one.get("id"), str) and "answer" in one
    ]


#: How a response begins, also in a code fence.
_BEGINNING = re.compile(r'\s*(?:```(?:json)?\s*)?\{\s*"answers"\s*:\s*\[\s*')
_BETWEEN = re.compile(r"\s*,\s*")
_DECODER = json.JSONDecoder()


def _entries_before_cut(value: Any, ids: Sequence[str]) -> list[tuple[str, Any]]:
    """Return the (id, answer) pairs of a response that was cut; none if they are not those of the first rows."""
    before = _BEGINNING.match(value) if isinstance(value, str) else None
    entries: list[str] = []
    while before is not None:
        try:
            _, end = _DECODER.raw_decode(value, before.end())
        except (ValueError, RecursionError):
            break
        entries.append(value[before.end() : end])
        before = _BETWEEN.match(value, end)
    found = _entries(f'{{"answers": [{", ".join(entries)}]}}')
    return found if len(found) == len(entries) and [name for name, _ in found] == [*ids[: len(found)]] else []


def _shares(answer: Answer, rows: int) -> list[Answer]:
    """Return for each row its share of what the service counted for all, and why the response ended."""
    explain = answer.explain or {}
    shares: list[Answer] = []
    for position in range(rows):
        own: dict[str, Any] = {name: explain[name] for name in ("finish_reason",) if name in explain}
        if isinstance(explain.get("usage"), Mapping):
            own["usage"] = {
                name: share(count, rows, position) if isinstance(count, int) else count / rows
                for name, count in explain["usage"].items()
            }
        own[ROWS_IN_REQUEST] = rows
        tokens = None if answer.tokens is None else share(answer.tokens, rows, position)
        shares.append(Answer(None, own, tokens=tokens))
    return shares
