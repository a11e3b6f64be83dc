"""Every decision of one run: what goes out when, and what becomes of it when it is back.

The desk has no threads, sends nothing and reads no clock: whoever runs it hands in the time
and does as told. So a run can be played through in virtual time.
"""

from __future__ import annotations

import heapq
import math
import random as _random
from collections import deque
from collections.abc import Callable, Iterable

from ..errors import (
    BudgetExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    HuggingFaceError,
    InvalidAnswer,
    ModelLoading,
    NotAttempted,
    RateLimited,
    ServiceTimeout,
    Unavailable,
)
from .batches import Batch, Item, Queue, fair_share
from .results import BatchResult, Limits, RowResult, Summary, latency_step, quantile
from .retry import RetryPolicy
from .service_state import Reservation, ServiceState

__all__ = ["Scheduler", "Limits", "RowResult", "BatchResult", "Summary", "quantile"]


class Scheduler:
    """One run, as a chain of decisions.

    Ask ``take`` what to send, then report what came of it to ``answered``, ``failed`` or
    ``broken``; each returns the results that are final. Every item has exactly one. Where the
    pace is ``shared`` with other workers, ``take`` says when turns are to be claimed.
    """

    def __init__(
        self,
        items: Iterable[Item],
        limits: Limits,
        state: ServiceState,
        *,
        now: float,
        stop_on_error: bool = False,
        retry: RetryPolicy | None = None,
        random: Callable[[], float] = _random.random,
        shared: bool = False,
    ) -> None:
        self.limits = limits
        self.state = state
        self.summary = Summary()
        self._retry = retry or RetryPolicy(limits.max_retries)
        self._random = random
        self._shared = shared
        self._stop_on_error = stop_on_error
        self._queue = Queue(items)
        self._away: dict[int, Batch] = {}
        self._began = now
        self._deadline = math.inf if limits.deadline is None else now + limits.deadline
        self._recent: deque[bool] = deque(maxlen=64)
        self._first_size = 1
        #: Time of the last answer, to tell a service that is down from a row that is bad.
        self._last_success = -math.inf

    @property
    def done(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        return not self._queue.waiting and not self._away

    @property
    def stopped(self) -> bool:
        return self.summary.stopped is not None

    # What to send

    def lanes(self) -> int:
        """How many lanes have something to do now or soon."""
        waiting = self._queue.waiting
        return min(self.state.concurrency.limit(self.limits.max_concurrency), len(self._away) + waiting)

    def take(self, now: float) -> Batch | Reservation | float:
        """The next batch to send, or the time before which there is none (infinity: ask again
        when something has come back), or turns to claim first and to report to ``claimed``."""
        if not self._queue.waiting or self._spent(now):
            return math.inf
        if len(self._away) >= self.state.concurrency.limit(self.limits.max_concurrency):
            return math.inf
        at = max(self._queue.due(now), self._gate(now))
        if at > now:
            return min(at, self._deadline)
        turns = self._turns(now)
        if turns is not None:
            return turns
        batch = self._queue.again(now)
        if batch is None:
            batch = self._queue.take(self._size(now), self.limits.max_batch_bytes)
        elif len(batch) > self.state.lists.cap:
            batch, *others = batch.split(int(self.state.lists.cap))
            self._queue.ready_again(others)
        self._sent(batch, now)
        return batch

    def claimed(self, turns: Reservation, wait: float | None, now: float) -> None:
        """What has come of a claim: seconds to wait for the first turn; ``None``: there is none to be had."""
        self.state.bucket.grant(now, turns, wait)

    def _turns(self, now: float) -> Reservation | float | None:
        """What stands between a request that may go and its turn in a pace that all workers share."""
        per_minute, bucket = self.limits.requests_per_minute, self.state.bucket
        if not self._shared or not per_minute or not bucket.lacks_turn(now, per_minute):
            return None
        return Reservation.at(per_minute) if bucket.begin_claim() else min(now + bucket.LOOK, self._deadline)

    def timeout(self, now: float) -> float:
        """Seconds that a request sent now may take."""
        return max(0.001, min(self.limits.timeout, self._deadline - now))

    def _spent(self, now: float) -> bool:
        most = self.limits.max_requests
        return now >= self._deadline or (most is not None and self.summary.requests >= most)

    def _gate(self, now: float) -> float:
        state = self.state
        at = max(state.pause_until, state.loading_until, state.rate.due(now))
        return max(at, state.bucket.due(now)) if self.limits.requests_per_minute else at

    def _sent(self, batch: Batch, now: float) -> None:
        state, summary = self.state, self.summary
        state.rate.sent(now)
        if self.limits.requests_per_minute:
            state.bucket.sent(now, self.limits.requests_per_minute)
        summary.requests += 1
        summary.retries += batch.attempts > 0
        batch.attempts += 1
        batch.started = now
        if batch.born is None:
            batch.born = now
        self._away[id(batch)] = batch
        batch.crowd = len(self._away)
        summary.lanes = max(summary.lanes, batch.crowd)

    def _size(self, now: float) -> int:
        """How many fresh items the next request should hold: as few as keep all lanes busy."""
        limits, state = self.limits, self.state
        most = int(min(limits.max_batch_size, state.lists.cap))
        if most <= 1:
            return 1
        cost, rows = state.cost, self._queue.fresh
        limit = state.concurrency.limit(limits.max_concurrency)
        lanes = min(limits.max_concurrency, 2 * limit) if state.concurrency.growing else limit
        least = 1
        if limits.max_requests is not None:
            least = math.ceil(rows / max(1, limits.max_requests - self.summary.requests))
        pace = min(state.rate.rate, (limits.requests_per_minute or math.inf) / 60.0)
        if cost.known:
            # No more lanes than that are busy at this pace, by Little's law.
            busy = lanes if pace == math.inf else min(lanes, max(1, math.ceil(pace * cost.of(most))))
            share = self._share(rows, busy, now)
            # At a pace that keeps few lanes busy another one brings nothing, and requests are what is scarce.
            room = busy >= lanes and limit < limits.max_concurrency
            opening = state.concurrency.growing and room and cost.stretch < 1.5
            if opening and cost.each > 0.0:
                # Each list that comes back opens another lane, so it had better come back soon:
                # no longer than it takes for the fixed part of its cost to be small.
                share = min(share, 8.0 * cost.fixed / cost.each)
            while most > 1 and cost.of(most) * cost.stretch > limits.timeout / 4.0:
                most //= 2
            if most < share < math.inf:
                # The slot's share takes several lists: equal ones, so that no short one is left at the end.
                share /= round(share / most)
            if cost.each > 0.0 and not opening:
                # A shorter list would cost more for being a list than for its rows.
                share = max(share, cost.fixed / cost.each)
        else:
            # Lists of several sizes show what a request costs and what a row; long ones come last,
            # since it is not known yet how long they take, or whether the service takes any.
            # At a slow pace that costs more than it brings.
            share = min(self._first_size if pace > 10.0 else most, rows / min(lanes, max(pace, 1.0)))
            share = min(share, limits.timeout / 4.0 / max(cost.at_most, 1e-9))
            self._first_size *= 2
        return max(1, min(math.ceil(min(share, most)), most), min(least, most))

    def _share(self, rows: int, lanes: int, now: float) -> float:
        """The rows that the next list should take so that the service's slots end together."""
        cost = self.state.cost
        slots = max(1, round(cost.slots(lanes)))
        free = [-math.inf] * slots
        longest = 0.0
        # Requests that the service has not begun wait, in the order in which they were sent, for a slot.
        for batch in self._away.values():
            began = max(free[0], batch.started - now)
            takes = cost.of(len(batch))
            heapq.heapreplace(free, began + takes)
            # Halves of a list that failed may have to be halved again, down to the guilty row.
            longest = max(longest, began + (2.0 * takes if batch.parent and len(batch) > 1 else takes))
        first = max(0.0, free[0])
        each = (cost.of(32) - cost.of(1)) / 31.0
        share = fair_share(rows, [max(0.0, at - first) for at in free[1:]], 1, each)
        if each > 0.0:
            # Nobody gains by a list that ends before all that is under way: shorter ones are only more requests.
            share = max(share, min(rows, math.floor((longest - first - cost.of(0)) / each + 1e-6)))
        return share

    # What came of it

    def answered(self, batch: Batch, sent: BatchResult, now: float) -> list[RowResult]:
        """``batch`` has an answer."""
        answers, size = sent.answers, len(batch)
        if len(answers) != size:
            return self.failed(
                batch, InvalidAnswer(f"{size} inputs were sent and {len(answers)} answers came back"), now
            )
        self._back(batch)
        seconds = now - batch.started
        self._went_through(batch, seconds, now)
        summary = self.summary
        summary.compute_seconds += sent.compute_seconds or 0.0
        summary.tokens += sent.tokens or 0
        attempts = batch.attempts
        results: list[RowResult] = []
        for at, (item, answer) in enumerate(zip(batch.items, answers, strict=True)):
            if isinstance(answer, HuggingFaceError):
                results += self._mend(batch.part(at, at + 1), answer, now)
            else:
                results.append(sent.fill(answer, item, attempts, seconds))
                summary.rows += 1
        return self._settle(results, now)

    def failed(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        """The request of ``batch`` ended in ``error``."""
        self._back(batch)
        self._recent.append(False)
        self._learn(batch, error, now)
        cut = isinstance(error, ServiceTimeout) and batch.started + self.limits.timeout > self._deadline
        if cut and error.retryable:  # by the query's own deadline; what has begun and is paid for says so itself
            return self._settle(self._fail(batch, _chain(self._too_late(error), error), now), now)
        return self._settle(self._mend(batch, error, now), now)

    def broken(self, batch: Batch, fault: BaseException, now: float) -> list[RowResult]:
        """Sending ``batch`` met a fault that is no service's: a bug, an interrupt. The run ends."""
        self._back(batch)
        self.stop(fault)
        return self._settle(self._fail(batch, _not_attempted(fault), now), now)

    def stop(self, cause: BaseException) -> None:
        """Send nothing more; what is on its way may still come back."""
        if self.summary.stopped is None:
            self.summary.stopped = cause

    def sweep(self, now: float) -> list[RowResult]:
        """End what waits if nothing more may be sent."""
        return self._settle([], now)

    def _back(self, batch: Batch) -> None:
        del self._away[id(batch)]

    def _went_through(self, batch: Batch, seconds: float, now: float) -> None:
        state, size = self.state, len(batch)
        self._recent.append(True)
        self._last_success = now
        self.summary.latencies[latency_step(seconds)] += 1
        state.cost.observe(size, seconds, batch.crowd)
        cost, limits = state.cost, self.limits
        state.concurrency.succeeded(batch.crowd, limits.max_concurrency, cost.stretch, cost.usual / limits.timeout)
        state.rate.succeeded(batch.started, now)
        if size > 1:
            state.lists.went_through(size)
        parent = batch.parent
        if parent is not None:
            parent.answered += size
            if parent.answered == parent.size:
                state.lists.too_long(parent.size)
        # Whatever was loading answers: the pause it asked for is over.
        state.loading_until = -math.inf

    def _learn(self, batch: Batch, error: HuggingFaceError, now: float) -> None:
        state = self.state
        enough = 1.0
        if not error.retryable:
            # It answers, and there is room for more.
            state.concurrency.succeeded(batch.crowd, self.limits.max_concurrency, state.cost.stretch)
        if isinstance(error, RateLimited):
            self.summary.throttled += 1
            state.rate.refused(batch.started, now, self._retry.pause(error.retry_after or 0.0))
            if state.rate.rate < math.inf:
                # So many are on their way at that pace (Little's law); the pace is what the service minds.
                enough = 1.0 + state.rate.rate * state.cost.usual
        # A kept connection that the server closed asks for a retry without a pause: no sign of overload.
        closed = isinstance(error, ConnectionFailed) and error.retry_after is not None
        overloads = (RateLimited, ModelLoading, Unavailable, ServiceTimeout, ConnectionFailed)
        if isinstance(error, overloads) and not closed:
            state.concurrency.overloaded(batch.started, now, batch.crowd, enough)
        # A refusal by chance, as by one of several servers, asks for a pause of this request alone.
        by_chance = isinstance(error, RateLimited) and state.rate.deaf(now)
        if error.retryable and error.retry_after is not None and not by_chance:
            until = now + self._retry.pause(error.retry_after)
            if not isinstance(error, ModelLoading):
                state.pause_until = max(state.pause_until, until)
            elif self._last_success < batch.started - 1.0:
                # Had it answered a moment ago, it would be one of several servers that is loading.
                state.loading_until = max(state.loading_until, until)

    def _mend(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        """See to it that the items of ``batch`` go out again, or give them up."""
        if error.fatal:
            self.stop(error)
            return self._fail(batch, error, now)
        if self.stopped:
            return self._fail(batch, error, now)
        size = len(batch)
        if error.divisible and not error.retryable and size > 1:
            self._halve(batch)
            return []
        if error.retryable and now >= self._deadline:
            return self._fail(batch, _chain(self._too_late(error), error), now)
        if error.retryable and not self._in_turn(batch, error):
            batch.tries += 1
        batch.error = error
        delay = self._retry.delay(error, max(batch.tries, 1), self._random)
        if delay is None:
            return self._last_resort(batch, error, now)
        if now + delay >= self._deadline:
            return self._fail(batch, _chain(self._too_late(error), error), now)
        batch.due = now + delay
        if size > 1 and isinstance(error, ServiceTimeout):
            for part in batch.split((size + 1) // 2):
                self._queue.later(part)
        else:
            self._queue.later(batch)
        return []

    def _in_turn(self, batch: Batch, error: HuggingFaceError) -> bool:
        """Whether ``batch`` was only told to wait its turn while others had theirs: that is no failed try of it."""
        rounds = self._retry.max_retries
        passing = batch.born is not None and self._last_success > batch.born and self._healthy
        return isinstance(error, RateLimited) and passing and batch.attempts <= 4 * rounds

    def _last_resort(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        """All tries are used up. While the service answers others, a list may hold one bad row,
        and a row alone may have had bad luck: it gets one more round when all others are done."""
        rounds = self._retry.max_retries
        # At the end of a run there may be no others left to tell by: what has passed lately speaks for the service.
        others_pass = self._healthy or (batch.born is not None and self._last_success > batch.born)
        if not error.retryable or not rounds:
            return self._fail(batch, error, now)
        if len(batch) > 1 and (others_pass or not batch.second_round):
            batch.tries, batch.second_round = max(0, rounds - 2), True
            parts = batch.split((len(batch) + 1) // 2)
            for part in parts:
                part.born = now
            self.summary.splits += 1
            self._queue.ready_again(parts)
            return []
        if len(batch) == 1 and others_pass and not batch.second_round and self._healthy:
            batch.tries, batch.second_round = 1, True
            self._queue.last(batch)
            return []
        return self._fail(batch, error, now)

    @property
    def _healthy(self) -> bool:
        """Whether a good part of the requests gets through."""
        return sum(self._recent) * 4 >= len(self._recent)

    def _halve(self, batch: Batch) -> None:
        cap = self.state.lists.cap
        parts = batch.split(int(cap)) if len(batch) > cap else batch.halves()
        self.summary.splits += 1
        self._queue.ready_again(parts)

    def _fail(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        attempts = batch.attempts
        if attempts and error.attempts is None:
            error = error.with_facts(attempts=attempts)
        if self._stop_on_error and not self.stopped:
            self.stop(error)
        self.summary.errors[error.code] += len(batch)
        seconds = now - batch.started if attempts else 0.0
        return [
            RowResult(error=error, attempts=attempts, latency=seconds, request_id=error.request_id, item=item)
            for item in batch.items
        ]

    def _settle(self, results: list[RowResult], now: float) -> list[RowResult]:
        """Add what can no longer be sent, and keep count."""
        reason = self._reason(now) if self._queue.waiting else None
        if reason is not None:
            late = isinstance(reason, DeadlineExceeded)
            for batch in self._queue.drain():
                met = batch.error
                error = reason if met is None else _chain(self._too_late(met) if late else reason.with_facts(), met)
                results += self._fail(batch, error, now)
        if self.done:
            self.summary.seconds = now - self._began
        return results

    def _too_late(self, met: HuggingFaceError | None = None) -> DeadlineExceeded:
        # A try that the deadline itself cut short says nothing of the service.
        why = "" if met is None or isinstance(met, ServiceTimeout) else f"; the last try ended so: {met.message}"
        return DeadlineExceeded(
            f"the query's deadline of {self.limits.deadline:g} seconds leaves no time for it{why}",
            advice="Run the query again, or raise deadline",
        )

    def _reason(self, now: float) -> HuggingFaceError | None:
        """Why nothing more may be sent, if so."""
        stopped = self.summary.stopped
        if stopped is not None:
            return _not_attempted(stopped)
        if now >= self._deadline:
            return self._too_late()
        if self._spent(now):
            return BudgetExceeded(
                f"the query has made the requests that max_requests = {self.limits.max_requests} allows",
                advice="Run the query again, or raise max_requests",
            )
        return None


def _chain(error: HuggingFaceError, cause: BaseException) -> HuggingFaceError:
    error.__cause__ = cause
    return error


def _not_attempted(cause: BaseException) -> HuggingFaceError:
    why = cause.message if isinstance(cause, HuggingFaceError) else type(cause).__name__
    return _chain(
        NotAttempted(
            f"not sent, since the query had ended: {why}", advice="Mend that, then run the query again for the rest"
        ),
        cause,
    )
