"""A store in a Redis that the processes of several machines share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

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

T = TypeVar("T")

#: Keys in one command.
PORTION = 1000
#: Seconds for a connection, and for an answer, where the settings name none.
CONNECT_TIMEOUT, TIMEOUT = 2.0, 10.0
#: What MindsDB's own client takes beside the connection's arguments.
_NOT_OURS = ("script_dir",)

#: Takes turns by the clock of the server, which is the same for everybody. Kept is when the next one
#: is, in seconds since 1970. In: key; gap, count, credit, the furthest a turn can be away.
_CLAIM = """
local told = redis.call('TIME')
local now = tonumber(told[1]) + tonumber(told[2]) / 1000000
local gap, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local turn = tonumber(redis.call('GET', KEYS[1]) or '0')
if turn > now + tonumber(ARGV[4]) then turn = 0 end
turn = math.max(turn, now - tonumber(ARGV[3]))
local after = turn + gap * count
redis.call('SET', KEYS[1], string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000) + 60000)
return string.format('%.6f', turn - now)
"""


class RedisCache:
    """Answers, counters, runs and paces in Redis. While it cannot be reached, all goes on without it.

    Args:
        connection: a URL (``redis://…``) or the arguments of ``redis.Redis``.
        prefix: stands before every key.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        connection: str | Mapping[str, Any],
        prefix: str = "huggingface_api",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._clock = clock
        self._client: Any = None
        self._lock = threading.Lock()
        self._throttle = Throttle()
        #: Answers that wait for Redis, and when they expire.
        self._pending: dict[str, tuple[bytes, float | None]] = {}
        self._trouble = CircuitBreaker("the answer store in Redis")
        # Apart from the store's: a Redis may refuse scripts and keep answers all the same.
        self._pacing = pace_trouble("the pace in Redis")

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``Store``."""

        def read(client: Any) -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for some in portions(keys, PORTION):
                values = client.mget([self._answer(key) for key in some])
                found.update((key, value) for key, value in zip(some, values, strict=True) if value is not None)
            return found

        keys = list(keys)
        return (self._work(read) or {}) if keys else {}

    def put_many(self, values: Mapping[str, bytes], ttl: float | None = None) -> None:
        """See ``Store``."""
        ends = None if ttl is None else self._clock() + ttl
        with self._lock:
            self._pending.update((key, (value, ends)) for key, value in values.items())
            taken, self._pending = self._pending, {}

        def write(client: Any) -> bool:
            now = self._clock()
            for some in portions(taken.items(), PORTION):
                pipeline = client.pipeline(transaction=False)
                for key, (value, until) in some:
                    pipeline.set(
                        self._answer(key), value, px=None if until is None else max(1, round((until - now) * 1000))
                    )
                pipeline.execute()
            return True

        if taken and not self._work(write):
            with self._lock:
                # They wait for the next write: a Redis that is started anew costs no answers.
                self._pending = dict([*taken.items(), *self._pending.items()][-PENDING:])

    def count(self, scope: str, counts: Mapping[str, float]) -> None:
        """See ``Store``."""

        def write(client: Any) -> None:
            pipeline = client.pipeline(transaction=False)
            for name, value in counts.items():
                if value:
                    pipeline.hincrbyfloat(f"{self._prefix}:usage:{scope}", name, value)
            pipeline.execute()

        if any(counts.values()):
            self._work(write)

    def usage(self, scope: str) -> dict[str, float]:
        """See ``Store``."""
        found = self._work(lambda client: client.hgetall(f"{self._prefix}:usage:{scope}")) or {}
        return {_text(name): float(value) for name, value in found.items()}

    def run_start(self, run: str, scope: str, *, model: str, task: str, rows: int, pid: int | None = None) -> None:
        """See ``Store``."""
        now = self._clock()
        self._throttle.start(run)
        own_pid, host = this_process(pid)
        note = {
            "scope": scope, "model": model, "task": task, "rows": rows, "done": 0, "errors": 0,
            "started": repr(now), "updated": repr(now), "state": RUNNING, "pid": own_pid, "host": host,
        }  # fmt: skip

        def write(client: Any) -> None:
            index = f"{self._prefix}:runs:{scope}"
            pipeline = client.pipeline(transaction=False)
            pipeline.hset(self._run(run), mapping=note)
            pipeline.expire(self._run(run), int(RUNS_KEPT_FOR))
            pipeline.zadd(index, {run: now})
            pipeline.zremrangebyrank(index, 0, -RUNS_KEPT - 1)
            pipeline.expire(index, int(RUNS_KEPT_FOR))
            pipeline.execute()

        self._work(write)

    def run_update(self, run: str, *, done: int, errors: int, rate: float = 0.0) -> None:
        """See ``Store``."""
        if self._throttle.may_pass(run):
            self._note(run, done, errors, RUNNING, rate)

    def run_end(self, run: str, *, done: int, errors: int, state: str = "done") -> None:
        """See ``Store``."""
        self._throttle.end(run)
        self.put_many({})  # what has been left waiting
        self._note(run, done, errors, state)

    def _note(self, run: str, done: int, errors: int, state: str, rate: float = 0.0) -> None:
        note = {"done": done, "errors": errors, "state": state, "updated": repr(self._clock()), "rate": repr(rate)}
        self._work(lambda client: client.hset(self._run(run), mapping=note))

    def runs(self, scope: str) -> list[Run]:
        """See ``Store``."""

        def read(client: Any) -> list[Run]:
            names = [_text(name) for name in client.zrevrange(f"{self._prefix}:runs:{scope}", 0, RUNS_KEPT - 1)]
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.hgetall(self._run(name))
            return [run for name, note in zip(names, pipeline.execute(), strict=True) if (run := _read_run(name, note))]

        now = self._clock()
        return [seen_from_here(run, now) for run in self._work(read) or []]

    def claim(self, pace: str, gap: float, count: int = 1) -> float | None:
        """See ``Store``."""
        key, given = f"{self._prefix}:pace:{pace}", (gap, count, CREDIT, furthest(gap, count))
        # Its hash is sent, and the script itself only to a server that does not know it.
        return self._work(lambda client: float(client.register_script(_CLAIM)([key], given)), self._pacing)

    def close(self) -> None:
        """See ``Store``."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _answer(self, key: str) -> str:
        return f"{self._prefix}:answer:{key}"

    def _run(self, run: str) -> str:
        return f"{self._prefix}:run:{run}"

    def _work(self, work: Callable[[Any], T], trouble: CircuitBreaker | None = None) -> T | None:
        """Do ``work``; ``None`` where Redis cannot be reached or refuses."""
        import redis

        trouble = trouble or self._trouble
        if trouble.lasts:
            return None
        try:
            done = work(self._connected())
        except (redis.RedisError, OSError, TypeError, ValueError) as error:
            # The last two: arguments of the connection that the client does not know.
            trouble.met(type(error).__name__ if isinstance(error, (TypeError, ValueError)) else error)
            return None
        trouble.over()
        return done

    def _connected(self) -> Any:
        import redis

        with self._lock:
            if self._client is None:
                # Answers are bytes, whatever the host's setting says.
                given = {"socket_timeout": TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT}
                if isinstance(self._connection, str):
                    self._client = redis.Redis.from_url(self._connection, **given)
                else:
                    own = {name: value for name, value in self._connection.items() if name not in _NOT_OURS}
                    self._client = redis.Redis(**{**given, **own, "decode_responses": False})
            return self._client


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_run(name: str, note: Mapping[Any, Any]) -> Run | None:
    told = {_text(field): _text(value) for field, value in note.items()}
    try:
        return Run(
            run=name,
            scope=told["scope"],
            model=told["model"],
            task=told["task"],
            rows=int(told["rows"]),
            done=int(told["done"]),
            errors=int(told["errors"]),
            started=float(told["started"]),
            updated=float(told["updated"]),
            state=told["state"],
            pid=int(told["pid"]),
            host=told["host"],
            rate=float(told.get("rate", 0.0)),
        )
    except (KeyError, ValueError):
        return None
