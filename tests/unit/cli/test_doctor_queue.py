"""The doctor's checks of a task queue, on a real Redis."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from huggingface_api_handler.cli import doctor_queue
from huggingface_api_handler.cli.finding import Finding
from huggingface_api_handler.host import queue_notes
from huggingface_api_handler.sandbox.mindsdb_server import HOST
from tests.services import RedisServer

OWN = {
    "package": "1",
    "mindsdb": "26",
    "python": "3.12",
    "secret_key": "aa",
    "database": "bb",
    "kind_of_database": "postgresql",
    "cache": "[]",
}


@pytest.fixture(autouse=True)
def _own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_notes, "setup", lambda: dict(OWN))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with (
        RedisServer(tmp_path_factory.mktemp("redis")) as server,
        contextlib.closing(queue_notes.connect({"host": HOST, "port": server.port, "db": 1})) as connected,
    ):
        yield connected


def note_of(**differs: Any) -> dict[str, str]:
    return {"other/consumer": json.dumps({**OWN, "at": time.time(), **differs})}


def compared(notes: dict[str, str]) -> list[Finding]:
    return list(doctor_queue._compare(notes))


def test_alike_is_well() -> None:
    (finding,) = compared(note_of())
    assert finding.level == "ok"


@pytest.mark.parametrize("name", doctor_queue.AGREE)
def test_whoever_differs_is_named_with_what_to_do(name: str) -> None:
    (finding,) = compared(note_of(**{name: "another"}))
    assert finding.level == "problem"
    assert "other/consumer" in finding.found
    assert finding.advice


def test_a_note_of_long_ago_does_not_count() -> None:
    (finding,) = compared(note_of(package="old", at=time.time() - queue_notes.NOTES_TTL - 1))
    assert finding.level == "ok"


def test_a_file_is_no_database_for_two_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_notes, "setup", lambda: {**OWN, "kind_of_database": "sqlite"})
    (finding,) = compared(note_of())
    assert "MINDSDB_DB_CON" in finding.advice
    # All on this machine: a file will do.
    (finding,) = compared({f"{socket.gethostname()}/consumer": next(iter(note_of().values()))})
    assert finding.level == "ok"


def test_what_is_no_note_is_passed_by() -> None:
    (finding,) = compared({"a": "no JSON", "b": "[]"})
    assert finding.level == "ok"


def test_fingerprints_tell_secrets_apart_and_nothing_of_them() -> None:
    assert queue_notes.fingerprint("one") != queue_notes.fingerprint("two")
    assert queue_notes.fingerprint("one") == queue_notes.fingerprint("one")
    assert len(queue_notes.fingerprint("one")) == 12


def test_a_note_holds_no_secret(client: Any) -> None:
    queue_notes.note(client, "doctor")
    ((name, held),) = client.hgetall(queue_notes.NOTES).items()
    assert name.decode() == f"{socket.gethostname()}/doctor"
    assert set(json.loads(held)) == {*OWN, "role", "at", "pid"}
    assert 0 < client.ttl(queue_notes.NOTES) <= queue_notes.NOTES_TTL


def test_a_redis_that_forgets_is_warned_of(client: Any) -> None:
    assert [one.subject for one in doctor_queue._check_persistence(client)] == ["Redis persistence"]
    assert Path(client.config_get("dir")["dir"]) != Path.cwd()
    client.config_set("appendonly", "yes")
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert [one.subject for one in doctor_queue._check_persistence(client)] == ["Redis memory"]
    client.config_set("maxmemory-policy", "volatile-lru")
    assert list(doctor_queue._check_persistence(client)) == []
    client.config_set("appendonly", "no")


def test_no_consumer_is_warned_of(client: Any) -> None:
    (finding,) = doctor_queue._check_consumers(client)
    assert finding.level == "warning"
    assert "huggingface_api_handler consumer" in finding.advice


def test_a_consumer_that_refused_to_start_is_a_problem_until_it_starts(client: Any) -> None:
    queue_notes.note_refusal(client, "MindsDB finds another handler of this name")
    assert queue_notes.refusals(client) == {socket.gethostname(): "MindsDB finds another handler of this name"}
    problem = next(one for one in doctor_queue._check_consumers(client) if one.level == "problem")
    assert socket.gethostname() in problem.found
    assert "another handler of this name" in problem.found
    queue_notes.note(client, "doctor")
    assert queue_notes.refusals(client)
    queue_notes.note(client, "consumer")
    assert queue_notes.refusals(client) == {}
    client.hdel(queue_notes.NOTES, f"{socket.gethostname()}/consumer")


def test_the_cache_is_looked_at(client: Any) -> None:
    at = client.connection_pool.connection_kwargs
    good = SimpleNamespace(type="redis", connection={name: at[name] for name in ("host", "port", "db")})
    (finding,) = doctor_queue._check_cache(good)
    assert finding.level == "ok"
    client.config_set("maxmemory-policy", "allkeys-lru")
    warning, finding = doctor_queue._check_cache(good)
    client.config_set("maxmemory-policy", "noeviction")
    assert (warning.level, warning.subject, finding.level) == ("warning", "shared spending", "ok")
    assert "max_cost_per_day" in warning.found
    (finding,) = doctor_queue._check_cache(SimpleNamespace(type="redis", connection={"host": "127.0.0.1", "port": 1}))
    assert finding.level == "problem"
    (finding,) = doctor_queue._check_cache(SimpleNamespace(type="local", connection={}))
    assert finding.level == "warning"
