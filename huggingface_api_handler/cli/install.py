"""``install``: links this package into MindsDB."""

from __future__ import annotations

import argparse

from . import link

HELP = "link this package into MindsDB, in place of the bundled handler"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Create the link and print what was done; return the exit code."""
    return link.report(link.install)
