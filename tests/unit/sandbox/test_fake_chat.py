"""The fake chat model: JSON that fits its schema, rows that share a prompt, and what can go wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
import pytest
import requests

from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.fake_chat import chat_completion, count_tokens

TEXTS = ("The parcel came late and broken", "I love it", "Where is the invoice?", "Good value, nice")

SCHEMAS: tuple[Mapping[str, Any], ...] = (
    {"type": "object", "properties": {"topic": {"type": "string"}, "urgent": {"type": "boolean"}}},
    {"type": "object", "properties": {"mood": {"type": "string", "enum": ["good", "bad"]}}, "required": ["mood"]},
    {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}, "minItems": 2}}},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 5}}},
    {"type": "object", "properties": {"p": {"type": "number", "minimum": 0, "maximum": 1}}},
    {"type": "object", "properties": {"p": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1}}},
    {"type": "object", "properties": {"s": {"type": "string", "minLength": 12, "maxLength": 14}}},
    {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}},
    {"type": "object", "properties": {"x": {"type": ["string", "null"]}, "y": {"const": 7}}},
    {"type": "object", "properties": {"x": {"$ref": "#/$defs/p"}},
     "$defs": {"p": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}},
)  # fmt: skip


def body(text: str, schema: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    form = {} if schema is None else {"response_format": wanted}
    return {"messages": [{"role": "user", "content": text}], **form, **more}


def content(asked: Mapping[str, Any]) -> str:
    return str(chat_completion(asked, {})["choices"][0]["message"]["content"])


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_json_fits_its_schema_and_follows_from_the_text(schema: Mapping[str, Any]) -> None:
    required = {**schema, "required": list(schema["properties"])}
    answers = [json.loads(content(body(text, required))) for text in TEXTS]
    for answer in answers:
        jsonschema.validate(answer, required)
    assert answers == [json.loads(content(body(text, required))) for text in TEXTS]


def test_different_texts_get_different_json() -> None:
    assert len({content(body(text, SCHEMAS[0])) for text in TEXTS}) > 1


def test_an_enum_of_moods_is_answered_by_the_mood_of_the_text() -> None:
    moods = [json.loads(content(body(text, SCHEMAS[1])))["mood"] for text in ("I love it, great", "awful and broken")]
    assert moods == ["good", "bad"]
    asked = body("Is this good or bad? awful and broken", SCHEMAS[1])
    assert json.loads(content(asked))["mood"] == "bad"


def test_a_schema_in_words_is_found_in_the_prompt() -> None:
    text = f"Answer as JSON of this schema: {json.dumps(SCHEMAS[3])}\nThe soup"
    asked = {**body(text), "response_format": {"type": "json_object"}}
    jsonschema.validate(json.loads(content(asked)), {**SCHEMAS[3], "required": ["n"]})


# --- rows that share a prompt ---


def packed(texts: Sequence[str], answer: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts, 1)]
    entry = {"type": "object", "properties": {"id": {"type": "string"}, "answer": answer}, "required": ["id", "answer"]}
    schema = {"type": "object", "properties": {"answers": {"type": "array", "items": entry}}, "required": ["answers"]}
    return body("Answer each row.\n" + "\n".join(lines), schema, **more)


def test_each_packed_row_gets_the_answer_that_it_gets_alone() -> None:
    answers = json.loads(content(packed(TEXTS, {"type": "string"})))["answers"]
    assert answers == [
        {"id": str(number), "answer": content(body(text))} for number, text in enumerate(TEXTS, 1)
    ]  # fmt: skip
    answers = json.loads(content(packed(TEXTS, SCHEMAS[0])))["answers"]
    assert [one["answer"] for one in answers] == [json.loads(content(body(text, SCHEMAS[0]))) for text in TEXTS]


def test_rows_of_several_columns_and_rows_asked_in_words() -> None:
    rows = [{"id": "a", "product": "lamp", "review": "nice"}, {"id": "b", "product": "tent", "review": "late"}]
    text = 'Answer {"answers": [{"id": "…", "answer": "…"}]}\n' + "\n".join(map(json.dumps, rows))
    answers = json.loads(content({**body(text), "response_format": {"type": "json_object"}}))["answers"]
    assert [one["id"] for one in answers] == ["a", "b"]
    assert "lamp" in answers[0]["answer"] and "tent" in answers[1]["answer"]


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def post(sandbox: Sandbox, http: requests.Session, asked: Mapping[str, Any]) -> Any:
    whole = {"model": "sandbox/chat-completion", **asked}
    answer = http.post(f"{sandbox.hub_url}/v1/chat/completions", json=whole, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_packed_rows_are_counted_as_inputs(sandbox: Sandbox, http: requests.Session) -> None:
    post(sandbox, http, packed(TEXTS, {"type": "string"}))
    post(sandbox, http, body("hello"))
    assert [record.items for record in sandbox.inference_requests()] == [4, 1]


IDS = ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("style", "ids"),
    [
        ("drop", ["1", "2", "3"]),
        ("double", ["1", *IDS]),
        ("swap", IDS),
        ("renumber", ["0", "1", "2", "3"]),
        ("merge", ["1", "3", "4"]),
        ("translate", ["row 1", "row 2", "row 3", "row 4"]),
    ],
)
def test_answers_to_packed_rows_go_wrong(
    sandbox: Sandbox, http: requests.Session, style: str, ids: Sequence[str]
) -> None:
    right = [content(body(text)) for text in TEXTS]
    sandbox.faults = {"rules": [{"kind": "packed", "style": style}]}
    (choice,) = post(sandbox, http, packed(TEXTS, {"type": "string"}))["choices"]
    answers = json.loads(choice["message"]["content"])["answers"]
    assert [one["id"] for one in answers] == list(ids)
    if style == "swap":
        assert [one["answer"] for one in answers] == [right[1], right[0], *right[2:]]
    if style == "merge":
        assert answers[0]["answer"] == f"{right[0]} {right[1]}"
    assert post(sandbox, http, body("hello"))["choices"][0]["message"]["content"] == "You said: hello"
    assert [record.fault for record in sandbox.inference_requests()] == ["packed", ""]


def test_packed_answers_are_cut_or_half_prose(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "packed", "style": "cut", "next": 1}, {"kind": "packed", "style": "prose"}]}
    cut, prose = (post(sandbox, http, packed(TEXTS, {"type": "string"}))["choices"][0] for _ in range(2))
    assert cut["finish_reason"] == "length"
    for choice in (cut, prose):
        with pytest.raises(ValueError):
            json.loads(choice["message"]["content"])
    said = prose["message"]["content"]
    assert said.startswith("The answer to 1 is You said")
    assert [one["id"] for one in json.loads(said[said.index("{") :])["answers"]] == ["3", "4"]


# --- tokens and reasoning ---


def test_tokens_are_counted_and_limited() -> None:
    answer = chat_completion(body("one two three four five six", max_tokens=5), {})
    (choice,) = answer["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("length", "You said: one two")
    used = answer["usage"]
    assert used["completion_tokens"] == 5
    assert used["prompt_tokens"] == count_tokens("one two three four five six") + 4
    assert used["total_tokens"] == used["prompt_tokens"] + 5
    assert chat_completion(body("one", max_tokens=4), {})["choices"][0]["finish_reason"] == "stop"


def test_reasoning_is_given_apart_if_it_is_asked_for() -> None:
    answer = chat_completion(body("hello you", reasoning_effort="low"), {})
    message = answer["choices"][0]["message"]
    assert message["content"] == "You said: hello you"
    assert "2 words" in message["reasoning_content"]
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == count_tokens(
        message["reasoning_content"]
    )
    assert "reasoning_content" not in chat_completion(body("hello"), {})["choices"][0]["message"]


@pytest.mark.parametrize(
    ("style", "begins", "ends", "reason"),
    [
        ("think", "<think>\n", "</think>\n\nYou said: hi", "stop"),
        ("template", "The user", "</think>\n\nYou said: hi", "stop"),
        ("cut", "<think>\n", "repeat them.", "length"),
        ("channel", "<|channel|>analysis<|message|>", "<|channel|>final<|message|>You said: hi", "stop"),
    ],
)
def test_reasoning_is_left_in_the_content(
    sandbox: Sandbox, http: requests.Session, style: str, begins: str, ends: str, reason: str
) -> None:
    sandbox.faults = {"rules": [{"kind": "reasoning", "style": style}]}
    (choice,) = post(sandbox, http, body("hi"))["choices"]
    assert choice["message"]["content"].startswith(begins)
    assert choice["message"]["content"].endswith(ends)
    assert choice["finish_reason"] == reason
