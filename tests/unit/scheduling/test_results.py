"""What one request brings back, shared out to its rows."""

from __future__ import annotations

import pytest

from huggingface_api_handler.scheduling.results import BatchResult, RowResult
from tests.unit.virtual import items


def test_a_row_carries_the_facts_of_its_request() -> None:
    sent = BatchResult(
        [RowResult("a", {"score": 1})], request_id="r-1", compute_seconds=0.5, input_tokens=7, output_tokens=2,
        tokens=9, cost=0.25, cost_source="reported", provider="groq",
    )  # fmt: skip
    (item,) = items(1)
    row = sent.fill(sent.answers[0], item, attempts=3, latency=1.5)  # type: ignore[arg-type]
    assert row == RowResult(
        "a", {"score": 1}, attempts=3, latency=1.5, request_id="r-1", input_tokens=7, output_tokens=2, tokens=9,
        cost=0.25, cost_source="reported", provider="groq", item=item,
    )  # fmt: skip


def test_the_rows_of_a_request_share_its_cost() -> None:
    rows = [RowResult(number, tokens=number) for number in range(4)]
    sent = BatchResult(rows, tokens=6, cost=0.1, cost_source="computed", provider="groq")
    filled = [sent.fill(row, item, 1, 0.1) for row, item in zip(rows, items(4), strict=True)]
    assert sum(row.cost or 0.0 for row in filled) == pytest.approx(0.1)
    assert [row.tokens for row in filled] == [0, 1, 2, 3]
    assert {row.cost_source for row in filled} == {"computed"}


def test_an_unknown_cost_stays_unknown() -> None:
    row = RowResult("a")
    (item,) = items(1)
    assert BatchResult([row]).fill(row, item, 1, 0.1).cost is None
