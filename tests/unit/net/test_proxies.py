"""The proxy of the environment: services are reached through it, loopback and media are not."""

from __future__ import annotations

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.errors import ConnectionFailed, HuggingFaceError, SettingsError
from huggingface_api_handler.net.proxies import environment_proxy
from huggingface_api_handler.net.sockets import DeadlineSocket
from huggingface_api_handler.net.url_policy import UrlPolicy, parse_url
from tests.unit.end_to_end import LABELS, TOKEN, engine, model, predict
from tests.unit.loopback import Loopback, Speak, answer, certificate, raw, tunnel
from tests.unit.net.client import Client

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
SERVICE = "http://service.example/hf-inference"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def proxy() -> Iterator[Loopback]:
    """A proxy that answers for every server by itself."""
    with Loopback(answer({"from": "proxy"})) as one:
        yield one


def _unknown(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_service_is_reached_through_the_proxy_of_the_environment(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
    one = Client(UrlPolicy((SERVICE,), resolver=_unknown))
    for _ in range(2):
        assert one.post(f"{SERVICE}/models/a", token=TOKEN, json={}, timeout=5).json() == {"from": "proxy"}
    assert proxy.connections == 1
    assert proxy.heard[0].target == f"{SERVICE}/models/a"
    assert proxy.heard[0].headers["host"] == "service.example"
    assert "proxy-authorization" not in proxy.heard[0].headers


def test_its_login_is_sent_to_the_proxy_alone(proxy: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "service.example")
    with Loopback(answer({"n": 1}), context) as server:
        proxy.speak = tunnel(server.port)
        monkeypatch.setenv("HTTPS_PROXY", f"http://ada:secret@127.0.0.1:{proxy.port}")
        base = f"https://service.example:{server.port}"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", trusted)
        one = Client(UrlPolicy((base,), resolver=_unknown))
        for n in range(2):
            assert one.post(f"{base}/x", token=TOKEN, json=n, timeout=5).json() == {"n": 1}
        (connect,) = proxy.heard
        assert (connect.method, connect.target) == ("CONNECT", f"service.example:{server.port}")
        assert connect.headers["proxy-authorization"] == "Basic " + b64encode(b"ada:secret").decode()
        assert "authorization" not in connect.headers
        assert [heard.headers["authorization"] for heard in server.heard] == [f"Bearer {TOKEN}"] * 2
        assert not any("proxy-authorization" in heard.headers for heard in server.heard)


@pytest.mark.parametrize(
    ("written", "sent"),
    [("ada:p%40ss%3A%2f", "ada:p@ss:/"), ("ada:", "ada:"), ("ada", "ada"), ("ad%C3%A9:p", "adé:p"), ("a:p@s", "a:p@s")],
)
def test_a_login_is_decoded(proxy: Loopback, monkeypatch: pytest.MonkeyPatch, written: str, sent: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{written}@127.0.0.1:{proxy.port}")
    Client(UrlPolicy((SERVICE,), resolver=_unknown)).post(SERVICE, json={}, timeout=5)
    assert proxy.heard[0].headers["proxy-authorization"] == "Basic " + b64encode(sent.encode()).decode()


def test_a_whole_query_goes_through_it(proxy: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy.speak = answer(LABELS)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    at = engine(None, base_url=SERVICE)
    found = predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a", "b"]}, timeout=5)
    assert list(found["y"]) == ["cat", "cat"]
    assert all(heard.target.startswith(f"{SERVICE}/models/") for heard in proxy.heard)


@pytest.mark.parametrize("listed", ["service.example", ".example", "other.example, service.example", "*"])
def test_a_service_in_no_proxy_is_reached_directly(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    with Loopback(answer({"from": "server"})) as server:
        base = f"http://service.example:{server.port}"
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", listed)
        one = Client(UrlPolicy((base,), resolver=lambda *_: ["127.0.0.1"]))
        assert one.post(base, json={}, timeout=5).json() == {"from": "server"}
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("listed", "host", "direct"),
    [
        ("*.example", "service.example", True),
        ("example", "service.example", True),
        ("SERVICE.Example", "service.example", True),
        ("ice.example", "service.example", False),
        ("service.example:8000", "service.example:8000", True),
        ("service.example:8000", "service.example:8001", False),
        (".example:443", "service.example:8000", False),
        ("*:8000", "service.example:8000", True),
        ("a.test b.test\tservice.example", "service.example", True),
        (" , ,service.example, ", "service.example", True),
        ("", "service.example", False),
        (",", "service.example", False),
        (".", "service.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3:8000", True),
        ("10.1.2.3:80", "10.1.2.3:8000", False),
        ("2600:1f00::/24", "[2600:1f00::5]", True),
        ("2600:1f00::5", "[2600:1f00::5]:8000", True),
        ("[2600:1f00:0::5]", "[2600:1f00::5]", True),
        ("[2600:1f00::5]:8000", "[2600:1f00::5]:8000", True),
        ("[2600:1f00::5]:80", "[2600:1f00::5]:8000", False),
        ("2600:2f00::/24, 999.1.1.1/8, x/y", "[2600:1f00::5]", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_what_no_proxy_lists(
    monkeypatch: pytest.MonkeyPatch, variable: str, listed: str, host: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv(variable, listed)
    assert (environment_proxy(parse_url(f"http://{host}")) is None) == direct


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("[::1]", "::1")]
)
def test_loopback_is_reached_directly(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    with Loopback(answer({"from": "server"}), host=address) as server:
        base = f"http://{host}:{server.port}"
        one = Client(UrlPolicy((base,), resolver=lambda *_: [address]))
        assert one.post(base, json={}, timeout=5).json() == {"from": "server"}
    assert proxy.connections == 0


@pytest.mark.parametrize("purpose", ["media", "link"])
def test_media_and_links_are_fetched_directly_from_a_checked_address(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    """A proxy resolves the name by itself, perhaps to an address inside: nobody could check that."""
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with Loopback(answer(b"PNG", content_type="image/png")) as server:
        url = f"http://cdn.example:{server.port}/a.png"
        policy = UrlPolicy((), (f"cdn.example:{server.port}",), resolver=lambda *_: ["127.0.0.1"])
        assert Client(policy).get(url, purpose=purpose, timeout=5).content == b"PNG"  # type: ignore[arg-type]
    for addresses in (["10.0.0.1"], ["127.0.0.1"]):
        with pytest.raises(HuggingFaceError):
            Client(UrlPolicy(resolver=lambda *_, addresses=addresses: addresses)).get(url, purpose="media", timeout=5)
    with pytest.raises(HuggingFaceError, match="without a proxy"):
        Client(UrlPolicy(resolver=_unknown)).get(url, purpose="media", timeout=5)
    assert proxy.connections == 0


@pytest.mark.parametrize(
    "url", ["https://ada:secret@proxy.example:443", "socks5://ada:secret@proxy.example", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)
    with pytest.raises(SettingsError, match="HTTP_PROXY") as caught:
        Client(UrlPolicy((SERVICE,), resolver=_unknown)).post(SERVICE, json={}, timeout=5)
    assert "secret" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize(
    "speak",
    [
        answer("no", 407, "text/plain"), answer("no", 403, "text/plain"), raw(b"HTTP/1.1 502 X\r\n\r\n"), raw(b""),
        raw(b"220 ready\r\n"),
    ],
)  # fmt: skip
def test_a_proxy_that_refuses_is_told_from_the_service(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch, speak: Speak
) -> None:
    proxy.speak = speak
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    base = "https://service.example/hf-inference"
    with pytest.raises(ConnectionFailed, match="proxy") as caught:
        Client(UrlPolicy((base,), resolver=_unknown)).post(base, token=TOKEN, json={}, timeout=5)
    assert "HTTPS_PROXY" in str(caught.value)


def test_a_proxy_that_does_not_listen_is_told_from_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectionFailed, match="proxy") as caught:
        Client(UrlPolicy((SERVICE,), resolver=_unknown)).post(SERVICE, json={}, timeout=5)
    assert caught.value.retryable


def test_the_time_that_a_proxy_takes_is_not_given_to_the_handshake_again(
    proxy: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.speak = raw(b"HTTP/1.1 200 OK\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    left: list[float | None] = []

    def receive(self: socket.socket, *arguments: Any) -> int:
        size = receive_into(self, *arguments)
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 49)  # it took so long
        return size

    def refuse(self: ssl.SSLContext, sock: socket.socket, **_: Any) -> None:
        left.append(sock.gettimeout())
        raise ssl.SSLError("no handshake")

    receive_into, monotonic = DeadlineSocket.recv_into, time.monotonic
    monkeypatch.setattr(DeadlineSocket, "recv_into", receive)
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", refuse)
    base = "https://service.example/hf-inference"
    with pytest.raises(HuggingFaceError):
        Client(UrlPolicy((base,), resolver=_unknown)).post(base, json={}, timeout=50)
    assert left[0] is not None and left[0] <= 1
