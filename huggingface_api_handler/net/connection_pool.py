"""Connections to one origin, and when one is reused.

A connection serves another request only if its last exchange ended cleanly and nothing waits on it, so that no response
reaches another request. A POST is sent once: the caller retries it, and counts it.
"""

from __future__ import annotations

import http.client
import logging
import queue
import ssl
from collections.abc import Mapping
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ProxyError, SSLError

from ..errors import ConnectionFailed
from .connection import Exchange, PlainConnection, TLSConnection, UnexpectedData

log = logging.getLogger(__name__)

#: Requests that open new connections after a reused connection was closed during a request.
NEW_AFTER_CLOSE = 256

#: How it shows, in plain and within TLS, that the peer has closed the connection.
_CLOSED_BY_PEER = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class _ConnectionPool(HTTPConnectionPool):
    #: How many of the next requests open new connections, since reused ones may have been closed.
    _new_connections = 0
    #: Whether the server has sent what no request asked for.
    _sends_unexpected_data = False

    def send(self, exchange: Exchange, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        """Send a request on a connection of the pool; return urllib3's response with its body unread.

        Raises:
            ConnectionFailed: see :meth:`_send_on`.
            urllib3.exceptions.HTTPError: anything else.
        """
        conn: Any = self._get_conn()
        if exchange.needs_new_connection or self._new_connections or self._sends_unexpected_data:
            self._new_connections = max(self._new_connections - 1, 0)
            conn.close()
        conn.start(exchange)
        try:
            if self.proxy is not None and self.scheme == "https":
                if conn.is_closed:
                    self._prepare_proxy(conn)
            elif self.proxy is not None:
                headers = {**headers, **self.proxy_headers}
            return self._send_on(conn, method, target, body, headers)
        except BaseException as error:
            before_proxy = conn.proxy is not None and not conn.has_connected_to_proxy
            conn.close()
            self._put_conn(None)
            # In the form in which urllib3 raises them, which requests' adapter and the error mapping know.
            if before_proxy and isinstance(error, (OSError, http.client.HTTPException, NewConnectionError)):
                raise ProxyError("no connection to the proxy", error) from error
            if isinstance(error, ssl.SSLError):
                raise SSLError(error) from error
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise ProtocolError("the connection broke", error) from error
            raise

    def _send_on(self, conn: Any, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        """Send a request on ``conn``; if that turns out to be unusable before the request has left, reconnect.

        A server may also close a reused connection at the moment at which a request leaves. Whether it has processed
        that request is unknown. A POST is work that may be billed: it is not sent again here, where nobody counts it,
        but fails with an error that asks for a retry without a pause. A GET is sent again.
        """
        options: dict[str, Any] = {
            "body": body, "headers": headers, "preload_content": False, "decode_content": False,
            "response_conn": conn,
        }  # fmt: skip
        exchange: Exchange = conn.exchange
        try:
            return self._make_request(conn, method, target, **options)
        except UnexpectedData as error:
            # 408 is how some servers announce that they close an idle connection.
            if error.unread and error.unread[9:12] != b"408":
                self._stop_reusing()
            if not exchange.is_reused:
                raise ConnectionFailed(
                    f"{self.host}:{self.port} sent data before it was sent a request",
                    advice="Check base_url and endpoint",
                ) from None
        except _CLOSED_BY_PEER as error:
            if not exchange.is_reused or conn.proxy is not None:
                raise
            # The other connections may be as old. With new ones, a retry does not fail in the same way.
            self._new_connections = NEW_AFTER_CLOSE
            if method != "GET":
                raise ConnectionFailed(
                    f"{self.host}:{self.port} closed a reused connection before it responded",
                    advice="Run the query again, or raise max_retries",
                    retry_after=0.0,
                ) from error
        conn.close()
        conn.start(exchange)
        return self._make_request(conn, method, target, **options)

    def _prepare_proxy(self, conn: Any) -> None:
        """Connect through the proxy. What fails before the TLS handshake is the proxy's fault."""
        try:
            super()._prepare_proxy(conn)
        except ssl.SSLError:
            raise
        except (OSError, http.client.HTTPException, HTTPError) as error:
            raise ProxyError("no connection through the proxy", error) from error

    def _put_conn(self, conn: Any) -> None:
        """Take a connection back, closed unless its exchange ended cleanly. A full pool is no reason for a warning."""
        if conn is not None and conn.response is not None and conn.response.has_extra_bytes:
            conn.close()
            self._stop_reusing()
        try:
            self.pool.put(conn, block=False)  # type: ignore[union-attr]
        except (AttributeError, queue.Full):  # the pool has been closed, or is full
            if conn is not None:
                conn.close()

    def _stop_reusing(self) -> None:
        """Use no connection to this server twice: it sends what no request asked for, and might do so at any time."""
        if not self._sends_unexpected_data:
            log.warning("%s:%s sends data beyond its responses: connections are no longer reused", self.host, self.port)
        self._sends_unexpected_data = True


class PlainPool(_ConnectionPool):
    ConnectionCls = PlainConnection


class TLSPool(_ConnectionPool, HTTPSConnectionPool):
    ConnectionCls = TLSConnection
