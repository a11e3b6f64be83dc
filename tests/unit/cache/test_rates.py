"""Workers in several processes share one rate."""

from __future__ import annotations

import logging
import queue
import time
from functools import partial
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.scheduling.worker_pool import WorkerPool

from .conftest import MULTI, Backend, open_cache, unreachable


def _send_at_the_rate(cache: Cache, per_minute: float, until: float, results: Any) -> None:
    """Send as often as the shared rate allows; report when."""
    sent: list[float] = []

    def send(some: Any, timeout: float) -> BatchResult:
        sent.append(time.time())
        return BatchResult([RowResult()])

    limits = Limits(max_batch_size=1, requests_per_minute=per_minute, deadline=until - time.time())
    items = [Item(number, str(number), number, None, 1) for number in range(10_000)]
    WorkerPool(limits, reserve=partial(cache.reserve_requests, "p")).run(items, send, lambda outcomes: None)
    results.put(sent)


def _worker(kind: str, where: str, prefix: str, until: float, results: Any) -> None:
    cache = open_cache(kind, where, prefix)
    _send_at_the_rate(cache, 1200.0, until, results)
    cache.close()


def test_processes_keep_to_one_rate(keeping: Backend) -> None:
    results = MULTI.Queue()
    until = time.time() + 6.0
    given = (keeping.kind, keeping.where, keeping.prefix, until, results)
    workers = [MULTI.Process(target=_worker, args=given) for _ in range(2)]
    for worker in workers:
        worker.start()
    sent = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    both = sorted(sent[0] + sent[1])
    # 20 a second for both; a machine that is busy makes them fewer, never more.
    assert 20 < len(both) <= 20.0 * (both[-1] - both[0]) * 1.05 + 3
    assert all(len(one) > 5 for one in sent)


def test_a_rate_that_cannot_be_shared_holds_for_each_worker_and_the_log_says_so(
    keeping: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    cache = unreachable(keeping)
    results: queue.Queue[list[float]] = queue.Queue()
    with caplog.at_level(logging.WARNING):
        _send_at_the_rate(cache, 1200.0, time.time() + 1.0, results)
    assert 5 < len(results.get()) <= 22
    (warning,) = caplog.messages
    assert "requests_per_minute applies to each worker separately" in warning
