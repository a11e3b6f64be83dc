"""A query ends early on request, and what it has been answered is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import query_settings
from huggingface_api_handler.cache import Cache, NoCache, SqliteCache
from huggingface_api_handler.errors import SettingsError, Stopped, Unavailable
from huggingface_api_handler.query import stopping
from huggingface_api_handler.query.commands import run_command
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.stopping import Statement, StopSignal
from tests.unit.end_to_end import CALLER, engine, model
from tests.unit.loopback import Heard, Loopback, answer

LABEL = answer([{"label": "A", "score": 1.0}])
ROWS = 30
#: Rows that are answered before the service gets slow.
FAST = 10
WORKERS = 4


@pytest.fixture(autouse=True)
def _frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "CHECK_EVERY", 0.01)
    monkeypatch.setattr(stopping, "GRACE", 0.05)


class Service:
    """Answers the first ``FAST`` requests at once; holds the others back until it is released.

    It is slow when ``WORKERS`` requests are held back.
    """

    def __init__(self) -> None:
        self.slow = threading.Event()
        self.release = threading.Event()
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, heard: Heard, sock: Any) -> None:
        with self._lock:
            self.count += 1
            held = self.count > FAST
            if self.count == FAST + WORKERS:
                self.slow.set()
        if held:
            self.release.wait(30)
        LABEL(heard, sock)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.release.set()


@pytest.fixture
def prediction(service: Service, store: Cache) -> Iterator[Callable[..., Prediction]]:
    """Makes a query, one row a request, on a server of its own."""
    with Loopback(service) as server:
        at = engine(server)
        of = model(at, task="text-classification", model_name="org/m", column="text", max_batch_size=1)

        def make(statement: Statement | None = None, **using: Any) -> Prediction:
            settings = query_settings(of, at, {"max_concurrency": WORKERS, **using})
            return Prediction(settings, at, CALLER, Runtime(), store, statement=statement or Statement())

        yield make
        service.release.set()


def rows(number: int = ROWS) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"row {row}" for row in range(number)]})


def stop_when_slow(service: Service, stop: Callable[[], Any]) -> threading.Thread:
    def work() -> None:
        service.slow.wait(30)
        stop()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def command(made: Prediction, name: str = "stop") -> str:
    (said,) = run_command(name, made, rows(1))["y"]
    return str(said)


def test_a_stopped_query_keeps_its_answers_and_goes_on_later(service: Service, prediction: Any) -> None:
    said: list[str] = []
    stopper = stop_when_slow(service, lambda: said.append(command(prediction())))
    with pytest.raises(Stopped) as stopped:
        prediction().run(rows())
    stopper.join()
    assert said == ["1 running query told to stop"]
    assert stopped.value.retryable
    assert f"{FAST} of {ROWS} answers are stored" in str(stopped.value)
    assert service.count == FAST + WORKERS
    service.release.set()
    for worker in [one for one in threading.enumerate() if one.name.startswith("huggingface-worker")]:
        worker.join(30)
    # The requests under way when it was stopped have been answered and stored as well.
    assert prediction().run(rows())["y"].tolist() == ["A"] * ROWS
    assert service.count == ROWS


def test_rows_of_a_stopped_query_say_so(service: Service, prediction: Any) -> None:
    stopper = stop_when_slow(service, lambda: command(prediction()))
    found = prediction(on_error="null", include_meta=True).run(rows())
    stopper.join()
    codes = found["y_error_type"].fillna("").tolist()
    assert (codes.count(""), codes.count("stopped")) == (FAST, ROWS - FAST)
    assert found["y"].notna().sum() == FAST
    assert found.loc[found["y_error_type"] == "stopped", "y_retryable"].all()
    assert all(
        found.loc[found["y"].isna(), "y_error"] == "the query was stopped on request. Run it again to resume it."
    )


def test_usage_and_run_are_complete_when_the_last_request_has_returned(
    service: Service, prediction: Any, store: Cache
) -> None:
    stopper = stop_when_slow(service, lambda: command(prediction()))
    prediction(on_error="null").run(rows())
    stopper.join()
    assert store.runs(CALLER.scope)[0].state == "running"
    assert store.usage(CALLER.scope)["answered"] == FAST  # counted as they arrive
    service.release.set()
    for worker in [one for one in threading.enumerate() if one.name.startswith("huggingface-worker")]:
        worker.join(30)
    (run,) = store.runs(CALLER.scope)
    assert (run.state, run.done) == ("stopped", FAST + WORKERS)
    assert store.usage(CALLER.scope)["requests"] == store.usage(CALLER.scope)["answered"] == FAST + WORKERS


def test_a_stop_does_not_concern_later_queries(prediction: Any, service: Service, store: Cache) -> None:
    assert command(prediction()) == "0 running queries told to stop"
    service.release.set()
    assert prediction().run(rows())["y"].notna().all()
    store.run_start("other", CALLER.scope, model="m", task="t", rows=1)
    store.run_start("elsewhere", "another model", model="m", task="t", rows=1)
    assert command(prediction()) == "1 running query told to stop"
    assert store.stop_requested(["other"])
    assert not store.stop_requested(["elsewhere"])


def test_a_query_of_a_dropped_model_stops(service: Service, prediction: Any) -> None:
    gone = Stopped("the model was dropped while the query was running", advice="Create it again")
    statement = Statement(gone=lambda: gone if service.slow.is_set() else None)
    with pytest.raises(Stopped, match="the model was dropped"):
        prediction(statement).run(rows())
    assert service.count == FAST + WORKERS


def test_a_check_that_fails_stops_nothing(service: Service, prediction: Any, caplog: pytest.LogCaptureFixture) -> None:
    def gone() -> Stopped | None:
        if service.slow.is_set():
            service.release.set()
            raise OSError("the database is away")
        return None

    assert prediction(Statement(gone=gone)).run(rows())["y"].notna().all()


@pytest.mark.parametrize("on_error", ["raise", "null"])
def test_a_stopped_partition_ends_its_statement(
    service: Service, prediction: Any, store: Cache, on_error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MindsDB starts the next partition after one that returns rows, and has started those of the same batch."""
    whole = Statement(("statement 1",))
    stopper = stop_when_slow(service, lambda: command(prediction()))
    with pytest.raises(Stopped):
        prediction(whole, on_error=on_error).run(rows())
    stopper.join()
    sent = service.count
    with pytest.raises(Stopped):
        prediction(whole, on_error=on_error).run(rows())
    assert service.count == sent
    service.release.set()
    assert prediction(Statement(("statement 2",)), on_error=on_error).run(rows(5))["y"].notna().all()
    later = time.time() + stopping.REFUSE_FOR + 1
    monkeypatch.setattr(store, "_clock", lambda: later)
    assert prediction(whole, on_error=on_error).run(rows(5))["y"].notna().all()


