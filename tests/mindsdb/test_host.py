"""Patches of MindsDB, each with and without it: the damage without it must be real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.sandbox import Sandbox

from .expected import REVIEWS, TWIN_REVIEWS, mood

SCRIPT = Path(__file__).with_name("inprocess.py")


@pytest.fixture
def run_without(installed: None, sandbox: Sandbox, duck: Path, tmp_path: Path) -> Any:
    def run(*left_out: str) -> dict[str, Any]:
        command = [sys.executable, str(SCRIPT), str(tmp_path), sandbox.url, sandbox.hub_url, str(duck), *left_out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found

    return run


def wrong(rows: list[list[Any]], table: list[tuple[int, str, str | None]]) -> int:
    truth = {number: mood(review) for number, _, review in table}
    assert len(rows) == len(table)
    return sum(found != truth[number] for number, found in rows)


def test_with_every_patch(run_without: Any) -> None:
    found = run_without()
    assert wrong(found["reviews"], REVIEWS) == 0
    assert wrong(found["twins"], TWIN_REVIEWS) == 0
    assert "Traceback" not in found["error"]
    assert "'fill-msk'" in found["error"].splitlines()[0]


def test_without_the_patch_of_the_prediction_cache(run_without: Any) -> None:
    found = run_without("_predictions_are_not_cached_by_mindsdb")
    assert wrong(found["reviews"], REVIEWS) == 0
    assert wrong(found["twins"], TWIN_REVIEWS) > 100


def test_without_the_patch_of_error_texts(run_without: Any) -> None:
    assert "Traceback" in run_without("_errors_of_workers_have_no_traceback")["error"]
