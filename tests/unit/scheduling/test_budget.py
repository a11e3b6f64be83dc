"""What a run spends: never more than its limit, in whatever order requests return and however they end."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler import errors
from huggingface_api_handler.cache.budgets import Draw, Grant
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.scheduling.batches import Batch, Item
from huggingface_api_handler.scheduling.budget import ROUNDING, CostBudget, SharedBudget, cost_of_failure, dollars
from huggingface_api_handler.scheduling.results import BatchResult, Limits
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import ServiceState
from huggingface_api_handler.scheduling.token_bucket import Reservation
from tests.unit.scheduling.test_scheduler import by_index, codes
from tests.unit.virtual import Service, doubled, items, play

#: USD that a request costs at most: for itself, and for each of its items.
REQUEST, ROW = 0.01, 0.1


def at_most(some: Sequence[Item]) -> float:
    return REQUEST + ROW * len(some)


class Billing(Service):
    """A service that bills a share of the most that a request may cost.

    Attributes:
        billed: USD, for answers and for requests whose answer gets lost.
    """

    share = 0.5
    tells = True

    def __init__(self, fixed: float = 1.0, **given: Any) -> None:
        super().__init__(fixed, **given)
        self.billed = 0.0

    def ask(self, batch: Batch, now: float) -> tuple[float, BatchResult | HuggingFaceError]:
        ends, result = super().ask(batch, now)
        cost = self.share * at_most(batch.items)
        if isinstance(result, BatchResult):
            self.billed += cost
            result = BatchResult(result.answers, cost=cost if self.tells else None)
        elif isinstance(result, (errors.ServiceTimeout, errors.InvalidAnswer)):
            self.billed += cost
        return ends, result


class TestMaxCost:
    def test_as_many_rows_are_sent_as_are_paid_for(self) -> None:
        service = Billing()
        service.share = 1.0
        _, results, _ = play(
            items(100), service, Limits(max_batch_size=1), costs=CostBudget(at_most, 10 * at_most(items(1)))
        )
        assert codes(results) == {"ok": 10, "budget_exceeded": 90}

    def test_a_limit_holds_to_the_last_cent_in_spite_of_rounding(self) -> None:
        service = Billing()
        service.share = 0.1 / at_most(items(1))
        _, results, _ = play(items(20), service, Limits(max_batch_size=1), costs=CostBudget(lambda some: 0.1, 0.3))
        assert 0.1 + 0.1 + 0.1 > 0.3
        assert codes(results) == {"ok": 3, "budget_exceeded": 17}

    def test_requests_that_cost_less_than_they_might_make_room_for_others(self) -> None:
        service = Billing()
        service.share = 0.1
        limits = Limits(max_batch_size=1, max_concurrency=64)
        _, results, _ = play(items(100), service, limits, costs=CostBudget(at_most, 15 * at_most(items(1))))
        # One at a time at the end: what 100 rows cost at a tenth, and what one may cost at most.
        assert codes(results) == {"ok": 100}
        assert service.billed == pytest.approx(10 * at_most(items(1)))

    def test_a_batch_that_does_not_fit_is_cut(self) -> None:
        service = Billing()
        service.share = 1.0
        limits = Limits(max_batch_size=32, max_concurrency=1)
        _, results, _ = play(items(64), service, limits, costs=CostBudget(at_most, 1.0))
        assert service.billed <= 1.0
        # A request of 1 and one of 2 rows show how long a row takes; then 0.68 is left, enough for 6 rows.
        assert service.sizes == [1, 2, 6]
        assert codes(results) == {"ok": 9, "budget_exceeded": 55}
        assert sorted(by_index(results)) == list(range(64))

    def test_a_retry_is_paid_for_again(self) -> None:
        service = Billing(fault=lambda batch, now: errors.ServiceTimeout("late"))
        limits = Limits(max_batch_size=1, max_concurrency=1)
        _, results, scheduler = play(items(1), service, limits, costs=CostBudget(at_most, 3 * at_most(items(1))))
        # Nobody knows what a request cost whose answer is lost: it counts in full.
        assert scheduler.summary.requests == 3
        (result,) = results
        assert isinstance(result.error, errors.BudgetExceeded)
        assert isinstance(result.error.__cause__, errors.ServiceTimeout)

    @pytest.mark.parametrize(
        "fault", [errors.RateLimited("slow", status=429), errors.Unavailable("down", status=503)], ids=["429", "503"]
    )
    def test_a_request_that_was_refused_costs_nothing(self, fault: HuggingFaceError) -> None:
        faults = iter([fault] * 3)
        service = Billing(fault=lambda batch, now: next(faults, None))
        service.share = 1.0
        limits = Limits(max_batch_size=1, max_concurrency=1)
        _, results, _ = play(items(1), service, limits, costs=CostBudget(at_most, at_most(items(1))))
        assert codes(results) == {"ok": 1}

    def test_an_answer_of_unknown_cost_counts_in_full(self) -> None:
        service = Billing()
        service.tells = False
        costs = CostBudget(at_most, 10 * at_most(items(1)))
        play(items(100), service, Limits(max_batch_size=1), costs=costs)
        assert costs.spent == pytest.approx(10 * at_most(items(1)))

    @pytest.mark.parametrize("status", [504, 524])
    def test_a_request_that_a_gateway_gave_up_may_be_billed(self, status: int) -> None:
        service = Billing(fault=lambda batch, now: errors.Unavailable("late", status=status))
        costs = CostBudget(at_most, 3 * at_most(items(1)))
        _, results, scheduler = play(items(1), service, Limits(max_batch_size=1, max_concurrency=1), costs=costs)
        assert scheduler.summary.requests == 3
        assert codes(results) == {"budget_exceeded": 1}

    def test_an_error_in_an_answer_of_unknown_cost_counts_in_full(self) -> None:
        costs = CostBudget(at_most, 1.0)
        scheduler = Scheduler(items(1), Limits(max_retries=0), ServiceState(), now=0.0, costs=costs)
        batch = scheduler.take(0.0)
        assert isinstance(batch, Batch)
        error = errors.InvalidInput("a filter withheld the answer", divisible=False)
        error.usage = BatchResult([])
        scheduler.failed(batch, error, 1.0)
        assert costs.spent == at_most(items(1))

    @pytest.mark.parametrize(
        ("error", "cost"),
        [
            (errors.InvalidInput("a filter withheld the answer", status=200), None),
            (errors.Unavailable("the model failed", status=200), None),
            (errors.RateLimited("slow down", status=200), 0.0),
            (errors.OutOfCredits("no credits", status=200), 0.0),
            (errors.InvalidInput("too long", status=422), 0.0),
            (errors.InvalidInput("no JSON"), 0.0),
        ],
    )
    def test_an_error_with_status_200_may_be_billed_if_work_may_have_begun(
        self, error: HuggingFaceError, cost: float | None
    ) -> None:
        assert cost_of_failure(error) == cost

    def test_answers_that_do_not_fit_their_rows_are_paid_for(self) -> None:
        scheduler = Scheduler(
            items(1), Limits(max_retries=0), ServiceState(), now=0.0, costs=(costs := CostBudget(at_most, 1.0))
        )
        batch = scheduler.take(0.0)
        assert isinstance(batch, Batch)
        scheduler.answered(batch, BatchResult([], cost=0.07), 1.0)
        assert costs.spent == 0.07

    def test_answers_that_cost_more_than_they_might_end_the_query(self) -> None:
        service = Billing()
        service.share = 3.0
        limits = Limits(max_batch_size=1, max_concurrency=4)
        play(items(100), service, limits, costs=CostBudget(at_most, 1.0))
        # By no more than what the requests that were in progress cost.
        assert service.billed <= 1.0 + 4 * 3.0 * at_most(items(1))

    def test_without_a_limit_no_estimate_is_made(self) -> None:
        _, results, _ = play(items(10), Billing())
        assert codes(results) == {"ok": 10}


class Store:
    """The budget of the day in virtual time, as the cache keeps it.

    Attributes:
        fails: whether it cannot be used now.
    """

    def __init__(self, cap: float, valid: float = 45.0) -> None:
        self.cap, self.valid = cap * (1 + ROUNDING), valid
        self.fails = False
        self.calls = 0
        self.holders: dict[tuple[str, int], tuple[float, float, float, float]] = {}

    def hold(self, holder: int, draw: Draw, now: float) -> Grant | None:
        self.calls += 1
        if self.fails:
            return None
        spent, others = draw.spent, 0.0
        for (budget, name), (used, pending, held, expires) in self.holders.items():
            if budget == draw.budget and name != holder:
                spent += used
                others += held if expires > now else 0.0
                spent += pending if expires <= now else 0.0
        free = draw.cap - spent - others
        amount = draw.granted(free)
        held = 0.0 if draw.closes else amount
        pending = 0.0 if draw.closes else draw.pending
        self.holders[draw.budget, holder] = draw.spent, pending, held, now + self.valid
        return Grant(amount, spent, others)

    def spent(self, day: str) -> float:
        return sum(used for (of, _), (used, *_) in self.holders.items() if of == day)

    def held(self, now: float) -> float:
        return sum(held for _, _, held, expires in self.holders.values() if expires > now)


def day_of(now: float) -> str:
    return f"day {math.floor(now / 86400)}"


def shared(store: Store, max_cost: float | None = None, of_statement: float | None = None) -> CostBudget:
    statement = None if of_statement is None else SharedBudget(of_statement, lambda now: "statement", store.valid)
    return CostBudget(at_most, max_cost, SharedBudget(store.cap, day_of, store.valid), statement=statement)


class TestMaxCostPerDay:
    def test_runs_one_after_the_other_share_it(self) -> None:
        store, service = Store(10 * at_most(items(1))), Billing()
        service.share = 1.0
        answered = []
        for run in range(3):
            _, results, _ = play(
                items(6), service, Limits(max_batch_size=1), costs=shared(store),
                hold=lambda draw, now, run=run: store.hold(run, draw, now),
            )  # fmt: skip
            answered.append(codes(results).get("ok", 0))
        assert answered == [6, 4, 0]
        assert store.spent("day 0") == pytest.approx(store.cap)
        assert store.held(0.0) == 0.0

    def test_the_smaller_of_both_limits_holds(self) -> None:
        for max_cost, ok in ((3, 3), (30, 10)):
            store, service = Store(10 * at_most(items(1))), Billing()
            service.share = 1.0
            _, results, _ = play(
                items(20), service, Limits(max_batch_size=1), costs=shared(store, max_cost * at_most(items(1))),
                hold=lambda draw, now, store=store: store.hold(1, draw, now),
            )  # fmt: skip
            assert codes(results)["ok"] == ok

    def test_it_is_drawn_in_parts(self) -> None:
        store, service = Store(2000 * at_most(items(1))), Billing(0.01)
        service.share = 1.0
        _, results, _ = play(
            items(1000), service, Limits(max_batch_size=1), costs=shared(store),
            hold=lambda draw, now: store.hold(1, draw, now),
        )  # fmt: skip
        assert codes(results) == {"ok": 1000}
        assert store.calls <= 30

    def test_the_next_day_has_a_budget_of_its_own(self) -> None:
        store, service = Store(10 * at_most(items(1))), Billing(30.0)
        service.share = 1.0
        _, results, _ = play(
            items(30), service, Limits(max_batch_size=1, max_concurrency=1), costs=shared(store),
            hold=lambda draw, now: store.hold(1, draw, now), start=86400 - 5 * 30.0,
        )  # fmt: skip
        # Requests sent before midnight, the last of which returns after it, count for the day before.
        assert store.spent("day 0") == pytest.approx(5 * at_most(items(1)), rel=0.3)
        assert store.spent("day 1") == pytest.approx(store.cap)
        assert store.spent("day 0") + store.spent("day 1") == pytest.approx(service.billed)
        assert codes(results)["budget_exceeded"]

    def test_a_run_waits_for_what_others_hold(self) -> None:
        store, service = Store(10 * at_most(items(1))), Billing()
        store.hold(99, Draw("day 0", store.cap, most=store.cap), 0.0)

        def hold(draw: Draw, now: float) -> Grant | None:
            if now > 20.0:
                store.hold(99, Draw("day 0", store.cap, closes=True), now)
            return store.hold(1, draw, now)

        seconds, results, _ = play(items(5), service, Limits(max_batch_size=1), costs=shared(store), hold=hold)
        assert codes(results) == {"ok": 5}
        assert 20.0 < seconds < 25.0

    def test_what_a_killed_worker_held_is_free_within_a_minute(self) -> None:
        store, service = Store(10 * at_most(items(1))), Billing()
        store.hold(99, Draw("day 0", store.cap, at_most(items(5)), most=store.cap), 0.0)
        seconds, results, _ = play(
            items(4), service, Limits(max_batch_size=1), costs=shared(store),
            hold=lambda draw, now: store.hold(1, draw, now),
        )  # fmt: skip
        assert codes(results) == {"ok": 4}
        assert seconds < 60.0

    def test_the_first_requests_of_a_killed_worker_count_in_full(self) -> None:
        costs = CostBudget(at_most, None, SharedBudget(100.0, lambda now: "today", 45.0))
        scheduler = Scheduler(items(2), Limits(max_batch_size=1), ServiceState(), now=0.0, costs=costs)
        draw = scheduler.take(0.0)
        assert isinstance(draw, Draw)
        costs.granted(draw, Grant(draw.most, 0.0, 0.0), 0.0)
        assert isinstance(scheduler.take(0.0), Batch) and isinstance(scheduler.take(0.0), Batch)
        (report,) = costs.report(1.0)
        assert report.pending == pytest.approx(2 * at_most(items(1)))

    def test_a_run_does_not_wait_for_others_for_ever(self) -> None:
        store = Store(10 * at_most(items(1)), math.inf)
        store.hold(99, Draw("day 0", store.cap, most=store.cap), 0.0)
        seconds, results, _ = play(
            items(5), Billing(), costs=shared(store), hold=lambda draw, now: store.hold(1, draw, now)
        )
        assert codes(results) == {"budget_exceeded": 5}
        assert seconds == pytest.approx(SharedBudget.PATIENCE, abs=2.0)
        error = str(results[0].error)
        assert (
            "today, requests of other queries in progress may cost $1.10, for which this query waited 60 seconds"
            in error
        )
        assert "Run the query again when other queries have ended or after midnight UTC, when the next day's" in error

    def test_two_that_hold_too_little_for_a_request_do_not_wait_for_each_other(self) -> None:
        store = Store(1.5 * at_most(items(1)))
        store.hold(99, Draw("day 0", store.cap), 0.0)
        costs = shared(store)
        assert costs.rows_that_fit(items(1), 0.0) == 0
        draw = costs.wait(items(1), 0.0)
        assert isinstance(draw, Draw)
        store.hold(99, Draw("day 0", store.cap, most=0.6 * store.cap), 0.0)
        costs.granted(draw, store.hold(1, draw, 0.0), 0.0)
        assert store.held(0.0) == pytest.approx(0.6 * store.cap)

    def test_nothing_is_sent_from_a_part_while_more_is_drawn(self) -> None:
        store = Store(100.0)
        costs = shared(store)
        assert costs.daily is not None
        first = costs.wait(items(1), 0.0)
        assert isinstance(first, Draw)
        costs.granted(first, Grant(1.5 * at_most(items(1)), 0.0, 0.0), 0.0)
        assert costs.rows_that_fit(items(1), 0.0) == 1
        costs.daily.is_scarce = False
        assert costs.rows_that_fit(items(2), 0.0) == 0
        assert isinstance(costs.wait(items(2), 0.0), Draw)
        # The draw tells the store that nothing is kept.
        assert costs.rows_that_fit(items(1), 0.0) == 0

    def test_a_store_that_fails_ends_the_query(self) -> None:
        store = Store(100.0)
        store.fails = True
        seconds, results, _ = play(
            items(5), Billing(), costs=shared(store), hold=lambda draw, now: store.hold(1, draw, now)
        )
        assert codes(results) == {"budget_exceeded": 5}
        assert seconds == 0.0

    def test_a_store_that_fails_for_a_while_is_waited_for(self) -> None:
        store, service = Store(1000.0), Billing(10.0)

        def hold(draw: Draw, now: float) -> Grant | None:
            store.fails = 0 < now < 80
            return store.hold(1, draw, now)

        seconds, results, _ = play(
            items(20), service, Limits(max_batch_size=1, max_concurrency=1), costs=shared(store), hold=hold
        )
        assert codes(results) == {"ok": 20}
        assert 230 <= seconds <= 240

    def test_a_run_stops_when_what_it_holds_has_expired(self) -> None:
        store, service = Store(1000.0), Billing(10.0)

        def hold(draw: Draw, now: float) -> Grant | None:
            store.fails = now > 0
            return store.hold(1, draw, now)

        _, results, _ = play(
            items(100), service, Limits(max_batch_size=1, max_concurrency=1), costs=shared(store), hold=hold
        )
        assert codes(results) == {"ok": 5, "budget_exceeded": 95}


FAULTS = st.sampled_from(
    [
        None, None, None, "short", "alone", errors.InvalidInput("bad"), errors.Unavailable("down", status=503),
        errors.RateLimited("slow"), errors.ServiceTimeout("hung"), errors.ConnectionFailed("reset"),
        errors.InvalidAnswer("odd"), errors.PayloadTooLarge("big"), ValueError("bug"),
    ]
)  # fmt: skip


class Worker:
    """One run of several, played by hand: it may die at any time."""

    def __init__(self, number: int, count: int, limits: Limits, store: Store, costs: CostBudget, now: float):
        self.number = number
        self.store = store
        self.costs = costs
        self.scheduler = Scheduler(
            items(count), limits, ServiceState(), now=now, costs=self.costs, random=random.Random(number).random
        )
        self.away: list[Batch] = []
        #: Draws that the store has granted, and the run has not heard of yet.
        self.grants: list[tuple[Draw, Grant | None]] = []
        self.at = now
        self.results: list[Any] = []

    def report(self, now: float, *, closes: bool = False) -> None:
        for draw in self.costs.report(now, closes=closes):
            self.grants.append((draw, self.store.hold(self.number, draw, now)))

    def hear(self, now: float) -> None:
        """Learn what became of draws."""
        for draw, grant in self.grants:
            self.costs.granted(draw, grant, now)
        self.grants.clear()

    def send(self, now: float) -> Batch | None:
        """Send a request, if there is one to send."""
        self.results += self.scheduler.sweep(now)
        step = self.scheduler.take(now)
        assert not isinstance(step, Reservation)
        if isinstance(step, Draw):
            self.grants.append((step, self.store.hold(self.number, step, now)))
            self.at = now
            return None
        if isinstance(step, Batch):
            self.away.append(step)
            return step
        self.at = step
        self.results += self.scheduler.sweep(now)
        return None


def _faults(given: list[Any]) -> Iterator[Any]:
    yield from given
    while True:
        yield None


@settings(max_examples=100, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 6)), min_size=1, max_size=4),
    faults=st.lists(FAULTS, max_size=60),
    cap=st.floats(0.0, 6.0).map(lambda cap: cap + 0.001),
    max_cost=st.none() | st.floats(0.01, 3.0),
    of_statement=st.none() | st.floats(0.01, 6.0),
    deaths=st.lists(st.integers(1, 80), max_size=2),
    seed=st.integers(0, 99),
)
def test_spending_never_exceeds_a_limit(
    runs: list[tuple[int, int, int]],
    faults: list[Any],
    cap: float,
    max_cost: float | None,
    of_statement: float | None,
    deaths: list[int],
    seed: int,
) -> None:
    """Several runs share the budget of a day; requests fail, return in any order, and workers are killed.

    What the requests in progress of a killed worker cost nobody can know. All others are counted.
    """
    order = random.Random(seed)
    store = Store(cap)
    limits = [Limits(max_batch_size=size, max_concurrency=workers, max_retries=2) for _, size, workers in runs]
    workers = [
        Worker(number, count, limit, store, shared(store, max_cost, of_statement), 0.0)
        for number, ((count, _, _), limit) in enumerate(zip(runs, limits, strict=True))
    ]
    coming = _faults(faults)
    billed = [0.0] * len(workers)
    unknown = 0.0
    living = list(workers)
    now = 0.0
    for step in range(5000):
        for worker in [one for one in living if one.scheduler.done]:
            worker.hear(now)
            worker.report(now, closes=True)
            living.remove(worker)
        if not living:
            break
        worker = order.choice(living)
        if step in deaths and len(living) > 1:
            living.remove(worker)
            budgets = ["day 0"] if of_statement is None else ["day 0", "statement"]
            reported = min(store.holders.get((budget, worker.number), (0.0,))[0] for budget in budgets)
            unknown += worker.costs.reserved + worker.costs.spent - reported
            continue
        if order.random() < 0.5:
            worker.hear(now)
        if order.random() < 0.1:
            worker.report(now)
        if worker.send(now) is not None and order.random() < 0.5:
            continue
        if not worker.away:
            waits = all(not one.away for one in living)
            now = max(now, min(one.at for one in living)) if waits and worker.at < math.inf else now + 0.01
            continue
        now += 0.01
        batch = worker.away.pop(order.randrange(len(worker.away)))
        cost = order.random() * at_most(batch.items)
        fault = next(coming)
        refused = isinstance(fault, HuggingFaceError) and not isinstance(
            fault, (errors.ServiceTimeout, errors.ConnectionFailed, errors.InvalidAnswer)
        )
        billed[worker.number] += 0.0 if refused else cost
        known = BatchResult(doubled(batch.items), cost=cost)
        scheduler = worker.scheduler
        if fault == "short":
            worker.results += scheduler.answered(batch, BatchResult(known.answers[1:], cost=cost), now)
        elif fault == "alone":
            answers: list[Any] = [errors.Unavailable("this one"), *known.answers[1:]]
            worker.results += scheduler.answered(batch, BatchResult(answers, cost=cost), now)
        elif isinstance(fault, HuggingFaceError):
            worker.results += scheduler.failed(batch, fault, now)
        elif isinstance(fault, ValueError):
            worker.results += scheduler.crashed(batch, fault, now)
        else:
            worker.results += scheduler.answered(batch, known, now)
        total = sum(billed) + sum(one.costs.reserved for one in living)
        assert total <= min(cap, of_statement or cap) + unknown + 1e-9
        assert max_cost is None or worker.costs.spent + worker.costs.reserved <= max_cost + 1e-9
        assert billed[worker.number] <= worker.costs.spent + 1e-9
    assert not living
    for worker, (count, _, _) in zip(workers, runs, strict=True):
        if worker.scheduler.done:
            assert sorted(by_index(worker.results)) == list(range(count))


def test_partitions_do_not_wait_for_what_each_other_holds() -> None:
    """One holds all of the statement's budget and needs that of the day, the other the reverse."""
    store = Store(1.0)
    pair = [shared(store, of_statement=1.0) for _ in range(2)]

    def made(number: int, draw: Draw, now: float) -> None:
        pair[number].granted(draw, store.hold(number, draw, now), now)

    for number, costs in enumerate(pair):
        held = costs.shared[number]
        draw = held.draw(1.0, 1.0, 0.0, False, 0.0)
        assert isinstance(draw, Draw)
        held.granted(draw, store.hold(number, draw, 0.0), 0.0)
    for now in range(1, 4):
        for number, costs in enumerate(pair):
            for draw in costs.report(now, closes=False):
                made(number, draw, now)
            for _ in costs.shared:
                step = 0.0 if costs.rows_that_fit(items(1), now) else costs.wait(items(1), now)
                if isinstance(step, Draw):
                    made(number, step, now)
        if any(costs.rows_that_fit(items(1), now) for costs in pair):
            return
    raise AssertionError("both wait")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "$0.00"), (0.5, "$0.50"), (12.345, "$12.35"), (0.0123, "$0.012"), (0.000012, "$0.000012")],
)
def test_dollars(amount: float, text: str) -> None:
    assert dollars(amount) == text


def test_a_draw_that_requests_in_progress_have_prevented_is_made_again_after_them() -> None:
    """Most requests cost far less than they may: what is left at the end is not what was left while they ran."""
    day = SharedBudget(6.0, lambda now: "today", 45.0)

    def drawn(now: float, *, in_flight: bool = False) -> Draw | float | None:
        return day.draw(1.7, 1.7, now, in_flight, 0.0)

    def granted(amount: float, spent: float, now: float, *, in_flight: bool = False) -> None:
        draw = drawn(now, in_flight=in_flight)
        assert isinstance(draw, Draw)
        day.granted(draw, Grant(draw.keep + amount, spent, 0.0), now)

    for now in (0.0, 0.1, 0.2):
        granted(1.7, 0.0, now, in_flight=now > 0.0)
        day.account(now).reserved += 1.7
    granted(0.0, 0.0, 0.3, in_flight=True)
    account = day.account(0.4)
    account.reserved, account.spent, account.held = 0.0, 3.5, 1.6
    assert drawn(0.4) == 1.3
    granted(1.7, 3.5, 1.3)
    account.held = 0.0
    granted(0.0, 5.2, 1.4)
    assert drawn(1.5) is None
