"""``output_schema`` from the frame to the cells: the right value in the right column, or an error on that row alone."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huggingface_api_handler.arguments import ModelSettings, query_settings
from huggingface_api_handler.arguments.schema import read_schema
from huggingface_api_handler.cache import Cache
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.protocols import ollama, openai, tgi, vllm
from huggingface_api_handler.protocols.chat import with_response_format
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.typed_columns import check_names
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments
from tests.unit.end_to_end import PNG, engine, model, predict
from tests.unit.loopback import Heard, Loopback, answer

SCHEMA = (
    "word text, stars integer, price number, paid boolean, day date, at datetime, tags list, mood text in (good, bad)"
)
FULL = {
    "word": "soup", "stars": 4, "price": 2.5, "paid": True, "day": "2025-01-31", "at": "2025-01-31T09:30:00Z",
    "tags": ["a", "b"], "mood": "good",
}  # fmt: skip
#: The cells of ``FULL``.
CELLS = {**FULL, "tags": '["a", "b"]'}
#: Field → values of another type, none of which is converted.
WRONG: Mapping[str, tuple[Any, ...]] = {
    "word": (5, True, ["soup"], {"a": 1}),
    "stars": ("4", 4.5, True, 2**63, [4]),
    "price": ("2.5", False, {"usd": 2.5}, "free"),
    "paid": ("true", 1, 0, "yes"),
    "day": ("31.01.2025", "2025-02-30", 20250131, "2025-01-31T09:30:00"),
    "at": ("2025-01-31", "half past nine", 1738315800, "2025-01-31T25:00:00"),
    "tags": ("a, b", [1], {"a": 1}, [None]),
    "mood": ("Good", "so-so", 1, ["good"]),
}


def refused(text: str) -> dict[str, Any]:
    return {"content": None, "refusal": text}


def said(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


#: A form of ``response_format`` between ``json_schema`` and ``json_object``.
WITH_SCHEMA = "json_object with schema"


def form_of(body: Mapping[str, Any]) -> str | None:
    wanted = body.get("response_format") or {}
    return WITH_SCHEMA if wanted.get("type") == "json_object" and "schema" in wanted else wanted.get("type")


class Chat:
    """A server of chats that says what it is told to: text of a row → its answers, one after the other.

    Attributes:
        says: the last of a row's answers is given again and again. A message, its content, or the object in it.
        forms: the forms of ``response_format`` that it takes.
    """

    def __init__(self) -> None:
        self.says: dict[str, list[Any]] = {}
        self.forms: frozenset[str | None] = frozenset({"json_schema", "json_object", WITH_SCHEMA, None})
        self.reason = "stop"
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()

    def __call__(self, heard: Heard, sock: socket.socket) -> None:
        body = heard.json()
        form = form_of(body)
        users = [one["content"] for one in body["messages"] if one["role"] == "user"]
        with self._lock:
            self.requests.append(body)
            if form not in self.forms:
                answer({"error": {"message": f"'response_format.type' {form} is not supported"}}, 400)(heard, sock)
                return
            text = next(one for one in users if one in self.says)
            found = self.says[text][min(self._asked[text], len(self.says[text]) - 1)]
            self._asked[text] += 1
        message = found if isinstance(found, dict) and "content" in found else {"content": found}
        if isinstance(message["content"], dict):
            message = {"content": said(message["content"])}
        answer({"choices": [{"message": message, "finish_reason": self.reason}]})(heard, sock)

    def asked(self, text: str) -> int:
        """Return how often a row was answered."""
        return self._asked[text]


@dataclass
class Predictor:
    """A model on a server of chats."""

    chat: Chat
    server: Loopback
    runtime: Runtime

    def of(self, **using: Any) -> ModelSettings:
        given = {"task": "chat-completion", "model_name": "org/name", "input_column": "text", **using}
        return model(engine(self.server), **given)

    def predict(self, texts: list[str | None], *, schema: str = SCHEMA, **using: Any) -> pd.DataFrame:
        execution = {name: using.pop(name) for name in ("max_retries", "store", "on_error") if name in using}
        of = self.of(output_schema=schema, **using)
        return predict(
            engine(self.server), of, {"text": texts}, runtime=self.runtime, **{"max_retries": 2, **execution}
        )


@pytest.fixture
def predictor() -> Iterator[Predictor]:
    chat = Chat()
    with Loopback(chat) as server:
        yield Predictor(chat, server, Runtime())


def row_of(found: pd.DataFrame, place: int) -> dict[str, Any]:
    """Return the cells of the fields of a row, ``None`` for NULL."""
    cells = {name: found[name].iloc[place] for name in FULL}
    return {name: None if pd.isna(cell) else cell for name, cell in cells.items()}


NOTHING = dict.fromkeys(FULL)


# --- every type × what may happen ------------------------------------------------------------


@pytest.mark.parametrize("name", FULL)
def test_each_type_of_field(predictor: Predictor, name: str) -> None:
    without = {one: value for one, value in FULL.items() if one != name}
    good: dict[str, Any] = {
        "right": FULL,
        "null": {**FULL, name: None},
        "extra field": {**FULL, "more": 1, "other": {"a": []}},
        "another order": dict(reversed(FULL.items())),
        "fenced": f"```json\n{said(FULL)}\n```",
        "fenced, in prose": f"Here you are:\n```\n{said(FULL)}\n```\nAnything else?",
        "prose": f"The answer is {said(FULL)}. I hope it helps.",
        "thoughts in front": f"<think>\nIs it {said({**FULL, name: None})}? No.\n</think>\n\n{said(FULL)}",
    }
    bad: dict[str, Any] = {
        "missing": without,
        "refusal": refused("I can't help with that"),
        "no JSON": "I would say soup",
        "two objects": f"{said(FULL)} or {said({**FULL, name: None})}",
        "twice in it": said(FULL)[:-1] + f", {said({name: FULL[name]})[1:]}",
        "not a number": said(FULL)[:-1] + ', "more": NaN}',
        "cut": said(FULL)[:-4],
        "a list": said(list(FULL)),
        **{f"wrong: {value}": {**FULL, name: value} for value in WRONG[name]},
    }
    predictor.chat.says = {text: [content] for text, content in {**good, **bad}.items()}
    texts = [text for pair in zip(good, list(bad)[: len(good)], strict=True) for text in pair]
    texts += list(bad)[len(good) :]
    found = predictor.predict(texts)
    for place, text in enumerate(texts):
        if text in good:
            expected = {**CELLS, name: None} if text == "null" else CELLS
            assert (text, row_of(found, place)) == (text, expected)
            stored = {**FULL, name: None} if text == "null" else FULL
            assert json.loads(found["y"].iloc[place]) == stored
            assert list(json.loads(found["y"].iloc[place])) == list(FULL)
            assert found["y_error"].iloc[place] is None
            assert predictor.chat.asked(text) == 1
        else:
            assert (text, row_of(found, place)) == (text, NOTHING)
            assert found["y"].iloc[place] is None
            assert found["y_error_type"].iloc[place] == "invalid_answer"
            assert not found["y_retryable"].iloc[place]
            assert predictor.chat.asked(text) == (1 if text == "refusal" else 2)


ROWS: Mapping[str, Any] = {
    "a": FULL,
    "b": {**FULL, "word": "tea", "stars": 1},
    "nulls": NOTHING,
    "mended": None,
    "wrong": {**FULL, "stars": "4"},
    "prose": f"Well: {said({**FULL, 'word': 'pie'})}",
    "none": "nothing",
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from([*ROWS, None]), min_size=1, max_size=9))
def test_in_any_order_each_row_has_its_own_cells(predictor: Predictor, order: list[str | None]) -> None:
    predictor.chat.says = {text: [content] for text, content in ROWS.items()}
    predictor.chat.says["mended"] = ["no", {**FULL, "word": "mended"}]
    predictor.chat._asked.clear()
    found = predictor.predict(order)
    words = {"a": "soup", "b": "tea", "mended": "mended", "prose": "pie"}
    for place, text in enumerate(order):
        assert row_of(found, place)["word"] == (None if text is None else words.get(text))
        is_wrong = text in ("wrong", "none")
        assert found["y_error_type"].iloc[place] == ("invalid_answer" if is_wrong else None)
        assert (found["y"].iloc[place] is None) == (is_wrong or text is None)


def test_whole_numbers_and_booleans_stay_so_beside_null(predictor: Predictor) -> None:
    large = 2**53 + 1
    predictor.chat.says = {"a": [{**FULL, "stars": large}], "b": [{**FULL, "stars": 4.0, "price": 3}], "c": [NOTHING]}
    found = predictor.predict(["a", "b", "c"])
    assert found["stars"].tolist() == [large, 4, pd.NA]
    assert found["paid"].tolist() == [True, True, pd.NA]
    assert {name: str(found[name].dtype) for name in FULL} == {
        "word": "object", "stars": "Int64", "price": "float64", "paid": "boolean", "day": "object", "at": "object",
        "tags": "object", "mood": "object",
    }  # fmt: skip
    plain = predictor.predict(["a", "b"])
    assert (plain["stars"].dtype, plain["paid"].dtype, plain["price"].tolist()) == ("int64", "bool", [2.5, 3.0])
    assert list(plain.columns)[:9] == ["y", *FULL]


# --- the repair request ----------------------------------------------------------------------


def test_a_repair_request_quotes_the_answer_and_its_fault(predictor: Predictor) -> None:
    predictor.chat.says = {"the soup": ["I'd say 4 stars", {**FULL, "word": "soup"}]}
    found = predictor.predict(["the soup"], include_meta=True)
    assert row_of(found, 0) == CELLS
    assert json.loads(found["y_meta"].iloc[0])["attempts"] == 2
    first, second = predictor.chat.requests
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert second["messages"][len(first["messages"]) :] == [
        {"role": "assistant", "content": "I'd say 4 stars"},
        {
            "role": "user",
            "content": "That answer does not fit: there is no JSON object in it. Answer again, with nothing but the "
            "whole JSON object.",
        },
    ]


def test_one_repair_request_however_many_retries(predictor: Predictor) -> None:
    predictor.chat.says = {"x": ["no"]}
    predictor.predict(["x"], max_retries=9)
    assert predictor.chat.asked("x") == 2
    predictor.predict(["x"], max_retries=0)
    assert predictor.chat.asked("x") == 3


def test_a_refusal_of_the_service_in_between_does_not_cost_the_repair(predictor: Predictor) -> None:
    predictor.chat.says = {"x": ["no", FULL]}
    speak = predictor.chat
    heard = 0

    def busy(request: Heard, sock: socket.socket) -> None:
        nonlocal heard
        heard += 1
        (answer({"error": "busy"}, 503) if heard == 2 else speak)(request, sock)

    predictor.server.speak = busy
    assert row_of(predictor.predict(["x"], max_retries=3), 0) == CELLS
    assert [len(one["messages"]) for one in predictor.chat.requests] == [2, 4]


def test_another_provider_repairs_the_answer_of_the_first(predictor: Predictor) -> None:
    """The first is down when the repair request is due."""
    predictor.chat.says = {"x": ["no", FULL], "y": ["no"]}
    speak = predictor.chat

    def down(heard: Heard, sock: socket.socket) -> None:
        is_down = speak.requests and heard.json()["model"].endswith(":groq")
        (answer({"error": "down"}, 503) if is_down else speak)(heard, sock)

    predictor.server.speak = down
    found = predictor.predict(["x"], provider="groq, together", max_retries=3)
    assert row_of(found, 0) == CELLS
    assert [(one["model"], len(one["messages"])) for one in speak.requests] == [
        ("org/name:groq", 2),
        ("org/name:together", 4),
    ]
    predictor.server.speak = speak
    predictor.predict(["y"], provider="groq, together", max_retries=5)
    assert speak.asked("y") == 2


def test_an_answer_that_was_cut_is_not_repaired(predictor: Predictor) -> None:
    predictor.chat.reason = "length"
    predictor.chat.says = {"x": ['{"word": "so'], "y": [f"{said(FULL)}\n\n"]}
    found = predictor.predict(["x", "y"])
    assert "Raise max_tokens" in found["y_error"].iloc[0]
    assert predictor.chat.asked("x") == 1
    assert row_of(found, 1) == CELLS


# --- how the server is asked -----------------------------------------------------------------


def forms(chat: Chat) -> list[str | None]:
    return [form_of(one) for one in chat.requests]


@pytest.mark.parametrize(
    ("takes", "tried"),
    [
        ({"json_schema"}, ["json_schema"]),
        ({WITH_SCHEMA, "json_object"}, ["json_schema", WITH_SCHEMA]),
        ({"json_object"}, ["json_schema", WITH_SCHEMA, "json_object"]),
        (set(), ["json_schema", WITH_SCHEMA, "json_object", None]),
    ],
)
def test_a_form_that_the_server_refuses_is_tried_once(
    predictor: Predictor, takes: set[str], tried: list[str | None]
) -> None:
    predictor.chat.forms = frozenset({*takes, None})
    texts = [f"row {place}" for place in range(12)]
    predictor.chat.says = {text: [{**FULL, "word": text}] for text in texts}
    assert predictor.predict(texts)["word"].tolist() == texts
    assert Counter(forms(predictor.chat)) == Counter([*tried[:-1], *[tried[-1]] * 12])


def test_what_is_learned_lasts_for_the_next_query(predictor: Predictor) -> None:
    predictor.chat.forms = frozenset({None})
    predictor.chat.says = {"a": [FULL], "b": [FULL]}
    predictor.predict(["a"])
    predictor.predict(["b"])
    assert forms(predictor.chat) == ["json_schema", WITH_SCHEMA, "json_object", None, None]


def test_another_refusal_says_nothing_of_the_form(predictor: Predictor) -> None:
    predictor.chat.says = {"x": [FULL]}
    predictor.server.speak = answer({"error": {"message": "the prompt is too rude"}}, 400)
    predictor.predict(["x"])
    predictor.server.speak = predictor.chat
    predictor.predict(["x"])
    assert forms(predictor.chat) == ["json_schema"]


def test_requests_that_showed_the_form_are_counted(predictor: Predictor) -> None:
    """Also if the answer that they led to does not fit."""
    predictor.chat.forms = frozenset({None})
    predictor.chat.says = {"x": ["no"]}
    found = predictor.predict(["x"], max_retries=0, include_meta=True)
    assert len(predictor.chat.requests) == 4
    assert json.loads(found["y_meta"].iloc[0])["attempts"] == 4


@pytest.mark.parametrize("image", [False, True])
def test_a_model_without_system_messages(predictor: Predictor, image: bool) -> None:
    said: list[list[dict[str, Any]]] = []

    def gemma(heard: Heard, sock: socket.socket) -> None:
        messages = heard.json()["messages"]
        if messages[0]["role"] == "system":
            answer({"error": "Template error: invalid operation: System role not supported"}, 422)(heard, sock)
            return
        said.append(messages)
        answer({"choices": [{"message": {"content": "eks"}, "finish_reason": "stop"}]})(heard, sock)

    predictor.server.speak = gemma
    of = predictor.of(system_prompt="Be brief.", **({"image_column": "picture"} if image else {}))
    found = predict(engine(predictor.server), of, {"text": ["x"], "picture": [PNG]}, runtime=predictor.runtime)
    assert found["y"].tolist() == ["eks"]
    ((message,),) = said
    if image:
        assert [part.get("text") for part in message["content"]] == ["Be brief.", "x", None]
    else:
        assert message == {"role": "user", "content": "Be brief.\n\nx"}


SCHEMA_OF = read_schema("mood text").json_schema


@pytest.mark.parametrize(
    ("protocol", "form", "field"),
    [
        (openai, "schema", {"response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": SCHEMA_OF, "strict": True}}}),
        (openai, "object with schema", {"response_format": {"type": "json_object", "schema": SCHEMA_OF}}),
        (openai, "object", {"response_format": {"type": "json_object"}}),
        (openai, "prompt", {}),
        (vllm, "object", {"response_format": {"type": "json_object"}}),
        (tgi, "schema", {"response_format": {"type": "json_object", "value": SCHEMA_OF}}),
        (tgi, "prompt", {}),
        (ollama, "schema", {"format": SCHEMA_OF, "stream": False}),
        (ollama, "object", {"format": "json", "stream": False}),
        (ollama, "prompt", {"stream": False}),
    ],
)  # fmt: skip
def test_each_kind_of_server_is_asked_in_its_own_form(protocol: Any, form: str, field: dict[str, Any]) -> None:
    args = with_response_format(Arguments({"output_schema": {"mood": {"type": "text"}}}), form)
    made = protocol.PROTOCOL.encode(TASKS["chat-completion"], [("x", None)], args)
    assert {name: value for name, value in made.root.items() if name != "messages"} == field
    assert [one["role"] for one in made.root["messages"]] == ["system", "user"]


def test_the_first_request_of_many_shows_the_form(predictor: Predictor) -> None:
    """The others wait for it, and then are sent at the same time."""
    predictor.chat.forms = frozenset({None})
    texts = [str(place) for place in range(40)]
    predictor.chat.says = {text: [FULL] for text in texts}
    predictor.predict(texts, max_concurrency=16)
    assert Counter(forms(predictor.chat)) == {"json_schema": 1, WITH_SCHEMA: 1, "json_object": 1, None: 40}


def test_the_request_of_a_schema(predictor: Predictor) -> None:
    predictor.chat.says = {"x": [{"mood": "good"}]}
    predictor.predict(
        ["x"],
        schema='{"mood": {"type": "text in (good, bad)", "description": "the mood"}}',
        system_prompt="Be brief.",
        temperature=0,
        max_tokens=50,
    )
    mood = {"type": ["string", "null"], "enum": ["good", "bad", None], "description": "the mood"}
    (body,) = predictor.chat.requests
    schema = {"type": "object", "properties": {"mood": mood}, "required": ["mood"], "additionalProperties": False}
    assert body == {
        "model": "org/name",
        "messages": [
            {
                "role": "system",
                "content": "Be brief.\n\nAnswer with one JSON object that has all of these properties, and with "
                "nothing else. A property that the text does not tell is null.\n"
                '{"properties":{"mood":{"type":["string","null"],"enum":["good","bad",null],'
                '"description":"the mood"}}}',
            },
            {"role": "user", "content": "x"},
        ],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
        "temperature": 0,
        "max_tokens": 50,
    }


def test_examples_are_messages_before_the_rows(predictor: Predictor) -> None:
    predictor.chat.says = {"Mood of: x": [{"mood": "bad"}]}
    predictor.predict(
        ["x"],
        schema="mood text in (good, bad)",
        input_column=None,
        prompt_template="Mood of: {{text}}",
        examples=[
            {"input": "lovely", "output": {"mood": "good"}},
            {"input": {"text": "hm"}, "output": '{"mood":null}'},
        ],
    )
    assert predictor.chat.requests[0]["messages"][1:] == [
        {"role": "user", "content": "Mood of: lovely"},
        {"role": "assistant", "content": '{"mood": "good"}'},
        {"role": "user", "content": "Mood of: hm"},
        {"role": "assistant", "content": '{"mood": null}'},
        {"role": "user", "content": "Mood of: x"},
    ]


def test_examples_without_a_schema(predictor: Predictor) -> None:
    predictor.chat.says = {"x": ["eks"]}
    found = predict(
        engine(predictor.server), predictor.of(examples=[{"input": "y", "output": "why"}, {"input": "1", "output": 1}]),
        {"text": ["x"]},
    )  # fmt: skip
    assert found["y"].tolist() == ["eks"]
    assert [one["content"] for one in predictor.chat.requests[0]["messages"]] == ["y", "why", "1", "1", "x"]


# --- the cache -------------------------------------------------------------------------------


def test_columns_come_from_the_cache(predictor: Predictor, store: Cache) -> None:
    predictor.chat.says = {"a": [FULL], "b": [NOTHING]}
    first = predictor.predict(["a", "b"], store=store)
    again = predictor.predict(["b", "a"], store=store)
    assert [row_of(again, 1), row_of(again, 0)] == [row_of(first, 0), row_of(first, 1)] == [CELLS, NOTHING]
    assert len(predictor.chat.requests) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "word text, stars number"},
        {"schema": "word text in (soup, tea), stars integer"},
        {"examples": [{"input": "x", "output": {"word": "x", "stars": 1}}]},
    ],
)
def test_what_changes_the_answer_changes_the_key(predictor: Predictor, store: Cache, change: dict[str, Any]) -> None:
    predictor.chat.says = {"a": [FULL]}
    base = {"schema": "word text, stars integer"}
    predictor.predict(["a"], store=store, **base)
    predictor.predict(["a"], store=store, **{**base, **change})
    assert len(predictor.chat.requests) == 2


def test_examples_that_a_template_renders_otherwise_are_other_examples(predictor: Predictor, store: Cache) -> None:
    """The row's own prompt is the same."""
    predictor.chat.says = {"Say x": [FULL]}
    examples = [{"input": "y", "output": FULL}]
    for template, text in (("Say {{text}}", "x"), ("{{text}}", "Say x")):
        predictor.predict([text], store=store, input_column=None, prompt_template=template, examples=examples)
    assert [one["messages"][1]["content"] for one in predictor.chat.requests] == ["Say y", "y"]


