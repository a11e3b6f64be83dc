"""The rate that a service allows is found and used. All of it in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from huggingface_api_handler import errors
from huggingface_api_handler.scheduling.rate_limit import RateLimiter
from huggingface_api_handler.scheduling.results import Limits
from tests.unit.virtual import Service, TokenBucket, Window, items, play


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
    def test_the_allowed_rate_is_used_with_few_refusals(
        self, gate: Callable[[], Callable[[float], float | None]], latency: float
    ) -> None:
        service = Service(latency, gate=gate(), way=0.002)
        late = random.Random(1)
        _, results, _ = play(
            items(3000), service, Limits(max_batch_size=1), late=lambda: late.expovariate(1.0 / 0.0005)
        )
        assert all(result.value == 2 * result.item.index for result in results)
        assert len(service.accepted) / max(service.accepted) >= 0.92 * 50
        assert len(service.refused) < 0.05 * len(service.arrivals)

    def test_other_failures_do_not_lower_the_rate(self) -> None:
        """They got past the limit of the rate: a service that also fails is sent as many requests as it allows."""
        chance = random.Random(1)
        busy = errors.Unavailable("busy", status=500)
        service = Service(
            0.05, gate=Window(50, slides=True), fault=lambda batch, now: busy if chance.random() < 0.25 else None
        )
        _, results, _ = play(items(1500), service, Limits(max_batch_size=1))
        assert all(result.error is None for result in results)
        assert len(service.accepted) / max(service.accepted) >= 0.85 * 50

    def test_a_refusal_after_a_second_without_requests_does_not_stop_the_query(self) -> None:
        """Such as while all requests in progress hang: what got through in that second is nothing, at any rate."""
        limiter = RateLimiter()
        for at in range(200):
            limiter.sent(at / 50)
            limiter.succeeded(at / 50, at / 50 + 0.01)
            if at in (60, 130):
                limiter.refused(at / 50, at / 50 + 0.01)
        before = limiter.rate
        assert before > 25.0
        limiter.refused(9.0, 9.01)
        limiter.succeeded(9.02, 9.03)
        assert limiter.rate >= 0.6 * before

    @pytest.mark.parametrize("burst", [5, 50])
    def test_a_changed_limit_is_followed(self, burst: int) -> None:
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

    @pytest.mark.parametrize(("burst", "rows"), [(20, 60), (100, 160)])
    def test_a_limit_per_minute_is_found_after_a_burst(self, burst: int, rows: int) -> None:
        """18 requests a minute, and no word on when to try again: most rows would use up their retries."""
        service = Service(0.3, gate=TokenBucket(0.3, burst))
        _, results, _ = play(items(rows), service, Limits(max_concurrency=32, max_batch_size=1))
        assert [result.error for result in results if result.error] == []
        assert len(service.refused) < 2 * (rows - burst)

    def test_random_refusals_do_not_slow_the_query_down_much(self) -> None:
        chance = random.Random(5)
        service = Service(0.05, gate=lambda now: -1.0 if chance.random() < 0.1 else None)
        took, results, _ = play(items(5000), service, Limits(max_batch_size=1))
        assert all(result.error is None for result in results)
        assert took < 120  # 17 s without the refusals

    @pytest.mark.parametrize("size", [1, 32])
    def test_random_refusals_with_retry_after_do_not_either(self, size: int) -> None:
        """One refusal in ten, at any rate, every second one with Retry-After: as with several servers."""
        for seed in range(4):
            chance = random.Random(seed)

            def gate(now: float, chance: random.Random = chance) -> float | None:
                drawn = chance.random()
                return 1.0 if drawn < 0.05 else -1.0 if drawn < 0.1 else None

            service = Service(0.05, 0.001, gate=gate)
            took, results, _ = play(items(5000), service, Limits(max_batch_size=size))
            assert all(result.error is None for result in results)
            assert took < 150

    def test_a_pause_holds_back_every_worker(self) -> None:
        asked: list[float] = []

        def gate(now: float) -> float | None:
            if len(service.arrivals) == 40:
                asked.append(now)
                return 3.0
            return None

        service = Service(0.05, gate=gate, way=0.002)
        play(items(500), service, Limits(max_batch_size=1))
        refused_at = asked[0] + 0.002
        assert not [at for at in service.arrivals if refused_at < at < refused_at + 3.0]
