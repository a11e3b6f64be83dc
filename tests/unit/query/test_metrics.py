"""What Prometheus is told equals ``DESCRIBE model.usage``, over all processes, also those that have been killed."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.parser import text_string_to_metric_families

from huggingface_api_handler.cache import Cache, SqliteCache
from huggingface_api_handler.errors import RateLimited
from huggingface_api_handler.query import metrics
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.execution import UsageCounters
from huggingface_api_handler.query.metrics import FOLDER, LABELS, MODELS, OTHER, MetricFiles, QueryMetrics
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.usage import COUNTERS, ERROR, LATENCY
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.results import BatchResult
from huggingface_api_handler.scheduling.retry import RetryPolicy

from ..end_to_end import TOKEN, engine_settings, model_settings

CALLER = Caller(tenant="0/0", engine="e-1", model="m-1", name="mood", target="y", engine_name="hf")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "metrics"
    monkeypatch.setenv(FOLDER, str(path))
    return path


def served(folder: Path) -> list[tuple[str, dict[str, str], float]]:
    """The lines of ``/metrics`` as MindsDB makes them: name, labels, value."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(folder))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return [(line.name, line.labels, line.value) for family in families for line in family.samples]


def by_label(folder: Path, name: str, label: str) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for shown, labels, value in served(folder):
        if shown == name:
            totals[labels[label]] += value
    return dict(totals)


def total(folder: Path, name: str) -> float:
    return sum(value for shown, _, value in served(folder) if shown == name)


def check_equal(folder: Path, usage: Mapping[str, float]) -> None:
    """Every counter of ``.usage`` is the sum of its metric."""
    sources = by_label(folder, "huggingface_api_rows_total", "source")
    assert sources == {metrics.SOURCES[name]: n for name, n in usage.items() if name in metrics.SOURCES}
    errors = by_label(folder, "huggingface_api_errors_total", "code")
    assert errors == {name[len(ERROR) :]: n for name, n in usage.items() if name.startswith(ERROR)}
    for name, metric in metrics.COUNTERS.items():
        assert total(folder, f"{metric.name}_total") == pytest.approx(usage.get(name, 0)), name
    answered = sum(n for name, n in usage.items() if name.startswith(LATENCY))
    assert by_label(folder, f"{metrics.DURATION.name}_count", "error_type").get("", 0) == answered


def predict(sandbox: Sandbox, store: Cache, texts: Sequence[str | None], **execution: Any) -> pd.DataFrame:
    """Run a query as a process of its own would."""
    at = engine_settings({"base_url": sandbox.url, "api_key": TOKEN}, environ={})
    of = model_settings(
        {"task": "text-classification", "input_column": "text", "on_error": "null", **execution},
        at,
        hub=lambda *_: None,
    )
    retry = RetryPolicy(of.execution.max_retries, base=0.01, cap=0.02)
    frame = pd.DataFrame({"text": list(texts)}, dtype=object)
    return Prediction(of, at, CALLER, Runtime(), store, retry).run(frame)


def test_metrics_of_several_processes_add_up_to_usage(sandbox: Sandbox, store: Cache, folder: Path) -> None:
    """``Runtime`` is a process's: each query here has files of its own while all of them are open."""
    sandbox.reset()
    sandbox.faults = {
        "rules": [
            {"kind": "status", "status": 429, "next": 3},
            {"kind": "status", "status": 400, "contains": "bad", "body": {"error": "cannot be read"}},
        ]
    }
    texts = [f"text {number}" for number in range(40)]
    predict(sandbox, store, texts)
    predict(sandbox, store, [*texts, *texts, None, "bad 1", "bad 2", "bad 1"])
    predict(sandbox, store, [None, "new"], max_batch_size=1)
    usage = store.usage(CALLER.scope)
    assert usage["throttled"] == 3
    assert usage["cached"] == 40
    assert usage["duplicates"] == 41
    assert usage["nulls"] == 2
    check_equal(folder, usage)
    assert {tuple(labels[name] for name in LABELS) for _, labels, _ in served(folder)} == {
        ("hf", "mood", "text-classification", "hf-inference")
    }


def test_no_row_and_no_token_is_shown(sandbox: Sandbox, store: Cache, folder: Path) -> None:
    sandbox.reset()
    sandbox.faults = {
        "rules": [{"kind": "status", "status": 400, "contains": "b", "body": {"error": "a private word"}}]
    }
    predict(sandbox, store, ["a private letter", "a better private letter"])
    predict(sandbox, store, ["text"], max_retries=0)
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"huggingface_api_rows" in written
    assert b"private" not in written
    assert TOKEN[3:].encode() not in written


