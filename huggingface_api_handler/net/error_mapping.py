"""What went wrong, said in our own errors: answers that are none, and what libraries raise.

Servers behind one URL speak a dozen dialects of failure: JSON of many shapes, plain text, a
proxy's web page, nothing at all. Here each becomes one error with the server's own reason in
it and something that the person at the SQL prompt can do.
"""

from __future__ import annotations

import html
import http.client
import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests.exceptions as rq
import urllib3.exceptions as u3

from ..errors import (
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
    one_line,
)
from .redaction import contains_token, redact_cut_token, redact_token

#: Longest pause, in seconds, that a server's word may cause. The Hub's windows are 300 s.
LONGEST_PAUSE = 900.0
#: ``estimated_time`` has been seen at 1800 for models that were up in a minute.
LONGEST_ESTIMATE = 120.0
#: Of the server's own words; MySQL's clients show 500 of a whole message, and the advice stands behind.
REASON_CHARS = 200
#: Bytes of an error's body that are looked at.
REASON_BYTES = 65536

_TAGS = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.S | re.I)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.S | re.I)
_RATE_LIMIT_RESET = re.compile(r"(?:^|[;,\s])t=\s*\"?([0-9.]+)")
_REQUEST_ID = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")


def request_id(headers: Mapping[str, str], secret: str | None = None) -> str | None:
    """Return the service's id of the request, as its support would ask for it."""
    for name in _REQUEST_ID:
        value = headers.get(name)
        if value:
            return _short(value, 120, secret)
    return None


def _short(text: str, limit: int, secret: str | None) -> str:
    """Return a server's text on one short line, without the token, whole or cut."""
    return redact_cut_token(one_line(redact_token(text, secret), limit), secret)


# --- the server's reason --------------------------------------------------------------------------


def reason_of(headers: Mapping[str, str], content: bytes, secret: str | None = None) -> str:
    """Return what the server said, in one short line of plain text; empty where it said nothing.

    ``x-error-message`` comes first, then the usual fields of a JSON body, then the body's text.
    """
    said = headers.get("x-error-message") or _from_body(headers, content)
    return _short(_plain_text(said), REASON_CHARS, secret)


def _from_body(headers: Mapping[str, str], content: bytes) -> str:
    body = parsed(content)
    if body is not None and not isinstance(body, (int, float)):
        words = list(dict.fromkeys(filter(None, (word.strip() for word in _words(body)))))
        return "; ".join(words[:8]) if words else json.dumps(body, ensure_ascii=False)[:REASON_CHARS]
    if headers.get("content-type", "").startswith(("image/", "audio/", "video/", "application/octet-stream")):
        return ""
    try:
        return content[:REASON_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        # Cut in the middle of a character, or no text at all.
        return content[: error.start].decode("utf-8") if error.start > 8 else ""


def parsed(content: bytes) -> Any:
    """Return ``content`` as JSON, or ``None`` where it is none (or is ``null``)."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _plain_text(text: str) -> str:
    if "<" not in text:
        return text
    # A web page says what it has to say at its beginning; the patterns are not for megabytes.
    text = text[:8192]
    title = _TITLE.search(text)
    bare = html.unescape(_TAGS.sub(" ", text)).strip()
    heading = html.unescape(title[1]).strip() if title else ""
    return heading if heading and (not bare or len(bare) > REASON_CHARS) else bare or heading


def _words(body: Any, depth: int = 0) -> Iterator[str]:
    """Yield the sentences in an error's JSON, most telling first."""
    if depth > 6:
        return
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):
        for part in body[:8]:
            yield from _words(part, depth + 1)
    elif isinstance(body, dict):
        yield from _words_of_object(body, depth)


def _words_of_object(body: dict[str, Any], depth: int) -> Iterator[str]:
    if isinstance(body.get("msg"), str) and isinstance(body.get("loc"), list):
        yield f"{'.'.join(str(part) for part in body['loc'])}: {body['msg']}"
        return
    for name in (
        "error",
        "message",
        "title",
        "detail",
        "details",
        "error_description",
        "msg",
        "reason",
        "errors",
        "invalid_fields",
        "warnings",
    ):
        if name in body:
            yield from _words(body[name], depth + 1)


def title_of(content: bytes, secret: str | None = None) -> str:
    """Return what a web page calls itself, without the token; empty where it does not."""
    found = _TITLE.search(content[:8192].decode("utf-8", "replace"))
    return _short(_plain_text(html.unescape(found[1])), 80, secret) if found else ""


