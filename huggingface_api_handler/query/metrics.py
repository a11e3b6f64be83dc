"""Metrics for Prometheus, in the folder that MindsDB serves at ``/metrics``.

The environment variable ``PROMETHEUS_MULTIPROC_DIR`` names the folder. Without it nothing is counted and nothing
imported. Each process writes files of its own, and MindsDB adds up the files of all processes for each scrape.
"""

from __future__ import annotations

import bisect
import fcntl
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..arguments import ModelSettings
from ..errors import HuggingFaceError
from ..scheduling.batches import Item
from ..scheduling.results import BatchResult
from .caller import Caller
from .usage import ERROR

if TYPE_CHECKING:
    from .runtime import Runtime

log = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

#: The labels of every metric.
LABELS = ("engine", "model", "task", "provider")
#: Characters of a label's value.
LABEL_LENGTH = 100
#: Models that a process counts by name; those after them are counted as ``OTHER``.
MODELS = 500
OTHER = "other"


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus shows it.

    Attributes:
        name: without the suffixes that the kind of metric adds: ``_total``, or ``_bucket``, ``_sum`` and ``_count``.
        labels: beside ``LABELS``.
        buckets: upper bounds of a histogram's; none: it is a counter.
    """

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


ROWS = Metric(
    "huggingface_api_rows", "Rows by source: request (those answered), cache, duplicate or null.", ("source",)
)
ERRORS = Metric("huggingface_api_errors", "Inputs that ended in an error, by its code.", ("code",))
#: The counters of ``.usage`` that are rows by source.
SOURCES = {"answered": "request", "cached": "cache", "duplicates": "duplicate", "nulls": "null"}
#: The other counters of ``.usage``.
COUNTERS = {
    "requests": Metric("huggingface_api_requests", "Requests sent."),
    "retries": Metric("huggingface_api_retries", "Requests that repeated an earlier one."),
    "throttled": Metric("huggingface_api_throttled", "Requests refused with 429."),
    "splits": Metric("huggingface_api_splits", "Batches that were split."),
    "compute_seconds": Metric("huggingface_api_compute_seconds", "Seconds of compute that the service reports."),
    "tokens": Metric("huggingface_api_tokens", "Tokens that the service reports."),
    "audited": Metric("huggingface_api_audited", "Rows that an audit compared."),
    "agreed": Metric("huggingface_api_agreed", "Rows that an audit compared and whose answers agree."),
    "audit_stops": Metric("huggingface_api_audit_stops", "Queries in which an audit ended shared prompts."),
    "input_tokens": Metric("huggingface_api_input_tokens", "Tokens of inputs that the service reports."),
    "output_tokens": Metric("huggingface_api_output_tokens", "Tokens of answers that the service reports."),
    "cost": Metric("huggingface_api_cost_usd", "Cost in USD, if known."),
    "unpriced": Metric("huggingface_api_unpriced", "Answered requests whose cost is not known."),
}

# Names, labels and bounds of the next two are OpenTelemetry's:
# https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
DURATION = Metric(
    "gen_ai_client_operation_duration_seconds",
    "Time of a request.",
    (*_GEN_AI, "error_type"),
    tuple(0.01 * 2**step for step in range(14)),
)
TOKENS = Metric(
    "gen_ai_client_token_usage",
    "Tokens of a request: gen_ai_token_type is input or output.",
    (*_GEN_AI, "gen_ai_token_type"),
    tuple(float(4**step) for step in range(14)),
)
ALL = (ROWS, ERRORS, *COUNTERS.values(), DURATION, TOKENS)

#: OpenTelemetry's names of operations; other tasks keep the Hub's.
_OPERATIONS = {
    "chat-completion": "chat",
    "text-generation": "text_completion",
    "feature-extraction": "embeddings",
}

Send = Callable[[Sequence[Item], float], BatchResult]


class QueryMetrics:
    """The metrics of one query.

    Args:
        files: where they are written.
        caller: whose query it is.
        model: its settings.
    """

    def __init__(self, files: MetricFiles, caller: Caller, model: ModelSettings) -> None:
        self._files = files
        self._requested = "endpoint" if model.endpoint else model.provider
        engine, name, hub_model = files.known(caller.engine_name, caller.name, model.model or "")
        self._model = (engine, name, model.task)
        self._gen_ai = (_OPERATIONS.get(model.task, model.task), hub_model)

    def count(self, counts: Mapping[str, float]) -> None:
        """Add what was added to the counters of ``.usage``."""
        labels = (*self._model, self._requested)
        for name, amount in counts.items():
            if name in SOURCES:
                self._files.add(ROWS, (*labels, SOURCES[name]), amount)
            elif name.startswith(ERROR):
                self._files.add(ERRORS, (*labels, name[len(ERROR) :]), amount)
            elif name in COUNTERS:
                self._files.add(COUNTERS[name], labels, amount)

    def timed(self, send: Send) -> Send:
        """Return ``send`` with each request's time and tokens observed."""

        def observed(items: Sequence[Item], timeout: float) -> BatchResult:
            began = time.perf_counter()
            try:
                result = send(items, timeout)
            except HuggingFaceError as error:
                self._observe(time.perf_counter() - began, None, error.code)
                raise
            self._observe(time.perf_counter() - began, result, "")
            return result

        return observed

    def _observe(self, seconds: float, result: BatchResult | None, error: str) -> None:
        named = None if result is None else result.provider
        provider = self._requested if named is None else _known_provider(named, self._requested)
        operation, hub_model = self._gen_ai
        labels = (*self._model, provider, operation, provider, hub_model)
        self._files.observe(DURATION, (*labels, error), seconds)
        if result is not None:
            for kind, tokens in (("input", result.input_tokens), ("output", result.output_tokens)):
                if tokens is not None:
                    self._files.observe(TOKENS, (*labels, kind), tokens)