_QUERIES = """
import sys
from pathlib import Path
from huggingface_api_handler.cache import SqliteCache
from tests.unit.query.test_metrics import predict

class Place:
    url = sys.argv[1]

store = SqliteCache(Path(sys.argv[2]))
predict(Place, store, [f"{sys.argv[3]} {number}" for number in range(20)])
print("ready", flush=True)
predict(Place, store, [f"slow {sys.argv[3]} {number}" for number in range(2000)], max_batch_size=1, max_concurrency=2)
print("done", flush=True)
"""


def test_a_killed_process_loses_nothing_and_the_next_goes_on_in_its_files(
    sandbox: Sandbox, tmp_path: Path, folder: Path
) -> None:
    sandbox.reset()
    sandbox.faults = {"latency": 0.1}
    path = tmp_path / "answers.sqlite"
    store = SqliteCache(path)

    def run_and_kill(name: str) -> None:
        arguments = [sys.executable, "-c", _QUERIES, sandbox.url, str(path), name]
        environ = {**os.environ, FOLDER: str(folder)}
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGKILL)
            assert process.stdout.read() == ""

    files: set[str] = set()
    for times, name in enumerate(("first", "second"), 1):
        run_and_kill(name)
        answered = store.usage(CALLER.scope)["answered"]
        assert answered >= 20 * times
        assert by_label(folder, "huggingface_api_rows_total", "source")["request"] == answered
        files = files or {file.name for file in folder.iterdir()}
        assert {file.name for file in folder.iterdir()} == files
    store.close()


def test_files_are_held_by_one_process_each(folder: Path) -> None:
    first, second = MetricFiles(str(folder)), MetricFiles(str(folder))
    for files in (first, second, first):
        files.add(metrics.COUNTERS["requests"], ("e", "m", "t", "p"), 2)
    assert total(folder, "huggingface_api_requests_total") == 6
    assert len(list(folder.glob("counter_*.db"))) == 2


@pytest.mark.parametrize("name", sorted({*COUNTERS} - {"rows"}))
def test_every_counter_of_usage_has_a_metric(name: str) -> None:
    """``rows`` is the sum of the rows by source and of those with errors."""
    assert name in metrics.SOURCES or name in metrics.COUNTERS


def send(result: BatchResult | Exception) -> metrics.Send:
    def sent(items: Sequence[Item], timeout: float) -> BatchResult:
        if isinstance(result, Exception):
            raise result
        return result

    return sent


def of_chat(files: MetricFiles, caller: Caller = CALLER, **using: Any) -> QueryMetrics:
    at = engine_settings({"base_url": "http://127.0.0.1:9/hf-inference"}, environ={})
    using = {"task": "chat-completion", "model_name": "org/chat", "input_column": "text", **using}
    return QueryMetrics(files, caller, model_settings(using, at, hub=lambda *_: None))


def test_time_and_tokens_of_a_request_are_observed(folder: Path) -> None:
    files = MetricFiles(str(folder))
    ask = of_chat(files, provider="groq")
    answered = BatchResult([], input_tokens=20, output_tokens=5, provider="groq")
    for _ in range(3):
        assert ask.timed(send(answered))([], 1.0) is answered
    with pytest.raises(RateLimited):
        ask.timed(send(RateLimited("slower")))([], 1.0)
    counts = by_label(folder, "gen_ai_client_operation_duration_seconds_count", "error_type")
    assert counts == {"": 3, "rate_limited": 1}
    assert by_label(folder, "gen_ai_client_token_usage_sum", "gen_ai_token_type") == {"input": 60, "output": 15}
    (labels, *_) = (labels for name, labels, _ in served(folder) if name == "gen_ai_client_token_usage_sum")
    assert labels == {
        "engine": "hf", "model": "mood", "task": "chat-completion", "provider": "groq", "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "groq", "gen_ai_request_model": "org/chat", "gen_ai_token_type": "input",
    }  # fmt: skip
    buckets = by_label(folder, "gen_ai_client_token_usage_bucket", "le")
    assert [float(le) for le in buckets] == [*(4.0**step for step in range(14)), float("inf")]
    assert list(buckets.values()) == [0, 0, 3, *[6] * 12]  # 5 and 20 are up to 16 and up to 64


