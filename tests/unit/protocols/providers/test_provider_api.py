"""Inference Providers: who serves, bodies, media, links. What each pair is asked stands in ``provider_pairs``."""

from __future__ import annotations

import base64
import sys
from typing import Any

import pytest

from huggingface_api_handler.errors import (
    BlockedAddress,
    ConnectionFailed,
    InvalidAnswer,
    ModelNotFound,
    SettingsError,
    Unavailable,
)
from huggingface_api_handler.hub import facts, provider_registry
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.net.request import Request, Response
from huggingface_api_handler.protocols import hf_inference
from huggingface_api_handler.protocols.base import Call
from huggingface_api_handler.protocols.client import InferenceAPI, answer_of
from huggingface_api_handler.protocols.providers import offers
from huggingface_api_handler.protocols.providers.provider_api import ProviderAPI, client_class
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Arguments
from tests.unit.loopback import Loopback, answer
from tests.unit.provider_router import PNG, TOKEN, Service, make, serve

read = hf_inference.PROTOCOL.read


def test_who_gets_which_client(service: Service) -> None:
    assert type(make(service, "hf-inference")) is InferenceAPI
    assert type(make(service, "together")) is ProviderAPI
    assert make(service, "together").service != make(service, "fal-ai").service
    assert client_class(service.url, "auto") is InferenceAPI


def test_a_body_that_holds_the_medium(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, Served("together", "text-to-image", "live", "flux/x"))
    service.routes["/together/v1/images/generations"] = {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}
    task = TASKS["text-to-image"]
    one = make(service, "together", bill_to="acme")
    for _ in range(3):
        reply = one.ask(task, Call("a hut", {"num_inference_steps": 3}, accept="image/png"), timeout=5)
    assert asked == [f"org/name {TOKEN}"]
    heard = service.heard[0]
    assert heard.json() == {"prompt": "a hut", "response_format": "base64", "steps": 3, "model": "flux/x"}
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    assert heard.headers["x-hf-bill-to"] == "acme"
    assert read(task, answer_of(reply), 1, Arguments())[0].media == Media(PNG, "image/png")


def test_a_link_is_fetched_without_the_token(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-image", "live", "fal-ai/flux"))
    with Loopback(answer(PNG, content_type="image/png")) as cdn:
        service.routes["/fal-ai/fal-ai/flux"] = answer({"images": [{"url": f"{cdn.url}/y.png"}]}, X_Request_Id="r-1")
        one = make(service, "fal-ai", (f"127.0.0.1:{cdn.port}",))
        reply = one.ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
        assert answer_of(reply) == Media(PNG, "image/png")
        assert reply.request_id == "r-1"
        assert "authorization" not in cdn.heard[0].headers


def test_a_link_to_the_inside_is_not_fetched(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-image", "live", "fal-ai/flux"))
    for link in ("http://169.254.169.254/x", "http://127.0.0.1:1/", "http://[::1]/x"):
        service.routes["/fal-ai/fal-ai/flux"] = {"images": [{"url": link}]}
        with pytest.raises(BlockedAddress):
            make(service, "fal-ai").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)


def test_media_travel_as_bytes_never_as_names(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "automatic-speech-recognition", "live", "whisper"))
    service.routes["/fal-ai/whisper"] = {"text": "hi"}
    task = TASKS["automatic-speech-recognition"]
    reply = make(service, "fal-ai").ask(task, Call(media=Media(b"RIFF", "audio/wav")), timeout=5)
    assert reply.json() == {"text": "hi"}
    assert service.heard[0].json()["audio_url"].endswith(base64.b64encode(b"RIFF").decode())


def test_multipart_keeps_its_type(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("deepinfra", "automatic-speech-recognition", "live", "whisper"))
    service.routes["/deepinfra/v1/openai/audio/transcriptions"] = {"text": "hi"}
    task = TASKS["automatic-speech-recognition"]
    make(service, "deepinfra").ask(task, Call(media=Media(b"RIFF", "audio/wav")), timeout=5)
    assert service.heard[0].headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b"whisper" in service.heard[0].body


