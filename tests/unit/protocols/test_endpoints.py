"""Servers of one model: recognised by what they answer, asked in their own way, right value on the right row."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.cache import NoCache
from huggingface_api_handler.errors import ConnectionFailed, HuggingFaceError, ModelLoading, ServiceTimeout, Unavailable
from huggingface_api_handler.net.request import Request
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols import Protocol, detect, llama_cpp, openai, tei, tgi, toolkit, vllm
from huggingface_api_handler.protocols.base import Call, Server
from huggingface_api_handler.protocols.client import InferenceAPI
from huggingface_api_handler.protocols.detect import Endpoint, Findings, by_url, find, split_route, url_of
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.execution import RequestExecutor
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS, samples
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Arguments
from tests.unit.loopback import Heard, Loopback, answer

CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")

TOOLKIT, TEI, TGI, OPENAI = (one.PROTOCOL for one in (toolkit, tei, tgi, openai))
#: What is served by which kind of server.
SERVED: list[tuple[Protocol, tuple[str, ...]]] = [
    (TEI, ("feature-extraction", "text-classification", "text-ranking", "sentence-similarity")),
    (TGI, ("text-generation", "chat-completion")),
    (OPENAI, (
        "feature-extraction", "text-generation", "chat-completion", "text-ranking", "text-classification",
    )),
    (TOOLKIT, tuple(name for name, task in TASKS.items() if not task.chat)),
]  # fmt: skip
PAIRS = [(kind, name) for kind, names in SERVED for name in names]


class Predictor:
    """Frames of a task's example, predicted at one server."""

    def __init__(self, name: str, *, endpoint: str | None = None, base_url: str | None = None, **using: Any) -> None:
        self.task = TASKS[name]
        self.runtime = Runtime()
        base = {"base_url": base_url} if base_url else {}
        self.engine = engine_settings({**base, "api_key": "hf_" + "x" * 34, "allowed_hosts": ["127.0.0.1"]}, environ={})
        columns = {
            one.argument: f"in{place}"
            for place, one in enumerate(self.task.inputs)
            if one.required and one.kind.name != "record"
        }
        place = {"endpoint": endpoint} if endpoint else {"model_name": f"sandbox/{name}"}
        self.model = model_settings(
            {"task": name, **self.task.example.using, **columns, "max_retries": 2, **place, **using},
            self.engine, hub=lambda *_: None,
        )  # fmt: skip

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        retry = RetryPolicy(self.model.execution.max_retries, base=0.01, cap=0.05)
        return Prediction(self.model, self.engine, CALLER, self.runtime, NoCache(), retry).run(frame)

    def example(self, times: int = 1) -> pd.DataFrame:
        rows = self.task.example.rows * times
        if self.task.inputs[0].kind.name == "record":
            return pd.DataFrame([dict(row[0]) for row in rows])
        cells = [[cell.data if isinstance(cell, Media) else cell for cell in row] for row in rows]
        return pd.DataFrame(cells, columns=[f"in{place}" for place in range(len(rows[0]))], dtype=object)


def probes(sandbox: Sandbox) -> int:
    return sum(1 for record in sandbox.requests if record.method == "GET")


def texts(count: int, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"in0": [f"text {number} is {'good' if number % 3 else 'bad'}" for number in range(count)]})


# --- the whole predictor -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_each_kind_of_server_gives_each_row_its_own_answer(sandbox: Sandbox, kind: Protocol, name: str) -> None:
    predictor = Predictor(name, endpoint=sandbox.endpoint(kind.name, f"sandbox/{name}"))
    frame = predictor.example()
    result = predictor.predict(frame)
    assert list(result.index) == list(frame.index)
    expected = Predictor(name, base_url=sandbox.url).predict(frame)
    same = [column for column in expected if (kind, column) not in {(TGI, "y_explain")}]
    if name in ("text-generation", "chat-completion"):
        same = ["y"]  # servers differ in what they say beside the text
    pd.testing.assert_frame_equal(result[same], expected[same])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in PAIRS if kind is not TOOLKIT])
