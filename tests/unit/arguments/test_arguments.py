"""Arguments: what SQL carries, what is looked for where, what is kept, and what is never shown."""

from __future__ import annotations

import ast
import contextlib
import copy
import json
import pickle
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import huggingface_api_handler
from huggingface_api_handler.arguments import (
    ENGINE,
    MODEL,
    EngineSettings,
    Execution,
    ModelSettings,
    engine_settings,
    model_settings,
    query_settings,
)
from huggingface_api_handler.arguments.coercion import BadValue, plain_json, read_value
from huggingface_api_handler.arguments.forms import engine_form, model_form, query_form
from huggingface_api_handler.arguments.names import nearest
from huggingface_api_handler.arguments.specs import COMMANDS, EXECUTION, FIXED, HOST_CREATE, HOST_QUERY, ArgumentSpec
from huggingface_api_handler.arguments.task_specs import all_names, own_specs
from huggingface_api_handler.errors import Forbidden, ServiceTimeout, SettingsError
from huggingface_api_handler.net.url_policy import ROUTER
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Kind, ModelFacts, Task

TOKEN = "hf_" + "t" * 34
OTHER = "hf_" + "u" * 34


def engine(environ: Mapping[str, str] | None = None, **arguments: Any) -> EngineSettings:
    return engine_settings(arguments, environ=environ or {})


def unreachable(model_id: str, token: str | None) -> ModelFacts | None:
    return None


def says(tag: str | None, *tags: str, **more: Any) -> Any:
    def hub(model_id: str, token: str | None) -> ModelFacts:
        return ModelFacts(id=model_id, pipeline_tag=tag, tags=tags, **more)

    return hub


def model(_engine: EngineSettings | None = None, _hub: Any = unreachable, **using: Any) -> ModelSettings:
    return model_settings(using, _engine or engine(), hub=_hub)


def classifier(_engine: EngineSettings | None = None, **using: Any) -> ModelSettings:
    return model(_engine, task="text-classification", input_column="review", **using)


# --- values ----------------------------------------------------------------------------------

NUMBER = ArgumentSpec("x", "number", "")
WHOLE = ArgumentSpec("x", "integer", "")
LIST = ArgumentSpec("x", "list", "")


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("-1", -1),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-.5", -0.5),
        ("+2", 2),
        (" 7 ", 7),
        ("1.", 1.0),
        (3, 3),
        (2.5, 2.5),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_a_number_may_be_text(written: Any, number: float) -> None:
    read = read_value(NUMBER, written)
    assert read == number
    assert type(read) is type(number)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "one",
        "1_000",
        "1,5",
        "0x10",
        "١",
        "nan",
        "inf",
        "-inf",
        "1e9999",
        "1e99999999",
        "1 2",
        "--1",
        "9" * 20,
        "9" * 9999,
        "9223372036854775808",
        2**63,
        -(2**63) - 1,
        float("nan"),
        float("inf"),
        True,
        False,
        [1],
        {"a": 1},
        b"1",
        object(),
    ],
)
def test_what_is_no_number(written: Any) -> None:
    for form in (NUMBER, WHOLE):
        with pytest.raises(BadValue):
            read_value(form, written)


@pytest.mark.parametrize(("written", "number"), [("1e3", 1000), (3.0, 3), ("3.0", 3), ("-4", -4)])
def test_a_whole_number_may_be_written_otherwise(written: Any, number: int) -> None:
    read = read_value(WHOLE, written)
    assert read == number
    assert isinstance(read, int)


@pytest.mark.parametrize("written", ["1.5", 0.1, "1e-3"])
def test_a_fraction_is_no_whole_number(written: Any) -> None:
    with pytest.raises(BadValue):
        read_value(WHOLE, written)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (True, True),
        (1, True),
        ("TRUE", True),
        (" yes ", True),
        ("on", True),
        ("1", True),
        (False, False),
        (0, False),
        ("false", False),
        ("No", False),
        ("off", False),
        ("0", False),
    ],
)
def test_a_boolean_may_be_text(written: Any, value: bool) -> None:
    assert read_value(ArgumentSpec("x", "boolean", ""), written) is value


@pytest.mark.parametrize("written", ["maybe", "", 2, 1.0, None, []])
def test_what_is_no_boolean(written: Any) -> None:
    with pytest.raises(BadValue):
        read_value(ArgumentSpec("x", "boolean", ""), written)


