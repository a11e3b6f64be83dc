"""Reads ``output_schema`` as it is written in USING.

A schema is text, ``'topic text, urgent boolean, mood text in (good, bad)'``, or an object of field → type or
``{"type", "description", "enum"}``. It is stored as the object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ..tasks.output_schema import TYPES, Field, OutputSchema
from ..tasks.shapes import is_number, whole
from .coercion import BadValue, shown

#: SQL's and JSON's names of the types.
_SYNONYMS: Mapping[str, str] = {
    "string": "text", "varchar": "text", "int": "integer", "bigint": "integer", "float": "number", "double": "number",
    "decimal": "number", "numeric": "number", "real": "number", "bool": "boolean", "timestamp": "datetime",
    "array": "list",
}  # fmt: skip
#: Types whose values may be limited with ``in (…)``.
_WITH_CHOICES = ("text", "integer", "number", "list")
MAX_FIELDS, MAX_CHOICES, MAX_DESCRIPTION = 64, 200, 1000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_QUOTED = r"'(?:[^']|'')*'|\"[^\"]*\""
#: One field of the text, or one choice, up to the comma behind it.
_FIELD = re.compile(rf"(?:[^,()'\"]|{_QUOTED}|\((?:[^()'\"]|{_QUOTED})*\))+")
_CHOICE = re.compile(rf"(?:[^,'\"]|{_QUOTED})+")
_WORD = re.compile(r"\w+")
#: Allowed values without ``in``, and a range of whole numbers, as they are often written.
_LISTED = re.compile(r"\(\s*['\"]?[^\W\d].*\)", re.S)
_BEGUN = re.compile(r"(?:in\b\s*|\[\s*)['\"]?(\w+)", re.I)
_RANGE = re.compile(r"(-?\b[0-9]{1,4})\s*(?:and|to|-|–|\.\.+|…|,)\s*(-?[0-9]{1,4})\b", re.I)
_TYPED = re.compile(r"(\w+)(?:\s+in\s*\((.*)\))?", re.I | re.S)


def check_schema(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return ``output_schema`` as it is stored: field → type, and what else is known of it.

    Raises:
        BadValue: with what is wrong.
    """
    if isinstance(given, str) and given.lstrip().startswith(("{", "[")):
        raise BadValue(f"contains invalid JSON, {shown(given)}")
    return read_schema(given).stored


def read_schema(given: str | Mapping[str, Any]) -> OutputSchema:
    """Read a schema from text or from an object.

    Names are columns as they are written. MindsDB compares them with the names of a query with or without case, so
    no two fields may differ in case alone.

    Raises:
        BadValue: with what is wrong.
    """
    if isinstance(given, str):
        fields = [_field_of_text(part.strip()) for part in _split(given, _FIELD)]
    else:
        fields = _of_object(given)
    if not fields:
        raise BadValue("has no field")
    if len(fields) > MAX_FIELDS:
        raise BadValue(f"has {len(fields)} fields, but the maximum is {MAX_FIELDS}")
    names = [field.name.lower() for field in fields]
    repeated = next((field.name for field in fields if names.count(field.name.lower()) > 1), None)
    if repeated is not None:
        raise BadValue(f"has two fields named '{repeated}'")
    return OutputSchema(tuple(fields))


def _split(text: str, part: re.Pattern[str]) -> list[str]:
    """Split at commas that are in no quotes and brackets."""
    parts: list[str] = []
    at = 0
    while at < len(text) or not parts:
        found = part.match(text, at)
        if found is None or (found.end() < len(text) and text[found.end()] != ","):
            broken = text[at if found is None else found.end() :].strip()
            raise BadValue(f"cannot be read from {shown(broken)}" if broken else "ends in a comma, or is empty")
        parts.append(found[0])
        at = found.end() + 1
    if at == len(text):
        raise BadValue("ends in a comma")
    return parts


def _field_of_text(part: str) -> Field:
    name, *rest = part.split(None, 1) or [part]
    if not rest and name:
        raise BadValue(f"has no type for the field {shown(name)}: {_write(name, 'text')}")
    if not rest:
        raise BadValue("has nothing where the name and the type of a field are expected")
    return _field(_unquoted(name, "'\"`"), rest[0])


def _of_object(given: Mapping[str, Any]) -> list[Field]:
    if isinstance(given.get("properties"), Mapping):
        raise BadValue(
            'must be an object of fields and their types, not a JSON schema: write {"topic": "text", "paid": "boolean"}'
        )
    return [_field_of_object(name, declared) for name, declared in given.items()]


def _field_of_object(name: str, declared: Any) -> Field:
    if isinstance(declared, str):
        return _field(name, declared)
    if not isinstance(declared, Mapping) or not isinstance(declared.get("type"), str):
        raise BadValue(f'has no type for the field {shown(name)}: write {{"{_safe(name)}": "text"}}')
    unknown = next((key for key in declared if key not in ("type", "description", "enum")), None)
    if unknown is not None:
        raise BadValue(
            f"has {shown(unknown)} for the field {shown(name)}, which takes type, description and enum: "
            f'write {{"{_safe(name)}": {{"type": "integer", "enum": [1, 2, 3]}}}}'
        )
    description, enum = declared.get("description"), declared.get("enum")
    if description is not None and (not isinstance(description, str) or len(description) > MAX_DESCRIPTION):
        raise BadValue(f"has a description of {shown(name)} that is no text of at most {MAX_DESCRIPTION} characters")
    if enum is not None and (isinstance(enum, str) or not isinstance(enum, Sequence)):
        raise BadValue(f"has an enum of {shown(name)} that is no list")
    return _field(name, declared["type"], enum, description or "")


