"""The proxy through which a service is reached, as the server's environment names it.

``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` hold for the service only. Media and links are fetched
directly: their host must have a public address, a proxy resolves the name itself, and it would be unknown to which
address it then connects.
"""

from __future__ import annotations

from requests.utils import get_environ_proxies, select_proxy
from urllib3.util import Url
from urllib3.util import parse_url as split_url

from ..errors import SettingsError
from .addresses import literal_address
from .url_policy import ParsedUrl


def environment_proxy(parsed: ParsedUrl) -> Url | None:
    """Return the proxy for requests to a service at ``parsed``; ``None``: they are sent directly, as to loopback.

    Raises:
        SettingsError: see :func:`proxy_of`.
    """
    address = literal_address(parsed.host)
    if parsed.host == "localhost" or (address is not None and address.is_loopback):
        return None
    url = select_proxy(parsed.url, get_environ_proxies(parsed.url, None))
    return proxy_of(url) if url else None


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
