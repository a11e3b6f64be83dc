"""A list of providers, from frame to frame, against the sandbox's router: who is asked, who answers, what is told."""

from __future__ import annotations

import base64
import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings, query_settings
from huggingface_api_handler.cache import Cache, NoCache, SqliteCache
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.retry import RetryPolicy
from tests.unit.loopback import Heard, answer
from tests.unit.provider_router import PNG, Service, serve

CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")
ROWS = 60


def ask(
    server: Sandbox | Service,
    provider: str | None,
    rows: int = ROWS,
    *,
    store: Cache | None = None,
    **using: Any,
) -> pd.DataFrame:
    base_url = server.url if isinstance(server, Sandbox) else f"{server.url}/hf-inference"
    engine = engine_settings({"base_url": base_url, "api_key": "hf_" + "x" * 34}, environ={})
    given = {"task": "chat-completion", "input_column": "q", "model_name": "sandbox/chat", **using}
    if provider is not None:
        given["provider"] = provider
    model = query_settings(
        model_settings(given, engine, hub=lambda *_: None), engine, {"include_meta": True, "on_error": "null"}
    )
    frame = pd.DataFrame({"q": [f"question {number}" for number in range(rows)]})
    retry = RetryPolicy(model.execution.max_retries, base=0.01, cap=0.05)
    return Prediction(model, engine, CALLER, Runtime(), store or NoCache(), retry).run(frame)


def providers_of(frame: pd.DataFrame) -> Counter[str]:
    return Counter(json.loads(meta)["provider"] for meta in frame["y_meta"])


def check(frame: pd.DataFrame) -> None:
    assert list(frame["y"]) == [f"You said: question {number}" for number in range(len(frame))]
    assert not any(frame["y_error"])


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 429, "probability": 0.5},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503, "body": {"error": "loading", "estimated_time": 20.0}},
        {"kind": "reset"},
        {"kind": "hang", "next": 5},
    ],
    ids=lambda rule: f"{rule['kind']} {rule.get('status', '')}".strip(),
)
def test_a_provider_that_fails_passes_its_requests_on(sandbox: Sandbox, rule: dict[str, Any]) -> None:
    sandbox.faults = {"rules": [{**rule, "provider": "groq"}]}
    frame = ask(sandbox, "groq, together", timeout=3)
    check(frame)
    served = providers_of(frame)
    refused = sum(record.fault != "" for record in sandbox.inference_requests())
    assert served["together"] > 0
    assert set(served) <= {"groq", "together"}
    assert refused > 0
    assert len(sandbox.inference_requests()) <= 1.05 * ROWS + refused
    if rule["kind"] != "hang":
        assert refused < ROWS / 2


def test_the_first_provider_answers_alone_while_it_can(sandbox: Sandbox) -> None:
    check(frame := ask(sandbox, "novita, groq"))
    assert providers_of(frame) == {"novita": ROWS}
    assert len(sandbox.inference_requests()) == ROWS


def test_a_list_is_json_too(sandbox: Sandbox) -> None:
    assert providers_of(ask(sandbox, '["together", "groq"]', 3)) == {"together": 3}


def test_a_provider_without_the_model_is_left_out(sandbox: Sandbox) -> None:
    sandbox.faults = {"providers": {"groq": None}}
    check(frame := ask(sandbox, "groq, together", max_retries=0))
    assert providers_of(frame) == {"together": ROWS}
    assert Counter(record.status for record in sandbox.inference_requests())[400] <= 8


def test_credits_that_are_used_up_end_the_query(sandbox: Sandbox) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 402, "provider": "groq"}]}
    frame = ask(sandbox, "groq, together")
    assert set(frame["y_error_type"]) == {"out_of_credits", "not_attempted"}
    assert {record.provider for record in sandbox.inference_requests()} == {"groq"}


def test_a_stored_answer_tells_who_gave_it(sandbox: Sandbox, tmp_path: Path) -> None:
    store = SqliteCache(tmp_path / "answers.sqlite")
    sandbox.faults = {"rules": [{"kind": "status", "status": 500, "provider": "groq"}]}
    ask(sandbox, "groq, together", 5, store=store)
    sent = len(sandbox.inference_requests())
    frame = ask(sandbox, "groq, together", 5, store=store)
    assert [json.loads(meta)["source"] for meta in frame["y_meta"]] == ["cache"] * 5
    assert providers_of(frame) == {"together": 5}
    assert len(sandbox.inference_requests()) == sent
    # The list is part of the key: another list may have another answer.
    assert providers_of(ask(sandbox, "together", 5, store=store)) == {"together": 5}
    assert len(sandbox.inference_requests()) == sent + 5
    store.close()


@pytest.mark.parametrize(
    ("provider", "model", "answers"),
    [
        ("fastest", "sandbox/chat", "groq"),
        ("cheapest", "sandbox/chat", "novita"),
        ("preferred", "sandbox/chat", "together"),
        ("auto", "sandbox/chat", "groq"),
        (None, "sandbox/chat:cheapest", "novita"),
        (None, "sandbox/chat:together", "together"),
    ],
)
def test_the_router_chooses_by_a_policy_and_says_whom(
    sandbox: Sandbox, provider: str | None, model: str, answers: str
) -> None:
    frame = ask(sandbox, provider, 3, model_name=model)
    assert providers_of(frame) == {answers: 3}


def test_a_job_is_never_begun_at_two_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a gateway did with it, nobody knows: it may be at work, and paid."""
    serve(
        monkeypatch, Served("replicate", "text-to-image", "live", "m"), Served("together", "text-to-image", "live", "t")
    )
    png = base64.b64encode(PNG).decode()
    with Service() as service:
        service.routes["/together/v1/images/generations"] = answer({"data": [{"b64_json": png}]})
        for status, code in ((504, "unavailable"), (503, None), (429, None), (400, "invalid_input")):
            service.heard.clear()
            service.routes["/replicate/v1/models/m/predictions"] = answer({"error": "no"}, status)
            frame = ask(service, "replicate, together", 1, task="text-to-image", model_name="org/name")
            (reported,) = frame["y_error_type"]
            paths = [heard.target for heard in service.heard]
            assert reported == code, status
            if code is None:
                assert paths == ["/replicate/v1/models/m/predictions", "/together/v1/images/generations"]
                assert frame["y"][0].startswith("data:image/png")
                assert providers_of(frame) == {"together": 1}
            else:
                assert paths == ["/replicate/v1/models/m/predictions"]


def test_a_batch_is_passed_on_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """hf-inference and a provider take lists of texts in different forms."""
    serve(monkeypatch, Served("scaleway", "feature-extraction", "live", "bge"))

    def embed(heard: Heard, sock: socket.socket) -> None:
        texts = heard.json()["input"]
        vectors = [{"index": place, "embedding": [1.0, float(text.split()[1])]} for place, text in enumerate(texts)]
        answer({"data": vectors[::-1]})(heard, sock)

    with Service() as service:
        service.routes["/hf-inference/models/org/vectors/pipeline/feature-extraction"] = answer({"error": "busy"}, 503)
        service.routes["/scaleway/v1/embeddings"] = embed
        frame = ask(service, "hf-inference, scaleway", 200, task="feature-extraction", model_name="org/vectors")
        assert [json.loads(vector) for vector in frame["y"]] == [[1.0, float(number)] for number in range(200)]
        refused = [heard for heard in service.heard if heard.target.startswith("/hf-inference/")]
        assert 0 < len(refused) <= 16
        assert len(service.heard) - len(refused) < 200, "each row was sent alone"
        assert providers_of(frame) == {"scaleway": 200}
