"""Each response reaches the request that caused it, and each request that leaves is counted, whatever a server does."""

from __future__ import annotations

import gzip
import json
import os
import socket
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache.sqlite import SqliteCache
from huggingface_api_handler.errors import (
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
)
from huggingface_api_handler.net import connection_pool
from huggingface_api_handler.net.error_body import REASON_BYTES
from huggingface_api_handler.net.framing import MAX_HEAD, MAX_INTERIM
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.net.sockets import DeadlineSocket
from huggingface_api_handler.net.url_policy import UrlPolicy
from tests.unit.end_to_end import CALLER, engine, model, predict
from tests.unit.loopback import Heard, Loopback, Speak, answer, certificate, raw
from tests.unit.net.client import Client

JSON = b"Content-Type: application/json\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + JSON
WRONG = b'[{"summary_text": "wrong", "n": -1}]'
CHUNKED_ONE = b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n"
#: A response that no request asked for.
UNASKED = OK + b"Content-Length: %d\r\n\r\n" % len(WRONG) + WRONG


def ok(body: bytes, head: bytes = OK) -> bytes:
    """Return a well-framed response."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes, size: int = 7, head: bytes = OK) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def interim(*statuses: int) -> bytes:
    return b"".join(b"HTTP/1.1 %d X\r\nLink: </a>; rel=preload\r\n\r\n" % status for status in statuses)


class Script:
    """A server that plays one scripted step for each request, and a client that waits for each step's end.

    So no test depends on which of both is faster.

    Args:
        host: of the URL that the client requests.
    """

    def __init__(self, server: Loopback, host: str = "127.0.0.1") -> None:
        self.server = server
        self.url = server.url.replace("127.0.0.1", host)
        policy = UrlPolicy((self.url,), (f"{host}:{server.port}",), resolver=lambda *_: ["127.0.0.1"])
        self.transport = Client(policy)
        self.sock: socket.socket | None = None
        self._played = threading.Event()

    def post(self, *pieces: bytes, close: bool = False) -> Response:
        """Send a request, to which the server responds with ``pieces``, each in a write of its own."""
        return self._ask("POST", pieces, close)

    def get(self, *pieces: bytes, close: bool = False) -> Response:
        return self._ask("GET", pieces, close)

    def say(self, data: bytes, close: bool = False) -> None:
        """Send ``data`` on the latest connection, outside of any request."""
        assert self.sock is not None
        try:
            self.sock.sendall(data)
            if close:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client has closed it
            pass

    def _ask(self, method: str, pieces: tuple[bytes, ...], close: bool) -> Response:
        self._played.clear()

        def speak(heard: Heard, sock: socket.socket) -> None:
            self.sock = sock
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                for piece in pieces:
                    sock.sendall(piece)
                if close:
                    sock.shutdown(socket.SHUT_RDWR)
                    raise EOFError
            finally:
                self._played.set()

        self.server.speak = speak
        try:
            if method == "GET":
                return self.transport.get(self.url, purpose="media", timeout=10)
            return self.transport.post(self.url, json={}, timeout=10)
        finally:
            # A request that found no server has no step to wait for.
            assert self._played.wait(10)


@pytest.fixture
def script() -> Iterator[Script]:
    with Loopback() as server:
        yield Script(server)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    return certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")


# --- interim responses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statuses", [(100,), (102,), (103,), (104,), (199,), (103, 100, 102) * 10, (103,) * MAX_INTERIM]
)
@pytest.mark.parametrize("method", ["post", "get"])
def test_interim_responses_are_skipped(script: Script, method: str, statuses: tuple[int, ...]) -> None:
    ask = getattr(script, method)
    for n in range(3):
        assert ask(interim(*statuses), ok(b"[%d]" % n)).json() == [n]
    assert script.server.connections == 1


def test_too_many_interim_responses_end_the_request(script: Script) -> None:
    with pytest.raises(InvalidAnswer, match="more than 100 interim responses") as caught:
        script.post(interim(*(103,) * (MAX_INTERIM + 1)), ok(b"[1]"))
    assert caught.value.retryable
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == 2


def test_101_is_no_interim_response(script: Script) -> None:
    """What follows it is another protocol."""
    with pytest.raises(HuggingFaceError):
        script.post(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", UNASKED)
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == 2


# --- connections that are not reused --------------------------------------------------------------


@pytest.mark.parametrize("extra", [UNASKED, UNASKED * 3, b"x", b"\r\n", interim(103), UNASKED[:40]])
@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("frame", [ok, chunked])
@pytest.mark.parametrize("method", ["post", "get"])
def test_bytes_behind_a_response_reach_no_request(
    script: Script, method: str, frame: Callable[[bytes], bytes], pieces: int, extra: bytes
) -> None:
    ask = getattr(script, method)
    first_frame = frame(b"[0]")
    assert ask(*((first_frame + extra,) if pieces == 1 else (first_frame, extra))).json() == [0]
    # Once it has done so, it may at any time: each request has a connection of its own.
    for n in range(1, 4):
        assert ask(ok(b"[%d]" % n)).json() == [n]
    assert script.server.connections == 4


@pytest.mark.parametrize("size", [1, 8000, 8192, 100_000, 1_000_000])
def test_however_long_the_response_before_them(script: Script, size: int) -> None:
    long = json.dumps(["x" * size]).encode()
    assert script.post(ok(long) + UNASKED).json() == ["x" * size]
    assert script.post(ok(b"[1]")).json() == [1]
    assert script.server.connections == 2


def test_bytes_that_wait_before_a_request_are_not_its_response(script: Script) -> None:
    for n in range(3):
        assert script.post(ok(b"[%d]" % n)).json() == [n]
    script.say(UNASKED)
    assert script.post(ok(b"[3]")).json() == [3]
    assert script.server.connections == 2


def test_bytes_that_the_servers_system_holds_back_reach_no_request(script: Script) -> None:
    """Nagle's algorithm holds them until what went before is acknowledged, which the next request would do."""
    for n in range(20):
        assert script.post(ok(b"[%d]" % n)).json() == [n]
    assert script.sock is not None
    script.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    script.say(UNASKED[:50])
    script.say(UNASKED[50:])
    assert script.post(ok(b"[20]")).json() == [20]


