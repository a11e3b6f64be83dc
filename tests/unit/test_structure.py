"""CONTRIBUTING.md describes the structure that import-linter checks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "huggingface_api_handler"


def _structure() -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return text.partition("\n## Structure\n")[2].partition("\n## ")[0]


def test_the_drawing_shows_the_layers_of_the_contract() -> None:
    drawing = re.search(r"```text\n(.*?)```", _structure(), re.DOTALL)
    contract = re.search(
        r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert drawing is not None and contract is not None
    assert drawing.group(1).splitlines() == re.findall(r'"(.+)"', contract.group(1))


def test_every_folder_has_one_line() -> None:
    folders = sorted(f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py"))
    assert sorted(re.findall(r"^\| `(\w+/)`", _structure(), re.MULTILINE)) == folders


def test_every_named_file_and_function_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("\n## Structure\n")[2]
    for line in text.splitlines():
        names = re.findall(r"`([\w/.]+)`", line)
        files = [name for name in names if re.fullmatch(r"(\w+/)+\w+\.py", name)]
        for name in files:
            assert (PACKAGE / name).is_file() or (ROOT / name).is_file(), name
        if line.startswith("| ") and len(files) == 1:
            for name in names:
                if name.isidentifier() and not line.startswith(f"| the default, bounds and description of `{name}`"):
                    assert re.search(rf"\b{name}\b", (PACKAGE / files[0]).read_text("utf-8")), line
