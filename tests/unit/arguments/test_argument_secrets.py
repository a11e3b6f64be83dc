"""Tokens and fields that reach beyond a request, wherever a statement may hold them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from huggingface_api_handler.arguments import EngineSettings, engine_settings, model_settings, query_settings
from huggingface_api_handler.arguments.task_specs import parameter_specs
from huggingface_api_handler.arguments.validators import check_fields
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.net.redaction import names_secret
from huggingface_api_handler.tasks import TASKS

TOKEN = "hf_" + "s" * 34
ASKED: list[str] = []


class Identifier:
    """A bare word, as MindsDB's parser has it."""

    def __init__(self, *parts: str) -> None:
        self.parts = list(parts)


def engine(**using: Any) -> EngineSettings:
    return engine_settings({"base_url": "http://127.0.0.1:9/v1", **using}, environ={})


def created(**using: Any) -> Any:
    return model_settings(
        {"task": "chat-completion", "model_name": "org/name", "input_column": "t", **using},
        engine(), hub=lambda model, token: ASKED.append(model),
    )  # fmt: skip


def queried(**using: Any) -> Any:
    return query_settings(created(), engine(), using)


VERBS: list[Callable[..., Any]] = [engine, created, queried]


def refusal(verb: Callable[..., Any], using: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as refused:
        verb(**using)
    return str(refused.value)


@pytest.mark.parametrize("verb", [created, queried])
@pytest.mark.parametrize(
    "using",
    [
        {"prompt_template": f"Say {{{{t}}}} {TOKEN}"},
        {"system_prompt": TOKEN},
        {"parameters": {"x": {"y": [1, f"Bearer {TOKEN}"]}}},
        {"parameters": json.dumps({"x": TOKEN})},
        {"parameters": f'{{"x": "\\u0068f_{"s" * 34}"}}'},
        {"parameters": {"x": {TOKEN: 1}}},
        {"options": {"x": TOKEN}},
        {"stop": [TOKEN]},
        {"input_column": Identifier(TOKEN)},
        {TOKEN: "x"},
    ],
)
def test_a_token_is_refused_anywhere_but_in_api_key(verb: Callable[..., Any], using: dict[str, Any]) -> None:
    said = refusal(verb, using)
    assert "looks like a token: write it in api_key of CREATE ML_ENGINE or CREATE MODEL" in said
    assert "s" * 10 not in said


@pytest.mark.parametrize(
    "using",
    [{"bill_to": TOKEN}, {"allowed_hosts": [TOKEN]}, {"base_url": f"https://{TOKEN}.example"}, {"media_roots": TOKEN}],
)
def test_an_engine_refuses_one_too(using: dict[str, Any]) -> None:
    said = refusal(engine, using)
    assert "looks like a token: write it in api_key" in said
    assert "s" * 10 not in said


def test_an_endless_nesting_is_refused_for_that() -> None:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    assert "nested deeper" in refusal(created, {"parameters": {"x": nested}})


def test_the_hub_is_not_asked_for_a_model_that_is_a_token() -> None:
    ASKED.clear()
    assert "looks like a token" in refusal(created, {"model_name": TOKEN})
    assert ASKED == []


@pytest.mark.parametrize("where", ["parameters", "options"])
@pytest.mark.parametrize("verb", [created, queried])
@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": "x"}, {"API-Key": 5}, {"token": None}, {"headers": {"Authorization": "x"}},
        {"a": [{"password": "x"}]},
        {"openai_api_key": "x"}, {"x": {"Client_Secret": ["x"]}}, {"accessToken": "x"}, {"secret": {"value": "x"}},
        {"extra_body": {"X-Auth": "x"}},
    ],
)  # fmt: skip
def test_names_of_secrets_are_refused(verb: Callable[..., Any], where: str, fields: dict[str, Any]) -> None:
    said = refusal(verb, {where: fields})
    assert said.startswith(f"{where} must not contain '")
    assert "write a token in api_key of CREATE ML_ENGINE or CREATE MODEL" in said


@pytest.mark.parametrize(
    "query",
    [
        "api_key=dear", "API-Key=dear", "api%5Fkey=dear", "a=b&access_token=dear", "token=", "subscription-key=dear",
        "key=dear", "code=dear", "sv=1&sig=dear",
    ],
)  # fmt: skip
def test_a_secret_in_the_query_of_an_endpoint_is_refused(query: str) -> None:
    at = f"https://x.endpoints.huggingface.cloud/v1?{query}"
    said = refusal(created, {"endpoint": at, "task": "chat-completion"})
    assert said.startswith("endpoint must not contain a secret, '")
    assert (
        "remove it, and write the key in api_key of CREATE ML_ENGINE or CREATE MODEL, which is sent as the header"
        in said
    )
    assert "other fields of the query, such as api-version, may stay" in said
    assert "dear" not in said


def test_other_fields_of_a_query_are_taken() -> None:
    at = "https://x.endpoints.huggingface.cloud/v1?api-version=2026-01-01&keyword=a&max_tokens=5&deployment=x"
    assert created(endpoint=at, model_name=None).endpoint == at


