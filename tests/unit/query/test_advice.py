"""Who serves a model, and what to write instead; the Hub is asked for it once, and never trusted to answer."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.errors import Forbidden, InvalidInput, ModelNotFound, RateLimited, Unavailable
from huggingface_api_handler.hub import facts
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.query import advice
from huggingface_api_handler.query.advice import Adviser, Serving, listed, unserved
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import ModelFacts
from tests.unit.end_to_end import TOKEN, engine, model, predict
from tests.unit.loopback import Heard, Loopback, Speak, answer, raw

NOT_FOUND = answer("Not Found", 404, "text/plain")


def served(**providers: str) -> tuple[Served, ...]:
    return tuple(Served(name.replace("_", "-"), task, "live", "m") for name, task in providers.items())


# --- sorting what the Hub says ---------------------------------------------------------------

BART = "model_name = 'facebook/bart-large-cnn'"


@pytest.mark.parametrize(
    ("task", "provider", "word", "fault"),
    [
        ("summarization", None, served(hf_inference="summarization"), None),
        # hf-inference serves related tasks by the same model, whatever the Hub calls it
        ("feature-extraction", None, served(hf_inference="sentence-similarity"), None),
        ("summarization", None, None, None),
        ("summarization", "hf-inference", (), None),
        ("chat-completion", None, served(groq="conversational"), None),
        ("chat-completion", "auto", (), None),
        ("chat-completion", "groq", served(groq="conversational"), None),
        (
            "chat-completion",
            "nebius",
            served(groq="conversational", together="conversational"),
            "nebius does not serve org/name for chat-completion; it is served by groq and together: "
            "write provider = 'groq'",
        ),
        (
            "chat-completion",
            "groq",
            (Served("'; DROP", "conversational", "live", "m"), *served(brand_new="conversational")),
            "groq does not serve org/name for chat-completion; it is served by brand-new: write provider = 'auto'",
        ),
        (
            "text-generation",
            None,
            served(hf_inference="conversational"),
            "hf-inference does not serve org/name; it is served for chat-completion, by hf-inference: write "
            "task = 'chat-completion', or another model_name (to send requests there anyway, write "
            "provider = 'hf-inference')",
        ),
        (
            "summarization",
            None,
            served(scaleway="feature-extraction"),
            "hf-inference does not serve org/name; it is served for feature-extraction, by scaleway: write "
            f"task = 'feature-extraction', provider = 'scaleway', or another model, such as {BART} (to send requests "
            f"there anyway, write provider = 'hf-inference')",
        ),
        # a provider of which this package knows nothing for the task is no help
        (
            "summarization",
            None,
            served(unheard_of="summarization"),
            "hf-inference does not serve org/name; it is served by unheard-of alone, to which this package cannot "
            "send requests: "
            f"write {BART}, the task's default, or endpoint = 'https://…' of an Inference Endpoint of your own (to "
            f"send requests there anyway, write provider = 'hf-inference')",
        ),
        (
            "summarization",
            None,
            (Served("hf-inference", "summarization", "error", "m"),),
            f"no Inference Provider serves org/name: write {BART}, the task's default, or endpoint = 'https://…' of an "
            "Inference Endpoint of your own (to send requests there anyway, write provider = 'hf-inference')",
        ),
    ],
)
def test_what_is_wrong_with_asking_there(
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    provider: str | None,
    word: tuple[Served, ...] | None,
    fault: str | None,
) -> None:
    monkeypatch.setattr(facts, "providers", lambda *_, **__: word)
    assert unserved(TASKS[task], "org/name", provider, None) == fault


def test_a_status_or_a_task_of_another_time_does_no_harm() -> None:
    odd = (Served("groq", None, None, None), Served("x", "brain-surgery", "live", "m"))
    assert Serving.of(TASKS["summarization"], odd) == Serving((), (), {})


def test_names_in_a_sentence() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c, d and others"


# --- before a model is created ---------------------------------------------------------------


def test_the_hub_is_not_asked_where_its_word_does_not_matter() -> None:
    asked: list[str] = []

    def note(task: Any, name: str, provider: str | None, token: str | None) -> str | None:
        asked.append(name)
        return None

    def made(at: Any, **using: Any) -> None:
        model_settings(using, at, hub=lambda name, _: ModelFacts(id=name), unserved=note)

    router = engine_settings({"api_key": TOKEN}, environ={})
    gateway = engine_settings({"api_key": TOKEN, "base_url": "https://gateway.example/x"}, environ={})
    made(router, task="summarization", column="t")  # the default is settled in the registry
    made(gateway, task="summarization", column="t", model_name="org/name")
    made(router, task="summarization", column="t", api_key=TOKEN,
         endpoint="https://x.endpoints.huggingface.cloud", model_name="org/name")  # fmt: skip
    assert asked == []
    made(router, task="summarization", column="t", model_name="org/name")
    assert asked == ["org/name"]


@pytest.mark.parametrize("error", [Unavailable("away"), Forbidden("gated"), ModelNotFound("no")])
def test_a_hub_that_refuses_refuses_no_model(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(facts, "providers", refuse)
    assert unserved(TASKS["summarization"], "org/name", None, None) is None


# --- once a query has failed -----------------------------------------------------------------


def silent(heard: Heard, sock: socket.socket) -> None:
    time.sleep(2.0)


def failing(hub: Speak, monkeypatch: pytest.MonkeyPatch, **using: Any) -> tuple[list[str], list[Heard]]:
    """Ask for 40 rows in vain; return their errors, and what the Hub heard."""
    with Loopback(NOT_FOUND) as service, Loopback(hub) as the_hub:
        monkeypatch.setenv("HF_ENDPOINT", the_hub.url)
        at = engine(service)
        of = model(at, **{"task": "summarization", "model_name": "org/name", "input_column": "text", **using})
        found = predict(at, of, {"text": [f"text {number}" for number in range(40)]}, max_batch_size=1)
        return list(found["y_error"]), the_hub.heard


def test_the_hub_is_asked_once_with_the_users_token(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = {"novita": {"status": "live", "providerId": "m", "task": "conversational"}}
    errors, heard = failing(answer({"id": "org/name", "inferenceProviderMapping": mapping}), monkeypatch)
    assert len(heard) == 1
    assert heard[0].target.startswith("/api/models/org/name?")
    assert heard[0].headers["authorization"] == f"Bearer {TOKEN}"
    reported = [error for error in errors if not error.startswith("not sent")]
    assert reported
    assert set(reported) == {
        'the model is not available at this service: "Not Found" (HTTP 404). It is served for chat-completion, by '
        f"novita: create the model with task = 'chat-completion', or another model, such as {BART}."
    }


@pytest.mark.parametrize(
    "hub",
    [
        answer(b"", 500),
        answer({"error": "Invalid credentials in Authorization header"}, 401),
        answer({"error": "slow down"}, 429),
        answer("<html>sign in</html>", 200, "text/html"),
        answer(json.dumps([1, 2])),
        answer({"inferenceProviderMapping": "nonsense"}, 403),
        raw(b"not even HTTP\r\n\r\n"),
        raw(b""),
        silent,
    ],
)
def test_a_hub_that_cannot_say_makes_no_error_of_its_own(hub: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "HUB_TIMEOUT", 0.3)
    errors, heard = failing(hub, monkeypatch)
    assert len(heard) == 1
    first = next(error for error in errors if not error.startswith("not sent"))
    assert first == (
        'the model is not available at this service: "Not Found" (HTTP 404). Find a provider that serves it at '
        "https://huggingface.co/org/name; then create the model with that provider, or with another model_name."
    )


def test_an_endpoint_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(NOT_FOUND) as service, Loopback() as the_hub:
        monkeypatch.setenv("HF_ENDPOINT", the_hub.url)
        at = engine(None, allowed_hosts=f"127.0.0.1:{service.port}")
        of = model(at, task="summarization", input_column="text", endpoint=service.url)
        (error,) = predict(at, of, {"text": ["a"]})["y_error"]
        assert the_hub.heard == []
    assert error.endswith("Check model_name, endpoint and its path, and that the server supports this task.")


def test_errors_of_a_row_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    at = engine(None)
    monkeypatch.setattr(facts, "providers", lambda *_, **__: pytest.fail("asked"))
    adviser = Adviser(model(at, task="summarization", input_column="t"), at, TOKEN)
    for error in (InvalidInput("x", advice="y"), RateLimited("x", advice="y")):
        assert adviser.advised(error) is error
