"""MindsDB in the process of a script. MindsDB reads its folders once, so each of these tests needs a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def environment(storage: Path, **more: str | None) -> dict[str, str]:
    """Return the environment of a process whose MindsDB stores in ``storage``; ``None``: a variable is not set."""
    # MindsDB leaves marks of its processes in the temporary folder.
    temporary = storage / "temporary"
    temporary.mkdir(exist_ok=True)
    own = {
        "TMPDIR": str(temporary),
        "MINDSDB_STORAGE_DIR": str(storage),
        "MINDSDB_COMMUNITY_HANDLERS": "false",
        "SENTRY_IO_DISABLED": "true",
    }
    return {name: value for name, value in {**os.environ, **own, **more}.items() if value is not None}


def queue_environment(storage: Path, host: str, port: int, number: int) -> dict[str, str]:
    """Return the environment of a process whose MindsDB has its task queue in a database of a Redis."""
    return environment(
        storage,
        MINDSDB_ML_QUEUE_TYPE="redis",
        MINDSDB_ML_QUEUE_HOST=host,
        MINDSDB_ML_QUEUE_PORT=str(port),
        MINDSDB_ML_QUEUE_DB=str(number),
    )


def run_script(
    name: str, environ: dict[str, str], *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a script of this folder to its end, with ``given`` as its standard input."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.mindsdb.{name}", *arguments], cwd=Path(__file__).parents[2], env=environ,
        input=given, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def found_by(name: str, environ: dict[str, str], *arguments: str, given: str = "") -> Any:
    """Run a script and return the JSON that it prints last."""
    done = run_script(name, environ, *arguments, given=given)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- in the process of the script ------------------------------------------------------------


def start() -> None:
    """Begin as a server does: with MindsDB's own database."""
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.config import Config

    Config()
    db.init()
    from mindsdb.migrations import migrate

    migrate.migrate_to_head()


def sql(statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in a session of its own and return its rows."""
    from mindsdb.api.executor.command_executor import ExecuteCommands
    from mindsdb.api.executor.controllers.session_controller import SessionController
    from mindsdb_sql_parser import parse_sql

    session = SessionController()
    session.database = "mindsdb"
    answer = ExecuteCommands(session).execute_command(parse_sql(statement))
    return [] if answer.data is None else list(answer.data.to_df().itertuples(index=False, name=None))


def state_of(model: str, run: Callable[[str], Any] = sql) -> Any:
    """Wait until a model has been created, or has failed; return its status and its error."""
    until = time.monotonic() + 120
    while (state := run(f"SELECT status, error FROM models WHERE name = '{model}'")[0])[0] == "generating":
        assert time.monotonic() < until, state
        time.sleep(0.1)
    return state


def finish(found: Any) -> None:
    """Print what was found, after whatever MindsDB has printed, and end MindsDB's worker processes."""
    from mindsdb.integrations.libs.process_cache import process_cache

    print("\n" + json.dumps(found), flush=True)
    process_cache.shutdown(wait=True)
