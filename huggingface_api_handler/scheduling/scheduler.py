"""All decisions of one run: what is sent when, and what follows from each response.

The scheduler has no threads, sends nothing and reads no clock: the code that runs it passes the time
and does as it says. So a run can be played through in virtual time.
"""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable, Iterable

from ..cache.budgets import Draw
from ..errors import (
    ConnectionFailed,
    DeadlineExceeded,
    HuggingFaceError,
    InvalidAnswer,
    ModelError,
    ModelLoading,
    RateLimited,
    ServiceTimeout,
    Stopped,
    Unavailable,
)
from .batches import Batch, Item, Queue
from .budget import CostBudget, RequestBudget, UnansweredCosts, cost_of_failure
from .refusals import Evidence, Fault, SameRefusals, fault_of, not_attempted, row_error, settings_error
from .results import BatchResult, Limits, RowResult, Summary, latency_step
from .retry import RetryPolicy
from .service_state import ServiceState
from .services import Service, Services
from .token_bucket import Reservation

#: Errors of a service, or of the way to it, that has too much to do.
OVERLOADS = (ModelLoading, Unavailable, ServiceTimeout, ConnectionFailed)
#: Errors after which the next service is sent the request.
PASSED_ON = (RateLimited, *OVERLOADS)


class Scheduler:
    """One run, as a chain of decisions.

    Ask ``take`` what to send, then report what came of it to ``answered``, ``failed`` or
    ``crashed``; each returns the results that are final. Every item has exactly one. If the
    rate is ``shared`` with other workers, ``take`` says when tokens are to be reserved. With several ``states``, in
    order of preference, ``batch.service`` says to which service a batch is to be sent.
    """

    def __init__(
        self,
        items: Iterable[Item],
        limits: Limits,
        *states: ServiceState,
        now: float,
        stop_on_error: bool = False,
        retry: RetryPolicy | None = None,
        random: Callable[[], float] = _random.random,
        shared: bool = False,
        costs: CostBudget | None = None,
    ) -> None:
        self.limits = limits
        self.lock = states[0].lock
        self.summary = Summary()
        self._retry = retry or RetryPolicy(limits.max_retries)
        self._random = random
        self._shared = shared
        self._stop_on_error = stop_on_error
        self._queue = Queue(items)
        self._budget = RequestBudget(limits.max_requests)
        self._costs = costs
        self._services = Services(states, limits)
        #: ``requests_per_minute`` counts the requests to all services.
        self._shared_rate = states[0].shared_rate
        self._in_flight: set[Batch] = set()
        self._most = limits.max_batch_size
        self._began = now
        self._deadline = math.inf if limits.deadline is None else now + limits.deadline
        self._last_success = -math.inf
        self._same = SameRefusals()
        self._unanswered = UnansweredCosts()
        self._tried_alone = False
        #: Batches whose error the requests under way will explain.
        self._open: list[tuple[Batch, HuggingFaceError]] = []

    @property
    def done(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self._queue.waiting or self._in_flight or self._open)

    @property
    def stopped(self) -> bool:
        """Whether nothing more is sent."""
        return self.summary.stopped is not None

    # What to send

    def workers(self) -> int:
        """Return how many workers have something to do now or soon."""
        return min(self._services.limit(), len(self._in_flight) + self._queue.waiting)

    def take(self, now: float) -> Batch | Reservation | Draw | float:
        """Return the next step.

        A batch is to be sent, a reservation to be made and reported to ``reserved``, a draw to be made and reported
        to ``CostBudget.granted``. A number is the time before which there is nothing to do; infinity: not before
        something has returned.
        """
        if not self._queue.waiting or self._open or self._budget.is_spent or now >= self._deadline:
            return math.inf
        if len(self._in_flight) >= self.limits.max_concurrency:
            return math.inf
        choice = self._services.choose(self._queue, now)
        if not isinstance(choice, tuple):
            return choice if choice == math.inf else min(choice, self._deadline)
        at = self._shared_rate.due(now) if self.limits.requests_per_minute else now
        if at > now:
            return min(at, self._deadline)
        reservation = self._reservation(now)
        if reservation is not None:
            return reservation
        service, only_passed_on = choice
        batch = self._next_batch(service, now, only_passed_on)
        if self._costs is not None:
            rows = self._costs.rows_that_fit(batch.items, now)
            if not rows:
                self._queue.give_back(batch)
                step = self._costs.wait(batch.items, now)
                return step if isinstance(step, Draw) else min(step, self._deadline)
            if rows < len(batch):
                batch, rest = batch.cut(rows)
                self._queue.give_back(rest)
        self._sent(batch, service, now)
        return batch

    def reserved(self, reservation: Reservation, wait: float | None, now: float) -> None:
        """Report a reservation: seconds to wait for its first token; ``None``: it failed."""
        self._shared_rate.granted(now, reservation, wait)

    def timeout(self, now: float) -> float:
        """Return the seconds that a request sent now may take."""
        return max(0.001, min(self.limits.timeout, self._deadline - now))

    def _reservation(self, now: float) -> Reservation | float | None:
        """Return what must be reserved before the next request, or when another worker will have done it."""
        per_minute, shared_rate = self.limits.requests_per_minute, self._shared_rate
        if not self._shared or not per_minute or not shared_rate.needs_reservation(now, per_minute):
            return None
        if shared_rate.begin_reservation():
            return Reservation.at(per_minute)
        return min(now + shared_rate.LOOK, self._deadline)

    def _next_batch(self, service: Service, now: float, only_passed_on: bool) -> Batch:
        batch = self._queue.again(now, service.number, only_passed_on=only_passed_on)
        if batch is None:
            size = service.batch_size(self._queue.fresh, self._most, self._budget.left)
            return self._queue.take(size, self.limits.max_batch_bytes)
        cap = service.batch_cap(self._most)
        if len(batch) > cap:
            batch, *others = batch.chunks(cap)
            self._queue.ready_again(others)
        return batch

    def _sent(self, batch: Batch, service: Service, now: float) -> None:
        state, summary = service.state, self.summary
        batch.service = service.number
        self._budget.spend()
        if self._costs is not None:
            self._costs.reserve(batch, now)
        state.rate.sent(now)
        state.breaker.sent(now)
        if self.limits.requests_per_minute:
            self._shared_rate.take(now, self.limits.requests_per_minute)
        summary.requests += 1
        summary.retries += batch.attempts > 0
        batch.attempts += 1
        batch.started = now
        if batch.first_sent is None:
            batch.first_sent = now
        self._in_flight.add(batch)
        batch.in_flight = service.sent(now)
        summary.workers = max(summary.workers, len(self._in_flight))
        self._tried_alone = self._tried_alone or len(batch) == 1

    # What came of it

    def answered(self, batch: Batch, sent: BatchResult, now: float) -> list[RowResult]:
        """Report the answer to ``batch``."""
        answers, size = sent.answers, len(batch)
        if len(answers) != size:
            error = InvalidAnswer(f"{size} inputs were sent and {len(answers)} answers were returned")
            error.cost, error.usage = sent.cost, sent
            return self.failed(batch, error, now)
        self._returned(batch, now, sent.requests, sent.cost)
        if sent.max_batch_size is not None:
            self._most = min(self._most, sent.max_batch_size)
        seconds = now - batch.started
        summary = self.summary
        summary.compute_seconds += sent.compute_seconds or 0.0
        summary.tokens += sent.tokens or 0
        summary.account(batch.items, sent, sent.cost)
        results: list[RowResult] = []
        errors: list[tuple[int, HuggingFaceError]] = []
        unanswered: list[Item] = []
        for at, (item, answer) in enumerate(zip(batch.items, answers, strict=True)):
            if answer is None:
                unanswered.append(item)
                self._unanswered.charge([item], sent.cost, size)
            elif isinstance(answer, HuggingFaceError):
                errors.append((at, answer))
                self._unanswered.charge([item], sent.cost, size)
            else:
                results.append(sent.fill(answer, item, batch.attempts, seconds, at))
                answer.cost = self._unanswered.added(item, answer.cost)
        summary.rows += len(results)
        self._observe_success(batch, len(results), len(unanswered), seconds, now)
        for at, refusal in errors:
            results += self._handle(batch.part(at, at + 1), refusal, now)
        if unanswered:
            results += self._send_smaller(batch, unanswered, now)
        return self._finish(results, now)

    def failed(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        """Report that the request of ``batch`` ended in ``error``."""
        self._returned(batch, now, error.requests, cost_of_failure(error))
        if error.usage is not None:
            self.summary.account(batch.items, error.usage, error.cost)
            self._unanswered.charge(batch.items, error.cost, len(batch))
        self._observe_failure(batch, error, now)
        cut_short = isinstance(error, ServiceTimeout) and batch.started + self.limits.timeout > self._deadline
        if cut_short and error.retryable:  # by the query's own deadline; paid work that has begun says so itself
            return self._finish(self._fail(batch, self._too_late(error).with_cause(error), now), now)
        return self._finish(self._handle(batch, error, now), now)

    def crashed(self, batch: Batch, exception: BaseException, now: float) -> list[RowResult]:
        """Report that sending ``batch`` raised an exception that is no error of a service. The run ends."""
        self._returned(batch, now)
        self._services.of(batch).state.breaker.failed(batch.started, now)
        self.stop(exception)
        return self._finish(self._fail(batch, not_attempted(exception), now), now)

    def stop(self, cause: BaseException) -> None:
        """Send nothing more; what is under way may still return."""
        if self.summary.stopped is None:
            self.summary.stopped = cause

    def sweep(self, now: float) -> list[RowResult]:
        """Return the results of what waits, if nothing more may be sent."""
        return self._finish([], now)

    def _returned(self, batch: Batch, now: float, requests: int = 1, cost: float | None = None) -> None:
        self._in_flight.remove(batch)
        self._services.of(batch).returned(now)
        more = requests - 1
        self.summary.requests += more
        self.summary.retries += more
        batch.attempts += more
        self._budget.spend(more)
        if self._costs is not None:
            self._costs.settle(batch, cost)

    # What it says about the service

    def _observe_success(self, batch: Batch, rows: int, unanswered: int, seconds: float, now: float) -> None:
        service, size = self._services.of(batch), len(batch)
        state, answered = service.state, size - unanswered
        if rows:
            state.has_answered = service.has_answered = True
        self._last_success = service.last_success = now
        state.breaker.succeeded(batch.started)
        self.summary.latencies[latency_step(seconds)] += 1
        latency, limits = state.latency, self.limits
        latency.observe(size, seconds, batch.in_flight)
        state.concurrency.succeeded(
            batch.in_flight, limits.max_concurrency, latency.latency_ratio, latency.recent / limits.timeout
        )
        state.rate.succeeded(batch.started, now)
        if answered:
            state.batch_size.passed(size)
        parent = batch.parent
        if parent is not None:
            parent.answered += answered
            if parent.answered == parent.size:
                state.batch_size.too_long(parent.size, certain=parent.refused)
        # A model that answers is loaded.
        state.loading_until = -math.inf

    def _observe_failure(self, batch: Batch, error: HuggingFaceError, now: float) -> None:
        service = self._services.of(batch)
        state = service.state
        # A reused connection that the server closed asks for a retry without a pause: no sign of overload.
        closed = isinstance(error, ConnectionFailed) and error.retry_after is not None
        # Others were answered since these rows failed here for the first time: the rows may be the reason.
        again = service.last_success > batch.failed_at.get(batch.service, math.inf)
        batch.failed_at = {batch.service: now, **batch.failed_at}
        if not isinstance(error, OVERLOADS):
            state.breaker.succeeded(batch.started)
        elif state.breaker.is_open or not (closed or again):
            state.breaker.failed(batch.started, now, is_timeout=isinstance(error, ServiceTimeout))
        if not error.retryable:
            # The service responds, and is not overloaded.
            state.concurrency.succeeded(batch.in_flight, self.limits.max_concurrency, state.latency.latency_ratio)
        pause = error.retry_after
        if isinstance(error, RateLimited):
            self.summary.throttled += 1
            state.rate.refused(batch.started, now, self._retry.pause(pause or 0.0))
            if state.rate.ignores(now):
                return
        elif error.status is not None:
            # The rate was not too high for it, whatever became of it then.
            state.rate.succeeded(batch.started, now)
        if isinstance(error, OVERLOADS) and not closed:
            state.concurrency.overloaded(batch.started, now)
        if error.retryable and pause is not None:
            until = now + self._retry.pause(pause)
            if not isinstance(error, ModelLoading):
                state.pause_until = max(state.pause_until, until)
            elif service.last_success < batch.started - 1.0:
                # Had it answered a moment ago, it would be one of several servers that is loading.
                state.loading_until = max(state.loading_until, until)

    # What becomes of failed rows

    def _handle(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        """Send the items of ``batch`` again, in parts or later, or give them up."""
        batch.failures += 1
        batch.error = error
        if self.stopped:
            return self._fail(batch, self._final(error), now)
        if self._pass_on(batch, error, now):
            return []
        known = self._evidence(batch, error)
        fault = fault_of(error, known)
        if fault is Fault.OPEN:
            self._open.append((batch, error))
            return []
        if fault is Fault.ROW:
            return self._fail(batch, row_error(error), now)
        if fault is Fault.MOMENT:
            return self._retry_later(batch, error, now)
        if fault is Fault.BATCH:
            return self._split(batch, error, now)
        if not error.fatal:
            error = settings_error(error, known.same_requests)
        self.stop(error)
        return self._fail(batch, error, now)

    def _pass_on(self, batch: Batch, error: HuggingFaceError, now: float) -> bool:
        """Leave a failed batch to the other services, if there are some and the error may be the service's own."""
        if isinstance(error, ModelError):  # the service does not have the model
            if not self._services.drop(batch):
                return False
            self._queue.ready_again([batch])
            return True
        if not isinstance(error, PASSED_ON) or self._services.is_last(batch):
            batch.tried = frozenset()
            return False
        delay = self._delay(batch, error)
        if delay is None:
            return False
        batch.tried |= {batch.service}
        batch.due = now + delay
        self._queue.pass_on(batch)
        return True

    def _delay(self, batch: Batch, error: HuggingFaceError) -> float | None:
        others_succeed = batch.first_sent is not None and self._last_success > batch.first_sent
        return self._retry.delay(error, batch.failures, self._random, others_succeed=others_succeed)

    def _evidence(self, batch: Batch, error: HuggingFaceError) -> Evidence:
        size, passed, service = len(batch), self.summary.rows > 0, self._services.of(batch)
        same_requests, same_rows = (0, 0) if passed else self._same.count(error, size)
        return Evidence(
            rows=size,
            failures=batch.failures,
            passed=passed,
            passed_here=service.has_answered,
            service_passed=service.state.has_answered,
            lists_passed=service.state.batch_size.any_passed,
            others_pass=service.last_success > (batch.first_sent or 0.0 if batch.probed else batch.started),
            others_under_way=bool(self._in_flight),
            others_left=bool(self._in_flight or self._queue.waiting or batch.probed),
            tried_alone=self._tried_alone,
            same_requests=same_requests,
            same_rows=same_rows,
        )

    def _split(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        if error.retryable and not self._retry.max_retries:
            return self._fail(batch, error, now)
        if error.retryable and now >= self._deadline:
            return self._fail(batch, self._too_late(error).with_cause(error), now)
        cap = self._services.of(batch).state.batch_size
        alone = not (self._in_flight or self._queue.waiting or batch.probed)
        if not self.summary.rows or (error.retryable and alone):
            return self._probe(batch, 0, now)
        if not cap.any_passed and len(batch) > 2:
            # No list has passed: the shortest list shows whether the service takes any.
            parts = batch.split(2)
        else:
            parts = batch.chunks(int(cap.cap)) if len(batch) > cap.cap else batch.halves()
        return self._send_parts(parts)

    def _probe(self, batch: Batch, failures: int, now: float) -> list[RowResult]:
        """Send one row alone, which shows whether the batch is at fault if no other request does."""
        parts = batch.split(1)
        for part in parts:
            part.probed, part.failures, part.first_sent = True, failures, now
        self._tried_alone = True
        return self._send_parts(parts)

    def _send_smaller(self, batch: Batch, unanswered: list[Item], now: float) -> list[RowResult]:
        """Send the items of ``batch`` again that nothing in its response certainly answers."""
        error = InvalidAnswer("it is uncertain which answer in the response belongs to this row")
        if self.stopped or len(batch) == 1:
            return self._fail(batch.of(unanswered), error, now)
        return self._send_parts(batch.smaller(unanswered, error))

    def _send_parts(self, parts: list[Batch]) -> list[RowResult]:
        self.summary.splits += 1
        self._queue.ready_again(parts)
        return []

    def _retry_later(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        delay = self._delay(batch, error)
        if delay is None and now < self._deadline:
            if len(batch) == 1 or batch.probed or not self.summary.rows or not self._retry.max_retries:
                return self._fail(batch, error, now)
            # Rows have passed before, so one of these may be bad.
            return self._probe(batch, self._retry.max_retries, now)
        if delay is None or now + delay >= self._deadline:
            return self._fail(batch, self._too_late(error).with_cause(error), now)
        batch.due = now + delay
        self._queue.later(batch)
        return []

    def _fail(self, batch: Batch, error: HuggingFaceError, now: float) -> list[RowResult]:
        attempts = batch.attempts
        if attempts and error.attempts is None:
            error = error.with_facts(attempts=attempts)
        if self._stop_on_error and not self.stopped:
            self.stop(error)
        self.summary.errors[error.code] += len(batch)
        return [
            RowResult(
                error=error,
                attempts=attempts,
                latency=now - batch.started if attempts else 0.0,
                request_id=error.request_id,
                item=item,
                cost=self._unanswered.added(item, None),
            )
            for item in batch.items
        ]

    def _finish(self, results: list[RowResult], now: float) -> list[RowResult]:
        """Add the results of what can no longer be sent."""
        if self._open and (self.summary.rows or not self._in_flight):
            decided, self._open = self._open, []
            for batch, error in decided:
                results += self._handle(batch, error, now)
        reason = self._reason(now) if self._queue.waiting or self._open else None
        if reason is not None:
            late = isinstance(reason, DeadlineExceeded)
            waiting = [batch for batch, _ in self._open] + self._queue.drain()
            self._open.clear()
            for batch in waiting:
                last = batch.error
                again = self._too_late(last) if late else reason.with_facts()
                error = reason if last is None else again.with_cause(last)
                results += self._fail(batch, error, now)
        if self.done:
            self.summary.seconds = now - self._began
        return results

    def _too_late(self, last: HuggingFaceError | None = None) -> DeadlineExceeded:
        # A try that the deadline itself cut short says nothing about the service.
        why = "" if last is None or isinstance(last, ServiceTimeout) else f"; the last try failed with: {last.message}"
        return DeadlineExceeded(
            f"the deadline of {self.limits.deadline:g} seconds passed before this row was answered{why}",
            advice="Run the query again, or raise deadline",
        )

    def _final(self, last: HuggingFaceError) -> HuggingFaceError:
        """Return the error of rows whose last request failed with ``last`` after the run had stopped."""
        stopped = self.summary.stopped
        return stopped.with_facts().with_cause(last) if isinstance(stopped, Stopped) and last.retryable else last

    def _reason(self, now: float) -> HuggingFaceError | None:
        """Return why nothing more may be sent, if so."""
        stopped = self.summary.stopped
        if isinstance(stopped, Stopped):
            return stopped.with_facts()
        if stopped is not None:
            return not_attempted(stopped)
        if now >= self._deadline:
            return self._too_late()
        return self._budget.refusal or (self._costs.refusal if self._costs is not None else None)
