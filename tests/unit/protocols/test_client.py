"""What is asked where, and that none of hugging-py-face's own ways of sending is left."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import responses

from huggingface_api_handler.errors import HuggingFaceError, InvalidAnswer, SettingsError, Unavailable
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols.base import Call
from huggingface_api_handler.protocols.chat import chat_url
from huggingface_api_handler.protocols.client import InferenceAPI
from huggingface_api_handler.protocols.hf_inference import ROUTER, ROUTER_CHAT, model_path
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Answer, Example, Input, Kind, Task
from tests.unit.loopback import Loopback, answer

TOKEN = "hf_" + "a" * 34
PUBLIC = "93.184.216.34"
ENDPOINT = "https://x1.eu-west-1.aws.endpoints.huggingface.cloud"


def task(name: str = "text-classification", **facts: Any) -> Task:
    return Task(
        name=name, answer="", inputs=(Input("input_column", Kind.TEXT, ""),), decode=lambda part, args: Answer(None),
        example=Example(()), **facts,
    )  # fmt: skip


TEXT = task()
CHAT = task("chat-completion", chat=True)
IMAGE = task("image-classification")
PIPELINE = task("feature-extraction")


def client(**options: Any) -> InferenceAPI:
    options = {"token": TOKEN, "base_url": ROUTER, "endpoint": None, "model": "org/name", **options}
    policy = UrlPolicy((options["base_url"],), ("own.example",), resolver=lambda *_: [PUBLIC])
    return InferenceAPI(Transport(policy), **options)


def asked(call: Call = Call("x"), of: Task = TEXT, body: Any = None, **options: Any) -> Any:  # noqa: B008
    """Make one request, and return it."""
    one = client(**options)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(one.url(of), json=[] if body is None else body)
        one.ask(of, call, timeout=5)
        return mock.calls[0].request


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "of", "url"),
    [
        ({}, TEXT, f"{ROUTER}/models/org/name"),
        ({"model": "gpt2"}, TEXT, f"{ROUTER}/models/gpt2"),
        ({}, PIPELINE, f"{ROUTER}/models/org/name/pipeline/feature-extraction"),
        ({}, CHAT, ROUTER_CHAT),
        ({"base_url": ROUTER + "/"}, CHAT, ROUTER_CHAT),
        ({"base_url": "https://own.example/hf"}, TEXT, "https://own.example/hf/models/org/name"),
        ({"base_url": "https://own.example/hf/"}, PIPELINE,
         "https://own.example/hf/models/org/name/pipeline/feature-extraction"),
        ({"base_url": "https://own.example/hf"}, CHAT, "https://own.example/hf/v1/chat/completions"),
        ({"base_url": "https://own.example/v1"}, CHAT, "https://own.example/v1/chat/completions"),
        ({"endpoint": ENDPOINT}, TEXT, f"{ENDPOINT}/"),
        ({"endpoint": f"{ENDPOINT}/generate"}, TEXT, f"{ENDPOINT}/generate"),
        ({"endpoint": f"{ENDPOINT}/embed?x=1"}, PIPELINE, f"{ENDPOINT}/embed?x=1"),
        ({"endpoint": ENDPOINT}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/"}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/v1/"}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/x/v1/chat/completions"}, CHAT, f"{ENDPOINT}/x/v1/chat/completions"),
        ({"endpoint": ENDPOINT, "model": None}, TEXT, f"{ENDPOINT}/"),
        ({"endpoint": ENDPOINT, "model": "/repository"}, TEXT, f"{ENDPOINT}/"),
    ],
)  # fmt: skip
def test_addresses(options: dict[str, Any], of: Task, url: str) -> None:
    assert client(**options).url(of) == url
    assert asked(of=of, **options).url == url


@pytest.mark.parametrize("model", ["../../admin", "a/../b", "./x", "a//b", "/a", "a/", "", " ", "a\nb", "a/\x00"])
def test_models_that_lead_elsewhere(model: str) -> None:
    with pytest.raises(SettingsError):
        client(model=model)


@pytest.mark.parametrize(
    ("model", "path"),
    [("org/na.me-x_1", "org/na.me-x_1"), ("a?b#c", "a%3Fb%23c"), ("a b/c", "a%20b/c"), ("é/x", "%C3%A9/x"),
     ("%2e%2e/x", "%252e%252e/x"), ("a\\b", "a%5Cb"), ("a:b@c", "a%3Ab%40c"), (" org/name ", "org/name")],
)  # fmt: skip
def test_models_are_quoted(model: str, path: str) -> None:
    assert model_path(model) == path


def test_a_query_of_a_chat_endpoint_is_no_path() -> None:
    assert chat_url("https://x.example/v1/chat/completions") == "https://x.example/v1/chat/completions"


def test_services_are_told_apart() -> None:
    assert client().service == client().service
    assert len({client().service, client(model="a/b").service, client(endpoint=ENDPOINT).service}) == 3


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [IMAGE, task("image-to-image")])
def test_media_without_parameters_are_raw_bytes(of: Task) -> None:
    sent = asked(Call(media=Media(b"\x89PNG", "image/png"), accept="image/png"), of)
    assert sent.body == b"\x89PNG"
    assert sent.headers["Content-Type"] == "image/png"
    assert sent.headers["Accept"] == "image/png"


def test_media_with_parameters_are_base64_without_line_ends() -> None:
    sent = asked(Call(media=Media(b"x" * 300, "image/png"), parameters={"top_k": 2}), IMAGE)
    body = json.loads(sent.body)
    assert base64.b64decode(body["inputs"], validate=True) == b"x" * 300
    assert "\n" not in body["inputs"]
    assert body["parameters"] == {"top_k": 2}


def test_empty_parameters_are_left_out() -> None:
    assert json.loads(asked(Call("x")).body) == {"inputs": "x"}
    with pytest.raises(HuggingFaceError):
        asked(Call(), task())


def test_falsy_inputs_are_inputs() -> None:
    every: list[Any] = ["", 0, [], {}, False]
    for inputs in every:
        assert json.loads(asked(Call(inputs), task()).body) == {"inputs": inputs}


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "org/name"), ({"provider": "groq"}, "org/name:groq"), ({"provider": "auto"}, "org/name"),
        ({"provider": "cheapest"}, "org/name:cheapest"),
        ({"provider": "hf-inference"}, "org/name:hf-inference"), ({"model": "org/name:fastest", "provider": "groq"},
         "org/name:fastest"),
        ({"base_url": "https://own.example/hf", "provider": "groq"}, "org/name:groq"),
        ({"endpoint": ENDPOINT}, "org/name"), ({"endpoint": ENDPOINT, "model": None}, "tgi"),
        ({"endpoint": ENDPOINT, "provider": "groq"}, "org/name"),
    ],
)  # fmt: skip
def test_a_chat_names_its_model_first(options: dict[str, Any], model: str) -> None:
    messages = [{"role": "user", "content": "hi"}]
    sent = asked(Call(root={"messages": messages, "max_tokens": 9}), CHAT, **options)
    assert sent.body.startswith(b'{"model": "%s"' % model.encode())
    assert json.loads(sent.body) == {"model": model, "messages": messages, "max_tokens": 9}


def test_nan_is_not_sent() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock, pytest.raises(HuggingFaceError) as caught:
        client().ask(TEXT, Call("x", {"top_k": float("nan")}), timeout=5)
    assert caught.value.code == "invalid_input"
    assert len(mock.calls) == 0


# --- who learns what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "billed"),
    [({}, True), ({"endpoint": ENDPOINT}, False), ({"base_url": "https://gateway.example/hf"}, True),
     ({"endpoint": "https://own.example/"}, False), ({"endpoint": "http://own.example/"}, False)],
)  # fmt: skip
def test_who_is_told_whom_to_bill(options: dict[str, Any], billed: bool) -> None:
    sent = asked(bill_to="acme", **options)
    assert (sent.headers.get("X-HF-Bill-To") == "acme") is billed
    assert "X-HF-Bill-To" not in asked(**options).headers


def test_the_token_goes_to_whom_the_owner_trusts() -> None:
    assert "Authorization" in asked(endpoint="https://own.example/").headers
    assert "Authorization" not in asked(token=None).headers
    assert "Authorization" not in asked(token="").headers


# --- defects of the library that must not come back -----------------------------------------------


def test_one_request_means_one_request() -> None:
    """No retry, no sleep, no look-up of the model, nothing read twice."""
    with Loopback(answer({"error": "x"}, 503)) as server:
        policy = UrlPolicy((server.url,))
        one = InferenceAPI(Transport(policy), token=TOKEN, base_url=server.url, endpoint=None, model="org/name")
        for of, call in ((TEXT, Call("x")), (IMAGE, Call(media=Media(b"x", "image/png")))):
            with pytest.raises(Unavailable):
                one.ask(of, call, timeout=5)
    assert [heard.method for heard in server.heard] == ["POST", "POST"]
    assert server.connections == 1


def test_answers_that_are_no_json_are_said_to_be_none() -> None:
    with Loopback() as server:
        one = InferenceAPI(
            Transport(UrlPolicy((server.url,))), token=TOKEN, base_url=server.url, endpoint=None, model="org/name"
        )
        for status, body, kind in (
            (503, b"<html>", Unavailable),
            (200, b"<html>", InvalidAnswer),
            (200, b"", InvalidAnswer),
        ):
            server.speak = answer(body, status, "text/html")
            with pytest.raises(kind):
                one.ask(TEXT, Call("x"), timeout=5)


def test_media_names_are_never_opened_nor_fetched(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    secret = tmp_path / "secret.txt"
    secret.write_text("do not send")

    def no(*args: Any, **options: Any) -> Any:
        raise AssertionError("the library itself opened something")

    monkeypatch.setattr(requests, "get", no)
    monkeypatch.setattr(requests, "request", no)
    for inputs in (str(secret), "http://127.0.0.1:1/x", "httpcat.jpg", ["/etc/hostname"]):
        sent = asked(Call(inputs), IMAGE)
        assert b"do not send" not in sent.body
        assert json.loads(sent.body) == {"inputs": inputs}


def test_nothing_is_logged_or_printed_by_a_request(capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    caplog.set_level("INFO")
    asked(Call("x"))
    assert capsys.readouterr().out == ""
    assert not [record for record in caplog.records if record.levelname in ("INFO", "WARNING")]
