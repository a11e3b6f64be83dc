"""What is kept between queries, whatever keeps it: answers, counters, and how far runs are."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two notes of how far a run is.
NOTE_EVERY = 1.0
#: Seconds for which a store that failed is left alone.
LEAVE_ALONE = 30.0
#: Answers that wait at the most for a store that cannot be written to.
PENDING = 20_000
#: Runs of one scope that are remembered, and for how many seconds.
RUNS_KEPT = 100
RUNS_KEPT_FOR = 30 * 86400.0

#: Seconds of a pace that a worker who has been idle may make up for.
CREDIT = 0.05
#: Workers that can wait for a turn at the same time. A turn that is further away than all of theirs
#: was noted before a clock was set back.
WAITING = 256

RUNNING = "running"
#: State of a run whose process has gone without saying so.
LOST = "lost"


@dataclass(frozen=True, slots=True)
class Run:
    """How far a prediction is.

    Attributes:
        run: its id.
        scope: whose it is, as in the counters.
        rows: inputs to send; ``done`` of them have an answer or an error, ``errors`` an error.
        started, updated: seconds since 1970.
        state: ``running``, ``lost``, or what it ended in.
        pid, host: the process that does, or did, it.
        rate: inputs a second of late, as the process last said; 0: it has not.
    """

    run: str
    scope: str
    model: str
    task: str
    rows: int
    done: int = 0
    errors: int = 0
    started: float = 0.0
    updated: float = 0.0
    state: str = RUNNING
    pid: int = 0
    host: str = ""
    rate: float = 0.0


class Cache(Protocol):
    """Keeps what should outlive a query. It never raises for what befalls it: without it all goes on.

    Keys are opaque text of the caller's; values are bytes. All of it may be called from several
    threads and several processes at once.
    """

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values of those of ``keys`` that are there and have not expired."""
        ...

    def put_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Keep ``values`` for ``ttl`` seconds; once it returns they outlive this process."""
        ...

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        """Add ``counts`` to the counters of ``scope``."""
        ...

    def usage(self, scope: str) -> dict[str, float]:
        """The counters of ``scope``, over all processes."""
        ...

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int, pid: int | None = None) -> None:
        """Note that a run has begun."""
        ...

    def run_update(self, run: str, *, done: int, errors: int, rate: float = 0.0) -> None:
        """Note how far a run is, and how fast of late; at most once a second is it written."""
        ...

    def run_end(self, run: str, *, done: int, errors: int, state: str = "done") -> None:
        """Note that a run has ended."""
        ...

    def runs(self, scope: str) -> list[Run]:
        """Running and recent runs of ``scope``, newest first."""
        ...

    def claim(self, pace: str, gap: float, count: int = 1) -> float | None:
        """Take the next ``count`` turns, ``gap`` seconds apart, of those that all who name ``pace`` share.

        Returns:
            seconds until the first of them; ``None`` where nobody keeps turns: each is on its own.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class NoCache:
    """Keeps nothing."""

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {}

    def put_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        return

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        return

    def usage(self, scope: str) -> dict[str, float]:
        return {}

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int, pid: int | None = None) -> None:
        return

    def run_update(self, run: str, *, done: int, errors: int, rate: float = 0.0) -> None:
        return

    def run_end(self, run: str, *, done: int, errors: int, state: str = "done") -> None:
        return

    def runs(self, scope: str) -> list[Run]:
        return []

    def claim(self, pace: str, gap: float, count: int = 1) -> float | None:
        return None

    def close(self) -> None:
        return


def furthest(gap: float, count: int) -> float:
    """Seconds that a turn can be away, if all who may wait have one."""
    return WAITING * gap * count


def pace_trouble(name: str) -> CircuitBreaker:
    """Where turns cannot be shared."""
    return CircuitBreaker(name, without="requests_per_minute holds for each worker by itself")


def portions(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut ``values`` into lists of at most ``size``."""
    rest = iter(values)
    while portion := list(islice(rest, size)):
        yield portion


def this_process(pid: int | None) -> tuple[int, str]:
    """Process id and host that a run is noted under."""
    return (os.getpid() if pid is None else pid), socket.gethostname()


def seen_from_here(run: Run, now: float) -> Run:
    """``run``, or what has become of it if its process went without a word."""
    if run.state != RUNNING or not run.pid:
        return run
    if run.host == socket.gethostname():
        try:
            os.kill(run.pid, 0)
        except ProcessLookupError:
            return replace(run, state=LOST)
        except OSError:
            pass
        return run
    # On another host there is only its silence to go by.
    return replace(run, state=LOST) if now - run.updated > 3600.0 else run


class Throttle:
    """Lets one note of each run through every ``NOTE_EVERY`` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def start(self, run: str) -> None:
        with self._lock:
            self._last[run] = self._clock()

    def may_pass(self, run: str) -> bool:
        now = self._clock()
        with self._lock:
            if now - self._last.get(run, float("-inf")) < NOTE_EVERY:
                return False
            self._last[run] = now
            return True

    def end(self, run: str) -> None:
        with self._lock:
            self._last.pop(run, None)


class CircuitBreaker:
    """Remembers that a store has failed: it is warned of once and left alone for a while."""

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        *,
        without: str = "predictions go on without it",
    ) -> None:
        self._name = name
        self._without = without
        self._clock = clock
        self._until = float("-inf")
        self._warned = False

    @property
    def lasts(self) -> bool:
        """Whether the store is to be left alone."""
        return self._clock() < self._until

    def met(self, why: object) -> None:
        """The store has just failed."""
        self._until = self._clock() + LEAVE_ALONE
        if not self._warned:
            self._warned = True
            log.warning("%s cannot be used, %s: %s", self._name, self._without, why)

    def over(self) -> None:
        """The store has just worked."""
        if self._warned:
            self._warned = False
            log.warning("%s can be used again", self._name)
