"""Runs what imports MindsDB in a process of its own: MindsDB changes the logging of its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def printed(script: str, folder: Path, *arguments: str) -> list[str]:
    """Run a script; return the lines that it prints."""
    environ = {**os.environ, "MINDSDB_STORAGE_DIR": str(folder)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()
