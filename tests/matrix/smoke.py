"""Try the installed package with the MindsDB beside it, from ``install`` to ``uninstall``; run by ``run.py``.

    PYTHON -I smoke.py REPORT.json

Run isolated, so that what is imported is the wheel and never a checkout. Each step is an expectation; all of them
are tried, also behind one that failed. ``REPORT.json`` gets the versions found and what became of each step.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import uvicorn

from huggingface_api_handler import title
from huggingface_api_handler.cli.link import ASIDE, FOLDER, PACKAGE, handlers_folder
from huggingface_api_handler.hub import facts
from huggingface_api_handler.sandbox import app, fingerprint
from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, SQLError, Table, service_environment
from huggingface_api_handler.tasks.samples import png

PACKAGES = (
    "mindsdb", "huggingface-api-handler", "huggingface_hub", "hugging-py-face", "pandas", "numpy", "pydantic",
    "requests", "redis", "starlette", "duckdb",
)  # fmt: skip

ENGINE_KEY = "hf_" + "matrixKey" * 4
MODEL_KEY = "hf_" + "modelsOwn" * 4
BAD_KEY = "hf_" + "refused88" * 4

#: More than 1,000 cells: from there on MindsDB's own prediction cache takes look-alike tables for one.
ROWS = 600
GOOD = "I love this kettle, great value, number {}"
BAD = "I hate this kettle, terrible quality, number {}"

#: A text of which no error may remind its reader.
INSIDES = re.compile(r"Traceback|File \"|\.py\b|site-packages")


class Front:
    """The sandbox, and before it one model at one Inference Provider, which the sandbox lacks.

    The provider answers as ``together`` does where ``huggingface_hub`` asks it for an image.
    """

    MODEL = "acme/painter"
    PAINTED = png(b"painted").data

    def __init__(self) -> None:
        self._inner: Any = app(bad_tokens=[BAD_KEY])
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path == f"/api/models/{self.MODEL}":
            served = {"status": "live", "providerId": "painter-1", "task": "text-to-image"}
            said: dict[str, Any] = {
                "id": self.MODEL, "modelId": self.MODEL, "pipeline_tag": "text-to-image", "tags": ["text-to-image"],
                "inferenceProviderMapping": {"together": served}, "private": False, "gated": False,
            }  # fmt: skip
        elif path == "/together/v1/images/generations":
            body = b""
            more = True
            while more:
                event = await receive()
                body += event.get("body", b"")
                more = event.get("more_body", False)
            self.bodies.append(json.loads(body))
            said = {"data": [{"b64_json": base64.b64encode(self.PAINTED).decode()}]}
        else:
            await self._inner(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Run it in a thread; yield its URL."""
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self, lifespan="off", log_config=None, log_level="critical", access_log=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(10)


def mood(text: str) -> str:
    """What the sandbox's classifier says of a text, without any reader of ours."""
    answer: Any = FAKE_MODELS["text-classification"](text, {"top_k": 100})
    while isinstance(answer[0], list):
        answer = answer[0]
    return str(max(answer, key=lambda entry: entry["score"])["label"])


def seen(data: bytes) -> str:
    """What its image classifier says of a picture."""
    return str(max(FAKE_MODELS["image-classification"](data, {}), key=lambda entry: entry["score"])["label"])


