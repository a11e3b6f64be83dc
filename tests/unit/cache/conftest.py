"""A Redis server for the tests, and the caches that the suite runs on."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache, NoCache, RedisCache, SqliteCache, sqlite
from huggingface_api_handler.cache import redis as redis_cache
from tests.services import CLOSED_PORT, RedisServer

MULTI = multiprocessing.get_context("spawn")
#: Seconds: longer than any test looks ahead.
TTL = 1e9


class Clock:
    """Seconds since 1970, set by the test."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def on_full_disk(folder: Path) -> SqliteCache:
    """A cache with an answer ``before``, whose file cannot grow."""
    cache = SqliteCache(folder / "answers.sqlite")
    cache.put_many({"before": b"1"}, TTL)
    connection = cache.file.connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    return cache


@contextlib.contextmanager
def in_ended_process() -> Iterator[None]:
    """What a cache records while the block runs seems to come from a process that has ended since."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.MonkeyPatch.context() as patch:
        for module in (sqlite, redis_cache):
            patch.setattr(module, "this_process", lambda: (ended.pid, socket.gethostname()))
        yield


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis that all tests share; each takes a prefix of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test."""
    with RedisServer(tmp_path) as server:
        yield server


@dataclass
class Backend:
    """One kind of cache.

    Attributes:
        kind: its name.
        where, prefix: what ``open_cache`` needs in another process.
        keeps: whether anything is kept.
        clock: for the caches that go by this process's clock.
        connection: a client of Redis, whose server keeps the time.
    """

    kind: str
    where: str = ""
    prefix: str = ""
    clock: Clock = field(default_factory=Clock)
    connection: Any = None

    @property
    def keeps(self) -> bool:
        return self.kind != "none"

    def open(self) -> Cache:
        return open_cache(self.kind, self.where, self.prefix, self.clock)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        if self.connection is None:
            return
        for key in self.connection.scan_iter(f"{self.prefix}:*"):
            left = self.connection.pttl(key)
            if left >= 0:
                # A time to live that is over deletes the key at once.
                self.connection.pexpire(key, left - round(seconds * 1000))
        for key in self.connection.zrange(f"{self.prefix}:budgets", 0, -1):
            self.connection.zincrby(f"{self.prefix}:budgets", -seconds, key)
        for key in self.connection.scan_iter(f"{self.prefix}:budget:*"):
            for holder, state in self.connection.hgetall(key).items():
                *numbers, expires = state.decode().split()
                self.connection.hset(key, holder, " ".join([*numbers, str(float(expires) - seconds)]))


def open_cache(kind: str, where: str, prefix: str, clock: Callable[[], float] = time.time) -> Cache:
    if kind == "sqlite":
        return SqliteCache(where, clock=clock)
    if kind == "redis":
        return RedisCache(where, prefix, clock=clock)
    return NoCache()


def unreachable(backend: Backend) -> Cache:
    """A cache of that kind that can be neither read nor written."""
    if backend.kind == "redis":
        return RedisCache({"host": "127.0.0.1", "port": CLOSED_PORT}, clock=backend.clock)
    folder = Path(backend.where).parent
    folder.write_text("no folder")
    return SqliteCache(backend.where, clock=backend.clock)


def _backend(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if kind == "redis":
        import redis

        url = request.getfixturevalue("redis_url")
        return Backend(kind, url, f"test-{tmp_path.name}-{time.time_ns()}", connection=redis.Redis.from_url(url))
    return Backend(kind, str(tmp_path / "cache" / "answers.sqlite"))


@pytest.fixture(params=["sqlite", "redis", "none"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Every kind of cache."""
    return _backend(request.param, request, tmp_path)


@pytest.fixture(params=["sqlite", "redis"])
def keeping(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Every kind of cache that keeps something."""
    return _backend(request.param, request, tmp_path)


@pytest.fixture
def cache(backend: Backend) -> Iterator[Cache]:
    opened = backend.open()
    yield opened
    opened.close()
