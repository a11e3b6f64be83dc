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
from tests.unit.end_to_end import CALLER, engine, model

ROWS, MANY = 400, 3


def _work(url: str, path: str, number: int, start: Any, queue: Any) -> None:
    """Predict rows in a process of its own; tell which, their labels and what was warned of."""
    warned: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.append(record.getMessage())

    logging.getLogger("huggingface_api_handler").addHandler(Ear(logging.WARNING))
    at = engine(None, base_url=url)
    of = model(at, task="text-classification", model_name="org/model", input_column="text", max_batch_size=1)
    texts = cases.texts(MANY * ROWS)[number * ROWS : (number + 1) * ROWS]
    frame = pd.DataFrame({"text": texts})
    store = SqliteCache(path)
    start.wait(60)
    found = Prediction(of, at, CALLER, Runtime(), store).run(frame)
    queue.put((texts, found["y"].tolist(), warned))
    store.close()


def test_workers_share_a_store(tmp_path: Path) -> None:
    path = str(tmp_path / "answers.sqlite")
    context = multiprocessing.get_context("spawn")
    with running() as service:
        service.behave(Manner(0.005))
        start, queue = context.Barrier(MANY), context.Queue()
        workers = [
            context.Process(target=_work, args=(service.url, path, number, start, queue)) for number in range(MANY)
        ]
        for worker in workers:
            worker.start()
        reports = [queue.get(timeout=100) for _ in workers]
        for worker in workers:
            worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * MANY
    for texts, labels, warned in reports:
        assert labels == [label_of(text) for text in texts]
        assert warned == []
    store = SqliteCache(path)
    usage = store.usage(CALLER.scope)
    assert usage["rows"] == MANY * ROWS
    assert usage["answered"] == MANY * ROWS
    runs = store.runs(CALLER.scope)
    assert len({run.pid for run in runs}) == len(runs) == MANY
    assert {(run.state, run.done, run.errors) for run in runs} == {("done", ROWS, 0)}
    store.close()
