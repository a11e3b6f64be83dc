"""What a process learns about a service, in virtual time."""

from __future__ import annotations

import heapq
import math
import random

import pytest

from huggingface_api_handler.scheduling.results import Limits
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import (
    ServiceState,
)
from tests.unit.virtual import Service, items, play


def best(fixed: float, each: float, slots: int, rows: int) -> float:
    """Seconds of the best list size (1 to 32) and number of workers (1 to 16)."""
    times = []
    for size in range(1, 33):
        for workers in range(1, 17):
            free = [0.0] * min(workers, slots)
            for start in range(0, rows, size):
                heapq.heapreplace(free, free[0] + fixed + each * min(size, rows - start))
            times.append(max(free))
    return min(times)


@pytest.mark.parametrize(("fixed", "each", "slots"), [(0.05, 0.005, 8), (0.005, 0.020, 32), (0.5, 0.0, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_batch_size_and_concurrency_are_found_without_a_setting(
    fixed: float, each: float, slots: int, seed: int
) -> None:
    noise = random.Random(seed)
    service = Service(fixed, each, slots, noise=lambda: noise.uniform(0.98, 1.02))
    state = ServiceState()
    first, results, _ = play(items(2000), service, state=state)
    assert len(results) == 2000
    assert first <= 1.15 * best(fixed, each, slots, 2000)
    service = Service(fixed, each, slots, noise=lambda: noise.uniform(0.98, 1.02))
    second, _, _ = play(items(2000), service, state=state)  # what was learned stays learned
    assert second <= 1.08 * best(fixed, each, slots, 2000)


def test_one_by_one_the_workers_open_within_a_few_round_trips() -> None:
    service = Service(0.05, way=0.0)
    took, _, scheduler = play(items(1000), service, Limits(max_batch_size=1, max_concurrency=32))
    assert scheduler.summary.workers == 32
    assert took <= 1.08 * 0.05 * math.ceil(1000 / 32)


@pytest.mark.parametrize("most", [1, 2, 16, 200])
def test_never_more_workers_than_allowed(most: int) -> None:
    _, _, scheduler = play(items(2000), Service(0.05), Limits(max_batch_size=1, max_concurrency=most))
    assert scheduler.summary.workers == most


def test_a_service_with_one_slot_is_not_flooded() -> None:
    service = Service(5.0, slots=1)
    _, results, _ = play(items(200), service, Limits(max_batch_size=1, timeout=60.0))
    latencies = [result.latency for result in results]
    assert max(latencies) < 60.0  # 16 requests of 5 s each would wait for 80 s
    assert all(result.error is None for result in results)


def test_uneven_requests_do_not_look_like_a_queue() -> None:
    noise = random.Random(3)
    service = Service(2.0, noise=lambda: noise.lognormvariate(0.0, 0.7))
    _, _, scheduler = play(items(600), service, Limits(max_batch_size=1, max_concurrency=32))
    assert scheduler.summary.workers == 32


def test_the_limit_is_shared_by_the_queries_of_a_process() -> None:
    state = ServiceState()
    play(items(500), Service(0.05), Limits(max_batch_size=1, max_concurrency=32), state=state)
    seen: list[int] = []

    def watch(now: float, scheduler: Scheduler) -> None:
        seen.append(scheduler.summary.workers)

    play(items(500), Service(0.05), Limits(max_batch_size=1, max_concurrency=32), state=state, watch=watch)
    assert seen[0] == 32  # nothing to learn again