@pytest.mark.parametrize(
    ("written", "items"),
    [
        ("urgent, not urgent", ["urgent", "not urgent"]),
        ("one", ["one"]),
        ("a,,b,", ["a", "b"]),
        ('["a, b", "c"]', ["a, b", "c"]),
        (["a", " b "], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        ([1, 2.5], ["1", "2.5"]),
    ],
)
def test_a_list_may_be_text(written: Any, items: list[str]) -> None:
    assert read_value(LIST, written) == items


@pytest.mark.parametrize(
    "written", ["", ",", "[]", "[1", [], [None], [["a"]], [True], {"a": 1}, 5, "[NaN]", ["a\0"], ["\ud800"]]
)
def test_what_is_no_list(written: Any) -> None:
    with pytest.raises(BadValue):
        read_value(LIST, written)


@pytest.mark.parametrize(
    ("written", "texts"), [("\n", ["\n"]), ("Human: ", ["Human: "]), ("a, b", ["a", "b"]), (["\n", " "], ["\n", " "])]
)
def test_a_text_alone_is_taken_as_it_is(written: Any, texts: list[str]) -> None:
    """White space is what texts such as ``stop`` often consist of."""
    assert read_value(ArgumentSpec("stop", "list", "", items="text"), written) == texts


def test_an_object_may_be_json_text() -> None:
    form = ArgumentSpec("x", "object", "")
    assert read_value(form, '{"temperature": -0.5, "stop": ["\\n"]}') == {"temperature": -0.5, "stop": ["\n"]}
    assert read_value(form, {"a": ("b",)}) == {"a": ["b"]}


@pytest.mark.parametrize(
    "written",
    [
        "[]",
        "5",
        '"text"',
        "{",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": 99999999999999999999}',
        "[" * 100_000,
        '{"a":' * 5000,
        {"a": float("nan")},
        {"a": 2**64},
        {1: "a"},
        {"a": object()},
        {"a": b"x"},
        {"a": "\ud800"},
        {"a": "x" * 1_000_001},
    ],
)
def test_what_is_no_object(written: Any) -> None:
    with pytest.raises(BadValue):
        read_value(ArgumentSpec("x", "object", ""), written)


def test_depth_is_bounded() -> None:
    def nest(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert plain_json(nest(32)) == nest(32)
    for levels in (33, 500):
        with pytest.raises(BadValue):
            plain_json(nest(levels))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        sorted(
            {
                "any",
                "boolean",
                "integer",
                "list",
                "number",
                "object",
                "text",
                "url",
                "column",
                "columns",
                "secret",
                "template",
            }
        )
    ),
    JSON,
)
def test_any_value_is_read_or_refused_and_what_is_read_is_json(kind: str, written: Any) -> None:
    with contextlib.suppress(BadValue):
        value = read_value(ArgumentSpec("x", kind, ""), written)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("temprature", "temperature"),
        ("top-k", "top_k"),
        ("TopK", "top_k"),
        ("temp", "temperature"),
        ("zebra", None),
        ("", None),
    ],
)
def test_the_nearest_name(typed: str, meant: str | None) -> None:
    assert nearest(typed, ["temperature", "top_k", "timeout"]) == meant


def test_no_task_has_two_arguments_of_one_name() -> None:
    for task in TASKS.values():
        names = [*all_names(own_specs(task)), *all_names(MODEL)]
        assert len(names) == len(set(names)), task.name


def test_hosts_own_arguments_are_no_ones_else() -> None:
    names = {name for task in TASKS.values() for name in all_names(own_specs(task))} | set(all_names(MODEL))
    assert not names & (HOST_QUERY | HOST_CREATE)


def test_tasks_that_speak_of_output_dir_take_it() -> None:
    for task in TASKS.values():
        assert ("output_dir" in task.answer) == ("output_dir" in all_names(own_specs(task))), task.name


# --- engine: tokens --------------------------------------------------------------------------


