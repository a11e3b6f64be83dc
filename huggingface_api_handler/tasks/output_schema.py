"""``output_schema``: the fields that a language model fills, each a typed column.

A schema is read from text, ``'topic text, urgent boolean, mood text in (good, bad)'``, or from an object of field →
type or ``{"type", "description", "enum"}``. It is stored as the object. From it follow the JSON schema and the
instruction of a request, the validation of an answer, and the cells of its columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .shapes import is_number, plain, whole
from .task import Arguments, Scalar

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

#: Type of a field → its JSON schema, without NULL.
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "list": {"type": "array", "items": {"type": "string"}},
}
TYPES = tuple(_SCHEMAS)
#: Type of a field → of its values in Python.
_PYTHON: Mapping[str, Any] = {
    "text": str, "integer": int, "number": (int, float), "boolean": bool, "date": str, "datetime": str, "list": list,
}  # fmt: skip
#: SQL's and JSON's names of the types.
_SYNONYMS: Mapping[str, str] = {
    "string": "text", "varchar": "text", "int": "integer", "bigint": "integer", "float": "number", "double": "number",
    "decimal": "number", "numeric": "number", "real": "number", "bool": "boolean", "timestamp": "datetime",
    "array": "list",
}  # fmt: skip
#: What a field must be, in messages.
_WORDS: Mapping[str, str] = {
    "text": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "date": "a date like 2025-01-31", "datetime": "a date and time like 2025-01-31T09:30:00", "list": "a list of texts",
}  # fmt: skip
#: Types whose values may be limited with ``in (…)``.
_WITH_CHOICES = ("text", "integer", "number", "list")
#: Characters of the values of a field, in messages.
_MAX_LISTED = 120
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
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATETIME = re.compile(r"(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?", re.I)


class NotValid(ValueError):
    """An answer that does not fit a schema; its text says why, and follows "the answer does not fit: "."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema; its value may always be NULL.

    Attributes:
        choices: the only values, or items of a list, that are accepted; empty: all.
    """

    name: str
    type: str
    choices: tuple[Any, ...] = ()
    description: str = ""

    @property
    def json_schema(self) -> dict[str, Any]:
        """What a JSON schema says of the field."""
        made: dict[str, Any] = dict(_SCHEMAS[self.type])
        if self.type == "list" and self.choices:
            made["items"] = {**made["items"], "enum": list(self.choices)}
        elif self.choices:
            made["enum"] = [*self.choices, None]
        made["type"] = [made["type"], "null"]
        return {**made, "description": self.description} if self.description else made

    @property
    def stored(self) -> dict[str, Any]:
        """The field as it is stored with a model."""
        enum = {"enum": list(self.choices)} if self.choices else {}
        return {"type": self.type, **enum, **({"description": self.description} if self.description else {})}

    @property
    def meaning(self) -> str:
        """The field in words, for people."""
        words = self.description or "a field of output_schema"
        return f"{words}; one of {', '.join(map(str, self.choices))}" if self.choices else words

    @property
    def wanted(self) -> str:
        """What the value must be, in messages."""
        if not self.choices:
            return f"{_WORDS[self.type]} or null"
        listed = json.dumps(list(self.choices), ensure_ascii=False)[1:-1]
        listed = listed if len(listed) <= _MAX_LISTED else f"{listed[:_MAX_LISTED]}…"
        return f"a list of {listed}, or null" if self.type == "list" else f"one of {listed}, or null"

    def cell(self, value: Any) -> Scalar:
        """Return a valid value as the cell of its column: a list as JSON text.

        Raises:
            NotValid: a value of another type.
        """
        if value is None:
            return None
        if not isinstance(value, _PYTHON[self.type]) or isinstance(value, bool) != (self.type == "boolean"):
            raise NotValid(f"the field '{self.name}' is not {_WORDS[self.type]}")
        if self.type == "list":
            return json.dumps(value, ensure_ascii=False)
        return float(value) if self.type == "number" else value


@dataclass(frozen=True)
class OutputSchema:
    """The fields of an answer, in order."""

    fields: tuple[Field, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, which are the names of the columns."""
        return tuple(field.name for field in self.fields)

    @property
    def stored(self) -> dict[str, Any]:
        """The schema as it is stored with a model, and in the cache key."""
        return {field.name: field.stored for field in self.fields}

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The strict JSON schema of an answer: all fields, no others."""
        return {
            "type": "object",
            "properties": {field.name: field.json_schema for field in self.fields},
            "required": list(self.names),
            "additionalProperties": False,
        }

    @cached_property
    def instruction(self) -> str:
        """What a prompt says about the form of the answer.

        It is sent with a JSON schema as well: most servers hold the model to the schema without showing it.
        """
        properties = {"properties": self.json_schema["properties"]}
        return (
            "Answer with one JSON object that has all of these properties, and with nothing else. "
            "A property that the text does not tell is null.\n"
            + json.dumps(properties, ensure_ascii=False, separators=(",", ":"))
        )

    def validated(self, found: Any) -> dict[str, Any]:
        """Return an answer with the fields in order, without others; 5.0 as a whole number is 5.

        Raises:
            NotValid: a field is missing, or has a value of another type; nothing is converted.
        """
        if not isinstance(found, Mapping):
            raise NotValid("it is not a JSON object")
        known = {name: found[name] for name in self.names if name in found}
        missing = [name for name in self.names if name not in known]
        if missing:
            listed = ", ".join(f"'{name}'" for name in missing[:5]) + (", …" if missing[5:] else "")
            raise NotValid(f"the fields {listed} are missing" if missing[1:] else f"the field {listed} is missing")
        error = next(iter(sorted(self._validator.iter_errors(known), key=lambda one: list(map(str, one.path)))), None)
        if error is not None:
            raise NotValid(self._fault(error))
        return {field.name: _exact(field, known[field.name]) for field in self.fields}

    def cells(self, target: Any) -> list[Scalar]:
        """Return the cells of the columns for a target, which is JSON text; all NULL if the target is NULL.

        The text was validated before it was stored, so only the types of its values are looked at here.

        Raises:
            NotValid: the text is no answer; it comes from a cache that others may write to.
        """
        if target is None:
            return [None] * len(self.fields)
        try:
            found = json.loads(str(target))
            return [field.cell(found[field.name]) for field in self.fields]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise NotValid("it is not an answer of this schema") from error

    @cached_property
    def _validator(self) -> Validator:
        import jsonschema

        formats = jsonschema.FormatChecker(formats=())
        formats.checks("date", raises=ValueError)(_is_date)
        formats.checks("date-time", raises=ValueError)(_is_datetime)
        made: Validator = jsonschema.Draft202012Validator(self.json_schema, format_checker=formats)
        return made

    def _fault(self, error: ValidationError) -> str:
        field = next(one for one in self.fields if one.name == error.path[0])
        where = f"item {int(error.path[1]) + 1} of the field" if len(error.path) > 1 else "the field"
        return f"{where} '{field.name}' is {_shown(error.instance)}, and must be {field.wanted}"


def output_schema(args: Arguments) -> OutputSchema | None:
    """Return the schema that an answer must fit, if there is one."""
    stored = args.values.get("output_schema")
    return None if stored is None else restored(stored)


def restored(stored: Mapping[str, Any]) -> OutputSchema:
    """Return a schema from what ``OutputSchema.stored`` gave."""
    return _restored(json.dumps(stored))


@lru_cache(maxsize=64)
def _restored(stored: str) -> OutputSchema:
    return read_schema(json.loads(stored))


# --- reading ---------------------------------------------------------------------------------


def read_schema(given: str | Mapping[str, Any]) -> OutputSchema:
    """Read a schema from text or from an object.

    Names are columns as they are written. MindsDB compares them with the names of a query with or without case, so
    no two fields may differ in case alone.

    Raises:
        ValueError: with what is wrong; the text follows "output_schema ".
    """
    fields = _of_text(given) if isinstance(given, str) else _of_object(given)
    if not fields:
        raise ValueError("has no field")
    if len(fields) > MAX_FIELDS:
        raise ValueError(f"has {len(fields)} fields, and {MAX_FIELDS} is the most")
    names = [field.name.lower() for field in fields]
    repeated = next((field.name for field in fields if names.count(field.name.lower()) > 1), None)
    if repeated is not None:
        raise ValueError(f"has two fields named '{repeated}'")
    return OutputSchema(tuple(fields))


def _of_text(text: str) -> list[Field]:
    return [_field_of_text(part.strip()) for part in _split(text, _FIELD)]


def _split(text: str, part: re.Pattern[str]) -> list[str]:
    """Split at commas that are in no quotes and brackets."""
    parts: list[str] = []
    at = 0
    while at < len(text) or not parts:
        found = part.match(text, at)
        if found is None or (found.end() < len(text) and text[found.end()] != ","):
            broken = text[at if found is None else found.end() :].strip()
            raise ValueError(f"cannot be read from {_short(broken)}" if broken else "ends in a comma, or is empty")
        parts.append(found[0])
        at = found.end() + 1
    if at == len(text):
        raise ValueError("ends in a comma")
    return parts


def _field_of_text(part: str) -> Field:
    name, *rest = part.split(None, 1) or [part]
    if not rest and name:
        raise ValueError(f"has no type for the field {_short(name)}: {_write(name, 'text')}")
    if not rest:
        raise ValueError("has nothing where the name and the type of a field are expected")
    return _field(_unquoted(name, "'\"`"), rest[0])


def _of_object(given: Mapping[str, Any]) -> list[Field]:
    if isinstance(given.get("properties"), Mapping):
        raise ValueError(
            'must be an object of fields and their types, not a JSON schema: write {"topic": "text", "paid": "boolean"}'
        )
    return [_field_of_object(name, declared) for name, declared in given.items()]


def _field_of_object(name: str, declared: Any) -> Field:
    if isinstance(declared, str):
        return _field(name, declared)
    if not isinstance(declared, Mapping) or not isinstance(declared.get("type"), str):
        raise ValueError(f'has no type for the field {_short(name)}: write {{"{_safe(name)}": "text"}}')
    unknown = next((key for key in declared if key not in ("type", "description", "enum")), None)
    if unknown is not None:
        raise ValueError(
            f"has {_short(unknown)} for the field {_short(name)}, which takes type, description and enum: "
            f'write {{"{_safe(name)}": {{"type": "integer", "enum": [1, 2, 3]}}}}'
        )
    description, enum = declared.get("description"), declared.get("enum")
    if description is not None and (not isinstance(description, str) or len(description) > MAX_DESCRIPTION):
        raise ValueError(f"has a description of {_short(name)} that is no text of at most {MAX_DESCRIPTION} characters")
    if enum is not None and (isinstance(enum, str) or not isinstance(enum, Sequence)):
        raise ValueError(f"has an enum of {_short(name)} that is no list")
    return _field(name, declared["type"], enum, description or "")


def _field(name: str, declared: str, enum: Sequence[Any] | None = None, description: str = "") -> Field:
    if not _NAME.fullmatch(name):
        instead, found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_"), _TYPED.fullmatch(declared.strip())
        raise ValueError(
            f"has a field {_short(name)}, and the name of a field has letters, digits and _ only, at most 63 of them: "
            f"{_write(instead, declared if found and _type(found[1]) else 'text')}"
        )
    found = _TYPED.fullmatch(declared.strip())
    kind = _type(found[1]) if found else None
    if found is None or kind is None:
        raise ValueError(_type_fault(name, declared.strip()))
    listed = [_unquoted(one.strip()) for one in _split(found[2], _CHOICE)] if found[2] is not None else None
    choices = tuple(dict.fromkeys(_choice(name, kind, one) for one in (listed if enum is None else enum) or ()))
    given = listed is not None or enum is not None
    if given and (kind not in _WITH_CHOICES or not 1 <= len(choices) <= MAX_CHOICES):
        allowed = f"from 1 to {MAX_CHOICES} values" if kind in _WITH_CHOICES else "no list of values"
        instead = "" if kind in _WITH_CHOICES else f": {_write(name, kind)}"
        raise ValueError(f"gives the field '{name}' {len(choices)} values, and {kind} takes {allowed}{instead}")
    return Field(name, kind, choices, description.strip())


def _type(word: str) -> str | None:
    """Return the type that a word names; ``None``: it names none."""
    kind = _SYNONYMS.get(word.lower(), word.lower())
    return kind if kind in _SCHEMAS else None


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
        return f"gives the field '{name}' the type {_short(declared)}, and types are {types}: {_write(name, meant)}"
    if rest.startswith(";"):
        meant = f"{word}, {rest[1:].strip()}"
        return f"has ; after the field '{name}', and fields are separated by commas: {_write(name, meant)}"
    meant = _range(rest) if kind == "integer" else _list(rest) if kind in _WITH_CHOICES else ""
    if rest == "[]":
        return (
            f"gives the field '{name}' the type {_short(declared)}, and a list of texts is list: {_write(name, 'list')}"
        )
    follows = "only in (…), with all allowed values," if kind in _WITH_CHOICES else "nothing"
    return (
        f"has {_short(rest)} after the type of the field '{name}', and {follows} can follow it: "
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
    shown = f"{_safe(name)} {declared if len(declared) <= 80 else 'text'}".replace("'", '"')
    return f"write output_schema = '{shown}'"


def _choice(name: str, kind: str, value: Any) -> Any:
    """Return one of the values of a field, with its type."""
    if kind in ("integer", "number") and isinstance(value, str):
        try:
            value = int(value) if kind == "integer" else float(value)
        except ValueError:
            listed = _range(value) if kind == "integer" else ""
            instead = f": {_write(name, f'{kind} in {listed}')}" if listed else ""
            raise ValueError(
                f"gives the field '{name}' the value {_short(value)}, which is no {kind}{instead}"
            ) from None
    fits = {
        "integer": whole(value) is not None, "number": is_number(value),
    }.get(kind, isinstance(value, str) and bool(value))  # fmt: skip
    if not fits:
        raise ValueError(f"gives the field '{name}' a value that is no {'text' if kind == 'list' else kind}")
    return value


def _unquoted(text: str, quotes: str = "'\"") -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in quotes:
        return text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return text


def _safe(name: str) -> str:
    return name if _NAME.fullmatch(name) else "topic"


# --- values ----------------------------------------------------------------------------------


def _exact(field: Field, value: Any) -> Any:
    """Return a value that fits its JSON schema as it is stored.

    Raises:
        NotValid: for a number that no column can hold.
    """
    if field.type == "integer" and value is not None:
        value = int(value)
        if whole(value) is None:
            raise NotValid(f"the field '{field.name}' does not fit into 64 bits")
    elif field.type == "number" and value is not None and not is_number(value):
        raise NotValid(f"the field '{field.name}' is not a finite number")
    return plain(value)


def _is_date(value: Any) -> bool:
    if isinstance(value, str):
        if not _DATE.fullmatch(value):
            raise ValueError
        date.fromisoformat(value)
    return True


def _is_datetime(value: Any) -> bool:
    if isinstance(value, str):
        found = _DATETIME.fullmatch(value)
        if found is None:
            raise ValueError
        datetime.fromisoformat(found[1])
    return True


def _shown(value: Any) -> str:
    """Return a value for a message and for a repair request: its kind, and if it is short, itself."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return _short(value) if isinstance(value, str) else json.dumps(value)[:40]


def _short(text: str) -> str:
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"
