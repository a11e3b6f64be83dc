"""A cache that fails: locked, full, unreachable, deleted, read-only, damaged. Queries go on, and no answer is wrong."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache, RedisCache, SqliteCache
from huggingface_api_handler.cache.runs import RunState
from huggingface_api_handler.query.execution import unpack
from tests.services import RedisServer
from tests.unit.end_to_end import LABELS, engine, model, predict
from tests.unit.loopback import Loopback, answer
from tests.unit.rights import open_folder, without_rights

from .conftest import TTL, Backend, on_full_disk, unreachable

ROWS = 20


def _service() -> Loopback:
    return Loopback(answer(LABELS))


def _ask(server: Loopback, cache: Cache, rows: int = ROWS, **execution: Any) -> tuple[list[Any], int]:
    """The labels of some rows, and the requests they cost."""
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", max_batch_size=1)
    before = len(server.heard)
    found = predict(at, of, {"t": [f"text {n}" for n in range(rows)]}, store=cache, timeout=5, **execution)
    return list(found["y"]), len(server.heard) - before


@contextlib.contextmanager
def _write_lock(path: Path) -> Iterator[None]:
    """Hold the write lock of the file, as another process may."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class TestLocked:
    def test_a_query_waits_once_and_keeps_its_deadline(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite", busy_timeout=0.5)
        cache.put_many({"a": b"1"}, TTL)
        with _service() as server, _write_lock(cache.path):
            began = time.monotonic()
            labels, requests = _ask(server, cache, deadline=10)
            assert time.monotonic() - began < 10.0
            assert (labels, requests) == (["cat"] * ROWS, ROWS)
        cache.close()

    def test_the_default_wait_leaves_a_short_deadline_its_time(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite")
        cache.put_many({"a": b"1"}, TTL)
        with _service() as server, _write_lock(cache.path):
            began = time.monotonic()
            labels, _ = _ask(server, cache, rows=1, deadline=10)
            assert labels == ["cat"]
            assert time.monotonic() - began < 10.0
        cache.close()

    def test_workers_do_not_wait_one_after_the_other(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite", busy_timeout=0.5)
        cache.put_many({"a": b"1"}, TTL)
        with _write_lock(cache.path):
            began = time.monotonic()
            threads = [
                threading.Thread(target=cache.put_many, args=({str(n): b"1"},), kwargs={"ttl": 60}) for n in range(16)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.monotonic() - began < 10.0
            assert len(cache.get_many(map(str, range(16)))) == 16
        cache.close()

    def test_what_was_answered_meanwhile_is_not_paid_again(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite", busy_timeout=0.05)
        cache.put_many({"a": b"1"}, TTL)
        with _service() as server:
            with _write_lock(cache.path):
                assert _ask(server, cache)[1] == ROWS
                assert _ask(server, cache)[1] == 0
            cache.run_end("r", RunState(1, 0, "done"))
            cache.close()
            other = SqliteCache(cache.path)
            assert _ask(server, other)[1] == 0
            other.close()


class TestUnreachable:
    def test_a_query_without_redis_is_not_paid_twice(self, redis_server: RedisServer, tmp_path: Path) -> None:
        redis_server.stop()
        cache = RedisCache(redis_server.url)
        with _service() as server:
            assert _ask(server, cache)[1] == ROWS
            assert _ask(server, cache)[1] == 0
            redis_server.start()
            cache.run_end("r", RunState(1, 0, "done"))
            cache.close()
            other = RedisCache(redis_server.url)
            assert _ask(server, other)[1] == 0
            other.close()

    def test_a_query_on_a_full_disk_is_not_paid_twice(self, tmp_path: Path) -> None:
        cache = on_full_disk(tmp_path)
        cache.put_many({"large": b"x" * 100_000}, TTL)
        with _service() as server:
            assert _ask(server, cache)[1] == ROWS
            assert _ask(server, cache)[1] == 0
        cache.close()

    def test_answers_that_wait_are_bounded_in_bytes(self, keeping: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_api_handler.cache.answers.PENDING_BYTES", 100_000)
        cache = unreachable(keeping)
        for n in range(100):
            cache.put_many({str(n): b"x" * 10_000}, TTL)
        waiting = cache.get_many(map(str, range(100)))
        assert 5 <= len(waiting) <= 10
        assert set(waiting) == {str(n) for n in range(100 - len(waiting), 100)}

    def test_answers_that_wait_expire(self, keeping: Backend) -> None:
        cache = unreachable(keeping)
        cache.put_many({"a": b"1"}, ttl=60)
        assert cache.get_many(["a"]) == {"a": b"1"}
        keeping.clock.now += 61
        assert cache.get_many(["a"]) == {}


def _replica(client: Any) -> Any:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def _without_memory(client: Any) -> Any:
    client.config_set("maxmemory", 1)
    return lambda: client.config_set("maxmemory", 0)


def _without_replicas(client: Any) -> Any:
    client.config_set("min-replicas-to-write", 1)
    return lambda: client.config_set("min-replicas-to-write", 0)


class TestRefusing:
    """A Redis that responds, and refuses to write: answers are still read, and those that wait are not lost."""

    @pytest.mark.parametrize("refuse", [_replica, _without_memory, _without_replicas])
    def test_a_query_is_not_paid_twice(self, redis_server: RedisServer, refuse: Any) -> None:
        import redis

        cache = RedisCache(redis_server.url)
        with _service() as server, redis.Redis.from_url(redis_server.url) as client:
            assert _ask(server, cache)[1] == ROWS
            allow = refuse(client)
            assert _ask(server, cache, rows=2 * ROWS)[1] == ROWS
            assert _ask(server, cache, rows=2 * ROWS)[1] == 0
            other = RedisCache(redis_server.url)
            other.put_many({"a": b"1"}, TTL)
            assert _ask(server, other)[1] == 0
            allow()
            cache.run_end("r", RunState(1, 0, "done"))
            cache.close()
            assert _ask(server, RedisCache(redis_server.url), rows=2 * ROWS)[1] == 0

    def test_what_is_written_does_not_wait(self, redis_server: RedisServer) -> None:
        import redis

        cache = RedisCache(redis_server.url)
        with redis.Redis.from_url(redis_server.url) as client:
            client.set("huggingface_api:usage:s", "no hash")
            cache._counts.add("t", {"requests": 3})
            cache.put_many({"a": b"1"}, TTL, scope="s", counts={"requests": 2})
            client.delete("huggingface_api:usage:s")
            cache.run_end("r", RunState(1, 0, "done"))
        other = RedisCache(redis_server.url)
        assert (other.get_many(["a"]), other.usage("s")) == ({"a": b"1"}, {"requests": 2})
        assert other.usage("t") == {"requests": 3}

    def test_a_refusal_connects_anew(self, redis_server: RedisServer) -> None:
        """After a failover, its name leads to another server than the connections that are open."""
        import redis

        cache = RedisCache(redis_server.url)
        with redis.Redis.from_url(redis_server.url) as client:
            cache.put_many({"a": b"1"}, TTL)
            allow = _replica(client)
            cache.put_many({"b": b"1"}, TTL)
            before = {one["id"] for one in client.client_list()}
            allow()
            cache.run_end("r", RunState(1, 0, "done"))
            assert {one["id"] for one in client.client_list()} - before


class TestDeleted:
    def test_a_deleted_file_is_made_again(self, tmp_path: Path) -> None:
        path = tmp_path / "cache" / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({"a": b"1"}, TTL)
        for file in path.parent.iterdir():
            file.unlink()
        cache.put_many({"b": b"2"}, TTL)
        with contextlib.closing(SqliteCache(path)) as other:
            assert other.get_many(["a", "b"]) == {"b": b"2"}
        cache.close()

    @pytest.mark.parametrize("ends", [("-wal",), ("-shm",), ("-wal", "-shm")])
    def test_a_deleted_log_is_made_again_and_shared(self, tmp_path: Path, ends: tuple[str, ...]) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite")
        cache.put_many({"before": b"1"}, TTL)
        for end in ends:
            Path(f"{cache.path}{end}").unlink()
        cache.put_many({"own": b"1"}, TTL)
        script = (
            "from huggingface_api_handler.cache import SqliteCache\n"
            f"cache = SqliteCache({str(cache.path)!r})\n"
            "print(sorted(cache.get_many(['before', 'own'])))\n"
            "cache.put_many({'other': b'1'}, 60.0)\n"
        )
        output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
        assert output.stdout.strip() == "['before', 'own']"
        everything = {"before": b"1", "own": b"1", "other": b"1"}
        assert cache.get_many(everything) == everything
        cache.close()
        assert SqliteCache(cache.path).get_many(everything) == everything

    def test_a_deleted_folder_is_made_again(self, tmp_path: Path) -> None:
        path = tmp_path / "cache" / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({"a": b"1"}, TTL)
        shutil.rmtree(path.parent)
        cache.put_many({"b": b"2"}, TTL)
        assert cache.get_many(["a", "b"]) == {"b": b"2"}
        assert path.exists()
        cache.close()

    def test_a_file_that_another_worker_has_made_again_is_shared(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        first, second = SqliteCache(path), SqliteCache(path)
        first.put_many({"a": b"1"}, TTL)
        second.put_many({"b": b"1"}, TTL)
        for file in tmp_path.iterdir():
            file.unlink()
        second.put_many({"c": b"1"}, TTL)
        first.put_many({"d": b"1"}, TTL)  # closing the deleted file must not take the new one's log with it
        second.put_many({"e": b"1"}, TTL)
        for cache in (first, second):
            assert set(cache.get_many("abcde")) == {"c", "d", "e"}
            cache.close()
        with contextlib.closing(SqliteCache(path)) as third:
            assert set(third.get_many("abcde")) == {"c", "d", "e"}


class TestReadOnly:
    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        with open_folder() as folder:
            yield folder

    @pytest.mark.parametrize("folder_mode", [0o555, 0o777], ids=["folder too", "file alone"])
    def test_a_read_only_file_is_still_read(self, folder: Path, folder_mode: int) -> None:
        path = folder / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({"a": b"1"}, TTL)
        cache.count("s", {"rows": 3})
        cache.close()
        path.chmod(0o444)
        folder.chmod(folder_mode)

        def work() -> bool:
            cache = SqliteCache(path)
            cache.put_many({"b": b"2"}, TTL)
            read = cache.get_many(["a", "b"]) == {"a": b"1", "b": b"2"} and cache.usage("s") == {"rows": 3.0}
            again = cache.get_many(["a"]) == {"a": b"1"} and cache.runs("s") == []
            return read and again

        assert without_rights(work)

    def test_a_file_of_the_version_before_is_read_too(self, folder: Path) -> None:
        path = folder / "answers.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.executescript(OLD_FILE)
        path.chmod(0o444)
        folder.chmod(0o555)

        def work() -> bool:
            cache = SqliteCache(path)
            (run,) = cache.runs("s")
            right = (run.run, run.rate, run.cost, run.audited, run.agreed) == ("r1", 0.5, None, 0, 0)
            return cache.get_many(["paid"]) == {"paid": b"for"} and right

        assert without_rights(work)


#: A file as the version before makes it.
OLD_FILE = """
PRAGMA journal_mode = WAL;
CREATE TABLE answers (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL);
CREATE TABLE counters (scope TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (scope, name)) WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT PRIMARY KEY, scope TEXT, model TEXT, task TEXT, rows INTEGER, done INTEGER,
    errors INTEGER, started REAL, updated REAL, state TEXT, pid INTEGER, host TEXT,
    rate REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX runs_by_scope ON runs (scope, started);
INSERT INTO answers VALUES ('paid', X'666F72', 1e12);
INSERT INTO runs VALUES ('r1', 's', 'm', 't', 9, 9, 0, 1, unixepoch(), 'done', 0, '', 0.5);
PRAGMA user_version = 2;
"""


class TestDamaged:
    def test_a_changed_byte_is_a_miss(self, keeping: Backend) -> None:
        cache = keeping.open()
        value = b'["' + bytes(range(35, 91)) + b'", null, {}]'
        cache.put_many({"a": value}, TTL)
        stored = _stored(keeping, "a")
        for at in range(len(stored)):
            changed = bytearray(stored)
            changed[at] ^= 0x01
            _store(keeping, "a", bytes(changed))
            # What has lost its mark is taken for a value of the version before, and is no answer either.
            found = cache.get_many(["a"]).get("a")
            assert found is None or (at < 4 and unpack(found) is None), at
        _store(keeping, "a", stored)
        assert cache.get_many(["a"]) == {"a": value}
        cache.close()

    def test_a_value_under_another_key_is_a_miss(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.put_many({"a": b"1", "b": b"2"}, TTL)
        _store(keeping, "a", _stored(keeping, "b"))
        assert cache.get_many(["a", "b"]) == {"b": b"2"}
        cache.close()

    def test_what_others_have_written_is_a_miss(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.put_many({"a": b"1", "b": b"2"}, TTL)
        cache.put_fact("f", [1], 60)
        if keeping.kind == "redis":
            keeping.connection.delete(f"{keeping.prefix}:answer:a")
            keeping.connection.rpush(f"{keeping.prefix}:answer:a", "x")
            keeping.connection.set(f"{keeping.prefix}:fact:f", "{")
            keeping.connection.hset(f"{keeping.prefix}:usage:s", "requests", "many")
        else:
            with sqlite3.connect(keeping.where) as other:
                other.execute("UPDATE answers SET value = 'x' WHERE key = 'a'")
                other.execute("UPDATE facts SET value = '{'")
            other.close()
        assert cache.get_many(["a", "b"]) == {"b": b"2"}
        assert cache.get_fact("f") is None
        assert cache.usage("s") == {}
        cache.close()

    def test_a_value_of_the_version_before_is_read(self, keeping: Backend) -> None:
        cache = keeping.open()
        cache.put_many({"a": b"1"}, TTL)
        _store(keeping, "a", b'["cat", null, {}]')
        assert cache.get_many(["a"]) == {"a": b'["cat", null, {}]'}
        cache.close()

    def test_no_row_is_wrong(self, keeping: Backend) -> None:
        """A query on a damaged cache sends what is damaged again."""
        cache = keeping.open()
        with _service() as server:
            assert _ask(server, cache)[1] == ROWS
            damaged = 0
            for key in _keys(keeping):
                stored = _stored(keeping, key)
                assert b"cat" in stored
                _store(keeping, key, stored.replace(b"cat", b"dog"))
                damaged += 1
            assert damaged == ROWS
            assert _ask(server, cache) == (["cat"] * ROWS, ROWS)
        cache.close()


def _keys(backend: Backend) -> list[str]:
    if backend.kind == "redis":
        start = f"{backend.prefix}:answer:"
        return [key.decode()[len(start) :] for key in backend.connection.scan_iter(f"{start}*")]
    with contextlib.closing(sqlite3.connect(backend.where)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM answers")]


def _stored(backend: Backend, key: str) -> bytes:
    """What the cache has written under ``key``."""
    if backend.kind == "redis":
        return bytes(backend.connection.get(f"{backend.prefix}:answer:{key}"))
    with contextlib.closing(sqlite3.connect(backend.where)) as connection:
        return bytes(connection.execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()[0])


def _store(backend: Backend, key: str, value: bytes) -> None:
    """Write ``value`` past the cache."""
    if backend.kind == "redis":
        backend.connection.set(f"{backend.prefix}:answer:{key}", value)
        return
    with contextlib.closing(sqlite3.connect(backend.where)) as connection, connection:
        connection.execute("UPDATE answers SET value = ? WHERE key = ?", (value, key))
