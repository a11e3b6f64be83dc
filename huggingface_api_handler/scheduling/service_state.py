"""What is learned of a service while it is used: how many at once, how often, how much in each.

Everything here is plain arithmetic on numbers handed in; time is whatever clock the caller reads.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass

from .rate_limit import RateLimiter

FIRST_LANES = 4


class ConcurrencyLimit:
    """How many requests may be on their way at once.

    It starts low and doubles with every round trip while all goes well. The first sign of overload
    halves it; after that it grows by one a round trip, and a sign of overload cuts it in proportion
    to the share of requests that have met one lately: by half where all of them do, by little where
    few do, so that a service that now and then fails is not left idle.
    """

    def __init__(self) -> None:
        self._limit = 0.0
        self._threshold = math.inf
        self._cut_at = -math.inf
        self._alarm = 1.0
        self._round = [0, 0]

    def limit(self, most: int) -> int:
        """Requests that may be on their way at once, 1 to ``most``."""
        if not self._limit:
            self._limit = float(max(FIRST_LANES, min(8 * FIRST_LANES, most // 4)))
        return max(1, min(int(self._limit), most))

    @property
    def growing(self) -> bool:
        """Whether it still doubles."""
        return self._limit < self._threshold

    def succeeded(self, crowd: int, most: int, stretch: float, late: float = 0.0) -> None:
        """A request got through.

        Args:
            crowd: how many were on their way when it was sent, itself among them.
            most: the user's limit.
            stretch: how many times longer requests take than they did on a quiet service. At
                twice as long they queue there, and more of them would only wait longer.
            late: share of their timeout that requests take.
        """
        self._count(0)
        if late > 0.25 and stretch > 1.25:
            # The queue they wait in must not become so long that they are given up there.
            if late > 0.5:
                self._limit = max(1.0, self._limit - 0.5)
            return
        if crowd * 2 < self._limit or stretch >= 2.0 or self._limit >= most:
            return
        self._limit = min(self._limit + (1.0 if self.growing else 1.0 / self._limit), float(most))

    def overloaded(self, started: float, now: float, crowd: int, least: float = 1.0) -> None:
        """A request met an overload.

        Args:
            started: when it was sent. What was sent before the last cut met the same overload:
                that is no reason to cut again.
            crowd: how many were on their way when it was sent, itself among them.
            least: do not go below this.
        """
        self._count(1)
        if started < self._cut_at:
            return
        self._cut_at = now
        # Where few requests fail, how many are on their way at the moment says little.
        before = self._limit + self._alarm * min(0.0, crowd - self._limit)
        if crowd * 2 >= self._limit:
            before = self._limit
        self._limit = max(1.0, min(least, before), before * (1.0 - self._alarm / 2.0))
        self._threshold = self._limit

    def _count(self, failed: int) -> None:
        done = self._round
        done[0] += 1
        done[1] += failed
        if done[0] >= max(8.0, 2.0 * self._limit):
            if self._threshold < math.inf:
                self._alarm += (done[1] / done[0] - self._alarm) / 4.0
            self._round = [0, 0]


class LatencyModel:
    """What a request costs: so many seconds, and so many more for each row in it.

    The least time seen for each size of list says what the service needs when nothing waits there;
    a line through these is the cost. How much longer requests take than that, at present and in
    quiet times, says whether they queue.
    """

    def __init__(self) -> None:
        self.fixed = 0.0
        self.each = 0.0
        #: Seconds that requests take at present.
        self.usual = 0.0
        #: Size class → (rows, least seconds).
        self._least: dict[int, tuple[int, float]] = {}
        self._quiet = 1.0
        self._now = 1.0
        self._crowd = 1.0
        self._seen = 0

    @property
    def known(self) -> bool:
        """Whether requests of different sizes have been seen."""
        return len(self._least) > 1

    @property
    def stretch(self) -> float:
        """How many times longer requests take at present than on the quiet service."""
        return max(1.0, self._now / self._quiet)

    @property
    def at_most(self) -> float:
        """Seconds that a row may cost, as long as nobody can tell; 0 where nothing is known."""
        return max((seconds / rows for rows, seconds in self._least.values()), default=0.0)

    def slots(self, lanes: int) -> float:
        """How many requests the service works on at once, as far as it shows; at most ``lanes``."""
        return min(float(lanes), max(1.0, self._crowd / self.stretch)) if self.stretch > 1.2 else float(lanes)

    def of(self, rows: int) -> float:
        """Seconds that the quiet service needs for a request of ``rows`` rows."""
        return self._quiet * (self.fixed + self.each * rows)

    def observe(self, rows: int, seconds: float, crowd: int) -> None:
        """A request of ``rows`` rows took ``seconds``, one of ``crowd`` that were on their way."""
        self._seen += 1
        size = rows.bit_length()
        least = self._least.get(size)
        plain = self.fixed + self.each * rows
        if least is None:
            # What waited in a queue is no cost.
            self._least[size] = (rows, seconds / self.stretch)
            self._fit()
            plain = self.fixed + self.each * rows
        elif seconds * (self.fixed + self.each * least[0]) < least[1] * plain:
            self._least[size] = (rows, seconds)
            self._fit()
            plain = self.fixed + self.each * rows
        ratio = min(seconds / plain, 20.0) if plain > 0.0 else 1.0
        weight = max(0.2, 1.0 / self._seen)
        self.usual += weight * (seconds - self.usual)
        self._now += weight * (ratio - self._now)
        self._crowd += weight * (crowd - self._crowd)
        if crowd <= FIRST_LANES or self._now < self._quiet:
            self._quiet += max(0.1, 1.0 / self._seen) * (ratio - self._quiet)
        elif self._now > 1.5 * self._quiet:
            # Should it never be quiet again, this is by and by what quiet means.
            self._quiet *= 1.002

    def _fit(self) -> None:
        points = list(self._least.values())
        count = len(points)
        x = sum(rows for rows, _ in points) / count
        y = sum(seconds for _, seconds in points) / count
        spread = sum((rows - x) ** 2 for rows, _ in points)
        joint = sum((rows - x) * (seconds - y) for rows, seconds in points)
        self.each = min(max(joint / spread, 0.0), y / x) if spread > 0.0 else 0.0
        self.fixed = y - self.each * x


class Bucket:
    """At most so many requests a minute, evenly spread.

    By itself it keeps to that for its process. Where all workers share a pace, whoever runs it
    claims turns, some ``AHEAD``, and grants them to it; where none are to be had, it goes by its
    own count for a while.
    """

    #: Seconds of turns that are claimed at once, so that claiming is no limit of its own.
    AHEAD = 0.05
    #: Seconds for which a turn that nobody took in time is still good, where turns are closer than that.
    LATE = 1.0
    #: Seconds before turns are asked for again where there were none to be had.
    ALONE = 5.0
    #: Seconds between two looks while another lane claims.
    LOOK = 0.02

    def __init__(self) -> None:
        self._next = -math.inf
        self._turns: deque[float] = deque()
        self._claiming = False
        self._alone_until = -math.inf

    def due(self, now: float) -> float:
        return max(now, self._turns[0] if self._turns else self._next)

    def sent(self, now: float, per_minute: float) -> None:
        if self._turns:
            self._turns.popleft()
        # A lane that wakes a little late may make up for it.
        self._next = max(self._next, now - 0.05) + 60.0 / per_minute

    def lacks_turn(self, now: float, per_minute: float) -> bool:
        """Whether a turn must be claimed before the next request; those that have passed by are dropped."""
        good_for = max(self.LATE, 60.0 / per_minute)
        while self._turns and self._turns[0] < now - good_for:
            self._turns.popleft()
        return not self._turns and now >= self._alone_until

    def begin_claim(self) -> bool:
        """Whether it is the caller's part to claim; then ``grant`` must follow."""
        if self._claiming:
            return False
        self._claiming = True
        return True

    def grant(self, now: float, turns: Reservation, wait: float | None) -> None:
        """Take in what has come of a claim: the first turn is ``wait`` seconds away, or there is none."""
        self._claiming = False
        if wait is None:
            self._alone_until = now + self.ALONE
        else:
            self._turns.extend(now + wait + number * turns.gap for number in range(turns.count))


