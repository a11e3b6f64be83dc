"""The threads that send what the scheduler decides; threads, since sending blocks."""

from __future__ import annotations

import logging
import random as _random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..cache.budgets import Draw, Grant
from ..errors import HuggingFaceError
from .batches import Batch, Item
from .budget import CostBudget
from .results import BatchResult, Limits, RowResult, Summary
from .retry import RetryPolicy
from .scheduler import Scheduler
from .service_state import ServiceState
from .token_bucket import Reservation

log = logging.getLogger(__name__)

Send = Callable[[Sequence[Item], float], BatchResult]
Deliver = Callable[[list[RowResult]], None]
Reserve = Callable[[float, int], "float | None"]
Finished = Callable[[Summary], None]
Report = Callable[[Summary], None]
Hold = Callable[[Draw], "Grant | None"]

#: Seconds between two reports of what a run has spent.
REPORT_EVERY = 1.0


def _ignore(summary: Summary) -> None:
    """Do nothing with the counts of a run."""


@dataclass(eq=False)
class WorkerPool:
    """Gets an answer for every item: how many at once, when, and again.

    Args:
        limits: what a run may use.
        states: what is known of each service, in order of preference; share one among all pools of a process
            that send to the same service. They have the same lock.
        retry: when to try again; default: by ``limits.max_retries``.
        clock: seconds that only grow.
        sleep: waits so many seconds; by default a worker that waits can be woken sooner.
        random: draws from [0, 1).
        reserve: (seconds between two tokens, how many) → seconds until the first of these tokens in the
            rate that all workers share, or ``None``; without it ``requests_per_minute`` holds for
            those who share ``state``.
        hold: makes a draw on the budget of the day, which all workers share; ``None``: it failed.
    """

    limits: Limits = field(default_factory=Limits)
    states: Sequence[ServiceState] = field(default_factory=lambda: (ServiceState(),))
    retry: RetryPolicy | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None
    random: Callable[[], float] = _random.random
    reserve: Reserve | None = None
    hold: Hold | None = None

    def __post_init__(self) -> None:
        self._runs: set[_Run] = set()

    def stop(self, cause: HuggingFaceError, grace: float) -> None:
        """Send nothing more in the runs of this pool. Returns when they have ended, or after ``grace`` seconds.

        A run whose requests have not returned by then ends without them. They are not aborted, since they may be
        billed: what they return is delivered when it arrives.
        """
        for run in list(self._runs):
            run.stop(cause, grace)

    def run(
        self,
        items: Iterable[Item],
        send: Send | Sequence[Send],
        deliver: Deliver,
        *,
        stop_on_error: bool = False,
        began: float | None = None,
        finished: Finished = _ignore,
        report: Report | None = None,
        costs: CostBudget | None = None,
    ) -> Summary:
        """Send all ``items`` and deliver the result of each, exactly once.

        Args:
            items: what needs an answer; they are sent roughly in this order.
            send: (items of one group, timeout in seconds) → their answers in order; raises
                ``HuggingFaceError``. Called from several threads at once. One for each service.
            deliver: takes results as they become final, in any order; called from several
                threads at once.
            stop_on_error: send nothing more after the first error that retries cannot fix.
            report: is shown the counts whenever a request has returned, before ``deliver`` takes the results that
                they include; holds up all workers, so must be quick.
            began: when the query began, by the clock: its deadline counts from there; default: now.
            costs: what the run may spend; ``None``: no such limit. One with a budget of the day needs ``hold``.
            finished: takes the final counts, unless an exception is raised: before this method returns, or, if
                ``stop`` left requests behind, from another thread when the last of them has returned.

        Returns:
            the counts of the run; ``stopped`` says whether and why it ended early.

        Raises:
            BaseException: anything but a ``HuggingFaceError`` that ``send`` or ``deliver`` raises, and
                KeyboardInterrupt; the workers have ended and every item has been delivered by then.
        """
        with self.states[0].lock:
            scheduler = Scheduler(
                items,
                self.limits,
                *self.states,
                now=self.clock() if began is None else began,
                stop_on_error=stop_on_error,
                retry=self.retry,
                random=self.random,
                shared=self.reserve is not None,
                costs=costs,
            )
        run = _Run(self, scheduler, [send] if callable(send) else send, deliver, report, costs)
        self._runs.add(run)
        try:
            return run.wait(finished)
        finally:
            self._runs.discard(run)


