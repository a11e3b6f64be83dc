"""One value of a USING clause → what its argument's form asks for.

SQL carries less than arguments need: MindsDB's parser refuses ``-1``, ``.5`` and ``1e-3``, and
negative numbers inside lists and objects. So every number and boolean is also taken as text,
every list and object also as JSON text. A bare word arrives as a syntax object of MindsDB,
known here by its class's name: nothing of MindsDB is imported.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import one_line, redact
from .names import nearest
from .specs import ArgumentSpec
from .template import parse_template

#: How deep lists and objects may stand in one another.
DEEPEST = 32
#: Characters of a text, or of a value as JSON.
LONGEST = 1_000_000
_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadValue(ValueError):
    """A value that its argument cannot be; the text follows the argument's name in a message.

    Args:
        advised: the text says what to do, so that no example is put behind it.
    """

    def __init__(self, text: str, *, advised: bool = False) -> None:
        super().__init__(text)
        self.advised = advised or ": write " in text

    def with_example(self, form: ArgumentSpec) -> BadValue:
        """Return a fault that says what to do, by the form's example if not already."""
        if self.advised or not form.example:
            return self
        return BadValue(f"{self}: write {form.name} = {form.example}")


def read_value(form: ArgumentSpec, value: Any) -> Any:
    """Return ``value`` as ``form`` asks for it.

    Raises:
        BadValue: with what it must be, and what it was (never for secrets).
    """
    return _READERS[form.type](form, _unwrapped(form, value))


