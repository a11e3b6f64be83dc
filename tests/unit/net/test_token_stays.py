"""One token, and every way out of the process: it may be found in one header and nowhere else."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import logging
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import pytest

from huggingface_api_handler.arguments import engine_settings, model_settings, query_settings
from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.errors import BY_CODE, HuggingFaceError, InvalidAnswer, SettingsError
from huggingface_api_handler.hub import facts
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols.client import InferenceAPI
from huggingface_api_handler.protocols.providers import offers
from huggingface_api_handler.query.describe import TABLES, Description, describe
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.tasks import TASKS
from tests.unit.end_to_end import CALLER, LABELS, PNG, PUBLIC, TOKEN, Wire, engine, model, predict, watch
from tests.unit.loopback import Loopback, Speak, answer, raw
from tests.unit.net.test_url_policy import carries
from tests.unit.query.test_pipeline import Bench

#: As a gateway may have them: nothing about it says that it is a token.
PLAIN_TOKEN = "Zq7-gateway.key_0123456789abcdef"
HEADER = re.compile(rb"\r\nAuthorization: Bearer [^\r\n]*(?=\r\n)")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return watch(monkeypatch)


class Everything(logging.Handler):
    """Keeps every record of every logger, written out."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter("%(name)s %(message)s").format(record))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Everything]:
    """The root logger at DEBUG, urllib3 and requests too, and Python's own switch for printing headers."""
    handler = Everything()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in ("urllib3", "requests", "httpx", "httpcore", "httpx2", "httpcore2", "huggingface_hub"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def only_in_the_header(wire: Wire, token: str, *ports: int) -> int:
    """Check all bytes sent; return how often the token stood in its header."""
    secret = token.encode()
    sent = b"".join(data for at, data in wire.sent if at in [("127.0.0.1", port) for port in ports])
    elsewhere = b"".join(data for at, data in wire.sent if at not in [("127.0.0.1", port) for port in ports])
    assert secret not in elsewhere
    assert secret not in HEADER.sub(b"", sent)
    assert secret[3:20] not in HEADER.sub(b"", sent)
    return sent.count(b"Authorization: Bearer " + secret)


def nowhere(token: str, *texts: Any) -> None:
    for text in texts:
        raw = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
        assert token.encode() not in raw
        assert token[3:20].encode() not in raw


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def text_of(error: BaseException) -> str:
    """All that can be made of an error: its text, repr, facts, traceback with causes, and its pickle."""
    parts = ["".join(traceback.format_exception(error)), repr(error), str(error), repr(vars(error))]
    cause: BaseException | None = error
    while cause is not None:
        parts += [repr(cause), str(cause)]
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, HuggingFaceError):
        parts += [repr(pickle.dumps(error)), str(pickle.loads(pickle.dumps(error)))]
    return "\n".join(parts)


@pytest.mark.parametrize("token", [TOKEN, PLAIN_TOKEN], ids=["hugging face", "gateway"])
def test_through_every_task(
    sandbox: Any, wire: Wire, log: Everything, tmp_path: Path, capsys: pytest.CaptureFixture[str], token: str
) -> None:
    if not token.startswith("hf_"):
        sandbox = Loopback(answer(LABELS))  # it knows no such tokens
    port = sandbox.port
    store, runtime = SqliteCache(tmp_path / "answers.sqlite"), Runtime()
    at = engine_settings(
        {"base_url": f"http://127.0.0.1:{port}/hf-inference", "api_key": token, "bill_to": "acme"}, environ={}
    )
    seen: list[Any] = [repr(at), str(at)]
    for name in TASKS:
        bench = Bench.__new__(Bench)
        bench.task = TASKS[name]
        columns = {
            one.argument: f"in{place}"
            for place, one in enumerate(bench.task.inputs)
            if one.required and one.kind.value != "record"
        }
        using = {"task": name, "model_name": f"sandbox/{name}", **bench.task.example.using, **columns}
        of = model(at, **using)
        frame = bench.frame([0, 1, None])
        meta = replace(of, execution=replace(of.execution, include_meta=True, on_error="null", max_retries=0))
        found = Prediction(meta, at, CALLER, runtime, store).run(frame)
        dry = Prediction(query_settings(of, at, {"dry_run": True}), at, CALLER, runtime, store).run(frame)
        seen += [found.to_json(default_handler=str), dry.to_json(default_handler=str), repr(of), of.to_dict()]
        about = Description(of, at, CALLER, store)
        seen += [describe(about, None).to_json()]
        seen += [describe(about, table).to_json(default_handler=str) for table in TABLES]
    store.close()
    nowhere(token, *seen, files_of(tmp_path), "\n".join(log.lines), *capsys.readouterr())
    assert only_in_the_header(wire, token, port) >= len(TASKS)
    assert any("huggingface_api_handler" in line for line in log.lines)
    # The DESCRIBE of a key says only that there is one.
    assert "******" in describe(Description(of, at, CALLER, store), "args").to_json()


