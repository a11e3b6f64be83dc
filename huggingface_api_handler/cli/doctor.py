"""``doctor``: checks the installation and suggests fixes."""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .finding import Finding
from .link import FOLDER, InstallError, handlers_folder, is_installed

HELP = "check the installation and suggest fixes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 1 if there is a problem."""
    from ..errors import redact

    logging.disable(logging.WARNING)  # the findings contain what went wrong
    findings = doctor()
    for finding in findings:
        print(redact(str(finding), os.environ.get("HF_TOKEN")))
    return 1 if any(finding.level == "problem" for finding in findings) else 0


def doctor() -> list[Finding]:
    """Return the findings of all checks."""
    findings: list[Finding] = []
    for check in (
        _check_versions, _check_link, _check_community_handlers, _check_worker, _check_service, _check_secret_key,
        _check_queue,
    ):  # fmt: skip
        try:
            findings += check()
        except Exception as error:  # a check that fails is a finding, and the others still run
            subject = check.__name__.removeprefix("_check_")
            findings.append(Finding("problem", subject, f"{type(error).__name__}: {error}"))
    return findings


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_versions() -> Iterator[Finding]:
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding(
        "ok" if supported else "problem", "Python", version, "" if supported else "MindsDB runs on Python 3.10 to 3.13"
    )
    for distribution in ("mindsdb", "hugging-py-face", "huggingface_hub", "requests", "pandas"):
        found = _version(distribution)
        yield Finding(
            "ok" if found else "problem",
            distribution,
            found or "not installed",
            "" if found else f"pip install {distribution}",
        )


def _check_link() -> Iterator[Finding]:
    try:
        handlers = handlers_folder()
    except InstallError as error:
        yield Finding("problem", "link", str(error))
        return
    if is_installed(handlers):
        yield Finding("ok", "link", "MindsDB finds this package")
    else:
        yield Finding(
            "problem",
            "link",
            "MindsDB finds another handler of this name, or none",
            "python -m huggingface_api_handler install",
        )
    if not (handlers / FOLDER / "icon.svg").exists():
        yield Finding("warning", "icon", "missing in MindsDB's user interface", "install the package again")


def _check_community_handlers() -> Iterator[Finding]:
    if _version("mindsdb") is not None:
        from ..host import settings

        yield from _find_community_handlers(settings.community_handlers_folder())


def _find_community_handlers(folder: Path) -> Iterator[Finding]:
    """Find copies of the handler among MindsDB's community handlers: MindsDB would load one of them instead."""
    is_on = os.environ.get("MINDSDB_COMMUNITY_HANDLERS", "").lower() in ("1", "true", "yes", "enabled")
    for init in sorted(folder.glob("*/__init__.py")):
        if init.parent.name.startswith(("__", ".")) or not _NAME.search(init.read_text("utf-8", "replace")):
            continue
        yield Finding(
            "problem" if is_on else "warning",
            "community handlers",
            f"{init.parent} is a handler of the same name"
            + (
                ", and MindsDB loads it instead of this package"
                if is_on
                else ", which MindsDB loads instead of this package if community handlers are on"
            ),
            "remove that folder, or unset MINDSDB_COMMUNITY_HANDLERS; then restart MindsDB",
        )


#: The name of a handler in its ``__init__.py``, which MindsDB reads as text.
_NAME = re.compile(r"^name\s*=\s*['\"]huggingface_api['\"]", re.MULTILINE)

_WORKER_IMPORT = (
    "import importlib; m = importlib.import_module('mindsdb.integrations.handlers.huggingface_api_handler');"
    "e = m.import_error; print('fine' if e is None and m.Handler.name == 'huggingface_api' else repr(e))"
)


def _check_worker() -> Iterator[Finding]:
    """Import the handler in a new process, as a worker process of MindsDB does."""
    try:
        run = subprocess.run(
            [sys.executable, "-c", _WORKER_IMPORT],
            cwd=handlers_folder().parents[2],  # Python imports from the working folder first
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding("problem", "worker import", "did not end within 180 s", "check the machine's load and disk")
        return
    last = (run.stdout.strip().splitlines() or [""])[-1]
    if run.returncode == 0 and last == "fine":
        yield Finding("ok", "worker import", "the handler can be imported")
    else:
        reason = last or (run.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield Finding("problem", "worker import", reason[:300], "install what is missing into MindsDB's own Python")


def _check_service() -> Iterator[Finding]:
    from ..arguments import engine_settings
    from ..arguments.settings import secret_text
    from ..errors import HuggingFaceError
    from ..hub import facts

    try:
        engine = engine_settings({})
    except HuggingFaceError as error:
        yield Finding("problem", "settings", str(error))
        return
    token = secret_text(engine.token)
    if token is None:
        yield Finding(
            "warning",
            "token",
            "none in the environment or the Hub's login file",
            "write it in SQL: CREATE ML_ENGINE … USING api_key = 'hf_…', or set HF_TOKEN",
        )
    else:
        yield Finding("ok", "token", f"found ({engine.token_source})")
    try:
        who = facts.whoami(token) if token else facts.reachable()
    except HuggingFaceError as error:
        yield Finding("problem", "service", str(error))
        return
    if who is None or who is False:
        yield Finding(
            "warning",
            "service",
            "the Hugging Face Hub cannot be reached",
            "check proxy and firewall; inside a closed network set HF_ENDPOINT and HUGGINGFACE_API_BASE_URL",
        )
    else:
        yield Finding("ok", "service", "the Hugging Face Hub responds")


def _check_secret_key() -> Iterator[Finding]:
    if _version("mindsdb") is None:
        return
    from ..host import settings

    if settings.secret_key() == settings.DUMMY_SECRET_KEY:
        yield Finding(
            "warning",
            "secret_key",
            "MindsDB encrypts stored tokens with its public default key",
            'set "secret_key": "<a long random text>" in MindsDB\'s config file, then create the engines again',
        )
    else:
        yield Finding("ok", "secret_key", "set")


def _check_queue() -> Iterator[Finding]:
    if _version("mindsdb") is not None:
        from . import doctor_queue

        yield from doctor_queue.check_queue()
