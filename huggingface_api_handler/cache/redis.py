"""A cache in a Redis that the processes of several machines share."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import chain
from typing import Any

from .answers import HEADER_SIZE, read_header, scope_id
from .base import CREDIT, STOP_KEPT_FOR, CircuitBreaker, batched, longest_wait
from .budgets import BUDGETS_KEPT_FOR, HELD_AHEAD, HELD_FOR, Draw, Grant
from .claims import CLAIM_KEPT_FOR, Claim, grant, packed, unpacked
from .counts import Counts
from .owners import Owner, Stored
from .persistent import PersistentCache
from .redis_connection import RedisConnection, as_text
from .redis_scripts import COUNT_ONCE, HOLD_BUDGET, RESERVE_REQUESTS
from .runs import RUNNING, RUNS_KEPT, RUNS_KEPT_FOR, Run, RunState, has_ended, this_process, with_state

#: Keys in one command.
KEYS_AT_ONCE = 1000
#: How often a claim is tried while others claim at the same moment.
CLAIM_TRIES = 20
#: Seconds that the IDs of reports are kept.
REPORTS_KEPT_FOR = 86400


class RedisCache(PersistentCache):
    """Answers, counters, facts, runs and rates in Redis.

    Args:
        connection: a URL (``redis://…``) or the arguments of ``redis.Redis``.
        prefix: of every key.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        connection: str | Mapping[str, Any],
        prefix: str = "huggingface_api",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(clock)
        self._prefix = prefix
        self._redis = RedisConnection(connection)
        # Separate from the others: a Redis may refuse scripts and still store answers.
        self._scripts = CircuitBreaker(
            "the rate limit in Redis", "requests_per_minute applies to each worker separately"
        )
        self._counting = CircuitBreaker("scripts in Redis", "counts may be added twice where a connection breaks")
        self._reports = self._key("reports", uuid.uuid4().hex)
        self._budgets = CircuitBreaker(
            "the budget in Redis", "queries with max_cost_per_day and partitions with max_cost stop"
        )

    # Answers

    def _read_answers(self, keys: list[str]) -> Mapping[str, bytes]:
        def read(client: Any) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for some in batched(keys, KEYS_AT_ONCE):
                values = client.mget([self._answer(key) for key in some])
                found.update((key, value) for key, value in zip(some, values, strict=True) if value is not None)
            return found

        return self._redis.read(read) or {}

    def _write_pending(self, *, probe: bool = False) -> bool:
        if not (probe or self._redis.is_writable):
            return False
        answers, reports = self._pending.take(), self._counts.take_reports()

        def write(client: Any) -> bool:
            return self._write(client, answers, reports)

        if not (answers or reports) or self._redis.write(write, probe=probe):
            return True
        self._pending.give_back(answers)
        self._counts.give_back_reports(reports)
        return False

    def _write(self, client: Any, answers: dict[str, tuple[bytes, float]], reports: dict[str, Counts]) -> bool:
        """Write answers and reports, and remove from both what is written; a count would be added twice."""
        now, once = self._clock(), not self._counting.is_open
        commands: list[tuple[dict[Any, Any], Any]] = [(answers, key) for key in answers]
        if once:
            commands += [(reports, report) for report in reports]
        else:
            commands += [(counts, name) for counts in reports.values() for name in counts]
        for some in batched(commands, KEYS_AT_ONCE):
            pipeline = client.pipeline(transaction=False)
            for waiting, name in some:
                if waiting is answers:
                    value, expires = answers[name]
                    pipeline.set(self._answer(name), value, px=max(1, round((expires - now) * 1000)))
                elif waiting is reports:
                    self._count_once(pipeline, name, reports[name])
                else:
                    scope, counter = name
                    pipeline.hincrbyfloat(self._key("usage", scope), counter, waiting[name])
            written = self._counts.take_written()
            if written:  # nobody repeats these any more
                pipeline.hdel(self._reports, *written)
            failed: list[Exception] = []
            for (waiting, name), result in zip(some, pipeline.execute(raise_on_error=False), strict=False):
                if isinstance(result, Exception):
                    failed.append(result)
                    continue
                del waiting[name]
                if waiting is reports:
                    self._counts.written(name)
            if failed and once and all(map(_refuses_scripts, failed)):
                self._counting.record_failure(failed[0])
                return self._write(client, answers, reports)
            if failed:
                raise failed[0]
        return True

    def _count_once(self, pipeline: Any, report: str, counts: Counts) -> None:
        ((scope, _), *_) = counts
        added = chain.from_iterable((name, count) for (_, name), count in counts.items())
        pipeline.eval(COUNT_ONCE, 2, self._reports, self._key("usage", scope), report, REPORTS_KEPT_FOR, *added)

    # Owners

    def register(self, scope: str, owner: Owner) -> None:
        value = json.dumps([owner.tenant, owner.engine, owner.project, owner.model])
        self._redis.write(lambda client: client.hset(self._prefix + ":owners", scope, value))

    def owners(self) -> dict[str, Owner]:
        def read(client: Any) -> dict[str, Owner]:
            found = client.hgetall(self._prefix + ":owners")
            return {as_text(scope): Owner(*json.loads(value)) for scope, value in found.items()}

        return self._redis.read(read) or {}

    def sizes(self, before: float | None = None) -> list[Stored] | None:
        names = {scope_id(scope): scope for scope in self.owners()}
        found: dict[bytes, list[int]] = {}

        def add(client: Any, keys: list[Any], headers: list[tuple[bytes, int]]) -> None:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.strlen(key)
            for (scope, written), size in zip(headers, pipeline.execute(), strict=True):
                known = found.setdefault(scope, [0, 0, written, written])
                found[scope] = [known[0] + 1, known[1] + size, min(known[2], written), max(known[3], written)]

        if not self._each(None, before, add):
            return None
        return [Stored(names.get(scope), *of) for scope, of in found.items()]

    def clear(self, scopes: Collection[str] | None = None, before: float | None = None) -> int | None:
        deleted = 0

        def delete(client: Any, keys: list[Any], headers: list[tuple[bytes, int]]) -> None:
            nonlocal deleted
            deleted += client.unlink(*keys)

        return deleted if self._each(scopes, before, delete) else None

    def _each(
        self,
        scopes: Collection[str] | None,
        before: float | None,
        work: Callable[[Any, list[Any], list[tuple[bytes, int]]], None],
    ) -> bool:
        """Call ``work`` with the keys and headers of stored answers, many at a time; whether all were found."""
        ids = None if scopes is None else {scope_id(scope) for scope in scopes}

        def walk(client: Any) -> bool:
            for keys in batched(client.scan_iter(self._answer("*"), count=KEYS_AT_ONCE), KEYS_AT_ONCE):
                pipeline = client.pipeline(transaction=False)
                fresh = list(dict.fromkeys(keys))  # a scan may return a key twice
                for key in fresh:
                    pipeline.getrange(key, 0, HEADER_SIZE - 1)
                found = [
                    (key, read_header(header)) for key, header in zip(fresh, pipeline.execute(), strict=True) if header
                ]
                chosen = [
                    (key, (scope, written))
                    for key, (scope, written) in found
                    if (ids is None or scope in ids) and (before is None or written < int(before))
                ]
                if chosen:
                    work(client, [key for key, _ in chosen], [header for _, header in chosen])
            return True

        return bool(self._redis.read(walk))

    # Counters

    def _read_counts(self, scope: str) -> dict[str, float]:
        def read(client: Any) -> dict[str, float]:
            return {as_text(name): float(value) for name, value in client.hgetall(self._key("usage", scope)).items()}

        return self._redis.read(read) or {}

    # Facts

    def _read_fact(self, name: str) -> Any:
        return self._redis.read(lambda client: client.get(self._key("fact", name)))

    def put_fact(self, name: str, value: Any, ttl: float) -> None:
        milliseconds = max(1, round(ttl * 1000))
        self._redis.write(lambda client: client.set(self._key("fact", name), json.dumps(value), px=milliseconds))

    # Runs

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int) -> None:
        now = self._clock()
        self._updates.start(run)
        pid, host = this_process()
        fields = {
            "scope": scope, "model": model, "task": task, "rows": rows, "done": 0, "errors": 0,
            "started": repr(now), "updated": repr(now), "state": RUNNING, "pid": pid, "host": host,
        }  # fmt: skip

        def write(client: Any) -> None:
            key, index = self._key("run", run), self._key("runs", scope)
            pipeline = client.pipeline(transaction=False)
            pipeline.hset(key, mapping=fields)
            pipeline.expire(key, int(RUNS_KEPT_FOR))
            pipeline.zadd(index, {run: now})
            pipeline.zremrangebyrank(index, 0, -RUNS_KEPT - 1)
            pipeline.expire(index, int(RUNS_KEPT_FOR))
            pipeline.execute()

        self._redis.write(write)

    def _record(self, run: str, now: RunState) -> None:
        fields: dict[str, Any] = {
            "done": now.done, "errors": now.errors, "state": now.state,
            "updated": repr(self._clock()), "rate": repr(now.rate),
        }  # fmt: skip
        if now.cost is not None:
            fields["cost"] = repr(now.cost)
        if now.audit is not None:
            fields["audited"], fields["agreed"] = now.audit
        self._redis.write(lambda client: client.hset(self._key("run", run), mapping=fields))

    def runs(self, scope: str | None = None) -> list[Run]:
        def read(client: Any) -> list[Run]:
            pipeline = client.pipeline(transaction=False)
            for one in self.owners() if scope is None else [scope]:
                pipeline.zrevrange(self._key("runs", one), 0, RUNS_KEPT - 1)
            names = [as_text(name) for some in pipeline.execute() for name in some]
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(self._key("run", name))
            found = zip(names, pipeline.execute(), strict=True)
            return [run for name, fields in found if (run := _read_run(name, fields)) is not None]

        now = self._clock()
        runs = self._redis.read(read) or []
        return [with_state(run, now) for run in sorted(runs, key=lambda run: run.started, reverse=True)]

    def is_available(self) -> bool:
        return bool(self._redis.read(lambda client: client.ping()))

    # Stops

    def request_stop(self, names: Iterable[str], ttl: float = STOP_KEPT_FOR) -> bool:
        def write(client: Any) -> bool:
            pipeline = client.pipeline(transaction=False)
            pipeline.ping()
            for name in names:
                pipeline.set(self._key("stop", name), 1, px=max(1, round(ttl * 1000)))
            pipeline.execute()
            return True

        return bool(self._redis.write(write))

    def stop_requested(self, names: Iterable[str]) -> bool:
        keys = [self._key("stop", name) for name in names]
        return bool(keys and self._redis.read(lambda client: client.exists(*keys)))

    # Rates

    def reserve_requests(self, rate: str, interval: float, count: int) -> float | None:
        given = (interval, count, CREDIT, longest_wait(interval, count))
        found = self._redis.run_script(RESERVE_REQUESTS, [self._key("pace", rate)], given, self._scripts)
        return None if found is None else found[0]

    # Budgets

    def hold_budget(self, holder: str, draw: Draw) -> Grant | None:
        given = (
            holder, draw.cap, draw.spent, draw.keep, draw.least, draw.most, draw.pending, int(draw.closes),
            HELD_FOR, HELD_AHEAD, int(BUDGETS_KEPT_FOR),
        )  # fmt: skip
        index = f"{self._prefix}:budgets"
        keys = [self._key("budget", draw.budget), index, *(self._old_budgets(index) if draw.closes else ())]
        found = self._redis.run_script(HOLD_BUDGET, keys, given, self._budgets)
        return None if found is None else Grant(*found)

    def _old_budgets(self, index: str) -> list[bytes]:
        before = self._clock() - BUDGETS_KEPT_FOR
        return self._redis.read(lambda client: client.zrangebyscore(index, "-inf", before, 0, KEYS_AT_ONCE)) or []

    # Claims: the processes of the holders of a scope in one hash, and the keys of each in a value of its own, which
    # expires by the clock of the server.

    def claim(self, scope: str, keys: Iterable[str], holder: str) -> Claim:
        import redis

        wanted = frozenset(keys)
        index, lasts = self._key("claims", scope), round(CLAIM_KEPT_FOR * 1000)

        def claim(client: Any) -> Claim:
            with client.pipeline() as pipeline:
                for _ in range(CLAIM_TRIES):
                    try:
                        pipeline.watch(index)
                        known = {as_text(one): as_text(process) for one, process in pipeline.hgetall(index).items()}
                        stored = pipeline.mget([self._claim(scope, one) for one in known]) if known else []
                        held = dict(zip(known, stored, strict=True))
                        gone = [one for one, keys in held.items() if keys is None or _has_ended(known[one])]
                        others = {one: unpacked(as_text(keys)) for one, keys in held.items() if one not in gone}
                        granted = grant(wanted, others)
                        pipeline.multi()
                        if gone:
                            pipeline.hdel(index, *gone)
                        if granted.granted:
                            pipeline.set(self._claim(scope, holder), packed(granted.granted), px=lasts)
                            pipeline.hset(index, holder, " ".join(map(str, this_process())))
                            pipeline.expire(index, int(RUNS_KEPT_FOR))
                        pipeline.execute()
                        return granted
                    except redis.WatchError:  # somebody else has claimed at the same moment
                        continue
            return Claim(wanted)

        return self._redis.write(claim) or Claim(wanted)

    def renew_claim(self, scope: str, holder: str) -> None:
        lasts = round(CLAIM_KEPT_FOR * 1000)
        self._redis.write(lambda client: client.pexpire(self._claim(scope, holder), lasts))

    def release_claim(self, scope: str, holder: str) -> None:
        def release(client: Any) -> None:
            pipeline = client.pipeline(transaction=False)
            pipeline.delete(self._claim(scope, holder))
            pipeline.hdel(self._key("claims", scope), holder)
            pipeline.execute()

        self._redis.write(release)

    def claim_holders(self, scope: str) -> set[str]:
        def read(client: Any) -> set[str]:
            known = {
                as_text(one): as_text(process) for one, process in client.hgetall(self._key("claims", scope)).items()
            }
            pipeline = client.pipeline(transaction=False)
            for one in known:
                pipeline.exists(self._claim(scope, one))
            alive = pipeline.execute() if known else []
            return {one for one, lives in zip(known, alive, strict=True) if lives and not _has_ended(known[one])}

        return self._redis.read(read) or set()

    def close(self) -> None:
        self._redis.close()

    # Names

    def _key(self, kind: str, name: str) -> str:
        return f"{self._prefix}:{kind}:{name}"

    def _claim(self, scope: str, holder: str) -> str:
        return self._key("claim", f"{scope}:{holder}")

    def _answer(self, key: str) -> str:
        return self._key("answer", key)


def _refuses_scripts(error: Exception) -> bool:
    """Return whether Redis runs no scripts, or none of this user."""
    return str(error).lower().startswith(("unknown command", "noperm", "this user has no permissions"))


def _has_ended(process: str) -> bool:
    pid, _, host = process.partition(" ")
    return has_ended(int(pid), host)


#: How the fields of a run are read; all but its name.
_RUN_FIELDS: Mapping[str, Callable[[str], Any]] = {
    "scope": str, "model": str, "task": str, "rows": int, "done": int, "errors": int, "started": float,
    "updated": float, "state": str, "pid": int, "host": str, "rate": float, "cost": float, "audited": int,
    "agreed": int,
}  # fmt: skip


def _read_run(name: str, fields: Mapping[Any, Any]) -> Run | None:
    found = {as_text(field): as_text(value) for field, value in fields.items()}
    try:
        return Run(run=name, **{field: read(found[field]) for field, read in _RUN_FIELDS.items() if field in found})
    except (TypeError, ValueError):  # it has expired, or another program has written it
        return None
