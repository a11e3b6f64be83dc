"""Answers that are none, and what libraries raise, as our errors."""

from __future__ import annotations

import http.client
import inspect
import json
import socket
import ssl
from datetime import datetime, timezone
from typing import Any

import pytest
import requests.exceptions
import urllib3.exceptions
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.errors import (
    BY_CODE,
    ConnectionFailed,
    EndpointGone,
    Forbidden,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelLoading,
    ModelNotFound,
    OutOfCredits,
    PayloadTooLarge,
    RateLimited,
    ServiceTimeout,
    SettingsError,
    Unauthorized,
    Unavailable,
)
from huggingface_api_handler.net.error_body import reason_of
from huggingface_api_handler.net.error_mapping import failure, failure_within, unfetched
from huggingface_api_handler.net.exception_mapping import BY_EXCEPTION, failed
from huggingface_api_handler.net.retry_after import LONGEST_WAIT, retry_after

TOKEN = "hf_" + "k" * 34


def of(status: int, body: Any = b"", **headers: str) -> HuggingFaceError:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return failure(status, {name.replace("_", "-").lower(): value for name, value in headers.items()}, content)


# --- statuses and what is said with them ----------------------------------------------------------

CREDITS = "You have depleted your monthly included credits. Purchase pre-paid credits to continue."
SCOPE = (
    "This authentication method does not have sufficient permissions to call Inference Providers on behalf of user x"
)
PAUSED = "Bad Request: The endpoint is paused, ask a maintainer to restart it"
OLD_HOST = "https://old.example is no longer supported. Please use https://router.huggingface.co instead."
MEL = "You have passed more than 3000 mel input features (> 30 seconds)"


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable", "said"),
    [
        (400, {"error": "text"}, InvalidInput, False, "text"),
        (400, {"error": ["Error in `inputs.context`: field required"]}, InvalidInput, False, "inputs.context"),
        (400, {"error": "bad", "warnings": ["There was an inference error: bad tokens"]}, InvalidInput, False,
         "bad tokens"),
        (400, {"error": PAUSED}, EndpointGone, False, "resume it"),
        (400, {"error": "Model not supported by provider together"}, ModelNotFound, False, "provider"),
        (400, {"error": {"message": "The requested model 'x/y' is not supported by any provider you have enabled.",
                         "type": "invalid_request_error", "param": "model", "code": "model_not_supported"}},
         ModelNotFound, False, "inference-providers"),
        (400, {"error": "Authorization header is correct, but the token seems invalid"}, Unauthorized, False,
         "api_key"),
        (400, {"error": "The following `model_kwargs` are not used by the model: ['top_z']"}, SettingsError, False,
         "top_z"),
        (400, {"error": "You're using a forward-only model, but `generate_kwargs` is non empty."}, SettingsError, False,
         "generate_kwargs"),
        (400, {"error": {"message": "matryoshka_dim=64 is not in a valid range. Select between 1 and 32."}},
         SettingsError, False, "matryoshka_dim"),
        (400, {"error": {"message": "Model 'm' only supports dimensions in range [1, 32], got 64."}}, SettingsError,
         False, "dimensions"),
        (400, {"error": {"message": "Model 'm' only supports Matryoshka dimensions [8, 16], got 9."}}, SettingsError,
         False, "dimensions"),
        (400, {"error": "CUDA out of memory. Tried to allocate 2 GiB"}, InvalidInput, False, "more memory"),
        (400, {"error": 'Content type "None" not supported. Supported content types are: a'}, InvalidInput, False,
         "format"),
        (400, {"error": MEL}, InvalidInput, False, "return_timestamps = true"),
        (401, {"error": "Invalid username or password."}, Unauthorized, False, "api_key"),
        (401, b"", Unauthorized, False, "settings/tokens"),
        (402, {"error": CREDITS}, OutOfCredits, False, "bill_to"),
        (403, {"error": SCOPE}, Forbidden, False, "Make calls to Inference Providers"),
        (403, {"error": "Access to model x/y is restricted and you are not in the authorized list"}, Forbidden, False,
         "model's page"),
        (403, {"error": {"message": "org not allowed"}}, Forbidden, False, "bill_to"),
        (404, b"Not Found", ModelNotFound, False, "provider"),
        (404, {"error": "Model x/y does not exist"}, ModelNotFound, False, "x/y does not exist"),
        (405, b"Method Not Allowed", ModelNotFound, False, "endpoint"),
        (408, b"", ServiceTimeout, True, ""),
        (410, {"error": OLD_HOST}, EndpointGone, False, "base_url"),
        (413, b"Failed to buffer the request body: length limit exceeded", PayloadTooLarge, False, "LEFT(text, 2000)"),
        (415, b"Expected request with `Content-Type: application/json`", InvalidInput, False, "format"),
        (418, b"", InvalidInput, False, ""),
        (422, {"error": "batch size 33 > maximum allowed batch size 32", "error_type": "Validation"}, InvalidInput,
         False,
         "Give this row fewer texts"),
        (422, {"detail": [{"loc": ["body", "inputs"], "msg": "field required", "type": "missing"}]}, InvalidInput,
         False,
         "body.inputs: field required"),
        (422, {"detail": "nope"}, InvalidInput, False, "nope"),
        (422, {"title": "Unprocessable", "detail": "width is odd", "status": 422, "invalid_fields": [{"message": "w"}]},
         InvalidInput, False, "Unprocessable; width is odd"),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, Unavailable, True,
         "generation"),
        (429, {"error": "Rate limit reached. Please log in or use a HF access token"}, RateLimited, True,
         "requests_per_minute"),
        (429, {"error": "Model is overloaded", "error_type": "overloaded"}, RateLimited, True, "overloaded"),
        (500, {"error": "unknown error"}, Unavailable, True, "unknown error"),
        (500, {"error": "Model too busy, unable to get response in less than 120 second(s)"}, Unavailable, True,
         "busy"),
        (501, b"", Unavailable, False, "task"),
        (502,
         b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
         Unavailable, True, "502 Bad Gateway"),
        (503, {"error": "Model x is currently loading", "estimated_time": 20.0}, ModelLoading, True,
         "currently loading"),
        (503, {"error": "Service temporarily unavailable, overload detected"}, Unavailable, True, "overload"),
        (503, {"error": "503 Service Unavailable"}, Unavailable, True, ""),
        (503, {"error": {"message": "The endpoint is scaled to zero, starting a replica"}}, ModelLoading, True,
         "replica"),
        (503, b"", Unavailable, True, ""),
        (504, b"<html>gateway</html>", Unavailable, True, "max_new_tokens"),
        (507, b"", Unavailable, True, ""),
        (301, b"", InvalidAnswer, False, "base_url"),
    ],
)  # fmt: skip
def test_each_status(status: int, body: Any, kind: type[HuggingFaceError], retryable: bool, said: str) -> None:
    error = of(status, body)
    assert type(error) is kind
    assert error.retryable is retryable
    assert error.status == status
    assert said in str(error)
    assert error.advice or kind in (InvalidInput, Unavailable)
    assert "<" not in error.message
    assert "\n" not in str(error)


