"""The cache in Redis: what it does while Redis cannot be reached, and with which settings."""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.cache import Draw, RedisCache, base, redis_connection
from huggingface_api_handler.cache.budgets import BUDGETS_KEPT_FOR
from huggingface_api_handler.cache.redis_connection import PROBE_TIMEOUT, RedisConnection
from huggingface_api_handler.cache.runs import RunState
from tests.services import CLOSED_PORT, RedisServer

from .conftest import TTL


class Cutter:
    """A way to Redis that breaks after requests of one kind have been carried out, before their responses arrive.

    Attributes:
        cuts: how many requests are still to lose their response.
    """

    def __init__(self, port: int, mark: bytes, cuts: int) -> None:
        self.cuts = cuts
        self._mark = mark
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    data = client.recv(1 << 20)
                    server.sendall(data)
                    if self._mark in data and self.cuts:
                        self.cuts -= 1
                        server.recv(1 << 20)  # it has been carried out
                        return
                    if not data:
                        return
                else:
                    client.sendall(server.recv(1 << 20))

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client of Redis try again at once."""
    monkeypatch.setattr("redis.retry.sleep", lambda seconds: None)


@pytest.mark.usefixtures("impatient")
class TestBrokenConnection:
    @pytest.mark.parametrize("cuts", [1, 2, 4, 5, 9])
    @pytest.mark.parametrize("answers", [0, 1, 1500])
    def test_counts_are_added_once(self, redis_url: str, tmp_path: Path, cuts: int, answers: int) -> None:
        port = int(redis_url.rsplit(":", 1)[1].split("/")[0])
        way = Cutter(port, b"HINCRBYFLOAT", cuts)
        prefix = f"{tmp_path.name}-{cuts}-{answers}"
        cache = RedisCache(f"redis://127.0.0.1:{way.port}/0", prefix)
        direct = RedisCache(redis_url, prefix)
        for number in range(4):
            values = {f"{number} {answer}": b"1" for answer in range(answers)}
            cache.put_many(values, TTL, scope="s", counts={"cost": 0.25, "answered": 2})
            cache.count("t", {"rows": 1})
            cache._redis.reaching._clock = lambda number=number: time.monotonic() + (number + 1) * 2 * base.PAUSE
        for _ in range(4):  # what has failed is written with what comes next
            cache._redis.reaching.record_success()
            cache._write_pending()
        assert direct.usage("s") == {"cost": 1.0, "answered": 8.0}
        assert direct.usage("t") == {"rows": 4.0}
        assert len(direct.get_many(f"3 {answer}" for answer in range(answers))) == answers
        cache.close()
        direct.close()
        way.close()

    def test_ids_of_reports_do_not_pile_up(self, redis_url: str, tmp_path: Path) -> None:
        cache = RedisCache(redis_url, tmp_path.name)
        for _ in range(50):
            cache.count("s", {"rows": 1})
        assert cache._redis.read(lambda client: client.hlen(cache._reports)) == 1
        assert cache.usage("s") == {"rows": 50.0}
        cache.close()

    def test_a_redis_without_scripts_counts_too(
        self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        import redis

        redis.Redis.from_url(redis_server.url).acl_setuser("default", enabled=True, commands=["-eval", "-evalsha"])
        cache = RedisCache(redis_server.url)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                cache.put_many({"a": b"1"}, TTL, scope="s", counts={"cost": 0.5})
        assert cache.usage("s") == {"cost": 1.5}
        assert cache.get_many(["a"]) == {"a": b"1"}
        assert ["counts may be added twice" in message for message in caplog.messages] == [True]
        cache.close()


class TestRedis:
    def test_queries_go_on_where_it_is_down(self, caplog: pytest.LogCaptureFixture) -> None:
        cache = RedisCache({"host": "127.0.0.1", "port": CLOSED_PORT})
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                cache.put_many({"a": b"1"}, TTL)
                assert cache.get_many(["a", "b"]) == {"a": b"1"}
                assert cache.usage("s") == {}
                assert cache.runs("s") == []
        assert len(caplog.records) == 1

    def test_it_is_used_again_later(self, redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
        redis_server.stop()
        cache = RedisCache(redis_server.url)
        with caplog.at_level(logging.WARNING):
            cache.put_many({"a": b"1"}, ttl=60)
            redis_server.start()
            cache.put_many({"b": b"1"}, TTL)  # it is left alone for a while
            assert RedisCache(redis_server.url).get_many(["a", "b"]) == {}
            cache._redis.reaching._clock = lambda: time.monotonic() + base.PAUSE
            cache.put_many({"c": b"1"}, TTL)
        other = RedisCache(redis_server.url)
        assert other.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"1", "c": b"1"}  # what had to wait is not lost
        assert "can be used again" in caplog.messages[-1]
        cache.close()

    def test_the_end_of_a_run_writes_what_had_to_wait(self, redis_server: RedisServer) -> None:
        redis_server.stop()
        cache = RedisCache(redis_server.url)
        cache.put_many({"a": b"1"}, TTL)
        redis_server.start()
        cache.run_end("r", RunState(1, 0, "done"))
        assert RedisCache(redis_server.url).get_many(["a"]) == {"a": b"1"}
        cache.close()

    def test_one_that_is_silent_is_waited_for_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_connection, "TIMEOUT", 0.05)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            cache = RedisCache({"host": "127.0.0.1", "port": silent.getsockname()[1]})
            assert cache.get_many(["a"]) == {}
            cache.put_many({"a": b"1"}, TTL)
            assert cache.reserve_requests("rate", 1.0, 1) is None
            assert cache.runs("s") == []
            silent.settimeout(0.0)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()
            cache.run_end("r", RunState(1, 0, "done"))
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()

    def test_the_end_of_a_run_does_not_wait_for_one_that_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limits: list[dict[str, float]] = []
        new_client = RedisConnection._new_client

        def watched(self: RedisConnection, **given: float) -> Any:
            limits.append(given)
            return new_client(self, **given)

        monkeypatch.setattr(RedisConnection, "_new_client", watched)
        cache = RedisCache({"host": "127.0.0.1", "port": CLOSED_PORT})
        cache.put_many({"a": b"1"}, TTL)
        cache.run_end("r", RunState(1, 0, "done"))
        assert limits == [{}, {"socket_timeout": PROBE_TIMEOUT, "socket_connect_timeout": PROBE_TIMEOUT}]

    def test_settings_as_the_host_has_them(self, redis_url: str, tmp_path: Path) -> None:
        port = int(redis_url.rsplit(":", 1)[1].split("/")[0])
        cache = RedisCache(
            {"host": "127.0.0.1", "port": port, "decode_responses": True, "script_dir": None}, prefix=tmp_path.name
        )
        cache.put_many({"a": b"\xff"}, TTL)
        assert cache.get_many(["a"]) == {"a": b"\xff"}
        cache.close()

    def test_options_of_a_url_that_would_change_answers_or_waits(self, redis_url: str, tmp_path: Path) -> None:
        url = f"{redis_url}?decode_responses=True&socket_timeout=60"
        cache = RedisCache(url, prefix=tmp_path.name)
        cache.put_many({"a": b"\xff"}, TTL)
        assert cache.get_many(["a"]) == {"a": b"\xff"}
        with RedisConnection(url)._new_client(socket_timeout=PROBE_TIMEOUT) as client:
            assert client.connection_pool.connection_kwargs["socket_timeout"] == PROBE_TIMEOUT
            assert client.get(f"{tmp_path.name}:nothing") is None
        cache.close()

    def test_queries_go_on_with_settings_that_the_client_does_not_know(self, caplog: pytest.LogCaptureFixture) -> None:
        cache = RedisCache({"host": "127.0.0.1", "nonsense": "secret"})
        with caplog.at_level(logging.WARNING):
            assert cache.get_many(["a"]) == {}
        assert "secret" not in caplog.text

    def test_scripts_use_only_keys_that_they_are_given(self, redis_server: RedisServer) -> None:
        """Some servers that speak Redis' protocol refuse others."""
        import redis

        client = redis.Redis.from_url(redis_server.url)
        cache = RedisCache(redis_server.url)
        with client.monitor() as monitor:
            cache.count("s", {"rows": 1})
            cache.reserve_requests("rate", 1.0, 1)
            cache.hold_budget("one", Draw("old", 10, most=5))
            client.zincrby("huggingface_api:budgets", -BUDGETS_KEPT_FOR - 60, "huggingface_api:budget:old")
            cache.hold_budget("one", Draw("new", 10, closes=True))
            client.echo("end")
            given: list[str] = []
            used: set[str] = set()
            for command in monitor.listen():
                name, *words = command["command"].split()
                if name == "ECHO":
                    break
                if name in ("EVAL", "EVALSHA"):
                    found = re.search(r"(?:EVALSHA \w+|\\n) ([0-9]+) (.*)", command["command"])
                    assert found is not None
                    given = found[2].split()[: int(found[1])]
                elif command["client_type"] == "lua" and name != "TIME":
                    assert words[0] in given
                    used.add(name)
        assert used >= {"HINCRBYFLOAT", "SET", "HSET", "DEL"}
        assert client.zrange("huggingface_api:budgets", 0, -1) == [b"huggingface_api:budget:new"]
        cache.close()

    def test_a_refused_write_does_not_break_what_others_read(self) -> None:
        asked, refused = threading.Event(), threading.Event()

        def serve(client: socket.socket) -> None:
            with client:
                while data := client.recv(65536):
                    if b"PING" in data:
                        asked.set()
                        refused.wait()
                    client.sendall(b"-OOM command not allowed\r\n" if b"HSET" in data else b"+PONG\r\n")

        with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
            settings = {"host": "127.0.0.1", "port": listener.getsockname()[1], "lib_name": None, "lib_version": None}
            connection = RedisConnection(settings)
            read = threads.submit(connection.read, lambda client: client.ping())
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
            asked.wait()
            write = threads.submit(connection.write, lambda client: client.hset("a", "b", "c"))
            threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
            assert write.result() is None and not connection.is_writable
            refused.set()
            assert read.result() and not connection.reaching.is_open
            connection.close()
