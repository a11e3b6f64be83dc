"""URLs written by people who want to reach what is beside the server, sent through a whole query.

A listener on loopback and a resolver of our own count: nothing may arrive, nothing may be dialled.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from huggingface_api_handler.errors import BlockedAddress, HuggingFaceError, SettingsError
from huggingface_api_handler.hub import facts
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.net.adapter import MEDIA_ORIGINS, MEDIA_POOL
from huggingface_api_handler.net.addresses import _binds_anything, is_own
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols.providers import offers, provider_api
from huggingface_api_handler.query.runtime import Runtime
from tests.unit.end_to_end import LABELS, PNG, PUBLIC, TOKEN, Wire, engine, model, predict, watch
from tests.unit.loopback import Heard, Loopback, Speak, answer
from tests.unit.net.test_url_policy import INSIDE, check

REDIRECTS = (301, 302, 303, 307, 308)

#: ``{p}`` is the port of the listener that must not be reached.
SPELLINGS = [
    # the address itself, in every form that some parser takes
    "http://127.0.0.1:{p}/", "http://127.1:{p}/", "http://127.0.1:{p}/", "http://0:{p}/", "http://0.0.0.0:{p}/",
    "http://2130706433:{p}/", "http://017700000001:{p}/", "http://0x7f000001:{p}/", "http://0x7f.0.0.1:{p}/",
    "http://0x7F.1:{p}/", "http://0177.0.0.1:{p}/", "http://0177.0x0.0.1:{p}/", "http://127.000.000.001:{p}/",
    "http://00127.0.0.1:{p}/", "http://127.0.0.1.:{p}/", "http://127.0.0.0x1:{p}/", "http://4294967297:{p}/",
    "http://localhost:{p}/", "http://LOCALHOST.:{p}/", "http://localhost.localdomain:{p}/", "http://ip6-localhost:{p}/",
    "http://127.0.0.1.nip.example:{p}/", "http://xn--localhost:{p}/",
    # version 6, and version 4 inside it
    "http://[::1]:{p}/", "http://[::]:{p}/", "http://[0:0:0:0:0:0:0:1]:{p}/", "http://[::ffff:127.0.0.1]:{p}/",
    "http://[::ffff:7f00:1]:{p}/", "http://[::127.0.0.1]:{p}/", "http://[64:ff9b::7f00:1]:{p}/",
    "http://[64:ff9b::127.0.0.1]:{p}/", "http://[2002:7f00:1::]:{p}/", "http://[::1%25lo]:{p}/", "http://[::1%lo]:{p}/",
    "http://[fe80::1%25eth0]:{p}/", "http://[::ffff:0:127.0.0.1]:{p}/", "http://::1:{p}/", "http://[::1:{p}/",
    "http://[127.0.0.1]:{p}/", "http://[v1.127.0.0.1]:{p}/",
    # who stands before the @
    "http://user@127.0.0.1:{p}/", "http://good.example@127.0.0.1:{p}/", "http://good.example:80@127.0.0.1:{p}/",
    "http://a:b@127.0.0.1:{p}/", "http://127.0.0.1:{p}@good.example/", "http://good.example%40127.0.0.1:{p}/",
    "http://@127.0.0.1:{p}/",
    # backslashes, missing and further slashes, and what ends a host
    "http://good.example\\@127.0.0.1:{p}/", "http://127.0.0.1:{p}\\@good.example/", "http:\\\\127.0.0.1:{p}/",
    "http:/\\127.0.0.1:{p}/", "http:///127.0.0.1:{p}/", "http:/127.0.0.1:{p}/", "http:127.0.0.1:{p}/",
    "//127.0.0.1:{p}/", "http://127.0.0.1:{p}\\.good.example/", "http://127.0.0.1%2f.good.example:{p}/",
    "http://127.0.0.1;good.example:{p}/", "http://127.0.0.1,good.example:{p}/",
    # escapes, white space, control characters
    "http://%31%32%37.0.0.1:{p}/", "http://127.0.0.1%00.good.example:{p}/", "http://127.0.0.1\x00.good.example:{p}/",
    "http://127.0.0.1\t:{p}/", "http://127.0\n.0.1:{p}/", "http://127.0.0.1 :{p}/", "ht\ntp://127.0.0.1:{p}/",
    "http://127.0.0.1:{p}/\r\nHost: good.example", "http://good.example\r\n@127.0.0.1:{p}/", "\x01http://127.0.0.1:{p}/",
    # other alphabets
    "http://①②⑦.⓪.⓪.①:{p}/", "http://１２７.０.０.１:{p}/", "http://127。0。0。1:{p}/", "http://ｌｏｃａｌｈｏｓｔ:{p}/",
    "http://loc\u00adalhost:{p}/", "http://\u202e127.0.0.1:{p}/", "http://lo\u200bcalhost:{p}/", "http://⑯⑨。②⑤④。⑯⑨。②⑤④/",
    # ports
    "http://127.0.0.1:0{p}/", "http://127.0.0.1:+{p}/", "http://127.0.0.1:{p}:80/", "http://127.0.0.1:{p}%20/",
    "http://good.example:80:{p}/", "http://good.example:65616/", "http://good.example:-1/",
    # other schemes
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://127.0.0.1:{p}/", "gopher://127.0.0.1:{p}/_GET",
    "dict://127.0.0.1:{p}/info", "ldap://127.0.0.1:{p}/", "jar:http://127.0.0.1:{p}/!/", "javascript:alert(1)",
    "unix:///run/docker.sock", "http+unix://%2Frun%2Fdocker.sock/", "view-source:http://127.0.0.1:{p}/",
    "netdoc:///etc/passwd", "ws://127.0.0.1:{p}/", "tftp://127.0.0.1:{p}/", "s3://bucket/key", "blob:http://127.0.0.1:{p}/",
    "url:http://127.0.0.1:{p}/", "httpx://127.0.0.1:{p}/", "http", "http:", "http://", "https://:{p}/",
]  # fmt: skip


def _literal(address: str) -> str:
    return f"http://[{address}]/x.png" if ":" in address else f"http://{address}/x.png"


def _name(place: int) -> str:
    return f"inside{place}.example"


class Battery:
    """Listeners that must hear nothing, one that stands for the internet, and a service."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.inside = Loopback(answer(PNG, content_type="image/png"))
        self.inside6 = self._v6()
        self.internet = Loopback(answer(PNG, content_type="image/png"))
        self.service = Loopback(answer(LABELS))
        wire.internet = self.internet.port
        wire.known.update({_name(place): [[address]] for place, address in enumerate(INSIDE)})
        wire.known["good.example"] = [[PUBLIC]]
        wire.known["mixed.example"] = [[PUBLIC, "127.0.0.1"]]
        wire.known["turning.example"] = [[PUBLIC], ["127.0.0.1"]]
        for name in ("localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1.nip.example"):
            wire.known[name] = [["127.0.0.1"]]

    def _v6(self) -> Loopback | None:
        try:
            return Loopback(answer(PNG), host="::1")
        except OSError:  # a machine without version 6
            return None

    def urls(self) -> list[str]:
        """All that must not be opened, as a cell or an answer may hold it."""
        port = str(self.inside.port)
        urls = [spelling.replace("{p}", port) for spelling in SPELLINGS]
        urls += [_literal(address) for address in INSIDE]
        urls += [f"http://{_name(place)}:{port}/x.png" for place in range(len(INSIDE))]
        if self.inside6 is not None:
            urls.append(f"http://[::1]:{self.inside6.port}/")
        return [*urls, f"http://mixed.example:{port}/"]

    def hits(self) -> int:
        six = self.inside6
        return self.inside.connections + (six.connections if six is not None else 0)

    def untouched(self) -> None:
        assert self.hits() == 0
        assert self.wire.to(self.service.port) == []

    def close(self) -> None:
        for one in (self.inside, self.inside6, self.internet, self.service):
            if one is not None:
                one.close()


