"""Converts one value of a USING clause to the type of its argument; nothing else does.

MindsDB's parser refuses ``-1``, ``.5`` and ``1e-3``, and negative numbers inside lists and objects. So text is
accepted for numbers and booleans, and JSON text for lists and objects. A word without quotes arrives as a syntax
object of MindsDB, recognised by its class's name: nothing of MindsDB is imported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import one_line, redact
from .names import nearest
from .specs import ArgumentSpec
from .template import parse_template

#: How deep lists and objects may be nested.
MAX_DEPTH = 32
#: Characters of a text, or of a value as JSON.
MAX_LENGTH = 1_000_000
_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadValue(ValueError):
    """A value that its argument does not accept; the text follows the argument's name in a message.

    Args:
        advised: the text already says what to do, so no example is added.
    """

    def __init__(self, text: str, *, advised: bool = False) -> None:
        super().__init__(text)
        self.advised = advised or ": write " in text

    def with_example(self, spec: ArgumentSpec) -> BadValue:
        """Return an error that says what to do, with the argument's example if it does not say so yet."""
        if self.advised or not spec.example:
            return self
        return BadValue(f"{self}: write {spec.name} = {spec.example}")


def read_value(spec: ArgumentSpec, value: Any) -> Any:
    """Return ``value`` with the type of ``spec``.

    Raises:
        BadValue: with what it must be, and what it was (never for secrets).
    """
    value = _unwrapped(spec, value)
    kinds = spec.type.split(" or ")
    if len(kinds) == 1:
        return _READERS[spec.type](spec, value)
    for kind in sorted(kinds, key=_NARROW_FIRST.index):
        if kind == "list" and "text" in kinds and isinstance(value, str) and not value.lstrip().startswith("["):
            continue  # a comma in text does not make it a list
        try:
            return _READERS[kind](replace(spec, type=kind), value)
        except BadValue:
            continue
    raise BadValue(f"must be {_wanted(spec, kinds)}, not {shown(value)}")


