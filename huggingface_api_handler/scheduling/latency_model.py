"""How long requests take: so many seconds, and so many more for each row."""

from __future__ import annotations


class LatencyModel:
    """A line through the least latency seen for each batch size.

    The least latency of many is that of the idle service (the round-trip propagation time of TCP BBR). How many
    times longer requests take, recently and while few are under way, tells whether they wait in a queue.

    Attributes:
        fixed: seconds of a request, whatever it holds.
        per_row: seconds that each row adds.
        recent: seconds that requests take at present.
    """

    #: Requests under way up to which the service counts as idle.
    IDLE = 4

    def __init__(self) -> None:
        self.fixed = 0.0
        self.per_row = 0.0
        self.recent = 0.0
        #: Bit length of the batch size → (batch size, least seconds).
        self._least: dict[int, tuple[int, float]] = {}
        self._idle_ratio = 1.0
        self._recent_ratio = 1.0
        self._seen = 0

    @property
    def known(self) -> bool:
        """Whether batches of different sizes have been seen."""
        return len(self._least) > 1

    @property
    def latency_ratio(self) -> float:
        """How many times longer requests take at present than on the idle service."""
        return max(1.0, self._recent_ratio / self._idle_ratio)

    @property
    def per_row_at_most(self) -> float:
        """Seconds that a row takes at most, while the fixed part is not known; 0: nothing is known."""
        return max((seconds / rows for rows, seconds in self._least.values()), default=0.0)

    def seconds(self, rows: int) -> float:
        """Return the seconds that the idle service takes for a request of ``rows`` rows."""
        return self._idle_ratio * (self.fixed + self.per_row * rows)

    def observe(self, rows: int, seconds: float, in_flight: int) -> None:
        """Note that a request of ``rows`` rows took ``seconds``, while ``in_flight`` requests were under way."""
        self._seen += 1
        size = rows.bit_length()
        least = self._least.get(size)
        line = self.fixed + self.per_row * rows
        if least is None:
            # What it spent in a queue says nothing about the idle service.
            self._least[size] = (rows, seconds / self.latency_ratio)
            self._fit()
        elif seconds * (self.fixed + self.per_row * least[0]) < least[1] * line:
            self._least[size] = (rows, seconds)
            self._fit()
        line = self.fixed + self.per_row * rows
        ratio = min(seconds / line, 20.0) if line > 0.0 else 1.0
        weight = max(0.2, 1.0 / self._seen)
        self.recent += weight * (seconds - self.recent)
        self._recent_ratio += weight * (ratio - self._recent_ratio)
        if in_flight <= self.IDLE or self._recent_ratio < self._idle_ratio:
            self._idle_ratio += max(0.1, 1.0 / self._seen) * (ratio - self._idle_ratio)
        elif self._recent_ratio > 1.5 * self._idle_ratio:
            # A service that is never idle again is slower now: this becomes the new measure.
            self._idle_ratio *= 1.002

    def _fit(self) -> None:
        """Fit the line by least squares; neither part is negative."""
        points = list(self._least.values())
        x = sum(rows for rows, _ in points) / len(points)
        y = sum(seconds for _, seconds in points) / len(points)
        spread = sum((rows - x) ** 2 for rows, _ in points)
        joint = sum((rows - x) * (seconds - y) for rows, seconds in points)
        self.per_row = min(max(joint / spread, 0.0), y / x) if spread > 0.0 else 0.0
        self.fixed = y - self.per_row * x
