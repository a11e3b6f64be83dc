"""The progress of a run, for users."""

from __future__ import annotations

from dataclasses import dataclass

from ..cache import Run
from ..cache.runs import RUNNING
from ..scheduling.progress import left


@dataclass(frozen=True, slots=True)
class RunView:
    """The progress of a run.

    Attributes:
        seconds: since it started, until now or its end.
        rate: recent inputs a second; for a run that has ended, of the whole run.
        left: seconds it still takes at that rate; ``None``: not known, or it has ended.
    """

    run: Run
    seconds: float
    rate: float
    left: float | None


def view_of(run: Run, now: float) -> RunView:
    """Return the progress of ``run``.

    Args:
        now: seconds since 1970.
    """
    is_running = run.state == RUNNING
    whole = run.done / max(run.updated - run.started, 1e-3)
    rate = run.rate if is_running and run.rate else whole
    rest = left(run.rows, run.done, rate) if is_running else None
    if rest is not None:  # progress is recorded about once a second
        rest = max(rest - (now - run.updated), 0.0)
    return RunView(run, (now if is_running else run.updated) - run.started, rate, rest)
