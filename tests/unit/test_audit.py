"""``make audit`` tells what was not looked up from what is whole."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / "audit.py"
GOOD = [{"name": f"p{number}", "version": "1.0", "vulns": []} for number in range(4)]
SKIPPED = [{"name": f"s{number}", "skip_reason": "Dependency not found on PyPI"} for number in range(4)]
OURS = {"name": "huggingface-api-handler", "skip_reason": "distribution marked as editable"}
HOLE = {"name": "urllib3", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1", "2.0"]}]}


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([*GOOD, OURS], 0, "No known vulnerabilities in 4 packages"),
        ([*GOOD, *SKIPPED[:2]], 0, "Not looked up: s0, s1"),
        ([*SKIPPED, OURS], 2, "NOT AUDITED: 4 of 4"),
        ([*GOOD[:1], *SKIPPED], 2, "NOT AUDITED: 4 of 5"),
        ([], 2, "NOT AUDITED"),
        ([*GOOD, HOLE], 1, "urllib3 1.0: CVE-1, fixed in 1.1, 2.0 (MindsDB asks for it"),
        ([*SKIPPED, HOLE], 1, "NOT AUDITED: 4 of 5"),
    ],
)
def test_a_package_that_was_not_looked_up_is_not_called_whole(
    audit: Any, packages: list[dict[str, Any]], code: int, said: str
) -> None:
    lines, found = audit.report(packages, "urllib3>=1\nflask==3")
    assert found == code
    assert said in "\n".join(lines)
    assert ("No known" in "\n".join(lines)) == (code == 0)
