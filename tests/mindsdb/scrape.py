"""What MindsDB serves at ``/metrics`` about one model, beside what ``DESCRIBE model.usage`` shows."""

from __future__ import annotations

import urllib.request
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from huggingface_api_handler.query import metrics
from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer


def scraped(server: MindsDBServer) -> str:
    """The text that Prometheus reads."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server.url}/metrics") as answer:
        return str(answer.read().decode())


def totals_of(server: MindsDBServer, model: str) -> dict[str, float]:
    """The sums of a model's counters, by the names of ``.usage``, and of its answered requests."""
    names = {f"{metric.name}_total": name for name, metric in metrics.COUNTERS.items()}
    sources = {source: name for name, source in metrics.SOURCES.items()}
    sums: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(scraped(server)):
        for line in family.samples:
            if line.labels.get("model") != model:
                continue
            if line.name == f"{metrics.ROWS.name}_total":
                sums[sources[line.labels["source"]]] += line.value
            elif line.name == f"{metrics.ERRORS.name}_total":
                sums[f"errors {line.labels['code']}"] += line.value
            elif line.name in names:
                sums[names[line.name]] += line.value
            elif line.name == f"{metrics.DURATION.name}_count" and not line.labels["error_type"]:
                sums["answered requests"] += line.value
    return {name: round(value, 3) for name, value in sums.items()}


def usage_of(server: MindsDBServer, model: str) -> dict[str, float]:
    """The same numbers as ``DESCRIBE`` shows them, without those that are 0."""
    shown = dict(server.sql(f"DESCRIBE {model}.usage").rows)
    names = {*metrics.SOURCES, *metrics.COUNTERS, *(name for name in shown if name.startswith("errors "))}
    return {name: value for name, value in shown.items() if name in names and value}
