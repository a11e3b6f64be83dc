"""How many requests a second a service takes, learned from its refusals (429)."""

from __future__ import annotations

import math
from collections import deque

from .token_bucket import TokenBucket


class RateLimiter:
    """A token bucket whose rate follows CUBIC, as in botocore's adaptive retry mode.

    Without a refusal there is no limit. A refusal sets ``w_max`` to the requests that got through in the last
    second and cuts the rate to ``BETA`` times that. The rate then returns to ``w_max`` along a cubic curve within
    ``k`` seconds, stays close to it for a while, and goes beyond it ever faster until the next refusal::

        rate(t) = w_max * (1 - (1 - BETA) * (1 - t / k) ** 3)

    - The first refusal may come before a second's worth of requests has got through. So the rate begins at twice
      ``w_max`` and doubles until the second refusal, as in TCP's slow start.
    - A refusal that asks for a pause makes probing dear, so ``k`` is a multiple of that pause.
    - While nothing gets through at all, requests go out one at a time, after ever longer waits.

    Sources: CUBIC, RFC 9438; slow start, RFC 5681; botocore ``retries/throttling.py``.
    """

    BETA = 0.95
    #: ``w_max`` falls to no less than this share of it: where little was sent in the last second, for another reason
    #: than the rate, it says little about the limit (RFC 7661). To the power of the refusals in a row after the last
    #: fall: many of them say that the limit is far lower.
    FLOOR = 0.7
    #: Seconds until the rate is back at ``w_max``: after slow start, later, and in pauses that the service asks for.
    K_FIRST, K, K_PAUSES = 1.0, 3.0, 30.0
    #: Seconds in which the rate doubles in slow start.
    DOUBLING = 0.5
    #: Least rate, in requests a second.
    LEAST = 0.5
    #: Waits while nothing gets through, in seconds: the first, the factor between two, the longest.
    WAIT, FACTOR, LONGEST = 0.1, 1.2, 5.0

    def __init__(self) -> None:
        self._bucket = TokenBucket()
        #: When the requests of the last second that got through were sent, roughly in order.
        self._passed: deque[float] = deque()
        self._w_max = math.inf
        self._k = self.K
        self._slow_start = True
        self._cut_at = -math.inf
        #: Requests sent in the second before the last cut that got through.
        self._last_second = 0
        self._refused_at = self._resumes_at = self._probe_at = -math.inf
        #: Refusals in a row, counting requests sent after the one before was refused.
        self._refusals = 0
        #: The same after the last cut, until one got through.
        self._last_refusals = 1
        self._random = RandomRefusals()

    @property
    def rate(self) -> float:
        """Requests a second that may be sent; infinity: no limit."""
        return self._bucket.rate

    def ignores(self, now: float) -> bool:
        """Return whether refusals at present have proved to be independent of the rate."""
        return self._random.lasts(now)

    def due(self, now: float) -> float:
        """Return when the next request may be sent."""
        return max(self._bucket.due(now), self._probe_at)

    def sent(self, now: float) -> None:
        """Note that a request is sent."""
        self._bucket.take(now)
        if self._refusals > 1:
            self._probe_at = now + self._wait()

    def succeeded(self, started: float, now: float) -> None:
        """Note that a request sent at ``started`` succeeded."""
        self._passed.append(started)
        self._count(False, now)
        if started >= self._refused_at:
            self._last_refusals = self._refusals or self._last_refusals
            self._refusals, self._probe_at = 0, -math.inf
        if self._cut_at - 1.0 < started < self._cut_at:
            # It was under way when another was refused, and belongs to the second before that.
            self._last_second += 1
            self._w_max = max(self._w_max, float(self._last_second))
        if self._w_max < math.inf:
            self._bucket.rate = self._rate(now)

    def refused(self, started: float, now: float, pause: float = 0.0) -> None:
        """Note that a request sent at ``started`` was refused, with the request to pause for ``pause`` seconds."""
        self._count(True, now)
        if self.ignores(now) or started < self._refused_at:
            return
        if not self._refusals:
            self._cut(now, pause)
        self._refusals += 1
        if self._refusals > 1:
            self._probe_at = now + self._wait()
        self._refused_at, self._resumes_at = now, now + pause
        self._bucket.rate = self._rate(now)

    def _wait(self) -> float:
        return min(self.WAIT * self.FACTOR ** min(self._refusals - 2, 32), self.LONGEST)

    def _count(self, refused: bool, now: float) -> None:
        if self._random.count(refused, math.inf if self._slow_start else self.rate, now):
            # No limit again, as at the beginning.
            self._w_max = self._bucket.rate = math.inf
            self._cut_at = self._refused_at = self._resumes_at = self._probe_at = -math.inf
            self._refusals = 0

    def _cut(self, now: float, pause: float) -> None:
        self._cut_at = now
        self._last_second = sum(at > now - 1.0 for at in self._passed)
        floor = self.FLOOR**self._last_refusals * self._w_max if self._w_max < math.inf else 0.0
        k = self.K_FIRST if self._slow_start else self.K
        self._k = max(k, self.K_PAUSES * pause)
        self._slow_start = self._w_max == math.inf
        self._w_max = max(float(self._last_second), floor, self.LEAST)

    def _rate(self, now: float) -> float:
        t = max(0.0, now - self._resumes_at)
        if self._slow_start:
            rate: float = self._w_max * 2.0 ** min(1.0 + t / self.DOUBLING, 32.0)
        else:
            rate = self._w_max * (1.0 - (1.0 - self.BETA) * (1.0 - t / self._k) ** 3)
        # A rate that is not used says nothing about the limit.
        while self._passed and self._passed[0] <= now - 1.0:
            self._passed.popleft()
        return max(self.LEAST, min(rate, 4.0 * max(len(self._passed), self._w_max)))


