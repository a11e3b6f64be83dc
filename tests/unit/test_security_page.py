"""Every promise of SECURITY.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[^`]+)`", PAGE)

pytestmark = pytest.mark.docs


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_promises_name_tests_that_exist() -> None:
    assert len(NAMED) >= 30
    for name in NAMED:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert test in _functions(ROOT / path), name


def test_every_promise_names_one() -> None:
    promises = PAGE.split("## Promises and their tests")[1].split("\n\n`make audit`")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 12
    assert [row for row in rows if "::test_" not in row] == []