def test_a_server_is_recognised_once(sandbox: Sandbox, kind: Protocol, name: str) -> None:
    predictor = Predictor(name, endpoint=sandbox.endpoint(kind.name, f"sandbox/{name}"))
    for _ in range(3):
        predictor.predict(predictor.example(2))
    assert 1 <= probes(sandbox) <= 2
    findings = next(held for held in predictor.runtime._shared.values() if isinstance(held, Findings))
    found = findings.get(lambda: pytest.fail("asked again"))
    assert (found.protocol, found.model) == (kind, f"sandbox/{name}")


def test_tasks_that_all_servers_do_alike_ask_nothing(sandbox: Sandbox) -> None:
    predictor = Predictor("image-classification", endpoint=sandbox.endpoint("toolkit", "sandbox/image-classification"))
    predictor.predict(predictor.example())
    Predictor("text-classification", base_url=sandbox.url).predict(texts(3))
    assert probes(sandbox) == 0


def sent_as_one(predictor: Predictor, rows: list[tuple[Any, ...]]) -> list[Any]:
    """What rows get that travel in one request."""
    transport = predictor.runtime.transport(UrlPolicy((), ("127.0.0.1",)))
    client = InferenceAPI(transport, token=None, endpoint=predictor.model.endpoint, model=None)
    endpoint = Endpoint(client, predictor.task, Findings(), 10)
    columns = [None] * len(predictor.task.inputs)
    sender = RequestExecutor(predictor.task, predictor.model.arguments(), transport, (), endpoint, columns)
    items = [Item(place, str(place), row) for place, row in enumerate(rows)]
    return [answer.value for answer in sender(items, 10).answers]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["tei", "openai", "toolkit"])
def test_texts_in_a_list_are_no_pair(sandbox: Sandbox, count: int, kind: str) -> None:
    predictor = Predictor("text-classification", endpoint=sandbox.endpoint(kind, "sandbox/text-classification"))
    rows: list[tuple[Any, ...]] = [("awful, bad, terrible",), ("good, great, lovely",), ("bad",)]
    assert sent_as_one(predictor, rows[:count]) == ["NEGATIVE", "POSITIVE", "NEGATIVE"][:count]
    assert [record.items for record in sandbox.requests if record.is_inference] == [count]


@pytest.mark.parametrize(("name", "kind"), [("feature-extraction", "tei"), ("text-classification", "tei")])
def test_no_list_is_longer_than_the_server_says(sandbox: Sandbox, name: str, kind: str) -> None:
    sandbox.faults = {"max_items": 32, "latency": 0.05}
    predictor = Predictor(
        name, endpoint=sandbox.endpoint(kind, f"sandbox/{name}"), max_batch_size=100, max_concurrency=1
    )
    frame = texts(200)
    result = predictor.predict(frame)
    lists = [record for record in sandbox.requests if record.is_inference]
    assert {record.status for record in lists} == {200}
    assert max(record.items for record in lists) == 32
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Predictor(name, base_url=sandbox.url).predict(frame))


def test_a_long_list_that_is_refused_is_cut(sandbox: Sandbox) -> None:
    sandbox.faults = {"max_items": 5, "latency": 0.05}  # fewer than the server says
    predictor = Predictor(
        "feature-extraction", endpoint=sandbox.endpoint("tei", "sandbox/feature-extraction"), max_concurrency=1
    )
    result = predictor.predict(texts(90))
    assert any(record.status == 422 for record in sandbox.requests)
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Predictor("feature-extraction", base_url=sandbox.url).predict(texts(90)))


