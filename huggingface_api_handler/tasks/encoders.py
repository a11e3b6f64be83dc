"""What requests have in common: inputs alone or as a list, arguments that become fields, options."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .answers import as_list
from .task import EMPTY, Argument, Arguments, Call, Dialect, Row

Encoder: TypeAlias = "Callable[[Sequence[Row], Arguments], Call]"

#: Servers that know nothing of ``options``.
_NO_OPTIONS = (Dialect.TEI, Dialect.TGI, Dialect.OPENAI)


def texts(rows: Sequence[Row]) -> Any:
    """Return the first input of one row bare, of several as a list."""
    return rows[0][0] if len(rows) == 1 else [row[0] for row in rows]


def parameters(args: Arguments, arguments: Sequence[Argument] = (), **defaults: Any) -> dict[str, Any]:
    """Return the request's ``parameters``: defaults, then the user's, then arguments with a wire name."""
    given = {name: value for name, value in args.parameters.items() if value is not None}
    wired = {one.wire: _wired(args.values[one.name], one) for one in arguments
             if one.wire and args.values.get(one.name) is not None}  # fmt: skip
    return {**defaults, **given, **wired}


def _wired(value: Any, argument: Argument) -> Any:
    return as_list(value) if argument.type == "list" else value


def options(args: Arguments) -> Mapping[str, Any]:
    """Return the fields beside ``inputs`` that hold the user's options."""
    return {"options": dict(args.options)} if args.options and args.dialect not in _NO_OPTIONS else EMPTY


def model_name(args: Arguments) -> Mapping[str, Any]:
    """Return the field by which an OpenAI-compatible server learns which model is meant, where that is known."""
    return {"model": args.model.id} if args.model.id else EMPTY


def text_encoder(*arguments: Argument, accept: str = "application/json", **defaults: Any) -> Encoder:
    """Make the encoder of a task whose ``inputs`` are one column's texts."""

    def encode(rows: Sequence[Row], args: Arguments) -> Call:
        given = parameters(args, arguments, **defaults)
        return Call(inputs=texts(rows), parameters=given, root=options(args), accept=accept)

    return encode


def media_encoder(*arguments: Argument, prompt: str | None = None, accept: str = "application/json") -> Encoder:
    """Make the encoder of a task whose one input is a medium; ``prompt`` names the field of a second, a text."""

    def encode(rows: Sequence[Row], args: Arguments) -> Call:
        row = rows[0]
        said = {prompt: row[1]} if prompt and len(row) > 1 and row[1] is not None else {}
        return Call(media=row[0], parameters={**parameters(args, arguments), **said}, root=options(args), accept=accept)

    return encode


def cell_text(cell: Any) -> str:
    """Return a table's cell as the text that services want; nothing becomes empty text.

    A whole number that a column of floats holds loses its ``.0``.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, ensure_ascii=False)
    return str(cell)
