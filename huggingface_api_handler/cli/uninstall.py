"""``uninstall``: removes the link and restores the bundled handler."""

from __future__ import annotations

import argparse

from . import link

HELP = "remove the link and restore the bundled handler"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Remove the link and print what was done; return the exit code."""
    return link.report(link.uninstall)