def test_routes_that_the_url_names_are_asked_as_they_stand(sandbox: Sandbox) -> None:
    at = sandbox.endpoint("openai", "sandbox/feature-extraction")
    predictor = Predictor("feature-extraction", endpoint=f"{at}/v1/embeddings", model_name="mine", max_concurrency=1)
    predictor.predict(texts(3))
    assert probes(sandbox) == 0
    assert {record.path for record in sandbox.requests} == {f"{at.removeprefix(sandbox.hub_url)}/v1/embeddings"}


def test_a_server_that_cannot_be_asked_is_still_used(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ModelLoading("starting", status=503)

    monkeypatch.setattr(InferenceAPI, "look", broken)
    predictor = Predictor("text-classification", endpoint=sandbox.endpoint("toolkit", "sandbox/text-classification"))
    assert list(predictor.predict(texts(4))["y"]) == list(
        Predictor("text-classification", base_url=sandbox.url).predict(texts(4))["y"]
    )


def test_a_server_that_starts_in_the_middle_of_a_query_is_recognised(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detect, "AGAIN", 0.0)
    looked: list[str] = []
    look = InferenceAPI.look

    def waking(self: InferenceAPI, url: str, **how: Any) -> Any:
        looked.append(url)
        if len(looked) < 3:
            raise ModelLoading("starting", status=503)
        return look(self, url, **how)

    monkeypatch.setattr(InferenceAPI, "look", waking)
    sandbox.faults = {"rules": [{"kind": "status", "status": 503, "next": 1}]}
    predictor = Predictor("text-ranking", endpoint=sandbox.endpoint("tei", "sandbox/text-ranking"))
    result = predictor.predict(predictor.example())
    last = sandbox.requests[-1]
    assert last.path.endswith("/rerank")
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Predictor("text-ranking", base_url=sandbox.url).predict(predictor.example()))


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (
            400,
            {"error": "Bad Request: The endpoint is paused, ask a maintainer to restart it"},
            "endpoint_gone",
            "paused",
        ),
        (503, {"error": "503 Service Unavailable: scaled to zero"}, "model_loading", "starting"),
    ],
)
def test_sleeping_and_paused_endpoints_are_explained(
    sandbox: Sandbox, status: int, body: Any, code: str, says: str
) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": status, "body": body}]}
    at = sandbox.endpoint("toolkit", "sandbox/text-classification")
    with pytest.raises(HuggingFaceError, match=says) as raised:
        Predictor("text-classification", endpoint=at).predict(texts(2))
    assert raised.value.code == code
    assert raised.value.advice


# --- what refusals teach ----------------------------------------------------------------------


def served(predictor: Predictor, cells: list[Any]) -> pd.DataFrame:
    return predictor.predict(pd.DataFrame({"in0": cells}, dtype=object))


def posts(server: Loopback) -> list[Heard]:
    return [heard for heard in server.heard if heard.method == "POST"]


@pytest.mark.parametrize("max_retries", [0, 2])
def test_the_servers_blank_is_learned_from_its_refusal(max_retries: int) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        texts = heard.json().get("inputs") if heard.method == "POST" else []
        texts = texts if isinstance(texts, list) else [texts]
        if heard.method != "POST":
            answer("Not Found", 404, "text/plain")(heard, sock)
        elif any("<mask>" not in text for text in texts):
            answer({"error": "No mask_token (<mask>) found on the input"}, 400)(heard, sock)
        else:
            filled = [[{"sequence": one.replace("<mask>", "big"), "score": 0.9, "token_str": "big"}] for one in texts]
            answer(filled if len(texts) > 1 else filled[0])(heard, sock)

    with Loopback(speak) as server:
        predictor = Predictor("fill-mask", endpoint=server.url, max_concurrency=1, max_retries=max_retries)
        cells = [f"a [MASK] town {number}" for number in range(6)]
        assert list(served(predictor, cells)["y"]) == [f"a big town {number}" for number in range(6)]
        refused = [heard for heard in posts(server) if "[MASK]" in heard.body.decode()]
        assert len(refused) == 1