FAULTS: list[dict[str, Any]] = [
    *({"kind": "status", "status": status} for status in
      (300, 301, 307, 400, 401, 402, 403, 404, 405, 408, 410, 413, 418, 422, 424, 429, 500, 502, 503, 504, 529)),
    {"kind": "html"}, {"kind": "empty"}, {"kind": "cut"}, {"kind": "break"}, {"kind": "reset"},
    {"kind": "hang", "seconds": 2}, {"kind": "trickle", "seconds": 0.5}, {"kind": "wrong_count"},
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.get("status", fault["kind"])))
def test_through_every_failure(
    sandbox: Any, wire: Wire, log: Everything, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    fault: dict[str, Any],
) -> None:  # fmt: skip
    """The service says the token back in its reason, in its headers, and in where it leads to."""
    if fault["kind"] == "status":
        said = f"Bearer {TOKEN} is bad: {TOKEN}"
        fault = {
            **fault, "body": {"error": said, "message": said, "warnings": [said]},
            "headers": {"x-request-id": TOKEN, "x-error-message": said, "Location": f"http://127.0.0.1:1/{TOKEN}",
                        "WWW-Authenticate": said},
        }  # fmt: skip
    sandbox.faults = {"rules": [fault]}
    store = SqliteCache(tmp_path / "answers.sqlite")
    at = engine_settings({"base_url": sandbox.url, "api_key": TOKEN}, environ={})
    of = model(at, task="text-classification", input_column="t")
    frame = {"t": ["a", "b", "c"]}
    found = predict(at, of, frame, store=store, include_meta=True, timeout=0.4, max_retries=1)
    errors: list[str] = []
    try:
        predict(at, of, frame, store=store, on_error="raise", timeout=0.4)
    except HuggingFaceError as error:
        errors.append(text_of(error))
    assert errors or fault["kind"] == "wrong_count"  # which a retry corrects
    assert found["y_error"].notna().any() or not errors
    usage = [describe(Description(of, at, CALLER, store), table).to_json(default_handler=str) for table in TABLES]
    store.close()
    nowhere(TOKEN, found.to_json(), *errors, *usage, files_of(tmp_path), "\n".join(log.lines), *capsys.readouterr())
    assert only_in_the_header(wire, TOKEN, sandbox.port) >= 1


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_no_class_of_errors_carries_it(code: str) -> None:
    error = BY_CODE[code](
        f"refused Bearer {TOKEN} and {TOKEN}", advice=f"throw {TOKEN} away", request_id=TOKEN, task="t", model="m"
    )
    nowhere(TOKEN, text_of(error), text_of(error.with_facts(row=1)))
    try:
        raise error from None
    except HuggingFaceError as raised:
        nowhere(TOKEN, str(raised))


def _escaped(token: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in token)


def _label(text: str) -> bytes:
    return b'[{"label": "%s", "score": 0.9}]' % text.encode()


@pytest.mark.parametrize("token", [TOKEN, PLAIN_TOKEN], ids=["hugging face", "gateway"])
@pytest.mark.parametrize(
    "said",
    {
        "label": lambda token: answer([{"label": token, "score": 0.9}]),
        "note": lambda token: answer([{"label": "x", "score": 0.9, "note": f"you sent Bearer {token}"}]),
        "request id": lambda token: answer(LABELS, X_Request_Id=token),
        "header": lambda token: answer(LABELS, X_Echo=f"Bearer {token}"),
        "in JSON's escapes": lambda token: answer(_label(_escaped(token))),
        "some of it in JSON's escapes": lambda token: answer(_label(f"{token[:9]}{_escaped(token[9])}{token[10:]}")),
        "in UTF-16": lambda token: answer(_label(token).decode().encode("utf-16")),
        "in UTF-32": lambda token: answer(_label(token).decode().encode("utf-32")),
        "percent-encoded": lambda token: answer([{"label": quote(token, safe=""), "score": 0.9}]),
        "in hexadecimal": lambda token: answer([{"label": token.encode().hex(), "score": 0.9}]),
        **{
            f"in base64 behind {n}": lambda token, n=n: answer(
                _label(base64.b64encode(b"u:ab"[:n] + token.encode() + b"!!").decode())
            )
            for n in range(4)
        },
        "packed": lambda token: answer(gzip.compress(_label(token)), Content_Encoding="gzip"),
    }.items(),
    ids=lambda said: said[0],
)
def test_an_answer_that_says_it_back_is_refused(
    wire: Wire, tmp_path: Path, said: tuple[str, Callable[[str], Speak]], token: str
) -> None:
    with Loopback(said[1](token)) as server:
        at = engine(server, api_key=token)
        store = SqliteCache(tmp_path / "answers.sqlite")
        of = model(at, task="text-classification", input_column="t")
        found = predict(at, of, {"t": ["a"]}, store=store, include_meta=True, timeout=5)
        store.close()
    assert list(found["y_error_type"]) == ["invalid_answer"]
    nowhere(token, found.to_json(), files_of(tmp_path))


