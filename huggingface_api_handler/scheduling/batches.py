"""The rows of a query that wait to be sent, and the batches that they are sent in."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import HuggingFaceError


@dataclass(frozen=True, slots=True)
class Item:
    """One input that needs an answer.

    Attributes:
        index: the caller's number for it.
        key: the caller's name for its answer, such as the cache key.
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
    """A batch that was split, as its parts remember it.

    Attributes:
        refused: whether the service refused it, instead of failing.
        answered: rows of its parts that were answered.
    """

    size: int
    refused: bool = False
    answered: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are sent in one request.

    Attributes:
        failures: failed tries that count against ``max_retries``.
        attempts: requests in which its items have been, in all.
        due: not to be sent before this time, in seconds of the run's clock.
        first_sent: when its items were first sent together.
        started: when it was last sent.
        in_flight: requests that were under way then at the same service, itself included.
        service: number of the service that it was last sent to.
        tried: numbers of services that failed it, to which it is not sent again before ``due``.
        failed_at: number of a service → when its items, or more with them, first failed there.
        probed: whether it was split with no other request to learn from.
        error: how its last try failed.
    """

    items: Sequence[Item]
    failures: int = 0
    attempts: int = 0
    due: float = 0.0
    first_sent: float | None = None
    started: float = 0.0
    in_flight: int = 1
    service: int = 0
    tried: frozenset[int] = frozenset()
    failed_at: Mapping[int, float] = field(default_factory=dict)
    probed: bool = False
    parent: Parent | None = None
    error: HuggingFaceError | None = None

    def __len__(self) -> int:
        return len(self.items)

    def part(self, start: int, end: int) -> Batch:
        """Return a batch of some of the items, with the same past."""
        return self.of(self.items[start:end])

    def of(self, items: Sequence[Item]) -> Batch:
        """Return a batch of ``items``, which are some of its own, with the same past."""
        return replace(self, items=items, in_flight=1, tried=frozenset(), parent=None)

    def chunks(self, size: int) -> list[Batch]:
        """Cut into batches of at most ``size`` items, in order, with the same past."""
        return [self.part(at, at + size) for at in range(0, len(self.items), size)]

    def cut(self, at: int) -> tuple[Batch, Batch]:
        """Cut in two before item ``at``; the second may be sent to the same services as the first."""
        first, second = self.part(0, at), self.part(at, len(self.items))
        first.tried = second.tried = self.tried
        return first, second

    def split(self, at: int) -> list[Batch]:
        """Cut in two before item ``at``. The parts know that they were one, and count their failures afresh."""
        parts = [self.part(0, at), self.part(at, len(self.items))]
        parent = Parent(len(self.items), self.error is not None and not self.error.retryable)
        for part in parts:
            part.parent, part.failures = parent, 0
        return parts

    def smaller(self, items: Sequence[Item], error: HuggingFaceError) -> list[Batch]:
        """Cut ``items``, which are some of its own, into batches of at most half its size.

        Args:
            error: how the batch failed for these items.
        """
        rest = self.of(items)
        rest.error = error
        parts = rest.chunks((len(self) + 1) // 2)
        # If some items were answered, it was not too long.
        parent = Parent(len(self)) if len(items) == len(self) else None
        for part in parts:
            part.parent, part.failures = parent, 0
        return parts

    def halves(self) -> list[Batch]:
        """Cut in the middle."""
        return self.split((len(self.items) + 1) // 2)


class Queue:
    """The items of a run that wait to be sent, in order.

    First come batches that are ready again (parts of a failed batch, those that one service passed on to the others,
    retries whose time has come), then fresh items in the order given.
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
        #: Items that were never sent.
        self.fresh = sum(map(len, groups.values()))
        #: Items that wait here.
        self.waiting = self.fresh
        self._group: list[Item] = []
        self._at = 0
        self._ready: deque[Batch] = deque()
        self._passed_on: deque[Batch] = deque()
        self._later: list[tuple[float, int, Batch]] = []
        self._count = 0

    def ready_again(self, batches: Iterable[Batch]) -> None:
        """Put back what should be sent next."""
        batches = list(batches)
        self.waiting += sum(map(len, batches))
        self._ready.extendleft(reversed(batches))

    def later(self, batch: Batch) -> None:
        """Put back what is to wait until ``batch.due``."""
        self._count += 1
        self.waiting += len(batch)
        heapq.heappush(self._later, (batch.due, self._count, batch))

    def pass_on(self, batch: Batch) -> None:
        """Put back what the services of ``batch.tried`` may have again at ``batch.due``, and others now."""
        self.waiting += len(batch)
        self._passed_on.append(batch)

    @property
    def tried(self) -> frozenset[int]:
        """The services that have failed the next batch that was passed on; none if there is no such batch."""
        return self._passed_on[0].tried if self._passed_on else frozenset()

    def due(self, now: float, service: int = 0, *, only_passed_on: bool = False) -> float:
        """Return when there is something to send to a service: ``now``, later, or infinity."""
        if not only_passed_on and (self._ready or self.fresh):
            return now
        at = math.inf
        if self._passed_on:
            at = self._passed_on[0].due if service in self._passed_on[0].tried else now
        if self._later and not only_passed_on:
            at = min(at, self._later[0][0])
        return max(now, at)

    def again(self, now: float, service: int = 0, *, only_passed_on: bool = False) -> Batch | None:
        """Return the next batch that was sent before and may be sent to a service now."""
        if self._ready and not only_passed_on:
            batch = self._ready.popleft()
        elif self._passed_on and (service not in self._passed_on[0].tried or self._passed_on[0].due <= now):
            batch = self._passed_on.popleft()
        elif self._later and self._later[0][0] <= now and not only_passed_on:
            batch = heapq.heappop(self._later)[2]
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

    def give_back(self, batch: Batch) -> None:
        """Put back what ``take`` or ``again`` has just returned, or its end."""
        self.waiting += len(batch)
        if batch.tried:
            self._passed_on.appendleft(batch)
        elif batch.attempts:
            self._ready.appendleft(batch)
        else:  # the items before the next fresh one
            self._at -= len(batch)
            self.fresh += len(batch)

    def drain(self) -> list[Batch]:
        """Take everything out."""
        batches = [*self._ready, *self._passed_on, *(batch for _, _, batch in sorted(self._later))]
        rest = self._group[self._at :]
        for group in self._groups:
            rest.extend(group)
        if rest:
            batches.append(Batch(rest))
        self._ready.clear()
        self._passed_on.clear()
        self._later.clear()
        self._group, self._at, self.fresh, self.waiting = [], 0, 0, 0
        return batches