@pytest.mark.parametrize("present", range(6))
def test_the_first_source_of_a_token_wins(present: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("engine", "HUGGINGFACE_API_API_KEY", "HF_TOKEN", "MindsDB's configuration", "Hub login", "anonymous")
    tokens = [f"hf_{letter * 34}" for letter in "abcdef"]
    there = [token if place >= present else None for place, token in enumerate(tokens)]
    monkeypatch.setattr("huggingface_api_handler.arguments.engine.hub_login", lambda: there[4])
    settings = engine_settings(
        {"api_key": there[0]} if there[0] else {},
        environ={name: token for name, token in zip(names[1:3], there[1:3], strict=True) if token},
        configured_token=there[3],
    )
    assert settings.token_source == names[present]
    if present == 5:
        assert settings.token is None
    else:
        assert settings.token is not None
        assert settings.token.get_secret_value() == tokens[present]


def test_the_kept_token_counts_as_the_engines_own() -> None:
    settings = engine_settings({"api_key": "******"}, environ={"HF_TOKEN": OTHER}, token=TOKEN)
    assert settings.token is not None
    assert (settings.token.get_secret_value(), settings.token_source) == (TOKEN, "engine")


@pytest.mark.parametrize("name", ["api_key", "huggingface_api_api_key", "API_KEY", " Api_Key "])
def test_a_token_is_stripped_and_found_under_each_name(name: str) -> None:
    settings = engine_settings({name: f" {TOKEN}\n"}, environ={})
    assert settings.token is not None
    assert settings.token.get_secret_value() == TOKEN


@pytest.mark.parametrize("bad", ["a b", "a\nb", "a\tb", "a\x00b", "tok\u201den", "\u200btoken", "a" * 5000])
def test_a_token_that_no_header_carries_is_refused_unseen(bad: str) -> None:
    for attempt in (
        lambda: engine(api_key=bad),
        lambda: engine({"HF_TOKEN": bad}),
        lambda: engine_settings({}, environ={}, token=bad),
        lambda: classifier(api_key=bad),
    ):
        with pytest.raises(SettingsError) as refused:
            attempt()
        assert bad not in str(refused.value)
        assert "a\\n" not in repr(refused.value)


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_token_is_refused_in_a_statement_and_none_in_the_environment(empty: str) -> None:
    for attempt in (lambda: engine(api_key=empty), lambda: classifier(huggingface_api_api_key=empty)):
        with pytest.raises(SettingsError, match=r"api_key is empty: write (huggingface_api_)?api_key = 'hf_…'"):
            attempt()
    assert engine({"HF_TOKEN": empty}).token is None


def test_a_masked_token_is_none() -> None:
    assert engine(api_key="******").token is None
    assert classifier(api_key="******").token is None


def test_tokens_are_nowhere_to_be_seen() -> None:
    at = engine(api_key=TOKEN)
    settings = classifier(at, api_key=OTHER)
    for text in (
        repr(at),
        str(at),
        repr(settings),
        str(settings),
        json.dumps(settings.to_dict()),
        f"{settings.arguments()}",
    ):
        assert TOKEN not in text
        assert OTHER not in text
    assert settings.token is not None
    assert settings.token.get_secret_value() == OTHER
    assert settings.sources["api_key"] == "model"


# --- engine: the rest ------------------------------------------------------------------------


def test_an_engine_without_arguments() -> None:
    assert engine() == EngineSettings(base_url=ROUTER)
    assert engine_settings(None, environ={}) == EngineSettings()


def test_an_engines_arguments() -> None:
    settings = engine(
        BASE_URL="http://10.0.0.5:8080/hf/",
        allowed_hosts="Models.Example.com, 10.0.0.5:8080",
        media_roots=["/srv/media/"],
        bill_to=" my-org ",
        max_concurrency="4",
        requests_per_minute="300",
        timeout="2.5",
        max_retries=0,
        cache_ttl=60,
    )
    assert settings == EngineSettings(
        base_url="http://10.0.0.5:8080/hf",
        allowed_hosts=("models.example.com", "10.0.0.5:8080"),
        media_roots=("/srv/media",),
        bill_to="my-org",
        execution={"max_concurrency": 4, "requests_per_minute": 300, "timeout": 2.5, "max_retries": 0, "cache_ttl": 60},
    )


def test_the_base_url_of_the_environment() -> None:
    environ = {"HUGGINGFACE_API_BASE_URL": "http://127.0.0.1:9/hf-inference"}
    assert engine(environ).base_url == "http://127.0.0.1:9/hf-inference"
    assert engine(environ, base_url="https://gateway.example/x").base_url == "https://gateway.example/x"


# --- which model, which task -----------------------------------------------------------------


def test_the_hub_is_asked_once_with_the_right_token() -> None:
    asked: list[tuple[str, str | None]] = []

    def hub(model_id: str, token: str | None) -> ModelFacts:
        asked.append((model_id, token))
        return ModelFacts(id=model_id, pipeline_tag="text-classification")

    using = {"model_name": "org/name", "input_column": "t"}
    model_settings(using, engine(), hub=hub)
    model_settings(using, engine(api_key=TOKEN), hub=hub)
    model_settings({**using, "api_key": OTHER}, engine(api_key=TOKEN), hub=hub)
    assert asked == [("org/name", None), ("org/name", TOKEN), ("org/name", OTHER)]


@pytest.mark.parametrize(
    ("tag", "task"),
    [
        ("summarization", "summarization"),
        ("text2text-generation", "text-generation"),
        ("text-to-audio", "text-to-speech"),
        ("image-text-to-text", "chat-completion"),
    ],
)
def test_the_hub_knows_the_task(tag: str, task: str) -> None:
    assert model(None, says(tag), model="org/name", input_column="x").task == task


def test_a_task_has_a_default_model() -> None:
    settings = classifier()
    assert settings.model == TASKS["text-classification"].default_model
    assert settings.facts == ModelFacts(id=settings.model)
    assert "model_name" not in settings.sources


def test_a_default_model_need_not_be_tagged_for_its_task() -> None:
    assert model(None, says("text-generation"), task="summarization", input_column="t").task == "summarization"


@pytest.mark.parametrize(
    ("task", "first", "later"),
    [
        ("chat-completion", "max_tokens", "max_output_length"),
        ("chat-completion", "max_output_length", "max_tokens"),
        ("text-generation", "max_new_tokens", "max_length"),
    ],
)
def test_a_querys_limit_of_tokens_replaces_the_models_by_whatever_name(task: str, first: str, later: str) -> None:
    made = model(task=task, model_name="org/name", input_column="t", **{first: 5})
    asked = query_settings(made, engine(), {later: 9})
    name = "max_output_length" if later == "max_length" else later
    assert {**asked.values, **asked.parameters} == {name: 9}
    assert first not in asked.sources
    assert query_settings(made, engine(), {"timeout": 3}).sources[first] == "model"


def test_languages_choose_a_translation_model() -> None:
    settings = model(task="translation", input_column="t", lang_input="en", lang_output="fr")
    assert settings.model == "Helsinki-NLP/opus-mt-en-fr"
    with pytest.raises(SettingsError, match="has no default model for these arguments"):
        model(task="translation", input_column="t", lang_input="../..", lang_output="fr")
    named = model(task="translation", input_column="t", lang_input="en_XX", lang_output="fr_XX", model_name="org/many")
    assert named.model == "org/many"


def test_both_named_and_no_hub_is_enough() -> None:
    settings = model(task="summarization", model_name="org/name", input_column="t")
    assert (settings.task, settings.model, settings.facts) == ("summarization", "org/name", ModelFacts(id="org/name"))


@pytest.mark.parametrize(
    ("task", "tag", "tags"),
    [
        ("summarization", None, ()),
        ("summarization", "summarization", ()),
        ("sentence-similarity", "feature-extraction", ()),
        ("feature-extraction", "fill-mask", ("feature-extraction",)),
        ("chat-completion", "text-generation", ()),
        ("chat-completion", "any-to-any", ("conversational",)),
        ("text-generation", "text2text-generation", ()),
    ],
)
def test_models_that_do_the_task(task: str, tag: str | None, tags: tuple[str, ...]) -> None:
    columns = {one.argument: "c" for one in TASKS[task].inputs if one.required}
    assert model(None, says(tag, *tags), task=task, model_name="org/name", **columns).task == task


def test_the_hubs_own_name_of_a_model_is_used() -> None:
    def hub(model_id: str, token: str | None) -> ModelFacts:
        return ModelFacts(id="google-bert/bert-base-uncased", pipeline_tag="fill-mask")

    assert model(None, hub, model_name="bert-base-uncased", input_column="t").model == "google-bert/bert-base-uncased"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "org/",
        "/name",
        "a/b/c",
        "..",
        "org/..",
        "org/na..me",
        "org/na--me",
        "org/name.git",
        "org/name?x=1",
        "org/name#x",
        "org/na me",
        "org/nämé",
        "-org/name",
        "org/name-",
        "org/name\n",
        "org\\name",
        "x" * 97,
        "%2e%2e/x",
    ],
)
def test_names_that_no_model_has(name: str) -> None:
    if name == "org/name\n":  # white space around it is no harm
        assert classifier(model_name=name).model == "org/name"
        return
    with pytest.raises(SettingsError):
        classifier(model_name=name)