@pytest.mark.parametrize("token", [TOKEN, PLAIN_TOKEN], ids=["hugging face", "gateway"])
@pytest.mark.parametrize(
    "said",
    {
        "a reason that is cut within it": lambda token: answer({"error": "x" * 280 + token}, 400),
        "a page that is cut within it": lambda token: answer(
            "<!--" + "y" * 8165 + "-->" + token, 400, content_type="text/html"
        ),
        "a body that is cut within it": lambda token: answer(
            "<style>" + "y" * 65515 + "</style>" + token, 400, content_type="text/html"
        ),
        "other JSON": lambda token: answer({"x": "y" * 280 + token}, 400),
        "escapes": lambda token: answer(b'{"error": "%s"}' % _escaped(token).encode(), 400),
        "a percent-encoded one": lambda token: answer({"error": f"Bearer%20{token} ?q={quote(token, safe='')}"}, 400),
        "a request's id": lambda token: answer({"error": "no"}, 400, X_Request_Id=f"{token}-1"),
        "a long request's id": lambda token: answer({"error": "no"}, 400, X_Request_Id="i" * 100 + token),
        "an error with a good status": lambda token: answer({"error": "x" * 280 + token}, X_Other="1"),
        "a status that is none": lambda token: raw(f"HTTP/1.1 {token}\r\n\r\n".encode()),
        "a version that is none": lambda token: raw(f"{token}\r\n\r\n".encode()),
        "a header that is none": lambda token: raw(
            f"HTTP/1.1 400 X\r\nno header {token}\r\nContent-Length: 0\r\n\r\n".encode()
        ),
        "a length that is none": lambda token: raw(
            f"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n{token}\r\n".encode()
        ),
        "a packing": lambda token: answer(b"{}", Content_Encoding=token),
        "where it leads on": lambda token: answer(b"", 307, Location=f"/{token}"),
        "who it leads on to": lambda token: answer(b"", 307, Location=f"https://{token.replace('_', '.')}.example/"),
    }.items(),
    ids=lambda said: said[0],
)
def test_a_failure_that_says_it_back_shows_none_of_it(
    wire: Wire, log: Everything, said: tuple[str, Callable[[str], Speak]], token: str
) -> None:
    """Neither whole nor cut, in no error, no traceback, no log, and in no request that follows."""
    with Loopback(said[1](token)) as server:
        at = engine(server, api_key=token)
        of = model(at, task="text-classification", input_column="t")
        found = predict(at, of, {"t": ["a"]}, include_meta=True, timeout=5)
        with pytest.raises(HuggingFaceError) as caught:
            predict(at, of, {"t": ["a"]}, on_error="raise", timeout=5)
        assert only_in_the_header(wire, token, server.port) >= 2
    shown = [found.to_json(), text_of(caught.value), "\n".join(log.lines)]
    if not said[0].startswith("who"):
        nowhere(token, *shown)
    for text in shown:
        assert token not in text
        assert token[:12] not in text


def test_texts_that_a_terminal_would_obey_are_made_plain() -> None:
    """An error is printed by clients and logs: colours, titles and turned texts are not the service's to choose."""
    error = BY_CODE["invalid_input"]("a\x1b]0;title\x07\x9b31m\u202eb\u2066\x00\x7fc", advice="d\x1b[2J\u200be")
    assert str(error) == "a ]0;title 31m b c. D [2J e."


def test_what_holds_it_does_not_show_it() -> None:
    at = engine(None)
    of = model_settings({"task": "text-classification", "input_column": "t", "api_key": TOKEN}, at, hub=lambda *_: None)
    transport = Transport(UrlPolicy((at.base_url,)))
    client = InferenceAPI(transport, token=at.token, base_url=at.base_url, endpoint=None, model="org/name")
    runtime = Runtime()
    runtime.transport(transport.policy)
    for one in (at, of, transport, transport.policy, client, client.service, runtime, Prediction, of.to_dict()):
        nowhere(TOKEN, repr(one), str(one), f"{one}")
    nowhere(TOKEN, json.dumps(of.to_dict()))


