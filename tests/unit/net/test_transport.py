"""One request there and back, against a server on loopback that does everything wrong."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import responses

from huggingface_api_handler import net
from huggingface_api_handler.errors import (
    BlockedAddress,
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    PayloadTooLarge,
    RateLimited,
    ServiceTimeout,
    SettingsError,
    Unauthorized,
    Unavailable,
)
from huggingface_api_handler.net import sockets
from huggingface_api_handler.net import transport as transport_module
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.net.sockets import DeadlineSocket
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols.client import answer_of
from tests.unit.loopback import Heard, Loopback, Speak, answer, certificate, raw, tunnel
from tests.unit.net.client import Client

TOKEN = "hf_" + "t" * 34
ROUTER = "https://router.huggingface.co/hf-inference"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


@pytest.fixture
def other() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


def fetcher(*servers: Loopback) -> Client:
    """A transport that may fetch media from these servers."""
    return Client(UrlPolicy((), tuple(f"127.0.0.1:{one.port}" for one in servers)))


def transport(*servers: Loopback, allowed: tuple[str, ...] = ()) -> Client:
    return Client(UrlPolicy(tuple(one.url for one in servers), allowed))


def post(
    server: Loopback,
    speak: Speak | None = None,
    *,
    timeout: float = 5,
    max_bytes: int | None = None,
) -> Response:
    if speak is not None:
        server.speak = speak
    return transport(server).post(
        f"{server.url}/models/a/b", token=TOKEN, json={"inputs": "x"}, timeout=timeout, max_bytes=max_bytes
    )


# --- what is sent ---------------------------------------------------------------------------------


def test_what_a_json_request_holds(server: Loopback) -> None:
    server.speak = answer({"ok": True}, X_Request_Id="r-1", X_Compute_Time="0.25")
    reply = transport(server).post(
        f"{server.url}/models/a/b?x=1", token=f" {TOKEN}\n", json={"inputs": "é😀", "n": 1.5},
        headers={"X-HF-Bill-To": "acme"}, timeout=5,
    )  # fmt: skip
    heard = server.heard[0]
    assert (heard.method, heard.target) == ("POST", "/models/a/b?x=1")
    assert heard.json() == {"inputs": "é😀", "n": 1.5}
    assert heard.headers["host"] == f"127.0.0.1:{server.port}"
    assert heard.headers["authorization"] == f"Bearer {TOKEN}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["accept"] == "application/json"
    assert heard.headers["accept-encoding"] == "gzip"
    assert heard.headers["x-hf-bill-to"] == "acme"
    assert heard.headers["user-agent"].startswith("huggingface-api-handler/")
    assert "cookie" not in heard.headers
    assert reply.json() == {"ok": True}
    assert (reply.request_id, reply.compute_seconds, reply.media_type) == ("r-1", 0.25, "application/json")
    assert TOKEN not in repr(reply)


def test_bytes_keep_their_type(server: Loopback) -> None:
    transport(server).post(server.url, data=b"\x89PNG", content_type="image/png", accept="image/png", timeout=5)
    transport(server).post(server.url, data=b"?", timeout=5)
    assert [one.headers["content-type"] for one in server.heard] == ["image/png", "application/octet-stream"]
    assert server.heard[0].headers["accept"] == "image/png"
    assert server.heard[0].body == b"\x89PNG"
    assert "authorization" not in server.heard[0].headers


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, "\ud800", {("a",): 1}])
def test_what_is_no_json_is_not_sent(server: Loopback, value: Any) -> None:
    with pytest.raises(InvalidInput):
        transport(server).post(server.url, json={"inputs": value}, timeout=5)
    assert server.heard == []


@pytest.mark.parametrize("token", ["hf_a b", "hf_a\nX: y", "“hf_a”", "hf_\x00", "hf_é"])
def test_tokens_that_cannot_be_sent_are_not_shown(server: Loopback, token: str) -> None:
    with pytest.raises(SettingsError) as caught:
        transport(server).post(server.url, token=token, json={}, timeout=5)
    assert token not in str(caught.value)
    assert server.heard == []


@pytest.mark.parametrize("token", [None, "", "  \n"])
def test_no_token_no_header(server: Loopback, token: str | None) -> None:
    transport(server).post(server.url, token=token, json={}, timeout=5)
    assert "authorization" not in server.heard[0].headers


def test_headers_cannot_be_split(server: Loopback) -> None:
    with pytest.raises(SettingsError, match="X-HF-Bill-To"):
        transport(server).post(server.url, json={}, headers={"X-HF-Bill-To": "a\r\nX: y"}, timeout=5)
    assert server.heard == []


def test_netrc_proxies_and_cookies_of_the_environment_mean_nothing(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password stolen\ndefault login eve password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text(netrc.read_text())
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.speak = answer(Set_Cookie="session=1; Path=/")
    one = transport(server)
    for _ in range(2):
        one.post(server.url, token=TOKEN, json={}, timeout=5)
    one.post(server.url, json={}, timeout=5)
    assert [heard.headers.get("authorization") for heard in server.heard] == [f"Bearer {TOKEN}"] * 2 + [None]
    assert all("cookie" not in heard.headers for heard in server.heard)


def test_a_proxy_that_is_meant(server: Loopback, other: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    # The proxy, here, is a server that answers for everybody.
    monkeypatch.setenv("HTTP_PROXY", f"http://u:p@127.0.0.1:{other.port}")
    one = Client(UrlPolicy(("http://nowhere.example/hf",), resolver=_unknown))
    one.post("http://nowhere.example/hf/models/a", token=TOKEN, json={}, timeout=5)
    heard = other.heard[0]
    assert heard.target == "http://nowhere.example/hf/models/a"
    assert heard.headers["host"] == "nowhere.example"
    assert heard.headers["proxy-authorization"].startswith("Basic ")
    # What a row names is checked by its addresses all the same.
    with pytest.raises(InvalidInput):
        one.get("http://nowhere.example:81/a.png", purpose="media", timeout=5)
    with pytest.raises(BlockedAddress):
        one.get("http://169.254.169.254/", purpose="media", timeout=5)


def test_tls_through_a_proxy_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "safe.example")
    with Loopback(answer({"n": 1}), context) as server, Loopback() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
        proxy.speak = tunnel(server.port)
        policy = UrlPolicy((f"https://safe.example:{server.port}",), resolver=_unknown)
        one = Client(policy)
        assert one.post(f"https://safe.example:{server.port}/x", token=TOKEN, json={}, timeout=5).json() == {"n": 1}
        assert proxy.heard[0].method == "CONNECT"
        assert "authorization" not in proxy.heard[0].headers
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(ConnectionFailed):
            Client(policy).post(f"https://safe.example:{server.port}/x", json={}, timeout=5)


def _unknown(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


# --- the checked address ---------------------------------------------------------------------------


def test_the_connection_goes_to_the_checked_address(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    def no_second_look_up(*args: Any, **options: Any) -> Any:
        raise AssertionError("a name was looked up a second time")

    monkeypatch.setattr(socket, "getaddrinfo", no_second_look_up)
    base = f"http://service.example:{server.port}/hf"
    one = Client(UrlPolicy((base,), resolver=resolver))
    for _ in range(50):
        one.post(f"{base}/models/a", token=TOKEN, json={}, timeout=5)
    assert asked == ["service.example"]
    assert server.connections == 1
    assert server.heard[0].headers["host"] == f"service.example:{server.port}"


def test_addresses_are_tried_in_turn(server: Loopback) -> None:
    # Nothing listens on the first two; the machine may not even speak IPv6.
    base = f"http://service.example:{server.port}"
    one = Client(UrlPolicy((base,), resolver=lambda host, port: ["::1", "127.0.0.9", "127.0.0.1"]))
    assert one.post(base, json={}, timeout=5).status == 200


def test_a_redirect_to_the_inside_is_refused(server: Loopback, other: Loopback) -> None:
    policy = UrlPolicy((), (f"127.0.0.1:{server.port}",))
    for location in (other.url, "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "file:///etc/passwd",
                     "//127.0.0.1:1/", "http://2130706433/"):  # fmt: skip
        server.speak = answer(b"", 302, Location=location)
        with pytest.raises(BlockedAddress):
            Client(policy).get(f"{server.url}/cat.png", purpose="media", timeout=5)
    assert other.heard == []


def test_a_service_connection_is_not_open_to_media(server: Loopback) -> None:
    """A name that was public when checked for a medium must not travel over the service's socket."""
    found = [["127.0.0.1"]]
    now = [0.0]
    base = f"http://own.example:{server.port}"
    policy = UrlPolicy((base,), resolver=lambda host, port: found[0], clock=lambda: now[0])
    one = Client(policy)
    one.post(base, json={}, timeout=5)
    assert ("http", "own.example", server.port) in one._adapter._pools
    assert one._adapter._media_pools == {}
    with pytest.raises(BlockedAddress):
        one.get(f"{base}/x.png", purpose="media", timeout=5)
    assert [heard.method for heard in server.heard] == ["POST"]
    # Not even to an address that would be let through does a medium travel by the service's pool.
    opened = Client(UrlPolicy((base,), (f"own.example:{server.port}",), resolver=lambda host, port: found[0]))
    opened.post(base, json={}, timeout=5)
    before = server.connections
    opened.get(f"{base}/x.png", purpose="media", timeout=5)
    assert server.connections == before + 1


