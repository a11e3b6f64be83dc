"""Patches of MindsDB, each with and without it: the damage without it must be real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.mindsdb_server import service_environment

from .expected import REVIEWS, TWIN_REVIEWS, mood
from .one_process import environment, found_by


@pytest.fixture
def run_without(installed: None, sandbox: Sandbox, duck: Path, tmp_path: Path) -> Any:
    def run(*left_out: str) -> Any:
        environ = environment(tmp_path, **service_environment(sandbox.url, sandbox.hub_url))
        return found_by("inprocess", environ, str(duck), *left_out)

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
