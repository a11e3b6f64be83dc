"""One request there and back: limits, sockets, and errors out of answers.

This stands on requests' adapter without requests' session, and so without what a session does
unasked: no ``.netrc`` that replaces the token, no proxies or cookies out of the environment, no
redirects followed blindly. What it adds:

- it connects to the addresses that :mod:`..policy` judged, and looks no name up a second time;
- ``timeout`` is the time for the whole request, connection to last byte, however slowly they trickle;
- at most ``max_answer_bytes`` are read, counted after decompression;
- redirects are followed one by one, each judged like the first, without credentials to other origins;
- a connection is reused only after an exchange that ended cleanly, so that no response reaches another request;
- a POST is sent once: whoever retries it counts it;
- every failing answer and every library's exception becomes one of :mod:`..errors`.
"""

from __future__ import annotations

import http.client
import logging
import os
import queue
import re
import socket
import ssl
import sys
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urljoin

import certifi
import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util import Timeout, make_headers, parse_url, wait_for_read
from urllib3.util.ssl_ import create_urllib3_context

from ..errors import (
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    PayloadTooLarge,
    SettingsError,
)
from . import error_mapping
from .memory_limit import MEMORY
from .redaction import contains_token
from .request import Request, Response, encode_json
from .url_policy import ParsedUrl, Purpose, ResolvedUrl, UrlPolicy, redacted_url

log = logging.getLogger(__name__)

#: Seconds for one attempt to connect to one address.
CONNECT_TIMEOUT = 10.0
#: Bytes of an answer after decompression; videos are the largest.
MAX_ANSWER_BYTES = 128 * 2**20
#: Bytes of a JSON's objects, as they are reckoned before there are any.
MAX_OBJECT_BYTES = 512 * 2**20
#: Sockets kept for each origin; as many requests may be under way at once without new connections.
POOL = 256
#: Origins of media, and sockets of each, that are kept open: rows may name as many servers as they are.
MEDIA_ORIGINS, MEDIA_POOL = 16, 8
MAX_REDIRECTS = 4
CHUNK = 65536
#: Bytes that are unpacked at once.
PIECE = 2**20
#: The first byte of each of gzip's members.
_GZIP = b"\x1f"
#: Prepared requests that are remembered.
PREPARED_KEPT = 256

#: Interim responses (1xx) that may come before the final one.
MAX_INTERIM = 100
#: Requests that open new connections after a kept connection was closed under a request.
NEW_AFTER_CLOSE = 256

#: What the other side's hanging up looks like, in plain and within TLS.
_HUNG_UP = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_KEPT_METHOD = (307, 308)
_REDIRECTS = (301, 302, 303, 307, 308)
#: Final statuses whose responses end with their headers.
_NO_BODY = (101, 204, 304)
_UNSET: Any = object()
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# --- sockets that know the hour -------------------------------------------------------------------


class _Moment(threading.local):
    """What the request that this thread is making must keep to.

    A socket times each single read; only it sees every read, also those of TLS records and of
    header lines, so the deadline of the whole request is asked for where the reading happens.
    """

    deadline: float = float("inf")
    timeout: float = 0.0
    addresses: tuple[str, ...] = ()
    #: Whether the request must not leave twice.
    once: bool = False
    #: Whether its connection has served an earlier request.
    kept: bool = False


_now = _Moment()


def _left() -> float | None:
    """Return the seconds left, ``None`` for no limit. Raises ``TimeoutError`` when there are none."""
    deadline = _now.deadline
    if deadline == float("inf"):
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this request is over")
    return left


def _acknowledge(sock: socket.socket) -> None:
    """Acknowledge what has been received at once, where the system can (Linux).

    Until then a server with Nagle's algorithm holds back its next small write: a body behind its head, for 40 ms,
    or bytes behind a response, until the next request leaves and is taken for their cause.
    """
    if _QUICKACK is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError:  # a help, no more
            pass


class _Socket(socket.socket):
    __slots__ = ()

    def unread(self) -> bytes | None:
        """Return a few of the bytes that wait to be read: none if the other side closed, ``None`` if nothing waits."""
        if not wait_for_read(self, timeout=0.0):
            return None
        self.settimeout(0.0)
        try:
            return self.recv(16)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(_left())
        size = super().recv_into(buffer, nbytes, flags)
        _acknowledge(self)
        return size

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(_left())
        super().sendall(data, flags)


