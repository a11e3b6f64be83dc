"""A service that exists only in virtual time, and a run against it: no threads, no waiting."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from huggingface_api_handler.cache.budgets import Draw, Grant
from huggingface_api_handler.errors import HuggingFaceError, RateLimited
from huggingface_api_handler.scheduling.batches import Batch, Item
from huggingface_api_handler.scheduling.budget import CostBudget
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import ServiceState
from huggingface_api_handler.scheduling.token_bucket import Reservation


def items(count: int, group: Callable[[int], Any] = lambda index: None) -> list[Item]:
    return [Item(index, f"{index:x}", index, group(index), 10) for index in range(count)]


def doubled(some: Iterable[Item]) -> list[RowResult]:
    """The right answers: each item's payload times two."""
    return [RowResult(item.payload * 2) for item in some]


class Service:
    """Some slots; a request holds one for ``fixed + each * rows`` seconds, others queue for it."""

    def __init__(
        self,
        fixed: float,
        each: float = 0.0,
        slots: int = 1000,
        *,
        noise: Callable[[], float] = lambda: 1.0,
        gate: Callable[[float], float | None] | None = None,
        fault: Callable[[Batch, float], HuggingFaceError | None] = lambda batch, now: None,
        way: float = 0.001,
    ) -> None:
        self.fixed, self.each, self.way = fixed, each, way
        self.free = [0.0] * slots
        self.noise, self.gate, self.fault = noise, gate, fault
        self.sizes: list[int] = []
        self.arrivals: list[float] = []
        self.refused: list[float] = []
        self.accepted: list[float] = []

    def ask(self, batch: Batch, now: float) -> tuple[float, BatchResult | HuggingFaceError]:
        """When it will have answered, and what."""
        self.sizes.append(len(batch))
        self.arrivals.append(now)
        if self.gate is not None:
            asked = self.gate(now)
            if asked is not None:
                self.refused.append(now)
                return now + self.way, RateLimited("too many", status=429, retry_after=asked if asked >= 0 else None)
        self.accepted.append(now)
        error = self.fault(batch, now)
        began = max(now, self.free[0])
        ends = began + (self.fixed + self.each * len(batch)) * self.noise()
        heapq.heapreplace(self.free, ends)
        if error is not None:
            return ends + self.way, error
        return ends + self.way, BatchResult(doubled(batch.items))


class TokenBucket:
    """Refuses what comes too often; ``retry_after`` < 0: without saying for how long."""

    def __init__(self, rate: float, burst: float, retry_after: float = -1.0) -> None:
        self.rate, self.burst, self.tokens, self.at, self.retry_after = rate, burst, burst, 0.0, retry_after

    def __call__(self, now: float) -> float | None:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return None
        return self.retry_after


class Window:
    """At most ``rate`` requests in each second, or in any second where it slides."""

    def __init__(self, rate: float, slides: bool, retry_after: float = -1.0) -> None:
        self.rate, self.slides, self.retry_after = rate, slides, retry_after
        self.passed: deque[float] = deque()

    def __call__(self, now: float) -> float | None:
        start = now - 1.0 if self.slides else math.floor(now)
        while self.passed and (self.passed[0] <= start if self.slides else self.passed[0] < start):
            self.passed.popleft()
        if len(self.passed) < self.rate:
            self.passed.append(now)
            return None
        return self.retry_after


def play(
    wanted: Iterable[Item],
    service: Service | Sequence[Service],
    limits: Limits | None = None,
    *,
    state: ServiceState | None = None,
    states: Sequence[ServiceState] = (),
    stop_on_error: bool = False,
    start: float = 0.0,
    seed: int = 1,
    watch: Callable[[float, Scheduler], None] = lambda now, scheduler: None,
    late: Callable[[], float] = lambda: 0.0,
    reserve: Callable[[float, int, float], float | None] | None = None,
    costs: CostBudget | None = None,
    hold: Callable[[Draw, float], Grant | None] = lambda draw, now: None,
) -> tuple[float, list[RowResult], Scheduler]:
    """Run it through: the seconds it took, the results in the order they came, and the scheduler.

    ``late``: how many seconds later than it meant to a waiting worker wakes. ``reserve``: (gap, count,
    now) → seconds until the first token. Several services have one of the ``states`` each. ``hold``: (draw, now) →
    what became of it.
    """
    now = start
    services = [service] if isinstance(service, Service) else list(service)
    under_way: set[int] = set()
    scheduler = Scheduler(
        wanted,
        limits or Limits(),
        *(states or [state or ServiceState() for _ in services]),
        now=now,
        stop_on_error=stop_on_error,
        random=random.Random(seed).random,
        shared=reserve is not None,
        costs=costs,
    )
    results: list[RowResult] = []
    events: list[tuple[float, int, Batch, Any]] = []
    count = 0
    while not scheduler.done:
        results += scheduler.sweep(now)
        step = scheduler.take(now)
        while not isinstance(step, (int, float)):
            if isinstance(step, Reservation):
                assert reserve is not None
                scheduler.reserved(step, reserve(step.gap, step.count, now), now)
            elif isinstance(step, Draw):
                assert costs is not None
                costs.granted(step, hold(step, now), now)
            else:
                count += 1
                assert not under_way.intersection(item.index for item in step.items), "under way twice"
                under_way.update(item.index for item in step.items)
                ends, result = services[step.service].ask(step, now)
                heapq.heappush(events, (ends, count, step, result))
            step = scheduler.take(now)
        if scheduler.done:
            break
        at = min(step + late(), events[0][0] if events else math.inf)
        assert at < math.inf, "nothing under way, nothing to wait for, and not done"
        now = max(now, at)
        while events and events[0][0] <= now:
            _, _, batch, result = heapq.heappop(events)
            under_way.difference_update(item.index for item in batch.items)
            if isinstance(result, HuggingFaceError):
                results += scheduler.failed(batch, result, now)
            elif isinstance(result, BatchResult):
                results += scheduler.answered(batch, result, now)
        watch(now, scheduler)
    results += scheduler.sweep(now)
    if costs is not None:
        for draw in costs.report(now, closes=True):
            costs.granted(draw, hold(draw, now), now)
    return now - start, results, scheduler