def test_within_tls_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    with Loopback(context=context) as server:
        script = Script(server)
        for n in range(3):
            assert script.post(interim(103), ok(b"[%d]" % n)).json() == [n]
        assert server.connections == 1
        script.say(UNASKED)
        assert script.post(ok(b"[3]")).json() == [3]
        assert script.post(ok(b"[4]") + UNASKED).json() == [4]
        # In one TLS record, part of which is read with the response before.
        assert script.post(ok(b"[5]") + UNASKED * 500).json() == [5]
        assert script.post(ok(b"[6]")).json() == [6]
        assert server.connections == 5


def test_a_refusal_before_a_long_body_has_left_is_read_within_tls(
    secured: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send = ssl.SSLSocket.send

    def send_and_fail(self: ssl.SSLSocket, data: Any, flags: int = 0) -> int:
        sent = send(self, data, flags)
        if sent == len(data) and len(data) > 1 and bytes(data[-2:]) == b'y"':
            raise ssl.SSLEOFError("EOF occurred in violation of protocol")
        return sent

    context, trusted = secured
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    with Loopback(answer({"error": "too large"}, 413), context) as server:
        monkeypatch.setattr(ssl.SSLSocket, "send", send_and_fail)
        with pytest.raises(PayloadTooLarge):
            Client(UrlPolicy((server.url,))).post(server.url, json="x" * 200_000 + "y", timeout=10)
        server.speak = raw()
        with pytest.raises(ConnectionFailed, match="the connection broke"):
            Client(UrlPolicy((server.url,))).post(server.url, json="x" * 200_000 + "y", timeout=10)


def test_through_a_proxy_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        script = Script(proxy, "service.example")
        for n in range(3):
            assert script.post(interim(103), ok(b"[%d]" % n)).json() == [n]
        assert proxy.connections == 1
        script.say(UNASKED)
        assert script.post(ok(b"[3]")).json() == [3]
        with pytest.raises(InvalidAnswer, match="more than one response"):
            script.post(ok(b"[4]") + UNASKED)
        assert script.post(ok(b"[5]")).json() == [5]
        with pytest.raises(ConnectionFailed):
            script.post(close=True)
        assert len(proxy.heard) == 7


def test_a_second_response_in_doubt_leaves_neither(script: Script) -> None:
    """A late response to an earlier request, and then one's own: nobody can tell which is which."""
    script.post(ok(b"[0]"))
    with pytest.raises(InvalidAnswer, match="more than one response") as caught:
        script.post(UNASKED + ok(b"[1]"))
    assert caught.value.retryable
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == 2


def test_a_response_after_its_timeout_reaches_no_request() -> None:
    with Loopback() as server:
        late = threading.Event()
        said = threading.Event()

        def speak(heard: Heard, sock: socket.socket) -> None:
            if heard.json() == "slow":
                late.wait(10)
                try:
                    sock.sendall(UNASKED)
                finally:
                    said.set()
            else:
                answer({"n": heard.json()})(heard, sock)

        server.speak = speak
        one = Client(UrlPolicy((server.url,)))
        one.post(server.url, json=0, timeout=10)
        with pytest.raises(HuggingFaceError):
            one.post(server.url, json="slow", timeout=0.1)
        late.set()
        assert said.wait(10)
        assert [one.post(server.url, json=n, timeout=10).json()["n"] for n in range(1, 4)] == [1, 2, 3]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: %d\r\n" % len(WRONG), b"Transfer-Encoding: chunked\r\n"])
def test_bodies_where_none_may_be_reach_no_request(script: Script, status: bytes, length: bytes) -> None:
    script.post(ok(b"[0]"))
    with pytest.raises(HuggingFaceError):
        script.post(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n" + WRONG)
    assert script.post(ok(b"[1]")).json() == [1]
    assert script.server.connections == 2


def test_a_status_without_a_body_keeps_its_connection(script: Script) -> None:
    for head in (b"", b"Content-Length: 0\r\n"):
        with pytest.raises(InvalidAnswer):
            script.post(b"HTTP/1.1 204 No Content\r\n" + head + b"\r\n")
    assert script.post(ok(b"[1]")).json() == [1]
    assert script.server.connections == 1


@pytest.mark.parametrize(
    ("head", "reused"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n[1]", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n[1]", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\n[1]\r\n0\r\nX-Trailer: y\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n[1]", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n[1]", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\nKeep-Alive: max=9\r\nConnection: close\r\n\r\n[1]", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKED_ONE, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n[1]", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: x\r\nConnection: close\r\n\r\n[1]", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n" + CHUNKED_ONE, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + CHUNKED_ONE, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nno header\r\n" + CHUNKED_ONE, False),
        (b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 3\r\n\r\n[1]", False),
        (b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 3\r\n\r\n[1]", False),
        (b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 9\r\nContent-Length: 3\r\n\r\n[1]", False),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nCONTENT-LENGTH:3\r\n\r\n[1]", True),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Many: of these\r\n" * 300 + b"Content-Length: 3\r\n\r\n[1]", True),
    ],
    ids=range(18),
)  # fmt: skip
def test_which_connections_are_reused(script: Script, head: bytes, reused: bool) -> None:
    assert script.post(head).json() == [1]
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == (1 if reused else 2)


@pytest.mark.parametrize("line", [b"X: a%sb\r\n" % (b" " * 200_000), b"X:%s\0\r\n" % (b" " * 200_000)])
def test_white_space_in_a_header_holds_no_thread(script: Script, line: bytes) -> None:
    """A pattern that can divide it in many ways would try all of them, for hours, beyond any timeout."""
    assert script.post(OK + line + b"\r\n[1]", close=True).json() == [1]


def test_all_lines_of_a_header_count(script: Script) -> None:
    head = OK + b"X: a\r\n  b \r\n" + b"X:\tc \r\n" + b"Y:\r\n d\r\n"
    headers = script.post(ok(b"[1]", head)).headers
    assert (headers["x"], headers["y"]) == ("a b, c", " d")


def test_a_header_that_is_sent_twice_counts_once(script: Script) -> None:
    """As some proxies do. Joined, its values would be no media type, no compression and no URL."""
    head = (OK + b"Content-Encoding: gzip\r\n").replace(b"HTTP/1.1 200 OK\r\n", b"") * 2
    response = script.post(ok(gzip.compress(b"[1]"), b"HTTP/1.1 200 OK\r\n" + head))
    assert (response.json(), response.media_type) == ([1], "application/json")
    with pytest.raises(HuggingFaceError) as caught:
        script.post(ok(b"", b"HTTP/1.1 429 X\r\n" + b"Retry-After: 7\r\n" * 2))
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n", b"Content-Length: 3, 4\r\n",
        b"Content-Length: 3\r\nContent-Length: x\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n", b"Transfer-Encoding: chunked\x85\r\n",
    ],
)  # fmt: skip
def test_contradictions_about_the_length_are_refused(script: Script, head: bytes) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        script.post(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n[1]" + UNASKED)
    assert caught.value.retryable
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == 2


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length : 3", b"Transfer-Encoding : chunked", b"transfer-encoding", b"Transfer-Encoding: chun\rked",
        b"\x0bTransfer-Encoding: chunked", b"Content-Length: 3\0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["post", "get"])
def test_a_length_that_cannot_be_read_is_refused(script: Script, method: str, line: bytes) -> None:
    """Without it, the frame of chunks would be taken for a part of the body."""
    with pytest.raises(InvalidAnswer, match="a length that cannot be read") as caught:
        getattr(script, method)(OK + line + b"\r\n\r\n3\r\n[1]\r\n0\r\n\r\n", close=True)
    assert caught.value.retryable
    assert script.post(ok(b"[2]")).json() == [2]


def test_waits_in_repeated_headers_are_read(script: Script) -> None:
    head = b"HTTP/1.1 429 X\r\nRetry-After: 30\r\nRetry-After: 30\r\n"
    limits = b'HTTP/1.1 429 X\r\nRateLimit: "a";r=9;t=1\r\nRateLimit: "b";r=0;t=50\r\n'
    for said, seconds in ((head, 30), (limits, 51)):
        with pytest.raises(RateLimited) as caught:
            script.post(ok(b"{}", said))
        assert caught.value.retry_after == seconds


@pytest.mark.parametrize("line", [b"X: y\r\n", b" folded\n", b"no header\r\n", b"\xff\n"])
def test_the_size_of_headers_is_limited(script: Script, line: bytes) -> None:
    most = MAX_HEAD // len(line)
    assert script.post(ok(b"[1]", OK + line * (most - 200))).json() == [1]
    for head in (OK, interim(103)[:-2]):
        with pytest.raises(InvalidAnswer, match="too many headers"):
            script.post(head + line * (most + 1) + b"\r\n", close=True)
    assert script.post(ok(b"[2]")).json() == [2]


@pytest.mark.parametrize("length", [b"-1", b"+3", b"1_0", b"0x3", b"abc", b"", b"9" * 5000])
def test_a_length_that_is_none_reads_to_the_end(script: Script, length: bytes) -> None:
    assert script.post(OK + b"Content-Length: " + length + b"\r\n\r\n[1]", close=True).json() == [1]
    assert script.post(ok(b"[2]")).json() == [2]


def test_a_length_that_is_wrong_harms_its_own_request_only(script: Script) -> None:
    body = b'{"n": 1}'
    with pytest.raises(InvalidAnswer):
        script.post(OK + b"Content-Length: 3\r\n\r\n" + body).json()
    assert script.post(ok(b"[2]")).json() == [2]
    with pytest.raises(ConnectionFailed):
        script.post(OK + b"Content-Length: 30\r\n\r\n" + body, close=True)
    with pytest.raises(InvalidAnswer):
        script.post(OK + b"Content-Length: 30\r\n\r\n" + body + UNASKED).json()
    assert script.post(ok(b"[3]")).json() == [3]


@pytest.mark.parametrize("size", [b"3", b"3;a=b", b"3 ; a", b"0003", b"3\t"])
def test_the_size_of_a_chunk(script: Script, size: bytes) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    assert script.post(head + size + b"\r\n[1]\r\n0;last\r\nX: y\r\n\r\n").json() == [1]
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.server.connections == 1


@pytest.mark.parametrize("size", [b"+3", b"-3", b"0x3", b"0_3", b" 3", b"", b"3,3", b"f" * 17, b"3\r", b"\xb3"])
def test_a_size_that_is_none_ends_the_connection(script: Script, size: bytes) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(ConnectionFailed):
        script.post(head + size + b"\r\n[1]\r\n0\r\n\r\n", close=True)
    assert script.post(ok(b"[2]")).json() == [2]


@pytest.mark.parametrize(
    "body", [b"1\r\n1234\r\n5678\r\n0\r\n\r\n", b"3\r\n[1]xx0\r\n\r\n", b"3\r\n[1]\n0\r\n\r\n", b"3\r\n[1]0\r\n\r\n"]
)
def test_a_chunk_that_ends_elsewhere_is_no_response(script: Script, body: bytes) -> None:
    """Its size is wrong, so that bytes of the body would be dropped, or taken for the size of another chunk."""
    with pytest.raises(ConnectionFailed):
        script.post(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body, close=True)
    assert script.post(ok(b"[2]")).json() == [2]


@pytest.mark.parametrize("answers", [0, 1], ids=["at once", "after a connection that closed while idle"])
def test_a_server_that_speaks_first_is_no_service(answers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Client(UrlPolicy((url := f"http://127.0.0.1:{listener.getsockname()[1]}",)))
        accepted: list[socket.socket] = []
        turn = threading.Barrier(2, timeout=10)

        def greet() -> None:
            for n in range(answers + 1):
                sock, _ = listener.accept()
                accepted.append(sock)
                if n == answers:
                    sock.sendall(b"220 ready\r\n")
                turn.wait()
                if n < answers:
                    sock.recv(2**16)
                    sock.sendall(ok(b"[1]"))
                    turn.wait()
                    sock.close()
                    turn.wait()

        greeter = threading.Thread(target=greet)
        greeter.start()
        connect = DeadlineSocket.connect

        def connect_and_wait(self: Any, address: Any) -> None:
            connect(self, address)
            turn.wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DeadlineSocket, "connect", connect_and_wait, raising=False)
            for _ in range(answers):
                assert one.post(url, json={}, timeout=10).json() == [1]
                turn.wait()
                turn.wait()
            with pytest.raises(ConnectionFailed, match="before it was sent a request") as caught:
                one.post(url, json={}, timeout=10)
        assert caught.value.retryable
        greeter.join(10)
        accepted[-1].settimeout(10)
        assert accepted[-1].recv(1) == b""  # nothing was sent
        accepted[-1].close()


# --- connections that close -----------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
def test_a_connection_that_closed_while_idle_fails_no_request(script: Script, said: bytes) -> None:
    for n in range(0, 8, 2):
        assert script.post(ok(b"[%d]" % n)).json() == [n]
        assert script.post(ok(b"[%d]" % (n + 1))).json() == [n + 1]
        script.say(said, close=True)
    # No sign of a fault: others are reused.
    assert (script.server.connections, len(script.server.heard)) == (4, 8)


@pytest.mark.parametrize("head", [b"200 OK", b"200 OK\r\nContent-Encoding: gzip", b"500 X"])
def test_a_connection_whose_response_broke_off_is_closed_at_once(head: bytes) -> None:
    closed = threading.Event()

    def speak(heard: Heard, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 " + head + b"\r\nContent-Length: 9\r\n\r\n[1]")
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(10)
        if sock.recv(1) == b"":
            closed.set()
        raise EOFError

    with Loopback(speak) as server:
        one = Client(UrlPolicy((server.url,)))
        with pytest.raises(HuggingFaceError):
            one.post(server.url, json={}, timeout=10)
        assert closed.wait(15)
        one.close()


def test_a_post_that_a_reused_connection_lost_is_not_sent_again(script: Script) -> None:
    script.post(ok(b"[0]"))
    with pytest.raises(ConnectionFailed, match="closed a reused connection") as caught:
        script.post(close=True)
    assert (caught.value.retryable, caught.value.retry_after) == (True, 0.0)
    assert len(script.server.heard) == 2
    # Nor on the connections that may be as old as that one.
    assert script.post(ok(b"[2]")).json() == [2]
    assert script.post(ok(b"[3]")).json() == [3]
    assert [heard.connection for heard in script.server.heard] == [1, 1, 2, 3]
    # On a new connection it is an ordinary failure, with a pause before the next try.
    with pytest.raises(ConnectionFailed) as caught:
        script.post(close=True)
    assert (caught.value.retryable, caught.value.retry_after) == (True, None)


def test_connections_are_reused_again_after_a_while(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_pool, "NEW_AFTER_CLOSE", 2)
    script.post(ok(b"[0]"))
    with pytest.raises(ConnectionFailed):
        script.post(close=True)
    for n in range(5):
        script.post(ok(b"[%d]" % n))
    assert [heard.connection for heard in script.server.heard] == [1, 1, 2, 3, 3, 3, 3]


def test_a_get_that_a_reused_connection_lost_is_sent_again_once() -> None:
    with Loopback() as server:
        one = Client(UrlPolicy((), (f"127.0.0.1:{server.port}",)))
        one.get(server.url, purpose="media", timeout=10)
        server.speak = lambda heard, sock: (raw() if heard.connection == 1 else answer(b"PNG"))(heard, sock)
        assert one.get(server.url, purpose="media", timeout=10).content == b"PNG"
        assert [heard.connection for heard in server.heard] == [1, 1, 2]
        server.speak = raw()
        with pytest.raises(HuggingFaceError):
            one.get(server.url, purpose="media", timeout=10)
        assert len(server.heard) == 4


# --- everything at once ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """How the server responds to a request: with ``frame`` around the right body, ``before`` and ``behind`` it."""

    frame: str = "length"
    before: bytes = b""
    behind: bytes = b""
    #: Write the bytes before and from this place on apart.
    split: int = 0
    #: Close after so many bytes; ``None``: leave the connection open.
    cut: int | None = None
    #: Bytes that come when the request is long over, and whether the server closes then.
    late: bytes = b""
    close: bool = False

    def pieces(self, n: int) -> list[bytes]:
        body = json.dumps({"n": n, "text": "x" * (n % 7)}).encode()
        length = b"Content-Length: %d\r\n" % len(body)
        framed = {
            "length": ok(body),
            "chunked": chunked(body),
            "gzip": ok(gzip.compress(body[:5]) + gzip.compress(body[5:]), OK + b"Content-Encoding: gzip\r\n"),
            "both": chunked(body, 5, OK + length),
            "twice": OK + length + length + b"\r\n" + body,
            "differing": OK + length + b"Content-Length: 1\r\n\r\n" + body,
            "short": OK + b"Content-Length: 4\r\n\r\n" + body,
            "old": ok(body, b"HTTP/1.0 200 OK\r\n" + JSON),
            "kept": ok(body, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + JSON),
            "closing": ok(body, OK + b"Connection: close\r\n"),
            "trailers": chunked(body)[:-2] + b"Content-Length: 3\r\nConnection: close\r\n\r\n",
            "extended": chunked(body).replace(b"7\r\n", b'007;a="b"\r\n'),
            "oversized": chunked(body).replace(b"7\r\n", b"9\r\n"),
            "undersized": chunked(body).replace(b"7\r\n", b"5\r\n"),
            "signed": chunked(body).replace(b"7\r\n", b"+7\r\n"),
            "endless": OK + b"\r\n" + body,
            "negative": OK + b"Content-Length: -1\r\n\r\n" + body,
            "nothing": b"HTTP/1.1 204 X\r\n\r\n" + UNASKED,
            "unchanged": b"HTTP/1.1 304 X\r\n" + length + b"\r\n" + body,
            "refused": ok(body, b"HTTP/1.1 503 X\r\n" + JSON),
            "switching": b"HTTP/1.1 101 X\r\n\r\n" + ok(body),
        }[self.frame]
        written = self.before + framed + self.behind
        if self.cut is not None:
            written = written[: self.cut % (len(written) + 1)]
        at = self.split % (len(written) + 1)
        return [written[:at], written[at:]]


FRAMES = [
    "length", "chunked", "gzip", "both", "twice", "differing", "short", "old", "kept", "closing", "trailers",
    "extended", "oversized", "undersized", "signed", "endless", "negative", "nothing", "unchanged", "refused",
    "switching",
]  # fmt: skip
#: Frames of which only the end of the connection tells the end.
UNENDED = ("oversized", "endless", "negative")
INTERIM = st.lists(st.sampled_from([100, 102, 103, 104, 199]), max_size=4).map(lambda found: interim(*found))
BEHIND = st.sampled_from([b"", b"", UNASKED, UNASKED[:30], UNASKED * 2, b"\r\n", b"x", interim(103)])
STEPS = st.builds(
    Step,
    frame=st.sampled_from(["length"] * 8 + FRAMES),
    before=st.one_of(st.just(b""), INTERIM, st.just(interim(*(103,) * 101))),
    behind=BEHIND,
    split=st.integers(0, 400),
    cut=st.none() | st.integers(0, 400),
    late=BEHIND,
    close=st.booleans(),
)


def played(script: Script, steps: list[Step]) -> None:
    """Send a request for each step. Assert that each gets its own response or an error, and leaves once."""
    for n, step in enumerate(steps):
        try:
            closes = step.cut is not None or step.frame in UNENDED
            got = script.post(*step.pieces(n), close=closes).json()
        except HuggingFaceError:
            pass
        else:
            assert got["n"] == n
        assert len(script.server.heard) == n + 1
        if step.late or step.close:
            script.say(step.late, step.close)


@settings(deadline=None, max_examples=150)
@given(st.lists(STEPS, min_size=2, max_size=12))
def test_no_response_reaches_another_request_and_none_leaves_twice(steps: list[Step]) -> None:
    with Loopback() as server:
        played(Script(server), steps)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEPS, min_size=2, max_size=8))
def test_nor_does_one_within_tls(secured: tuple[ssl.SSLContext, str], steps: list[Step]) -> None:
    context, trusted = secured
    with mock.patch.dict(os.environ, REQUESTS_CA_BUNDLE=trusted), Loopback(context=context) as server:
        played(Script(server), steps)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEPS, min_size=2, max_size=8))
