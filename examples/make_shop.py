"""Build a DuckDB file from the files beside this script: tables of the CSV files, and tables with
the pictures, sounds and films as BLOBs.

    python examples/make_shop.py [shop.duckdb]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent

TABLES = {
    "reviews": "id INTEGER, product VARCHAR, stars INTEGER, review VARCHAR, written_on DATE",
    "tickets": "id INTEGER, customer VARCHAR, subject VARCHAR, body VARCHAR, opened_on DATE",
    "questions": "id INTEGER, question VARCHAR, context VARCHAR",
    "flats": "id INTEGER, rooms INTEGER, metres DOUBLE, floor INTEGER",
}
#: Tables of media: which files, and what the column is called that holds their bytes.
MEDIA = {
    "pictures": ("pictures/*.png", "picture"),
    "calls": ("sounds/*.wav", "sound"),
    "films": ("films/*.avi", "film"),
}


def build(path: Path) -> Path:
    """Write a new DuckDB file, in place of an old one, and return its path."""
    import duckdb

    new = path.with_name(f"{path.name}.{os.getpid()}")
    with duckdb.connect(str(new)) as shop:
        for table, columns in TABLES.items():
            shop.execute(f"CREATE TABLE {table} ({columns})")
            shop.execute(f"COPY {table} FROM '{HERE / table}.csv' (HEADER, NULLSTR '')")
        for table, (pattern, column) in MEDIA.items():
            files = sorted(HERE.glob(pattern))
            shop.execute(f"CREATE TABLE {table} (id INTEGER, name VARCHAR, {column} BLOB)")
            rows = [(number, file.stem, file.read_bytes()) for number, file in enumerate(files, start=1)]
            shop.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
    return new.replace(path)  # a server that has the old file open keeps it


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "shop.duckdb")))
