"""Refusals in the words of real servers: whose fault they are, what they advise, how long they ask to wait."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from huggingface_api_handler.errors import (
    BY_CODE,
    Forbidden,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelNotFound,
    OutOfCredits,
    RateLimited,
    SettingsError,
    Unauthorized,
)
from huggingface_api_handler.net.error_body import reason_of
from huggingface_api_handler.net.error_mapping import failure, failure_within
from huggingface_api_handler.net.retry_after import retry_after
from huggingface_api_handler.net.url_policy import UrlPolicy
from tests.unit.end_to_end import TOKEN, engine, model, predict
from tests.unit.loopback import Loopback, answer
from tests.unit.net.client import Client

HTML = {"content-type": "text/html; charset=UTF-8"}
PAGE = b"<!DOCTYPE html><html><head><title>Attention Required! | Firewall</title></head><body>Sorry</body></html>"


def of(status: int, body: Any, headers: dict[str, str] | None = None, **facts: Any) -> HuggingFaceError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure(status, headers or {}, content, **facts)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


# --- what a server says is shown as it is ---------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "No mask_token (<mask>) found on the input", "<mask> is missing", "<extra_id_0> is reserved",
        "List<int> expected, not Map<str, List<int>>", "use <|im_start|> and </s>", "a < b && c > d", "1 &lt; 2",
        "<image> token is missing", "<s> and <pad>",
    ],
)  # fmt: skip
def test_text_with_angle_brackets_is_not_html(text: str) -> None:
    for body in ({"error": text}, {"error": {"message": text}}, [{"error": text}], text):
        assert reason_of({}, json.dumps(body).encode()) == text
    assert reason_of({"content-type": "text/plain"}, text.encode()) == text
    assert reason_of({"x-error-message": text}, b"") == text


def test_html_is_text_even_within_json() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
    for content in (page.encode(), json.dumps({"error": page}).encode()):
        assert reason_of({}, content) == "502 Bad Gateway"
    assert reason_of(HTML, b"Sorry &amp; no<br>") == "Sorry & no"


# --- a row's content, or the settings -------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 405, 406])
@pytest.mark.parametrize("headers", [HTML, {}])
def test_a_firewalls_page_may_concern_the_rows_content(status: int, headers: dict[str, str]) -> None:
    error = of(status, PAGE, headers)
    assert type(error) is Forbidden
    assert (error.concerns_content, error.divisible, error.retryable) == (True, True, False)
    assert "Attention Required!" in str(error)
    assert "firewall" in str(error)


@pytest.mark.parametrize(
    "body", [b"error code: 1020", b"Request blocked by the WAF", b'{"message": "Request blocked."}']
)
def test_a_firewalls_text_may_concern_the_rows_content(body: bytes) -> None:
    assert of(403, body).concerns_content


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Forbidden"}, {"message": "forbidden"}, {"error": {"message": "Access denied.", "code": 403}},
        b"Forbidden", b"403 Forbidden", b"", b"Access Denied",
    ],
)  # fmt: skip
def test_a_refusal_without_a_reason_may_concern_the_rows_content(body: Any) -> None:
    """Amazon's API Gateway says this if its firewall refuses a text, and also if the key is wrong."""
    error = of(403, body)
    assert type(error) is Forbidden
    assert (error.concerns_content, error.divisible, error.retryable) == (True, False, False)
    assert "Check the token" in str(error)


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "The response was filtered due to the prompt triggering content management policy.",
                   "code": "content_filter", "status": 400}},
        {"error": "Your request was rejected as a result of our safety system."},
        {"error": {"message": "This prompt violates our usage policies", "type": "invalid_request_error"}},
        {"error": {"message": "Input flagged by moderation"}},
        {"message": "Content policy violation detected"},
        {"detail": "NSFW content detected"},
        {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}},
        {"error": {"message": "The request was rejected because it was considered high risk"}},
        {"error": {"message": "The request was rejected", "type": "content_filter"}},
        {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}},
    ],
)  # fmt: skip
def test_a_moderations_refusal_is_one_rows_error(status: int, body: Any) -> None:
    error = of(status, body)
    assert type(error) is InvalidInput
    assert (error.concerns_content, error.divisible, error.fatal, error.retryable) == (True, True, False, False)


