"""Token buckets, of one process and of all workers together. All of it in virtual time."""

from __future__ import annotations

import math

import pytest

from huggingface_api_handler.scheduling.results import Limits
from huggingface_api_handler.scheduling.service_state import ServiceState
from huggingface_api_handler.scheduling.token_bucket import Reservation, SharedRateLimit, TokenBucket
from tests.unit.virtual import Service, items, play


class TestTokenBucket:
    def test_spread_evenly(self) -> None:
        bucket, now, sent = TokenBucket(2.0), 100.0, []
        for _ in range(5):
            now = bucket.due(now)
            bucket.take(now)
            sent.append(now)
        assert [at - sent[0] for at in sent] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.06)

    def test_idle_time_is_not_saved_up(self) -> None:
        bucket = TokenBucket(1.0)
        bucket.take(0.0)
        bucket.take(1000.0)
        assert bucket.due(1000.0) >= 1000.9


class Store:
    """The store in which workers reserve tokens, in virtual time; ``away``: it cannot be used."""

    def __init__(self) -> None:
        self.next, self.away, self.reservations = -math.inf, False, 0

    def __call__(self, gap: float, count: int, now: float) -> float | None:
        self.reservations += 1
        if self.away:
            return None
        token = max(self.next, now)
        self.next = token + gap * count
        return token - now


class TestSharedRate:
    def test_a_worker_takes_its_tokens_and_no_more(self) -> None:
        store, service = Store(), Service(0.01)
        limits = Limits(max_batch_size=1, requests_per_minute=600.0)
        took, _, _ = play(items(50), service, limits, reserve=store)
        gaps = [b - a for a, b in zip(service.arrivals, service.arrivals[1:], strict=False)]
        assert gaps == pytest.approx([0.1] * 49)
        assert took == pytest.approx(4.91, abs=0.01)
        assert store.reservations == 50

    def test_what_others_take_is_left_to_them(self) -> None:
        store, service = Store(), Service(0.01)
        limits = Limits(max_batch_size=1, requests_per_minute=600.0)

        def reserve(gap: float, count: int, now: float) -> float | None:
            wait = store(gap, count, now)
            store(gap, 3 * count, now)  # three others, as busy
            return wait

        took, _, _ = play(items(50), service, limits, reserve=reserve)
        assert took == pytest.approx(49 * 0.4, abs=0.1)

    def test_at_a_high_rate_several_tokens_are_reserved_at_once(self) -> None:
        store, service = Store(), Service(0.01)
        took, _, _ = play(items(3000), service, Limits(max_batch_size=1, requests_per_minute=60_000.0), reserve=store)
        assert store.reservations <= 61
        assert took == pytest.approx(3.0, abs=0.1)

    def test_without_a_store_the_limit_holds_for_this_process(self) -> None:
        store, service = Store(), Service(0.01)
        store.away = True
        took, results, _ = play(items(100), service, Limits(max_batch_size=1, requests_per_minute=600.0), reserve=store)
        assert all(result.error is None for result in results)
        assert took == pytest.approx(9.9, abs=0.2)
        assert store.reservations == 2  # tried again after a while

    def test_a_token_that_was_not_used_is_not_saved_up(self) -> None:
        limit, reservation = SharedRateLimit(), Reservation(0.1, 1)
        assert limit.needs_reservation(0.0, 600.0)
        assert limit.begin_reservation()
        assert not limit.begin_reservation()  # another worker is at it
        limit.granted(0.0, reservation, 0.5)
        assert not limit.needs_reservation(0.6, 600.0)
        assert limit.due(0.2) == 0.5
        assert limit.needs_reservation(2.0, 600.0)

    def test_a_token_beyond_the_deadline_ends_the_query(self) -> None:
        _, results, _ = play(
            items(10),
            Service(0.01),
            Limits(max_batch_size=1, requests_per_minute=6.0, deadline=15.0),
            reserve=Store(),
        )
        assert sorted(result.error is None for result in results) == [False] * 8 + [True] * 2


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