def shown(value: Any) -> str:
    """Return ``value`` for a message: short, on one line, without tokens."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, float) or abs(value) < 10**24 else "a very large number"
    if isinstance(value, str):
        return f"'{one_line(redact(value[:200]), 40)}'"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "null" if value is None else f"a {type(value).__name__}"


def truth(value: Any) -> bool | None:
    """Return the boolean that a value of USING is: true, 1, yes or on, or their opposites, also in quotes.

    Returns:
        ``None``: it is none.
    """
    if type(value).__name__ == "Identifier":
        value = ".".join(map(str, value.parts))
    if isinstance(value, str):
        folded = value.strip().lower()
        return folded in _TRUE if folded in _TRUE | _FALSE else None
    return bool(value) if isinstance(value, int) and value in (0, 1) else None


def as_sql(value: Any) -> str:
    """Return ``value`` as it is written in USING."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, str) and "," not in one for one in value):
        return as_sql(", ".join(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_sql(one) for one in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_sql(str(name))}: {as_sql(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


def _unwrapped(spec: ArgumentSpec, value: Any) -> Any:
    """Return the value that a syntax object of MindsDB holds; a word without quotes has none."""
    kind = type(value).__name__
    if kind == "Constant" and hasattr(value, "value"):
        return value.value
    if kind == "Identifier":
        parts = [str(part) for part in getattr(value, "parts", [])]
        if {*spec.type.split(" or ")} <= {"number", "integer", "boolean"}:
            return ".".join(parts)  # quotes would not help
        word = f"'{one_line(redact('.'.join(parts)), 40)}'" if parts and not spec.secret else spec.example or "'…'"
        raise BadValue(f"needs quotes: write {spec.name} = {word}")
    return value


def _wanted(spec: ArgumentSpec, kinds: Sequence[str]) -> str:
    """Return what an argument with several types accepts, in words."""
    words = [_WORDS[kind] for kind in kinds if not (kind == "text" and spec.choices)]
    return ", or ".join([*words, *([_one_of(spec.choices)] if spec.choices else [])])


def _one_of(choices: Sequence[str]) -> str:
    quoted = [f"'{choice}'" for choice in choices]
    return " or ".join(quoted) if len(quoted) < 3 else f"one of {', '.join(quoted)}"


# --- texts -----------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Return ``text``. Raises ``BadValue`` if no database or request could contain it."""
    if len(text) > MAX_LENGTH:
        raise BadValue(f"must have at most {MAX_LENGTH:,} characters")
    if "\0" in text or _SURROGATE.search(text):
        raise BadValue("contains characters that are not valid text")
    return text


def _text(spec: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be {_one_of(spec.choices) if spec.choices else 'text in quotes'}, not {shown(value)}")
    if not clean(value).strip():
        raise BadValue("must not be empty")
    if not spec.choices:
        return value
    folded = value.strip().lower()
    known = {choice.lower(): choice for choice in spec.choices}
    if folded not in known:
        near = nearest(folded, known)
        hint = f": write {spec.name} = '{known[near]}'" if near else ""
        raise BadValue(f"must be {_one_of(spec.choices)}, not {shown(value)}{hint}")
    return known[folded]


def _secret(spec: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("must be text in quotes")
    return check_token(value)


def check_token(token: str) -> str:
    """Return ``token`` without white space around it; it is never part of a message.

    Raises:
        BadValue: it contains what no header can contain.
    """
    token = token.strip()
    if len(token) > 4096 or not all("!" <= character <= "~" for character in token):
        raise BadValue("contains spaces, quotes or other characters that a token cannot contain")
    return token


def _column(spec: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be the name of a column in quotes, not {shown(value)}")
    if not clean(value).strip():
        raise BadValue("must be the name of a column")
    braces = re.fullmatch(r"\s*\{\{([^{}]+)\}\}\s*", value)
    if braces:
        raise BadValue(f"must be the name of a column without braces: write {spec.name} = '{braces[1].strip()}'")
    return value


def _template(spec: ArgumentSpec, value: Any) -> str:
    text = _text(spec, value)
    try:
        template = parse_template(text)
    except ValueError as error:
        raise BadValue(str(error)) from None
    if not template.columns:
        single = re.search(r"\{([^{}]+)\}", text)
        hint = f"'… {{{{{single[1].strip()}}}}}'" if single else spec.example
        raise BadValue(f"contains no column in double braces: write {spec.name} = {hint}")
    return text


def _url(spec: ArgumentSpec, value: Any) -> str:
    return _text(spec, value).strip()


# --- numbers and booleans --------------------------------------------------------------------


def _integer(spec: ArgumentSpec, value: Any) -> Any:
    number = _numeric(spec, value)  # whole numbers stay whole
    if isinstance(number, float):
        if not number.is_integer():
            raise BadValue(f"must be {_bounds(spec)}, not {shown(value)}")
        number = int(number)
    return _within(spec, number, value)


def _number(spec: ArgumentSpec, value: Any) -> Any:
    return _within(spec, _numeric(spec, value), value)


def _numeric(spec: ArgumentSpec, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue(f"must be {_bounds(spec)}, not {shown(value)}")
    return check_number(_parsed(spec, value) if isinstance(value, str) else value)


def _parsed(spec: ArgumentSpec, text: str) -> Any:
    text = text.strip()
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        raise BadValue(f"must be {_bounds(spec)}, not {shown(text)}")
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text)


def check_number(value: Any) -> Any:
    """Return a number that JSON and the host's database can represent.

    Raises:
        BadValue: for NaN, infinities and whole numbers beyond 64 bits.
    """
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadValue("must be a number that fits into 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("must be a finite number")
    return value


def _within(spec: ArgumentSpec, number: Any, value: Any) -> Any:
    check_number(number)
    too_low = spec.least is not None and number < spec.least
    not_above = spec.above is not None and number <= spec.above
    too_high = spec.most is not None and number > spec.most
    if too_low or not_above or too_high:
        raise BadValue(f"must be {_bounds(spec)}, not {shown(value)}")
    return number


def _bounds(spec: ArgumentSpec) -> str:
    kind = _WORDS["integer" if spec.type == "integer" else "number"]
    most = None if spec.most is None else f"{spec.most:g}" if spec.most < 10**6 else f"{spec.most:,.0f}"
    if spec.above is not None:
        return f"{kind} above {spec.above:g}" + (f", at most {most}" if most else "")
    if spec.least is not None:
        return f"{kind} from {spec.least:g} to {most}" if most else f"{kind} of at least {spec.least:g}"
    return kind


def _boolean(spec: ArgumentSpec, value: Any) -> bool:
    found = truth(value)
    if found is not None:
        return found
    raise BadValue(f"must be {_WORDS['boolean']}, not {shown(value)}")


# --- lists and objects -----------------------------------------------------------------------


def _list(spec: ArgumentSpec, value: Any) -> list[Any]:
    """Return a list, from a list, JSON text or, for texts, text with commas."""
    of_texts = spec.items in ("name", "text")
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            value = _json_text(value)
        elif spec.items == "text" and value and "," not in value:
            value = [value]  # as it is: white space ends texts, too
        elif of_texts and value.strip():
            value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        other = "text with commas" if of_texts else "JSON text of one"
        raise BadValue(f"must be a list, or {other}, not {shown(value)}")
    if not of_texts:
        item = ArgumentSpec(spec.name, spec.items, "")
        try:
            return [_READERS[spec.items](item, one) for one in value]
        except BadValue as fault:
            raise BadValue(f"has an item that {fault}") from None
    items = [_item(one) for one in value]
    if spec.items == "name":
        items = [one.strip() for one in items if one.strip()]
        if not items:
            raise BadValue("must not be empty")
    return items


def _item(item: Any) -> str:
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        raise BadValue(f"must be a list of texts, but it contains {shown(item)}")
    return clean(item) if isinstance(item, str) else str(check_number(item))


def _columns(spec: ArgumentSpec, value: Any) -> list[str]:
    return check_unique(_list(spec, value))


def check_unique(names: list[str]) -> list[str]:
    """Return ``names``. Raises ``BadValue`` if one is repeated."""
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise BadValue(f"lists {shown(repeated)} twice: write it once")
    return names


def _object(spec: ArgumentSpec, value: Any) -> dict[str, Any]:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        value = _json_text(value)
    if not isinstance(value, Mapping):
        raise BadValue(f"must be {_WORDS['object']}, not {shown(value)}")
    checked: dict[str, Any] = plain_json(value)
    return checked


def _any(spec: ArgumentSpec, value: Any) -> Any:
    return plain_json(value)


def _json_text(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise BadValue(f"must have at most {MAX_LENGTH:,} characters")
    try:
        return json.loads(text)
    except RecursionError:
        raise BadValue(f"must not be nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise BadValue(f"contains invalid JSON, {shown(text)}") from None


def plain_json(value: Any) -> Any:
    """Return ``value`` as new JSON-ready lists, objects and scalars.

    Raises:
        BadValue: nested deeper than ``MAX_DEPTH``, longer than ``MAX_LENGTH`` as JSON, with numbers
            or texts that JSON or the host's database cannot represent, or with anything else inside.
    """
    copied = _plain(value, 1)
    if len(json.dumps(copied, ensure_ascii=False)) > MAX_LENGTH:
        raise BadValue(f"must have at most {MAX_LENGTH:,} characters as JSON")
    return copied


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, (int, float)):
        try:
            return check_number(value)
        except BadValue:
            raise BadValue("contains a number that is not finite, or does not fit into 64 bits") from None
    if depth > MAX_DEPTH:
        raise BadValue(f"must not be nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise BadValue("must have text keys")
        return {clean(name): _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    if type(value).__name__ == "Identifier":
        raise BadValue("contains a word without quotes: write it in quotes")
    raise BadValue(f"contains {shown(value)}, which JSON cannot represent")


_READERS: Mapping[str, Callable[[ArgumentSpec, Any], Any]] = {
    "any": _any,
    "boolean": _boolean,
    "column": _column,
    "columns": _columns,
    "integer": _integer,
    "list": _list,
    "number": _number,
    "object": _object,
    "secret": _secret,
    "template": _template,
    "text": _text,
    "url": _url,
}
#: The order in which several types of one argument are tried.
_NARROW_FIRST = ("boolean", "integer", "number", "object", "list", "text", "any")
_WORDS: Mapping[str, str] = {
    "boolean": "true or false", "integer": "a whole number", "number": "a number",
    "object": "an object, or JSON text of one", "list": "a list", "text": "text in quotes", "any": "a value",
}  # fmt: skip
