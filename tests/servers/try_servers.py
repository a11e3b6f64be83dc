"""Ask servers that nobody here wrote, on loopback: each argument of a task through the handler's own street.

::

    python tests/servers/try_servers.py FOLDER [SERVER …]

Makes virtual environments, small models of random weights and the servers' logs in ``FOLDER``: about 9 GB and a quarter
of an hour the first time. The servers reach no hub. The values of each case (``cases.py``) are compared with those of
the model run directly, and what became of it is printed and written to ``results.json``, from which docs/tables.py
makes the table of docs/endpoints.md. The exit code tells whether all was as expected. Expected are errors too: what a
server refuses is part of the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.servers import native, scripted  # noqa: E402
from tests.servers.case import CHECKS, DIRECT, EFFECT, HERE, IGNORED, REFUSED, SAMPLED, Case, Server, error  # noqa: E402
from tests.servers.cases import CASES, LLAMA_CHAT, SERVERS  # noqa: E402
from tests.servers.desk import Desk  # noqa: E402
from tests.servers.environments import closed, installed, models_of, running, versions  # noqa: E402

RESULTS = HERE / "results.json"
#: How far numbers may be from those of a direct run: models add floats in another order.
CLOSE = 1e-3

# --- the values to compare with -------------------------------------------------------------------


def direct_answers(server: Server, url: str, folder: Path) -> dict[int, list[Any]]:
    """Return what the models say when they are run directly: place of the case → a value for each row.

    Args:
        url: of the server, or of the one behind it.
    """
    wanted = {place: case for place, case in enumerate(CASES) if case.server is server and case.expect == DIRECT}
    server = server.behind or server
    if not server.direct:
        return {place: native.answers(url, one.task, one.rows, one.arguments) for place, one in wanted.items()}
    models = models_of(server, folder)
    questions = [
        {"task": one.task, "rows": one.rows, "using": one.arguments,
         "model": str(models / one.arguments.get("model_name", server.models[0]))}
        for one in wanted.values()
    ]  # fmt: skip
    done = subprocess.run(
        [installed(server, folder) / "python", HERE / server.direct],
        input=json.dumps(questions), capture_output=True, text=True, env=closed(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{server.direct} failed: {done.stderr[-2000:]}")
    return dict(zip(wanted, json.loads(done.stdout), strict=True))


#: Tasks whose values are in ``y_explain``, in both columns, and in ``y`` as JSON.
_IN_EXPLAIN = (
    "text-classification", "zero-shot-classification", "fill-mask", "image-classification", "audio-classification",
)  # fmt: skip
_IN_BOTH = (
    "question-answering", "table-question-answering", "visual-question-answering", "automatic-speech-recognition",
)  # fmt: skip
_IN_JSON = ("feature-extraction", "token-classification", "object-detection", "image-segmentation")


def values_of(task: str, result: pd.DataFrame) -> list[Any]:
    """Return the values of a result in the form in which direct runs give them."""
    if task in _IN_EXPLAIN:
        return [json.loads(value) for value in result["y_explain"]]
    if task in _IN_BOTH:
        return [[y, json.loads(more)] for y, more in result[["y", "y_explain"]].to_numpy().tolist()]
    if task in _IN_JSON:
        return [json.loads(value) for value in result["y"]]
    return list(result["y"])


def alike(one: Any, other: Any) -> bool:
    """Return whether two values are equal, numbers but for their last digits.

    Bytes that are no whole character do not count: vLLM leaves them out at the end of a text, others write U+FFFD.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and alike(list(one.values()), list(other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return abs(one - other) <= CLOSE * max(1, abs(other))
    if isinstance(one, str) and isinstance(other, str):
        return one.replace("\ufffd", "") == other.replace("\ufffd", "")
    return bool(one == other)


# --- the questions --------------------------------------------------------------------------------


def verdict_of(case: Case, direct: list[Any] | None, desk: Desk) -> tuple[str, str]:
    """Return what became of a case, and more of it for people."""
    result = desk.predict(case.task, case.rows, case.arguments, case.path)
    if case.expect in CHECKS:
        good = CHECKS[case.expect](result)
        return (case.expect if good else f"not: {case.expect}"), str(result.head(3).to_dict("list"))
    failed = result.dropna(subset=["y_error_type"])
    if len(failed):
        code, said = failed.iloc[0][["y_error_type", "y_error"]]
        if len(failed) < len(result):
            return f"{error(code)} on {len(failed)} of {len(result)} rows", said
        return (REFUSED if code == "invalid_settings" and "has no effect" in said else error(code)), said
    values = values_of(case.task, result)
    if case.expect in (IGNORED, EFFECT, SAMPLED):
        plain = desk.predict(case.task, case.rows, case.server.base.get(case.task, {}), case.path)
        if alike(values, values_of(case.task, plain)):
            return IGNORED, str(values[:2])
        again = values_of(case.task, desk.predict(case.task, case.rows, case.arguments, case.path))
        return (EFFECT if alike(values, again) else SAMPLED), str(values[:2])
    if direct is None or not alike(values, direct):
        return "answered, but not as the model run directly", f"{values[:2]}, not {(direct or [])[:2]}"[:2000]
    alone = desk.predict(case.task, case.rows[-1:], case.arguments, case.path)
    if case.arguments.get("seed") is None and not alike(values_of(case.task, alone), direct[-1:]):
        return "answered, but otherwise for a row alone", f"{values[-1:]}"[:2000]
    return DIRECT, f"{len(result)} rows"


def ask(server: Server, folder: Path) -> tuple[list[dict[str, str]], int]:
    """Ask a server everything; return the results and how many are not as expected."""
    found, failed = [], 0
    with contextlib.ExitStack() as running_now:
        behind = running_now.enter_context(running(server.behind, folder)) if server.behind else ""
        url = running_now.enter_context(running(server, folder, behind=behind))
        print(f"\n{server.name}", flush=True)
        direct = direct_answers(server, behind or url, folder)
        desk = Desk(url)
        for place, case in enumerate(CASES):
            if case.server is not server:
                continue
            verdict, more = verdict_of(case, direct.get(place), desk)
            good = verdict == case.expect
            failed += not good
            found.append({"task": case.task, "arguments": case.title, "result": verdict})
            told = verdict if good else f"{verdict} (expected: {case.expect}): {more}"
            print(f"  {'ok  ' if good else 'FAIL'} {case.task}: {case.title}: {told}", flush=True)
    if server is LLAMA_CHAT:
        for arguments, verdict in scripted.verdicts(folder):
            good = verdict == scripted.GOOD
            failed += not good
            found.append({"task": "chat-completion", "arguments": arguments, "result": verdict})
            print(f"  {'ok  ' if good else 'FAIL'} chat-completion: {arguments}: {verdict}", flush=True)
    return found, failed


def keep(server: Server, found: list[dict[str, str]], folder: Path) -> None:
    """Write the results of a server beside those of the others, in the order of the servers."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results[server.name] = {"versions": versions(server, folder), "cases": found}
    kept = {one.name: results[one.name] for one in SERVERS if one.name in results}
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(folder: Path, names: Sequence[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    missing: set[str] = set()
    for server in SERVERS:
        if names and not {server.name, server.environment} & set(names):
            continue
        if server.source and not os.environ.get(server.source):
            missing.add(f"NOT TESTED: {server.environment}. Name the folder with its source: {server.source}=FOLDER.")
            continue
        try:
            installed(server, folder)
        except subprocess.CalledProcessError:
            missing.add(f"NOT TESTED: {server.environment}. It cannot be installed; see above.")
            failed += 1
            continue
        found, bad = ask(server, folder)
        keep(server, found, folder)
        failed += bad
    print(*("", *sorted(missing)), sep="\n")
    print(f"{failed} results are not as expected." if failed else "All results are as expected.")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
