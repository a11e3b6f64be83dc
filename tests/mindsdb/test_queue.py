"""MindsDB's own task queue on Redis: predictions run in consumers, answers are shared through Redis."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from huggingface_api_handler.local import MindsDBServer, SQLError, service_environment
from huggingface_api_handler.sandbox import Sandbox

from .conftest import cannot_run
from .expected import REVIEWS, TWIN_REVIEWS, mood

HOST, PORT = os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379"))


@pytest.fixture(scope="module")
def queue() -> Iterator[int]:
    """A database of this Redis that nobody else uses, emptied at the end."""
    number = 8 + uuid.uuid4().int % 8
    client = redis.Redis(HOST, PORT, db=number)
    with contextlib.closing(client):
        try:
            client.flushdb()
        except redis.exceptions.RedisError as error:
            cannot_run(f"NOT TESTED: Redis does not answer at {HOST}:{PORT}: start it, or set REDIS_HOST ({error})")
        yield number
        client.flushdb()


@pytest.fixture(scope="module")
def server(installed: None, sandbox: Sandbox, queue: int, duck: Path) -> Iterator[MindsDBServer]:
    environ = {
        **service_environment(sandbox.url, sandbox.hub_url),
        "MINDSDB_ML_QUEUE_TYPE": "redis",
        "MINDSDB_ML_QUEUE_HOST": HOST,
        "MINDSDB_ML_QUEUE_PORT": str(PORT),
        "MINDSDB_ML_QUEUE_DB": str(queue),
    }
    config = {"cache": {"type": "redis", "connection": {"host": HOST, "port": PORT, "db": queue}}}
    with MindsDBServer(environ=environ, config=config) as running:
        running.start_consumer()
        running.sql("CREATE ML_ENGINE hf FROM huggingface_api USING api_key = 'hf_" + "q" * 34 + "'")
        parameters = json.dumps({"database": str(duck), "read_only": True})
        running.sql(f"CREATE DATABASE duck WITH ENGINE = 'duckdb', PARAMETERS = {parameters}")
        running.sql("CREATE MODEL s PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'")
        running.wait_for_model("s")
        yield running


@pytest.mark.parametrize(("table", "rows"), [("reviews", REVIEWS), ("twins", TWIN_REVIEWS)])
def test_a_join_through_a_consumer(
    server: MindsDBServer, sandbox: Sandbox, table: str, rows: list[tuple[int, str, str | None]]
) -> None:
    statement = f"SELECT r.id, m.mood FROM duck.{table} AS r JOIN s AS m ON m.text = r.review"
    truth = {number: mood(review) for number, _, review in rows}
    assert dict(server.sql(statement).rows) == truth
    sandbox.reset()
    assert dict(server.sql(statement).rows) == truth
    assert not sandbox.inference_requests()  # the answers are in Redis


def test_errors_come_back_as_clean_as_without_a_queue(server: MindsDBServer) -> None:
    with pytest.raises(SQLError) as refused:
        server.sql("CREATE MODEL t PREDICT mood USING engine = 'hf', task = 'text-clasification', column = 'text'")
    assert str(refused.value).splitlines()[0].endswith("did you mean 'text-classification'?")
    assert "Traceback" not in str(refused.value)


def test_no_key_stands_in_redis(server: MindsDBServer, queue: int) -> None:
    with contextlib.closing(redis.Redis(HOST, PORT, db=queue)) as client:
        held = [client.dump(key) or b"" for key in client.scan_iter()]
        assert held
        assert not any(("hf_" + "q" * 34).encode() in value for value in held)


def test_counters_are_shared_through_redis(server: MindsDBServer) -> None:
    usage = dict(server.sql("DESCRIBE s.usage").rows)
    assert usage["rows"] >= len(REVIEWS)
    assert usage["cached"] > 0