def test_a_refusal_of_the_hub_does_not_hide_other_faults() -> None:
    def hub(model_id: str, token: str | None) -> ModelFacts:
        raise Forbidden("the model is gated", advice="Ask for access")

    with pytest.raises(Forbidden):
        model(None, hub, task="summarization", model_name="org/name", input_column="t")
    with pytest.raises(SettingsError, match="timeout must be .*; the model is gated: ask for access") as refused:
        model(None, hub, task="summarization", model_name="org/name", input_column="t", timeout=0)
    assert isinstance(refused.value.__cause__, Forbidden)


def test_a_hub_in_trouble_is_an_unreachable_one() -> None:
    def hub(model_id: str, token: str | None) -> ModelFacts:
        raise ServiceTimeout("no answer")

    assert model(None, hub, task="summarization", model_name="org/name", input_column="t").model == "org/name"


# --- endpoints, providers --------------------------------------------------------------------


def never(model_id: str, token: str | None) -> ModelFacts:
    raise AssertionError("the Hub has no word on an endpoint")


def test_an_endpoint_needs_a_task_and_no_hub() -> None:
    url = "https://abc.us-east-1.aws.endpoints.huggingface.cloud/"
    settings = model(None, never, task="summarization", input_column="t", endpoint=url)
    assert (settings.endpoint, settings.model, settings.facts) == (url, None, ModelFacts())
    assert model(None, never, task="summarization", input_column="t", endpoint=url, model_name="tgi").model == "tgi"


@pytest.mark.parametrize("name", ["endpoint", "base_url"])
@pytest.mark.parametrize(
    ("url", "allowed", "good"),
    [
        ("https://router.huggingface.co/hf-inference", None, True),
        ("https://x.endpoints.huggingface.cloud", None, True),
        ("https://huggingface.co.evil.example", None, False),
        ("https://evilhuggingface.co", None, False),
        ("http://10.0.0.5:8080", None, False),
        ("http://10.0.0.5:8080", "10.0.0.5:8080", True),
        ("http://10.0.0.5:8081", "10.0.0.5:8080", False),
        ("http://10.0.0.5:8081", "10.0.0.5", True),
        ("http://127.0.0.1:9/other", None, False),
    ],
)
def test_where_a_model_may_lead(name: str, url: str, allowed: str | None, good: bool) -> None:
    at = engine(**({"allowed_hosts": allowed} if allowed else {}))
    if good:
        assert getattr(classifier(at, **{name: url}), name) == url
    else:
        with pytest.raises(SettingsError, match=f"{name} is refused"):
            classifier(at, **{name: url})


def test_a_model_may_lead_to_its_engines_own_host() -> None:
    at = engine(base_url="http://127.0.0.1:8123/hf-inference")
    assert (
        classifier(at, endpoint="http://127.0.0.1:8123/endpoints/tei").endpoint == "http://127.0.0.1:8123/endpoints/tei"
    )


def test_providers() -> None:
    assert classifier().provider == "hf-inference"
    assert model(task="text-to-image", input_column="t", provider="Together").provider == "together"
    assert classifier(provider="auto").provider == "auto"
    assert model(task="chat-completion", input_column="t").provider == "auto"
    assert model(task="chat-completion", input_column="t", provider="groq").sources["provider"] == "model"