def test_embeddings(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("scaleway", "feature-extraction", "live", "bge"))
    service.routes["/scaleway/v1/embeddings"] = {
        "data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    }
    task = TASKS["feature-extraction"]
    reply = make(service, "scaleway").ask(task, Call(["a", "b"]), timeout=5)
    assert service.heard[0].json() == {"input": ["a", "b"], "model": "bge"}
    assert [one.value for one in read(task, answer_of(reply), 2, Arguments())] == [
        "[1.0]",
        "[2.0]",
    ]


def test_auto_takes_the_first_that_can(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(
        monkeypatch, Served("newcomer", "text-to-image", "live", "m"), Served("together", "text-to-image", "error",
        "m"),
        Served("nscale", "conversational", "live", "m"), Served("hf-inference", "text-to-image", "live", "m"),
    )  # fmt: skip
    service.routes["/hf-inference/models/org/name"] = answer(PNG, content_type="image/png")
    reply = make(service, "auto").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert answer_of(reply) == Media(PNG, "image/png")


def test_nobody_serves_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("groq", "conversational", "live", "m"))
    with pytest.raises(ModelNotFound, match=r"together does not serve .*groq \(conversational\)"):
        make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    with pytest.raises(ModelNotFound, match="no provider serves"):
        make(service, "auto").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    monkeypatch.setattr(facts, "providers", lambda model, token=None: None)
    offers._known.clear()
    with pytest.raises(Unavailable):
        make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    assert service.heard == []


def test_a_library_without_a_list_of_providers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("together", "text-to-image", "live", "m"))
    monkeypatch.setitem(sys.modules, "huggingface_hub.inference._providers", None)
    assert provider_registry.fault("together", "text-classification") is None  # the service judges
    with pytest.raises(SettingsError, match="no list of providers"):
        make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    assert service.heard == []


def test_a_hub_that_cannot_respond_is_asked_once_for_all_workers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def silent(model: str, *, token: str | None = None) -> None:
        asked.append(model)

    monkeypatch.setattr(facts, "providers", silent)
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
        assert caught.value.retryable
    assert asked == ["org/name"]
    monkeypatch.setattr(offers, "FAILURE_TTL", 0.0)
    offers._known.clear()
    for _ in range(2):
        with pytest.raises(Unavailable):
            make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    assert len(asked) == 3


def test_chat_asks_the_router_and_not_the_hub(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch)
    service.routes["/hf-inference/v1/chat/completions"] = {"choices": []}
    make(service, "groq").ask(TASKS["chat-completion"], Call(root={"messages": []}), timeout=5)
    assert service.heard[0].json()["model"] == "org/name:groq"
    assert asked == []


def test_chat_at_hf_inference_is_asked_of_hf_inference(service: Service) -> None:
    service.routes["/hf-inference/v1/chat/completions"] = {"choices": []}
    for provider, name in (("hf-inference", "org/name:hf-inference"), ("auto", "org/name")):
        make(service, provider).ask(TASKS["chat-completion"], Call(root={"messages": []}), timeout=5)
        assert service.heard[-1].json()["model"] == name