def digest(folder: Path) -> str:
    """Return a hash of every name and byte below ``folder``."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path.relative_to(folder)).encode() + b"\0")
        if path.is_file():
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


@dataclass
class Smoke:
    """One MindsDB with this package, and what was found of it."""

    folder: Path
    front: Front
    url: str
    server: MindsDBServer
    environ: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    bundled: str = ""
    beside: frozenset[str] = frozenset()

    # --- tools ---

    def sql(self, statement: str, **context: Any) -> Table:
        return self.server.sql(statement, timeout=240, context={"db": "mindsdb", **context})

    def model(self, statement: str) -> None:
        self.sql(statement)
        self.server.wait_for_model(statement.split()[2], timeout=240)

    def refusal(self, statement: str) -> str:
        """Run what must be refused; return what was said."""
        try:
            self.sql(statement)
        except SQLError as error:
            return str(error)
        raise AssertionError(f"not refused: {statement}")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.server.url}/api/{path}", timeout=120) as answer:
            read: bytes = answer.read()
            return read

    def run(self, command: str) -> str:
        """Run a command of the package as people do; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-I", "-m", "huggingface_api_handler", command],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: exit code {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    # --- steps, in their order ---

    def install(self) -> None:
        handlers = handlers_folder()
        assert (handlers / FOLDER / "__init__.py").is_file(), "MindsDB bundles no handler of this name"
        assert not (handlers / FOLDER).is_symlink()
        self.bundled = digest(handlers / FOLDER)
        self.beside = frozenset(path.name for path in handlers.iterdir() if path.name != "__pycache__")
        assert "linked" in self.run("install")
        assert (handlers / ASIDE).is_dir()
        assert (handlers / FOLDER).resolve() == PACKAGE

    def doctor(self) -> None:
        said = self.run("doctor")
        assert "PROBLEM" not in said, said
        assert said.count("ok ") >= 8, said
        self.warnings = [
            line.removeprefix("warning").strip() for line in said.splitlines() if line.startswith("warning")
        ]

    def server_starts(self) -> None:
        self.server.start(timeout=420)

    def listed_with_title_and_icon(self) -> None:
        listed = {one["name"]: one for one in json.loads(self.get("handlers/"))}
        ours = listed["huggingface_api"]
        assert ours["title"] == title, ours["title"]
        assert ours["import"]["success"] is True, ours["import"]
        wanted = (PACKAGE / "requirements.txt").read_text(encoding="utf-8").splitlines()
        assert set(ours["import"]["dependencies"]) >= {"hugging-py-face~=0.5.3"}, ours["import"]
        assert len(ours["import"]["dependencies"]) == len(wanted), ours["import"]
        assert self.get("handlers/huggingface_api/icon") == (PACKAGE / "icon.svg").read_bytes()

    def create_ml_engine(self) -> None:
        self.sql(f"CREATE ML_ENGINE hf FROM huggingface_api USING api_key = '{ENGINE_KEY}'")
        engines = str(self.sql("SHOW ML_ENGINES", show_secrets=True).rows)
        assert "******" in engines and ENGINE_KEY not in engines, engines
        said = self.refusal(f"CREATE ML_ENGINE no FROM huggingface_api USING api_key = '{BAD_KEY}'")
        assert "401" in said or "does not know this token" in said, said
        assert BAD_KEY not in said and not INSIDES.search(said), said

    def a_hub_out_of_reach(self) -> None:
        """Whatever HTTP library huggingface_hub has: its faults are known, and no reason to refuse."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with mock.patch.dict(os.environ, HF_ENDPOINT=nowhere):
            assert facts.reachable(10) is False
            assert facts.whoami(ENGINE_KEY, 10) is None
            assert facts.model_facts("org/name", timeout=10) is None

    def create_model_and_select(self) -> None:
        self.model(
            "CREATE MODEL sentiment PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'"
        )
        found = self.sql("SELECT text, mood FROM sentiment WHERE text = 'I like you. I love you.'").records()
        assert found == [{"text": "I like you. I love you.", "mood": "POSITIVE"}], found

    def join_a_table(self) -> None:
        """Twice: two tables of which MindsDB's own prediction cache would mix up the answers."""
        path = self.folder / "shop.duckdb"
        tables: dict[str, list[tuple[int, str | None]]] = {}
        for table, every in (("reviews", 3), ("twins", 2)):
            inside = [(n, (GOOD if n % every else BAD).format(n)) for n in range(5, ROWS - 5)]
            ends = [(n, GOOD.format(n)) for n in (*range(5), *range(ROWS - 5, ROWS))]
            tables[table] = sorted([*inside, *ends])
            tables[table][100] = (100, None)
        with duckdb.connect(str(path)) as connection:
            for table, rows in tables.items():
                connection.execute(f"CREATE TABLE {table} (id INTEGER, review VARCHAR)")
                connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", rows)
            connection.execute("CREATE TABLE pictures (id INTEGER, image BLOB)")
            pictures = [(n, png(b"%d" % n).data) for n in range(12)]
            connection.executemany("INSERT INTO pictures VALUES (?, ?)", pictures)
        parameters = json.dumps({"database": str(path), "read_only": True})
        self.sql(f"CREATE DATABASE duck WITH ENGINE = 'duckdb', PARAMETERS = {parameters}")
        for table, rows in tables.items():
            found = self.sql(f"SELECT r.id, m.mood FROM duck.{table} AS r JOIN sentiment AS m ON m.text = r.review")
            expected = {number: mood(text) if text else None for number, text in rows}
            assert len(set(expected.values())) == 3
            assert len(found) == ROWS, f"{len(found)} rows of {table}"
            wrong = [row for row in found.rows if expected[row[0]] != row[1]]
            assert not wrong, f"{len(wrong)} wrong rows of {table}: {wrong[:3]}"

    def second_task_on_a_file(self) -> None:
        """Through MindsDB's own reader of files, with a number and an empty cell in the way."""
        rows = ["id,weight,note", "1,2.5,a blue tent", "2,,a red lamp", "3,1.0,"]
        self._upload("notes", "\n".join(rows).encode() + b"\n")
        self.model(
            "CREATE MODEL vectors PREDICT vector USING engine = 'hf', task = 'feature-extraction', column = 'note'"
        )
        found = self.sql("SELECT f.id, f.weight, m.vector, m.vector_explain FROM files.notes AS f JOIN vectors AS m")
        by_id = {int(row[0]): row for row in found.rows}
        first, second = (json.loads(by_id[number][2]) for number in (1, 2))
        assert len(first) == len(second) == json.loads(by_id[1][3])["dimensions"] > 1, found
        assert first != second and all(isinstance(one, float) for one in first)
        assert by_id[3][2] is None, by_id[3]

    def _upload(self, name: str, content: bytes) -> None:
        mark = "matrixmatrixmatrix"
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in (("original_file_name", f"{name}.csv"),)
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}.csv"\r\n'
        parts.append(f"{head}Content-Type: text/csv\r\n\r\n".encode() + content + f"\r\n--{mark}--\r\n".encode())
        kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        request = urllib.request.Request(f"{self.server.url}/api/files/{name}", b"".join(parts), kind, method="PUT")
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert answer.status == 200

    def image_task(self) -> None:
        self.model(
            "CREATE MODEL looks PREDICT label USING engine = 'hf', task = 'image-classification', column = 'image'"
        )
        found = dict(self.sql("SELECT p.id, m.label FROM duck.pictures AS p JOIN looks AS m ON m.image = p.image").rows)
        assert found == {number: seen(png(b"%d" % number).data) for number in range(12)}, found
        text = base64.b64encode(png(b"alone").data).decode()
        assert self.sql(f"SELECT label FROM looks WHERE image = '{text}'").rows == ((seen(png(b"alone").data),),)

    def inference_provider(self) -> None:
        """The Hub says who serves the model, and huggingface_hub's helper puts the request together."""
        self.model(
            "CREATE MODEL painter PREDICT picture USING engine = 'hf', task = 'text-to-image', provider = 'together', "
            f"model_name = '{Front.MODEL}', column = 'prompt'"
        )
        (row,) = self.sql("SELECT picture FROM painter WHERE prompt = 'a hut'").rows
        assert row[0] == "data:image/png;base64," + base64.b64encode(Front.PAINTED).decode(), str(row[0])[:100]
        (body,) = self.front.bodies
        assert (body["prompt"], body["model"]) == ("a hut", "painter-1"), body

    def describe(self) -> None:
        task = str(self.sql("DESCRIBE sentiment.task").rows)
        # Its parameters are those of huggingface_hub's type.
        assert "input_column" in task and "top_k" in task and "function_to_apply" in task, task
        for table in ("args", "usage", "runs", "example"):
            described = self.sql(f"DESCRIBE sentiment.{table}")
            assert described.columns and "error" not in described.columns, described
        used = str(self.sql("DESCRIBE sentiment.usage").rows)
        assert "requests" in used, used

    def query_arguments(self) -> None:
        plan = self.sql(
            "SELECT m.mood_plan, count(*) AS n FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
            "GROUP BY m.mood_plan USING dry_run = true"
        )
        assert dict(plan.rows) == {"cache": ROWS - 1, "null": 1}, plan
        meta = self.sql("SELECT mood_meta FROM sentiment WHERE text = 'I love you' USING include_meta = true")
        assert json.loads(meta.rows[0][0])["source"] == "request", meta

    def errors_are_clean(self) -> None:
        rule = {"kind": "status", "status": 400, "contains": "REFUSE", "body": {"error": "no such word"}}
        self._faults({"rules": [rule]})
        join = "SELECT r.id, m.mood{} FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review"
        select = "SELECT mood{} FROM sentiment WHERE text = 'REFUSE this'"
        said = [
            self.refusal("CREATE MODEL x PREDICT y USING engine = 'hf', task = 'text-classification', colum = 't'"),
            self.refusal(
                "CREATE MODEL x PREDICT y USING engine = 'hf', task = 'text-classification', column = 't', "
                "model_name = 'nobody/nothing'"
            ),
            self.refusal(select.format("")),
            self.refusal(join.format("") + " USING use_cache = false, max_requests = 1, max_batch_size = 8"),
            # MindsDB drops it, so that it is read from MindsDB's own copy of the statement.
            self.refusal(join.format("") + " USING x.dry_run = true"),
        ]
        parts = (
            "did you mean 'column'", "nobody/nothing", "no such word", "max_requests", "names no model of the query",
        )  # fmt: skip
        for text, part in zip(said, parts, strict=True):
            assert part in text and not INSIDES.search(text), text
        kinds = self.sql(select.format(", mood_error, mood_error_type, mood_retryable") + " USING on_error = 'null'")
        assert kinds.rows[0][0] is None and kinds.rows[0][2] == "invalid_input", kinds
        assert "no such word" in kinds.rows[0][1], kinds
        self._faults(None)

    def _faults(self, faults: dict[str, Any] | None) -> None:
        body = json.dumps(faults).encode() if faults else None
        request = urllib.request.Request(f"{self.url}/sandbox/faults", body, method="PUT" if body else "DELETE")
        urllib.request.urlopen(request, timeout=30).close()

    def a_models_own_key(self) -> None:
        """RETRAIN must find it again, in the storage of the version before."""
        self.model(
            "CREATE MODEL keyed PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text', "
            f"api_key = '{MODEL_KEY}'"
        )
        self.sql("RETRAIN keyed")
        self.server.wait_for_model("keyed", timeout=240)
        versions = self.sql("SELECT version, active FROM mindsdb.models WHERE name = 'keyed'").rows
        assert [int(number) for number, active in versions if active] == [2], versions
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/sandbox/requests", method="DELETE"), timeout=30
        ).close()
        assert self.sql("SELECT mood FROM keyed WHERE text = 'I love retraining'").rows == (("POSITIVE",),)
        with urllib.request.urlopen(f"{self.url}/sandbox/requests", timeout=30) as answer:
            asked = json.load(answer)
        tokens = {one["token"] for one in (asked["requests"] if isinstance(asked, dict) else asked)}
        assert tokens == {fingerprint(MODEL_KEY)}, tokens

    def no_key_is_shown(self) -> None:
        shown = [
            str(self.sql(statement, show_secrets=True).rows)
            for statement in (
                "SELECT * FROM mindsdb.models",
                "DESCRIBE keyed",
                "DESCRIBE keyed.args",
                "SHOW ML_ENGINES",
            )
        ]
        for path in self.server.storage.rglob("*"):
            if path.is_file():
                shown.append(path.read_bytes().decode("latin1"))
        assert len(shown) > 10
        assert not any(key in text for text in shown for key in (ENGINE_KEY, MODEL_KEY, BAD_KEY))

    def drop(self) -> None:
        for name in ("sentiment", "vectors", "looks", "painter", "keyed"):
            self.sql(f"DROP MODEL {name}")
        assert self.sql("SELECT name FROM mindsdb.models").rows == ()
        self.sql("DROP ML_ENGINE hf")
        assert "hf" not in self.sql("SHOW ML_ENGINES").column("name")

    def server_stops(self) -> None:
        log = self.server.log_text()
        self.server.stop()
        broken = [line for line in log.splitlines() if "huggingface_api_handler" in line and "Error" in line]
        assert not broken, broken[:3]

    def uninstall(self) -> None:
        assert "restored the bundled handler" in self.run("uninstall")
        handlers = handlers_folder()
        assert not (handlers / FOLDER).is_symlink()
        assert digest(handlers / FOLDER) == self.bundled, "the bundled handler is not what it was"
        beside = {path.name for path in handlers.iterdir() if path.name != "__pycache__"}
        assert beside == self.beside, beside ^ self.beside


