"""Connections: how one request leaves, and the checks right before it does."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError
from urllib3.util import Url

from .framing import StrictResponse
from .proxies import basic_login
from .sockets import DeadlineSocket, DeadlineTLSSocket, connect_to, resolve_proxy, seconds_left
from .url_policy import ParsedUrl

#: Longest body that leaves in one write with the head of its request.
_MAX_JOINED = 65536


@dataclass(slots=True)
class Exchange:
    """One request on a connection.

    Attributes:
        deadline: its end (``time.monotonic()``).
        addresses: of its host, checked; empty if a proxy resolves the name.
        needs_new_connection: it must not be lost with a connection that the server is about to close.
        is_reused: whether its connection has served an earlier request; set when a connection is chosen.
    """

    deadline: float
    addresses: tuple[str, ...] = ()
    needs_new_connection: bool = False
    is_reused: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """How an origin is reached.

    Attributes:
        origin: a URL of it.
        proxy: of HTTP, through which it is reached: with https through a tunnel.
        context: of TLS; ``None`` with http.
    """

    origin: ParsedUrl
    proxy: Url | None = None
    context: ssl.SSLContext | None = None

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers for the proxy."""
        return {"Proxy-Authorization": basic_login(self.proxy)} if self.proxy is not None and self.proxy.auth else {}


class UnexpectedData(Exception):
    """Bytes wait on a connection before its request was sent, or its end does (``unread`` is empty)."""

    def __init__(self, unread: bytes) -> None:
        super().__init__()
        self.unread = unread


class Connection:
    """A connection to an origin, opened when a request needs it.

    The head of a request and a short body leave in one write: one packet, one wake-up of the server, and half the
    times at which this thread waits for the interpreter. Right before it, the connection is checked: bytes that wait
    on it are no response to this request.
    """

    exchange: Exchange

    def __init__(self, route: Route) -> None:
        self.route = route
        self._socket: DeadlineSocket | DeadlineTLSSocket | None = None

    def start(self, exchange: Exchange) -> None:
        """Use the connection for ``exchange`` from now on."""
        self.exchange = exchange
        exchange.is_reused = self._socket is not None
        if self._socket is not None:
            self._socket.deadline = exchange.deadline

    def send(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> StrictResponse:
        """Send a request; return its response, with the body unread.

        Args:
            target: the path, or for a proxy the URL. It and ``headers`` are printable ASCII.

        Raises:
            UnexpectedData: this connection cannot be used for it. Nothing has been sent.
            OSError, http.client.HTTPException: the connection broke.
            urllib3.exceptions.HTTPError: there is no connection.
            InvalidAnswer: see :meth:`StrictResponse.begin`.
        """
        sock = self._socket
        if sock is None:
            sock = self._socket = self._connected()
        if self.route.proxy is None:  # else ``has_unread_data`` was asked before
            unread = sock.unread()
            if unread or (unread is not None and self.exchange.is_reused):
                raise UnexpectedData(unread)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.route.origin.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head, rest = "\r\n".join([*lines, "\r\n"]).encode("ascii"), body or b""
        if len(rest) <= _MAX_JOINED:
            head, rest = head + rest, b""
        try:
            sock.sendall(head)
            if rest:
                sock.sendall(rest)
        except BrokenPipeError:
            pass  # a server may respond, and close, before it has read the request
        response = StrictResponse(sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def has_unread_data(self) -> bool:
        """Return whether bytes wait on the connection, or its end does."""
        return self._socket is not None and self._socket.unread() is not None

    def close(self) -> None:
        """Close it. The next request opens it again."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _connected(self) -> DeadlineSocket | DeadlineTLSSocket:
        route, deadline = self.route, self.exchange.deadline
        sock = self._connected_directly() if route.proxy is None else self._connected_by_proxy(route.proxy)
        if route.context is None:
            return sock
        try:
            sock.settimeout(seconds_left(deadline))  # a proxy may have taken most of the time
            secured: Any = route.context.wrap_socket(sock, server_hostname=route.origin.host)
        except BaseException:
            sock.close()
            raise
        secured.deadline = deadline
        return secured  # type: ignore[no-any-return]

    def _connected_directly(self) -> DeadlineSocket:
        try:
            return connect_to(self.exchange.addresses, self.route.origin.port, self.exchange.deadline)
        except TimeoutError as error:
            raise ConnectTimeoutError("no connection in time") from error
        except OSError as error:
            raise NewConnectionError(self, "no connection") from error  # type: ignore[arg-type]

    def _connected_by_proxy(self, proxy: Url) -> DeadlineSocket:
        try:
            host, port = str(proxy.host).strip("[]"), proxy.port or 80
            sock = connect_to(resolve_proxy(host, port), port, self.exchange.deadline)
            if self.route.context is not None:
                self._open_tunnel(sock)
        except (OSError, http.client.HTTPException) as error:
            raise ProxyError("no connection through the proxy", error) from error
        return sock

    def _open_tunnel(self, sock: DeadlineSocket) -> None:
        origin = self.route.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
        lines += [f"{name}: {value}" for name, value in self.route.proxy_headers.items()]
        try:
            sock.sendall("\r\n".join([*lines, "\r\n"]).encode("ascii"))
            response = StrictResponse(sock, method="CONNECT")
            response.begin()
            response.close()
            if response.status != 200:
                raise OSError(f"Tunnel connection failed: {response.status}")
        except BaseException:
            sock.close()
            raise
