"""Providers, prices and bills of the sandbox: what the tests of costs compare with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from huggingface_api_handler.sandbox import Sandbox, SandboxProcess

CHAT = "sandbox/chat-completion"
CLASSIFIER = "sandbox/text-classification"


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def ask(
    sandbox: Any,
    http: requests.Session,
    model: str = CHAT,
    text: str = "hello",
    headers: Mapping[str, str] | None = None,
) -> requests.Response:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return http.post(f"{sandbox.hub_url}/v1/chat/completions", json=body, headers=dict(headers or {}), timeout=10)


def entries(sandbox: Any, http: requests.Session, model: str = CHAT) -> dict[str, Any]:
    found = http.get(f"{sandbox.hub_url}/v1/models/{model}", timeout=10).json()
    return {entry["provider"]: entry for entry in found["providers"]}


# --- what the router lists ---


def test_the_router_lists_chat_models_with_their_providers(sandbox: Sandbox, http: requests.Session) -> None:
    listed = http.get(f"{sandbox.hub_url}/v1/models", timeout=10).json()["data"]
    found = {model["id"]: model for model in listed}
    assert {CHAT, "meta-llama/Llama-3.1-8B-Instruct", "sandbox/chat-alone"} <= set(found)
    assert CLASSIFIER not in found
    for entry in found[CHAT]["providers"]:
        assert entry["status"] == "live"
        assert entry["pricing"]["input"] > 0 and entry["pricing"]["output"] > 0
        assert {"context_length", "supports_structured_output", "first_token_latency_ms", "throughput"} <= set(entry)
    assert http.get(f"{sandbox.hub_url}/v1/models/{CHAT}", timeout=10).json() == found[CHAT]


def test_a_model_that_is_no_chat_model_is_not_listed(sandbox: Sandbox, http: requests.Session) -> None:
    for model in (CLASSIFIER, "nobody/nothing"):
        assert http.get(f"{sandbox.hub_url}/v1/models/{model}", timeout=10).status_code == 404


def test_entries_can_be_changed(sandbox: Sandbox, http: requests.Session) -> None:
    change = {"pricing": {"input": 9, "output": 9}, "is_free": True, "throughput": None}
    sandbox.faults = {"providers": {"groq": change, "novita": None}}
    found = entries(sandbox, http)
    assert set(found) == {"groq", "together"}
    assert (found["groq"]["pricing"], found["groq"]["is_free"]) == ({"input": 9, "output": 9}, True)
    assert "throughput" not in found["groq"]


# --- who answers ---


@pytest.mark.parametrize(
    ("suffix", "provider"),
    [("", "groq"), (":fastest", "groq"), (":cheapest", "novita"), (":preferred", "together"), (":novita", "novita"),
     (":hf-inference", "hf-inference")],
)  # fmt: skip
def test_policies_and_names_choose_the_provider(
    sandbox: Sandbox, http: requests.Session, suffix: str, provider: str
) -> None:
    answer = ask(sandbox, http, CHAT + suffix)
    assert answer.headers["x-inference-provider"] == provider
    (record,) = sandbox.inference_requests()
    assert (record.provider, record.model) == (provider, CHAT)


def test_a_provider_in_error_is_chosen_by_name_only(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"providers": {"groq": {"status": "error"}}}
    assert ask(sandbox, http).headers["x-inference-provider"] == "together"
    assert ask(sandbox, http, f"{CHAT}:groq").headers["x-inference-provider"] == "groq"


@pytest.mark.parametrize(
    ("model", "says"),
    [(f"{CHAT}:acme", "by provider 'acme'"), (CLASSIFIER, "by any provider you have enabled")],
)
def test_a_provider_that_does_not_serve_the_model(
    sandbox: Sandbox, http: requests.Session, model: str, says: str
) -> None:
    answer = ask(sandbox, http, model)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(f"is not supported {says}.")


def test_no_provider_is_left(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"providers": {"groq": None, "together": None, "novita": {"status": "error"}}}
    assert "any provider" in ask(sandbox, http).json()["error"]["message"]


def test_a_provider_without_json_schemas_refuses_them(sandbox: Sandbox, http: requests.Session) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {}}}}
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": schema}
    statuses = [
        http.post(f"{sandbox.hub_url}/v1/chat/completions", json={"model": f"{CHAT}:{name}", **body}, timeout=10)
        for name in ("groq", "novita")
    ]
    assert [one.status_code for one in statuses] == [200, 400]
    assert "json_schema is not supported by novita" in statuses[1].json()["error"]["message"]


def test_faults_of_one_provider(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {
        "rules": [
            {"kind": "status", "status": 429, "provider": "groq", "probability": 0.5},
            {"kind": "status", "status": 500, "provider": "together", "next": 1},
        ]
    }
    by_groq = [ask(sandbox, http, f"{CHAT}:groq").status_code for _ in range(60)]
    assert set(by_groq) == {200, 429}
    assert 15 <= by_groq.count(429) <= 45
    assert [ask(sandbox, http, f"{CHAT}:together").status_code for _ in range(2)] == [500, 200]
    assert ask(sandbox, http, f"{CHAT}:novita").status_code == 200


def test_faults_of_hf_inference(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 503, "provider": "hf-inference"}]}
    url = f"{sandbox.url}/models/{CLASSIFIER}"
    assert http.post(url, json={"inputs": "x"}, timeout=10).status_code == 503
    assert ask(sandbox, http).status_code == 200


# --- what it costs ---


def test_a_chat_costs_its_tokens(sandbox: Sandbox, http: requests.Session) -> None:
    answers = [ask(sandbox, http, text="one two three").json() for _ in range(3)]
    used = [one["usage"] for one in answers]
    assert "estimated_cost" not in used[0]
    price = entries(sandbox, http)["groq"]["pricing"]
    cost = sum(one["prompt_tokens"] * price["input"] + one["completion_tokens"] * price["output"] for one in used) / 1e6
    counted = sandbox.usage()[CHAT]
    assert counted.cost == pytest.approx(cost)
    assert (counted.requests, counted.items) == (3, 3)
    assert counted.input_tokens == sum(one["prompt_tokens"] for one in used)
    assert counted.output_tokens == sum(one["completion_tokens"] for one in used)
    over_http = http.get(f"{sandbox.hub_url}/sandbox/usage", timeout=10).json()
    assert over_http[CHAT]["cost"] == counted.cost


@pytest.mark.parametrize("name", ["estimated_cost", "cost"])
def test_an_answer_says_what_it_cost_if_it_is_told_to(sandbox: Sandbox, http: requests.Session, name: str) -> None:
    sandbox.faults = {"cost_field": name}
    said = ask(sandbox, http).json()["usage"][name]
    assert said > 0
    assert said == pytest.approx(sandbox.usage()[CHAT].cost)


def test_a_free_provider_and_one_without_a_price(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {
        "cost_field": "cost",
        "providers": {"groq": {"is_free": True}, "together": {"pricing": None}},
    }
    assert ask(sandbox, http, f"{CHAT}:groq").json()["usage"]["cost"] == 0
    assert "cost" not in ask(sandbox, http, f"{CHAT}:together").json()["usage"]
    assert [record.cost for record in sandbox.inference_requests()] == [0.0, None]


def test_hf_inference_costs_its_seconds_and_says_them(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"latency": 0.02, "latency_per_item": 0.01}
    body = {"inputs": ["a", "b"]}
    answer = http.post(f"{sandbox.url}/models/{CLASSIFIER}", json=body, timeout=10)
    assert float(answer.headers["x-compute-time"]) == pytest.approx(0.04)
    used = sandbox.usage()[CLASSIFIER]
    assert (used.requests, used.items) == (1, 2)
    assert used.compute_seconds == pytest.approx(0.04)
    assert used.cost == pytest.approx(0.04 * 0.00012)


def test_failures_and_servers_of_ones_own_cost_nothing(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 500}]}
    ask(sandbox, http)
    assert sandbox.usage() == {}
    sandbox.faults = {}
    http.post(sandbox.endpoint("tei", CLASSIFIER), json={"inputs": "x"}, timeout=10)
    assert sandbox.usage()[CLASSIFIER].cost == 0


def test_costs_of_a_sandbox_in_a_process_of_its_own(http: requests.Session) -> None:
    with SandboxProcess(faults={"cost_field": "cost"}) as sandbox:
        said = ask(sandbox, http).json()["usage"]["cost"]
        assert sandbox.usage()[CHAT].cost == pytest.approx(said)


# --- bills ---

MONTH = datetime.now(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
FAR = "2999-01-01T00:00:00.000Z"


def read_bill(
    sandbox: Sandbox, http: requests.Session, token: str | None, whose: str = "settings", **query: str
) -> requests.Response:
    params = {"startDate": MONTH.strftime("%Y-%m-%dT%H:%M:%S.000Z"), "endDate": FAR, **query}
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    url = f"{sandbox.hub_url}/api/{whose}/billing/usage-by-inference-session"
    return http.get(url, params=params, headers=headers, timeout=10)


def in_session(token: str, session: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "X-HF-Session-id": session, **more}


def sessions(answer: requests.Response) -> dict[str, Any]:
    assert answer.json()["currency"] == "USD"
    return {one["id"]: one for period in answer.json()["periods"] for one in period["sessions"]}


def test_the_bill_counts_each_session(sandbox: Sandbox, http: requests.Session, token: str) -> None:
    for session in ("a", "a", "b"):
        assert ask(sandbox, http, headers=in_session(token, session)).status_code == 200
    ask(sandbox, http, headers={"Authorization": f"Bearer {token}"})
    ask(sandbox, http, headers=in_session("hf_" + "c" * 34, "foreign"))
    found = sessions(read_bill(sandbox, http, token))
    assert {name: one["requestCount"] for name, one in found.items()} == {"a": 2, "b": 1}
    cost = sandbox.inference_requests()[0].cost
    assert cost is not None
    assert found["a"]["costCents"] == pytest.approx(200 * cost)


def test_failed_requests_are_not_billed(sandbox: Sandbox, http: requests.Session, token: str) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 500, "next": 1}]}
    for _ in range(2):
        ask(sandbox, http, headers=in_session(token, "a"))
    assert sessions(read_bill(sandbox, http, token))["a"]["requestCount"] == 1


def test_an_organisation_has_a_bill_of_its_own(sandbox: Sandbox, http: requests.Session, token: str) -> None:
    ask(sandbox, http, headers=in_session(token, "ours", **{"X-HF-Bill-To": "acme"}))
    assert sessions(read_bill(sandbox, http, token)) == {}
    assert set(sessions(read_bill(sandbox, http, token, "organizations/acme"))) == {"ours"}


def test_only_months_that_begin_within_the_dates_are_on_the_bill(
    sandbox: Sandbox, http: requests.Session, token: str
) -> None:
    ask(sandbox, http, headers=in_session(token, "old"))
    sandbox.requests[0].at = time.time() - 70 * 86_400
    ask(sandbox, http, headers=in_session(token, "new"))
    assert set(sessions(read_bill(sandbox, http, token))) == {"new"}
    whole = read_bill(sandbox, http, token, startDate="2000-01-01T00:00:00.000Z")
    assert [{one["id"] for one in period["sessions"]} for period in whole.json()["periods"]] == [{"old"}, {"new"}]
    assert read_bill(sandbox, http, token, startDate="yesterday").status_code == 400


def test_costs_come_late_or_never_or_are_forbidden(
    sandbox: Sandbox, http: requests.Session, token: str, bad_token: str
) -> None:
    ask(sandbox, http, headers=in_session(token, "a"))
    sandbox.faults = {"bill_delay": 2}
    assert [len(sessions(read_bill(sandbox, http, token))) for _ in range(3)] == [0, 0, 1]
    sandbox.faults = {"bill_missing": True}
    assert sessions(read_bill(sandbox, http, token)) == {}
    sandbox.faults = {"bill_status": 403}
    assert read_bill(sandbox, http, token).status_code == 403
    sandbox.faults = {}
    assert [read_bill(sandbox, http, one).status_code for one in (None, bad_token)] == [401, 401]


def test_a_session_id_that_is_too_long(sandbox: Sandbox, http: requests.Session, token: str) -> None:
    statuses = [ask(sandbox, http, headers=in_session(token, "x" * size)).status_code for size in (256, 257)]
    assert statuses == [200, 400]
