"""Try this package with every Python, and with the releases of MindsDB and huggingface_hub, it is meant for.

    make matrix
    make matrix ARGS='--only 3.13 newest'      the cells whose names hold all of these words

Each cell gets a virtual environment of its own: MindsDB, the wheel of this package, huggingface_hub. In it run
``install``, ``doctor``, a server with the sandbox and the statements of ``smoke.py``, and ``uninstall``. What was found
goes to ``results.json``, cell by cell: one that is there is not tried again, and a run that was stopped goes on where
it stopped. Nothing but pip leaves this machine; a cell takes some minutes and, until its end, 1 GB.

Pythons are looked for on the PATH and in pyenv; ``PYTHONS='/path/to/python3.12 …'`` names others.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.matrix.cells import CELLS, PYTHONS, Cell, keep, results  # noqa: E402

SMOKE = Path(__file__).with_name("smoke.py")
#: Stands in the folder of an environment that is whole and untried.
MADE = "made.json"
#: Seconds for which a lock is held at most before the next cell has to wait for it anew.
TURN = 300.0

#: Variables of the surroundings that reach into an interpreter or into this package.
_FOREIGN = re.compile(r"PYTHON(PATH|HOME|STARTUP)$|VIRTUAL_ENV$|HF_|HUGGING|MINDSDB_")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}


# --- what there is ---


def pythons() -> dict[str, str]:
    """Return the interpreters found, by version (``3.12``): those named, those on the PATH, those of pyenv."""
    candidates = os.environ.get("PYTHONS", "").split()
    candidates += [f"python{version}" for version in PYTHONS]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates += [str(path) for path in sorted(pyenv.glob("3.*/bin/python3"), reverse=True)]
    found: dict[str, str] = {}
    ask = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for candidate in candidates:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run([candidate, "-I", "-c", ask], capture_output=True, text=True, timeout=30, check=False)
            version, _, executable = done.stdout.strip().partition(" ")
            if done.returncode == 0 and version in PYTHONS:
                found.setdefault(version, executable)
    return found


def build(folder: Path) -> Path:
    """Build the wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def state(wheel: Path) -> str:
    """Return a short hash of the package's own files: it tells whether two cells tried the same code."""
    found = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if ".dist-info/" not in name:
                found.update(name.encode() + b"\0" + archive.read(name))
    return found.hexdigest()[:12]


# --- one cell ---


class CannotInstall(Exception):
    """pip refused; the text is its reason."""


