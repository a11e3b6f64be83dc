"""What a query spends, from its arguments to the requests that a server gets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache, SqliteCache
from huggingface_api_handler.query import budget
from huggingface_api_handler.query.stopping import Statement
from tests.unit.end_to_end import CALLER, LABELS, engine, model, predict
from tests.unit.loopback import Heard, Loopback, answer

TEXT = {"task": "text-classification", "model_name": "org/name", "input_column": "text", "max_batch_size": 1}
#: USD for a request.
REQUEST = {"request": 0.01}
ROWS = {"text": [f"row {n}" for n in range(8)]}


def codes(server: Loopback, using: Mapping[str, Any], cells: Any = ROWS, **given: Any) -> list[str | None]:
    """The error codes of a query's rows."""
    at = engine(server)
    return list(predict(at, model(at, **{**TEXT, **using}), cells, **given)["y_error_type"])


def test_rows_that_are_not_paid_for_are_errors_and_the_next_query_goes_on(tmp_path: Any) -> None:
    store = SqliteCache(tmp_path / "answers.sqlite")
    with Loopback(answer(LABELS)) as server:
        for query in (1, 2):
            found = codes(server, {"price": REQUEST}, store=store, max_cost=0.03)
            assert found == [None] * 3 * query + ["budget_exceeded"] * (8 - 3 * query)
            assert len(server.heard) == 3 * query
    store.close()


def test_rows_that_cost_nothing_need_no_price() -> None:
    with Loopback(answer(LABELS)) as server:
        assert codes(server, {}, {"text": [None, ""]}, max_cost=0.03) == [None, None]
        assert not server.heard


def test_a_server_that_is_not_there_costs_nothing() -> None:
    with socket.socket() as bound:  # and nobody listens
        bound.bind(("127.0.0.1", 0))
        at = engine(None, base_url=f"http://127.0.0.1:{bound.getsockname()[1]}/hf-inference")
        found = predict(at, model(at, **TEXT, price=REQUEST), ROWS, max_cost=0.02, max_concurrency=1)
    assert set(found["y_error_type"]) == {"connection"}


def test_a_medium_that_cannot_be_loaded_costs_nothing() -> None:
    picture = {"task": "image-classification", "model_name": "org/name", "input_column": "picture"}
    with Loopback(answer(LABELS)) as server, Loopback(answer(b"", 503)) as pictures:
        at = engine(server, allowed_hosts=f"127.0.0.1:{pictures.port}")
        of = model(at, **picture, price=REQUEST)
        cells = {"picture": [f"{pictures.url}/{n}.png" for n in range(5)]}
        found = predict(at, of, cells, max_cost=0.01, max_concurrency=1)
        assert "budget_exceeded" not in set(found["y_error_type"])
        assert not server.heard


def test_a_request_without_an_answer_counts_in_full() -> None:
    def lost(heard: Heard, sock: socket.socket) -> None:
        raise EOFError

    with Loopback(lost) as server:
        found = codes(server, {"price": REQUEST}, max_cost=0.02, max_concurrency=1)
        assert len(server.heard) == 2
    assert found.count("budget_exceeded") == 6


@pytest.mark.parametrize(("day", "requests"), [("2026-01-01", 4), ("2026-01-02", 8)])
def test_each_day_has_a_budget(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, day: str, requests: int) -> None:
    store = SqliteCache(tmp_path / "answers.sqlite")
    with Loopback(answer(LABELS)) as server:
        at = engine(server, max_cost_per_day=0.04, price=REQUEST)
        for today in ("2026-01-01", day):
            monkeypatch.setattr(budget, "_today", lambda today=today: today)
            predict(at, model(at, **TEXT), ROWS, store=store)
        assert len(server.heard) == requests
    store.close()


@pytest.mark.parametrize(("per_day", "sent"), [(None, 5), (0.03, 3), (0.08, 5)])
def test_partitions_of_a_statement_share_its_max_cost(store: Cache, per_day: float | None, sent: int) -> None:
    """One after the other and at the same time; another statement has a limit of its own."""
    with Loopback(answer(LABELS)) as server:
        at = engine(server, price=REQUEST, **({} if per_day is None else {"max_cost_per_day": per_day}))
        of = model(at, **TEXT)

        def run(statement: str, part: int) -> None:
            cells = {"text": [f"{statement} {part} {row}" for row in range(2)]}
            named = Statement((f"{statement} 2026-01-01", statement))
            predict(at, of, cells, store=store, statement=named, max_cost=0.05)

        run("statement 7", 0)
        parts = [threading.Thread(target=run, args=("statement 7", part)) for part in range(1, 5)]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
        assert len(server.heard) == sent
        run("statement 8", 0)
        assert len(server.heard) == (sent if per_day == 0.03 else sent + 2)


def test_a_partition_says_what_all_have_spent(tmp_path: Any) -> None:
    store = SqliteCache(tmp_path / "answers.sqlite")
    with Loopback(answer(LABELS)) as server:
        at = engine(server, price=REQUEST)
        for part in range(2):
            cells = {"text": [f"{part} {row}" for row in range(3)]}
            found = predict(at, model(at, **TEXT), cells, store=store, statement=Statement(("a", "b")), max_cost=0.04)
    assert list(found["y_error"])[1:] == [
        "the query has spent $0.040 of max_cost = 0.04, and the next request may cost up to $0.010. Run the "
        "query again for the remaining rows, or raise max_cost."
    ] * 2  # fmt: skip
    store.close()


def test_the_budget_of_a_day_belongs_to_the_engine() -> None:
    assert CALLER.budget("2026-01-01") != CALLER.budget("2026-01-02")
    assert len(CALLER.budget("2026-01-01")) == len(CALLER.scope)