@pytest.mark.parametrize("status", [400, 403, 422])
@pytest.mark.parametrize(
    "words",
    [
        "Your account has been flagged for violating our usage policies. Contact support.",
        "This organization was suspended by our moderation team",
        "API key disabled: violation of our terms",
        "Request blocked by content policy: insufficient credits for moderated models",
        "Billing: your last payment failed, so moderation blocks this workspace",
    ],
)
def test_a_moderation_that_speaks_of_the_account_may_concern_every_row(status: int, words: str) -> None:
    """The other rows show which it is: a row's own text, which the message quotes, may speak of accounts."""
    error = of(status, {"error": {"message": words}})
    assert type(error) is Forbidden
    assert (error.concerns_content, error.divisible, error.fatal, error.retryable) == (True, True, True, False)


@pytest.mark.parametrize(
    "words",
    [
        "You have exceeded your per minute credits. Try again later.",
        "exceeded your credits per minute",
        "Out of inference credits: 100 per hour are free",
    ],
)
def test_credits_of_a_minute_are_a_rate_limit(words: str) -> None:
    for error in (of(429, {"error": words}), failure_within(200, {}, {"error": words})):
        assert type(error) is RateLimited
    assert type(of(429, {"error": "You have exceeded your monthly included credits"})) is OutOfCredits


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"error": "Invalid username or password."}), (401, PAGE), (402, PAGE), (404, PAGE),
        (403, {"error": "This authentication method does not have sufficient permissions"}), (401, b"Forbidden"),
        (403, {"message": "Missing Authentication Token"}), (403, {"error": "Forbidden for users of this plan"}),
        (400, {"error": "schema violation: 'inputs' is required"}), (405, b"Method Not Allowed"),
        (422, {"error": "no"}),
    ],
)  # fmt: skip
def test_other_refusals_do_not_concern_the_content(status: int, body: Any) -> None:
    assert not of(status, body).concerns_content


