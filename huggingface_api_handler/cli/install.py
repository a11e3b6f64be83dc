"""Puts this package where MindsDB looks for ML engines, and takes it away again.

MindsDB's server and its worker processes import handlers from one folder of its own package.
So a link to this package stands there under the bundled handler's name, and the bundled folder
stands beside it under a name that begins with ``__``, which MindsDB passes over.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = "huggingface_api_handler"
ASIDE = f"__{FOLDER}_bundled"
PACKAGE = Path(__file__).resolve().parent.parent


class InstallError(Exception):
    """The folder is not as it should be; the text says what to do."""


def handlers_folder() -> Path:
    """Return MindsDB's folder of handlers, without importing MindsDB.

    Raises:
        InstallError: where MindsDB is not installed for this Python.
    """
    spec = importlib.util.find_spec("mindsdb")
    if spec is None or spec.origin is None:
        raise InstallError(f"MindsDB is not installed for {sys.executable}: pip install mindsdb, then try again")
    return Path(spec.origin).resolve().parent / "integrations" / "handlers"


def look_past_the_working_folder() -> None:
    """Take the working folder, which ``python -m`` puts first, off the path where MindsDB is installed elsewhere.

    MindsDB's image stands in a folder with MindsDB's source and starts the installed one with
    ``-I``, which does not see that folder: a link there would be in nobody's way.
    """
    if not sys.path or Path(sys.path[0]).resolve() != Path.cwd().resolve():
        return
    first = sys.path.pop(0)
    if importlib.util.find_spec("mindsdb") is None:
        sys.path.insert(0, first)


def is_installed(handlers: Path) -> bool:
    """Say whether the link stands and leads here."""
    link = handlers / FOLDER
    return link.is_symlink() and link.exists() and link.resolve() == PACKAGE


def install(handlers: Path | None = None) -> list[str]:
    """Put the link in place; return what was done, a line each. A second call does nothing.

    Raises:
        InstallError: where something unknown stands in the way.
    """
    handlers = handlers or handlers_folder()
    link, aside = handlers / FOLDER, handlers / ASIDE
    if is_installed(handlers):
        return [f"nothing to do: MindsDB already finds {FOLDER} here"]
    done: list[str] = []
    if link.is_symlink():
        link.unlink()
        done.append("removed a link to another place")
    elif link.exists():
        if aside.exists():
            raise InstallError(
                f"both {FOLDER} and {ASIDE} stand in {handlers}, as after an upgrade of MindsDB: "
                f"remove {ASIDE} and try again"
            )
        link.rename(aside)
        done.append(f"put the bundled handler aside as {ASIDE}")
    try:
        link.symlink_to(PACKAGE, target_is_directory=True)
    except OSError as error:
        if aside.exists():
            aside.rename(link)
        raise InstallError(
            f"the link could not be made ({error.strerror}): run this as the user who owns MindsDB's folder"
        ) from error
    done.append(f"linked {FOLDER} into {handlers}: restart MindsDB if it is running")
    return done


def uninstall(handlers: Path | None = None) -> list[str]:
    """Take the link away and put the bundled handler back; return what was done.

    Raises:
        InstallError: where something other than our link stands there.
    """
    handlers = handlers or handlers_folder()
    link, aside = handlers / FOLDER, handlers / ASIDE
    done: list[str] = []
    if link.is_symlink():
        link.unlink()
        done.append("removed the link")
    if aside.exists():
        if link.exists():
            raise InstallError(f"{link} is no link of ours: move it away and try again")
        aside.rename(link)
        done.append("put the bundled handler back")
    return done or ["nothing to do: not installed"]


# --- doctor ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One check: ``ok``, ``warning`` or ``problem``, what was found, and what to do about it."""

    level: str
    subject: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[self.level]
        return f"{mark}  {self.subject}: {self.found}" + (f"\n         → {self.advice}" if self.advice else "")


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
        yield Finding("warning", "icon", "missing, MindsDB's page shows none", "install the package again")


def _check_community_handlers() -> Iterator[Finding]:
    """Look for a copy of the handler among MindsDB's community handlers: it takes this package's place by its name."""
    if _version("mindsdb") is None:
        return
    from mindsdb.utilities.config import Config

    folder = Path(Config()["paths"]["root"]) / "community_handlers"
    is_on = os.environ.get("MINDSDB_COMMUNITY_HANDLERS", "").lower() in ("1", "true", "yes", "enabled")
    for init in sorted(folder.glob("*/__init__.py")):
        if init.parent.name.startswith(("__", ".")) or not _NAME.search(init.read_text("utf-8", "replace")):
            continue
        yield Finding(
            "problem" if is_on else "warning",
            "community handlers",
            f"{init.parent} is a handler of the same name"
            + (", and MindsDB takes it in this package's place" if is_on else ", for when community handlers are on"),
            "remove that folder, or unset MINDSDB_COMMUNITY_HANDLERS; then restart MindsDB",
        )


#: How a handler's ``__init__.py`` names it to MindsDB, which reads it as text.
_NAME = re.compile(r"^name\s*=\s*['\"]huggingface_api['\"]", re.MULTILINE)

_WORKER_IMPORT = (
    "import importlib; m = importlib.import_module('mindsdb.integrations.handlers.huggingface_api_handler');"
    "e = m.import_error; print('fine' if e is None and m.Handler.name == 'huggingface_api' else repr(e))"
)