class RandomRefusals:
    """Tells refusals that come by chance, as from one of several servers, from those that the rate causes.

    A lower rate makes the latter fewer. So if the rate has fallen by 40 % and as many requests are refused as
    before, refusals are ignored for a while, longer each time; unless the share of them rises meanwhile. Networks
    know it as loss differentiation: a lossy radio link must not slow TCP down (Biaz and Vaidya 1998).
    """

    #: Requests in a sample.
    SAMPLE = 25
    #: Shares of refusals that may be due to chance.
    LEAST, MOST = 0.04, 0.35
    #: The share at which ignored refusals prove not to be.
    END = 0.3
    #: The rate falls by this factor within a series of samples.
    FALL = 0.6
    #: Seconds for which refusals are ignored, doubled each time up to the longest.
    IGNORE, LONGEST = 10.0, 80.0

    def __init__(self) -> None:
        self._requests = self._refusals = 0
        #: The rates of a series of samples with refusals.
        self._rates: list[float] = []
        #: Samples that a series needs; doubled whenever a verdict has proved wrong.
        self._series = 3
        self._until = -math.inf
        self._duration = self.IGNORE

    def lasts(self, now: float) -> bool:
        """Return whether refusals are ignored now."""
        return now < self._until

    def count(self, refused: bool, rate: float, now: float) -> bool:
        """Count a request that was sent at ``rate``; return whether refusals are ignored from now on."""
        self._requests += 1
        self._refusals += refused
        if self._requests < (2 * self.SAMPLE if self.lasts(now) else self.SAMPLE):
            return False
        share = self._refusals / self._requests
        self._requests = self._refusals = 0
        if self.lasts(now):
            if share > self.END:
                self._until = now
                self._series *= 2
            return False
        if not self.LEAST <= share <= self.MOST or rate == math.inf:
            self._rates.clear()
            return False
        self._rates.append(rate)
        if len(self._rates) < self._series or rate > self.FALL * max(self._rates):
            return False
        self._rates.clear()
        self._until = now + self._duration
        self._duration = min(2.0 * self._duration, self.LONGEST)
        return True
