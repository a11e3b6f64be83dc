"""A store in one SQLite file that all processes of a machine share."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .base import (
    CREDIT,
    PENDING,
    RUNNING,
    RUNS_KEPT,
    RUNS_KEPT_FOR,
    CircuitBreaker,
    Run,
    Throttle,
    furthest,
    pace_trouble,
    portions,
    seen_from_here,
    this_process,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A change of the tables gets a new number; a file with another one is set aside.
SCHEMA = 2
TABLES = f"""
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counters (
    scope TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, scope TEXT, model TEXT, task TEXT, rows INTEGER, done INTEGER, errors INTEGER,
    started REAL, updated REAL, state TEXT, pid INTEGER, host TEXT,
    rate REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_by_scope ON runs (scope, started);
PRAGMA user_version = {SCHEMA};
"""
#: What makes a file of an older format one of the next.
RENEWALS = {1: ("ALTER TABLE runs ADD COLUMN rate REAL NOT NULL DEFAULT 0", "PRAGMA user_version = 2")}
#: Made when first needed: files from before it are good as they are.
PACES = "CREATE TABLE IF NOT EXISTS paces (pace TEXT PRIMARY KEY, turn REAL NOT NULL) WITHOUT ROWID"
#: Expiry, in seconds since 1970, of what never expires.
NEVER = 1e12
#: Keys looked up by one statement; every SQLite takes that many.
LOOK_UP = 900

# Primary result codes of SQLite (https://sqlite.org/rescode.html).
BUSY, LOCKED, CORRUPT, NOT_A_DATABASE = 5, 6, 11, 26
#: What the messages say on Pythons that do not hand the code on (before 3.11).
_SAID = {
    "database is locked": BUSY,
    "database table is locked": LOCKED,
    "malformed": CORRUPT,
    "file is not a database": NOT_A_DATABASE,
}


#: The stores of this process, which let go of their files while it forks.
_OPEN: weakref.WeakSet[SqliteCache] = weakref.WeakSet()


#: Seconds between tries where SQLite says busy at once, as while another process opens the file.
BUSY_WAITS = (0.02, 0.1, 0.4)


class _Foreign(Exception):
    """The file has been made by another version of this package."""


def _code(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF
    return next((code for text, code in _SAID.items() if text in str(error)), 0)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in (BUSY, LOCKED)


class SqliteCache:
    """Answers, counters, runs and paces in one file.

    Writers of several processes wait for each other; readers never wait. The file is readable for
    its owner alone. It holds answers under opaque keys: no inputs, no tokens, no addresses.

    Args:
        path: the file; folders on the way are made.
        max_bytes: beyond this the oldest answers are dropped.
        busy_timeout: seconds to wait for another process's write.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 2 * 1024**3,
        busy_timeout: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = Path(path)
        self._max_bytes = max_bytes
        self._busy_timeout = busy_timeout
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._throttle = Throttle()
        self._reading = CircuitBreaker(f"the answer store {self.path}")
        self._writing = CircuitBreaker(f"the answer store {self.path}")
        self._pacing = pace_trouble(f"the pace in {self.path}")
        self._pending: list[tuple[str, bytes, float]] = []
        self._pending_lock = threading.Lock()
        self._written = 0
        _OPEN.add(self)

    # What a store can do

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``Store``."""
        now = self._clock()

        def read(connection: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for some in portions(keys, LOOK_UP):
                marks = ",".join("?" * len(some))
                found.update(
                    connection.execute(
                        f"SELECT key, value FROM answers WHERE key IN ({marks}) AND expires > ?", (*some, now)
                    )
                )
            return found

        keys = list(keys)
        return self._read(read) or {}

    def put_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See ``Store``. Lanes that come while another writes share its successor's transaction."""
        expires = NEVER if ttl is None else self._clock() + ttl
        rows = [(key, value, expires) for key, value in values.items()]
        with self._pending_lock:
            self._pending += rows

        def write(connection: sqlite3.Connection) -> None:
            with self._pending_lock:
                taken, self._pending = self._pending, []
            if not taken:
                return
            try:
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", taken)
                connection.execute("COMMIT")
            except sqlite3.Error:
                with self._pending_lock:
                    self._pending = taken + self._pending
                raise
            self._written += sum(len(value) for _, value, _ in taken)
            if self._written * 16 > self._max_bytes:
                self._written = 0
                connection.execute("BEGIN IMMEDIATE")
                self._prune(connection)

        if not self._write(write):
            with self._pending_lock:
                # They wait for the next write: a lock that lasts too long costs no answers.
                del self._pending[:-PENDING]

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        """See ``Store``."""
        rows = [(scope, name, value) for name, value in counts.items() if value]
        if rows:
            self._write(
                lambda connection: connection.executemany(
                    "INSERT INTO counters VALUES (?, ?, ?)"
                    " ON CONFLICT (scope, name) DO UPDATE SET value = value + excluded.value",
                    rows,
                )
            )

    def usage(self, scope: str) -> dict[str, float]:
        """See ``Store``."""
        return (
            self._read(
                lambda connection: dict(
                    connection.execute("SELECT name, value FROM counters WHERE scope = ?", (scope,)).fetchall()
                )
            )
            or {}
        )

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int, pid: int | None = None) -> None:
        """See ``Store``."""
        now = self._clock()
        self._throttle.start(run)
        own = (run, scope, model, task, rows, 0, 0, now, now, RUNNING, *this_process(pid), 0.0)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({','.join('?' * len(own))})", own)
            connection.execute("DELETE FROM runs WHERE updated < ?", (now - RUNS_KEPT_FOR,))
            connection.execute(
                "DELETE FROM runs WHERE run IN"
                " (SELECT run FROM runs WHERE scope = ? ORDER BY started DESC LIMIT -1 OFFSET ?)",
                (scope, RUNS_KEPT),
            )

        self._write(write)

    def run_update(self, run: str, *, done: int, errors: int, rate: float = 0.0) -> None:
        """See ``Store``."""
        if self._throttle.may_pass(run):
            self._note(run, done, errors, RUNNING, rate)

    def run_end(self, run: str, *, done: int, errors: int, state: str = "done") -> None:
        """See ``Store``."""
        self._throttle.end(run)
        self.put_many({})  # what a busy file has left waiting
        self._note(run, done, errors, state)

    def _note(self, run: str, done: int, errors: int, state: str, rate: float = 0.0) -> None:
        own = (done, errors, state, self._clock(), rate, run)
        self._write(
            lambda connection: connection.execute(
                "UPDATE runs SET done = ?, errors = ?, state = ?, updated = ?, rate = ? WHERE run = ?", own
            )
        )

    def runs(self, scope: str) -> list[Run]:
        """See ``Store``."""
        found = self._read(
            lambda connection: connection.execute(
                "SELECT * FROM runs WHERE scope = ? ORDER BY started DESC, run", (scope,)
            ).fetchall()
        )
        now = self._clock()
        return [seen_from_here(Run(*row), now) for row in found or []]

    def claim(self, pace: str, gap: float, count: int = 1) -> float | None:
        """See ``Store``."""
        waits: list[float] = []

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(PACES)
            now = self._clock()
            kept = connection.execute("SELECT turn FROM paces WHERE pace = ?", (pace,)).fetchone()
            turn = now - CREDIT
            if kept is not None and kept[0] <= now + furthest(gap, count):
                turn = max(turn, kept[0])
            connection.execute("INSERT OR REPLACE INTO paces VALUES (?, ?)", (pace, turn + gap * count))
            waits.append(turn - now)

        return waits[-1] if self._write(write, self._pacing) else None

    def close(self) -> None:
        """See ``Store``."""
        with self._lock:
            self._drop()

    # The file

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        return self._work(work, self._reading)

    def _write(self, work: Callable[[sqlite3.Connection], object], trouble: CircuitBreaker | None = None) -> bool:
        def transaction(connection: sqlite3.Connection) -> bool:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return True

        return bool(self._work(transaction, trouble or self._writing))

    def _work(self, work: Callable[[sqlite3.Connection], T], trouble: CircuitBreaker) -> T | None:
        """Do ``work``; ``None`` where the file cannot be used."""
        with self._lock:
            if trouble.lasts:
                return None
            mended = False
            waits = iter(BUSY_WAITS)
            while True:
                try:
                    done = work(self._open())
                except (sqlite3.Error, OSError, _Foreign) as error:
                    if _is_busy(error):
                        wait = next(waits, None)
                        if wait is None:  # another process's write ends; there is nothing to be warned of
                            return None
                        time.sleep(wait)
                        continue
                    if mended or not self._mend(error):
                        trouble.met(error)
                        return None
                    mended = True
                else:
                    trouble.over()
                    return done

    def _mend(self, error: Exception) -> bool:
        """Make the store usable again, if it can be made; whether to try once more."""
        if _is_busy(error):
            return False
        damaged = isinstance(error, sqlite3.Error) and _code(error) in (CORRUPT, NOT_A_DATABASE)
        inode = self._inode
        self._drop()
        if not damaged and not isinstance(error, _Foreign):
            return False
        try:
            with self._alone():
                # Another process may have met the same and begun a new file already.
                if inode is None or inode == _inode(self.path):
                    self._set_aside("damaged" if damaged else "made by another version", error)
            return True
        except OSError:
            return False

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass

    def _set_aside(self, why: str, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.aside-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        if not self.path.exists():
            return
        self.path.rename(aside)
        for end in ("-wal", "-shm"):
            try:
                Path(f"{self.path}{end}").rename(f"{aside}{end}")
            except FileNotFoundError:
                pass
        log.warning("the answer store %s is %s (%s); it is set aside as %s", self.path, why, error, aside.name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from setting aside and opening at the same time."""
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with this mode, never widened: SQLite gives the files beside it the same.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            facts = os.fstat(handle)
            if facts.st_mode & 0o077 and facts.st_uid == os.geteuid():  # copied, or restored, without its mode
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
        self._inode = _inode(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # Survives a killed process; a power cut may cost the last answers, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -16384")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, SCHEMA, *RENEWALS):
                raise _Foreign(f"its format is {version}, not {SCHEMA}")
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
            elif version != SCHEMA:
                _renew(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        if self.path.stat().st_size > self._max_bytes * 0.9:
            self._written = self._max_bytes  # the next write makes room, whoever filled it
        return connection

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Drop what has expired and, while the file is too big, the oldest."""
        connection.execute("DELETE FROM answers WHERE expires <= ?", (self._clock(),))
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
        while True:
            pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
            free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
            if (pages - free) * size <= self._max_bytes * 0.9:
                return
            dropped = connection.execute(
                "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers ORDER BY rowid LIMIT"
                " (SELECT max(1, count(*) / 20) FROM answers))"
            ).rowcount
            if not dropped:
                return


def _renew(connection: sqlite3.Connection) -> None:
    """Make a file of an older format one of this; of several processes that come to it, the first does."""
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    for statement in RENEWALS.get(version, ()):
        connection.execute(statement)
    connection.execute("COMMIT")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


# SQLite's locks belong to the process that took them, so no connection may be carried across a fork
# (https://sqlite.org/howtocorrupt.html, "carrying an open database file across a fork").


def _before_fork() -> None:
    for store in list(_OPEN):
        store._lock.acquire()
        store._drop()


def _after_fork_in_parent() -> None:
    for store in list(_OPEN):
        try:
            store._lock.release()
        except RuntimeError:
            pass  # made by another thread since


def _after_fork_in_child() -> None:
    for store in list(_OPEN):
        store._lock = threading.RLock()
        store._pending_lock = threading.Lock()
        store._pending = []


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
