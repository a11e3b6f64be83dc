"""requests' adapter over pools of our own: one for each origin, apart for services and for media.

requests' session is not used, and so nothing that a session adds: no ``.netrc`` that replaces the token, no
cookies, no redirects that are followed without a check.
"""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeAlias

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Url

from .connection import Exchange, Route
from .connection_pool import ConnectionPool
from .proxies import environment_proxy
from .sockets import tls_context
from .url_policy import ParsedUrl, Purpose

#: Connections that are kept open to each origin of a service; as many requests can run at once without new ones.
POOL = 256
#: Origins of media, and connections to each, that are kept open: rows may name any number of servers.
MEDIA_ORIGINS, MEDIA_POOL = 16, 8

Origin: TypeAlias = "tuple[str, str, int]"


class WireRequest(requests.PreparedRequest):
    """A request as it is sent.

    Attributes:
        pool: over whose connections.
        target: the path, or for a proxy the URL, in its first line.
        exchange: its limits.
    """

    pool: ConnectionPool
    target: str
    exchange: Exchange


class _BoundPool:
    """What requests' adapter takes for a pool, for one request."""

    __slots__ = ("_exchange", "_pool")

    def __init__(self, pool: ConnectionPool, exchange: Exchange) -> None:
        self._pool = pool
        self._exchange = exchange

    def urlopen(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], **_: Any) -> Any:
        return self._pool.send(self._exchange, method, url, body, headers)


class Adapter(HTTPAdapter):
    """requests' adapter over pools whose connections go to checked addresses, or to a proxy."""

    def __init__(self) -> None:
        self._pools: dict[Origin, ConnectionPool] = {}
        self._media_pools: OrderedDict[Origin, ConnectionPool] = OrderedDict()
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        super().__init__(pool_connections=1, pool_maxsize=1)

    def pool(self, parsed: ParsedUrl, purpose: Purpose) -> ConnectionPool:
        """Return the pool for an origin.

        A service may have been allowed a private address. Nothing that was checked as media may find a connection to
        it open, so the pools are apart.

        Raises:
            SettingsError: a proxy or certificates that cannot be used.
        """
        if purpose != "service":
            return self._media_pool(parsed)
        pool = self._pools.get(parsed.origin)
        if pool is None:
            with self._lock:
                pool = self._pools.get(parsed.origin)
                if pool is None:
                    pool = self._pools[parsed.origin] = self._new_pool(parsed, POOL, environment_proxy(parsed))
        return pool

    def _media_pool(self, parsed: ParsedUrl) -> ConnectionPool:
        with self._lock:
            pool = self._media_pools.get(parsed.origin) or self._new_pool(parsed, MEDIA_POOL, None)
            self._media_pools[parsed.origin] = pool
            self._media_pools.move_to_end(parsed.origin)
            if len(self._media_pools) > MEDIA_ORIGINS:
                # Not closed here, since a thread may be about to use it: its connections close with its last user.
                self._media_pools.popitem(last=False)
        return pool

    def _new_pool(self, parsed: ParsedUrl, size: int, proxy: Url | None) -> ConnectionPool:
        if parsed.scheme == "https" and self._context is None:
            self._context = tls_context()
        context = self._context if parsed.scheme == "https" else None
        return ConnectionPool(Route(parsed, proxy, context), size)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        assert isinstance(request, WireRequest)
        return _BoundPool(request.pool, request.exchange)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the pool has a context that verifies."""

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        assert isinstance(request, WireRequest)
        return request.target

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Return the response without requests' cookies and encodings, which this package does not read."""
        response = requests.Response.__new__(requests.Response)
        response.__dict__.update(
            status_code=resp.status, raw=resp, reason=resp.reason, url=req.url, request=req, headers=resp.headers,
            _content=False, _content_consumed=False, history=[], encoding=None, connection=self,
        )  # fmt: skip
        return response

    def close(self) -> None:
        """Close idle connections. Requests in progress end in their own time."""
        with self._lock:
            pools = [*self._pools.values(), *self._media_pools.values()]
            self._pools, self._media_pools = {}, OrderedDict()
        for pool in pools:
            pool.close()
        super().close()