@pytest.mark.parametrize("policy", ["fastest", "cheapest", "preferred", "Cheapest "])
def test_a_policy_is_written_as_provider_or_behind_the_model(policy: str) -> None:
    chat = {"task": "chat-completion", "input_column": "t"}
    by_provider = model(**chat, model_name="org/m", provider=policy)
    by_model = model(**chat, model_name=f"org/m:{policy}")
    assert by_provider == by_model
    assert (by_model.model, by_model.providers) == ("org/m", (policy.strip().lower(),))
    assert by_model.sources["provider"] == "model"
    same = model(**chat, model_name=f"org/m:{policy}", provider=policy)
    assert same == by_model


def test_a_provider_behind_the_model_is_the_provider() -> None:
    assert model(task="chat-completion", input_column="t", model_name="org/m:Groq").providers == ("groq",)
    endpoint = "https://x.endpoints.huggingface.cloud/"
    served = model(None, never, task="chat-completion", input_column="t", model_name="m:7b", endpoint=endpoint)
    assert served.model == "m:7b"


@pytest.mark.parametrize("written", ["groq, Together", ["groq", "together"], '["groq", "together"]'])
def test_providers_in_order_of_preference(written: Any) -> None:
    settings = model(task="chat-completion", input_column="t", provider=written)
    assert settings.providers == ("groq", "together")
    assert ModelSettings.from_dict(json.loads(json.dumps(settings.to_dict()))).providers == ("groq", "together")


def test_the_hub_is_asked_about_each_provider_and_about_all_for_a_policy() -> None:
    asked: list[str | None] = []

    def unserved(task: Task, name: str, provider: str | None, token: str | None) -> str | None:
        asked.append(provider)
        return None if provider == "together" else f"{provider} does not serve {name}"

    using = {"task": "chat-completion", "input_column": "t", "model_name": "org/m"}
    hub = says("text-generation")
    model_settings({**using, "provider": "groq, together"}, engine(), hub=hub, unserved=unserved)
    with pytest.raises(SettingsError, match="groq does not serve org/m"):
        model_settings({**using, "provider": "groq, cerebras"}, engine(), hub=hub, unserved=unserved)
    with pytest.raises(SettingsError, match="None does not serve org/m"):
        model_settings({**using, "provider": "cheapest"}, engine(), hub=hub, unserved=unserved)
    assert asked == ["groq", "together", "groq", "cerebras", None]


# --- inputs ----------------------------------------------------------------------------------


def test_columns_have_aliases_and_keep_their_spelling() -> None:
    assert model(task="summarization", column="Mein Text ").columns == {"input_column": "Mein Text "}
    settings = model(task="question-answering", question_column="q", CONTEXT_COLUMN="Select")
    assert settings.columns == {"input_column": "q", "context_column": "Select"}


def test_a_constant_stands_for_a_column() -> None:
    settings = model(task="question-answering", question="Who?", context_column="c")
    assert settings.columns == {"context_column": "c"}
    assert settings.values == {"question": "Who?"}


def test_a_template_stands_for_a_column() -> None:
    settings = model(task="chat-completion", prompt_template="{{a}} or {{ b }}?", system_prompt="Be brief.")
    assert settings.columns == {}
    assert settings.prompt_template == "{{a}} or {{ b }}?"
    assert settings.arguments().values["system_prompt"] == "Be brief."


def test_the_querys_own_rows_may_be_the_table() -> None:
    assert model(task="table-question-answering", question="How many?").columns == {}
    assert model(task="tabular-regression").columns == {}
    assert model(task="tabular-regression", input_columns="age, height").columns == {"input_columns": ("age", "height")}


def test_every_task_can_be_created_from_its_example() -> None:
    for task in TASKS.values():
        columns = {one.argument: one.argument for one in task.inputs if one.required and one.kind is not Kind.RECORD}
        settings = model(task=task.name, model_name="org/name", **columns, **task.example.using)
        assert ModelSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_every_example_that_a_message_gives_is_accepted() -> None:
    root = engine(media_roots="/srv/media")
    for task in TASKS.values():
        columns = {one.argument: one.argument for one in task.inputs if one.required and one.kind is not Kind.RECORD}
        for form in [*own_specs(task), *(one for one in EXECUTION if "model" in one.levels)]:
            if form.example is None or "…" in form.example:
                continue
            written = ast.literal_eval(form.example.replace("true", "True").replace("false", "False"))
            shares = {"rows_per_request": 20} if form.name.startswith("audit") else {}
            fed = {**task.example.using, **columns, **shares}
            limits = {"max_new_tokens"} if form.name == "max_output_length" else set()
            for name in _ways_beside(task, form) | limits:
                fed.pop(name, None)
            model(root, task=task.name, model_name="org/name", **{**fed, form.name: written})


def _ways_beside(task: Task, form: ArgumentSpec) -> set[str]:
    """Return the arguments that feed the same input as ``form`` does."""
    ways = [{one.argument, one.constant or "", "prompt_template" if one.template else ""} for one in task.inputs]
    return set().union(*(way for way in ways if form.name in way))


# --- parameters ------------------------------------------------------------------------------


