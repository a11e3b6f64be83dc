"""Claims: which process is about to request which answers, so that others wait instead of paying again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: Seconds after which a claim ends if it is neither renewed nor released.
CLAIM_KEPT_FOR = 60.0


class Claim(NamedTuple):
    """What a holder was granted.

    Attributes:
        granted: keys that are now the holder's.
        holders: who holds the other keys.
    """

    granted: frozenset[str]
    holders: frozenset[str] = frozenset()


def grant(keys: Iterable[str], others: Mapping[str, frozenset[str]]) -> Claim:
    """Grant those ``keys`` that none of ``others``, the keys of each other holder, has claimed."""
    wanted = frozenset(keys)
    taken = {holder: held for holder, held in others.items() if not wanted.isdisjoint(held)}
    return Claim(wanted.difference(*taken.values()), frozenset(taken))


def packed(keys: Iterable[str]) -> str:
    """Return keys as they are stored."""
    return "\n".join(keys)


def unpacked(stored: str) -> frozenset[str]:
    """Return the keys in what ``packed`` returned."""
    return frozenset(stored.split("\n"))