@given(st.integers(100, 999), st.binary(max_size=300))
def test_any_answer_becomes_an_error_with_a_code(status: int, body: bytes) -> None:
    error = failure(status, {}, body)
    assert type(error) in BY_CODE.values()
    assert len(str(error)) < 1200
    assert "\n" not in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "msg", "loc", "code", "estimated_time", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from([400, 403, 404, 422, 429, 500, 503]), JSON)
def test_any_json_becomes_an_error(status: int, body: Any) -> None:
    error = failure(status, {}, json.dumps(body).encode())
    assert error.retry_after is None or 0 <= error.retry_after <= LONGEST_WAIT


@given(JSON)
def test_any_json_may_hide_an_error(body: Any) -> None:
    error = failure_within(200, {}, body)
    assert error is None or type(error) in BY_CODE.values()


# --- the reason -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": "a"}, "a"),
        ({"error": ["a", "b"]}, "a; b"),
        ({"error": {"message": "a", "type": "t", "param": None, "code": "c"}}, "a"),
        ({"error": {"detail": {"message": "a"}}}, "a"),
        ({"error": {"error": {"message": ["a"]}}}, "a"),
        ({"error": "a", "error_type": "t"}, "a"),
        ({"error": "a", "error_description": "b"}, "a; b"),
        ({"error": "a", "warnings": ["w"]}, "a; w"),
        ({"message": "a"}, "a"),
        ({"message": "a", "code": 1, "type": "t"}, "a"),
        ({"message": "a", "request_id": "r"}, "a"),
        ({"object": "error", "message": "a"}, "a"),
        ({"id": "1", "error": {"message": "a"}}, "a"),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "a; b"),
        ({"detail": "a"}, "a"),
        ({"detail": [{"loc": ["body", 0, "x"], "msg": "m", "type": "t"}]}, "body.0.x: m"),
        ({"title": "T", "detail": "a", "status": 422}, "T; a"),
        ([{"error": "a"}], "a"),
        ("a", "a"),
        ({"error": "a", "message": "a"}, "a"),
        ({"odd": 1}, '{"odd": 1}'),
        ({"error": "<b>Bad</b>&nbsp;thing &amp; more"}, "Bad thing & more"),
        ([], "[]"),
        (None, "null"),
        (5, "5"),
    ],
)
def test_reasons_in_json(body: Any, reason: str) -> None:
    assert reason_of({}, json.dumps(body).encode()) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Not Found", "Not Found"),
        (b"  two\n lines\t", "two lines"),
        (b"", ""),
        (b"\x89PNG\r\n\x1a\n\x00\x00", ""),
        ("Zu groß".encode(), "Zu groß"),
        (b"<html><body><p>Sorry,<br>no</p><script>var x = 1 < 2;</script></body></html>", "Sorry, no"),
        (b"<!DOCTYPE html><title>Oops</title><style>p{}</style>" + b"<p>word " * 200, "Oops"),
        (b"<" * 60_000, "<" * 200),
        (b"<script" * 9000, "x" * 200),
        (b"<!--" * 16000, "x" * 200),
    ],
)
def test_reasons_in_text(body: bytes, reason: str) -> None:
    said = reason_of({}, body)
    assert said == reason or (len(reason) == 200 and len(said) <= 200)


