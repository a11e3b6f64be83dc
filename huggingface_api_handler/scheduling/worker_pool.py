"""Lanes that carry out what the desk decides: threads, since sending blocks."""

from __future__ import annotations

import random as _random
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from ..errors import HuggingFaceError
from .batches import Batch, Item
from .results import BatchResult, Limits, RowResult, Summary, quantile
from .retry import RetryPolicy
from .scheduler import Scheduler
from .service_state import Reservation, ServiceState

__all__ = [
    "WorkerPool",
    "Item",
    "ServiceState",
    "Limits",
    "RetryPolicy",
    "RowResult",
    "BatchResult",
    "Summary",
    "quantile",
]

Send = Callable[[Sequence[Item], float], BatchResult]
Deliver = Callable[[list[RowResult]], None]
Claim = Callable[[float, int], "float | None"]


class WorkerPool:
    """Gets an answer for every item: how many at once, when, and again.

    Args:
        limits: what a run may use.
        state: what is known of the service; share one among all dispatchers of a process that
            send to the same service.
        retry: when to try again; default: by ``limits.max_retries``.
        clock: seconds that only grow.
        sleep: waits so many seconds; by default a lane that waits can be woken sooner.
        random: draws from [0, 1).
        claim: (seconds between two turns, how many) → seconds until the first of these turns in the
            pace that all workers share, or ``None``; without it ``requests_per_minute`` holds for
            those who share ``state``.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        state: ServiceState | None = None,
        retry: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        random: Callable[[], float] = _random.random,
        claim: Claim | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.state = state or ServiceState()
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._claim = claim

    def run(self, items: Iterable[Item], send: Send, deliver: Deliver, *, stop_on_error: bool = False) -> Summary:
        """Send all ``items`` and hand over what becomes of each, exactly once.

        Args:
            items: what needs an answer; they are sent roughly in this order.
            send: (items of one group, timeout in seconds) → their answers in order; raises
                ``HuggingFaceError``. Called from several threads at once.
            deliver: takes results as they become final, in any order; called from several
                threads at once.
            stop_on_error: send nothing more after the first error that cannot be mended.

        Returns:
            what the run came to; ``stopped`` says whether and why it ended early.

        Raises:
            BaseException: anything but a ``HuggingFaceError`` that ``send`` or ``deliver`` raises, and
                KeyboardInterrupt; the lanes have ended and every item has been delivered by then.
        """
        with self.state.lock:
            desk = Scheduler(
                items,
                self.limits,
                self.state,
                now=self._clock(),
                stop_on_error=stop_on_error,
                retry=self._retry,
                random=self._random,
                shared=self._claim is not None,
            )
        return _Run(desk, send, deliver, self._clock, self._sleep, self._claim).wait()


class _Run:
    """The lanes of one run.

    A lane that finds nothing to send waits. One of the waiting lanes, the watch, knows when there
    will be something; the others sleep until they are called. Whoever takes a batch calls the next.
    """

    def __init__(
        self,
        desk: Scheduler,
        send: Send,
        deliver: Deliver,
        clock: Callable[[], float],
        sleep: Callable[[float], None] | None,
        claim: Claim | None,
    ) -> None:
        self._desk = desk
        self._claim = claim
        self._send = send
        self._deliver = deliver
        self._clock = clock
        self._sleep = sleep
        self._lock = desk.state.lock
        self._called = threading.Condition(self._lock)
        self._ended = threading.Event()
        self._lanes: list[threading.Thread] = []
        self._idle = 0
        self._watched = False
        self._running = 0
        self._fault: BaseException | None = None
        self._lost = False

    def wait(self) -> Summary:
        desk = self._desk
        if desk.done:
            return desk.summary
        interrupt: BaseException | None = None
        with self._lock:
            self._start_lane()
        try:
            self._ended.wait()
        except BaseException as fault:  # an interrupt of the waiting thread: end in good order, then pass it on
            interrupt = fault
            with self._lock:
                desk.stop(fault)
                rest = desk.sweep(self._clock())
                self._called.notify_all()
            self._hand_over(rest)
            self._ended.wait()
        for lane in self._lanes:
            lane.join()
        if interrupt is not None:
            raise interrupt
        if self._fault is not None:
            raise self._fault
        return desk.summary

    def _start_lane(self) -> None:
        lane = threading.Thread(target=self._lane, name=f"huggingface-lane-{len(self._lanes)}", daemon=True)
        try:
            lane.start()
        except RuntimeError:
            # The system has no thread left to give; the lanes there are do the work.
            if not self._lanes:
                raise
        else:
            self._lanes.append(lane)
            self._running += 1

    def _lane(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._hand_over(self._carry(batch))
        except BaseException as fault:  # a fault of our own must not leave the other lanes waiting
            with self._lock:
                self._blame(fault)
                self._lost = True
                self._called.notify_all()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._ended.set()

    def _blame(self, fault: BaseException) -> None:
        if self._fault is None:
            self._fault = fault
        self._desk.stop(fault)

    def _next(self) -> Batch | None:
        """Wait for something to send; ``None``: there will be nothing more."""
        desk, called = self._desk, self._called
        while True:
            turns = None
            with self._lock:
                now = self._clock()
                lost = desk.sweep(now)
                if not lost:
                    if desk.done or self._lost:
                        called.notify_all()
                        return None
                    step = desk.take(now)
                    if isinstance(step, Batch):
                        self._call_next()
                        return step
                    if isinstance(step, Reservation):
                        turns = step
                    else:
                        self._wait(step - now)
            self._hand_over(lost)
            if turns is not None:
                self._claim_turns(turns)

    def _claim_turns(self, turns: Reservation) -> None:
        """Ask for turns; whoever keeps them may take a while, so the other lanes go on meanwhile."""
        wait = None
        try:
            if self._claim is not None:
                wait = self._claim(turns.gap, turns.count)
        finally:
            with self._lock:
                self._desk.claimed(turns, wait, self._clock())

    def _call_next(self) -> None:
        """See that another lane looks for work, if there may be some."""
        if self._desk.lanes() <= len(self._lanes) - self._idle:
            return
        if self._idle:
            self._called.notify()
        elif len(self._lanes) < self._desk.limits.max_concurrency:
            self._start_lane()

    def _wait(self, seconds: float) -> None:
        """Wait until called, or for ``seconds`` where no other lane keeps the watch. Needs the lock."""
        watch = not self._watched and seconds < threading.TIMEOUT_MAX
        self._idle += 1
        if watch:
            self._watched = True
        try:
            if watch and self._sleep is not None:
                self._lock.release()
                try:
                    self._sleep(seconds)
                finally:
                    self._lock.acquire()
            else:
                self._called.wait(seconds if watch else None)
        finally:
            self._idle -= 1
            if watch:
                self._watched = False

    def _carry(self, batch: Batch) -> list[RowResult]:
        desk, clock = self._desk, self._clock
        try:
            sent = self._send(batch.items, desk.timeout(batch.started))
        except HuggingFaceError as error:
            with self._lock:
                return self._returned(desk.failed(batch, error, clock()))
        except BaseException as fault:
            with self._lock:
                self._blame(fault)
                return self._returned(desk.broken(batch, fault, clock()))
        with self._lock:
            return self._returned(desk.answered(batch, sent, clock()))

    def _returned(self, results: list[RowResult]) -> list[RowResult]:
        if self._idle:
            # The limit may have grown, or a half of a list may be ready.
            self._called.notify()
        return results

    def _hand_over(self, results: list[RowResult]) -> None:
        if not results:
            return
        try:
            self._deliver(results)
        except BaseException as fault:
            with self._lock:
                self._blame(fault)
