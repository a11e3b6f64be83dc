"""Ollama by its own API, against a double of it: what it is told, what comes back, how it is recognized."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.errors import HuggingFaceError, InvalidAnswer, SettingsError
from huggingface_api_handler.protocols import ollama
from huggingface_api_handler.protocols.base import Server
from huggingface_api_handler.protocols.detect import by_url, find
from huggingface_api_handler.sandbox.fake_text import vector
from huggingface_api_handler.tasks import samples
from tests.unit.loopback import Heard, Loopback, answer
from tests.unit.protocols.test_endpoints import Predictor, posts

MODEL = "llama3.2:latest"
VERSION = {"version": "0.12.3"}
LISTED = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "library"}]}


def speak(heard: Heard, sock: socket.socket) -> None:
    """Answer as Ollama does: JSON where ``stream`` is false, else a line of JSON for each piece."""
    if heard.method == "GET":
        known = {"/api/version": VERSION, "/v1/models": LISTED}.get(heard.target)
        answer(known or "404 page not found", 200 if known else 404)(heard, sock)
        return
    body = heard.json()
    if body.get("model") != MODEL:
        answer({"error": f"model '{body.get('model')}' not found"}, 404)(heard, sock)
        return
    ends = {"model": MODEL, "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
    if heard.target == "/api/embed":
        said = {"model": MODEL, "embeddings": [vector(text) for text in body["input"]], "prompt_eval_count": 3}
    elif heard.target == "/api/generate":
        said = {**ends, "response": f" after {body['prompt']}"}
    elif heard.target == "/api/chat":
        last_message = body["messages"][-1]
        said = f"You said: {last_message['content']}{len(last_message.get('images', []))}"
        content = '{"a": 1}' if "format" in body else said
        said = {**ends, "message": {"role": "assistant", "content": content, "thinking": "hm"}}
    else:
        answer("404 page not found", 404, "text/plain")(heard, sock)
        return
    if body.get("stream", heard.target != "/api/embed"):
        lines = json.dumps({**said, "done": False}) + "\n" + json.dumps(said) + "\n"
        answer(lines.encode(), 200, "application/x-ndjson")(heard, sock)
    else:
        answer(said)(heard, sock)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(speak) as found:
        yield found


def predict(server: Loopback, task: str, cells: list[Any], **using: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"in0": cells}, dtype=object)
    return Predictor(task, endpoint=server.url, **using).predict(frame)


def test_vectors(server: Loopback) -> None:
    found = predict(server, "feature-extraction", ["a", "b", "c"], truncate=True, normalize=True)
    assert [json.loads(one) for one in found["y"]] == [vector(text) for text in "abc"]
    assert all(heard.json()["truncate"] is True for heard in posts(server))
    assert {heard.target for heard in posts(server)} == {"/api/embed"}


def test_chats(server: Loopback) -> None:
    found = predict(
        server, "chat-completion", ["hi"], system_prompt="be brief", temperature=0, max_tokens=9, stop=["."]
    )
    assert list(found["y"]) == ["You said: hi0"]
    explain = json.loads(found["y_explain"][0])
    assert explain["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert (explain["reasoning"], explain["finish_reason"]) == ("hm", "stop")
    (heard,) = posts(server)
    assert heard.target == "/api/chat"
    assert heard.json() == {
        "model": MODEL,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "options": {"temperature": 0, "num_predict": 9, "stop": ["."]},
        "stream": False,
    }


def test_its_own_fields_and_options(server: Loopback) -> None:
    own = {"parameters": {"think": False, "keep_alive": "5m", "top_k": 4}, "options": {"num_ctx": 8192}}
    predict(server, "chat-completion", ["hi"], **own)
    predict(server, "text-generation", ["hi"], **own)
    for body in [heard.json() for heard in posts(server)]:
        assert (body["think"], body["keep_alive"]) == (False, "5m")
        assert (body["options"]["num_ctx"], body["options"]["top_k"]) == (8192, 4)
        assert not {"think", "keep_alive"} & body["options"].keys()
    predict(server, "feature-extraction", ["hi"], options={"num_ctx": 8192})
    assert posts(server)[-1].json()["options"] == {"num_ctx": 8192}


def test_an_image_is_beside_the_prompt(server: Loopback) -> None:
    frame = pd.DataFrame({"in0": ["what?"], "image": [samples.png(b"x").data]}, dtype=object)
    found = Predictor("chat-completion", endpoint=server.url, image_column="image").predict(frame)
    assert list(found["y"]) == ["You said: what?1"]
    assert posts(server)[0].json()["messages"][0]["images"] == [samples.png(b"x").base64]


def test_a_schema_is_the_format(server: Loopback) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    found = predict(server, "chat-completion", ["hi"], response_format=wanted)
    assert json.loads(found["y"][0]) == {"a": 1}
    assert posts(server)[0].json()["format"] == schema
    predict(server, "chat-completion", ["hi"], response_format={"type": "json_object"})
    assert posts(server)[1].json()["format"] == "json"


def test_texts_are_continued_as_they_are(server: Loopback) -> None:
    found = predict(server, "text-generation", ["a", "b"], max_new_tokens=5, repetition_penalty=1.1)
    assert list(found["y"]) == [" after a", " after b"]
    assert json.loads(found["y_explain"][0]) == {"finish_reason": "stop", "tokens": 2}
    body = posts(server)[0].json()
    assert body["raw"] is True
    assert body["options"] == {"num_predict": 5, "repeat_penalty": 1.1, "temperature": 0}


def test_what_it_cannot_do_is_refused_before_a_request(server: Loopback) -> None:
    with pytest.raises(SettingsError, match="tool_choice = 'required' has no effect at Ollama"):
        predict(server, "chat-completion", ["hi"], tool_choice="required")
    assert posts(server) == []


@pytest.mark.parametrize(
    ("task", "piece"),
    [("chat-completion", {"message": {"content": "Par"}}), ("text-generation", {"response": "Par"})],
)
def test_the_first_piece_of_a_stream_is_no_answer(server: Loopback, task: str, piece: dict[str, Any]) -> None:
    server.speak = lambda heard, sock: (
        speak(heard, sock) if heard.method == "GET" else answer({**piece, "model": MODEL, "done": False})(heard, sock)
    )
    with pytest.raises(InvalidAnswer, match="broke off"):
        predict(server, task, ["hi"], max_retries=0)


def test_its_error_is_told(server: Loopback) -> None:
    with pytest.raises(HuggingFaceError, match="model 'other:7b' not found"):
        predict(server, "feature-extraction", ["a"], model_name="other:7b")


def test_it_is_recognized_by_its_models_and_its_version() -> None:
    known: dict[str, Any] = {"http://host/v1/models": LISTED, "http://host/api/version": VERSION}
    assert find("http://host", known.get) == Server(ollama.PROTOCOL, model=MODEL)
    del known["http://host/api/version"]
    assert find("http://host", known.get).protocol.name == "openai"
    shown = by_url("http://host/api/chat")
    assert shown is not None
    assert shown.protocol is ollama.PROTOCOL
    assert by_url("http://host/v1/chat/completions") != shown
