"""Another engine beside ours: whatever it does comes out as without our patches, byte for byte."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.cli.link import handlers_folder

from .one_process import environment, found_by

FAULT = "Bearer authentication is not enabled, Bearer 12345 and api_org_1 hf_inference neither; token: none"


@pytest.fixture(scope="module")
def runs(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What is found with our patches, and without."""
    link = handlers_folder() / f"echo_{uuid.uuid4().hex}_handler"
    link.symlink_to(Path(__file__).parent / "echo_handler", target_is_directory=True)
    try:
        yield {
            patched: found_by("beside", environment(tmp_path_factory.mktemp(patched)), patched)
            for patched in ("without", "with")
        }
    finally:
        link.unlink()


def test_the_other_engine_works(runs: dict[str, dict[str, Any]]) -> None:
    """So that there is something to compare."""
    found = runs["without"]
    assert found["rows"] == [[["one"]], [["one"]], [["two"]]]
    assert FAULT in found["error"]
    assert FAULT in found["bad model"][0][1]
    assert "Bearer authentication is not enabled" in found["log"]
    assert len(found["cache"]) == 2
    assert found["cached"] == {"a": 1}
    assert found["connections"] == 4


@pytest.mark.parametrize(
    "what",
    ["engine", "stored", "model", "bad model", "rows", "error", "log", "cache", "statements of the cache", "cached",
     "task name", "parts of a task name", "waited together", "connections"],
)  # fmt: skip
def test_nothing_of_it_changes(runs: dict[str, dict[str, Any]], what: str) -> None:
    assert runs["with"][what] == runs["without"][what]
