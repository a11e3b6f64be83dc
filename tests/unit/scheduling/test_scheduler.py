"""The decisions of a run in virtual time: what is sent again, split, given up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler import errors
from huggingface_api_handler.arguments.specs import EXECUTION
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.scheduling.batches import Batch, Item
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult, latency_step, quantile
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import ServiceState
from tests.unit.virtual import Service, doubled, items, play


def by_index(results: list[RowResult]) -> dict[int, RowResult]:
    found = {result.item.index: result for result in results}
    assert len(found) == len(results), "an item was delivered twice"
    return found


def codes(results: list[RowResult]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for result in results:
        code = "ok" if result.error is None else result.error.code
        counted[code] = counted.get(code, 0) + 1
    return counted


def always(error: HuggingFaceError) -> Callable[[Batch, float], HuggingFaceError]:
    return lambda batch, now: error


class TestLists:
    @pytest.mark.parametrize(
        ("fixed", "each", "slots"),
        [(0.05, 0.005, 8), (0.005, 0.020, 32), (0.5, 0.0, 4), (1.0, 0.001, 16), (0.001, 0.0005, 2)],
    )
    def test_one_bad_row_costs_itself_and_a_few_requests(self, fixed: float, each: float, slots: int) -> None:
        """Ten requests find the bad one of 32; the rest of the run must not come apart over it."""
        for bad in (*range(48), 100, 250, 466, *range(480, 500)):

            def fault(batch: Batch, now: float, bad: int = bad) -> HuggingFaceError | None:
                guilty = any(item.index == bad for item in batch.items)
                return errors.InvalidInput("no", status=400) if guilty else None

            noise = random.Random(bad)
            clean = Service(fixed, each, slots, noise=lambda noise=noise: noise.uniform(0.98, 1.02))  # type: ignore[misc]
            play(items(500), clean)
            noise.seed(bad)
            service = Service(fixed, each, slots, noise=clean.noise, fault=fault)
            _, results, _ = play(items(500), service)
            found = by_index(results)
            assert codes(results) == {"ok": 499, "invalid_input": 1}
            assert found[bad].error is not None
            assert all(found[index].value == 2 * index for index in range(500) if index != bad)
            assert len(service.sizes) <= len(clean.sizes) + 12, bad

    def test_a_wrong_count_is_not_trusted(self) -> None:
        scheduler = Scheduler(items(200), Limits(), ServiceState(), now=0.0)
        results: list[RowResult] = []
        short = 0
        while isinstance(batch := scheduler.take(0.0), Batch):
            answers = doubled(batch.items)
            if len(batch) > 1 and short < 3:
                short += 1
                assert scheduler.answered(batch, BatchResult(answers[1:]), 0.0) == []
            else:
                results += scheduler.answered(batch, BatchResult(answers), 0.0)
        assert short == 3
        assert all(result.value == 2 * result.item.index for result in results)
        assert len(results) == 200
        assert scheduler.done

    def test_a_missing_answer_is_an_error(self) -> None:
        scheduler = Scheduler(items(1), Limits(), ServiceState(), now=0.0)
        batch = scheduler.take(0.0)
        assert isinstance(batch, Batch)
        (result,) = scheduler.answered(batch, BatchResult([]), 0.1)
        assert isinstance(result.error, errors.InvalidAnswer)

    def test_a_service_that_takes_no_lists_is_remembered(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.InvalidInput("no lists", status=422) if len(batch) > 1 else None

        state = ServiceState()
        service = Service(0.05, fault=fault)
        _, results, _ = play(items(300), service, state=state)
        assert codes(results) == {"ok": 300}
        assert len(service.sizes) < 300 + 40
        again = Service(0.05, fault=fault)
        play(items(300), again, state=state)
        assert again.sizes == [1] * 300

    def test_a_service_that_takes_short_lists_is_remembered(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.InvalidInput("more than 4", status=422) if len(batch) > 4 else None

        state = ServiceState()
        play(items(300), Service(0.05, fault=fault), state=state)
        again = Service(0.05, fault=fault)
        play(items(300), again, state=state)
        assert max(again.sizes) == 4
        assert len(again.sizes) < 300 / 4 + 40

    def test_an_error_within_an_answer_concerns_its_row(self) -> None:
        service = Service(0.05)
        wanted = items(40)
        scheduler = Scheduler(wanted, Limits(), ServiceState(), now=0.0)
        results: list[RowResult] = []
        now = 0.0
        while not scheduler.done:
            step = scheduler.take(now)
            if not isinstance(step, Batch):
                now = step
                continue
            answers: list[Any] = [
                errors.InvalidInput("bad")
                if item.index == 3
                else errors.Unavailable("later")
                if item.index == 9 and step.failures == 0
                else RowResult(item.payload * 2)
                for item in step.items
            ]
            results += scheduler.answered(step, BatchResult(answers), now + 0.05)
        del service
        assert codes(results) == {"ok": 39, "invalid_input": 1}
        assert by_index(results)[9].attempts == 2

    def test_rows_that_a_response_does_not_answer_are_sent_again_in_half_as_many(self) -> None:
        scheduler = Scheduler(items(20), Limits(max_batch_size=20, fill_batches=True), ServiceState(), now=0.0)
        sizes: list[int] = []
        results: list[RowResult] = []
        while isinstance(batch := scheduler.take(0.0), Batch):
            sizes.append(len(batch))
            answers: list[Any] = [
                None if item.index < 12 and len(batch) > 1 else RowResult(2 * item.payload) for item in batch.items
            ]
            results += scheduler.answered(batch, BatchResult(answers), 0.0)
        # Two batches of two have been too long by then: the rest is sent row by row.
        assert sizes == [20, 10, 5, 3, 2, 1, 1, 1, 2, 1, 1] + [1] * 7
        assert codes(results) == {"ok": 20}

    def test_a_row_alone_that_a_response_does_not_answer_is_an_error(self) -> None:
        scheduler = Scheduler(items(1), Limits(), ServiceState(), now=0.0)
        batch = scheduler.take(0.0)
        assert isinstance(batch, Batch)
        (result,) = scheduler.answered(batch, BatchResult([None]), 0.1)
        assert str(result.error) == "it is uncertain which answer in the response belongs to this row"
        assert scheduler.done

    def test_a_run_can_be_told_to_send_single_rows(self) -> None:
        """What waits in longer batches, too, is sent row by row."""
        scheduler = Scheduler(items(60), Limits(max_batch_size=20, fill_batches=True), ServiceState(), now=0.0)
        first, second = scheduler.take(0.0), scheduler.take(0.0)
        assert isinstance(first, Batch) and isinstance(second, Batch)
        scheduler.answered(first, BatchResult([None] * 20), 0.1)
        results = scheduler.answered(second, BatchResult(doubled(second.items), max_batch_size=1), 0.2)
        sizes = []
        while isinstance(batch := scheduler.take(0.2), Batch):
            sizes.append(len(batch))
            results += scheduler.answered(batch, BatchResult(doubled(batch.items)), 0.2)
        assert sizes == [1] * 40
        assert codes(results) == {"ok": 60}

    def test_filled_batches_are_as_long_as_they_may_be(self) -> None:
        service = Service(0.01, each=0.1)
        _, results, _ = play(items(90), service, Limits(max_batch_size=20, fill_batches=True))
        assert service.sizes == [20, 20, 20, 20, 10]
        assert codes(results) == {"ok": 90}

    def test_a_list_that_times_out_is_split(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.ServiceTimeout("60 s") if len(batch) > 2 else None

        service = Service(0.5, fault=fault)
        _, results, _ = play(items(40), service, Limits(max_retries=6))
        assert codes(results) == {"ok": 40}

    def test_slow_rows_are_sent_in_lists_that_fit_the_timeout(self) -> None:
        service = Service(0.5, each=4.0)
        _, results, _ = play(items(400), service, Limits(timeout=60.0))
        assert max(result.latency for result in results) < 60.0


class TestRetries:
    @pytest.mark.parametrize("retries", [0, 1, 3])
    def test_while_a_service_is_down_a_row_is_sent_max_retries_plus_one_times(self, retries: int) -> None:
        service = Service(0.05, fault=always(errors.Unavailable("down", status=503)))
        limits = Limits(max_batch_size=1, max_retries=retries)
        _, results, _ = play(items(5), service, limits)
        assert codes(results) == {"unavailable": 5}
        assert len(service.sizes) == 5 * (retries + 1)
        assert {result.error.attempts for result in results if result.error} == {retries + 1}

    def test_a_temporary_fault_is_retried(self) -> None:
        service = Service(0.05, fault=lambda batch, now: errors.Unavailable("down") if now < 3.0 else None)
        _, results, scheduler = play(items(50), service, Limits(max_batch_size=1))
        assert codes(results) == {"ok": 50}
        assert scheduler.summary.retries == len(service.sizes) - 50 > 0

    @pytest.mark.parametrize(("size", "seeds"), [(1, (28, 48)), (32, (*range(20), 116))])
    def test_faults_of_every_kind_at_once_lose_nothing(self, size: int, seeds: tuple[int, ...]) -> None:
        for seed in seeds:
            chance = random.Random(seed)

            def fault(batch: Batch, now: float, chance: random.Random = chance) -> HuggingFaceError | None:
                drawn = chance.random()
                kinds: list[tuple[float, HuggingFaceError]] = [
                    (0.05, errors.ModelLoading("loading", status=503, retry_after=1.0)),
                    (0.10, errors.Unavailable("busy", status=503)),
                    (0.15, errors.RateLimited("slow", status=429, retry_after=1.0)),
                    (0.20, errors.RateLimited("slow", status=429)),
                    (0.25, errors.ConnectionFailed("reset")),
                    (0.30, errors.InvalidAnswer("cut off", retryable=True)),
                    (0.32, errors.InvalidAnswer("HTML", retryable=True)),
                    (0.34, errors.ServiceTimeout("hung")),
                ]
                return next((error for bound, error in kinds if drawn < bound), None)

            service = Service(0.02, 0.001, fault=fault)
            _, results, _ = play(items(5000), service, Limits(max_batch_size=size), seed=seed)
            found = by_index(results)
            assert all(found[index].value == 2 * index for index in range(5000)), seed

    def test_a_row_is_sent_more_often_while_others_pass(self) -> None:
        unlucky = {"left": 6}

        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            if batch.items[0].index == 30 and unlucky["left"]:
                unlucky["left"] -= 1
                return errors.RateLimited("slow", status=429)
            return None

        _, results, _ = play(items(4000), Service(0.05, fault=fault), Limits(max_batch_size=1, max_retries=3))
        assert codes(results) == {"ok": 4000}
        assert by_index(results)[30].attempts == 7

    def test_retries_end_while_others_pass_too(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.RateLimited("slow", status=429) if batch.items[0].index == 30 else None

        _, results, _ = play(items(4000), Service(0.05, fault=fault), Limits(max_batch_size=1, max_retries=3))
        assert codes(results) == {"ok": 3999, "rate_limited": 1}
        assert by_index(results)[30].attempts == 1 + 2 * 3

    def test_work_that_may_have_begun_is_not_called_retryable_at_the_deadline(self) -> None:
        """Whoever goes by the column would pay for it twice."""
        late = errors.ServiceTimeout("still at work", retryable=False)
        service = Service(2.0, fault=lambda batch, now: late)
        _, results, _ = play(items(1), service, Limits(max_batch_size=1, timeout=60.0, deadline=2.0))
        (error,) = [result.error for result in results]
        assert error is not None and (error.code, error.retryable) == ("timeout", False)

    @pytest.mark.parametrize("kind", [errors.Unavailable, errors.RateLimited])
    @pytest.mark.parametrize("retries", [0, 1, 2, 5])
    def test_a_row_is_sent_again_as_often_as_max_retries_says_it_may(
        self, kind: type[HuggingFaceError], retries: int
    ) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return kind("slow") if batch.items[0].index == 30 else None

        limits = Limits(max_batch_size=1, max_concurrency=4, max_retries=retries)
        _, results, _ = play(items(5000), Service(0.05, fault=fault), limits)
        assert by_index(results)[30].attempts == 1 + 2 * retries
        reported = next(form.meaning for form in EXECUTION if form.name == "max_retries")
        assert "up to twice as many while other requests succeed" in reported
        assert "429" not in reported

    @pytest.mark.parametrize("bad", [0, 31, 77])
    def test_a_row_that_breaks_the_service_fails_alone(self, bad: int) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.Unavailable("500") if any(item.index == bad for item in batch.items) else None

        _, results, _ = play(items(200), Service(0.05, fault=fault))
        assert codes(results) == {"ok": 199, "unavailable": 1}
        assert by_index(results)[bad].error is not None

    def test_a_row_that_waits_for_its_retry_blocks_no_worker(self) -> None:
        first = {0, 1, 2, 3}

        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            if now < 6.0 and batch.items[0].index in first:
                return errors.InvalidAnswer("cut off", retryable=True)
            return None

        service = Service(0.05, fault=fault)
        _, results, _ = play(items(400), service, Limits(max_batch_size=1, max_retries=9))
        order = [result.item.index for result in results]
        assert codes(results) == {"ok": 400}
        assert set(order[-4:]) == first
        assert sum(at < 2.0 for at in service.arrivals) >= 400

    def test_a_kept_connection_that_closed_is_retried_at_once(self) -> None:
        """It says nothing of the service's load, but the retry is a request like any other."""
        state = ServiceState()
        scheduler = Scheduler(items(1), Limits(max_concurrency=8), state, now=0.0)
        batch = scheduler.take(0.0)
        assert isinstance(batch, Batch)
        before = state.concurrency.limit(8)
        assert scheduler.failed(batch, errors.ConnectionFailed("closed", retry_after=0.0), 1.0) == []
        assert state.concurrency.limit(8) == before
        assert scheduler.take(1.0) is batch
        (result,) = scheduler.answered(batch, BatchResult([RowResult("x")]), 2.0)
        assert (result.attempts, scheduler.summary.requests, scheduler.summary.retries) == (2, 2, 1)

    def test_a_closed_connection_is_retried_within_the_limits(self) -> None:
        closed = errors.ConnectionFailed("closed", retry_after=0.0)
        for limits, codes_, requests in (
            (Limits(max_retries=0), {"connection": 10}, 10),
            (Limits(max_retries=2), {"connection": 10}, 30),
            (Limits(max_requests=3, max_retries=0), {"connection": 3, "budget_exceeded": 7}, 3),
        ):
            service = Service(0.1, fault=always(closed))
            _, results, scheduler = play(items(10, group=lambda index: index), service, limits)
            assert codes(results) == codes_
            assert scheduler.summary.requests == len(service.sizes) == requests


