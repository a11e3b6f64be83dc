"""MindsDB's SQL in this very process, run as a script of its own since MindsDB reads its folders once.

    python inprocess.py STORAGE SANDBOX_URL HUB_URL TABLES.duckdb [PATCH...]

Each PATCH names one of our patches of MindsDB that is left out. Prints one JSON object:
answers of two look-alike tables, and the text of an error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main(storage: str, base_url: str, hub_url: str, tables: str, *left_out: str) -> None:
    os.environ.update(
        MINDSDB_STORAGE_DIR=storage,
        MINDSDB_COMMUNITY_HANDLERS="false",
        SENTRY_IO_DISABLED="true",
        HUGGINGFACE_API_BASE_URL=base_url,
        HF_ENDPOINT=hub_url,
    )
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.config import Config

    Config()
    db.init()
    from mindsdb.api.executor.command_executor import ExecuteCommands
    from mindsdb.api.executor.controllers.session_controller import SessionController
    from mindsdb.integrations.handlers.huggingface_api_handler.host import patches
    from mindsdb.integrations.libs.process_cache import process_cache
    from mindsdb.migrations import migrate
    from mindsdb_sql_parser import parse_sql

    migrate.migrate_to_head()
    for patch in left_out:
        assert hasattr(patches, patch), patch
        setattr(patches, patch, lambda *_: None)

    def sql(statement: str) -> list[tuple[Any, ...]]:
        session = SessionController()
        session.database = "mindsdb"
        answer = ExecuteCommands(session).execute_command(parse_sql(statement))
        return [] if answer.data is None else list(answer.data.to_df().itertuples(index=False, name=None))

    sql("CREATE ML_ENGINE hf FROM huggingface_api")
    sql(f'CREATE DATABASE duck WITH ENGINE = \'duckdb\', PARAMETERS = {{"database": "{tables}", "read_only": true}}')
    sql("CREATE MODEL s PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'")
    until = time.monotonic() + 60
    while sql("SELECT status FROM models WHERE name = 's'") != [("complete",)]:
        assert time.monotonic() < until, sql("SELECT status, error FROM models")
        time.sleep(0.2)
    join = "SELECT r.id, m.mood FROM duck.{} AS r JOIN s AS m ON m.text = r.review"
    found: dict[str, Any] = {table: sql(join.format(table)) for table in ("reviews", "twins")}
    try:
        sql("CREATE MODEL t PREDICT mood USING engine = 'hf', task = 'fill-msk', column = 'text'")
    except Exception as error:
        found["error"] = str(error)
    print("\n" + json.dumps(found))
    process_cache.shutdown(wait=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
