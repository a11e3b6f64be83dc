"""What the caches in SQLite and in Redis have in common."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .answers import PendingAnswers, scope_id, seal, unseal_many
from .base import Cache, Throttle
from .counts import PendingCounts
from .runs import RUNNING, UPDATE_EVERY, RunState

#: When something expires that never does, in seconds since 1970.
NEVER = 1e12

#: The caches of this process.
_CACHES: weakref.WeakSet[PersistentCache] = weakref.WeakSet()


class PersistentCache(Cache):
    """Seals and opens answers, lets answers and counts wait to be written, and thins out the records of runs.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pending = PendingAnswers()
        self._counts = PendingCounts()
        self._updates = Throttle(UPDATE_EVERY, clock)
        _CACHES.add(self)

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        keys = list(keys)
        found = self._pending.get_many(keys, self._clock())
        missing = [key for key in keys if key not in found] if found else keys
        if missing:
            found.update(self._read_answers(missing))
        return unseal_many(found)

    def put_many(
        self,
        values: Mapping[str, bytes],
        ttl: float | None = None,
        *,
        scope: str = "",
        counts: Mapping[str, float] | None = None,
    ) -> None:
        now = self._clock()
        expires = NEVER if ttl is None else now + ttl
        owner, written = scope_id(scope), int(now)
        self._pending.add({key: (seal(key, value, owner, written), expires) for key, value in values.items()})
        self._counts.add(scope, counts or {})
        if not self._write_pending():
            self._pending.trim()

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        if any(counts.values()):
            self._counts.add(scope, counts)
            self._write_pending()

    def usage(self, scope: str) -> dict[str, float]:
        counts = self._read_counts(scope)
        for name, value in self._counts.of(scope).items():
            counts[name] = counts.get(name, 0.0) + value
        return counts

    def get_fact(self, name: str) -> Any:
        stored = self._read_fact(name)
        try:
            return None if stored is None else json.loads(stored)
        except (TypeError, ValueError):  # damaged
            return None

    def run_update(self, run: str, *, done: int, errors: int, rate: float = 0.0, cost: float | None = None) -> None:
        if self._updates.passes(run):
            self._record(run, RunState(done, errors, RUNNING, rate, cost))

    def run_end(
        self,
        run: str,
        *,
        done: int,
        errors: int,
        state: str = "done",
        cost: float | None = None,
        audit: tuple[int, int] | None = None,
    ) -> None:
        self._updates.end(run)
        if self._pending or self._counts:
            self._write_pending(probe=True)
        self._record(run, RunState(done, errors, state, cost=cost, audit=audit))

    def _read_answers(self, keys: list[str]) -> Mapping[str, bytes]:
        """The sealed values of those of ``keys`` that are there and have not expired."""
        raise NotImplementedError

    def _write_pending(self, *, probe: bool = False) -> bool:
        """Write the answers and counts that wait, in one transaction; whether that worked.

        Args:
            probe: try it even while the cache is left alone, but without a wait.
        """
        raise NotImplementedError

    def _read_counts(self, scope: str) -> dict[str, float]:
        """The counters of ``scope`` that are written."""
        raise NotImplementedError

    def _read_fact(self, name: str) -> Any:
        """The JSON of a fact that is there and has not expired; else ``None``."""
        raise NotImplementedError

    def _record(self, run: str, now: RunState) -> None:
        """Record the state of a run."""
        raise NotImplementedError


def _after_fork_in_child() -> None:
    """Leave answers and counts to the process that waits to write them, and locks to the threads that hold them."""
    for cache in list(_CACHES):
        cache._pending = PendingAnswers()
        cache._counts = PendingCounts()
        cache._updates = Throttle(UPDATE_EVERY, cache._clock)


os.register_at_fork(after_in_child=_after_fork_in_child)
