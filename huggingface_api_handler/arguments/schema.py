"""Reads ``output_schema`` as it is written in USING.

A schema is text, ``'topic text, urgent boolean, mood text in (good, bad)'``, or an object of field → type or
``{"type", "description", "enum"}``. It is stored as the object.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from ..tasks.output_schema import TYPES, Field, OutputSchema
from ..tasks.shapes import int64, is_number
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
_BEGUN = re.compile(r"(?:(?:in|one of)\b\s*\[?|\[)\s*['\"]?(\w+)", re.I)
#: Values between other signs than commas, and the words of a boolean.
_OR = re.compile(r"\s*(?:[/|;]|\bor\b)\s*", re.I)
_YES_OR_NO = ({"yes", "no"}, {"true", "false"}, {"y", "n"})
#: A remark behind a type.
_REMARK = re.compile(r"""(?:["'#(]|--|//)\W*([^\W\d][^,]*?\s\w[^,]*?)["')]?""", re.S)
#: A name in quotes, at the beginning of a field.
_QUOTED_NAME = re.compile(r"""(["'`])(.+?)\1\s*""")
_RANGE = re.compile(r"(-?\b[0-9]{1,4})\s*(?:and|to|-|–|\.\.+|…|,)\s*(-?[0-9]{1,4})\b", re.I)
_TYPED = re.compile(r"(\w+)(?:\s+in\s*\((.*)\))?", re.I | re.S)


def check_schema(given: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return ``output_schema`` as it is stored: field → type, and what else is known of it.

    Raises:
        BadValue: with what is wrong.
    """
    if isinstance(given, str) and given.lstrip().startswith("["):
        raise BadValue("must give each field a type, and a list does not")
    if isinstance(given, str) and given.lstrip().startswith("{"):
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
        if given.strip().startswith("(") and given.strip().endswith(")"):
            raise BadValue(f"must not be in brackets: {_write_text(given.strip()[1:-1])}")
        fields = _fields_of_text([part.strip() for part in _split(given, _FIELD)])
    else:
        fields = _of_object(given)
    if not fields:
        raise BadValue("has no field")
    if len(fields) > MAX_FIELDS:
        raise BadValue(f"has {len(fields)} fields, but the maximum is {MAX_FIELDS}")
    names = [field.name.lower() for field in fields]
    repeated = next((field.name for field in fields if names.count(field.name.lower()) > 1), None)
    if repeated is not None:
        raise BadValue(f"has two fields named '{repeated}': rename one of them", advised=True)
    return OutputSchema(tuple(fields))


def _split(text: str, part: re.Pattern[str]) -> list[str]:
    """Split at commas that are in no quotes and brackets."""
    parts: list[str] = []
    at = 0
    while at < len(text) or not parts:
        found = part.match(text, at)
        if found is None or (found.end() < len(text) and text[found.end()] != ","):
            broken = text[at if found is None else found.end() :].strip()
            raise BadValue(_unreadable(broken) if broken else "ends in a comma, or is empty")
        parts.append(found[0])
        at = found.end() + 1
    if at == len(text):
        raise BadValue("ends in a comma")
    return parts


def _unreadable(broken: str) -> str:
    if broken.startswith(","):
        return f"has a comma without a field before it, at {shown(broken)}"
    return f"has a bracket or a quote that is not closed, at {shown(broken)}"


def _fields_of_text(parts: list[str]) -> list[Field]:
    """Read fields; the refusal of one shows all of them if the others are right."""
    fields: list[Field] = []
    faults: dict[int, BadValue] = {}
    for place, part in enumerate(parts):
        try:
            fields.append(_field_of_text(part))
        except BadValue as fault:
            faults[place] = fault
    if not faults:
        return fields
    place, first = next(iter(faults.items()))
    said, _, instead = str(first).partition(_WRITE)
    whole = ", ".join([*parts[:place], instead.removesuffix("'"), *parts[place + 1 :]])
    if len(faults) > 1 or not instead or len(whole) > _LONGEST:
        raise first
    raise BadValue(f"{said}: {_write_text(whole)}")


def _field_of_text(part: str) -> Field:
    quoted = _QUOTED_NAME.match(part)
    name, *rest = [quoted[2], part[quoted.end() :]] if quoted else part.split(None, 1) or [part]
    if name and not (rest and rest[0]):
        raise BadValue(
            f"has no type for the field {shown(name)}: {_write(*(('topic', name) if _type(name) else (name, 'text')))}"
        )
    if not rest:
        raise BadValue("has nothing where the name and the type of a field are expected")
    return _field(name, rest[0])


def _of_object(given: Mapping[str, Any]) -> list[Field]:
    if isinstance(given.get("properties"), Mapping):
        raise BadValue(
            'must be an object of fields and their types, not a JSON schema: write {"topic": "text", "paid": "boolean"}'
        )
    return [_field_of_object(name, declared) for name, declared in given.items()]


def _field_of_object(name: str, declared: Any) -> Field:
    if isinstance(declared, str):
        if len(declared.split()) > 2 and not any(_type(word) for word in declared.split()):
            raise BadValue(f"has no type for the field {shown(name)}: {_described(name, 'text', declared)}")
        return _field(name, declared)
    listed = declared.get("enum") if isinstance(declared, Mapping) else declared
    if isinstance(listed, list) and not (isinstance(declared, Mapping) and "type" in declared):
        raise BadValue(
            f"has no type for the field {shown(name)}: "
            f'write {{"{_safe(name)}": {{"type": "text", "enum": {_short(listed, ["a", "b"])}}}}}'
        )
    if isinstance(declared, Mapping) and declared and "type" not in declared and "description" not in declared:
        inner = _safe(str(next(iter(declared))))
        raise BadValue(
            f"has fields inside the field {shown(name)}, and fields cannot be nested: "
            f'write {{"{_safe(name)}_{inner}": "text"}}'
        )
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
        found = _TYPED.fullmatch(declared.strip())
        raise BadValue(
            f"has a field {shown(name)}, and the name of a field has letters, digits and _ only, at most 63 of them: "
            f"{_write(_as_name(name), declared if found and _type(found[1]) else 'text')}"
        )
    found = _TYPED.fullmatch(declared.strip())
    kind = _type(found[1]) if found else None
    if found is None or kind is None:
        raise BadValue(_type_fault(name, declared.strip()))
    listed = None if found[2] is None else _listed(name, kind, found[2])
    choices = tuple(dict.fromkeys(_choice(name, kind, one) for one in (listed if enum is None else enum) or ()))
    given = listed is not None or enum is not None
    if given and (kind not in _WITH_CHOICES or not 1 <= len(choices) <= MAX_CHOICES):
        allowed = f"from 1 to {MAX_CHOICES} values" if kind in _WITH_CHOICES else "no list of values"
        instead = "" if kind in _WITH_CHOICES and choices else f": {_write(name, kind)}"
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
    alternatives = _alternatives(declared)
    if kind is None and alternatives:
        return f"has no type for the field '{name}': {_write(name, alternatives)}"
    if kind is None and _several(declared) and not _BEGUN.match(declared):
        return _name_fault(name, declared)
    if kind is None:
        near = next(iter(get_close_matches(word.lower(), [*TYPES, *_SYNONYMS], n=1)), "text")
        meant = f"text in {rest}" if _LISTED.fullmatch(rest) else str(_type(near))
        if _RANGE.fullmatch(declared):
            meant = f"integer in {_range(declared)}" if _range(declared) else "integer"
        elif _BEGUN.match(declared):
            meant = f"text in {_list(declared)}"
        types = ", ".join(TYPES)
        return f"gives the field '{name}' the type {shown(declared)}, and types are {types}: {_write(name, meant)}"
    if rest.startswith(";"):
        meant = f"{word}, {rest[1:].strip()}"
        return f"has ; after the field '{name}', and fields are separated by commas: {_write(name, meant)}"
    next_field = re.fullmatch(r"(?!of\b|or\b|as\b)([a-z_]\w*)\s+(\w+)", rest, re.I)
    if next_field and _type(next_field[2]):
        meant = f"{kind}, {next_field[1]} {next_field[2]}"
        return f"has no comma after the field '{name}': {_write(name, meant)}"
    remark = _REMARK.fullmatch(rest)
    if remark:
        return (
            f"has {shown(rest)} after the type of the field '{name}', and a description has its own place: "
            f"{_described(name, kind, remark[1])}"
        )
    alternatives = _alternatives(re.sub(r"^(in\b|:)\s*", "", rest, flags=re.I)) if kind == "text" else ""
    if alternatives.startswith("text"):
        return f"has {shown(rest)} after the type of the field '{name}': {_write(name, alternatives)}"
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


_WRITE = ": write output_schema = '"
#: Characters of a schema that a message shows.
_LONGEST = 160


def _write(name: str, declared: str) -> str:
    return _write_text(f"{_safe(name)} {declared if len(declared) <= 80 else 'text'}")


def _write_text(schema: str) -> str:
    if len(schema) > _LONGEST:
        schema = "topic text, urgent boolean"
    return _WRITE[2:-1] + "'" + schema.replace("'", '"') + "'"


def _described(name: str, kind: str, description: str) -> str:
    field = {_safe(name): {"type": kind, "description": description.strip()[:80]}}
    return f"write output_schema = {json.dumps(field, ensure_ascii=False)}"


def _short(values: list[Any], otherwise: list[Any]) -> str:
    text = json.dumps(values, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else json.dumps(otherwise)


def _as_name(words: str) -> str:
    """Return words as the name of a field."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return re.sub(r"\W+", "_", plain).strip("_")[:63].rstrip("_")


def _several(declared: str) -> bool:
    return len(declared.split()) > 1 and "(" not in declared


def _name_fault(name: str, declared: str) -> str:
    """Return what is wrong with several words in place of a name and a type."""
    *words, last = f"{name} {declared}".split()
    kind = _type(last.strip("'\"?"))
    if kind is None:
        words, kind = [*words, last], "boolean" if last.endswith("?") else "text"
    while len(words) > 1 and words[-1].lower() in ("as", "=", ":", "optional", "of", "type"):
        words.pop()
    phrase = " ".join(words)
    if len(words) == 1:
        return f"has {shown(declared)} in place of the type of the field '{name}': {_write(_as_name(phrase), kind)}"
    return f"has the words {shown(phrase)} in place of the name of a field: {_write(_as_name(phrase), kind)}"


def _alternatives(text: str) -> str:
    """Return the type of ``yes/no``, ``good or bad`` and the like; empty: it names no values."""
    values = _OR.split(text)
    if len(values) < 2 or not all(re.fullmatch(r"\w[\w -]{0,30}", value) for value in values) or _type(values[0]):
        return ""
    if {value.lower() for value in values} in _YES_OR_NO:
        return "boolean"
    return f"text in ({', '.join(values)})"


def _listed(name: str, kind: str, text: str) -> list[str]:
    """Return the values between the brackets of ``in (…)``."""
    values = [one.strip() for one in _split(text, _CHOICE)] if text.strip() else []
    meant = _alternatives(text.strip()) if len(values) == 1 and kind == "text" else ""
    if meant:
        meant = f"text in ({', '.join(_OR.split(text.strip()))})"
        raise BadValue(
            f"gives the field '{name}' one value, {shown(values[0])}, and values are separated by commas: "
            f"{_write(name, meant)}"
        )
    return [_unquoted(one) for one in values]


def _choice(name: str, kind: str, value: Any) -> Any:
    """Return one of the values of a field, with its type."""
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            value = int(value) if kind == "integer" else float(value)
        except ValueError:
            listed = (_range(value) if kind == "integer" else "") or "(1, 2, 3)"
            raise BadValue(
                f"gives the field '{name}' the value {shown(value)}, which is no {kind}: "
                f"{_write(name, f'{kind} in {listed}')}"
            ) from None
    fits = {
        "integer": int64(value) is not None, "number": is_number(value),
    }.get(kind, isinstance(value, str) and bool(value))  # fmt: skip
    if not fits:
        raise BadValue(f"gives the field '{name}' a value that is no {'text' if kind == 'list' else kind}")
    return value


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return text


def _safe(name: str) -> str:
    return name if _NAME.fullmatch(name) else "topic"
