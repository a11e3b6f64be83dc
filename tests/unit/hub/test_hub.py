"""The Hub's word on models and tokens, from a server on loopback that says it as the Hub does."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from socket import create_server, socket
from types import ModuleType
from typing import Any

import huggingface_hub
import pytest

from huggingface_api_handler.errors import (
    EndpointGone,
    Forbidden,
    HuggingFaceError,
    ModelNotFound,
    SettingsError,
    Unauthorized,
)
from huggingface_api_handler.hub.facts import Account, Served, model_facts, providers, reachable, whoami
from huggingface_api_handler.tasks.task import ModelFacts
from tests.unit.loopback import Heard, Loopback, Speak, answer

TOKEN = "hf_" + "h" * 34
MACHINE_TOKEN = "hf_" + "m" * 34


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a token of its own, which is nobody's business here, and without proxies."""
    monkeypatch.setenv("HF_TOKEN", MACHINE_TOKEN)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    loopback = Loopback()
    monkeypatch.setenv("HF_ENDPOINT", loopback.url)
    yield loopback
    loopback.close()


def record(**more: Any) -> dict[str, Any]:
    return {
        "id": "org/name",
        "modelId": "org/name",
        "private": False,
        "gated": False,
        "disabled": False,
        "tags": [],
        **more,
    }


def ask(server: Loopback, name: str = "org/name", token: str | None = None) -> ModelFacts | None:
    return model_facts(name, token=token, timeout=5)


# --- facts -----------------------------------------------------------------------------------


def test_facts_of_a_model(server: Loopback) -> None:
    server.speak = answer(
        record(
            pipeline_tag="fill-mask",
            tags=["transformers", "bert"],
            mask_token="[MASK]",
            config={"model_type": "bert", "id2label": {"0": "NEG", "1": "POS"}},
        )
    )
    assert ask(server) == ModelFacts(
        id="org/name",
        pipeline_tag="fill-mask",
        tags=("transformers", "bert"),
        id2label={"0": "NEG", "1": "POS"},
        mask_token="[MASK]",
    )
    assert [heard.target for heard in server.heard] == ["/api/models/org/name"]


def test_a_model_of_which_the_hub_knows_little(server: Loopback) -> None:
    server.speak = answer({"id": "org/name"})
    assert ask(server) == ModelFacts(id="org/name")


@pytest.mark.parametrize(
    "config", [None, [], "x", {"id2label": []}, {"id2label": {"0": 5}}, {"id2label": None}, {"id2label": {"x": "y"}}]
)
def test_a_config_of_another_kind_says_nothing(server: Loopback, config: Any) -> None:
    server.speak = answer(record(config=config, tags=[1, "a", None], pipeline_tag=7, mask_token={}))
    assert ask(server) == ModelFacts(id="org/name", tags=("a",))


def test_labels_are_read_from_the_models_own_config(server: Loopback) -> None:
    """The Hub's record holds an extract of it, as a rule without the labels."""

    def speak(heard: Heard, sock: socket) -> None:
        if heard.target == "/org/name/resolve/main/config.json":
            answer("moved", 307, "text/plain", Location="/files/config.json")(heard, sock)
        elif heard.target == "/files/config.json":
            answer({"id2label": {"0": "NEG", "1": "POS"}})(heard, sock)
        else:
            answer(record(pipeline_tag="text-classification", config={"model_type": "bert"}))(heard, sock)

    server.speak = speak
    found = ask(server, token=TOKEN)
    assert found is not None
    assert found.id2label == {"0": "NEG", "1": "POS"}
    assert {heard.headers.get("authorization") for heard in server.heard} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_model_without_a_config_has_no_labels(server: Loopback, status: int) -> None:
    def speak(heard: Heard, sock: socket) -> None:
        body = record(pipeline_tag="text-classification") if heard.target.startswith("/api/") else {"error": "no"}
        answer(body, 200 if heard.target.startswith("/api/") else status)(heard, sock)

    server.speak = speak
    assert ask(server) == ModelFacts(id="org/name", pipeline_tag="text-classification")


def test_a_gated_model_is_known(server: Loopback) -> None:
    server.speak = answer(record(gated="manual", pipeline_tag="text-generation"))
    found = ask(server, token=TOKEN)
    assert found is not None
    assert found.pipeline_tag == "text-generation"


def test_a_renamed_model_is_followed(server: Loopback) -> None:
    def speak(heard: Heard, sock: socket) -> None:
        if heard.target.startswith("/api/models/old/name"):
            text = "Temporary Redirect. Redirecting to /api/models/new/name"
            answer(text, 307, "text/plain", Location="/api/models/new/name")(heard, sock)
        else:
            answer(record(id="new/name", pipeline_tag="summarization"))(heard, sock)

    server.speak = speak
    assert ask(server, "old/name") == ModelFacts(id="new/name", pipeline_tag="summarization")


