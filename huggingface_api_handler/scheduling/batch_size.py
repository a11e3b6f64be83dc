"""How many rows the next request should hold."""

from __future__ import annotations

import math

from .latency_model import LatencyModel
from .results import Limits


class BatchSizeCap:
    """How many rows a service takes in one request, if only trying shows it.

    A batch that fails while both its parts go through was too long, or the fault was a passing one. The second
    time, with no batch of that size going through in between, it was too long. If the service did not refuse
    but failed, that is uncertain: after a while a batch of twice the size is tried again.
    """

    #: Rows after which a longer batch is tried, doubled each time.
    RECHECK = 64

    def __init__(self) -> None:
        self.cap = math.inf
        #: Whether any batch of more than one row has gone through.
        self.any_passed = False
        self._too_long: dict[int, int] = {}
        self._is_certain = True
        self._recheck = self.RECHECK
        self._rows = 0

    def passed(self, size: int) -> None:
        """Note that a batch of ``size`` rows succeeded."""
        if size > 1:
            self.any_passed = True
            if self._too_long:
                self._too_long = {n: count for n, count in self._too_long.items() if n > size}
        if self._is_certain:
            return
        self._rows += size
        if 1 < size == self.cap or self._rows >= self._recheck:
            self._recheck *= 1 if size > 1 else 2
            self._rows = 0
            self.cap *= 2

    def too_long(self, size: int, *, certain: bool = True) -> None:
        """Note that a batch of ``size`` rows failed, and both its parts succeeded.

        Args:
            certain: whether the service refused it, instead of failing.
        """
        self._too_long[size] = self._too_long.get(size, 0) + 1
        if sum(self._too_long.values()) >= 2:
            self.cap = min(self.cap, float(max(1, (min(self._too_long) + 1) // 2)))
            self._is_certain, self._rows = certain, 0
            self._too_long.clear()


class BatchSizer:
    """Guided self-scheduling: a request takes its worker's share of the rows that are left.

    So batches are long at first, and short at the end, where all workers should finish together (Polychronopoulos
    and Kuck 1987). A batch is never so short that its fixed cost outweighs its rows. While nothing is known about
    the service, the sizes 1, 2, 4, … show what a request costs and what a row, and whether the service takes lists.
    """

    #: Share of the timeout that a request should take at most.
    TIMEOUT_SHARE = 0.25
    #: Requests a second up to which it is requests that are scarce, not workers.
    SLOW = 10.0
    #: How many times longer than the fixed part the rows of a batch may take while workers are opened.
    OPENING = 4.0

    def __init__(self, limits: Limits, latency: LatencyModel, cap: BatchSizeCap) -> None:
        self._limits = limits
        self._latency = latency
        self._cap = cap
        self._next_trial = 1

    def size(self, rows: int, workers: int, rate: float, requests: float, *, opening: bool = False) -> int:
        """Return the size of the next batch.

        Args:
            rows: rows that were never sent.
            workers: requests that may be under way at once.
            rate: requests that may be sent a second.
            requests: requests that may still be sent.
            opening: whether each request that returns opens another worker, so that it should return soon.
        """
        most = int(min(self._limits.max_batch_size, self._cap.cap))
        if most <= 1:
            return 1
        least = math.ceil(rows / max(1.0, requests))
        share = (self._known if self._latency.known else self._trial)(rows, workers, rate, most)
        if opening and rate == math.inf and self._latency.known:
            share = min(share, self.OPENING * self._overhead)
        return max(1, min(math.ceil(share), most), min(least, most))

    def _known(self, rows: int, workers: int, rate: float, most: int) -> float:
        latency = self._latency
        allowed = self.TIMEOUT_SHARE * self._limits.timeout / latency.latency_ratio
        while most > 1 and latency.seconds(most) > allowed:
            most //= 2
        if rate < math.inf:
            # No more workers than that are busy at this rate (Little's law).
            workers = min(workers, max(1, math.ceil(rate * latency.seconds(most))))
        # What is beyond the service's own workers waits in its queue.
        share = rows * latency.latency_ratio / workers
        if share > most:
            # A worker's share takes several batches: equal ones, so that no short one is left at the end.
            share /= round(share / most)
        return min(max(share, self._overhead), most)

    @property
    def _overhead(self) -> float:
        """Rows that take as long as the fixed part of a request."""
        latency = self._latency
        return latency.fixed / latency.per_row if latency.per_row > 0.0 else math.inf

    def _trial(self, rows: int, workers: int, rate: float, most: int) -> float:
        size = self._next_trial if rate > self.SLOW else most
        self._next_trial *= 2
        allowed = self.TIMEOUT_SHARE * self._limits.timeout / max(self._latency.per_row_at_most, 1e-9)
        return min(size, rows / min(workers, max(rate, 1.0)), allowed)
