"""What every cache promises: what is kept is found again, by other processes too."""

from __future__ import annotations

import threading
import time

import pytest

from huggingface_api_handler.cache import Cache, SqliteCache, base, runs
from huggingface_api_handler.cache.runs import RunState

from .conftest import TTL, Backend, in_ended_process, unreachable


class TestAnswers:
    def test_what_is_put_is_found(self, cache: Cache, backend: Backend) -> None:
        cache.put_many({"a": b"1", "b": b"", "c": b"\x00\xff"}, ttl=60)
        cache.put_many({"a": b"2"}, TTL, scope="s")
        found = cache.get_many(["a", "b", "c", "d"])
        assert found == ({"a": b"2", "b": b"", "c": b"\x00\xff"} if backend.keeps else {})
        assert cache.get_many([]) == {}

    def test_many_at_once(self, cache: Cache, backend: Backend) -> None:
        values = {f"{n:064x}": str(n).encode() for n in range(5000)}
        cache.put_many(values, TTL)
        found = cache.get_many(iter([*values, *(f"x{n}" for n in range(5000))]))
        assert found == (values if backend.keeps else {})

    def test_what_has_expired_is_gone(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.put_many({"a": b"1"}, ttl=60)
        assert cache.get_many(["a"]) == {"a": b"1"}
        keeping.advance(61)
        assert cache.get_many(["a"]) == {}
        cache.close()

    def test_threads_may_all_write_at_once(self, cache: Cache, backend: Backend) -> None:
        def work(thread: int) -> None:
            for n in range(50):
                cache.put_many({f"{thread}-{n}": f"{thread}-{n}".encode()}, ttl=60)
                cache.count("s", {"rows": 1})

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = [f"{thread}-{n}" for thread in range(8) for n in range(50)]
        assert cache.get_many(wanted) == ({key: key.encode() for key in wanted} if backend.keeps else {})
        assert cache.usage("s") == ({"rows": 400.0} if backend.keeps else {})


class TestCounters:
    def test_counters_add_up_by_scope(self, cache: Cache, backend: Backend) -> None:
        cache.count("one", {"rows": 2, "seconds": 0.25, "none": 0})
        cache.count("one", {"rows": 3, "seconds": 0.5})
        cache.count("two", {"rows": 1})
        assert cache.usage("one") == ({"rows": 5.0, "seconds": 0.75} if backend.keeps else {})
        assert cache.usage("three") == {}

    def test_counts_are_written_with_answers(self, keeping: Backend) -> None:
        cache = keeping.open()
        for at in range(3):
            cache.put_many({str(at): b"1"}, TTL, scope="s", counts={"cost": 0.25, "nothing": 0})
        cache.count("s", {"cost": 0.5})
        other = keeping.open()
        assert other.usage("s") == cache.usage("s") == {"cost": 1.25}
        assert len(other.get_many(["0", "1", "2"])) == 3

    def test_counts_wait_while_they_cannot_be_written(self, keeping: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        cache = keeping.open()
        with monkeypatch.context() as broken:
            if isinstance(cache, SqliteCache):
                broken.setattr(cache.file, "write", lambda *_, **__: False)
            else:
                broken.setattr(cache._redis, "write", lambda *_, **__: None)
            cache.put_many({"a": b"1"}, TTL, scope="s", counts={"rows": 1})
            cache.count("s", {"rows": 2})
            cache.count("other", {"rows": 5})
            assert cache.usage("s") == {"rows": 3}
        cache.put_many({"b": b"1"}, TTL, scope="s", counts={"rows": 4})
        assert keeping.open().usage("s") == {"rows": 7}


class TestFacts:
    def test_a_fact_is_kept_until_it_expires(self, keeping: Backend) -> None:
        cache = keeping.open()
        assert cache.get_fact("offers") is None
        cache.put_fact("offers", {"groq": [0.6, None]}, 60)
        cache.put_fact("other", 1, 3600)
        assert keeping.open().get_fact("offers") == {"groq": [0.6, None]}
        cache.put_fact("offers", [], 60)
        assert cache.get_fact("offers") == []
        keeping.advance(61)
        assert cache.get_fact("offers") is None
        assert cache.get_fact("other") == 1

    def test_without_a_cache_no_fact_is_known(self, cache: Cache, backend: Backend) -> None:
        cache.put_fact("a", 1, 60)
        assert cache.get_fact("a") == (1 if backend.keeps else None)


class TestRuns:
    def test_runs_show_their_progress(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.run_start("r1", "scope", model="m", task="t", rows=10)
        cache.run_end("r1", RunState(10, 1, "done", cost=0.25))
        keeping.clock.now += 1
        cache.run_start("r2", "scope", model="m", task="t", rows=20)
        cache.run_start("r3", "elsewhere", model="m", task="t", rows=20)
        second, first = cache.runs("scope")
        assert (first.run, first.state, first.done, first.errors, first.cost) == ("r1", "done", 10, 1, 0.25)
        assert (second.run, second.state, second.rows, second.cost) == ("r2", "running", 20, None)
        assert second.started <= second.updated <= keeping.clock.now
        cache.close()

    def test_the_audit_of_a_run_is_known_once_it_has_ended(self, keeping: Backend) -> None:
        cache = keeping.open()
        for run, audit in (("r1", (40, 38)), ("r2", None), ("r3", (0, 0))):
            cache.run_start(run, "scope", model="m", task="t", rows=10)
            cache.run_end(run, RunState(10, 0, "done", audit=audit))
        cache.run_start("r4", "scope", model="m", task="t", rows=10)
        assert {run.run: (run.audited, run.agreed) for run in cache.runs("scope")} == {
            "r1": (40, 38), "r2": (0, 0), "r3": (0, 0), "r4": (0, 0),
        }  # fmt: skip
        cache.close()

    def test_a_run_is_not_written_at_every_answer(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.run_start("r", "scope", model="m", task="t", rows=100)
        for done in range(100):
            cache.run_update("r", RunState(done, 0))
        assert cache.runs("scope")[0].done == 0
        keeping.clock.now += runs.UPDATE_EVERY
        cache.run_update("r", RunState(100, 0))
        assert cache.runs("scope")[0].done == 100
        cache.close()

    def test_a_clock_that_is_set_back_does_not_hide_progress(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.run_start("r", "scope", model="m", task="t", rows=100)
        keeping.clock.now -= 3600
        cache.run_update("r", RunState(50, 0))
        assert cache.runs("scope")[0].done == 50
        cache.close()

    def test_a_run_whose_process_has_ended_is_lost(self, keeping: Backend) -> None:
        cache = keeping.open()
        with in_ended_process():
            cache.run_start("r", "scope", model="m", task="t", rows=1)
        assert cache.runs("scope")[0].state == "lost"
        cache.close()

    def test_old_runs_are_forgotten(self, keeping: Backend) -> None:
        cache = keeping.open()
        for number in range(runs.RUNS_KEPT + 5):
            cache.run_start(f"r{number:03}", "scope", model="m", task="t", rows=1)
        assert len(cache.runs("scope")) == runs.RUNS_KEPT
        cache.close()

    def test_without_a_cache_no_run_is_known(self, cache: Cache, backend: Backend) -> None:
        cache.run_start("r", "s", model="m", task="t", rows=1)
        cache.run_update("r", RunState(1, 0))
        cache.run_end("r", RunState(1, 0, "done"))
        assert len(cache.runs("s")) == (1 if backend.keeps else 0)


class TestStops:
    def test_another_worker_learns_of_a_stop(self, cache: Cache, backend: Backend) -> None:
        other = backend.open()
        assert cache.request_stop(["one", "two"]) is backend.keeps
        assert other.stop_requested(["zero", "two"]) is backend.keeps
        assert not other.stop_requested(["zero"])
        assert not other.stop_requested([])
        assert cache.request_stop([]) is backend.keeps
        other.close()

    def test_a_stop_is_forgotten_after_a_while(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.request_stop(["one"], ttl=60)
        cache.request_stop(["two"])
        keeping.advance(61)
        assert not cache.stop_requested(["one"])
        assert cache.stop_requested(["two"])
        keeping.advance(base.STOP_KEPT_FOR)
        assert not cache.stop_requested(["two"])
        cache.close()

    def test_it_is_told_where_nobody_can_learn_of_it(self, keeping: Backend) -> None:
        cache = unreachable(keeping)
        assert cache.request_stop(["one"]) is False
        assert cache.request_stop([]) is False
        assert cache.stop_requested(["one"]) is False
        cache.close()


class TestRates:
    def test_requests_are_spread_evenly(self, cache: Cache, backend: Backend) -> None:
        waits = [cache.reserve_requests("p", 10.0, count) for count in (2, 1, 1)]
        if backend.keeps:
            assert waits == [pytest.approx(-base.CREDIT), pytest.approx(20.0, abs=1.0), pytest.approx(30.0, abs=1.0)]
            assert cache.reserve_requests("another", 10.0, 1) == pytest.approx(-base.CREDIT)
        else:
            assert waits == [None] * 3

    def test_an_idle_rate_saves_nothing_up(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.reserve_requests("p", 0.001, 1)
        # Redis goes by its own clock: a moment is enough there.
        time.sleep(0.2)
        keeping.clock.now += 0.2
        assert cache.reserve_requests("p", 0.001, 1) == pytest.approx(-base.CREDIT)
        cache.close()

    def test_a_clock_that_was_set_back_stops_nobody(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.reserve_requests("p", 60.0, 2 * base.WAITING)  # nobody waits as long as that
        assert cache.reserve_requests("p", 1.0, 1) == pytest.approx(-base.CREDIT)
        cache.close()