def test_nor_does_one_through_a_proxy(steps: list[Step]) -> None:
    with Loopback() as proxy, mock.patch.dict(os.environ, HTTP_PROXY=proxy.url):
        played(Script(proxy, "service.example"), steps)
        assert proxy.heard[0].target.startswith("http://service.example")


@pytest.mark.parametrize("frame", FRAMES)
def test_wherever_a_response_ends_or_pauses(frame: str) -> None:
    whole = len(b"".join(Step(frame, interim(103), UNASKED).pieces(1)))
    with Loopback() as server:
        for at in range(whole + 1):
            one = Script(server)
            server.heard.clear()
            plain = Step()
            played(one, [plain, Step(frame, interim(103), UNASKED, split=at), plain, plain,
                         Step(frame, interim(103), UNASKED, cut=at), plain, plain])  # fmt: skip
            one.transport.close()


# --- a whole query --------------------------------------------------------------------------------


def _right(heard: Heard) -> bytes:
    return json.dumps([{"summary_text": f"about {heard.json()['inputs']}"}]).encode()


def _says(before: bytes = b"", behind: bytes = b"") -> Speak:
    return lambda heard, sock: sock.sendall(before + ok(_right(heard)) + behind)


class Closing:
    """Works on every request, and closes each connection in place of its second response."""

    def __init__(self) -> None:
        self.used: Counter[int] = Counter()

    def __call__(self, heard: Heard, sock: socket.socket) -> None:
        self.used[heard.connection] += 1
        if self.used[heard.connection] > 1:
            raise EOFError
        sock.sendall(ok(_right(heard)))