# --- how long to wait -----------------------------------------------------------------------------


def retry_after(headers: Mapping[str, str], body: Any = None, now: datetime | None = None) -> float | None:
    """Return the seconds that the server asked to wait, between 0 and ``LONGEST_PAUSE``, if it asked.

    The Hub's ``RateLimit: "api";r=0;t=189`` counts to the end of its window; ``Retry-After`` is
    seconds or a date; a loading model guesses in ``estimated_time``.
    """
    limit = _RATE_LIMIT_RESET.search(headers.get("ratelimit", ""))
    if limit is not None and re.search(r"\br=\s*[1-9]", headers["ratelimit"]) is None:
        seconds = _seconds(limit[1], LONGEST_PAUSE - 1)
        if seconds is not None:
            return seconds + 1
    seconds = _header_seconds(headers.get("retry-after"), now)
    if seconds is None:
        seconds = _seconds(_field(body, "estimated_time"), LONGEST_ESTIMATE)
    return seconds


def _header_seconds(value: str | None, now: datetime | None) -> float | None:
    if not value:
        return None
    seconds = _seconds(value.strip().removesuffix("s"), LONGEST_PAUSE)
    if seconds is not None:
        return seconds
    try:
        then = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    wait = (then - (now or datetime.now(timezone.utc))).total_seconds()
    return min(max(wait, 0.0), LONGEST_PAUSE)