def test_the_header_comes_first() -> None:
    assert reason_of({"x-error-message": "Access to this resource is disabled."}, b'{"error": "x"}').startswith(
        "Access"
    )


def test_long_reasons_are_cut_and_media_are_not_read() -> None:
    assert len(reason_of({}, b"word " * 1000)) == 200
    assert reason_of({"content-type": "image/png"}, b"text that is none") == ""
    assert reason_of({}, ("é" * 40_000).encode()[:-1]).startswith("é")


def test_tokens_are_taken_out() -> None:
    error = failure(401, {"x-request-id": TOKEN}, f"your token {TOKEN} and my-own-key".encode(), secret="my-own-key")
    assert TOKEN not in repr(vars(error))
    assert "my-own-key" not in repr(vars(error))


# --- waiting --------------------------------------------------------------------------------------

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, None, None),
        ({"retry-after": "7"}, None, 7),
        ({"retry-after": " 1.5 "}, None, 1.5),
        ({"retry-after": "3s"}, None, 3),
        ({"retry-after": "1m30s"}, None, 90),
        ({"retry-after": "30 seconds"}, None, 30),
        ({"retry-after": "1767268830"}, None, 30),
        ({"retry-after": "1767268830000"}, None, 30),
        ({"retry-after": "1767268770"}, None, None),
        ({"retry-after": "0"}, None, None),
        ({"retry-after": "0", "x-ratelimit-reset-requests": "2s"}, None, 2),
        ({"retry-after": "-1"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "inf"}, None, None),
        ({"retry-after": "1e400"}, None, None),
        ({"retry-after": "99999999999"}, None, 900),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": ""}, None, None),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, None, 30),
        ({"retry-after": "Thu, 01 Jan 2026 13:00:30 +0100"}, None, 30),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, None, None),
        ({"retry-after": "Thursday, 01-Jan-26 12:00:30 GMT"}, None, 30),
        ({"retry-after": "Thu Jan  1 12:00:30 2026"}, None, 30),
        ({"retry-after": "2026-01-01T12:00:30Z"}, None, 30),
        ({"retry-after": "2026-01-01T13:00:30.5+01:00"}, None, 30),
        ({"retry-after": "2026-13-01T12:00:30Z"}, None, None),
        ({"retry-after": "Thu, 01 Jan 2036 11:00:00 GMT"}, None, 900),
        ({"retry-after": "Thu, 99 Foo 2026 11:00:00 GMT"}, None, None),
        ({"ratelimit": '"api";r=0;t=189'}, None, 190),
        ({"ratelimit": '"api"; r=0; t=189', "retry-after": "5"}, None, 190),
        ({"ratelimit": '"api";r=489;t=189', "retry-after": "5"}, None, 5),
        ({"ratelimit": '"api";r=0;t=99999'}, None, 900),
        ({"ratelimit": "t=x"}, None, None),
        ({"ratelimit": "limit=100, remaining=0, reset=50"}, None, 51),
        ({"ratelimit": "limit=100, remaining=7, reset=50"}, None, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "50"}, None, 50),
        ({"ratelimit-remaining": "499", "ratelimit-reset": "50"}, None, None),
        ({"x-ratelimit-remaining": "59", "x-ratelimit-reset": "1767268860"}, None, None),
        ({"x-ratelimit-remaining-tokens": "59", "x-ratelimit-reset-tokens": "9s", "x-ratelimit-reset": "4"}, None, 4),
        ({"x-ratelimit-reset": "1767268860"}, None, 60),
        ({"x-ratelimit-reset": "1767268860000"}, None, 60),
        ({"x-rate-limit-reset": "1767268860.5"}, None, 60.5),
        ({"x-ratelimit-reset": "1767265200"}, None, None),
        ({"x-ratelimit-reset": "1767265200", "x-ratelimit-reset-after": "1.5"}, None, 1.5),
        ({"x-ratelimit-reset-requests": "Thu, 01 Jan 2026 12:00:30 GMT"}, None, 30),
        (
            {
                "x-ratelimit-remaining-tokens-minute": "0",
                "x-ratelimit-reset-tokens-minute": "11.3",
                "x-ratelimit-remaining-requests-day": "9",
                "x-ratelimit-reset-requests-day": "33011",
            },
            None,
            11.3,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-01T12:00:20Z",
                "anthropic-ratelimit-tokens-remaining": "8",
                "anthropic-ratelimit-tokens-reset": "2026-01-01T12:01:00Z",
            },
            None,
            20,
        ),
        ({"x-password-reset": "5", "x-ratelimit-limit": "5"}, None, None),
        (
            {},
            {
                "error": {
                    "code": 429,
                    "metadata": {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767268860000"}},
                }
            },
            60,
        ),
        ({}, {"error": {"metadata": {"headers": ["x"]}}}, None),
        ({}, {"retry_after": 3.5}, 3.5),
        ({}, {"error": {"retry_after": "4"}}, 4),
        ({}, {"retry_after": [1]}, None),
        # Of several limits, the one that is used up.
        ({"ratelimit": '"pages";r=10;t=1, "api";r=0;t=60'}, None, 61),
        ({"ratelimit": '"second";r=0;t=1,"day";r=5000;t=30000'}, None, 2),
        ({"ratelimit": '"a";r=0;t=10, "b";r=0;t=30'}, None, 31),
        ({"ratelimit": '"a";r=1;t=10, "b";r=2;t=30'}, None, None),
        ({}, {"estimated_time": 20.0}, 20),
        ({}, {"estimated_time": "20.5"}, 20.5),
        ({}, {"estimated_time": 1800.0}, 120),
        ({}, {"estimated_time": None}, None),
        ({}, {"estimated_time": True}, None),
        ({}, {"estimated_time": -3}, None),
        ({}, {"estimated_time": float("nan")}, None),
        ({}, {"error": {"estimated_time": 4}}, 4),
        ({}, [{"estimated_time": 4}], 4),
        ({"retry-after": "2"}, {"estimated_time": 20}, 2),
        ({}, "text", None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    assert retry_after(headers, body, NOW) == seconds


def test_a_date_is_counted_from_the_servers_own() -> None:
    """One of both clocks may be wrong."""
    headers = {"date": "Thu, 01 Jan 1998 12:00:00 GMT"}
    assert retry_after({**headers, "retry-after": "Thu, 01 Jan 1998 12:00:30 GMT"}) == 30
    assert retry_after({**headers, "x-ratelimit-reset": "883656060"}) == 60
    assert retry_after({"date": "today", "retry-after": "Thu, 01 Jan 1998 12:00:30 GMT"}) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_header_is_a_pause_or_none(first: str, second: str) -> None:
    for headers in (
        {"retry-after": first, "ratelimit": second},
        {"x-ratelimit-reset": first, "x-ratelimit-remaining": second},
        {"date": first, "retry-after": second},
    ):
        seconds = retry_after(headers, None, None, f"try again at {first}")
        assert seconds is None or 0 <= seconds <= LONGEST_WAIT


def test_nobody_waits_for_what_does_not_pass() -> None:
    assert of(400, b"", Retry_After="9").retry_after is None
    assert of(429, b"", Retry_After="9").retry_after == 9
    assert of(503, b"", Retry_After="9").retry_after == 9


# --- errors in good answers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": "Model x is currently loading", "estimated_time": 20.0}, ModelLoading),
        ([{"error": "Model x is currently loading", "estimated_time": 20.0}], ModelLoading),
        (
            {"error": "Input validation error: `inputs` must have less than 4096 tokens", "error_type": "validation"},
            InvalidInput,
        ),
        ({"error": {"message": "Rate limit exceeded", "code": 429}}, RateLimited),
        ({"error": {"message": "no", "code": "404"}}, ModelNotFound),
        ({"error": {"message": "no", "http_status": 1}, "http_status_code": 402}, OutOfCredits),
        ({"error": "You have exceeded your monthly included credits"}, OutOfCredits),
        ({"error": "Model is overloaded"}, RateLimited),
        ({"error": "Invalid token"}, Unauthorized),
        ({"error": "Model x/y does not exist"}, ModelNotFound),
        ({"error": "something"}, Unavailable),
        ({"error": ["a", "b"]}, Unavailable),
        ({"error": {"code": 200, "message": "odd"}}, Unavailable),
        ({"error": True}, Unavailable),
        ({"error": 429}, RateLimited),
        ({"message": "upstream failed", "code": 503}, Unavailable),
        ({"message": "model overloaded", "code": 40001, "success": False}, RateLimited),
        ({"success": False, "message": "Quota exceeded", "request_id": "r"}, OutOfCredits),
        ({"code": 401, "msg": "no"}, Unauthorized),
        ({"errorMessage": "Task timed out after 3 s", "errorType": "Timeout"}, Unavailable),
        ({"detail": [{"loc": ["body", "x"], "msg": "field required"}], "status": 422}, InvalidInput),
    ],
)
def test_hidden_errors(body: Any, kind: type[HuggingFaceError]) -> None:
    error = failure_within(200, {}, body)
    assert type(error) is kind


