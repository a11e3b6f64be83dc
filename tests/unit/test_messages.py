"""The catalogue of mistakes: what people do, or meet, and the whole text that they then read.

Every text is written out, so that a change of wording is seen and judged. Those of USING clauses alone
stand in ``test_argument_messages.py``; here a whole query is sent, to a server on loopback.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import (
    ModelSettings,
    engine_settings,
    model_settings,
    query_command,
    query_settings,
)
from huggingface_api_handler.cache import Cache, NoCache, SqliteCache
from huggingface_api_handler.cache.budgets import Draw, Grant
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.query.advice import unserved
from huggingface_api_handler.query.commands import run_command
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.stopping import Statement
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import ModelFacts

from .end_to_end import CALLER, TOKEN, engine
from .loopback import Heard, Loopback, Speak, answer, raw

#: The last row is the one that goes wrong, where not all do.
BAD = "the bad one"
ROWS = {"text": ["a good one", BAD]}
#: So that it does not hang on the time of day which of two requests is answered first.
ONE_BY_ONE = {"max_retries": 2, "max_batch_size": 1, "max_concurrency": 1}
GOOD = answer([{"label": "POSITIVE", "score": 0.9}])

TEXT = {"task": "text-classification", "model_name": "org/name", "input_column": "text"}
#: A model whose requests cost the same, whatever is in them.
PRICED = {**TEXT, "price": {"request": 0.004}}
WRITE = {"task": "text-generation", "model_name": "org/name", "input_column": "text"}
CHAT = {"task": "chat-completion", "model_name": "org/name", "input_column": "text"}
SPEECH = {"task": "automatic-speech-recognition", "model_name": "org/name", "input_column": "sound"}
IMAGE = {"task": "image-classification", "model_name": "org/name", "input_column": "picture"}
DRAW = {"task": "text-to-image", "model_name": "org/name", "input_column": "text"}
TABLE = {"task": "tabular-classification", "model_name": "org/name"}
ASK = {
    "task": "table-question-answering", "model_name": "org/name", "input_column": "question", "table_column": "sheet",
}  # fmt: skip
SOUND = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + b"\x00" * 24
PDF = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + b"\x00" * 64


def said(status: int, error: Any, **headers: str) -> Speak:
    """An answer with a failing status and the usual JSON."""
    return answer({"error": error}, status, **headers)


def chat(content: str, reason: str = "stop") -> Speak:
    """A chat completion."""
    return answer({"choices": [{"message": {"content": content}, "finish_reason": reason}]})


def page(status: int, title: str, text: str = "") -> Speak:
    return answer(
        f"<html><head><title>{title}</title></head><body><h1>{text or title}</h1></body></html>", status, "text/html"
    )


def silent(heard: Heard, sock: socket.socket) -> None:
    """Say nothing for longer than anybody here waits."""
    time.sleep(2.0)


def serves(**providers: str) -> Speak:
    """The Hub's word on who serves a model, and for what."""
    names = {name.replace("_", "-"): task for name, task in providers.items()}
    mapping = {name: {"status": "live", "providerId": "org/name", "task": task} for name, task in names.items()}
    return answer({"id": "org/name", "inferenceProviderMapping": mapping})


NO_HUB = raw(b"")


@dataclass(frozen=True)
class Query:
    """A query on a model, and what comes of it.

    Attributes:
        service: what the model's server says to the row that goes wrong, or to all.
        model, engine, using: what CREATE MODEL, CREATE ML_ENGINE and the query itself say.
        cells: the columns that the query gives.
        hub: what the Hub says when it is asked.
        environ: the server's environment, for an engine without a token of its own.
        cache: where answers and spending are kept.
    """

    service: Speak = GOOD
    model: Mapping[str, Any] = field(default_factory=lambda: TEXT)
    cells: Mapping[str, Sequence[Any]] = field(default_factory=lambda: ROWS)
    engine: Mapping[str, Any] = field(default_factory=dict)
    using: Mapping[str, Any] = field(default_factory=dict)
    hub: Speak = NO_HUB
    environ: Mapping[str, str] = field(default_factory=dict)
    cache: Cache = field(default_factory=NoCache)


class SpentToday(Cache):
    """A cache by which the budget of the day is spent, but for $0.001."""

    def hold_budget(self, holder: str, draw: Draw) -> Grant:
        return Grant(0.0, draw.cap - 0.001, 0.0)


@dataclass(frozen=True)
class Create:
    """A CREATE MODEL at an engine of Hugging Face's own router; the Hub says who serves the model."""

    model: Mapping[str, Any]
    hub: Speak


class Told(HuggingFaceError):
    """The error of a row, as its cell has it."""

    def __str__(self) -> str:
        return self.message


def ask(case: Query, server: Loopback) -> None:
    """Run the query as MindsDB would have it run; the waits between tries are short."""
    at = engine(server, **case.engine)
    if case.environ:
        environ = {"HUGGINGFACE_API_BASE_URL": at.base_url, **case.environ}
        at = engine_settings(case.engine, environ=environ)
    made = model_settings(case.model, at, hub=lambda *_: None)
    of = query_settings(made, at, {**ONE_BY_ONE, **case.using}, alias=CALLER.name)
    retry = RetryPolicy(of.execution.max_retries, base=0.001, cap=0.002)
    frame = pd.DataFrame(dict(case.cells), dtype=object)
    found = Prediction(of, at, CALLER, Runtime(), case.cache, retry).run(frame)
    if "y_error" in found:
        raise Told(found["y_error"].iloc[-1])
    pytest.fail(f"nothing went wrong: {found.to_dict('list')}")


def create(case: Create) -> ModelSettings:
    at = engine_settings({"api_key": TOKEN}, environ={})
    facts = ModelFacts(id=str(case.model.get("model_name")))
    return model_settings(case.model, at, hub=lambda *_: facts, unserved=unserved)


