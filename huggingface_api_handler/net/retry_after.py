"""How long to wait before the next request, in the words of many servers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from .error_body import field_of

#: Longest wait, in seconds, that is read from a response; ``RetryPolicy`` tries sooner. The Hub's windows are 300 s.
LONGEST_WAIT = 900.0
#: ``estimated_time`` has been seen at 1800 for models that were up in a minute.
LONGEST_ESTIMATE = 120.0

_RATE_LIMIT_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)=\s*\"?([0-9.]+)")
_REMAINING = re.compile(r"\b(?:r|remaining)=\s*[1-9]")
#: Between two limits of a RateLimit header: its older form has commas within a limit, and no semicolons.
_NEXT_LIMIT = re.compile(r",(?=[^,;]*;)")
#: Headers with the end of a limit, as ``x-ratelimit-reset-tokens`` or ``anthropic-ratelimit-tokens-reset``.
_RESET_NAME = re.compile(r"(?=.*rate-?limit).*reset")
#: A larger number is a point in time: seconds since 1970, from the second one on milliseconds.
_LONGEST_RESET, _MILLISECONDS = 1e7, 1e11

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_PART = rf"[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?\s{{0,2}}{_UNIT}"
_DURATION = re.compile(rf"{_PART}(?:(?:,? and |,? {{0,2}}){_PART}){{0,4}}", re.I)
_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.I)
_IN_WORDS = re.compile(
    r"\b(?:try(?: your request)? again|retry(?: your request)?|retrying|wait|available|resets?)"
    r"(?: (?:in|after|for|at|until))?(?: (?:about|approximately|at least))?:? ",
    re.I,
)
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)? ?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)


def retry_after(
    headers: Mapping[str, str], body: Any = None, now: datetime | None = None, reason: str = ""
) -> float | None:
    """Return the seconds that the server asked to wait, up to ``LONGEST_WAIT``; ``None`` if it did not, or for none.

    In this order: ``RateLimit: "api";r=0;t=189`` (to the end of its window), ``Retry-After-Ms``, ``Retry-After``
    (seconds, ``2m3s``, or a point in time), "try again in 3.2s" in the text, ``X-RateLimit-Reset…`` and other vendors'
    headers of the limit that is used up, ``retry_after`` and Google's ``RetryInfo`` in the body, and a loading model's
    ``estimated_time``.

    Args:
        headers: with lower-case names.
        body: the body's JSON.
        now: else as the server's ``Date`` says, whose clock may differ from this one's.
        reason: the server's text.
    """
    now = now or _point_in_time(headers.get("date", "")) or datetime.now(timezone.utc)
    for seconds in (
        _window(headers.get("ratelimit", "")),
        _milliseconds(headers.get("retry-after-ms")),
        _reset_seconds(headers.get("retry-after", ""), now),
        _in_words(reason, now),
        _reset(headers, now),
        _reset(_headers_in(body), now),
        seconds_of(field_of(body, "retry_after"), LONGEST_WAIT),
        _retry_info(body),
    ):
        if seconds:
            return min(seconds, LONGEST_WAIT)
    return seconds_of(field_of(body, "estimated_time"), LONGEST_ESTIMATE) or None


def seconds_of(value: Any, most: float) -> float | None:
    """Return a number of seconds, at most ``most``; ``None`` if ``value`` is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, most) if math.isfinite(seconds) and seconds >= 0 else None


def _window(value: str) -> float | None:
    """Return the seconds to the end of the window of each limit that is used up; of several, the latest."""
    limits = [limit for limit in _NEXT_LIMIT.split(value) if _REMAINING.search(limit) is None]
    resets = [reset[1] for limit in limits if (reset := _RATE_LIMIT_RESET.search(limit)) is not None]
    return max((found + 1 for text in resets if (found := seconds_of(text, LONGEST_WAIT)) is not None), default=None)


def _milliseconds(value: str | None) -> float | None:
    milliseconds = seconds_of(value, 1e9)
    return None if milliseconds is None else milliseconds / 1000


def _until(value: str, now: datetime) -> float | None:
    """Return the seconds until a date; ``None`` if it has passed, or is none."""
    then = _point_in_time(value)
    return None if then is None or then <= now else (then - now).total_seconds()


def _point_in_time(value: str) -> datetime | None:
    """Read a date in the form of HTTP or of ISO 8601, in UTC if it names no zone."""
    found = _TIMESTAMP.match(value.strip())
    try:
        if found is not None:
            return datetime.strptime(f"{found[1]} {found[2]}{found[3] or 'Z'}", "%Y-%m-%d %H:%M:%S%z")
        then = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return then if then.tzinfo is not None else then.replace(tzinfo=timezone.utc)


def _in_words(reason: str, now: datetime) -> float | None:
    for beginning in _IN_WORDS.finditer(reason):
        found = _DURATION.match(reason, beginning.end())
        seconds = _duration(found[0]) if found is not None else _until(reason[beginning.end() :][:40], now)
        if seconds is not None:
            return seconds
    return None


def _retry_info(body: Any) -> float | None:
    """Return the ``retryDelay`` of Google's ``RetryInfo`` among an error's details, as ``26.5s``."""
    details = field_of(body, "details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return seconds_of(delay.removesuffix("s"), LONGEST_WAIT)
    return None


def _headers_in(body: Any) -> dict[str, str]:
    """Return the headers that a router passes on in an error's ``metadata``."""
    metadata = field_of(body, "metadata")
    headers = metadata.get("headers") if isinstance(metadata, dict) else None
    return {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return when the limit that is used up is reset; the latest one if the headers do not say which that is.

    Servers send these headers in each response: what a limit leaves shows that another reason was the cause.
    """
    resets = {name: _reset_seconds(value, now) for name, value in headers.items() if _RESET_NAME.match(name)}
    left = {name: seconds_of(headers.get(name.replace("reset", "remaining")), math.inf) for name in resets}
    used_up = [name for name in resets if left[name] == 0]
    causes = used_up or [name for name in resets if left[name] is None]
    return max((seconds for name in causes if (seconds := resets[name]) is not None), default=None)


def _reset_seconds(value: str, now: datetime) -> float | None:
    """Return the seconds in '30', '2m3.5s' or '30 seconds', or until a point in time."""
    text = value.strip().lower()
    if _DURATION.fullmatch(text):
        return _duration(text)
    number = seconds_of(text, math.inf)
    if number is None:
        return _until(value, now)
    if number < _LONGEST_RESET:
        return number
    then = number / 1000 if number >= _MILLISECONDS else number
    return then - now.timestamp() if then > now.timestamp() else None


def _duration(text: str) -> float:
    """Return the seconds of '2m3.5s' or '2 minutes 3 seconds'."""
    parts = _NUMBER_AND_UNIT.findall(text.lower())
    units = (_UNITS["ms" if unit.startswith(("ms", "mil")) else unit[0]] for _, unit in parts)
    return math.fsum(float(number) * unit for (number, _), unit in zip(parts, units, strict=True))