@pytest.mark.parametrize(
    "body", [None, 1, "error", [], {}, {"error": None}, {"error": ""}, {"error": []}, {"error": False}, [[1.0]],
             [{"label": "error"}], [{"error": "x"}, {"label": "y"}], [{"error": "x"}, 1], {"generated_text": "error"},
             {"message": {"role": "assistant", "content": "hi"}}, {"status": "IN_QUEUE", "request_id": "r"},
             {"code": 0, "message": "ok", "data": []}, {"text": "hi", "message": "ok"}, {"id": "1", "object": "list"},
             {"error": {"code": 0, "message": "", "type": None}, "choices": [{"message": {"content": "hi"}}]}]
)  # fmt: skip
def test_answers_that_hide_none(body: Any) -> None:
    assert failure_within(200, {}, body) is None


def test_a_strangers_failure() -> None:
    for status in range(300, 600):
        error = unfetched(status, {"retry-after": "3"}, "https://x.example/a.png")
        assert not error.fatal
        assert error.retryable == (status in (408, 425, 429) or status >= 500)


# --- exceptions -----------------------------------------------------------------------------------


def _classes(module: Any, base: type[BaseException]) -> list[type[BaseException]]:
    return [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception) and not issubclass(kind, Warning) and kind.__module__ == module.__name__
    ]


