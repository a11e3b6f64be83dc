"""What rows, runs and counters say that a query has cost is what the server has billed, whatever happens."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.query.cost import Price
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox.chat_faults import STYLES, spoil
from huggingface_api_handler.sandbox.fake_chat import chat_completion, packed_rows
from tests.unit.end_to_end import CALLER, engine, model, predict
from tests.unit.loopback import Heard, Loopback, answer

#: What a server may write in ``usage.cost``: it is no cost, or 0.
NO_COSTS: Sequence[Any] = (None, -1, 1e308, "0.1", True, [0.1], {"usd": 1}, 0)
#: What may happen in place of an answer: (status, body).
REFUSALS = {
    "400": (400, {"error": "bad input"}),
    "422": (422, {"error": "bad input"}),
    "429": (429, {"error": "slow down"}),
    "503": (503, {"error": "busy"}),
}
FAULTS = ("lost", "504", "text", "filter", "short", *REFUSALS)


class Biller:
    """A model that keeps a ledger of what it bills.

    Attributes:
        reported: USD of the requests whose answer arrived, so that the client can know it.
        most: USD of all requests that may be billed.
    """

    def __init__(self, price: Price, seed: int, faults: Sequence[str], reports: Any) -> None:
        self._price = price
        self._draw = random.Random(seed)
        self._faults = faults
        self._reports = reports
        self._lock = threading.Lock()
        self.reported = self.most = 0.0

    def __call__(self, heard: Heard, sock: socket.socket) -> None:
        body = heard.json()
        with self._lock:
            fault = self._draw.choice(self._faults) if self._faults and self._draw.random() < 0.4 else None
            seconds = self._draw.choice([0.0, 0.25, 0.75])
        if fault in REFUSALS:
            status, said = REFUSALS[fault]
            answer(said, status)(heard, sock)
            return
        said, used = self._answer(body, fault)
        cost = self._price.cost(used.get("prompt_tokens"), used.get("completion_tokens"), seconds) or 0.0
        lost = fault in ("lost", "504")
        with self._lock:
            self.most += cost
            self.reported += 0.0 if lost else cost
        if fault == "lost":
            raise EOFError
        if fault == "504":
            answer("late", 504, "text/plain")(heard, sock)
            return
        answer(said, x_compute_time=repr(seconds))(heard, sock)

    def _answer(self, body: Any, fault: str | None) -> tuple[Any, dict[str, int]]:
        if "messages" not in body:
            rows = len(body["inputs"]) if isinstance(body["inputs"], list) else 1
            labels = [[{"label": "cat", "score": 0.9}] for _ in range(rows)]
            return ("no JSON" if fault == "text" else labels[:-1] if fault == "short" else labels), {}
        said = chat_completion(body, {})
        used = dict(said["usage"])
        rows = len(packed_rows(body))
        if fault == "short" and rows > 1:
            said = spoil("packed", self._draw.choice(STYLES["packed"]), body, said)
            used = dict(said["usage"])
        if fault == "filter":
            said["choices"][0] = {"message": {"content": ""}, "finish_reason": "content_filter"}
        said["usage"] = {**used, **({} if self._reports == "nothing" else {"cost": self._reports})}
        return ("no JSON" if fault == "text" else said), ({} if fault == "text" else used)


@pytest.fixture(scope="module")
def runtime() -> Any:
    shared = Runtime()
    yield shared
    shared.close()


PRICES: dict[str, list[dict[str, float]]] = {
    "chat-completion": [
        {"input": 200.0, "output": 600.0}, {"request": 0.01}, {"input": 0, "output": 1e-7}, {"second": 0.003},
        {"input": 3, "output": 0, "request": 1e-9, "second": 0.5}, {"input": 0, "output": 0},
    ],
    "text-classification": [{"request": 0.01}, {"second": 0.00012}, {"request": 1e-12, "second": 7}, {"request": 0}],
}  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_that_is_said_of_the_cost_is_what_the_server_billed(
    runtime: Runtime, tmp_path_factory: Any, data: Any
) -> None:
    task = data.draw(st.sampled_from(list(PRICES)))
    price = data.draw(st.sampled_from(PRICES[task]))
    faults = data.draw(st.lists(st.sampled_from(FAULTS), unique=True))
    texts = data.draw(st.lists(st.sampled_from([None, *(f"row {n}" for n in range(30))]), max_size=40))
    using: dict[str, Any] = {"task": task, "model_name": "org/name", "input_column": "text", "price": price}
    if task == "chat-completion":
        using["max_tokens"] = data.draw(st.sampled_from([4, 200]))
        if data.draw(st.booleans()):
            using |= {"rows_per_request": data.draw(st.integers(2, 9)), "audit": data.draw(st.sampled_from([0, 0.3]))}
    cap = data.draw(st.sampled_from([None, 1e-9, 0.02, 0.1, 1.0, 100.0]))
    biller = Biller(
        Price(**price), data.draw(st.integers(0, 2**32)), faults, data.draw(st.sampled_from(["nothing", *NO_COSTS]))
    )
    store = SqliteCache(tmp_path_factory.mktemp("ledger") / "answers.sqlite")
    execution: dict[str, Any] = {
        "max_retries": data.draw(st.integers(0, 2)),
        "max_concurrency": data.draw(st.sampled_from([1, 4])),
        "max_batch_size": data.draw(st.sampled_from([1, 5])),
        "include_meta": True,
        "timeout": 60,
    }
    with Loopback(biller) as server:
        at = engine(server)
        of = model(at, **using)
        costs: list[float] = []
        for _ in range(2):  # the second finds stored answers
            before = biller.most
            found = predict(at, of, {"text": texts}, store=store, runtime=runtime, max_cost=cap, **execution)
            costs += [json.loads(meta)["cost"] or 0.0 for meta in found["y_meta"]]
            assert cap is None or biller.most - before <= cap * (1 + 1e-9)
    usage = store.usage(CALLER.scope)
    runs = sum(run.cost or 0.0 for run in store.runs(CALLER.scope))
    near = pytest.approx(biller.reported, rel=1e-9, abs=1e-13)
    assert usage.get("cost", 0.0) == near
    assert runs == near
    assert sum(costs) == near
    assert len(found) == len(texts)
    store.close()
