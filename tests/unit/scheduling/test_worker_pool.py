"""The workers: real threads, with clock and sleep replaced where they would wait."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler import errors
from huggingface_api_handler.cache.budgets import Draw, Grant
from huggingface_api_handler.scheduling import worker_pool
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.budget import CostBudget, SharedBudget
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.scheduling.service_state import ServiceState
from huggingface_api_handler.scheduling.worker_pool import WorkerPool
from tests.unit.virtual import doubled, items


class ResultCollector:
    """Where results go; it minds being told twice."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: dict[int, RowResult] = {}

    def __call__(self, results: list[RowResult]) -> None:
        with self.lock:
            for result in results:
                assert result.item.index not in self.found
                self.found[result.item.index] = result

    def codes(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for result in self.found.values():
            code = result.error.code if result.error else "ok"
            counted[code] = counted.get(code, 0) + 1
        return counted


def double(some: Sequence[Item], timeout: float) -> BatchResult:
    return BatchResult(doubled(some), request_id="r", compute_seconds=0.5, tokens=len(some))


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Any:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("huggingface-worker")]


def test_every_item_gets_its_answer() -> None:
    collector = ResultCollector()
    summary = WorkerPool().run(items(5000), double, collector)
    assert {index: result.value for index, result in collector.found.items()} == {n: 2 * n for n in range(5000)}
    assert summary.rows == summary.tokens == 5000
    assert summary.compute_seconds == 0.5 * summary.requests
    assert {result.request_id for result in collector.found.values()} == {"r"}


def test_nothing_to_send_starts_no_worker() -> None:
    assert WorkerPool().run([], double, ResultCollector()).requests == 0


def test_few_items_start_few_workers() -> None:
    names: set[str] = set()

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        return double(some, timeout)

    WorkerPool(Limits(max_batch_size=1, max_concurrency=64)).run(items(3), send, ResultCollector())
    assert len(names) <= 3


def test_workers_send_at_the_same_time_up_to_max_concurrency() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1
        return double(some, timeout)

    summary = WorkerPool(Limits(max_batch_size=1, max_concurrency=8)).run(items(200), send, ResultCollector())
    assert most == summary.workers == 8


def test_clock_and_sleep_are_injected() -> None:
    """A minute of waits passes at once: clock and sleep are the test's."""
    now = [0.0]
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        if now[0] < 60.0:
            raise errors.ModelLoading("loading", retry_after=20.0)
        return double(some, timeout)

    collector = ResultCollector()
    began = time.monotonic()
    pool = WorkerPool(Limits(max_batch_size=1), clock=lambda: now[0], sleep=sleep, random=random.Random(1).random)
    pool.run(items(40), send, collector)
    assert collector.codes() == {"ok": 40}
    assert sum(waited) >= 60.0
    assert time.monotonic() - began < 5.0


def test_the_timeout_comes_from_the_limits() -> None:
    seen: list[float] = []

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        seen.append(timeout)
        return double(some, timeout)

    WorkerPool(Limits(timeout=7.0)).run(items(1), send, ResultCollector())
    assert seen == [7.0]


def test_a_deadline_counts_from_when_the_query_began() -> None:
    collector = ResultCollector()
    pool = WorkerPool(Limits(deadline=5.0), clock=lambda: 100.0)
    summary = pool.run(items(3), double, collector, began=94.0)
    assert summary.requests == 0
    assert collector.codes() == {"deadline_exceeded": 3}


def test_an_error_for_every_row_ends_the_run() -> None:
    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        raise errors.Unauthorized("wrong token", status=401)

    collector = ResultCollector()
    summary = WorkerPool().run(items(1000), send, collector)
    assert isinstance(summary.stopped, errors.Unauthorized)
    assert collector.codes()["not_attempted"] >= 1000 - 16 * 32
    assert sum(collector.codes().values()) == 1000


@pytest.mark.parametrize("where", ["send", "deliver"])
def test_a_bug_is_not_swallowed(where: str) -> None:
    delivered: list[RowResult] = []
    lock = threading.Lock()

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        if where == "send" and some[0].index > 20:
            raise ZeroDivisionError("a bug")
        return double(some, timeout)

    def deliver(results: list[RowResult]) -> None:
        with lock:
            delivered.extend(results)
        if where == "deliver" and results[0].item.index > 20 and results[0].error is None:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        WorkerPool().run(items(2000), send, deliver)
    assert sorted(result.item.index for result in delivered) == list(range(2000))


