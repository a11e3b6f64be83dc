"""The transport: sends one request, with its limits, and returns its response or one of :mod:`..errors`.

- it connects to the addresses that :mod:`.url_policy` checked, and resolves no name a second time;
- ``timeout`` is the time for the whole request, from connecting to the last byte, however slowly they arrive;
- at most ``max_bytes`` of a response are read, counted after decompression;
- redirects are followed one by one, each checked like the first URL, without credentials to other origins;
- a connection is reused only after an exchange that ended cleanly, so that no response reaches another request;
- a POST is sent once: the caller retries it, and counts it. A redirect (307, 308) belongs to its request: the server
  that redirects has not begun the work, so both hops count as one request;
- every failing response and every library's exception becomes one of our errors.
"""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import urllib3.exceptions
from urllib3.util import Timeout

from ..errors import HuggingFaceError, InvalidAnswer, SettingsError
from .adapter import Adapter, WireRequest
from .body import read_beginning, read_body
from .connection import Exchange
from .error_body import REASON_BYTES
from .error_body import parsed as parsed_json
from .error_mapping import failure, failure_within, unfetched
from .exception_mapping import failed, reveals
from .framing import bad_framing
from .redaction import contains_token
from .redirects import MAX_REDIRECTS, is_followed, next_url, without_credentials
from .request import Request, Response
from .sockets import seconds_left
from .url_policy import ParsedUrl, Purpose, UrlPolicy, redacted_url

#: Bytes of a response after decompression; videos are the largest.
MAX_ANSWER_BYTES = 128 * 2**20
#: Requests whose URL and headers are cached.
MAX_PREPARED = 256

