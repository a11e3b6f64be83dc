"""What a process keeps from one query to the next: connections, what it learnt of a service, the store.

MindsDB keeps worker processes alive between queries and forks new ones at will, so everything
here belongs to one process id: after a fork it is made anew.
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
    from ..scheduling.worker_pool import ServiceState
    from .metrics import MetricFiles

T = TypeVar("T")


class Runtime:
    """Process-wide holdings, safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._held: dict[Hashable, Any] = {}

    def _hold(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._held = os.getpid(), {}
            if key not in self._held:
                self._held[key] = make()
            held: T = self._held[key]
            return held

    def transport(self, policy: UrlPolicy) -> Transport:
        """Return the transport of one engine's reach; its connections are reused."""
        from ..net.transport import Transport

        return self._hold(("transport", policy), lambda: Transport(policy))

    def service_state(self, service: Hashable) -> ServiceState:
        """Return what was learned about ``service``: its rate limit, its latency, whether it takes lists.

        All have the same lock, since a query may use several services.
        """
        from ..scheduling.worker_pool import ServiceState

        lock = self._hold("lock of services", threading.Lock)
        return self._hold(("service state", service), lambda: ServiceState(lock))

    def findings(self, service: Hashable) -> Findings:
        """Return what was found out about the server that ``service`` names."""
        from ..protocols.detect import Findings

        return self._hold(("findings", service), Findings)

    def store(self, key: Hashable, make: Callable[[], Cache]) -> Cache:
        """Return the store that ``key`` names, opened once."""
        return self._hold(("store", key), make)

    def metric_files(self, folder: str) -> MetricFiles:
        """Return the files in ``folder`` that this process writes its metrics to."""
        from .metrics import MetricFiles

        return self._hold(("metrics", folder), lambda: MetricFiles(folder))


RUNTIME = Runtime()