@pytest.mark.parametrize("module", [requests.exceptions, urllib3.exceptions])
def test_no_librarys_exception_is_unknown(module: Any) -> None:
    missing = [kind.__name__ for kind in _classes(module, Exception) if kind not in BY_EXCEPTION]
    assert missing == [], f"say in BY_EXCEPTION what {module.__name__} means by {', '.join(missing)}"


@pytest.mark.parametrize("kind", list(BY_EXCEPTION), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_each_exception_has_an_error(kind: type[BaseException]) -> None:
    error = kind.__new__(kind)
    made = failed(error, host="x.example", timeout=5)
    assert type(made) in BY_CODE.values()
    assert "x.example" in str(made)
    assert made.advice
    assert not failed(error, host="x.example", timeout=5, service=False).fatal


def _wrapped(inner: BaseException) -> BaseException:
    pool: Any = None
    return requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", inner), pool)


@pytest.mark.parametrize(
    ("error", "kind", "retryable", "said"),
    [
        (_wrapped(ConnectionResetError(104, "Connection reset by peer")), ConnectionFailed, True, "reset by peer"),
        (_wrapped(http.client.RemoteDisconnected("x")), ConnectionFailed, True, "broke"),
        (_wrapped(TimeoutError("timed out")), ServiceTimeout, True, "timeout = 5 seconds"),
        (_wrapped(ConnectionRefusedError(111, "Connection refused")), ConnectionFailed, True, "refused"),
        (requests.exceptions.ReadTimeout(), ServiceTimeout, True, "timeout"),
        (requests.exceptions.ConnectTimeout(), ConnectionFailed, True, "no connection"),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError(1, "x")), ConnectionFailed, False, "certificate"),
        (requests.exceptions.ConnectionError(urllib3.exceptions.SSLError(ssl.SSLError(1, "x"))), ConnectionFailed, True,
         "secure"),
        (socket.gaierror(-2, "Name or service not known"), ConnectionFailed, True, "no connection"),
        (urllib3.exceptions.IncompleteRead(1, 2), ConnectionFailed, True, "broke"),
        (http.client.BadStatusLine("x"), ConnectionFailed, True, "not HTTP"),
        (urllib3.exceptions.DecodeError("x"), InvalidAnswer, True, "read"),
        (OSError(24, "Too many open files"), ConnectionFailed, True, "too many open files"),
    ],
)  # fmt: skip
def test_chains_are_read_to_their_end(
    error: BaseException, kind: type[HuggingFaceError], retryable: bool, said: str
) -> None:
    made = failed(error, host="x.example", timeout=5)
    assert type(made) is kind
    assert made.retryable is retryable
    assert said in str(made)


