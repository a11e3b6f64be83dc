"""The tests leave alone what belongs to whoever runs them: the home folder, a MindsDB and its settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_tests_that_import_mindsdb_write_into_folders_of_their_own_and_remove_them(tmp_path: Path) -> None:
    theirs = {name: str(tmp_path / name) for name in ("HOME", "TMPDIR", "MINDSDB_STORAGE_DIR", "HF_HOME")}
    for folder in theirs.values():
        os.mkdir(folder)
    settings = {"MINDSDB_DB_CON": f"sqlite:///{tmp_path}/theirs.db", "MINDSDB_CONFIG_PATH": f"{tmp_path}/theirs.json"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path}/pytest"),
            "tests/unit/cli/test_doctor_queue.py",
        ],
        cwd=ROOT, env={**os.environ, **theirs, **settings}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path for folder in theirs.values() for path in Path(folder).iterdir()] == []
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "pytest"}
