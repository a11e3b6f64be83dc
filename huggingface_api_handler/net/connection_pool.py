"""Connections to one origin, and when one is reused.

A connection serves another request only if its last exchange ended cleanly and nothing waits on it, so that no response
reaches another request. A POST is sent once: the caller retries it, and counts it.
"""

from __future__ import annotations

import http.client
import logging
import ssl
import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from urllib3.exceptions import ProtocolError, SSLError

from ..errors import ConnectionFailed
from .connection import Connection, Exchange, Route, UnexpectedData
from .framing import StrictResponse

log = logging.getLogger(__name__)

#: Requests that open new connections after a reused connection was closed during a request.
NEW_AFTER_CLOSE = 256

#: How it shows, in plain and within TLS, that the peer has closed the connection.
_CLOSED_BY_PEER = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class ConnectionPool:
    """The connections to one origin.

    Args:
        size: connections that are kept open; as many requests can run at once without new ones.
    """

    def __init__(self, route: Route, size: int) -> None:
        self.route = route
        self._size = size
        self._idle: list[Connection] = []
        self._is_closed = False
        #: How many of the next requests open new connections, since reused ones may have been closed.
        self._new_connections = 0
        #: Whether the server has sent what no request asked for.
        self._sends_unexpected_data = False
        weakref.finalize(self, _close_all, self._idle)

    def send(
        self, exchange: Exchange, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> StrictResponse:
        """Send a request on a connection of the pool; return its response with the body unread.

        Raises:
            ConnectionFailed: see :meth:`_send_on`.
            urllib3.exceptions.HTTPError: anything else, in the form that requests' adapter knows.
        """
        conn = self._take(exchange)
        if self.route.proxy is not None and self.route.context is None:
            headers = {**headers, **self.route.proxy_headers}
        try:
            response = self._send_on(conn, method, target, body, headers)
        except BaseException as error:
            conn.close()
            if isinstance(error, ssl.SSLError):
                raise SSLError(error) from error
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise ProtocolError("the connection broke", error) from error
            raise
        response.release = partial(self._take_back, conn)
        return response

    def close(self) -> None:
        """Close idle connections. Requests in progress end in their own time."""
        self._is_closed = True
        _close_all(self._idle)

    def _send_on(
        self, conn: Connection, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> StrictResponse:
        """Send a request on ``conn``; if that turns out to be unusable before the request has left, reconnect.

        A server may also close a reused connection at the moment at which a request leaves. Whether it has processed
        that request is unknown. A POST is work that may be billed: it is not sent again here, where nobody counts it,
        but fails with an error that asks for a retry without a pause. A GET is sent again.
        """
        exchange, origin = conn.exchange, self.route.origin
        try:
            return conn.send(method, target, body, headers)
        except UnexpectedData as error:
            # 408 is how some servers announce that they close an idle connection.
            if error.unread and error.unread[9:12] != b"408":
                self._stop_reusing()
            if not exchange.is_reused:
                raise ConnectionFailed(
                    f"{origin.host}:{origin.port} sent data before it was sent a request",
                    advice="Check base_url and endpoint",
                ) from None
        except _CLOSED_BY_PEER as error:
            if not exchange.is_reused or self.route.proxy is not None:
                raise
            # The other connections may be as old. With new ones, a retry does not fail in the same way.
            self._new_connections = NEW_AFTER_CLOSE
            if method != "GET":
                raise ConnectionFailed(
                    f"{origin.host}:{origin.port} closed a reused connection before it responded",
                    advice="Run the query again, or raise max_retries",
                    retry_after=0.0,
                ) from error
        conn.close()
        conn.start(exchange)
        return self._send_on(conn, method, target, body, headers)  # on a new connection, every failure is final

    def _take(self, exchange: Exchange) -> Connection:
        """Return a connection for ``exchange``: the one that was used last, or a new one."""
        try:
            conn = self._idle.pop()
        except IndexError:
            conn = Connection(self.route)
        if exchange.needs_new_connection or self._new_connections or self._sends_unexpected_data:
            self._new_connections = max(self._new_connections - 1, 0)
            conn.close()
        elif self.route.proxy is not None and conn.has_unread_data():
            conn.close()
        conn.start(exchange)
        return conn

    def _take_back(self, conn: Connection, response: StrictResponse) -> None:
        """Keep a connection for other requests if its exchange ended cleanly; else close it."""
        if response.has_extra_bytes:
            self._stop_reusing()
        if not response.ended_cleanly or len(self._idle) >= self._size:
            conn.close()
            return
        self._idle.append(conn)
        if self._is_closed:
            _close_all(self._idle)

    def _stop_reusing(self) -> None:
        """Use no connection to this server twice: it sends what no request asked for, and might do so at any time."""
        if not self._sends_unexpected_data:
            origin = self.route.origin
            log.warning(
                "%s:%s sends data beyond its responses: connections are no longer reused", origin.host, origin.port
            )
        self._sends_unexpected_data = True


def _close_all(connections: list[Connection]) -> None:
    while connections:
        with suppress(IndexError):  # another thread takes some, too
            connections.pop().close()