class _TLSSocket(ssl.SSLSocket):
    def unread(self) -> bytes | None:
        """Return a few of the bytes that wait to be read: none if the other side closed, ``None`` if nothing waits."""
        if not self.pending() and not wait_for_read(self, timeout=0.0):
            return None
        self.settimeout(0.0)
        try:
            return super().read(16)
        except ssl.SSLWantReadError:  # no data, but TLS's own, such as a session ticket
            return None
        except OSError:
            return b""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        self.settimeout(_left())
        found = super().read(len, buffer)
        _acknowledge(self)
        return found

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(_left())
        return super().send(data, flags)


def _connect(connection: HTTPConnection) -> socket.socket:
    """Return a socket to one of the judged addresses, tried in their order.

    With a proxy it is the proxy's address that is looked up: whoever set it up trusts it.
    """
    port = connection.port
    if connection.proxy is not None:
        found = socket.getaddrinfo(connection.host, port, type=socket.SOCK_STREAM)
        addresses = tuple(str(entry[4][0]) for entry in found)
    else:
        addresses = _now.addresses
    failed: OSError | None = None
    for address in addresses:
        sock = _Socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            left = _left()
            sock.settimeout(CONNECT_TIMEOUT if left is None else min(CONNECT_TIMEOUT, left))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.connect((address, port))
            sock.settimeout(_left())
            return sock
        except OSError as error:
            sock.close()
            failed = error
    if isinstance(failed, TimeoutError):
        raise ConnectTimeoutError(connection, "no connection in time") from failed
    raise NewConnectionError(connection, "no connection") from failed


