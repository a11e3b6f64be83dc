"""Leaves a service alone while it fails, and finds out when it is back."""

from __future__ import annotations

import math
from collections import deque


class CircuitBreaker:
    """A circuit breaker with a count-based window, as in resilience4j.

    - Closed: requests pass. When half of the last requests failed, it opens.
    - Open: no request for a pause, twice as long each time, until a whole window of requests has succeeded. It is at
      least as long as the failed request took, so that a service that hangs is not tried half of the time.
    - Half-open: after the pause, one trial request. If it succeeds, the breaker closes; else it opens again.

    Source: M. Nygard, "Release It!", 2007. Only failures of the service itself count: overloads, broken connections
    and timeouts, one of which takes as much time as many of the others and counts as such. Rows that fail again while
    others are answered do not count.
    """

    #: Requests that count, those without which nothing is decided, and the share of failures that opens.
    WINDOW, LEAST, SHARE = 20, 4, 0.5
    #: Failures that a timeout counts as.
    TIMEOUT = 4
    #: Seconds of the first pause and of the longest.
    PAUSE, LONGEST = 5.0, 60.0

    def __init__(self) -> None:
        #: Whether each of the last requests failed.
        self._failures: deque[bool] = deque(maxlen=self.WINDOW)
        self._pause = self.PAUSE
        self._opened_at = math.inf
        self._trial_at = -math.inf
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        """Whether it is open or half-open."""
        return self._opened_at < math.inf

    @property
    def has_failures(self) -> bool:
        """Whether any of the last requests failed."""
        return self.is_open or any(self._failures)

    def due(self, now: float) -> float:
        """Return when the next request may be sent; infinity: not before the trial has returned."""
        if not self.is_open:
            return now
        return math.inf if self._is_trying else max(now, self._trial_at)

    def sent(self, now: float) -> None:
        """Note that a request is sent."""
        self._is_trying = self.is_open and now >= self._trial_at

    def succeeded(self, started: float) -> None:
        """Note that a request that was sent at ``started`` succeeded."""
        if not self.is_open:
            self._failures.append(False)
            if self._pause > self.PAUSE and len(self._failures) == self.WINDOW and not any(self._failures):
                self._pause = self.PAUSE
        elif started >= self._opened_at:
            self._failures.clear()
            self._opened_at, self._is_trying = math.inf, False

    def failed(self, started: float, now: float, *, is_timeout: bool = False) -> None:
        """Note that a request that was sent at ``started`` failed."""
        if not self.is_open:
            self._failures.extend([True] * (self.TIMEOUT if is_timeout else 1))
            if len(self._failures) >= self.LEAST and sum(self._failures) >= self.SHARE * len(self._failures):
                self._opened_at = now
                self._open(started, now)
        elif started >= self._trial_at:
            self._open(started, now)

    def _open(self, started: float, now: float) -> None:
        self._trial_at, self._is_trying = now + max(self._pause, now - started), False
        self._pause = min(2.0 * self._pause, self.LONGEST)
