"""Exceptions of the libraries below, as our errors."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator

import requests.exceptions as rq
import urllib3.exceptions as u3

from ..errors import (
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ServiceTimeout,
    SettingsError,
    one_line,
)
from .redaction import contains_token
from .status_cases import BUSY, Case

_BROKEN = Case(
    ConnectionFailed,
    "the connection broke before the response was complete",
    "Run the query again, or raise max_retries",
)
_NO_HTTP = Case(
    ConnectionFailed,
    "the response is not HTTP",
    "Check the port in base_url or endpoint, and whether the URL must begin with https://",
)
_UNREACHED = Case(
    ConnectionFailed, "no connection", "Check base_url, endpoint and the server's network, then run the query again"
)
_LATE = Case(
    ServiceTimeout, "no complete response in time", "Raise timeout, lower max_batch_size, or ask for shorter answers"
)
_TLS = Case(
    ConnectionFailed,
    "no secure connection",
    "Check the port in base_url or endpoint, and whether the URL must begin with http://",
)
_CERTIFICATE = Case(
    ConnectionFailed,
    "the server's certificate was rejected",
    "Check the URL; if the network uses its own certificates, set REQUESTS_CA_BUNDLE on the MindsDB server to them",
    retryable=False,
)
_PROXY = Case(
    ConnectionFailed,
    "no connection through the proxy",
    "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment of the MindsDB server",
)
_GARBLED = Case(InvalidAnswer, "the response could not be read", "Run the query again", retryable=True)
_ADDRESS = Case(SettingsError, "the address cannot be used", "Check base_url and endpoint")
_BODY = Case(InvalidInput, "the input cannot be written as JSON", "Look for NaN and infinite numbers")
_UNKNOWN = Case(ConnectionFailed, "the request failed", "Run the query again")
#: What to do if a URL of media or a link cannot be fetched.
_CHECK_URL = "Check the URL; media and links are fetched directly, without a proxy"

#: What http.client says if a proxy refuses to open a tunnel.
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})")

#: Every exception of the libraries below, by class; a test fails when they grow one that is not here.
BY_EXCEPTION: dict[type[BaseException], Case] = {
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
    rq.RetryError: BUSY,
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
    u3.ResponseError: BUSY,
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
    http.client.BadStatusLine: _NO_HTTP,
    http.client.UnknownProtocol: _NO_HTTP,
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
#: The first of these in a chain of exceptions says best what happened.
_TELLING = (
    u3.ProxyError, ssl.SSLCertVerificationError, TimeoutError, u3.ReadTimeoutError, ssl.SSLError,
    ConnectionRefusedError,
)  # fmt: skip


def failed(error: BaseException, *, host: str, timeout: float, service: bool = True) -> HuggingFaceError:
    """Return our error for an exception of requests, urllib3 or the system. The caller chains it.

    Nothing of the exception's text is repeated: it contains addresses and paths. If the request was not sent to the
    service but to a row's URL, the error is that row's.
    """
    case = _case_of(error)
    if case.error is SettingsError and not service:
        return InvalidInput(f"{case.happened}: {host}", advice="Check the URL", divisible=False)
    happened = case.happened
    if case is _LATE:
        happened = f"{happened} (timeout = {timeout:g} seconds)"
    why = _system_reason(error)
    return case.error(
        f"{happened}: {host}" + (f": {why}" if why else ""),
        advice=(case.advice or case.error.plain_remedy()) if service else _CHECK_URL,
        retryable=case.retryable,
        divisible=case.divisible,
    )


def reveals(error: BaseException, secret: str | None) -> bool:
    """Return whether an exception, or one of its causes, contains ``secret``: it may quote a server's status line."""
    return any(contains_token(f"{part!r} {part}", secret) for part in _chain(error))


#: Failures before a request has left.
_NEVER_LEFT = (
    u3.NewConnectionError, u3.ConnectTimeoutError, u3.NameResolutionError, u3.ProxyError, socket.gaierror,
    ConnectionRefusedError, ssl.SSLCertVerificationError,
)  # fmt: skip


def may_have_arrived(error: HuggingFaceError) -> bool:
    """Return whether a request without a complete response may have reached the service, which then bills it."""
    chain = list(_chain(error))
    is_transport_error = any(isinstance(part, (OSError, u3.HTTPError, http.client.HTTPException)) for part in chain)
    return is_transport_error and not any(isinstance(part, _NEVER_LEFT) for part in chain)


def _case_of(error: BaseException) -> Case:
    chain = list(_chain(error))
    for kind in _TELLING:
        if any(isinstance(part, kind) for part in chain):
            return BY_EXCEPTION[kind]
    # Not a connection that was closed without a response, whose exception is of this class too.
    if any(type(part) in (http.client.BadStatusLine, http.client.UnknownProtocol) for part in chain):
        return _NO_HTTP
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
        refused = _TUNNEL.match(str(part)) if isinstance(part, OSError) else None
        if refused is not None:
            return f"it refused with status {refused[1]}"
        if isinstance(part, ssl.SSLCertVerificationError):
            return one_line(str(getattr(part, "verify_message", "")), 120)
        if isinstance(part, OSError) and part.errno and part.strerror and not isinstance(part, ssl.SSLError):
            return one_line(str(part.strerror), 80).lower()
    return ""