@pytest.fixture
def battery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Battery]:
    one = Battery(watch(monkeypatch))
    yield one
    one.close()


def _images(battery: Battery, urls: list[str], **using: Any) -> Any:
    at = engine(battery.service, **using)
    of = model(at, task="image-classification", input_column="url")
    return predict(at, of, {"url": urls}, timeout=5)


def test_the_battery_is_large(battery: Battery) -> None:
    assert len(set(battery.urls())) >= 180
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 80


def test_no_cell_leads_inside(battery: Battery) -> None:
    urls = battery.urls()
    good = ["http://good.example/cat.png", "http://GOOD.example./cat.png?a=b#part"]
    found = _images(battery, [*good, *urls])
    battery.untouched()
    assert list(found["y"][:2]) == ["cat", "cat"]
    for url, value, kind in zip(urls, found["y"][2:], found["y_error_type"][2:], strict=True):
        assert (value, kind in ("blocked_address", "invalid_input", "blocked_file")) == (None, True), url
    assert len(battery.service.heard) == 2
    # What stands behind an address is not told: a closed port and an open one read alike.
    for url, error in zip(urls, found["y_error"][2:], strict=True):
        if ".example" not in url:  # an address that stands in the cell is no secret
            continue
        message = str(error).partition("(")[0]
        assert not [address for address in ("127.", "10.", "::1") if address in message and address not in url], url


