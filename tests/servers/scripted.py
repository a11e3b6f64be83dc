"""Rows that share a request, at a server that decodes by their schema, with a model that knows the answers.

No model of random weights copies the IDs of rows. This one says a script: the IDs are taken from a first request, to a
double that answers nothing, and the server then runs at the same address, since IDs depend on it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.servers.case import HERE
from tests.servers.cases import LLAMA_CHAT
from tests.servers.desk import Desk
from tests.servers.environments import closed, installed, models_of, running
from tests.unit.loopback import Loopback, answer

GOOD = "each row has the answer under its ID, in one request, also if the model changes the order"
SERVER = replace(LLAMA_CHAT, name="llama.cpp-script", models=(), command=tuple(
    one.replace("chat.gguf", "script.gguf") for one in LLAMA_CHAT.command
))  # fmt: skip
ROWS = (("good bread",), ("bad news",), ("cheap flight",), ("red apple",))
BASE = {"max_tokens": 200, "temperature": 0, "rows_per_request": len(ROWS)}
#: Arguments, and the answer of each row.
CASES: tuple[tuple[dict[str, Any], tuple[Any, ...]], ...] = (
    ({}, ("one", "two", "three", "four")),
    (
        {"output_schema": "mood text in (good, bad), amount integer"},
        tuple({"mood": mood, "amount": amount} for amount, mood in enumerate(("good", "bad", "good", None))),
    ),
)


def title(using: Mapping[str, Any]) -> str:
    """Return the arguments of a case for the table."""
    return ", ".join(f"`{name}`" for name in ("rows_per_request", *using)) + ", a model that knows the answers"


def verdicts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the arguments of each case, and what became of it."""
    for using, wanted in CASES:
        arguments = {**BASE, **using}
        with Loopback(answer({"error": "no"}, 500)) as double:
            Desk(double.url).predict("chat-completion", ROWS, arguments)
        prompt = next(one.json()["messages"][-1]["content"] for one in double.heard if one.method == "POST")
        lines = [json.loads(line) for line in prompt.splitlines() if line.startswith('{"id": ')]
        entries = [json.dumps({"id": line["id"], "answer": said}) for line, said in zip(lines, wanted, strict=True)]
        script = ['{"answers": [', *", \n".join(reversed(entries)).split("\n"), "]}"]
        python = installed(SERVER, folder) / "python"
        subprocess.run(
            [python, HERE / SERVER.maker, models_of(SERVER, folder), "script.gguf"],
            input=json.dumps(script), text=True, env=closed(), check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with running(SERVER, folder, double.port) as url:
            result = Desk(url).predict("chat-completion", ROWS, arguments)
        found = [json.loads(value) if using and value else value for value in result["y"]]
        shared = [json.loads(value or "{}").get("rows_in_request") for value in result["y_explain"]]
        good = found == list(wanted) and set(shared) == {len(ROWS)}
        yield title(using), GOOD if good else f"{found}, with {shared} rows in the request"
