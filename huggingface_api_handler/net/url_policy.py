"""Which URLs may be requested, and at which addresses.

Three kinds of URLs are requested on a user's word: those of the service (``base_url``, ``endpoint``), of media
named in a cell, and of links in a response. Users who may write SQL are not thereby allowed to reach the machines
beside the server, so every URL is checked before a byte is sent, and again after every redirect:

1. its spelling: http or https, a plain host, a plain port; whatever URL parsers disagree about is refused;
2. its host: a listed one for the service, any for media and links;
3. every address of its host: public ones only and none of this machine's own, except for what the engine's owner
   allowed.

The connection is then made to an address that was checked here; the name is not resolved a second time.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import quote

from ..errors import BlockedAddress, ConnectionFailed, HuggingFaceError, InvalidInput, SettingsError
from .addresses import NEVER_BY_NAME, in_networks, is_own, is_public, literal_address, look_up, unmapped

Purpose: TypeAlias = "Literal['service', 'media', 'link']"
TokenOf: TypeAlias = "Literal['engine', 'model', 'server']"
Resolver: TypeAlias = "Callable[[str, int], Sequence[str]]"

#: Seconds for which the checked addresses of a host are reused.
LOOKUP_TTL = 60.0
#: Hosts whose addresses are cached at a time.
MAX_LOOKUPS = 1024
LONGEST_URL = 8192
PORTS = {"http": 80, "https": 443}

#: Hugging Face's former host for models: 410 for everything.
DEAD_HOST = "api-inference.huggingface.co"
#: Where requests go unless an engine or a model says otherwise.
ROUTER = "https://router.huggingface.co/hf-inference"
#: Where Hugging Face itself serves models. Not the Hub: a request to its API, with a token that
#: may write, could make or move repositories.
_ROUTERS = frozenset({"router.huggingface.co"})
#: Inference Endpoints. Each belongs to some customer, whose program gets what is sent there.
_ENDPOINTS = re.compile(r"(?:[a-z0-9-]+\.)+huggingface\.cloud")
_HUGGING_FACE = re.compile(r"(?:[a-z0-9-]+\.)*huggingface\.(?:co|cloud)")
#: The end of a base URL that mirrors Hugging Face's router.
_MIRROR = re.compile(r"/hf-inference(/models)?/?$")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class ParsedUrl:
    """A URL in its one spelling: lower-case host, a port, no fragment."""

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


def parse_url(url: str) -> ParsedUrl:
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
        raise ValueError("only http and https are supported")
    host, port = _authority(parts["authority"], PORTS[scheme])
    rest = quote(parts["rest"], safe="/?%:@!$&'()*+,;=-._~[]|")
    if not rest.startswith("/"):
        rest = f"/{rest}"
    parsed = ParsedUrl("", scheme, host, port)
    return ParsedUrl(f"{scheme}://{parsed.authority}{rest}", scheme, host, port)


def _authority(text: str, default_port: int) -> tuple[str, int]:
    if "@" in text:
        raise ValueError("a URL must not contain a user name or password")
    if "%" in text or " " in text:
        raise ValueError("a host must not contain escapes or spaces")
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
            raise ValueError("this is not a host name") from None
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
        raise ValueError("this is not a host name")
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
    """Which URLs the requests of one engine may reach.

    Args:
        base_urls: the engine's own base URLs, trusted by its owner: their origins receive requests
            and the token, wherever they are.
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
    _mirrors: frozenset[tuple[str, str, int]] = field(init=False, repr=False, compare=False)
    _entries: frozenset[tuple[str, int | None]] = field(init=False, repr=False, compare=False)
    _known: dict[tuple[str, int, bool], tuple[float, tuple[str, ...]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        faults: list[str] = []
        bases, mirrors, entries = set(), set(), set()
        for url in self.base_urls:
            try:
                parsed = parse_url(url)
                bases.add(parsed.origin)
                if _MIRROR.search(parsed.url):
                    mirrors.add(parsed.origin)
            except ValueError as error:
                faults.append(f"base_url '{redacted_url(url)}': {error}")
        for text in self.allowed_hosts:
            try:
                entries.add(_entry(text))
            except ValueError as error:
                faults.append(f"allowed_hosts '{redacted_url(text)}': {error}")
        if faults:
            raise SettingsError("; ".join(faults))
        object.__setattr__(self, "_bases", frozenset(bases))
        object.__setattr__(self, "_mirrors", frozenset(mirrors))
        object.__setattr__(self, "_entries", frozenset(entries))

    def parse(self, url: str, *, purpose: Purpose) -> ParsedUrl:
        """Check what can be checked without resolving the host: spelling and host name.

        Raises:
            SettingsError: for a service. BlockedAddress: for media and links.
        """
        try:
            parsed = parse_url(url)
        except ValueError as error:
            raise _refusal(purpose, f"'{redacted_url(url)}' cannot be requested: {error}") from None
        if purpose == "service" and not self._is_service(parsed):
            if parsed.host in _ROUTERS or _ENDPOINTS.fullmatch(parsed.host):
                raise _refusal(purpose, f"'{parsed.host}' accepts https on its default port only", "Write https://")
            if _HUGGING_FACE.fullmatch(parsed.host):
                raise _refusal(
                    purpose,
                    f"'{parsed.host}' does not serve models",
                    f"Write {ROUTER}, or leave it out",
                )
            raise _refusal(
                purpose,
                f"'{parsed.host}' is not a host that this engine may send requests to",
                f"Its owner can allow it: CREATE ML_ENGINE … USING allowed_hosts = ['{parsed.host}:{parsed.port}']",
            )
        if self._is_allowed(parsed, purpose):
            return parsed
        literal = literal_address(parsed.host)
        if literal is not None and not is_public(literal):
            raise self._not_public(parsed, purpose)
        return parsed

    def resolve(self, parsed: ParsedUrl, *, purpose: Purpose) -> tuple[str, ...]:
        """Return the addresses of the host of a URL that :meth:`parse` returned, checked.

        Raises:
            SettingsError: for a service. BlockedAddress: for media and links.
            ConnectionFailed: a service's host has no address now. InvalidInput: nor does a medium's.
        """
        private = self._is_allowed(parsed, purpose)
        key = (parsed.host, parsed.port, private)
        known = self._known.get(key)
        now = self.clock()
        if known is not None and now < known[0]:
            return known[1]
        addresses = self._addresses(parsed, purpose, private)
        if len(self._known) >= MAX_LOOKUPS:
            self._known.clear()
        self._known[key] = (now + LOOKUP_TTL, addresses)
        return addresses

    def may_carry_token(self, parsed: ParsedUrl) -> bool:
        """Return whether a request to ``parsed`` may carry the token.

        Hugging Face's router by https, the engine's own origins, and what its owner allowed: by
        http only if the entry names the port. A model's own token may go wherever the model
        may; the server's only to the first two.
        """
        if self._is_primary(parsed):
            return True
        if self.token_of == "model":
            return self._is_service(parsed)
        if self.token_of == "server":
            return False
        by_name = parsed.scheme == "https" and (parsed.host, None) in self._entries
        return by_name or (parsed.host, parsed.port) in self._entries

    def is_unlisted_endpoint(self, url: str) -> bool:
        """Return whether ``url`` is allowed, but is some customer's endpoint that the engine's owner has not listed."""
        parsed = _parsed(url)
        return parsed is not None and _is_endpoint(parsed) and not self._is_allowed(parsed, "service")

    def is_primary(self, url: str) -> bool:
        """Return whether ``url`` is at Hugging Face's router or the engine's base URL (not merely allowed)."""
        parsed = _parsed(url)
        return parsed is not None and self._is_primary(parsed)

    def _is_primary(self, parsed: ParsedUrl) -> bool:
        return _is_router(parsed) or parsed.origin in self._bases

    def is_hugging_face(self, parsed: ParsedUrl) -> bool:
        """Return whether Hugging Face's accounts and tokens count there: its own hosts, and mirrors of its router."""
        return _is_router(parsed) or _is_endpoint(parsed) or parsed.origin in self._mirrors

    def _is_service(self, parsed: ParsedUrl) -> bool:
        return _is_router(parsed) or _is_endpoint(parsed) or self._is_allowed(parsed, "service")

    def _is_allowed(self, parsed: ParsedUrl, purpose: Purpose) -> bool:
        """Return whether the engine's owner allowed ``parsed``, private or not.

        The URLs in rows may not name a base URL; the service's own responses may link to it.
        """
        return (
            (purpose != "media" and parsed.origin in self._bases)
            or (parsed.host, None) in self._entries
            or (parsed.host, parsed.port) in self._entries
        )

    def _addresses(self, parsed: ParsedUrl, purpose: Purpose, private: bool) -> tuple[str, ...]:
        if literal_address(parsed.host) is not None:
            if not private and self.own(parsed.host):
                raise self._not_public(parsed, purpose)
            return (parsed.host,)
        try:
            found = tuple(address.partition("%")[0] for address in self.resolver(parsed.host, parsed.port))
        except (OSError, UnicodeError) as error:
            raise _unknown_host(parsed, purpose) from error
        if not found:
            raise _unknown_host(parsed, purpose)
        for address in found:
            closed = in_networks(unmapped(address), NEVER_BY_NAME)
            if closed if private else not is_public(address) or self.own(address):
                raise self._not_public(parsed, purpose)
        return found

    def _not_public(self, parsed: ParsedUrl, purpose: Purpose) -> HuggingFaceError:
        # The message does not show the address, so that nobody can map the inside network.
        allowed = f"allowed_hosts = ['{parsed.host}:{parsed.port}']"
        literal = literal_address(parsed.host)
        # Clouds serve a server's secrets there, among others: the message does not suggest to allow it.
        is_closed = literal is not None and in_networks(unmapped(parsed.host), NEVER_BY_NAME)
        owner = f"The engine's owner can allow it: CREATE ML_ENGINE … USING {allowed}"
        advice = "Use a public URL" if is_closed else owner
        return _refusal(purpose, f"'{parsed.host}' has no public address", advice)


def _is_router(parsed: ParsedUrl) -> bool:
    return parsed.scheme == "https" and parsed.port == 443 and parsed.host in _ROUTERS


def _is_endpoint(parsed: ParsedUrl) -> bool:
    return parsed.scheme == "https" and parsed.port == 443 and _ENDPOINTS.fullmatch(parsed.host) is not None


def is_router(url: str) -> bool:
    """Return whether ``url`` is at Hugging Face's own router."""
    parsed = _parsed(url)
    return parsed is not None and _is_router(parsed)


def _parsed(url: str) -> ParsedUrl | None:
    try:
        return parse_url(url)
    except ValueError:
        return None


def redacted_url(url: object) -> str:
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


def _unknown_host(parsed: ParsedUrl, purpose: Purpose) -> HuggingFaceError:
    if purpose == "service":
        return ConnectionFailed(
            f"the host '{parsed.host}' has no address",
            advice="Check base_url or endpoint, and the server's network",
        )
    return InvalidInput(
        f"the host '{parsed.host}' of this URL has no address",
        advice="Check the URL; media and links are fetched directly, without a proxy",
        divisible=False,
    )