# --- TLS ------------------------------------------------------------------------------------------


def test_tls_checks_the_name_not_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "safe.example")
    names: list[str | None] = []

    def note(sock: Any, name: str | None, _: Any) -> None:
        names.append(name)

    context.sni_callback = note
    with Loopback(answer({"n": 1}), context) as server:

        def base(host: str) -> str:
            return f"https://{host}:{server.port}/"

        policy = UrlPolicy(
            (base("safe.example"), base("wrong.example"), base("127.0.0.1")), resolver=lambda *_: ["127.0.0.1"]
        )
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
        one = Client(policy)
        assert one.post(base("safe.example"), token=TOKEN, json={}, timeout=5).json() == {"n": 1}
        assert names == ["safe.example"]
        assert server.heard[0].headers["host"] == f"safe.example:{server.port}"
        for host in ("wrong.example", "127.0.0.1"):
            with pytest.raises(ConnectionFailed, match="certificate") as caught:
                one.post(base(host), token=TOKEN, json={}, timeout=5)
            assert not caught.value.retryable
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(ConnectionFailed, match="certificate"):
            Client(policy).post(base("safe.example"), token=TOKEN, json={}, timeout=5)
        assert len(server.heard) == 1


def test_trusted_certificates_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "127.0.0.1")
    with Loopback(answer({"n": 1}), context) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
        assert post(server).json() == {"n": 1}
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with pytest.raises(SettingsError, match="certificates"):
            post(server)


