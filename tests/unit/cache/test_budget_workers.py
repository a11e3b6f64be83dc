"""Queries of several workers and models on the budget of one day, one of which is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from dataclasses import replace
from typing import Any

from huggingface_api_handler.cache import Draw, redis, sqlite
from huggingface_api_handler.query import budget
from tests.unit.end_to_end import CALLER, LABELS, engine, model, predict
from tests.unit.loopback import Heard, Loopback, answer

from .conftest import Backend, open_cache

#: Workers that share one import of the package, which takes them longer than their queries.
MULTI = multiprocessing.get_context("forkserver")
MULTI.set_forkserver_preload([__name__])

DAY = "2026-01-01"
#: USD of one request, and of the day.
REQUEST, CAP = 0.01, 1.0


def _query(kind: str, where: str, prefix: str, url: str, name: str, start: Any, queue: Any) -> None:
    """Run a query of more rows than the day's budget pays for; tell how many were answered."""
    budget._today = lambda: DAY
    # A dead worker's part is free after a second, so that nobody waits for a minute here.
    sqlite.HELD_FOR = redis.HELD_FOR = budget.HELD_FOR = 1.0
    at = engine(None, base_url=url, max_cost_per_day=CAP, price={"request": REQUEST})
    of = model(at, task="text-classification", model_name=name, input_column="text", max_batch_size=1)
    cells = {"text": [f"{name} {os.getpid()} {n}" for n in range(100)]}
    caller = replace(CALLER, model=name)
    cache = open_cache(kind, where, prefix)
    start.wait(60)
    found = predict(at, of, cells, store=cache, caller=caller, max_concurrency=2)
    queue.put((found["y"].notna().sum(), set(found["y_error_type"].dropna())))
    cache.close()


def test_workers_of_two_models_and_a_killed_one_share_the_budget_of_a_day(keeping: Backend) -> None:
    """What the killed worker's requests in progress cost nobody knows; all others are counted once."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        time.sleep(0.02)
        answer(LABELS)(heard, sock)

    start, queue = MULTI.Barrier(5), MULTI.Queue()
    with Loopback(speak) as server:
        workers = [
            MULTI.Process(
                target=_query,
                args=(keeping.kind, keeping.where, keeping.prefix, server.url, name, start, queue),
            )
            for name in ("org/one", "org/one", "org/two", "org/two")
        ]
        for worker in workers:
            worker.start()
        start.wait(60)
        while len(server.heard) < 30:
            time.sleep(0.001)
        assert workers[0].pid is not None
        os.kill(workers[0].pid, signal.SIGKILL)
        reports = [queue.get(timeout=100) for _ in workers[1:]]
        for worker in workers:
            worker.join(60)
        requests = len(server.heard)
    # The killed one had two requests in progress, and at most two in its part that it had not reported.
    assert CAP / REQUEST - 4 <= requests <= CAP / REQUEST + 4
    assert [errors for _, errors in reports] == [{"budget_exceeded"}] * 3
    answered = sum(count for count, _ in reports)
    keeping.clock.now = time.time() + 1.0
    state = keeping.open().hold_budget("after", Draw(CALLER.budget(DAY), CAP))
    assert state is not None
    assert answered * REQUEST < state.spent + 1e-9 <= CAP + 2e-9
    assert abs(state.spent - requests * REQUEST) <= 4 * REQUEST + 1e-9
