"""Runs MindsDB with its task queue and shows what happens: how fast, what is lost, what is paid twice.

    python -m benchmarks.rig                      every case but the soak; writes benchmarks/rig.json
    python -m benchmarks.rig --only killed        one of them
    python -m benchmarks.rig --soak --minutes 60  the long one

It starts all it needs on this machine (a Redis, a database in PostgreSQL, MindsDB, consumers, the service) and
stops it again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, ServerFailed, SQLError

from .service import Manner, Service, label_of, running
from .world import TOKEN, World, cpu_seconds, settings, world

#: Ids that one statement writes.
PART = 500


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def prepare(it: World, service: Service, *, name: str = "m", **using: Any) -> None:
    """Make the engine, once, and a model of it."""
    if "rig" not in it.sql("SHOW ML_ENGINES").column("name"):
        it.sql(f"CREATE ML_ENGINE rig FROM huggingface_api USING api_key = '{TOKEN}', base_url = '{service.url}'")
    given = {"task": "text-classification", "model_name": "org/model", "input_column": "text", **using}
    words = ", ".join(
        f"{key} = {json.dumps(value) if not isinstance(value, str) else repr(value)}" for key, value in given.items()
    )
    it.sql(f"CREATE MODEL {name} PREDICT label USING engine = 'rig', {words}")
    it.server.wait_for_model(name)


def store_back(it: World, model: str, first: int, last: int, using: str = "") -> None:
    """Have MindsDB predict some rows and write them into PostgreSQL, all in SQL."""
    it.sql(
        f"INSERT INTO pg.labels (SELECT t.id, m.label FROM pg.texts AS t JOIN {model} AS m ON m.text = t.text "
        f"WHERE t.id >= {first} AND t.id <= {last}{' USING ' + using if using else ''})"
    )


def in_parts(
    it: World, rows: int, clients: int, *, model: str = "m", part: int = PART, tries: int = 1
) -> dict[str, Any]:
    """Write all rows back, ``clients`` statements at a time; those that fail are said again, ``tries`` times in all."""
    parts: queue.Queue[tuple[int, int]] = queue.Queue()
    for first in range(1, rows + 1, part):
        parts.put((first, min(first + part - 1, rows)))
    errors: list[str] = []

    def client() -> None:
        while True:
            try:
                first, last = parts.get_nowait()
            except queue.Empty:
                return
            for left in reversed(range(tries)):
                try:
                    store_back(it, model, first, last)
                    break
                except (SQLError, ServerFailed) as error:
                    errors.append(str(error).splitlines()[0][:300])
                    # What it has written, if anything, is written again.
                    it.database.run("DELETE FROM labels WHERE id BETWEEN %s AND %s", first, last)
                    if left:
                        time.sleep(1.0)

    began = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": round(time.monotonic() - began, 2), "failed_statements": errors}


def warm(it: World, clients: int) -> None:
    """Have a worker started for each client: that takes seconds and is no part of what is measured."""
    it.database.fill(20 * clients, f"warm {time.time()}")
    in_parts(it, 20 * clients, clients, part=20, tries=3)


# --- the cases -------------------------------------------------------------------------------


def case_throughput(it: World, service: Service, rows: int) -> Any:
    """Rows from PostgreSQL and back: 1, 2, 4 consumers, as many statements at a time."""
    found: dict[str, Any] = {}
    service.behave(Manner(0.100))
    prepare(it, service, max_batch_size=1)
    prepare(it, service, name="lists")
    for model, how in (("m", "one row a request"), ("lists", "in lists")):
        for count in (1, 2, 4):
            it.consumers.be(count)
            wait_for_consumers(it, count)
            warm(it, count)
            it.database.fill(rows, f"{model} {count}")
            service.behave(Manner(0.100))
            before = cpu_seconds(it.all_processes())
            done = in_parts(it, rows, count, model=model, tries=2)
            used = cpu_seconds(it.all_processes()) - before
            counted = service.counted()
            measured = {
                **done,
                **it.database.judged(),
                "rows_a_second": round(rows / done["seconds"], 1),
                "cpu_ms_a_row": round(used / rows * 1000, 3),
                "requests": counted["requests"],
                "paid_again": counted["again"],
            }
            found[f"{how}, {count} consumers"] = measured
            say(f"{how}, {count} consumers: {measured}")
    return found


def wait_for_consumers(it: World, count: int) -> None:
    """Return when so many consumers read the queue."""
    until = time.monotonic() + 120
    client = it.redis.client()
    while time.monotonic() < until:
        # Each holds a connection on which it waits for tasks.
        waiting = sum(one.get("cmd") == "xreadgroup" for one in client.client_list())
        if waiting >= count:
            client.close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"{count} consumers did not begin to read the queue")


def case_killed(it: World, service: Service, rows: int, *, consumers: int = 3, every: float = 10.0) -> Any:
    """Consumers killed one after the other, Redis restarted once, the service away for 20 seconds."""
    service.behave(Manner(0.100))
    prepare(it, service, name="k", max_batch_size=1)
    it.consumers.be(consumers)
    wait_for_consumers(it, consumers)
    it.database.fill(rows, "killed")
    service.behave(Manner(0.100))
    it.consumers.restarts = 0
    ended, log = threading.Event(), []
    began = time.monotonic()

    def note(what: str) -> None:
        log.append(f"{time.monotonic() - began:.1f} s: {what}")
        say(what)

    def kills() -> None:
        number = 0
        while not ended.wait(every):
            whole = number % 2 == 0
            it.consumers.kill(number, whole)
            note(f"killed consumer {number % consumers}" + ("" if whole else ": the process that reads the queue"))
            number += 1

    def others() -> None:
        if ended.wait(25.0):
            return
        it.redis.stop()
        note("Redis stopped")
        ended.wait(3.0)
        it.redis.start()
        note("Redis started")
        if ended.wait(17.0):
            return
        service.behave(Manner(0.100, away=True), forget=False)
        note("the service is away")
        ended.wait(20.0)
        service.behave(Manner(0.100), forget=False)
        note("the service is back")

    threads = [threading.Thread(target=kills), threading.Thread(target=others)]
    for thread in threads:
        thread.start()
    try:
        done = in_parts(it, rows, consumers, model="k", tries=10)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    counted = service.counted()
    kinds = [line for line in log if "killed" in line]
    usage = it.sql("DESCRIBE k.usage").records()
    measured = {
        **done,
        **it.database.judged(),
        "kills": len(kinds),
        "restarted_consumers": it.consumers.restarts,
        "rows_paid": counted["inputs"],
        "paid_again": counted["again"],
        # Each kill may catch every worker of every task that its consumer has.
        "most_in_flight": 16 * consumers * len(kinds),
        "events": log,
        "usage": {row["name"]: row["value"] for row in usage} if usage and "name" in usage[0] else usage,
    }
    say(f"killed: { {key: value for key, value in measured.items() if key not in ('events', 'usage')} }")
    return measured


def case_pace(it: World, service: Service, seconds: float = 60.0, per_minute: int = 1200, consumers: int = 4) -> Any:
    """``requests_per_minute`` for four consumers together."""
    service.behave(Manner(0.100))
    prepare(it, service, name="paced", max_batch_size=1, requests_per_minute=per_minute)
    it.consumers.be(consumers)
    wait_for_consumers(it, consumers)
    rows = int(per_minute / 60 * seconds)
    it.database.fill(rows, "paced")
    service.behave(Manner(0.100))
    # Statements that end at about the same time: each takes its share.
    done = in_parts(it, rows, consumers, model="paced", part=rows // (4 * consumers), tries=2)
    counted = service.counted()
    by_second = [counted["seconds"][second][0] for second in sorted(counted["seconds"], key=int)]
    inner = by_second[5:-2]
    ten = [sum(inner[at : at + 10]) for at in range(len(inner) - 9)]
    measured = {
        **done,
        **it.database.judged(),
        "limit_a_second": per_minute / 60,
        "sent_a_second": round(sum(inner) / len(inner), 2),
        "most_in_ten_seconds": max(ten),
        "limit_in_ten_seconds": per_minute / 6,
        "by_second": by_second,
    }
    say(f"pace: {measured}")
    return measured


def case_second_server(it: World, service: Service, rows: int = 500) -> Any:
    """A second MindsDB on the same Redis and the same database of MindsDB's own."""
    service.behave(Manner(0.010))
    prepare(it, service, name="shared")
    it.consumers.be(1)
    wait_for_consumers(it, 1)
    it.database.fill(rows, "shared")
    in_parts(it, rows, 1, model="shared", tries=3)
    first = service.counted()["inputs"]
    given, config = settings(it.redis.port, it.database)
    service.behave(Manner(0.010))
    with MindsDBServer(it.folder / "second", environ=given, config=config) as second:
        found = second.sql("SELECT t.text, m.label FROM pg.texts AS t JOIN shared AS m ON m.text = t.text")
    wrong = sum(label != label_of(text) for text, label in found.rows)
    measured = {"rows": len(found), "wrong": wrong, "first_paid": first, "second_paid": service.counted()["inputs"]}
    say(f"second server: {measured}")
    return measured


CASES: dict[str, Callable[[World, Service, int], Any]] = {
    "throughput": lambda it, service, rows: case_throughput(it, service, rows),
    "killed": lambda it, service, rows: case_killed(it, service, rows),
    "pace": lambda it, service, rows: case_pace(it, service),
    "second-server": lambda it, service, rows: case_second_server(it, service),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="the cases to run")
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the large cases (20000)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("rig.json"), help="where figures go")
    parser.add_argument("--soak", action="store_true", help="the soak in place of the cases")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the soak runs (60)")
    given = parser.parse_args(arguments)
    # A plain `kill` cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.soak:
        from .soak import soak

        found = soak(given.minutes, given.out)
        return 0 if found["flat"] and not found["wrong"] else 1
    known = json.loads(given.out.read_text()) if given.out.exists() else {}
    known["machine"] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "service": "100 ms a request, slots for all",
    }
    with running() as service, world(1) as it:
        for name in given.only:
            say(f"case: {name}")
            known[name] = CASES[name](it, service, given.rows)
            given.out.write_text(json.dumps(known, indent=1) + "\n")
    say(f"written: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
