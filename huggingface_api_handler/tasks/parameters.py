"""Each task's parameters, as huggingface_hub's own types have them: names, types, choices, meaning.

SQL carries fewer values than JSON does: MindsDB's parser takes no ``-1`` and no ``.5``. So every
number, boolean, list and object may also be given as text.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import json
import math
import re
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from .task import Task

#: Fields of those types that are no parameters: they are the input, or how it is sent.
_NOT_PARAMETERS = frozenset({"inputs", "messages", "model", "parameters", "stream", "stream_options"})

#: Values that services take beside those of the type.
_ALSO: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("AutomaticSpeechRecognitionParameters", "return_timestamps"): ("word",),
}

_WHOLE = re.compile(r"[+-]?\d+\Z")
_MAX_WHOLE = 2**63
_SHOWN = 60


class _Unfit(ValueError):
    """A value that a type does not take."""


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One parameter of a task.

    Attributes:
        type: what it takes: ``text``, ``number``, ``integer``, ``boolean``, ``list``, ``object``,
            ``any``, or several of them joined with `` or ``.
        meaning: what it does, in the Hub's words.
        choices: the texts that it takes, where only some.
        default: what it is where it is not given; ``None``: the service decides.
        kinds: the parts of ``type``.
        items: kind of a list's items.
    """

    name: str
    type: str
    meaning: str = ""
    choices: tuple[str, ...] = ()
    default: Any = None
    kinds: tuple[str, ...] = ("any",)
    items: str = "any"


# --- the Hub's types -------------------------------------------------------------------------


def parameter_fields(task: Task) -> tuple[ParameterField, ...]:
    """Return the parameters that a task takes flat, in the order of the Hub's type.

    What the task has an argument or a column of its own for is left out.
    """
    own = {argument.name for argument in task.arguments} | {one.constant for one in task.inputs}
    return tuple(field for field in _fields(task.parameters) if field.name not in own) if task.parameters else ()


@lru_cache(maxsize=64)
def _fields(name: str) -> tuple[ParameterField, ...]:
    import huggingface_hub

    kind = getattr(huggingface_hub, name, None)
    if not dataclasses.is_dataclass(kind):  # a later huggingface_hub may have dropped it
        return ()
    hints, meanings = _hints(kind), _meanings(kind)
    return tuple(
        _field(name, field, hints.get(field.name, Any), meanings.get(field.name, ""))
        for field in dataclasses.fields(kind)
        if field.name not in _NOT_PARAMETERS
    )


def _hints(kind: Any) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except Exception:  # annotations of this library's version that this Python cannot evaluate
        return {}


def _meanings(kind: Any) -> dict[str, str]:
    """Return what stands below each field of a class, as text."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    return {
        field.target.id: " ".join(note.value.value.split())
        for field, note in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
    }


def _field(owner: str, field: dataclasses.Field[Any], hint: Any, meaning: str) -> ParameterField:
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
    also = _ALSO.get((owner, field.name), ())
    if also:
        choices += also
        kinds["text"] = None
    default = None if field.default is dataclasses.MISSING else field.default
    return ParameterField(field.name, " or ".join(kinds), meaning, tuple(choices), default, tuple(kinds), items)


def _parts(hint: Any) -> list[Any]:
    """Return the members of a union without ``None``; any other type is its own only member."""
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


# --- values ----------------------------------------------------------------------------------


def check_parameters(
    task: Task, given: Mapping[str, Any], *, keep_unknown: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters with the types they must have, and all that is wrong with them.

    Args:
        given: parameters by name, without regard to case; ``None`` is as good as not given.
        keep_unknown: let names that the task does not know through as they are.
    """
    known = {field.name: field for field in parameter_fields(task)}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in given.items():
        field = known.get(name.lower())
        if value is None:
            continue
        if field is not None:
            try:
                values[field.name] = coerce(field, value)
            except _Unfit:
                faults.append(f"{field.name} must be {_wanted(field)}, not {_shown(value)}")
        elif keep_unknown:
            values[name] = value
        else:
            faults.append(f"unknown argument '{name}'{_meant(name, known)}")
    return values, faults


def _meant(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f": did you mean '{near[0]}'?" if near else ""


_WANTED: Mapping[str, str] = {
    "text": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
    "list": "a list", "object": "an object", "any": "a value",
}  # fmt: skip


def _wanted(field: ParameterField) -> str:
    named = [_WANTED[kind] for kind in field.kinds if not (kind == "text" and field.choices)]
    if field.choices:
        named.append("one of " + ", ".join(f"'{choice}'" for choice in field.choices))
    return " or ".join(named)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"


def coerce(field: ParameterField, value: Any) -> Any:
    """Return the value as the field's type has it.

    Raises:
        ValueError: where it does not fit.
    """
    if isinstance(value, str) and field.choices:
        chosen = next((choice for choice in field.choices if choice.lower() == value.strip().lower()), None)
        if chosen is not None:
            return chosen
    for kind in sorted(field.kinds, key=_ORDER.index):
        if kind == "text" and field.choices:
            continue
        try:
            return _COERCE[kind](value, field)
        except _Unfit:
            continue
    raise _Unfit


def _boolean(value: Any, field: ParameterField) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "false": False, "1": True, "0": False}
    if isinstance(value, (str, int)) and str(value).strip().lower() in known:
        return known[str(value).strip().lower()]
    raise _Unfit


def _integer(value: Any, field: ParameterField) -> int:
    number = _number(value, field)
    if not isinstance(number, int):
        if not number.is_integer():
            raise _Unfit
        number = int(number)
    if not -_MAX_WHOLE <= number < _MAX_WHOLE:
        raise _Unfit
    return number


def _number(value: Any, field: ParameterField) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _Unfit
    if isinstance(value, int) or (isinstance(value, str) and _WHOLE.match(value.strip()) and len(value) < 40):
        number: int | float = int(value)
        if not -_MAX_WHOLE <= number < _MAX_WHOLE:
            raise _Unfit
        return number
    try:
        number = float(value)
    except ValueError:
        raise _Unfit from None
    if not math.isfinite(number):
        raise _Unfit
    return number


def _text(value: Any, field: ParameterField) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise _Unfit


def _list(value: Any, field: ParameterField) -> list[Any]:
    if isinstance(value, str):
        parsed = _from_json(value)
        if not isinstance(parsed, list):
            if field.items != "text" or "text" in field.kinds:
                raise _Unfit
            parsed = [part.strip() for part in value.split(",") if part.strip()]
        value = parsed
    if not isinstance(value, (list, tuple)):
        raise _Unfit
    return [_COERCE[field.items if field.items in _COERCE else "any"](one, field) for one in value]


def _object(value: Any, field: ParameterField) -> dict[str, Any]:
    parsed = _from_json(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise _Unfit
    return dict(parsed)


def _any(value: Any, field: ParameterField) -> Any:
    return value


def _from_json(value: str) -> Any:
    """Return what JSON text holds; ``None`` for text that is none, or holds NaN or infinities."""
    try:
        return json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_Coerce: TypeAlias = "Callable[[Any, ParameterField], Any]"
#: From the type that takes least to the one that takes most.
_COERCE: Mapping[str, _Coerce] = {
    "boolean": _boolean, "integer": _integer, "number": _number, "object": _object, "list": _list,
    "text": _text, "any": _any,
}  # fmt: skip
_ORDER = list(_COERCE)
