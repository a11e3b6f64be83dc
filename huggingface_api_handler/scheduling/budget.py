"""What a query may spend."""

from __future__ import annotations

import math

from .batches import Batch
from .results import BatchResult


class RequestBudget:
    """``max_requests``: checked before a request is sent, and updated when it has returned.

    Args:
        max_requests: requests that may be sent, retries included; ``None``: no such limit.
    """

    def __init__(self, max_requests: int | None) -> None:
        self.limit = max_requests
        self.left: float = math.inf if max_requests is None else max_requests

    @property
    def is_spent(self) -> bool:
        """Whether no request may be sent any more."""
        return self.left <= 0

    def reserve(self, batch: Batch) -> None:
        """Reserve what the request of ``batch`` costs; it is about to be sent."""
        self.left -= 1

    def settle(self, batch: Batch, sent: BatchResult | None, more: int = 0) -> None:
        """Replace what was reserved for ``batch`` by what it cost; ``sent`` is ``None`` if it failed.

        A request counts whatever comes of it, so there is nothing to give back.

        Args:
            more: requests that were made beside the one that was reserved.
        """
        self.left -= more
