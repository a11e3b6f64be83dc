"""One SQLite file that the processes of a machine share: opened, repaired, and left alone when it fails."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from .base import CircuitBreaker

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between tries if SQLite does not wait itself, as while another process opens the file.
RETRY_WAIT = 0.02

# Primary result codes of SQLite (https://sqlite.org/rescode.html).
BUSY, LOCKED, READ_ONLY, CORRUPT, CANNOT_OPEN, NOT_A_DATABASE = 5, 6, 8, 11, 14, 26
#: What the messages say on Pythons that do not hand the code on (before 3.11).
_MESSAGES = {
    "database is locked": BUSY,
    "database table is locked": LOCKED,
    "malformed": CORRUPT,
    "file is not a database": NOT_A_DATABASE,
    "readonly": READ_ONLY,
    "unable to open": CANNOT_OPEN,
}
#: How a file that must not be written to is opened, and may be. The second ignores other processes: it is for a
#: folder that must not be written to either, where no process shares the index of the log.
_READ_ONLY_MODES = ("mode=ro", "immutable=1")

#: Ends of the names of the log and its index.
_LOG = ("-wal", "-shm")

#: The files of this process, which are closed while it forks.
_FILES: weakref.WeakSet[SqliteFile] = weakref.WeakSet()


class OtherFormat(Exception):
    """The file has been made by another version of this package."""


class SqliteFile:
    """Runs transactions on a file, one at a time, and never raises when the file fails.

    Args:
        path: the file; folders on the way are made. Only its owner may read it.
        tables: name → columns, as CREATE TABLE takes them; those that are missing are made.
        indexes: statements that are safe to repeat.
        version: of the tables; a file of an unknown one is set aside.
        upgrades: version → the statements that lead to the next.
        busy_timeout: seconds to wait for another process's write.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        tables: Mapping[str, str],
        *,
        indexes: tuple[str, ...] = (),
        version: int,
        upgrades: Mapping[int, tuple[str, ...]],
        busy_timeout: float,
    ) -> None:
        self.path = Path(path)
        self.connection: sqlite3.Connection | None = None
        self._tables = tables
        self._indexes = indexes
        self._version = version
        self._upgrades = upgrades
        self._busy_timeout = busy_timeout
        self._lock = threading.RLock()
        self._identity: tuple[int, int] | None = None
        #: Of the log and its index, which SQLite keeps beside the file while a process has opened it.
        self._log_paths = [f"{self.path}{end}" for end in _LOG]
        self._log_identity: tuple[tuple[int, int] | None, ...] = ()
        name = f"the answer cache {self.path}"
        self.reading = CircuitBreaker(name)
        self.writing = CircuitBreaker(
            name,
            "answers wait in memory, requests_per_minute applies to each worker separately and "
            "queries with max_cost_per_day and partitions with max_cost stop",
        )
        _FILES.add(self)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return the result of ``work``; ``None`` if the file cannot be read."""
        return self._run(work, self.reading)

    def write(self, work: Callable[[sqlite3.Connection], object], *, probe: bool = False) -> bool:
        """Run ``work``, which may commit, in a transaction; whether that worked.

        Args:
            probe: try it even while the file is left alone, but without waiting for others.
        """

        def transaction(connection: sqlite3.Connection) -> bool:
            if probe:
                connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN IMMEDIATE")
                work(connection)
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if probe:
                    connection.execute(f"PRAGMA busy_timeout = {round(self._busy_timeout * 1000)}")
            return True

        return bool(self._run(transaction, self.writing, probe=probe))

    def close(self) -> None:
        """Let go of the file; the next transaction opens it again."""
        with self._lock:
            self._close()

    def _run(
        self, work: Callable[[sqlite3.Connection], T], breaker: CircuitBreaker, *, probe: bool = False
    ) -> T | None:
        with self._lock:
            if breaker.is_open and not probe:
                return None
            give_up = time.monotonic() + (0.0 if probe else self._busy_timeout)
            repaired = False
            while True:
                try:
                    done = work(self._opened())
                except (sqlite3.Error, OSError, OtherFormat, UnicodeDecodeError) as error:
                    if _is_busy(error):
                        if time.monotonic() < give_up:
                            time.sleep(RETRY_WAIT)
                            continue
                        # Usually over soon, and what waits for it is not lost.
                        breaker.record_failure(error, transient=True)
                        return None
                    if repaired or not self._repair(error):
                        breaker.record_failure(error)
                        return None
                    repaired = True
                else:
                    breaker.record_success()
                    return done

    def _repair(self, error: Exception) -> bool:
        """Make the file usable again, if that can be done; whether to try once more."""
        # Python's module fails so on the text of SQLite's own error, which quotes what is damaged.
        damaged = isinstance(error, UnicodeDecodeError)
        damaged |= isinstance(error, sqlite3.Error) and _code(error) in (CORRUPT, NOT_A_DATABASE)
        identity = self._identity
        self._close()
        if not damaged and not isinstance(error, OtherFormat):
            return False
        try:
            with self._alone():
                # Another process may have met the same and begun a new file already.
                if identity is None or identity == _identity(self.path):
                    self._set_aside("damaged" if damaged else "made by another version", error)
            return True
        except OSError:
            return False

    def _set_aside(self, why: str, error: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.aside-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
        if not self.path.exists():
            return
        self.path.rename(aside)
        for end in _LOG:
            try:
                Path(f"{self.path}{end}").rename(f"{aside}{end}")
            except FileNotFoundError:
                pass
        log.warning("the answer cache %s is %s (%s); it is set aside as %s", self.path, why, error, aside.name)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from setting aside at the same time."""
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _close(self) -> None:
        # If the file has been deleted, SQLite leaves the log of its successor alone.
        connection, self.connection = self.connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                pass

    # Opening

    def _opened(self) -> sqlite3.Connection:
        if self.connection is not None:
            if self._identity == _identity(self.path) and self._log_identity == self._identities_of_log():
                return self.connection
            self._close()  # one of them is deleted or replaced: no process would read what is written to it
        try:
            self._create()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not os.access(self.path, os.R_OK):
                raise
            connection = self._open_read_only()
        else:
            connection = self._open_read_write()
        self._log_identity = self._identities_of_log()
        self.connection = connection
        return connection

    def _identities_of_log(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(map(_identity, self._log_paths))

    def _create(self) -> None:
        """Create the file if there is none. Raises OSError if it must not be written to."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with this mode, never widened: SQLite gives the files beside it the same.
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            facts = os.fstat(handle)
            is_ours = facts.st_uid == os.geteuid() and not self.path.is_symlink()
            if facts.st_mode & 0o077 and is_ours:  # copied, or restored, without its mode
                os.fchmod(handle, 0o600)
        finally:
            os.close(handle)

    def _connect(self, mode: str = "") -> sqlite3.Connection:
        self._identity = _identity(self.path)
        return sqlite3.connect(
            f"file:{quote(str(self.path))}?{mode}" if mode else self.path,
            uri=bool(mode),
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def _open_read_write(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # Survives a killed process; a power cut may cost the last answers, never the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA cache_size = -16384")
            if self._found_version(connection) in self._upgrades:
                self._upgrade(connection)
            if self._missing(connection):
                made = [f"CREATE TABLE IF NOT EXISTS {name} {columns}" for name, columns in self._tables.items()]
                statements = [*made, *self._indexes, f"PRAGMA user_version = {self._version}", "COMMIT"]
                connection.executescript(";".join(["BEGIN IMMEDIATE", *statements]))
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_read_only(self) -> sqlite3.Connection:
        for mode in _READ_ONLY_MODES:
            connection = self._connect(mode)
            try:
                self._found_version(connection)
                for name in self._missing(connection):  # nothing is in it, but it can be read
                    connection.execute(f"CREATE TEMP TABLE {name} {self._tables[name]}")
                return connection
            except BaseException as error:
                connection.close()
                next_mode = isinstance(error, sqlite3.Error) and _code(error) in (READ_ONLY, CANNOT_OPEN)
                if mode == _READ_ONLY_MODES[-1] or not next_mode or self._has_log():
                    raise
        raise AssertionError("the last mode returns or raises")

    def _has_log(self) -> bool:
        """Return whether the newest answers are in a log beside the file, without which it may be inconsistent."""
        try:
            return Path(f"{self.path}-wal").stat().st_size > 0
        except OSError:
            return False

    def _found_version(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, self._version, *self._upgrades):
            raise OtherFormat(f"its format is {version}, not {self._version}")
        return version

    def _missing(self, connection: sqlite3.Connection) -> list[str]:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return [name for name in self._tables if name not in there]

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Bring a file of an older format to this one; of several processes that open it, the first does."""
        connection.execute("BEGIN IMMEDIATE")
        while (version := self._found_version(connection)) in self._upgrades:
            for statement in self._upgrades[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")


def _code(error: sqlite3.Error) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF
    return next((code for text, code in _MESSAGES.items() if text in str(error)), 0)


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and _code(error) in (BUSY, LOCKED)


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Tell a file from another one at the same path."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# SQLite's locks belong to the process that took them, so no connection may be carried across a fork
# (https://sqlite.org/howtocorrupt.html, "carrying an open database file across a fork").


def _before_fork() -> None:
    for file in list(_FILES):
        file._lock.acquire()
        file._close()


def _after_fork_in_parent() -> None:
    for file in list(_FILES):
        try:
            file._lock.release()
        except RuntimeError:
            pass  # made by another thread since


def _after_fork_in_child() -> None:
    for file in list(_FILES):
        file._lock = threading.RLock()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
