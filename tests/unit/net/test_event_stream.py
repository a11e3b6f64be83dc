"""A server that streams although nobody asked it to: its error is read, and nothing is retried blindly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.errors import HuggingFaceError, InvalidAnswer, InvalidInput, RateLimited
from huggingface_api_handler.net.event_stream import Event, is_stream, parse_events
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.net.url_policy import UrlPolicy
from tests.unit.end_to_end import engine, model, predict
from tests.unit.loopback import Loopback, answer
from tests.unit.net.client import Client

STREAM = "text/event-stream"
CHUNKS = b'data: {"choices": [{"delta": {"content": "Pa"}}]}\n\ndata: {"choices": [{"delta": {"content": "ris"}}]}\n\n'


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


def stream(server: Loopback, content: bytes, kind: str = STREAM) -> Response:
    server.speak = answer(content, content_type=kind)
    return Client(UrlPolicy((server.url,))).post(server.url, json={}, timeout=5)


@pytest.mark.parametrize(
    ("content", "events"),
    [
        (b"", []),
        (b"data: a\n\ndata:b\n\n", [Event("a"), Event("b")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Event("a"), Event("b"), Event("c")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b'{"a": 1}\n{"b": 2}\n', [Event('{"a": 1}'), Event('{"b": 2}')]),
        (b'{"a": 1} \r\n\n\t{"b": 2}', [Event('{"a": 1} '), Event('\t{"b": 2}')]),
        ('{"a": "x\u2028y\x85z"}\n{"b": 2}'.encode(), [Event('{"a": "x\u2028y\x85z"}'), Event('{"b": 2}')]),
        (b"data:  a\n\n", [Event(" a")]),
        (b"data\n\n", [Event("")]),
        (b"event: error\ndata: {}\n\ndata: x\n\n", [Event("{}", "error"), Event("x")]),
        (b"event: lonely\n\ndata: x\n\n", [Event("x")]),
        (b": comment\nid: 7\nretry: 10\nodd\ndata: a\n\n", [Event("a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        (b"data: cut of", [Event("cut of")]),
        ("data: é\u2028x\n\n".encode(), [Event("é\u2028x")]),
        (b"data: \xff\n\n", [Event("\ufffd")]),
    ],
)
def test_events_of_a_stream(content: bytes, events: list[Event]) -> None:
    assert parse_events(content) == events


@given(st.binary(max_size=200))
def test_any_stream_has_events(content: bytes) -> None:
    assert all("\r" not in event.data for event in parse_events(content))


def test_a_stream_is_handed_on_whole(server: Loopback) -> None:
    response = stream(server, CHUNKS + b"data: [DONE]\n\n", f"{STREAM}; charset=utf-8")
    assert [event.data for event in response.events][-1] == "[DONE]"
    assert len(response.events) == 3
    assert stream(server, b"[1]", "application/json").events == []


def test_a_stream_that_nobody_reads_says_so_and_is_not_retried(server: Loopback) -> None:
    with pytest.raises(InvalidAnswer, match="streams its response") as caught:
        stream(server, CHUNKS).json()
    assert not caught.value.retryable
    assert "stream" in str(caught.value.advice)


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b'data: {"error": "Input validation error: bad", "error_type": "validation"}\n\n', InvalidInput, "bad"),
        (b'data:{"error":"Input validation error: bad","error_type":"validation"}', InvalidInput, "bad"),
        (CHUNKS + b'data: {"error": {"message": "slow down", "code": 429}}\n\n', RateLimited, "slow down"),
        (b'event: error\ndata: {"message": "slow down", "code": 429}\n\n', RateLimited, "slow down"),
        (b"event: error\ndata: out of luck\n\n", HuggingFaceError, "out of luck"),
    ],
)
def test_the_error_of_a_stream_is_the_requests_error(
    server: Loopback, content: bytes, kind: type[HuggingFaceError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        stream(server, content)


def test_a_refusal_in_a_stream_is_not_retried(server: Loopback) -> None:
    server.speak = answer(b'data: {"error": "no", "error_type": "validation"}\n\n', content_type=STREAM)
    at = engine(server)
    found = predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, max_retries=5, timeout=5)
    assert list(found["y_error_type"]) == ["invalid_input"]
    assert len(server.heard) == 1


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-ndjson"])
@pytest.mark.parametrize(
    "content",
    [
        b"data: {}\n\n", b"\n: comment\n\ndata: {}\n\n", b"event: x\ndata: {}", b'{"a": 1}\n{"b": 2}\n',
        b"\xef\xbb\xbfdata: {}\n\n",
    ],
)  # fmt: skip
def test_a_stream_may_be_called_something_else(kind: str, content: bytes) -> None:
    assert is_stream(kind, content)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"a": 1}\n', b'{\n  "data": {\n    "a": 1\n  }\n}\n', b"[1,\n{}]", b"<html>", b"Not Found"],
)
def test_json_and_text_are_no_stream(content: bytes) -> None:
    assert not is_stream("application/json", content)


def test_white_space_after_json_is_read_once() -> None:
    """An expression that tried each way to share the lines would take hours."""
    assert not is_stream("application/json", b"{}" + b"\n" * 1_000_000 + b"x")