def test_what_is_no_token_is_refused_without_being_shown() -> None:
    for bad in (f"{TOKEN}\r\nX-Evil: 1", f"{TOKEN} {TOKEN}", f"\u201c{TOKEN}\u201d", f"{TOKEN}\0", f"{TOKEN}\u200b"):
        with pytest.raises(SettingsError) as caught:
            engine_settings({"api_key": bad}, environ={})
        nowhere(TOKEN, text_of(caught.value))
    assert engine_settings({"api_key": f"  {TOKEN}\n"}, environ={}).token.get_secret_value() == TOKEN  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "using",
    [{"api_kye": TOKEN}, {"task": TOKEN}, {"model_name": TOKEN + "/../x"}, {"endpoint": f"https://evil.example/{TOKEN}"},
     {"endpoint": f"https://{TOKEN}@router.huggingface.co/"}, {"provider": TOKEN}, {"timeout": TOKEN},
     {TOKEN: 1}, {"candidate_labels": [TOKEN, TOKEN]}, {"on_error": TOKEN}, {"parameters": TOKEN}],
    ids=lambda using: next(iter(using))[:12],
)  # fmt: skip
def test_a_token_in_the_wrong_place_is_not_repeated(using: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        model(engine(None), **{"task": "text-classification", "input_column": "t", **using})
    nowhere(TOKEN, text_of(caught.value))


# --- who gets it ----------------------------------------------------------------------------------


CUSTOMER = "https://x1.eu-west-1.aws.endpoints.huggingface.cloud"


def test_a_models_creator_cannot_send_the_engines_token_to_an_endpoint_of_their_own(wire: Wire) -> None:
    """Whoever pays for an Inference Endpoint runs any program behind its address, and reads its headers."""
    for name in ("endpoint", "base_url"):
        with pytest.raises(SettingsError, match="the engine's token is not sent there"):
            model(engine(None), task="text-classification", input_column="t", **{name: CUSTOMER})
    # Nor with settings from before this rule.
    at = engine(None)
    of = replace(model(at, task="text-classification", input_column="t"), endpoint=CUSTOMER)
    wire.known[CUSTOMER.removeprefix("https://")] = [[PUBLIC]]
    predict(at, of, {"t": ["a"]}, timeout=1)
    nowhere(TOKEN, wire.bytes())
    own = model(at, task="text-classification", input_column="t", endpoint=CUSTOMER, api_key="hf_" + "m" * 34)
    assert own.endpoint == CUSTOMER
    named = engine(None, allowed_hosts=CUSTOMER.removeprefix("https://"))
    assert model(named, task="text-classification", input_column="t", endpoint=CUSTOMER).endpoint == CUSTOMER
    nameless = engine_settings({}, environ={})
    assert model(nameless, task="text-classification", input_column="t", endpoint=CUSTOMER).endpoint == CUSTOMER
    # RETRAIN brings a mask for a key that is kept.
    assert model(at, task="text-classification", input_column="t", endpoint=CUSTOMER, api_key="******").token is None


@pytest.mark.parametrize(
    "url",
    ["https://huggingface.co/api/repos/create?x=", "https://huggingface.co/api/repos/move", "https://x.huggingface.co/",
     "https://huggingface.co/api/settings/webhooks?/chat/completions"],
)  # fmt: skip
def test_no_model_speaks_to_the_hubs_own_api(url: str) -> None:
    """A chat's parameters stand at the root of its body: with a token that may write they would be orders."""
    for name in ("endpoint", "base_url"):
        with pytest.raises(SettingsError):
            model(engine(None), task="chat-completion", input_column="t", parameters={"name": "x"}, **{name: url})
    assert not carries(UrlPolicy((engine(None).base_url,)), url)


def test_the_servers_own_token_goes_to_no_address_of_an_engine(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may create engines need not be the server's administrator."""
    with Loopback(answer(LABELS)) as server, Loopback(answer(LABELS)) as allowed:
        for environ, login in (({"HF_TOKEN": TOKEN}, None), ({}, TOKEN)):
            monkeypatch.setattr("huggingface_api_handler.arguments.engine.hub_login", lambda login=login: login)
            at = engine_settings({"base_url": f"{server.url}/x"}, environ=environ)
            predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, timeout=5)
            hosts = {"allowed_hosts": f"127.0.0.1:{allowed.port}"}
            at = engine_settings(hosts, environ=environ)
            assert at.token is not None
            of = model(at, task="text-classification", input_column="t", endpoint=f"{allowed.url}/")
            predict(at, of, {"t": ["a"]}, timeout=5)
        assert server.heard and allowed.heard
        nowhere(TOKEN, wire.bytes())
        # Where the administrator names the address as well, it does.
        environ = {"HF_TOKEN": TOKEN, "HUGGINGFACE_API_BASE_URL": f"{server.url}/x"}
        at = engine_settings({}, environ=environ)
        predict(at, model(at, task="text-classification", input_column="t"), {"t": ["b"]}, timeout=5)
        assert server.heard[-1].headers["authorization"] == f"Bearer {TOKEN}"


def test_it_is_not_sent_in_the_clear_to_a_host_allowed_by_name_alone(wire: Wire) -> None:
    with Loopback(answer(LABELS)) as server:
        wire.known["models.example"] = [["127.0.0.1"]]
        for entry, expected in (("models.example", None), (f"models.example:{server.port}", f"Bearer {TOKEN}")):
            server.heard.clear()
            at = engine(None, allowed_hosts=entry)
            url = f"http://models.example:{server.port}/"
            predict(at, model(at, task="text-classification", input_column="t", endpoint=url), {"t": ["a"]}, timeout=5)
            assert server.heard
            assert {heard.headers.get("authorization") for heard in server.heard} == {expected}


def test_neither_netrc_nor_a_proxy_of_the_environment_sees_or_replaces_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Loopback(answer(LABELS)) as server, Loopback(answer(LABELS)) as proxy:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login evil password evil\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        at = engine(server)
        predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, timeout=5)
        assert server.heard[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert proxy.connections == 0


@pytest.mark.parametrize("status", [307, 308])
def test_no_redirect_takes_it_along(wire: Wire, status: int) -> None:
    """Not even to a host that may have it when it is asked first: whoever leads there is not who was trusted."""
    with Loopback() as server, Loopback(answer(LABELS)) as allowed:
        server.speak = answer(b"", status, Location=f"{allowed.url}/x")
        at = engine(server, allowed_hosts=f"127.0.0.1:{allowed.port}", bill_to="acme")
        found = predict(at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, timeout=5)
        assert list(found["y"]) == ["cat"]
        assert only_in_the_header(wire, TOKEN, server.port) == 1
        assert not {"authorization", "x-hf-bill-to"} & set(allowed.heard[0].headers)


def test_a_provider_gets_it_at_the_router_alone(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "providers", lambda *_, **__: (Served("fal-ai", "text-to-image", "live", "flux/x"),))
    offers._known.clear()
    with Loopback() as server, Loopback(answer(PNG, content_type="image/png")) as internet:
        wire.internet = internet.port
        wire.known["cdn.example"] = [[PUBLIC]]
        server.speak = answer({"images": [{"url": "http://cdn.example/x.png"}]})
        at = engine(server)
        of = model(at, task="text-to-image", input_column="t", model_name="org/name", provider="fal-ai")
        found = predict(at, of, {"t": ["a hut"]}, timeout=5)
        assert str(found["y"][0]).startswith("data:image/png")
        assert only_in_the_header(wire, TOKEN, server.port) == 1
        assert "authorization" not in internet.heard[0].headers


def test_a_cache_key_tells_nothing_of_it(tmp_path: Path) -> None:
    with Loopback(answer(LABELS)) as server:
        keys: list[list[str]] = []

        class Spy(SqliteCache):
            def get_many(self, wanted: Any) -> dict[str, bytes]:
                keys.append(list(wanted))
                return {}

        for token in (TOKEN, "hf_" + "t" * 34):
            at = engine_settings({"base_url": server.url, "api_key": token}, environ={})
            of = model(at, task="text-classification", input_column="t")
            store = Spy(tmp_path / f"{len(keys)}.sqlite")
            predict(at, of, {"t": ["a"]}, store=store, timeout=5)
            store.close()
        # An engine's token is part of no key; the engine's own name is.
        assert keys[0] == keys[1]
        assert all(re.fullmatch("[0-9a-f]{40}", key) for key in keys[0])


def test_frames_with_it_in_a_cell_are_the_users_own() -> None:
    """What somebody writes into a table is sent as data; errors about it still hide it."""
    at = engine(None)
    with pytest.raises(HuggingFaceError) as caught:
        Prediction(model(at, task="text-classification", input_column="nope"), at, CALLER, Runtime(), SqliteCache(
            Path("/nonexistent/x"))).run(pd.DataFrame({TOKEN: ["a"]}))  # fmt: skip
    nowhere(TOKEN, text_of(caught.value))
    assert not isinstance(caught.value, InvalidAnswer)
