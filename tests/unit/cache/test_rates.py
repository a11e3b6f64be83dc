"""Workers in several processes share one rate."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.scheduling.worker_pool import WorkerPool

from .conftest import MULTI, Backend, open_cache, unreachable


def _sent_at_the_rate(cache: Cache, per_minute: float, count: int) -> list[float]:
    """Send ``count`` requests as often as the shared rate allows; return when each was sent."""
    sent: list[float] = []

    def send(some: Any, timeout: float) -> BatchResult:
        sent.append(time.time())
        return BatchResult([RowResult()])

    limits = Limits(max_batch_size=1, requests_per_minute=per_minute)
    items = [Item(number, str(number), number, None, 1) for number in range(count)]
    WorkerPool(limits, reserve=partial(cache.reserve_requests, "p")).run(items, send, lambda outcomes: None)
    return sent


def _worker(kind: str, where: str, prefix: str, both_ready: Any, results: Any) -> None:
    cache = open_cache(kind, where, prefix)
    both_ready.wait()
    results.put(_sent_at_the_rate(cache, 1200.0, 40))
    cache.close()


def test_processes_keep_to_one_rate(keeping: Backend) -> None:
    results, both_ready = MULTI.Queue(), MULTI.Barrier(2)
    given = (keeping.kind, keeping.where, keeping.prefix, both_ready, results)
    workers = [MULTI.Process(target=_worker, args=given) for _ in range(2)]
    for worker in workers:
        worker.start()
    sent = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    both = sorted(sent[0] + sent[1])
    # 20 a second for both takes 4 seconds; 20 a second for each, 2. A busy machine may send the first ones late.
    assert len(both) == 80
    assert both[-1] - both[0] > 2.8


def test_a_rate_that_cannot_be_shared_holds_for_each_worker_and_the_log_says_so(
    keeping: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    cache = unreachable(keeping)
    with caplog.at_level(logging.WARNING):
        sent = _sent_at_the_rate(cache, 1200.0, 20)
    assert sent[-1] - sent[0] > 0.5  # 0.95 on an idle machine
    (warning,) = caplog.messages
    assert "requests_per_minute applies to each worker separately" in warning
