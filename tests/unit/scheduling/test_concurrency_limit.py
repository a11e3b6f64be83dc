"""How many requests may be under way at once."""

from __future__ import annotations

from huggingface_api_handler.scheduling.concurrency_limit import ConcurrencyLimit


class TestConcurrencyLimit:
    def test_doubles_with_every_round_trip(self) -> None:
        limit = ConcurrencyLimit()
        seen = [limit.limit(32)]
        for _ in range(3):
            for _ in range(limit.limit(32)):
                limit.succeeded(limit.limit(32), 32, 1.0)
            seen.append(limit.limit(32))
        assert seen == [8, 16, 32, 32]

    def test_one_event_halves_it_once(self) -> None:
        limit = ConcurrencyLimit()
        limit.limit(32)
        for request in range(8):
            limit.overloaded(started=0.0, now=1.0 + request / 100)
        assert limit.limit(32) == 4

    def test_then_it_grows_by_one_a_round_trip(self) -> None:
        limit = ConcurrencyLimit()
        limit.limit(32)
        limit.overloaded(0.0, 1.0)
        for _ in range(4):
            limit.succeeded(4, 32, 1.0)
        assert limit.limit(32) == 4
        limit.succeeded(4, 32, 1.0)
        assert limit.limit(32) == 5

    def test_never_below_one(self) -> None:
        limit = ConcurrencyLimit()
        limit.limit(32)
        for at in range(100):
            limit.overloaded(float(at), at + 0.5)
        assert limit.limit(32) == 1

    def test_what_is_not_used_does_not_grow(self) -> None:
        limit = ConcurrencyLimit()
        limit.limit(32)
        for _ in range(100):
            limit.succeeded(1, 32, 1.0)
        assert limit.limit(32) == 8

    def test_now_and_then_a_failure_costs_little(self) -> None:
        limit, most, levels = ConcurrencyLimit(), 16, []
        limit.limit(most)
        for request in range(2000):
            at = request / 100
            if request % 10 == 0:
                limit.overloaded(at - 0.05, at)
            else:
                limit.succeeded(limit.limit(most), most, 1.0)
            levels.append(limit.limit(most))
        assert sum(levels[500:]) / len(levels[500:]) > 10