def test_what_an_error_concerns_stays_with_it() -> None:
    error = of(403, PAGE).with_facts(row=1, task="x").advising("y")
    assert (error.concerns_content, error.row) == (True, 1)
    assert of(413, {"error": "prompt is too long"}).with_facts(row=1).is_too_long


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "/chat/completions: Invalid model name passed in model=gpt-x. "
                                    "Call `/v1/models` to view available models for your key."}}),
        (404, {"object": "error", "message": "The model `org/x` does not exist.", "code": 404}),
        (404, {"error": {"message": "model 'llama9' not found", "type": "api_error"}}),
        (404, {"error": {"message": "no", "code": "model_not_found"}, "detail": "Unknown model: x"}),
        (422, {"error": "Model Not Found"}),
        (404, b"Not Found"),
        (400, {"error": {"message": "Unable to access non-serverless model x/y", "code": "model_not_available"}}),
        (400, {"error": {"message": "The model `gemma-7b-it` is decommissioned", "code": "model_decommissioned"}}),
        (410, {"error": "model llama-2 has been deprecated"}),
    ],
)  # fmt: skip
def test_a_wrong_model_name_names_the_argument(status: int, body: Any) -> None:
    error = of(status, body, is_hugging_face=False)
    assert type(error) is ModelNotFound
    assert "model_name" in str(error)
    assert "huggingface.co" not in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]},
        {"error": {"message": "you must provide a model parameter"}},
        {"error": "missing field `model` at line 1 column 20"},
    ],
)
def test_a_missing_model_name_is_no_rows_error(body: Any) -> None:
    error = of(422, body)
    assert type(error) is SettingsError
    assert "model_name" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (400, {"error": {"message": "x/y is not a multimodal model"}}, "image_column"),
        (400, {"error": {"message": "At most 0 image(s) may be provided in one request."}}, "image_column"),
        (404, {"error": {"message": "No endpoints found that support image input", "code": 404}}, "image_column"),
        (500, {"error": {"message": "image input is not supported - hint: you may need the mmproj"}}, "image_column"),
        (400, {"error": {"message": "Images are not supported."}}, "image_column"),
        (400, {"error": "vision is not supported by this model"}, "image_column"),
        (422, {"detail": "Error: 'x/y' does not support image inputs"}, "image_column"),
        (400, {"message": "The model does not support images for chat"}, "image_column"),
        (501, {"error": {"message": "This server does not support embeddings. Start it with `--embeddings`"}}, "task"),
        (400, {"error": {"message": "The model does not support Embeddings API"}}, "task"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_do_is_no_rows_error(status: int, body: Any, says: str) -> None:
    error = of(status, body)
    assert type(error) is ModelNotFound
    assert says in str(error.advice)


@pytest.mark.parametrize(
    "reason",
    [
        "GIF images are not supported",
        "Animated images are not supported.",
        "The model does not support image URLs",
        "The model does not support images larger than 20 MB",
        "The model does not support image format webp",
        "The image is not supported: it has 16 bits a channel",
    ],
)
def test_an_image_that_the_model_does_not_accept_is_its_rows_error(reason: str) -> None:
    assert type(of(400, {"error": {"message": reason}})) is InvalidInput


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 12 "
                        "`inputs` tokens and 8000 `max_new_tokens`", "error_type": "validation"}),
        (400, {"message": "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context "
                          "length is 4096 tokens and your request has 20 input tokens (100000 > 4096 - 20)."}),
        (400, {"error": {"message": "This model's maximum context length is 4096 tokens. However, you requested 5012 "
                                    "tokens (12 in the messages, 5000 in the completion)."}}),
    ],
)  # fmt: skip
def test_an_output_that_is_too_long_is_no_fault_of_the_text_alone(status: int, body: Any) -> None:
    error = of(status, body)
    assert (type(error), error.argument) == (InvalidInput, "max_tokens")
    assert str(error.advice).startswith("Lower max_tokens")


@pytest.mark.parametrize("code", ["json_validate_failed", "tool_use_failed"])
def test_an_answer_that_the_service_found_malformed_may_be_well_formed_next_time(code: str) -> None:
    error = of(400, {"error": {"message": "Failed to generate. See 'failed_generation' for more.", "code": code}})
    assert type(error) is InvalidAnswer
    assert error.retryable


@pytest.mark.parametrize(
    "text",
    [
        "insufficient funds",
        "the api key is invalid",
        "my account was blocked",
        "unknown field",
        "does not support chat",
        "matryoshka",
    ],
)
def test_what_a_row_says_is_no_refusal(text: str) -> None:
    """Servers quote the text that they refuse: it says nothing of the account or the arguments."""
    for said in (f"could not convert string to float: '{text}'", f"Input flagged by moderation: '{text}'"):
        error = of(400, {"error": said})
        assert (type(error), error.fatal) == (InvalidInput, False)


def test_an_input_called_like_a_model_stays_a_rows_error() -> None:
    for text in ("field required: inputs", "Model input has 3 columns, 'age' was not found", "the model failed on NaN"):
        assert type(of(400, {"error": text})) is InvalidInput


