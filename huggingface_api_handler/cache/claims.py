"""Claims: which process is about to get the answers of which keys, so that another waits instead of paying again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: Seconds after which a claim ends that is neither renewed nor released.
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
    """Grant those of ``keys`` that nobody of ``others``, the keys of each other holder, has claimed."""
    wanted = frozenset(keys)
    taken = {holder: held for holder, held in others.items() if not wanted.isdisjoint(held)}
    return Claim(wanted.difference(*taken.values()), frozenset(taken))


def packed(keys: Iterable[str]) -> str:
    """Return keys as they are stored."""
    return "\n".join(keys)


def unpacked(stored: str) -> frozenset[str]:
    """Return the keys that ``packed`` packed."""
    return frozenset(stored.split("\n"))
