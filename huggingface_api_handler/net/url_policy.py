"""Where a URL may lead.

Three kinds of addresses are opened on a user's word: the service that answers (``base_url``,
``endpoint``), media named in a cell, and links that an answer holds. People who may write SQL
are not therefore people who may reach the machines beside the server, so every URL is judged
here before a byte is sent, and again after every redirect:

1. its spelling: http or https, a plain host, a plain port; whatever parsers disagree about is refused;
2. its host: who may be asked (service) or anybody (media, links);
3. every address its host has: public ones only and none of this machine's own, save for what the
   engine's owner opened.

The connection is then made to an address judged here, never to a name looked up again.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import quote

from ..errors import BlockedAddress, ConnectionFailed, HuggingFaceError, InvalidInput, SettingsError

Purpose: TypeAlias = "Literal['service', 'media', 'link']"
TokenOf: TypeAlias = "Literal['engine', 'model', 'server']"
Resolver: TypeAlias = "Callable[[str, int], Sequence[str]]"
Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

#: Seconds for which a host's judged addresses are used again.
LOOKUP_TTL = 60.0
#: Hosts whose addresses are remembered at a time.
LOOKUPS_KEPT = 1024
LONGEST_URL = 8192
PORTS = {"http": 80, "https": 443}

#: Hugging Face's former host for models: 410 for everything.
DEAD_HOST = "api-inference.huggingface.co"
#: Where Hugging Face itself answers for models. Not the Hub: a request to its API, with a token that
#: may write, could make or move repositories.
_ROUTERS = frozenset({"router.huggingface.co"})
#: Inference Endpoints. Each belongs to some customer, whose program gets what is sent there.
_ENDPOINTS = re.compile(r"(?:[a-z0-9-]+\.)+huggingface\.cloud")
_HUGGING_FACE = re.compile(r"(?:[a-z0-9-]+\.)*huggingface\.(?:co|cloud)")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(line.split()[0]) for line in text.strip().splitlines())


#: Special-purpose IPv4 blocks of the IANA registry, and addresses inside clouds that look public.
_CLOSED_V4 = _networks(
    """
    0.0.0.0/8           this network, unspecified
    10.0.0.0/8          private
    100.64.0.0/10       carrier-grade NAT, a cloud's metadata
    127.0.0.0/8         loopback
    168.63.129.16/32    a cloud's metadata
    169.254.0.0/16      link-local, metadata
    172.16.0.0/12       private
    192.0.0.0/24        protocol assignments, a cloud's metadata
    192.0.2.0/24        documentation
    192.31.196.0/24     anycast service
    192.52.193.0/24     anycast service
    192.88.99.0/24      6to4 relays
    192.168.0.0/16      private
    192.175.48.0/24     anycast service
    198.18.0.0/15       benchmarks
    198.51.100.0/24     documentation
    203.0.113.0/24      documentation
    224.0.0.0/4         multicast
    240.0.0.0/4         reserved, broadcast
    """
)
#: Of IPv6 only global unicast is public at all; within it, these are not.
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_CLOSED_V6 = _networks(
    """
    2001::/23           protocol assignments, Teredo, ORCHID
    2001:db8::/32       documentation
    2002::/16           6to4
    2620:4f:8000::/48   anycast service
    3fff::/20           documentation
    """
)
#: IPv4 behind a translator: as public as the IPv4 address inside.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: What no *name* may lead to, whoever allowed the name: it would take the literal address.
_NEVER_BY_NAME = _networks(
    """
    0.0.0.0/8
    168.63.129.16/32
    169.254.0.0/16
    192.0.0.0/24
    100.100.100.200/32
    224.0.0.0/4
    240.0.0.0/4
    ::/128
    fd00:ec2::/32
    fe80::/10
    ff00::/8
    """
)


def is_public(address: str | Address) -> bool:
    """Whether ``address`` is one that everybody on the internet reaches alike.

    IPv4 inside IPv6 counts as the IPv4 address it stands for where it is mapped or translated
    (NAT64); 6to4, Teredo and other tunnels are refused whole.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inner_v4(ip)
        if inner is None:
            return ip in _GLOBAL_V6 and not _in(ip, _CLOSED_V6) and not _is_isatap(ip)
        ip = inner
    return not _in(ip, _CLOSED_V4)


