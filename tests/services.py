"""Services that some tests need. Without them, these tests are skipped loudly, or fail where services are required."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from huggingface_api_handler.sandbox.mindsdb_server import HOST, free_port

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

#: Nobody listens there, and it is never handed out as a free port.
CLOSED_PORT = 9


def cannot_run(reason: str) -> None:
    """Fail where the services are required, as in CI; elsewhere skip, and say loudly what was not tested."""
    if os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(reason)
    pytest.skip(reason)


class RedisServer:
    """A Redis of the tests' own, which can be stopped and started again at the same port.

    Nobody else's Redis is used: tests empty databases, and would empty those of tests that run at the same time.
    """

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def client(self, database: int = 0, **options: Any) -> redis.Redis:
        return redis.Redis(HOST, self.port, db=database, **options)

    def start(self) -> None:
        """Start it; return when it answers."""
        program = shutil.which("redis-server")
        if program is None:
            cannot_run("NOT TESTED: there is no redis-server: install Redis")
        fixed = bool(self.port)
        while True:
            if not fixed:
                self.port = free_port()
            options = ["--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
            self._process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL, cwd=self._folder)
            if self._answers(self._process):
                return
            # Another process may have taken the port after it was found free.
            assert not fixed, "redis-server does not start"

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether it answers; ``False``: it has ended."""
        client: Any = self.client(socket_timeout=1.0)
        try:
            while process.poll() is None:
                try:
                    # Another Redis may be at the port.
                    if client.info("server")["process_id"] == process.pid:
                        return True
                except redis.RedisError:
                    pass
                time.sleep(0.02)
            return False
        finally:
            client.close()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
