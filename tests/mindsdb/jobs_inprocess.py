"""Jobs run when the test says so, not when MindsDB's scheduler does.

    python -m tests.mindsdb.jobs_inprocess HUB_URL

Reads the CREATE JOB statements of the recipes from standard input, as JSON: name → statement. Prints one JSON object:
the tables that the jobs fill after each step, and the errors in the history of each job.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

from .one_process import finish, sql, start, state_of


def main(hub_url: str) -> None:
    start()
    from mindsdb.interfaces.jobs.jobs_controller import JobsExecutor
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.context import context

    # The server adds the database of files when it starts. Before 26.0, it belongs to a company alone.
    owner = {name: getattr(context, name) for name in ("company_id", "user_id") if hasattr(db.Integration, name)}
    db.session.add(db.Integration(name="files", data={}, engine="files", **owner))
    db.session.commit()

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
    assert state_of("mood_of_new")[0] == "complete"
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
    finish(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