def test_http_is_not_spoken_to_a_tls_port_nor_tls_to_an_http_port(
    tmp_path: Path, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    plain = f"https://127.0.0.1:{server.port}"
    # Whether that server answers or waits for more depends on the greeting's random bytes.
    with pytest.raises((ConnectionFailed, ServiceTimeout)):
        Client(UrlPolicy((plain,))).post(plain, json={}, timeout=0.5)
    with Loopback(context=context) as tls:
        crossed = f"http://127.0.0.1:{tls.port}"
        with pytest.raises(ConnectionFailed):
            Client(UrlPolicy((crossed,))).post(crossed, json={}, timeout=5)


def test_the_deadline_holds_within_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    with Loopback(None, context) as server:
        server.speak = _trickle(server, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 0.05)
        start = time.monotonic()
        with pytest.raises(ServiceTimeout):
            post(server, timeout=0.6)
        assert time.monotonic() - start < 2


# --- time -----------------------------------------------------------------------------------------


def _trickle(server: Loopback, head: bytes, every: float) -> Speak:
    def speak(heard: Heard, sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(b"x")
            server.wait(every)

    return speak


@pytest.mark.parametrize(
    "head",
    [
        b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    ],
)  # fmt: skip
def test_a_slow_trickle_ends_at_the_timeout(server: Loopback, head: bytes) -> None:
    server.speak = _trickle(server, head, 0.05)
    start = time.monotonic()
    with pytest.raises(ServiceTimeout, match=r"timeout = 0.6 seconds"):
        post(server, timeout=0.6)
    assert 0.5 < time.monotonic() - start < 2


def test_silence_ends_at_the_timeout(server: Loopback) -> None:
    server.speak = lambda heard, sock: server.wait(30)
    start = time.monotonic()
    with pytest.raises(ServiceTimeout):
        post(server, timeout=0.4)
    assert time.monotonic() - start < 2


def test_an_endless_line_of_interim_answers_ends(server: Loopback) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        while True:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            server.wait(0.02)

    server.speak = speak
    with pytest.raises(HuggingFaceError) as caught:
        post(server, timeout=0.5)
    assert isinstance(caught.value, (ServiceTimeout, ConnectionFailed))


def test_a_server_that_does_not_read_ends_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(ServiceTimeout):
            Client(UrlPolicy((url,))).post(url, data=b"x" * 2**25, timeout=0.6)
        assert time.monotonic() - start < 3


def test_the_deadline_spans_redirects(server: Loopback) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        server.wait(0.3)
        answer(b"", 307, Location="/again")(heard, sock)

    server.speak = speak
    start = time.monotonic()
    with pytest.raises(ServiceTimeout):
        post(server, timeout=0.5)
    assert time.monotonic() - start < 1.5


def test_no_time_at_all(server: Loopback) -> None:
    with pytest.raises(ServiceTimeout):
        post(server, timeout=0)
    with pytest.raises(ServiceTimeout):
        post(server, timeout=-1)


def test_a_deadline_holds_for_its_own_request_only(server: Loopback) -> None:
    one = transport(server)
    one.post(server.url, json={}, timeout=5)
    with pytest.raises(ServiceTimeout):
        one.post(server.url, json={}, timeout=0)
    server.speak = lambda heard, sock: server.wait(30)
    with pytest.raises(ServiceTimeout):
        one.post(server.url, json={}, timeout=0.2)
    server.speak = answer()
    assert one.post(server.url, json={}, timeout=5).status == 200


def test_a_reused_connection_keeps_the_deadline_of_the_request_that_uses_it(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = transport(server)
    one.post(server.url, json={}, timeout=5)
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000)
    for module in (sockets, transport_module):
        monkeypatch.setattr(module, "time", later)
    assert one.post(server.url, json={}, timeout=5).status == 200
    assert server.connections == 1


# --- broken answers -------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("pieces", "kind", "retryable"),
    [
        ([b""], ConnectionFailed, True),
        ([b"HTTP/1.1 200"], ConnectionFailed, True),
        ([b"garbage\r\n\r\n"], ConnectionFailed, True),
        ([b"\x16\x03\x01\x00"], ConnectionFailed, True),
        ([OK + b"Content-Length: 50\r\n\r\n{\"a\": 1}"], ConnectionFailed, True),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2,"], ConnectionFailed, True),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[1]"], ConnectionFailed, True),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"], ConnectionFailed, True),
        ([OK + b"\r\n[1, 2"], InvalidAnswer, True),
        ([OK + b"Content-Length: 0\r\n\r\n"], InvalidAnswer, True),
        ([OK + b"Content-Length: 3\r\nContent-Length: 7\r\n\r\n[1]"], InvalidAnswer, True),
        ([OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde"], InvalidAnswer, True),
        ([OK + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nabcde"], InvalidAnswer, False),
        ([OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"[1, 2]")[:-9]], InvalidAnswer, True),
        ([b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><title>Log in</title></html>"], InvalidAnswer,
         True),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], InvalidAnswer, True),
        ([b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"], Unavailable, True),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300000 + b"\r\n\r\n"], InvalidAnswer, True),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50000 + b"\r\n"], InvalidAnswer, True),
    ],
    ids=range(19),
)  # fmt: skip
def test_broken_answers(server: Loopback, pieces: list[bytes], kind: type[HuggingFaceError], retryable: bool) -> None:
    with pytest.raises(HuggingFaceError) as caught:
        post(server, raw(*pieces)).json()
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert TOKEN not in str(caught.value)


def test_invalid_lengths_do_not_change_the_answer(server: Loopback) -> None:
    for length in (b"-1", b"abc", b"", b"\xb2"):
        assert post(server, raw(OK + b"Content-Length: " + length + b"\r\n\r\n[1]")).json() == [1]


def test_compressed_responses(server: Loopback) -> None:
    for packed, name in ((gzip.compress(b"[1]"), "gzip"), (zlib.compress(b"[1]"), "deflate"), (b"[1]", "identity")):
        assert post(server, answer(packed, Content_Encoding=name)).json() == [1]


def test_json_that_is_cut_or_odd(server: Loopback) -> None:
    for body in ("", "[1, 2", "hello", "<html>", "[" * 100_000, "\xff\xfe", "{'a': 1}", "1" * 5000):
        with pytest.raises(InvalidAnswer) as caught:
            post(server, answer(body)).json()
        assert caught.value.retryable
        assert not caught.value.divisible
    assert post(server, answer("null")).json() is None
    assert post(server, answer(b'\xef\xbb\xbf{"a": 1}')).json() == {"a": 1}
    assert post(server, answer("[1]", content_type="text/plain")).json() == [1]
    assert post(server, answer("[1]", content_type="")).json() == [1]


# --- size -----------------------------------------------------------------------------------------


def test_an_announced_giant_is_not_read(server: Loopback) -> None:
    with pytest.raises(InvalidAnswer, match="larger than 1000 bytes") as caught:
        post(server, raw(OK + b"Content-Length: 99999999999\r\n\r\n", b"x" * 5000), max_bytes=1000)
    assert not caught.value.retryable
    assert caught.value.divisible


def test_an_endless_answer_is_not_read(server: Loopback) -> None:
    sent = [0]

    def speak(heard: Heard, sock: socket.socket) -> None:
        sock.sendall(OK + b"\r\n")
        while True:
            sock.sendall(b"x" * 65536)
            sent[0] += 65536

    with pytest.raises(InvalidAnswer, match="larger"):
        post(server, speak, max_bytes=2**20)
    assert sent[0] < 2**26


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_does_not_go_off(server: Loopback, layers: int) -> None:
    bomb = gzip.compress(b"0" * 2**28, 9)
    if layers == 2:
        bomb = gzip.compress(bomb, 9)
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(InvalidAnswer):
            post(server, answer(bomb, Content_Encoding="gzip"), max_bytes=2**20).json()
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_the_limit_is_exact(server: Loopback) -> None:
    body = b"[" + b" " * 998 + b"]"
    for name, data in (("identity", body), ("gzip", gzip.compress(body))):
        assert post(server, answer(data, Content_Encoding=name), max_bytes=1000).content == body
        with pytest.raises(InvalidAnswer):
            post(server, answer(data, Content_Encoding=name), max_bytes=999)


def test_a_giant_error_is_cut(server: Loopback) -> None:
    with pytest.raises(Unavailable) as caught:
        post(server, answer("no " * 10**6, 500, "text/plain"))
    assert len(str(caught.value)) < 600


def test_a_failing_answer_that_breaks_off_still_says_its_status(server: Loopback) -> None:
    with pytest.raises(Unauthorized):
        post(server, raw(b"HTTP/1.1 401 X\r\nContent-Length: 500\r\n\r\nnever all of it"))
    server.speak = _trickle(server, b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 5000\r\n\r\n", 0.05)
    with pytest.raises(RateLimited) as caught:
        post(server, timeout=0.5)
    assert caught.value.retry_after == 7


def test_media_have_their_own_limit(server: Loopback) -> None:
    server.speak = answer(b"x" * 2000, content_type="image/png")
    with pytest.raises(PayloadTooLarge):
        fetcher(server).get(server.url, purpose="media", timeout=5, max_bytes=1999)
    assert len(fetcher(server).get(server.url, purpose="media", timeout=5, max_bytes=2000).content) == 2000


# --- redirects ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed_within_an_origin(server: Loopback, status: int) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        (answer({"n": 1}) if heard.target == "/new/name" else answer(b"", status, Location="/new/name"))(heard, sock)

    reply = post(server, speak)
    assert reply.json() == {"n": 1}
    assert reply.url == f"{server.url}/new/name"
    assert [one.method for one in server.heard] == ["POST", "POST"]
    assert server.heard[1].json() == {"inputs": "x"}
    assert server.heard[1].headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [301, 302, 303, 300, 304])
def test_a_post_is_not_turned_into_a_get(server: Loopback, status: int) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        post(server, answer(b"", status, Location="/login"))
    assert not caught.value.retryable
    assert len(server.heard) == 1


def test_credentials_do_not_cross_origins(server: Loopback, other: Loopback) -> None:
    """Even to a host that the engine trusts: another port is another server."""
    server.speak = answer(b"", 307, Location=f"{other.url}/there")
    one = transport(server, other)
    one.post(server.url, token=TOKEN, json={"inputs": "x"}, headers={"X-HF-Bill-To": "acme"}, timeout=5)
    heard = other.heard[0]
    assert "authorization" not in heard.headers
    assert "x-hf-bill-to" not in heard.headers
    assert heard.headers["host"] == f"127.0.0.1:{other.port}"
    assert heard.json() == {"inputs": "x"}
    # Nor back again.
    other.speak = answer(b"", 307, Location=f"{server.url}/back")
    server.heard.clear()
    with pytest.raises(InvalidAnswer):
        one.post(server.url, token=TOKEN, json={}, timeout=5)
    assert [("authorization" in heard.headers) for heard in server.heard] == [True, False, False]


def test_a_post_goes_nowhere_that_it_might_not_have_gone_at_once(server: Loopback, other: Loopback) -> None:
    server.speak = answer(b"", 307, Location=other.url)
    with pytest.raises(InvalidAnswer, match="redirects to"):
        post(server)
    assert other.heard == []


def test_from_https_to_http_no_request_is_sent_on(
    tmp_path: Path, other: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, trusted = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
    with (
        Loopback(answer(b"", 307, Location=other.url), context) as server,
        pytest.raises(InvalidAnswer, match="without encryption"),
    ):
        transport(server, other).post(server.url, token=TOKEN, json={}, timeout=5)
    assert other.heard == []


def test_redirects_end(server: Loopback) -> None:
    with pytest.raises(InvalidAnswer):
        post(server, answer(b"", 307, Location="/again"))
    assert len(server.heard) == 5
    with pytest.raises(InvalidInput):
        fetcher(server).get(server.url, purpose="media", timeout=5)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_media_are_followed(server: Loopback, other: Loopback, status: int) -> None:
    other.speak = answer(b"PNG", content_type="image/png")
    server.speak = answer(b"moved", status, Location=f"{other.url}/ü b.png?sig=ä")
    reply = fetcher(server, other).get(f"{server.url}/a", purpose="media", timeout=5)
    assert reply.content == b"PNG"
    assert other.heard[0].target == "/%C3%BC%20b.png?sig=%C3%A4"


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(400, InvalidInput, False), (401, InvalidInput, False), (402, InvalidInput, False), (403, InvalidInput, False),
     (404, InvalidInput, False), (410, InvalidInput, False), (429, Unavailable, True), (500, Unavailable, True),
     (503, Unavailable, True)],
)  # fmt: skip
def test_a_strangers_answer_ends_a_row_not_the_query(
    server: Loopback, status: int, kind: type[HuggingFaceError], retryable: bool
) -> None:
    server.speak = answer({"error": "model not found"}, status)
    with pytest.raises(HuggingFaceError) as caught:
        fetcher(server).get(f"{server.url}/a.png?sig=s3cret", purpose="media", timeout=5)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert not caught.value.fatal
    assert "s3cret" not in str(caught.value)


# --- errors and threads -----------------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        url = f"http://127.0.0.1:{one.getsockname()[1]}"
    with pytest.raises(ConnectionFailed, match="refused") as caught:
        Client(UrlPolicy((url,))).post(url, token=TOKEN, json={}, timeout=5)
    assert caught.value.__cause__ is not None
    assert caught.value.retryable


def test_an_error_within_a_good_answer(server: Loopback) -> None:
    with pytest.raises(RateLimited):
        post(server, answer({"error": {"message": "slow down", "code": 429}}))
    with pytest.raises(HuggingFaceError, match="currently loading") as caught:
        post(server, answer([{"error": "Model x is currently loading", "estimated_time": 20.0}]))
    assert (caught.value.code, caught.value.retry_after) == ("model_loading", 20)
    assert post(server, answer({"error": None, "output": 1})).json() == {"error": None, "output": 1}
    assert post(server, answer([{"label": '"error"', "score": 1}])).json() == [{"label": '"error"', "score": 1}]
    assert post(server, answer([{"error": "x"}, {"label": "y"}])).json()[1] == {"label": "y"}


def test_what_was_sent_does_not_come_back_in_an_error(server: Loopback) -> None:
    secret = "own-gateway-key-" + "z" * 20
    server.speak = answer({"error": f"bad key {secret} and {TOKEN}"}, 401)
    with pytest.raises(Unauthorized) as caught:
        transport(server).post(server.url, token=secret, json={}, timeout=5)
    assert secret not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert "bad key ******" in str(caught.value)


def test_a_missing_token_is_told_from_a_wrong_one(server: Loopback) -> None:
    server.speak = answer({"error": "Invalid username or password."}, 401)
    with pytest.raises(Unauthorized, match="none was sent"):
        transport(server).post(server.url, json={}, timeout=5)
    with pytest.raises(Unauthorized, match="refused"):
        transport(server).post(server.url, token=TOKEN, json={}, timeout=5)


def test_connections_are_reused_by_many_threads(server: Loopback) -> None:
    def speak(heard: Heard, sock: socket.socket) -> None:
        answer({"echo": heard.json()["inputs"]})(heard, sock)

    server.speak = speak
    one = transport(server)

    def ask(n: int) -> Any:
        return one.post(f"{server.url}/models/a/b", token=TOKEN, json={"inputs": n}, timeout=20).json()["echo"]

    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(ask, range(1000))) == list(range(1000))
    assert server.connections <= 32
    one.close()


def test_after_every_fault_the_next_request_gets_its_own_response(server: Loopback) -> None:
    """No fault leaves bytes of one answer in front of the next."""
    one = transport(server)
    faults: list[Speak] = [
        answer(b"x" * 5000), answer("no", 500), answer(b"y" * 200_000, 500), raw(OK + b"Content-Length: 9\r\n\r\n["),
        answer(gzip.compress(b"z" * 5000), Content_Encoding="gzip"), answer(b"moved", 302, Location="/x"),
        answer(b"", 204), raw(OK + b"Content-Length: 2\r\n\r\n[]HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[9]"),
    ]  # fmt: skip
    for turn, fault in enumerate(faults * 3):
        server.speak = fault
        try:
            one.post(server.url, json={}, timeout=5, max_bytes=1000)
        except HuggingFaceError:
            pass
        server.speak = answer({"turn": turn})
        try:
            got = one.post(server.url, json={}, timeout=5).json()
        except ConnectionFailed:
            got = one.post(server.url, json={}, timeout=5).json()
        assert got == {"turn": turn}


def test_a_closed_idle_connection_is_noticed(server: Loopback) -> None:
    one = transport(server)

    def speak(heard: Heard, sock: socket.socket) -> None:
        answer({"n": 1})(heard, sock)
        sock.shutdown(socket.SHUT_RDWR)

    server.speak = speak
    one.post(server.url, json={}, timeout=5)
    time.sleep(0.1)
    server.speak = answer({"n": 2})
    assert one.post(server.url, json={}, timeout=5).json() == {"n": 2}
    assert server.connections == 2


def test_a_reused_connection_that_closes_during_a_request_leaves_the_retry_to_the_caller(server: Loopback) -> None:
    """The other side may have worked on the request, so whoever sends it again has to count it."""
    one = transport(server)
    one.post(server.url, json={}, timeout=5)
    closing = {1}

    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.connection in closing:
            raise EOFError
        answer({"n": heard.connection})(heard, sock)

    server.speak = speak
    with pytest.raises(ConnectionFailed) as caught:
        one.post(server.url, json={}, timeout=5)
    assert caught.value.retryable
    assert caught.value.retry_after == 0  # it needs no pause
    assert one.post(server.url, json={}, timeout=5).json() == {"n": 2}
    # On a new connection the service itself is at fault.
    closing |= {3}
    with pytest.raises(ConnectionFailed) as caught:
        one.post(server.url, json={}, timeout=5)
    assert caught.value.retryable
    assert caught.value.retry_after is None
    assert [heard.connection for heard in server.heard] == [1, 1, 2, 3]


def test_what_must_not_leave_twice_takes_a_new_connection(server: Loopback) -> None:
    one = transport(server)
    one.post(server.url, json={}, timeout=5)

    def speak(heard: Heard, sock: socket.socket) -> None:
        raise EOFError

    server.speak = speak
    with pytest.raises(ConnectionFailed):
        one.post(server.url, json={}, timeout=5, begins_paid_work=True)
    assert [heard.connection for heard in server.heard] == [1, 2]
    # What comes after it may be sent again as before.
    server.speak = answer({"n": 3})
    assert one.post(server.url, json={}, timeout=5).json() == {"n": 3}


def test_an_error_in_a_good_answer_is_for_the_caller_of_what_begins(server: Loopback) -> None:
    server.speak = answer({"status": "failed", "error": "no boats"})
    with pytest.raises(HuggingFaceError):
        transport(server).post(server.url, json={}, timeout=5)
    assert transport(server).post(server.url, json={}, timeout=5, begins_paid_work=True).json()["error"] == "no boats"


def test_it_works_after_close(server: Loopback) -> None:
    one = transport(server)
    one.post(server.url, json={}, timeout=5)
    one.close()
    assert one.post(server.url, json={}, timeout=5).status == 200


# --- replies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"x-compute-time": "0.5"}, 0.5), ({"x-compute-time": "450"}, 0.45), ({"x-compute-time": "x"}, None),
     ({"x-compute-time": "nan"}, None), ({"x-compute-time": "-1"}, None), ({"x-compute-time": "inf"}, None),
     ({"x-inference-time": "1500"}, 1.5), ({"x-total-time": "20"}, 0.02)],
)  # fmt: skip
def test_seconds_of_computing(headers: dict[str, str], seconds: float | None) -> None:
    assert Response(200, headers, b"", "", 0.7).compute_seconds == seconds


