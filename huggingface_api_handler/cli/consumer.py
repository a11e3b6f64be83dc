"""``consumer``: runs tasks of MindsDB's task queue on Redis."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import sys

from .link import FOLDER, InstallError, handlers_folder, is_installed
from .tables import complain

HELP = "run tasks of MindsDB's task queue until told to stop"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--tasks``."""
    parser.description = (
        "Run tasks of MindsDB's task queue until told to stop. Settings are MindsDB's own: MINDSDB_CONFIG_PATH, "
        "MINDSDB_ML_QUEUE_TYPE=redis, MINDSDB_ML_QUEUE_HOST and so on."
    )
    parser.add_argument(
        "--tasks", type=_at_least_one, default=4, help="maximum number of tasks at once, each in its own process (4)"
    )


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Run tasks until SIGTERM or SIGINT; return the exit code."""
    # MindsDB reads the command line of the process that imports it.
    sys.argv = sys.argv[:1]
    try:
        if not is_installed(handlers_folder()):
            raise InstallError("MindsDB finds another handler of this name: python -m huggingface_api_handler install")
        # By the name under which MindsDB knows it, so that each module exists once.
        consumer = importlib.import_module(f"mindsdb.integrations.handlers.{FOLDER}.host.consumer")
        settings = importlib.import_module(f"mindsdb.integrations.handlers.{FOLDER}.host.settings")
        if settings.queue_settings().get("type") != "redis":
            raise InstallError("MindsDB has no task queue: set MINDSDB_ML_QUEUE_TYPE=redis and MINDSDB_ML_QUEUE_HOST")
    except InstallError as error:
        complain(f"not started: {error}")
        _note_refusal(str(error))
        return 1
    code: int = consumer.consume(arguments.tasks)
    return code


def _note_refusal(reason: str) -> None:
    """Tell queries on other machines that wait for a consumer why this one does not start."""
    if importlib.util.find_spec("mindsdb") is None:
        return
    from ..host import queue_notes
    from ..host.settings import queue_settings

    settings = queue_settings()
    if settings.get("type") != "redis":
        return
    try:
        with contextlib.closing(queue_notes.connect(settings)) as client:
            queue_notes.note_refusal(client, reason)
    except Exception as error:  # the note is optional
        complain(f"this could not be noted in the queue's Redis: {type(error).__name__}")
