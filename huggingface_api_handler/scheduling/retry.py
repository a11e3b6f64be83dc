"""Whether a failed request is sent again, and after how long."""

from __future__ import annotations

import math
import random as _random
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import HuggingFaceError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A failed request is sent again up to ``max_retries`` times, or twice as often while other requests succeed.

    A batch that may hold one bad row is split instead, and its parts count their retries afresh. The policy keeps
    no state and reads no clock.

    Attributes:
        max_retries: how often a failed request is sent again.
        base: seconds; upper end of the first wait, doubled for each further one.
        cap: seconds; upper end of all waits that the service does not ask for.
        longest_pause: seconds; upper end of waits that the service asks for.
    """

    max_retries: int = 5
    base: float = 0.5
    cap: float = 20.0
    longest_pause: float = 60.0

    def delay(
        self,
        error: HuggingFaceError,
        tries: int,
        random: Callable[[], float] = _random.random,
        *,
        others_succeed: bool = False,
    ) -> float | None:
        """Return the seconds to wait before the next try; ``None``: there is none.

        Args:
            error: how the last try failed.
            tries: how many have failed, at least 1.
            random: draws from [0, 1). The wait is drawn from the whole range up to its bound
                ("full jitter"), so that requests that failed together do not come back together.
            others_succeed: whether other requests have succeeded since the first of these tries.
        """
        limit = 2 * self.max_retries if others_succeed else self.max_retries
        if error.retry_limit is not None:
            limit = min(limit, error.retry_limit)
        if not error.retryable or error.fatal or tries > limit:
            return None
        if error.retry_after is not None:
            return self.pause(error.retry_after)
        return min(self.cap, self.base * 2.0 ** min(tries - 1, 32)) * random()

    def pause(self, seconds: float) -> float:
        """Return how long to pause if the service wants ``seconds``; nonsense counts as no pause."""
        return 0.0 if math.isnan(seconds) else min(max(seconds, 0.0), self.longest_pause)
