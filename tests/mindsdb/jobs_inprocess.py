"""Jobs run when the test says so, in this very process; a script of its own, as MindsDB reads its folders once.

    python jobs_inprocess.py STORAGE SANDBOX_URL HUB_URL

Reads the CREATE JOB statements of the recipes from standard input, as JSON: name → statement. Prints one JSON object:
the tables that the jobs fill after each step, and the errors in the history of each job.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from typing import Any


def main(storage: str, base_url: str, hub_url: str) -> None:
    os.environ.update(
        MINDSDB_STORAGE_DIR=storage,
        MINDSDB_COMMUNITY_HANDLERS="false",
        SENTRY_IO_DISABLED="true",
        HUGGINGFACE_API_BASE_URL=base_url,
        HF_ENDPOINT=hub_url,
    )
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.config import Config
    from mindsdb.utilities.constants import DEFAULT_COMPANY_ID, DEFAULT_USER_ID

    Config()
    db.init()
    from mindsdb.api.executor.command_executor import ExecuteCommands
    from mindsdb.api.executor.controllers.session_controller import SessionController
    from mindsdb.integrations.libs.process_cache import process_cache
    from mindsdb.interfaces.jobs.jobs_controller import JobsExecutor
    from mindsdb.migrations import migrate
    from mindsdb_sql_parser import parse_sql

    migrate.migrate_to_head()
    # The server adds the database of files when it starts.
    owner = {"company_id": DEFAULT_COMPANY_ID, "user_id": DEFAULT_USER_ID}
    db.session.add(db.Integration(name="files", data={}, engine="files", **owner))
    db.session.commit()

    def sql(statement: str) -> list[tuple[Any, ...]]:
        session = SessionController()
        session.database = "mindsdb"
        answer = ExecuteCommands(session).execute_command(parse_sql(statement))
        return [] if answer.data is None else list(answer.data.to_df().itertuples(index=False, name=None))

    def run(job: str) -> str | None:
        """Run a job as MindsDB's scheduler does; return the error that its history shows."""
        db.session.rollback()
        JobsExecutor().execute_task_local(db.Jobs.query.filter_by(name=job).first().id)
        shown = sql(f"SELECT error FROM log.jobs_history WHERE name = '{job}'")[-1][0]
        return str(shown) if shown else None

    def refuse(*rules: dict[str, Any]) -> None:
        body = json.dumps({"rules": rules}).encode()
        urllib.request.urlopen(urllib.request.Request(f"{hub_url}/sandbox/faults", body, method="PUT")).close()

    def add(*numbers: int) -> None:
        rows = ", ".join(f"({number}, 'I love row {number}')" for number in numbers)
        sql(f"INSERT INTO files.inbox (id, review) VALUES {rows}")

    def table(name: str) -> list[list[Any]]:
        return [list(row) for row in sql(f"SELECT * FROM files.{name}")]

    statements: dict[str, str] = json.load(sys.stdin)
    sql("CREATE ML_ENGINE hf_api_engine FROM huggingface_api USING api_key = 'hf_'")
    sql(
        "CREATE MODEL mood_of_new PREDICT mood USING engine = 'hf_api_engine', task = 'text-classification', "
        "input_column = 'review', max_batch_size = 1"
    )
    until = time.monotonic() + 120
    while sql("SELECT status FROM models WHERE name = 'mood_of_new'") != [("complete",)]:
        assert time.monotonic() < until, sql("SELECT status, error FROM models")
        time.sleep(0.2)
    sql("CREATE TABLE files.inbox (SELECT 1 AS id, 'I love row 1' AS review)")
    sql("CREATE TABLE files.inbox_moods (SELECT 1 AS id, 'POSITIVE' AS mood)")
    sql("CREATE TABLE files.inbox_log (SELECT 0 AS id, 'none' AS mood, 'none' AS error)")
    sql("CREATE TABLE files.nightly_moods (SELECT 1 AS id, 'POSITIVE' AS mood)")
    for statement in statements.values():
        sql(statement)

    found: dict[str, Any] = {}
    tables = {"score_inbox": "inbox_moods", "score_latest": "inbox_log", "score_nightly": "nightly_moods"}
    steps = {"healthy": (), "refused": ({"kind": "status", "status": 402, "body": {"error": "no"}},), "again": ()}
    for number, (step, rules) in enumerate(steps.items()):
        add(2 * number + 2, 2 * number + 3)
        refuse(*rules)
        for job, name in tables.items():
            found[f"{job} {step}"] = [run(job), table(name)]
    print("\n" + json.dumps(found))
    process_cache.shutdown(wait=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
