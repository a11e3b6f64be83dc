"""The jobs of the recipes score each new row once, also after a run that failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huggingface_api_handler.sandbox import SandboxProcess
from huggingface_api_handler.sandbox.mindsdb_server import service_environment

from .one_process import environment, found_by
from .test_docs import TEXTS, docs

JOBS = ("score_inbox", "score_latest", "score_nightly")


@pytest.fixture(scope="module")
def found(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    written = [one for block in docs.blocks(TEXTS["docs/recipes.md"]) for one in block.statements]
    statements = {name: next(one for one in written if one.startswith(f"CREATE JOB {name} ")) for name in JOBS}
    with SandboxProcess() as sandbox:
        environ = environment(tmp_path_factory.mktemp("jobs"), **service_environment(sandbox.url, sandbox.hub_url))
        return found_by("jobs_inprocess", environ, sandbox.hub_url, given=json.dumps(statements))


@pytest.mark.parametrize("job", ["score_inbox", "score_nightly"])
def test_a_job_that_selects_by_its_own_table_scores_the_rows_of_a_failed_run_later(
    found: dict[str, Any], job: str
) -> None:
    assert found[f"{job} healthy"] == [None, [[number, "POSITIVE"] for number in (1, 2, 3)]]
    error, rows = found[f"{job} refused"]
    assert "the account's credits are used up" in error
    assert len(rows) == 3
    assert found[f"{job} again"] == [None, [[number, "POSITIVE"] for number in range(1, 8)]]


def test_a_job_with_last_selects_each_row_once_and_keeps_its_error(found: dict[str, Any]) -> None:
    healthy = [[0, "none", "none"], *([number, "POSITIVE", None] for number in (1, 2, 3))]
    assert found["score_latest healthy"] == [None, healthy]
    refused = [[number, None, "out_of_credits"] for number in (4, 5)]
    assert found["score_latest refused"] == [None, [*healthy, *refused]]
    again = [[number, "POSITIVE", None] for number in (6, 7)]
    assert found["score_latest again"] == [None, [*healthy, *refused, *again]]