@given(st.lists(st.floats(0, 200), min_size=1, max_size=20))
@settings(max_examples=25, deadline=None)
def test_buckets_count_as_prometheus_counts(tmp_path_factory: pytest.TempPathFactory, seconds: list[float]) -> None:
    folder = tmp_path_factory.mktemp("metrics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        files = MetricFiles(str(folder))
        for each in seconds:
            files.observe(metrics.DURATION, ("e", "m", "t", "p", "o", "p", "h", ""), each)
        shown = by_label(folder, "gen_ai_client_operation_duration_seconds_bucket", "le")
        assert {float(le): n for le, n in shown.items()} == {
            bound: sum(each <= bound for each in seconds) for bound in (*metrics.DURATION.buckets, float("inf"))
        }
        assert total(folder, "gen_ai_client_operation_duration_seconds_sum") == pytest.approx(sum(seconds))


def test_a_server_cannot_name_providers_of_its_own(folder: Path) -> None:
    ask = of_chat(MetricFiles(str(folder)))
    for number in range(50):
        ask.timed(send(BatchResult([], provider=f"provider-{number}\n")))([], 1.0)
    for known in ("groq", "together"):
        ask.timed(send(BatchResult([], provider=known)))([], 1.0)
    counts = by_label(folder, "gen_ai_client_operation_duration_seconds_count", "provider")
    assert counts == {OTHER: 50, "groq": 1, "together": 1}


def test_labels_are_short_and_few(folder: Path) -> None:
    files = MetricFiles(str(folder))
    for number in range(MODELS + 20):
        caller = Caller("0/0", "e", "m", f"m{number}" + "x" * 1000, "y", engine_name="e" * 1000)
        of_chat(files, caller).count({"requests": 1})
    counts = by_label(folder, "huggingface_api_requests_total", "model")
    assert len(counts) == MODELS + 1
    assert counts[OTHER] == 20
    assert max(map(len, counts)) <= 100


def test_an_endpoint_is_its_own_provider(folder: Path) -> None:
    files = MetricFiles(str(folder))
    at = engine_settings({"allowed_hosts": ["tei.local:80"], "api_key": TOKEN}, environ={})
    using = {"task": "feature-extraction", "input_column": "text", "endpoint": "http://tei.local:80"}
    QueryMetrics(files, CALLER, model_settings(using, at, hub=lambda *_: None)).count({"requests": 1})
    assert by_label(folder, "huggingface_api_requests_total", "provider") == {"endpoint": 1}


def test_a_folder_that_cannot_be_written_costs_a_warning_and_no_row(
    sandbox: Sandbox, store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.reset()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        found = predict(sandbox, store, ["I love this", "I hate this"], max_batch_size=1)
    assert list(found["y"]) == ["POSITIVE", "NEGATIVE"]
    said = [record.message for record in caplog.records if "/metrics" in record.message]
    assert len(said) == 1
    assert said[0].startswith("this process counts nothing for /metrics any more: FileExistsError: ")


def test_a_damaged_file_costs_a_warning_and_no_row(
    sandbox: Sandbox, store: Cache, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.reset()
    folder.mkdir()
    for kind in ("counter", "histogram"):
        (folder / f"{kind}_huggingface-api-0.db").write_bytes(b"\xff" * 5000)
    with caplog.at_level(logging.WARNING):
        found = predict(sandbox, store, ["I love this"])
    assert list(found["y"]) == ["POSITIVE"]
    assert len([record for record in caplog.records if "/metrics" in record.message]) == 1


def test_without_the_folder_nothing_is_counted_and_nothing_imported() -> None:
    script = """
import json, sys
from huggingface_api_handler.query import pipeline
from huggingface_api_handler.query.metrics import query_metrics
from huggingface_api_handler.query.runtime import Runtime
made = query_metrics(Runtime(), None, None)
print(json.dumps([made is None, "prometheus_client" in sys.modules]))
"""
    environ = {name: value for name, value in os.environ.items() if name != FOLDER}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    assert json.loads(done.stdout) == [True, False]


def test_without_metrics_a_request_is_sent_as_it_is() -> None:
    sent = send(BatchResult([]))
    assert UsageCounters(Cache(), "scope").timed(sent) is sent


def test_the_names_of_metrics_are_those_that_prometheus_takes() -> None:
    names = [metric.name for metric in metrics.ALL]
    assert len({*names}) == len(names)
    for name in itertools.chain(names, LABELS, *(metric.labels for metric in metrics.ALL)):
        assert name.replace("_", "").isalnum()
        assert name == name.lower()
