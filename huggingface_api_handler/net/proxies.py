"""The proxy through which a service is reached, as the server's environment names it.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` hold for the service only. Media and links are fetched
directly: their host must have a public address, a proxy resolves the name itself, and it would be unknown to which
address it then connects.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
from urllib.parse import unquote_to_bytes
from urllib.request import getproxies, proxy_bypass

from requests.utils import select_proxy
from urllib3.util import Url
from urllib3.util import parse_url as split_url

from ..errors import SettingsError
from .addresses import Address, literal_address
from .url_policy import ParsedUrl


def environment_proxy(parsed: ParsedUrl) -> Url | None:
    """Return the proxy for requests to a service at ``parsed``; ``None``: they are sent directly, as to loopback.

    Raises:
        SettingsError: see :func:`proxy_of`.
    """
    address = literal_address(parsed.host)
    if parsed.host == "localhost" or (address is not None and address.is_loopback):
        return None
    if _is_listed(parsed, os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "") or proxy_bypass(parsed.host):
        return None
    url = select_proxy(parsed.url, getproxies())
    return proxy_of(url) if url else None


def _is_listed(parsed: ParsedUrl, listed: str) -> bool:
    """Return whether ``NO_PROXY`` lists the host of ``parsed``: by name, domain, address or network, or by ``*``.

    A port after the name or address limits the entry to that port.
    """
    address = literal_address(parsed.host)
    for entry in re.split(r"[\s,]+", listed.lower()):
        name = entry
        if (found := re.fullmatch(r"(\[.*\]|[^:\[\]]*):([0-9]+)", entry)) is not None:
            if int(found[2]) != parsed.port:
                continue
            name = found[1]
        if name == "*":
            return True
        name = name.strip("[]").removeprefix("*").lstrip(".")
        if name and (parsed.host == name or (address is None and parsed.host.endswith(f".{name}"))):
            return True
        if address is not None and _is_in_network(address, name):
            return True
    return False


def _is_in_network(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def proxy_of(url: str) -> Url:
    """Read the URL of a proxy.

    Raises:
        SettingsError: it is no URL, or of a proxy that does not speak plain HTTP.
    """
    try:
        proxy = split_url(url if "://" in url else f"http://{url}")
    except ValueError:
        proxy = Url()
    if proxy.scheme != "http" or not proxy.host:
        raise SettingsError(
            "the proxy of the server's environment cannot be used: its URL must begin with http://",
            advice="Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or list the service's host in NO_PROXY",
        )
    return proxy


def basic_login(proxy: Url) -> str:
    """Return the header with the user and the password of a proxy's URL, in which ``%40`` stands for ``@``."""
    return "Basic " + base64.b64encode(unquote_to_bytes(proxy.auth or "")).decode()
