"""The stores: what is kept is found again, by other processes too, and no mishap reaches the caller."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import resource
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache import Cache, NoCache, RedisCache, SqliteCache, base
from huggingface_api_handler.scheduling.worker_pool import BatchResult, Item, Limits, RowResult, WorkerPool

MULTI = multiprocessing.get_context("spawn")


class Clock:
    """Seconds since 1970, as the test likes."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of the tests' own, where the program is there."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on this machine")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = str(tmp_path_factory.mktemp("redis"))  # or it writes into the working folder
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    made: Cache
    if request.param == "sqlite":
        made = SqliteCache(tmp_path / "cache" / "answers.sqlite")
    else:
        made = RedisCache(request.getfixturevalue("redis_url"), prefix=tmp_path.name)
    yield made
    made.close()


class TestEveryStore:
    def test_what_is_put_is_found(self, store: Cache) -> None:
        store.put_many({"a": b"1", "b": b"", "c": b"\x00\xff"}, ttl=60)
        store.put_many({"a": b"2"})
        assert store.get_many(["a", "b", "c", "d"]) == {"a": b"2", "b": b"", "c": b"\x00\xff"}
        assert store.get_many([]) == {}

    def test_many_at_once(self, store: Cache) -> None:
        values = {f"{n:064x}": str(n).encode() for n in range(5000)}
        store.put_many(values)
        assert store.get_many(iter([*values, *(f"x{n}" for n in range(5000))])) == values

    def test_what_has_expired_is_gone(self, store: Cache) -> None:
        store.put_many({"a": b"1"}, ttl=0.01)
        time.sleep(0.05)
        assert store.get_many(["a"]) == {}

    def test_counters_add_up_by_scope(self, store: Cache) -> None:
        store.count("one", {"rows": 2, "seconds": 0.25, "none": 0})
        store.count("one", {"rows": 3, "seconds": 0.5})
        store.count("two", {"rows": 1})
        assert store.usage("one") == {"rows": 5.0, "seconds": 0.75}
        assert store.usage("three") == {}

    def test_runs_tell_how_far_they_are(self, store: Cache) -> None:
        store.run_start("r1", "scope", model="m", task="t", rows=10)
        store.run_end("r1", done=10, errors=1, state="done")
        store.run_start("r2", "scope", model="m", task="t", rows=20)
        store.run_start("r3", "elsewhere", model="m", task="t", rows=20)
        second, first = store.runs("scope")
        assert (first.run, first.state, first.done, first.errors) == ("r1", "done", 10, 1)
        assert (second.run, second.state, second.rows) == ("r2", "running", 20)
        assert second.started <= second.updated <= time.time()

    def test_a_run_is_not_noted_at_every_answer(self, store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        store.run_start("r", "scope", model="m", task="t", rows=100)
        for done in range(100):
            store.run_update("r", done=done, errors=0)
        assert store.runs("scope")[0].done == 0
        monkeypatch.setattr(base, "NOTE_EVERY", 0.0)
        store.run_update("r", done=100, errors=0)
        assert store.runs("scope")[0].done == 100

    def test_a_run_whose_process_has_gone_is_lost(self, store: Cache) -> None:
        gone = subprocess.Popen(["true"])
        gone.wait()
        store.run_start("r", "scope", model="m", task="t", rows=1, pid=gone.pid)
        assert store.runs("scope")[0].state == "lost"

    def test_old_runs_are_forgotten(self, store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(base.RUNS_KEPT + 5):
            store.run_start(f"r{number:03}", "scope", model="m", task="t", rows=1)
        assert len(store.runs("scope")) == base.RUNS_KEPT

    def test_turns_are_handed_out_once_and_evenly(self, store: Cache) -> None:
        waits = [store.claim("p", 10.0, 2), store.claim("p", 10.0, 1), store.claim("p", 10.0, 1)]
        assert waits == [pytest.approx(-base.CREDIT), pytest.approx(20.0, abs=1.0), pytest.approx(30.0, abs=1.0)]
        assert store.claim("another", 10.0) == pytest.approx(-base.CREDIT)

    def test_an_idle_pace_saves_nothing_up(self, store: Cache) -> None:
        store.claim("p", 0.001)
        time.sleep(0.2)
        assert store.claim("p", 0.001) == pytest.approx(-base.CREDIT)

    def test_a_clock_that_was_set_back_stops_nobody(self, store: Cache) -> None:
        store.claim("p", 60.0, 2 * base.WAITING)  # nobody's turn is as far away as that
        assert store.claim("p", 1.0) == pytest.approx(-base.CREDIT)

    def test_lanes_may_all_write_at_once(self, store: Cache) -> None:
        def work(lane: int) -> None:
            for n in range(50):
                store.put_many({f"{lane}-{n}": f"{lane}-{n}".encode()}, ttl=60)
                store.count("s", {"rows": 1})

        lanes = [threading.Thread(target=work, args=(lane,)) for lane in range(8)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        wanted = [f"{lane}-{n}" for lane in range(8) for n in range(50)]
        assert store.get_many(wanted) == {key: key.encode() for key in wanted}
        assert store.usage("s") == {"rows": 400.0}


def _write(path: str, worker: int, count: int) -> None:
    store = SqliteCache(path)
    for n in range(count):
        store.put_many({f"{worker}-{n}": f"{worker}-{n}".encode()}, ttl=60)
        store.count("s", {"rows": 1})
    store.close()


def _write_and_die(path: str) -> None:
    store = SqliteCache(path)
    for n in range(100):
        store.put_many({str(n): b"kept"}, ttl=60)
    os.kill(os.getpid(), 9)


def _write_without_room(path: str) -> None:
    store = SqliteCache(path)
    store.put_many({"before": b"1"})
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    for n in range(20):
        store.put_many({str(n): os.urandom(100_000)})
        store.count("s", {"rows": 1})
    assert store.get_many(["before"]) == {"before": b"1"}  # what is there can still be read
    store.close()


class TestSqlite:
    def test_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "answers.sqlite"
        store = SqliteCache(path)
        store.put_many({"a": b"1"})
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        store.close()

    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        path = str(tmp_path / "answers.sqlite")
        workers = [MULTI.Process(target=_write, args=(path, worker, 200)) for worker in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        store = SqliteCache(path)
        wanted = [f"{worker}-{n}" for worker in range(3) for n in range(200)]
        assert store.get_many(wanted) == {key: key.encode() for key in wanted}
        assert store.usage("s") == {"rows": 600.0}
        store.close()

    def test_what_was_put_outlives_a_killed_process(self, tmp_path: Path) -> None:
        path = str(tmp_path / "answers.sqlite")
        worker = MULTI.Process(target=_write_and_die, args=(path,))
        worker.start()
        worker.join(60)
        assert worker.exitcode == -9
        store = SqliteCache(path)
        assert len(store.get_many(map(str, range(100)))) == 100
        store.close()

    @pytest.mark.parametrize(
        "damage",
        [
            lambda path: path.write_bytes(b"this is no database, whatever its name says" * 100),
            lambda path: path.write_bytes(path.read_bytes()[:100] + os.urandom(20000)),
            lambda path: path.write_bytes(path.read_bytes()[:6000]),
        ],
        ids=["no database", "garbled", "cut off"],
    )
    def test_a_damaged_file_is_set_aside(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object]
    ) -> None:
        path = tmp_path / "answers.sqlite"
        store = SqliteCache(path)
        store.put_many({str(n): b"x" * 500 for n in range(200)})
        store.close()
        damage(path)
        with caplog.at_level(logging.WARNING):
            store.get_many(["1"])
            store.put_many({"new": b"1"})
            assert store.get_many(["new"]) == {"new": b"1"}
        assert [file for file in tmp_path.iterdir() if ".aside-" in file.name]
        assert sum("set aside" in record.getMessage() for record in caplog.records) == 1
        store.close()

    def test_damage_met_while_in_use(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        store = SqliteCache(path)
        store.put_many({str(n): b"x" * 500 for n in range(2000)})
        connection = store._connection
        assert connection is not None
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA cache_size = 1")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        store.get_many(map(str, range(2000)))
        store.put_many({"new": b"1"})
        assert store.get_many(["new"]) == {"new": b"1"}
        store.close()

    def test_a_file_of_the_format_before_is_renewed(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        self._of_the_format_before(path)
        with contextlib.closing(SqliteCache(path)) as store:
            assert store.get_many(["paid"]) == {"paid": b"for"}
            store.run_start("r2", "s", model="m", task="t", rows=1)
            assert {(run.run, run.rate) for run in store.runs("s")} == {("r1", 0.0), ("r2", 0.0)}
        assert list(tmp_path.glob("*.aside*")) == []

    def test_it_is_renewed_by_one_of_those_that_open_it_at_the_same_time(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        self._of_the_format_before(path)
        first = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("BEGIN IMMEDIATE")
        found: list[dict[str, bytes]] = []
        with contextlib.closing(SqliteCache(path)) as store:
            second = threading.Thread(target=lambda: found.append(store.get_many(["paid"])))
            second.start()
            time.sleep(0.3)  # it has read the old format by now, and waits
            first.execute("ALTER TABLE runs ADD COLUMN rate REAL NOT NULL DEFAULT 0")
            first.execute("PRAGMA user_version = 2")
            first.execute("COMMIT")
            first.close()
            second.join(30)
        assert found == [{"paid": b"for"}]

    def _of_the_format_before(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.executescript(
                """
                CREATE TABLE answers (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL);
                CREATE TABLE counters (scope TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (scope, name))
                WITHOUT ROWID;
                CREATE TABLE runs (
                    run TEXT PRIMARY KEY, scope TEXT, model TEXT, task TEXT, rows INTEGER, done INTEGER,
                    errors INTEGER, started REAL, updated REAL, state TEXT, pid INTEGER, host TEXT
                ) WITHOUT ROWID;
                INSERT INTO answers VALUES ('paid', X'666F72', 1e12);
                INSERT INTO runs VALUES ('r1', 's', 'm', 't', 9, 9, 0, 1, unixepoch(), 'done', 0, '');
                PRAGMA user_version = 1;
                """
            )

    def test_a_file_of_another_version_is_set_aside(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        other = sqlite3.connect(path)
        other.execute("PRAGMA user_version = 77")
        other.execute("CREATE TABLE answers (other)")
        other.commit()
        other.close()
        store = SqliteCache(path)
        store.put_many({"a": b"1"})
        assert store.get_many(["a"]) == {"a": b"1"}
        store.close()

    def test_where_no_file_can_be_it_goes_on_without(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "file").write_text("")
        store = SqliteCache(tmp_path / "file" / "answers.sqlite")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                store.put_many({"a": b"1"})
                assert store.get_many(["a"]) == {}
                store.count("s", {"rows": 1})
                assert store.usage("s") == {}
                store.run_start("r", "s", model="m", task="t", rows=1)
                assert store.runs("s") == []
        assert 1 <= len(caplog.records) <= 2  # one for reading, one for writing
        store.close()

    def test_a_read_only_folder(self) -> None:
        """In a process of its own: root may write everywhere, so there it gives its rights up first."""
        folder = Path(tempfile.mkdtemp())
        try:
            folder.chmod(0o555)
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    if os.geteuid() == 0:
                        os.setresuid(65534, 65534, 65534)
                    assert not os.access(folder, os.W_OK)
                    store = SqliteCache(folder / "answers.sqlite")
                    store.put_many({"a": b"1"})
                    store.count("s", {"rows": 1})
                    code = 0 if store.get_many(["a"]) == {} == store.usage("s") else 2
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert list(folder.iterdir()) == []
        finally:
            folder.chmod(0o755)
            shutil.rmtree(folder)

    def test_no_room_for_the_file_to_grow(self, tmp_path: Path) -> None:
        """The system refuses to write on, as it does on a full disk: here by a limit on the size of files."""
        path = tmp_path / "answers.sqlite"
        worker = MULTI.Process(target=_write_without_room, args=(str(path),))
        worker.start()
        worker.join(60)
        assert worker.exitcode == 0
        store = SqliteCache(path)
        assert store.get_many(["before"]) == {"before": b"1"}
        store.put_many({"after": b"2"})  # there is room again
        assert store.get_many(["after"]) == {"after": b"2"}
        assert not [file for file in tmp_path.iterdir() if ".aside-" in file.name]
        store.close()

    def test_a_full_disk(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store = SqliteCache(tmp_path / "answers.sqlite")
        store.put_many({"before": b"1"})
        connection = store._connection
        assert connection is not None
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with caplog.at_level(logging.WARNING):
            for n in range(20):
                store.put_many({f"{n}": b"x" * 100_000})
        assert len(caplog.records) == 1
        assert store.get_many(["before"]) == {"before": b"1"}  # what is there can still be read
        store.close()

    def test_a_locked_file_costs_a_wait_not_the_query(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "answers.sqlite"
        store = SqliteCache(path, busy_timeout=0.05)
        store.put_many({"a": b"1"})
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            store.put_many({"b": b"1"})
        assert store.get_many(["a", "b"]) == {"a": b"1"}
        other.execute("ROLLBACK")
        other.close()
        store.put_many({"c": b"1"})
        assert set(store.get_many(["b", "c"])) == {"b", "c"}  # what had to wait was not lost
        assert not caplog.records

    def test_the_end_of_a_run_writes_what_had_to_wait(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        store = SqliteCache(path, busy_timeout=0.05)
        store.run_start("r", "s", model="m", task="t", rows=1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.put_many({"b": b"1"})
        other.execute("ROLLBACK")
        other.close()
        store.run_end("r", done=1, errors=0)
        assert store.get_many(["b"]) == {"b": b"1"}
        store.close()

    def test_it_stays_within_its_size(self, tmp_path: Path) -> None:
        clock = Clock()
        path = tmp_path / "answers.sqlite"
        store = SqliteCache(path, max_bytes=2_000_000, clock=clock)
        for n in range(600):
            store.put_many({f"{n}": os.urandom(10_000)}, ttl=86400)
            clock.now += 1
        store.close()
        assert path.stat().st_size < 3_000_000
        store = SqliteCache(path, clock=clock)
        found = store.get_many(map(str, range(600)))
        assert "599" in found
        assert "0" not in found
        store.close()

    def test_a_process_made_by_fork_has_a_connection_of_its_own(self, tmp_path: Path) -> None:
        store = SqliteCache(tmp_path / "answers.sqlite")
        store.put_many({"a": b"1"})
        child = os.fork()
        if child == 0:
            store.put_many({"b": b"2"})
            os._exit(0 if store.get_many(["a", "b"]) == {"a": b"1", "b": b"2"} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.get_many(["a", "b"]) == {"a": b"1", "b": b"2"}
        store.close()

    def test_it_holds_nothing_but_answers(self, tmp_path: Path) -> None:
        store = SqliteCache(tmp_path / "answers.sqlite")
        store.put_many({"00ff": b"answer"})
        store.claim("00ff", 1.0)
        store.close()
        columns = [
            row[1]
            for table in ("answers", "counters", "runs", "paces")
            for row in sqlite3.connect(store.path).execute(f"PRAGMA table_info({table})")
        ]
        runs = "run scope model task rows done errors started updated state pid host rate"
        assert sorted(columns) == sorted(f"key value expires scope name value pace turn {runs}".split())

    @settings(max_examples=30, deadline=None)
    @given(
        writes=st.lists(st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=6), st.binary(max_size=40)))
    )
    def test_it_is_a_mapping(self, writes: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
        store = SqliteCache(tmp_path_factory.mktemp("store") / "answers.sqlite")
        wanted: dict[str, bytes] = {}
        for write in writes:
            store.put_many(write, ttl=60)
            wanted.update(write)
        assert store.get_many(wanted) == wanted
        store.close()


def _take_turns(store: Cache, per_minute: float, until: float, results: Any) -> None:
    """Send as often as the shared pace allows; report when."""
    sent: list[float] = []

    def send(some: Any, timeout: float) -> BatchResult:
        sent.append(time.time())
        return BatchResult([RowResult()])

    limits = Limits(max_batch_size=1, requests_per_minute=per_minute, deadline=until - time.time())
    items = [Item(number, str(number), number, None, 1) for number in range(10_000)]
    WorkerPool(limits, claim=partial(store.claim, "p")).run(items, send, lambda outcomes: None)
    results.put(sent)


def _worker(kind: str, where: str, prefix: str, until: float, results: Any) -> None:
    store: Cache = SqliteCache(where) if kind == "sqlite" else RedisCache(where, prefix)
    _take_turns(store, 1200.0, until, results)
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_keep_to_one_pace(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    where = str(tmp_path / "answers.sqlite") if kind == "sqlite" else request.getfixturevalue("redis_url")
    results = MULTI.Queue()
    until = time.time() + 6.0
    workers = [MULTI.Process(target=_worker, args=(kind, where, tmp_path.name, until, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    sent = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    both = sorted(sent[0] + sent[1])
    # 20 a second for both; a machine that is busy makes them fewer, never more.
    assert 20 < len(both) <= 20.0 * (both[-1] - both[0]) * 1.05 + 3
    assert all(len(one) > 5 for one in sent)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_without_what_keeps_the_pace_each_has_its_own_and_says_so(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "file").write_text("no folder")
    store: Cache = (
        SqliteCache(tmp_path / "file" / "answers.sqlite")
        if kind == "sqlite"
        else RedisCache({"host": "127.0.0.1", "port": port})
    )
    results: queue.Queue[list[float]] = queue.Queue()
    with caplog.at_level(logging.WARNING):
        _take_turns(store, 1200.0, time.time() + 1.0, results)
    assert 5 < len(results.get()) <= 22
    (warning,) = caplog.messages
    assert "requests_per_minute holds for each worker by itself" in warning


class TestRedis:
    def test_where_it_is_down_it_goes_on_without(self, caplog: pytest.LogCaptureFixture) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        store = RedisCache({"host": "127.0.0.1", "port": port})
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                store.put_many({"a": b"1"})
                assert store.get_many(["a"]) == {}
                assert store.usage("s") == {}
                assert store.runs("s") == []
        assert len(caplog.records) == 1

    def test_it_is_asked_again_later(self, redis_url: str, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
        store = RedisCache(redis_url, prefix=tmp_path.name)
        store._trouble.met("down")
        store.put_many({"a": b"1"}, ttl=60)
        store._trouble._until = 0.0  # half a minute later
        assert store.get_many(["a"]) == {}
        store.put_many({"b": b"1"})
        assert store.get_many(["a", "b"]) == {"a": b"1", "b": b"1"}  # what had to wait was not lost
        store.close()

    def test_the_end_of_a_run_writes_what_had_to_wait(self, redis_url: str, tmp_path: Path) -> None:
        store = RedisCache(redis_url, prefix=tmp_path.name)
        store._trouble.met("down")
        store.put_many({"a": b"1"})
        store._trouble._until = 0.0
        store.run_end("r", done=1, errors=0)
        assert store.get_many(["a"]) == {"a": b"1"}
        store.close()

    def test_what_waits_has_an_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_api_handler.cache.redis.PENDING", 10)
        store = RedisCache({"host": "127.0.0.1", "port": 1})
        for number in range(100):
            store.put_many({str(number): b"1"})
        assert list(store._pending) == [str(number) for number in range(90, 100)]

    def test_settings_as_the_host_has_them(self, redis_url: str, tmp_path: Path) -> None:
        port = int(redis_url.rsplit(":", 1)[1].split("/")[0])
        store = RedisCache(
            {"host": "127.0.0.1", "port": port, "decode_responses": True, "script_dir": None}, prefix=tmp_path.name
        )
        store.put_many({"a": b"\xff"})
        assert store.get_many(["a"]) == {"a": b"\xff"}
        store.close()

    def test_settings_that_mean_nothing_are_no_end(self, caplog: pytest.LogCaptureFixture) -> None:
        store = RedisCache({"host": "127.0.0.1", "nonsense": "secret"})
        with caplog.at_level(logging.WARNING):
            assert store.get_many(["a"]) == {}
        assert "secret" not in caplog.text


def test_no_store_keeps_nothing() -> None:
    store: Cache = NoCache()
    store.put_many({"a": b"1"})
    store.count("s", {"rows": 1})
    store.run_start("r", "s", model="m", task="t", rows=1)
    store.run_update("r", done=1, errors=0)
    store.run_end("r", done=1, errors=0)
    assert (store.get_many(["a"]), store.usage("s"), store.runs("s")) == ({}, {}, [])
    store.close()


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """Copies and backups come back with the mode that everybody has."""
    path = tmp_path / "answers.sqlite"
    first = SqliteCache(path)
    first.put_many({"k": b"v"})
    first.close()
    path.chmod(0o666)
    again = SqliteCache(path)
    assert again.get_many(["k"]) == {"k": b"v"}
    assert {one.stat().st_mode & 0o777 for one in tmp_path.glob("answers.sqlite*")} == {0o600}
    again.close()