#: What a cell of the matrix means by "works".
STEPS: tuple[Callable[[Smoke], None], ...] = (
    Smoke.install,
    Smoke.doctor,
    Smoke.server_starts,
    Smoke.listed_with_title_and_icon,
    Smoke.create_ml_engine,
    Smoke.a_hub_out_of_reach,
    Smoke.create_model_and_select,
    Smoke.join_a_table,
    Smoke.second_task_on_a_file,
    Smoke.image_task,
    Smoke.inference_provider,
    Smoke.describe,
    Smoke.query_arguments,
    Smoke.errors_are_clean,
    Smoke.a_models_own_key,
    Smoke.no_key_is_shown,
    Smoke.drop,
    Smoke.server_stops,
    Smoke.uninstall,
)


def main(report: str) -> int:
    steps: dict[str, dict[str, Any]] = {}
    folder = Path(tempfile.mkdtemp(prefix="hf-matrix-"))
    front = Front()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(front.running())
        service = service_environment(f"{url}/hf-inference", url)
        environ = {**os.environ, "HF_HOME": str(folder / "hf"), "MINDSDB_STORAGE_DIR": str(folder / "doctor")}
        environ.update({name: value for name, value in service.items() if value is not None})
        for name, value in service.items():
            if value is None:
                environ.pop(name, None)
        server = MindsDBServer(folder / "storage", environ={**service, "HF_HOME": str(folder / "hf")})
        stack.callback(server.stop)
        smoke = Smoke(folder, front, url, server, environ)
        for step in STEPS:
            began = time.monotonic()
            try:
                step(smoke)
            except Exception as error:
                said = str(error) or traceback.format_exc(limit=-2)
                steps[step.__name__] = {"ok": False, "said": f"{type(error).__name__}: {said}"[:1500]}
                if step is Smoke.server_starts:
                    smoke.run("uninstall")
                    break
            else:
                steps[step.__name__] = {"ok": True}
            steps[step.__name__]["seconds"] = round(time.monotonic() - began, 1)
            print(f"  {'ok    ' if steps[step.__name__]['ok'] else 'FAILED'} {step.__name__}", flush=True)
    found = {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "doctor_warns": smoke.warnings,
        "steps": steps,
    }
    Path(report).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if len(steps) == len(STEPS) and all(step["ok"] for step in steps.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