def test_parameters_flat_and_inside() -> None:
    settings = classifier(top_k="3", parameters={"function_to_apply": "SOFTMAX", "new_thing": [1]})
    assert settings.parameters == {"top_k": 3, "function_to_apply": "softmax", "new_thing": [1]}
    assert settings.sources["top_k"] == settings.sources["new_thing"] == settings.sources["parameters"] == "model"


def test_parameters_as_json_text_with_negative_numbers() -> None:
    settings = model(
        None,
        says("text-generation"),
        model="org/name",
        input_column="t",
        parameters='{"temperature": 0.5, "frequency_penalty": -1}',
        options='{"wait_for_model": true}',
    )
    assert settings.parameters == {"temperature": 0.5, "frequency_penalty": -1}
    assert settings.options == {"wait_for_model": True}


def test_the_tasks_own_arguments_may_stand_inside_parameters() -> None:
    settings = model(task="zero-shot-classification", input_column="t", parameters={"candidate_labels": ["a", "b"]})
    assert settings.values == {"candidate_labels": ["a", "b"]}
    assert settings.parameters == {}


def test_null_is_as_good_as_not_given() -> None:
    settings = classifier(timeout=None, top_k=None, labels=None, provider=None, api_key=None, parameters=None)
    assert settings == classifier()


def test_mindsdbs_own_arguments_are_passed_over() -> None:
    using = {"engine": "hf", "tag": "x", "active": 0, "join_learn_process": True, "__mdb_sql_task": None}
    assert classifier(**using) == classifier()


def test_output_dir_stands_inside_a_media_root(tmp_path: Path) -> None:
    inside, outside = tmp_path / "media", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir()
    (inside / "link").symlink_to(outside)
    at = engine(media_roots=str(inside))
    image = {"task": "text-to-image", "input_column": "t"}
    assert model(at, **image, output_dir=str(inside / "out")).output_dir == str(inside / "out")
    for folder in (outside, inside / ".." / "elsewhere", inside / "link", f"{inside}x", "out"):
        with pytest.raises(SettingsError, match="output_dir must be"):
            model(at, **image, output_dir=str(folder))
    with pytest.raises(SettingsError, match="media_roots"):
        model(engine(), **image, output_dir=str(inside))


# --- layers ----------------------------------------------------------------------------------


def test_defaults_stand_in_one_place() -> None:
    assert {one.name: getattr(Execution(), one.name) for one in fields(Execution)} == {
        form.name: form.default for form in EXECUTION
    }
    assert [one.name for one in fields(Execution)] == [form.name for form in EXECUTION]


def test_query_over_model_over_engine_over_default() -> None:
    at = engine(timeout=10, max_retries=1, cache_ttl=5)
    saved = classifier(at, timeout=20, max_retries=2)
    asked = query_settings(saved, at, {"timeout": 30})
    merged = asked.execution
    assert (merged.timeout, merged.max_retries, merged.cache_ttl, merged.max_batch_size) == (30, 2, 5, 32)
    assert {name: asked.sources[name] for name in ("timeout", "max_retries", "cache_ttl", "max_batch_size")} == {
        "timeout": "query",
        "max_retries": "model",
        "cache_ttl": "engine",
        "max_batch_size": "default",
    }
    assert saved.execution.timeout == 20


def test_null_in_a_query_takes_away_what_the_model_says() -> None:
    at = engine(timeout=10)
    saved = classifier(at, timeout=20, deadline=60, top_k=3, labels="a, b")
    asked = query_settings(saved, at, {"timeout": None, "deadline": None, "top_k": None, "labels": None})
    assert (asked.execution.timeout, asked.execution.deadline) == (10, None)
    assert (asked.parameters, asked.values) == ({}, {})
    assert asked.sources["timeout"] == "engine"
    assert asked.sources["deadline"] == "default"
    assert "top_k" not in asked.sources


@pytest.mark.parametrize(("first", "last"), [("eng", "spa"), ("eng_Latn", "spa_Latn"), ("en", "es_XX")])
def test_languages_may_have_codes_of_three_letters(first: str, last: str) -> None:
    made = model(task="translation", input_column="t", model_name="Helsinki-NLP/opus-mt-en-es",
                 lang_input=first, lang_output=last)  # fmt: skip
    assert made.values == {"lang_input": first, "lang_output": last}


def test_a_stored_model_keeps_the_languages_that_an_older_version_accepted() -> None:
    made = model(task="translation", input_column="t", model_name="Helsinki-NLP/opus-mt-en-es")
    stored = replace(made, values={"lang_output": "Spanish"})
    assert query_settings(stored, engine(), {"timeout": 5}).values == {"lang_output": "Spanish"}
    with pytest.raises(SettingsError, match="has no effect"):
        query_settings(stored, engine(), {"lang_output": "French"})


