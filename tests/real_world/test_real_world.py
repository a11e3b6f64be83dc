"""Responses that real servers gave to real people, one JSON file each, replayed from loopback through a whole query.

A case is a file in a folder beside this one. Adding a case is adding a file:

- ``source``: where it was reported, or the server and version that gave it. ``about``: one sentence.
- ``model``, ``engine``, ``query``: the USING arguments of CREATE MODEL, CREATE ML_ENGINE and the SELECT.
  ``"endpoint": "/v1"`` in ``model`` becomes an endpoint of the replaying server with that path, and ``"$server"`` in
  ``engine`` the server's address.
- ``rows``: column → cells.
- ``responses``: what the server answers. Each has ``status``, ``headers``, ``body`` (JSON, or text as it is) and may
  say ``method``, ``path``, ``query``, ``contains`` and ``lacks``: the first one that fits a request and is not used up
  answers it. ``times`` is how often it may be used; without it there is no limit. ``drop``: the connection is closed
  instead. ``gzip``: the body is compressed. ``each``: text of a row → its part of the answer; ``"$each"`` in the body
  becomes the list of the parts for the texts in the request, in their order (``reversed``: in the other), and
  ``"$index"`` in a part its place.
- ``expect``: ``values``, ``explain`` (a subset of the JSON), ``errors`` (``null``, or ``code``, ``says``, ``silent``,
  ``retryable``), one a row; ``last``: the error of the last row, where others may have others; ``raises`` (as an
  error) for what ends the query or CREATE MODEL; ``requests`` (at most so many), ``sent`` (texts that some request
  holds), ``again`` (requests of the same query run again; 0: all were stored).
"""

from __future__ import annotations

import gzip
import json
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings, query_settings
from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks.task import ModelFacts
from tests.unit.loopback import Heard, Loopback, answer

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*/*.json"))
TOKEN = "hf_" + "w" * 34
CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")


class Replay:
    """Answers requests with a case's responses."""

    def __init__(self, responses: list[Mapping[str, Any]]) -> None:
        self.responses = responses
        self.used: Counter[int] = Counter()
        self.sent: list[Heard] = []

    def __call__(self, heard: Heard, sock: socket.socket) -> None:
        if heard.method == "POST":
            self.sent.append(heard)
        for number, response in enumerate(self.responses):
            if self.used[number] < response.get("times", float("inf")) and _fits(response, heard):
                self.used[number] += 1
                if response.get("drop"):
                    raise EOFError
                _speak(response, heard, sock)
                return
        answer({"detail": "Not Found"}, 404)(heard, sock)


def _fits(response: Mapping[str, Any], heard: Heard) -> bool:
    if heard.method != response.get("method", "POST"):
        return False
    path, _, query = heard.target.partition("?")
    if response.get("path", path) != path or response.get("query", query) != query:
        return False
    body = heard.body.decode("utf-8", "replace")
    return response.get("contains", "") in body and ("lacks" not in response or response["lacks"] not in body)


def _speak(response: Mapping[str, Any], heard: Heard, sock: socket.socket) -> None:
    headers = dict(response.get("headers", {}))
    kind = next((headers.pop(name) for name in list(headers) if name.lower() == "content-type"), None)
    body = _body(response, heard)
    kind = kind or ("text/plain" if isinstance(body, str) else "application/json")
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    if response.get("gzip"):
        data, headers = gzip.compress(data), {**headers, "Content-Encoding": "gzip"}
    answer(data, response.get("status", 200), kind, **headers)(heard, sock)


def _body(response: Mapping[str, Any], heard: Heard) -> Any:
    body = response.get("body", "")
    if "each" not in response:
        return body
    sent = heard.body.decode("utf-8", "replace")
    texts = sorted((text for text in response["each"] if text in sent), key=sent.index)
    parts = [json.dumps(response["each"][text]).replace('"$index"', str(place)) for place, text in enumerate(texts)]
    listed = ", ".join(reversed(parts) if response.get("reversed") else parts)
    return json.loads(json.dumps(body).replace('"$each"', f"[{listed}]"))


class Case:
    """One file, replayed."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.replay = Replay(self.record["responses"])
        self.store = SqliteCache(folder / "answers.sqlite")
        self.runtime = Runtime()

    def run(self, server: Loopback) -> pd.DataFrame:
        record = self.record
        engine = {"base_url": "$server/hf-inference", "api_key": TOKEN, **record.get("engine", {})}
        engine["base_url"] = engine["base_url"].replace("$server", server.url)
        at = engine_settings(engine, environ={})
        using = dict(record["model"])
        if str(using.get("endpoint", "")).startswith("/"):
            using["endpoint"] = server.url + using["endpoint"].rstrip("/")
        facts = ModelFacts(**record["facts"]) if "facts" in record else None
        made = model_settings(using, at, hub=lambda *_: facts)
        of = query_settings(made, at, {"on_error": "null", **record.get("query", {})}, alias=CALLER.name)
        retry = RetryPolicy(of.execution.max_retries, base=0.001, cap=0.002)
        frame = pd.DataFrame(record["rows"], dtype=object)
        return Prediction(of, at, CALLER, self.runtime, self.store, retry).run(frame)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_real_servers_response(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(path, tmp_path)
    expect = case.record["expect"]
    with Loopback(case.replay) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        if "raises" in expect:
            with pytest.raises(HuggingFaceError) as caught:
                case.run(server)
            _check_error(caught.value.code, str(caught.value), caught.value.retryable, expect["raises"])
        else:
            _check_rows(case.run(server), expect)
        sent = len(case.replay.sent)
        assert sent <= expect.get("requests", sent)
        for text in expect.get("sent", ()):
            assert any(text in heard.body.decode("utf-8", "replace") for heard in case.replay.sent), text
        if "again" in expect:
            case.run(server)
            assert len(case.replay.sent) - sent == expect["again"]


def _check_rows(found: pd.DataFrame, expect: Mapping[str, Any]) -> None:
    if "values" in expect:
        values = [None if pd.isna(value) else value for value in found["y"]]
        assert [_close(value) for value in values] == [_close(value) for value in expect["values"]]
    for cell, wanted in zip(found.get("y_explain", ()), expect.get("explain", ()), strict=False):
        explained = json.loads(cell) if cell else None
        assert explained is None if wanted is None else {name: (explained or {}).get(name) for name in wanted} == wanted
    if "last" in expect:
        last = found.iloc[-1]
        _check_error(last["y_error_type"], last["y_error"], bool(last["y_retryable"]), expect["last"])
        return
    errors = expect.get("errors", [None] * len(found))
    assert len(errors) == len(found)
    for row, wanted in enumerate(errors):
        code = found["y_error_type"][row]
        if wanted is None:
            assert code is None, found["y_error"][row]
        else:
            _check_error(code, found["y_error"][row], bool(found["y_retryable"][row]), wanted)


def _check_error(code: str | None, text: str | None, retryable: bool, wanted: Mapping[str, Any]) -> None:
    assert code == wanted["code"], text
    for part in wanted.get("says", ()):
        assert part in str(text)
    for part in wanted.get("silent", ()):
        assert part not in str(text)
    assert retryable == wanted.get("retryable", retryable)
    assert TOKEN not in str(text)


def _close(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_case_says_where_it_comes_from_and_what_must_come(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert set(record) <= {"source", "about", "model", "engine", "query", "facts", "rows", "responses", "expect"}
    assert record["source"] and record["about"]
    assert set(record["expect"]) & {"values", "errors", "raises"}
