"""Which queries are commands, which the server runs itself."""

from __future__ import annotations

from pathlib import Path

from .process import printed

QUERIES = """
import sys
from mindsdb_sql_parser import parse_sql
from huggingface_api_handler.host import commands

for using in sys.argv[1:]:
    query = parse_sql(f"SELECT * FROM m WHERE text = '' USING {using}")
    print(commands._is_command({"predict_params": query.using}))
"""


def test_each_way_to_write_true_makes_a_command(tmp_path: Path) -> None:
    """A worker would take seconds to start, and may be busy with the query that is to be stopped."""
    expected = {
        "stop = true": True, "STOP = 'True'": True, "m.stop = 1": True, "clear_cache = yes": True,
        "clear_cache = 'on'": True, "stop = false": False, "stop = 0": False, "clear_cache = no": False,
        "stop = 'END'": False, "timeout = 1": False,
    }  # fmt: skip
    found = printed(QUERIES, tmp_path, *expected)[-len(expected) :]
    assert dict(zip(expected, found, strict=True)) == {using: str(is_one) for using, is_one in expected.items()}