def test_addresses_in_exceptions_are_not_repeated() -> None:
    error = requests.exceptions.ConnectionError(f"HTTPConnectionPool(host='10.0.0.1'): /x?token={TOKEN}")
    assert "10.0.0.1" not in str(failed(error, host="x.example", timeout=5))
    assert TOKEN not in str(failed(error, host="x.example", timeout=5))


def test_exceptions_that_hold_themselves() -> None:
    error = OSError("a")
    error.__context__ = RuntimeError("b")
    error.__context__.__cause__ = error
    assert type(failed(error, host="x", timeout=1)) is ConnectionFailed


@pytest.mark.parametrize(
    ("said", "argument"),
    [
        ("parameter.max_tokens > 4096 must have stream=true", "max_tokens"),
        ("parameter.enable_thinking must be set to false for non-streaming calls", "enable_thinking in parameters"),
        ("This model only supports streaming", "stream in parameters"),
        ("Conversation roles must alternate user/assistant/user/assistant/...", "system_prompt"),
        ("System role not supported", "system_prompt"),
        ("response_format: missing field `value`", "response_format"),
        ("temperature must be non-negative", "temperature"),
        ("`normalize` is not supported by this model", "normalize"),
        ("width is odd", None),
    ],
)
def test_an_argument_that_the_server_speaks_of_is_named(said: str, argument: str | None) -> None:
    error = of(422, {"error": said})
    assert error.argument == argument
    assert (f"Check the argument {argument}" in str(error)) is (argument is not None)
