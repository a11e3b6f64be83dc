"""Which queries are commands, which the server runs itself."""

from __future__ import annotations

from typing import Any

import pytest
from mindsdb_sql_parser import parse_sql

from huggingface_api_handler.host import commands


@pytest.mark.parametrize(
    ("using", "expected"),
    [
        ("stop = true", True), ("STOP = 'True'", True), ("m.stop = 1", True), ("clear_cache = yes", True),
        ("clear_cache = 'on'", True), ("stop = false", False), ("stop = 0", False), ("clear_cache = no", False),
        ("stop = 'END'", False), ("timeout = 1", False),
    ],
)  # fmt: skip
def test_each_way_to_write_true_makes_a_command(using: str, expected: bool) -> None:
    """A worker would take seconds to start, and may be busy with the query that is to be stopped."""
    query: Any = parse_sql(f"SELECT * FROM m WHERE text = '' USING {using}")
    assert commands._is_command({"predict_params": query.using}) is expected
