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

_RATE_LIMIT_RESET = re.compile(r"(?:^|[;,\s])t=\s*\"?([0-9.]+)")
_REMAINING = re.compile(r"\br=\s*[1-9]")
#: What a rate limit counts, in the names of headers.
_COUNTED = ("requests", "tokens")
#: A longer reset is a point in time, not a duration.
_LONGEST_RESET = 10_000_000.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_PART = rf"[0-9]{{1,9}}(?:\.[0-9]{{1,9}})?\s{{0,2}}{_UNIT}"
_DURATION = re.compile(rf"{_PART}(?:\s{{0,2}}{_PART}){{0,4}}", re.I)
#: A duration without spaces, as in headers: '2m3.5s'.
_COMPACT = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|s|m|h|d)){1,5}")
_NUMBER_AND_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.I)
_IN_WORDS = re.compile(
    r"\b(?:try again|retry|retrying|wait)(?: (?:in|after|for))?(?: (?:about|approximately|at least))? ", re.I
)


def retry_after(
    headers: Mapping[str, str], body: Any = None, now: datetime | None = None, reason: str = ""
) -> float | None:
    """Return the seconds that the server asked to wait, between 0 and ``LONGEST_WAIT``; ``None`` if it did not.

    In this order: the Hub's ``RateLimit: "api";r=0;t=189`` (to the end of its window), ``Retry-After-Ms``,
    ``Retry-After`` (seconds or a date), "try again in 3.2s" in the text, ``X-RateLimit-Reset-Requests`` and
    ``-Tokens`` (``1.5s``, ``2m3s``) of the limit that is used up, Google's ``RetryInfo``, and a loading model's
    ``estimated_time``.

    Args:
        headers: with lower-case names.
        body: the body's JSON.
        reason: the server's text.
    """
    for seconds in (
        _hub_window(headers.get("ratelimit", "")),
        _milliseconds(headers.get("retry-after-ms")),
        _seconds_or_date(headers.get("retry-after"), now),
        _in_words(reason),
        _reset(headers),
        _retry_info(body),
    ):
        if seconds is not None:
            return min(seconds, LONGEST_WAIT)
    return seconds_of(field_of(body, "estimated_time"), LONGEST_ESTIMATE)


def seconds_of(value: Any, most: float) -> float | None:
    """Return a number of seconds, at most ``most``; ``None`` if ``value`` is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, most) if math.isfinite(seconds) and seconds >= 0 else None


def _hub_window(value: str) -> float | None:
    limit = _RATE_LIMIT_RESET.search(value)
    if limit is None or _REMAINING.search(value) is not None:
        return None
    seconds = seconds_of(limit[1], LONGEST_WAIT)
    return None if seconds is None else seconds + 1


def _milliseconds(value: str | None) -> float | None:
    milliseconds = seconds_of(value, 1e9)
    return None if milliseconds is None else milliseconds / 1000


def _seconds_or_date(value: str | None, now: datetime | None) -> float | None:
    if not value:
        return None
    seconds = seconds_of(value.strip().removesuffix("s"), LONGEST_WAIT)
    if seconds is not None:
        return seconds
    try:
        then = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return max((then - (now or datetime.now(timezone.utc))).total_seconds(), 0.0)


def _in_words(reason: str) -> float | None:
    for beginning in _IN_WORDS.finditer(reason):
        told = _DURATION.match(reason, beginning.end())
        if told is not None:
            return _duration(told[0])
    return None


def _retry_info(body: Any) -> float | None:
    """Return the ``retryDelay`` of Google's ``RetryInfo`` among an error's details, as ``26.5s``."""
    details = field_of(body, "details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return seconds_of(delay.removesuffix("s"), LONGEST_WAIT)
    return None


def _reset(headers: Mapping[str, str]) -> float | None:
    """Return when the limit that is used up is reset; the later one if the headers do not say which that is."""
    resets = {name: _reset_seconds(headers.get(f"x-ratelimit-reset-{name}")) for name in _COUNTED}
    remaining = {name: headers.get(f"x-ratelimit-remaining-{name}", "").strip() for name in _COUNTED}
    used_up = [name for name in _COUNTED if remaining[name] in ("0", "0.0")]
    candidates = [seconds for name in used_up or _COUNTED if (seconds := resets[name]) is not None]
    return max(candidates, default=None)


def _reset_seconds(value: str | None) -> float | None:
    text = (value or "").strip().lower()
    if _COMPACT.fullmatch(text):
        return _duration(text)
    seconds = seconds_of(text, math.inf)
    return seconds if seconds is not None and seconds < _LONGEST_RESET else None


def _duration(text: str) -> float:
    """Return the seconds of '2m3.5s' or '2 minutes 3 seconds'."""
    parts = _NUMBER_AND_UNIT.findall(text.lower())
    units = (_UNITS["ms" if unit.startswith(("ms", "mil")) else unit[0]] for _, unit in parts)
    return math.fsum(float(number) * unit for (number, _), unit in zip(parts, units, strict=True))
