"""Another engine at work in a process of MindsDB, with or without our patches.

    python -m tests.mindsdb.beside with|without

Prints one JSON object: what its statements return, what is logged, cached and asked of MindsDB's database.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb

from .one_process import finish, sql, start, state_of

#: What differs between two runs of the very same code.
_VARIES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+|0x[0-9a-f]+|(?<=process_id': )\d+|handlers/echo_\w+")


def main(patched: str) -> None:
    start()
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities import log as host_log
    from mindsdb.utilities.cache import FileCache
    from mindsdb.utilities.ml_task_queue import base, utils
    from mindsdb.utilities.ml_task_queue.producer import MLTaskProducer
    from sqlalchemy import event

    if patched == "with":
        from mindsdb.integrations.handlers.huggingface_api_handler.host import patches, task_queue

        patches.apply_patches()
        task_queue.apply_patches()

    found: dict[str, Any] = {}
    lines: list[str] = []

    class Lines(host_log.StreamSanitizingHandler):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(stream=self)

        def write(self, text: str) -> None:
            lines.append(_VARIES.sub("…", text))

        def flush(self) -> None:
            pass

    handler = Lines()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger("mindsdb").addHandler(handler)

    def output(statement: str) -> Any:
        try:
            return [[str(cell) for cell in row] for row in sql(statement)]
        except Exception as error:
            logging.getLogger("mindsdb.test").exception("refused:")
            return _VARIES.sub("…", str(error))

    found["engine"] = output("CREATE ML_ENGINE e FROM echo USING api_key = 'another engine''s key', host = 'h'")
    found["stored"] = [str(one.data) for one in db.session.query(db.Integration).filter_by(engine="echo")]
    found["model"] = output("CREATE MODEL m PREDICT a USING engine = 'e', api_key = 'plain'")[0][:12]
    state_of("m", output)
    output("CREATE MODEL bad PREDICT a USING engine = 'e', fail = true")
    found["bad model"] = [[_VARIES.sub("…", part) for part in state_of("bad", output)]]
    tables = Path(os.environ["MINDSDB_STORAGE_DIR"]) / "tables.duckdb"
    with duckdb.connect(str(tables)) as connection:
        connection.execute("CREATE TABLE r AS SELECT 'one' AS text UNION ALL SELECT 'two'")
    sql(f'CREATE DATABASE duck WITH ENGINE = \'duckdb\', PARAMETERS = {{"database": "{tables}", "read_only": true}}')
    join = "SELECT m.a FROM duck.r AS r JOIN m WHERE r.text"
    found["rows"] = [output(f"{join} = '{text}'") for text in ("one", "one", "two")]
    found["error"] = output("SELECT a FROM m WHERE text = 'fail'")
    found["log"] = "".join(line for line in lines if "echo" in line or "Bearer" in line)
    found["cache"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FileCache("predict").path.iterdir()
        if path.name.startswith("m_")
    }

    # A prediction of a model that the cache has not met, while the database is asked for nothing.
    asked: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *what: asked.append(what[2]))
    FileCache("predict").set(f"other_77_{'0' * 64}", {"a": 1})
    found["statements of the cache"] = asked
    found["cached"] = FileCache("predict").get(f"other_77_{'0' * 64}")

    # The queue: names of tasks, and callers that wait for Redis at the same time.
    utils.time.time = lambda: 1_700_000_000.25
    found["task name"] = utils.RedisKey.new().base.decode().partition("-")[0]
    found["parts of a task name"] = utils.RedisKey.new().base.count(b"-")
    together, passed = threading.Barrier(4), []
    base.BaseRedisQueue.wait_redis_ping = lambda self, timeout=30: passed.append(together.wait(60))
    producers: list[Any] = []
    threads = [threading.Thread(target=lambda: producers.append(MLTaskProducer())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found["waited together"] = sorted(passed)
    found["connections"] = len({id(one.db) for one in producers})
    finish(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
