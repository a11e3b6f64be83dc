"""How often requests may be sent: learned from refusals. Time is whatever clock the caller reads."""

from __future__ import annotations

import math
from collections import deque


class RateLimiter:
    """How often requests may be sent, once the service has refused some for coming too often.

    Until then there is no limit. The first refusal sets the pace to what got through in the last
    second; from there it is a search: the pace rises in steps while nothing is refused, by larger
    ones the longer it goes well, and a refusal takes the last step back and makes the next ones
    smaller and later. Where a good part is refused, the pace falls by that part at once.

    A service that asks for a pause of a second with each refusal makes searching dear. There, what
    got through before the first refusal is tried once more after the pause: refused at the same
    number, that is what the service grants in that time, and it is kept to for long.
    """

    #: Seconds between two steps, and the smallest and largest step.
    STEP, LEAST, MOST = 0.25, 1.015, 2.0
    #: Longest wait, in seconds, before a pace that was refused is tried again; and the same in
    #: pauses of the length that the service asks for with each refusal.
    PATIENCE, PAUSES = 4.0, 40.0
    #: Seconds for which refusals do not count that have proved to have nothing to do with the pace.
    DEAF = 10.0
    #: Requests by which it is judged whether they have.
    SAMPLE = 25

    def __init__(self) -> None:
        self.rate = math.inf
        self._next = -math.inf
        self._cut_at = -math.inf
        self._first = math.inf
        self._passed: deque[float] = deque()
        self._recent: deque[bool] = deque([False] * 20, maxlen=20)
        self._gain = self.MOST
        self._clean_steps = 0
        self._stepped_at = -math.inf
        self._sent = self._since_cut = 0
        self._resumed_at = -math.inf
        self._hold = 0.0
        self._patience = self.STEP
        self._credit = 1.0
        self._found = math.inf
        self._changed_at = -math.inf
        self._shut = 0
        self._burst = math.inf
        self._deaf_until = -math.inf
        self._deaf_for = self.DEAF
        self._now = -math.inf
        self._lately = [0, 0]
        self._paces: list[float] = []
        #: Most requests that got through within a second.
        self._peak = 0
        #: How often refusals were taken for chance that were none.
        self._fooled = 0
        self._clean = 0
        self._starts: deque[float] = deque()
        self._lot_due = False
        self._lot = 0
        self._tried = 0

    def deaf(self, now: float) -> bool:
        """Whether refusals at present have proved to have nothing to do with the pace."""
        return now < self._deaf_until

    def due(self, now: float) -> float:
        """When the next request may be sent."""
        return max(now, self._next)

    def sent(self, now: float) -> None:
        """A request is sent."""
        if self._lot_due:
            self._lot_due = False
            self._try_lot()
        if self.rate < math.inf:
            self._sent += 1
            self._since_cut += 1
            gap = 1.0 / self.rate
            # A lane that wakes late makes up for it, unless the service has proved to mind.
            self._next = max(self._next, now - self._credit * gap) + gap
        if self._lot:
            self._tried += 1
            if self._tried > self._lot:
                # One more than got through before, and slowly: it shows whether that was all.
                self.rate = float(self._lot)
                if self._tried > 1.2 * self._lot + 2.0:
                    self._lot, self._gain = 0, self.MOST

    def _try_lot(self) -> None:
        """Begin to send once more, quickly, what got through in the second before the refusal."""
        self._lot = max(2, sum(self._cut_at - 1.0 < started <= self._cut_at for started in self._starts))
        self._tried = 0
        self.rate = 4.0 * self._lot

    def _judge_lot(self, pause: float) -> None:
        """Refused while it was tried: it is what the service grants, or it has been a burst."""
        granted, lot, self._lot = self._tried - 1, self._lot, 0
        self.rate = max(2.0, 0.99 * granted / max(pause, 1.0))
        self._found = self.rate
        if granted >= 0.85 * lot:
            self._gain, self._patience = self.LEAST, self.PAUSES * pause
        else:
            self._gain, self._patience = math.sqrt(self.MOST), self.STEP
        self._hold = self._patience

    def succeeded(self, started: float, now: float) -> None:
        """A request sent at ``started`` got through."""
        self._first = min(self._first, started)
        self._starts.append(started)
        while self._starts and self._starts[0] < now - 3.0:
            self._starts.popleft()
        self._passed.append(now)
        self._drop(now)
        self._peak = max(self._peak, len(self._passed))
        self._now = now
        self._count(False)
        if self.rate == math.inf or self._lot or self._lot_due:
            return
        if started >= self._cut_at:
            self._shut = 0
            self._clean += 1
        since = now - self._stepped_at
        if since < max(self.STEP, self._hold, 2.0 / self.rate) or self._sent < 0.7 * self.rate * since:
            if since > 2.0 * max(self.STEP, self._hold, 2.0 / self.rate):
                self._stepped_at, self._sent = now, 0
            return
        self._hold = 0.0
        self.rate *= self._gain
        self._stepped_at, self._sent = now, 0
        self._clean_steps += 1
        if self._clean_steps >= 3:
            self._clean_steps = 0
            self._gain = min(self.MOST, self._gain**2)

    def refused(self, started: float, now: float, pause: float = 0.0) -> None:
        """A request sent at ``started`` was refused, and ``pause`` seconds asked for."""
        self._now = now
        self._count(True)
        if self.deaf(now):
            if len(self._recent) < 12 or sum(self._recent) * 2 < len(self._recent):
                return
            # No chance after all: what once got through has been a burst.
            self._deaf_until = now
            self._peak = 0
            self._fooled += 1
        if started < self._cut_at:
            return
        self._clean_steps = 0
        if not self._shut:
            self._drop(now)
            self._burst = float(len(self._passed))
        if self.rate == math.inf:
            self.rate = self._found = self._guess(now, pause)
            self._gain, self._patience = self.MOST, self.STEP
            self._lot_due = 0.5 <= pause <= 2.0
        elif self._lot:
            self._judge_lot(pause)
        elif self._clean == 0 and self._cut_at > -math.inf:
            # Nothing has got through since the last refusal: the door is shut, wait for it to open.
            self._shut += 1
            if self._shut > 1:
                # So long a wait is a window's: what went through before it is what a window holds.
                self.rate = max(2.0, min(self.rate, self._burst))
            # Most windows last a second; whoever has waited longer than that may as well wait a little more.
            wait = min(0.05 * 2.0**self._shut, 0.3) if self._shut <= 6 else min(0.3 * 2.0 ** (self._shut - 6), 5.0)
            self._next = max(self._next, now + wait)
        else:
            share = sum(self._recent) / len(self._recent)
            wall = self.rate
            known = wall * (1.0 - share if share > 0.2 else 1.0)
            # What got through in the last second is a good measure, unless part of it was spent waiting.
            through = 1.04 * len(self._passed)
            since = self._since_cut / max(1.0, now - self._resumed_at)
            self.rate = max(0.5, min(wall / self._gain, known, max(through, since, wall / 2.0)))
            self._gain = max(self.LEAST, math.sqrt(self._gain))
            if abs(self.rate - self._found) > 0.15 * self.rate:
                # Another limit than before: it may soon change back.
                self._patience, self._changed_at = self.STEP, now
            changing = now - self._changed_at < 60.0
            longest = max(self.PATIENCE, (6.0 if changing else self.PAUSES) * pause)
            self._patience = min(longest, max(2.0 * self._patience, 6.0 * pause))
            self._hold = self._patience
            self._found = self.rate
        self._clean = 0
        self._credit = max(0.05, self._credit / 2.0)
        self._cut_at = self._stepped_at = now
        self._resumed_at = now + pause
        self._sent = self._since_cut = 0

    def _guess(self, now: float, pause: float) -> float:
        """The pace to begin with: what got through is known, not how much of it was a burst."""
        self._drop(now)
        if not self._passed:
            return 2.0
        in_a_second = float(len(self._passed))
        if pause >= 0.5:
            return max(2.0, in_a_second * 0.99 / max(pause, 1.0))
        return max(2.0, in_a_second, math.sqrt(in_a_second * in_a_second / max(now - self._first, 0.01)))

    def _drop(self, now: float) -> None:
        while self._passed and self._passed[0] < now - 1.0:
            self._passed.popleft()

    def _count(self, refused: bool) -> None:
        """Notice refusals that a slower pace does not make fewer: few, but again and again."""
        self._recent.append(refused)
        self._lately[0] += 1
        self._lately[1] += refused
        if self._lately[0] < self.SAMPLE:
            return
        share, self._lately = self._lately[1] / self._lately[0], [0, 0]
        if not 0.04 <= share <= 0.35:
            self._paces.clear()
            return
        self._paces.append(self.rate)
        # Whoever has been wrong about it once looks at more of them the next time.
        paces = self._paces = self._paces[-3 * 2**self._fooled :]
        if len(paces) < 3 * 2**self._fooled:
            return
        falling = paces == sorted(paces, reverse=True) and self.rate <= 0.6 * paces[0]
        if falling or max(paces) <= 0.2 * self._peak:
            self._recent.clear()
            self.rate = math.inf
            self._paces.clear()
            self._deaf_until = self._now + self._deaf_for
            self._deaf_for = min(2.0 * self._deaf_for, 8.0 * self.DEAF)
