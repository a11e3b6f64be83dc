"""The interface of all caches, and the circuit breaker for a cache that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from .budgets import Draw, Grant
from .claims import Claim
from .owners import Owner, Stored
from .runs import Run, RunState

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds for which a cache is not used after a failure.
PAUSE = 30.0
#: Seconds of a rate that a worker who has been idle may catch up on.
CREDIT = 0.05
#: Workers that can wait for their next request at the same time. A time that is further away than all of theirs
#: was written before a clock was set back.
WAITING = 256
#: Seconds for which a request to stop is remembered.
STOP_KEPT_FOR = 86400.0


class Cache:
    """Stores what outlives a query; this one stores nothing.

    Keys are opaque texts, values are bytes. A cache that fails raises no error: queries continue without it. All
    methods may be called from several threads and processes at the same time.
    """

    # Answers

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those ``keys`` that exist, are intact and have not expired."""
        return {}

    def put_many(
        self,
        values: Mapping[str, bytes],
        ttl: float,
        *,
        scope: str = "",
        counts: Mapping[str, float] | None = None,
    ) -> None:
        """Store ``values`` for ``ttl`` seconds; once this returns, they outlive the process.

        While the cache cannot be written to, they wait in memory, where ``get_many`` finds them.

        Args:
            scope: whose they are, as in the counters.
            counts: added to the counters of ``scope`` in the same transaction.
        """

    # Owners

    def register(self, scope: str, owner: Owner) -> None:
        """Record whose ``scope`` is."""

    def owners(self) -> dict[str, Owner]:
        """Return all scopes, with their owners."""
        return {}

    def sizes(self, before: float | None = None) -> list[Stored] | None:
        """Return the stored answers by scope, expired ones too; ``None`` if the cache cannot be read.

        Args:
            before: only those written before this time, in seconds since 1970.
        """
        return []

    def clear(self, scopes: Collection[str] | None = None, before: float | None = None) -> int | None:
        """Delete stored answers; how many, ``None`` if not all of them could be deleted.

        Args:
            scopes: whose; ``None``: all, those of unknown owners too.
            before: only those written before this time, in seconds since 1970.
        """
        return 0

    # Counters

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        """Add ``counts`` to the counters of ``scope``."""

    def usage(self, scope: str) -> dict[str, float]:
        """Return the counters of ``scope``, over all processes."""
        return {}

    # Facts

    def get_fact(self, name: str) -> Any:
        """Return the latest value of ``name``; ``None`` if there is none or it has expired."""
        return None

    def put_fact(self, name: str, value: Any, ttl: float) -> None:
        """Store a small JSON value for ``ttl`` seconds, such as a fact about a service that can be found out again."""

    # Runs

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int) -> None:
        """Record that a run has started."""

    def run_update(self, run: str, now: RunState) -> None:
        """Record the progress of a run; written once a second at most."""

    def run_end(self, run: str, now: RunState) -> None:
        """Record that a run has ended; what waits in memory is written, if that is possible by now."""

    def runs(self, scope: str | None = None) -> list[Run]:
        """Running and recent runs of ``scope``, or of all scopes, newest first."""
        return []

    def is_available(self) -> bool:
        """Return whether the cache can be read."""
        return False

    # Stops

    def request_stop(self, names: Iterable[str], ttl: float = STOP_KEPT_FOR) -> bool:
        """Request that the processes that work on ``names`` stop; return whether the request was stored.

        Args:
            names: IDs of runs, or other unique names of what is to stop. A name stays stopped for ``ttl`` seconds.
        """
        return False

    def stop_requested(self, names: Iterable[str]) -> bool:
        """Return whether any of ``names`` is to stop."""
        return False

    # Rates

    def reserve_requests(self, rate: str, interval: float, count: int) -> float | None:
        """Reserve the next ``count`` requests, ``interval`` seconds apart, of the rate that all workers share.

        Returns:
            seconds until the first of them; ``None``: the rate is not shared, each worker has its own.
        """
        return None

    # Claims

    def claim(self, scope: str, keys: Iterable[str], holder: str) -> Claim:
        """Claim the answers of ``keys`` that no other holder has claimed, for ``CLAIM_KEPT_FOR`` seconds.

        Args:
            scope: holders of one scope know of each other.
            holder: a new name.

        Returns:
            what was granted; all, if claims cannot be shared now.
        """
        return Claim(frozenset(keys))

    def renew_claim(self, scope: str, holder: str) -> None:
        """Hold a claim for another ``CLAIM_KEPT_FOR`` seconds."""

    def release_claim(self, scope: str, holder: str) -> None:
        """End a claim."""

    def claim_holders(self, scope: str) -> set[str]:
        """Return the holders of claims that have not ended and whose processes are running."""
        return set()

    # Budgets

    def hold_budget(self, holder: str, draw: Draw) -> Grant | None:
        """Report what ``holder`` has spent of a budget that all workers share, and hold a part of the rest.

        What all have spent and hold never exceeds the cap, as long as nobody spends more than it holds. What is held
        is free again ``HELD_FOR`` seconds after the last call of its holder; what was spent stays spent.

        Returns:
            what is held; ``None``: the budget cannot be shared now.
        """
        return None

    def close(self) -> None:
        """Release files and connections."""


class NoCache(Cache):
    """Stores nothing."""


class CircuitBreaker:
    """Pauses the use of a cache after it failed, and warns once.

    Args:
        name: of the cache, for the log.
        consequence: of the pause, for the log.
    """

    def __init__(self, name: str, consequence: str = "predictions continue without it") -> None:
        self._name = name
        self._consequence = consequence
        self._clock: Callable[[], float] = time.monotonic
        self._open_until = float("-inf")
        self._failures = 0
        self._warned = False

    @property
    def is_open(self) -> bool:
        """Whether the cache is not to be used now."""
        return self._clock() < self._open_until

    def record_failure(self, error: object, *, transient: bool = False) -> None:
        """Pause the use of the cache. A ``transient`` failure is logged as a warning only when it happens again."""
        self._open_until = self._clock() + PAUSE
        self._failures += 1
        if not self._warned and (not transient or self._failures > 1):
            self._warned = True
            log.warning("%s cannot be used, %s: %s", self._name, self._consequence, error)

    def record_success(self) -> None:
        """Use the cache again."""
        self._open_until = float("-inf")
        self._failures = 0
        if self._warned:
            self._warned = False
            log.warning("%s can be used again", self._name)


def longest_wait(interval: float, count: int) -> float:
    """Return the seconds until a reserved request, if all workers that may wait have reserved theirs before."""
    return WAITING * interval * count


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut ``values`` into lists of at most ``size``."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


class Throttle:
    """Lets an event of each key pass once every ``interval`` seconds of ``clock``, which may be set back."""

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def start(self, key: str) -> None:
        """Count the interval of ``key`` from now."""
        with self._lock:
            self._last[key] = self._clock()

    def passes(self, key: str) -> bool:
        """Return whether the event of ``key`` that happens now may pass."""
        now = self._clock()
        with self._lock:
            last = self._last.get(key)
            if last is not None and abs(now - last) < self._interval:
                return False
            self._last[key] = now
            return True

    def end(self, key: str) -> None:
        """Forget ``key``."""
        with self._lock:
            self._last.pop(key, None)
