"""How many requests may be under way at once, learned from overloads and from latency."""

from __future__ import annotations

import math


class ConcurrencyLimit:
    """Additive increase, multiplicative decrease, as TCP controls its window.

    - Slow start (RFC 5681): the limit doubles with every round trip until the first overload.
    - Then it grows by one every round trip.
    - An overload cuts it by half of the share of requests that were overloaded lately (DCTCP, RFC 8257): by half
      if all of them are, by little if few are, so that a service that fails now and then is not left idle.
    - While requests take twice as long as on the idle service they wait in its queue, and more of them would only
      wait longer: the limit does not grow (the idea of Netflix's gradient limits).
    """

    #: The first limit: a quarter of the maximum, between these.
    FIRST_LEAST, FIRST_MOST = 4, 8
    #: How many times longer requests may take than on the idle service before the limit stops growing; the same
    #: if they take more than a quarter of their timeout, so that none is given up in a queue.
    TOLERANCE, TOLERANCE_SLOW = 2.0, 1.25

    def __init__(self) -> None:
        self._limit = 0.0
        self._threshold = math.inf
        self._cut_at = -math.inf
        #: Share of requests that were overloaded lately.
        self._overload_share = 1.0
        self._done = self._overloads = 0

    def limit(self, maximum: int) -> int:
        """Return how many requests may be under way, from 1 to ``maximum``, the user's own limit."""
        if not self._limit:
            self._limit = float(min(max(maximum // 4, self.FIRST_LEAST), self.FIRST_MOST))
        return max(1, min(int(self._limit), maximum))

    @property
    def slow_start(self) -> bool:
        """Whether the limit still doubles."""
        return self._limit < self._threshold

    def succeeded(self, in_flight: int, maximum: int, latency_ratio: float, timeout_share: float = 0.0) -> None:
        """Note that a request succeeded.

        Args:
            in_flight: requests under way when it was sent, itself included.
            maximum: the user's own limit.
            latency_ratio: how many times longer requests take than on the idle service.
            timeout_share: share of their timeout that requests take.
        """
        self._count(0)
        tolerance = self.TOLERANCE_SLOW if timeout_share > 0.25 else self.TOLERANCE
        if latency_ratio >= tolerance or in_flight * 2 < self._limit or self._limit >= maximum:
            return
        self._limit = min(self._limit + (1.0 if self.slow_start else 1.0 / self._limit), float(maximum))

    def overloaded(self, started: float, now: float) -> None:
        """Note that a request met an overload; one that was sent before the last cut met the same one.

        Args:
            started: when it was sent.
        """
        self._count(1)
        if started < self._cut_at:
            return
        self._cut_at = now
        self._limit = max(1.0, self._limit * (1.0 - self._overload_share / 2.0))
        self._threshold = self._limit

    def _count(self, overloads: int) -> None:
        self._done += 1
        self._overloads += overloads
        if self._done >= max(8.0, 2.0 * self._limit):
            if self._threshold < math.inf:
                self._overload_share += (self._overloads / self._done - self._overload_share) / 4.0
            self._done = self._overloads = 0
