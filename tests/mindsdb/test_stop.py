"""A query that runs for a minute ends within seconds when somebody stops it, on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, SQLError, Table

from .conftest import Postgres, World

ROWS = 3000
LATENCY = 0.3
#: Seconds within which a query has ended, and sends nothing more.
PROMISED = 5.0


class Long:
    """A model that nobody has asked yet, and a query of ``ROWS`` rows through it that would take a minute.

    Args:
        number: of labels, by which the answers of this model are told from those of others.
    """

    def __init__(self, world: World, number: int, table: str = "duck.thousands") -> None:
        self.world = world
        self.name = f"long{number}"
        self.statement = f"SELECT t.id, m.a FROM {table} AS t JOIN {self.name} AS m ON m.text = t.review"
        self._create = (
            f"CREATE MODEL {self.name} PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
            f"max_batch_size = 1, parameters = {{'top_k': {number}}}"
        )
        self.create()

    def create(self) -> None:
        self.world.model(self._create)

    def stopped_by(self, stop: Callable[[], object], using: str = "", workers: int = 1) -> str:
        """Run the query, ``stop`` it when it is under way, check when it ended and return its error."""
        self.world.sandbox.reset()
        self.world.sandbox.faults = {"latency": LATENCY}
        ended: list[Table | SQLError] = []

        def ask() -> None:
            try:
                ended.append(self.world.sql(self.statement + using))
            except SQLError as error:
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        until = time.monotonic() + 60
        while self._busiest() <= 16 * (workers - 1) + 10 and time.monotonic() < until:
            time.sleep(0.05)
        stop()
        stopped = time.time()
        asking.join(60)
        took = time.time() - stopped
        sent = self.world.sandbox.sent()
        (error,) = ended
        assert isinstance(error, SQLError), error
        assert 40 <= sent < ROWS
        assert took < PROMISED
        time.sleep(1.0)
        assert self.world.sandbox.sent() == sent
        assert max(record.at for record in self.world.sandbox.inference_requests()) < stopped + PROMISED
        return str(error)

    def _busiest(self) -> int:
        """Return the requests under way, at most 16 a worker; 0 before the first 40."""
        records = self.world.sandbox.inference_requests()
        now = time.time()
        return sum(now - LATENCY < record.at for record in records) if len(records) >= 40 else 0

    def stored(self) -> int:
        """Return the number of rows that would cost nothing."""
        plan = self.world.sql(f"{self.statement.replace('m.a', 'm.a_plan')} USING dry_run = true")
        return plan.column("a_plan").count("cache")


@pytest.fixture
def long(world: World) -> Iterator[Callable[..., Long]]:
    made: list[Long] = []

    def make(number: int, table: str = "duck.thousands") -> Long:
        made.append(Long(world, number, table))
        return made[-1]

    yield make
    for one in made:
        world.sql(f"DROP MODEL IF EXISTS {one.name}")


def test_dropping_the_model_stops_its_queries(world: World, long: Callable[..., Long]) -> None:
    query = long(31)
    error = query.stopped_by(lambda: world.mysql(f"DROP MODEL {query.name}"))
    assert "the model was dropped while the query was running" in error.splitlines()[0]
    sent = world.sandbox.sent()
    assert f"{sent} of {ROWS} answers are stored" in error
    query.create()
    assert query.stored() == sent


@pytest.mark.parametrize("protocol", ["http", "mysql"])
def test_a_select_stops_the_running_queries_of_its_model(
    world: World, long: Callable[..., Long], protocol: str
) -> None:
    query = long(32 if protocol == "http" else 33)
    run = world.sql if protocol == "http" else world.mysql
    output: list[object] = []
    statement = f"SELECT a FROM {query.name} WHERE text = '' USING stop = true"
    error = query.stopped_by(lambda: output.append(run(statement).rows[0][0]))
    assert output == ["1 running query told to stop"]
    assert "the query was stopped on request" in error.splitlines()[0]
    sent = world.sandbox.sent()
    assert f"{sent} of {ROWS} answers are stored" in error
    assert query.stored() == sent
    assert run(statement).rows[0][0] == "0 running queries told to stop"


def shell(server: MindsDBServer, *arguments: str) -> str:
    """Run a command on the server's machine, with its settings; return what it prints."""
    environ = {
        **os.environ,
        "MINDSDB_STORAGE_DIR": str(server.storage),
        "MINDSDB_CONFIG_PATH": str(server.storage / "config.json"),
    }
    command = [sys.executable, "-m", "huggingface_api_handler", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_shell_stops_and_watches(world: World, long: Callable[..., Long]) -> None:
    query = long(36)
    output: list[str] = []

    def stop() -> None:
        output.append(shell(world.server, "watch", "--once", "--model", query.name))
        output.append(shell(world.server, "stop", "--model", query.name))

    error = query.stopped_by(stop)
    (row,) = output[0].splitlines()[1:]
    assert row.split()[1:5] == ["hf", query.name, "running", "3,000"]
    assert output[1].splitlines()[-1] == "1 running query told to stop"
    assert "the query was stopped on request" in error.splitlines()[0]
    assert query.stored() == world.sandbox.sent()


def test_cleared_answers_are_asked_for_again(world: World, long: Callable[..., Long]) -> None:
    """Those of another model remain."""
    first, second = long(37), long(38)
    for query in (first, second):
        query.statement = query.statement.replace("duck.thousands", "(SELECT * FROM duck.thousands LIMIT 5)")
        world.sql(query.statement)
    clear = f"SELECT a FROM {first.name} WHERE text = '' USING clear_cache = true"
    assert (first.stored(), second.stored()) == (5, 5)
    assert world.mysql(clear).rows[0][0] == "5 stored answers deleted"
    assert (first.stored(), second.stored()) == (0, 5)
    assert world.sql(clear).rows[0][0] == "0 stored answers deleted"
    world.sandbox.reset()
    world.sql(first.statement)
    assert world.sandbox.sent() == 5
    # Also of the model before it under the same name.
    world.sql(f"DROP MODEL {first.name}")
    first.create()
    assert first.stored() == 5
    assert world.sql(clear).rows[0][0] == "5 stored answers deleted"
    assert shell(world.server, "cache", "--clear", "--model", second.name) == "5 stored answers deleted\n"
    assert (first.stored(), second.stored()) == (0, 0)


@pytest.mark.parametrize("way", ["stop", "query_cancel"])
def test_a_partitioned_query_ends_as_a_whole(world: World, pg: Postgres, long: Callable[..., Long], way: str) -> None:
    """Its partitions are queries of their own; those that have not started are not sent either."""
    pg.execute(
        "CREATE TABLE IF NOT EXISTS thousands AS SELECT n AS id, 'text ' || n AS review FROM generate_series(0, 2999) n"
    )
    query = long(34 if way == "stop" else 35, "pg.thousands")

    def stop() -> None:
        if way == "stop":
            world.sql(f"SELECT a FROM {query.name} WHERE text = '' USING stop = true")
        else:
            # Not all columns: MindsDB fails to show those of queries whose arguments differ in their types.
            latest = max(int(one) for (one,) in world.sql("SELECT id FROM information_schema.queries").rows)
            world.sql(f"SELECT query_cancel({latest})")

    using = " USING batch_size = 500, track_column = 'id', on_error = 'null', threads = 2"
    error = query.stopped_by(stop, using, workers=2)
    if way == "stop":
        assert "the query was stopped on request" in error.splitlines()[0]
    assert query.stored() == world.sandbox.sent()
