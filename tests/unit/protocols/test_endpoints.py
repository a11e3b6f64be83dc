"""Servers of one model: recognised by what they answer, asked in their own way, right value on the right row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.cache import NoCache
from huggingface_api_handler.errors import ConnectionFailed, HuggingFaceError, ModelLoading, Unavailable
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols import detect as dialects
from huggingface_api_handler.protocols.detect import Endpoint, Findings, Server, by_url, find, split_route, url_of
from huggingface_api_handler.protocols.hf_inference import InferenceAPI
from huggingface_api_handler.query.execution import RequestExecutor
from huggingface_api_handler.query.pipeline import Caller, Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments, Dialect, Media

CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")

#: What is served by which kind of server.
SERVED: dict[Dialect, tuple[str, ...]] = {
    Dialect.TEI: ("feature-extraction", "text-classification", "text-ranking", "sentence-similarity"),
    Dialect.TGI: ("text-generation", "chat-completion"),
    Dialect.OPENAI: (
        "feature-extraction", "text-generation", "chat-completion", "text-ranking", "text-classification",
    ),
    Dialect.TOOLKIT: tuple(name for name, task in TASKS.items() if not task.chat),
}  # fmt: skip
PAIRS = [(kind, name) for kind, names in SERVED.items() for name in names]


class Street:
    """Frames of a task's example, predicted at one server."""

    def __init__(self, name: str, *, endpoint: str | None = None, base_url: str | None = None, **using: Any) -> None:
        self.task = TASKS[name]
        self.runtime = Runtime()
        base = {"base_url": base_url} if base_url else {}
        self.engine = engine_settings({**base, "api_key": "hf_" + "x" * 34, "allowed_hosts": ["127.0.0.1"]}, environ={})
        columns = {
            one.argument: f"in{place}"
            for place, one in enumerate(self.task.inputs)
            if one.required and one.kind.value != "record"
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
        if self.task.inputs[0].kind.value == "record":
            return pd.DataFrame([dict(row[0]) for row in rows])
        cells = [[cell.data if isinstance(cell, Media) else cell for cell in row] for row in rows]
        return pd.DataFrame(cells, columns=[f"in{place}" for place in range(len(rows[0]))], dtype=object)


def probes(sandbox: Sandbox) -> int:
    return sum(1 for record in sandbox.requests if record.method == "GET")


def texts(count: int, **more: Any) -> pd.DataFrame:
    return pd.DataFrame({"in0": [f"text {number} is {'good' if number % 3 else 'bad'}" for number in range(count)]})


# --- the whole street -----------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_each_kind_of_server_gives_each_row_its_own_answer(sandbox: Sandbox, kind: Dialect, name: str) -> None:
    street = Street(name, endpoint=sandbox.endpoint(kind.value, f"sandbox/{name}"))
    frame = street.example()
    result = street.predict(frame)
    assert list(result.index) == list(frame.index)
    expected = Street(name, base_url=sandbox.url).predict(frame)
    same = [column for column in expected if (kind, column) not in {(Dialect.TGI, "y_explain")}]
    if name in ("text-generation", "chat-completion"):
        same = ["y"]  # servers differ in what they say beside the text
    pd.testing.assert_frame_equal(result[same], expected[same])


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in PAIRS if kind is not Dialect.TOOLKIT])
def test_a_server_is_recognised_once(sandbox: Sandbox, kind: Dialect, name: str) -> None:
    street = Street(name, endpoint=sandbox.endpoint(kind.value, f"sandbox/{name}"))
    for _ in range(3):
        street.predict(street.example(2))
    assert 1 <= probes(sandbox) <= 2
    findings = next(held for held in street.runtime._held.values() if isinstance(held, Findings))
    found = findings.get(lambda: pytest.fail("asked again"))
    assert (found.dialect, found.model) == (kind, f"sandbox/{name}")


def test_tasks_that_all_servers_do_alike_ask_nothing(sandbox: Sandbox) -> None:
    street = Street("image-classification", endpoint=sandbox.endpoint("toolkit", "sandbox/image-classification"))
    street.predict(street.example())
    Street("text-classification", base_url=sandbox.url).predict(texts(3))
    assert probes(sandbox) == 0


def sent_as_one(street: Street, rows: list[tuple[Any, ...]]) -> list[Any]:
    """What rows get that travel in one request."""
    transport = street.runtime.transport(UrlPolicy((), ("127.0.0.1",)))
    client = InferenceAPI(transport, token=None, base_url=None, endpoint=street.model.endpoint, model=None)
    endpoint = Endpoint(client, street.task, Findings(), 10)
    sender = RequestExecutor(street.task, street.model.arguments(), client, transport, (), endpoint)
    items = [Item(place, str(place), row) for place, row in enumerate(rows)]
    return [answer.value for answer in sender(items, 10).answers]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["tei", "openai", "toolkit"])