@pytest.mark.parametrize("written", ["{}", "{}/", "{}//", " {} ", "{}/ \n"])
def test_hf_endpoint_is_honoured(server: Loopback, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    server.speak = answer(record())
    monkeypatch.setenv("HF_ENDPOINT", written.format(server.url))
    assert model_facts("org/name", timeout=5) == ModelFacts(id="org/name")


# --- tokens on the way -----------------------------------------------------------------------


def test_only_the_token_that_is_given_travels(server: Loopback) -> None:
    server.speak = answer(record())
    ask(server, token=TOKEN)
    ask(server)
    providers("org/name", token=TOKEN, timeout=5)
    providers("org/name", timeout=5)
    reachable(5)
    server.speak = answer({"name": "me"})
    whoami(TOKEN, 5)
    sent = [heard.headers.get("authorization") for heard in server.heard]
    assert sent == [f"Bearer {TOKEN}", None, f"Bearer {TOKEN}", None, None, f"Bearer {TOKEN}"]


def test_a_redirect_to_another_host_gets_no_token(server: Loopback) -> None:
    other = Loopback(answer(record()))
    try:
        server.speak = answer("", 307, "text/plain", Location=f"{other.url}/api/models/org/name")
        ask(server, token=TOKEN)
        assert [heard.headers.get("authorization") for heard in other.heard] == [None]
    finally:
        other.close()


# --- refusals --------------------------------------------------------------------------------

REFUSALS: list[tuple[str, Speak, str | None, type[HuggingFaceError], str]] = [
    (
        "no such model, or a private one, asked without a token: the Hub says 401",
        answer({"error": "Invalid username or password."}, 401, x_error_message="Invalid username or password."),
        None,
        ModelNotFound,
        "the Hub has no model org/name (HTTP 401, request r1). Check the name; if the model is private, "
        "write the api_key = 'hf_…' of a user who may read it.",
    ),
    (
        "no such model, asked with a good token",
        answer({"error": "Repository not found"}, 404, x_error_code="RepoNotFound"),
        TOKEN,
        ModelNotFound,
        "the Hub has no model org/name (HTTP 404, request r1). Check the name; if the model is private, "
        "the token must be allowed to read it.",
    ),
    (
        "404 without the Hub's code",
        answer("Not Found", 404, "text/plain"),
        None,
        ModelNotFound,
        "the Hub has no model org/name (HTTP 404, request r1). Check the name; if the model is private, "
        "write the api_key = 'hf_…' of a user who may read it.",
    ),
    (
        "a token that the Hub does not know, though the model is public",
        answer({"error": "x"}, 401, x_error_message="Invalid credentials in Authorization header"),
        TOKEN,
        Unauthorized,
        "the Hugging Face Hub does not know this token (HTTP 401, request r1). Create one at "
        "https://huggingface.co/settings/tokens and write api_key = 'hf_…'.",
    ),
    (
        "a gated model",
        answer({"error": "gated"}, 403, x_error_code="GatedRepo"),
        TOKEN,
        Forbidden,
        "the model org/name is gated: its owner decides who may use it (HTTP 403, request r1). "
        "Ask for access at https://huggingface.co/org/name and write api_key = 'hf_…'.",
    ),
    (
        "a disabled model",
        answer({"error": "x"}, 403, x_error_message="Access to this resource is disabled."),
        None,
        EndpointGone,
        "the Hub has disabled the model org/name (HTTP 403, request r1). Choose another model.",
    ),
    (
        "a token that may not",
        answer({"error": "x"}, 403, x_error_message="your token lacks a permission"),
        TOKEN,
        Forbidden,
        "the Hub refuses to show the model org/name: your token lacks a permission (HTTP 403, request r1). "
        "Check the token's permissions at https://huggingface.co/settings/tokens.",
    ),
]


@pytest.mark.parametrize(
    ("speak", "token", "kind", "line"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_refusals(server: Loopback, speak: Speak, token: str | None, kind: type[HuggingFaceError], line: str) -> None:
    def with_id(heard: Heard, sock: socket) -> None:
        speak(heard, _Inserting(sock, b"x-request-id: r1\r\n"))  # type: ignore[arg-type]

    server.speak = with_id
    for asked in (model_facts, providers):
        with pytest.raises(kind) as refused:
            asked("org/name", token=token, timeout=5)
        assert str(refused.value) == line
        assert TOKEN not in repr(refused.value)


class _Inserting:
    """A socket that puts one more header behind the status line."""

    def __init__(self, sock: socket, header: bytes) -> None:
        self._sock, self._header = sock, header

    def sendall(self, data: bytes) -> None:
        status, _, rest = data.partition(b"\r\n")
        self._sock.sendall(status + b"\r\n" + self._header + rest)


def test_a_disabled_model_whose_record_is_shown(server: Loopback) -> None:
    server.speak = answer(record(disabled=True))
    with pytest.raises(EndpointGone):
        ask(server)


def test_a_name_that_no_model_has(server: Loopback) -> None:
    for name in ("a/b/c", "../x", "org/na me", "org/name?x=1"):
        for asked in (model_facts, providers):
            with pytest.raises(SettingsError, match="is not a valid model ID"):
                asked(name, timeout=5)
    assert server.heard == []


# --- cannot say now --------------------------------------------------------------------------

NO_WORD: list[Speak] = [
    answer({"error": "x"}, 429, Retry_After="300"),
    answer("<html>Bad Gateway</html>", 502, "text/html"),
    answer({"error": "x"}, 500),
    answer("", 503, ""),
    answer({"error": "x"}, 504),
    answer("<html>Please log in to the hotel's network</html>", 200, "text/html"),
    answer([1, 2]),
    answer({"no": "id"}),
    answer("null"),
    answer({"id": "org/name", "lastModified": "yesterday"}),
    answer("", 302, "text/plain"),
    answer("", 307, "text/plain", Location="/api/models/org/name"),
]


@pytest.mark.parametrize("speak", NO_WORD)
def test_the_hub_cannot_say_now(server: Loopback, speak: Speak) -> None:
    server.speak = speak
    assert ask(server) is None


def test_the_hub_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert model_facts("org/name", timeout=5) is None
    assert providers("org/name", timeout=5) is None
    assert whoami(TOKEN, 5) is None
    assert reachable(5) is False


def test_the_hub_cannot_be_reached_through_another_http_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub 1.x sends with httpx, 2.x with httpx2, whose errors have nothing in common."""
    library: Any = ModuleType("another_httpx")
    for name in ("HTTPError", "InvalidURL", "StreamError"):
        setattr(library, name, type(name, (Exception,), {}))
    monkeypatch.setitem(sys.modules, "another_httpx", library)

    class Client:
        __module__ = "another_httpx._client"
        fault: Any = None

        def get(self, *_: object, **__: object) -> None:
            raise self.fault("nobody there")

    class Configured(Client):
        """As a client is that somebody gave to ``huggingface_hub.set_client_factory``."""

    monkeypatch.setattr(huggingface_hub.utils, "get_session", Configured)
    for name in ("HTTPError", "InvalidURL", "StreamError"):
        Client.fault = getattr(library, name)
        assert whoami(TOKEN, 5) is None
        assert reachable(5) is False
    Client.fault = RuntimeError
    with pytest.raises(RuntimeError):
        reachable(5)


def test_a_silent_hub_is_not_waited_for(server: Loopback) -> None:
    def silence(heard: Heard, sock: socket) -> None:
        time.sleep(1.5)
        raise EOFError

    server.speak = silence
    started = time.monotonic()
    assert model_facts("org/name", timeout=0.2) is None
    assert whoami(TOKEN, 0.2) is None
    assert time.monotonic() - started < 1.4


def test_offline_mode_is_honoured(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ask(server) is None
    assert server.heard == []


# --- who serves it ---------------------------------------------------------------------------


def test_who_serves_a_model(server: Loopback) -> None:
    server.speak = answer(
        {
            "id": "org/name",
            "inferenceProviderMapping": {
                "hf-inference": {
                    "status": "live",
                    "providerId": "org/name",
                    "task": "summarization",
                    "isModelAuthor": False,
                },
                "brand-new": {"status": "live", "task": "conversational", "some": {"thing": 1}},
                "broken": None,
                "staging-one": {"status": "staging", "providerId": "x", "task": 7},
            },
        }
    )
    assert providers("org/name", timeout=5) == (
        Served("hf-inference", "summarization", "live", "org/name"),
        Served("brand-new", "conversational", "live", None),
        Served("staging-one", None, "staging", "x"),
    )
    assert server.heard[0].target == "/api/models/org/name?expand=inferenceProviderMapping"


@pytest.mark.parametrize(
    ("mapping", "served"),
    [
        (
            [{"provider": "groq", "status": "live", "providerId": "p", "task": "t"}, {"no": "name"}, 5],
            (Served("groq", "t", "live", "p"),),
        ),
        ({}, ()),
        (None, ()),
        ("x", ()),
    ],
)
def test_mappings_of_another_shape(server: Loopback, mapping: Any, served: tuple[Served, ...]) -> None:
    server.speak = answer({"id": "org/name", "inferenceProviderMapping": mapping})
    assert providers("org/name", timeout=5) == served


# --- whose token -----------------------------------------------------------------------------


def who(**access: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "name": "ana",
        "orgs": [{"name": "acme"}, {"no": "name"}, 5],
        "auth": {"accessToken": access},
    }


@pytest.mark.parametrize(
    ("access", "role", "may_infer"),
    [
        ({"role": "read"}, "read", True),
        ({"role": "write"}, "write", True),
        (
            {
                "role": "fineGrained",
                "fineGrained": {
                    "global": [],
                    "scoped": [{"permissions": ["repo.content.read", "inference.serverless.write"]}],
                },
            },
            "fineGrained",
            True,
        ),
        (
            {
                "role": "fineGrained",
                "fineGrained": {"global": ["discussion.write"], "scoped": [{"permissions": ["x"]}]},
            },
            "fineGrained",
            False,
        ),
        ({"role": "fineGrained", "fineGrained": {"scoped": [5, {"permissions": 7}]}}, "fineGrained", False),
        ({"role": "fineGrained"}, "fineGrained", None),
        ({}, None, None),
    ],
)
def test_whose_token_it_is(server: Loopback, access: dict[str, Any], role: str | None, may_infer: bool | None) -> None:
    server.speak = answer(who(**access))
    assert whoami(TOKEN, 5) == Account("ana", ("acme",), role, may_infer)
    assert server.heard[0].target == "/api/whoami-v2"


@pytest.mark.parametrize("body", [{"error": "Invalid username or password."}, {"error": "Invalid credentials"}, ""])
def test_a_token_that_the_hub_does_not_know(server: Loopback, body: Any) -> None:
    server.speak = answer(body, 401)
    with pytest.raises(Unauthorized) as refused:
        whoami(TOKEN, 5)
    assert TOKEN not in f"{refused.value!r}{refused.value}{vars(refused.value)}"


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503])
def test_anything_else_leaves_the_question_open(server: Loopback, status: int) -> None:
    server.speak = answer({"error": "x"}, status)
    assert whoami(TOKEN, 5) is None


@pytest.mark.parametrize("body", [{}, {"name": 5}, [], "text", {"name": ""}])
def test_an_answer_that_names_nobody(server: Loopback, body: Any) -> None:
    server.speak = answer(body)
    assert whoami(TOKEN, 5) is None


@pytest.mark.parametrize("odd", [{"orgs": None}, {"orgs": {}}, {"auth": None}, {"auth": {"accessToken": 5}}])
def test_an_answer_that_says_little(server: Loopback, odd: dict[str, Any]) -> None:
    server.speak = answer({"name": "ana", **odd})
    found = whoami(TOKEN, 5)
    assert found is not None
    assert found.name == "ana"


def test_reachable(server: Loopback) -> None:
    server.speak = answer({"text-classification": {}})
    assert reachable(5) is True
    server.speak = answer({"error": "x"}, 403)
    assert reachable(5) is True
    server.speak = answer({"error": "x"}, 503)
    assert reachable(5) is False


# --- nothing of it is shown ------------------------------------------------------------------


def test_no_token_is_logged(server: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    for status in (200, 401, 403, 404, 429, 500):
        server.speak = answer(record(), status)
        for attempt in (
            lambda: ask(server, token=TOKEN),
            lambda: providers("org/name", token=TOKEN, timeout=5),
            lambda: whoami(TOKEN, 5),
        ):
            with contextlib.suppress(HuggingFaceError):
                attempt()
    assert TOKEN not in caplog.text
    assert MACHINE_TOKEN not in caplog.text


@pytest.mark.parametrize(("token", "sent"), [("hf_" + "k" * 34, "hf_" + "k" * 34), ("sk-a-gateways-own-key", False)])
def test_a_key_that_is_none_of_the_hubs_is_not_shown_to_it(
    token: str, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine's ``base_url`` may be anybody's gateway, with a key of its own."""
    seen: list[Any] = []

    class Asked:
        def __init__(self, endpoint: str | None, token: str | bool) -> None:
            seen.append((endpoint, token))

        def model_info(self, *_: Any, **__: Any) -> Any:
            raise OSError("no network")

    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr("huggingface_hub.HfApi", Asked)
    assert model_facts("org/name", token=token) is None
    assert seen == [(None, sent)]
