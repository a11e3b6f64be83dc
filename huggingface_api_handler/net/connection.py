"""Connections: how one request leaves, and the checks right before it does."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from .framing import StrictResponse
from .sockets import connect_to, resolve_proxy

#: Longest piece of a request that is joined with others into one write.
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


class UnexpectedData(Exception):
    """Bytes wait on a connection before its request was sent, or its end does (``unread`` is empty)."""

    def __init__(self, unread: bytes) -> None:
        super().__init__()
        self.unread = unread


class _Connection:
    """What plain and TLS connections have in common.

    The head of a request and a short body leave in one write: one packet, one wake-up of the server, and half the
    times at which this thread waits for the interpreter. Right before it, the connection is checked: bytes that wait
    on it are no response to this request.
    """

    exchange: Exchange
    #: The latest response.
    response: StrictResponse | None = None
    #: Pieces of the request that are joined; ``None`` while nothing is held back.
    _held: list[bytes] | None = None

    def start(self, exchange: Exchange) -> None:
        """Use the connection for ``exchange`` from now on."""
        self.exchange = exchange
        sock = getattr(self, "sock", None)
        exchange.is_reused = sock is not None
        if sock is not None:
            sock.deadline = exchange.deadline

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
        if held is not None and isinstance(data, bytes) and len(data) <= _MAX_JOINED:
            held.append(data)
            return
        self._held = None
        if held:
            self._write(b"".join(held))
        super().send(data)  # type: ignore[misc]

    def _write(self, head: bytes) -> None:
        """Send the beginning of a request.

        Raises:
            UnexpectedData: this connection cannot be used for it. Nothing has been sent.
        """
        connection: Any = self
        if connection.sock is None:
            connection.connect()
        if connection.proxy is None:
            unread = connection.sock.unread()
            if unread or (unread is not None and self.exchange.is_reused):
                raise UnexpectedData(unread)
        super().send(head)  # type: ignore[misc]

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self.response = response._original_response
        return response

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        host, port = connection.host, connection.port
        addresses = resolve_proxy(host, port) if connection.proxy is not None else self.exchange.addresses
        try:
            return connect_to(addresses, port, self.exchange.deadline)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, "no connection in time") from error
        except OSError as error:
            raise NewConnectionError(connection, "no connection") from error

    def set_debuglevel(self, level: int) -> None:
        """Do nothing: with http.client's own switch, every connection prints its headers, the token among them."""


class PlainConnection(_Connection, HTTPConnection):
    response_class = StrictResponse
    debuglevel = 0


class TLSConnection(_Connection, HTTPSConnection):
    response_class = StrictResponse
    debuglevel = 0

    def connect(self) -> None:
        super().connect()
        sock: Any = self.sock
        sock.deadline = self.exchange.deadline
