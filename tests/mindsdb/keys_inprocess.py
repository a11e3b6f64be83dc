"""CREATE ML_ENGINE in a process that is killed when MindsDB has committed the engine's record.

    python -m tests.mindsdb.keys_inprocess create KEY     creates engine ``e``, is killed before the handler is called
    python -m tests.mindsdb.keys_inprocess read           prints what the engine's record holds, as JSON

``create`` prints the names of the files that held the key at any commit, one a line.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from .one_process import finish, sql, start


def main(what: str, key: str = "") -> None:
    start()
    from mindsdb.interfaces.storage import db

    if what == "read":
        from mindsdb.integrations.handlers.huggingface_api_handler.host import storage
        from mindsdb.interfaces.storage.model_fs import HandlerStorage

        record = db.session.query(db.Integration).filter_by(name="e").one()
        stored = storage.engine_record(HandlerStorage(record.id))
        finish([dict(record.data), dict(stored.arguments), stored.token])
        return
    from mindsdb.integrations.libs.ml_exec_base import BaseMLEngineExec
    from sqlalchemy import event

    def look(*_: Any) -> None:
        for file in Path(os.environ["MINDSDB_STORAGE_DIR"]).rglob("*"):
            if file.is_file() and key.encode() in file.read_bytes():
                print(file.name, flush=True)

    def killed(*_: Any) -> None:
        look()
        os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("commit", "after_cursor_execute"):
        event.listen(db.engine, moment, look)
    event.listen(db.session, "after_commit", look)
    BaseMLEngineExec.create_engine = killed
    sql(f"CREATE ML_ENGINE e FROM huggingface_api USING api_key = '{key}', bill_to = 'acme'")


if __name__ == "__main__":
    main(*sys.argv[1:])
