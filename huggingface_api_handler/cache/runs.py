"""The progress of runs, as all workers see it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from typing import NamedTuple

#: Seconds between two records of a run's progress.
UPDATE_EVERY = 1.0
#: Runs of one scope that are remembered, and for how many seconds.
RUNS_KEPT = 100
RUNS_KEPT_FOR = 30 * 86400.0
#: Seconds without an update after which a run on another host is lost.
SILENT_FOR = 3600.0

RUNNING = "running"
#: State of a run whose process has ended without recording it.
LOST = "lost"


@dataclass(frozen=True, slots=True)
class Run:
    """The progress of one prediction.

    Attributes:
        run: its id.
        scope: whose it is, as in the counters.
        rows: inputs to send; ``done`` of them have an answer or an error, ``errors`` an error.
        started, updated: seconds since 1970.
        state: ``running``, ``lost``, or what it ended in.
        pid, host: the process that does, or did, it.
        rate: recent inputs a second, as the process last recorded it; 0: it has not.
        cost: USD; ``None``: not known.
        audited, agreed: rows that an audit compared, and those of them whose answers agree; known once it has ended.
    """

    run: str
    scope: str
    model: str
    task: str
    rows: int
    done: int = 0
    errors: int = 0
    started: float = 0.0
    updated: float = 0.0
    state: str = RUNNING
    pid: int = 0
    host: str = ""
    rate: float = 0.0
    cost: float | None = None
    audited: int = 0
    agreed: int = 0

    @property
    def sent_nothing(self) -> bool:
        """Whether the run has ended without a request: it waited for another one's answers, or was not allowed any."""
        return self.state in ("done", "stopped", "waited") and not self.done


class RunState(NamedTuple):
    """What changes in a run while it runs and when it ends; see ``Run``.

    Attributes:
        audit: rows that an audit compared, and those of them whose answers agree; ``None``: not known yet, or none.
    """

    done: int
    errors: int
    state: str = RUNNING
    rate: float = 0.0
    cost: float | None = None
    audit: tuple[int, int] | None = None


def this_process() -> tuple[int, str]:
    """Process id and host that a run or a claim is recorded under."""
    return os.getpid(), socket.gethostname()


def has_ended(pid: int, host: str) -> bool:
    """Return whether a process is known to have ended; ``False`` for one on another host."""
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError, TypeError):  # the last two: no process has such a number
            return True
        except OSError:
            pass
    return False


def with_state(run: Run, now: float) -> Run:
    """Return ``run``, or a lost one if its process has ended without recording it."""
    if run.state != RUNNING or not run.pid:
        return run
    # Nothing is known of a process on another host but when it last wrote.
    silent = run.host != socket.gethostname() and now - run.updated > SILENT_FOR
    return replace(run, state=LOST) if silent or has_ended(run.pid, run.host) else run