@pytest.mark.parametrize(
    ("of_engine", "of_model", "of_query", "holds", "source"),
    [
        (None, None, 2, 2, "query"),
        (None, 1, 2, 2, "query"),
        (1, None, None, 1, "engine"),
        (1, 0.5, None, 0.5, "model"),
        (1, 0.5, 0.7, 0.7, "query"),
        (1, 0.5, 2, 1, "engine"),
        (1, 2, None, 1, "engine"),
        (1, 2, 0.7, 0.7, "query"),
    ],
)
def test_the_max_cost_of_an_engine_is_never_raised(
    of_engine: float | None, of_model: float | None, of_query: float | None, holds: float, source: str
) -> None:
    at = engine(max_cost=of_engine)
    using = {"timeout": 5} if of_query is None else {"max_cost": of_query}
    asked = query_settings(classifier(at, max_cost=of_model), at, using)
    assert (asked.execution.max_cost, asked.sources["max_cost"]) == (holds, source)


def test_null_in_a_query_leaves_the_max_cost_of_the_engine() -> None:
    at = engine(max_cost=1, max_cost_per_day=5)
    asked = query_settings(classifier(at, max_cost=0.5), at, {"max_cost": None})
    assert (asked.execution.max_cost, asked.execution.max_cost_per_day) == (1, 5)
    assert (asked.sources["max_cost"], asked.sources["max_cost_per_day"]) == ("engine", "engine")


def test_objects_of_a_query_are_laid_over_the_models() -> None:
    saved = classifier(parameters={"top_k": 3, "x": 1}, options={"a": 1})
    asked = query_settings(saved, engine(), {"parameters": '{"x": 2, "y": 3}', "options": {"a": None, "b": 2}})
    assert asked.parameters == {"top_k": 3, "x": 2, "y": 3}
    assert asked.options == {"b": 2}
    assert (saved.parameters, saved.options) == ({"top_k": 3, "x": 1}, {"a": 1})


def test_a_query_may_feed_the_model_otherwise() -> None:
    saved = model(None, says("text-generation"), model="org/name", input_column="t")
    by_template = query_settings(saved, engine(), {"prompt_template": "{{a}}"})
    assert (by_template.columns, by_template.prompt_template) == ({}, "{{a}}")
    back = query_settings(by_template, engine(), {"column": "b"})
    assert (back.columns, back.prompt_template) == ({"input_column": "b"}, None)
    asked = model(task="question-answering", question="Who?", context_column="c")
    assert query_settings(asked, engine(), {"input_column": "q"}).values == {}


def test_names_in_a_query_are_folded_and_stripped() -> None:
    saved = classifier()
    for name in ("Top_K", "m.top_k", "M.TOP_K", "`m`.top_k", "mindsdb.m.top_k"):
        assert query_settings(saved, engine(), {name: 7}, alias="m").parameters == {"top_k": 7}
    assert query_settings(saved, engine(), {"whatever.top_k": 7}).parameters == {"top_k": 7}


def test_mindsdbs_own_arguments_of_a_query_are_passed_over() -> None:
    own = {"batch_size": 10, "track_column": "id", "partition_size": 5, "threads": 2, "error": "skip", "m.threads": 3}
    saved = classifier()
    assert query_settings(saved, engine(), own, alias="m") == query_settings(saved, engine(), {})


def test_every_argument_but_the_settled_ones_may_be_overridden() -> None:
    saved = classifier()
    for form in MODEL:
        given_value = form.default if form.default is not None else 1
        if form.name in FIXED:
            with pytest.raises(SettingsError, match="cannot be changed in a query"):
                query_settings(saved, engine(), {form.name: "x"})
        elif form.type != "object":
            query_settings(saved, engine(), {form.name: given_value})


def test_media_roots_are_always_the_engines_of_today() -> None:
    saved = ModelSettings.from_dict(classifier(engine(media_roots="/old")).to_dict())
    assert saved.media_roots == ()
    assert query_settings(saved, engine(media_roots="/new"), None).media_roots == ("/new",)


# --- what is kept ----------------------------------------------------------------------------

COLUMN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip()
)
USING = st.fixed_dictionaries(
    {"input_column": COLUMN},
    optional={
        "labels": st.lists(st.from_regex(r"[a-z]{4,8}", fullmatch=True), min_size=2, max_size=2, unique=True),
        "parameters": st.dictionaries(
            st.from_regex(r"x_[a-z]{1,8}", fullmatch=True),
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | COLUMN,
            max_size=4,
        ),
        "top_k": st.integers(1, 100) | st.integers(1, 100).map(str),
        "timeout": st.floats(0.1, 3600) | st.integers(1, 3600).map(str),
        "max_batch_size": st.integers(1, 1000),
        "requests_per_minute": st.none() | st.integers(1, 10**6),
        "on_error": st.sampled_from(["raise", "null", "NULL"]),
        "use_cache": st.booleans() | st.sampled_from(["true", "false"]),
        "api_key": st.just(TOKEN),
    },
)


@given(USING, st.booleans())
def test_settings_survive_being_kept(using: dict[str, Any], named: bool) -> None:
    hub = says("text-classification", "a", "b", id2label={"0": "NEG", "1": "POS"}, mask_token="[MASK]")
    if named:
        using = {**using, "model": "org/name"}
    else:
        using = {**using, "task": "text_classification"}
    settings = model_settings(using, engine(timeout=5), hub=hub)
    saved = json.loads(json.dumps(settings.to_dict(), allow_nan=False))
    assert TOKEN not in json.dumps(saved)
    again = ModelSettings.from_dict(saved, token=settings.token)
    assert again == settings
    assert ModelSettings.from_dict(saved, token=TOKEN).token == settings.token or settings.token is None
    assert query_settings(again, engine(timeout=5), {}) == settings
    assert pickle.loads(pickle.dumps(saved)) == copy.deepcopy(saved)