def test_which_id_a_request_has() -> None:
    headers = {"x-amz-cf-id": "c", "x-amzn-trace-id": "b", "x-request-id": "a"}
    assert Response(200, headers, b"", "", 0).request_id == "a"
    del headers["x-request-id"]
    assert Response(200, headers, b"", "", 0).request_id == "b"
    assert Response(200, {}, b"", "", 0).request_id is None


def test_answers_that_are_media() -> None:
    made = Response(200, {}, b"PNG", "image/png", 0)
    assert not made.is_json
    assert (answer_of(made).data, answer_of(made).type) == (b"PNG", "image/png")
    assert answer_of(Response(200, {}, b"[1]", "", 0)) == [1]


@responses.activate  # type: ignore[misc, untyped-decorator, unused-ignore]
def test_requests_own_adapter_is_underneath() -> None:
    responses.post(f"{ROUTER}/models/a/b", json=[{"label": "x"}], headers={"x-request-id": "r"})
    responses.post(f"{ROUTER}/models/c", json={"error": "no"}, status=404)
    responses.post(f"{ROUTER}/models/d", body=ConnectionResetError(104, "reset"))
    one = Client(UrlPolicy((ROUTER,), resolver=lambda *_: ["93.184.216.34"]))
    reply = one.post(f"{ROUTER}/models/a/b", token=TOKEN, json={"inputs": 1}, timeout=5)
    assert reply.json() == [{"label": "x"}]
    assert reply.request_id == "r"
    sent = responses.calls[0].request
    assert sent.headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(sent.body) == {"inputs": 1}
    with pytest.raises(HuggingFaceError) as caught:
        one.post(f"{ROUTER}/models/c", json={}, timeout=5)
    assert caught.value.code == "model_not_found"
    with pytest.raises(ConnectionFailed):
        one.post(f"{ROUTER}/models/d", json={}, timeout=5)


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys; import huggingface_api_handler.net.transport, huggingface_api_handler.protocols.hf_inference, "
        "huggingface_api_handler.media.loading; "
        "heavy = {'huggingface_hub', 'hugging_py_face', 'pandas', 'filetype'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stderr


