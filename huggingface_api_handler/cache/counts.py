"""The counts that wait to be written."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import TypeAlias

#: (scope, name) → what is to be added to the counter.
Counts: TypeAlias = dict[tuple[str, str], float]


class PendingCounts:
    """Counts on their way into a cache.

    If a write can fail after it was carried out, they are taken as reports, whose IDs tell which were written.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], float] = {}
        self._unsure: dict[str, Counts] = {}
        self._written: list[str] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unsure)

    def add(self, scope: str, counts: Mapping[str, float]) -> None:
        """Add ``counts`` to those that wait."""
        self.give_back({(scope, name): value for name, value in counts.items() if value})

    def take(self) -> dict[tuple[str, str], float]:
        """Remove and return all, in order to write them."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
            return taken

    def give_back(self, taken: Mapping[tuple[str, str], float]) -> None:
        """Add what could not be written again."""
        with self._lock:
            for key, value in taken.items():
                self._waiting[key] = self._waiting.get(key, 0.0) + value

    def take_reports(self) -> dict[str, Counts]:
        """Remove and return all, by the ID of the report; reports that may have been written have the same ID again.

        A report has the counts of one scope.
        """
        with self._lock:
            reports, self._unsure = self._unsure, {}
            waiting, self._waiting = self._waiting, {}
        ids: dict[str, str] = {}
        for (scope, name), value in waiting.items():
            report = ids.setdefault(scope, uuid.uuid4().hex)
            reports.setdefault(report, {})[scope, name] = value
        return reports

    def give_back_reports(self, reports: Mapping[str, Counts]) -> None:
        """Add reports again of which it is unknown whether they were written."""
        with self._lock:
            self._unsure.update({report: counts for report, counts in reports.items() if counts})

    def written(self, report: str) -> None:
        """Note that a report was written."""
        with self._lock:
            self._written.append(report)

    def take_written(self) -> list[str]:
        """Return the IDs of the reports that were written since the last call."""
        with self._lock:
            written, self._written = self._written, []
            return written

    def of(self, scope: str) -> dict[str, float]:
        """Return the counts of ``scope`` that wait."""
        found: dict[str, float] = {}
        with self._lock:
            for counts in (self._waiting, *self._unsure.values()):
                for (owner, name), value in counts.items():
                    if owner == scope:
                        found[name] = found.get(name, 0.0) + value
        return found
