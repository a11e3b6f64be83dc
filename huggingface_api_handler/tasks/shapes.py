"""Checks of the JSON types in an answer, which may be any JSON, nested to any depth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import InvalidAnswer, one_line
from .media import Media

#: How deep a returned structure may be nested; JSON is read and written by recursion.
MAX_DEPTH = 48

#: Retries after an empty answer: each is billed, and some inputs, such as an empty page, have no other answer.
EMPTY_RETRIES = 3

#: Larger integers break the host's database session.
_MAX_INT64 = 2**63

# --- refusing --------------------------------------------------------------------------------


def sketch(value: Any) -> str:
    """Return the shape of a JSON value in a few words, without its content."""
    if isinstance(value, Media):
        return f"{len(value.data)} bytes of {one_line(value.type, 60)}"
    if isinstance(value, Mapping):
        shown = [f"{name} (null)" if part is None else str(name) for name, part in list(value.items())[:6]]
        names = ", ".join(one_line(name, 30) for name in shown)
        return f"an object with {names}" if names else "an empty object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None:
        return "null"
    return {str: "a text", bool: "a boolean", int: "a number", float: "a number"}.get(type(value), type(value).__name__)


def refuse(answer: Any, expected: str) -> NoReturn:
    """Raise ``InvalidAnswer``: the answer is not what was expected."""
    reason = service_text(answer) if isinstance(answer, Mapping) else ""
    inner = f", the first of them {sketch(answer[0])}" if isinstance(answer, list) and answer else ""
    suffix = f": {one_line(reason)}" if reason else ""
    raise InvalidAnswer(
        storable(f"the service returned {sketch(answer)}{inner}, but {expected} was expected{suffix}"),
        advice="Check that the model supports this task",
    )


def refuse_empty(wanted: str = "") -> NoReturn:
    """Raise ``InvalidAnswer``, retryable: the answer is there, and empty."""
    raise InvalidAnswer(
        f"the service sent an empty answer{wanted}",
        advice="Run the query again; if it stays empty, change the input or choose another model",
        retryable=True,
        retry_limit=EMPTY_RETRIES,
        divisible=False,
    )


def service_text(value: Any, depth: int = 4) -> str:
    """Return the message of an error object, whatever its shape; empty if there is none."""
    if isinstance(value, str):
        return value
    if depth <= 0:
        return ""
    if isinstance(value, Mapping):
        for name in ("error", "message", "detail", "msg", "reason", "errors"):
            text = service_text(value.get(name), depth - 1)
            if text:
                return text
        return ""
    if isinstance(value, (list, tuple)):
        return "; ".join(filter(None, (service_text(part, depth - 1) for part in value[:3])))
    return ""


# --- values ----------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number; booleans are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False


def number(value: Any, what: str = "a finite number") -> float:
    """Return a finite number, or raise ``InvalidAnswer``."""
    if not is_number(value):
        refuse(value, what)
    return float(value)


def exact_number(value: Any, what: str = "a finite number") -> float | int:
    """Return a finite number, as ``int`` if it is an integer of 64 bits; else raise ``InvalidAnswer``."""
    known = int64(value)
    return number(value, what) if known is None else known


def not_negative(value: Any) -> float | None:
    """Return a finite number from 0 on, or ``None`` if it is none."""
    return float(value) if is_number(value) and value >= 0 else None


def int64(value: Any) -> int | None:
    """Return an integer that fits into 64 bits, or ``None`` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not -_MAX_INT64 <= value < _MAX_INT64:
        return None
    return value


def text(value: Any, what: str = "a text", *, of: Any = None) -> str:
    """Return a text that UTF-8 can encode, or raise ``InvalidAnswer``.

    Args:
        of: the object that should contain the text; the error describes it if the text is missing.
    """
    if not isinstance(value, str):
        refuse(of if value is None and of is not None else value, what)
    return storable(value)


def storable(value: str) -> str:
    """Return a text that databases accept: lone surrogates are replaced, and NUL, which PostgreSQL refuses."""
    value = value.replace("\0", "\ufffd")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return an object, or raise ``InvalidAnswer``."""
    if not isinstance(value, Mapping):
        refuse(value, what)
    return value


def array(value: Any, what: str) -> list[Any]:
    """Return a list, or raise ``InvalidAnswer``."""
    if not isinstance(value, list):
        refuse(value, what)
    return value


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a JSON value that databases can store: finite, valid UTF-8, not too deep.

    NaN and infinities become ``None``.

    Raises:
        InvalidAnswer: it is nested deeper than ``depth``.
    """
    if isinstance(value, str):
        return storable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if int64(value) is not None else (float(value) if is_number(value) else None)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth <= 0:
        raise InvalidAnswer("the service returned a structure that is nested too deeply")
    if isinstance(value, Mapping):
        return {storable(str(name)): plain(part, depth - 1) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part, depth - 1) for part in value]
    return storable(str(value))


def dumps(value: Any) -> str:
    """Return JSON text; the value is ``plain`` already."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def inside(value: Any, *names: str) -> Any:
    """Return what nested objects contain under ``names``; ``None`` if one of them is missing or is no object."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; none if the value is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def share(total: int, rows: int, position: int) -> int:
    """Return the part of a count that one of ``rows`` rows has; all parts add up to the count."""
    return total // rows + (position < total % rows)


# --- wrappings -------------------------------------------------------------------------------


def unwrapped(answer: Any) -> Any:
    """Return the answer to one input without the list of one that a service may put around it."""
    if isinstance(answer, list) and len(answer) == 1 and isinstance(answer[0], list):
        return answer[0]
    return answer


def one_element(answer: Any, what: str) -> Any:
    """Return the only element of a list, or the answer itself if it is no list."""
    if not isinstance(answer, list):
        return answer
    if len(answer) != 1:
        refuse(answer, what)
    return answer[0]