def _check_worker() -> Iterator[Finding]:
    """Import the handler as a worker process of MindsDB does, in a process of its own."""
    try:
        run = subprocess.run(
            [sys.executable, "-c", _WORKER_IMPORT],
            cwd=handlers_folder().parents[2],  # "-c", too, looks into the working folder first
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield Finding("problem", "worker import", "did not end within 180 s", "look at the machine's load and disk")
        return
    last = (run.stdout.strip().splitlines() or [""])[-1]
    if run.returncode == 0 and last == "fine":
        yield Finding("ok", "worker import", "the handler can be imported")
    else:
        reason = last or (run.stderr.strip().splitlines() or ["no reason given"])[-1]
        yield Finding("problem", "worker import", reason[:300], "install what is missing into MindsDB's own Python")


def _check_service() -> Iterator[Finding]:
    from ..arguments import engine_settings
    from ..errors import HuggingFaceError
    from ..hub import facts

    try:
        engine = engine_settings({})
    except HuggingFaceError as error:
        yield Finding("problem", "settings", str(error))
        return
    token = None if engine.token is None else engine.token.get_secret_value()
    if token is None:
        yield Finding(
            "warning",
            "token",
            "none in the environment or the Hub's login file",
            "name it in SQL: CREATE ML_ENGINE … USING api_key = 'hf_…', or set HF_TOKEN",
        )
    else:
        yield Finding("ok", "token", f"found ({engine.token_source})")
    try:
        who = facts.whoami(token, timeout=10) if token else facts.reachable(timeout=10)
    except HuggingFaceError as error:
        yield Finding("problem", "service", str(error))
        return
    if who is None or who is False:
        yield Finding(
            "warning",
            "service",
            "the Hugging Face Hub cannot be reached from here",
            "check proxy and firewall; inside a closed network set HF_ENDPOINT and HUGGINGFACE_API_BASE_URL",
        )
    else:
        yield Finding("ok", "service", "the Hugging Face Hub answers")


def _check_secret_key() -> Iterator[Finding]:
    if _version("mindsdb") is None:
        return
    from ..host import patches

    if patches.has_dummy_secret_key():
        yield Finding(
            "warning",
            "secret_key",
            "MindsDB encrypts stored tokens with the key that everybody knows",
            'set "secret_key": "<a long random text>" in MindsDB\'s config file, then create the engines again',
        )
    else:
        yield Finding("ok", "secret_key", "set")


def _check_queue() -> Iterator[Finding]:
    if _version("mindsdb") is not None:
        from . import doctor_queue

        yield from doctor_queue.check_queue()


def doctor() -> list[Finding]:
    """Look at everything that must be right, and say what to do where it is not."""
    findings: list[Finding] = []
    for check in (
        _check_versions, _check_link, _check_community_handlers, _check_worker, _check_service, _check_secret_key,
        _check_queue,
    ):  # fmt: skip
        try:
            findings += check()
        except Exception as error:  # a check that breaks is a finding, not the end of the others
            subject = check.__name__.removeprefix("_check_")
            findings.append(Finding("problem", subject, f"{type(error).__name__}: {error}"))
    return findings


def main(arguments: list[str]) -> int:
    """Run ``install``, ``uninstall``, ``doctor`` or ``consumer``; return the exit code."""
    from ..errors import redact

    usage = "usage: python -m huggingface_api_handler install | uninstall | doctor | consumer [--tasks N]"
    if arguments[:1] == ["consumer"]:
        return _consume(arguments[1:])
    if len(arguments) != 1 or arguments[0] not in ("install", "uninstall", "doctor"):
        print(usage, file=sys.stderr)
        return 2
    if arguments[0] == "doctor":
        logging.disable(logging.WARNING)  # what went wrong stands in the findings
        findings = doctor()
        for finding in findings:
            print(redact(str(finding), os.environ.get("HF_TOKEN")))
        return 1 if any(finding.level == "problem" for finding in findings) else 0
    try:
        done = install() if arguments[0] == "install" else uninstall()
    except InstallError as error:
        print(f"not done: {error}", file=sys.stderr)
        return 1
    print("\n".join(done))
    return 0


def _consume(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m huggingface_api_handler consumer",
        description="Work on tasks of MindsDB's queue until told to stop. Settings are MindsDB's own: "
        "MINDSDB_CONFIG_PATH, MINDSDB_ML_QUEUE_TYPE=redis, MINDSDB_ML_QUEUE_HOST and so on.",
    )
    parser.add_argument("--tasks", type=int, default=4, help="tasks at once, each in a process of its own (4)")
    given = parser.parse_args(arguments)
    if given.tasks < 1:
        parser.error("--tasks: at least 1")
    # MindsDB reads the command line of whatever process it is in.
    sys.argv = sys.argv[:1]
    try:
        if not is_installed(handlers_folder()):
            raise InstallError("MindsDB finds another handler of this name: python -m huggingface_api_handler install")
        # By the name under which MindsDB knows it, so that there is one of each module.
        queue = importlib.import_module(f"mindsdb.integrations.handlers.{FOLDER}.host.task_queue")
        host = importlib.import_module(f"mindsdb.integrations.handlers.{FOLDER}.host.patches")
        if host.queue_settings().get("type") != "redis":
            raise InstallError("MindsDB has no task queue: set MINDSDB_ML_QUEUE_TYPE=redis and MINDSDB_ML_QUEUE_HOST")
    except InstallError as error:
        print(f"not started: {error}", file=sys.stderr)
        _note_refusal(str(error))
        return 1
    code: int = queue.consume(given.tasks)
    return code


def _note_refusal(reason: str) -> None:
    """Tell those who wait for a consumer, at other machines, why this one does not start."""
    if _version("mindsdb") is None:
        return
    from ..host import patches
    from . import doctor_queue

    settings = patches.queue_settings()
    if settings.get("type") != "redis":
        return
    try:
        with contextlib.closing(doctor_queue.connect(settings)) as client:
            doctor_queue.note_refusal(client, reason)
    except Exception as error:  # there is nobody else to tell
        print(f"this could not be noted in the queue's Redis: {type(error).__name__}", file=sys.stderr)