def test_a_name_that_changes_is_connected_at_the_checked_address(battery: Battery) -> None:
    """The second look-up would lead inside: it is never made."""
    url = f"http://turning.example:{battery.inside.port}/a.png"
    assert list(_images(battery, [url])["y"]) == ["cat"]
    assert battery.wire.names.count("turning.example") == 1
    battery.untouched()
    assert battery.wire.dialled[0] == (PUBLIC, battery.inside.port)


def test_this_machines_own_public_address_is_not_reached(battery: Battery) -> None:
    """Past the firewall that stands before it, all that listens here would answer."""
    battery.wire.known["self.example"] = [[PUBLIC]]
    urls = [f"http://{PUBLIC}/", "http://self.example/", f"http://[::ffff:{PUBLIC}]/", f"http://[64:ff9b::{PUBLIC}]/"]
    policy = UrlPolicy(own=lambda address: address.endswith(PUBLIC) or "5db8:d822" in address)
    for url in urls:
        with pytest.raises(BlockedAddress, match="has no public address"):
            check(policy, url, purpose="media")
        assert check(UrlPolicy(own=lambda address: False), url, purpose="media")
    # Its owner may open it, as any other.
    opened = UrlPolicy(allowed_hosts=("self.example", PUBLIC), own=lambda address: True)
    assert [check(opened, url, purpose="media")[0] for url in urls[:2]] == [PUBLIC, PUBLIC]


def test_the_system_is_asked_which_addresses_are_its_own(battery: Battery) -> None:
    assert is_own("127.0.0.1") or _binds_anything()
    assert is_own("::ffff:127.0.0.1") == is_own("127.0.0.1")
    assert not is_own(PUBLIC)
    assert not is_own("2606:2800:220:1::1")
    assert battery.wire.names == []


def test_no_number_of_servers_keeps_sockets_open(battery: Battery) -> None:
    """A table that names a thousand servers, each of which keeps its connection, would use up the process's files."""
    names = [f"server{number}.example" for number in range(120)]
    battery.wire.known.update({name: [[PUBLIC]] for name in names})
    at = engine(battery.service)
    of = model(at, task="image-classification", input_column="url")
    runtime = Runtime()
    urls = [f"http://{name}/{number}.png" for number, name in enumerate(names)]
    assert list(predict(at, of, {"url": urls}, runtime=runtime, timeout=5)["y"]) == ["cat"] * len(names)
    until = time.monotonic() + 10
    while len(battery.internet._open) > MEDIA_ORIGINS and time.monotonic() < until:
        time.sleep(0.05)
    assert len(battery.internet._open) <= MEDIA_ORIGINS
    # The last one's is kept, and used again.
    before = battery.internet.connections
    predict(at, of, {"url": [f"http://{names[-1]}/again.png"]}, runtime=runtime, timeout=5)
    assert battery.internet.connections == before


