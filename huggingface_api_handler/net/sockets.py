"""Sockets that keep a request's deadline, connected to addresses that were checked.

A socket's own timeout limits each single read. Only the socket sees every read, including those of TLS records and of
header lines, so the deadline of the whole request is checked there, however slowly the bytes arrive.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import certifi
from urllib3.util import wait_for_read
from urllib3.util.ssl_ import create_urllib3_context

from ..errors import SettingsError

#: Seconds for one attempt to connect to one address.
CONNECT_TIMEOUT = 10.0
#: Bytes that are read at most to find out whether any are waiting.
_PEEK = 16

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def seconds_left(deadline: float) -> float:
    """Return the seconds until ``deadline`` (``time.monotonic()``).

    Raises:
        TimeoutError: it has passed.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline of this request has passed")
    return left


def _acknowledge(sock: socket.socket) -> None:
    """Acknowledge received data at once, if the system can (Linux).

    Until then a server with Nagle's algorithm holds back its next small write: a body after its head, for 40 ms, or
    bytes after a response, which would then arrive with the next request's response and be taken for it.
    """
    if _QUICKACK is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError:  # an optimization that the system may refuse
            pass


class DeadlineSocket(socket.socket):
    """A TCP socket; each read and write ends by ``deadline`` (``time.monotonic()``)."""

    __slots__ = ("deadline",)

    def __init__(self, family: int, deadline: float) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self.deadline = deadline

    def unread(self) -> bytes | None:
        """Return a few of the bytes that are waiting: empty if the peer has closed, ``None`` if nothing waits."""
        if not wait_for_read(self, timeout=0.0):
            return None
        self.settimeout(0.0)
        try:
            return self.recv(_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(seconds_left(self.deadline))
        size = super().recv_into(buffer, nbytes, flags)
        _acknowledge(self)
        return size

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.settimeout(seconds_left(self.deadline))
        super().sendall(data, flags)


class DeadlineTLSSocket(ssl.SSLSocket):
    """A TLS socket; each read and write ends by ``deadline``, which is set after the handshake."""

    deadline: float

    def unread(self) -> bytes | None:
        """Return a few of the bytes that are waiting: empty if the peer has closed, ``None`` if nothing waits."""
        if not self.pending() and not wait_for_read(self, timeout=0.0):
            return None
        self.settimeout(0.0)
        try:
            return super().read(_PEEK)
        except ssl.SSLWantReadError:  # a TLS message without data, such as a session ticket
            return None
        except OSError:
            return b""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        self.settimeout(seconds_left(self.deadline))
        found = super().read(len, buffer)
        _acknowledge(self)
        return found

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(seconds_left(self.deadline))
        try:
            return super().send(data, flags)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            # As without TLS: a server may refuse a long body before it has read it, and its response can be read.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error


def connect_to(addresses: Iterable[str], port: int, deadline: float) -> DeadlineSocket:
    """Return a socket connected to the first of ``addresses`` that accepts.

    Raises:
        OSError: none does; the last one's error.
    """
    failed: OSError = OSError("there is no address to connect to")
    for address in addresses:
        sock = DeadlineSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, deadline)
        try:
            sock.settimeout(min(CONNECT_TIMEOUT, seconds_left(deadline)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.connect((address, port))
            return sock
        except OSError as error:
            sock.close()
            failed = error
    raise failed


def resolve_proxy(host: str, port: int) -> list[str]:
    """Return the addresses of a proxy, unchecked, since the administrator has configured it. Raises ``OSError``."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def tls_context() -> ssl.SSLContext:
    """Return the context of verified TLS connections.

    ``REQUESTS_CA_BUNDLE`` or ``SSL_CERT_FILE`` names the file or folder of trusted certificates; the default is
    certifi's.

    Raises:
        SettingsError: the certificates cannot be read.
    """
    where = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where()
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
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = DeadlineTLSSocket
    return context
