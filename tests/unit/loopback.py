"""A server on loopback that says, byte for byte, what a test wants; also over TLS."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Heard:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


Speak = Callable[[Heard, socket.socket], None]


def answer(
    body: bytes | str | Any = b"{}", status: int = 200, content_type: str = "application/json", **headers: str
) -> Speak:
    """Say one well-formed answer."""
    if not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body
    extra = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f"HTTP/1.1 {status} X\r\n{kind}Content-Length: {len(data)}\r\n{extra}\r\n"

    def speak(heard: Heard, sock: socket.socket) -> None:
        sock.sendall(head.encode("latin-1") + data)

    return speak


def raw(*pieces: bytes, close: bool = True) -> Speak:
    """Say bytes, and hang up."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
        if close:
            raise EOFError

    return speak


def tunnel(port: int, before: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Speak:
    """Connect to another port of this machine, as a proxy does."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        there = socket.create_connection(("127.0.0.1", port))
        sock.sendall(before)

        def pump(a: socket.socket, b: socket.socket) -> None:
            while data := a.recv(65536):
                b.sendall(data)

        threading.Thread(target=pump, args=(there, sock), daemon=True).start()
        pump(sock, there)
        raise EOFError

    return speak


class Loopback:
    """Serves until closed. ``speak`` says what each request gets; it may be changed at any time."""

    def __init__(
        self, speak: Speak | None = None, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.speak = speak or answer()
        self.heard: list[Heard] = []
        self.connections = 0
        self.context = context
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = socket.create_server((host, 0), family=family, backlog=256)
        self.port: int = self._server.getsockname()[1]
        scheme = "https" if context else "http"
        self.url = f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._open.add(sock)
            with sock, sock.makefile("rb") as lines:
                while self._one(sock, lines, number):
                    pass
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self._open.discard(sock)

    def _one(self, sock: socket.socket, lines: Any, number: int) -> bool:
        first = lines.readline().decode("latin-1").split()
        if len(first) < 3:
            return False
        headers: dict[str, str] = {}
        while (line := lines.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        heard = Heard(first[0], first[1], headers, lines.read(int(headers.get("content-length", 0))), number)
        self.heard.append(heard)
        self.speak(heard, sock)
        return True

    def wait(self, seconds: float) -> None:
        """Let a speaker pause; ends early when the server is closed."""
        if self._ended.wait(seconds):
            raise EOFError

    def close(self) -> None:
        self._ended.set()
        # Without a shutdown, the thread that waits in accept would take one more connection.
        for sock in [self._server, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def __enter__(self) -> Loopback:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, str]:
    """Make a certificate for ``names``, and return a server's context and the file to trust."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.timezone.utc)
    others: list[x509.GeneralName] = []
    for text in names:
        try:
            others.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            others.append(x509.DNSName(text))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(others), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, str(public)
