"""The cache in a file: shared by processes, upgraded, set aside where it is damaged, kept within its size."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.cache.runs import RUNS_KEPT_FOR, RunState
from tests.unit.rights import open_folder, without_rights

from .conftest import MULTI, TTL, Clock, on_full_disk


def _write(path: str, worker: int, count: int) -> None:
    cache = SqliteCache(path)
    for n in range(count):
        cache.put_many({f"{worker}-{n}": f"{worker}-{n}".encode()}, ttl=60)
        cache.count("s", {"rows": 1})
    cache.close()


def _write_and_die(path: str) -> None:
    cache = SqliteCache(path)
    for n in range(100):
        cache.put_many({str(n): b"kept"}, ttl=60)
    os.kill(os.getpid(), 9)


def _write_without_room(path: str) -> None:
    cache = SqliteCache(path)
    cache.put_many({"before": b"1"}, TTL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    for n in range(20):
        cache.put_many({str(n): os.urandom(100_000)}, TTL)
        cache.count("s", {"rows": 1})
    assert cache.get_many(["before"]) == {"before": b"1"}  # what is there can still be read
    cache.close()


class TestSqlite:
    def test_only_its_owner_may_read_it(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({"a": b"1"}, TTL)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        cache.close()

    def test_several_processes_at_once(self, tmp_path: Path) -> None:
        path = str(tmp_path / "answers.sqlite")
        workers = [MULTI.Process(target=_write, args=(path, worker, 200)) for worker in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        cache = SqliteCache(path)
        wanted = [f"{worker}-{n}" for worker in range(3) for n in range(200)]
        assert cache.get_many(wanted) == {key: key.encode() for key in wanted}
        assert cache.usage("s") == {"rows": 600.0}
        cache.close()

    def test_what_was_put_outlives_a_killed_process(self, tmp_path: Path) -> None:
        path = str(tmp_path / "answers.sqlite")
        worker = MULTI.Process(target=_write_and_die, args=(path,))
        worker.start()
        worker.join(60)
        assert worker.exitcode == -9
        cache = SqliteCache(path)
        assert len(cache.get_many(map(str, range(100)))) == 100
        cache.close()

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
        cache = SqliteCache(path)
        cache.put_many({str(n): b"x" * 500 for n in range(200)}, TTL)
        cache.close()
        damage(path)
        with caplog.at_level(logging.WARNING):
            cache.get_many(["1"])
            cache.put_many({"new": b"1"}, TTL)
            assert cache.get_many(["new"]) == {"new": b"1"}
        assert [file for file in tmp_path.iterdir() if ".aside-" in file.name]
        assert sum("set aside" in record.getMessage() for record in caplog.records) == 1
        cache.close()

    def test_damage_that_is_no_text_is_met_too(self, tmp_path: Path) -> None:
        """SQLite's own error quotes a name from the file, and Python's module cannot decode it."""
        path = tmp_path / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({"old": b"1"}, TTL)
        cache.close()
        content = path.read_bytes()
        path.write_bytes(
            content.replace(b"tableanswers", b"table\xf7nswers").replace(
                b"CREATE TABLE answers", b"CREATE TABLE )nswers"
            )
        )
        assert cache.get_many(["old"]) == {}
        cache.put_many({"new": b"1"}, TTL)
        assert cache.get_many(["new"]) == {"new": b"1"}
        assert [file for file in tmp_path.iterdir() if ".aside-" in file.name]
        cache.close()

    @pytest.mark.parametrize("garbage", ["", "x", 1e308, 2**62, "[1"])
    def test_values_of_other_types_are_none(self, tmp_path: Path, garbage: object) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite")
        cache.reserve_requests("rate", 1.0, 1)
        cache.claim("s", ["a"], "one")
        cache.file.write(lambda connection: connection.execute("UPDATE paces SET turn = ?", (garbage,)))
        cache.file.write(lambda connection: connection.execute("UPDATE claims SET pid = ?", (garbage,)))
        assert cache.reserve_requests("rate", 1.0, 1) is not None
        assert cache.claim("s", ["a"], "two").granted == {"a"}
        assert cache.claim_holders("s") == {"two"}
        cache.close()

    def test_damage_met_while_in_use(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        cache = SqliteCache(path)
        cache.put_many({str(n): b"x" * 500 for n in range(2000)}, TTL)
        connection = cache.file.connection
        assert connection is not None
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA cache_size = 1")
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))
        cache.get_many(map(str, range(2000)))
        cache.put_many({"new": b"1"}, TTL)
        assert cache.get_many(["new"]) == {"new": b"1"}
        cache.close()

    def test_a_file_of_an_older_format_is_upgraded(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        self._of_format_1(path)
        with contextlib.closing(SqliteCache(path)) as cache:
            assert cache.get_many(["paid"]) == {"paid": b"for"}
            cache.run_start("r2", "s", model="m", task="t", rows=1)
            cache.run_end("r2", RunState(1, 0, "done", cost=0.5, audit=(1, 1)))
            assert {run.run: (run.audited, run.agreed) for run in cache.runs("s")} == {"r1": (0, 0), "r2": (1, 1)}
            assert {(run.run, run.rate, run.cost) for run in cache.runs("s")} == {("r1", 0.0, None), ("r2", 0.0, 0.5)}
        assert list(tmp_path.glob("*.aside*")) == []

    def test_a_file_without_audits_gains_them(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        with contextlib.closing(SqliteCache(path)) as cache:
            cache.run_start("r1", "s", model="m", task="t", rows=1)
        with contextlib.closing(sqlite3.connect(path)) as old:
            old.execute("DROP TABLE audits")
        with contextlib.closing(SqliteCache(path)) as cache:
            assert [(run.run, run.audited) for run in cache.runs()] == [("r1", 0)]
            cache.run_end("r1", RunState(1, 0, "done", audit=(1, 0)))
            assert [(run.audited, run.agreed) for run in cache.runs()] == [(1, 0)]

    def test_audits_go_with_their_runs(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        now = [1e9]
        with contextlib.closing(SqliteCache(path, clock=lambda: now[0])) as cache:
            cache.run_start("r1", "s", model="m", task="t", rows=1)
            cache.run_end("r1", RunState(1, 0, "done", audit=(1, 0)))
            now[0] += RUNS_KEPT_FOR + 1
            cache.run_start("r2", "s", model="m", task="t", rows=1)
        with contextlib.closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT count(*) FROM audits").fetchone() == (0,)

    def test_one_of_those_that_open_it_at_the_same_time_upgrades_it(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        self._of_format_1(path)
        first = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        first.execute("PRAGMA journal_mode = WAL")
        first.execute("BEGIN IMMEDIATE")
        found: list[dict[str, bytes]] = []
        with contextlib.closing(SqliteCache(path)) as cache:
            second = threading.Thread(target=lambda: found.append(cache.get_many(["paid"])))
            second.start()
            time.sleep(0.3)  # it has read the old format by now, and waits for this transaction
            first.execute("ALTER TABLE runs ADD COLUMN rate REAL NOT NULL DEFAULT 0")
            first.execute("PRAGMA user_version = 2")
            first.execute("COMMIT")
            first.close()
            second.join(30)
        assert found == [{"paid": b"for"}]

    def _of_format_1(self, path: Path) -> None:
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
        cache = SqliteCache(path)
        cache.put_many({"a": b"1"}, TTL)
        assert cache.get_many(["a"]) == {"a": b"1"}
        cache.close()

    def test_queries_go_on_where_no_file_can_be(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "file").write_text("")
        cache = SqliteCache(tmp_path / "file" / "answers.sqlite")
        with caplog.at_level(logging.WARNING):
            for rows in range(3):
                cache.put_many({"a": b"1"}, TTL)
                assert cache.get_many(["a", "b"]) == {"a": b"1"}
                cache.count("s", {"rows": 1})
                assert cache.usage("s") == {"rows": rows + 1.0}
                cache.run_start("r", "s", model="m", task="t", rows=1)
                assert cache.runs("s") == []
        assert 1 <= len(caplog.records) <= 2  # one for reading, one for writing
        cache.close()

    def test_a_read_only_folder(self) -> None:
        def work() -> bool:
            assert not os.access(folder, os.W_OK)
            cache = SqliteCache(folder / "answers.sqlite")
            cache.put_many({"a": b"1"}, TTL)
            cache.count("s", {"rows": 1})
            return cache.get_many(["a"]) == {"a": b"1"} and cache.usage("s") == {"rows": 1.0}

        with open_folder() as folder:
            folder.chmod(0o555)
            assert without_rights(work)
            assert list(folder.iterdir()) == []

    def test_no_room_for_the_file_to_grow(self, tmp_path: Path) -> None:
        """The system refuses to write on, as it does on a full disk: here by a limit on the size of files."""
        path = tmp_path / "answers.sqlite"
        worker = MULTI.Process(target=_write_without_room, args=(str(path),))
        worker.start()
        worker.join(60)
        assert worker.exitcode == 0
        cache = SqliteCache(path)
        assert cache.get_many(["before"]) == {"before": b"1"}
        cache.put_many({"after": b"2"}, TTL)  # there is room again
        assert cache.get_many(["after"]) == {"after": b"2"}
        assert not [file for file in tmp_path.iterdir() if ".aside-" in file.name]
        cache.close()

    def test_a_full_disk(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        cache = on_full_disk(tmp_path)
        with caplog.at_level(logging.WARNING):
            for n in range(20):
                cache.put_many({f"{n}": b"x" * 100_000}, TTL)
        assert len(caplog.records) == 1
        assert cache.get_many(["before"]) == {"before": b"1"}  # what is there can still be read
        cache.close()

    def test_a_locked_file_costs_a_wait_not_the_query(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = tmp_path / "answers.sqlite"
        cache = SqliteCache(path, busy_timeout=0.05)
        cache.put_many({"a": b"1"}, TTL)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING):
            cache.put_many({"b": b"1"}, TTL)
        assert cache.get_many(["a"]) == {"a": b"1"}
        assert cache.get_many(["b"]) == {"b": b"1"}  # from memory
        assert other.execute("SELECT key FROM answers").fetchall() == [("a",)]
        other.execute("ROLLBACK")
        other.close()
        cache.put_many({"c": b"1"}, TTL)
        assert set(cache.get_many(["b", "c"])) == {"b", "c"}  # what had to wait was not lost
        cache.run_end("r", RunState(1, 0, "done"))
        with contextlib.closing(SqliteCache(path)) as second:
            assert set(second.get_many(["b", "c"])) == {"b", "c"}
        assert not caplog.records

    def test_the_end_of_a_run_writes_what_had_to_wait(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.sqlite"
        cache = SqliteCache(path, busy_timeout=0.05)
        cache.run_start("r", "s", model="m", task="t", rows=1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        cache.put_many({"b": b"1"}, TTL)
        other.execute("ROLLBACK")
        other.close()
        cache.run_end("r", RunState(1, 0, "done"))
        cache.close()
        with contextlib.closing(SqliteCache(path)) as second:
            assert second.get_many(["b"]) == {"b": b"1"}

    def test_it_stays_within_its_size(self, tmp_path: Path) -> None:
        clock = Clock()
        path = tmp_path / "answers.sqlite"
        cache = SqliteCache(path, max_bytes=2_000_000, clock=clock)
        for n in range(600):
            cache.put_many({f"{n}": os.urandom(10_000)}, ttl=86400)
            clock.now += 1
        cache.close()
        assert path.stat().st_size < 3_000_000
        cache = SqliteCache(path, clock=clock)
        found = cache.get_many(map(str, range(600)))
        assert "599" in found
        assert "0" not in found
        cache.close()

    def test_a_process_made_by_fork_has_a_connection_of_its_own(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite")
        cache.put_many({"a": b"1"}, TTL)
        child = os.fork()
        if child == 0:
            cache.put_many({"b": b"2"}, TTL)
            os._exit(0 if cache.get_many(["a", "b"]) == {"a": b"1", "b": b"2"} else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert cache.get_many(["a", "b"]) == {"a": b"1", "b": b"2"}
        cache.close()

    def test_it_holds_nothing_but_answers(self, tmp_path: Path) -> None:
        cache = SqliteCache(tmp_path / "answers.sqlite")
        cache.put_many({"00ff": b"answer"}, TTL)
        cache.reserve_requests("00ff", 1.0, 1)
        cache.close()
        columns = [
            row[1]
            for table in ("answers", "counters", "facts", "runs", "paces")
            for row in sqlite3.connect(cache.path).execute(f"PRAGMA table_info({table})")
        ]
        runs = "run scope model task rows done errors started updated state pid host rate cost"
        assert sorted(columns) == sorted(
            f"key value expires scope name value name value expires pace turn {runs}".split()
        )

    @settings(max_examples=30, deadline=None)
    @given(
        writes=st.lists(st.dictionaries(st.text("0123456789abcdef", min_size=1, max_size=6), st.binary(max_size=40)))
    )
    def test_it_is_a_mapping(self, writes: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> None:
        cache = SqliteCache(tmp_path_factory.mktemp("store") / "answers.sqlite")
        wanted: dict[str, bytes] = {}
        for write in writes:
            cache.put_many(write, ttl=60)
            wanted.update(write)
        assert cache.get_many(wanted) == wanted
        cache.close()


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    """Copies and backups come back with the mode that everybody has."""
    path = tmp_path / "answers.sqlite"
    first = SqliteCache(path)
    first.put_many({"k": b"v"}, TTL)
    first.close()
    path.chmod(0o666)
    again = SqliteCache(path)
    assert again.get_many(["k"]) == {"k": b"v"}
    assert {one.stat().st_mode & 0o777 for one in tmp_path.glob("answers.sqlite*")} == {0o600}
    again.close()


def test_a_link_leaves_the_mode_of_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("no database")
    elsewhere.chmod(0o644)
    path = tmp_path / "answers.sqlite"
    path.symlink_to(elsewhere)
    cache = SqliteCache(path)
    cache.put_many({"a": b"1"}, TTL)
    assert cache.get_many(["a"]) == {"a": b"1"}
    cache.close()
    assert (elsewhere.read_text(), elsewhere.stat().st_mode & 0o777) == ("no database", 0o644)