def test_what_is_no_answer_in_the_cache_is_asked_again(
    predictor: Predictor, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = store.put_many

    def spoil(answers: Mapping[str, bytes], *args: Any, **more: Any) -> None:
        put(dict.fromkeys(answers, b'["no JSON", {}, {}]'), *args, **more)

    monkeypatch.setattr(store, "put_many", spoil)
    predictor.chat.says = {"b": [FULL]}
    predictor.predict(["b"], store=store)
    assert row_of(predictor.predict(["b"], store=store), 0) == CELLS
    assert predictor.chat.asked("b") == 2


# --- the query -------------------------------------------------------------------------------


def test_a_dry_run_has_the_columns(predictor: Predictor) -> None:
    found = predictor.predict(["a", "a", None], on_error="raise", dry_run=True)
    assert list(found.columns) == ["y", *FULL, "y_explain", "y_plan", "y_cost"]
    assert found["y_plan"].tolist() == ["request", "duplicate", "null"]
    assert found[list(FULL)].isna().all().all()
    assert predictor.chat.requests == []


def test_a_query_has_a_schema_of_its_own(predictor: Predictor) -> None:
    predictor.chat.says = {"x": [{"stars": 4}]}
    at, of = engine(predictor.server), predictor.of(output_schema="word text")
    found = predict(at, query_settings(of, at, {"output_schema": "stars integer"}), {"text": ["x"]})
    assert (found["stars"].tolist(), "word" in found) == ([4], False)
    predictor.chat.says = {"x": ["four"]}
    found = predict(at, query_settings(of, at, {"output_schema": None}), {"text": ["x"]})
    assert (found["y"].tolist(), "stars" in found) == (["four"], False)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("text", "a column that the model reads"),
        ("TEXT", "a column that the model reads"),
        ("y", "a column that belongs to PREDICT y"),
        ("y_error", "a column that belongs to PREDICT y"),
        ("Y_Score", "a column that belongs to PREDICT y"),
        ("__mindsdb_row_id", "a column of MindsDB's own"),
    ],
)
def test_a_field_with_the_name_of_another_column_is_refused(predictor: Predictor, name: str, taken: str) -> None:
    predictor.chat.says = {"x": [{name: "soup"}]}
    with pytest.raises(SettingsError, match=f"the name of {taken}"):
        predictor.predict(["x"], schema=f"{name} text")
    assert predictor.chat.requests == []