#: What the first version stored of a model.
STORED = {
    "format": 1, "task": "text-classification", "model": "org/name", "provider": "groq", "base_url": None,
    "endpoint": None, "columns": {"input_column": "review"}, "prompt_template": None, "output_dir": None,
    "values": {"labels": ["a", "b", "c"]}, "parameters": {"top_k": 0}, "options": {},
    "execution": {
        "on_error": "raise", "use_cache": True, "cache_ttl": 86400, "max_batch_size": 8, "max_concurrency": 16,
        "requests_per_minute": None, "timeout": 60, "max_retries": 5, "deadline": None, "max_requests": None,
        "include_meta": False, "dry_run": False,
    },
    "facts": {
        "id": "org/name", "pipeline_tag": "text-classification", "tags": ["x"],
        "id2label": {"0": "NEG", "1": "POS"}, "mask_token": None,
    },
    "sources": {"max_batch_size": "model", "labels": "model", "top_k": "model", "timeout": "default"},
}  # fmt: skip


def test_a_model_of_the_version_before_works() -> None:
    """Also where this version would refuse what it was created with."""
    stored = ModelSettings.from_dict(json.loads(json.dumps(STORED)))
    assert (stored.providers, stored.execution.max_batch_size, stored.facts.tags) == (("groq",), 8, ("x",))
    asked = query_settings(stored, engine(), {"timeout": 30})
    assert (asked.values, asked.parameters) == (STORED["values"], STORED["parameters"])
    assert (asked.execution.max_batch_size, asked.execution.timeout) == (8, 30)
    with pytest.raises(SettingsError, match="labels must be 2 names"):
        query_settings(stored, engine(), {"labels": "a, b, c"})


def test_an_argument_that_came_later_has_its_default_in_a_model_of_before() -> None:
    execution = {name: value for name, value in STORED["execution"].items() if name != "dry_run"}
    stored = ModelSettings.from_dict({**STORED, "execution": execution})
    assert stored.execution.dry_run is False


@pytest.mark.parametrize(
    "saved", [{}, {"format": 0}, {"format": 1}, None, [], {"format": 1, "task": "x", "columns": 5}]
)
def test_what_another_version_kept(saved: Any) -> None:
    with pytest.raises(SettingsError, match="created by another version"):
        ModelSettings.from_dict(saved)


# --- what MindsDB reads ----------------------------------------------------------------------


def read_like_mindsdb(path: Path, wanted: str) -> dict[str, Any]:
    """Return the keyword arguments of ``wanted = Something(key={...})``, read without importing."""
    for item in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name) and item.targets[0].id == wanted:
            assert isinstance(item.value, ast.Call)
            return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in item.value.keywords}
    raise AssertionError(f"{path} does not assign {wanted}")


def test_creation_args_are_the_engines_arguments() -> None:
    found = read_like_mindsdb(Path(huggingface_api_handler.__file__).parent / "creation_args.py", "creation_args")
    assert found == engine_form() == dict(huggingface_api_handler.creation_args)
    assert set(found) == set(all_names(ENGINE))
    assert {name for name, entry in found.items() if entry.get("secret")} == {"api_key", "huggingface_api_api_key"}
    assert found["timeout"]["description"] == "maximum seconds per request; default for the engine's models"


def test_model_using_args_are_the_models_arguments() -> None:
    found = huggingface_api_handler.model_using_args
    assert found == model_form()
    assert set(found) == set(all_names(MODEL))
    assert {name for name, entry in found.items() if entry.get("secret")} == {"api_key", "huggingface_api_api_key"}


def test_forms_have_labels_for_people_and_the_types_of_mindsdb() -> None:
    from mindsdb.integrations.libs.const import HANDLER_CONNECTION_ARG_TYPE as TYPES

    known = {getattr(TYPES, name) for name in dir(TYPES) if name.isupper()}
    entries = {**engine_form(), **model_form(), **{entry["name"]: entry for entry in query_form()}}
    assert {entry["type"] for entry in entries.values()} <= known
    assert not any("_" in entry["label"] for entry in entries.values())
    assert (entries["api_key"]["label"], entries["base_url"]["label"]) == ("API key", "Base URL")
    assert entries["huggingface_api_api_key"]["label"] == "API key (older name)"


def test_the_arguments_of_a_query_are_listed() -> None:
    names = {entry["name"] for entry in query_form()}
    assert names == {spec.name for spec in (*MODEL, *COMMANDS)} - FIXED
    assert {"timeout", "on_error", "dry_run", "parameters"} <= names


@pytest.mark.parametrize("name", ["creation_args.py", "model_using_args.py"])
def test_these_files_are_plain_constants(name: str) -> None:
    source = (Path(huggingface_api_handler.__file__).parent / name).read_text(encoding="utf-8")
    found = [type(item).__name__ for item in ast.parse(source).body]
    assert set(found) <= {"Expr", "ImportFrom", "Assign"}
    assert "import mindsdb" not in source
    assert "from mindsdb" not in source