class Mixed:
    """Does something else for each request."""

    def __init__(self) -> None:
        self.turn = 0
        self.lock = threading.Lock()

    def __call__(self, heard: Heard, sock: socket.socket) -> None:
        with self.lock:
            self.turn += 1
            turn = self.turn
        if turn % 97 == 0:
            raise EOFError
        if turn % 89 == 0:
            sock.sendall(ok(_right(heard))[:-4])
            raise EOFError
        before = (b"", interim(103), interim(102, 100), interim(104, 199, 103))[turn % 4]
        # So that reused connections are used for most of the query.
        behind = UNASKED if turn > 1500 and turn % 5 == 0 else b""
        frame = (ok, chunked)[turn % 2]
        sock.sendall(before + frame(_right(heard)) + behind)
        if turn % 31 == 0:
            # A request that leaves at the same moment is still heard, and gets no response.
            sock.shutdown(socket.SHUT_WR)


def summarize(server: Loopback, rows: int, folder: Path, **execution: Any) -> tuple[Any, dict[str, float]]:
    """Return what a query over ``rows`` rows gives, and the usage that it adds."""
    at = engine(server)
    store = SqliteCache(folder / "answers.sqlite")
    try:
        frame = predict(
            at, model(at, task="summarization", model_name="a/b", column="text"),
            {"text": [f"row {n}" for n in range(rows)]},
            store=store, max_batch_size=1, include_meta=True, **execution,
        )  # fmt: skip
        return frame, store.usage(CALLER.scope)
    finally:
        store.close()


