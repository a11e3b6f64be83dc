"""Work that was paid for survives its process, on a real server."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .conftest import World
from .expected import MANY_REVIEWS, REVIEWS, mood, parsed

JOIN = "SELECT r.id, m.a FROM duck.reviews AS r JOIN {} AS m ON m.text = r.review"
DISTINCT = len({review for _, _, review in REVIEWS if review})
JOIN_MANY = JOIN.replace("reviews", "many")
MANY = len({review for _, _, review in MANY_REVIEWS if review})


def working_process(world: World, model: str) -> int:
    """The process in which a prediction of ``model`` runs, by its own note, which a busy machine may write late."""
    path = next(Path(world.server.storage).rglob("answers.sqlite"))
    until = time.monotonic() + 60
    while True:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            found = connection.execute(
                "SELECT pid FROM runs WHERE model = ? AND state = 'running' ORDER BY started DESC", (model,)
            ).fetchone()
        if found:
            return int(found[0])
        assert time.monotonic() < until, "no run is under way"
        time.sleep(0.05)


def test_a_killed_worker_loses_only_what_was_under_way(world: World) -> None:
    workers = 8
    world.model(
        "CREATE MODEL mortal PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        f"max_batch_size = 1, max_concurrency = {workers}, parameters = {{'function_to_apply': 'softmax'}}"
    )
    try:
        world.sandbox.reset()
        world.sandbox.faults = {"latency": 0.03}
        failures: list[Exception] = []

        def ask() -> None:
            try:
                world.sql(JOIN_MANY.format("mortal"))
            except Exception as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        until = time.monotonic() + 60
        while world.sandbox.sent() < MANY // 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(working_process(world, "mortal"), signal.SIGKILL)
        asking.join(60)
        assert failures, "the query ended well though its process was killed"
        first = world.sandbox.sent()
        assert MANY // 2 <= first < MANY
        world.sandbox.faults = {}
        result = world.sql(JOIN_MANY.format("mortal"))
        assert dict(result.rows) == {number: mood(review) for number, _, review in MANY_REVIEWS}
        assert world.sandbox.sent() <= MANY + workers
    finally:
        world.sql("DROP MODEL mortal")


def test_clients_that_ask_the_same_at_once_pay_once(world: World) -> None:
    world.model(
        "CREATE MODEL popular PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 1, parameters = {'top_k': 2}"
    )
    try:
        world.sandbox.reset()
        world.sandbox.faults = {"latency": 0.05}
        with ThreadPoolExecutor() as clients:
            found = list(clients.map(lambda _: world.sql(JOIN.format("popular")), range(3)))
        assert all(dict(one.rows) == {number: mood(review) for number, _, review in REVIEWS} for one in found)
        assert DISTINCT <= world.sandbox.sent() <= 1.05 * DISTINCT
    finally:
        world.sql("DROP MODEL popular")


def test_a_query_that_runs_out_of_credit_goes_on_later(world: World) -> None:
    workers = 8
    world.model(
        "CREATE MODEL poor PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        f"max_batch_size = 1, max_concurrency = {workers}, parameters = {{'function_to_apply': 'none'}}"
    )
    try:
        world.sandbox.reset()
        said = {"error": "You have depleted your monthly included credits."}
        for one in range(20):  # one of them is neither NULL nor a common text
            world.sandbox.fail_on(f"no. {len(MANY_REVIEWS) // 2 + one}", status=402, body=said)
        with pytest.raises(SQLError, match="credits") as ended:
            world.sql(JOIN_MANY.format("poor"))
        assert "answers are stored" in str(ended.value).splitlines()[0]
        paid = sum(record.items for record in world.sandbox.inference_requests() if record.status == 200)
        assert MANY // 3 < paid < MANY * 2 // 3
        world.sandbox.reset()
        result = world.sql(JOIN_MANY.format("poor"))
        assert dict(result.rows) == {number: mood(review) for number, _, review in MANY_REVIEWS}
        assert MANY - paid <= world.sandbox.sent() <= MANY - paid + workers
    finally:
        world.sql("DROP MODEL poor")


def test_null_goes_past_bad_rows_and_raise_names_the_first(world: World) -> None:
    """Each row is looked at: its prediction or its error, and what is told of how it came about."""
    world.sandbox.fail_on("this tent no.", status=400, body={"error": "no tents"})
    using = "USING use_cache = false, include_meta = true"
    query = (
        "SELECT r.id, m.mood, m.mood_error, m.mood_error_type, m.mood_retryable, m.mood_meta "
        "FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
    )
    found = world.sql(f"{query} {using}, on_error = 'null'")
    assert len(found.rows) == len(REVIEWS)
    rows = {row[0]: row[1:] for row in found.rows}
    asked: set[str] = set()
    for number, _, review in REVIEWS:
        label, error, code, retryable, meta = rows[number]
        reported = parsed(meta)
        assert retryable is False or retryable == 0
        if review is None:
            assert (label, error, code, reported["source"]) == (None, None, None, "null")
        elif "this tent no." in review:
            assert (label, code, reported["source"]) == (None, "invalid_input", "request")
            assert "no tents" in error
        else:
            assert (label, error, code) == (mood(review), None, None)
            assert reported["source"] == ("duplicate" if review in asked else "request")
            assert (reported["attempts"] >= 1) is (reported["source"] == "request")
            asked.add(review)
    first = next(at for at, (_, _, review) in enumerate(REVIEWS, 1) if review and "this tent no." in review)
    with pytest.raises(SQLError, match="no tents") as ended:
        world.sql(
            "SELECT r.id, m.mood FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
            "USING use_cache = false, on_error = 'raise', max_concurrency = 1, max_batch_size = 1"
        )
    assert f"row {first}" in str(ended.value).splitlines()[0]


@pytest.mark.parametrize(
    ("limit", "message"),
    [("max_requests = 10", "max_requests"), ("deadline = 1", "deadline")],
    ids=["max_requests", "deadline"],
)
def test_a_limit_ends_the_query_and_the_next_goes_on(world: World, limit: str, message: str) -> None:
    name = message.replace("_", "")
    world.model(
        f"CREATE MODEL {name} PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        f"max_batch_size = 8, parameters = {{'function_to_apply': 'softmax', 'top_k': {len(name)}}}"
    )
    try:
        world.sandbox.reset()
        world.sandbox.faults = {"latency": 0.05 if "requests" in limit else 0.3, "slots": 4}
        with pytest.raises(SQLError, match=message) as ended:
            world.sql(f"{JOIN.format(name)} USING {limit}")
        assert "answers are stored" in str(ended.value).splitlines()[0]
        first = world.sandbox.sent()
        assert 0 < first < DISTINCT
        world.sandbox.faults = {}
        result = world.sql(JOIN.format(name))
        assert dict(result.rows) == {number: mood(review) for number, _, review in REVIEWS}
        assert world.sandbox.sent() <= DISTINCT + 16 * 8
    finally:
        world.sql(f"DROP MODEL {name}")


def test_two_queries_at_once_lose_no_count(world: World) -> None:
    world.model(
        "CREATE MODEL twice PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        "parameters = {'top_k': 7}"
    )
    try:
        world.sandbox.faults = {"latency": 0.05}
        results: list[dict[int, str]] = []
        asking = [
            threading.Thread(target=lambda: results.append(dict(world.sql(JOIN.format("twice")).rows)))
            for _ in range(2)
        ]
        for one in asking:
            one.start()
        for one in asking:
            one.join(120)
        truth = {number: mood(review) for number, _, review in REVIEWS}
        assert results == [truth, truth]
        usage = dict(world.sql("DESCRIBE twice.usage").rows)
        assert usage["rows"] == 2 * len(REVIEWS)
        assert usage["answered"] + usage["cached"] == 2 * DISTINCT
    finally:
        world.sql("DROP MODEL twice")


def test_dry_run_meta_and_retryable_read_as_columns(world: World) -> None:
    plan = world.sql(
        "SELECT m.mood_plan AS plan, count(*) AS n FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
        "GROUP BY m.mood_plan USING dry_run = true, top_k = 3"
    )
    counted = {str(name): int(n) for name, n in plan.rows}
    nulls = sum(review is None for _, _, review in REVIEWS)
    assert counted == {"request": DISTINCT, "duplicate": len(REVIEWS) - nulls - DISTINCT, "null": nulls}
    world.sandbox.fail_on("this lamp no.", status=503, body={"error": "away"})
    retryable = world.sql(
        "SELECT r.id, r.product FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
        "WHERE m.mood_retryable IS TRUE USING on_error = 'null', max_retries = 0, use_cache = false, max_batch_size = 1"
    )
    lamps = {number for number, _, review in REVIEWS if review and "this lamp no." in review}
    assert {row[0] for row in retryable.rows} == lamps
    assert lamps


def test_a_provider_that_fails_passes_its_rows_on_to_the_next(world: World) -> None:
    world.model(
        "CREATE MODEL steady PREDICT a USING engine = 'hf', task = 'chat-completion', model_name = 'sandbox/chat', "
        "input_column = 'text', provider = ['groq', 'together'], max_tokens = 50"
    )
    try:
        world.sandbox.reset()
        world.sandbox.faults = {"rules": [{"kind": "status", "status": 503, "provider": "groq"}]}
        result = world.sql(
            "SELECT r.id, r.review, m.a, m.a_meta FROM duck.reviews AS r JOIN steady AS m ON m.text = r.review "
            "WHERE r.id < 100 USING include_meta = true"
        )
        assert len(result) == 100
        for _, review, answer, meta in result.rows:
            assert answer == (f"You said: {review}" if review else None)
            assert not review or parsed(meta)["provider"] == "together"
        asked = world.sandbox.inference_requests()
        refused = sum(record.provider == "groq" for record in asked)
        rows = len({review for _, review, _, _ in result.rows if review})
        assert 0 < refused < rows / 2
        assert len(asked) == rows + refused
        arguments = {row[0]: row[1:] for row in world.sql("DESCRIBE steady.args").rows}
        assert arguments["provider"] == ("groq, together", "model")
    finally:
        world.sandbox.faults = {}
        world.sql("DROP MODEL steady")
