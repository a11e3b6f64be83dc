"""Positions in a text as SQL counts them: in characters.

Servers in other languages than Python count UTF-16 code units or bytes of UTF-8, which differ in texts with emoji or
accents. The words at the positions show what a server counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

#: What one character counts, in the order of preference.
_UNITS: tuple[Callable[[str], int], ...] = (
    lambda _: 1,
    lambda character: 2 if ord(character) > 0xFFFF else 1,
    lambda character: len(character.encode("utf-8", "surrogatepass")),
)
#: What tokenizers add to words.
_SIGNS = re.compile(r"[\s▁Ġ#]+")


def in_characters(spans: Sequence[Mapping[str, Any]], word: str, text: str) -> list[dict[str, Any]]:
    """Return ``spans`` with ``start`` and ``end`` in characters; ``None`` if they are beyond ``text``.

    Args:
        word: the field with the words.
    """
    if text.isascii():
        return [dict(span) for span in spans]
    places = [{unit: place for place, unit in enumerate(accumulate(map(size, text), initial=0))} for size in _UNITS]
    found = [[_placed(span, known) for span in spans] for known in places]
    right = [
        sum(_folded(text[one["start"] : one["end"]]) == _folded(one[word]) for one in way if _is_placed(one))
        for way in found
    ]
    return found[right.index(max(right))]


def _placed(span: Mapping[str, Any], places: Mapping[int, int]) -> dict[str, Any]:
    return {**span, **{name: places.get(span[name]) for name in ("start", "end") if span.get(name) is not None}}


def _is_placed(span: Mapping[str, Any]) -> bool:
    return span.get("start") is not None and span.get("end") is not None


def _folded(word: str) -> str:
    """Return a word as models see it at least: without case, accents, white space and the signs of tokenizers."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", word) if not unicodedata.combining(one))
    return _SIGNS.sub("", plain).casefold()
