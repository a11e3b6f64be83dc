"""The cache in Redis: what it does while Redis cannot be reached, and with which settings."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from huggingface_api_handler.cache import RedisCache, base

from .conftest import RedisServer, free_port


class TestRedis:
    def test_queries_go_on_where_it_is_down(self, caplog: pytest.LogCaptureFixture) -> None:
        cache = RedisCache({"host": "127.0.0.1", "port": free_port()})
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                cache.put_many({"a": b"1"})
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
            cache.put_many({"b": b"1"})  # it is left alone for a while
            assert RedisCache(redis_server.url).get_many(["a", "b"]) == {}
            cache._redis.reaching._clock = lambda: time.monotonic() + base.PAUSE
            cache.put_many({"c": b"1"})
        other = RedisCache(redis_server.url)
        assert other.get_many(["a", "b", "c"]) == {"a": b"1", "b": b"1", "c": b"1"}  # what had to wait is not lost
        assert "can be used again" in caplog.messages[-1]
        cache.close()

    def test_the_end_of_a_run_writes_what_had_to_wait(self, redis_server: RedisServer) -> None:
        redis_server.stop()
        cache = RedisCache(redis_server.url)
        cache.put_many({"a": b"1"})
        redis_server.start()
        cache.run_end("r", done=1, errors=0)
        assert RedisCache(redis_server.url).get_many(["a"]) == {"a": b"1"}
        cache.close()

    def test_settings_as_the_host_has_them(self, redis_url: str, tmp_path: Path) -> None:
        port = int(redis_url.rsplit(":", 1)[1].split("/")[0])
        cache = RedisCache(
            {"host": "127.0.0.1", "port": port, "decode_responses": True, "script_dir": None}, prefix=tmp_path.name
        )
        cache.put_many({"a": b"\xff"})
        assert cache.get_many(["a"]) == {"a": b"\xff"}
        cache.close()

    def test_queries_go_on_with_settings_that_the_client_does_not_know(self, caplog: pytest.LogCaptureFixture) -> None:
        cache = RedisCache({"host": "127.0.0.1", "nonsense": "secret"})
        with caplog.at_level(logging.WARNING):
            assert cache.get_many(["a"]) == {}
        assert "secret" not in caplog.text