def _inner_v4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


def _is_isatap(ip: ipaddress.IPv6Address) -> bool:
    """Whether the interface part of ``ip`` is ``[02]00:5efe`` and an IPv4 address, a tunnel's end."""
    return (int(ip) >> 32) & 0xFDFFFFFF == 0x00005EFE


def _in(ip: Address, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)


def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of ``host`` as the system knows them. Raises ``OSError``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@lru_cache(maxsize=1)
def _binds_anything() -> bool:
    """Whether the system lets a socket have addresses that are not its own (``ip_nonlocal_bind``)."""
    return _binds("192.0.2.1")  # of documentation: nobody's


def _binds(address: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
    except OSError:
        return False
    return True


def is_own(address: str) -> bool:
    """Whether ``address`` is this machine's own, public as it may be.

    What listens there, MindsDB first of all, would be reached from within, past any firewall before
    it. Where the system does not tell, none is.
    """
    return _binds(str(_plain(address))) and not _binds_anything()


@dataclass(frozen=True, slots=True)
class Place:
    """A URL as spelt once and for all: lower-case host, a port, no fragment."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target(Place):
    """A place that may be reached, and the judged addresses at which."""

    addresses: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return self.addresses[0]


def locate(url: str) -> Place:
    """Read ``url``. Raises ``ValueError`` naming the rule it breaks."""
    if not isinstance(url, str):
        raise ValueError("a URL is text")
    url = url.strip(" ")
    if len(url) > LONGEST_URL:
        raise ValueError(f"a URL has at most {LONGEST_URL} characters")
    if _CONTROL.search(url) or "\\" in url:
        raise ValueError("a URL holds no control characters and no backslashes")
    parts = _URL.fullmatch(url.partition("#")[0])
    if parts is None:
        raise ValueError("a URL begins with https:// or http:// and a host")
    scheme = parts["scheme"].lower()
    if scheme not in PORTS:
        raise ValueError("only http and https are spoken")
    host, port = _authority(parts["authority"], PORTS[scheme])
    rest = quote(parts["rest"], safe="/?%:@!$&'()*+,;=-._~[]|")
    if not rest.startswith("/"):
        rest = f"/{rest}"
    place = Place("", scheme, host, port)
    return Place(f"{scheme}://{place.authority}{rest}", scheme, host, port)


def _authority(text: str, default_port: int) -> tuple[str, int]:
    if "@" in text:
        raise ValueError("no user name or password may stand in a URL")
    if "%" in text or " " in text:
        raise ValueError("a host is written plainly, without escapes or spaces")
    if text.startswith("["):
        inner, bracket, tail = text[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise ValueError("brackets hold an IPv6 address, followed by a port if any")
        host, port = _v6(inner), tail[1:]
    else:
        name, _, port = text.partition(":")
        host = _host(name)
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit()) or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return host, int(port)


def _v6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("brackets hold an IPv6 address, followed by a port if any") from None


def _host(name: str) -> str:
    """Return ``name`` as it is looked up: lower case, ASCII, without a trailing dot."""
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise ValueError("this is no host name") from None
    name = name.lower()
    name = name[:-1] if name.endswith(".") else name
    labels = name.split(".")
    # Whatever ends in a number is read as an address by one parser or another: as octal,
    # hexadecimal, or with parts left out. Only the one form that all read alike may pass.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError("an IPv4 address is written as four decimal numbers") from None
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("this is no host name")
    return name


def _entry(text: str) -> tuple[str, int | None]:
    """Read an entry of ``allowed_hosts``: ``host``, ``host:port``, ``[v6]``, ``[v6]:port``, ``v6``."""
    text = text.strip()
    if "://" in text or "/" in text or "*" in text or not text:
        raise ValueError("an entry is 'host' or 'host:port', without scheme, path or wildcard")
    if text.count(":") > 1 and not text.startswith("["):
        return _v6(text), None
    host, port = _authority(text, 0)
    return host, port or None


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What one engine's requests may reach.

    Args:
        base_urls: the engine's own base URLs, trusted by its owner: their origins may be asked
            and get the token, wherever they are.
        allowed_hosts: ``host`` or ``host:port``; each opens exactly that, private or not.
        token_of: who gave the token that requests carry: the engine's owner, the model's creator, or
            the server's administrator, whose token nobody can send elsewhere by naming hosts.
        resolver: (host, port) → addresses; raises ``OSError``.
        own: address → whether it is this machine's own.
        clock: seconds, monotonic.

    Raises:
        SettingsError: an entry that is no host, a base URL that is no URL.
    """

    base_urls: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    token_of: TokenOf = "engine"
    resolver: Resolver = field(default=look_up, compare=False, repr=False)
    own: Callable[[str], bool] = field(default=is_own, compare=False, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, compare=False, repr=False)
    _bases: frozenset[tuple[str, str, int]] = field(init=False, repr=False, compare=False)
    _entries: frozenset[tuple[str, int | None]] = field(init=False, repr=False, compare=False)
    _known: dict[tuple[str, int, bool], tuple[float, tuple[str, ...]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        faults: list[str] = []
        bases, entries = set(), set()
        for url in self.base_urls:
            try:
                bases.add(locate(url).origin)
            except ValueError as error:
                faults.append(f"base_url '{shown(url)}': {error}")
        for text in self.allowed_hosts:
            try:
                entries.add(_entry(text))
            except ValueError as error:
                faults.append(f"allowed_hosts '{shown(text)}': {error}")
        if faults:
            raise SettingsError("; ".join(faults))
        object.__setattr__(self, "_bases", frozenset(bases))
        object.__setattr__(self, "_entries", frozenset(entries))

    def place(self, url: str, *, purpose: Purpose) -> Place:
        """Judge all of ``url`` that can be judged without a look-up: spelling and host.

        Raises:
            SettingsError: for a service. BlockedAddress: for media and links.
        """
        try:
            place = locate(url)
        except ValueError as error:
            raise _refusal(purpose, f"'{shown(url)}' cannot be opened: {error}") from None
        if purpose == "service" and not self._is_service(place):
            if place.host in _ROUTERS or _ENDPOINTS.fullmatch(place.host):
                raise _refusal(purpose, f"'{place.host}' is asked by https on its own port only", "Write https://")
            if _HUGGING_FACE.fullmatch(place.host):
                raise _refusal(
                    purpose,
                    f"'{place.host}' answers for no models",
                    "Write https://router.huggingface.co/hf-inference, or leave it out",
                )
            raise _refusal(
                purpose,
                f"'{place.host}' is not a host that this engine may ask",
                f"Its owner can allow it: CREATE ML_ENGINE … USING allowed_hosts = ['{place.host}:{place.port}']",
            )
        if self._is_opened(place, purpose):
            return place
        literal = _literal(place.host)
        if literal is not None and not is_public(literal):
            raise self._not_public(place, purpose)
        return place

    def check(self, url: str, *, purpose: Purpose) -> Target:
        """Judge ``url`` wholly, and return it with the addresses at which it may be reached.

        Raises:
            SettingsError: for a service. BlockedAddress: for media and links.
            ConnectionFailed: a service's host has no address now. InvalidInput: nor does a medium's.
        """
        return self.reach(self.place(url, purpose=purpose), purpose=purpose)

    def reach(self, place: Place, *, purpose: Purpose) -> Target:
        """Judge the addresses of a ``place`` that :meth:`place` let through; see :meth:`check`."""
        private = self._is_opened(place, purpose)
        key = (place.host, place.port, private)
        known = self._known.get(key)
        now = self.clock()
        if known is not None and now < known[0]:
            addresses = known[1]
        else:
            addresses = self._judged(place, purpose, private)
            if len(self._known) >= LOOKUPS_KEPT:
                self._known.clear()
            self._known[key] = (now + LOOKUP_TTL, addresses)
        return Target(place.url, place.scheme, place.host, place.port, addresses)

    def may_carry_token(self, url: str) -> bool:
        """Whether a request to ``url`` may carry the token.

        Hugging Face's router by https, the engine's own origins, and what its owner allowed: by
        http only where the entry names the port. A model's own token may go wherever the model
        may; the server's only to the first two.
        """
        try:
            place = locate(url)
        except ValueError:
            return False
        if _is_router(place) or place.origin in self._bases:
            return True
        if self.token_of == "model":
            return self._is_service(place)
        if self.token_of == "server":
            return False
        by_name = place.scheme == "https" and (place.host, None) in self._entries
        return by_name or (place.host, place.port) in self._entries

    def is_strangers(self, url: str) -> bool:
        """Whether ``url`` may be asked, but is some customer's endpoint that the engine's owner has not named."""
        try:
            place = locate(url)
        except ValueError:
            return False
        return _is_endpoint(place) and not self._is_opened(place, "service")

    def is_home(self, url: str) -> bool:
        """Whether ``url`` is Hugging Face's own or the engine's base URL (not merely allowed)."""
        try:
            place = locate(url)
        except ValueError:
            return False
        return _is_router(place) or place.origin in self._bases

    def _is_service(self, place: Place) -> bool:
        return _is_router(place) or _is_endpoint(place) or self._is_opened(place, "service")

    def _is_opened(self, place: Place, purpose: Purpose) -> bool:
        """Whether the engine's owner opened ``place``, private or not.

        A base URL is no place for the URLs of strangers' rows; its own answers may link to it.
        """
        return (
            (purpose != "media" and place.origin in self._bases)
            or (place.host, None) in self._entries
            or (place.host, place.port) in self._entries
        )

    def _judged(self, place: Place, purpose: Purpose, private: bool) -> tuple[str, ...]:
        if _literal(place.host) is not None:
            if not private and self.own(place.host):
                raise self._not_public(place, purpose)
            return (place.host,)
        try:
            found = tuple(address.partition("%")[0] for address in self.resolver(place.host, place.port))
        except (OSError, UnicodeError) as error:
            raise _unknown_host(place, purpose) from error
        if not found:
            raise _unknown_host(place, purpose)
        for address in found:
            if _in(_plain(address), _NEVER_BY_NAME) if private else not is_public(address) or self.own(address):
                raise self._not_public(place, purpose)
        return found

    def _not_public(self, place: Place, purpose: Purpose) -> HuggingFaceError:
        # Which address it has is not said: the inside network is not to be mapped by asking.
        allowed = f"allowed_hosts = ['{place.host}:{place.port}']"
        literal = _literal(place.host)
        # Where clouds keep a server's own secrets, among others: nobody is invited to open that.
        is_closed = literal is not None and _in(_plain(place.host), _NEVER_BY_NAME)
        owner = f"The engine's owner can allow it: CREATE ML_ENGINE … USING {allowed}"
        advice = "Give a public URL" if is_closed else owner
        return _refusal(purpose, f"'{place.host}' does not lead to a public address", advice)


def _is_router(place: Place) -> bool:
    return place.scheme == "https" and place.port == 443 and place.host in _ROUTERS


def _is_endpoint(place: Place) -> bool:
    return place.scheme == "https" and place.port == 443 and _ENDPOINTS.fullmatch(place.host) is not None


def is_router(url: str) -> bool:
    """Whether ``url`` is at Hugging Face's own router."""
    try:
        return _is_router(locate(url))
    except ValueError:
        return False


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _plain(address: str) -> Address:
    ip = ipaddress.ip_address(address)
    return (_inner_v4(ip) or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def shown(url: object) -> str:
    """Return ``url`` for a message: short, and without what may be a password or a signed query."""
    text = _CONTROL.sub("?", str(url)).partition("?")[0].partition("#")[0]
    scheme, separator, rest = text.partition("://")
    authority, slash, path = (rest if separator else scheme).partition("/")
    authority = authority.rpartition("@")[2]
    text = f"{scheme}{separator}{authority}{slash}{path}" if separator else f"{authority}{slash}{path}"
    return text if len(text) <= 120 else f"{text[:119]}…"


def _refusal(purpose: Purpose, message: str, advice: str | None = None) -> HuggingFaceError:
    kind = SettingsError if purpose == "service" else BlockedAddress
    return kind(message, advice=advice)


def _unknown_host(place: Place, purpose: Purpose) -> HuggingFaceError:
    if purpose == "service":
        return ConnectionFailed(
            f"the host '{place.host}' has no address",
            advice="Check base_url or endpoint, and the server's network",
        )
    return InvalidInput(f"the host '{place.host}' of this URL has no address", divisible=False)
