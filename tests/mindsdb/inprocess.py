"""Answers to two look-alike tables, and the text of an error, with some of our patches of MindsDB left out.

    python -m tests.mindsdb.inprocess TABLES.duckdb [PATCH...]

Prints one JSON object.
"""

from __future__ import annotations

import sys
from typing import Any

from .one_process import finish, sql, start, state_of


def main(tables: str, *left_out: str) -> None:
    start()
    from mindsdb.integrations.handlers.huggingface_api_handler.host import patches

    for patch in left_out:
        assert hasattr(patches, patch), patch
        setattr(patches, patch, lambda *_: None)

    sql("CREATE ML_ENGINE hf FROM huggingface_api")
    sql(f'CREATE DATABASE duck WITH ENGINE = \'duckdb\', PARAMETERS = {{"database": "{tables}", "read_only": true}}')
    sql("CREATE MODEL s PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'")
    assert state_of("s")[0] == "complete"
    join = "SELECT r.id, m.mood FROM duck.{} AS r JOIN s AS m ON m.text = r.review"
    found: dict[str, Any] = {table: sql(join.format(table)) for table in ("reviews", "twins")}
    try:
        sql("CREATE MODEL t PREDICT mood USING engine = 'hf', task = 'fill-msk', column = 'text'")
    except Exception as error:
        found["error"] = str(error)
    finish(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