@pytest.mark.parametrize("name", ["id", "ID"])
def test_a_field_named_id_is_refused_in_a_new_schema_and_works_in_a_stored_one(predictor: Predictor, name: str) -> None:
    taken = "the name of a column of most tables: in a JOIN, id without the table's name would be the field"
    of = predictor.of(output_schema=f"{name} text")
    assert of.output_schema is not None
    with pytest.raises(SettingsError, match=taken):
        check_names(of.output_schema, ["text"], "y")
    with pytest.raises(SettingsError, match=taken):
        predict(
            engine(predictor.server), replace(of, sources={**of.sources, "output_schema": "query"}), {"text": ["x"]}
        )
    predictor.chat.says = {"x": [{name: "soup"}]}
    assert predict(engine(predictor.server), of, {"text": ["x"]})[name].tolist() == ["soup"]


def test_columns_of_a_template_are_read() -> None:
    with pytest.raises(SettingsError, match="a column that the model reads"):
        check_names(read_schema("review text"), ["review"], "y")
    check_names(read_schema("review text, yes text"), ["text"], "y")


def test_a_field_is_a_column_as_it_is_written(predictor: Predictor) -> None:
    predictor.chat.says = {"x": [{"TopicName": "soup", "stars": 4}]}
    found = predictor.predict(["x"], schema={"TopicName": "text", "stars": "integer"})
    assert found["TopicName"].tolist() == ["soup"] and "topicname" not in found
    of = predictor.of(output_schema="`TopicName` text")
    with pytest.raises(SettingsError, match=r"Write SELECT \* FROM \(SELECT …\) AS t WHERE topicname IN \('soup'\)"):
        predict(engine(predictor.server), of, {"text": ["x"], "topicname": ["soup"]})