def test_the_weights_of_an_adapter_are_named(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them the provider would draw with the model beneath, and nobody would see that it was another."""
    serve(monkeypatch, Served("fal-ai", "text-to-image", "live", "fal-ai/flux-lora", "style.safetensors"))
    service.routes["/fal-ai/fal-ai/flux-lora"] = {
        "images": [{"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}]
    }
    make(service, "fal-ai").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    (laid,) = service.heard[0].json()["loras"]
    assert laid["path"].endswith("/org/name/resolve/main/style.safetensors")


def test_a_provider_that_failed_the_hubs_try_is_asked_where_there_is_no_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, Served("together", "text-to-image", "error", "m"))
    service.routes["/together/v1/images/generations"] = {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}
    for provider in ("auto", "together"):
        make(service, provider).ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert len(service.heard) == 2


def test_models_of_likeness_make_vectors_too(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("hf-inference", "sentence-similarity", "live", "org/name"))
    service.routes["/hf-inference/models/org/name/pipeline/feature-extraction"] = [[1.0]]
    reply = make(service, "auto").ask(TASKS["feature-extraction"], Call(["a"]), timeout=5)
    assert reply.json() == [1.0]


def test_a_model_for_chats_alone_says_how_to_ask_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("groq", "conversational", "live", "m"))
    with pytest.raises(ModelNotFound) as caught:
        make(service, "auto").ask(TASKS["text-generation"], Call("x"), timeout=5)
    assert "task = 'chat-completion'" in str(caught.value.advice)


def test_prompts_go_one_by_one_and_vectors_in_lists(service: Service) -> None:
    one = make(service, "together")
    assert one.alone(TASKS["text-generation"])
    assert not one.alone(TASKS["feature-extraction"])
    assert not make(service, "hf-inference").alone(TASKS["text-generation"])


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("hi", "hi"),
        (["hi"], "hi"),
        ([{"transcription": "hi"}], "hi"),
        ({"transcription": "hallo", "translation": "hi"}, "hi"),
        ({"text": "hi", "chunks": [{"text": "hi", "timestamp": [0.0, 1.0]}]}, "hi"),
        ({"txt_file": "LINK"}, "hi"),
        (["one", "two"], None),
        ({"transcription": None}, None),
        (7, None),
    ],
)
def test_what_models_of_speech_on_replicate_say(
    service: Service, monkeypatch: pytest.MonkeyPatch, output: Any, text: str | None
) -> None:
    serve(monkeypatch, Served("replicate", "automatic-speech-recognition", "live", "a/whisper:7"))
    task = TASKS["automatic-speech-recognition"]
    with Loopback(answer("\ufeffhi", content_type="text/plain")) as store:
        if isinstance(output, dict) and "txt_file" in output:
            output = {"txt_file": f"{store.url}/said.txt"}
        service.routes["/replicate/v1/predictions"] = answer({"status": "succeeded", "output": output}, 201)
        one = make(service, "replicate", (f"127.0.0.1:{store.port}",))
        reply = one.ask(task, Call(media=Media(b"RIFF", "audio/wav")), timeout=5)
        assert service.heard[0].json()["version"] == "7"
        if text is None:
            with pytest.raises(InvalidAnswer):
                read(task, answer_of(reply), 1, Arguments())
        else:
            (found,) = read(task, answer_of(reply), 1, Arguments())
            assert found.value == text
        assert not any("authorization" in heard.headers for heard in store.heard)


@pytest.mark.parametrize("reported", ["", "binary/octet-stream", "application/x-sound", "audio/mpeg"])
def test_sound_that_is_called_something_else(service: Service, monkeypatch: pytest.MonkeyPatch, reported: str) -> None:
    serve(monkeypatch, Served("together", "text-to-speech", "live", "m"))
    service.routes["/together/v1/audio/speech"] = answer(b"ID3\x04....", content_type=reported)
    task = TASKS["text-to-speech"]
    reply = make(service, "together").ask(task, Call("hello", accept="*/*"), timeout=5)
    assert read(task, answer_of(reply), 1, Arguments())[0].media == Media(b"ID3\x04....", "audio/mpeg")


def test_a_mask_behind_a_link(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "image-segmentation", "live", "m"))
    path = "/fal-ai/m/requests/1"
    service.routes["/fal-ai/m?_subdomain=queue"] = {
        "request_id": "1",
        "response_url": "https://queue.fal.run/m/requests/1",
    }
    service.routes[f"{path}/status?_subdomain=queue"] = {"status": "COMPLETED"}
    task = TASKS["image-segmentation"]
    call = Call(media=Media(PNG, "image/png"))
    with Loopback(answer(PNG, content_type="image/png")) as store:
        one = make(service, "fal-ai", (f"127.0.0.1:{store.port}",))
        service.routes[f"{path}?_subdomain=queue"] = {"image": {"url": f"{store.url}/mask.png"}}
        (found,) = read(task, answer_of(one.ask(task, call, timeout=5)), 1, Arguments())
        assert base64.b64encode(PNG).decode() in str(found.value)
        assert "authorization" not in store.heard[0].headers
        for strange in ({"image": None}, {"images": []}, {"image": {"url": 7}}, {"image": {"url": "data:,x"}}):
            service.routes[f"{path}?_subdomain=queue"] = answer(strange)
            with pytest.raises(InvalidAnswer):
                read(task, answer_of(one.ask(task, call, timeout=5)), 1, Arguments())


@pytest.mark.parametrize("provider", ["together", "replicate"])
def test_a_request_gets_the_time_that_the_look_up_leaves(
    service: Service, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    now = [0.0]

    def look_up(*_: Any, **__: Any) -> tuple[Served, ...]:
        now[0] += 3.0
        return (Served(provider, "text-to-image", "live", "org/name"),)

    monkeypatch.setattr(facts, "providers", look_up)
    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(lambda: now[0]))
    timeouts: list[float] = []
    one = make(service, provider)

    def send(request: Request) -> Response:
        timeouts.append(request.timeout)
        raise ConnectionFailed("no connection")

    monkeypatch.setattr(one._transport, "send", send)
    with pytest.raises(ConnectionFailed):
        one.ask(TASKS["text-to-image"], Call("a hut", accept="image/png"), timeout=10)
    assert timeouts == [7.0]
