"""What the rig runs on: a Redis and a database of its own, a MindsDB server, and consumers that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from huggingface_api_handler.sandbox.mindsdb_server import HOST, MindsDBServer, free_port

from .service import label_of

POSTGRES = {
    "host": os.environ.get("PGHOST", "127.0.0.1"),
    "port": int(os.environ.get("PGPORT", "5432")),
    "user": os.environ.get("PGUSER", "postgres"),
    "password": os.environ.get("PGPASSWORD", ""),
}
#: Nobody listens there: the Hub is out of reach, which is all the same to a model whose task is given.
NO_HUB = f"http://{HOST}:9"
TOKEN = "hf_" + "r" * 34


class Redis:
    """A Redis of the rig's own, which writes down what it holds and can be taken away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and return when it answers."""
        self._process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", HOST, "--dir", str(self.folder)),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        client = self.client()
        with contextlib.closing(client):
            for _ in range(200):
                with contextlib.suppress(redis.RedisError):
                    if client.ping():
                        return
                time.sleep(0.1)
        raise RuntimeError("Redis did not start")

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(30)
            self._process = None

    def client(self) -> Any:
        """Return a client."""
        return redis.Redis(HOST, self.port)


@contextlib.contextmanager
def postgres() -> Iterator[Database]:
    """A database of the rig's own, and one for what MindsDB keeps; dropped at the end."""
    made = Database(f"hf_rig_{uuid.uuid4().hex[:10]}")
    admin = psycopg.connect(**POSTGRES, dbname="postgres", autocommit=True, connect_timeout=5)
    with contextlib.closing(admin):
        try:
            for name in (made.name, made.mindsdbs):
                admin.execute(f"CREATE DATABASE {name}")
            yield made
        finally:
            for name in (made.name, made.mindsdbs):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database with the tables ``texts`` (id, text) and ``labels`` (id, label)."""

    name: str

    @property
    def mindsdbs(self) -> str:
        """Name of the database in which MindsDB keeps engines and models."""
        return f"{self.name}_mindsdb"

    @property
    def url(self) -> str:
        """Where MindsDB keeps its own, as MINDSDB_DB_CON says it."""
        login = ":".join(filter(None, (POSTGRES["user"], POSTGRES["password"])))
        return f"postgresql://{login}@{POSTGRES['host']}:{POSTGRES['port']}/{self.mindsdbs}"

    @property
    def parameters(self) -> dict[str, Any]:
        """What MindsDB needs to reach it."""
        return {**POSTGRES, "database": self.name}

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own; return its rows."""
        with psycopg.connect(**POSTGRES, dbname=self.name) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def fill(self, rows: int, prefix: str) -> None:
        """Lay ``rows`` distinct texts into ``texts``, and empty ``labels``."""
        self.run("DROP TABLE IF EXISTS texts, labels")
        self.run("CREATE TABLE texts (id int PRIMARY KEY, text text NOT NULL)")
        self.run("CREATE TABLE labels (id int PRIMARY KEY, label text)")
        self.run("INSERT INTO texts SELECT n, %s || ' number ' || n FROM generate_series(1, %s) AS n", prefix, rows)

    def judged(self) -> dict[str, int]:
        """Count the rows whose label is right, wrong, or missing."""
        found = self.run("SELECT t.text, l.label FROM texts AS t LEFT JOIN labels AS l USING (id)")
        right = sum(label == label_of(text) for text, label in found)
        missing = sum(label is None for _, label in found)
        return {"rows": len(found), "right": right, "wrong": len(found) - right - missing, "missing": missing}


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all below it that live."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """CPU that processes have used, those among their children included that have ended."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            used = process.cpu_times()
            total += used.user + used.system
    return total


@dataclass
class Consumers:
    """Consumers that are started anew when they end, as a service manager does it."""

    server: MindsDBServer
    pids: list[int] = field(default_factory=list)
    restarts: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def be(self, count: int) -> None:
        """Start some, or end some, until there are so many."""
        with self._lock:
            while len(self.pids) > count:
                end_group(self.pids.pop())
            while len(self.pids) < count:
                self.pids.append(self.server.start_consumer())

    def kill(self, number: int, whole: bool = True) -> None:
        """Kill a consumer with SIGKILL: all its processes, or only the one that reads the queue."""
        with self._lock:
            processes = tree(self.pids[number % len(self.pids)])
        for process in processes if whole else processes[:2]:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def close(self) -> None:
        """Let them be."""
        self._ended.set()
        self._keeper.join()

    def _keep(self) -> None:
        while not self._ended.wait(0.5):
            with self._lock:
                for at, pid in enumerate(self.pids):
                    if not psutil.pid_exists(pid):
                        self.pids[at] = self.server.start_consumer()
                        self.restarts += 1


def end_group(pid: int) -> None:
    """End the process group of a consumer."""
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


@dataclass
class World:
    """Everything that runs; ``sql`` asks MindsDB."""

    folder: Path
    redis: Redis
    database: Database
    server: MindsDBServer
    consumers: Consumers

    def sql(self, statement: str, timeout: float = 3600.0) -> Any:
        """Run one statement on the MindsDB server."""
        return self.server.sql(statement, timeout=timeout)

    def all_processes(self) -> list[psutil.Process]:
        """Return every process of MindsDB: the server's and the consumers'."""
        return [process for pid in (self.server.pid, *self.consumers.pids) for process in tree(pid)]


def settings(port: int, database: Database) -> tuple[dict[str, str | None], dict[str, Any]]:
    """Return environment and configuration of a MindsDB whose queue and cache are in a Redis."""
    environ: dict[str, str | None] = {
        "HF_ENDPOINT": NO_HUB,
        "HF_TOKEN": None,
        "MINDSDB_DB_CON": database.url,
        "MINDSDB_ML_QUEUE_TYPE": "redis",
        "MINDSDB_ML_QUEUE_HOST": HOST,
        "MINDSDB_ML_QUEUE_PORT": str(port),
        "MINDSDB_ML_QUEUE_DB": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    config = {
        "cache": {"type": "redis", "connection": {"host": HOST, "port": port, "db": 1}},
        "secret_key": "the rig's own",
    }
    return environ, config


@contextlib.contextmanager
def world(consumers: int, environ: Mapping[str, str | None] | None = None) -> Iterator[World]:
    """Start everything; end it with the block."""
    folder = Path(tempfile.mkdtemp(prefix="hf-rig-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        queue = Redis(folder / "redis")
        queue.start()
        stack.callback(queue.stop)
        database = stack.enter_context(postgres())
        given, config = settings(queue.port, database)
        server = MindsDBServer(folder / "mindsdb", environ={**given, **(environ or {})}, config=config)
        stack.enter_context(server)
        workers = Consumers(server)
        stack.callback(workers.close)
        workers.be(consumers)
        made = World(folder, queue, database, server, workers)
        made.sql(f"CREATE DATABASE pg WITH ENGINE = 'postgres', PARAMETERS = {json.dumps(database.parameters)}")
        yield made
