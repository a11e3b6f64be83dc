"""Several services in order of preference, in virtual time: which of them gets a request, and what it costs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler import errors
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.scheduling.batches import Batch
from huggingface_api_handler.scheduling.circuit_breaker import CircuitBreaker
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import ServiceState
from tests.unit.virtual import Service, doubled, items, play

ROWS = 4000
TIMEOUT = 5.0
LIMITS = Limits(max_batch_size=1, timeout=TIMEOUT)

Fault = Callable[[Batch, float], "HuggingFaceError | None"]


def busy() -> HuggingFaceError:
    return errors.Unavailable("busy", status=503)


def down(batch: Batch, now: float) -> HuggingFaceError | None:
    return busy()


def some(share: float, make: Callable[[], HuggingFaceError], seed: int = 1) -> Fault:
    chance = random.Random(seed)
    return lambda batch, now: make() if chance.random() < share else None


def between(start: float, end: float, make: Callable[[], HuggingFaceError] = busy) -> Fault:
    return lambda batch, now: make() if start <= now < end else None


class Unhealthy(Service):
    """A fast service, whose requests fail: at once, or when they have hung for the timeout."""

    def __init__(self, fault: Fault, seconds: float = 0.2, timeout: float = TIMEOUT) -> None:
        super().__init__(seconds, 0.01, fault=fault)
        self.failed = 0
        self.timeout = timeout

    def ask(self, batch: Batch, now: float) -> tuple[float, BatchResult | HuggingFaceError]:
        error = self.fault(batch, now)
        if error is None:
            self.fault, fault = (lambda batch, now: None), self.fault
            try:
                return super().ask(batch, now)
            finally:
                self.fault = fault
        self.sizes.append(len(batch))
        self.arrivals.append(now)
        self.failed += 1
        return now + (self.timeout if isinstance(error, errors.ServiceTimeout) else 0.01), error


def good() -> Service:
    return Service(0.2, 0.01, slots=16)


def check(results: list[RowResult], rows: int) -> None:
    assert sorted(result.item.index for result in results if result.item) == list(range(rows))
    assert all(result.error is None and result.item and result.value == 2 * result.item.index for result in results)


def alone(rows: int = ROWS, limits: Limits = LIMITS) -> tuple[float, int]:
    took, _, scheduler = play(items(rows), good(), limits)
    return took, scheduler.summary.requests


#: What is wrong with one of two services, by the seconds that the other takes alone.
FAULTS: dict[str, Callable[[float], Fault]] = {
    "half of its requests are refused": lambda seconds: some(0.5, lambda: errors.RateLimited("slow", status=429)),
    "refuses and asks for pauses": lambda seconds: some(
        0.5, lambda: errors.RateLimited("slow", status=429, retry_after=20.0)
    ),
    "fails always": lambda seconds: down,
    "hangs always": lambda seconds: some(1.0, lambda: errors.ServiceTimeout("late")),
    "hangs half the time": lambda seconds: some(0.5, lambda: errors.ServiceTimeout("late")),
    "gone at half-time and back later": lambda seconds: between(
        seconds / 2, seconds * 3 / 4, lambda: errors.ConnectionFailed("refused")
    ),
    "loads for a while": lambda seconds: between(
        0.0, seconds / 2, lambda: errors.ModelLoading("loading", status=503, retry_after=30.0)
    ),
    "nothing": lambda seconds: some(0.0, busy),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize(
    ("place", "limits"),
    [(0, LIMITS), (1, LIMITS), (0, Limits(max_batch_size=32, timeout=TIMEOUT))],
    ids=["first", "second", "lists"],
)
def test_one_bad_service_of_two_costs_little(name: str, place: int, limits: Limits) -> None:
    rows = ROWS if limits.max_batch_size == 1 else 6 * ROWS
    seconds, requests = alone(rows, limits)
    bad = Unhealthy(FAULTS[name](seconds))
    took, results, scheduler = play(items(rows), [bad, good()] if place == 0 else [good(), bad], limits)
    check(results, rows)
    assert took <= 1.5 * seconds
    assert scheduler.summary.requests <= 1.05 * requests + bad.failed
    assert scheduler.summary.splits == 0
    if name == "nothing":
        assert len(bad.sizes) == (scheduler.summary.requests if place == 0 else 0), "the first one takes all"


@pytest.mark.parametrize(
    ("make", "share"),
    # After refusals the rate grows slowly, as with one service.
    [(busy, 0.9), (lambda: errors.RateLimited("slow", status=429), 0.3)],
    ids=["busy", "refused"],
)
def test_a_service_that_is_back_takes_the_requests_again(make: Callable[[], HuggingFaceError], share: float) -> None:
    seconds, _ = alone()
    first, second = Unhealthy(between(seconds / 4, seconds / 2, make)), good()
    play(items(ROWS), [first, second], LIMITS)
    late, others = (sum(at > 0.8 * seconds for at in service.arrivals) for service in (first, second))
    assert late > share * (late + others)


def test_the_others_do_not_wait_for_a_service_that_returns_nothing() -> None:
    """At the default timeout of a minute, in a query that takes less."""
    seconds, _ = alone()
    assert seconds < 60.0
    hangs, other = Unhealthy(some(1.0, lambda: errors.ServiceTimeout("late")), timeout=60.0), good()
    took, results, _ = play(items(ROWS), [hangs, other], Limits(max_batch_size=1, timeout=60.0))
    check(results, ROWS)
    assert 9.0 < min(other.arrivals) < 11.0
    assert hangs.failed == 4
    assert took <= 1.5 * seconds


def test_a_slow_service_is_waited_for_once_it_is_known() -> None:
    states = [ServiceState(), ServiceState()]
    limits = Limits(max_batch_size=1, timeout=60.0)
    play(items(4), [Unhealthy(some(0.0, busy), 20.0), good()], limits, states=states)
    slow, other = Unhealthy(some(0.0, busy), 20.0), good()
    _, results, _ = play(items(100), [slow, other], limits, states=states, start=100.0)
    check(results, 100)
    assert other.sizes == []


def test_what_was_learned_holds_for_the_next_query() -> None:
    states = [ServiceState(), ServiceState()]
    play(items(200), [Unhealthy(down), good()], LIMITS, states=states)
    bad = Unhealthy(down)
    _, results, _ = play(items(200), [bad, good()], LIMITS, states=states, start=4.0)
    check(results, 200)
    assert bad.failed <= 1


def test_the_next_service_is_asked_without_a_wait() -> None:
    asks_for_a_minute = Unhealthy(lambda batch, now: errors.RateLimited("slow", status=429, retry_after=60.0))
    took, results, _ = play(items(16), [asks_for_a_minute, good()], LIMITS)
    check(results, 16)
    assert took < 2.0


def test_the_next_service_is_asked_even_if_the_first_may_be_asked_again() -> None:
    """A worker may come late, after the wait for another try at the preferred service has passed."""
    scheduler = Scheduler(items(1), LIMITS, ServiceState(), ServiceState(), now=0.0, random=lambda: 0.0)
    for now, service in ((0.0, 0), (1000.0, 1), (2000.0, 0)):
        batch = scheduler.take(now)
        assert isinstance(batch, Batch)
        assert batch.service == service
        assert not scheduler.failed(batch, busy(), now + 0.1)


def test_when_all_are_blocked_the_first_that_is_ready_is_sent_the_request() -> None:
    def until(seconds: float) -> Fault:
        return lambda batch, now: (
            errors.RateLimited("slow", status=429, retry_after=seconds - now) if now < seconds else None
        )

    first, second = Unhealthy(until(50.0)), Unhealthy(until(30.0))
    took, results, _ = play(items(16), [first, second], LIMITS)
    check(results, 16)
    assert 30.0 <= took < 36.0
    assert max(first.arrivals) < 1.0


def test_while_all_are_down_a_row_is_sent_max_retries_plus_one_times() -> None:
    """Passing a request on is a retry."""
    bad, worse = Unhealthy(down), Unhealthy(down)
    _, results, scheduler = play(items(40), [bad, worse], Limits(max_batch_size=1, max_retries=3))
    assert {(result.error.code, result.attempts) for result in results if result.error} == {("unavailable", 4)}
    assert scheduler.summary.requests == bad.failed + worse.failed == 40 * 4
    assert min(bad.failed, worse.failed) >= 40


def test_without_retries_nothing_is_passed_on() -> None:
    _, results, scheduler = play(items(3), [Unhealthy(down), good()], Limits(max_batch_size=1, max_retries=0))
    assert scheduler.summary.retries == 0
    assert len(results) == 3


def test_a_service_without_the_model_is_asked_no_more() -> None:
    absent = Unhealthy(lambda batch, now: errors.ModelNotFound("no such model", status=404))
    _, results, scheduler = play(items(1000), [absent, good()], Limits(max_batch_size=1, max_retries=0))
    check(results, 1000)
    assert absent.failed <= 4
    assert scheduler.summary.requests == 1000 + absent.failed


def test_where_no_service_has_the_model_the_query_stops() -> None:
    absent = [Unhealthy(lambda batch, now: errors.ModelNotFound("no such model", status=404)) for _ in range(3)]
    _, results, scheduler = play(items(1000), absent, LIMITS)
    assert isinstance(scheduler.summary.stopped, errors.ModelNotFound)
    assert len(results) == 1000
    assert scheduler.summary.requests <= 24


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInput("bad", status=400),
        errors.Unauthorized("token", status=401),
        errors.OutOfCredits("credits", status=402),
        errors.Forbidden("firewall", status=403, concerns_content=True),
        errors.InvalidInput("moderated", status=422, concerns_content=True),
        errors.ServiceTimeout("still at work", retryable=False),
        errors.ConnectionFailed("whether the job was begun is not known", retryable=False, divisible=False),
    ],
    ids=lambda error: error.message,
)
def test_what_is_not_the_services_fault_or_is_paid_for_is_not_passed_on(error: HuggingFaceError) -> None:
    other = good()
    _, results, _ = play(items(1), [Unhealthy(lambda batch, now: error), other], LIMITS)
    assert [type(result.error) for result in results] == [type(error)]
    assert other.sizes == []


@pytest.mark.parametrize(("size", "more"), [(1, 2 * 5), (32, 80)])
def test_a_row_that_breaks_every_service_fails_alone(size: int, more: int) -> None:
    def fault(batch: Batch, now: float) -> HuggingFaceError | None:
        return busy() if any(item.index == 77 for item in batch.items) else None

    limits = Limits(max_batch_size=size)
    _, results, scheduler = play(items(2000), [Unhealthy(fault), Unhealthy(fault)], limits)
    assert [result.item.index for result in results if result.error and result.item] == [77]
    assert scheduler.summary.requests <= alone(2000, limits)[1] + more


@pytest.mark.parametrize("size", [1, 8, 32])
@pytest.mark.parametrize("place", [0, 1, 77])
def test_a_row_that_breaks_a_service_opens_no_breaker(size: int, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(batch: Batch, now: float) -> HuggingFaceError | None:
        return busy() if any(item.index == place for item in batch.items) else None

    opened: list[float] = []
    monkeypatch.setattr(CircuitBreaker, "_open", lambda self, started, now: opened.append(now))
    both = [Unhealthy(fault), Unhealthy(fault)]
    _, results, _ = play(items(200), both, Limits(max_batch_size=size), states=[ServiceState(), ServiceState()])
    assert [result.item.index for result in results if result.error and result.item] == [place]
    assert opened == []


def test_requests_per_minute_counts_the_requests_to_all() -> None:
    first, second = Unhealthy(some(0.5, busy)), good()
    limits = Limits(max_batch_size=1, requests_per_minute=600.0)
    took, results, scheduler = play(items(600), [first, second], limits)
    check(results, 600)
    assert (scheduler.summary.requests - 1) / 10.0 <= took + 0.1


OUTCOMES: list[HuggingFaceError | str | None] = [
    None, None, None, "short", "alone",
    errors.RateLimited("slow", status=429), errors.RateLimited("slow", status=429, retry_after=7.0),
    errors.Unavailable("busy", status=503), errors.ModelLoading("loading", status=503, retry_after=3.0),
    errors.ServiceTimeout("late"), errors.ConnectionFailed("reset"), errors.ConnectionFailed("closed", retry_after=0.0),
    errors.InvalidInput("bad", status=400), errors.InvalidAnswer("HTML", retryable=True),
    errors.ModelNotFound("none", status=404), errors.Forbidden("firewall", status=403, concerns_content=True),
    errors.OutOfCredits("credits", status=402),
    errors.ServiceTimeout("the job is still at work", retryable=False, divisible=False),
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    outcomes=st.lists(st.lists(st.sampled_from(OUTCOMES), max_size=40), min_size=1, max_size=3),
    rows=st.integers(0, 60),
    size=st.integers(1, 9),
    workers=st.integers(1, 12),
    retries=st.integers(0, 4),
    budget=st.none() | st.integers(0, 60),
    deadline=st.none() | st.floats(0.1, 60.0),
    stop=st.booleans(),
    seed=st.integers(0, 9),
)
def test_whatever_the_services_do_each_row_ends_once_and_is_at_one_service_at_a_time(
    outcomes: list[list[HuggingFaceError | str | None]],
    rows: int,
    size: int,
    workers: int,
    retries: int,
    budget: int | None,
    deadline: float | None,
    stop: bool,
    seed: int,
) -> None:
    limits = Limits(size, workers, None, deadline, budget, retries, 10.0)
    states = [ServiceState() for _ in outcomes]
    scheduler = Scheduler(items(rows), limits, *states, now=0.0, stop_on_error=stop, random=random.Random(seed).random)
    order = random.Random(seed)
    coming = [iter(some) for some in outcomes]
    away: list[Batch] = []
    begun: set[int] = set()
    results: list[RowResult] = []
    now = 0.0
    for _ in range(20_000):
        results += scheduler.sweep(now)
        if scheduler.done:
            break
        step = scheduler.take(now)
        if isinstance(step, Batch):
            indices = {item.index for item in step.items}
            assert len(step) <= size
            assert 0 <= step.service < len(outcomes)
            assert indices.isdisjoint(item.index for other in away for item in other.items), "at two services at once"
            assert indices.isdisjoint(result.item.index for result in results if result.item), "sent after its end"
            assert indices.isdisjoint(begun), "work that is paid when it begins was begun twice"
            away.append(step)
            assert len(away) <= workers
            if order.random() < 0.5:
                continue
        elif not away:
            assert isinstance(step, float)
            assert step < math.inf, "nothing under way, nothing to wait for, and not done"
            now = max(now, step)
            continue
        now += 0.01
        batch = away.pop(order.randrange(len(away)))
        answers: list[Any] = doubled(batch.items)
        outcome = next(coming[batch.service], None)
        if outcome == "short":
            results += scheduler.answered(batch, BatchResult(answers[1:]), now)
        elif outcome == "alone":
            answers[order.randrange(len(answers))] = busy()
            results += scheduler.answered(batch, BatchResult(answers), now)
        elif isinstance(outcome, HuggingFaceError):
            if isinstance(outcome, errors.ServiceTimeout) and not outcome.retryable:
                begun.update(item.index for item in batch.items)
            results += scheduler.failed(batch, outcome, now)
        else:
            results += scheduler.answered(batch, BatchResult(answers), now)
    assert scheduler.done
    assert sorted(result.item.index for result in results if result.item) == list(range(rows))
    for result in results:
        assert result.item is not None
        assert (result.error is None) == (result.value is not None)
        assert result.error is not None or result.value == 2 * result.item.index
    assert budget is None or scheduler.summary.requests <= budget
    assert sum(result.error is None for result in results) == scheduler.summary.rows
