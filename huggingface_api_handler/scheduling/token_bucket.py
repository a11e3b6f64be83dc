"""Token buckets: at most so many requests a second, evenly spread. Time is whatever clock the caller reads."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

#: Seconds of tokens that are reserved at once, so that reserving is no limit of its own.
RESERVE_AHEAD = 0.05


class TokenBucket:
    """A token bucket without a timer: it keeps the time of the next token instead of a count of tokens.

    This is the virtual scheduling form of the leaky bucket, also known as GCRA (ITU-T I.371, annex A):
    a request may be sent at ``next``, and moves ``next`` on by ``1 / rate``.

    Attributes:
        rate: tokens a second; infinity: no limit.
        tolerance: seconds that may be made up for if a request is sent later than it might have been.
    """

    def __init__(self, rate: float = math.inf, tolerance: float = 0.01) -> None:
        self.rate = rate
        self.tolerance = tolerance
        self._next = -math.inf

    def due(self, now: float) -> float:
        """Return when the next request may be sent."""
        return max(now, self._next)

    def take(self, now: float) -> None:
        """Take the token of a request that is sent now."""
        if self.rate < math.inf:
            self._next = max(self._next, now - self.tolerance) + 1.0 / self.rate


@dataclass(frozen=True, slots=True)
class Reservation:
    """A number of tokens to reserve in the rate that all workers share.

    Attributes:
        gap: seconds between two tokens.
        count: how many are reserved at once.
    """

    gap: float
    count: int

    @classmethod
    def at(cls, per_minute: float) -> Reservation:
        """Return the reservation to make at ``per_minute`` requests a minute."""
        gap = 60.0 / per_minute
        return cls(gap, max(1, int(RESERVE_AHEAD / gap)))


class SharedRateLimit:
    """``requests_per_minute``: a token bucket that all workers share, by reservations in the cache store.

    The code that runs the scheduler makes the reservations, and reports the results to ``granted``. Without a
    store, and for a while after it could not be used, the limit holds for this process by its own bucket.
    """

    #: Seconds for which a token that was not used in time stays valid, if tokens are closer than that.
    VALID = 1.0
    #: Seconds before the store is tried again after a reservation failed.
    ALONE = 5.0
    #: Seconds between two looks while another worker makes a reservation.
    LOOK = 0.02

    def __init__(self) -> None:
        self._own = TokenBucket()
        self._reserved: deque[float] = deque()
        self._reserving = False
        self._alone_until = -math.inf

    def due(self, now: float) -> float:
        """Return when the next request may be sent."""
        return max(now, self._reserved[0]) if self._reserved else self._own.due(now)

    def take(self, now: float, per_minute: float) -> None:
        """Take the token of a request that is sent now."""
        if self._reserved:
            self._reserved.popleft()
        self._own.rate = per_minute / 60.0
        self._own.take(now)

    def needs_reservation(self, now: float, per_minute: float) -> bool:
        """Return whether a token must be reserved before the next request. Tokens that are too old are dropped."""
        valid = max(self.VALID, 60.0 / per_minute)
        while self._reserved and self._reserved[0] < now - valid:
            self._reserved.popleft()
        return not self._reserved and now >= self._alone_until

    def begin_reservation(self) -> bool:
        """Return whether the caller is to reserve; then ``granted`` must follow. Another worker may be at it."""
        if self._reserving:
            return False
        self._reserving = True
        return True

    def granted(self, now: float, reservation: Reservation, wait: float | None) -> None:
        """Take the result of a reservation: seconds until its first token; ``None``: it failed."""
        self._reserving = False
        if wait is None:
            self._alone_until = now + self.ALONE
        else:
            self._reserved.extend(now + wait + number * reservation.gap for number in range(reservation.count))