def test_a_cancelled_statement_starts_no_partition(service: Service, prediction: Any) -> None:
    cancelled = Stopped("the statement was cancelled with query_cancel")
    with pytest.raises(Stopped):
        prediction(Statement(("statement",), gone=lambda: cancelled)).run(rows())
    assert service.count == 0


def test_checks_are_few(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread a query, not one question a request."""
    checks: list[None] = []

    def gone() -> None:
        checks.append(None)

    monkeypatch.setattr(stopping, "CHECK_EVERY", 3600.0)
    with StopSignal(store, Statement(gone=gone), "run").watched(lambda *_: None):
        pass
    assert not checks


def test_clearing_concerns_this_model_of_this_tenant(service: Service, prediction: Any, store: Cache) -> None:
    service.release.set()
    named = replace(CALLER, engine_name="hf", project="mindsdb", name="m")
    again = replace(named, model="retrained")
    others = [
        replace(named, tenant="acme", model="of-acme"), replace(named, model="other", name="n"),
        replace(named, model="elsewhere", project="b"), replace(named, model="of-engine", engine_name="hf2"),
    ]  # fmt: skip
    for number, caller in enumerate([named, again, *others]):
        frame = pd.DataFrame({"text": [f"{number} {row}" for row in range(3)]})
        assert replace(prediction(), caller=caller).run(frame)["y"].notna().all()
    sent = service.count
    assert command(replace(prediction(), caller=again), "clear_cache") == "6 stored answers deleted"
    assert command(replace(prediction(), caller=again), "clear_cache") == "0 stored answers deleted"
    assert sum(stored.answers for stored in store.sizes() or []) == 3 * len(others)
    assert service.count == sent


def test_where_nobody_can_learn_of_it(prediction: Any, tmp_path: Path) -> None:
    made = prediction()
    with pytest.raises(SettingsError, match="MindsDB's cache is off"):
        command(replace(made, store=NoCache()))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="cannot be reached"):
        command(replace(made, store=SqliteCache(tmp_path / "file" / "answers.sqlite")))
    with pytest.raises(Unavailable, match="not all stored answers"):
        command(replace(made, store=SqliteCache(tmp_path / "file" / "answers.sqlite")), "clear_cache")
    assert command(replace(made, store=NoCache()), "clear_cache") == "0 stored answers deleted"


def test_the_answer_of_a_command_is_one_row_with_the_columns_of_the_query(prediction: Any, service: Service) -> None:
    frame = pd.DataFrame({"other": [1, 2]}, index=[5, 3])
    found = run_command("stop", prediction(on_error="null", include_meta=True), frame)
    assert list(found.index) == [5]
    assert list(found.columns) == ["y", "y_explain", "y_error", "y_error_type", "y_retryable", "y_meta"]
    assert found["y"].tolist() == ["0 running queries told to stop"]
    assert service.count == 0