def test_texts_in_a_list_are_no_pair(sandbox: Sandbox, count: int, kind: str) -> None:
    street = Street("text-classification", endpoint=sandbox.endpoint(kind, "sandbox/text-classification"))
    rows: list[tuple[Any, ...]] = [("awful, bad, terrible",), ("good, great, lovely",), ("bad",)]
    assert sent_as_one(street, rows[:count]) == ["NEGATIVE", "POSITIVE", "NEGATIVE"][:count]
    assert [record.items for record in sandbox.requests if record.is_inference] == [count]


@pytest.mark.parametrize(("name", "kind"), [("feature-extraction", "tei"), ("text-classification", "tei")])
def test_no_list_is_longer_than_the_server_says(sandbox: Sandbox, name: str, kind: str) -> None:
    sandbox.faults = {"max_items": 32, "latency": 0.05}
    street = Street(name, endpoint=sandbox.endpoint(kind, f"sandbox/{name}"), max_batch_size=100, max_concurrency=1)
    frame = texts(200)
    result = street.predict(frame)
    lists = [record for record in sandbox.requests if record.is_inference]
    assert {record.status for record in lists} == {200}
    assert max(record.items for record in lists) == 32
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Street(name, base_url=sandbox.url).predict(frame))


def test_a_long_list_that_is_refused_is_cut(sandbox: Sandbox) -> None:
    sandbox.faults = {"max_items": 5, "latency": 0.05}  # fewer than the server says
    street = Street(
        "feature-extraction", endpoint=sandbox.endpoint("tei", "sandbox/feature-extraction"), max_concurrency=1
    )
    result = street.predict(texts(90))
    assert any(record.status == 422 for record in sandbox.requests)
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Street("feature-extraction", base_url=sandbox.url).predict(texts(90)))


def test_routes_that_the_url_names_are_asked_as_they_stand(sandbox: Sandbox) -> None:
    at = sandbox.endpoint("openai", "sandbox/feature-extraction")
    street = Street("feature-extraction", endpoint=f"{at}/v1/embeddings", model_name="mine", max_concurrency=1)
    street.predict(texts(3))
    assert probes(sandbox) == 0
    assert {record.path for record in sandbox.requests} == {f"{at.removeprefix(sandbox.hub_url)}/v1/embeddings"}


def test_a_server_that_cannot_be_asked_is_still_used(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ModelLoading("starting", status=503)

    monkeypatch.setattr(InferenceAPI, "look", broken)
    street = Street("text-classification", endpoint=sandbox.endpoint("toolkit", "sandbox/text-classification"))
    assert list(street.predict(texts(4))["y"]) == list(
        Street("text-classification", base_url=sandbox.url).predict(texts(4))["y"]
    )


def test_a_server_that_starts_in_the_middle_of_a_query_is_recognised(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "AGAIN", 0.0)
    looked: list[str] = []
    look = InferenceAPI.look

    def waking(self: InferenceAPI, url: str, **how: Any) -> Any:
        looked.append(url)
        if len(looked) < 3:
            raise ModelLoading("starting", status=503)
        return look(self, url, **how)

    monkeypatch.setattr(InferenceAPI, "look", waking)
    sandbox.faults = {"rules": [{"kind": "status", "status": 503, "next": 1}]}
    street = Street("text-ranking", endpoint=sandbox.endpoint("tei", "sandbox/text-ranking"))
    result = street.predict(street.example())
    last = sandbox.requests[-1]
    assert last.path.endswith("/rerank")
    sandbox.reset()
    pd.testing.assert_frame_equal(result, Street("text-ranking", base_url=sandbox.url).predict(street.example()))


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
        Street("text-classification", endpoint=at).predict(texts(2))
    assert raised.value.code == code
    assert raised.value.advice


# --- recognising ----------------------------------------------------------------------------------

TEI = {"model_id": "org/m", "model_type": {"reranker": {}}, "max_client_batch_size": 8, "max_batch_tokens": 16384}
TGI = {"model_id": "org/m", "max_total_tokens": 2048, "max_client_batch_size": 4}
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
        ({"info": TEI}, Server(Dialect.TEI, model="org/m", max_batch_size=8)),
        ({"info": {**TEI, "max_client_batch_size": "many"}}, Server(Dialect.TEI, model="org/m")),
        ({"info": TGI}, Server(Dialect.TGI, model="org/m")),
        ({"info": TGI, "v1__models": MODELS}, Server(Dialect.TGI, model="org/m")),
        ({"v1__models": MODELS}, Server(Dialect.OPENAI, "/v1", "org/m")),
        ({"models": MODELS}, Server(Dialect.OPENAI, "", "org/m")),
        ({"v1__models": {"data": [{"id": "a"}, {"id": "b"}]}}, Server(Dialect.OPENAI, "/v1")),
        ({"v1__models": Unavailable("failed", status=500)}, Server(Dialect.OPENAI, "/v1")),
        ({"info": {"version": "1"}, "v1__models": []}, Server(Dialect.TOOLKIT)),
        ({"info": ["?"], "models": {"data": "none"}}, Server(Dialect.TOOLKIT)),
        ({"info": Unavailable("failed", status=500)}, Server(Dialect.TOOLKIT)),
        ({}, Server(Dialect.TOOLKIT)),
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
        ("https://h/v1", "https://h", "/v1", Dialect.OPENAI),
        ("https://h/v1/embeddings", "https://h", "/v1/embeddings", Dialect.OPENAI),
        ("https://h/embeddings", "https://h", "/embeddings", Dialect.OPENAI),
        ("https://h/api/v1/chat/completions", "https://h/api", "/v1/chat/completions", Dialect.OPENAI),
        ("https://h/embed", "https://h", "/embed", None),
        ("https://h/mine", "https://h/mine", "", None),
    ],
)
def test_urls_are_read(endpoint: str, root: str, route: str, kind: Dialect | None) -> None:
    assert split_route(endpoint) == (root, route)
    told = by_url(endpoint)
    assert (told and told.dialect) == kind