@pytest.mark.parametrize("where", ["parameters", "options"])
@pytest.mark.parametrize("verb", [created, queried])
@pytest.mark.parametrize(
    ("fields", "instead"),
    [
        ({"model": "dear/model"}, "model_name"), ({"Model": "dear/model"}, "model_name"),
        ({"models": ["a"]}, "model_name"), ({"provider": {"order": ["a"]}}, "provider"),
        ({"endpoint_url": "x"}, "endpoint"), ({"base_url": "x"}, "base_url"),
        ({"bill_to": "acme"}, "bill_to"), ({"X-HF-Bill-To": "acme"}, "bill_to"), ({"organization": "acme"}, "bill_to"),
        ({"extra_headers": {"OpenAI-Organization": "acme"}}, "bill_to"), ({"OpenAI-Project": "x"}, "bill_to"),
        ({"cf_account_id": "x"}, "bill_to"), ({"azure_deployment": "x"}, "model_name"),
        ({"fallback_models": ["dear/model"]}, "model_name"), ({"model_list": []}, "model_name"),
        ({"context_window_fallback_dict": {}}, "model_name"), ({"deployment_name": "x"}, "model_name"),
        ({"llm_provider": "x"}, "provider"), ({"webhook_url": "x"}, "base_url"), ({"callback_url": "x"}, "base_url"),
        ({"vertex_project": "x"}, "bill_to"), ({"workspace_id": "x"}, "bill_to"), ({"sub_account": "x"}, "bill_to"),
        ({"fallbacks": ["dear/model"]}, "model_name"), ({"default_fallbacks": ["x"]}, "model_name"),
        ({"vad_model_path": "/x"}, "model_name"), ({"judge_model": "x"}, "model_name"), ({"project_id": 7}, "bill_to"),
        ({"extra_body": {"model": "dear/model"}}, "model_name"), ({"parameters": {"model": None}}, "model_name"),
    ],
)  # fmt: skip
def test_fields_that_name_model_provider_endpoint_or_account_are_refused(
    verb: Callable[..., Any], where: str, fields: dict[str, Any], instead: str
) -> None:
    said = refusal(verb, {where: fields})
    assert said.startswith(f"{where} must not contain '")
    assert f": write {instead}" in said or f"or {instead}" in said
    assert "dear" not in said


@pytest.mark.parametrize("task", TASKS)
def test_they_are_refused_for_every_task(task: str) -> None:
    with pytest.raises(SettingsError, match="parameters must not contain 'model': write model_name at CREATE MODEL"):
        model_settings({"task": task, "parameters": {"model": "dear/model"}}, engine(), hub=lambda *_: None)


def test_what_is_no_secret_and_reaches_nowhere_is_taken() -> None:
    fields: dict[str, Any] = {
        "user": "customer-7", "max_tokens": 5, "eos_token": "</s>", "mid_token": "x", "skip_special_tokens": True,
        "key": 1,
        "response_format": {"json_schema": {"schema": {"properties": {"password": {"type": "string"}}}}},
        "tools": [{"function": {"parameters": {"properties": {"model": {"type": "string"}, "token": {}}}}}],
        "hf_inference": "hf_hub_download", "wait_for_model": True, "projection": 1, "modeling": 1,
        "no_fallback": True, "use_fallback": False, "language_fallback": "en", "temperature_fallback": [0.2, 0.4],
        "fallback_temperature": 0.2, "vad_model": "silero", "punctuation_model": "x", "project": "spring",
        "proxy": False,
    }  # fmt: skip
    assert check_fields(fields) == fields


def test_no_parameter_of_the_hubs_is_refused() -> None:
    for task in TASKS.values():
        for field in parameter_specs(task):
            assert check_fields({field.name: None}) == {field.name: None}
            assert not names_secret(field.name)


@pytest.mark.parametrize("bad", ["hf_x", "../x", "a/b", "-a", "a-", "a--b", "a..b", "a b", "a" * 97, "ä"])
def test_bill_to_is_the_name_of_an_organization(bad: str) -> None:
    assert refusal(engine, {"bill_to": bad}).startswith("bill_to must be the name of an organization")
    assert "hf_x" not in refusal(engine, {"bill_to": bad})


@pytest.mark.parametrize("good", ["acme", "my-org", "Org_2.0", "a", "4ab"])
def test_a_good_name_is_taken(good: str) -> None:
    assert engine(bill_to=good).bill_to == good


@pytest.mark.parametrize("verb", [engine, created])
@pytest.mark.parametrize("bad", [5, True, ["hf_x"], {"a": "hf_x"}, Identifier("hf_x")])
def test_a_key_that_is_no_text_is_refused_unseen(verb: Callable[..., Any], bad: Any) -> None:
    said = refusal(verb, {"api_key": bad})
    assert "api_key = 'hf_…'" in said
    assert "hf_x" not in said