def test_a_medium_that_is_refused_as_bytes_is_sent_as_text_from_then_on() -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.headers["content-type"] == "application/json":
            answer([{"label": "cat", "score": 0.9}])(heard, sock)
        else:
            answer({"error": 'Content type "image/png" not supported. Supported content types are: …'}, 400)(
                heard, sock
            )

    with Loopback(speak) as server:
        predictor = Predictor("image-classification", endpoint=server.url, max_concurrency=1)
        cells = [samples.png(bytes([number])).data for number in range(4)]
        assert list(served(predictor, cells)["y"]) == ["cat"] * 4
        assert [heard.headers["content-type"] for heard in posts(server)] == ["image/png", *["application/json"] * 4]
        assert base64.b64decode(posts(server)[1].json()["inputs"]) == cells[0]


def test_a_model_that_writes_apart_is_not_sent_what_nobody_wrote() -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.method != "POST":
            answer("Not Found", 404, "text/plain")(heard, sock)
        elif "return_full_text" in heard.body.decode():
            said = "The following `model_kwargs` are not used by the model: ['return_full_text']"
            answer({"error": said}, 400)(heard, sock)
        else:
            texts = heard.json()["inputs"]
            answer([{"generated_text": "salut"}] * (len(texts) if isinstance(texts, list) else 1))(heard, sock)

    with Loopback(speak) as server:
        predictor = Predictor("text-generation", endpoint=server.url, max_concurrency=1)
        assert list(served(predictor, ["a", "b", "c"])["y"]) == ["salut"] * 3
        assert sum("return_full_text" in heard.body.decode() for heard in posts(server)) == 1
        with pytest.raises(HuggingFaceError, match="return_full_text"):  # now it is the user's own
            Predictor("text-generation", endpoint=server.url, return_full_text=True).predict(texts(1))


@pytest.mark.parametrize("lists_models", [False, True])
def test_labels_of_vllm_are_at_a_route_of_its_own(lists_models: bool) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.target == "/v1/models" and lists_models:
            answer({"data": [{"id": "org/m", "owned_by": "vllm"}]})(heard, sock)
        elif heard.target == "/classify" and heard.method == "POST":
            rows = [{"index": at, "label": text.upper(), "probs": [0.9, 0.1] if text == "a" else [0.1, 0.9],
                     "num_classes": 2} for at, text in enumerate(heard.json()["input"])]  # fmt: skip
            answer({"data": rows})(heard, sock)
        else:
            answer({"detail": "Not Found"}, 404)(heard, sock)

    with Loopback(speak) as server:
        predictor = Predictor("text-classification", endpoint=f"{server.url}/v1", model_name="org/m")
        assert list(served(predictor, ["a", "b"] * 10)["y"]) == ["A", "B"] * 10
        refused = [heard.target for heard in posts(server) if heard.target != "/classify"]
        assert refused == ([] if lists_models else ["/v1/classify"])


def test_a_request_that_taught_something_is_counted() -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        taught = heard.method == "POST" and heard.headers["content-type"] == "application/json"
        answer([{"label": "cat", "score": 0.9}] if taught else {"error": "content type"}, 200 if taught else 415)(
            heard, sock
        )

    with Loopback(speak) as server:
        predictor = Predictor(
            "image-classification", endpoint=server.url, max_requests=3, max_concurrency=1, on_error="null",
            include_meta=True,
        )  # fmt: skip
        cells = [samples.png(bytes([number])).data for number in range(4)]
        found = served(predictor, cells)
        assert len(posts(server)) == 3
        assert list(found["y"]) == ["cat", "cat", None, None]
        assert list(found["y_error_type"])[2:] == ["budget_exceeded"] * 2
        assert [json.loads(one)["attempts"] for one in found["y_meta"]] == [2, 1, 0, 0]


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "at", "asked"),
    [
        ("chat-completion", "/v1?api-version=1", "/v1/chat/completions?api-version=1"),
        ("chat-completion", "/v1/?api-version=1", "/v1/chat/completions?api-version=1"),
        ("chat-completion", "/v1/chat/completions?x=1", "/v1/chat/completions?x=1"),
        ("feature-extraction", "/v1?api-version=1", "/v1/embeddings?api-version=1"),
        ("text-classification", "/predict?x=1", "/predict?x=1"),
    ],
)
def test_the_query_of_an_endpoint_stays_behind_its_route(name: str, at: str, asked: str) -> None:
    with Loopback(answer({"error": "no"}, 400)) as server:
        predictor = Predictor(name, endpoint=f"{server.url}{at}", model_name="m", max_retries=0, on_error="null")
        predictor.predict(predictor.example().head(1))
        assert {heard.target for heard in posts(server)} == {asked}
        assert all("?" in heard.target for heard in server.heard)


