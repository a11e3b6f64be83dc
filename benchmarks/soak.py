"""Mixed load for a long time: what the server and its consumers hold must not grow.

Several models of several tasks are asked by clients over HTTP and MySQL, for new rows each time, through the
task queue; every answer is checked. Each half minute it is noted what the processes hold.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pymysql

from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .world import HOST, TOKEN, World, tree, world

#: Seconds between two samples, and between two statements of a client.
SAMPLE, PAUSE = 30.0, 2.0
ROWS = 40

#: Models: name → (what is said of it, the sandbox's latency lies on all).
MODELS = {
    "mood": "task = 'text-classification', input_column = 'text'",
    "topic": "task = 'zero-shot-classification', input_column = 'text', candidate_labels = 'food, travel, work'",
    "vector": "task = 'feature-extraction', input_column = 'text'",
    "brief": "task = 'summarization', input_column = 'text', on_error = 'null'",
    "chat": "task = 'chat-completion', input_column = 'text', requests_per_minute = 600",
}


def load(processes: list[psutil.Process]) -> dict[str, Any]:
    """What processes hold together, and at most one of them: MiB, descriptors, sockets, threads; how many they are."""
    held: dict[str, Any] = {"rss_mib": 0.0, "fds": 0, "sockets": 0, "threads": 0, "processes": 0, "most": {}}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            own = {
                "rss_mib": round(process.memory_info().rss / 2**20, 1),
                "fds": process.num_fds(),
                "sockets": len(process.net_connections("all")),
                "threads": process.num_threads(),
            }
            for what, count in own.items():
                held[what] += count
                held["most"][what] = max(held["most"].get(what, 0), count)
            held["processes"] += 1
    held["rss_mib"] = round(held["rss_mib"], 1)
    return held


def sample(it: World, at: float) -> dict[str, Any]:
    """Return what everything holds: the server, each consumer, Redis, the storage folder."""
    # MindsDB's own marks of what is running, empty files of which it leaves some behind, are counted apart.
    found = [path for path in it.server.storage.rglob("*") if path.is_file()]
    files = [path for path in found if "processes" not in path.parts]
    size = 0
    for path in files:
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    with contextlib.closing(it.redis.client()) as client:
        memory = client.info("memory")["used_memory"]
    return {
        "seconds": round(at, 1),
        "server": load(tree(it.server.pid)),
        **{f"consumer {number}": load(tree(pid)) for number, pid in enumerate(it.consumers.pids)},
        "files": len(files),
        "marks": len(found) - len(files),
        "files_mib": round(size / 2**20, 2),
        "redis_mib": round(memory / 2**20, 2),
    }


#: What must not grow in any process, and by how much it may: a share, or so many. How many workers there are
#: follows the load; of those there may be as many as the consumer takes tasks, beside its own two processes.
FLAT = {"rss_mib": (0.10, 25.0), "fds": (0.10, 8), "sockets": (0.10, 6), "threads": (0.10, 6)}
MOST_PROCESSES = 6


def judged(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare the last quarter with the second: the first is when all of it warms up."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    found: dict[str, Any] = {}
    for who in [name for name in samples[0] if isinstance(samples[0][name], dict)]:
        for what, (share, few) in FLAT.items():
            before, after = (statistics.median(one[who]["most"][what] for one in some) for some in (early, late))
            flat = after <= before * (1 + share) or after - before <= few
            found[f"{who}: {what} of a process"] = {"second quarter": before, "last quarter": after, "flat": flat}
        before, after = (max(one[who]["processes"] for one in some) for some in (early, late))
        flat = after <= MOST_PROCESSES
        found[f"{who}: processes"] = {"second quarter": before, "last quarter": after, "flat": flat}
    before, after = (statistics.median(one["files"] for one in some) for some in (early, late))
    found["files"] = {"second quarter": before, "last quarter": after, "flat": after <= before + 4}
    return found


class Load:
    """Clients that ask until they are told to stop."""

    def __init__(self, it: World) -> None:
        self.it = it
        self.ended = threading.Event()
        self.statements = self.rows = self.wrong = 0
        self.errors: list[str] = []
        self._lock = threading.Lock()

    def client(self, number: int, run: Callable[[str], list[tuple[Any, ...]]]) -> None:
        """Ask one model after the other, for rows that nobody has asked for."""
        names, turn = list(MODELS), number
        while not self.ended.wait(PAUSE):
            turn += 1
            name, prefix = names[turn % len(names)], f"client {number} turn {turn}"
            table = f"texts_{number}"
            self.it.database.run(f"UPDATE {table} SET text = %s || ' row ' || id", prefix)
            statement = f"SELECT t.id, t.text, m.answer FROM pg.{table} AS t JOIN {name} AS m ON m.text = t.text"
            try:
                found = run(statement)
            except (SQLError, OSError, pymysql.err.MySQLError) as error:
                with self._lock:
                    self.errors.append(f"{name}: {str(error).splitlines()[0][:300]}")
                continue
            good = len({row[0] for row in found}) == ROWS and all(
                row[2] is not None and row[1] == f"{prefix} row {row[0]}" for row in found
            )
            with self._lock:
                self.statements += 1
                self.rows += len(found)
                self.wrong += not good

    def over_http(self, statement: str) -> list[tuple[Any, ...]]:
        return list(self.it.sql(statement, 900).rows)

    def over_mysql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = pymysql.connect(
            host=HOST, port=self.it.server.mysql_port, user="mindsdb", password="", database="mindsdb"
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return [(int(row[0]), *row[1:]) for row in cursor.fetchall()]


def soak(minutes: float, out: Path, consumers: int = 2) -> dict[str, Any]:
    """Run the load for ``minutes``; write what was held to ``out`` and return it."""
    with Sandbox(faults={"latency": 0.05}) as sandbox, world(consumers, {"HF_ENDPOINT": sandbox.hub_url}) as it:
        it.sql(f"CREATE ML_ENGINE rig FROM huggingface_api USING api_key = '{TOKEN}', base_url = '{sandbox.url}'")
        for name, using in MODELS.items():
            it.sql(f"CREATE MODEL {name} PREDICT answer USING engine = 'rig', {using}")
            it.server.wait_for_model(name)
        carrier = Load(it)
        threads = []
        for number, run in enumerate((carrier.over_http, carrier.over_http, carrier.over_mysql)):
            it.database.run(f"CREATE TABLE texts_{number} (id int PRIMARY KEY, text text)")
            it.database.run(f"INSERT INTO texts_{number} SELECT n, '' FROM generate_series(1, %s) AS n", ROWS)
            threads.append(threading.Thread(target=carrier.client, args=(number, run)))
        for thread in threads:
            thread.start()
        samples: list[dict[str, Any]] = []
        began = time.monotonic()
        found: dict[str, Any] = {}
        try:
            while (at := time.monotonic() - began) < minutes * 60:
                samples.append(sample(it, at))
                sandbox.reset()  # it remembers every request
                found = {
                    "minutes": round(at / 60, 1),
                    "statements": carrier.statements,
                    "rows": carrier.rows,
                    "wrong": carrier.wrong,
                    "errors": carrier.errors[-20:],
                    "failed": len(carrier.errors),
                    "restarted_consumers": it.consumers.restarts,
                    "judged": judged(samples),
                    "samples": samples,
                }
                found["flat"] = all(one["flat"] for one in found["judged"].values())
                out.write_text(json.dumps(found, indent=1) + "\n")
                held = samples[-1]
                print(
                    f"[{time.strftime('%H:%M:%S')}] {at / 60:5.1f} min, {carrier.statements} statements, "
                    f"{carrier.rows} rows, {carrier.wrong} wrong, {len(carrier.errors)} failed | "
                    + " | ".join(
                        f"{who}: {one['rss_mib']:.0f} MiB, {one['fds']} fds, {one['sockets']} sockets, "
                        f"{one['threads']} threads, {one['processes']} processes"
                        for who, one in held.items()
                        if isinstance(one, dict)
                    )
                    + f" | {held['files']} files, Redis {held['redis_mib']} MiB",
                    flush=True,
                )
                time.sleep(max(0.0, SAMPLE - (time.monotonic() - began - at)))
        finally:
            carrier.ended.set()
            for thread in threads:
                thread.join()
    for what, one in found["judged"].items():
        mark = "flat " if one["flat"] else "GROWS"
        print(f"{mark}  {what}: {one['second quarter']} in the second quarter, {one['last quarter']} in the last")
    print("flat" if found["flat"] else "NOT flat", flush=True)
    return found
