"""What all tests share: a sandbox, a shop to query, and the rule that nothing leaves this machine."""

from __future__ import annotations

import atexit
import ipaddress
import logging
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

# Whoever runs the tests may be logged in: no test sees that token. Both are read when the libraries are imported.
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_API_API_KEY")
for _name in (*_TOKENS, "HUGGINGFACE_API_BASE_URL", "HF_ENDPOINT"):
    os.environ.pop(_name, None)
# Whoever runs the tests may have a MindsDB: no test sees its settings, writes into its folder or uses its database.
for _name in [name for name in os.environ if name.startswith("MINDSDB_")]:
    del os.environ[_name]
for _name in ("HF_HOME", "MINDSDB_STORAGE_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
    os.environ[_name] = tempfile.mkdtemp(prefix="hf-tests-")
    atexit.register(shutil.rmtree, os.environ[_name], ignore_errors=True)
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["MINDSDB_NO_STUDIO"] = "1"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

if str(ROOT / "examples") not in sys.path:
    sys.path.append(str(ROOT / "examples"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they stand in."""
    for item in items:
        folder = item.path.relative_to(ROOT).parts[1]
        if folder in ("unit", "mindsdb"):
            item.add_marker(folder)


@pytest.fixture(scope="session", autouse=True)
def _only_this_machine() -> Iterator[None]:
    """Refuse connections to any address but loopback, in this process."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(sock: socket.socket, address: Any) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]).partition("%")[0]
            try:
                is_ours = host == "localhost" or ipaddress.ip_address(host).is_loopback
            except ValueError:
                is_ours = False
            if not is_ours:
                raise PermissionError(f"a test tried to reach {host}")

    def checked(self: socket.socket, address: Any) -> None:
        check(self, address)
        connect(self, address)

    def checked_ex(self: socket.socket, address: Any) -> int:
        check(self, address)
        return connect_ex(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", checked)
        patch.setattr(socket.socket, "connect_ex", checked_ex)
        yield


@pytest.fixture(autouse=True)
def _loggers_are_on() -> None:
    """Whatever imports MindsDB first disables all loggers that exist by then; tests read what they log."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("huggingface_api_handler") and isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session")
def token() -> str:
    """A token of the right form that belongs to nobody."""
    return "hf_" + "a" * 34


@pytest.fixture(scope="session")
def bad_token() -> str:
    """A token that the sandbox of the tests refuses."""
    return "hf_" + "b" * 34


@pytest.fixture(scope="session")
def _running_sandbox(bad_token: str) -> Iterator[Any]:
    from huggingface_api_handler.sandbox import Sandbox

    with Sandbox(bad_tokens=[bad_token]) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_running_sandbox: Any) -> Iterator[Any]:
    """The sandbox, as new: an empty log, no faults."""
    _running_sandbox.reset()
    yield _running_sandbox
    _running_sandbox.reset()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with the example tables ``reviews`` and ``tickets``. DuckDB lets one process in at a time."""
    from make_shop import build

    return build(tmp_path_factory.mktemp("shop") / "shop.duckdb")
