"""The base of the caches in SQLite and in Redis."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .answers import PendingAnswers, scope_id, seal, unseal_many
from .base import Cache, Throttle
from .counts import PendingCounts
from .runs import UPDATE_EVERY, RunState

#: The caches of this process.
_CACHES: weakref.WeakSet[PersistentCache] = weakref.WeakSet()


class PersistentCache(Cache):
    """Seals and unseals answers, queues answers and counts for writing, and throttles the records of runs.

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
        ttl: float,
        *,
        scope: str = "",
        counts: Mapping[str, float] | None = None,
    ) -> None:
        now = self._clock()
        owner, written = scope_id(scope), int(now)
        self._pending.add({key: (seal(key, value, owner, written), now + ttl) for key, value in values.items()})
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

    def run_update(self, run: str, now: RunState) -> None:
        if self._updates.passes(run):
            self._record(run, now)

    def run_end(self, run: str, now: RunState) -> None:
        self._updates.end(run)
        if self._pending or self._counts:
            self._write_pending(probe=True)
        self._record(run, now)

    def _read_answers(self, keys: list[str]) -> Mapping[str, bytes]:
        """Return the sealed values of those of ``keys`` that are there and have not expired."""
        raise NotImplementedError

    def _write_pending(self, *, probe: bool = False) -> bool:
        """Write the answers and counts that wait, in one transaction; whether that worked.

        Args:
            probe: try it even while the cache is not used after a failure, but without a wait.
        """
        raise NotImplementedError

    def _read_counts(self, scope: str) -> dict[str, float]:
        """Return the counters of ``scope`` that are written."""
        raise NotImplementedError

    def _read_fact(self, name: str) -> Any:
        """Return the JSON of a fact that is there and has not expired; else ``None``."""
        raise NotImplementedError

    def _record(self, run: str, now: RunState) -> None:
        """Record the state of a run."""
        raise NotImplementedError


def _after_fork_in_child() -> None:
    """Drop the pending answers and counts, which the parent process writes, and locks that its threads may hold."""
    for cache in list(_CACHES):
        cache._pending = PendingAnswers()
        cache._counts = PendingCounts()
        cache._updates = Throttle(UPDATE_EVERY, cache._clock)


os.register_at_fork(after_in_child=_after_fork_in_child)