def check(frame: Any, usage: dict[str, float], server: Loopback, rows: int) -> int:
    """Assert that no row is wrong and all requests are counted. Return how many rows have an answer."""
    assert len(frame) == rows
    right = [f"about row {n}" for n in range(rows)]
    answered = [label is not None for label in frame["y"]]
    assert [label for label in frame["y"] if label is not None] == [
        label for label, there in zip(right, answered, strict=True) if there
    ]
    attempts = [json.loads(meta)["attempts"] for meta in frame["y_meta"]]
    heard = Counter(one.json()["inputs"] for one in server.heard)
    assert attempts == [heard[f"row {n}"] for n in range(rows)]
    assert usage["requests"] == len(server.heard)
    return sum(answered)


@pytest.mark.parametrize(
    "speak",
    [_says(interim(103)), _says(interim(100, 102, 103, 104)), _says(behind=UNASKED), _says(behind=b"\r\n"), Closing()],
    ids=["103", "1xx", "second response", "line end", "closing"],
)
def test_all_rows_of_a_query_are_right(tmp_path: Path, speak: Speak) -> None:
    with Loopback(speak) as server:
        frame, usage = summarize(server, 300, tmp_path, max_retries=5)
        assert check(frame, usage, server, 300) == 300


def test_two_thousand_rows_through_every_fault(tmp_path: Path) -> None:
    with Loopback(Mixed()) as server:
        frame, usage = summarize(server, 2000, tmp_path, max_retries=5)
        assert check(frame, usage, server, 2000) == 2000