def test_a_server_that_describes_openais_routes_is_recognised() -> None:
    described = {"openapi.json": {"paths": {"/v1/embeddings": {"post": {}}}}}

    def ask(url: str) -> Any:
        return described.get(url.removeprefix("http://host/"))

    assert find("http://host", ask) == Server(OPENAI, "/v1")


def test_a_url_that_takes_no_post_may_lack_its_v1() -> None:
    with Loopback(answer({"detail": "Method Not Allowed"}, 405)) as server, pytest.raises(HuggingFaceError) as caught:
        Predictor("feature-extraction", endpoint=server.url, model_name="m").predict(texts(1))
    assert f"write endpoint = '{server.url}/v1'" in str(caught.value)


def test_a_transcription_is_sent_as_a_form() -> None:
    with Loopback(answer({"text": "hello"})) as server:
        predictor = Predictor("automatic-speech-recognition", endpoint=f"{server.url}/v1/audio/transcriptions",
                        model_name="whisper-1")  # fmt: skip
        tone = samples.tone(b"x").data
        assert list(served(predictor, [tone])["y"]) == ["hello"]
        (heard,) = posts(server)
    raw = b"Content-Type: " + heard.headers["content-type"].encode() + b"\r\n\r\n" + heard.body
    parts = {str(part.get_param("name", header="content-disposition")): part
             for part in email.message_from_bytes(raw, policy=email.policy.HTTP).iter_parts()}  # type: ignore[attr-defined]  # fmt: skip
    assert parts["model"].get_content().strip() == "whisper-1"
    assert parts["response_format"].get_content().strip() == "json"
    assert parts["file"].get_content_type() in ("audio/wav", "audio/x-wav")
    assert parts["file"].get_payload(decode=True) == tone


# --- recognising ----------------------------------------------------------------------------------

TEI_INFO = {"model_id": "org/m", "model_type": {"reranker": {}}, "max_client_batch_size": 8, "max_batch_tokens": 16384}
TGI_INFO = {"model_id": "org/m", "max_total_tokens": 2048, "max_client_batch_size": 4}
MODELS = {"object": "list", "data": [{"id": "org/m"}]}


def answering(**paths: Any) -> Callable[[str], Any]:
    """A server that answers paths (with ``__`` for ``/``) and knows no others."""
    known = {f"http://host/{name.replace('__', '/')}": answer for name, answer in paths.items()}

    def ask(url: str) -> Any:
        answer = known.get(url)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


