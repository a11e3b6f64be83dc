"""What the tests of queries share: a sandbox for each file, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from huggingface_api_handler.cache import Cache, SqliteCache
from huggingface_api_handler.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    """No test sees the faults and requests of the one before."""
    if "sandbox" in request.fixturenames:
        request.getfixturevalue("sandbox").reset()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Cache]:
    opened = SqliteCache(tmp_path / "answers.sqlite")
    yield opened
    opened.close()
