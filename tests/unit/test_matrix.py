"""What the compatibility matrix says, what is declared, and what docs/measurements.md shows agree."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import cells, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOUND = cells.results()
WORKS = [cell for cell in cells.CELLS if FOUND.get(cell.name, {}).get("verdict") == "works"]


#: What was tried; the table in docs/measurements.md marks the others.
TRIED = [cell for cell in cells.CELLS if cell.name in FOUND]


def test_nothing_but_cells_is_told_and_each_python_and_release_was_tried() -> None:
    assert list(FOUND) == [cell.name for cell in TRIED]
    for part in ("python", "mindsdb", "hub"):
        assert {getattr(cell, part) for cell in TRIED} == {getattr(cell, part) for cell in cells.CELLS}


@pytest.mark.parametrize("cell", TRIED, ids=lambda cell: cell.name)
def test_a_cell_says_what_was_tried(cell: cells.Cell) -> None:
    found = FOUND[cell.name]
    if found["verdict"] == "cannot be installed":
        assert found["reason"]
        return
    assert found["python"].startswith(f"{cell.python}.")
    assert found["packages"]["mindsdb"] == cell.mindsdb
    failed = [name for name, step in found["steps"].items() if not step["ok"]]
    assert (found["verdict"] == "works") == (not failed)
    steps = re.findall(r"^    Smoke\.(\w+),$", run.SMOKE.read_text(encoding="utf-8"), re.MULTILINE)
    assert list(found["steps"]) == steps[: len(found["steps"])]
    assert failed or len(found["steps"]) == len(steps) > 15


def test_the_newest_hub_is_newer_where_something_else_holds_it_back() -> None:
    for cell in TRIED:
        if cell.hub == "newest":
            chosen = FOUND[cells.Cell(cell.python, cell.mindsdb, "resolved").name]["packages"]["huggingface_hub"]
            newest = FOUND[cell.name]["packages"]["huggingface_hub"]
            assert [int(part) for part in newest.split(".")] >= [int(part) for part in chosen.split(".")]


def test_what_is_declared_is_what_works() -> None:
    pythons = {cell.python for cell in WORKS}
    assert PROJECT["requires-python"] == ">=3.10,<3.14"
    assert pythons == {"3.10", "3.11", "3.12", "3.13"}
    named = {one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r"Python :: 3\.", one)}
    assert named == pythons
    releases = sorted({tuple(map(int, cell.mindsdb.split("."))) for cell in WORKS})
    assert f"mindsdb>={'.'.join(map(str, releases[0]))}" in PROJECT["dependencies"]


def test_a_cell_is_written_down_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "RESULTS", tmp_path / "results.json")
    first, second = cells.CELLS[:2]
    cells.keep(second, {"verdict": "works"})
    cells.keep(first, {"verdict": "fails"})
    assert list(cells.results()) == [first.name, second.name]
    assert json.loads((tmp_path / "results.json").read_text())[first.name] == {"verdict": "fails"}
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_python_that_is_named_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PYTHONS", f"{tmp_path}/none {sys.executable}")
    assert run.pythons() == {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}


def test_a_missing_python_is_told_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "pythons", lambda: {"3.12": "python3.12"})
    assert run.main(["--list", "--again"]) == 1
    output = capsys.readouterr().out
    assert "Python 3.10: MISSING" in output and "NOT TRIED" in output


def test_the_only_words_choose(capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["--list", "--only", "3.13", "newest"])
    output = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  mindsdb-")]
    assert [line.split()[0] for line in output] == ["mindsdb-26.1.0_python-3.13_hub-newest"]


def test_the_table_tells_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("docs_tables", ROOT / "docs" / "tables.py")
    assert spec is not None and spec.loader is not None
    tables: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    output = {
        "mindsdb-1.0_python-3.10_hub-resolved": {"mindsdb": "1.0", "verdict": "works", "packages": {
            "huggingface_hub": "1.5"}},
        "mindsdb-1.0_python-3.12_hub-resolved": {"mindsdb": "1.0", "verdict": "fails", "reason": "drop: | no",
            "packages": {"huggingface_hub": "1.5"}},
        "mindsdb-1.0_python-3.12_hub-newest": {"mindsdb": "1.0", "verdict": "works", "packages": {
            "huggingface_hub": "2.0"}},
        "mindsdb-0.9_python-3.12_hub-resolved": {"mindsdb": "0.9", "verdict": "cannot be installed",
            "reason": "too old"},
    }  # fmt: skip
    monkeypatch.setattr(tables, "MATRIX", tmp_path / "results.json")
    tables.MATRIX.write_text(json.dumps(output))
    assert tables.matrix().splitlines() == [
        "| MindsDB | huggingface_hub | Python 3.10 | Python 3.12 |",
        "| --- | --- | --- | --- |",
        "| 1.0 | 1.5 | works | fails |",
        "| 1.0 | 2.0 (newest) | not tried | works |",
        "| 0.9 | – | not tried | cannot be installed |",
        "",
        "- MindsDB 1.0 on Python 3.12: drop: | no",
        "- MindsDB 0.9 on Python 3.12: too old",
    ]