@dataclass(frozen=True, slots=True)
class Reservation:
    """Reservation to claim: ``count`` of them, ``gap`` seconds apart."""

    gap: float
    count: int

    @classmethod
    def at(cls, per_minute: float) -> Reservation:
        """As many as are claimed at once."""
        gap = 60.0 / per_minute
        return cls(gap, max(1, int(Bucket.AHEAD / gap)))


class ListCap:
    """How many items a service takes in one request, where that shows only by trying.

    A list that fails while both its halves go through was too long, or the fault has passed;
    the second time without a list of that size going through it was too long.
    """

    def __init__(self) -> None:
        self.cap = math.inf
        self._against: dict[int, int] = {}

    def went_through(self, size: int) -> None:
        if self._against:
            self._against = {n: count for n, count in self._against.items() if n > size}

    def too_long(self, size: int) -> None:
        """A list of ``size`` failed and both its halves went through."""
        self._against[size] = self._against.get(size, 0) + 1
        if sum(self._against.values()) >= 2:
            self.cap = min(self.cap, float(max(1, (min(self._against) + 1) // 2)))


class ServiceState:
    """What a process knows of one service; every query that goes there shares and adds to it.

    Guard it with ``lock``.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.concurrency = ConcurrencyLimit()
        self.cost = LatencyModel()
        self.rate = RateLimiter()
        self.bucket = Bucket()
        self.lists = ListCap()
        #: No request before this time: the service asked for a pause.
        self.pause_until = -math.inf
        #: The same while a model is being loaded.
        self.loading_until = -math.inf
