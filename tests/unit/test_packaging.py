"""What the wheel and the source archive hold, and that files which repeat each other agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from huggingface_api_handler import version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "huggingface_api_handler"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

#: What MindsDB reads beside a handler's code.
BESIDE = ("icon.svg", "requirements.txt")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for name in BESIDE:
            assert archive.read(f"huggingface_api_handler/{name}") == (ROOT / name).read_bytes()
    sources = {str(file.relative_to(ROOT)) for file in PACKAGE.rglob("*.py")}
    assert sources <= names
    assert "huggingface_api_handler/py.typed" in names
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"huggingface_api_handler", f"huggingface_api_handler-{version}.dist-info"}


def test_the_source_archive_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
        assert all(member.isfile() for member in archive.getmembers())
        archive.extractall(tmp_path, filter="data")
    assert {*BESIDE, "Makefile", "examples/reviews.csv", "tests/conftest.py", "LICENSE"} <= names
    (folder,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (first,), (second,) = dist.glob("*.whl"), (tmp_path / "again").glob("*.whl")
    assert _content(first) == _content(second)


def test_the_pages_of_the_source_archive_link_to_files_in_it(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        pages = {
            member.name.partition("/")[2]: archive.extractfile(member).read().decode()
            for member in archive.getmembers()
            if member.name.endswith(".md")
        }
        names = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert {"README.md", "docs/operations.md"} <= set(pages)
    folders = {str(folder) for name in names for folder in Path(name).parents}
    broken = {
        (page, link)
        for page, text in pages.items()
        for link in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in link and os.path.normpath(Path(page).parent / link) not in names | folders
    }
    assert not broken


def _content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_checkout_has_them_beside_the_code_too() -> None:
    for name in BESIDE:
        assert (PACKAGE / name).read_bytes() == (ROOT / name).read_bytes()


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=~!\[;]", line, maxsplit=1)[0].lower().replace("_", "-") for line in requirements}


def test_requirements_name_what_the_package_needs() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    # MindsDB takes every line for a package, and shows them to its users.
    assert all(line and not line.startswith(("#", "-")) for line in lines)
    assert set(PROJECT["project"]["dependencies"]) <= set(lines)
    extra = _names(lines) - _names(PROJECT["project"]["dependencies"])
    assert extra <= _names(PROJECT["project"]["optional-dependencies"]["dev"])


def test_a_user_of_mindsdb_does_not_install_what_only_developers_need() -> None:
    """MindsDB hands every line to pip as it stands."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    markers = {one.name: one.marker for one in map(Requirement, lines)}
    assert {name for name, marker in markers.items() if marker and not marker.evaluate({"extra": ""})} == {
        "pytest",
        "responses",
    }
    assert {one.name for one in map(Requirement, PROJECT["project"]["dependencies"])}.isdisjoint(
        {"pytest", "responses"}
    )


def test_the_icon_is_one_small_drawing() -> None:
    icon = (ROOT / "icon.svg").read_text(encoding="utf-8")
    assert icon.startswith("<svg ") and len(icon) < 4000
    assert not re.search(r"<script|href=|<image|<foreignObject", icon)
