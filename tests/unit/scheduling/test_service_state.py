"""What is learned of a service: lanes, cost, pace, length of lists. All of it in virtual time."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

import pytest

from huggingface_api_handler.scheduling.results import Limits
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import (
    Bucket,
    ConcurrencyLimit,
    LatencyModel,
    ListCap,
    Reservation,
    ServiceState,
)
from tests.unit.virtual import Service, TokenBucket, Window, items, play


def best(fixed: float, each: float, slots: int, rows: int) -> float:
    """Seconds of the best list size (1 to 32) and number of lanes (1 to 16)."""
    times = []
    for size in range(1, 33):
        for lanes in range(1, 17):
            free = [0.0] * min(lanes, slots)
            for start in range(0, rows, size):
                heapq.heapreplace(free, free[0] + fixed + each * min(size, rows - start))
            times.append(max(free))
    return min(times)


@pytest.mark.parametrize(("fixed", "each", "slots"), [(0.05, 0.005, 8), (0.005, 0.020, 32), (0.5, 0.0, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_lists_and_lanes_are_found_without_a_setting(fixed: float, each: float, slots: int, seed: int) -> None:
    noise = random.Random(seed)
    service = Service(fixed, each, slots, noise=lambda: noise.uniform(0.98, 1.02))
    state = ServiceState()
    first, outcomes, _ = play(items(2000), service, state=state)
    assert len(outcomes) == 2000
    assert first <= 1.15 * best(fixed, each, slots, 2000)
    service = Service(fixed, each, slots, noise=lambda: noise.uniform(0.98, 1.02))
    second, _, _ = play(items(2000), service, state=state)  # what was learned stays learned
    assert second <= 1.08 * best(fixed, each, slots, 2000)


def test_one_by_one_the_lanes_open_within_a_few_round_trips() -> None:
    service = Service(0.05, way=0.0)
    took, _, desk = play(items(1000), service, Limits(max_batch_size=1, max_concurrency=32))
    assert desk.summary.lanes == 32
    assert took <= 1.08 * 0.05 * math.ceil(1000 / 32)


@pytest.mark.parametrize("most", [1, 2, 16, 200])
def test_never_more_lanes_than_allowed(most: int) -> None:
    _, _, desk = play(items(2000), Service(0.05), Limits(max_batch_size=1, max_concurrency=most))
    assert desk.summary.lanes == most


def test_a_service_with_one_slot_is_not_flooded() -> None:
    service = Service(5.0, slots=1)
    _, outcomes, _ = play(items(200), service, Limits(max_batch_size=1, timeout=60.0))
    latencies = [outcome.latency for outcome in outcomes]
    assert max(latencies) < 60.0  # 16 requests of 5 s each would wait for 80 s
    assert all(outcome.error is None for outcome in outcomes)


def test_uneven_requests_do_not_look_like_a_queue() -> None:
    noise = random.Random(3)
    service = Service(2.0, noise=lambda: noise.lognormvariate(0.0, 0.7))
    _, _, desk = play(items(600), service, Limits(max_batch_size=1, max_concurrency=32))
    assert desk.summary.lanes == 32


class TestConcurrency:
    def test_doubles_with_every_round_trip(self) -> None:
        lanes = ConcurrencyLimit()
        seen = [lanes.limit(32)]
        for _ in range(3):
            for _ in range(lanes.limit(32)):
                lanes.succeeded(lanes.limit(32), 32, 1.0)
            seen.append(lanes.limit(32))
        assert seen == [8, 16, 32, 32]

    def test_one_event_halves_it_once(self) -> None:
        lanes = ConcurrencyLimit()
        lanes.limit(32)
        for lane in range(8):
            lanes.overloaded(started=0.0, now=1.0 + lane / 100, crowd=8 - lane)
        assert lanes.limit(32) == 4

    def test_then_it_grows_by_one_a_round_trip(self) -> None:
        lanes = ConcurrencyLimit()
        lanes.limit(32)
        lanes.overloaded(0.0, 1.0, 8)
        for _ in range(4):
            lanes.succeeded(4, 32, 1.0)
        assert lanes.limit(32) == 4
        lanes.succeeded(4, 32, 1.0)
        assert lanes.limit(32) == 5

    def test_never_below_one(self) -> None:
        lanes = ConcurrencyLimit()
        lanes.limit(32)
        for at in range(100):
            lanes.overloaded(float(at), at + 0.5, 3)
        assert lanes.limit(32) == 1

    def test_what_is_not_used_does_not_grow(self) -> None:
        lanes = ConcurrencyLimit()
        lanes.limit(32)
        for _ in range(100):
            lanes.succeeded(1, 32, 1.0)
        assert lanes.limit(32) == 8

    def test_now_and_then_a_failure_costs_little(self) -> None:
        lanes, most, levels = ConcurrencyLimit(), 16, []
        lanes.limit(most)
        for request in range(2000):
            at = request / 100
            if request % 10 == 0:
                lanes.overloaded(at - 0.05, at, lanes.limit(most))
            else:
                lanes.succeeded(lanes.limit(most), most, 1.0)
            levels.append(lanes.limit(most))
        assert sum(levels[500:]) / len(levels[500:]) > 10


class TestCost:
    def test_a_line_through_the_quickest(self) -> None:
        cost = LatencyModel()
        for rows in (1, 2, 4, 8):
            cost.observe(rows, 0.05 + 0.005 * rows, 4)
        assert (cost.fixed, cost.each) == (pytest.approx(0.05), pytest.approx(0.005))
        assert cost.of(32) == pytest.approx(0.21)

    def test_waiting_in_a_queue_is_no_cost(self) -> None:
        cost = LatencyModel()
        for rows in (1, 2, 4, 8):
            cost.observe(rows, 0.05 + 0.005 * rows, 4)
        for _ in range(50):
            cost.observe(8, 2 * 0.09, 16)
        assert cost.of(8) == pytest.approx(0.09, rel=0.15)
        assert cost.stretch == pytest.approx(2.0, rel=0.15)
        assert cost.slots(16) == pytest.approx(8.0, rel=0.15)

    def test_negative_slopes_are_nonsense(self) -> None:
        cost = LatencyModel()
        cost.observe(1, 0.5, 1)
        cost.observe(16, 0.4, 1)
        assert cost.each == 0.0
        assert cost.fixed > 0.0


class TestBucket:
    def test_spread_evenly(self) -> None:
        bucket, now, sent = Bucket(), 100.0, []
        for _ in range(5):
            now = bucket.due(now)
            bucket.sent(now, 120.0)
            sent.append(now)
        assert [at - sent[0] for at in sent] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.06)

    def test_idle_time_is_not_saved_up(self) -> None:
        bucket = Bucket()
        bucket.sent(0.0, 60.0)
        bucket.sent(1000.0, 60.0)
        assert bucket.due(1000.0) >= 1000.9


class Shared:
    """Reservation that several workers share, in virtual time; ``away`` while nobody keeps them."""

    def __init__(self) -> None:
        self.turn, self.away, self.claims = -math.inf, False, 0

    def __call__(self, gap: float, count: int, now: float) -> float | None:
        self.claims += 1
        if self.away:
            return None
        turn = max(self.turn, now)
        self.turn = turn + gap * count
        return turn - now


class TestSharedPace:
    def test_a_worker_takes_its_turns_and_no_more(self) -> None:
        shared, service = Shared(), Service(0.01)
        limits = Limits(max_batch_size=1, requests_per_minute=600.0)
        took, _, _ = play(items(50), service, limits, claim=shared)
        gaps = [b - a for a, b in zip(service.arrivals, service.arrivals[1:], strict=False)]
        assert gaps == pytest.approx([0.1] * 49)
        assert took == pytest.approx(4.91, abs=0.01)
        assert shared.claims == 50

    def test_what_others_take_is_left_to_them(self) -> None:
        shared, service = Shared(), Service(0.01)
        limits = Limits(max_batch_size=1, requests_per_minute=600.0)

        def claim(gap: float, count: int, now: float) -> float | None:
            wait = shared(gap, count, now)
            shared(gap, 3 * count, now)  # three others, as busy
            return wait

        took, _, _ = play(items(50), service, limits, claim=claim)
        assert took == pytest.approx(49 * 0.4, abs=0.1)

    def test_quick_paces_claim_several_turns_at_once(self) -> None:
        shared, service = Shared(), Service(0.01)
        took, _, _ = play(items(3000), service, Limits(max_batch_size=1, requests_per_minute=60_000.0), claim=shared)
        assert shared.claims <= 61
        assert took == pytest.approx(3.0, abs=0.1)

    def test_without_anybody_who_keeps_turns_it_goes_by_its_own_count(self) -> None:
        shared, service = Shared(), Service(0.01)
        shared.away = True
        took, outcomes, _ = play(items(100), service, Limits(max_batch_size=1, requests_per_minute=600.0), claim=shared)
        assert all(outcome.error is None for outcome in outcomes)
        assert took == pytest.approx(9.9, abs=0.2)
        assert shared.claims == 2  # looked for again after a while

    def test_a_turn_that_passed_by_is_not_saved_up(self) -> None:
        bucket, turns = Bucket(), Reservation(0.1, 1)
        assert bucket.lacks_turn(0.0, 600.0)
        assert bucket.begin_claim()
        assert not bucket.begin_claim()  # another lane is at it
        bucket.grant(0.0, turns, 0.5)
        assert not bucket.lacks_turn(0.6, 600.0)
        assert bucket.due(0.2) == 0.5
        assert bucket.lacks_turn(2.0, 600.0)

    def test_a_turn_beyond_the_deadline_ends_the_query(self) -> None:
        _, outcomes, _ = play(
            items(10),
            Service(0.01),
            Limits(max_batch_size=1, requests_per_minute=6.0, deadline=15.0),
            claim=Shared(),
        )
        assert sorted(outcome.error is None for outcome in outcomes) == [False] * 8 + [True] * 2


def test_requests_per_minute_hold_for_all_queries_of_a_process() -> None:
    state, service, now = ServiceState(), Service(0.01), 0.0
    for _ in range(3):
        took, _, _ = play(
            items(40), service, Limits(max_batch_size=1, requests_per_minute=60.0), state=state, start=now
        )
        now += took
    for at in service.arrivals:
        assert sum(at <= other < at + 60.0 for other in service.arrivals) <= 61
    assert now == pytest.approx(119.0, abs=2.0)


def test_at_a_slow_pace_lists_stay_full_where_a_request_costs_next_to_nothing() -> None:
    """Short lists would open lanes sooner; what is scarce here are requests, of which they would take one a row."""
    state = ServiceState()
    for rows, seconds in ((1, 0.02), (4, 0.08), (8, 0.16)):
        state.cost.observe(rows, seconds, 1)
    service = Service(0.0, 0.02, 8)
    _, outcomes, _ = play(items(128), service, Limits(requests_per_minute=60.0), state=state)
    assert len(outcomes) == 128
    assert len(service.sizes) <= 8


def test_at_a_slow_pace_lists_are_full() -> None:
    service = Service(0.2, 0.01)
    took, _, _ = play(items(320), service, Limits(requests_per_minute=60.0))
    assert len(service.sizes) == 10
    assert took < 11


class TestRate:
    @pytest.mark.parametrize("latency", [0.01, 0.05, 0.2])
    @pytest.mark.parametrize(
        "gate",
        [
            lambda: TokenBucket(50, 5),
            lambda: TokenBucket(50, 50),
            lambda: TokenBucket(50, 50, 1.0),
            lambda: Window(50, slides=False),
            lambda: Window(50, slides=True),
            lambda: Window(50, slides=True, retry_after=1.0),
        ],
        ids=["bucket of 5", "of 50", "of 50, Retry-After", "window", "sliding window", "sliding, Retry-After"],
    )
    def test_uses_what_is_allowed_and_little_more(
        self, gate: Callable[[], Callable[[float], float | None]], latency: float
    ) -> None:
        service = Service(latency, gate=gate(), way=0.002)
        late = random.Random(1)
        _, outcomes, _ = play(
            items(3000), service, Limits(max_batch_size=1), late=lambda: late.expovariate(1.0 / 0.0005)
        )
        assert all(outcome.value == 2 * outcome.item.index for outcome in outcomes)
        assert len(service.accepted) / max(service.accepted) >= 0.92 * 50
        assert len(service.refused) < 0.05 * len(service.arrivals)

    @pytest.mark.parametrize("burst", [5, 50])
    def test_follows(self, burst: int) -> None:
        bucket = TokenBucket(50, burst)

        def gate(now: float) -> float | None:
            bucket.rate = 25.0 if 15.0 <= now < 30.0 else 50.0
            return bucket(now)

        service = Service(0.05, gate=gate, way=0.002)
        play(items(2600), service, Limits(max_batch_size=1))

        def rate(start: float, end: float) -> float:
            return sum(start <= at < end for at in service.accepted) / (end - start)

        assert rate(3, 15) >= 0.95 * 50
        assert rate(17, 30) >= 0.95 * 25
        assert rate(40, 50) >= 0.92 * 50
        assert len(service.refused) < 0.05 * len(service.arrivals)

    def test_refusals_by_chance_do_not_bring_it_to_a_halt(self) -> None:
        chance = random.Random(5)
        service = Service(0.05, gate=lambda now: -1.0 if chance.random() < 0.1 else None)
        took, outcomes, _ = play(items(5000), service, Limits(max_batch_size=1))
        assert all(outcome.error is None for outcome in outcomes)
        assert took < 120  # 17 s without the refusals

    @pytest.mark.parametrize("size", [1, 32])
    def test_nor_do_those_that_ask_for_a_pause(self, size: int) -> None:
        """One refusal in ten, whatever the pace, every second one with Retry-After: as with several servers."""
        for seed in range(4):
            chance = random.Random(seed)

            def gate(now: float, chance: random.Random = chance) -> float | None:
                drawn = chance.random()
                return 1.0 if drawn < 0.05 else -1.0 if drawn < 0.1 else None

            service = Service(0.05, 0.001, gate=gate)
            took, outcomes, _ = play(items(5000), service, Limits(max_batch_size=size))
            assert all(outcome.error is None for outcome in outcomes)
            assert took < 150

    def test_a_pause_holds_back_every_lane(self) -> None:
        asked: list[float] = []

        def gate(now: float) -> float | None:
            if len(service.arrivals) == 40:
                asked.append(now)
                return 3.0
            return None

        service = Service(0.05, gate=gate, way=0.002)
        play(items(500), service, Limits(max_batch_size=1))
        told = asked[0] + 0.002
        assert not [at for at in service.arrivals if told < at < told + 3.0]


class TestListCap:
    def test_a_bad_row_proves_nothing(self) -> None:
        cap = ListCap()
        cap.too_long(32)
        cap.went_through(32)
        cap.too_long(32)
        assert cap.cap == math.inf

    def test_twice_it_was_the_length(self) -> None:
        cap = ListCap()
        cap.too_long(8)
        cap.too_long(16)
        cap.went_through(4)
        assert cap.cap == 4


def test_the_limit_is_shared_by_the_queries_of_a_process() -> None:
    state = ServiceState()
    play(items(500), Service(0.05), Limits(max_batch_size=1, max_concurrency=32), state=state)
    seen: list[int] = []

    def watch(now: float, desk: Scheduler) -> None:
        seen.append(desk.summary.lanes)

    play(items(500), Service(0.05), Limits(max_batch_size=1, max_concurrency=32), state=state, watch=watch)
    assert seen[0] == 32  # nothing to learn again
