"""Budgets that all workers share: what a holder reports of one, what it asks for, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: Seconds after which what a holder holds of a budget is free again, unless it has renewed it.
HELD_FOR = 45.0
#: Seconds that a clock may be set back before what is held according to the old time is free.
HELD_AHEAD = 15.0
#: Seconds that the spending of a budget is remembered after its last change.
BUDGETS_KEPT_FOR = 3 * 86400.0


@dataclass(frozen=True, slots=True)
class Draw:
    """What a holder reports of a budget, and what it asks for. All amounts are in the budget's own unit.

    Attributes:
        budget: its name; budgets of different days have different names.
        cap: the whole budget.
        spent: by the holder, since it began; a report that arrives twice counts once.
        keep: held before, and to be held further.
        least, most: to be held in addition: as much of ``most`` as is free, nothing if that is less than ``least``.
        pending: counts as spent if the holder draws no more.
        closes: the holder, which has drawn before, has ended and draws no more.
    """

    budget: str
    cap: float
    spent: float = 0.0
    keep: float = 0.0
    least: float = 0.0
    most: float = 0.0
    pending: float = 0.0
    closes: bool = False

    def granted(self, free: float) -> float:
        """Return what the holder holds of a budget of which ``free`` is neither spent nor held by others."""
        if self.keep + self.least > free:
            return max(0.0, min(self.keep, free))
        return min(self.keep + self.most, free)


class Grant(NamedTuple):
    """The state of a budget after a draw.

    Attributes:
        amount: what the holder now holds beyond what it has spent.
        spent: what all holders have spent.
        others: what other holders hold.
    """

    amount: float
    spent: float
    others: float
