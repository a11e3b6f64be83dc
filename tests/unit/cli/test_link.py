"""Linking this package into MindsDB's folder of handlers, and restoring the folder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from huggingface_api_handler.cli.link import (
    ASIDE,
    FOLDER,
    PACKAGE,
    InstallError,
    install,
    is_installed,
    report,
    uninstall,
)


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    bundled = tmp_path / "handlers" / FOLDER
    (bundled / "sub").mkdir(parents=True)
    (bundled / "__init__.py").write_text("name = 'huggingface_api'\n")
    (bundled / "sub" / "x.bin").write_bytes(b"\0\1")
    (tmp_path / "handlers" / "other_handler").mkdir()
    return tmp_path / "handlers"


def snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): "link" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() or path.is_symlink()
    }


def test_install_links_and_uninstall_restores_byte_for_byte(handlers: Path) -> None:
    before = snapshot(handlers)
    assert len(install(handlers)) == 2
    assert is_installed(handlers)
    assert (handlers / FOLDER / "handler.py").exists()
    assert len(uninstall(handlers)) == 2
    assert snapshot(handlers) == before


def test_a_mindsdb_without_a_bundled_handler_is_served(tmp_path: Path) -> None:
    """Since 26.1 MindsDB moves handlers out of its package."""
    handlers = tmp_path / "handlers"
    (handlers / "other_handler").mkdir(parents=True)
    assert install(handlers) == [f"linked {FOLDER} into {handlers}: restart MindsDB if it is running"]
    assert is_installed(handlers)
    assert (handlers / FOLDER / "handler.py").exists()
    assert uninstall(handlers) == ["removed the link"]
    assert [path.name for path in handlers.iterdir()] == ["other_handler"]


def test_nor_is_one_missed_after_an_upgrade_that_drops_it(handlers: Path) -> None:
    """The upgrade removes the link, as it replaces the folder; the renamed one stays."""
    install(handlers)
    (handlers / FOLDER).unlink()
    install(handlers)
    assert is_installed(handlers)
    uninstall(handlers)
    assert (handlers / FOLDER / "__init__.py").read_text() == "name = 'huggingface_api'\n"


def test_a_second_call_does_nothing(handlers: Path) -> None:
    install(handlers)
    assert install(handlers) == [f"nothing to do: MindsDB already finds {FOLDER} here"]
    uninstall(handlers)
    assert uninstall(handlers) == ["nothing to do: not installed"]


def test_the_bundled_handler_gets_a_name_that_begins_with_two_underscores(handlers: Path) -> None:
    install(handlers)
    names = {path.name for path in handlers.iterdir()} - {FOLDER, "other_handler"}
    assert names and all(name.startswith("__") for name in names)


def test_a_link_elsewhere_is_replaced(handlers: Path, tmp_path: Path) -> None:
    install(handlers)
    (handlers / FOLDER).unlink()
    (handlers / FOLDER).symlink_to(tmp_path, target_is_directory=True)
    assert not is_installed(handlers)
    install(handlers)
    assert is_installed(handlers)


def test_an_upgraded_host_is_told_apart(handlers: Path) -> None:
    install(handlers)
    (handlers / FOLDER).unlink()
    (handlers / FOLDER).mkdir()
    with pytest.raises(InstallError, match="upgrade"):
        install(handlers)
    with pytest.raises(InstallError, match="not a link to this package"):
        uninstall(handlers)


@pytest.mark.parametrize("step", ["symlink_to", "rename", "unlink"])
def test_a_folder_that_cannot_be_written_is_left_whole(
    handlers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    if step == "unlink":
        (handlers / FOLDER).rename(handlers / ASIDE)
        (handlers / FOLDER).symlink_to(handlers)
    before = snapshot(handlers)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as refusing:
        refusing.setattr(Path, step, refuse)
        assert report(lambda: install(handlers)) == 1
    assert f"not done: {handlers} could not be changed (Permission denied): run this as" in capsys.readouterr().err
    assert snapshot(handlers) == before


@pytest.mark.parametrize("step", ["rename", "unlink"])
def test_nor_can_it_be_restored(handlers: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    install(handlers)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as refusing:
        refusing.setattr(Path, step, refuse)
        with pytest.raises(InstallError, match="Read-only file system"):
            uninstall(handlers)
    assert uninstall(handlers)[-1] == "restored the bundled handler"


def _mindsdb(root: Path) -> Path:
    """A package of MindsDB's name with a bundled handler; return its folder of handlers."""
    bundled = root / "mindsdb" / "integrations" / "handlers" / FOLDER
    bundled.mkdir(parents=True)
    (root / "mindsdb" / "__init__.py").touch()
    (bundled / "__init__.py").touch()
    return bundled.parent


def _install_in(folder: Path, *site: Path) -> str:
    """Run ``install`` as people do, with ``folder`` as the working folder; return what it printed."""
    code = (
        f"import runpy, sys; sys.path[:] = [{str(folder)!r}, *{[str(one) for one in site]!r}, "
        f"{str(PACKAGE.parent)!r}] + [one for one in sys.path if 'site-packages' not in one and one]; "
        "sys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in repr(one)]; "
        "sys.argv[1:] = ['install']; runpy.run_module('huggingface_api_handler', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_source_in_the_working_folder_is_not_the_mindsdb_that_runs(tmp_path: Path) -> None:
    """MindsDB's image stands in its source, runs the installed one, and starts it with ``-I``."""
    source, site = _mindsdb(tmp_path / "source"), _mindsdb(tmp_path / "site")
    said = _install_in(tmp_path / "source", tmp_path / "site")
    assert is_installed(site) and not is_installed(source)
    assert str(site) in said


def test_source_in_the_working_folder_is_taken_where_there_is_no_other(tmp_path: Path) -> None:
    source = _mindsdb(tmp_path / "source")
    _install_in(tmp_path / "source")
    assert is_installed(source)
