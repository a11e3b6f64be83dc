"""Who is measured: each takes texts and returns their labels in order."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .service import Service

Labels = list[str]
#: A text that looks like a token to whoever asks for one, and is none.
TOKEN = "hf_" + "x" * 34


def ours(service: Service, texts: Sequence[str], **using: Any) -> tuple[Labels, Any]:
    """A frame through ``Prediction.run``, as MindsDB would hand it over, with an answer store of its own.

    Nothing is known of the service beforehand: every call begins anew.
    """
    with predictor(service, **using) as predict:
        return predict(texts), None


@contextmanager
def predictor(service: Service, **using: Any) -> Iterator[Callable[[Sequence[str]], Labels]]:
    """The same, to be called several times: what is learned of the service stays, answers too."""
    import pandas as pd

    from huggingface_api_handler.arguments import engine_settings, model_settings
    from huggingface_api_handler.cache import SqliteCache
    from huggingface_api_handler.query.caller import Caller
    from huggingface_api_handler.query.pipeline import Prediction
    from huggingface_api_handler.query.runtime import Runtime

    engine = engine_settings({"base_url": service.url, "api_key": TOKEN}, environ={})
    given = {"task": "text-classification", "model_name": "org/model", "input_column": "text", **using}
    model = model_settings(given, engine, hub=lambda *_: None)
    caller = Caller(tenant="0/0", engine="bench", model="bench", name="bench", target="label")
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteCache(Path(folder) / "answers.sqlite")
        prediction = Prediction(model, engine, caller, Runtime(), store)

        def predict(texts: Sequence[str]) -> Labels:
            labels: Labels = prediction.run(pd.DataFrame({"text": list(texts)}))["label"].tolist()
            return labels

        try:
            yield predict
        finally:
            store.close()


def asyncio_bare(service: Service, texts: Sequence[str], workers: int, size: int = 1) -> Labels:
    """Nothing but asyncio's streams: what this machine and this language allow."""
    lists = [list(texts[at : at + size]) for at in range(0, len(texts), size)]
    labels: list[Labels] = [[] for _ in lists]
    work = iter(enumerate(lists))

    async def worker() -> None:
        reader, writer = await asyncio.open_connection(service.host, service.port)
        for at, some in work:
            body = json.dumps({"inputs": some if size > 1 else some[0]}).encode()
            writer.write(
                b"POST /models/org/model HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            labels[at] = [answer[0]["label"] for answer in json.loads(await reader.readexactly(length))]
        writer.close()

    async def main() -> None:
        await asyncio.gather(*(worker() for _ in range(workers)))

    asyncio.run(main())
    return [label for some in labels for label in some]


def requests_pool(service: Service, texts: Sequence[str], workers: int) -> Labels:
    """A thread pool on one ``requests`` session, as one writes it in a quarter of an hour."""
    import requests
    from requests.adapters import HTTPAdapter

    with requests.Session() as session, ThreadPoolExecutor(workers) as pool:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=workers))
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        url = f"{service.url}/models/org/model"

        def ask(text: str) -> str:
            reply = session.post(url, json={"inputs": text}, timeout=60)
            reply.raise_for_status()
            label: str = reply.json()[0][0]["label"]
            return label

        return list(pool.map(ask, texts))


def hub_sync(service: Service, texts: Sequence[str]) -> Labels:
    """``huggingface_hub.InferenceClient``, one call after the other."""
    from huggingface_hub import InferenceClient

    client = InferenceClient(model=f"{service.url}/models/org/model", token=TOKEN)
    return [client.text_classification(text)[0].label for text in texts]


def hub_async(service: Service, texts: Sequence[str], workers: int) -> Labels:
    """``huggingface_hub.AsyncInferenceClient``, ``workers`` calls at a time."""
    from huggingface_hub import AsyncInferenceClient

    async def main() -> Labels:
        client = AsyncInferenceClient(model=f"{service.url}/models/org/model", token=TOKEN)
        turn = asyncio.Semaphore(workers)

        async def ask(text: str) -> str:
            async with turn:
                return (await client.text_classification(text))[0].label

        try:
            return list(await asyncio.gather(*map(ask, texts)))
        finally:
            close = getattr(client, "close", None)
            if close is not None:
                await close()

    return asyncio.run(main())


class CannotRun(Exception):
    """A contender that does not get through; the text says why."""


#: The handler that MindsDB brings along, used as MindsDB uses it, but with storages in memory. Its own argument
#: ``endpoint`` names the service; its address for the service of Hugging Face answers no more.
BUNDLED = """
import contextlib, importlib, json, sys, time
import pandas as pd
from benchmarks.service import label_of
folder, url, rows, token = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
class Storage(dict):
    json_set, json_get = dict.__setitem__, dict.__getitem__
    def get_connection_args(self): return {"huggingface_api_api_key": token}
measured = {}
with contextlib.redirect_stdout(sys.stderr):
    module = importlib.import_module(f"mindsdb.integrations.handlers.{folder}.huggingface_api_handler")
    handler = module.HuggingFaceInferenceAPIHandler.__new__(module.HuggingFaceInferenceAPIHandler)
    handler.model_storage, handler.engine_storage = Storage(), Storage()
    using = {"input_column": "text", "task": "text-classification", "model_name": "org/model"}
    using["endpoint"] = f"{url}/models"
    handler.create_validation("label", {"using": using})
    handler.create("label", args={"using": using})
    asked = [f"text number {number}" for number in range(rows)]
    frame = pd.DataFrame({"text": asked})
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        labels = handler.predict(frame, {})["label"].tolist()
        measured["right"] = labels == [label_of(text) for text in asked]
    except Exception as error:
        measured["error"] = f"{type(error).__name__}: {error}"
    measured["seconds"], measured["cpu_seconds"] = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps(measured))
"""


def bundled(service: Service, rows: int) -> tuple[float, float]:
    """The handler bundled with MindsDB, in a process of its own, on the texts of ``cases.texts(rows)``.

    Returns:
        seconds on the clock and of its process's CPU.

    Raises:
        CannotRun: it is not there, or it does not get through.
    """
    from huggingface_api_handler.cli.link import ASIDE, FOLDER, InstallError, handlers_folder, is_installed

    try:
        handlers = handlers_folder()
    except InstallError as error:
        raise CannotRun(str(error)) from None
    folder = ASIDE if is_installed(handlers) else FOLDER
    if not (handlers / folder / "huggingface_api_handler.py").exists():
        raise CannotRun(f"this MindsDB brings no {FOLDER} along")
    with tempfile.TemporaryDirectory() as storage:
        environ = {**os.environ, "HF_ENDPOINT": service.url, "HF_HOME": storage, "MINDSDB_STORAGE_DIR": storage}
        command = [sys.executable, "-c", BUNDLED, folder, service.url, str(rows), TOKEN]
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            raise CannotRun("it had not ended after three minutes") from None
    lines = done.stdout.strip().splitlines() or [""]
    try:
        measured = json.loads(lines[-1])
    except ValueError:
        raise CannotRun((done.stderr.strip().splitlines() or ["it said nothing"])[-1]) from None
    if "error" in measured:
        raise CannotRun(measured["error"])
    if not measured["right"]:
        raise CannotRun("its answers are on wrong rows")
    return measured["seconds"], measured["cpu_seconds"]
