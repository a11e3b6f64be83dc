"""Reads the command line and runs a command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import NoReturn, Protocol

from ..errors import one_line
from . import cache, consumer, doctor, install, stop, uninstall, watch


class Command(Protocol):
    """What the module of a command contains.

    Attributes:
        HELP: one line, shown by ``--help``.
    """

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments and its description."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command; return the exit code: 0 if it succeeded, 1 if it failed, 2 for invalid arguments."""


COMMANDS: Mapping[str, Command] = {
    "install": install,
    "uninstall": uninstall,
    "doctor": doctor,
    "consumer": consumer,
    "stop": stop,
    "watch": watch,
    "cache": cache,
}


class _Parser(argparse.ArgumentParser):
    """A parser whose messages quote invalid arguments without their control characters."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message, 2000))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    whole = _Parser(
        prog="python -m huggingface_api_handler", description="Commands for a machine on which MindsDB runs."
    )
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    return whole


def main(arguments: list[str]) -> int:
    """Run a command; return the exit code.

    Raises:
        SystemExit: 2 for an invalid command line, 0 for ``--help``.
    """
    given = parser().parse_args(arguments)
    try:
        code: int = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has enough; Python would fail again when it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
