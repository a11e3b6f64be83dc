"""``DESCRIBE model.table``, and how far a run says it is."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from mindsdb_sql_parser import parse_sql

from huggingface_api_handler.arguments import EngineSettings, Execution, ModelSettings, engine_settings, model_settings
from huggingface_api_handler.cache import Cache
from huggingface_api_handler.cache.runs import RunState
from huggingface_api_handler.errors import DeadlineExceeded, InvalidInput, SettingsError
from huggingface_api_handler.query import describe
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.describe import Description
from huggingface_api_handler.query.execution import LOG_EVERY, ResultCollector
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.progress import Progress, duration, left
from huggingface_api_handler.scheduling.results import RowResult
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Kind

CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")
TOKEN = "hf_" + "x" * 34


def at(sandbox: Sandbox | None = None) -> EngineSettings:
    base = {} if sandbox is None else {"base_url": sandbox.url}
    return engine_settings({"api_key": TOKEN, **base}, environ={})


def made(engine: EngineSettings, **using: Any) -> ModelSettings:
    if "task" in using and TASKS[using["task"]].default_model is None:
        using.setdefault("model_name", f"sandbox/{using['task']}")
    return model_settings(using, engine, hub=lambda *_: None)


def table(about: Description, name: str) -> dict[str, Any]:
    """Return a table of two columns as a dict."""
    frame = describe.describe(about, [name])
    return dict(frame.itertuples(index=False, name=None))


# --- examples --------------------------------------------------------------------------------


def using_of(name: str) -> dict[str, Any]:
    """Return a CREATE MODEL with a column for every input."""
    task = TASKS[name]
    columns = {one.argument: f"in{place}" for place, one in enumerate(task.inputs) if one.kind is not Kind.RECORD}
    constants = {str(one.constant) for one in task.inputs}
    return {**{key: value for key, value in task.example.using.items() if key not in constants}, **columns}


VARIANTS: dict[str, dict[str, Any]] = {
    **{name: {"task": name, **using_of(name)} for name in TASKS},
    "a template": {"task": "text-generation", "prompt_template": "{{name}} says {{what}} to {{From}}"},
    "names that are keywords": {"task": "text-classification", "column": "select"},
    "names with blanks": {"task": "sentence-similarity", "column": "First text", "input_column2": "2nd"},
    "names that need no quotes": {"task": "question-answering", "column": "question", "context_column": "context"},
    "no column at all": {"task": "chat-completion", "prompt": "say hello"},
    "one question on many pictures": {"task": "visual-question-answering", "column": "p", "question": "What is it?"},
    "the query's rows for a table": {"task": "table-question-answering", "question": "How tall is Ana?"},
    "some columns": {"task": "tabular-regression", "input_columns": "rooms, metres"},
}


def row_of(statement: str) -> pd.DataFrame:
    """Return the row that MindsDB makes of a statement's WHERE."""
    cells: dict[str, Any] = {}
    pending = [parse_sql(statement).where]
    while pending:
        one = pending.pop(0)
        if one.op.lower() == "and":
            pending = [*one.args, *pending]
        else:
            cells[one.args[0].parts[-1]] = one.args[1].value
    return pd.DataFrame([cells])


@pytest.mark.parametrize("using", VARIANTS.values(), ids=VARIANTS)
def test_the_example_runs_as_it_stands(sandbox: Sandbox, store: Cache, using: dict[str, Any]) -> None:
    engine = at(sandbox)
    model = made(engine, **using)
    examples = table(Description(model, engine, CALLER, store), "example")
    assert len(examples) == 4
    for statement in examples.values():
        parse_sql(statement)
    first = examples["try it on one row"]
    assert first.startswith("SELECT y FROM m WHERE ")
    assert len(first) < 2000
    frame = Prediction(model, engine, CALLER, Runtime(), store, RetryPolicy(0)).run(row_of(first))
    assert frame["y"].notna().all()


def test_names_in_examples_are_quoted_where_sql_needs_it(store: Cache) -> None:
    engine = at()
    caller = replace(CALLER, name="my-model", project="Shop", target="what mood")
    about = Description(made(engine, task="text-classification", column="the text"), engine, caller, store)
    statements = list(table(about, "example").values())
    assert statements[0].startswith("SELECT `what mood` FROM `Shop`.`my-model` WHERE `the text` = ")
    assert "m.`what mood_error` IS NOT NULL" in statements[3]
    for sql in (*statements, *describe.describe(about, None)["sql"]):
        parse_sql(sql)


# --- what it is, what it did -----------------------------------------------------------------


def test_the_tables_are_named(store: Cache) -> None:
    engine = at()
    about = Description(made(engine, task="text-classification", column="t"), engine, CALLER, store)
    listed = describe.describe(about, None)
    assert list(listed["table"]) == ["task", "args", "usage", "runs", "prices", "bill", "example"]
    assert list(listed["sql"]) == [f"DESCRIBE m.{name};" for name in listed["table"]]
    assert listed["shows"].str.len().between(30, 90).all()
    assert not listed["shows"].str.contains("\n").any()
    for name in listed["table"]:
        assert len(describe.describe(about, [name]).columns) >= 2
    with pytest.raises(SettingsError, match=r"DESCRIBE has no table 'argz'. Write one of DESCRIBE m.task, "):
        describe.describe(about, ["argz"])


