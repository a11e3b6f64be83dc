"""The error tree: codes, texts, copies, pickles, secrets."""

from __future__ import annotations

import pickle

import pytest

from huggingface_api_handler import errors
from huggingface_api_handler.errors import BY_CODE, MASK, HuggingFaceError, RateLimited, redact

CODES = {
    "invalid_settings", "invalid_input", "payload_too_large", "unauthorized", "forbidden", "out_of_credits",
    "model_not_found", "endpoint_gone", "rate_limited", "model_loading", "unavailable", "timeout", "connection",
    "invalid_answer", "blocked_address", "blocked_file", "budget_exceeded", "deadline_exceeded", "not_attempted",
    "stopped",
}  # fmt: skip

TOKEN = "hf_" + "q" * 34


def test_codes_are_the_published_ones() -> None:
    assert set(BY_CODE) == CODES


def test_docstring_draws_every_class() -> None:
    drawing = errors.__doc__ or ""
    for code, kind in BY_CODE.items():
        assert f"{kind.__name__} " in drawing and f" {code} " in drawing


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=BY_CODE)
def test_survives_pickling(kind: type[HuggingFaceError]) -> None:
    error = kind("it broke", advice="correct it", task="t", model="o/m", status=500, request_id="r1", row=3, attempts=2)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.row, again.attempts, again.retryable, again.divisible) == (3, 2, kind.retryable, kind.divisible)


def test_text_is_one_complete_line() -> None:
    error = RateLimited(
        "the service\nsays slow down", advice="Set max_concurrency lower", task="fill-mask", model="o/m",
        status=429, row=0, attempts=6, request_id="abc",
    )  # fmt: skip
    assert str(error) == (
        "failed after 6 attempts: the service says slow down (task fill-mask, model o/m, row 1, HTTP 429, "
        "request abc). Set max_concurrency lower."
    )


def test_no_text_shows_a_token() -> None:
    error = RateLimited(f"bad {TOKEN}", advice=f"use not {TOKEN}", request_id=TOKEN)
    shown = str(error) + repr(error) + repr(vars(error)) + pickle.dumps(error).decode("latin1")
    assert TOKEN not in shown


@pytest.mark.parametrize(
    "text",
    ["Bearer authentication is not enabled", "Use Bearer token-based access.", "bearer, then the key",
     'WWW-Authenticate: Bearer realm="models"', "hf_inference and hf_hub_download"],
)  # fmt: skip
def test_redact_leaves_prose_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_redact_takes_named_secrets_and_bearers() -> None:
    assert redact("key s3cret-value and Authorization: Bearer abc.def", "s3cret-value") == (
        "key ****** and Authorization: Bearer ******"
    )


@pytest.mark.parametrize(
    "text",
    [f"?q=Bearer%20{TOKEN}", f"token%3D{TOKEN}&x=1", f"x{TOKEN}", f"_{TOKEN}", "api_org_" + "q" * 34,
     "hf_oauth_eyJhbGciOiJFZERTQSJ9.eyJ-X_Y.Zz09", "hf_jwt_eyJhbGciOiJFZERTQSJ9.eyJ-X_Y.Zz09",
     "BEARER Zq7-gateway.key", "bearer%20Zq7-gateway.key"],
)  # fmt: skip
def test_redact_knows_tokens_of_every_make_and_wherever_they_begin(text: str) -> None:
    masked = redact(text)
    assert MASK in masked
    assert "qqq" not in masked and "Zz09" not in masked and "Zq7" not in masked


def test_a_name_that_begins_like_a_token_is_none() -> None:
    assert redact("DESCRIBE hf_sentiment_classifier.args") == "DESCRIBE hf_sentiment_classifier.args"


def test_with_facts_adds_and_keeps() -> None:
    cause = ValueError("x")
    error = RateLimited("slow", row=1)
    error.__cause__ = cause
    more = error.with_facts(row=9, task="t")
    assert (more.row, more.task, more.__cause__) == (1, "t", cause)
    assert error.task is None


def test_a_copy_keeps_what_the_request_cost() -> None:
    error = RateLimited("slow")
    error.requests, error.cost, error.usage = 2, 0.5, object()
    for copy in (error.with_facts(row=1), error.advising("Wait")):
        assert (copy.requests, copy.cost, copy.usage) == (2, 0.5, error.usage)
