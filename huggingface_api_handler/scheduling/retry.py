"""Whether, and after how long, a failed request is worth making again."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import HuggingFaceError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. It keeps no state and reads no clock.

    Attributes:
        max_retries: tries beyond the first.
        base: seconds; upper end of the first wait, doubled for each further one.
        cap: seconds; no wait of our own choosing is longer.
        longest_pause: seconds; a service may ask for more, it does not get it.
    """

    max_retries: int = 5
    base: float = 0.5
    cap: float = 20.0
    longest_pause: float = 60.0

    def delay(self, error: HuggingFaceError, tries: int, random: Callable[[], float] = _random.random) -> float | None:
        """Seconds to wait before the next try, ``None`` where there is to be none.

        Args:
            error: what the last try ended in.
            tries: how many have been made, at least 1.
            random: draws from [0, 1). The wait is drawn from the whole range up to its bound
                ("full jitter"), so that rows that failed together do not come back together.
        """
        if not error.retryable or error.fatal or tries > self.max_retries:
            return None
        if error.retry_after is not None:
            return self.pause(error.retry_after)
        return min(self.cap, self.base * 2.0 ** min(tries - 1, 32)) * random()

    def pause(self, asked: float) -> float:
        """What is granted of a pause of ``asked`` seconds; nonsense counts as no pause."""
        return min(max(asked, 0.0), self.longest_pause) if asked == asked else 0.0
