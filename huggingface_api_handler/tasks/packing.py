"""Rows that share the prompt of a chat: what is asked, and which part of the one response is whose answer.

Each row has an id that follows from its own cache key: short, and neither a number nor the row's position. So a model
that numbers its answers itself, or mixes up its list, does not hit the id of another row by chance.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from .shapes import carried, dumps
from .task import Answer, Arguments

#: Characters of an id; more where two rows of a request would have the same.
_ID_LENGTH = 5
#: Tokens that the id and the signs around one answer take.
ENTRY_TOKENS = 24
#: Arguments that limit the tokens of an answer, by where they are kept.
_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
_OUTPUT_LENGTH = "max_output_length"


# --- the request -----------------------------------------------------------------------------


def row_ids(keys: Sequence[str]) -> list[str]:
    """Return an id for each row of a request; the same for the same key unless two would be equal.

    Args:
        keys: the rows' cache keys, all different.
    """
    whole = [base64.b32encode(blake2b(key.encode(), digest_size=20).digest()).decode().lower() for key in keys]
    length = _ID_LENGTH
    while len({one[:length] for one in whole}) < len(whole):
        length += 1
    return [one[:length] for one in whole]


def packed_prompt(ids: Sequence[str], rows: Sequence[Mapping[str, str]], instruction: str | None) -> str:
    """Return the prompt of several rows.

    Args:
        rows: the cells of each row by name; no name is ``id``.
        instruction: what to do with a row, with its columns in double braces; ``None``: a row's only cell is all that
            there is to say.
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
    lines = [json.dumps({"id": name, **row}, ensure_ascii=False) for name, row in zip(ids, rows, strict=True)]
    return "\n\n".join([task, form, "\n".join(lines)])


def packed_arguments(args: Arguments, rows: int, answer: Mapping[str, Any]) -> Arguments:
    """Return the arguments of a request for several rows: its answer is a list, and may be as long as theirs together.

    Args:
        answer: the JSON schema of one row's answer.
    """
    parameters = {**args.parameters, "response_format": _answers_format(answer)}
    values = dict(args.values)
    for name in _TOKEN_LIMITS:
        if isinstance(parameters.get(name), int):
            parameters[name] = rows * (parameters[name] + ENTRY_TOKENS)
    if isinstance(values.get(_OUTPUT_LENGTH), int):
        values[_OUTPUT_LENGTH] = rows * (values[_OUTPUT_LENGTH] + ENTRY_TOKENS)
    return replace(args, values=values, parameters=parameters)


def _answers_format(answer: Mapping[str, Any]) -> dict[str, Any]:
    entry = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "answer": answer},
        "required": ["id", "answer"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": entry}},
        "required": ["answers"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "answers", "strict": True, "schema": schema}}


# --- the response ----------------------------------------------------------------------------


def text_answer(value: Any) -> str | None:
    """Return one row's answer as text; ``None`` for what is none."""
    if isinstance(value, str):
        return carried(value) if value.strip() else None
    return dumps(value) if isinstance(value, (bool, int, float)) else None


def unpacked(answer: Answer, ids: Sequence[str], read: Callable[[Any], str | None]) -> list[Answer | None]:
    """Return the answer of each row out of the answer to all; ``None`` for a row to which nothing certainly belongs.

    A row needs one entry with its id. If it has none or several, an entry beside it may hold its answer: a model that
    merges two rows answers both under one id. So the rows next to it in the prompt get ``None`` as well.

    Args:
        answer: to the request of all rows: JSON text.
        ids: the rows' ids, in the order of the prompt.
        read: the JSON value of one answer → its text; ``None`` for what is no answer.
    """
    entries = _entries(answer.value)
    counts = Counter(name for name, _ in entries)
    bad = {place for place, name in enumerate(ids) if counts[name] != 1}
    bad |= {place + step for place in bad for step in (-1, 1)}
    found = dict(entries)
    shares = _shares(answer, len(ids))
    answers: list[Answer | None] = []
    for place, name in enumerate(ids):
        value = None if place in bad else read(found[name])
        answers.append(None if value is None else replace(shares[place], value=value))
    return answers


def _entries(value: Any) -> list[tuple[str, Any]]:
    """Return the (id, answer) pairs of a response; none if it has another form."""
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return []
    entries = found.get("answers") if isinstance(found, Mapping) else None
    if not isinstance(entries, list):
        return []
    return [
        (one["id"], one["answer"])
        for one in entries
        if isinstance(one, Mapping) and isinstance(one.get("id"), str) and "answer" in one
    ]


def _shares(answer: Answer, rows: int) -> list[Answer]:
    """Return for each row its share of what the service counted for all, and why the response ended."""
    explain = answer.explain or {}
    shares: list[Answer] = []
    for place in range(rows):
        own: dict[str, Any] = {name: explain[name] for name in ("finish_reason",) if name in explain}
        if isinstance(explain.get("usage"), Mapping):
            own["usage"] = {name: _share(count, rows, place) for name, count in explain["usage"].items()}
        own["rows_in_request"] = rows
        tokens = None if answer.tokens is None else _share(answer.tokens, rows, place)
        shares.append(Answer(None, own, tokens=tokens))
    return shares


def _share(count: Any, rows: int, place: int) -> Any:
    """Return the part of a count that one row has; all parts add up to it."""
    if not isinstance(count, int):
        return count / rows
    each, rest = divmod(count, rows)
    return each + (place < rest)
