"""Where counts wait while they cannot be written."""

from __future__ import annotations

import threading
from collections.abc import Mapping


class PendingCounts:
    """Counts on their way into a cache: (scope, name) → what is to be added to the counter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, scope: str, counts: Mapping[str, float]) -> None:
        """Let ``counts`` wait, beside those that do already."""
        self.give_back({(scope, name): value for name, value in counts.items() if value})

    def take(self) -> dict[tuple[str, str], float]:
        """Take all out, in order to write them."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
            return taken

    def give_back(self, taken: Mapping[tuple[str, str], float]) -> None:
        """Let what could not be written wait again."""
        with self._lock:
            for key, value in taken.items():
                self._waiting[key] = self._waiting.get(key, 0.0) + value

    def of(self, scope: str) -> dict[str, float]:
        """The counts of ``scope`` that wait."""
        with self._lock:
            return {name: value for (owner, name), value in self._waiting.items() if owner == scope}
