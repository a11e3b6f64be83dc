"""Several worker processes on one model at once, as MindsDB has them: one store, no lost write, no lost count."""

from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import cases
from benchmarks.service import Manner, label_of, running
from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from tests.unit.street import CALLER, engine, model

ROWS = 400


def _work(url: str, path: str, start: Any, told: Any) -> None:
    """Predict the same rows in a process of its own; tell the labels and what was warned of."""
    warned: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.append(record.getMessage())

    logging.getLogger("huggingface_api_handler").addHandler(Ear(logging.WARNING))
    at = engine(None, base_url=url)
    of = model(at, task="text-classification", model_name="org/model", input_column="text", max_batch_size=1)
    frame = pd.DataFrame({"text": cases.texts(ROWS)})
    store = SqliteCache(path)
    start.wait(60)
    found = Prediction(of, at, CALLER, Runtime(), store).run(frame)
    told.put((found["y"].tolist(), warned))
    store.close()


def test_workers_share_a_store(tmp_path: Path) -> None:
    path = str(tmp_path / "answers.sqlite")
    many = 3
    context = multiprocessing.get_context("spawn")
    with running() as service:
        service.behave(Manner(0.005))
        start, told = context.Barrier(many), context.Queue()
        workers = [context.Process(target=_work, args=(service.url, path, start, told)) for _ in range(many)]
        for worker in workers:
            worker.start()
        reports = [told.get(timeout=100) for _ in workers]
        for worker in workers:
            worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * many
    truth = [label_of(text) for text in cases.texts(ROWS)]
    for labels, warned in reports:
        assert labels == truth
        assert warned == []
    store = SqliteCache(path)
    usage = store.usage(CALLER.scope)
    assert usage["rows"] == many * ROWS
    assert usage["answered"] + usage.get("cached", 0) == many * ROWS
    runs = store.runs(CALLER.scope)
    assert len({run.pid for run in runs}) == len(runs) == many
    assert {(run.state, run.done, run.errors) for run in runs} == {("done", ROWS, 0)}
    store.close()
