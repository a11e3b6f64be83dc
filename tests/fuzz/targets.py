"""What is fuzzed: each target takes bytes, and may end in nothing but our own errors.

``TARGETS`` names them; a corpus file's first byte chooses one.
"""

from __future__ import annotations

import json
import pickle
import socket
import tempfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from huggingface_api_handler.arguments import (
    EngineSettings,
    ModelSettings,
    engine_settings,
    model_settings,
    query_settings,
)
from huggingface_api_handler.arguments.template import parse_template
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.media import loading
from huggingface_api_handler.net import error_mapping
from huggingface_api_handler.net.addresses import is_public
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy, parse_url, redacted_url
from huggingface_api_handler.protocols import PROTOCOLS, Protocol, hf_inference
from huggingface_api_handler.query.caller import Caller, key_maker
from huggingface_api_handler.query.execution import pack, unpack
from huggingface_api_handler.query.inputs import collect_inputs
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Kind, ModelFacts, Task

from .draw import Draw

NAMES = tuple(TASKS)
BODY_TYPES = ("application/json", "", "text/html", "image/png", "audio/wav", "application/octet-stream")
TOKEN = "hf_" + "z" * 34
CALLER = Caller(tenant="0/0", engine="e", model="m", name="m", target="y")


def _refuse(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


#: Fetches nothing: no name is found.
CLOSED = Transport(UrlPolicy(resolver=_refuse))


def _facts(model_id: str, token: str | None) -> ModelFacts | None:
    return None


@lru_cache
def _engine() -> EngineSettings:
    raw = {"api_key": TOKEN, "media_roots": tempfile.gettempdir()}
    return engine_settings(raw, environ={})


@lru_cache(maxsize=64)
def _model(name: str) -> ModelSettings:
    task = TASKS[name]
    columns = {
        one.argument: f"in{place}"
        for place, one in enumerate(task.inputs)
        if one.required and one.kind is not Kind.RECORD
    }
    using = {"task": name, "model_name": "org/name", **task.example.using, **columns}
    return model_settings(using, _engine(), hub=_facts)


def engine_arguments(draw: Draw) -> None:
    given = draw.mapping()
    settings = engine_settings(given, environ={"HF_TOKEN": draw.one((TOKEN, draw.text()))})
    assert TOKEN not in repr(settings)
    UrlPolicy((settings.base_url,), settings.allowed_hosts, resolver=_refuse)


def model_arguments(draw: Draw) -> None:
    given = draw.mapping()
    if draw.byte() % 4:
        given = {**TASKS[draw.one(NAMES)].example.using, "task": draw.one(NAMES), "input_column": "t", **given}
    settings = model_settings(given, _engine(), hub=_facts)
    stored = json.loads(json.dumps(settings.to_dict(), allow_nan=False))
    again = ModelSettings.from_dict(stored)
    assert again.to_dict() == settings.to_dict()
    key_maker(settings, _engine(), CALLER)(("x",))


def query_arguments(draw: Draw) -> None:
    settings = query_settings(_model(draw.one(NAMES)), _engine(), draw.mapping(), alias=draw.one(("m", "M", None)))
    json.dumps(settings.to_dict(), allow_nan=False)


def urls(draw: Draw) -> None:
    url = draw.text() if draw.byte() % 2 else draw.rest().decode("utf-8", "surrogateescape")
    redacted_url(url)
    policy = UrlPolicy(("http://127.0.0.1:9/x",), ("named.example", "10.0.0.1:80"), resolver=_refuse)
    for purpose in ("service", "media", "link"):
        try:
            place = policy.parse(url, purpose=purpose)
        except HuggingFaceError:
            continue
        assert parse_url(place.url) == place
        policy.may_carry_token(place)
        try:
            assert is_public(place.host) or place.host in ("127.0.0.1", "10.0.0.1")
        except ValueError:
            pass  # a name
    policy.is_primary(url)


def templates(draw: Draw) -> None:
    text = draw.text() if draw.byte() % 2 else draw.raw(200).decode("utf-8", "replace")
    try:
        template = parse_template(text)
    except ValueError:
        return
    cells = {name: draw.one((None, "{{t}}", "{0}", "x")) for name in template.columns}
    rendered = template.render(cells)
    if rendered is not None and not template.columns:
        assert rendered == text


def cells(draw: Draw) -> None:
    task = TASKS[draw.one(NAMES)]
    rows = 1 + draw.byte() % 4
    columns: dict[str, list[Any]] = {}
    for place in range(max(len(task.inputs), 2)):
        columns[f"in{place}"] = [draw.raw(120) if draw.byte() % 4 == 0 else draw.value() for _ in range(rows)]
    model = _model(task.name)
    asked = collect_inputs(pd.DataFrame(columns, dtype=object), task, model, key_maker(model, _engine(), CALLER))
    assert len(asked.row_to_item) == rows
    for item in asked.items:
        payload = tuple(
            loading.load(value, one.kind, transport=CLOSED, timeout=0.1)
            if one.kind.is_media and value is not None
            else value
            for value, one in zip(item.payload, task.inputs, strict=True)
        )
        call = hf_inference.PROTOCOL.encode(task, [payload], model.arguments())
        if call.media is None:
            json.dumps([call.inputs, dict(call.parameters), dict(call.root)], allow_nan=False)


def _read(task: Task, answer: Any, n: int, model: ModelSettings, protocol: Protocol) -> None:
    answers = protocol.read(task, answer, n, model.arguments())
    assert len(answers) == n
    for one in answers:
        if one.media is None:
            found = unpack(pack(one.value, one.explain, {}))
            assert found is not None
            json.dumps(one.explain or {}, ensure_ascii=False, allow_nan=False).encode("utf-8")
            if isinstance(one.value, str):
                one.value.encode("utf-8")


def answers(draw: Draw) -> None:
    task = TASKS[draw.one(NAMES)]
    n = 1 if draw.byte() % 2 else 1 + draw.byte() % 4
    _read(task, draw.json(), n, _model(task.name), draw.one(PROTOCOLS))


def bodies(draw: Draw) -> None:
    """A body of any media type, as bytes."""
    task = TASKS[draw.one(NAMES)]
    kind = draw.one(BODY_TYPES)
    headers = {"content-type": kind, "x-request-id": draw.text(), "x-compute-time": draw.text()}
    reply = Response(200, headers, draw.rest(), kind, 0.1)
    assert reply.request_id is None or len(reply.request_id) < 1000
    _ = reply.compute_seconds
    answer = reply.json() if reply.is_json else Media(reply.content, reply.media_type)
    _read(task, answer, 1, _model(task.name), hf_inference.PROTOCOL)


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000


def refusals(draw: Draw) -> None:
    status = 100 + draw.byte() * 2
    headers = {
        name: draw.text() for name in ("retry-after", "ratelimit", "x-request-id", "content-type", "x-error-message")
    }
    content = draw.rest() if draw.byte() % 2 else _dumped(draw.value())
    error = error_mapping.failure(status, headers, content, authorised=True, secret=TOKEN)
    assert TOKEN not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 4000
    assert error.retry_after is None or 0 <= error.retry_after < 1e6
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def stored(draw: Draw) -> None:
    """What lies in the store may be anybody's."""
    unpack(draw.rest())
    value = draw.value()
    if isinstance(value, Mapping):
        ModelSettings.from_dict(value)


Target = Callable[[Draw], None]
TARGETS: tuple[Target, ...] = (
    engine_arguments, model_arguments, query_arguments, urls, templates, cells, answers, bodies, refusals, stored,
    answers, cells,
)  # fmt: skip


def run(data: bytes) -> str:
    """Run the target that the first byte names; return how it ended. Raises for what no user may ever see."""
    target = TARGETS[(data[0] if data else 0) % len(TARGETS)]
    try:
        target(Draw(data[1:]))
    except HuggingFaceError as error:
        text = str(error)
        assert "\n" not in text
        assert TOKEN not in text
        pickle.loads(pickle.dumps(error))
        return error.code
    return "fine"