def test_an_interrupt_delivers_every_result_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(self: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is threading.main_thread() and not interrupted:
            interrupted.append(True)
            time.sleep(0.05)
            raise KeyboardInterrupt
        return original(self, timeout)

    interrupted: list[bool] = []
    original = threading.Event.wait

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        time.sleep(0.01)
        return double(some, timeout)

    collector = ResultCollector()
    pool = WorkerPool(Limits(max_batch_size=1))
    # The first wait of the main thread is the one for the workers to end: threads are started before.
    started = threading.Thread.start

    def start(self: threading.Thread) -> None:
        monkeypatch.setattr(threading.Event, "wait", original)
        started(self)
        monkeypatch.setattr(threading.Event, "wait", wait)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        pool.run(items(5000), send, collector)
    counted = collector.codes()
    assert counted["ok"] > 0
    assert counted["ok"] + counted["not_attempted"] == 5000
    reason = next(result.error for result in collector.found.values() if result.error)
    assert isinstance(reason.__cause__, KeyboardInterrupt)


def stopped_at(pool: WorkerPool, after: int, grace: float, collector: ResultCollector, send: Any, **given: Any) -> Any:
    """Run 1,000 items; stop the pool from another thread when ``after`` requests have been sent."""
    reached, finished = threading.Event(), []
    lock, sent = threading.Lock(), 0

    def counted(some: Sequence[Item], timeout: float) -> BatchResult:
        nonlocal sent
        with lock:
            sent += 1
            if sent == after:
                reached.set()
        result: BatchResult = send(some, timeout)
        return result

    def stop() -> None:
        reached.wait(30)
        pool.stop(errors.Stopped("the query was stopped on request"), grace)

    stopper = threading.Thread(target=stop)
    stopper.start()
    summary = pool.run(items(1000), counted, collector, finished=finished.append, **given)
    stopper.join()
    return summary, finished, lambda: sent


def test_a_stop_keeps_what_returns_and_sends_nothing_more() -> None:
    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        time.sleep(0.005)
        return double(some, timeout)

    collector = ResultCollector()
    pool = WorkerPool(Limits(max_batch_size=1, max_concurrency=8))
    summary, finished, sent = stopped_at(pool, 100, 30.0, collector, send)
    counted = collector.codes()
    assert counted["ok"] == summary.rows == sent() == summary.requests < 1000
    assert counted["ok"] + counted["stopped"] == 1000
    assert all(result.attempts == 0 for result in collector.found.values() if result.error)
    assert isinstance(summary.stopped, errors.Stopped)
    assert finished == [summary]
    total = sent()
    time.sleep(0.05)
    assert sent() == total


def test_a_stop_leaves_slow_requests_behind_and_delivers_them_later() -> None:
    """They may be billed, so they are not aborted; the query does not wait for them."""
    release = threading.Event()

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        if some[0].index >= 50:
            assert release.wait(30)
        return double(some, timeout)

    collector = ResultCollector()
    pool = WorkerPool(Limits(max_batch_size=1, max_concurrency=4))
    summary, finished, _ = stopped_at(pool, 54, 0.0, collector, send)
    assert finished == []
    assert collector.codes() == {"ok": 50, "stopped": 946}
    assert summary.rows == 50
    release.set()
    for worker in [one for one in threading.enumerate() if one.name.startswith("huggingface-worker")]:
        worker.join(30)
    assert collector.codes() == {"ok": 54, "stopped": 946}
    (counts,) = finished
    assert (counts.rows, counts.requests) == (54, 54)
    assert summary.rows == 50, "the counts that were returned changed afterwards"


def test_what_requests_left_behind_may_cost_stays_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "REPORT_EVERY", 0.01)
    release, reported = threading.Event(), threading.Event()
    draws: list[Draw] = []
    returned: list[int] = []

    def hold(draw: Draw) -> Grant:
        draws.append(draw)
        if returned and len(draws) > returned[0] + 3:
            reported.set()
        return Grant(draw.keep + draw.most, draw.spent, 0.0)

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        assert release.wait(30)
        return BatchResult(doubled(some), cost=0.75)

    costs = CostBudget(lambda some: 1.0 * len(some), None, SharedBudget(100.0, lambda now: "today", 45.0))
    pool = WorkerPool(Limits(max_batch_size=1, max_concurrency=1), hold=hold)
    collector = ResultCollector()
    stopped_at(pool, 1, 0.0, collector, send, costs=costs)
    returned.append(len(draws))
    assert reported.wait(30)
    assert not any(draw.closes for draw in draws) and draws[-1].keep >= 1.0
    release.set()
    for worker in [one for one in threading.enumerate() if one.name.startswith("huggingface-worker")]:
        worker.join(30)
    assert (draws[-1].closes, draws[-1].spent) == (True, 0.75)
    assert [draw.closes for draw in draws].count(True) == 1


def test_a_row_that_would_be_retried_is_stopped() -> None:
    failing = threading.Event()

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        failing.set()
        time.sleep(0.05)
        raise errors.Unavailable("busy")

    pool = WorkerPool(Limits(max_batch_size=1, max_concurrency=1))
    collector = ResultCollector()

    def stop() -> None:
        failing.wait(30)
        pool.stop(errors.Stopped("the query was stopped on request"), 30.0)

    stopper = threading.Thread(target=stop)
    stopper.start()
    pool.run(items(3), send, collector)
    stopper.join()
    assert collector.codes() == {"stopped": 3}
    assert isinstance(collector.found[0].error.__cause__, errors.Unavailable)


