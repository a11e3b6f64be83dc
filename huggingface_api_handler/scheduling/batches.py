"""What is to be sent, and in which portions. Nothing here waits, sends or reads a clock."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import HuggingFaceError


@dataclass(frozen=True, slots=True)
class Item:
    """One input that needs an answer.

    Attributes:
        index: the caller's number for it.
        key: the caller's name for its answer, such as the key in the store.
        payload: what ``send`` makes a request of.
        group: items of different groups never share a request; all items of group ``None`` may.
        size: rough bytes it adds to a request.
    """

    index: int
    key: str
    payload: Any = field(repr=False)
    group: Hashable = None
    size: int = 0


@dataclass(slots=True, eq=False)
class Parent:
    """A list that was halved, as its halves remember it."""

    size: int
    answered: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """Items that travel in one request.

    Attributes:
        tries: failed tries that count against ``max_retries``.
        attempts: requests in which its items have been, in all.
        due: not to be sent before this time, in seconds of the run's clock.
        born: when its items were first sent.
        started: when it was last sent.
        crowd: how many were on their way then, itself among them.
        error: what its last try ended in.
        second_round: it has used up its tries once, while others got through.
    """

    items: Sequence[Item]
    tries: int = 0
    attempts: int = 0
    due: float = 0.0
    born: float | None = None
    started: float = 0.0
    crowd: int = 1
    second_round: bool = False
    parent: Parent | None = None
    error: HuggingFaceError | None = None

    def __len__(self) -> int:
        return len(self.items)

    def split(self, size: int) -> list[Batch]:
        """Cut into batches of at most ``size`` items, in order."""
        return [self.part(at, at + size) for at in range(0, len(self.items), size)]

    def part(self, start: int, end: int) -> Batch:
        """A batch of some of the items, with the same past."""
        return Batch(
            self.items[start:end],
            tries=self.tries,
            attempts=self.attempts,
            due=self.due,
            born=self.born,
            started=self.started,
            second_round=self.second_round,
            error=self.error,
        )

    def halves(self) -> list[Batch]:
        """Cut in two; the halves know that they were one."""
        halves = self.split((len(self.items) + 1) // 2)
        parent = Parent(len(self.items))
        for half in halves:
            half.parent = parent
        return halves


class Queue:
    """The items of a run that wait to be sent, in the order in which they should be.

    First come batches that are ready again (halves of a failed list, retries whose time has come),
    then fresh items in the order given, last those that failed all their tries once.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        groups: dict[Hashable, list[Item]] = {}
        for item in items:
            found = groups.get(item.group)
            if found is None:
                groups[item.group] = [item]
            else:
                found.append(item)
        self._groups: Iterator[list[Item]] = iter(groups.values())
        self.fresh = sum(map(len, groups.values()))
        self._group: list[Item] = []
        self._at = 0
        self._ready: deque[Batch] = deque()
        self._later: list[tuple[float, int, Batch]] = []
        self._last: deque[Batch] = deque()
        self._count = 0
        #: Items that wait here.
        self.waiting = self.fresh

    def ready_again(self, batches: Iterable[Batch]) -> None:
        """Put back what should go out next."""
        batches = list(batches)
        self.waiting += sum(map(len, batches))
        self._ready.extendleft(reversed(batches))

    def later(self, batch: Batch) -> None:
        """Put back what is to wait until ``batch.due``."""
        self._count += 1
        self.waiting += len(batch)
        heapq.heappush(self._later, (batch.due, self._count, batch))

    def last(self, batch: Batch) -> None:
        """Put back what is to go out when nothing else is left."""
        self.waiting += len(batch)
        self._last.append(batch)

    def due(self, now: float) -> float:
        """When there is something to send: ``now``, later, or infinity."""
        if self._ready or self.fresh or (self._last and not self._later):
            return now
        return max(now, self._later[0][0]) if self._later else math.inf

    def again(self, now: float) -> Batch | None:
        """The next batch that has been out before and may go now."""
        if self._ready:
            batch = self._ready.popleft()
        elif self._later and self._later[0][0] <= now:
            batch = heapq.heappop(self._later)[2]
        elif self._last and not self.fresh and not self._later:
            batch = self._last.popleft()
        else:
            return None
        self.waiting -= len(batch)
        return batch

    def take(self, size: int, max_bytes: float = math.inf) -> Batch:
        """Cut a batch of up to ``size`` fresh items of one group and, beyond its first, ``max_bytes``."""
        if self._at >= len(self._group):
            self._group, self._at = next(self._groups), 0
        group, start = self._group, self._at
        end = min(start + size, len(group))
        if end - start > 1 and max_bytes < math.inf:
            total = group[start].size
            for at in range(start + 1, end):
                total += group[at].size
                if total > max_bytes:
                    end = at
                    break
        items = group[start:end]
        self._at = end
        self.fresh -= len(items)
        self.waiting -= len(items)
        return Batch(items)

    def drain(self) -> list[Batch]:
        """Take everything out."""
        batches = [*self._ready, *(batch for _, _, batch in sorted(self._later)), *self._last]
        rest = self._group[self._at :]
        for group in self._groups:
            rest.extend(group)
        if rest:
            batches.append(Batch(rest))
        self._ready.clear()
        self._later.clear()
        self._last.clear()
        self._group, self._at, self.fresh, self.waiting = [], 0, 0, 0
        return batches


def fair_share(rows: int, busy: Sequence[float], idle: int, each: float) -> float:
    """How many of ``rows`` a lane that is free now should take so that all lanes end together.

    Every lane takes one list more at most: water poured into vessels of unequal bottoms.

    Args:
        rows: rows not yet on their way.
        busy: seconds until each busy lane is free, in any order.
        idle: lanes that are free now, the asking one among them.
        each: seconds that one more row adds to a request; 0: a list costs what a row costs.

    Returns:
        rows, at least 1; infinity where a longer list costs nothing.
    """
    if each <= 0.0:
        return math.inf
    lanes = max(idle, 1)
    level = rows * each / lanes
    total = 0.0
    for free in sorted(busy):
        if free >= level:
            break
        lanes += 1
        total += free
        level = (rows * each + total) / lanes
    return max(1.0, level / each)
