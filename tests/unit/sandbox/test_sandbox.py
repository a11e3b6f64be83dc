"""What the sandbox answers, asked over real HTTP: if it were wrong, every test that trusts it would be."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from huggingface_api_handler.arguments import engine_settings
from huggingface_api_handler.protocols import PROTOCOLS, hf_inference
from huggingface_api_handler.protocols.providers import offers
from huggingface_api_handler.sandbox import Sandbox, fingerprint
from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.sandbox.server_kinds import ServerKind
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Arguments, Batching, Kind, ModelFacts
from tests.unit.end_to_end import model, predict


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


class Asker:
    """Posts to models of one sandbox."""

    def __init__(self, sandbox: Sandbox, http: requests.Session) -> None:
        self.sandbox, self.http = sandbox, http

    def __call__(self, model: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        answer = self.http.post(f"{self.sandbox.url}/models/{model}", json=body, timeout=10, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer.text


@pytest.fixture
def ask(sandbox: Sandbox, http: requests.Session) -> Asker:
    return Asker(sandbox, http)


CLASSIFIER = "sandbox/text-classification"
GOOD, BAD = "I love it", "I hate it"


# --- every task ---


def test_every_task_has_a_fake_model() -> None:
    assert list(FAKE_MODELS) == list(TASKS)


def _arguments(name: str) -> Arguments:
    task = TASKS[name]
    return Arguments(values=dict(task.example.using), parameters={}, model=ModelFacts(id=f"sandbox/{name}"))


def _rows(name: str, count: int) -> list[tuple[Any, ...]]:
    """The task's example rows, made as long as the task has inputs."""
    task = TASKS[name]
    full = []
    for row in task.example.rows[:count]:
        values = iter(row)
        full.append(tuple(next(values, None) if one.required else None for one in task.inputs))
    return full


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_served_and_its_reader_reads_it(sandbox: Sandbox, http: requests.Session, name: str) -> None:
    task, arguments = TASKS[name], _arguments(name)
    rows = _rows(name, 1 if task.batching is Batching.ONE else 3)
    if task.batching is Batching.GROUP:
        rows = [row for row in rows if row[0] == rows[0][0]]
    call = hf_inference.PROTOCOL.encode(task, rows, arguments)
    model = f"sandbox/{name}"
    body: dict[str, Any] = dict(call.root)
    if call.parameters:
        body["parameters"] = dict(call.parameters)
    url = f"{sandbox.url}/models/{model}"
    if task.chat:
        url += "/v1/chat/completions"
    elif name in hf_inference.BY_PIPELINE:
        url += f"/pipeline/{name}"
    if call.media is not None and not body:
        answer = http.post(url, data=call.media.data, headers={"Content-Type": call.media.type}, timeout=10)
    else:
        if call.media is not None:
            body["inputs"] = base64.b64encode(call.media.data).decode()
        elif call.inputs is not None:
            body["inputs"] = call.inputs
        answer = http.post(url, json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    said = answer.json() if kind == "application/json" else Media(answer.content, kind)
    assert len(hf_inference.PROTOCOL.read(task, said, len(rows), arguments)) == len(rows)
    (record,) = sandbox.inference_requests()
    items = 1 if task.batching is Batching.TABLE else len(rows)
    assert (record.task, record.model, record.items) == (name, model, items)


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.default_model])
def test_every_default_model_is_known(sandbox: Sandbox, name: str) -> None:
    model = TASKS[name].default_for(TASKS[name].example.using)
    assert model is not None
    found = requests.get(f"{sandbox.hub_url}/api/models/{model}", timeout=10).json()
    assert found["id"] == model
    assert name in [found.get("pipeline_tag"), *found["tags"]]


# --- models that are not in the catalogue ---


def columns_of(task: str) -> dict[str, list[Any]]:
    """The example rows of a task, as columns named after its inputs."""
    required = [one for one in TASKS[task].inputs if one.required]
    columns = zip(required, zip(*TASKS[task].example.rows, strict=True), strict=True)
    return {one.argument: [cell.data if isinstance(cell, Media) else cell for cell in cells] for one, cells in columns}