#: requests' adapter takes urllib3's own Timeout; the connection's deadline is what counts.
_TIMEOUT: Any = Timeout()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Transport:
    """Sends requests from any number of threads.

    Args:
        policy: checks every URL before it is requested.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self.policy = policy
        self._adapter = Adapter()
        self._prepared: dict[tuple[Any, ...], tuple[ParsedUrl, dict[str, str]]] = {}

    def send(self, request: Request) -> Response:
        """Send ``request`` and return its response, read to the end.

        Raises:
            SettingsError: a URL, a token or a header that cannot be used.
            BlockedAddress: a URL of media or a link that may not be requested.
            HuggingFaceError: whatever the service made of the request.
        """
        start = time.monotonic()
        token = plain_token(request.token)
        parsed, headers = self._prepare(request, token)
        for _ in range(MAX_REDIRECTS + 1):
            status, response_headers, content = self._exchange(request, parsed, headers, start + request.timeout)
            if not is_followed(request.method, status, response_headers):
                break
            target = next_url(self.policy, parsed, response_headers["location"], request, token)
            if target.origin != parsed.origin:
                headers = without_credentials(headers)
            parsed = target
        authorised = "Authorization" in headers
        if not 200 <= status < 300 or status in (204, 205):
            if request.purpose != "service":
                raise unfetched(status, response_headers, redacted_url(parsed.url))
            error = failure(
                status,
                response_headers,
                content,
                authorised=authorised,
                is_hugging_face=self.policy.is_hugging_face(parsed),
                is_billed="X-HF-Bill-To" in headers,
                secret=token,
            )
            if status in (204, 205):
                error.retryable = True
            raise error
        media_type = response_headers.get("content-type", "").partition(";")[0].strip().lower()
        response = Response(status, response_headers, content, media_type, time.monotonic() - start, parsed.url, token)
        if authorised and token:
            _refuse_echo(response, token)
        if request.method == "POST":
            _refuse_hidden_failure(response, request)
        return response

    def get(
        self,
        url: str,
        *,
        purpose: Purpose,
        token: Any = None,
        accept: str = "*/*",
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout: float,
        max_bytes: int | None = None,
    ) -> Response:
        """Fetch ``url``; see :class:`Request`."""
        return self.send(
            Request(
                method="GET", url=url, purpose=purpose, token=token, headers=headers, accept=accept, timeout=timeout,
                max_bytes=max_bytes,
            )
        )  # fmt: skip

    def close(self) -> None:
        """Close idle connections. Requests in progress end in their own time."""
        self._adapter.close()

    # -- one request

    def _prepare(self, request: Request, token: str | None) -> tuple[ParsedUrl, dict[str, str]]:
        """Return what all requests of a kind share: the parsed URL and the headers."""
        url, content_type = request.url, request.content_type
        key = (url, request.purpose, token, content_type, request.accept, tuple(request.headers.items()))
        known = self._prepared.get(key)
        if known is not None:
            return known
        parsed = self.policy.parse(url, purpose=request.purpose)
        headers = {
            "User-Agent": user_agent(),
            "Accept": request.accept,
            # Only what can be decompressed piece by piece, with a limit.
            "Accept-Encoding": "gzip",
            **request.headers,
        }
        if content_type:
            headers["Content-Type"] = content_type
        if token and self.policy.may_carry_token(parsed):
            headers["Authorization"] = f"Bearer {token}"
        _check_headers(headers)
        if request.purpose == "service":
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            self._prepared[key] = parsed, headers
        return parsed, headers

    def _exchange(
        self, request: Request, parsed: ParsedUrl, headers: dict[str, str], deadline: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Send ``request`` to ``parsed``; return status, headers and body of the response."""
        is_service = request.purpose == "service"
        wire = self._wire_request(request, parsed, headers, deadline)
        try:
            seconds_left(deadline)
            raw: Any = self._adapter.send(wire, stream=True, timeout=_TIMEOUT).raw
            try:
                response_headers = {name.lower(): value for name, value in raw.headers.items()}
                if raw.status >= 300:
                    content = read_beginning(raw, response_headers, REASON_BYTES, deadline)
                else:
                    content = read_body(raw, response_headers, _max_bytes(request), request.purpose, deadline)
            except BaseException:
                raw.close()
                raise
            finally:
                raw.release_conn()
            if wire.exchange.is_reused and raw.has_extra_bytes:
                # One of the two may be a late response to an earlier request.
                raise bad_framing("more than one response to a request")
            return raw.status, response_headers, content
        except HuggingFaceError:
            raise
        except (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            fault = failed(error, host=parsed.authority, timeout=request.timeout, service=is_service)
            if not reveals(error, headers.get("Authorization", "").removeprefix("Bearer ")):
                raise fault from error
        # Without its cause, which contains the token, and so cannot tell any more whether the request had left.
        if request.begins_paid_work:
            fault.retryable = False
        raise fault

    def _wire_request(
        self, request: Request, parsed: ParsedUrl, headers: dict[str, str], deadline: float
    ) -> WireRequest:
        wire = WireRequest()
        wire.pool = pool = self._adapter.pool(parsed, request.purpose)
        addresses = () if pool.route.proxy is not None else self.policy.resolve(parsed, purpose=request.purpose)
        wire.exchange = Exchange(deadline, addresses, request.begins_paid_work)
        wire.method, wire.url, wire.body = request.method, parsed.url, request.body
        forwarded = pool.route.proxy is not None and parsed.scheme == "http"
        # The path begins after the third slash; there always is one.
        wire.target = parsed.url if forwarded else parsed.url[parsed.url.index("/", 8) :]
        if request.body is not None:
            headers = {**headers, "Content-Length": str(len(request.body))}
        # A plain dict: we write each name once, and nobody reads it in another case.
        wire.headers = headers  # type: ignore[assignment]
        return wire


def _max_bytes(request: Request) -> int:
    if request.max_bytes is None:
        return MAX_ANSWER_BYTES
    # Who fetches something knows how large it may be.
    return min(MAX_ANSWER_BYTES, request.max_bytes) if request.method == "POST" else request.max_bytes


#: One of these is in the JSON of every failure that comes with status 200.
_ERROR_SIGNS = (b'"error', b'"base_resp"', b'{"detail"')


def _refuse_hidden_failure(response: Response, request: Request) -> None:
    """Raise if a response of status 200 is a failure: a web page, or an error in JSON or in an event of a stream."""
    if response.media_type == "text/html" and "html" not in request.accept:
        response.json()
    for event in response.events:
        body = parsed_json(event.data.encode())
        if event.name == "error" and not (isinstance(body, dict) and body.get("error")):
            body = {"error": event.data if body is None else body}
        error = failure_within(response.status, response.headers, body, secret=response.secret)
        if error is not None:
            raise error
    if not request.begins_paid_work and any(response.content.find(sign) >= 0 for sign in _ERROR_SIGNS):
        error = failure_within(response.status, response.headers, parsed_json(response.content), secret=response.secret)
        if error is not None:
            raise error


def _refuse_echo(response: Response, token: str) -> None:
    """Raise if a response contains the token: it would be shown in a table and stored."""
    headers = "\n".join(response.headers.values())
    if contains_token(response.content, token) or contains_token(headers, token):
        raise InvalidAnswer(
            "the service's response contains the token that was sent to it",
            advice="Find out which server base_url or endpoint names, and replace the token",
            status=response.status,
            divisible=False,
        )


def plain_token(token: Any) -> str | None:
    """Return a token as it is sent: without white space around it; ``None`` if it is empty.

    Raises:
        SettingsError: it contains what no token contains. It is not shown.
    """
    if token is None:
        return None
    text = str(token.get_secret_value() if hasattr(token, "get_secret_value") else token).strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(
            "the token contains characters that no token contains, such as spaces, line ends or curly quotes",
            advice="Copy it again from huggingface.co/settings/tokens",
        )
    return text


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise SettingsError(
                f"the header {name} cannot be sent: its value must be one line of printable ASCII characters"
            )


def user_agent() -> str:
    """Return the project's name and version, which every request carries."""
    package = sys.modules.get(__package__.rpartition(".")[0])
    return f"huggingface-api-handler/{getattr(package, 'version', '0')}"
