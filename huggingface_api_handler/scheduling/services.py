"""The services that a run may use, and which of them takes the next request."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .batch_size import BatchSizer
from .batches import Batch, Queue
from .results import Limits
from .service_state import ServiceState


class Service:
    """One service, as one run uses it.

    Attributes:
        number: its position in the order of preference, from 0.
        state: what the process has learned about it.
        in_flight: requests of the run that are under way there.
        has_answered: whether it has answered a row of the run.
        last_success: when it last answered a request of the run.
        last_return: when a request to it last returned, or was sent while none was under way.
    """

    #: Seconds for which requests wait for a service that returns nothing, at least.
    PATIENCE = 10.0

    def __init__(self, number: int, state: ServiceState, limits: Limits) -> None:
        self.number = number
        self.state = state
        self._sizer = BatchSizer(limits, state.latency, state.batch_size)
        self.in_flight = 0
        self.has_answered = False
        self.last_success = self.last_return = -math.inf
        self._limits = limits

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return self.state.concurrency.limit(self._limits.max_concurrency)

    def batch_cap(self, most: int) -> int:
        """Return how many items a request may hold, of ``most`` that the run allows."""
        return max(1, int(min(most, self.state.batch_size.cap)))

    def batch_size(self, rows: int, most: int, requests: float) -> int:
        """Return how many items the next request should hold.

        Args:
            rows: items that were never sent.
            most: items that the run allows in a request.
            requests: requests that may still be sent.
        """
        limits, state = self._limits, self.state
        if limits.fill_batches or most == 1:
            return self.batch_cap(most)
        workers = self.limit
        queueing = state.latency.latency_ratio >= 1.5
        opening = state.concurrency.slow_start and workers < limits.max_concurrency and not queueing
        if opening:
            workers = min(2 * workers, limits.max_concurrency)
        rate = min(state.rate.rate, (limits.requests_per_minute or math.inf) / 60.0)
        return self._sizer.size(rows, workers, rate, requests, opening=opening)

    def due(self, now: float, *, heeds_breaker: bool = True) -> float:
        """Return when it may be sent a request; infinity: not before one has returned."""
        return math.inf if self.in_flight >= self.limit else self._blocked_until(now, heeds_breaker)

    def sent(self, now: float) -> int:
        """Note that a request is sent to it; return how many are under way."""
        if not self.in_flight:
            self.last_return = now
        self.in_flight += 1
        return self.in_flight

    def returned(self, now: float) -> None:
        """Note that a request to it has returned."""
        self.in_flight -= 1
        self.last_return = now

    def busy_until(self, now: float) -> float:
        """Return until when other services get no requests because this one is merely busy."""
        if self.in_flight < self.limit or self.state.breaker.has_failures or self._blocked_until(now, True) > now:
            return -math.inf
        return self.last_return + max(self.PATIENCE, 4.0 * self.state.latency.recent)

    def _blocked_until(self, now: float, heeds_breaker: bool) -> float:
        state = self.state
        until = max(state.pause_until, state.loading_until, state.rate.due(now))
        return max(until, state.breaker.due(now)) if heeds_breaker else until


class Services:
    """The services of a run in order of preference.

    A request goes to the first service that is ready; one that has failed, to the first that has not tried it. A
    service that is paused, loading, limited in its rate, failing or paused by its circuit breaker is skipped; for one
    that is only busy, requests wait while it returns others. If all breakers are open, none is heeded (the panic
    threshold of Envoy): so one service works as if it had no breaker.
    """

    def __init__(self, states: Sequence[ServiceState], limits: Limits) -> None:
        self._limits = limits
        self._all = [Service(number, state, limits) for number, state in enumerate(states)]
        self._in_use = list(self._all)

    def of(self, batch: Batch) -> Service:
        """Return the service that ``batch`` was last sent to."""
        return self._all[batch.service]

    def limit(self) -> int:
        """Return how many requests may be under way at all services together."""
        return min(self._limits.max_concurrency, sum(service.limit for service in self._in_use))

    def choose(self, queue: Queue, now: float) -> tuple[Service, bool] | float:
        """Return who takes the next request and whether only one that was passed on, or when to ask again."""
        several = len(self._in_use) > 1
        heeds_breakers = several and not all(service.state.breaker.is_open for service in self._in_use)
        at, only_passed_on = math.inf, False
        if queue.tried:  # before the services that have failed may have it again, which is a matter of time
            others = (service for service in self._in_use if service.number not in queue.tried)
            ready = next((one for one in others if one.due(now, heeds_breaker=heeds_breakers) <= now), None)
            if ready is not None:
                return ready, True
        for service in self._in_use:
            due = service.due(now, heeds_breaker=heeds_breakers)
            if due < math.inf:
                due = max(due, queue.due(now, service.number, only_passed_on=only_passed_on))
            if due <= now:
                return service, only_passed_on
            if not several:
                return due
            busy_until = service.busy_until(now)
            at = min(at, due)
            if busy_until > now and not only_passed_on:
                at, only_passed_on = min(at, busy_until), True
        return at

    def is_last(self, batch: Batch) -> bool:
        """Return whether ``batch`` has failed at all the others already."""
        return all(service.number in batch.tried or service.number == batch.service for service in self._in_use)

    def drop(self, batch: Batch) -> bool:
        """Use the service of ``batch`` no more in this run; false: it is the only one."""
        others = [service for service in self._in_use if service.number != batch.service]
        if not others:
            return False
        self._in_use = others
        return True
