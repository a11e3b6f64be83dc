"""Whole queries, from frame to frame, for every task of the registry, against the sandbox over HTTP."""

from __future__ import annotations

import itertools
import json
import socket
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huggingface_api_handler.arguments import engine_settings, model_settings, query_settings
from huggingface_api_handler.cache import Cache, NoCache
from huggingface_api_handler.errors import BudgetExceeded, InvalidInput, OutOfCredits, SettingsError
from huggingface_api_handler.protocols.detect import Endpoint
from huggingface_api_handler.query import pipeline
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Batching, Kind, Task
from tests.unit import end_to_end
from tests.unit.loopback import Heard, Loopback, answer

CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")
NAMES = list(TASKS)


class Bench:
    """A task with its example: makes frames and predicts them."""

    def __init__(self, sandbox: Sandbox, name: str, store: Cache | None = None, **using: Any) -> None:
        self.task: Task = TASKS[name]
        self.sandbox = sandbox
        self.store = store or NoCache()
        self.runtime = Runtime()
        self.caller = CALLER
        self.engine = engine_settings({"base_url": sandbox.url, "api_key": "hf_" + "x" * 34}, environ={})
        columns = {
            one.argument: f"in{place}"
            for place, one in enumerate(self.task.inputs)
            if one.required and one.kind is not Kind.RECORD
        }
        if self.task.default_model is None:
            using.setdefault("model_name", f"sandbox/{name}")
        self.model = model_settings(
            {"task": name, **self.task.example.using, **columns, **using}, self.engine, hub=lambda *_: None
        )

    def frame(self, order: list[int | None], index: list[Any] | None = None) -> pd.DataFrame:
        """Rows of the example by number; ``None`` is a row of NULLs."""
        rows = self.task.example.rows
        if self.task.inputs[0].kind is Kind.RECORD:
            names = list(dict(rows[0][0]))
            cells = [dict(rows[number % len(rows)][0]) if number is not None else {} for number in order]
            return pd.DataFrame([[row.get(name) for name in names] for row in cells], columns=names, index=index)
        width = len(rows[0])
        data = [
            [cell.data if isinstance(cell, Media) else cell for cell in rows[number % len(rows)]]
            if number is not None
            else [None] * width
            for number in order
        ]
        return pd.DataFrame(data, columns=[f"in{place}" for place in range(width)], index=index, dtype=object)

    def predict(self, frame: pd.DataFrame, **overrides: Any) -> pd.DataFrame:
        model = query_settings(self.model, self.engine, overrides)
        retry = RetryPolicy(model.execution.max_retries, base=0.01, cap=0.05)
        return Prediction(model, self.engine, self.caller, self.runtime, self.store, retry).run(frame)

    def alone(self, number: int) -> tuple[Any, ...]:
        """What one row gets when nobody else is there."""
        faults, self.sandbox.faults = self.sandbox.faults, {}
        try:
            frame = Bench.predict(Bench(self.sandbox, self.task.name), self.frame([number]))
        finally:
            self.sandbox.faults = faults
        return tuple(frame.iloc[0])