@pytest.mark.parametrize(
    ("said", "server"),
    [
        ({"info": TEI_INFO}, Server(TEI, model="org/m", max_batch_size=8)),
        ({"info": {**TEI_INFO, "max_client_batch_size": "many"}}, Server(TEI, model="org/m")),
        ({"info": TGI_INFO}, Server(TGI, model="org/m")),
        ({"info": TGI_INFO, "v1__models": MODELS}, Server(TGI, model="org/m")),
        ({"v1__models": MODELS}, Server(OPENAI, "/v1", "org/m")),
        ({"models": MODELS}, Server(OPENAI, "", "org/m")),
        ({"v1__models": {"data": [{"id": "a"}, {"id": "b"}]}}, Server(OPENAI, "/v1")),
        ({"v1__models": {"data": [{"id": "org/m", "owned_by": "vllm"}]}}, Server(vllm.PROTOCOL, "/v1", "org/m")),
        (
            {"v1__models": {"data": [{"id": "m.gguf", "owned_by": "llamacpp"}]}},
            Server(llama_cpp.PROTOCOL, "/v1", "m.gguf"),
        ),
        ({"v1__models": Unavailable("failed", status=500)}, Server(OPENAI, "/v1")),
        ({"info": {"version": "1"}, "v1__models": []}, Server(TOOLKIT)),
        ({"info": ["?"], "models": {"data": "none"}}, Server(TOOLKIT)),
        ({"info": Unavailable("failed", status=500)}, Server(TOOLKIT)),
        ({}, Server(TOOLKIT)),
    ],
)
def test_servers_are_told_by_what_they_say(said: dict[str, Any], server: Server) -> None:
    assert find("http://host", answering(**said)) == server
    assert find("http://host/", answering(**said)) == server


def test_a_starting_server_tells_nothing() -> None:
    with pytest.raises(HuggingFaceError):
        find("http://host", answering(info=ModelLoading("starting", status=503)))


@pytest.mark.parametrize(
    ("endpoint", "root", "route", "kind"),
    [
        ("https://h", "https://h", "", None),
        ("https://h/", "https://h", "", None),
        ("https://h/v1", "https://h", "/v1", OPENAI),
        ("https://h/v1/embeddings", "https://h", "/v1/embeddings", OPENAI),
        ("https://h/embeddings", "https://h", "/embeddings", OPENAI),
        ("https://h/api/v1/chat/completions", "https://h/api", "/v1/chat/completions", OPENAI),
        ("https://h/embed", "https://h", "/embed", None),
        ("https://h/mine", "https://h/mine", "", None),
    ],
)
def test_urls_are_read(endpoint: str, root: str, route: str, kind: Protocol | None) -> None:
    assert split_route(endpoint) == (root, route)
    found_server = by_url(endpoint)
    assert (found_server and found_server.protocol) == kind


def test_a_task_is_asked_at_the_servers_own_route() -> None:
    ranking, summary = TASKS["text-ranking"], TASKS["summarization"]
    assert url_of("https://h/", ranking, Server(TEI)) == "https://h/rerank"
    assert url_of("https://h", ranking, Server(OPENAI, "/v1")) == "https://h/v1/rerank"
    assert url_of("https://h/v1", ranking, Server(OPENAI, "/v1")) == "https://h/v1/rerank"
    assert url_of("https://h", ranking, Server(OPENAI)) == "https://h/rerank"
    assert url_of("https://h", ranking, Server(TOOLKIT)) == "https://h"
    assert url_of("https://h/predict", ranking, Server(TEI)) == "https://h/predict"
    assert url_of("https://h/x", summary, Server(TEI)) == "https://h/x"


# --- what is kept ---------------------------------------------------------------------------------


def test_findings_last_and_are_then_looked_for_again() -> None:
    now = [0.0]
    findings = Findings(lambda: now[0])
    answers: Iterator[Server] = iter(
        [
            Server(TOOLKIT, has_answered=False),
            Server(TOOLKIT, has_answered=False),
            Server(TEI),
            Server(TOOLKIT, has_answered=False),
        ]
    )
    assert findings.get(lambda: next(answers)).protocol is TOOLKIT
    now[0] += detect.AGAIN + 0.1
    findings.get(lambda: next(answers))
    now[0] += detect.AGAIN + 0.1  # asked less and less often
    findings.get(lambda: pytest.fail("asked too soon"))
    now[0] += detect.AGAIN
    assert findings.get(lambda: next(answers)).protocol is TEI
    now[0] += detect.LASTS - 1
    assert findings.get(lambda: pytest.fail("asked too soon")).protocol is TEI
    now[0] += 2
    assert findings.get(lambda: next(answers)).protocol is TEI  # what was found outlives a silence


