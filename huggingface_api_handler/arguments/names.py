"""Suggests the known name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to ``name``, if one is similar enough."""
    folded = _folded(name)
    by_folded: dict[str, str] = {}
    for one in known:
        by_folded.setdefault(_folded(one), one)
    if folded in by_folded:
        return by_folded[folded]
    begun = [one for one in by_folded if len(folded) >= 4 and one.startswith(folded)]
    if len(begun) == 1:
        return by_folded[begun[0]]
    close = difflib.get_close_matches(folded[:100], by_folded, n=1, cutoff=0.65)
    return by_folded[close[0]] if close else None


def _folded(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