def test_without_more_threads_the_running_workers_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def scarce(self: threading.Thread) -> None:
        if len(started) >= 2:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    collector = ResultCollector()
    WorkerPool(Limits(max_batch_size=1)).run(items(100), double, collector)
    assert collector.codes() == {"ok": 100}


def test_two_queries_share_the_state_of_a_service() -> None:
    state = ServiceState()
    boxes = [ResultCollector(), ResultCollector()]

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        time.sleep(0.001)
        return double(some, timeout)

    runs = [
        threading.Thread(target=WorkerPool(Limits(max_batch_size=1), states=[state]).run, args=(items(300), send, box))
        for box in boxes
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [box.codes() for box in boxes] == [{"ok": 300}, {"ok": 300}]


def test_results_are_delivered_while_others_are_in_flight() -> None:
    """A result is stored at once, since the process may die."""
    gate = threading.Event()
    collector = ResultCollector()

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        if some[0].index == 0:
            assert gate.wait(10.0)
        return double(some, timeout)

    def deliver(results: list[RowResult]) -> None:
        collector(results)
        if len(collector.found) == 99:
            gate.set()

    WorkerPool(Limits(max_batch_size=1)).run(items(100), send, deliver)
    assert gate.is_set()
    assert len(collector.found) == 100


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 300),
    size=st.integers(1, 33),
    workers=st.integers(1, 12),
    seed=st.integers(0, 1000),
    stop=st.booleans(),
)
def test_each_item_gets_its_own_answer_from_any_thread(
    count: int, size: int, workers: int, seed: int, stop: bool
) -> None:
    chance = random.Random(seed)
    faults: list[Any] = [
        errors.Unavailable("down"),
        errors.RateLimited("slow"),
        errors.InvalidInput("bad"),
        errors.InvalidAnswer("cut off", retryable=True),
        errors.ServiceTimeout("hung"),
    ]

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        drawn = chance.random()
        if drawn < 0.15:
            raise chance.choice(faults)
        if drawn < 0.2:
            return BatchResult(doubled(some)[:-1])
        return double(some, timeout)

    collector = ResultCollector()
    limits = Limits(max_batch_size=size, max_concurrency=workers, max_retries=2)
    skipped = [0.0]

    def sleep(seconds: float) -> None:
        skipped[0] += seconds

    WorkerPool(limits, clock=lambda: time.monotonic() + skipped[0], sleep=sleep).run(
        items(count), send, collector, stop_on_error=stop
    )
    assert sorted(collector.found) == list(range(count))
    for index, result in collector.found.items():
        assert result.error is not None or result.value == 2 * index


class Ledger:
    """The budget of a day, as one run draws it."""

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self.draws: list[Draw] = []
        self.delivered = threading.Event()

    def hold(self, draw: Draw) -> Grant:
        self.draws.append(draw)
        if len(self.draws) >= 4:
            self.delivered.set()
        free = self.cap - draw.spent
        amount = min(draw.keep + draw.most, free) if draw.keep + draw.least <= free else min(draw.keep, free)
        return Grant(amount, draw.spent, 0.0)

    def budget(self) -> CostBudget:
        return CostBudget(lambda some: len(some) * 0.1, None, SharedBudget(self.cap, lambda now: "today", 45.0))


def test_the_budget_of_a_day_holds_for_many_workers() -> None:
    ledger = Ledger(5.0)

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        return BatchResult(doubled(some), cost=0.1 * len(some))

    collector = ResultCollector()
    pool = WorkerPool(Limits(max_batch_size=4, max_concurrency=16), hold=ledger.hold)
    pool.run(items(200), send, collector, costs=ledger.budget())
    assert collector.codes() == {"ok": 50, "budget_exceeded": 150}
    last = ledger.draws[-1]
    assert (last.closes, last.keep, last.spent) == (True, 0.0, pytest.approx(5.0))


def test_what_a_run_holds_is_renewed_while_requests_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "REPORT_EVERY", 0.001)
    ledger = Ledger(5.0)

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        assert ledger.delivered.wait(60)
        return BatchResult(doubled(some), cost=0.05)

    collector = ResultCollector()
    WorkerPool(Limits(), hold=ledger.hold).run(items(1), send, collector, costs=ledger.budget())
    assert collector.codes() == {"ok": 1}
    first, *renewed, last = ledger.draws
    assert (first.least, first.keep) == (0.1, 0.0)
    assert all((draw.spent, draw.keep, draw.most) == (0.0, 0.1, 0.0) for draw in renewed[:2])
    assert (last.closes, last.spent) == (True, 0.05)


def test_a_run_that_is_broken_off_closes_its_budget() -> None:
    ledger = Ledger(5.0)
    sent: list[int] = []

    def send(some: Sequence[Item], timeout: float) -> BatchResult:
        sent.append(len(some))
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        WorkerPool(Limits(), hold=ledger.hold).run(items(3), send, ResultCollector(), costs=ledger.budget())
    # Nobody knows what the requests cost, of which a second worker may have sent one too: they count in full.
    last = ledger.draws[-1]
    assert (last.closes, last.spent) == (True, pytest.approx(0.1 * sum(sent)))
