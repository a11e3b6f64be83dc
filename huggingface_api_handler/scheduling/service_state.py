"""What a process has learned about one service."""

from __future__ import annotations

import math
import threading

from .batch_size import BatchSizeCap
from .circuit_breaker import CircuitBreaker
from .concurrency_limit import ConcurrencyLimit
from .latency_model import LatencyModel
from .rate_limit import RateLimiter
from .token_bucket import SharedRateLimit


class ServiceState:
    """What a process has learned about one service; all queries that use the service share it and add to it.

    Hold ``lock`` while you use it; services that one run uses have the same lock.

    Attributes:
        breaker: whether the service fails; used if there is another service.
        pause_until: no request before this time, since the service asked for a pause.
        loading_until: the same while the service loads a model.
        has_answered: whether any row was ever answered.
    """

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self.lock = lock or threading.Lock()
        self.concurrency = ConcurrencyLimit()
        self.breaker = CircuitBreaker()
        self.latency = LatencyModel()
        self.rate = RateLimiter()
        self.shared_rate = SharedRateLimit()
        self.batch_size = BatchSizeCap()
        self.pause_until = -math.inf
        self.loading_until = -math.inf
        self.has_answered = False
