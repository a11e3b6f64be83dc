"""The Grafana dashboard asks for metrics and labels that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.query.metrics import ALL, LABELS, SOURCES

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "examples" / "grafana.json").read_text())
TARGETS = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}")
    for panel in BOARD["panels"]
    for target in panel["targets"]
]
#: The names of time series, each with its labels.
SERIES = {
    f"{metric.name}{suffix}": {*LABELS, *metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for metric in ALL
    for suffix in (("_bucket", "_sum", "_count") if metric.buckets else ("_total",))
}


def used(expression: str) -> dict[str, set[str]]:
    """The time series that an expression names, each with the labels that it selects by."""
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(r"([a-z_]+_[a-z_]+)\{([^}]*)\}", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_series_and_labels_exist(target: dict[str, Any]) -> None:
    series = used(target["expr"])
    assert series
    grouped = {name.strip() for names in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for name in names.split(",")}
    shown = {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
    assert shown <= grouped
    for name, labels in series.items():
        assert name in SERIES
        assert labels | grouped <= SERIES[name]
        assert labels >= {*LABELS}, "a variable of the dashboard has no effect"


def test_values_of_labels_exist() -> None:
    expressions = " ".join(target.values[0]["expr"] for target in TARGETS)
    for pattern in re.findall(r'\bsource(?:=~|!=)"([^"]*)"', expressions):
        assert {*pattern.split("|")} <= {*SOURCES.values()}


def test_each_metric_that_a_dashboard_is_for_is_shown() -> None:
    shown = {name for target in TARGETS for name in used(target.values[0]["expr"])}
    assert {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in shown} >= {
        "huggingface_api_requests", "huggingface_api_rows", "huggingface_api_errors", "huggingface_api_cost_usd",
        "gen_ai_client_operation_duration_seconds", "gen_ai_client_token_usage",
    }  # fmt: skip


def test_variables_ask_for_series_and_labels_that_exist() -> None:
    variables = [one for one in BOARD["templating"]["list"] if one["type"] == "query"]
    assert [one["name"] for one in variables] == [*LABELS]
    for one in variables:
        name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"]["query"]).groups()
        assert label in SERIES[name]


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len({*cells}) == len(cells)
    assert max(x for x, _ in cells) < 24
