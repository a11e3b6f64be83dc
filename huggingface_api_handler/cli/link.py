"""The link through which MindsDB finds this package.

MindsDB's server and its worker processes import handlers from one folder of its own package. So that folder contains a
link to this package under the bundled handler's name, and the bundled folder is renamed: its name begins with ``__``,
which MindsDB ignores.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from .tables import complain

FOLDER = "huggingface_api_handler"
ASIDE = f"__{FOLDER}_bundled"
PACKAGE = Path(__file__).resolve().parent.parent


class InstallError(Exception):
    """MindsDB's folder is not as expected; the text says what to do."""


def handlers_folder() -> Path:
    """Return MindsDB's folder of handlers, without importing MindsDB.

    Raises:
        InstallError: MindsDB is not installed for this Python.
    """
    spec = importlib.util.find_spec("mindsdb")
    if spec is None or spec.origin is None:
        raise InstallError(f"MindsDB is not installed for {sys.executable}: pip install mindsdb, then try again")
    return Path(spec.origin).resolve().parent / "integrations" / "handlers"


def ignore_working_folder() -> None:
    """Remove the working folder, which ``python -m`` puts first, from ``sys.path`` if MindsDB is installed elsewhere.

    The working folder of MindsDB's image contains MindsDB's source, but the image starts the installed MindsDB with
    ``-I``, which ignores that folder: a link there would have no effect.
    """
    if not sys.path or Path(sys.path[0]).resolve() != Path.cwd().resolve():
        return
    first = sys.path.pop(0)
    if importlib.util.find_spec("mindsdb") is None:
        sys.path.insert(0, first)


def is_installed(handlers: Path) -> bool:
    """Return whether the link exists and leads to this package."""
    link = handlers / FOLDER
    return link.is_symlink() and link.exists() and link.resolve() == PACKAGE


def install(handlers: Path | None = None) -> list[str]:
    """Create the link; return what was done, one line each. A second call does nothing.

    Raises:
        InstallError: the folder contains something unexpected, or cannot be written.
    """
    handlers = handlers or handlers_folder()
    link, aside = handlers / FOLDER, handlers / ASIDE
    if is_installed(handlers):
        return [f"nothing to do: MindsDB already finds {FOLDER} here"]
    if link.exists() and not link.is_symlink() and aside.exists():
        raise InstallError(
            f"{handlers} contains both {FOLDER} and {ASIDE}, as after an upgrade of MindsDB: "
            f"remove {ASIDE} and try again"
        )
    done: list[str] = []
    try:
        if link.is_symlink():
            link.unlink()
            done.append("removed a link to another folder")
        elif link.exists():
            link.rename(aside)
            done.append(f"renamed the bundled handler to {ASIDE}")
        link.symlink_to(PACKAGE, target_is_directory=True)
    except OSError as error:
        if aside.exists() and not link.exists():
            aside.rename(link)
        raise _not_writable(handlers, error) from error
    done.append(f"linked {FOLDER} into {handlers}: restart MindsDB if it is running")
    return done


def uninstall(handlers: Path | None = None) -> list[str]:
    """Remove the link and restore the bundled handler; return what was done, one line each.

    Raises:
        InstallError: something else is in place of the link.
    """
    handlers = handlers or handlers_folder()
    link, aside = handlers / FOLDER, handlers / ASIDE
    if aside.exists() and link.exists() and not link.is_symlink():
        raise InstallError(f"{link} is not a link to this package: move it away and try again")
    done: list[str] = []
    try:
        if link.is_symlink():
            link.unlink()
            done.append("removed the link")
        if aside.exists():
            aside.rename(link)
            done.append("restored the bundled handler")
    except OSError as error:
        raise _not_writable(handlers, error) from error
    return done or ["nothing to do: not installed"]


def _not_writable(handlers: Path, error: OSError) -> InstallError:
    return InstallError(
        f"{handlers} could not be changed ({error.strerror}): run this as the user who owns the folder, "
        "on a file system with symbolic links that is not mounted read-only"
    )


def report(change: Callable[[], list[str]]) -> int:
    """Run ``install`` or ``uninstall`` and print what was done; return the exit code."""
    try:
        done = change()
    except InstallError as error:
        complain(f"not done: {error}")
        return 1
    print("\n".join(done))
    return 0
