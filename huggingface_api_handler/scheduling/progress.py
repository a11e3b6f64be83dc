"""How fast a run is now, for those who wait for it."""

from __future__ import annotations

from collections import deque

#: Samples kept of the time that counts; more would change nothing that can be seen.
SAMPLES = 32


class Progress:
    """The pace of a run, over the latter half of the time it has taken.

    A run begins slowly, one request at a time, and a service has better and worse minutes: what
    it did at its beginning says little of what is left. Not safe for several threads by itself.

    Args:
        now: when the run begins, in seconds of a clock that only grows.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])
        self._last = (now, 0)

    def note(self, now: float, done: int) -> None:
        """Note that ``done`` inputs are done."""
        self._last = (now, done)
        taken = now - self._began
        if now - self._samples[-1][0] >= taken / SAMPLES:
            self._samples.append(self._last)
        while len(self._samples) > 1 and self._samples[1][0] <= self._began + taken / 2.0:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Inputs a second; 0 where nothing is known yet."""
        (then, before), (now, done) = self._samples[0], self._last
        return (done - before) / (now - then) if now > then else 0.0


def left(total: int, done: int, rate: float) -> float | None:
    """Return the seconds that a run still takes at this pace; ``None`` where there is none."""
    return max(0, total - done) / rate if rate > 0 else None


def duration(seconds: float) -> str:
    """Return a duration for people: ``40 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
