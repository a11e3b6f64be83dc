"""A cache in one SQLite file that all processes of a machine share."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .answers import MARK, SCOPE_SIZE, SCOPE_START, TIME_SIZE, TIME_START, scope_id
from .base import CREDIT, STOP_KEPT_FOR, batched, longest_wait
from .budgets import BUDGETS_KEPT_FOR, HELD_AHEAD, HELD_FOR, Draw, Grant
from .claims import CLAIM_KEPT_FOR, Claim, grant, packed, unpacked
from .owners import Owner, Stored
from .persistent import PersistentCache
from .runs import RUNNING, RUNS_KEPT, RUNS_KEPT_FOR, Run, RunState, has_ended, this_process, with_state
from .sqlite_file import SqliteFile

#: A new table needs no new version, and files of older versions of this package gain it when they are opened. A
#: change of a table does; other versions of this package set the file aside.
VERSION = 3
TABLES = {
    "answers": "(key TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL)",
    "counters": "(scope TEXT, name TEXT, value REAL NOT NULL, PRIMARY KEY (scope, name)) WITHOUT ROWID",
    "runs": (
        "(run TEXT PRIMARY KEY, scope TEXT, model TEXT, task TEXT, rows INTEGER, done INTEGER, errors INTEGER,"
        " started REAL, updated REAL, state TEXT, pid INTEGER, host TEXT, rate REAL NOT NULL DEFAULT 0,"
        " cost REAL) WITHOUT ROWID"
    ),
    "audits": "(run TEXT PRIMARY KEY, audited INTEGER NOT NULL, agreed INTEGER NOT NULL) WITHOUT ROWID",
    "facts": "(name TEXT PRIMARY KEY, value TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID",
    "paces": "(pace TEXT PRIMARY KEY, turn REAL NOT NULL) WITHOUT ROWID",
    "owners": "(scope TEXT PRIMARY KEY, tenant TEXT, engine TEXT, project TEXT, model TEXT) WITHOUT ROWID",
    # The holder '' has what the holders that have ended spent.
    "budgets": (
        "(budget TEXT, holder TEXT, spent REAL NOT NULL, pending REAL NOT NULL, held REAL NOT NULL,"
        " expires REAL NOT NULL, PRIMARY KEY (budget, holder)) WITHOUT ROWID"
    ),
    "claims": (
        "(scope TEXT, holder TEXT, keys TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, expires REAL NOT NULL,"
        " PRIMARY KEY (scope, holder))"
    ),
    "stops": "(name TEXT PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID",
}
INDEXES = ("CREATE INDEX IF NOT EXISTS runs_by_scope ON runs (scope, started)",)
#: Statements that bring a file of a version to the next.
UPGRADES = {
    1: ("ALTER TABLE runs ADD COLUMN rate REAL NOT NULL DEFAULT 0",),
    2: ("ALTER TABLE runs ADD COLUMN cost REAL",),
}

#: Keys in one statement; every SQLite takes that many.
KEYS_AT_ONCE = 900
#: Counters in one statement, of three values each.
COUNTS_AT_ONCE = 300
#: Rows that one transaction looks through for answers to delete: a moment, so that writers need not wait.
ROWS_AT_ONCE = 20_000

#: Parts of an answer's header, in SQL.
_MARKED = f"substr(value, 1, 4) = X'{MARK.hex()}'"
_SCOPE = f"CASE WHEN {_MARKED} THEN substr(value, {SCOPE_START + 1}, {SCOPE_SIZE}) ELSE zeroblob({SCOPE_SIZE}) END"
_WRITTEN = f"CASE WHEN {_MARKED} THEN substr(value, {TIME_START + 1}, {TIME_SIZE}) ELSE zeroblob({TIME_SIZE}) END"


class SqliteCache(PersistentCache):
    """Answers, counters, facts, runs and rates in one file.

    Writers of several processes wait for each other; readers never wait. Only the file's owner may read it. It
    holds answers under opaque keys: no inputs, no tokens, no URLs.

    Args:
        path: the file; folders on the way are made.
        max_bytes: beyond this the oldest answers are dropped.
        busy_timeout: seconds to wait for another process's write; after that the file is left alone for a while.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = 2 * 1024**3,
        busy_timeout: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self.file = SqliteFile(
            path, TABLES, indexes=INDEXES, version=VERSION, upgrades=UPGRADES, busy_timeout=busy_timeout
        )
        self.path = self.file.path
        self._max_bytes = max_bytes
        #: Bytes written since entries were last evicted; ``None`` until the size of the file is known.
        self._written: int | None = None

    # Answers

    def _read_answers(self, keys: list[str]) -> Mapping[str, bytes]:
        now = self._clock()

        def read(connection: sqlite3.Connection) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for some in batched(keys, KEYS_AT_ONCE):
                marks = ",".join("?" * len(some))
                found.update(
                    connection.execute(
                        f"SELECT key, value FROM answers WHERE key IN ({marks}) AND expires > ?", (*some, now)
                    )
                )
            return found

        return self.file.read(read) or {}

    def _write_pending(self, *, probe: bool = False) -> bool:
        """Threads that come while another one writes share the transaction of the next."""

        def write(connection: sqlite3.Connection) -> None:
            taken, counts = self._pending.take(), self._counts.take()
            if not (taken or counts):
                return
            rows = [(key, value, expires) for key, (value, expires) in taken.items()]
            try:
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
                for some in batched(counts.items(), COUNTS_AT_ONCE):
                    connection.execute(
                        f"INSERT INTO counters VALUES {', '.join(['(?, ?, ?)'] * len(some))}"
                        " ON CONFLICT (scope, name) DO UPDATE SET value = value + excluded.value",
                        [value for (scope, name), count in some for value in (scope, name, count)],
                    )
                connection.execute("COMMIT")
            except BaseException:
                self._pending.give_back(taken)
                self._counts.give_back(counts)
                raise
            if taken:
                self._make_room(connection, sum(len(value) for _, value, _ in rows))

        return self.file.write(write, probe=probe)

    def _make_room(self, connection: sqlite3.Connection, written: int) -> None:
        """Evict entries if the file exceeds its size after ``written`` more bytes."""
        if self._written is None:
            full = self.path.stat().st_size > self._max_bytes * 0.9
            self._written = self._max_bytes if full else 0  # whichever process filled it
        self._written += written
        if self._written * 16 > self._max_bytes:
            self._written = 0
            connection.execute("BEGIN IMMEDIATE")
            self._prune(connection)

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

    # Owners

    def register(self, scope: str, owner: Owner) -> None:
        names = (owner.tenant, owner.engine, owner.project, owner.model)
        self._execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?, ?)", scope, *names)

    def owners(self) -> dict[str, Owner]:
        return {scope: Owner(*names) for scope, *names in self._select("SELECT * FROM owners")}

    def sizes(self, before: float | None = None) -> list[Stored] | None:
        statement = (
            f"SELECT {_SCOPE} AS scope, count(*), sum(length(value)), min({_WRITTEN}), max({_WRITTEN}) FROM answers"
            f" WHERE {_WRITTEN} < ? GROUP BY scope"
        )
        found = self._rows(statement, _time(before))
        if found is None:
            return None
        names = {scope_id(scope): scope for scope in self.owners()}
        return [
            Stored(names.get(scope), answers, size, int.from_bytes(oldest, "big"), int.from_bytes(newest, "big"))
            for scope, answers, size, oldest, newest in found
        ]

    def clear(self, scopes: Collection[str] | None = None, before: float | None = None) -> int | None:
        ids = None if scopes is None else [scope_id(scope) for scope in scopes]
        deleted = start = 0

        def delete(connection: sqlite3.Connection) -> None:
            nonlocal deleted
            connection.execute("PRAGMA secure_delete = ON")  # overwrites what is deleted
            for some in [None] if ids is None else batched(ids, KEYS_AT_ONCE):
                of = "" if some is None else f" AND {_SCOPE} IN ({','.join('?' * len(some))})"
                deleted += connection.execute(
                    f"DELETE FROM answers WHERE rowid > ? AND rowid <= ? AND {_WRITTEN} < ?{of}",
                    (start, start + ROWS_AT_ONCE, _time(before), *(some or ())),
                ).rowcount

        found = self._rows("SELECT max(rowid) FROM answers")
        if found is None:
            return None
        while start < (found[0][0] or 0):
            if not self.file.write(delete):
                return None
            start += ROWS_AT_ONCE
        self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    # Counters

    def _read_counts(self, scope: str) -> dict[str, float]:
        return dict(self._select("SELECT name, value FROM counters WHERE scope = ?", scope))

    # Facts

    def _read_fact(self, name: str) -> Any:
        found = self._select("SELECT value FROM facts WHERE name = ? AND expires > ?", name, self._clock())
        return found[0][0] if found else None

    def put_fact(self, name: str, value: Any, ttl: float) -> None:
        now = self._clock()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM facts WHERE expires <= ?", (now,))
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, json.dumps(value), now + ttl))

        self.file.write(write)

    # Runs

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int) -> None:
        now = self._clock()
        self._updates.start(run)
        own = (run, scope, model, task, rows, 0, 0, now, now, RUNNING, *this_process(), 0.0, None)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(f"INSERT OR REPLACE INTO runs VALUES ({','.join('?' * len(own))})", own)
            connection.execute("DELETE FROM runs WHERE updated < ?", (now - RUNS_KEPT_FOR,))
            connection.execute(
                "DELETE FROM runs WHERE run IN"
                " (SELECT run FROM runs WHERE scope = ? ORDER BY started DESC LIMIT -1 OFFSET ?)",
                (scope, RUNS_KEPT),
            )
            connection.execute("DELETE FROM audits WHERE run NOT IN (SELECT run FROM runs)")

        self.file.write(write)

    def _record(self, run: str, now: RunState) -> None:
        own = (now.done, now.errors, now.state, self._clock(), now.rate, now.cost, run)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE runs SET done = ?, errors = ?, state = ?, updated = ?, rate = ?, cost = ? WHERE run = ?", own
            )
            if now.audit is not None:
                connection.execute("INSERT OR REPLACE INTO audits VALUES (?, ?, ?)", (run, *now.audit))

        self.file.write(write)

    def runs(self, scope: str | None = None) -> list[Run]:
        now = self._clock()
        found = self._select("SELECT * FROM runs WHERE ? IS NULL OR scope = ? ORDER BY started DESC, run", scope, scope)
        audits = {run: counts for run, *counts in self._select("SELECT run, audited, agreed FROM audits")}
        runs: list[Run] = []
        for row in found:
            run = Run(*row)  # a read-only file of an older version has fewer columns: what they would hold is not known
            audited, agreed = audits.get(run.run, (0, 0))
            runs.append(with_state(replace(run, audited=audited, agreed=agreed), now))
        return runs

    # Stops

    def request_stop(self, names: Iterable[str], ttl: float = STOP_KEPT_FOR) -> bool:
        now = self._clock()
        rows = [(name, now + ttl) for name in names]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM stops WHERE expires <= ?", (now,))
            connection.executemany("INSERT OR REPLACE INTO stops VALUES (?, ?)", rows)

        return self.file.write(write)

    def stop_requested(self, names: Iterable[str]) -> bool:
        wanted = list(names)
        marks = ",".join("?" * len(wanted))
        statement = f"SELECT 1 FROM stops WHERE name IN ({marks}) AND expires > ?"
        return bool(self._select(statement, *wanted, self._clock()))

    # Rates

    def reserve_requests(self, rate: str, interval: float, count: int) -> float | None:
        waits: list[float] = []

        def write(connection: sqlite3.Connection) -> None:
            now = self._clock()
            found = connection.execute("SELECT CAST(turn AS REAL) FROM paces WHERE pace = ?", (rate,)).fetchone()
            at = now - CREDIT
            if found is not None and found[0] <= now + longest_wait(interval, count):
                at = max(at, found[0])
            connection.execute("INSERT OR REPLACE INTO paces VALUES (?, ?)", (rate, at + interval * count))
            waits.append(at - now)

        return waits[-1] if self.file.write(write) else None

    # Budgets

    def hold_budget(self, holder: str, draw: Draw) -> Grant | None:
        grants: list[Grant] = []

        def write(connection: sqlite3.Connection) -> None:
            now = self._clock()
            # What expires later than that was written before a clock was set back.
            lives, until = "expires BETWEEN ? AND ?", now + HELD_FOR + HELD_AHEAD
            others_spent, others_held = connection.execute(
                f"SELECT TOTAL(spent + CASE WHEN {lives} THEN 0 ELSE pending END),"
                f" TOTAL(CASE WHEN {lives} THEN held ELSE 0 END) FROM budgets WHERE budget = ? AND holder <> ?",
                (now, until, now, until, draw.budget, holder),
            ).fetchone()
            spent = others_spent + draw.spent
            grant = Grant(draw.granted(draw.cap - spent - others_held), spent, others_held)
            connection.execute("DELETE FROM budgets WHERE expires < ?", (now - BUDGETS_KEPT_FOR,))
            known = connection.execute(
                "DELETE FROM budgets WHERE budget = ? AND holder = ?", (draw.budget, holder)
            ).rowcount
            if draw.closes and known:
                connection.execute(
                    "INSERT INTO budgets VALUES (?, '', ?, 0, 0, ?) ON CONFLICT (budget, holder)"
                    " DO UPDATE SET spent = spent + excluded.spent, expires = excluded.expires",
                    (draw.budget, draw.spent, now),
                )
            elif not draw.closes:
                own = (draw.budget, holder, draw.spent, draw.pending, grant.amount, now + HELD_FOR)
                connection.execute("INSERT INTO budgets VALUES (?, ?, ?, ?, ?, ?)", own)
            grants.append(grant)

        return grants[-1] if self.file.write(write) else None

    # Claims

    def claim(self, scope: str, keys: Iterable[str], holder: str) -> Claim:
        wanted = frozenset(keys)
        claims: list[Claim] = []

        def write(connection: sqlite3.Connection) -> None:
            now = self._clock()
            # What expires later than that was written before a clock was set back.
            connection.execute("DELETE FROM claims WHERE expires NOT BETWEEN ? AND ?", (now, now + 2 * CLAIM_KEPT_FOR))
            rows = connection.execute("SELECT holder, pid, host, keys FROM claims WHERE scope = ?", (scope,))
            claim = grant(wanted, {one: unpacked(held) for one, *process, held in rows if not has_ended(*process)})
            if claim.granted:
                own = (scope, holder, packed(claim.granted), *this_process(), now + CLAIM_KEPT_FOR)
                connection.execute("INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?)", own)
            claims.append(claim)

        return claims[-1] if self.file.write(write) else Claim(wanted)

    def renew_claim(self, scope: str, holder: str) -> None:
        expires = self._clock() + CLAIM_KEPT_FOR
        self._execute("UPDATE claims SET expires = ? WHERE scope = ? AND holder = ?", expires, scope, holder)

    def release_claim(self, scope: str, holder: str) -> None:
        self._execute("DELETE FROM claims WHERE scope = ? AND holder = ?", scope, holder)

    def claim_holders(self, scope: str) -> set[str]:
        rows = self._select(
            "SELECT holder, pid, host FROM claims WHERE scope = ? AND expires BETWEEN ? AND ?",
            scope, self._clock(), self._clock() + 2 * CLAIM_KEPT_FOR,
        )  # fmt: skip
        return {holder for holder, *process in rows if not has_ended(*process)}

    def close(self) -> None:
        self.file.close()

    def is_available(self) -> bool:
        return self._rows("SELECT 1 FROM answers LIMIT 1") is not None

    def _select(self, statement: str, *values: Any) -> list[Any]:
        """Return the rows that a statement finds; none if the file cannot be read."""
        return self._rows(statement, *values) or []

    def _rows(self, statement: str, *values: Any) -> list[Any] | None:
        """Return the rows that a statement finds; ``None`` if the file cannot be read."""
        return self.file.read(lambda connection: connection.execute(statement, values).fetchall())

    def _execute(self, statement: str, *values: Any) -> None:
        self.file.write(lambda connection: connection.execute(statement, values))


def format_of(path: Path) -> int | None:
    """Return the version of a file's tables without changing it; ``None`` if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError):  # the latter: the text of SQLite's own error is damaged too
        return None
    return version


def is_known_format(version: int) -> bool:
    """Return whether this version of the package reads files of ``version``; it brings older ones to its own."""
    return version in (0, VERSION, *UPGRADES)


def _time(before: float | None) -> bytes:
    """Return a time as the header of an answer has it; by default one that no answer reaches."""
    return bytes([255] * (TIME_SIZE + 1)) if before is None else max(0, int(before)).to_bytes(TIME_SIZE, "big")