# --- whose account --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, "API key not valid. Please pass a valid API key.", Unauthorized),
        (400, "Incorrect API key provided", Unauthorized),
        (400, "Your credit balance is too low to access the API.", OutOfCredits),
        (403, "insufficient balance", OutOfCredits),
        (403, "Key limit exceeded (monthly limit).", OutOfCredits),
        (429, "You have exceeded your monthly included credits", OutOfCredits),
        (400, "invalid key 'foo' in parameters", InvalidInput),
        (400, "the balance column is missing", InvalidInput),
    ],
)
def test_an_account_may_be_refused_with_another_status(status: int, said: str, kind: type[HuggingFaceError]) -> None:
    assert type(of(status, {"error": {"message": said}})) is kind


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (402, OutOfCredits), (403, Forbidden)])
@pytest.mark.parametrize("authorised", [True, False])
def test_a_server_of_ones_own_does_not_send_to_hugging_face(
    status: int, kind: type[HuggingFaceError], authorised: bool
) -> None:
    own = of(status, {"error": "no"}, authorised=authorised, is_hugging_face=False)
    theirs = of(status, {"error": "no"}, authorised=authorised)
    assert type(own) is type(theirs) is kind
    assert "huggingface.co" in str(theirs)
    assert "huggingface.co" not in str(own)
    assert "api_key" in str(own)


def test_which_servers_are_hugging_faces(server: Loopback) -> None:
    server.speak = answer({"error": "no"}, 401)
    for base, own in ((server.url, True), (f"{server.url}/hf-inference", False), (f"{server.url}/v1", True)):
        with pytest.raises(Unauthorized) as caught:
            Client(UrlPolicy((base,))).post(f"{base}/x", token=TOKEN, json={}, timeout=5)
        assert ("huggingface.co" in str(caught.value)) is not own


def test_a_whole_query_to_a_server_of_ones_own(server: Loopback) -> None:
    at = engine(None, allowed_hosts=f"127.0.0.1:{server.port}")
    for status, said in ((401, "api_key"), (404, "model_name")):
        server.speak = answer({"error": "no"}, status)
        of = model(at, task="text-classification", input_column="t", endpoint=f"{server.url}/predict", model_name="x")
        (message,) = predict(at, of, {"t": ["a"]}, timeout=5)["y_error"]
        assert said in message
        assert "huggingface.co" not in message


def test_bill_to_is_named_where_it_was_sent(server: Loopback) -> None:
    server.speak = answer({"error": "Invalid username or password."}, 401)
    for bill_to in (None, "acme"):
        at = engine(server, **({"bill_to": bill_to} if bill_to else {}))
        of = model(at, task="text-classification", input_column="t")
        (message,) = predict(at, of, {"t": ["a"]}, timeout=5)["y_error"]
        assert ("bill_to" in message) is (bill_to is not None)


@pytest.mark.parametrize(
    ("task", "said", "unsaid"),
    [
        ("text-ranking", "truncate = true", ""), ("feature-extraction", "truncate = true", ""),
        ("text-classification", "LEFT(text, 2000)", "truncate"),
        ("table-question-answering", "rows or columns", "LEFT("),
    ],
)  # fmt: skip
def test_what_to_do_about_an_input_that_is_too_long(server: Loopback, task: str, said: str, unsaid: str) -> None:
    server.speak = answer({"error": "`inputs` must have less than 512 tokens. Given: 1204"}, 422)
    at = engine(server)
    columns = {"a": ["x"], "b": ["y"]}
    using = {"input_column": "a"}
    if task == "table-question-answering":
        columns, using = {"a": ["x"], "b": ['{"c": ["1"]}']}, {"input_column": "a", "table_column": "b"}
    elif task == "text-ranking":
        using = {"input_column": "a", "input_column2": "b"}
    (message,) = predict(at, model(at, task=task, **using), columns, timeout=5)["y_error"]
    assert said in message
    assert not unsaid or unsaid not in message


