"""One MindsDB server, one sandbox and real databases for all tests in this folder."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pymysql
import pytest

from huggingface_api_handler.cli.link import handlers_folder, install, is_installed
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, SQLError, Table, service_environment
from tests.services import cannot_run

from .expected import MANY_REVIEWS, REVIEWS, TWIN_REVIEWS

POSTGRES: dict[str, Any] = {
    "host": os.environ.get("PGHOST", "127.0.0.1"),
    "port": int(os.environ.get("PGPORT", "5432")),
    "user": os.environ.get("PGUSER", "postgres"),
    "password": os.environ.get("PGPASSWORD", ""),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("mindsdb")


@pytest.fixture(scope="session")
def installed() -> None:
    """The package stands where MindsDB looks for it."""
    if not is_installed(handlers_folder()):
        install()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves faults behind for the next."""
    yield
    if "sandbox" in request.fixturenames:
        request.getfixturevalue("sandbox").reset()


@dataclass(frozen=True)
class World:
    """A server with an engine ``hf``, a model ``sentiment`` and a DuckDB database ``duck``."""

    server: MindsDBServer
    sandbox: Sandbox

    def sql(self, statement: str, **context: Any) -> Table:
        return self.server.sql(statement, context={"db": "mindsdb", **context})

    def mysql(self, statement: str) -> Table:
        """Run one statement over the MySQL protocol, in a connection of its own."""
        with self.mysql_session() as run:
            return run(statement)

    @contextlib.contextmanager
    def mysql_session(self) -> Iterator[Callable[[str], Table]]:
        """Connect over the MySQL protocol; gives what runs statements on that connection."""
        connection = pymysql.connect(
            host="127.0.0.1", port=self.server.mysql_port, user="mindsdb", password="", database="mindsdb"
        )

        def run(statement: str) -> Table:
            with connection.cursor() as cursor:
                try:
                    cursor.execute(statement)
                except pymysql.err.MySQLError as error:
                    raise SQLError(str(error.args[-1])) from error
                columns = tuple(column[0] for column in cursor.description or ())
                return Table(columns, tuple(cursor.fetchall()))

        with contextlib.closing(connection):
            yield run

    def model(self, statement: str) -> str:
        """Run a CREATE MODEL, wait until it is ready, return its name."""
        name = statement.split()[2].split(".")[-1]
        self.sql(statement)
        self.server.wait_for_model(name)
        return name


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL database of our own, which MindsDB knows as ``pg``."""

    name: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**POSTGRES, dbname=self.name) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str, rows: list[tuple[Any, ...]] | None = None) -> None:
        with psycopg.connect(**POSTGRES, dbname=self.name) as connection:
            if rows is None:
                connection.execute(statement)
            else:
                connection.cursor().executemany(statement, rows)


@contextlib.contextmanager
def postgres_with_reviews(server: MindsDBServer) -> Iterator[Postgres]:
    """The reviews in PostgreSQL, which ``server`` knows as ``pg``; dropped at the end."""
    database = Postgres(f"hf_test_{uuid.uuid4().hex[:10]}")
    try:
        admin = psycopg.connect(**POSTGRES, dbname="postgres", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        cannot_run(
            f"NOT TESTED: PostgreSQL does not answer at {POSTGRES['host']}:{POSTGRES['port']}: start it, "
            f"or set PGHOST, PGPORT, PGUSER, PGPASSWORD ({error})"
        )
    with contextlib.closing(admin):
        admin.execute(f"CREATE DATABASE {database.name}")
        try:
            database.execute("CREATE TABLE reviews (id int, product text, review text)")
            database.execute("INSERT INTO reviews VALUES (%s, %s, %s)", REVIEWS)
            parameters = json.dumps({**POSTGRES, "database": database.name})
            server.sql(f"CREATE DATABASE pg WITH ENGINE = 'postgres', PARAMETERS = {parameters}")
            yield database
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {database.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def pg(world: World) -> Iterator[Postgres]:
    with postgres_with_reviews(world.server) as database:
        yield database


@pytest.fixture(scope="session")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duck") / "reviews.duckdb"
    with duckdb.connect(str(path)) as connection:
        for table, rows in (("reviews", REVIEWS), ("twins", TWIN_REVIEWS), ("many", MANY_REVIEWS)):
            connection.execute(f"CREATE TABLE {table} (id INTEGER, product VARCHAR, review VARCHAR)")
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        connection.execute("CREATE TABLE thousands AS SELECT range AS id, 'text ' || range AS review FROM range(3000)")
    return path


@pytest.fixture(scope="session")
def world(installed: None, sandbox: Sandbox, duck: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    metrics = str(tmp_path_factory.mktemp("metrics"))
    environ = {**service_environment(sandbox.url, sandbox.hub_url), "PROMETHEUS_MULTIPROC_DIR": metrics}
    with MindsDBServer(tmp_path_factory.mktemp("mindsdb"), environ=environ) as server:
        world = World(server, sandbox)
        world.sql("CREATE ML_ENGINE hf FROM huggingface_api USING api_key = 'hf_" + "t" * 34 + "'")
        parameters = json.dumps({"database": str(duck), "read_only": True})
        world.sql(f"CREATE DATABASE duck WITH ENGINE = 'duckdb', PARAMETERS = {parameters}")
        world.model(
            "CREATE MODEL sentiment PREDICT mood "
            "USING engine = 'hf', task = 'text-classification', input_column = 'text'"
        )
        yield world


@pytest.fixture(params=["http", "mysql"])
def run(request: pytest.FixtureRequest, world: World) -> Callable[[str], Table]:
    """Runs a statement over each of MindsDB's two protocols."""
    return world.sql if request.param == "http" else world.mysql