def check(bench: Bench, order: list[int | None], result: pd.DataFrame, index: list[Any]) -> None:
    """Every row has what it gets alone; index and order are the input's; structures are JSON."""
    count = len(bench.task.example.rows)
    truth = {number: bench.alone(number) for number in range(count)}
    expected = ["y", "y_explain"] if bench.task.explain else ["y"]
    assert list(result.columns) == expected
    assert list(result.index) == index
    for number, row in zip(order, result.itertuples(index=False, name=None), strict=True):
        if number is None:
            assert all(pd.isna(cell) for cell in row)
            continue
        assert row == truth[number % count]
        if bench.task.explain:
            assert isinstance(json.loads(row[1]), dict)
        if isinstance(row[0], str) and bench.task.answer.startswith("JSON"):
            json.loads(row[0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "order",
    [[0], [0, 1, 2, 3, 4], [1, 0, 1, 1, 0, 2, 0], [None, 0, None, 1, None], [None], []],
    ids=["one", "many", "duplicates", "nulls", "only-null", "empty"],
)
def test_every_task_gives_every_row_its_own_answer(sandbox: Sandbox, name: str, order: list[int | None]) -> None:
    bench = Bench(sandbox, name)
    index = [f"row {10 - place}" for place in range(len(order))]
    result = bench.predict(bench.frame(order, index))
    sent = sandbox.sent()
    check(bench, order, result, index)
    if bench.task.batching is not Batching.TABLE:
        distinct = {
            bench.task.example.rows[number % len(bench.task.example.rows)] for number in order if number is not None
        }
        assert sent <= max(len(distinct), 1) * 2
        assert (sent == 0) == (not distinct)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 422, "body": {"error": "no lists here"}, "lists": True},
        {"kind": "wrong_count", "lists": True},
        {"kind": "shuffle"},
        {"kind": "status", "status": 503, "body": {"error": "loading", "estimated_time": 0.01}, "next": 1},
        {"kind": "cut", "next": 1},
        {"kind": "html", "next": 1},
        {"kind": "reset", "next": 1},
    ],
    ids=["list-refused", "wrong-count", "shuffled", "loading", "cut", "html", "reset"],
)
def test_every_task_survives(sandbox: Sandbox, name: str, rule: dict[str, Any]) -> None:
    bench = Bench(sandbox, name)
    if rule["kind"] == "cut" and "data URI of" in bench.task.answer:
        rule = {"kind": "break", "next": 1}  # half a picture is a picture: only a broken connection tells
    order: list[int | None] = [2, 0, None, 1, 0, 3]
    sandbox.faults = {"rules": [rule]}
    result = bench.predict(bench.frame(order))
    check(bench, order, result, list(range(6)))


def test_a_table_of_rows_has_no_text_for_null(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "table-question-answering")
    using = {"task": "table-question-answering", "question": "How many?"}
    bench.model = model_settings(using, bench.engine, hub=lambda *_: None)
    bench.predict(pd.DataFrame({"n": [1, None], "m": pd.array([1, None], dtype="Int64")}))
    assert sandbox.inference_requests()[0].inputs["table"] == {"n": ["1", ""], "m": ["1", ""]}