@dataclass
class Trial:
    """A cell, its folder, and what was found of it so far."""

    cell: Cell
    folder: Path
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return str(self.folder / "venv" / "bin" / "python")

    def pip(self, *arguments: str) -> str:
        with (self.folder / "pip.log").open("a", encoding="utf-8") as log:
            command = [self.python, "-I", "-m", "pip", "--disable-pip-version-check", *arguments]
            done = subprocess.run(
                command, env=surroundings(), capture_output=True, text=True, timeout=3600, check=False
            )
            log.write(f"$ pip {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        if done.returncode and arguments[0] != "check":
            raise CannotInstall(reason(done.stderr or done.stdout))
        return done.stdout

    def prepare(self, python: str, wheel: Path, like: Trial | None) -> None:
        """Make the environment; one that a run that was stopped has left is used again.

        Args:
            like: one that has the same but for huggingface_hub and was not tried yet.

        Raises:
            CannotInstall: these do not go together.
        """
        began = time.monotonic()
        made = self.folder / MADE
        if made.exists():
            left = json.loads(made.read_text(encoding="utf-8"))
            if left["code"] != self.found["code"]:
                self.pip("install", "--force-reinstall", "--no-deps", str(wheel))
            self.found = left | self.found
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        environment = self.folder / "venv"
        if like is not None:
            # pip replaces files and never writes into them: two environments may share those they have in common.
            shutil.copytree(like.folder / "venv", environment, symlinks=True, copy_function=os.link)
        else:
            subprocess.run([python, "-I", "-m", "venv", str(environment)], check=True, env=surroundings())
            self.pip("install", "--upgrade", "pip")  # those of old Pythons take many minutes to choose releases
            self.pip("install", f"mindsdb=={self.cell.mindsdb}", str(wheel))
        if self.cell.hub == "newest":
            self.pip("install", "--upgrade", "huggingface_hub")
        # What others in the environment forbid, and was installed all the same, as far as pip sees it.
        self.found["conflicts"] = [line for line in self.pip("check").splitlines() if "has requirement" in line]
        self.found["seconds_installing"] = round(time.monotonic() - began)
        made.write_text(json.dumps(self.found), encoding="utf-8")

    def smoke(self) -> None:
        began = time.monotonic()
        (self.folder / MADE).unlink()
        report = self.folder / "report.json"
        command = [self.python, "-I", str(SMOKE), str(report)]
        log = self.folder / "smoke.log"
        with log.open("w", encoding="utf-8") as out, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=surroundings(), stdout=out, stderr=out, timeout=900, check=False)
        if report.exists():
            self.found |= json.loads(report.read_text(encoding="utf-8"))
            failed = {name: step["said"] for name, step in self.found["steps"].items() if not step["ok"]}
            self.found["verdict"] = "fails" if failed else "works"
            if failed:
                name, text = next(iter(failed.items()))
                self.found["reason"] = f"{name}: {text}"
        else:
            self.found["verdict"] = "fails"
            self.found["reason"] = "the statements came to no end: " + log.read_text(encoding="utf-8")[-800:]
        self.found["seconds_trying"] = round(time.monotonic() - began)

    def unit_tests(self, wheel: Path) -> None:
        """Run the unit tests of this checkout in the environment."""
        self.pip("install", f"{wheel}[dev]")
        command = [self.python, "-m", "pytest", "tests/unit", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, timeout=3600, check=False
        )
        (self.folder.parent / f"{self.cell.name}-unit.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        last = (done.stdout.strip().splitlines() or ["nothing"])[-1].strip("= ")
        self.found["unit_tests"] = re.sub(r" in [\d.]+s.*", "", last)
        if done.returncode:
            self.found["verdict"] = "fails"
            self.found.setdefault("reason", f"unit tests: {last}")


def reason(said: str) -> str:
    """Return what pip says is wrong, without the lines that say it of other versions."""
    lines = [line.strip() for line in said.splitlines() if line.startswith("ERROR") or "error:" in line]
    return " ".join(lines or said.strip().splitlines()[-3:])[:600]


# --- all of them ---


@contextlib.contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Hold a file's lock, where one is named."""
    if lock is None:
        yield
        return
    import fcntl

    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _installing(
    waiting: Sequence[Trial], found: dict[str, str], wheel: Path, ready: queue.Queue[Trial | None], room: Any
) -> None:
    """Make the environments, one after the other, as long as there is room for more."""
    try:
        for _, group in itertools.groupby(waiting, key=lambda trial: trial.cell.twin):
            first: Trial | None = None
            trials = list(group)
            for trial in trials:
                room.acquire()
                say(f"installing  {trial.cell.name}")
                try:
                    trial.prepare(found[trial.cell.python], wheel, first)
                    first = first or trial
                except CannotInstall as error:
                    trial.found |= {"verdict": "cannot be installed", "reason": str(error)}
            # Handed out together: to try one changes what the other is made of.
            for trial in trials:
                ready.put(trial)
    finally:
        ready.put(None)


def _finish(trial: Trial, given: argparse.Namespace) -> None:
    trial.found["date"] = time.strftime("%Y-%m-%d")
    keep(trial.cell, trial.found)
    say(f"{trial.found['verdict']:10}  {trial.cell.name}  {trial.found.get('reason', '')[:300]}")
    if not given.keep:
        shutil.rmtree(trial.folder, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests/matrix/run.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cells whose names hold all of these")
    parser.add_argument("--again", action="store_true", help="try cells again that are done")
    parser.add_argument("--list", action="store_true", help="say what there is to do, and do nothing")
    parser.add_argument("--unit", action="store_true", help="run the unit tests in each cell, too")
    parser.add_argument("--work", type=Path, help="folder for the environments, reused after a run was stopped")
    parser.add_argument("--keep", action="store_true", help="leave the environments where they are")
    parser.add_argument("--ahead", type=int, default=1, metavar="N", help="environments that may wait for their turn")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="hold this file's lock while a server runs")
    given = parser.parse_args(arguments)

    found = pythons()
    for version in PYTHONS:
        print(f"Python {version}: {found.get(version, 'MISSING: its cells are NOT TRIED; name one in PYTHONS')}")
    done = results()
    wanted = [cell for cell in CELLS if all(word in cell.name for word in given.only)]
    todo = [cell for cell in wanted if given.again or cell.name not in done]
    for cell in wanted:
        what = "to do" if cell in todo else f"unchanged: {done[cell.name]['verdict']}, of {done[cell.name]['date']}"
        print(f"  {cell.name:50} {'MISSING PYTHON' if cell.python not in found else what}")
    missing = [cell for cell in todo if cell.python not in found]
    todo = [cell for cell in todo if cell not in missing]
    if given.list or not todo:
        return 1 if missing else 0

    # A plain `kill` cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        work = given.work
        if work is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-matrix-")))
        wheel = build(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-wheel-"))))
        code = state(wheel)
        trials = [Trial(cell, work / cell.name, {"mindsdb": cell.mindsdb, "code": code}) for cell in todo]
        trials.sort(key=lambda trial: not (trial.folder / MADE).exists())
        bad = _run(trials, found, wheel, given)
    print(f"{len(todo) - bad} of {len(todo)} cells work; python docs/tables.py writes them into docs/measurements.md.")
    if missing:
        print(f"NOT TRIED, for want of a Python: {', '.join(cell.name for cell in missing)}")
    return 1 if bad or missing else 0


def _run(trials: Sequence[Trial], found: dict[str, str], wheel: Path, given: argparse.Namespace) -> int:
    """Try them all; return how many do not work."""
    ready: queue.Queue[Trial | None] = queue.Queue()
    room = threading.Semaphore(given.ahead + 2)
    threading.Thread(target=_installing, args=(trials, found, wheel, ready, room), daemon=True).start()
    bad = 0
    trial = ready.get()
    while trial is not None:
        with turn(given.lock):
            until = time.monotonic() + TURN
            tried: list[Trial] = []
            while trial is not None:
                if "verdict" not in trial.found:
                    say(f"trying      {trial.cell.name}")
                    trial.smoke()
                tried.append(trial)
                if given.unit or ready.empty() or time.monotonic() > until:
                    break
                trial = ready.get()
        for one in tried:
            if given.unit and one.found["verdict"] == "works":
                say(f"unit tests  {one.cell.name}")
                one.unit_tests(wheel)
            bad += one.found["verdict"] != "works"
            _finish(one, given)
            room.release()
        if trial is not None:
            trial = ready.get()
    return bad


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Stopped; finished cells are saved.")
        sys.exit(130)