def test_no_number_of_threads_keeps_more_sockets_of_a_server_open(
    battery: Battery, caplog: pytest.LogCaptureFixture
) -> None:
    at = engine(battery.service)
    of = model(at, task="image-classification", input_column="url")
    runtime = Runtime()
    battery.internet.speak = _slowly(battery.internet)
    urls = [f"http://good.example/{number}.png" for number in range(60)]
    predict(at, of, {"url": urls}, runtime=runtime, timeout=20, max_concurrency=32)
    until = time.monotonic() + 10
    while len(battery.internet._open) > MEDIA_POOL and time.monotonic() < until:
        time.sleep(0.05)
    assert len(battery.internet._open) <= MEDIA_POOL < battery.internet.connections
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def _slowly(server: Loopback) -> Speak:
    def speak(heard: Heard, sock: socket.socket) -> None:
        server.wait(0.2)
        answer(PNG, content_type="image/png")(heard, sock)

    return speak


@pytest.mark.parametrize("status", REDIRECTS)
def test_no_redirect_of_a_medium_leads_inside(battery: Battery, status: int) -> None:
    urls = [url for url in battery.urls() if url.isprintable() and url.isascii()]

    def speak(heard: Heard, sock: socket.socket) -> None:
        number = int(heard.target.partition("?")[0].strip("/").partition(".")[0])
        answer(b"moved", status, Location=urls[number])(heard, sock)

    battery.internet.speak = speak
    found = _images(battery, [f"http://good.example/{number}.png" for number in range(len(urls))])
    battery.untouched()
    assert set(found["y"]) == {None}
    assert battery.service.heard == []


def test_a_chain_of_redirects_ends(battery: Battery) -> None:
    battery.internet.speak = answer(b"", 302, Location="/again.png")
    found = _images(battery, ["http://good.example/a.png"])
    assert list(found["y_error_type"]) == ["invalid_input"]
    assert len(battery.internet.heard) == 5


def test_rows_reach_neither_the_service_nor_another_port_of_an_allowed_host(battery: Battery) -> None:
    allowed = f"127.0.0.1:{battery.internet.port}"
    urls = [
        f"{battery.service.url}/admin",
        f"http://127.0.0.1:{battery.inside.port}/",
        f"http://localhost:{battery.internet.port}/",
        f"http://127.0.0.1:{battery.internet.port}/cat.png",
    ]
    found = _images(battery, urls, allowed_hosts=allowed)
    assert list(found["y"]) == [None, None, None, "cat"]
    assert battery.hits() == 0
    assert {one.target for one in battery.service.heard} == {"/hf-inference/models/google/vit-base-patch16-224"}


@pytest.mark.parametrize("name", ["endpoint", "base_url"])
def test_no_model_leads_inside(battery: Battery, name: str) -> None:
    at = engine(battery.service)
    for url in [*battery.urls(), "http://good.example/", "https://good.example/"]:
        with pytest.raises(SettingsError):
            model(at, task="text-classification", input_column="t", **{name: url})
    good = {"endpoint": f"{battery.service.url}/mine", "base_url": f"{battery.service.url}/hf-inference/"}[name]
    assert model(at, task="text-classification", input_column="t", **{name: good})
    battery.untouched()


@pytest.mark.parametrize("name", ["endpoint", "base_url"])
def test_nor_one_whose_settings_were_changed_behind_our_back(battery: Battery, name: str) -> None:
    at = engine(battery.service)
    of = model(at, task="text-classification", input_column="t")
    for url in battery.urls():
        try:
            kinds = list(predict(at, replace(of, **{name: url}), {"t": ["a"]}, timeout=5)["y_error_type"])
        except HuggingFaceError as error:
            kinds = [error.code]
        assert kinds == ["invalid_settings"], url
    battery.untouched()
    assert battery.service.heard == []


def test_an_engine_may_lead_inside_by_its_owners_word_but_not_to_metadata(battery: Battery) -> None:
    """The owner names addresses as they are; a name that turns to metadata is still refused."""
    battery.wire.known["own.example"] = [["169.254.169.254"]]
    at = engine(None, base_url=f"http://own.example:{battery.inside.port}/hf")
    found = predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, timeout=5)
    assert list(found["y_error_type"]) == ["invalid_settings"]
    battery.untouched()