def query_metrics(runtime: Runtime, caller: Caller, model: ModelSettings) -> QueryMetrics | None:
    """Return the metrics of a query; ``None`` if MindsDB serves none."""
    folder = os.environ.get(FOLDER)
    return QueryMetrics(runtime.metric_files(folder), caller, model) if folder else None


@lru_cache(maxsize=1000)
def _known_provider(name: str, requested: str) -> str:
    """Return the name of the provider that answered; a server may write anything in its place."""
    if name in requested.split(", "):
        return name
    from ..hub import provider_registry

    return name if name in provider_registry.OWN or name in provider_registry.helpers() else OTHER


class MetricFiles:
    """The files that this process writes its metrics to.

    A process continues the files of one that has ended, so there are as many files as processes at a time. Named by
    the process's ID, as prometheus_client does, each of MindsDB's short-lived workers would leave files behind.

    When a file cannot be written, the process logs a warning and counts nothing more: a query never fails for it.

    Args:
        folder: as ``PROMETHEUS_MULTIPROC_DIR`` names it; it is created if it does not exist.
    """

    def __init__(self, folder: str) -> None:
        self._lock = threading.Lock()
        self._names: set[tuple[str, ...]] = set()
        self._series: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
        self._failed = False
        try:
            from prometheus_client.values import MultiProcessValue

            name, self._held = _take_name(Path(folder))
            self._value_class: Any = MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]
        except Exception as error:
            self._fail(error)

    def known(self, *names: str) -> tuple[str, ...]:
        """Return ``names`` as labels; ``OTHER`` once there have been too many different ones."""
        names = tuple(name[:LABEL_LENGTH] for name in names)
        with self._lock:
            if names not in self._names and len(self._names) >= MODELS:
                return (OTHER,) * len(names)
            self._names.add(names)
        return names

    def add(self, metric: Metric, labels: tuple[str, ...], amount: float) -> None:
        """Add to a counter."""
        if amount > 0:
            self._change(metric, labels, lambda values: values[0].inc(amount))

    def observe(self, metric: Metric, labels: tuple[str, ...], amount: float) -> None:
        """Add an observation to a histogram."""

        def add(values: list[Any]) -> None:
            values[0].inc(amount)
            # Each bucket counts what the one below it does not: MindsDB adds them up, and the count from them.
            values[1 + bisect.bisect_left(metric.buckets, amount)].inc(1)

        self._change(metric, labels, add)

    def _change(self, metric: Metric, labels: tuple[str, ...], change: Callable[[list[Any]], None]) -> None:
        if self._failed:
            return
        try:
            change(self._series.get((metric.name, labels)) or self._new_series(metric, labels))
        except Exception as error:
            self._fail(error)

    def _new_series(self, metric: Metric, labels: tuple[str, ...]) -> list[Any]:
        """Return the numbers of a counter, its total, or of a histogram, its sum and its buckets."""
        kind = "histogram" if metric.buckets else "counter"
        names = (*LABELS, *metric.labels)

        def value(suffix: str, *bound: str) -> Any:
            named = (*names, "le") if bound else names
            return self._value_class(kind, metric.name, metric.name + suffix, named, (*labels, *bound), metric.meaning)

        with self._lock:
            if (metric.name, labels) not in self._series:
                bounds = (*map(str, metric.buckets), "+Inf")
                self._series[metric.name, labels] = (
                    [value("_sum"), *(value("_bucket", bound) for bound in bounds)]
                    if metric.buckets
                    else [value("_total")]
                )
            return self._series[metric.name, labels]

    def _fail(self, error: Exception) -> None:
        self._failed = True
        log.warning("this process counts nothing for /metrics any more: %s: %s", type(error).__name__, error)


def _take_name(folder: Path) -> tuple[str, IO[bytes]]:
    """Return the first name in ``folder`` that no running process has, and the open file that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        name = f"huggingface-api-{number}"
        lock = (folder / f"{name}.lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return name, lock
        except BlockingIOError:
            lock.close()
    raise AssertionError