def test_no_more_requests_leave_than_the_budget_allows(tmp_path: Path) -> None:
    with Loopback(Closing()) as server:
        frame, usage = summarize(server, 500, tmp_path, max_retries=5, max_requests=100)
        check(frame, usage, server, 500)
        assert len(server.heard) == 100


def test_without_retries_each_row_leaves_once(tmp_path: Path) -> None:
    with Loopback(Closing()) as server:
        frame, usage = summarize(server, 500, tmp_path, max_retries=0, max_concurrency=4)
        answered = check(frame, usage, server, 500)
        assert len(server.heard) == 500
        # Each worker may meet it once before new connections are opened, and once more when that is over.
        assert 500 - 2 * 4 <= answered < 500
        assert set(frame["y_error_type"].dropna()) == {"connection"}


# --- compressed in several members --------------------------------------------------------------------


def members(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part) for part in parts)


@pytest.mark.parametrize("behind", [b"", b"\0" * 100, b"garbage"])
@pytest.mark.parametrize("split", [0, 1, 25, 26, 30, 60])
def test_all_members_of_a_gzip_body_are_read(script: Script, split: int, behind: bytes) -> None:
    packed = members(b"[1, ", b"", b"2, ", b"3]") + behind
    head = OK + b"Content-Encoding: gzip\r\n"
    assert script.post(ok(packed, head)).json() == [1, 2, 3]
    sized = chunked(packed, split or len(packed), head)
    assert script.post(sized).json() == [1, 2, 3]