class _Run:
    """The workers of one run.

    A worker that finds nothing to send waits. One of the waiting workers, the timer, knows when there
    will be something; the others sleep until they are woken. A worker that takes a batch wakes the next.
    """

    def __init__(
        self,
        pool: WorkerPool,
        scheduler: Scheduler,
        sends: Sequence[Send],
        deliver: Deliver,
        report: Report | None,
        costs: CostBudget | None,
    ) -> None:
        self._pool = pool
        self._scheduler = scheduler
        self._sends = sends
        self._deliver = deliver
        self._report = report
        self._costs = costs
        self._lock = scheduler.lock
        self._woken = threading.Condition(self._lock)
        self._ended = threading.Event()
        self._released = threading.Event()
        self._left_behind = False
        self._workers: list[threading.Thread] = []
        self._idle = 0
        self._has_timer = False
        self._running = 0
        self._exception: BaseException | None = None
        self._aborted = False

    def stop(self, cause: HuggingFaceError, grace: float) -> None:
        """Send nothing more; after ``grace`` seconds, end without the requests that have not returned."""
        self._give_up(cause)
        if self._ended.wait(grace):
            return
        with self._lock:
            self._left_behind = bool(self._running)
        self._released.set()

    def _give_up(self, cause: BaseException) -> None:
        with self._lock:
            self._scheduler.stop(cause)
            rest = self._scheduler.sweep(self._pool.clock())
            self._woken.notify_all()
        self._hand_over(rest)

    def wait(self, finished: Finished) -> Summary:
        """Start the first worker, wait until all have ended or are left behind, and return the counts."""
        scheduler = self._scheduler
        if scheduler.done:
            finished(scheduler.summary)
            return scheduler.summary
        interrupt: BaseException | None = None
        with self._lock:
            self._start_worker()
        try:
            self._wait_for(self._released)
        except BaseException as exception:  # an interrupt of the waiting thread: end cleanly, then pass it on
            interrupt = exception
            self._give_up(exception)
            self._wait_for(self._ended)
        with self._lock:
            is_left_behind = self._left_behind and interrupt is None
            summary = replace(scheduler.summary)
        if is_left_behind:
            end = threading.Thread(target=self._end_later, args=(finished,), name="huggingface-workers", daemon=True)
            end.start()
            return summary
        for worker in self._workers:
            worker.join()
        self._report_costs(closes=True)
        if interrupt is not None:
            raise interrupt
        if self._exception is not None:
            raise self._exception
        finished(scheduler.summary)
        return scheduler.summary

    def _end_later(self, finished: Finished) -> None:
        """Wait for the requests that were left behind; meanwhile what they may cost stays held."""
        self._wait_for(self._ended)
        if self._exception is not None:
            log.error("a request that a stopped query left behind failed", exc_info=self._exception)
        self._report_costs(closes=True)
        finished(self._scheduler.summary)

    def _wait_for(self, event: threading.Event) -> None:
        """Wait for ``event``; meanwhile report what is spent, which keeps what is held."""
        is_shared = self._costs is not None and bool(self._costs.shared)
        while not event.wait(REPORT_EVERY if is_shared else None):
            self._report_costs()

    def _report_costs(self, *, closes: bool = False) -> None:
        if self._costs is not None:
            with self._lock:
                draws = self._costs.report(self._pool.clock(), closes=closes)
            self._make_draws(self._costs, draws)

    def _make_draws(self, costs: CostBudget, draws: Sequence[Draw]) -> None:
        """Make draws. That may take a while, so it holds no lock."""
        grants: list[Grant | None] = [None] * len(draws)
        try:
            if self._pool.hold is not None:
                grants = [self._pool.hold(draw) for draw in draws]
        finally:
            with self._lock:
                for draw, grant in zip(draws, grants, strict=True):
                    costs.granted(draw, grant, self._pool.clock())

    def _start_worker(self) -> None:
        name = f"huggingface-worker-{len(self._workers)}"
        worker = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            worker.start()
        except RuntimeError:
            # The system has no thread left; the workers that run do the work.
            if not self._workers:
                raise
        else:
            self._workers.append(worker)
            self._running += 1

    def _work(self) -> None:
        try:
            while (batch := self._next()) is not None:
                self._hand_over(self._carry_out(batch))
        except BaseException as exception:  # a bug of our own must not leave the other workers waiting
            with self._lock:
                self._stop(exception)
                self._aborted = True
                self._woken.notify_all()
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._ended.set()
                    self._released.set()

    def _stop(self, exception: BaseException) -> None:
        if self._exception is None:
            self._exception = exception
        self._scheduler.stop(exception)

    def _next(self) -> Batch | None:
        """Wait for something to send; ``None``: there will be nothing more."""
        scheduler, woken = self._scheduler, self._woken
        while True:
            first: Reservation | Draw | None = None
            with self._lock:
                now = self._pool.clock()
                results = scheduler.sweep(now)
                if not results:
                    if scheduler.done or self._aborted:
                        woken.notify_all()
                        return None
                    step = scheduler.take(now)
                    if isinstance(step, Batch):
                        self._wake_next()
                        return step
                    if isinstance(step, (Reservation, Draw)):
                        first = step
                    elif step > now:
                        self._wait(step - now)
            self._hand_over(results)
            if isinstance(first, Reservation):
                self._make(first)
            elif first is not None and self._costs is not None:
                self._make_draws(self._costs, [first])

    def _make(self, reservation: Reservation) -> None:
        """Make a reservation. That may take a while, so it holds no lock."""
        wait = None
        try:
            if self._pool.reserve is not None:
                wait = self._pool.reserve(reservation.gap, reservation.count)
        finally:
            with self._lock:
                self._scheduler.reserved(reservation, wait, self._pool.clock())

    def _wake_next(self) -> None:
        """See that another worker looks for work, if there may be some."""
        if self._scheduler.workers() <= len(self._workers) - self._idle:
            return
        if self._idle:
            self._woken.notify()
        elif len(self._workers) < self._scheduler.limits.max_concurrency:
            self._start_worker()

    def _wait(self, seconds: float) -> None:
        """Wait until woken, or for ``seconds`` if no other worker is the timer. Needs the lock."""
        is_timer = not self._has_timer and seconds < threading.TIMEOUT_MAX
        self._idle += 1
        if is_timer:
            self._has_timer = True
        try:
            if is_timer and self._pool.sleep is not None:
                self._lock.release()
                try:
                    self._pool.sleep(seconds)
                finally:
                    self._lock.acquire()
            else:
                self._woken.wait(seconds if is_timer else None)
        finally:
            self._idle -= 1
            if is_timer:
                self._has_timer = False

    def _carry_out(self, batch: Batch) -> list[RowResult]:
        scheduler, clock = self._scheduler, self._pool.clock
        try:
            sent = self._sends[batch.service](batch.items, scheduler.timeout(batch.started))
        except HuggingFaceError as error:
            with self._lock:
                return self._returned(scheduler.failed(batch, error, clock()))
        except BaseException as exception:
            with self._lock:
                self._stop(exception)
                return self._returned(scheduler.crashed(batch, exception, clock()))
        with self._lock:
            return self._returned(scheduler.answered(batch, sent, clock()))

    def _returned(self, results: list[RowResult]) -> list[RowResult]:
        if self._idle:
            # The limit may have grown, or a part of a batch may be ready.
            self._woken.notify()
        if self._report is not None:
            self._report(self._scheduler.summary)
        return results

    def _hand_over(self, results: list[RowResult]) -> None:
        if not results:
            return
        try:
            self._deliver(results)
        except BaseException as exception:
            with self._lock:
                self._stop(exception)
