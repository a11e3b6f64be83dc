"""Links, commands and generated tables of the documentation are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from huggingface_api_handler.errors import BY_CODE

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))

pytestmark = pytest.mark.docs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        if anchor:
            assert anchor in _anchors(path), target


def _anchors(page: Path) -> set[str]:
    return {_anchor(line) for line in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_tables_are_up_to_date() -> None:
    """Also with another version of huggingface_hub, whose list of providers may be longer."""
    done = subprocess.run(
        [sys.executable, "docs/tables.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    named = re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= TARGETS


def test_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"make ([a-z-]+)", listed)) == TARGETS - {"$(VENV)"}


def test_every_marked_table_is_on_a_page_that_is_checked() -> None:
    marked = {
        str(page.relative_to(ROOT))
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        if "<!-- table:" in page.read_text(encoding="utf-8")
    }
    named = re.search(r"^PAGES = \(([^)]*)\)$", (ROOT / "docs" / "tables.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert named is not None
    assert marked == set(re.findall(r'"([^"]+)"', named[1]))


@pytest.mark.parametrize(("code", "kind"), BY_CODE.items())
def test_every_error_says_what_to_do(code: str, kind: type) -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{code}`"))
    assert kind.remedy in row
    assert len(kind.remedy) > 20
    assert "``" not in row
