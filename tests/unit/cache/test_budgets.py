"""A budget that workers share: never exceeded, and free again when a holder dies."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache import Cache, Draw, budgets

from .conftest import MULTI, Backend, open_cache, unreachable


@pytest.fixture
def held(keeping: Backend) -> Iterator[Cache]:
    opened = keeping.open()
    yield opened
    opened.close()


class TestHolding:
    def test_a_part_is_held_and_another_holder_gets_what_is_left(self, held: Cache) -> None:
        assert held.hold_budget("one", Draw("b", 10, least=1, most=6)) == (6, 0, 0)
        assert held.hold_budget("two", Draw("b", 10, least=1, most=6)) == (4, 0, 6)
        assert held.hold_budget("three", Draw("b", 10, least=0.5, most=6)) == (0, 0, 10)
        assert held.hold_budget("three", Draw("another", 10, least=0.5, most=6)) == (6, 0, 0)

    def test_nothing_more_is_held_if_not_even_the_least_is_free(self, held: Cache) -> None:
        held.hold_budget("one", Draw("b", 10, most=6))
        assert held.hold_budget("two", Draw("b", 10, least=5, most=9)) == (0, 0, 6)
        assert held.hold_budget("two", Draw("b", 10, least=3, most=9)) == (4, 0, 6)
        assert held.hold_budget("two", Draw("b", 10, keep=3, least=5, most=9)) == (3, 0, 6)

    def test_what_is_spent_is_told_in_all_and_counts_once(self, held: Cache) -> None:
        held.hold_budget("one", Draw("b", 10, most=6))
        for _ in range(3):
            assert held.hold_budget("one", Draw("b", 10, spent=4, keep=2)) == (2, 4, 0)
        assert held.hold_budget("two", Draw("b", 10, spent=1, most=9)) == (3, 5, 2)

    def test_a_close_that_arrives_twice_counts_once(self, held: Cache) -> None:
        held.hold_budget("one", Draw("b", 10, most=6))
        for _ in range(2):  # as Redis' client repeats a command whose response is lost
            held.hold_budget("one", Draw("b", 10, spent=4, closes=True))
        assert held.hold_budget("two", Draw("b", 10)) == (0, 4, 0)

    def test_a_holder_that_closes_frees_what_it_holds_and_its_spending_stays(
        self, held: Cache, keeping: Backend
    ) -> None:
        for holder in ("one", "two"):
            held.hold_budget(holder, Draw("b", 10, most=4))
            held.hold_budget(holder, Draw("b", 10, spent=2, closes=True))
        assert held.hold_budget("three", Draw("b", 10, most=10)) == (6, 4, 0)
        keeping.advance(86400.0)
        assert held.hold_budget("four", Draw("b", 10)) == (0, 4, 0)

    def test_what_a_dead_holder_held_is_free_within_a_minute(self, held: Cache, keeping: Backend) -> None:
        assert budgets.HELD_FOR + budgets.HELD_AHEAD <= 60
        held.hold_budget("dead", Draw("b", 10, spent=3, most=7, pending=0.5))
        keeping.advance(budgets.HELD_FOR - 5)
        assert held.hold_budget("one", Draw("b", 10, least=1, most=10)) == (0, 3, 7)
        keeping.advance(6)
        assert held.hold_budget("one", Draw("b", 10, least=1, most=10)) == (6.5, 3.5, 0)

    def test_a_holder_that_calls_again_keeps_what_it_holds(self, held: Cache, keeping: Backend) -> None:
        held.hold_budget("alive", Draw("b", 10, most=7))
        for _ in range(4):
            keeping.advance(budgets.HELD_FOR / 2)
            assert held.hold_budget("alive", Draw("b", 10, keep=7)) == (7, 0, 0)
        assert held.hold_budget("one", Draw("b", 10, most=10)) == (3, 0, 7)

    def test_a_holder_that_was_silent_for_too_long_keeps_only_what_is_left(self, held: Cache, keeping: Backend) -> None:
        held.hold_budget("slow", Draw("b", 10, most=7, pending=2))
        keeping.advance(budgets.HELD_FOR + 1)
        assert held.hold_budget("one", Draw("b", 10, most=10)) == (8, 2, 0)
        assert held.hold_budget("slow", Draw("b", 10, spent=1, keep=6)) == (1, 1, 8)

    def test_a_clock_that_was_set_back_holds_nothing_for_ever(self, keeping: Backend) -> None:
        if keeping.kind == "redis":
            keeping.open().hold_budget("one", Draw("b", 10, most=10))
            keeping.advance(-3600)  # what is stored lies an hour ahead
        else:
            keeping.clock.now += 3600
            keeping.open().hold_budget("one", Draw("b", 10, most=10))
            keeping.clock.now -= 3600
        assert keeping.open().hold_budget("two", Draw("b", 10, most=10)) == (10, 0, 0)

    def test_old_budgets_are_forgotten(self, held: Cache, keeping: Backend) -> None:
        held.hold_budget("one", Draw("old", 10, most=5))
        held.hold_budget("one", Draw("old", 10, spent=5, closes=True))
        keeping.advance(budgets.BUDGETS_KEPT_FOR + 1)
        held.hold_budget("one", Draw("new", 10, spent=5, closes=True))
        assert held.hold_budget("two", Draw("old", 10)) == (0, 0, 0)

    def test_a_redis_that_evicts_what_expires_evicts_no_budget(self, held: Cache, keeping: Backend) -> None:
        held.hold_budget("one", Draw("day", 10, most=5))
        held.put_many({"a": b"1"}, ttl=60)
        if keeping.connection is not None:
            names = [name.decode() for name in keeping.connection.keys(f"{keeping.prefix}:*")]
            stored = {name: keeping.connection.ttl(name) for name in names}
            assert {name for name, left in stored.items() if left == -1 and ":budget" in name} == {
                f"{keeping.prefix}:budget:day", f"{keeping.prefix}:budgets"
            }  # fmt: skip
            keeping.advance(budgets.BUDGETS_KEPT_FOR + 1)
            held.hold_budget("one", Draw("new", 10, closes=True))
            assert not keeping.connection.exists(f"{keeping.prefix}:budget:day")

    def test_without_a_cache_nothing_is_held(self, cache: Cache, backend: Backend) -> None:
        assert (cache.hold_budget("one", Draw("b", 1, most=1)) is None) == (not backend.keeps)

    def test_a_cache_that_fails_holds_nothing(self, keeping: Backend, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            assert unreachable(keeping).hold_budget("one", Draw("b", 1, most=1)) is None
        assert "queries with max_cost_per_day and partitions with max_cost stop" in caplog.text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 8), st.integers(0, 8), st.integers(0, 4), st.booleans(), st.booleans()
        ),
        max_size=30,
    )
)
def test_what_all_spend_never_exceeds_the_cap(
    keeping: Backend, steps: list[tuple[int, int, int, int, bool, bool]]
) -> None:
    """Holders that spend what they hold, hold more, die, and are replaced by others."""
    budget, cap = f"b{time.time_ns()}", 20.0
    cache = keeping.open()
    spent: dict[str, float] = {}
    held: dict[str, float] = {}
    names = [f"{n}-0" for n in range(4)]
    for who, least, more, share, dies, closes in steps:
        name = names[who]
        use = held.get(name, 0.0) * share / 4
        spent[name] = spent.get(name, 0.0) + use
        keep = held.get(name, 0.0) - use
        found = cache.hold_budget(
            name, Draw(budget, cap, spent=spent[name], keep=keep, least=least, most=least + more, closes=closes)
        )
        assert found is not None
        assert found.amount in (pytest.approx(keep), pytest.approx(keep + least + more)) or found.amount >= keep + least
        assert found.spent == pytest.approx(sum(spent.values()))
        held[name] = 0.0 if closes else found.amount
        assert sum(spent.values()) + sum(held.values()) <= cap + 1e-9
        if dies or closes:
            names[who] = f"{who}-{len(spent)}"
        if dies:
            keeping.advance(budgets.HELD_FOR + 1)
            held.clear()
    cache.close()


def _spend(kind: str, where: str, prefix: str, cap: float, queue: Any) -> None:
    """Spend units of 1 until nothing is left; tell how many."""
    cache = open_cache(kind, where, prefix)
    spent, amount = 0.0, 0.0
    while True:
        held = cache.hold_budget(str(os.getpid()), Draw("b", cap, spent=spent, keep=amount, least=1, most=3))
        if held is None or held.amount < 1:
            if held is None or held.spent >= cap:
                break
            time.sleep(0.002)
            continue
        amount = held.amount - 1
        spent += 1
    cache.hold_budget(str(os.getpid()), Draw("b", cap, spent=spent, closes=True))
    queue.put(spent)
    cache.close()


def test_processes_spend_one_budget_to_the_last_unit(keeping: Backend) -> None:
    queue = MULTI.Queue()
    workers = [
        MULTI.Process(target=_spend, args=(keeping.kind, keeping.where, keeping.prefix, 60.0, queue)) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    spent = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(spent) == 60
    assert math.isclose(keeping.open().hold_budget("after", Draw("b", 1)).spent, 60)