def test_a_member_that_is_cut_off_or_broken_is_an_error(script: Script) -> None:
    head = OK + b"Content-Encoding: gzip\r\n"
    for packed in (members(b"[1]", b"  ")[:-9], members(b"[1]") + b"\x1f\x8b\x08garbage!!", members(b"[1]") + b"\x1f"):
        with pytest.raises(InvalidAnswer):
            script.post(ok(packed, head))


def test_all_members_count_against_the_limit() -> None:
    with Loopback(answer(members(b"[1]", *[b" " * 1000] * 100), Content_Encoding="gzip")) as server:
        with pytest.raises(InvalidAnswer, match="larger than"):
            Client(UrlPolicy((server.url,))).post(server.url, json={}, timeout=10, max_bytes=5000)
        server.speak = answer(members(*[b" "] * 5000, b"[1]"), Content_Encoding="gzip")
        assert Client(UrlPolicy((server.url,))).post(server.url, json={}, timeout=10).json() == [1]


def test_a_zlib_body_has_no_members(script: Script) -> None:
    packed = zlib.compress(b"[1]") + zlib.compress(b"[2]")
    assert script.post(ok(packed, OK + b"Content-Encoding: deflate\r\n")).json() == [1]


@pytest.mark.parametrize(
    "name", ["utf-8", "UTF-8", "iso-8859-1", "aws-chunked", "none", "binary", "identity, identity", "", " , "]
)
def test_what_is_no_compression(script: Script, name: str) -> None:
    assert script.post(ok(b"[1]", OK + f"Content-Encoding: {name}\r\n".encode())).json() == [1]
    with pytest.raises(InvalidAnswer, match="compressed its response as 'br', which was not requested"):
        script.post(ok(b"[1]", OK + b"Content-Encoding: br\r\n"))


