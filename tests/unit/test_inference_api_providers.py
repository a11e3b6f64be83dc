"""Inference Providers: routes, bodies, queues, links; and that work is never begun twice."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from huggingface_api_handler.clients import hub, providers
from huggingface_api_handler.clients.hub import Served
from huggingface_api_handler.clients.inference_api import InferenceAPI
from huggingface_api_handler.clients.providers import ProviderAPI, client
from huggingface_api_handler.clients.transport import Transport
from huggingface_api_handler.egress import Egress
from huggingface_api_handler.errors import (
    BlockedAddress,
    HuggingFaceError,
    InvalidInput,
    ModelNotFound,
    ServiceTimeout,
    Unavailable,
)
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Call, Media

from .loopback import Heard, Loopback, answer

TOKEN = "hf_" + "p" * 34
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 40
Route = Callable[[Heard], Any]


class Service(Loopback):
    """Answers by path; what is not known is 404."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        super().__init__(self._route)

    def _route(self, heard: Heard, sock: socket.socket) -> None:
        said = self.routes.get(heard.target)
        said = said.pop(0) if isinstance(said, list) and len(said) > 1 else said[0] if isinstance(said, list) else said
        if said is None:
            said = answer("Not Found", 404, "text/plain")
        (said if callable(said) else answer(said))(heard, sock)


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProviderAPI, "_sleep", staticmethod(lambda seconds: None))
    providers._asked.clear()


def serve(monkeypatch: pytest.MonkeyPatch, *served: Served) -> list[str]:
    asked: list[str] = []

    def who(model: str, *, token: str | None = None) -> tuple[Served, ...]:
        asked.append(f"{model} {token}")
        return served

    monkeypatch.setattr(hub, "providers", who)
    return asked


def make(service: Loopback, provider: str, links: tuple[str, ...] = (), **options: Any) -> InferenceAPI:
    transport = Transport(Egress((f"{service.url}/hf-inference",), links))
    return client(
        transport, token=TOKEN, base_url=f"{service.url}/hf-inference", endpoint=None, model="org/name",
        provider=provider, **options,
    )  # fmt: skip


def test_who_gets_which_client(service: Service) -> None:
    for provider in ("hf-inference", "", "hf-inference"):
        assert type(make(service, provider)) is InferenceAPI
    assert type(make(service, "together")) is ProviderAPI
    assert make(service, "together").service != make(service, "fal-ai").service
    transport = Transport(Egress((service.url,)))
    one = client(transport, token=None, base_url=None, endpoint=service.url, model=None, provider="auto")
    assert type(one) is InferenceAPI


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
    assert task.read(reply.answer(), 1, _arguments())[0].media == Media(PNG, "image/png")


def _arguments() -> Any:
    from huggingface_api_handler.tasks.task import Arguments

    return Arguments()


def test_a_link_is_fetched_without_the_token(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-image", "live", "fal-ai/flux"))
    with Loopback(answer(PNG, content_type="image/png")) as cdn:
        service.routes["/fal-ai/fal-ai/flux"] = answer({"images": [{"url": f"{cdn.url}/y.png"}]}, X_Request_Id="r-1")
        one = make(service, "fal-ai", (f"127.0.0.1:{cdn.port}",))
        reply = one.ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
        assert reply.answer() == Media(PNG, "image/png")
        assert reply.request_id == "r-1"
        assert "authorization" not in cdn.heard[0].headers


def test_a_link_to_the_inside_is_not_fetched(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-image", "live", "fal-ai/flux"))
    for link in ("http://169.254.169.254/x", "http://127.0.0.1:1/", "http://[::1]/x"):
        service.routes["/fal-ai/fal-ai/flux"] = {"images": [{"url": link}]}
        with pytest.raises(BlockedAddress):
            make(service, "fal-ai").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)


def _fal(service: Service) -> None:
    serve_url = "https://queue.fal.run/fal-ai/video/requests/r1"
    service.routes["/fal-ai/fal-ai/video?_subdomain=queue"] = {
        "request_id": "r1", "status": "IN_QUEUE", "response_url": serve_url,
    }  # fmt: skip
    service.routes["/fal-ai/fal-ai/video/requests/r1/status?_subdomain=queue"] = [
        {"status": "IN_QUEUE"}, answer("busy", 503, "text/plain"), {"status": "IN_PROGRESS"}, {"status": "COMPLETED"},
    ]  # fmt: skip
    service.routes["/fal-ai/fal-ai/video/requests/r1?_subdomain=queue"] = [
        answer("<html>", 502, "text/html"), {"video": {"url": f"{service.url}/made.mp4"}},
    ]  # fmt: skip
    service.routes["/made.mp4"] = [answer("", 500), answer(b"MP4", content_type="video/mp4")]


def test_queued_work_is_waited_for_and_begun_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-video", "live", "fal-ai/video"))
    _fal(service)
    one = make(service, "fal-ai")
    reply = one.ask(TASKS["text-to-video"], Call("a boat", accept="*/*"), timeout=20)
    assert reply.answer() == Media(b"MP4", "video/mp4")
    assert [heard.method for heard in service.heard].count("POST") == 1
    by_path = {heard.target: heard.headers.get("authorization") for heard in service.heard}
    assert by_path.pop("/made.mp4") is None
    assert set(by_path.values()) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("provider", "posted", "first", "looked", "states"),
    [
        ("wavespeed", "/wavespeed/api/v3/m", {"data": {"urls": {"get": "https://api.x/api/v3/p/1/result"}}},
         "/wavespeed/api/v3/p/1/result",
         [{"data": {"status": "created"}}, {"data": {"status": "completed", "outputs": ["LINK"]}}]),
        ("replicate", "/replicate/v1/models/m/predictions",
         {"status": "starting", "output": None, "urls": {"get": "https://api.x/v1/predictions/1"}},
         "/replicate/v1/predictions/1", [{"status": "processing", "urls": {}}, {"status": "succeeded",
         "output": ["LINK"]}]),
        ("zai-org", "/zai-org/api/paas/v4/async/images/generations", {"id": "t 1", "task_status": "PROCESSING"},
         "/zai-org/api/paas/v4/async-result/t%201",
         [{"task_status": "PROCESSING"}, {"task_status": "SUCCESS", "image_result": [{"url": "LINK"}]}]),
    ],
)  # fmt: skip
def test_each_queue(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    posted: str,
    first: Any,
    looked: str,
    states: list[Any],
) -> None:
    serve(monkeypatch, Served(provider, "text-to-image", "live", "m"))
    service.routes[posted] = first
    service.routes[looked] = [json.loads(json.dumps(one).replace("LINK", f"{service.url}/x.png")) for one in states]
    service.routes["/x.png"] = answer(PNG, content_type="image/png")
    reply = make(service, provider).ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert reply.answer() == Media(PNG, "image/png")
    assert [heard.method for heard in service.heard].count("POST") == 1


