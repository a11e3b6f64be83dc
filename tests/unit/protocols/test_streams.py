"""Streams that nobody asked for are put together, or told to be broken off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from huggingface_api_handler.errors import InvalidAnswer
from huggingface_api_handler.net.event_stream import Event
from huggingface_api_handler.protocols.streams import assembled


def stream(*parts: Any) -> list[Event]:
    return [Event(part if isinstance(part, str) else json.dumps(part)) for part in parts]


def chunk(content: str | None = None, reason: str | None = None, **delta: Any) -> dict[str, Any]:
    said = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": {**said, **delta}, "finish_reason": reason}]}


def test_a_chat() -> None:
    usage = {"total_tokens": 3}
    found = assembled(
        stream(
            chunk(role="assistant"), chunk("Bon", reasoning_content="hm"), chunk("jour"), chunk(reason="stop"),
            {"choices": [], "usage": usage}, "[DONE]",
        )
    )  # fmt: skip
    message = {"role": "assistant", "content": "Bonjour", "reasoning_content": "hm"}
    assert found == {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}


def test_a_whole_message_at_the_end_takes_the_place_of_its_pieces() -> None:
    last = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}]}
    found = assembled(stream(chunk("Par"), chunk("is"), last))
    assert found["choices"][0]["message"]["content"] == "Paris"


@pytest.mark.parametrize(
    "contents", [["Par", "is"], ["Par", "Paris"], ["", "Paris"], ["Par", "is", None], ["P", "aris", ""]]
)
def test_messages_without_deltas_are_pieces_or_repeat_what_came_before(contents: list[str | None]) -> None:
    parts = [{"choices": [{"index": 0, "message": {"role": "assistant", "content": one}}]} for one in contents]
    assert assembled(stream(*parts, "[DONE]"))["choices"][0]["message"] == {"role": "assistant", "content": "Paris"}


@pytest.mark.parametrize("message", [{"content": ""}, {"content": None}, {"role": "assistant"}])
def test_a_message_that_says_nothing_leaves_what_its_pieces_said(message: dict[str, Any]) -> None:
    last = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert assembled(stream(chunk("Paris"), last))["choices"][0]["message"]["content"] == "Paris"


def test_a_content_may_come_as_parts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    found = assembled(stream(chunk("P"), {"choices": [{"index": 0, "delta": {"content": [thought]}}]},
                             {"choices": [{"index": 0, "delta": {"content": [{"type": "text", "text": "aris"}]}}]},
                             chunk("!", "stop")))  # fmt: skip
    parts = found["choices"][0]["message"]["content"]
    assert parts == [{"type": "text", "text": "P"}, thought, {"type": "text", "text": "aris"},
                     {"type": "text", "text": "!"}]  # fmt: skip


def test_tool_calls_come_in_pieces() -> None:
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}},
        {"index": 0, "function": {"arguments": ": 1}"}},
        {"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    found = assembled(stream(*[chunk(tool_calls=[one]) for one in pieces], chunk(reason="tool_calls")))
    calls = found["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]) for one in calls] == [
        ("a", {"name": "f", "arguments": '{"x": 1}'}), ("b", {"name": "g", "arguments": "{}"})
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # The same index for two calls, as Gemini writes it.
        (
            [
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"index": 0, "id": "b", "function": {"name": "f", "arguments": "{}"}},
            ],
            [("f", "{}"), ("f", "{}")],
        ),
        # No index.
        (
            [
                {"id": "a", "function": {"name": "f", "arguments": "{"}},
                {"function": {"arguments": "}"}},
                {"id": "b", "function": {"name": "g", "arguments": "{}"}},
            ],
            [("f", "{}"), ("g", "{}")],
        ),
        # Another id for each piece of one call, as older versions of vLLM write it.
        (
            [
                {"index": 0, "id": "a", "function": {"name": "f"}},
                {"index": 0, "id": "b", "function": {"arguments": "{"}},
                {"index": 0, "id": "c", "function": {"name": None, "arguments": "}"}},
            ],
            [("f", "{}")],
        ),
    ],
)
def test_tool_calls_are_told_apart(pieces: list[Any], expected: list[tuple[str, str]]) -> None:
    found = assembled(stream(*[chunk(tool_calls=[one]) for one in pieces], chunk(reason="tool_calls")))
    calls = [one["function"] for one in found["choices"][0]["message"]["tool_calls"]]
    assert [(one["name"], one["arguments"]) for one in calls] == expected


def test_a_stream_without_one_of_its_pieces_is_not_whole() -> None:
    with pytest.raises(InvalidAnswer, match="broke off") as caught:
        assembled(stream(chunk("Bon"), '{"choices": [{"delta": {"content', chunk("r", "stop"), "[DONE]"))
    assert caught.value.retryable
    assert assembled(stream(chunk("Bon", "stop"), "[DONE]", '"'))["choices"][0]["message"]["content"] == "Bon"


def test_completions_and_generations() -> None:
    texts = [
        {"choices": [{"index": 0, "text": one, "finish_reason": end}]} for one, end in (("a", None), ("b", "stop"))
    ]
    assert assembled(stream(*texts))["choices"] == [{"index": 0, "finish_reason": "stop", "text": "ab"}]
    tokens = [{"token": {"text": "a"}, "generated_text": None}, {"token": {"text": "b"}, "generated_text": "ab",
              "details": {"generated_tokens": 2}}]  # fmt: skip
    assert assembled(stream(*tokens)) == {"generated_text": "ab", "details": {"generated_tokens": 2}}


def test_a_whole_answer_in_one_event() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "hey"}, "finish_reason": "stop"}]}
    assert assembled(stream(whole))["choices"][0]["message"]["content"] == "hey"
    assert assembled(stream({"embeddings": [[1.0]]})) == {"embeddings": [[1.0]]}


@pytest.mark.parametrize("parts", [(), (chunk("Bon"),), ({"token": {"text": "a"}, "generated_text": None},), ("{",)])
def test_a_stream_that_breaks_off_is_asked_for_again(parts: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidAnswer, match="broke off") as caught:
        assembled(stream(*parts))
    assert caught.value.retryable


def test_a_stream_of_another_kind_is_told() -> None:
    with pytest.raises(InvalidAnswer, match="in an unknown format") as caught:
        assembled(stream({"a": 1}, {"b": 2}))
    assert not caught.value.retryable