def test_a_task_is_asked_at_the_servers_own_route() -> None:
    ranking, summary = TASKS["text-ranking"], TASKS["summarization"]
    assert url_of("https://h/", ranking, Server(Dialect.TEI)) == "https://h/rerank"
    assert url_of("https://h", ranking, Server(Dialect.OPENAI, "/v1")) == "https://h/v1/rerank"
    assert url_of("https://h/v1", ranking, Server(Dialect.OPENAI, "/v1")) == "https://h/v1/rerank"
    assert url_of("https://h", ranking, Server(Dialect.OPENAI)) == "https://h/rerank"
    assert url_of("https://h", ranking, Server(Dialect.TOOLKIT)) == "https://h"
    assert url_of("https://h/predict", ranking, Server(Dialect.TEI)) == "https://h/predict"
    assert url_of("https://h/x", summary, Server(Dialect.TEI)) == "https://h/x"


# --- what is kept ---------------------------------------------------------------------------------


def test_findings_last_and_are_then_looked_for_again() -> None:
    now = [0.0]
    findings = Findings(lambda: now[0])
    answers: Iterator[Server] = iter(
        [
            Server(Dialect.TOOLKIT, has_answered=False),
            Server(Dialect.TOOLKIT, has_answered=False),
            Server(Dialect.TEI),
            Server(Dialect.TOOLKIT, has_answered=False),
        ]
    )
    assert findings.get(lambda: next(answers)).dialect is Dialect.TOOLKIT
    now[0] += dialects.AGAIN + 0.1
    findings.get(lambda: next(answers))
    now[0] += dialects.AGAIN + 0.1  # asked less and less often
    findings.get(lambda: pytest.fail("asked too soon"))
    now[0] += dialects.AGAIN
    assert findings.get(lambda: next(answers)).dialect is Dialect.TEI
    now[0] += dialects.LASTS - 1
    assert findings.get(lambda: pytest.fail("asked too soon")).dialect is Dialect.TEI
    now[0] += 2
    assert findings.get(lambda: next(answers)).dialect is Dialect.TEI  # what was found outlives a silence


def test_many_lanes_ask_once() -> None:
    findings = Findings()
    asked: list[int] = []
    gate = threading.Event()

    def slow() -> Server:
        asked.append(1)
        gate.wait(5)
        return Server(Dialect.TGI)

    lanes = [threading.Thread(target=findings.get, args=(slow,)) for _ in range(8)]
    for lane in lanes:
        lane.start()
    gate.set()
    for lane in lanes:
        lane.join(5)
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
    transport = Transport(UrlPolicy(base_urls=(), allowed_hosts=()))
    client = InferenceAPI(transport, token=None, base_url=None, endpoint=endpoint, model="org/m", timeout=timeout)
    _, headers = client._route(TASKS["summarization"])
    assert headers.get("X-Scale-Up-Timeout") == held
    assert client.wakes == (held is not None)


def test_what_no_server_calls_its_own_is_not_named(sandbox: Sandbox) -> None:
    sent: list[Any] = []

    class Kept(Transport):
        def post(self, url: str, **how: Any) -> Any:
            sent.append(how["json"])
            raise ConnectionFailed("enough")

    client = InferenceAPI(
        Kept(UrlPolicy(base_urls=(), allowed_hosts=())), token=None, base_url=None, endpoint="http://host", model=None
    )
    task = TASKS["chat-completion"]
    call = task.encode([("hi", None)], Arguments())
    for name in (None, "", "theirs"):
        with pytest.raises(ConnectionFailed):
            client.ask(task, call, timeout=1, model=name)
    assert [body.get("model") for body in sent] == ["tgi", None, "theirs"]


def test_a_schema_is_put_as_each_server_wants_it() -> None:
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    encode = TASKS["chat-completion"].encode
    row = [("hi", None)]
    here = encode(row, Arguments(parameters={"response_format": wanted}, dialect=Dialect.TGI))
    there = encode(row, Arguments(parameters={"response_format": wanted}, dialect=Dialect.OPENAI))
    assert here.root["response_format"] == {"type": "json_object", "value": schema}
    assert there.root["response_format"] == wanted