def test_a_failed_job_is_the_rows_own(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-image", "live", "m"))
    service.routes["/wavespeed/api/v3/m"] = {"data": {"urls": {"get": "/r"}}}
    service.routes["/wavespeed/r"] = {"data": {"status": "failed", "error": "nsfw"}}
    with pytest.raises(InvalidInput, match="nsfw") as caught:
        make(service, "wavespeed").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert not caught.value.retryable


def test_a_late_job_is_not_begun_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-image", "live", "m"))
    service.routes["/wavespeed/api/v3/m"] = {"data": {"urls": {"get": "/r"}}}
    now = [0.0]

    def tick() -> float:
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(tick))
    for said in (
        {"data": {"status": "processing"}},
        answer("no", 503, "text/plain"),
        answer("<html>", 200, "text/html"),
    ):
        service.routes["/wavespeed/r"] = said
        with pytest.raises(ServiceTimeout) as caught:
            make(service, "wavespeed").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=10)
        assert not caught.value.retryable


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
    assert [one.value for one in task.read(reply.answer(), 2, _arguments())] == ["[1.0]", "[2.0]"]


def test_auto_takes_the_first_that_can(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(
        monkeypatch, Served("newcomer", "text-to-image", "live", "m"), Served("together", "text-to-image", "error",
        "m"),
        Served("nscale", "conversational", "live", "m"), Served("hf-inference", "text-to-image", "live", "m"),
    )  # fmt: skip
    service.routes["/hf-inference/models/org/name"] = answer(PNG, content_type="image/png")
    reply = make(service, "auto").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert reply.answer() == Media(PNG, "image/png")


def test_nobody_serves_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("groq", "conversational", "live", "m"))
    with pytest.raises(ModelNotFound, match=r"together does not serve .*groq \(conversational\)"):
        make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    with pytest.raises(ModelNotFound, match="no provider serves"):
        make(service, "auto").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    monkeypatch.setattr(hub, "providers", lambda model, token=None: None)
    providers._asked.clear()
    with pytest.raises(Unavailable):
        make(service, "together").ask(TASKS["text-to-image"], Call("a"), timeout=5)
    assert service.heard == []


def test_chat_asks_the_router_and_not_the_hub(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch)
    service.routes["/hf-inference/v1/chat/completions"] = {"choices": []}
    make(service, "groq").ask(TASKS["chat-completion"], Call(root={"messages": []}), timeout=5)
    assert service.heard[0].json()["model"] == "org/name:groq"
    assert asked == []


def test_every_readable_pair_builds_a_request(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever huggingface_hub's helpers look like in the installed version, they are called rightly."""
    from huggingface_hub.inference._providers import PROVIDERS

    known: Any = PROVIDERS
    pairs = [(provider, task) for provider in known for task in known[provider] if providers._knows(provider, task)]
    assert len(pairs) >= 15
    for provider, name in pairs:
        if provider == "hf-inference":
            continue
        service.heard.clear()
        providers._asked.clear()
        serve(monkeypatch, Served(provider, name, "live", "m"))
        media = name.startswith(("image", "automatic"))
        call = Call(None if media else "x", media=Media(PNG, "image/png") if media else None)
        with pytest.raises(HuggingFaceError) as caught:
            make(service, provider).ask(TASKS[name], call, timeout=5)
        assert caught.value.status == 404
        assert service.heard[0].method == "POST"
        assert service.heard[0].target.startswith(f"/{provider}/")
        assert "content-type" in service.heard[0].headers