@pytest.mark.parametrize("name", TASKS)
def test_every_parameter_of_the_hubs_type_is_described(store: Cache, name: str) -> None:
    import dataclasses

    import huggingface_hub

    engine, task = at(), TASKS[name]
    about = Description(made(engine, **VARIANTS[name]), engine, CALLER, store)
    rows = describe.describe(about, "task").to_dict("records")
    named = {row["name"] for row in rows}
    if task.parameters is not None:
        fields = {one.name for one in dataclasses.fields(getattr(huggingface_hub, task.parameters))}
        ours = {one.name for one in task.arguments}
        ours |= {one.constant for one in task.inputs}
        assert fields - named - ours <= {"inputs", "messages", "model", "parameters", "stream", "stream_options"}
    for row in rows:
        if row["kind"] == "parameter":
            assert row["type"]
            assert "  " not in row["meaning"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("chat-completion", {"prompt_template", "system_prompt"}), ("text-generation", {"prompt_template"}),
        ("text-to-image", {"prompt_template", "output_dir"}), ("text-classification", set()),
    ],
)  # fmt: skip
def test_arguments_that_tasks_share_are_described(store: Cache, name: str, arguments: set[str]) -> None:
    engine = at()
    about = Description(made(engine, **VARIANTS[name]), engine, CALLER, store)
    rows = {row["name"]: row for row in describe.describe(about, "task").to_dict("records")}
    found = {one for one in ("prompt_template", "system_prompt", "output_dir") if one in rows}
    assert found == arguments
    assert all(rows[one]["kind"] == "argument" and rows[one]["meaning"] for one in found)


def test_no_cell_of_the_task_table_is_odd(store: Cache) -> None:
    """A meaning is a phrase: it does not begin with punctuation, and tells nothing of the Hub's own code."""
    engine = at()
    for name in TASKS:
        about = Description(made(engine, **VARIANTS[name]), engine, CALLER, store)
        for row in describe.describe(about, "task").to_dict("records"):
            assert row["meaning"], (name, row)
            assert re.match(r"\w|'|`|\(|/|<|\[", row["meaning"]), (name, row)
            assert not re.search(r"UNUSED|deprecated|``|\bNone\b", row["meaning"]), (name, row)


def test_choices_are_described(store: Cache) -> None:
    engine = at()
    about = Description(made(engine, task="text-classification", column="t"), engine, CALLER, store)
    rows = {row["name"]: row for row in describe.describe(about, "task").to_dict("records")}
    assert rows["function_to_apply"]["meaning"].endswith("; one of sigmoid, softmax, none")
    assert rows["top_k"]["type"] == "integer"


def test_args_say_where_each_comes_from(store: Cache) -> None:
    engine = engine_settings({"api_key": TOKEN, "timeout": 30}, environ={})
    model = made(engine, task="text-classification", column="review", top_k=3, max_retries=2)
    rows = describe.describe(Description(model, engine, CALLER, store), "args").to_dict("records")
    found = {row["argument"]: (row["value"], row["source"]) for row in rows}
    assert found["task"] == ("text-classification", "model")
    assert found["model_name"][1] == "default"
    assert found["input_column"] == ("review", "model")
    assert found["timeout"] == ("30", "engine")
    assert found["max_retries"] == ("2", "model")
    assert found["max_batch_size"] == ("32", "default")
    assert found["top_k"] == ("3", "model")
    assert found["api_key"] == ("******", "engine")
    assert TOKEN not in str(rows)


def test_usage_counts_what_was_asked(sandbox: Sandbox, store: Cache) -> None:
    sandbox.reset()
    sandbox.fail_on("BAD", status=400)
    engine = at(sandbox)
    model = made(engine, task="text-classification", column="t", on_error="null", max_batch_size=1)
    frame = pd.DataFrame({"t": ["one", "two", "two", None, "BAD"]})
    for _ in range(2):
        Prediction(model, engine, CALLER, Runtime(), store, RetryPolicy(0)).run(frame)
    sandbox.reset()
    usage = table(Description(model, engine, CALLER, store), "usage")
    assert usage["rows"] == 10
    assert usage["nulls"] == 2
    assert usage["duplicates"] == 2
    assert usage["cached"] == 2
    assert usage["answered"] == 2
    assert usage["requests"] == 4
    assert usage["errors invalid_input"] == 2
    assert usage["compute_seconds"] > 0
    assert {"retries", "throttled", "splits", "tokens"} <= set(usage)
    assert usage["p50 latency_ms"] <= usage["p95 latency_ms"]


# --- how far a run is ------------------------------------------------------------------------


def play(rates: list[tuple[float, float]], step: float = 0.1) -> tuple[Progress, float, int]:
    """Play a run through: for so many seconds, at so many inputs a second."""
    progress, now, done = Progress(100.0), 100.0, 0.0
    for seconds, rate in rates:
        for _ in range(round(seconds / step)):
            now += step
            done += rate * step
            progress.note(now, int(done))
    return progress, now, int(done)


