"""Values that fit a JSON schema and follow from a text."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from .fake_text import words

_MAX_DEPTH = 8


def instance(schema: Mapping[str, Any], text: str, choose: Callable[[Sequence[Any], str], Any]) -> Any:
    """Return a value that fits a JSON schema of the everyday kind, the same for the same text.

    Args:
        choose: picks one of an ``enum`` for a text.
    """
    return _Maker(schema, text, choose).value(schema, "", 0)


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return isinstance(kind, list) and "null" in kind


@dataclass(frozen=True)
class _Maker:
    root: Mapping[str, Any]
    text: str
    choose: Callable[[Sequence[Any], str], Any]

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > _MAX_DEPTH or (_may_be_null(schema) and self._is_denied(name)):
            return None
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.choose(schema["enum"], self.text)
        kind = self._type(schema)
        made: Callable[[Mapping[str, Any], str, int], Any] | None = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": self._boolean,
        }.get(kind)
        return made(schema, name, depth) if made else None

    def _is_denied(self, name: str) -> bool:
        """Return whether the text says that it does not have a property: "no stars"."""
        prop = name.rpartition(".")[2].replace("_", " ")
        return bool(prop) and re.search(rf"\bno {re.escape(prop)}\b", self.text, re.I) is not None

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        """Return a schema without references, and of alternatives the first that is not null."""
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return {}
            if isinstance(schema.get("$ref"), str):
                schema = self._target(schema["$ref"])
                continue
            several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if not several:
                return schema
            schema = next((one for one in several if one.get("type") != "null"), several[0])
        return {}

    def _target(self, reference: str) -> Any:
        found: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, Mapping) and step else found
        return found

    def _type(self, schema: Mapping[str, Any]) -> str:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        return next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else str(kind)

    def _chance(self, name: str) -> int:
        return zlib.crc32(f"{name}|{self.text}".encode("utf-8", "replace"))

    def _object(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        properties = schema.get("properties") or {}
        return {key: self.value(part, f"{name}.{key}", depth + 1) for key, part in properties.items()}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        count = max(int(schema.get("minItems", 1)), min(1, int(schema.get("maxItems", 1))))
        return [self.value(schema.get("items"), f"{name}[{index}]", depth + 1) for index in range(count)]

    def _string(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        if schema.get("format") in ("date", "date-time"):
            day = date(2025, 1, 1) + timedelta(days=self._chance(name) % 365)
            return f"{day.isoformat()}T09:30:00" if schema["format"] == "date-time" else day.isoformat()
        # Long words say most of what a text is about.
        longest = sorted(words(self.text) or ["nothing"], key=len, reverse=True)[:4]
        found = longest[self._chance(name) % len(longest)].ljust(int(schema.get("minLength", 0)), ".")
        return found[: int(schema.get("maxLength", len(found)))]

    def _integer(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        low = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        high = int(schema.get("maximum", schema.get("exclusiveMaximum", low + 10) - 1))
        return low + self._chance(name) % (high - low + 1)

    def _number(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 1)))
        # Never an end of the range, which may be excluded.
        return low + (high - low) * (1 + self._chance(name) % 998) / 999

    def _boolean(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        return self._chance(name) % 2 == 0