class _Response(http.client.HTTPResponse):
    #: Whether bytes came right behind the response.
    followed = False

    def begin(self) -> None:
        """Read status and headers; forget lines that are no headers, which urllib3 would write into the log."""
        super().begin()
        headers = self.headers
        # Headers behind such a line are lost, and with them what they say of the body.
        if headers.defects:
            self.will_close = True
        headers.set_payload("")
        headers.defects.clear()
        self._frame()

    def _read_status(self) -> tuple[str, int, str]:
        """Return the status line of the final response. 101 is final: what follows it is no HTTP."""
        for _ in range(MAX_INTERIM + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= line[1] < 200 or line[1] == 101:
                return line
            http.client.parse_headers(self.fp)
        raise _unframed(f"more than {MAX_INTERIM} interim responses (status 1xx) and no final one")

    def _frame(self) -> None:
        """Decide where the body ends, and close the connection after it if the headers leave doubt.

        Raises:
            InvalidAnswer: the headers contradict each other, or name a transfer coding that is not supported.
        """
        said: dict[str, list[str]] = {"content-length": [], "transfer-encoding": [], "connection": []}
        for name, value in self.headers.raw_items():
            found = said.get(name.lower())
            if found is not None:
                found += [part.strip().lower() for part in value.split(",")]
        lengths, codings, connection = said.values()
        if "close" in connection:
            self.will_close = True
        if codings:
            self._frame_coded(codings, lengths)
        elif self.status in _NO_BODY:
            self.will_close |= self.status == 101 or (self.status == 204 and lengths not in ([], ["0"]))
        elif lengths:
            self._frame_counted(lengths)

    def _frame_coded(self, codings: list[str], lengths: list[str]) -> None:
        if set(codings) - {"chunked", "identity"}:
            raise _unframed("a transfer coding that is not supported")
        self.will_close |= codings != ["chunked"] or bool(lengths) or self.version < 11 or self.status in _NO_BODY
        del self.headers["Content-Length"]
        self.chunked = "chunked" in codings and self.status not in _NO_BODY
        self.chunk_left = None
        self.length = 0 if self.status in _NO_BODY else None

    def _frame_counted(self, lengths: list[str]) -> None:
        if len(set(lengths)) > 1:
            raise _unframed("several values of Content-Length")
        valid = re.fullmatch("[0-9]{1,18}", lengths[0]) is not None
        if valid and len(lengths) == 1:
            return
        del self.headers["Content-Length"]
        if valid:
            self.headers["Content-Length"] = lengths[0]
        self.length = int(lengths[0]) if valid else None
        self.will_close |= not valid

    def _close_conn(self) -> None:
        """Note whether bytes came behind the response: those in the reader's buffer are lost with the reader."""
        reader: Any = self.fp
        reader.raw.readinto = _nothing  # what has been read already, and no more
        try:
            self.followed = bool(reader.peek())
        except (OSError, ValueError):  # closed
            pass
        super()._close_conn()  # type: ignore[misc]


def _nothing(buffer: Any) -> None:
    """Read nothing, as from a socket on which nothing waits."""


def _unframed(what: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"the service sent {what}",
        advice="Run the query again; if this stays, look for a faulty proxy between MindsDB and the service",
        retryable=True,
        divisible=False,
    )


class _Unasked(Exception):
    """Bytes, or the end of the stream, wait on a connection on which no request is under way."""

    def __init__(self, unread: bytes) -> None:
        super().__init__()
        self.unread = unread


class _BaseConnection:
    """What plain and TLS connections share.

    A request's head and a short body leave in one piece: one packet, one waking of the server, and half the times
    at which this thread has to wait for the interpreter. Right before, the connection is checked: what waits on it
    to be read is no response to this request.
    """

    _held: list[bytes] | None = None
    #: The latest response.
    response: _Response | None = None

    @property
    def is_connected(self) -> bool:
        connection: Any = self
        if connection.proxy is None:  # ``_write`` checks the rest, closer to the request
            return connection.sock is not None
        pending = getattr(connection.sock, "pending", None)
        return bool(super().is_connected) and not (pending and pending())  # type: ignore[misc]

    def request(self, *arguments: Any, **options: Any) -> None:
        self._held = []
        try:
            super().request(*arguments, **options)  # type: ignore[misc]
            held = self._held
        finally:
            self._held = None
        if held:
            self._write(b"".join(held))

    def send(self, data: Any) -> None:
        held = self._held
        if held is not None and isinstance(data, bytes) and len(data) <= CHUNK:
            held.append(data)
            return
        self._held = None
        if held:
            self._write(b"".join(held))
        super().send(data)  # type: ignore[misc]

    def _write(self, head: bytes) -> None:
        """Begin a request.

        Raises:
            _Unasked: this is not the connection for it. Nothing has been sent.
        """
        connection: Any = self
        if connection.sock is None:
            connection.connect()
        if connection.proxy is None:
            unread = connection.sock.unread()
            if unread or (unread is not None and _now.kept):
                raise _Unasked(unread)
        super().send(head)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self.response = response._original_response
        return response


class _Connection(_BaseConnection, HTTPConnection):
    response_class = _Response
    #: With Python's own switch on, every connection prints its headers, the token among them.
    debuglevel = 0

    def set_debuglevel(self, level: int) -> None:
        """Do nothing."""

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _TLSConnection(_BaseConnection, HTTPSConnection):
    response_class = _Response
    debuglevel = 0

    def set_debuglevel(self, level: int) -> None:
        """Do nothing."""

    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _Keeping(HTTPConnectionPool):
    #: How many of the next requests open new connections, since kept ones may have been closed.
    _new = 0
    #: Whether the server has sent what no request asked for.
    _distrusted = False

    def _get_conn(self, timeout: float | None = None) -> Any:
        conn = super()._get_conn(timeout)
        if _now.once or self._new or self._distrusted:
            self._new = max(self._new - 1, 0)
            conn.close()
        _now.kept = not conn.is_closed
        return conn

    def _make_request(self, conn: Any, method: str, *args: Any, **options: Any) -> Any:
        """Send a request. A kept connection that turns out to be unusable before it has left is replaced.

        A server may also close a kept connection in the moment in which a request leaves. Whether it has worked on
        that request is unknown. A POST is work that may be billed: it is not sent again here, where nobody counts
        it, but fails with an error that asks for a retry without a pause. A GET is sent again.
        """
        try:
            return super()._make_request(conn, method, *args, **options)
        except _Unasked as error:
            conn.close()
            # 408 is how some servers announce that they close an idle connection.
            if error.unread and error.unread[9:12] != b"408":
                self._distrust()
            if not _now.kept:
                raise ConnectionFailed(
                    f"{self.host}:{self.port} sent data before it was sent a request",
                    advice="Check base_url and endpoint",
                ) from None
        except _HUNG_UP as error:
            if not _now.kept or conn.proxy is not None:
                raise
            conn.close()
            # The other connections may be as old. With new ones, a retry does not meet the same.
            self._new = NEW_AFTER_CLOSE
            if method != "GET":
                raise ConnectionFailed(
                    f"{self.host}:{self.port} closed a kept connection before it responded",
                    advice="Run the query again, or raise max_retries",
                    retry_after=0.0,
                ) from error
        _now.kept = False
        return super()._make_request(conn, method, *args, **options)

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back, closed unless its exchange ended cleanly. A full pool is no reason for a warning."""
        if conn is not None and conn.response is not None and conn.response.followed:
            conn.close()
            self._distrust()
        try:
            self.pool.put(conn, block=False)  # type: ignore[union-attr]
        except (AttributeError, queue.Full):  # the pool has been closed, or is full
            if conn is not None:
                conn.close()

    def _distrust(self) -> None:
        """Use no connection to this server twice: it sends what no request asked for, and might do so at any time."""
        if not self._distrusted:
            log.warning("%s:%s sends data beyond its responses: connections are no longer reused", self.host, self.port)
        self._distrusted = True


class _Pool(_Keeping):
    ConnectionCls = _Connection


class _TLSPool(_Keeping, HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Request(requests.PreparedRequest):
    """A request written out by us, and the origin it goes to."""

    parsed: ParsedUrl
    target: str
    private: bool


class _Adapter(HTTPAdapter):
    """requests' adapter over pools that connect to judged addresses only."""

    def __init__(self, pool: int, proxy: str | None, ca_bundle: str | None) -> None:
        self._pools: dict[tuple[str, str, int], HTTPConnectionPool] = {}
        self._media: OrderedDict[tuple[str, str, int], HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()
        self._proxy = parse_url(proxy) if proxy else None
        self._ca_bundle = ca_bundle
        self._context: ssl.SSLContext | None = None
        self._size = pool
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        assert isinstance(request, _Request)
        # An origin reached as a service may have been allowed a private address; nothing that
        # was judged as a medium shall find such a connection open.
        origin = request.parsed.origin
        if not request.private:
            return self._medium_pool(request.parsed)
        pool = self._pools.get(origin)
        if pool is None:
            with self._lock:
                pool = self._pools.get(origin) or self._new_pool(request.parsed, self._size)
                self._pools[origin] = pool
        return pool

    def _medium_pool(self, parsed: ParsedUrl) -> HTTPConnectionPool:
        with self._lock:
            pool = self._media.get(parsed.origin) or self._new_pool(parsed, MEDIA_POOL)
            self._media[parsed.origin] = pool
            self._media.move_to_end(parsed.origin)
            if len(self._media) > MEDIA_ORIGINS:
                # Not closed here, since a lane may be about to use it: its sockets close with its last user.
                self._media.popitem(last=False)
        return pool

    def _new_pool(self, parsed: ParsedUrl, size: int) -> HTTPConnectionPool:
        extra: dict[str, Any] = {"maxsize": size, "retries": 0}
        host, port = parsed.host, parsed.port
        if self._proxy is not None:
            login = make_headers(proxy_basic_auth=self._proxy.auth) if self._proxy.auth else {}
            extra |= {"_proxy": self._proxy, "_proxy_headers": login}
            if parsed.scheme == "http":
                host, port = str(self._proxy.host), self._proxy.port or 80
        if parsed.scheme == "http":
            return _Pool(host, port, **extra)
        if self._context is None:
            self._context = _tls_context(self._ca_bundle)
        return _TLSPool(host, port, ssl_context=self._context, **extra)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the pool was made with a context that verifies."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        assert isinstance(request, _Request)
        return request.target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return what came, without the cookies and encodings that nobody here asks for."""
        response = requests.Response.__new__(requests.Response)
        response.__dict__.update(
            status_code=resp.status, raw=resp, reason=resp.reason, url=req.url, request=req, headers=resp.headers,
            _content=False, _content_consumed=False, history=[], encoding=None, connection=self,
        )  # fmt: skip
        return response

    def close(self) -> None:
        with self._lock:
            pools = [*self._pools.values(), *self._media.values()]
            self._pools, self._media = {}, OrderedDict()
        for pool in pools:
            pool.close()
        super().close()


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    where = ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    where = where or certifi.where()
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    try:
        if os.path.isdir(where):
            context.load_verify_locations(capath=where)
        else:
            context.load_verify_locations(cafile=where)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            "the certificates that the server trusts cannot be read",
            advice="Check REQUESTS_CA_BUNDLE and SSL_CERT_FILE in the server's environment",
        ) from error
    context.sslsocket_class = _TLSSocket
    return context


# --- the transport --------------------------------------------------------------------------------


class Transport:
    """Sends requests from any number of threads.

    Args:
        policy: judges every address before it is asked.
        max_answer_bytes: longest answer, decompressed.
        pool: sockets kept for each origin.
        proxy: URL of an HTTP proxy for all requests; names are then looked up by the proxy for
            services, and media are judged by the addresses that this machine sees.
        ca_bundle: file or folder of trusted certificates; else ``REQUESTS_CA_BUNDLE``,
            ``SSL_CERT_FILE``, else certifi's.
    """

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        pool: int = POOL,
        proxy: str | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self.policy = policy
        self._max_answer_bytes = max_answer_bytes
        self._proxied = proxy is not None
        self._adapter = _Adapter(pool, proxy, ca_bundle)
        self._prepared: dict[tuple[Any, ...], tuple[ParsedUrl, dict[str, str]]] = {}

    def send(self, request: Request) -> Response:
        """Send ``request`` and return its response, read to the end.

        Raises:
            SettingsError: a URL, a token or a header that cannot be used.
            BlockedAddress: a URL of media or a link that may not be requested.
            HuggingFaceError: whatever the service made of the request.
        """
        start = time.monotonic()
        token = _plain(request.token)
        parsed, prepared = self._prepare(request, token)
        for _ in range(MAX_REDIRECTS + 1):
            status, answer_headers, content = self._exchange(request, parsed, prepared, start)
            if not _follows(request.method, status, answer_headers):
                break
            onward = self._redirected(parsed, answer_headers["location"], request.purpose, token)
            if onward.origin != parsed.origin:
                prepared = _without_credentials(prepared)
            parsed = onward
        authorised = "Authorization" in prepared
        if not 200 <= status < 300 or status in (204, 205):
            if request.purpose != "service":
                raise error_mapping.unfetched(status, answer_headers, redacted_url(parsed.url))
            error = error_mapping.failure(status, answer_headers, content, authorised=authorised, secret=token)
            if status in (204, 205):
                error.retryable = True
            raise error
        media_type = answer_headers.get("content-type", "").partition(";")[0].strip().lower()
        response = Response(status, answer_headers, content, media_type, time.monotonic() - start, parsed.url, token)
        if authorised and token:
            _refuse_echo(response, token)
        if request.method == "POST":
            self._distrust(response, request)
        return response

    def post(
        self,
        url: str,
        *,
        token: Any = None,
        json: Any = _UNSET,
        data: bytes | None = None,
        content_type: str | None = None,
        accept: str = "application/json",
        headers: Mapping[str, str] = _NO_HEADERS,
        timeout: float,
        max_bytes: int | None = None,
        begins: bool = False,
    ) -> Response:
        """Send ``json``, or ``data`` of a ``content_type``, to a service; see :class:`Request`."""
        if json is not _UNSET:
            data, content_type = encode_json(json), "application/json"
        return self.send(
            Request(
                method="POST", url=url, token=token, headers=headers, body=data or b"",
                content_type=content_type or "application/octet-stream", accept=accept, timeout=timeout,
                max_bytes=max_bytes, begins_paid_work=begins,
            )
        )  # fmt: skip

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
        """Close idle sockets. Requests under way end in their own time."""
        self._adapter.close()

    # -- one request

    def _prepare(self, request: Request, token: str | None) -> tuple[ParsedUrl, dict[str, str]]:
        """Return what is the same for all requests of a kind: the parsed and the headers."""
        url, headers, content_type = request.url, request.headers, request.content_type
        key = (url, request.purpose, token, content_type, request.accept, tuple(headers.items()))
        known = self._prepared.get(key)
        if known is not None:
            return known
        parsed = self.policy.parse(url, purpose=request.purpose)
        written = {
            "Host": parsed.authority,
            "User-Agent": user_agent(),
            "Accept": request.accept,
            # Only what can be decompressed piece by piece, with a limit.
            "Accept-Encoding": "gzip",
            **headers,
        }
        if content_type:
            written["Content-Type"] = content_type
        if token and self.policy.may_carry_token(parsed.url):
            written["Authorization"] = f"Bearer {token}"
        _check_headers(written)
        if request.purpose == "service":
            if len(self._prepared) >= PREPARED_KEPT:
                self._prepared.clear()
            self._prepared[key] = parsed, written
        return parsed, written

    def _redirected(self, parsed: ParsedUrl, location: str, purpose: Purpose, token: str | None) -> ParsedUrl:
        # http.client reads headers as Latin-1; what servers write there is UTF-8.
        try:
            location = location.encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
        if contains_token(location, token):  # it would stand in a URL, and in logs
            raise InvalidAnswer(f"'{parsed.host}' leads on to an address that repeats the token", divisible=False)
        try:
            onward = self.policy.parse(urljoin(parsed.url, location), purpose=purpose)
        except ValueError:  # urljoin's own, for brackets that hold no address
            raise self._leads_away(parsed, "no address") from None
        except SettingsError as error:
            # Not the settings' fault, which would end the query for all rows: a server may do so for one of them.
            raise self._leads_away(parsed, error.message) from None
        if purpose == "service" and parsed.scheme == "https" and onward.scheme == "http":
            raise self._leads_away(parsed, "an address without encryption")
        return onward

    def _leads_away(self, parsed: ParsedUrl, where: str) -> InvalidAnswer:
        return InvalidAnswer(
            f"'{parsed.host}' leads on: {where}", advice=error_mapping.ELSEWHERE.advice, retryable=False
        )

    def _exchange(
        self, request: Request, parsed: ParsedUrl, prepared: dict[str, str], start: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one hop: send, and read the answer whole. Returns status, headers, body."""
        private = request.purpose == "service"
        timeout, once = request.timeout, request.begins_paid_work
        max_bytes = self._max_bytes(request)
        if self._proxied and private:
            _now.addresses = ()
        else:
            target: ResolvedUrl = self.policy.resolve(parsed, purpose=request.purpose)
            _now.addresses = target.addresses
        deadline = start + timeout
        _now.deadline, _now.once = deadline, once
        message = _Request()
        message.method, message.url, message.parsed, message.private = request.method, parsed.url, parsed, private
        message.target = self._request_target(parsed)
        message.body = request.body
        # A plain dict: names are written once, by us, and read by nobody in another case.
        message.headers = _with_length(prepared, request.body)  # type: ignore[assignment]
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            # The adapter takes urllib3's own Timeout, which requests' stubs do not say.
            limit: Any = Timeout(total=left)
            response = self._adapter.send(message, stream=True, timeout=limit)
            raw = response.raw
            try:
                headers = {name.lower(): value for name, value in raw.headers.items()}
                failing = raw.status >= 300
                most = error_mapping.REASON_BYTES if failing else max_bytes
                content = _read(raw, headers, most, failing, request.purpose)
            except BaseException:
                raw.close()
                raise
            raw.release_conn()
            if _now.kept and getattr(raw._original_response, "followed", False):
                # One of the two may be a late response to an earlier request.
                raise _unframed("more than one response to a request")
            return raw.status, headers, content
        except HuggingFaceError:
            raise
        except (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            fault = error_mapping.failed(error, host=parsed.authority, timeout=timeout, service=private)
            if not error_mapping.tells(error, prepared.get("Authorization", "").removeprefix("Bearer ")):
                raise fault from error
        finally:
            _now.deadline, _now.addresses, _now.once, _now.kept = float("inf"), (), False, False
        # Alone: what it came from repeats the token, and can no longer tell whether the request had left.
        if once:
            fault.retryable = False
        raise fault

    def _max_bytes(self, request: Request) -> int:
        most = self._max_answer_bytes
        if request.max_bytes is None:
            return most
        return min(most, request.max_bytes) if request.method == "POST" else request.max_bytes

    def _request_target(self, parsed: ParsedUrl) -> str:
        if self._proxied and parsed.scheme == "http":
            return parsed.url
        # After the third slash; there always is one.
        return parsed.url[parsed.url.index("/", 8) :]

    def _distrust(self, response: Response, request: Request) -> None:
        """Refuse an answer that has a good status and is none: a web page, or an error in JSON."""
        if response.media_type == "text/html" and "html" not in request.accept:
            response.json()
        if not request.begins_paid_work and response.content[:1] in b"{[" and b'"error"' in response.content:
            error = error_mapping.failure_within(
                response.status, response.headers, error_mapping.parsed(response.content), secret=response.secret
            )
            if error is not None:
                raise error


def _refuse_echo(response: Response, token: str) -> None:
    """Refuse an answer that repeats the token: it would be shown in a table and kept."""
    headers = response.headers.values()
    if contains_token(response.content, token) or any(contains_token(value, token) for value in headers):
        raise InvalidAnswer(
            "the service's answer repeats the token that it was sent",
            advice="Find out what stands behind base_url or endpoint, and make a new token",
            status=response.status,
            divisible=False,
        )


def _follows(method: str, status: int, headers: Mapping[str, str]) -> bool:
    allowed = _REDIRECTS if method == "GET" else _KEPT_METHOD
    return status in allowed and bool(headers.get("location"))


def _without_credentials(headers: dict[str, str]) -> dict[str, str]:
    kept = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
    return {name: value for name, value in headers.items() if name in kept}


def _with_length(headers: dict[str, str], body: bytes | None) -> dict[str, str]:
    return headers if body is None else {**headers, "Content-Length": str(len(body))}


def _read(raw: Any, headers: Mapping[str, str], most: int, cut: bool, purpose: Purpose) -> bytes:
    """Read a body of at most ``most`` bytes; where ``cut``, stop there instead of refusing it."""
    encoding = headers.get("content-encoding", "").strip().lower()
    length = headers.get("content-length", "")
    if encoding in ("", "identity"):
        if length.isascii() and length.isdigit() and not cut:
            if int(length) > most:
                raise _too_large(most, purpose)
            MEMORY.acquire(int(length), _left())
            # The common case; http.client notices where fewer bytes come.
            return bytes(raw.read(decode_content=False))
        unpack = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unpack = _Unpacker()
    else:
        # Named where it is a name: a server may say there what it was sent.
        how = f" as '{encoding}'" if re.fullmatch(r"[a-z]{1,8}", encoding) else ""
        raise InvalidAnswer(f"the service packed its answer{how}, which was not asked for")
    body = bytearray()
    try:
        while chunk := raw.read(CHUNK, decode_content=False):
            while chunk and len(body) <= most:
                piece, chunk = (chunk, b"") if unpack is None else unpack.some(chunk)
                body += piece
                MEMORY.acquire(len(body), _left())
            if len(body) > most:
                if not cut:
                    raise _too_large(most, purpose)
                raw.close()
                break
    except (OSError, urllib3.exceptions.HTTPError, HuggingFaceError):
        if not cut:
            raise
        # The status says enough; what came of the reason will do.
        raw.close()
    if unpack is not None and not unpack.eof and not cut:
        raise InvalidAnswer("the service's packed answer was cut off", retryable=True, divisible=False)
    del body[most:]
    return bytes(body)


class _Unpacker:
    """Unpacks a body piece by piece: zlib's form, or gzip's of one or more members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its head
        self._gzip = False
        self._begun = False

    @property
    def eof(self) -> bool:
        """Whether all that has begun has ended."""
        return self._member.eof

    def some(self, packed: bytes) -> tuple[bytes, bytes]:
        """Return some of what is in ``packed``, and what of ``packed`` is left.

        Raises:
            InvalidAnswer: it cannot be unpacked.
        """
        if not self._begun:
            self._begun, self._gzip = True, packed[:1] == _GZIP
        if self._member.eof:
            # Another member; what is none, such as padding, is no part of the body.
            if not self._gzip or packed[:1] != _GZIP:
                self._gzip = False
                return b"", b""
            self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            piece = self._member.decompress(packed, PIECE)
        except zlib.error as error:
            raise InvalidAnswer(
                "the service's packed answer cannot be unpacked", retryable=True, divisible=False
            ) from error
        return piece, self._member.unused_data if self._member.eof else self._member.unconsumed_tail


def _too_large(most: int, purpose: Purpose) -> HuggingFaceError:
    if purpose == "media":
        return PayloadTooLarge(f"what the URL leads to is larger than {most} bytes", divisible=False)
    return InvalidAnswer(
        f"the service's answer is larger than {most} bytes", advice="Lower max_batch_size, or ask for less"
    )


def _plain(token: Any) -> str | None:
    """Return a token as it is sent: without white space around it; ``None`` where there is none.

    Raises:
        SettingsError: it holds what no token holds. It is not shown.
    """
    if token is None:
        return None
    text = str(token.get_secret_value() if hasattr(token, "get_secret_value") else token).strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(
            "the token holds characters that no token holds, such as spaces, line ends or curly quotes",
            advice="Copy it again from huggingface.co/settings/tokens",
        )
    return text


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise SettingsError(f"the header {name} cannot be sent: it holds more than plain characters in one line")


def user_agent() -> str:
    """Name the project and its version, as every request does."""
    package = sys.modules.get(__package__.rpartition(".")[0])
    return f"huggingface-api-handler/{getattr(package, 'version', '0')}"