def test_equals_on_a_field_is_refused(predictor: Predictor) -> None:
    of = predictor.of(output_schema="mood text")
    with pytest.raises(SettingsError, match="MindsDB treats = on mood in WHERE"):
        predict(engine(predictor.server), of, {"text": ["x"], "mood": ["good"]})


# --- the sandbox -----------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["cheapest", "fastest"])
def test_a_provider_that_takes_no_schema_answers_all_the_same(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox() as sandbox:
        monkeypatch.setenv("HF_ENDPOINT", sandbox.hub_url)
        at = replace(engine(None), base_url=sandbox.url)
        of = model(
            at, task="chat-completion", model_name="sandbox/chat-completion", provider=provider, input_column="text",
            output_schema=SCHEMA,
        )  # fmt: skip
        texts = ["I love the soup", "I hate the soup", "tea"]
        found = predict(at, of, {"text": texts}, runtime=Runtime())
        assert found["y_error"].tolist() == [None] * 3
        # The router has published who takes a schema: nobody is asked in a form that it refuses.
        assert {record.status for record in sandbox.requests if record.is_inference} == {200}
        assert found["mood"].tolist() == ["good", "bad", None]


@pytest.mark.parametrize("style", ["think", "template", "channel", "cut"])
def test_reasoning_in_the_content_is_no_part_of_the_fields(style: str) -> None:
    with Sandbox() as sandbox:
        at = replace(engine(None), base_url=sandbox.url)
        of = model(
            at, task="chat-completion", model_name="sandbox/chat-completion", input_column="text",
            output_schema="mood text in (positive, negative), price number",
        )  # fmt: skip
        sandbox.faults = {"rules": [{"kind": "reasoning", "style": style, "contains": "love"}]}
        found = predict(at, of, {"text": ["I love it", "I hate it"]}, runtime=Runtime(), max_retries=2)
        assert found["mood"].tolist() == [None if style == "cut" else "positive", "negative"]
        assert found["y_error_type"].tolist() == ["invalid_answer" if style == "cut" else None, None]
        assert len([record for record in sandbox.requests if record.is_inference]) == 2
