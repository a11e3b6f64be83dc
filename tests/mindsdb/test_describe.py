"""What people see of a model while they wait for it, and the texts of what goes wrong, on a real server."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
import urllib.request
from typing import Any

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .conftest import World
from .expected import REVIEWS

DISTINCT = len({review for _, _, review in REVIEWS if review})
MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
JOIN = "SELECT r.id, m.a FROM duck.reviews AS r JOIN {} AS m ON m.text = r.review"
TRIES = 2


def watched(world: World, model: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run a query, describe its run from elsewhere until it ends; return what was seen, and the run at its end."""
    failures: list[Exception] = []

    def ask() -> None:
        try:
            world.sql(JOIN.format(model))
        except Exception as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    seen: list[dict[str, Any]] = []
    while asking.is_alive():
        runs = world.sql(f"DESCRIBE {model}.runs").records()
        seen += [run for run in runs[:1] if run["state"] == "running"]
        time.sleep(0.25)
    asking.join()
    assert not failures, failures
    return seen, world.sql(f"DESCRIBE {model}.runs").records()[0]


AGAIN = "DROP MODEL it and CREATE MODEL it again."


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("generating", "this model is still being created. Try again when SELECT status FROM models WHERE name = "
                       "'half' returns complete."),
        ("error", f"this model could not be created: the disk is full. {AGAIN}"),
        ("complete", f"this model was not created by this version of the handler. {AGAIN}"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_complete_is_described_as_such(world: World, status: str, says: str) -> None:
    world.model("CREATE MODEL half PREDICT a USING engine = 'hf', task = 'fill-mask', column = 'text'")
    try:
        with contextlib.closing(sqlite3.connect(f"{world.server.storage}/mindsdb.sqlite3.db", timeout=30)) as base:
            ((number,),) = base.execute("SELECT id FROM predictor WHERE name = 'half' AND deleted_at IS NULL")
            base.execute("DELETE FROM json_storage WHERE resource_group = 'predictor' AND resource_id = ?", (number,))
            data = json.dumps({"error": "the disk is full"} if status == "error" else {})
            base.execute("UPDATE predictor SET status = ?, data = ? WHERE id = ?", (status, data, number))
            base.commit()
        assert world.sql("DESCRIBE half.task").rows == ((f"SettingsError: {says}",),)
        (shown,) = world.sql("DESCRIBE half").records()
        assert shown["STATUS"] == status and "handler" not in str(shown)
        assert shown["ERROR"] == ("the disk is full" if status == "error" else None)
    finally:
        world.sql("DROP MODEL half")


def test_a_run_is_seen_while_it_runs(world: World) -> None:
    """From another connection: how much is done grows, and soon it says well how long it will take.

    Well is within a factor of two, and two seconds for notes that come once a second, of the time that the
    same run then really took. A machine that is busy with something else in the meantime has a second try.
    """
    world.model(
        "CREATE MODEL slow PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 1, max_concurrency = 4, use_cache = false"
    )
    try:
        # Query and description each need a worker: let both be up.
        world.sandbox.faults = {"latency": 0.01, "slots": 4}
        watched(world, "slow")
        misses: list[list[tuple[float, float]]] = []
        for _ in range(TRIES):
            world.sandbox.faults = {"latency": 0.06, "slots": 4}
            seen, last = watched(world, "slow")
            done = [int(run["done"]) for run in seen]
            assert (last["state"], int(last["inputs"]), int(last["done"])) == ("done", DISTINCT, DISTINCT)
            assert done == sorted(done)
            assert len(set(done)) >= 4, done
            total = float(last["seconds"])
            reported = [
                (float(run["eta_seconds"]), total - float(run["seconds"]))
                for run in seen
                if int(run["done"]) >= DISTINCT / 10
            ]
            assert reported
            missed = [(eta, left) for eta, left in reported if not left / 2 - 2 <= eta <= left * 2 + 2]
            if not missed:
                return
            misses.append(missed)
        pytest.fail(f"(reported, true) seconds left: {misses}")
    finally:
        world.sql("DROP MODEL slow")


def without_id(error: SQLError) -> str:
    """Return an error's text without the request's id, and without the place that MySQL's server needs for it."""
    return re.sub(r", request [0-9a-f]{32}", "", str(error)).strip()


#: What the service says to one row → the text that both of MindsDB's protocols deliver.
SAID: dict[str, tuple[int, str, str]] = {
    "no credits": (
        402,
        "You have depleted your monthly included credits.",
        "[hf/sentiment]: the account's credits are used up: \"You have depleted your monthly "
        f'included credits." (task text-classification, model {MODEL}, HTTP 402). Buy credits at '
        "https://huggingface.co/settings/billing, or set bill_to; then run the query again: stored answers are not "
        "billed twice.",
    ),
    "too long": (
        400,
        "The size of tensor a (1204) must match the size of tensor b (512)",
        '[hf/sentiment]: the input is longer than the model accepts: "The size of tensor a (1204) must match '
        f'the size of tensor b (512)" (task text-classification, model {MODEL}, row 1, HTTP 400). Shorten '
        "the text, for example with LEFT(text, 2000) in a sub-select, or choose a model that accepts longer texts. "
        "To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "overloaded": (
        503,
        "overload detected",
        '[hf/sentiment]: failed after 2 attempts: the service failed: "overload detected" (task '
        f"text-classification, model {MODEL}, row 1, HTTP 503). Run the query again later, or raise max_retries. "
        "To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
}


@pytest.mark.parametrize(("status", "words", "text"), SAID.values(), ids=SAID)
def test_the_whole_text_arrives(world: World, status: int, words: str, text: str) -> None:
    for ask in (world.sql, world.mysql):
        world.sandbox.faults = {"rules": [{"kind": "status", "status": status, "body": {"error": words}}]}
        with pytest.raises(SQLError) as reported:
            ask("SELECT mood FROM sentiment WHERE text = 'what goes wrong' USING max_retries = 1, use_cache = false")
        assert without_id(reported.value) == text


def test_a_model_that_others_serve(world: World) -> None:
    """Refused where the Hub knows better, created with its provider named; asked in vain, it says who serves it."""
    world.sql(
        "CREATE ML_ENGINE routed FROM huggingface_api USING api_key = 'hf_" + "t" * 34 + "', "
        "base_url = 'https://router.huggingface.co/hf-inference'"
    )
    create = "CREATE MODEL {} PREDICT image USING engine = '{}', model_name = 'sandbox/elsewhere', column = 'text'{}"
    try:
        with pytest.raises(SQLError) as reported:
            world.sql(create.format("wrong", "routed", ""))
        assert (
            "hf-inference does not serve sandbox/elsewhere; it is served by together and fal-ai: "
            "write provider = 'together'" in str(reported.value).splitlines()[0]
        )
        assert "wrong" not in world.sql("SELECT name FROM models").column("name")
        world.model(create.format("elsewhere", "routed", ", provider = 'together'"))
        world.model(create.format("in_vain", "hf", ""))
        world.sandbox.reset()
        with pytest.raises(SQLError) as reported:
            world.sql("SELECT image FROM in_vain WHERE text = 'a hut'")
        assert without_id(reported.value) == (
            '[hf/in_vain]: the model is not available at this service: "Not Found" (task text-to-image, model '
            "sandbox/elsewhere, HTTP 404). It is served by together and fal-ai: create the model with "
            "provider = 'together'."
        )
        assert len([one for one in world.sandbox.requests if one.path.startswith("/api/")]) == 1
    finally:
        for model in ("elsewhere", "in_vain"):
            world.sql(f"DROP MODEL IF EXISTS {model}")
        world.sql("DROP ML_ENGINE routed")


def test_mindsdbs_form_of_the_handler(world: World) -> None:
    """What MindsDB's own interface shows: labels for people, and the arguments of a query."""
    with urllib.request.urlopen(f"{world.server.url}/api/handlers/huggingface_api", timeout=60) as answer:
        form = json.load(answer)["connection_args"]
    engine, query = form["creation_args"], {entry["name"]: entry for entry in form["prediction"]}
    assert engine["api_key"]["label"] == "API key"
    assert not any("_" in entry["label"] for entry in [*engine.values(), *query.values()])
    # MindsDB masks an engine's arguments by this form alone, so the older name of the key must be in it.
    assert {name for name, entry in engine.items() if entry.get("secret")} == {"api_key", "huggingface_api_api_key"}
    assert query["timeout"]["description"] == "maximum seconds per request"
    assert "task" not in query


def test_the_example_of_a_model_with_odd_names_runs(world: World) -> None:
    world.sql("CREATE PROJECT shop")
    try:
        world.sql(
            "CREATE MODEL shop.`my-model` PREDICT `what mood` "
            "USING engine = 'hf', task = 'text-classification', column = 'the text'"
        )
        world.server.wait_for_model("my-model", project="shop")
        examples = [row["sql"] for row in world.sql("DESCRIBE shop.`my-model`.example").records()]
        assert len(world.sql(examples[0].rstrip(";")).rows) == 1
        of_a_table = examples[1].replace("my_database.my_table", "(SELECT review AS `the text` FROM duck.reviews)")
        found = world.sql(of_a_table.rstrip(";"))
        assert len(found.rows) == 10
        assert "what mood" in found.columns
        world.sql("DROP MODEL shop.`my-model`")
    finally:
        world.sql("DROP PROJECT shop")