@pytest.mark.parametrize("status", REDIRECTS)
def test_no_redirect_of_a_service_leads_away(battery: Battery, status: int) -> None:
    at = engine(battery.service)
    of = model(at, task="text-classification", input_column="t", max_batch_size=1, max_concurrency=1)
    runtimes = [url for url in battery.urls() if url.isprintable() and url.isascii()]
    for url in [*runtimes, "http://good.example/", "https://good.example/", "https://huggingface.co/api/repos/create"]:
        battery.service.speak = answer(b"moved", status, Location=url)
        found = predict(at, of, {"t": ["a"]}, timeout=5)
        assert list(found["y"]) == [None]
    battery.untouched()
    assert PUBLIC not in [host for host, _ in battery.wire.dialled]
    battery.service.speak = answer(LABELS)
    assert list(predict(at, of, {"t": ["a"]}, timeout=5)["y"]) == ["cat"]


def test_no_link_in_an_answer_leads_inside(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "providers", lambda *_, **__: (Served("fal-ai", "text-to-image", "live", "flux/x"),))
    offers._known.clear()
    urls = [url for url in battery.urls() if url.lower().startswith("http")]
    # Some are no links at all, and then the answer is no picture.
    links = ["http://good.example/made.png", *urls]

    def speak(heard: Heard, sock: socket.socket) -> None:
        number = int(json.loads(heard.body)["prompt"])
        answer({"images": [{"url": links[number]}]})(heard, sock)

    battery.service.speak = speak
    at = engine(battery.service)
    of = model(at, task="text-to-image", input_column="t", model_name="org/name", provider="fal-ai")
    found = predict(at, of, {"t": [str(number) for number in range(len(links))]}, timeout=5)
    battery.untouched()
    assert str(found["y"][0]).startswith("data:image/png;base64,")
    assert set(found["y"][1:]) == {None}
    # What was fetched was fetched without the token.
    assert all("authorization" not in heard.headers for heard in battery.internet.heard)


def test_a_queue_is_polled_at_the_router_wherever_it_says_it_is(
    battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "providers", lambda *_, **__: (Served("replicate", "text-to-image", "live", "m"),))
    monkeypatch.setattr(provider_api.ProviderAPI, "_sleep", staticmethod(lambda seconds: None))
    offers._known.clear()
    at = engine(battery.service)
    of = model(at, task="text-to-image", input_column="t", model_name="org/name", provider="replicate")
    urls = [*battery.urls(), "https://x/%2e%2e/%2e%2e/api/whoami-v2", "https://x/a\\..\\b", "https://x/../../y"]

    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.method == "GET":
            answer({"status": "failed", "error": "no"})(heard, sock)
        else:
            answer({"status": "starting", "urls": {"get": urls[int(json.loads(heard.body)["input"]["prompt"])]}})(
                heard, sock
            )

    battery.service.speak = speak
    found = predict(at, of, {"t": [str(number) for number in range(len(urls))]}, timeout=5)
    battery.untouched()
    assert set(found["y"]) == {None}
    # None of it is a fault of the settings, which would end the query for all rows.
    assert set(found["y_error_type"]) <= {"invalid_answer", "invalid_input"}
    assert sum(heard.method == "GET" for heard in battery.service.heard) > 20
    targets = {heard.target for heard in battery.service.heard}
    assert all(target.startswith("/replicate/") for target in targets)
    assert not [target for target in targets if ".." in target or "%2e%2e" in target.lower()]


def test_the_resolver_is_asked_once_and_for_nothing_that_is_refused_by_its_spelling(battery: Battery) -> None:
    for spelling in SPELLINGS:
        url = spelling.replace("{p}", "1")
        with pytest.raises(HuggingFaceError):
            check(UrlPolicy(), url, purpose="media")
    looked_up = set(battery.wire.names)
    assert looked_up <= {
        "localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1.nip.example", "xn--localhost"
    }  # fmt: skip


def test_the_token_is_in_no_request_for_media(battery: Battery) -> None:
    _images(battery, ["http://good.example/cat.png"])
    fetched = [data for (host, _), data in battery.wire.sent if host == PUBLIC]
    assert fetched
    assert TOKEN.encode() not in b"".join(fetched)
    assert urlsplit("http://good.example").hostname in battery.wire.names
