"""What a process shares between queries: connections, what it has learned of services, the cache, metric files.

MindsDB reuses worker processes for several queries and forks new ones at any time. So everything here belongs to one
process ID, and a forked process starts with nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ..cache import Cache
    from ..net.transport import Transport
    from ..net.url_policy import UrlPolicy
    from ..protocols.detect import Findings
    from ..scheduling.service_state import ServiceState
    from .metrics import MetricFiles

T = TypeVar("T")


class Runtime:
    """What the queries of a process share; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._shared: dict[Hashable, Any] = {}

    def _share(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._shared = os.getpid(), {}
            if key not in self._shared:
                self._shared[key] = make()
            shared: T = self._shared[key]
            return shared

    def transport(self, policy: UrlPolicy) -> Transport:
        """Return the transport for one URL policy; its connections are reused."""
        from ..net.transport import Transport

        return self._share(("transport", policy), lambda: Transport(policy))

    def service_state(self, service: Hashable) -> ServiceState:
        """Return what was learned about ``service``: its rate limit, its latency, whether it takes lists.

        All have the same lock, since a query may use several services.
        """
        from ..scheduling.service_state import ServiceState

        lock = self._share("lock of services", threading.Lock)
        return self._share(("service state", service), lambda: ServiceState(lock))

    def findings(self, service: Hashable) -> Findings:
        """Return what was detected at the server that ``service`` names."""
        from ..protocols.detect import Findings

        return self._share(("findings", service), Findings)

    def store(self, key: Hashable, make: Callable[[], Cache]) -> Cache:
        """Return the cache that ``key`` names, opened once."""
        return self._share(("store", key), make)

    def metric_files(self, folder: str) -> MetricFiles:
        """Return the files in ``folder`` that this process writes its metrics to."""
        from .metrics import MetricFiles

        return self._share(("metrics", folder), lambda: MetricFiles(folder))

    def close(self) -> None:
        """Close connections and files, and forget everything; the next query starts again.

        What a process has inherited by a fork stays open: it belongs to its parent.
        """
        with self._lock:
            shared = self._shared if self._pid == os.getpid() else {}
            self._pid, self._shared = os.getpid(), {}
        for one in shared.values():
            if hasattr(one, "close"):
                one.close()


RUNTIME = Runtime()