def shown(value: Any) -> str:
    """Return ``value`` for a message: short, on one line, without tokens."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value) if isinstance(value, float) or abs(value) < 10**24 else "an endless number"
    if isinstance(value, str):
        return f"'{one_line(redact(value[:200]), 40)}'"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "null" if value is None else f"a {type(value).__name__}"


def as_sql(value: Any) -> str:
    """Return ``value`` as it would be written in USING."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, str) and "," not in one for one in value):
        return as_sql(", ".join(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_sql(one) for one in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_sql(str(name))}: {as_sql(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


def _unwrapped(form: ArgumentSpec, value: Any) -> Any:
    """Return what a syntax object of MindsDB stands for; a bare word stands for nothing."""
    kind = type(value).__name__
    if kind == "Constant" and hasattr(value, "value"):
        return value.value
    if kind == "Identifier":
        parts = [str(part) for part in getattr(value, "parts", [])]
        word = f"'{one_line(redact('.'.join(parts)), 40)}'" if parts and not form.secret else form.example or "'…'"
        raise BadValue(f"is a bare word: write it in quotes, {form.name} = {word}")
    return value


# --- texts -----------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Return ``text``. Raises ``BadValue`` where no database or request could carry it."""
    if len(text) > LONGEST:
        raise BadValue(f"must have at most {LONGEST:,} characters")
    if "\0" in text or _SURROGATE.search(text):
        raise BadValue("holds characters that are no text")
    return text


def _text(form: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be text in quotes, not {shown(value)}")
    if not clean(value).strip():
        raise BadValue("must not be empty")
    if form.choices:
        folded = value.strip().lower()
        known = {choice.lower(): choice for choice in form.choices}
        if folded not in known:
            near = nearest(folded, known)
            listed = (" or " if len(known) < 3 else ", ").join(f"'{choice}'" for choice in form.choices)
            listed = listed if len(known) < 3 else f"one of {listed}"
            hint = f": write {form.name} = '{known[near]}'" if near else ""
            raise BadValue(f"must be {listed}, not {shown(value)}{hint}")
        return known[folded]
    return value


def _secret(form: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("must be text in quotes")
    return check_token(value)


def check_token(token: str) -> str:
    """Return ``token`` without white space around it; it is never part of a message.

    Raises:
        BadValue: where it holds what no header can carry.
    """
    token = token.strip()
    if len(token) > 4096 or not all("!" <= character <= "~" for character in token):
        raise BadValue("holds spaces, quotes or other characters that no token has")
    return token


def _column(form: ArgumentSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue(f"must be the name of a column in quotes, not {shown(value)}")
    if not clean(value).strip():
        raise BadValue("must be the name of a column")
    return value


def _template(form: ArgumentSpec, value: Any) -> str:
    text = _text(form, value)
    try:
        template = parse_template(text)
    except ValueError as error:
        raise BadValue(str(error)) from None
    if not template.columns:
        single = re.search(r"\{([^{}]+)\}", text)
        hint = f"'… {{{{{single[1].strip()}}}}}'" if single else form.example
        raise BadValue(f"names no column in double braces: write {form.name} = {hint}")
    return text


# --- numbers and booleans --------------------------------------------------------------------


def _integer(form: ArgumentSpec, value: Any) -> Any:
    number = _numeric(form, value)  # whole numbers stay whole
    if isinstance(number, float):
        if not number.is_integer():
            raise BadValue(f"must be {_bounds(form)}, not {shown(value)}")
        number = int(number)
    return _within(form, number, value)


def _number(form: ArgumentSpec, value: Any) -> Any:
    return _within(form, _numeric(form, value), value)


def _numeric(form: ArgumentSpec, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValue(f"must be {_bounds(form)}, not {shown(value)}")
    if isinstance(value, str):
        return _spelt(form, value)
    return check_number(value)


def _spelt(form: ArgumentSpec, text: str) -> Any:
    text = text.strip()
    if len(text) > 64 or not _NUMBER.fullmatch(text):
        raise BadValue(f"must be {_bounds(form)}, not {shown(text)}")
    return check_number(int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else float(text))


def check_number(value: Any) -> Any:
    """Return a number that JSON and the host's database can carry.

    Raises:
        BadValue: for NaN, infinities and whole numbers beyond 64 bits.
    """
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise BadValue("must be a number that fits into 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadValue("must be a finite number")
    return value


def _within(form: ArgumentSpec, number: Any, value: Any) -> Any:
    check_number(number)
    low = form.least is not None and number < form.least
    shut = form.above is not None and number <= form.above
    high = form.most is not None and number > form.most
    if low or shut or high:
        raise BadValue(f"must be {_bounds(form)}, not {shown(value)}")
    return number


def _bounds(form: ArgumentSpec) -> str:
    kind = "a whole number" if form.type == "integer" else "a number"
    most = None if form.most is None else f"{form.most:g}" if form.most < 10**6 else f"{form.most:,.0f}"
    if form.above is not None:
        return f"{kind} above {form.above:g}" + (f", at most {most}" if most else "")
    if form.least is not None:
        return f"{kind} from {form.least:g} to {most}" if most else f"{kind} of at least {form.least:g}"
    return kind


def _boolean(form: ArgumentSpec, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    folded = value.strip().lower() if isinstance(value, str) else ""
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise BadValue(f"must be true or false, not {shown(value)}")


# --- lists and objects -----------------------------------------------------------------------


def _list(form: ArgumentSpec, value: Any) -> list[str]:
    """Return a list of texts, out of a list, JSON text or text with commas."""
    if isinstance(value, str):
        value = _json_text(value) if value.lstrip().startswith("[") else value.split(",")
    if not isinstance(value, (list, tuple)):
        raise BadValue(f"must be a list, or text with commas, not {shown(value)}")
    items: list[str] = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, (str, int, float)):
            raise BadValue(f"must be a list of texts; {shown(item)} is none")
        text = clean(item).strip() if isinstance(item, str) else str(check_number(item))
        if text:
            items.append(text)
    if not items:
        raise BadValue("must not be empty")
    return items


def _columns(form: ArgumentSpec, value: Any) -> list[str]:
    names = _list(form, value)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadValue(f"names {shown(twice)} twice: write it once")
    return names


def _object(form: ArgumentSpec, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _json_text(value)
    if not isinstance(value, Mapping):
        raise BadValue(f"must be an object, or JSON text of one, not {shown(value)}")
    checked: dict[str, Any] = plain_json(value)
    return checked


def _any(form: ArgumentSpec, value: Any) -> Any:
    return plain_json(value)


def _json_text(text: str) -> Any:
    if len(text) > LONGEST:
        raise BadValue(f"must have at most {LONGEST:,} characters")
    try:
        return json.loads(text)
    except RecursionError:
        raise BadValue(f"must not be nested deeper than {DEEPEST} levels") from None
    except ValueError:
        raise BadValue(f"holds JSON text that cannot be read, {shown(text)}") from None


def plain_json(value: Any) -> Any:
    """Return ``value`` as plain JSON-ready lists, objects and scalars of its own.

    Raises:
        BadValue: nested deeper than ``DEEPEST``, longer than ``LONGEST`` as JSON, with numbers
            or texts that JSON or the host's database cannot carry, or with anything else inside.
    """
    copied = _plain(value, 1)
    if len(json.dumps(copied, ensure_ascii=False)) > LONGEST:
        raise BadValue(f"must have at most {LONGEST:,} characters as JSON")
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
            raise BadValue("holds a number that is not finite, or does not fit into 64 bits") from None
    if depth > DEEPEST:
        raise BadValue(f"must not be nested deeper than {DEEPEST} levels")
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise BadValue("must have texts for names")
        return {clean(name): _plain(one, depth + 1) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    if type(value).__name__ == "Identifier":
        raise BadValue("holds a bare word: write it in quotes")
    raise BadValue(f"holds {shown(value)}, which JSON does not know")


def _url(form: ArgumentSpec, value: Any) -> str:
    return _text(form, value).strip()


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
