"""A machine without the services that tests need, and a port that another process takes first."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests import services
from tests.services import RedisServer


@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_without_redis_tests_are_skipped_loudly_or_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("REQUIRE_SERVICES", required)
    with pytest.raises(outcome, match=r"^NOT TESTED: there is no redis-server: install Redis$"):
        RedisServer(tmp_path).start()


def test_a_redis_takes_another_port_if_its_first_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = services.free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(services, "free_port", lambda: next(ports, 0) or free())
        with RedisServer(tmp_path) as server, contextlib.closing(server.client()) as client:
            assert server.port != taken.getsockname()[1]
            assert client.ping()
