"""``watch``: shows running and recent queries."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..cache import Cache
from ..cache.runs import RUNNING
from ..errors import one_line
from ..scheduling.progress import duration
from .store import StoreError, add_selection, model_name, open_cache, selection
from .tables import complain, json_lines, plain

if TYPE_CHECKING:
    from rich.table import Table

    from ..query.run_view import RunView

HELP = "show running and recent queries, live"

#: Seconds between two looks.
EVERY = 1.0
#: Ended runs in a table, and the seconds after their end for which runs are shown.
RECENT, RECENT_FOR = 20, 3600.0
COLUMNS = ("run", "engine", "model", "state", "rows", "done", "errors", "rows/s", "time", "left", "cost")
#: Columns that a terminal of fewer characters has no room for.
WIDE, LEFT_OUT = 110, frozenset({"engine", "rows/s", "time"})
#: Columns of text; the others are numbers.
_TEXTS = frozenset(COLUMNS[:4])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the selection, ``--once`` and ``--json``."""
    parser.description = (
        "Show running queries and those of the last hour: rows, progress, recent rate, time left, errors and cost in "
        "USD. On a terminal, the table is renewed every second until Ctrl-C."
    )
    add_selection(parser)
    parser.add_argument("--once", action="store_true", help="print the table once, as in a pipe")
    parser.add_argument("--json", action="store_true", help="print once, one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Show the runs; return 1 if there is no cache that records them."""
    try:
        store = open_cache()

        def look() -> list[dict[str, Any]]:
            return rows_of(store, arguments, time.time())

        if arguments.json:
            print(json_lines(look()))
        elif arguments.once or not sys.stdout.isatty():
            rows = look()
            print(plain(COLUMNS, map(cells, recent(rows))))
            if note := note_on(rows):
                print(note)
        else:
            _live(look)
    except StoreError as error:
        complain(f"nothing to watch: {error}")
        return 1
    return 0


def rows_of(store: Cache, arguments: argparse.Namespace, now: float) -> list[dict[str, Any]]:
    """Return the selected runs that are running or ended in the last hour, running ones first, newest first."""
    from ..query.run_view import view_of

    chosen = selection(arguments, store)
    runs = [run for run in store.runs() if chosen.includes(run.scope, run.model)]
    running = [run for run in runs if run.state == RUNNING]
    ended = [run for run in runs if run.state != RUNNING and now - run.updated <= RECENT_FOR]
    rows = []
    for view in (view_of(run, now) for run in [*running, *ended]):
        owner = chosen.owners.get(view.run.scope)
        rows.append(_row(view, "?" if owner is None else owner.engine, model_name(owner, view.run.model)))
    return rows


def recent(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table: all running runs, and the last that ended."""
    running = [row for row in rows if row["state"] == RUNNING]
    return [*running, *rows[len(running) :][:RECENT]]


def note_on(rows: Sequence[dict[str, Any]]) -> str:
    """Return what to write below the table of ``recent(rows)``; empty: nothing."""
    hidden = len(rows) - len(recent(rows))
    if hidden:
        return f"{hidden:,} more ended in the last hour: --json lists all."
    return "" if rows else "No query is running or ended in the last hour."


def _row(view: RunView, engine: str, model: str) -> dict[str, Any]:
    run = view.run
    return {
        "run": run.run,
        "engine": engine,
        "model": model,
        "task": run.task,
        "state": run.state,
        "rows": run.rows,
        "done": run.done,
        "errors": run.errors,
        "rows_per_second": round(view.rate, 3),
        "seconds": round(view.seconds, 1),
        "seconds_left": None if view.left is None else round(view.left, 1),
        "cost": run.cost,
        "started": round(run.started, 3),
        "host": run.host,
        "pid": run.pid,
    }


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    left, cost = row["seconds_left"], row["cost"]
    share = f" ({100 * row['done'] // row['rows']}%)" if row["rows"] else ""
    return [
        row["run"][:8], row["engine"], row["model"], row["state"], f"{row['rows']:,}", f"{row['done']:,}{share}",
        f"{row['errors']:,}", _rate(row["rows_per_second"]), duration(row["seconds"]),
        duration(left) if left is not None else "?" if row["state"] == RUNNING else "-",
        "?" if cost is None else f"${cost:.4f}",
    ]  # fmt: skip


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def table(rows: Sequence[dict[str, Any]], now: float, width: int = WIDE) -> Table:
    """Return the runs as a table for a terminal of ``width`` characters."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=f"Queries at {time.strftime('%H:%M:%S', time.localtime(now))}")
    shown = [position for position, name in enumerate(COLUMNS) if width >= WIDE or name not in LEFT_OUT]
    for name in (COLUMNS[position] for position in shown):
        made.add_column(name, justify="left" if name in _TEXTS else "right", no_wrap=name != "model")
    for row in recent(rows):
        style = {RUNNING: "bold", "done": "dim"}.get(row["state"], "yellow")
        found = cells(row)
        made.add_row(*(Text(one_line(found[position])) for position in shown), style=style)
    made.caption = note_on(rows) or None
    return made


def _live(look: Callable[[], list[dict[str, Any]]]) -> None:
    """Renew the table until Ctrl-C or SIGTERM; the cursor is shown again at the end."""
    from rich.console import Console
    from rich.live import Live

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    console = Console()
    try:
        with Live(table(look(), time.time(), console.width), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(EVERY)
                live.update(table(look(), time.time(), console.width), refresh=True)
    except KeyboardInterrupt:
        pass
    finally:
        console.show_cursor(True)  # also if the signal came while the cursor was being hidden