@pytest.mark.parametrize(("model_name", "task"), [
    ("gpt2", "text-generation"), ("acme/thing", "text-classification"), ("acme/thing", "token-classification"),
    ("acme/thing", "question-answering"), ("acme/thing", "zero-shot-classification"), ("acme/thing", "fill-mask"),
    ("acme/thing", "chat-completion"), ("acme/thing", "feature-extraction"), ("acme/thing", "sentence-similarity"),
    ("acme/thing", "text-ranking"), ("acme/thing", "text-to-image"), ("acme/thing", "automatic-speech-recognition"),
    ("acme/thing", "zero-shot-image-classification"), ("acme/thing", "visual-question-answering"),
    ("acme/some-bart", "summarization"), ("acme/vit-tiny", "image-classification"), ("acme/yolo", "object-detection"),
])  # fmt: skip
def test_any_model_answers_the_task_that_is_asked_of_it(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str, model_name: str, task: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", sandbox.hub_url)
    at = engine_settings({"base_url": sandbox.url, "api_key": token}, environ={})
    cells = columns_of(task)
    using = {**TASKS[task].example.using, **{name: name for name in cells}}
    expected = predict(at, model(at, task=task, model_name=f"sandbox/{task}", **using), cells)
    found = predict(at, model(at, task=task, model_name=model_name, **using), cells)
    assert found["y_error"].tolist() == [None] * len(found)
    assert found["y"].tolist() == expected["y"].tolist()


def test_the_hub_has_any_model_without_knowing_its_task(sandbox: Sandbox, http: requests.Session) -> None:
    found = http.get(f"{sandbox.hub_url}/api/models/acme/thing", timeout=10).json()
    assert found["id"] == "acme/thing"
    assert "pipeline_tag" not in found
    assert http.get(f"{sandbox.hub_url}/api/models/acme/th%20ing", timeout=10).status_code == 401


def test_the_sandbox_says_so_if_nothing_tells_the_task(ask: Asker) -> None:
    said = ask("acme/thing", {"inputs": "some text"}, status=404)["error"]
    assert said.startswith("This is the sandbox, which has no model acme/thing")
    assert "sandbox/" in said


# --- shapes of lists ---


def _labels(answer: Any) -> Any:
    return [[one["label"] for one in inner] if isinstance(inner, list) else inner["label"] for inner in answer]


def test_a_list_of_texts_without_top_k_is_answered_in_one_inner_list(ask: Asker) -> None:
    assert _labels(ask(CLASSIFIER, {"inputs": [GOOD, BAD, GOOD]})) == [["POSITIVE", "NEGATIVE", "POSITIVE"]]


def test_a_list_of_texts_in_the_newer_shape(ask: Asker) -> None:
    ask.sandbox.faults = {"fused_lists": False}
    assert _labels(ask(CLASSIFIER, {"inputs": [GOOD, BAD]})) == [["POSITIVE"], ["NEGATIVE"]]


def test_a_list_of_texts_with_top_k(ask: Asker) -> None:
    found = ask(CLASSIFIER, {"inputs": [GOOD, BAD], "parameters": {"top_k": 2}})
    assert _labels(found) == [["POSITIVE", "NEGATIVE"], ["NEGATIVE", "POSITIVE"]]


def test_one_text(ask: Asker) -> None:
    assert _labels(ask(CLASSIFIER, {"inputs": GOOD})) == [["POSITIVE", "NEGATIVE"]]


def test_zero_shot_answers_lists_in_the_former_shape(ask: Asker) -> None:
    parameters = {"candidate_labels": ["food", "sports"]}
    one = ask("sandbox/zero-shot-classification", {"inputs": "the food", "parameters": parameters})
    assert one[0]["label"] == "food"
    many = ask("sandbox/zero-shot-classification", {"inputs": ["the food", "some sports"], "parameters": parameters})
    assert [inner["labels"][0] for inner in many] == ["food", "sports"]
    assert all(len(inner["scores"]) == 2 for inner in many)


def test_fill_mask_unwraps_a_list_of_one(ask: Asker) -> None:
    text = "A [MASK] day."
    assert ask("sandbox/fill-mask", {"inputs": [text]}) == ask("sandbox/fill-mask", {"inputs": text})
    assert len(ask("sandbox/fill-mask", {"inputs": [text, text]})) == 2


# --- endpoints of other servers ---


@pytest.mark.parametrize(
    ("dialect", "body", "shape"),
    [
        ("toolkit", {"inputs": GOOD}, ["POSITIVE"]),
        ("toolkit", {"inputs": GOOD, "parameters": {"top_k": 2}}, ["POSITIVE", "NEGATIVE"]),
        ("toolkit", {"inputs": [GOOD, BAD]}, ["POSITIVE", "NEGATIVE"]),
        ("toolkit", {"inputs": [GOOD], "parameters": {"top_k": 2}}, [["POSITIVE", "NEGATIVE"]]),
        ("tei", {"inputs": GOOD}, ["POSITIVE", "NEGATIVE"]),
        ("tei", {"inputs": [[GOOD], [BAD]]}, [["POSITIVE", "NEGATIVE"], ["NEGATIVE", "POSITIVE"]]),
    ],
)
def test_classification_at_other_servers(
    sandbox: Sandbox, http: requests.Session, dialect: str, body: Any, shape: Any
) -> None:
    answer = http.post(sandbox.endpoint(dialect, CLASSIFIER), json=body, timeout=10)
    assert _labels(answer.json()) == shape


def test_tei_takes_a_bare_list_for_a_pair(sandbox: Sandbox, http: requests.Session) -> None:
    url = sandbox.endpoint("tei", CLASSIFIER)
    assert len(_labels(http.post(url, json={"inputs": [GOOD, BAD]}, timeout=10).json())) == 2
    three = http.post(url, json={"inputs": [GOOD, BAD, GOOD]}, timeout=10)
    assert (three.status_code, three.headers["content-type"].partition(";")[0]) == (422, "text/plain")


def test_vectors_at_other_servers(sandbox: Sandbox, http: requests.Session) -> None:
    model = "sandbox/feature-extraction"

    def ask(url: str, body: Any) -> Any:
        return http.post(url, json=body, timeout=10).json()

    own = ask(f"{sandbox.url}/models/{model}/pipeline/feature-extraction", {"inputs": "hi"})
    assert isinstance(own[0], float)
    assert ask(sandbox.endpoint("tei", model) + "/embed", {"inputs": "hi"}) == [own]
    assert ask(sandbox.endpoint("toolkit", model), {"inputs": ["hi"]}) == {"embeddings": [own]}
    assert ask(sandbox.endpoint("openai", model) + "/v1/embeddings", {"input": ["hi"]})["data"][0]["embedding"] == own


def test_endpoints_say_what_they_are(sandbox: Sandbox, http: requests.Session) -> None:
    def status(dialect: str, route: str) -> int:
        return http.get(f"{sandbox.endpoint(dialect, CLASSIFIER)}{route}", timeout=10).status_code

    assert http.get(sandbox.endpoint("tei", CLASSIFIER) + "/info", timeout=10).json()["max_client_batch_size"] == 32
    assert [status("toolkit", "/health"), status("toolkit", "/info"), status("tgi", "/info")] == [200, 404, 200]


def test_chat_names_its_model_in_the_body(sandbox: Sandbox, http: requests.Session) -> None:
    body = {"model": "sandbox/chat-completion:fastest", "messages": [{"role": "user", "content": "good day"}]}
    for route in ("/v1/chat/completions", "/hf-inference/v1/chat/completions"):
        said = http.post(sandbox.hub_url + route, json=body, timeout=10).json()
        assert "good day" in said["choices"][0]["message"]["content"]
    assert {record.model for record in sandbox.inference_requests()} == {"sandbox/chat-completion"}


# --- what is refused ---


@pytest.mark.parametrize(
    ("inputs", "parameters", "model"),
    [
        ("", {}, CLASSIFIER),
        ([], {}, CLASSIFIER),
        (None, {}, CLASSIFIER),
        (7, {}, CLASSIFIER),
        (["good", ""], {}, CLASSIFIER),
        (["good", None], {}, CLASSIFIER),
        ("good", "top", CLASSIFIER),
        ("no blank", {}, "sandbox/fill-mask"),
        ("text", {}, "sandbox/zero-shot-classification"),
        ("text", {}, "sandbox/sentence-similarity"),
        ({"source_sentence": "a", "sentences": []}, {}, "sandbox/sentence-similarity"),
        ({"question": "Who?", "context": ""}, {}, "sandbox/question-answering"),
        ({"question": ["Who?"], "context": ["a", "b"]}, {}, "sandbox/question-answering"),
        ({"query": "?", "table": {"a": ["1", "2"], "b": ["1"]}}, {}, "sandbox/table-question-answering"),
        ({"query": "?", "table": {"a": [1]}}, {}, "sandbox/table-question-answering"),
        ("not base64!", {}, "sandbox/image-classification"),
        (["a", "b"], {}, "sandbox/text-to-image"),
    ],
)
def test_inputs_that_no_service_takes(ask: Asker, inputs: Any, parameters: Any, model: str) -> None:
    assert ask(model, {"inputs": inputs, "parameters": parameters}, status=400)["error"]
    assert ask.sandbox.sent() == 0


def test_a_list_that_is_too_long(ask: Asker) -> None:
    assert ask(CLASSIFIER, {"inputs": [GOOD] * 33}, status=422)["error_type"] == "Validation"
    ask(CLASSIFIER, {"inputs": [GOOD] * 32})
    ask.sandbox.faults = {"max_items": 2}
    ask(CLASSIFIER, {"inputs": [GOOD] * 3}, status=422)


def test_a_body_that_is_too_large(ask: Asker) -> None:
    ask.sandbox.faults = {"max_bytes": 100}
    assert "length limit" in ask(CLASSIFIER, {"inputs": "x" * 100}, status=413)


@pytest.mark.parametrize(
    "body", [b'{"inputs": NaN}', b'{"inputs": "x"', b"[]", b"\xff", b"", b'{"inputs":"x","stream":true}']
)
def test_bodies_that_are_not_what_they_say(ask: Asker, body: bytes) -> None:
    ask(CLASSIFIER, data=body, headers={"Content-Type": "application/json"}, status=400)


@pytest.mark.parametrize(
    ("dialect", "content_type", "status"),
    [
        (None, None, 400),
        (None, "text/plain", 400),
        (None, "image/png", 400),
        (None, "application/json; charset=utf-8", 200),
        ("toolkit", "application/json; charset=utf-8", 400),
        ("toolkit", None, 400),
        ("tei", None, 415),
        ("tei", "text/plain", 415),
        ("tei", "application/json; charset=utf-8", 200),
    ],
)
def test_content_types(
    sandbox: Sandbox, http: requests.Session, dialect: str | None, content_type: str | None, status: int
) -> None:
    url = sandbox.endpoint(dialect, CLASSIFIER) if dialect else f"{sandbox.url}/models/{CLASSIFIER}"
    headers = {"Content-Type": content_type} if content_type else {}
    assert http.post(url, data=b'{"inputs":"good"}', headers=headers, timeout=10).status_code == status


def test_raw_media(sandbox: Sandbox, http: requests.Session) -> None:
    image = TASKS["image-classification"].example.rows[0][0]
    url = f"{sandbox.url}/models/sandbox/image-classification"
    for kind, status in (("image/png", 200), ("application/octet-stream", 200), ("image/tga", 400)):
        assert http.post(url, data=image.data, headers={"Content-Type": kind}, timeout=10).status_code == status
    toolkit = sandbox.endpoint("toolkit", "sandbox/image-classification")
    refused = http.post(toolkit, data=image.data, headers={"Content-Type": "application/octet-stream"}, timeout=10)
    assert refused.status_code == 400


# --- who may ask for what ---


def _as(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_wrong_token_is_refused_everywhere(ask: Asker, bad_token: str) -> None:
    http, hub = ask.http, ask.sandbox.hub_url
    for wrong in (bad_token, "something"):
        ask(CLASSIFIER, {"inputs": GOOD}, status=401, headers=_as(wrong))
        for path in ("/api/whoami-v2", f"/api/models/{CLASSIFIER}"):
            assert http.get(hub + path, headers=_as(wrong), timeout=10).status_code == 401


def test_tokens_can_be_refused_while_it_runs(ask: Asker, token: str) -> None:
    ask(CLASSIFIER, {"inputs": GOOD}, headers=_as(token))
    ask.sandbox.refuse(token)
    ask(CLASSIFIER, {"inputs": GOOD}, headers=_as(token), status=401)
    ask.sandbox.reset()
    ask(CLASSIFIER, {"inputs": GOOD}, headers=_as(token))


def test_models_that_one_may_not_have(ask: Asker, token: str) -> None:
    assert ask("nobody/nothing", {"inputs": GOOD}, status=404) == "Not Found"
    assert ask("sandbox/not-deployed", {"inputs": GOOD}, status=404) == "Not Found"
    ask("sandbox/private", {"inputs": GOOD}, status=401)
    ask("sandbox/private", {"inputs": GOOD}, headers=_as(token))
    ask("sandbox/gated", {"inputs": GOOD}, status=403)
    assert ask(f"{CLASSIFIER}/pipeline/fill-mask", {"inputs": GOOD}, status=404) == "Not Found"
    ask("Helsinki-NLP/opus-mt-en-de", {"inputs": GOOD})


def test_the_hub_hides_what_one_may_not_see(sandbox: Sandbox, http: requests.Session, token: str) -> None:
    def get(model: str, *, as_user: bool) -> tuple[int, str | None]:
        headers = _as(token) if as_user else {}
        answer = http.get(f"{sandbox.hub_url}/api/models/{model}", headers=headers, timeout=10)
        return answer.status_code, answer.headers.get("x-error-code")

    assert get("nobody/nothing", as_user=False) == (401, None)
    assert get("nobody/nothing", as_user=True) == (404, "RepoNotFound")
    assert get("sandbox/private", as_user=False) == (401, None)
    assert get("sandbox/private", as_user=True) == (200, None)
    assert get("sandbox/gated", as_user=False) == (200, None)


def test_the_hub_gives_what_is_asked_for(sandbox: Sandbox, http: requests.Session) -> None:
    url = f"{sandbox.hub_url}/api/models/{CLASSIFIER}"
    whole = http.get(url, timeout=10).json()
    assert whole["config"] == {"model_type": "sandbox"}
    config = http.get(f"{sandbox.hub_url}/{CLASSIFIER}/resolve/main/config.json", timeout=10).json()
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    for name in ("expand", "expand[]"):
        some = http.get(url, params={name: ["inferenceProviderMapping", "pipeline_tag"]}, timeout=10).json()
        assert set(some) == {"_id", "id", "modelId", "inferenceProviderMapping", "pipeline_tag"}
        assert some["inferenceProviderMapping"]["hf-inference"]["providerId"] == CLASSIFIER


@pytest.mark.parametrize("provider", ["together", "auto", "hf-inference"])
def test_a_picture_by_a_provider(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, token: str, provider: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", sandbox.hub_url)
    offers._known.clear()
    at = engine_settings({"base_url": sandbox.url, "api_key": token}, environ={})
    frame = predict(at, model(at, task="text-to-image", provider=provider, input_column="t", seed=7), {"t": ["a hut"]})
    assert frame["y_error"].tolist() == [None]
    assert frame["y"][0].startswith("data:image/png;base64,")
    (asked,) = sandbox.inference_requests()
    assert asked.path.startswith("/together/" if provider == "together" else "/hf-inference/")
    assert (asked.task, asked.model) == ("text-to-image", "black-forest-labs/FLUX.1-dev")
    assert (asked.inputs, asked.parameters) == ("a hut", {"seed": 7})


def test_huggingface_hub_finds_its_way(sandbox: Sandbox, token: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    hub = HfApi(endpoint=sandbox.hub_url, token=token)
    assert hub.whoami()["name"] == "sandbox"
    assert hub.model_info("sandbox/fill-mask").pipeline_tag == "fill-mask"
    with pytest.raises(RepositoryNotFoundError):
        hub.model_info("nobody/nothing")


def test_the_hubs_list_of_tasks(sandbox: Sandbox, http: requests.Session) -> None:
    listed = http.get(f"{sandbox.hub_url}/api/tasks", timeout=10).json()
    assert list(listed) == list(TASKS)


# --- the record ---


def test_the_record_tells_tokens_apart_and_keeps_none(ask: Asker, token: str) -> None:
    ask(CLASSIFIER, {"inputs": [GOOD, BAD], "parameters": {"top_k": 1}}, headers=_as(token))
    ask(CLASSIFIER, {"inputs": GOOD})
    first, second = ask.sandbox.inference_requests()
    assert (first.token, second.token) == (fingerprint(token), None)
    assert (first.inputs, first.items, first.parameters, first.status) == ([GOOD, BAD], 2, {"top_k": 1}, 200)
    assert ask.sandbox.sent() == 3
    over_http = ask.http.get(f"{ask.sandbox.hub_url}/sandbox/requests", timeout=10).json()
    assert [record["items"] for record in over_http] == [2, 1]
    assert token not in json.dumps(over_http) + repr(first)
    assert ask.http.delete(f"{ask.sandbox.hub_url}/sandbox/requests", timeout=10).json() == []
    assert ask.sandbox.requests == []


def test_importing_it_imports_neither_mindsdb_nor_pandas() -> None:
    script = (
        "import sys, huggingface_api_handler.sandbox;"
        "print(*{name.partition('.')[0] for name in sys.modules} & {'mindsdb', 'pandas', 'huggingface_hub', 'uvicorn'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_sandbox_imitates_every_kind_of_server() -> None:
    """Its tables are written for these; a new kind of server or of input needs an entry there."""
    # tests/unit/protocols has doubles of the others.
    doubles = {"llama.cpp", "ollama", "vllm"}
    assert {one.name for one in PROTOCOLS} - doubles == {one.value for one in ServerKind}
    assert {one.value for one in ServerKind} == {"hf-inference", "toolkit", "tei", "tgi", "openai"}
    assert {one.value for one in Kind} == {"text", "image", "audio", "video", "table", "record"}
