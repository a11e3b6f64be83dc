"""``output_schema``: the fields that a language model fills, each a typed column.

From the fields follow the JSON schema and the instruction of a request, the validation of an answer, and the cells of
its columns. ``arguments.schema`` reads them from a statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from .shapes import int64, is_number, plain
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
#: What a field must be, in messages.
_WORDS: Mapping[str, str] = {
    "text": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "date": "a date like 2025-01-31", "datetime": "a date and time like 2025-01-31T09:30:00", "list": "a list of texts",
}  # fmt: skip
#: Characters of the values of a field, in messages.
_MAX_LISTED = 120
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
    return OutputSchema(
        tuple(
            Field(name, field["type"], tuple(field.get("enum", ())), field.get("description", ""))
            for name, field in json.loads(stored).items()
        )
    )


def _exact(field: Field, value: Any) -> Any:
    """Return a value that fits its JSON schema as it is stored.

    Raises:
        NotValid: for a number that no column can hold.
    """
    if field.type == "integer" and value is not None:
        value = int(value)
        if int64(value) is None:
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
    if isinstance(value, str):
        return f"'{value if len(value) <= 40 else value[:39] + '…'}'"
    return json.dumps(value)[:40]
