"""A private MindsDB server on this machine: for the demo, the tests, the benchmarks and ``make serve``.

::

    with MindsDBServer() as server:
        server.sql("SHOW ML_ENGINES").rows

It has its own storage folder, configuration, temporary files and free loopback ports, so that any
number can run side by side and none touches a MindsDB that is in use. It fetches nothing from
outside: no graphical interface, no community handlers.

MindsDB is started as a process, never imported.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

HOST = "127.0.0.1"
SUPERVISOR = Path(__file__).with_name("supervisor.py")

#: Environment variables that configure other servers, and are not passed on.
_OTHERS = re.compile(r"MINDSDB_|LANGFUSE_|SENTRY_|OTEL_|FLASK_|PROMETHEUS_MULTIPROC_DIR$")

#: Keeps the server, and the libraries in it, from contacting any host that no SQL names.
QUIET = {
    "MINDSDB_NO_STUDIO": "1",
    "MINDSDB_COMMUNITY_HANDLERS": "false",
    "SENTRY_IO_DISABLED": "true",
    "LANGFUSE_DISABLED": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}

#: How the servers for HTTP and MySQL log that their port is taken; that for HTTP names it.
_IN_USE = re.compile(r".*address already in use", re.I)

#: Requests to this machine bypass the proxies of the environment.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class SQLError(Exception):
    """MindsDB refused a statement; the text is its own."""


class ServerFailed(Exception):
    """The server did not start, or has ended; the text holds the end of its log."""


@dataclass(frozen=True)
class Table:
    """The result of a statement; without columns if it has none.

    Attributes:
        columns: names in the result's order; a name may occur twice.
        rows: one list a row, aligned with ``columns``, of JSON values.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """Return the values of the first column called ``name``, whatever its case."""
        at = [column.lower() for column in self.columns].index(name.lower())
        return [row[at] for row in self.rows]

    def records(self) -> list[dict[str, Any]]:
        """Return a dict a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers_at(port: int) -> bool:
    """Return whether somebody listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def is_taken(port: int) -> bool:
    """Return whether nobody else can listen on a loopback port, even if it does not answer."""
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError):
        return True
    return answers_at(port)


def taken(port: int) -> str:
    """Return what to say of a port that is taken."""
    free = "--http-port 0 --mysql-port 0 --sandbox-port 0"
    return f"Port {port} is taken: stop what runs there, or let free ones be picked: make serve ARGS='{free}'"


def _remove(folder: Path) -> None:
    """Remove a folder, in which a process that is ending may still write."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at the first SIGINT, SIGTERM or SIGHUP, and ignore all further ones.

    They are ignored after the body, too: what the caller cleans up is then cleaned up to its end. A SIGHUP that is
    ignored already, as under ``nohup``, stays ignored.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    def interrupt(*_: object) -> None:
        ignore()
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        ignore()


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the values of ``above``, objects merged."""
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return merged