class TestLoading:
    def test_a_model_that_is_being_loaded_holds_back_every_worker(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.ModelLoading("loading", status=503, retry_after=5.0) if now < 4.0 else None

        service = Service(0.05, fault=fault)
        took, results, _ = play(items(300), service, Limits(max_batch_size=1))
        assert codes(results) == {"ok": 300}
        assert not [at for at in service.arrivals if 0.1 < at < 5.0]
        assert took < 7.0

    def test_one_loading_server_of_several_holds_back_no_worker(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            bad = batch.items[0].index == 30 and batch.failures == 0
            return errors.ModelLoading("loading", status=503, retry_after=5.0) if bad else None

        service = Service(0.05, fault=fault)
        _, results, _ = play(items(300), service, Limits(max_batch_size=1))
        assert codes(results) == {"ok": 300}
        assert sum(at < 3.0 for at in service.arrivals) == 300

    def test_a_503_that_names_a_time_holds_back_every_worker(self) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            bad = batch.items[0].index == 30 and batch.failures == 0
            return errors.Unavailable("maintenance", status=503, retry_after=5.0) if bad else None

        service = Service(0.05, fault=fault)
        play(items(300), service, Limits(max_batch_size=1))
        met = service.arrivals[30] + 0.051
        assert not [at for at in service.arrivals if met < at < met + 4.9]


class TestEnds:
    def test_an_error_of_every_row_stops_the_query(self) -> None:
        denied = errors.OutOfCredits("no credits", status=402)
        service = Service(0.05, fault=lambda batch, now: denied if now > 1.0 else None)
        _, results, scheduler = play(items(4000), service, Limits(max_batch_size=1))
        counted = codes(results)
        assert scheduler.summary.stopped is denied
        assert counted["ok"] + counted["out_of_credits"] == len(service.sizes)
        assert counted["out_of_credits"] <= 16
        assert counted["not_attempted"] == 4000 - len(service.sizes)
        rest = [result for result in results if result.error and result.error.code == "not_attempted"]
        assert {result.error.__cause__ for result in rest if result.error} == {denied}
        assert {result.attempts for result in rest} == {0}

    def test_answers_in_flight_are_kept_after_the_query_stopped(self) -> None:
        scheduler = Scheduler(items(9), Limits(max_batch_size=1), ServiceState(), now=0.0)
        first, second = scheduler.take(0.0), scheduler.take(0.0)
        assert isinstance(first, Batch)
        assert isinstance(second, Batch)
        gone = scheduler.failed(first, errors.Unauthorized("no"), 0.1)
        assert codes(gone) == {"unauthorized": 1, "not_attempted": 7}
        assert scheduler.take(0.1) == math.inf
        assert not scheduler.done
        assert scheduler.answered(second, BatchResult([RowResult(1)]), 0.2)[0].value == 1
        assert scheduler.done

    @pytest.mark.parametrize("stop", [True, False])
    def test_the_first_error_stops_only_where_asked(self, stop: bool) -> None:
        def fault(batch: Batch, now: float) -> HuggingFaceError | None:
            return errors.InvalidInput("bad") if batch.items[0].index == 5 else None

        _, results, scheduler = play(
            items(3000), Service(0.05, fault=fault), Limits(max_batch_size=1), stop_on_error=stop
        )
        counted = codes(results)
        assert counted["invalid_input"] == 1
        assert ("not_attempted" in counted) is stop
        assert (scheduler.summary.stopped is not None) is stop

    def test_a_deadline_bounds_the_waits_too(self) -> None:
        service = Service(0.5, fault=lambda batch, now: errors.Unavailable("no", retry_after=20.0) if now > 2 else None)
        took, results, _ = play(items(200), service, Limits(max_batch_size=1, deadline=10.0))
        assert took <= 10.0
        counted = codes(results)
        assert set(counted) == {"ok", "deadline_exceeded"}
        assert sum(counted.values()) == 200
        late = next(result for result in results if result.attempts and result.error)
        assert isinstance(late.error and late.error.__cause__, errors.Unavailable)
        # What the service has said is what has to be fixed, not the deadline.
        assert "the last try failed with: no" in str(late.error)

    def test_a_request_gets_no_more_time_than_is_left(self) -> None:
        scheduler = Scheduler(items(1), Limits(timeout=60.0, deadline=10.0), ServiceState(), now=0.0)
        assert scheduler.timeout(4.0) == 6.0
        assert scheduler.timeout(11.0) > 0.0

    @pytest.mark.parametrize("size", [1, 32])
    @pytest.mark.parametrize("most", [0, 1, 7, 40])
    def test_no_more_requests_than_max_requests(self, size: int, most: int) -> None:
        chance = random.Random(1)
        service = Service(0.05, fault=lambda batch, now: errors.Unavailable("no") if chance.random() < 0.2 else None)
        _, results, _ = play(items(100), service, Limits(max_batch_size=size, max_requests=most))
        assert len(service.sizes) <= most
        counted = codes(results)
        assert sum(counted.values()) == 100
        assert set(counted) <= {"ok", "budget_exceeded"}

    def test_a_budget_that_is_enough_in_lists_is_enough(self) -> None:
        service = Service(0.05, 0.005)
        _, results, _ = play(items(100), service, Limits(max_requests=4))
        assert codes(results) == {"ok": 100}

    def test_a_bug_stops_the_run_and_loses_nothing(self) -> None:
        scheduler = Scheduler(items(9), Limits(max_batch_size=1), ServiceState(), now=0.0)
        first = scheduler.take(0.0)
        assert isinstance(first, Batch)
        bug = ZeroDivisionError()
        results = scheduler.crashed(first, bug, 0.1)
        assert codes(results) == {"not_attempted": 9}
        assert results[0].error is not None
        assert results[0].error.__cause__ is bug
        assert scheduler.done

    def test_nothing_to_do_is_done(self) -> None:
        assert Scheduler([], Limits(), ServiceState(), now=0.0).done


class TestSummary:
    def test_counts(self) -> None:
        service = Service(0.05, fault=lambda batch, now: errors.RateLimited("slow") if now == 0.0 else None)
        _, results, scheduler = play(items(100), service, Limits(max_batch_size=1))
        summary = scheduler.summary
        assert summary.rows == len(results) == 100
        assert summary.requests == len(service.sizes) == 100 + summary.retries
        assert summary.throttled == summary.retries == 4
        assert sum(summary.latencies.values()) == 100
        assert quantile(summary.latencies, 0.5) == latency_step(0.051)

    @given(st.floats(0, 1e5))
    def test_a_latency_falls_under_its_bound(self, seconds: float) -> None:
        bound = latency_step(seconds)
        assert bound >= min(seconds * 1000, 10**6)
        assert bound <= max(2.0, seconds * 1250 + 1)

    def test_quantiles_of_nothing(self) -> None:
        assert quantile({}, 0.5) is None
        assert quantile({10: 5, 100: 4, 1000: 1}, 0.5) == 10
        assert quantile({10: 5, 100: 4, 1000: 1}, 0.95) == 1000


FAULTS = st.sampled_from(
    [
        None, None, None, None, "short", "long", "alone", "some", "none", "single",
        errors.InvalidInput("bad"), errors.PayloadTooLarge("big"), errors.Unavailable("down"),
        errors.RateLimited("slow"), errors.RateLimited("slow", retry_after=1.0),
        errors.ModelLoading("loading", retry_after=2.0), errors.ServiceTimeout("hung"),
        errors.ConnectionFailed("reset"), errors.InvalidAnswer("odd"), errors.InvalidAnswer("cut", retryable=True),
        errors.OutOfCredits("none"), errors.BlockedFile("path"), ValueError("bug"),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(st.sampled_from([None, "a", "b"]), max_size=80),
    size=st.integers(1, 40),
    workers=st.integers(1, 20),
    retries=st.integers(0, 3),
    faults=st.lists(FAULTS, max_size=60),
    budget=st.none() | st.integers(0, 60),
    deadline=st.none() | st.floats(0.1, 20.0),
    stop=st.booleans(),
    fill=st.booleans(),
    seed=st.integers(0, 9),
)
def test_each_answer_is_for_its_own_input_exactly_once(
    names: list[str | None],
    size: int,
    workers: int,
    retries: int,
    faults: list[HuggingFaceError | ValueError | str | None],
    budget: int | None,
    deadline: float | None,
    stop: bool,
    fill: bool,
    seed: int,
) -> None:
    wanted = [Item(index, str(index), index, name, 50_000) for index, name in enumerate(names)]
    limits = Limits(size, workers, None, deadline, budget, retries, 10.0, fill_batches=fill)
    scheduler = Scheduler(
        wanted, limits, ServiceState(), now=0.0, stop_on_error=stop, random=random.Random(seed).random
    )
    order = random.Random(seed)
    coming = iter(faults)
    away: list[Batch] = []
    results: list[RowResult] = []
    smaller_than: dict[int, int] = {}
    now = 0.0
    for _ in range(20_000):
        results += scheduler.sweep(now)
        if scheduler.done:
            break
        step = scheduler.take(now)
        if isinstance(step, Batch):
            assert len(step) <= size
            assert len(step) == 1 or len(step) < smaller_than.get(step.items[0].index, math.inf)
            assert len({item.group for item in step.items}) == 1
            assert len(step) == 1 or sum(item.size for item in step.items) <= limits.max_batch_bytes
            away.append(step)
            assert len(away) <= workers
            if order.random() < 0.5:
                continue
        elif not away:
            assert step < math.inf
            now = step
            continue
        now += 0.01
        batch = away.pop(order.randrange(len(away)))
        answers: list[Any] = doubled(batch.items)
        fault = next(coming, None)
        if fault == "short":
            results += scheduler.answered(batch, BatchResult(answers[1:]), now)
        elif fault == "long":
            results += scheduler.answered(batch, BatchResult([*answers, RowResult(1)]), now)
        elif fault == "alone":
            answers[order.randrange(len(answers))] = errors.Unavailable("this one")
            results += scheduler.answered(batch, BatchResult(answers), now)
        elif fault in ("some", "none"):
            lost = (
                range(len(answers)) if fault == "none" else order.sample(range(len(answers)), (len(answers) + 1) // 2)
            )
            for at in lost:
                answers[at] = None
                smaller_than[batch.items[at].index] = len(answers)
            results += scheduler.answered(batch, BatchResult(answers), now)
        elif fault == "single":
            size = 1
            results += scheduler.answered(batch, BatchResult(answers, max_batch_size=1), now)
        elif isinstance(fault, HuggingFaceError):
            results += scheduler.failed(batch, fault, now)
        elif isinstance(fault, ValueError):
            results += scheduler.crashed(batch, fault, now)
        else:
            results += scheduler.answered(batch, BatchResult(answers), now)
    assert scheduler.done
    found = by_index(results)
    assert sorted(found) == list(range(len(names)))
    for index, result in found.items():
        assert (result.error is None) == (result.value is not None)
        assert result.error is not None or result.value == 2 * index
    assert scheduler.summary.rows == codes(results).get("ok", 0)
    assert budget is None or scheduler.summary.requests <= budget


class Billing(Service):
    """A service that bills what it answers, whether the answer is any good or not."""

    def __init__(self, outcomes: list[str], costs: list[float | None]) -> None:
        super().__init__(0.1)
        self.outcomes, self.costs, self.at = outcomes, costs, 0
        self.billed = 0.0

    def ask(self, batch: Batch, now: float) -> tuple[float, BatchResult | HuggingFaceError]:
        ends, answered = super().ask(batch, now)
        outcome, cost = self.outcomes[self.at % len(self.outcomes)], self.costs[self.at % len(self.costs)]
        self.at += 1
        assert isinstance(answered, BatchResult)
        answers: list[Any] = list(answered.answers)
        result = BatchResult(answers, cost=cost, input_tokens=7, output_tokens=3, seconds=0.5)
        if outcome == "refused":
            return ends, errors.RateLimited("slow", status=429)
        self.billed += cost or 0.0
        if outcome == "invalid":
            error = errors.InvalidAnswer("odd", retryable=True)
            error.cost, error.usage = cost, result
            return ends, error
        if outcome == "short":
            answers.pop()
        elif outcome == "one wrong":
            answers[0] = errors.InvalidAnswer("odd")
        return ends, result


@settings(max_examples=200, deadline=None)
@given(
    count=st.integers(1, 40),
    size=st.integers(1, 8),
    retries=st.integers(0, 3),
    stop=st.booleans(),
    outcomes=st.lists(
        st.sampled_from(["ok", "ok", "ok", "refused", "invalid", "short", "one wrong"]), min_size=1, max_size=20
    ),
    costs=st.lists(st.none() | st.sampled_from([0.0, 0.25, 1.0, 7.5]), min_size=1, max_size=5),
)
def test_what_is_billed_is_the_sum_of_the_rows(
    count: int, size: int, retries: int, stop: bool, outcomes: list[str], costs: list[float | None]
) -> None:
    service = Billing(outcomes, costs)
    limits = Limits(max_batch_size=size, max_retries=retries)
    _, results, scheduler = play(items(count), service, limits, stop_on_error=stop)
    assert scheduler.summary.cost == pytest.approx(service.billed, abs=1e-9)
    assert sum(result.cost or 0.0 for result in results) == pytest.approx(service.billed, abs=1e-9)
    assert len(by_index(results)) == count