@pytest.mark.parametrize("name", ["aws-chunked,gzip", "identity, gzip", "gzip, utf-8"])
def test_compression_beside_what_is_none(script: Script, name: str) -> None:
    assert script.post(ok(gzip.compress(b"[1]"), OK + f"Content-Encoding: {name}\r\n".encode())).json() == [1]
    with pytest.raises(InvalidAnswer, match="which was not requested"):
        script.post(ok(gzip.compress(gzip.compress(b"[1]")), OK + b"Content-Encoding: gzip, gzip\r\n"))


# --- a part of a response -----------------------------------------------------------------------------

PART = b"HTTP/1.1 206 Partial Content\r\n"


@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Range: bytes 0-2/100\r\n", b"Content-Range: bytes 7-9/10\r\n", b"Content-Range: bytes 0-2/*\r\n",
        b"Content-Range: nonsense\r\n", b"Content-Type: multipart/byteranges; boundary=x\r\n",
    ],
)  # fmt: skip
def test_a_part_is_not_taken_for_the_whole(script: Script, method: str, head: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="only a part") as caught:
        getattr(script, method)(ok(b"[1]", PART + head))
    assert caught.value.retryable
    assert script.post(ok(b"[2]")).json() == [2]


@pytest.mark.parametrize("head", [b"", b"Content-Range: bytes 0-2/3\r\n"])
def test_a_part_that_is_the_whole_is_taken(script: Script, head: bytes) -> None:
    assert script.get(ok(b"[1]", PART + head)).content == b"[1]"


def test_a_failure_says_its_status_whatever_comes_behind(script: Script) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            script.post(ok(b'{"error": "no"}', b"HTTP/1.1 503 X\r\n" + JSON) + UNASKED)
    assert script.server.connections == 2


@pytest.mark.parametrize("frame", [ok, chunked])
def test_the_rest_of_a_failing_body_is_no_second_response(script: Script, frame: Any) -> None:
    """Only the beginning of its reason is read; what was received after it belongs to the same response."""
    for rest in range(0, 400_000, 20_000):
        script.post(ok(b"[0]"))
        body = b'"' + b"x" * (REASON_BYTES + rest) + b'"'
        with pytest.raises(Unavailable):
            script.post(frame(body, head=b"HTTP/1.1 503 X\r\n" + JSON))
    assert script.post(ok(b"[1]")).json() == [1]