class MindsDBServer:
    """A MindsDB server process; ``with`` starts and stops it.

    Args:
        storage: folder for all that the server keeps; a temporary one, removed at the end, if not given.
        folder: working folder, which relative paths in SQL start from; ``storage`` if not given.
        environ: environment variables that replace the current ones (``None`` removes one).
        http_port, mysql_port: 0 picks free ones.
        jobs: run the processes for MindsDB's jobs and triggers too (each costs seconds and 200 MB).
        config: overrides of the server's configuration file.
        python: the interpreter that has MindsDB.

    Attributes:
        log: file with all that the server and its workers print.
        pid: process id of the server's main process, also the id of its process group.
    """

    def __init__(
        self,
        storage: str | os.PathLike[str] | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str | None] | None = None,
        http_port: int = 0,
        mysql_port: int = 0,
        jobs: bool = False,
        config: Mapping[str, Any] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._own_storage = storage is None
        self.storage = Path(tempfile.mkdtemp(prefix="mindsdb-")) if storage is None else Path(storage).absolute()
        self.folder = self.storage if folder is None else Path(folder).absolute()
        self.http_port = http_port or free_port()
        self.mysql_port = mysql_port or free_port()
        self.url = f"http://{HOST}:{self.http_port}"
        self.log = self.storage / "server.log"
        self.pid = 0
        self._environ = dict(environ or {})
        self._jobs = jobs
        self._config = config or {}
        self._python = python
        #: The server's supervisor first, then those of the consumers.
        self._supervisors: list[subprocess.Popen[bytes]] = []

    # --- life ---

    def start(self, *, timeout: float = 180.0, progress: Callable[[float], None] | None = None) -> Self:
        """Start the server; return when it answers over HTTP and MySQL.

        Args:
            timeout: seconds to wait, 30 of which are usual on a machine that has just started.
            progress: called about five times a second with the seconds waited so far.

        Raises:
            ServerFailed: it ended, or did not answer in time.
        """
        self.storage.mkdir(parents=True, exist_ok=True)
        settings = self.storage / "config.json"
        settings.write_text(json.dumps(self._settings(), indent=2), encoding="utf-8")
        try:
            self.pid = self._launch("mindsdb", "--api=http,mysql")
            self._wait(timeout, progress)
        except BaseException:
            self.stop()
            raise
        return self

    def start_consumer(self) -> int:
        """Start a consumer of MindsDB's own task queue; return its process id. It ends with the server.

        Only useful if the server has a queue: ``MINDSDB_ML_QUEUE_TYPE=redis``.
        """
        temporary = f"consumer-{len(self._supervisors)}"
        return self._launch("huggingface_api_handler", "consumer", temporary=temporary)

    def _launch(self, *module: str, temporary: str = "temporary") -> int:
        """Start a module under a supervisor; return the process id of the module."""
        with self.log.open("ab") as log:
            supervisor = subprocess.Popen(
                [self._python, "-I", str(SUPERVISOR), self._python, "-m", *module],
                cwd=self.folder,
                env=self._environment(self.storage / "config.json", temporary),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        # At once: if the next line is interrupted, ``stop`` still ends it.
        self._supervisors.append(supervisor)
        assert supervisor.stdout is not None
        return int(supervisor.stdout.readline() or 0)

    def stop(self) -> None:
        """Stop the server and every process it started; a second call does nothing."""
        supervisors, self._supervisors = self._supervisors[::-1], []
        for supervisor in supervisors:
            for pipe in (supervisor.stdin, supervisor.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        for supervisor in supervisors:
            supervisor.wait()
        if self._own_storage:
            _remove(self.storage)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        return bool(self._supervisors) and self._supervisors[0].poll() is None

    def log_text(self) -> str:
        """Return all that the server has printed."""
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""

    # --- use ---

    def sql(self, statement: str, *, timeout: float = 600.0, context: Mapping[str, Any] | None = None) -> Table:
        """Run one statement over HTTP, in a session of its own.

        Args:
            timeout: seconds without a byte from the server.
            context: session settings, such as ``{"db": "mindsdb", "show_secrets": True}``.

        Raises:
            SQLError: MindsDB refused it.
            ServerFailed: the server does not run.
        """
        body = json.dumps({"query": statement, "context": dict(context or {"db": "mindsdb"})}).encode()
        request = urllib.request.Request(
            f"{self.url}/api/sql/query", body, {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with _DIRECT.open(request, timeout=timeout) as answer:
                result = json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                text = refusal.read().decode("utf-8", "replace")
            raise SQLError(f"HTTP {refusal.code}: {text[:2000]}") from None
        except OSError as error:
            if self.is_running:
                raise
            raise ServerFailed(self._failure("has ended")) from error
        if result["type"] == "error":
            raise SQLError(str(result.get("error_message")))
        columns = tuple(result.get("column_names") or ())
        return Table(columns, tuple(tuple(row) for row in result.get("data") or ()))

    def wait_for_model(self, name: str, *, project: str = "mindsdb", timeout: float = 120.0) -> None:
        """Return when the newest version of a model that is being created or retrained is ready and active.

        Raises:
            SQLError: its creation failed; the text is the model's error.
            TimeoutError: it was not ready in time.
        """
        until = time.monotonic() + timeout
        query = f"SELECT version, status, error, active FROM {project}.models WHERE name = '{name.lower()}'"
        while True:
            found = sorted(self.sql(query).rows, key=lambda row: int(row[0]))
            _, status, error, _ = found[-1] if found else (0, "missing", None, None)
            # MindsDB activates a new version a moment before it deactivates the others.
            if status == "complete" and [row for row in found if row[3]] == found[-1:]:
                return
            if status == "error":
                raise SQLError(str(error))
            if time.monotonic() > until:
                raise TimeoutError(f"model {name} is still {status} after {timeout:.0f} seconds")
            time.sleep(0.1)

    # --- inside ---

    def _settings(self) -> dict[str, Any]:
        own = {
            "api": {
                "http": {"host": HOST, "port": str(self.http_port), "restart_on_failure": False},
                "mysql": {"host": HOST, "port": str(self.mysql_port), "restart_on_failure": False},
            },
            "gui": {"open_on_start": False, "autoupdate": False},
            "jobs": {"disable": not self._jobs},
            "tasks": {"disable": not self._jobs},
        }
        return _merge(own, self._config)

    def _environment(self, settings: Path, temporary_name: str) -> dict[str, str]:
        environ: dict[str, str | None] = {name: value for name, value in os.environ.items() if not _OTHERS.match(name)}
        environ.update(QUIET)
        # MindsDB keeps marks of its processes in the system's temporary folder, and deletes at its
        # start those of every other server.
        temporary = self.storage / temporary_name
        temporary.mkdir(exist_ok=True)
        environ["TMPDIR"] = str(temporary)
        environ["MINDSDB_STORAGE_DIR"] = str(self.storage)
        environ["MINDSDB_CONFIG_PATH"] = str(settings)
        direct = {*filter(None, (environ.get("NO_PROXY") or "").split(",")), HOST, "localhost"}
        environ["NO_PROXY"] = environ["no_proxy"] = ",".join(sorted(direct))
        environ.update(self._environ)
        return {name: value for name, value in environ.items() if value is not None}

    def _wait(self, timeout: float, progress: Callable[[float], None] | None) -> None:
        began = time.monotonic()
        while True:
            waited = time.monotonic() - began
            if progress is not None:
                progress(waited)
            if not self.is_running:
                raise ServerFailed(self._failure("ended while starting"))
            is_ready = self._is_ready()
            # Somebody may have taken a port since ``start``. MindsDB goes on without it.
            in_use = _IN_USE.search(self.log_text())
            if in_use is not None:
                raise ServerFailed(taken(self.http_port if str(self.http_port) in in_use[0] else self.mysql_port))
            if is_ready:
                return
            if waited > timeout:
                raise ServerFailed(self._failure(f"did not answer within {timeout:.0f} seconds"))
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        # While nothing listens, a request from the very port that it is sent to reaches itself and is its own response.
        ignored = contextlib.suppress(OSError, http.client.HTTPException)
        with ignored, _DIRECT.open(f"{self.url}/api/util/ping", timeout=5):
            return answers_at(self.mysql_port)
        return False

    def _failure(self, what: str) -> str:
        end = "\n".join(self.log_text().splitlines()[-25:])
        return f"MindsDB {what}. The end of its log:\n{end}"


def service_environment(sandbox_url: str, hub_url: str) -> dict[str, str | None]:
    """Return the environment variables that make a server use a sandbox instead of Hugging Face."""
    return {
        "HUGGINGFACE_API_BASE_URL": sandbox_url,
        "HF_ENDPOINT": hub_url,
        "HF_TOKEN": None,
        "HUGGING_FACE_HUB_TOKEN": None,
        "HUGGINGFACE_API_API_KEY": None,
    }