def test_names_of_hosts_are_resolved_by_the_url_policy_alone() -> None:
    """Nothing in the transport resolves names itself, but for a proxy's own."""
    sources = {path.name: path.read_text() for path in Path(net.__file__).parent.glob("*.py")}
    resolving = {name: text.count("getaddrinfo") for name, text in sources.items() if "getaddrinfo" in text}
    assert resolving == {"addresses.py": 1, "sockets.py": 1}


@pytest.mark.parametrize(("size", "writes"), [(0, 1), (1000, 1), (60_000, 1), (300_000, 2)])
def test_head_and_short_body_leave_in_one_write(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, size: int, writes: int
) -> None:
    sent: list[int] = []
    sendall = DeadlineSocket.sendall

    def watched(self: Any, data: Any, flags: int = 0) -> None:
        sent.append(len(data))
        sendall(self, data, flags)

    monkeypatch.setattr(DeadlineSocket, "sendall", watched)
    one = transport(server)
    for _ in range(2):  # on a new connection and on one that is kept
        sent.clear()
        one.post(f"{server.url}/models/m", data=b"x" * size, timeout=5)
        assert len(sent) == writes
        assert server.heard[-1].body == b"x" * size
    assert server.connections == 1


def test_a_page_that_says_a_short_token_back_shows_none_of_it() -> None:
    """Too short to refuse every answer that holds it; long enough to be a key of somebody's own server."""
    page = b"<html><title>who is short-key-1</title></html>"
    head = b"HTTP/1.1 200 OK\r\nX-Request-Id: for short-key-1\r\n"
    for kind in (b"text/html", b"text/plain"):
        response = head + b"Content-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(page) + page
        with Loopback(raw(response)) as server, pytest.raises(InvalidAnswer, match="titled 'who is \\*+'") as caught:
            transport(server).post(server.url, token="short-key-1", json={}, timeout=5).json()
        assert "short-key-1" not in f"{caught.value!r} {caught.value}"
