"""``stop``: stops running queries."""

from __future__ import annotations

import argparse

from ..cache.runs import RUNNING
from ..errors import one_line
from .store import StoreError, add_selection, check_one, model_name, open_cache, selection
from .tables import complain

HELP = "stop running queries; their answers are kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run and the selection."""
    parser.description = (
        "Tell running queries to stop. They end within a few seconds, keep their answers, and resume when they are run "
        "again. Queries that start later are not affected."
    )
    parser.add_argument("which", metavar="RUN", nargs="?", help="a run, as `watch` shows it")
    parser.add_argument("--all", action="store_true", help="all running queries")
    add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Stop what is selected; return 1 if that is not possible, 2 for arguments that do not go together."""
    from ..query.store import stops_requested

    by_engine = arguments.engine and not arguments.model
    fault = check_one(
        {"RUN": arguments.which, "--model NAME": arguments.model, "--engine NAME": by_engine, "--all": arguments.all}
    )
    if fault is not None:
        complain(fault)
        return 2
    try:
        store = open_cache()
        chosen = selection(arguments, store)
        runs = [run for run in store.runs() if run.state == RUNNING and chosen.includes(run.scope, run.model)]
        if arguments.which:
            runs = [run for run in runs if run.run.startswith(arguments.which.lower())]
            if len({run.run for run in runs}) != 1:
                known = "several running queries begin with" if runs else "no running query begins with"
                raise StoreError(f"{known} {arguments.which}: `watch --once` lists them")
        if not store.request_stop([run.run for run in runs]):
            raise StoreError("the request to stop could not be stored: check that you may write to MindsDB's cache")
    except StoreError as error:
        complain(f"not stopped: {error}")
        return 1
    for one in runs:
        name = model_name(chosen.owners.get(one.scope), one.model)
        print(f"{one.run[:8]}  {one_line(name)}: {one.done:,} of {one.rows:,} rows done")
    print(stops_requested(len(runs)))
    return 0
