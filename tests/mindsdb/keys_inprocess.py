"""CREATE ML_ENGINE in this very process, which is killed when MindsDB has committed the engine's record.

    python keys_inprocess.py STORAGE create KEY      creates engine ``e``, is killed before the handler is called
    python keys_inprocess.py STORAGE read            prints what the engine's record holds, as JSON

``create`` prints the names of the files that held the key at any commit, one a line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(storage: str, what: str, key: str = "") -> None:
    os.environ.update(MINDSDB_STORAGE_DIR=storage, MINDSDB_COMMUNITY_HANDLERS="false", SENTRY_IO_DISABLED="true")
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.config import Config

    Config()
    db.init()
    from mindsdb.api.executor.command_executor import ExecuteCommands
    from mindsdb.api.executor.controllers.session_controller import SessionController
    from mindsdb.integrations.libs.ml_exec_base import BaseMLEngineExec
    from mindsdb.migrations import migrate
    from mindsdb_sql_parser import parse_sql
    from sqlalchemy import event

    migrate.migrate_to_head()

    def look(*_: Any) -> None:
        for file in Path(storage).rglob("*"):
            if file.is_file() and key.encode() in file.read_bytes():
                print(file.name, flush=True)

    def killed(*_: Any) -> None:
        look()
        os.kill(os.getpid(), signal.SIGKILL)

    if what == "create":
        for moment in ("commit", "after_cursor_execute"):
            event.listen(db.engine, moment, look)
        event.listen(db.session, "after_commit", look)
        BaseMLEngineExec.create_engine = killed
        session = SessionController()
        session.database = "mindsdb"
        using = f"USING api_key = '{key}', bill_to = 'acme'"
        ExecuteCommands(session).execute_command(parse_sql(f"CREATE ML_ENGINE e FROM huggingface_api {using}"))
    else:
        from mindsdb.integrations.handlers.huggingface_api_handler.host import storage as host_storage
        from mindsdb.interfaces.storage.model_fs import HandlerStorage

        record = db.session.query(db.Integration).filter_by(name="e").one()
        shown = dict(record.data)
        kept = host_storage.engine_record(HandlerStorage(record.id))
        print("\n" + json.dumps([shown, dict(kept.arguments), kept.token]))


if __name__ == "__main__":
    main(*sys.argv[1:])