def test_the_pace_is_that_of_late() -> None:
    assert play([(10, 50)])[0].rate == pytest.approx(50, rel=0.1)
    assert play([(10, 1), (10, 100)])[0].rate == pytest.approx(100, rel=0.1)
    assert play([(10, 100), (30, 5)])[0].rate == pytest.approx(5, rel=0.3)
    assert play([(3600, 10)])[0].rate == pytest.approx(10, rel=0.05)
    assert Progress(5.0).rate == 0.0


def test_little_is_kept_of_a_long_run() -> None:
    progress, _, _ = play([(5000, 20)])
    assert len(progress._samples) < 64


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (40, "40 s"), (89, "89 s"), (720, "12 min"), (11100, "3 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_left() -> None:
    assert left(100, 25, 5.0) == 15.0
    assert left(100, 25, 0.0) is None
    assert left(100, 110, 5.0) == 0.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_log_tells_at_a_humane_pace(store: Cache, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    total = 6000
    inbox = ResultCollector(CALLER, TASKS["summarization"], Execution(), store, total, [None] * total, clock)
    inbox.begin()
    with caplog.at_level(logging.INFO, logger="huggingface_api_handler"):
        for at in range(total):  # ten minutes, ten a second
            clock.now += 0.1
            item = Item(at, f"k{at}", ("x",), None, 1)
            failed = at % 1000 == 999
            error = InvalidInput("no") if failed else None
            inbox.deliver([RowResult(None if failed else "a", error=error, attempts=1, item=item)])
    lines = [record.getMessage() for record in caplog.records if "inputs done" in record.getMessage()]
    assert 600 / LOG_EVERY - 2 <= len(lines) <= 600 / LOG_EVERY
    assert re.fullmatch(r"m: 300\d? of 6000 inputs done, \d errors, 10 a second, about 5 min left", lines[9])


def test_a_running_run_is_described_by_its_pace_of_late(store: Cache) -> None:
    engine = at()
    about = Description(made(engine, task="summarization", column="t"), engine, CALLER, store)
    store.run_start("r", CALLER.scope, model="m", task="summarization", rows=1000)
    time.sleep(1.1)  # notes of how far it is come once a second
    store.run_update("r", RunState(100, 3, rate=450.0))
    row = describe.describe(about, "runs").to_dict("records")[0]
    assert (row["state"], row["inputs"], row["done"], row["errors"]) == ("running", 1000, 100, 3)
    assert row["inputs_per_second"] == 450.0
    assert 0 < row["eta_seconds"] <= 2.0
    assert (row["audited"], row["agreed"]) == (0, 0)
    store.run_end("r", RunState(1000, 3, "done", audit=(50, 49)))
    row = describe.describe(about, "runs").to_dict("records")[0]
    assert (row["state"], row["done"], row["eta_seconds"]) == ("done", 1000, None)
    assert (row["audited"], row["agreed"]) == (50, 49)


def test_rows_that_were_never_sent_are_not_done(store: Cache) -> None:
    collector = ResultCollector(CALLER, TASKS["summarization"], Execution(), store, 3, [None] * 3)
    collector.begin()
    late = DeadlineExceeded("late")
    some = [Item(at, f"k{at}", ("x",), None, 1) for at in range(3)]
    collector.deliver([RowResult("a", attempts=1, item=some[0]), RowResult(error=late, attempts=2, item=some[1])])
    collector.deliver([RowResult(error=late, item=some[2])])
    collector.end("stopped")
    (run,) = store.runs(CALLER.scope)
    assert (run.rows, run.done, run.errors, run.state) == (3, 2, 1, "stopped")


# --- output_schema ---------------------------------------------------------------------------


def test_the_fields_of_a_schema_are_described(store: Cache) -> None:
    schema = {"topic": {"type": "text", "description": "what it is about"}, "right": "integer in (1, 2)"}
    model = made(at(), task="chat-completion", input_column="review", output_schema=schema)
    about = Description(model, at(), CALLER, store)
    task = describe.describe(about, ["task"])
    outputs = task[task["kind"] == "output"][["name", "type", "meaning"]].to_numpy().tolist()
    assert outputs[0][:2] == ["y", "JSON"]
    assert outputs[1:3] == [
        ["topic", "text", "what it is about"],
        ["right", "integer", "a field of output_schema; one of 1, 2"],
    ]
    statements = describe.describe(about, ["example"])["sql"].tolist()
    assert statements[0].startswith("SELECT topic, `right` FROM m WHERE review = ")
    assert statements[1] == (
        "SELECT t.*, m.topic, m.`right` FROM my_database.my_table AS t JOIN m AS m ON m.review = t.review LIMIT 10;"
    )
    for statement in statements:
        parse_sql(statement.rstrip(";"))
    reported = json.loads(describe.describe(about, ["args"]).set_index("argument")["value"]["output_schema"])
    assert reported == {
        "topic": {"type": "text", "description": "what it is about"},
        "right": {"type": "integer", "enum": [1, 2]},
    }