def text_of(case: Query | Create, patch: pytest.MonkeyPatch) -> str:
    """Return what the case ends in, and its text as the user reads it; ports vary and are left out."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.target.startswith("/api/"):
            return case.hub(heard, sock)
        assert isinstance(case, Query)
        bad = BAD.encode() in heard.body or len(next(iter(case.cells.values()))) == 1
        return (case.service if bad else GOOD)(heard, sock)

    with Loopback(speak) as server:
        patch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(HuggingFaceError) as caught:
            ask(case, server) if isinstance(case, Query) else create(case)
    return str(caught.value).replace(f":{server.port}", "")


MISTAKES: dict[str, tuple[Query | Create, str]] = {
    # --- the token and its account
    "a wrong token": (
        Query(said(401, "Invalid credentials in Authorization header")),
        'the token was refused: "Invalid credentials in Authorization header" (task text-classification, model '
        "org/name, HTTP 401). Create a token at https://huggingface.co/settings/tokens and set it as api_key = "
        "'hf_…' of a new ML_ENGINE, or of this model with RETRAIN; a private model or a wrong model_name causes "
        "the same error.",
    ),
    "a wrong token of the server's": (
        Query(said(401, "Invalid username or password."), environ={"HF_TOKEN": TOKEN}),
        'the token was refused: "Invalid username or password." (task text-classification, model org/name, HTTP '
        "401). The engine has no token of its own, so the one from the server's HF_TOKEN is used. Create a token at "
        "https://huggingface.co/settings/tokens and set it as api_key = 'hf_…' of a new ML_ENGINE, or of this "
        "model with RETRAIN; a private model or a wrong model_name causes the same error.",
    ),
    "no token": (
        Query(said(401, "Invalid username or password."), environ={"NOTHING": "x"}),
        'a token is required, and none was sent: "Invalid username or password." (task text-classification, '
        "model org/name, HTTP 401). Create one at https://huggingface.co/settings/tokens and write CREATE "
        "ML_ENGINE … USING api_key = 'hf_…'; an endpoint or base_url receives the token only if the engine "
        "allows its host.",
    ),
    "a token without the permission": (
        Query(
            said(
                403,
                (
                    "This authentication method does not have sufficient permissions to call "
                    "Inference Providers on behalf of user ada"
                ),
            )
        ),
        'the token lacks a permission: "This authentication method does not have sufficient permissions to call '
        'Inference Providers on behalf of user ada" (task text-classification, model org/name, HTTP 403). Give '
        "it the permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens; with "
        "bill_to, for that organization too.",
    ),
    "an organisation that does not let one": (
        Query(
            said(
                403,
                (
                    "This authentication method does not have sufficient permissions to call "
                    "Inference Providers on behalf of org acme"
                ),
            ),
            engine={"bill_to": "acme"},
        ),
        'the token lacks a permission: "This authentication method does not have sufficient permissions to call '
        'Inference Providers on behalf of org acme" (task text-classification, model org/name, HTTP 403). Give '
        "it the permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens; with "
        "bill_to, for that organization too.",
    ),
    "a gated model": (
        Query(said(403, ("Access to model org/name is restricted and you are not in the authorized list."))),
        "the model is gated, and the token's account has no access: \"Access to model org/name is restricted and "
        'you are not in the authorized list." (task text-classification, model org/name, HTTP 403). Accept its '
        "terms at https://huggingface.co/org/name with the account that the token belongs to, or choose another "
        "model_name.",
    ),
    "refused without a reason": (
        Query(answer("Forbidden", 403, "text/plain"), cells={"text": ["one"]}),
        'the service refused access: "Forbidden" (task text-classification, model org/name, HTTP 403). Check the '
        "token's permissions (https://huggingface.co/settings/tokens), the access conditions at "
        "https://huggingface.co/org/name, and bill_to.",
    ),
    "refused without a reason after others": (
        Query(answer({"message": "Forbidden"}, 403)),
        "the service refused the content of this row, while other rows succeeded: the service refused access: "
        '"Forbidden" (task text-classification, model org/name, row 2, HTTP 403). Check the text or media of this row. '
        "To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "no credits, in 2025's words": (
        Query(
            said(
                402,
                (
                    "You have exceeded your monthly included credits for Inference Providers. "
                    "Subscribe to PRO to get 20x more monthly included credits."
                ),
            )
        ),
        "the account's credits are used up: \"You have exceeded your monthly included credits for Inference "
        'Providers. Subscribe to PRO to get 20x more monthly included credits." (task text-classification, model '
        "org/name, HTTP 402). Buy credits at https://huggingface.co/settings/billing, or set bill_to; then run "
        "the query again: stored answers are not billed twice.",
    ),
    "no credits, in 2026's words": (
        Query(
            said(
                402,
                (
                    "You have depleted your monthly included credits. Purchase pre-paid credits to "
                    "continue using Inference Providers."
                ),
            )
        ),
        "the account's credits are used up: \"You have depleted your monthly included credits. Purchase pre-paid "
        'credits to continue using Inference Providers." (task text-classification, model org/name, HTTP 402). '
        "Buy credits at https://huggingface.co/settings/billing, or set bill_to; then run the query again: "
        "stored answers are not billed twice.",
    ),
    "no credits at one provider": (
        Query(said(402, "You have reached the free monthly usage limit for together.")),
        'the account\'s credits are used up: "You have reached the free monthly usage limit for together." (task '
        "text-classification, model org/name, HTTP 402). Buy credits at https://huggingface.co/settings/billing, "
        "or set bill_to; then run the query again: stored answers are not billed twice.",
    ),
    "no credits, nothing said": (
        Query(answer(b"", 402)),
        "the account's credits are used up (task text-classification, model org/name, HTTP 402). Buy credits at "
        "https://huggingface.co/settings/billing, or set bill_to; then run the query again: stored answers are "
        "not billed twice.",
    ),
    # --- the model
    "not deployed, served by others": (
        Query(
            answer("Not Found", 404, "text/plain"),
            DRAW,
            {"text": [BAD]},
            hub=serves(together="text-to-image", fal_ai="text-to-image"),
        ),
        'the model is not available at this service: "Not Found" (task text-to-image, model org/name, HTTP 404). '
        "It is served by together and fal-ai: create the model with provider = 'together'.",
    ),
    "not deployed, served by nobody": (
        Query(answer("Not Found", 404, "text/plain"), hub=serves()),
        'the model is not available at this service: "Not Found" (task text-classification, model org/name, HTTP '
        "404). No Inference Provider serves it: create the model with model_name = "
        "'distilbert/distilbert-base-uncased-finetuned-sst-2-english', the task's default, or endpoint = "
        "'https://…' of an Inference Endpoint of your own.",
    ),
    "not deployed, the Hub is silent": (
        Query(answer("Not Found", 404, "text/plain")),
        'the model is not available at this service: "Not Found" (task text-classification, model org/name, '
        "HTTP 404). Find a provider that serves it at https://huggingface.co/org/name; then create the model "
        "with that provider, or with another model_name.",
    ),
    "not deployed, though the Hub says so": (
        Query(answer("Not Found", 404, "text/plain"), hub=serves(hf_inference="text-classification")),
        'the model is not available at this service: "Not Found" (task text-classification, model org/name, HTTP '
        "404). The Hub lists it at hf-inference, so this may be temporary: run the query again in a few minutes, or "
        "check https://huggingface.co/org/name.",
    ),
    "not deployed, served for chat alone": (
        Query(
            answer("Not Found", 404, "text/plain"),
            WRITE,
            {"text": [BAD]},
            hub=serves(groq="conversational", together="conversational"),
        ),
        'the model is not available at this service: "Not Found" (task text-generation, model org/name, HTTP '
        "404). It is served for chat-completion, by groq and together: create the model with task = "
        "'chat-completion', or another model_name.",
    ),
    "no such model": (
        Query(
            said(404, "Model org/name does not exist"),
            hub=answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound"),
        ),
        'the service has no model with this name: "Model org/name does not exist" (task text-classification, '
        "model org/name, HTTP 404). The Hub has no model org/name: check the name; if the model is private, the "
        "token must be allowed to read it.",
    ),
    "a provider that does not serve it": (
        Query(
            said(400, "Model not supported by provider together"),
            {**CHAT, "provider": "together"},
            {"text": [BAD]},
            hub=serves(groq="conversational"),
        ),
        'the model is not available at this service: "Model not supported by provider together" (task '
        "chat-completion, model org/name, HTTP 400). It is served by groq: create the model with provider = "
        "'groq'.",
    ),
    "two providers that do not serve it": (
        Query(
            said(400, "Model not supported by provider"),
            {**CHAT, "provider": "groq, together"},
            {"text": [BAD]},
            hub=serves(novita="conversational", groq="text-generation"),
        ),
        'failed after 2 attempts: together: the model is not available at this service: "Model not supported by '
        'provider" (task chat-completion, model org/name, HTTP 400). It is served by novita: create the model with '
        "provider = 'novita'.",
    ),
    "two providers that serve it, by the Hub's word": (
        Query(
            said(400, "Model not supported by provider"),
            {**CHAT, "provider": "groq, together"},
            {"text": [BAD]},
            hub=serves(groq="conversational", together="conversational"),
        ),
        'failed after 2 attempts: together: the model is not available at this service: "Model not supported by '
        'provider" (task chat-completion, model org/name, HTTP 400). The Hub lists it at groq and together, so this '
        "may be temporary: run the query again in a few minutes, or check https://huggingface.co/org/name.",
    ),
    "two providers that are down": (
        Query(said(503, "no server is free"), {**CHAT, "provider": "groq, together"}, {"text": [BAD]}),
        'failed after 3 attempts: groq: the service failed: "no server is free" (task chat-completion, model '
        "org/name, row 1, HTTP 503). Run the query again later, or raise max_retries. To set failed rows to NULL "
        "and continue, write USING on_error = 'null'.",
    ),
    "two providers that are down, where the query goes on": (
        Query(
            said(503, "no server is free"),
            {**CHAT, "provider": "groq, together"},
            {"text": [BAD]},
            using={"on_error": "null"},
        ),
        'failed after 3 attempts: groq: the service failed: "no server is free" (HTTP 503). Run the query again later, '
        "or raise max_retries.",
    ),
    "no credits at the first of two": (
        Query(
            said(402, "You have depleted your monthly included credits"),
            {**CHAT, "provider": "groq, together"},
            {"text": [BAD]},
        ),
        'groq: the account\'s credits are used up: "You have depleted your monthly included credits" (task '
        "chat-completion, model org/name, HTTP 402). Buy credits at https://huggingface.co/settings/billing, or set "
        "bill_to; then run the query again: stored answers are not billed twice.",
    ),
    "no provider that is enabled": (
        Query(
            said(
                400,
                {
                    "message": ("The requested model 'org/name' is not supported by any provider you have enabled."),
                    "type": "invalid_request_error",
                    "param": "model",
                    "code": "model_not_supported",
                },
            ),
            CHAT,
            {"text": [BAD]},
            hub=serves(groq="conversational", novita="conversational"),
        ),
        "the model is not available at this service: \"The requested model 'org/name' is not supported by any "
        'provider you have enabled." (task chat-completion, model org/name, HTTP 400). It is served by groq and '
        "novita: enable one at https://huggingface.co/settings/inference-providers, or create the model with "
        "provider = 'groq'.",
    ),
    "a model that does not chat": (
        Query(
            said(
                400, {"message": "The requested model 'org/name' is not a chat model.", "code": "model_not_supported"}
            ),
            CHAT,
            {"text": [BAD]},
            hub=serves(hf_inference="text-generation"),
        ),
        "the model does not support chat: \"The requested model 'org/name' is not a chat model.\" (task "
        "chat-completion, model org/name, HTTP 400). It is served for text-generation, by hf-inference: create "
        "the model with task = 'text-generation', or another model, such as model_name = "
        "'meta-llama/Llama-3.1-8B-Instruct'.",
    ),
    "another task than the model's": (
        Query(
            said(
                400,
                (
                    "Model org/name is not supported for task text-generation and provider novita. "
                    "Supported task: conversational."
                ),
            ),
            WRITE,
            {"text": [BAD]},
        ),
        'the model is not available for this task: "Model org/name is not supported for task text-generation and '
        'provider novita. Supported task: conversational." (task text-generation, model org/name, HTTP 400). '
        "Create the model with the task that the message names, or with another model_name.",
    ),
    "the old host": (
        Query(
            said(
                410,
                (
                    "https://api-inference.huggingface.co is no longer supported. Please use "
                    "https://router.huggingface.co instead."
                ),
            )
        ),
        'this address is no longer served: "https://api-inference.huggingface.co is no longer supported. Please '
        'use https://router.huggingface.co instead." (task text-classification, model org/name, HTTP 410). Check '
        "endpoint and base_url; api-inference.huggingface.co is gone: leave base_url out to use its successor.",
    ),
    "a paused endpoint": (
        Query(said(400, "Bad Request: The endpoint is paused, ask a maintainer to restart it")),
        'the endpoint is paused: "Bad Request: The endpoint is paused, ask a maintainer to restart it" (task '
        "text-classification, model org/name, HTTP 400). Its owner can resume it at "
        "https://endpoints.huggingface.co; then run the query again.",
    ),
    "an endpoint scaled to zero": (
        Query(said(503, "503 Service Unavailable: the endpoint is scaled to zero")),
        'failed after 3 attempts: the model is starting: "503 Service Unavailable: the endpoint is scaled to '
        'zero" (task text-classification, model org/name, row 2, HTTP 503). Run the query again in a minute, or '
        "raise max_retries or timeout. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a route that is none": (
        Query(answer("Method Not Allowed", 405, "text/plain")),
        'this address does not accept requests of this kind: "Method Not Allowed" (task text-classification, '
        "model org/name, HTTP 405). Check endpoint and base_url.",
    ),
    "created elsewhere than it is served": (
        Create(DRAW, serves(together="text-to-image", fal_ai="text-to-image")),
        "hf-inference does not serve org/name; it is served by together and fal-ai: write provider = "
        "'together' (to send requests there anyway, write provider = 'hf-inference')",
    ),
    "created where nobody serves it": (
        Create(TEXT, serves()),
        "no Inference Provider serves org/name: write model_name = "
        "'distilbert/distilbert-base-uncased-finetuned-sst-2-english', the task's default, or endpoint = "
        "'https://…' of an Inference Endpoint of your own (to send requests there anyway, write provider "
        "= 'hf-inference')",
    ),
    "created for a task that it is not served for": (
        Create(WRITE, serves(groq="conversational")),
        "hf-inference does not serve org/name; it is served for chat-completion, by groq: write task = "
        "'chat-completion', or another model_name (to send requests there anyway, write provider = "
        "'hf-inference')",
    ),
    "created at a provider without it": (
        Create({**DRAW, "provider": "replicate"}, serves(together="text-to-image")),
        "replicate does not serve org/name for text-to-image; it is served by together: write provider = 'together'",
    ),
    "created for a chat that nobody serves": (
        Create(CHAT, serves()),
        "no Inference Provider serves org/name: write model_name = 'meta-llama/Llama-3.1-8B-Instruct', the "
        "task's default, or endpoint = 'https://…' of an Inference Endpoint of your own (to send requests there "
        "anyway, write provider = 'auto')",
    ),
    # --- the service
    "too many requests": (
        Query(said(429, "Rate limit reached.")),
        'failed after 3 attempts: the service\'s rate limit was exceeded: "Rate limit reached." (task '
        "text-classification, model org/name, row 2, HTTP 429). Lower max_concurrency or set "
        "requests_per_minute; run the query again for the remaining rows. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "too many requests, with a pause": (
        Query(said(429, "Too many requests", Retry_After="0")),
        'failed after 3 attempts: the service\'s rate limit was exceeded: "Too many requests" (task '
        "text-classification, model org/name, row 2, HTTP 429). Lower max_concurrency or set "
        "requests_per_minute; run the query again for the remaining rows. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "overloaded": (
        Query(said(503, "Service temporarily unavailable, overload detected")),
        'failed after 3 attempts: the service failed: "Service temporarily unavailable, overload detected" '
        "(task text-classification, model org/name, row 2, HTTP 503). Run the query again later, or raise "
        "max_retries. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "loading for ever": (
        Query(answer({"error": "Model org/name is currently loading", "estimated_time": 0.001}, 503)),
        'failed after 3 attempts: the model is starting: "Model org/name is currently loading" (task '
        "text-classification, model org/name, row 2, HTTP 503). Run the query again in a minute, or raise "
        "max_retries or timeout. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "failed": (
        Query(said(500, "unknown error")),
        'failed after 3 attempts: the service failed: "unknown error" (task text-classification, model '
        "org/name, row 2, HTTP 500). Run the query again later, or raise max_retries. To set failed rows to NULL "
        "and continue, write USING on_error = 'null'.",
    ),
    "too busy": (
        Query(said(500, "Model too busy, unable to get response in less than 120 second(s)")),
        'failed after 3 attempts: the service failed: "Model too busy, unable to get response in less than 120 '
        'second(s)" (task text-classification, model org/name, row 2, HTTP 500). Run the query again later, or '
        "raise max_retries. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a bad gateway's page": (
        Query(page(502, "502 Bad Gateway")),
        'failed after 3 attempts: the service failed: "502 Bad Gateway" (task text-classification, model '
        "org/name, row 2, HTTP 502). Run the query again later, or raise max_retries. To set failed rows to NULL "
        "and continue, write USING on_error = 'null'.",
    ),
    "a gateway that gave up": (
        Query(page(504, "504 Gateway Time-out")),
        'failed after 3 attempts: the service did not respond in time: "504 Gateway Time-out" (task '
        "text-classification, model org/name, row 2, HTTP 504). Make requests smaller (lower max_new_tokens, "
        "max_tokens or max_batch_size), or run the query again later. To set failed rows to NULL and continue, "
        "write USING on_error = 'null'.",
    ),
    "a backend that failed": (
        Query(said(424, "Request failed during generation")),
        'failed after 3 attempts: the model behind the service failed: "Request failed during generation" '
        "(task text-classification, model org/name, row 2, HTTP 424). Run the query again later. To set failed "
        "rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a login page": (
        Query(page(200, "Welcome to HotelNet", "Please sign in")),
        "failed after 3 attempts: the service sent a web page titled 'Welcome to HotelNet' instead of JSON (task "
        "text-classification, model org/name, row 2). A proxy or a network's login page may have responded: "
        "check base_url, endpoint and the server's network, then run the query again. To set failed rows to NULL "
        "and continue, write USING on_error = 'null'.",
    ),
    "a proxy that wants a login": (
        Query(page(407, "Proxy Authentication Required")),
        'the proxy requires a login: "Proxy Authentication Required" (task text-classification, model '
        "org/name, row 2, HTTP 407). Check HTTP_PROXY and HTTPS_PROXY in the environment of the MindsDB server. "
        "To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "an empty answer": (
        Query(answer(b"")),
        "failed after 3 attempts: the service sent an empty response (task text-classification, model org/name, "
        "row 2). Check base_url and endpoint; if they are right, run the query again. To set failed rows to NULL "
        "and continue, write USING on_error = 'null'.",
    ),
    "a part of an answer": (
        Query(answer(b"[", 206, Content_Range="bytes 0-0/99")),
        "failed after 3 attempts: the service sent only a part of its response (status 206) (task "
        "text-classification, model org/name, row 2). Run the query again; if this persists, check for a faulty proxy "
        "between MindsDB and the service. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "an answer that is cut": (
        Query(answer(b'[{"label": "POS')),
        "failed after 3 attempts: the service sent a response that is not JSON (task text-classification, model "
        "org/name, row 2). Check base_url and endpoint; if they are right, run the query again. To set failed "
        "rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "an answer of another task": (
        Query(answer([{"generated_text": "a story"}])),
        "the service returned an object with generated_text, but a list of labels with scores was expected (task "
        "text-classification, model org/name, row 2). Check that the model supports this task. To set failed "
        "rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "an error in a good answer": (
        Query(answer({"error": "something odd"})),
        'failed after 3 attempts: the service responded with an error: "something odd" (task '
        "text-classification, model org/name, row 2). Run the query again later. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "a refusal of the model": (
        Query(chat("I cannot help.", "refusal"), CHAT, {"text": [BAD]}, using={"max_retries": 0}),
        "the model refused to answer: I cannot help. (task chat-completion, model org/name, row 1). Change this "
        "row's text, or choose another model. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "reasoning up to the token limit": (
        Query(chat("<think>Let me", "length"), CHAT, {"text": [BAD]}, using={"max_retries": 0}),
        "the token limit was used up before the answer, for example by the model's reasoning (task "
        "chat-completion, model org/name, row 1). Raise max_tokens, or tell the model to reason less. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "an empty content": (
        Query(chat("", "stop"), CHAT, {"text": [BAD]}, using={"max_retries": 0}),
        "the service sent an empty answer (task chat-completion, model org/name, row 1). Run the query again; if "
        "it stays empty, change the input or choose another model. To set failed rows to NULL and continue, "
        "write USING on_error = 'null'.",
    ),
    "an output that is too long": (
        Query(
            said(422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 12 `inputs` tokens"),
            WRITE,
            {"text": [BAD]},
        ),
        'the input and the requested output together are longer than the model accepts: "`inputs` tokens + '
        '`max_new_tokens` must be <= 4096. Given: 12 `inputs` tokens" (task text-generation, model org/name, '
        "row 1, HTTP 422). Lower max_tokens (text-generation: max_new_tokens), or shorten the input. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a model without images": (
        Query(said(400, "org/name is not a multimodal model"), CHAT, {"text": [BAD]}),
        'the model does not accept images: "org/name is not a multimodal model" (task chat-completion, model '
        "org/name, HTTP 400). Create the model with the model_name of one that does, or without image_column.",
    ),
    "an answer that the service found malformed": (
        Query(
            said(400, "Failed to generate JSON. Please adjust your prompt."),
            CHAT,
            {"text": [BAD]},
            using={"max_retries": 0},
        ),
        "the model's answer does not have the requested format: \"Failed to generate JSON. Please adjust your "
        'prompt." (task chat-completion, model org/name, row 1, HTTP 400). Run the query again; if it fails '
        "again, describe the format in the prompt, or choose another model. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "two values for one field": (
        Query(
            GOOD, {**TEXT, "task": "summarization", "parameters": {"max_length": 20}}, using={"max_output_length": 50}
        ),
        "max_length and max_output_length are the same field at hf-inference, max_length (task summarization, model "
        "org/name). Write only one of them; max_length = NULL in USING removes the model's own.",
    ),
    "options of another server": (
        Query(GOOD, {**CHAT, "options": {"num_ctx": 8192}}),
        "options has no effect at hf-inference: it has no such field (task chat-completion, model org/name). Write "
        "num_ctx in parameters instead.",
    ),
    "an image in the place of text": (
        Query(answer({"choices": [{"message": {"content": None, "images": [{}]}}]}), CHAT, {"text": [BAD]}),
        "the model answered with an image and without text (task chat-completion, model org/name, row 1). Choose a "
        "model that writes text, or another task for media. To set failed rows to NULL and continue, write USING "
        "on_error = 'null'.",
    ),
    "candidates that a server does not look at": (
        Query(GOOD, {**TEXT, "task": "zero-shot-classification", "candidate_labels": "food, billing"}),
        "candidate_labels has no effect at this server: it returns POSITIVE (task zero-shot-classification, "
        "model org/name). Choose a model that supports this task, or set another task.",
    ),
    "a cell that has no text": (
        Query(GOOD, cells={"text": ["a good one", object()]}),
        "the cell cannot be read: its type is object (task text-classification, model org/name, row 2, column "
        "text). Cast the column to text in a sub-select: CAST(… AS VARCHAR). To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "an answer with the token in it": (
        Query(answer({"echo": TOKEN})),
        "the service's response contains the token that was sent to it (task text-classification, model "
        "org/name, row 2). Find out which server base_url or endpoint names, and replace the token. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a redirect": (
        Query(answer(b"", 301, Location="https://elsewhere.example/")),
        "the service redirected the request elsewhere (task text-classification, model org/name, row 2, HTTP "
        "301). Check endpoint and base_url. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "a broken connection": (
        Query(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{")),
        "failed after 3 attempts: the connection broke before the response was complete: 127.0.0.1 (task "
        "text-classification, model org/name, row 2). Run the query again, or raise max_retries. To set failed "
        "rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a server that does not speak HTTP": (
        Query(raw(b"-ERR unknown command\r\n")),
        "failed after 3 attempts: the response is not HTTP: 127.0.0.1 (task text-classification, model org/name, row "
        "2). Check the port in base_url or endpoint, and whether the URL must begin with https://. To set failed rows "
        "to NULL and continue, write USING on_error = 'null'.",
    ),
    "a silent server": (
        Query(silent, cells={"text": [BAD]}, using={"timeout": 0.2}),
        "failed after 3 attempts: no complete response in time (timeout = 0.2 seconds): 127.0.0.1 (task "
        "text-classification, model org/name, row 1). Raise timeout, lower max_batch_size, or ask for shorter "
        "answers. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a token in the service's own words": (
        Query(said(400, f"<b>no good</b>: token {TOKEN}")),
        'the service rejected the input: "no good : token ******" (task text-classification, model org/name, '
        "row 2, HTTP 400). Check this row's values, and the arguments of the model (DESCRIBE <model>.args). To "
        "set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    # --- the input
    "a text that is too long": (
        Query(
            said(
                400, ("The size of tensor a (1204) must match the size of tensor b (512) at non-singleton dimension 1")
            )
        ),
        'the input is longer than the model accepts: "The size of tensor a (1204) must match the size of tensor '
        'b (512) at non-singleton dimension 1" (task text-classification, model org/name, row 2, HTTP 400). '
        "Shorten the text, for example with LEFT(text, 2000) in a sub-select, or choose a model that accepts "
        "longer texts. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a text that is too long for an embeddings server": (
        Query(said(422, ("Input validation error: `inputs` must have less than 512 tokens. Given: 1204"))),
        'the input is longer than the model accepts: "Input validation error: `inputs` must have less than 512 '
        'tokens. Given: 1204" (task text-classification, model org/name, row 2, HTTP 422). Shorten the text, '
        "for example with LEFT(text, 2000) in a sub-select, or choose a model that accepts longer texts. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a prompt that is too long": (
        Query(
            said(
                400,
                {
                    "message": (
                        "This model's maximum context length is 8192 tokens. However, your messages "
                        "resulted in 9000 tokens."
                    )
                },
            ),
            CHAT,
            {"text": [BAD]},
        ),
        "the input is longer than the model accepts: \"This model's maximum context length is 8192 tokens. "
        'However, your messages resulted in 9000 tokens." (task chat-completion, model org/name, row 1, HTTP '
        "400). Shorten the text, for example with LEFT(text, 2000) in a sub-select, or choose a model that "
        "accepts longer texts. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a sound beyond 30 seconds": (
        Query(
            said(
                400,
                (
                    "You have passed more than 3000 mel input features (> 30 seconds) which "
                    "automatically enables long-form generation"
                ),
            ),
            SPEECH,
            {"sound": [SOUND]},
        ),
        'the audio is longer than the model accepts in one request: "You have passed more than 3000 mel input '
        'features (> 30 seconds) which automatically enables long-form generation" (task '
        "automatic-speech-recognition, model org/name, row 1, HTTP 400). Add return_timestamps = true, or split "
        "the audio into pieces of 30 seconds. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "a request that is too large": (
        Query(answer("Failed to buffer the request body: length limit exceeded", 413, "text/plain")),
        'the request is larger than the service accepts: "Failed to buffer the request body: length limit '
        "exceeded\" (task text-classification, model org/name, row 2, HTTP 413). Shorten this row's text, for "
        "example with LEFT(text, 2000) in a sub-select, or shrink its media; or use a server that accepts larger "
        "requests. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a list that is too long": (
        Query(said(422, "batch size 64 > maximum allowed batch size 32")),
        'the list of inputs is longer than the server accepts: "batch size 64 > maximum allowed batch size 32" '
        "(task text-classification, model org/name, row 2, HTTP 422). Give this row fewer texts, or use a server "
        "that accepts longer lists. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a parameter that the model does not take": (
        Query(said(400, "The following `model_kwargs` are not used by the model: ['top_z']")),
        'the model does not accept one of the parameters: "The following `model_kwargs` are not used by the '
        "model: ['top_z']\" (task text-classification, model org/name, HTTP 400). Remove the parameter that the "
        "message names from USING.",
    ),
    "memory used up": (
        Query(said(400, "CUDA out of memory. Tried to allocate 2.00 GiB")),
        'the server ran out of memory on this request: "CUDA out of memory. Tried to allocate 2.00 GiB" (task '
        "text-classification, model org/name, row 2, HTTP 400). Shorten this row's input, or use a server with "
        "more memory. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "refused, with a reason": (
        Query(said(400, ["Error in `inputs.context`: field required"])),
        'the service rejected the input: "Error in `inputs.context`: field required" (task '
        "text-classification, model org/name, row 2, HTTP 400). Check this row's values, and the arguments of "
        "the model (DESCRIBE <model>.args). To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "refused, in a web framework's words": (
        Query(answer({"detail": [{"loc": ["body", "inputs"], "msg": "field required"}]}, 422)),
        'the service could not read the request: "body.inputs: field required" (task text-classification, '
        "model org/name, row 2, HTTP 422). Check this row's values, and the arguments of the model (DESCRIBE "
        "<model>.args). To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "gaps in a table": (
        Query(
            said(
                400,
                ("Input X contains NaN. LogisticRegression does not accept missing values encoded as NaN natively."),
            ),
            TABLE,
            {"age": [None], "height": [180]},
        ),
        'a column contains NULL or text, which the model cannot use: "Input X contains NaN. LogisticRegression '
        'does not accept missing values encoded as NaN natively." (task tabular-classification, model org/name, '
        "row 1, HTTP 400). Replace NULL in a sub-select, for example with COALESCE(age, 0), or set input_columns "
        "to the columns to read. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "words in a table of numbers": (
        Query(said(400, "could not convert string to float: 'tall'"), TABLE, {"age": [40], "height": ["tall"]}),
        'a column contains NULL or text, which the model cannot use: "could not convert string to float: '
        "'tall'\" (task tabular-classification, model org/name, row 1, HTTP 400). Replace NULL in a sub-select, "
        "for example with COALESCE(age, 0), or set input_columns to the columns to read. To set failed rows to "
        "NULL and continue, write USING on_error = 'null'.",
    ),
    "a file, and no folder allowed": (
        Query(model=IMAGE, cells={"picture": ["/etc/hostname"]}),
        "the cell names a file, but the engine allows no files (task image-classification, model org/name, row "
        "1, column picture). The engine's owner can allow a folder: CREATE ML_ENGINE … USING media_roots = "
        "['/srv/media']. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a file outside the folders": (
        Query(model=IMAGE, cells={"picture": ["/etc/hostname"]}, engine={"media_roots": "/srv/media"}),
        "the cell names a file outside the engine's media_roots (task image-classification, model org/name, row "
        "1, column picture). The engine's owner can allow a folder: CREATE ML_ENGINE … USING media_roots = "
        "['/srv/media']. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a file that is not there": (
        Query(model=IMAGE, cells={"picture": ["cat.png"]}, engine={"media_roots": "/srv/media"}),
        "there is no such file inside the engine's media_roots (task image-classification, model org/name, row "
        "1, column picture). Check the path; the file must be on the server that runs MindsDB. To set failed "
        "rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a URL of the inside network": (
        Query(model=IMAGE, cells={"picture": ["http://10.0.0.5/cat.png"]}),
        "'10.0.0.5' has no public address (task image-classification, model org/name, row 1, column picture). "
        "The engine's owner can allow it: CREATE ML_ENGINE … USING allowed_hosts = ['10.0.0.5:80']. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a URL of a cloud's secrets": (
        Query(model=IMAGE, cells={"picture": ["http://169.254.169.254/latest/meta-data"]}),
        "'169.254.169.254' has no public address (task image-classification, model org/name, row 1, column "
        "picture). Use a public URL. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a URL of another kind": (
        Query(model=IMAGE, cells={"picture": ["s3://bucket/cat.png"]}),
        "the cell holds an address that does not begin with http:// or https:// (task image-classification, "
        "model org/name, row 1, column picture). Use an http(s) URL, a data URI, base64 text or bytes. To set "
        "failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a text for a picture": (
        Query(model=IMAGE, cells={"picture": ["a picture of a cat"]}),
        "the cell holds neither bytes, a URL, a data URI, base64 text nor the path of an image (task "
        "image-classification, model org/name, row 1, column picture). Check that the model reads the right "
        "column (DESCRIBE <model>.args). To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a number for a picture": (
        Query(model=IMAGE, cells={"picture": [7]}),
        "the cell holds a number, not an image (task image-classification, model org/name, row 1, column "
        "picture). Use a PNG, JPEG or WebP. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "a PDF for a picture": (
        Query(model=IMAGE, cells={"picture": [PDF]}),
        "the cell holds application/pdf, not an image (task image-classification, model org/name, row 1, column "
        "picture). Use a PNG, JPEG or WebP. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "a sound for a picture": (
        Query(model=IMAGE, cells={"picture": [SOUND]}),
        "the cell holds audio/x-wav, not an image (task image-classification, model org/name, row 1, column "
        "picture). Use a PNG, JPEG or WebP. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "a web page for a picture": (
        Query(model=IMAGE, cells={"picture": [b"<html>please sign in</html>"]}),
        "the cell holds a web page or XML, not an image (task image-classification, model org/name, row 1, "
        "column picture). Use a PNG, JPEG or WebP. To set failed rows to NULL and continue, write USING on_error "
        "= 'null'.",
    ),
    "a data URI that is broken": (
        Query(model=IMAGE, cells={"picture": ["data:image/png;base64,@@@"]}),
        "the data URI holds no base64 (task image-classification, model org/name, row 1, column picture). It "
        "reads data:image/png;base64,… with the medium's bytes behind the comma. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "bytes for a text": (
        Query(cells={"text": [b"\xff\xfe\xfa"]}),
        "the cell holds bytes that are not UTF-8 text (task text-classification, model org/name, row 1, column "
        "text). Use a text column, or a task that reads images, audio or video. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "a table that is none": (
        Query(model=ASK, cells={"question": ["how many?"], "sheet": ["no table"]}),
        "the table is no JSON (task table-question-answering, model org/name, row 1, column sheet). Write it as "
        "{column: [cells]} or [{column: cell}]. To set failed rows to NULL and continue, write USING on_error = "
        "'null'.",
    ),
    "JSON that was asked for": (
        Query(
            answer({"choices": [{"message": {"content": "Five, I would say"}, "finish_reason": "stop"}]}),
            CHAT,
            {"text": [BAD]},
            using={"response_format": {"type": "json_object"}},
        ),
        "response_format requests JSON, but the content is no valid JSON (task chat-completion, model org/name, "
        "row 1). Describe the JSON in the prompt, or choose another model. To set failed rows to NULL and "
        "continue, write USING on_error = 'null'.",
    ),
    "JSON that was cut": (
        Query(
            answer({"choices": [{"message": {"content": '{"stars":'}, "finish_reason": "length"}]}),
            CHAT,
            {"text": [BAD]},
            using={"response_format": {"type": "json_object"}},
        ),
        "response_format requests JSON, but the content is JSON that was cut off at the token limit (task "
        "chat-completion, model org/name, row 1). Raise max_tokens. To set failed rows to NULL and continue, "
        "write USING on_error = 'null'.",
    ),
    "an answer without the fields that were asked for": (
        Query(chat("Five, I would say"), {**CHAT, "output_schema": "stars integer"}, {"text": [BAD]}),
        "failed after 2 attempts: the answer does not match output_schema: there is no JSON object in it (task "
        "chat-completion, model org/name, row 1). Describe the fields in output_schema, give examples, or choose "
        "another model. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a field of another type": (
        Query(chat('{"stars": "5"}'), {**CHAT, "output_schema": "stars integer in (1, 2, 3, 4, 5)"}, {"text": [BAD]}),
        "failed after 2 attempts: the answer does not match output_schema: the field 'stars' is '5', and must be "
        "one of 1, 2, 3, 4, 5, or null (task chat-completion, model org/name, row 1). Describe the fields in "
        "output_schema, give examples, or choose another model. To set failed rows to NULL and continue, write "
        "USING on_error = 'null'.",
    ),
    "fields that were cut": (
        Query(chat('{"stars": ', "length"), {**CHAT, "output_schema": "stars integer"}, {"text": [BAD]}),
        "the answer was cut off at the token limit, so it does not match output_schema (task chat-completion, "
        "model org/name, row 1). Raise max_tokens. To set failed rows to NULL and continue, write USING on_error "
        "= 'null'.",
    ),
    "fields that the model refuses to fill": (
        Query(
            answer({"choices": [{"message": {"content": None, "refusal": "I can't help with that."}}]}),
            {**CHAT, "output_schema": "stars integer"},
            {"text": [BAD]},
        ),
        "the model refused to answer: I can't help with that. (task chat-completion, model org/name, row 1). "
        "Change this row's text, or choose another model. To set failed rows to NULL and continue, write USING "
        "on_error = 'null'.",
    ),
    "a field with the name of an input": (
        Query(GOOD, {**CHAT, "output_schema": "Text text"}, {"text": [BAD]}),
        "output_schema has a field 'Text', which is the name of a column that the model reads. Rename the field, for "
        "example to found_text.",
    ),
    # --- the query
    "a column that is not there": (
        Query(cells={"review": ["x"]}),
        "the query has no column 'text', which the model reads as input_column; its columns are: 'review'. Write "
        "text = '…' in WHERE, or FROM <your table> AS t JOIN <the model> AS m ON m.text = t.<your column>, or USING "
        "input_column = '<your column>'.",
    ),
    "a column of a table that is not there": (
        Query(cells={"id": [1], "texts": ["x"], "__mindsdb_row_id": [1]}),
        "the query has no column 'text', which the model reads as input_column; its columns are: 'id', 'texts'. Write "
        "FROM <your table> AS t JOIN <the model> AS m ON m.text = t.texts, or USING input_column = 'texts'.",
    ),
    "a column with its table": (
        Query(model={**TEXT, "input_column": "t.text"}, cells={"id": [1], "text": ["x"], "__mindsdb_row_id": [1]}),
        "the query has no column 't.text', which the model reads as input_column; its columns are: 'id', 'text'. Write "
        "FROM <your table> AS t JOIN <the model> AS m ON m.`t.text` = t.text, or USING input_column = 'text'.",
    ),
    "two columns for one input": (
        Query(model={**TEXT, "input_column": "a, b"}, cells={"a": ["x"], "b": ["y"]}),
        "the query has no column 'a, b', which the model reads as input_column; its columns are: 'a', 'b'. Name one "
        "column; combine several in a sub-select: CONCAT(a, b) AS text.",
    ),
    "a column that is there twice": (
        Query(cells={"Text": ["x"], "TEXT": ["y"]}),
        "the query has 2 columns named 'text', which the model reads as input_column. Write ON m.text = "
        "<table>.<column>, or rename one of them in a sub-select, with AS.",
    ),
    "a template with an unknown column": (
        Query(model={**WRITE, "input_column": None, "prompt_template": "Say {{revew}}"}, cells={"review": ["x"]}),
        "prompt_template names {{revew}}, but the query has no such column; its columns are: 'review'. Write "
        "{{review}} in prompt_template, or add the column to the query.",
    ),
    "= on a column of the answer": (
        Query(cells={"text": ["x", "z"], "y_retryable": [True, True]}, using={"on_error": "null"}),
        "MindsDB treats = on y_retryable in WHERE as an input of the model and would return all rows. Write "
        "y_retryable IS TRUE instead.",
    ),
    "= on the answer": (
        Query(cells={"text": ["x"], "y": ["POSITIVE"]}),
        "MindsDB treats = on y in WHERE as an input of the model and would show its value for the answer. Write "
        "SELECT * FROM (SELECT …) AS t WHERE y IN ('POSITIVE').",
    ),
    "a misspelt argument": (
        Query(using={"max_retrys": 3}),
        "unknown argument 'max_retrys': did you mean 'max_retries'?",
    ),
    "another task in a query": (
        Query(using={"task": "fill-mask"}),
        "task cannot be changed in a query: remove it, or create another model with CREATE MODEL",
    ),
    "requests used up": (
        Query(using={"max_requests": 1}),
        "the query has sent as many requests as max_requests = 1 allows (task text-classification, model "
        "org/name). Run the query again, or raise max_requests.",
    ),
    "max_cost spent": (
        Query(model=PRICED, using={"max_cost": 0.006}),
        "the query has spent $0.0040 of max_cost = 0.006, and the next request may cost up to $0.0040 (task "
        "text-classification, model org/name). Run the query again for the remaining rows, or raise max_cost.",
    ),
    "max_cost of the engine spent": (
        Query(model=PRICED, engine={"max_cost": 0.006}, using={"max_cost": 5}),
        "the query has spent $0.0040 of max_cost = 0.006 of the engine, and the next request may cost up to "
        "$0.0040 (task text-classification, model org/name). Run the query again for the remaining rows, or "
        "raise max_cost of the engine.",
    ),
    "max_cost below the cost of a request": (
        Query(model=PRICED, using={"max_cost": 0.001}),
        "the query has spent $0.00 of max_cost = 0.001, and the next request may cost up to $0.0040 (task "
        "text-classification, model org/name). Raise max_cost to at least 0.0040 for this request; dry_run = true "
        "estimates the cost of all rows.",
    ),
    "max_cost without a price": (
        Query(using={"max_cost": 0.5}),
        "max_cost needs a price in USD per second of compute, and no price of org/name is published. Write the "
        "service's own price in this statement: RETRAIN m USING task = 'text-classification', model_name = "
        """'org/name', input_column = 'text', price = {"second": 0.00012};""",
    ),
    "max_cost without a price of tokens": (
        Query(model=CHAT, using={"max_cost": 0.5}),
        "max_cost needs a price in USD per million tokens, and no price of org/name is published. Write the "
        "service's own price in this statement: RETRAIN m USING task = 'chat-completion', model_name = 'org/name', "
        """input_column = 'text', price = {"input": 0.6, "output": 0.8};""",
    ),
    "max_cost with an engine's price of other tasks": (
        Query(model=CHAT, engine={"price": {"input": 0.6}}, using={"max_cost": 0.5}),
        "max_cost needs a price in USD per million tokens, and no price of org/name is published; that of the engine "
        "has input without output, and chat-completion is billed by both. Write the service's own price in this "
        "statement: RETRAIN m USING task = 'chat-completion', model_name = 'org/name', input_column = 'text', "
        """price = {"input": 0.6, "output": 0.8};""",
    ),
    "max_cost without a price of a long model": (
        Query(model={**CHAT, "system_prompt": "Be brief. " * 40, "price": None}, using={"max_cost": 0.5}),
        "max_cost needs a price in USD per million tokens, and no price of org/name is published. RETRAIN the model "
        'with price = {"input": 0.6, "output": 0.8} and, since USING replaces all arguments, with its other ones.',
    ),
    "max_cost without a price of requests": (
        Query(model={**DRAW, "provider": "fal-ai"}, using={"max_cost": 0.5}),
        "max_cost needs a price in USD per request, and no price of org/name is published. Write the service's own "
        "price in this statement: RETRAIN m USING task = 'text-to-image', model_name = 'org/name', provider = "
        """'fal-ai', input_column = 'text', price = {"request": 0.003};""",
    ),
    "max_cost without a price of each provider": (
        Query(model={**CHAT, "provider": "groq, together"}, using={"max_cost": 0.5}),
        "max_cost needs a price in USD per million tokens, and not all of groq, together publish a price of org/name. "
        "Write the service's own price in this statement: RETRAIN m USING task = 'chat-completion', model_name = "
        """'org/name', provider = 'groq, together', input_column = 'text', price = {"input": 0.6, "output": 0.8};""",
    ),
    "max_cost_per_day without a price": (
        Query(engine={"max_cost_per_day": 5}),
        "max_cost_per_day needs a price in USD per second of compute, and no price of org/name is published. Write the "
        "service's own price in this statement: RETRAIN m USING task = 'text-classification', model_name = "
        """'org/name', input_column = 'text', price = {"second": 0.00012};""",
    ),
    "max_cost_per_day without a cache": (
        Query(model=PRICED, engine={"max_cost_per_day": 5}),
        "max_cost_per_day needs MindsDB's cache, in which all workers record what they spend, and the cache is "
        "off. Set cache.type in MindsDB's configuration to local or redis, or create the engine with max_cost "
        "instead of max_cost_per_day.",
    ),
    "max_cost_per_day with a cache that fails": (
        Query(model=PRICED, engine={"max_cost_per_day": 5}, cache=Cache()),
        "the cache in which all workers record their spending for max_cost_per_day = 5 cannot be used (task "
        "text-classification, model org/name). Run the query again when MindsDB's cache works; the log names the "
        "error.",
    ),
    "max_cost_per_day spent": (
        Query(model=PRICED, engine={"max_cost_per_day": 5}, cache=SpentToday()),
        "the engine has spent $5.00 of max_cost_per_day = 5 today, and the next request may cost up to $0.0040 "
        "(task text-classification, model org/name). Run the query again after midnight UTC, when the next "
        "day's limit begins, for the remaining rows, or raise max_cost_per_day of the engine.",
    ),
    "max_cost_per_day below the cost of a request": (
        Query(model=PRICED, engine={"max_cost_per_day": 0.003}, cache=SpentToday()),
        "the engine has spent $0.0020 of max_cost_per_day = 0.003 today, and the next request may cost up to $0.0040 "
        "(task text-classification, model org/name). Raise max_cost_per_day of the engine to at least 0.0040 for "
        "this request; dry_run = true estimates the cost of all rows.",
    ),
    "max_cost_per_day of a model": (
        Create({**TEXT, "max_cost_per_day": 5}, NO_HUB),
        "max_cost_per_day is an argument of the engine: write it in CREATE ML_ENGINE, and remove it here",
    ),
    "a deadline that has passed": (
        Query(silent, cells={"text": [BAD]}, using={"deadline": 0.3}),
        "the deadline of 0.3 seconds passed before this row was answered (task text-classification, model "
        "org/name). Run the query again, or raise deadline.",
    ),
    "a list that goes wrong": (
        Query(answer([[{"label": "A", "score": 1.0}]] * 3), {**TEXT}, {"text": [BAD]}),
        "the service returned a list of 1, the first of them an object with label, score, but a list of labels "
        "with scores was expected (task text-classification, model org/name, row 1). Check that the model "
        "supports this task. To set failed rows to NULL and continue, write USING on_error = 'null'.",
    ),
    "a row that fails, where the query goes on": (
        Query(said(400, "no good"), using={"on_error": "null"}),
        'the service rejected the input: "no good" (HTTP 400). Check this row\'s values, and the arguments of the '
        "model (DESCRIBE <model>.args).",
    ),
    "a row that is not sent any more": (
        Query(answer(b"", 402), using={"on_error": "null", "max_concurrency": 1}, cells={"text": [BAD, "another"]}),
        "not sent, because the query had stopped: the account's credits are used up. Fix the cause, then run the "
        "query again for the remaining rows.",
    ),
}


#: What ends a query early or refuses a command.
STOPS: dict[str, tuple[Callable[[Prediction, Path], object], str]] = {
    "a query that is stopped": (
        lambda made, _: replace(made, statement=Statement(("1",)), store=Stopping()).run(pd.DataFrame(ROWS)),
        "the query was stopped on request. Run it again to resume it.",
    ),
    "a stop without a cache": (
        lambda made, _: run_command("stop", made, pd.DataFrame(ROWS)),
        "MindsDB's cache is off, so the running queries of other workers are not known. DROP MODEL m stops them.",
    ),
    "a stop while the cache is away": (
        lambda made, folder: run_command("stop", replace(made, store=away(folder)), pd.DataFrame(ROWS)),
        "the request to stop could not be stored, because MindsDB's cache cannot be reached. Try again; DROP "
        "MODEL m stops its queries without the cache.",
    ),
    "clearing while the cache is away": (
        lambda made, folder: run_command("clear_cache", replace(made, store=away(folder)), pd.DataFrame(ROWS)),
        "not all stored answers of this model could be deleted, because MindsDB's cache cannot be reached. Try again.",
    ),
    "clearing in a dry run": (
        lambda made, folder: run_command(
            "clear_cache",
            replace(made, model=query_settings(made.model, made.engine, {"dry_run": True}), store=away(folder)),
            pd.DataFrame(ROWS),
        ),
        "clear_cache and dry_run are mutually exclusive. Write only one of them.",
    ),
    "two commands": (
        lambda made, _: query_command(TASKS["text-classification"], {"stop": True, "m.clear_cache": True}),
        "stop and clear_cache are mutually exclusive. Write only one of them.",
    ),
    "a command that is not true or false": (
        lambda made, _: query_settings(made.model, made.engine, {"clear_cache": "all"}),
        "clear_cache must be true or false, not 'all': write clear_cache = true",
    ),
    "a stop that is not true or false": (
        lambda made, _: query_settings(made.model, made.engine, {"stop": "END"}),
        "stop must be true or false, not 'END': write stop = true",
    ),
}


class Stopping(NoCache):
    """Every query is to stop."""

    def stop_requested(self, names: Iterable[str]) -> bool:
        return True


def away(folder: Path) -> SqliteCache:
    """A cache that can be neither read nor written."""
    (folder / "file").write_text("no folder")
    return SqliteCache(folder / "file" / "answers.sqlite")


@pytest.mark.parametrize(("act", "text"), STOPS.values(), ids=STOPS)
def test_says_about_stops(act: Callable[[Prediction, Path], object], text: str, tmp_path: Path) -> None:
    at = engine(None)
    made = Prediction(model_settings(TEXT, at, hub=lambda *_: None), at, CALLER, Runtime(), NoCache())
    with pytest.raises(HuggingFaceError) as caught:
        act(made, tmp_path)
    assert str(caught.value) == text


@pytest.mark.parametrize(("case", "text"), MISTAKES.values(), ids=MISTAKES)
def test_says(case: Query | Create, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_of(case, monkeypatch) == text


@pytest.mark.parametrize("text", [text for _, text in MISTAKES.values()], ids=MISTAKES)
def test_reads_well_where_little_is_shown(text: str) -> None:
    """MySQL's own client shows 512 bytes: what happened, and the first thing to do, are among them."""
    assert "\n" not in text
    facts = text.rfind(", HTTP ") if ", HTTP " in text else text.find(" (task ")
    first_advice = text.find(". ", text.find("). ", max(facts, 0)) + 3)
    assert (first_advice if first_advice > 0 else len(text)) < 440
    assert not text.startswith(("On_", "M.", "Api_"))
    assert "None" not in text and "Error(" not in text and "Traceback" not in text
    assert len(text) < 640