# --- how long to wait -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "reason", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1.5s"}, "", 1.5),
        ({"x-ratelimit-reset-requests": "2m3s"}, "", 123),
        ({"x-ratelimit-reset-tokens": "1h2m0.5s"}, "", 900),
        ({"x-ratelimit-reset-tokens": "250ms"}, "", 0.25),
        ({"x-ratelimit-reset-tokens": "6"}, "", 6),
        ({"x-ratelimit-reset-tokens": " 7.66S "}, "", 7.66),
        ({"x-ratelimit-reset-requests": "2m", "x-ratelimit-remaining-requests": "14",
          "x-ratelimit-reset-tokens": "1.5s", "x-ratelimit-remaining-tokens": "0"}, "", 1.5),
        ({"x-ratelimit-reset-requests": "2m", "x-ratelimit-remaining-requests": "0",
          "x-ratelimit-reset-tokens": "1.5s", "x-ratelimit-remaining-tokens": "0"}, "", 120),
        ({"x-ratelimit-reset-requests": "2m", "x-ratelimit-reset-tokens": "1.5s"}, "", 120),
        ({"x-ratelimit-reset-requests": "1767225600"}, "", None),
        ({"x-ratelimit-reset-requests": "1767225600000"}, "", None),
        ({"x-ratelimit-reset-requests": "2026-01-01T00:00:00Z"}, "", None),
        ({"x-ratelimit-reset-requests": "soon"}, "", None),
        ({"x-ratelimit-reset-requests": "-1s"}, "", None),
        ({"x-ratelimit-reset-requests": ""}, "", None),
        ({"retry-after": "4", "x-ratelimit-reset-requests": "2m"}, "", 4),
        ({"retry-after-ms": "1500", "retry-after": "2"}, "", 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, "", 2),
        ({}, "Rate limit reached for x. Please try again in 3.2s. Visit …", 3.2),
        ({}, "Please try again in 1m2.5s.", 62.5),
        ({}, "Try again in 2 minutes", 120),
        ({}, "try again in 6ms", 0.006),
        ({}, "please retry after 12 seconds", 12),
        ({}, "Please wait for about 1 minute 5 seconds", 65),
        ({}, "Retrying in 5 s", 5),
        ({}, "Please retry your request after 32 seconds.", 32),
        ({}, "Request was throttled. Expected available in 27 seconds.", 27),
        ({}, "Your quota resets in 5m", 300),
        ({}, "Limit reached. Try again at 2999-01-01T00:00:00Z.", 900),
        ({}, "Limit reached. Try again at 2001-01-01 00:00:00 UTC, or retry in 5 s", 5),
        ({}, "You may send 5 requests in 60 seconds", None),
        ({}, "try again in 3 weeks", None),
        ({}, "try again in a while, or in 5 seconds", None),
        ({}, "took 5 seconds", None),
        ({}, "try again in 999999999 hours", 900),
        ({"x-ratelimit-reset-requests": "2m"}, "try again in 3.2s", 3.2),
        ({"retry-after": "4"}, "try again in 3.2s", 4),
        ({}, "Try again in 1 minute and 5 seconds.", 65),
        ({}, "Try again in 1 hour, 2 minutes, and 3 seconds", 900),
        ({"date": "Thu, 01 Jan 2026 12:00:00 GMT"}, "Limit resets at: 2026-01-01 12:00:20 UTC", 20),
    ],
)  # fmt: skip
def test_when_to_try_again(headers: dict[str, str], reason: str, seconds: float | None) -> None:
    message = retry_after(headers, None, None, reason)
    assert message == (None if seconds is None else pytest.approx(seconds))


def test_a_limited_request_waits_as_long_as_it_is_told() -> None:
    error = of(429, {"error": {"message": "Limit 3 / min. Please try again in 3.2s."}})
    assert (type(error), error.retry_after) == (RateLimited, 3.2)
    error = of(429, {"error": "slow down"}, {"x-ratelimit-reset-tokens": "2m3s"})
    assert error.retry_after == 123
    assert of(400, {"error": "try again in 3.2s"}).retry_after is None


def test_every_error_of_a_response_has_advice() -> None:
    for status in range(100, 600):
        error = of(status, b"")
        assert error.advice
        assert "`" not in error.advice and "](" not in error.advice
    for kind in BY_CODE.values():
        assert "`" not in kind.plain_remedy() and "](" not in kind.plain_remedy()
