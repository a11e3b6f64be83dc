"""What importing the package does to a process: next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

_SCRIPT = """
import json, logging, sys
%s
logging.getLogger("app").setLevel(logging.WARNING)
logging.getLogger("app.part").addHandler(logging.NullHandler())
logging.basicConfig(level=logging.ERROR)

def picture():
    loggers = {"root": logging.root, **logging.root.manager.loggerDict}
    return {
        name: [one.disabled, one.level, one.propagate, [type(each).__name__ for each in one.handlers]]
        for name, one in loggers.items() if isinstance(one, logging.Logger)
    }

before = picture()
%s
after = picture()
print(json.dumps({
    "changed": {name: [was, after.get(name)] for name, was in before.items() if after.get(name) != was},
    "modules": sorted(sys.modules),
    "configured": [name for name, one in after.items() if name.startswith("huggingface_api") and (one[1] or one[3])],
}))
"""


def run(imports: str, earlier: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT % (earlier, imports)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_importing_everything_changes_no_logger() -> None:
    found = run(
        "import huggingface_api_handler.query.pipeline, huggingface_api_handler.query.describe\n"
        "import huggingface_api_handler.cli.main\n"
        "from huggingface_api_handler.protocols.hugging_py_face import load\n"
        "load()",
        earlier="import requests, huggingface_hub, pandas, pydantic",  # these set up loggers of their own
    )
    assert "hugging_py_face" in found["modules"]
    assert found["changed"] == {}
    assert found["configured"] == []


def test_hugging_py_face_would_change_them_if_it_could() -> None:
    assert run("import hugging_py_face")["changed"]


def test_the_query_path_is_imported_without_what_is_not_needed_yet() -> None:
    modules = set(run("import huggingface_api_handler.query.pipeline")["modules"])
    assert not modules & {"mindsdb", "hugging_py_face", "huggingface_hub", "redis", "starlette", "httpx", "httpx2"}