def _field(name: str, declared: str, enum: Sequence[Any] | None = None, description: str = "") -> Field:
    if not _NAME.fullmatch(name):
        instead, found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_"), _TYPED.fullmatch(declared.strip())
        raise BadValue(
            f"has a field {shown(name)}, and the name of a field has letters, digits and _ only, at most 63 of them: "
            f"{_write(instead, declared if found and _type(found[1]) else 'text')}"
        )
    found = _TYPED.fullmatch(declared.strip())
    kind = _type(found[1]) if found else None
    if found is None or kind is None:
        raise BadValue(_type_fault(name, declared.strip()))
    listed = [_unquoted(one.strip()) for one in _split(found[2], _CHOICE)] if found[2] is not None else None
    choices = tuple(dict.fromkeys(_choice(name, kind, one) for one in (listed if enum is None else enum) or ()))
    given = listed is not None or enum is not None
    if given and (kind not in _WITH_CHOICES or not 1 <= len(choices) <= MAX_CHOICES):
        allowed = f"from 1 to {MAX_CHOICES} values" if kind in _WITH_CHOICES else "no list of values"
        instead = "" if kind in _WITH_CHOICES else f": {_write(name, kind)}"
        raise BadValue(f"gives the field '{name}' {len(choices)} values, and {kind} takes {allowed}{instead}")
    return Field(name, kind, choices, description.strip())


def _type(word: str) -> str | None:
    """Return the type that a word names; ``None``: it names none."""
    kind = _SYNONYMS.get(word.lower(), word.lower())
    return kind if kind in TYPES else None


def _type_fault(name: str, declared: str) -> str:
    """Return what is wrong with a type, and what to write: what it most probably means."""
    found = _WORD.match(declared)
    word, rest = (found[0], declared[found.end() :].strip()) if found else ("", declared)
    kind = _type(word)
    if kind is None and word.lower() == "in":
        return f"has no type for the field '{name}': {_write(name, f'text {declared}')}"
    if kind is None and _type(name) and _NAME.fullmatch(declared) and word not in ("null", "enum"):
        return f"has the type '{name}' before the name of a field, which comes first: {_write(declared, name)}"
    if kind is None:
        near = next(iter(get_close_matches(word.lower(), [*TYPES, *_SYNONYMS], n=1)), "text")
        meant = f"text in {rest}" if _LISTED.fullmatch(rest) else str(_type(near))
        types = ", ".join(TYPES)
        return f"gives the field '{name}' the type {shown(declared)}, and types are {types}: {_write(name, meant)}"
    if rest.startswith(";"):
        meant = f"{word}, {rest[1:].strip()}"
        return f"has ; after the field '{name}', and fields are separated by commas: {_write(name, meant)}"
    meant = _range(rest) if kind == "integer" else _list(rest) if kind in _WITH_CHOICES else ""
    if rest == "[]":
        return (
            f"gives the field '{name}' the type {shown(declared)}, and a list of texts is list: {_write(name, 'list')}"
        )
    follows = "only in (…), with all allowed values," if kind in _WITH_CHOICES else "nothing"
    return (
        f"has {shown(rest)} after the type of the field '{name}', and {follows} can follow it: "
        f"{_write(name, f'{kind} in {meant}' if meant else kind)}"
    )


def _list(text: str) -> str:
    """Return ``(a, b)``, ``[a, b]`` or ``in a``, of which the text may lack what follows a comma, as allowed values."""
    if _LISTED.fullmatch(text):
        return "" if _type(text.strip("( )")) else text
    found = _BEGUN.match(text)
    return f"({found[1]}, …)" if found else ""


def _range(text: str) -> str:
    """Return ``between 1 and 5``, ``1-5`` and the like as a list of values; empty: it is no short range."""
    found = _RANGE.search(text)
    first, last = (int(found[1]), int(found[2])) if found else (0, -1)
    return f"({', '.join(map(str, range(first, last + 1)))})" if 1 <= last - first <= 20 else ""


def _write(name: str, declared: str) -> str:
    written = f"{_safe(name)} {declared if len(declared) <= 80 else 'text'}".replace("'", '"')
    return f"write output_schema = '{written}'"


def _choice(name: str, kind: str, value: Any) -> Any:
    """Return one of the values of a field, with its type."""
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            value = int(value) if kind == "integer" else float(value)
        except ValueError:
            listed = _range(value) if kind == "integer" else ""
            instead = f": {_write(name, f'{kind} in {listed}')}" if listed else ""
            raise BadValue(f"gives the field '{name}' the value {shown(value)}, which is no {kind}{instead}") from None
    fits = {
        "integer": whole(value) is not None, "number": is_number(value),
    }.get(kind, isinstance(value, str) and bool(value))  # fmt: skip
    if not fits:
        raise BadValue(f"gives the field '{name}' a value that is no {'text' if kind == 'list' else kind}")
    return value


def _unquoted(text: str, quotes: str = "'\"") -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in quotes:
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return text


def _safe(name: str) -> str:
    return name if _NAME.fullmatch(name) else "topic"