def test_two_columns_of_one_name_are_refused_where_all_are_read(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "tabular-regression")
    with pytest.raises(SettingsError, match="2 columns named 'a'"):
        bench.predict(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_one_question_about_many_pictures(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "chat-completion")
    using = {"task": "chat-completion", "prompt": "What is it?", "image_column": "picture"}
    bench.model = model_settings(using, bench.engine, hub=lambda *_: None)
    picture = TASKS["image-classification"].example.rows[0][0].data
    result = bench.predict(pd.DataFrame({"picture": [picture, None, picture]}, dtype=object))
    assert result["y"][0] == result["y"][2] != result["y"][1]
    assert result["y"][1] is None
    assert len(sandbox.inference_requests()) == 1


# --- paying once -----------------------------------------------------------------------------


def texts(count: int, distinct: int) -> pd.DataFrame:
    return pd.DataFrame({"in0": [f"I love number {number % distinct}" for number in range(count)]})


def test_equal_rows_are_sent_once_and_a_second_run_sends_nothing(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, "text-classification", store)
    first = bench.predict(texts(10_000, 100))
    assert sandbox.sent() == 100
    second = bench.predict(texts(10_000, 100))
    assert sandbox.sent() == 100
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(
    "change",
    [
        {"caller": Caller("0/1", "engine-1", "model-1", "m", "y")},
        {"caller": Caller("0/0", "engine-2", "model-1", "m", "y")},
        {"caller": Caller("0/0", "engine-1", "model-1", "m", "y", key="own")},
        {"overrides": {"top_k": 1}},
        {"overrides": {"use_cache": False}},
        {"model": {"model_name": "sandbox/text-classification"}},
    ],
    ids=["tenant", "engine", "key", "parameter", "no cache", "model"],
)
def test_what_changes_the_answer_changes_the_key(sandbox: Sandbox, store: Cache, change: dict[str, Any]) -> None:
    Bench(sandbox, "text-classification", store).predict(texts(5, 5))
    bench = Bench(sandbox, "text-classification", store, **change.get("model", {}))
    bench.caller = change.get("caller", CALLER)
    sandbox.reset()
    bench.predict(texts(5, 5), **change.get("overrides", {}))
    assert sandbox.sent() == 5


@pytest.mark.parametrize(
    ("argument", "one", "other"),
    [
        ("prompt_template", "Say: {{in0}}", "Say {{in0}}"),
        ("system_prompt", "Be kind.", "Be brief."),
    ],
)
def test_another_prompt_asks_anew(sandbox: Sandbox, store: Cache, argument: str, one: str, other: str) -> None:
    bench = Bench(sandbox, "chat-completion", store)
    columns = {} if argument == "prompt_template" else {"input_column": "in0"}
    for text, sent in ((one, 5), (one, 0), (other, 5)):
        using = {"task": "chat-completion", "model_name": "sandbox/chat-completion", argument: text, **columns}
        bench.model = model_settings(using, bench.engine, hub=lambda *_: None)
        sandbox.reset()
        bench.predict(texts(50, 5))
        assert sandbox.sent() == sent, text


@pytest.mark.parametrize("environ", [{"HF_TOKEN": "hf_" + "n" * 34}, {"HUGGINGFACE_API_BASE_URL": "OTHER"}], ids=list)
def test_what_the_server_is_told_anew_asks_anew(sandbox: Sandbox, store: Cache, environ: dict[str, str]) -> None:
    with Sandbox() as other:
        before = {"HF_TOKEN": "hf_" + "x" * 34, "HUGGINGFACE_API_BASE_URL": sandbox.url}
        after = {**before, **{name: value.replace("OTHER", other.url) for name, value in environ.items()}}
        for each in (before, after):
            bench = Bench(sandbox, "text-classification", store)
            bench.engine = engine_settings({}, environ=each)
            bench.predict(texts(5, 5))
        assert sandbox.sent() + other.sent() == 10


def test_another_model_of_the_same_settings_shares_the_answers(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, "text-classification", store)
    bench.predict(texts(5, 5))
    bench.caller = Caller("0/0", "engine-1", "another model", "n", "z")
    sandbox.reset()
    assert list(bench.predict(texts(5, 5)).columns) == ["z", "z_explain"]
    assert sandbox.sent() == 0


def test_a_query_that_stops_keeps_what_was_paid_for(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, "text-classification", store, max_batch_size=4, max_concurrency=1)
    sandbox.fail_on("number 60", status=402, body={"error": "You have depleted your monthly included credits."})
    with pytest.raises(OutOfCredits, match="answers are stored"):
        bench.predict(texts(100, 100))
    paid = sum(record.items for record in sandbox.inference_requests() if record.status == 200)
    assert 0 < paid < 100
    sandbox.reset()
    result = bench.predict(texts(100, 100))
    assert sandbox.sent() == 100 - paid
    assert set(result["y"]) == {"POSITIVE"}


def test_max_requests_stops_and_the_next_run_goes_on(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, "text-classification", store, max_batch_size=10)
    with pytest.raises(BudgetExceeded):
        bench.predict(texts(100, 100), max_requests=3)
    first = sandbox.sent()
    assert 0 < first < 100
    bench.predict(texts(100, 100))
    assert sandbox.sent() == 100


# --- errors ----------------------------------------------------------------------------------


def test_raise_names_the_row(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification")
    sandbox.fail_on("number 7", status=400)
    with pytest.raises(InvalidInput, match=r"row 8\b"):
        bench.predict(texts(10, 10))


def test_null_tells_of_each_row(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification", on_error="null", include_meta=True)
    sandbox.fail_on("number 7", status=400)
    frame = pd.concat([texts(12, 10), pd.DataFrame({"in0": [None]})], ignore_index=True)
    result = bench.predict(frame)
    assert list(result.columns) == ["y", "y_explain", "y_error", "y_error_type", "y_retryable", "y_meta"]
    assert result["y_error_type"].tolist() == [None] * 7 + ["invalid_input"] + [None] * 5
    assert result["y_retryable"].tolist() == [False] * 13
    assert result["y"].isna().tolist() == [place in (7, 12) for place in range(13)]
    sources = [json.loads(meta)["source"] for meta in result["y_meta"]]
    assert sources == ["request"] * 10 + ["duplicate"] * 2 + ["null"]


def test_what_every_row_would_meet_is_asked_once(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification", on_error="null", max_concurrency=1, max_batch_size=1)
    sandbox.faults = {"rules": [{"kind": "status", "status": 402, "body": {"error": "no credits"}}]}
    result = bench.predict(texts(50, 50))
    assert set(result["y_error_type"]) == {"out_of_credits", "not_attempted"}
    assert len(sandbox.inference_requests()) == 1


def test_dry_run_sends_nothing(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, "text-classification", store)
    bench.predict(texts(2, 2))
    sandbox.reset()
    frame = pd.concat([texts(5, 3), pd.DataFrame({"in0": [""]})], ignore_index=True)
    result = bench.predict(frame, dry_run=True)
    assert result["y_plan"].tolist() == ["cache", "cache", "request", "cache", "cache", "null"]
    assert result["y"].isna().all()
    assert not sandbox.inference_requests()


def test_missing_column_is_named(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification")
    with pytest.raises(SettingsError, match="'in0'.*'review'"):
        bench.predict(pd.DataFrame({"review": ["x"]}))


# --- frames of all kinds ---------------------------------------------------------------------


def test_the_frame_that_came_is_left_alone(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification")
    frame = texts(3, 3).assign(y="theirs", y_explain="theirs", __mindsdb_row_id=[7, 8, 9])
    before = frame.copy(deep=True)
    result = bench.predict(frame)
    assert list(result.columns) == ["y", "y_explain"]
    pd.testing.assert_frame_equal(frame, before)


def test_numbers_that_python_holds_equal_are_asked_apart(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "tabular-regression")
    frame = pd.DataFrame({"a": pd.Series([1, True, 1.0, "1"], dtype=object)})
    bench.predict(frame)
    assert sum(len(record.inputs["data"]["a"]) for record in sandbox.inference_requests()) == 4


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=60),
    size=st.integers(1, 40),
    concurrency=st.integers(1, 8),
    rules=st.lists(
        st.sampled_from(
            [
                {
                    "kind": "status",
                    "status": 503,
                    "body": {"error": "loading", "estimated_time": 0.01},
                    "probability": 0.2,
                },
                {"kind": "status", "status": 422, "body": {"error": "list"}, "lists": True, "probability": 0.5},
                {"kind": "wrong_count", "lists": True, "probability": 0.5},
                {"kind": "cut", "next": 2},
                {"kind": "reset", "next": 2},
            ]
        ),
        max_size=3,
    ),
)
def test_whatever_happens_each_row_has_its_own_answer(
    sandbox: Sandbox, order: list[int | None], size: int, concurrency: int, rules: list[dict[str, Any]]
) -> None:
    sandbox.reset()
    sandbox.faults = {"rules": rules}
    bench = Bench(sandbox, "feature-extraction", max_batch_size=size, max_concurrency=concurrency, max_retries=20)
    words = list(itertools.islice(("".join(letters) for letters in itertools.product("abcdef", repeat=3)), 31))
    frame = pd.DataFrame({"in0": [None if number is None else words[number] for number in order]}, dtype=object)
    result = bench.predict(frame)
    embed = FAKE_MODELS["feature-extraction"]
    for number, found in zip(order, result["y"], strict=True):
        if number is None:
            assert found is None
        else:
            vector = embed(words[number], {})
            while isinstance(vector[0], list):
                vector = vector[0]
            assert json.loads(found) == pytest.approx(vector)


def _listed(inputs: Any) -> list[Any]:
    return inputs if isinstance(inputs, list) else [inputs]


def test_arrays_that_differ_in_the_middle_are_two_inputs(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification")
    one, other = np.arange(2000), np.arange(2000)
    other[1000] = -1
    frame = pd.DataFrame({"in0": pd.Series([one, other, one], dtype=object)})
    bench.predict(frame)
    sent = [text for request in sandbox.inference_requests() for text in _listed(request.inputs)]
    assert sorted(json.loads(text) for text in sent) == sorted([one.tolist(), other.tolist()])


@pytest.mark.parametrize(
    "cell", [np.array([1, 2]), {"a": np.array([1.5, None], dtype=object)}, [np.array(["x"])], pd.array([1, None])]
)
def test_a_table_task_reads_arrays(sandbox: Sandbox, cell: Any) -> None:
    bench = Bench(sandbox, "tabular-classification")
    frame = bench.frame([0, 1])
    frame["tags"] = pd.Series([cell, cell], dtype=object)
    assert bench.predict(frame)["y"].notna().all()


def test_a_table_of_the_querys_rows_may_hold_arrays(sandbox: Sandbox) -> None:
    bench = Bench(
        sandbox, "table-question-answering", input_column=None, table_column=None, question="How tall is Ana?"
    )
    frame = pd.DataFrame({"name": ["Ana", "Ben"], "tall": ["170", "182"], "tags": [np.array([1, 2]), np.array([])]})
    result = bench.predict(frame)
    assert result["y"].notna().all()


def test_a_prompt_too_large_to_render_is_its_rows_error(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-generation", input_column=None, prompt_template="{{big}}" * 100)
    frame = pd.DataFrame({"big": ["x" * 10, "y" * 1_000_000]})
    result = bench.predict(frame, on_error="null")
    assert pd.notna(result["y"][0])
    assert result["y_error_type"][1] == "payload_too_large"
    assert "100,000,000 characters" in result["y_error"][1]


def test_templates_with_equal_texts_are_sent_once(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-generation", input_column=None, prompt_template="{{a}}{{b}}")
    bench.predict(pd.DataFrame({"a": ["x", "xy"], "b": ["yz", "z"]}))
    assert [text for request in sandbox.inference_requests() for text in _listed(request.inputs)] == ["xyz"]


@pytest.mark.parametrize("using", [{}, {"dry_run": True}, {"on_error": "null", "include_meta": True}])
def test_an_empty_frame_is_an_empty_result(sandbox: Sandbox, using: dict[str, Any]) -> None:
    bench = Bench(sandbox, "text-classification")
    for frame in (pd.DataFrame(), pd.DataFrame({"in0": []}), pd.DataFrame({"other": []})):
        result = bench.predict(frame, **using)
        assert len(result) == 0
        assert "y" in result.columns


@pytest.mark.parametrize("answers", [["POSITIVE", "NEGATIVE"], ["POSITIVE", "POSITIVE"], [None, None]])
def test_columns_of_a_table_that_are_named_like_the_models_are_data(sandbox: Sandbox, answers: list[Any]) -> None:
    """The table may hold an earlier query's result."""
    bench = Bench(sandbox, "text-classification")
    frame = bench.frame([0, 1])
    for name in ("y", "y_explain", "y_error", "y_error_type", "y_retryable"):
        frame[name] = answers
    frame["__mindsdb_row_id"] = [1, 2]
    assert bench.predict(frame)["y"].notna().all()


def test_the_dry_run_of_a_model_that_reads_another_ones_answers_is_unknown(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification")
    frame = bench.frame([0, 1])
    column = frame.columns[0]
    frame[column] = None
    alone = bench.predict(frame, dry_run=True)
    assert alone[["y_plan", "y_cost"]].to_numpy().tolist() == [["null", 0.0]] * 2
    frame["topic_plan"], frame["topic_cost"] = ["request", "duplicate"], [0.1, 0.0]
    planned = bench.predict(frame, dry_run=True)
    assert planned["y_plan"].tolist() == ["unknown"] * 2
    assert planned["y_cost"].isna().all()
    twice = pd.concat([frame, frame[["topic_plan"]]], axis=1)
    assert bench.predict(twice, dry_run=True)["y_plan"].tolist() == ["unknown"] * 2
    other = bench.frame([0, 1]).assign(topic_plan=["request", "null"], topic_cost=[0.1, 0.0])
    assert bench.predict(other, dry_run=True)["y_plan"].tolist() == ["request"] * 2


def test_known_conditions_decide_whether_a_column_is_data(sandbox: Sandbox) -> None:
    """One row with a constant is refused as a condition, and is data if WHERE does not name it."""
    bench = Bench(sandbox, "text-classification")
    frame = bench.frame([0]).assign(y_error="x")

    def predicted(conditions: list[str] | None) -> pd.DataFrame:
        one = Prediction(bench.model, bench.engine, bench.caller, bench.runtime, bench.store, conditions=conditions)
        return one.run(frame)

    assert predicted([])["y"].tolist() == ["POSITIVE"]
    assert predicted(["in0", "other"])["y"].tolist() == ["POSITIVE"]
    for conditions in (None, ["Y_Error"]):
        with pytest.raises(SettingsError, match="treats = on"):
            predicted(conditions)


def test_back_ticks_of_where_do_not_count(sandbox: Sandbox) -> None:
    bench = Bench(sandbox, "text-classification", input_column="My Text")
    result = bench.predict(pd.DataFrame({"`My Text`": ["I like you"]}))
    assert result["y"].tolist() == ["POSITIVE"]


def test_detecting_the_server_takes_no_longer_than_the_deadline(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []

    class Watched(Endpoint):
        def __init__(self, client: Any, task: Any, findings: Any, timeout: float) -> None:
            timeouts.append(timeout)
            super().__init__(client, task, findings, timeout)

    monkeypatch.setattr(pipeline, "Endpoint", Watched)
    bench = Bench(sandbox, "summarization")
    bench.predict(bench.frame([0]), deadline=20, timeout=60)
    bench.predict(bench.frame([0]), timeout=60)
    assert timeouts == [20.0, 60.0]


@pytest.mark.parametrize(("using", "requests"), [({}, 1), ({"use_cache": False}, 3), ({"use_cache": True}, 1)])
def test_equal_rows_are_one_request_unless_they_are_random_and_not_cached(
    sandbox: Sandbox, store: Cache, using: dict[str, Any], requests: int
) -> None:
    bench = Bench(sandbox, "chat-completion", store=store, temperature=0.9)
    bench.predict(bench.frame([0, 0, 0]), **using)
    assert sandbox.sent() == requests
    bench.predict(bench.frame([0, 0, 0]), **using)
    assert sandbox.sent() == (1 if requests == 1 else 6)


@pytest.mark.parametrize("temperature", [0, 0.9])
def test_equal_rows_with_a_fixed_answer_are_one_request(sandbox: Sandbox, temperature: float) -> None:
    bench = Bench(sandbox, "chat-completion", temperature=temperature, use_cache=False, seed=7)
    bench.predict(bench.frame([0, 0]))
    assert sandbox.sent() == 1


def test_vectors_of_another_length_are_errors_of_their_rows(store: Cache) -> None:
    """Whether the server's model changed during the query or since the answers that are stored."""
    lengths = {"a": 2, "b": 2, "c": 3, "d": 3}

    def embed(heard: Heard, sock: socket.socket) -> None:
        vectors = [[1.0] * lengths[text] for text in heard.json()["inputs"]]
        answer(vectors)(heard, sock)

    with Loopback(embed) as server:
        at = end_to_end.engine(server)
        of = end_to_end.model(at, task="feature-extraction", model_name="org/name", input_column="t")

        def query(*texts: str, **execution: Any) -> pd.DataFrame:
            return end_to_end.predict(at, of, {"t": texts}, store=store, max_concurrency=1, **execution)

        assert query("a", "b", max_batch_size=1)["y_error"].isna().all()
        mixed = query("a", "c", "b")
        assert mixed["y"].tolist() == ["[1.0, 1.0]", None, "[1.0, 1.0]"]
        assert mixed["y_error_type"].tolist() == [None, "invalid_answer", None]
        assert mixed["y_error"][1].startswith(
            "the vector has 3 dimensions, and others of this query have 2: the server's model has changed, or "
            "providers have different models. Name one provider; delete stored vectors with USING clear_cache = true"
        )
        assert query("d", "c")["y_error"].isna().all()
        # Both are stored by now, and no query mixes them.
        assert query("a", "d")["y_error_type"].tolist() == [None, "invalid_answer"]
        in_one_request = query("a", "c", use_cache=False)
        assert in_one_request["y_error_type"].tolist() == [None, "invalid_answer"]