def test_many_lanes_ask_once() -> None:
    findings = Findings()
    asked: list[int] = []
    gate = threading.Event()

    def slow() -> Server:
        asked.append(1)
        gate.wait(5)
        return Server(TGI)

    threads = [threading.Thread(target=findings.get, args=(slow,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(5)
    assert asked == [1]


# --- requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "timeout", "held"),
    [
        ("https://x1.us-east-1.aws.endpoints.huggingface.cloud", 60, "55"),
        ("https://x1.us-east-1.aws.endpoints.huggingface.cloud", 4, None),
        ("https://example.com", 60, None),
        (None, 60, None),
    ],
)
def test_a_sleeping_endpoint_is_asked_to_hold_the_request(
    endpoint: str | None, timeout: float, held: str | None
) -> None:
    sent: list[Any] = []

    class Kept(Transport):
        def send(self, request: Request) -> Any:
            sent.append(request.headers.get("X-Scale-Up-Timeout"))
            raise ConnectionFailed("enough")

    transport = Kept(UrlPolicy(base_urls=(), allowed_hosts=()))
    client = InferenceAPI(transport, token=None, endpoint=endpoint, model="org/m", timeout=timeout)
    with pytest.raises(ConnectionFailed):
        client.ask(TASKS["summarization"], Call("x"), timeout=1)
    assert sent == [held]
    assert client.wakes == (held is not None)


def test_what_no_server_calls_its_own_is_not_named(sandbox: Sandbox) -> None:
    sent: list[Any] = []

    class Kept(Transport):
        def send(self, request: Request) -> Any:
            sent.append(json.loads(request.body or b""))
            raise ConnectionFailed("enough")

    client = InferenceAPI(
        Kept(UrlPolicy(base_urls=(), allowed_hosts=())), token=None, endpoint="http://host", model=None
    )
    task = TASKS["chat-completion"]
    call = OPENAI.encode(task, [("hi", None)], Arguments())
    for name in (None, "", "theirs"):
        with pytest.raises(ConnectionFailed):
            client.ask(task, call, timeout=1, model=name)
    assert [body.get("model") for body in sent] == ["tgi", None, "theirs"]


def test_a_schema_is_put_as_each_server_wants_it() -> None:
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    row, task = [("hi", None)], TASKS["chat-completion"]
    here = TGI.encode(task, row, Arguments(parameters={"response_format": wanted}))
    there = OPENAI.encode(task, row, Arguments(parameters={"response_format": wanted}))
    assert here.root["response_format"] == {"type": "json_object", "value": schema}
    assert there.root["response_format"] == wanted


def test_no_request_waits_for_the_first_until_it_has_no_time_left() -> None:
    """It would be sent all the same, and billed, and nobody would wait for its answer."""
    sent: list[float] = []
    everyone = threading.Event()

    class Hanging:
        endpoint, provider, model = None, "auto", "org/name"

        def ask(self, *_: Any, timeout: float, **__: Any) -> Any:
            sent.append(timeout)
            if len(sent) == 4:
                everyone.set()
            raise ServiceTimeout("late") if everyone.wait(30) else AssertionError("the others waited")

    client: Any = Hanging()
    endpoint = Endpoint(client, TASKS["chat-completion"], Findings(), 1.0)
    typed = Arguments({"output_schema": {"a": {"type": "text"}}})
    found: list[type[BaseException]] = []

    def ask() -> None:
        try:
            endpoint.ask([("hello", None)], typed, 1.0)
        except BaseException as error:
            found.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [ServiceTimeout] * 4
