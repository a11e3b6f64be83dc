"""Where URLs may lead: spelling, hosts, every address behind a name, and who gets the token."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.errors import BlockedAddress, ConnectionFailed, InvalidInput, SettingsError
from huggingface_api_handler.net.addresses import is_public
from huggingface_api_handler.net.url_policy import (
    LOOKUP_TTL,
    ParsedUrl,
    Purpose,
    UrlPolicy,
    parse_url,
    redacted_url,
)

PUBLIC = "93.184.216.34"
ROUTER = "https://router.huggingface.co/hf-inference"

INSIDE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8",
    "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.1.2.3",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:0:53aa:64c::1",
    "2001:db8::1", "2001:10::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "2607:f8b0::5efe:10.0.0.1", "2607:f8b0::200:5efe:127.0.0.1",
]  # fmt: skip
OUTSIDE = [
    "1.1.1.1", "8.8.8.8", PUBLIC, "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1", "198.17.255.255",
    "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888", "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]  # fmt: skip


class Names:
    """A resolver that knows what a test tells it, and counts."""

    def __init__(self, **known: Sequence[str]) -> None:
        self.known = {name.replace("__", "-").replace("_", "."): list(found) for name, found in known.items()}
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self.known[host]


class Anything(Names):
    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.known.get(host, [PUBLIC])


def check(policy: UrlPolicy, url: str, *, purpose: Purpose) -> tuple[str, ...]:
    """The addresses to which a request to ``url`` would go."""
    return policy.resolve(policy.parse(url, purpose=purpose), purpose=purpose)


def carries(policy: UrlPolicy, url: str) -> bool:
    """Whether a request to ``url`` would carry the token."""
    try:
        return policy.may_carry_token(parse_url(url))
    except ValueError:
        return False


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_not_everybodys(address: str) -> None:
    assert not is_public(address)
    policy = UrlPolicy(resolver=Names(evil_example=[address]))
    with pytest.raises(BlockedAddress):
        check(policy, "https://evil.example/cat.png", purpose="media")


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    policy = UrlPolicy(resolver=Names(good_example=[address]))
    assert check(policy, "https://good.example/cat.png", purpose="media")[0] == address


@given(st.ip_addresses(v=4))
def test_no_ipv4_is_public_that_python_calls_private(address: ipaddress.IPv4Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=6))
def test_no_ipv6_is_public_that_python_calls_private(address: ipaddress.IPv6Address) -> None:
    if is_public(address) and address not in ipaddress.ip_network("64:ff9b::/96"):
        inner = address.ipv4_mapped
        assert inner.is_global if inner else address.is_global


def test_one_bad_address_among_good_ones_is_enough() -> None:
    policy = UrlPolicy(resolver=Names(two_example=[PUBLIC, "10.0.0.1"]))
    with pytest.raises(BlockedAddress):
        check(policy, "https://two.example/", purpose="media")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/",
        "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://0/",
        "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:0:0:1]/",
        "http://１２７.0.0.1/", "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://127.0.0.1:80@evil.example/",
        "http://evil.example@127.0.0.1/", "http://good.example\\@127.0.0.1/", "http://good.example\\.evil.example/",
        "http://127%2e0.0.1/", "http://%31%32%37.0.0.1/", "http://good.exam\tple/", "http://good.example/\r\nHost: x",
        "http://good.example\n/", "\x00http://good.example/", "http:///etc/passwd", "http://", "http:/good.example/",
        "http:good.example", "//good.example/", "good.example/cat.png", "file:///etc/passwd", "FILE:///etc/passwd",
        "ftp://good.example/", "gopher://good.example:70/_x", "javascript:alert(1)", "data:text/html,x",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/", "unix:/var/run/docker.sock", "jar:http://good.example!/",
        "http://good.example:0/", "http://good.example:65536/", "http://good.example:-1/", "http://good.example:80a/",
        "http://good.example:٨٠/", "http://good.example:8 0/", "http://good.example:1e3/", "http://a:80:80/",
        "http://[::1/", "http://[::1]x/", "http://[v1.x]/", "http://[fe80::1%25eth0]/", "http://[127.0.0.1]/",
        "http://good..example/", "http://.good.example/", "http://-good.example/", "http://good .example/",
        "http://good.example../", "http://*.example/", "http://good_example,evil/", "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/", "http://good.example/" + "a" * 9000, "", " ", "http://😀.example:x/",
        "http://1.2.3/", "http://1.2.3.4.5/", "http://256.1.1.1/", "http://1.1.1.09/", "http://example.0x7f/",
        "http://good.example.1/", "http://xn--zzzzzzzz99999/\\",
    ],
)  # fmt: skip
def test_spellings_that_are_refused(url: str) -> None:
    names = Anything()
    with pytest.raises(BlockedAddress):
        check(UrlPolicy(resolver=names), url, purpose="media")
    assert names.asked == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Good.Example", "https://good.example/"),
        ("HTTPS://good.example:443/a", "https://good.example/a"),
        ("http://good.example:80?x=1", "http://good.example/?x=1"),
        ("http://good.example:8080/a#part", "http://good.example:8080/a"),
        ("https://good.example./a", "https://good.example/a"),
        ("https://good.example:/a", "https://good.example/a"),
        ("  https://good.example/a b.png ", "https://good.example/a%20b.png"),
        ("https://good.example/ü%20?q=ü", "https://good.example/%C3%BC%20?q=%C3%BC"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://bücher。example/", "https://xn--bcher-kva.example/"),
        ("https://[2606:4700:4700:0::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
        ("https://8.8.8.8/dns", "https://8.8.8.8/dns"),
        ("https://good.example/a@b:c", "https://good.example/a@b:c"),
        ("https://under_score.good.example/", "https://under_score.good.example/"),
    ],
)
def test_spellings_that_are_made_one(url: str, expected: str) -> None:
    assert parse_url(url).url == expected
    assert parse_url(expected).url == expected


@given(st.text(max_size=60))
def test_whatever_is_written_is_checked_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"https://{text}/x", f"http://good.example{text}"):
        try:
            policy = UrlPolicy(resolver=Anything())
            target = policy.parse(url, purpose="media")
            addresses = policy.resolve(target, purpose="media")
        except BlockedAddress:
            continue
        assert target.url.isascii()
        assert target.url.isprintable()
        assert " " not in target.url
        assert all(is_public(address) for address in addresses)
        # Other parsers see the same host.
        prepared = requests.Request("GET", target.url).prepare()
        assert str(urllib3.util.parse_url(str(prepared.url)).host).strip("[]") == target.host
        assert urlsplit(target.url).hostname == target.host


# --- who may be asked -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://router.huggingface.co",
        "https://router.huggingface.co/v1",
        "https://ROUTER.HuggingFace.co/",
        "https://router.huggingface.co.:443/hf-inference",
    ],
)
def test_hugging_face_may_be_asked_and_gets_the_token(url: str) -> None:
    policy = UrlPolicy((ROUTER,), resolver=Anything())
    assert check(policy, url, purpose="service")[0] == PUBLIC
    assert carries(policy, url)
    assert policy.is_primary(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/", "https://huggingface.co:8443/", "https://huggingface.co/api/repos/create?x=",
        "https://x.huggingface.co/", "https://huggingface.co.evil.example/",
        "https://evilhuggingface.co/", "https://huggingface.cloud/", "https://evilhuggingface.cloud/",
        "https://huggingface.co@evil.example/", "https://evil.example/huggingface.co", "https://hf.space/",
        "https://router.huggingface.com/", "http://router.huggingface.co/hf-inference",
    ],
)  # fmt: skip
def test_what_only_looks_like_hugging_face(url: str) -> None:
    policy = UrlPolicy((ROUTER,), resolver=Anything())
    with pytest.raises(SettingsError):
        check(policy, url, purpose="service")
    assert not carries(policy, url)
    assert not policy.is_primary(url)


def test_an_endpoint_of_some_customer_may_be_asked_and_gets_only_the_models_own_token() -> None:
    url = "https://x1.eu-west-1.aws.endpoints.huggingface.cloud/"
    host = "x1.eu-west-1.aws.endpoints.huggingface.cloud"
    for policy, gets in (
        (UrlPolicy((ROUTER,), resolver=Anything()), False),
        (UrlPolicy((ROUTER,), (), "server", resolver=Anything()), False),
        (UrlPolicy((ROUTER,), (), "model", resolver=Anything()), True),
        (UrlPolicy((ROUTER,), (host,), resolver=Anything()), True),
        (UrlPolicy((ROUTER,), (f"{host}:443",), resolver=Anything()), True),
        (UrlPolicy((ROUTER,), (f"x{host}",), resolver=Anything()), False),
        (UrlPolicy((url,), resolver=Anything()), True),
    ):
        assert check(policy, url, purpose="service")[0] == PUBLIC
        assert carries(policy, url) is gets
    assert not UrlPolicy((ROUTER,)).is_primary(url)


@pytest.mark.parametrize(
    ("url", "engine", "model", "server"),
    [
        ("https://named.example/", True, True, False),
        ("https://named.example:8443/", True, True, False),
        ("http://named.example/", False, True, False),
        ("http://10.0.0.5:8080/", True, True, False),
        ("http://base.example:81/", True, True, True),
        ("https://router.huggingface.co/v1", True, True, True),
        ("https://elsewhere.example/", False, False, False),
    ],
)
def test_whose_token_goes_where(url: str, engine: bool, model: bool, server: bool) -> None:
    hosts = ("named.example", "10.0.0.5:8080")
    policy = [UrlPolicy(("http://base.example:81/x",), hosts, of) for of in ("engine", "model", "server")]  # type: ignore[arg-type]
    assert [carries(one, url) for one in policy] == [engine, model, server]


def test_rows_do_not_reach_a_base_url() -> None:
    policy = UrlPolicy(("http://127.0.0.1:9000/hf",))
    with pytest.raises(BlockedAddress):
        check(policy, "http://127.0.0.1:9000/metrics", purpose="media")
    assert check(policy, "http://127.0.0.1:9000/made.png", purpose="link")[0] == "127.0.0.1"


def test_a_base_url_is_its_origin_and_no_more() -> None:
    names = Names(gateway_example=["10.1.2.3"], gateway=["10.1.2.3"])
    policy = UrlPolicy(("http://gateway.example:8080/hf", "https://gateway/x"), resolver=names)
    assert check(policy, "http://gateway.example:8080/other", purpose="service")[0] == "10.1.2.3"
    assert check(policy, "https://gateway/", purpose="service") == ("10.1.2.3",)
    for url in ("https://gateway.example:8080/", "http://gateway.example/", "http://gateway.example:8081/"):
        assert not carries(policy, url)
        with pytest.raises(SettingsError):
            check(policy, url, purpose="service")


def test_an_entry_opens_exactly_that() -> None:
    names = Anything(tgi_example=["10.0.0.7"], files_example=["192.168.0.9"])
    policy = UrlPolicy((), ("tgi.example:8080", "files.example", "10.9.9.9:80", "[fd00::5]:80", "::1"), resolver=names)
    assert check(policy, "http://tgi.example:8080/", purpose="service")[0] == "10.0.0.7"
    assert check(policy, "http://files.example/a.png", purpose="media")[0] == "192.168.0.9"
    assert check(policy, "https://files.example:444/a.png", purpose="media")[0] == "192.168.0.9"
    assert check(policy, "http://10.9.9.9/", purpose="service")[0] == "10.9.9.9"
    assert check(policy, "http://[fd00::5]/", purpose="service")[0] == "fd00::5"
    assert check(policy, "http://[::1]:9/", purpose="media")[0] == "::1"
    assert not policy.is_primary("http://files.example/")
    for url in ("http://tgi.example/", "http://10.9.9.9:81/", "http://sub.files.example/", "http://[fd00::6]/"):
        with pytest.raises(SettingsError):
            check(policy, url, purpose="service")
    with pytest.raises(BlockedAddress):
        check(policy, "http://tgi.example:8081/a.png", purpose="media")
    # A name that leads to an allowed address is not the allowed address.
    with pytest.raises(BlockedAddress):
        check(
            UrlPolicy((), ("10.9.9.9",), resolver=Names(x_example=["10.9.9.9"])), "http://x.example/", purpose="media"
        )


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0", "ff02::1"]
)
def test_a_name_never_opens_metadata(address: str) -> None:
    policy = UrlPolicy(("http://own.example/",), ("files.example",), resolver=Anything(own_example=[address],
    files_example=[address]))  # fmt: skip
    with pytest.raises(SettingsError):
        check(policy, "http://own.example/", purpose="service")
    with pytest.raises(BlockedAddress):
        check(policy, "http://files.example/", purpose="media")


def test_a_literal_entry_opens_itself() -> None:
    policy = UrlPolicy((), ("127.0.0.1:8080",))
    assert check(policy, "http://127.0.0.1:8080/", purpose="media")[0] == "127.0.0.1"
    with pytest.raises(BlockedAddress):
        check(policy, "http://127.0.0.1:8081/", purpose="media")
    with pytest.raises(BlockedAddress):
        check(policy, "http://localhost:8080/", purpose="media")


@pytest.mark.parametrize(
    "entry", ["", "*", "*.example.com", "https://x.example", "x.example/path", "a:b", "a:0", "1.2.3"]
)
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(SettingsError, match="allowed_hosts"):
        UrlPolicy((), (entry,))


def test_all_faults_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        UrlPolicy(("nonsense",), ("*", "ok.example", "a:0"))
    assert str(caught.value).count("allowed_hosts") == 2
    assert "nonsense" in str(caught.value)


# --- what is said ---------------------------------------------------------------------------------


def test_a_refusal_does_not_map_the_inside() -> None:
    for address in ("10.11.12.13", "127.0.0.1", "169.254.169.254"):
        policy = UrlPolicy(resolver=Names(intranet_example=[address]))
        with pytest.raises(BlockedAddress) as caught:
            check(policy, "http://intranet.example/secret?token=abc", purpose="media")
        text = str(caught.value)
        assert address not in text
        assert "abc" not in text
        assert "public address" in text
        assert caught.value.__cause__ is None


def test_advice_names_the_argument() -> None:
    with pytest.raises(SettingsError, match=r"allowed_hosts = \['tgi.example:8080'\]"):
        check(UrlPolicy((ROUTER,)), "http://tgi.example:8080/generate", purpose="service")


def test_passwords_in_urls_are_not_repeated() -> None:
    with pytest.raises(BlockedAddress) as caught:
        check(UrlPolicy(), "https://user:hunter2@good.example/a?sig=s3cret", purpose="media")
    assert "hunter2" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert redacted_url("https://user:hunter2@good.example/a?sig=s3cret#x") == "https://good.example/a"


def test_names_without_an_address() -> None:
    policy = UrlPolicy((ROUTER,), resolver=Names())
    with pytest.raises(ConnectionFailed) as service:
        check(policy, ROUTER, purpose="service")
    assert service.value.retryable
    with pytest.raises(InvalidInput):
        check(policy, "https://nobody.example/", purpose="media")


# --- looking up -----------------------------------------------------------------------------------


def test_a_name_is_looked_up_once_for_a_while() -> None:
    now = [0.0]
    names = Anything()
    policy = UrlPolicy((ROUTER,), resolver=names, clock=lambda: now[0])
    for path in range(1000):
        check(policy, f"{ROUTER}/models/m{path}", purpose="service")
    assert len(names.asked) == 1
    now[0] = LOOKUP_TTL + 1
    check(policy, ROUTER, purpose="service")
    assert len(names.asked) == 2


def test_what_was_public_once_is_checked_again() -> None:
    now = [0.0]
    names = Names(flip_example=[PUBLIC])
    policy = UrlPolicy(resolver=names, clock=lambda: now[0])
    check(policy, "https://flip.example/", purpose="media")
    names.known["flip.example"] = ["127.0.0.1"]
    assert check(policy, "https://flip.example/", purpose="media")[0] == PUBLIC
    now[0] = LOOKUP_TTL + 1
    with pytest.raises(BlockedAddress):
        check(policy, "https://flip.example/", purpose="media")


def test_an_allowed_port_does_not_open_the_others_by_the_cache() -> None:
    policy = UrlPolicy((), ("files.example:8080",), resolver=Names(files_example=["10.0.0.1"]))
    check(policy, "http://files.example:8080/", purpose="media")
    with pytest.raises(BlockedAddress):
        check(policy, "http://files.example/", purpose="media")


def test_policies_of_the_same_rules_are_equal_and_hashable() -> None:
    assert len({UrlPolicy((ROUTER,), ("a.example",)), UrlPolicy((ROUTER,), ("a.example",)), UrlPolicy((ROUTER,))}) == 2


def test_target_is_whole() -> None:
    policy = UrlPolicy(resolver=Names(good_example=[PUBLIC, "1.1.1.1"]))
    target = policy.parse("http://good.example:81/x", purpose="link")
    assert target == ParsedUrl("http://good.example:81/x", "http", "good.example", 81)
    assert policy.resolve(target, purpose="link") == (PUBLIC, "1.1.1.1")
    assert target.authority == "good.example:81"
