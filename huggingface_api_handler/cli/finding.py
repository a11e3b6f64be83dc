"""What the doctor reports."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import one_line


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        level: ``ok``, ``warning`` or ``problem``.
        subject: what was checked.
        found: what was found.
        advice: what to do; empty if nothing.
    """

    level: str
    subject: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[self.level]
        advice = f"\n         → {one_line(self.advice, 2000)}" if self.advice else ""
        return f"{mark}  {self.subject}: {one_line(self.found, 2000)}{advice}"