def _seconds(value: Any, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return min(seconds, most) if math.isfinite(seconds) and seconds >= 0 else None


def _field(body: Any, name: str) -> Any:
    """Return a field of an error's JSON, which may be wrapped in a list or in ``error``."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    if name in body:
        return body[name]
    inner = body.get("error")
    return inner.get(name) if isinstance(inner, dict) else None


# --- statuses -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    """One way to fail: the error, what happened, what to do."""

    error: type[HuggingFaceError]
    happened: str
    advice: str | None = None
    retryable: bool | None = None
    divisible: bool | None = None


_PAUSED = _Case(
    EndpointGone,
    "the endpoint is paused",
    "Its owner can resume it at https://endpoints.huggingface.co; then run the query again",
)
_SCALED = _Case(
    ModelLoading, "the model is starting", "Run the query again in a minute, or raise max_retries or timeout"
)
_NO_PROVIDER = _Case(
    ModelNotFound,
    "the model is not served where it was asked for",
    "Create the model with another model_name or provider, "
    "or enable more providers at https://huggingface.co/settings/inference-providers",
)
_NO_CHAT = _Case(
    ModelNotFound,
    "the model does not chat",
    "Create the model with task = 'text-generation', or with the model_name of one that chats",
)
_OTHER_TASK = _Case(
    ModelNotFound,
    "the model is not served for this task",
    "Create the model with the task that the message names, or with another model_name",
)
_TOKEN = _Case(
    Unauthorized,
    "the token was refused",
    "Make a new one at https://huggingface.co/settings/tokens and give it as api_key = 'hf_…' to a new ML_ENGINE, "
    "or to this model with RETRAIN; a private model, or a wrong model_name, gets the same answer",
)
_NO_TOKEN = _Case(
    Unauthorized,
    "a token is needed and none was sent",
    "Make one at https://huggingface.co/settings/tokens and write CREATE ML_ENGINE … USING api_key = 'hf_…'; "
    "an endpoint or base_url gets the token only where the engine allows its host",
)
_SCOPE = _Case(
    Forbidden,
    "the token may not do this",
    "Give it the permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens; "
    "with bill_to, for that organisation too",
)
_GATED = _Case(
    Forbidden,
    "the model is gated, its owner decides who may use it",
    "Accept its terms at the model's page with the account that the token belongs to, or choose another model_name",
)
_REFUSED = _Case(
    Forbidden,
    "the service refused access",
    "Look at the token's permissions (https://huggingface.co/settings/tokens), whether the model's page lets you in, "
    "and at bill_to",
)
_KWARGS = _Case(
    SettingsError,
    "the model does not take one of the parameters",
    "Leave the parameter that the message names out of USING",
)
_MEMORY = _Case(
    InvalidInput,
    "the server ran out of memory on this request",
    "Lower max_batch_size, or shorten the inputs",
)
_CONTENT_TYPE = _Case(
    InvalidInput,
    "the service does not take this kind of content",
    "Give the media in another format, such as PNG, JPEG, WAV or FLAC; for an endpoint, check that it serves this task",
    divisible=False,
)
_LENGTH = _Case(
    InvalidInput,
    "the text is longer than the model takes",
    "Shorten it, for instance with LEFT(text, 2000) in a sub-select, or choose a model that takes longer texts",
)
_GAPS = _Case(
    InvalidInput,
    "a column holds what the model cannot take, a NULL or a text",
    "Fill gaps in a sub-select, for instance with COALESCE(age, 0), or name the columns to read with input_columns",
)
_BATCH = _Case(InvalidInput, "the list of inputs is longer than the server takes", "Lower max_batch_size")
_AUDIO = _Case(
    InvalidInput,
    "the sound is longer than the model takes at once",
    "Add return_timestamps = true, or cut the sound into pieces of 30 seconds",
    divisible=False,
)
_INPUT = _Case(
    InvalidInput,
    "the service refused the input",
    "Look at this row's values, and at what the model was created with (DESCRIBE <model>.args)",
)
_OVERLOADED = _Case(
    RateLimited,
    "the service asks for fewer requests",
    "Lower max_concurrency or set requests_per_minute, then run the query again",
)
_BUSY = _Case(Unavailable, "the service failed", "Run the query again later, or raise max_retries")
_GATEWAY = _Case(
    Unavailable,
    "the service did not answer in time",
    "Ask for less at once (max_new_tokens, max_tokens, max_batch_size), or run the query again later",
)

#: Of one row's own: what a firewall makes of a text shall not end the query for all rows.
ELSEWHERE = _Case(
    InvalidAnswer, "the service sent the request elsewhere", "Check base_url and endpoint", retryable=False
)

#: How models say that a text has too many tokens, each library in its own words.
_TOO_LONG = (
    r"size of tensor a \(\d+\) must match|sequence length|must have less than \d+ tokens|context (length|window)"
    r"|too many (input )?tokens|index out of range in self|max_new_tokens` must be <=|reduce the length"
    r"|(prompt|input)s? (is|are) too long|longer than the maximum|maximum (number of )?tokens"
)

#: Found in the server's reason, whatever the status: (status or 0 for any, pattern, case).
_BY_REASON: tuple[tuple[frozenset[int], re.Pattern[str], _Case], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.I), case)
    for statuses, pattern, case in (
        ((400, 403, 404, 503), r"endpoint is paused|is paused, ask", _PAUSED),
        ((400, 404, 422), r"not supported by (any )?provider|no (inference )?provider", _NO_PROVIDER),
        ((400, 404, 422), r"not a chat model", _NO_CHAT),
        ((400, 404, 422), r"not supported for task", _OTHER_TASK),
        ((400,), r"token seems invalid|invalid (api )?token|authorization header", _TOKEN),
        ((403,), r"gated|access to (this )?model|restricted|awaiting a review", _GATED),
        ((403,), r"permission|on behalf of|not allowed to bill|authentication method", _SCOPE),
        ((400, 422), r"model_kwargs|unexpected keyword argument|unknown (parameter|field)", _KWARGS),
        ((400, 500), r"out of memory", _MEMORY),
        ((400, 415), r"content[- ]type", _CONTENT_TYPE),
        ((400, 413, 422), r"batch size \d+ ?>|maximum allowed batch|max_client_batch_size", _BATCH),
        ((400, 422), r"mel input features", _AUDIO),
        ((400, 413, 422), _TOO_LONG, _LENGTH),
        ((400, 422), r"contains nan|missing values encoded|could not convert string to float", _GAPS),
        ((500, 502, 503), r"currently loading|is loading|scal(ed|ing)|starting|initiali[sz]ing|cold start", _SCALED),
        ((500, 503), r"too many requests|rate limit|model is overloaded", _OVERLOADED),
    )
)

_BY_STATUS: dict[int, _Case] = {
    400: _INPUT,
    401: _TOKEN,
    402: _Case(
        OutOfCredits,
        "the account's inference credits are used up",
        "Buy credits or upgrade at https://huggingface.co/settings/billing, have an organisation pay (bill_to at the "
        "engine), or wait for next month's",
    ),
    403: _REFUSED,
    404: _Case(
        ModelNotFound,
        "the model is not served where it was asked for",
        "Look at the model's page: it says who serves it, if anybody does; then create the model with that provider, "
        "or with another model_name",
    ),
    405: _Case(ModelNotFound, "this address takes no requests of this kind", "Check endpoint and base_url"),
    406: _Case(InvalidInput, "the service cannot answer in the wanted format", divisible=False),
    407: _Case(ConnectionFailed, "the proxy asks for a login", "Check the server's proxy settings", retryable=False),
    408: _Case(ServiceTimeout, "the service waited too long for the request", "Run the query again later"),
    410: _Case(
        EndpointGone,
        "this address is no longer served",
        "Check base_url and endpoint; api-inference.huggingface.co is gone, leave base_url out to use its successor",
    ),
    413: _Case(
        PayloadTooLarge,
        "the request is larger than the service takes",
        "Lower max_batch_size, shorten the text or shrink the media",
    ),
    414: _Case(SettingsError, "the address is longer than the service takes", "Check endpoint and base_url"),
    415: _CONTENT_TYPE,
    422: _Case(InvalidInput, "the service could not read the request", _INPUT.advice),
    423: _Case(Unavailable, "the model is locked for the moment", "Run the query again later"),
    424: _Case(Unavailable, "the model behind the service failed", "Run the query again later"),
    425: _Case(Unavailable, "the service is not ready yet", "Run the query again later"),
    429: _OVERLOADED,
    431: _Case(SettingsError, "the request's headers are larger than the service takes", "Shorten bill_to"),
    451: _REFUSED,
    501: _Case(Unavailable, "the service cannot do this", "Check task, model_name and endpoint", retryable=False),
    504: _GATEWAY,
    511: _Case(ConnectionFailed, "the network asks for a login", "Check the server's network", retryable=False),
    524: _GATEWAY,
}


def _case(status: int, reason: str, body: Any, authorised: bool) -> _Case:
    for statuses, pattern, case in _BY_REASON:
        if status in statuses and pattern.search(reason):
            return case
    if status >= 500 and _seconds(_field(body, "estimated_time"), 1) is not None:
        return _SCALED
    if status == 401 and not authorised:
        return _NO_TOKEN
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return _BUSY
    if status >= 400:
        return _INPUT
    if 300 <= status < 400:
        return ELSEWHERE
    return _Case(
        InvalidAnswer, "the service sent no answer", "Check base_url and endpoint", retryable=False, divisible=False
    )


def failure(
    status: int, headers: Mapping[str, str], content: bytes, *, authorised: bool = True, secret: str | None = None
) -> HuggingFaceError:
    """Turn an answer with a failing status into the error that it stands for.

    Args:
        headers: with lower-case names.
        content: the body, or its beginning.
        authorised: whether the request carried a token.
        secret: taken out of the server's reason, should it repeat what it was sent.
    """
    body = parsed(content) if content[:1] in b'{[" \n\t\r' else None
    reason = reason_of(headers, content, secret)
    return _error(_case(status, reason, body, authorised), reason, status, headers, body, secret)


def _error(
    case: _Case, reason: str, status: int, headers: Mapping[str, str], body: Any, secret: str | None
) -> HuggingFaceError:
    return case.error(
        f'{case.happened}: "{reason}"' if reason else case.happened,
        advice=case.advice,
        status=status,
        request_id=request_id(headers, secret),
        retry_after=retry_after(headers, body) if status in (408, 425, 429) or status >= 500 or status < 300 else None,
        retryable=case.retryable,
        divisible=case.divisible,
    )


def unfetched(status: int, headers: Mapping[str, str], url: str) -> HuggingFaceError:
    """Turn a failing answer to a fetched medium or link into a row's own error.

    Its server is nobody's service: what it says of tokens or models is not about ours.
    """
    if status in (408, 425, 429) or status >= 500:
        return Unavailable(f"the URL's server failed with status {status}: {url}", retry_after=retry_after(headers))
    what = "leads on and on" if 300 <= status < 400 else f"answered with status {status}"
    return InvalidInput(f"the URL {what}: {url}", divisible=False)


def failure_within(
    status: int, headers: Mapping[str, str], body: Any, *, secret: str | None = None
) -> HuggingFaceError | None:
    """Return the error that hides in the JSON of an answer with a good status, if one does.

    ``{"error": …}`` where ``error`` says something, or a list that holds nothing else.
    """
    parts = body if isinstance(body, list) else [body]
    if not parts or not all(isinstance(part, dict) and part.get("error") for part in parts):
        return None
    reason = _short(_plain_text("; ".join(_words(parts[0]))), REASON_CHARS, secret)
    return _error(_hidden_case(reason, parts[0]), reason, status, headers, parts[0], secret)


def _hidden_case(reason: str, body: dict[str, Any]) -> _Case:
    inner = body["error"] if isinstance(body["error"], dict) else body
    for value in (inner.get("code"), inner.get("status"), inner.get("status_code"), body.get("http_status_code")):
        if re.fullmatch(r"[45][0-9][0-9]", str(value)):
            return _case(int(str(value)), reason, body, True)
    if _field(body, "estimated_time") is not None:
        return _SCALED
    kind = str(_field(body, "error_type") or _field(body, "type") or "").lower()
    for pattern, status in (
        (r"loading|scaling|starting", 503),
        (r"overload|rate.?limit|too many requests", 429),
        (r"validation|invalid.?request|invalid input|tokenizer", 422),
        (r"credit|quota|billing", 402),
        (r"unauthori|invalid.?token|authentication", 401),
        (r"permission|forbidden|gated", 403),
        (r"not.?found|does not exist|not supported", 404),
    ):
        if re.search(pattern, f"{kind} {reason}", re.I):
            return _case(status, reason, body, True)
    return _Case(Unavailable, "the service answered with an error", "Run the query again later", divisible=True)


# --- exceptions -----------------------------------------------------------------------------------

_BROKEN = _Case(
    ConnectionFailed,
    "the connection broke before the answer was whole",
    "Run the query again, or raise max_retries",
)
_UNREACHED = _Case(
    ConnectionFailed, "no connection", "Check base_url, endpoint and the server's network, then run the query again"
)
_LATE = _Case(
    ServiceTimeout, "no whole answer in time", "Raise timeout, lower max_batch_size, or ask for shorter answers"
)
_TLS = _Case(
    ConnectionFailed,
    "no secure connection",
    "Check the URL; where the network puts its own certificates in, point REQUESTS_CA_BUNDLE of the server at them",
)
_CERTIFICATE = _Case(ConnectionFailed, "the server's certificate was refused", _TLS.advice, retryable=False)
_PROXY = _Case(ConnectionFailed, "the proxy did not let the request through", "Check the server's proxy settings")
_GARBLED = _Case(InvalidAnswer, "the answer could not be read", "Run the query again", retryable=True)
_ADDRESS = _Case(SettingsError, "the address cannot be used", "Check base_url and endpoint")
_BODY = _Case(InvalidInput, "the input cannot be written as JSON", "Look for NaN and infinite numbers")
_UNKNOWN = _Case(ConnectionFailed, "the request failed", "Run the query again")

#: Every exception of the libraries below, by class; a test fails when they grow one that is not here.
BY_EXCEPTION: dict[type[BaseException], _Case] = {
    rq.RequestException: _UNKNOWN,
    rq.HTTPError: _UNKNOWN,
    rq.InvalidJSONError: _BODY,
    rq.JSONDecodeError: _GARBLED,
    rq.ConnectionError: _UNREACHED,
    rq.ProxyError: _PROXY,
    rq.SSLError: _TLS,
    rq.Timeout: _LATE,
    rq.ConnectTimeout: _UNREACHED,
    rq.ReadTimeout: _LATE,
    rq.URLRequired: _ADDRESS,
    rq.TooManyRedirects: _ADDRESS,
    rq.MissingSchema: _ADDRESS,
    rq.InvalidSchema: _ADDRESS,
    rq.InvalidURL: _ADDRESS,
    rq.InvalidHeader: _GARBLED,
    rq.InvalidProxyURL: _PROXY,
    rq.ChunkedEncodingError: _BROKEN,
    rq.ContentDecodingError: _GARBLED,
    rq.StreamConsumedError: _BROKEN,
    rq.RetryError: _BUSY,
    rq.UnrewindableBodyError: _UNKNOWN,
    u3.HTTPError: _UNKNOWN,
    u3.PoolError: _UNREACHED,
    u3.RequestError: _UNREACHED,
    u3.SSLError: _TLS,
    u3.ProxyError: _PROXY,
    u3.DecodeError: _GARBLED,
    u3.ProtocolError: _BROKEN,
    u3.MaxRetryError: _UNREACHED,
    u3.HostChangedError: _ADDRESS,
    u3.TimeoutStateError: _UNKNOWN,
    u3.TimeoutError: _LATE,
    u3.ReadTimeoutError: _LATE,
    u3.ConnectTimeoutError: _UNREACHED,
    u3.NewConnectionError: _UNREACHED,
    u3.NameResolutionError: _UNREACHED,
    u3.EmptyPoolError: _UNREACHED,
    u3.FullPoolError: _UNREACHED,
    u3.ClosedPoolError: _UNREACHED,
    u3.LocationValueError: _ADDRESS,
    u3.LocationParseError: _ADDRESS,
    u3.URLSchemeUnknown: _ADDRESS,
    u3.ResponseError: _BUSY,
    u3.ResponseNotChunked: _BROKEN,
    u3.BodyNotHttplibCompatible: _BROKEN,
    u3.IncompleteRead: _BROKEN,
    u3.InvalidChunkLength: _BROKEN,
    u3.InvalidHeader: _GARBLED,
    u3.ProxySchemeUnknown: _PROXY,
    u3.ProxySchemeUnsupported: _PROXY,
    u3.HeaderParsingError: _GARBLED,
    u3.UnrewindableBodyError: _UNKNOWN,
    http.client.HTTPException: _BROKEN,
    ssl.SSLError: _TLS,
    ssl.SSLCertVerificationError: _CERTIFICATE,
    socket.gaierror: _UNREACHED,
    ConnectionRefusedError: _UNREACHED,
    ConnectionError: _BROKEN,
    TimeoutError: _LATE,
    OSError: _UNREACHED,
    UnicodeError: _GARBLED,
    ValueError: _GARBLED,
}
#: The innermost of these in a chain of exceptions says best what happened.
_TELLING = (ssl.SSLCertVerificationError, TimeoutError, u3.ReadTimeoutError, ssl.SSLError, ConnectionRefusedError)


def failed(error: BaseException, *, host: str, timeout: float, service: bool = True) -> HuggingFaceError:
    """Turn an exception of requests, urllib3 or the system into ours. The caller chains it.

    Nothing of the exception's text is repeated: it holds addresses and paths. Where it was not
    the service that was asked but a row's URL, the fault is that row's.
    """
    case = _case_of(error)
    if case.error is SettingsError and not service:
        return InvalidInput(f"{case.happened}: {host}", divisible=False)
    happened = case.happened
    if case is _LATE:
        happened = f"{happened} (timeout = {timeout:g} seconds)"
    why = _system_reason(error)
    return case.error(
        f"{happened}: {host}" + (f": {why}" if why else ""),
        advice=case.advice,
        retryable=case.retryable,
        divisible=case.divisible,
    )


def tells(error: BaseException, secret: str | None) -> bool:
    """Whether an exception, or one inside it, shows ``secret``: a server's status line may stand in its text."""
    return any(contains_token(f"{part!r} {part}", secret) for part in _chain(error))


#: What goes wrong before a request has left.
_NEVER_LEFT = (
    u3.NewConnectionError, u3.ConnectTimeoutError, u3.NameResolutionError, socket.gaierror, ConnectionRefusedError,
    ssl.SSLCertVerificationError,
)  # fmt: skip


def may_have_arrived(error: HuggingFaceError) -> bool:
    """Say whether a request that got no whole answer may have reached the service, which then works, and bills."""
    chain = list(_chain(error))
    beneath = any(isinstance(part, (OSError, u3.HTTPError, http.client.HTTPException)) for part in chain)
    return beneath and not any(isinstance(part, _NEVER_LEFT) for part in chain)


def _case_of(error: BaseException) -> _Case:
    chain = list(_chain(error))
    for kind in _TELLING:
        if any(isinstance(part, kind) for part in chain):
            return BY_EXCEPTION[kind]
    if isinstance(error, rq.ConnectionError) and any(isinstance(part, u3.ProtocolError) for part in chain):
        return _BROKEN
    for base in type(error).__mro__:
        if base in BY_EXCEPTION:
            return BY_EXCEPTION[base]
    return _UNKNOWN


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and the exceptions inside it: wrapped as an argument, a reason, or a cause."""
    pending, seen = [error], set()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        inner = (*part.args, getattr(part, "reason", None), part.__cause__, part.__context__)
        pending.extend(value for value in inner if isinstance(value, BaseException))


def _system_reason(error: BaseException) -> str:
    for part in _chain(error):
        if isinstance(part, ssl.SSLCertVerificationError):
            return one_line(str(getattr(part, "verify_message", "")), 120)
        if isinstance(part, OSError) and part.errno and part.strerror and not isinstance(part, ssl.SSLError):
            return one_line(str(part.strerror), 80).lower()
    return ""
