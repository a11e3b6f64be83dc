"""What is measured. Each case returns plain numbers, ready for JSON; times are medians of several runs."""

from __future__ import annotations

import heapq
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from . import contenders
from .service import STORM, Manner, Service, label_of

Case = dict[str, Any]

LIST_SERVICES = (Manner(0.050, 0.005, 8), Manner(0.005, 0.020, 32), Manner(0.500, 0.000, 4))


def texts(count: int) -> list[str]:
    """Distinct short texts."""
    return [f"text number {number}" for number in range(count)]


class WrongAnswer(AssertionError):
    """A contender put an answer on a wrong row: its time is worth nothing."""


def timed(name: str, run: Callable[[list[str]], list[str]], asked: list[str]) -> tuple[float, float]:
    """Seconds on the clock and of this process's CPU, for right answers."""
    cpu, wall = time.process_time(), time.perf_counter()
    labels = run(asked)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if labels != [label_of(text) for text in asked]:
        raise WrongAnswer(name)
    return wall, cpu


def side_by_side(runs: dict[str, tuple[Callable[[list[str]], list[str]], list[str]]], repeats: int) -> Case:
    """Run all in turn, ``repeats`` times over, so that a disturbance meets everybody."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, (run, asked) in runs.items():
            measured[name].append(timed(name, run, asked))
    return {
        name: {
            "rows": len(runs[name][1]),
            "seconds": statistics.median(wall for wall, _ in times),
            "cpu_seconds": statistics.median(cpu for _, cpu in times),
            "all_seconds": [round(wall, 4) for wall, _ in times],
        }
        for name, times in measured.items()
    }


def one_by_one(service: Service, repeats: int, rows: int = 1000) -> Case:
    """One row a request, 50 ms each."""
    service.behave(Manner(0.050))
    asked = texts(rows)
    found: Case = {}
    for workers in (32, 128):
        found[f"{workers} workers"] = side_by_side(
            {
                "this package": (
                    lambda some, workers=workers: contenders.ours(  # type: ignore[misc]
                        service, some, max_batch_size=1, max_concurrency=workers
                    )[0],
                    asked,
                ),
                "asyncio, bare": (lambda some, workers=workers: contenders.asyncio_bare(service, some, workers), asked),  # type: ignore[misc]
                "requests in a thread pool": (
                    lambda some, workers=workers: contenders.requests_pool(service, some, workers),  # type: ignore[misc]
                    asked,
                ),
                "AsyncInferenceClient": (
                    lambda some, workers=workers: contenders.hub_async(service, some, workers),  # type: ignore[misc]
                    asked,
                ),
            },
            repeats,
        )
    few = asked[: max(20, rows // 20)]
    one = side_by_side({"InferenceClient": (lambda some: contenders.hub_sync(service, some), few)}, 1)
    found["one after the other"] = one
    return found


def best_pairs(manner: Manner, rows: int, count: int) -> list[tuple[float, int, int]]:
    """The best (seconds, list size, workers) of all sizes from 1 to 32 and workers from 1 to 16, by arithmetic."""
    times = []
    for size in range(1, 33):
        for workers in range(1, 17):
            free = [0.0] * min(workers, manner.slots)
            for start in range(0, rows, size):
                heapq.heapreplace(free, free[0] + manner.fixed + manner.each * min(size, rows - start))
            times.append((round(max(free), 6), size, workers))
    return sorted(times)[:count]


def in_lists(service: Service, repeats: int, rows: int = 2000) -> Case:
    """Rows in lists, with no setting given, beside the best list size and number of workers there are.

    The grid is searched by arithmetic, since the service does what arithmetic says; the best pairs are
    then run with the bare asyncio client, and the quickest of them is what we are compared to.
    """
    asked = texts(rows)
    found: Case = {}
    for manner in LIST_SERVICES:
        service.behave(manner)
        name = f"{manner.fixed * 1000:g} ms + {manner.each * 1000:g} ms an item, {manner.slots} slots"
        runs: dict[str, tuple[Callable[[list[str]], list[str]], list[str]]] = {
            "this package": (lambda some: contenders.ours(service, some)[0], asked)
        }
        for _, size, workers in best_pairs(manner, rows, 2):
            runs[f"asyncio, lists of {size}, {workers} workers"] = (
                lambda some, size=size, workers=workers: contenders.asyncio_bare(service, some, workers, size),  # type: ignore[misc]
                asked,
            )
        found[name] = side_by_side(runs, repeats)
    return found


def bundled(service: Service, rows: int = 2000) -> Case:
    """The handler that MindsDB brings along: it sends a query's rows as one list, without a limit, and waits for it.

    So it is measured on a service that takes lists of any length, and on one that takes 32 at most, as servers do.
    """
    asked = texts(rows)
    found: Case = {}
    for name, longest in (("lists of any length", None), ("lists of up to 32", 32)):
        service.behave(Manner(0.050, 0.005, 8, longest=longest))
        found[name] = side_by_side({"this package": (lambda some: contenders.ours(service, some)[0], asked)}, 1)
        try:
            wall, cpu = contenders.bundled(service, rows)
        except contenders.CannotRun as reason:
            found[name]["bundled with MindsDB"] = {"rows": rows, "cannot run": str(reason)}
        else:
            found[name]["bundled with MindsDB"] = {"rows": rows, "seconds": wall, "cpu_seconds": cpu}
    return found


def storm(service: Service) -> Case:
    """A third of all requests goes wrong, in every way at once; nothing is set but what the name says.

    Every label is checked against its text, and the service counts what it answered twice.
    """
    found: Case = {}
    for name, rows, using in (
        ("in lists", 5000, {}),
        ("one by one, timeout = 5", 500, {"max_batch_size": 1, "timeout": 5}),
    ):
        service.behave(Manner(0.020, 0.001, faults=STORM, seed=1))
        wall, cpu = timed(name, lambda some, using=using: contenders.ours(service, some, **using)[0], texts(rows))  # type: ignore[misc]
        counted = service.counted()
        found[name] = {
            "rows": rows,
            "seconds": wall,
            "cpu_seconds": cpu,
            **{reported: counted[reported] for reported in ("requests", "faults", "served", "served twice")},
        }
    return found


def own_cost(service: Service, repeats: int) -> Case:
    """CPU of our own: a service that answers at once."""
    service.behave(Manner())
    asked, many = texts(2000), texts(20_000)
    return side_by_side(
        {
            "this package, one by one": (lambda some: contenders.ours(service, some, max_batch_size=1)[0], asked),
            "requests in a thread pool": (lambda some: contenders.requests_pool(service, some, 16), asked),
            "this package, in lists": (lambda some: contenders.ours(service, some)[0], many),
        },
        repeats,
    )


def allowed_rate(service: Service, seconds: float = 15.0) -> Case:
    """50 requests a second are allowed; then 25, then 50 again."""
    found: Case = {}
    for after in (None, "1"):
        service.behave(Manner(0.050, rate=50, retry_after=after))
        began = time.monotonic()
        timed(
            "this package", lambda some: contenders.ours(service, some, max_batch_size=1)[0], texts(int(50 * seconds))
        )
        took = time.monotonic() - began
        counted = service.counted()
        found["Retry-After: 1" if after else "no Retry-After"] = {
            "used": (counted["requests"] - counted["refused"]) / took / 50,
            "refused": counted["refused"] / counted["requests"],
            "seconds": took,
        }
    return found


def changing_rate(service: Service, seconds: float = 15.0) -> Case:
    """How the requests let through follow a limit that is halved and restored."""
    import threading

    service.behave(Manner(0.050, rate=50))
    began = time.monotonic()

    def change() -> None:
        for at, rate in ((seconds, 25), (2 * seconds, 50)):
            time.sleep(max(0.0, began + at - time.monotonic()))
            service.behave(Manner(0.050, rate=rate), forget=False)

    changer = threading.Thread(target=change)
    changer.start()
    timed("this package", lambda some: contenders.ours(service, some, max_batch_size=1)[0], texts(int(120 * seconds)))
    changer.join()
    counted = service.counted()
    by_second = [counted["seconds"][second] for second in sorted(counted["seconds"], key=int)]
    return {
        "let through by second": [through for through, _ in by_second],
        "refused by second": [refused for _, refused in by_second],
        "refused": counted["refused"] / counted["requests"],
    }


MEASURE_MEMORY = """
import json, resource, sys, time
import pandas as pd
from benchmarks import contenders
from benchmarks.service import Service
service, rows = Service(int(sys.argv[1])), int(sys.argv[2])
with contenders.predictor(service) as predict:
    predict(["warm"])
    asked = [f"text number {number}" for number in range(rows)]
    frame = pd.DataFrame({"text": asked})
    before = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter()
    predict(asked)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
more = (after.ru_maxrss - before.ru_maxrss) / 1024
print(json.dumps({"rows": rows, "seconds": wall, "cpu_seconds": cpu, "more_mib": more}))
"""


def many_rows(service: Service) -> Case:
    """Memory beyond the frame, and time a row, from a thousand rows to two hundred thousand."""
    service.behave(Manner())
    found: Case = {}
    for rows in (1000, 20_000, 200_000):
        reported = subprocess.run(
            [sys.executable, "-c", MEASURE_MEMORY, str(service.port), str(rows)], check=True, capture_output=True
        )
        found[f"{rows} rows"] = json.loads(reported.stdout)
    return found
