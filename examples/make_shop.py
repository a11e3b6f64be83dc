"""Build a DuckDB file with the tables ``reviews`` and ``tickets`` out of the CSV files beside this script.

    python examples/make_shop.py [shop.duckdb]
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent

TABLES = {
    "reviews": "id INTEGER, product VARCHAR, stars INTEGER, review VARCHAR, written_on DATE",
    "tickets": "id INTEGER, customer VARCHAR, subject VARCHAR, body VARCHAR, opened_on DATE",
}


def build(path: Path) -> Path:
    """Write a new DuckDB file, in place of an old one, and return its path."""
    import duckdb

    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as shop:
        for table, columns in TABLES.items():
            shop.execute(f"CREATE TABLE {table} ({columns})")
            shop.execute(f"COPY {table} FROM '{HERE / table}.csv' (HEADER, NULLSTR '')")
    return path


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "shop.duckdb")))
