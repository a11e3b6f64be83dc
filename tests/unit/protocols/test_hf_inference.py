"""What is asked where, and that none of hugging-py-face's own ways of sending is left."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import responses

from huggingface_api_handler.errors import HuggingFaceError, InvalidAnswer, SettingsError, Unavailable
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols import hf_inference
from huggingface_api_handler.protocols.hf_inference import ROUTER, ROUTER_CHAT, InferenceAPI, chat_url, model_path
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments, Batching, Call, Example, Input, Kind, Media, Task
from tests.unit.loopback import Loopback, answer

TOKEN = "hf_" + "a" * 34
PUBLIC = "93.184.216.34"
ENDPOINT = "https://x1.eu-west-1.aws.endpoints.huggingface.cloud"


def task(name: str = "text-classification", **facts: Any) -> Task:
    return Task(
        name=name, answer="", inputs=(Input("input_column", Kind.TEXT, ""),), encode=lambda rows, args: Call(),
        read=lambda answer, n, args: [], travel=Batching.ONE,
        example=Example(()), **facts,
    )  # fmt: skip


TEXT = task(method="text_classification")
CHAT = task("chat-completion", chat=True)
IMAGE = task("image-classification", method="image_classification")
PIPELINE = task("feature-extraction", method="feature_extraction", pipeline_route=True)

METHODS: list[tuple[str, str, Call]] = [
    ("fill-mask", "fill_mask", Call("a [MASK]", {"top_k": 3})),
    ("summarization", "summarization", Call(["a", "b"], {"truncation": "longest_first"})),
    ("question-answering", "question_answering", Call({"question": "q", "context": "c"}, {"top_k": 2})),
    ("question-answering", "question_answering", Call({"question": ["q", "r"], "context": ["c", "d"]})),
    ("question-answering", "question_answering", Call([{"question": "q", "context": "c"}])),
    ("table-question-answering", "table_question_answering", Call({"query": "q", "table": {"a": ["1"]}})),
    ("table-question-answering", "table_question_answering", Call({"question": "q", "table": {"a": ["1"]}, "x": 1})),
    ("sentence-similarity", "sentence_similarity", Call({"source_sentence": "s", "sentences": ["t", "u"]})),
    ("text-classification", "text_classification", Call(["a"], {"top_k": 5})),
    ("text-classification", "text_classification", Call([["a"], ["b"]], root={"raw_scores": False})),
    ("text-generation", "text_generation", Call("a", {"max_new_tokens": 5}, root={"options": {"use_cache": False}})),
    ("zero-shot-classification", "zero_shot_classification", Call("a", {"candidate_labels": ["x"],
     "multi_label": True})),
    ("zero-shot-classification", "zero_shot_classification", Call(["a"], {"hypothesis_template": "{}"})),
    ("conversational", "conversational", Call({"text": "a", "past_user_inputs": ["b"], "generated_responses": ["c"]})),
    ("conversational", "conversational", Call("a")),
    ("feature-extraction", "feature_extraction", Call(["a", "b"], root={"normalize": True})),
    ("translation", "translation", Call("a", {"src_lang": "de_DE", "tgt_lang": "en_XX"})),
    ("translation", "translation", Call(["a"])),
    ("object-detection", "object_detection", Call(media=Media(b"PNG", "image/png"), parameters={"threshold": 0.5})),
    ("automatic-speech-recognition", "automatic_speech_recognition",
     Call(media=Media(b"RIFF", "audio/wav"), root={"options": {"x": 1}})),
    ("audio-classification", "audio_classification", Call("odd")),
]  # fmt: skip


def client(**options: Any) -> InferenceAPI:
    options = {"token": TOKEN, "base_url": None, "endpoint": None, "model": "org/name", **options}
    bases = tuple(filter(None, (options["base_url"],))) or (ROUTER,)
    policy = UrlPolicy(bases, ("own.example",), resolver=lambda *_: [PUBLIC])
    return InferenceAPI(Transport(policy), **options)


def asked(call: Call = Call("x"), of: Task = TEXT, body: Any = None, **options: Any) -> Any:  # noqa: B008
    """Make one request, and return it."""
    one = client(**options)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post(one.url(of), json=[] if body is None else body)
        one.ask(of, call, timeout=5)
        return mock.calls[0].request


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "of", "url"),
    [
        ({}, TEXT, f"{ROUTER}/models/org/name"),
        ({"model": "gpt2"}, TEXT, f"{ROUTER}/models/gpt2"),
        ({}, PIPELINE, f"{ROUTER}/models/org/name/pipeline/feature-extraction"),
        ({}, CHAT, ROUTER_CHAT),
        ({"base_url": ROUTER + "/"}, CHAT, ROUTER_CHAT),
        ({"base_url": "https://own.example/hf"}, TEXT, "https://own.example/hf/models/org/name"),
        ({"base_url": "https://own.example/hf/"}, PIPELINE,
         "https://own.example/hf/models/org/name/pipeline/feature-extraction"),
        ({"base_url": "https://own.example/hf/models"}, TEXT, "https://own.example/hf/models/org/name"),
        ({"base_url": "https://own.example/hf"}, CHAT, "https://own.example/hf/v1/chat/completions"),
        ({"base_url": "https://own.example/v1"}, CHAT, "https://own.example/v1/chat/completions"),
        ({"endpoint": ENDPOINT}, TEXT, f"{ENDPOINT}/"),
        ({"endpoint": f"{ENDPOINT}/generate"}, TEXT, f"{ENDPOINT}/generate"),
        ({"endpoint": f"{ENDPOINT}/embed?x=1"}, PIPELINE, f"{ENDPOINT}/embed?x=1"),
        ({"endpoint": ENDPOINT}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/"}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/v1/"}, CHAT, f"{ENDPOINT}/v1/chat/completions"),
        ({"endpoint": f"{ENDPOINT}/x/v1/chat/completions"}, CHAT, f"{ENDPOINT}/x/v1/chat/completions"),
        ({"endpoint": ENDPOINT, "model": None}, TEXT, f"{ENDPOINT}/"),
        ({"endpoint": ENDPOINT, "model": "/repository"}, TEXT, f"{ENDPOINT}/"),
    ],
)  # fmt: skip
def test_addresses(options: dict[str, Any], of: Task, url: str) -> None:
    assert client(**options).url(of) == url
    assert asked(of=of, **options).url == url


@pytest.mark.parametrize("model", ["../../admin", "a/../b", "./x", "a//b", "/a", "a/", "", " ", "a\nb", "a/\x00"])
def test_models_that_lead_elsewhere(model: str) -> None:
    with pytest.raises(SettingsError):
        client(model=model)


@pytest.mark.parametrize(
    ("model", "path"),
    [("org/na.me-x_1", "org/na.me-x_1"), ("a?b#c", "a%3Fb%23c"), ("a b/c", "a%20b/c"), ("é/x", "%C3%A9/x"),
     ("%2e%2e/x", "%252e%252e/x"), ("a\\b", "a%5Cb"), ("a:b@c", "a%3Ab%40c"), (" org/name ", "org/name")],
)  # fmt: skip
def test_models_are_quoted(model: str, path: str) -> None:
    assert model_path(model) == path


def test_a_model_is_needed_unless_an_endpoint_has_one() -> None:
    with pytest.raises(SettingsError, match="model_name"):
        client(model=None)


@pytest.mark.parametrize("argument", ["base_url", "endpoint"])
def test_the_dead_host_is_named_early(argument: str) -> None:
    with pytest.raises(SettingsError, match="no longer serves") as caught:
        client(**{argument: "https://api-inference.huggingface.co/models"})
    assert argument in str(caught.value)


def test_a_query_of_a_chat_endpoint_is_no_path() -> None:
    assert chat_url("https://x.example/v1/chat/completions") == "https://x.example/v1/chat/completions"


def test_services_are_told_apart() -> None:
    assert client().service == client().service
    assert len({client().service, client(model="a/b").service, client(endpoint=ENDPOINT).service}) == 3


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "method", "call"), METHODS)
def test_each_method_sends_what_the_call_says(name: str, method: str, call: Call) -> None:
    before = json.dumps([call.inputs, dict(call.parameters), dict(call.root)])
    for known in (method, None):
        sent = asked(call, task(name, method=known))
        expected: dict[str, Any] = {} if call.inputs is None else {"inputs": call.inputs}
        if call.media is not None:
            expected["inputs"] = base64.b64encode(call.media.data).decode()
        if call.parameters:
            expected["parameters"] = dict(call.parameters)
        assert json.loads(sent.body) == {**expected, **call.root}
        assert sent.headers["Content-Type"] == "application/json"
        assert sent.headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.dumps([call.inputs, dict(call.parameters), dict(call.root)]) == before


def test_the_librarys_methods_really_build_the_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    library: Any = hf_inference.hugging_py_face()
    built: list[str] = []
    for family in (library.NLP, library.ComputerVision, library.AudioProcessing):
        for name in {method for _, method, _ in METHODS} & set(vars(family)):
            real = vars(family)[name]

            def spy(self: Any, *args: Any, _real: Any = real, _name: str = name, **given: Any) -> Any:
                built.append(_name)
                return _real(self, *args, **given)

            spy.__signature__ = hf_inference.inspect.signature(real)  # type: ignore[attr-defined]
            monkeypatch.setattr(family, name, spy)
    hf_inference._method.cache_clear()
    hf_inference._ours.cache_clear()
    try:
        for name, method, call in METHODS:
            asked(call, task(name, method=method))
    finally:
        hf_inference._method.cache_clear()
        hf_inference._ours.cache_clear()
    # Six calls have a shape for which their method has no place.
    assert len(built) == len(METHODS) - 6
    assert set(built) == {method for _, method, _ in METHODS} - {"audio_classification", "conversational"}


@pytest.mark.parametrize("of", [IMAGE, task("image-to-image")])
def test_media_without_parameters_are_raw_bytes(of: Task) -> None:
    sent = asked(Call(media=Media(b"\x89PNG", "image/png"), accept="image/png"), of)
    assert sent.body == b"\x89PNG"
    assert sent.headers["Content-Type"] == "image/png"
    assert sent.headers["Accept"] == "image/png"


def test_media_with_parameters_are_base64_without_line_ends() -> None:
    sent = asked(Call(media=Media(b"x" * 300, "image/png"), parameters={"top_k": 2}), IMAGE)
    body = json.loads(sent.body)
    assert base64.b64decode(body["inputs"], validate=True) == b"x" * 300
    assert "\n" not in body["inputs"]
    assert body["parameters"] == {"top_k": 2}


def test_empty_parameters_are_left_out() -> None:
    assert json.loads(asked(Call("x")).body) == {"inputs": "x"}
    with pytest.raises(HuggingFaceError):
        asked(Call(), task())


def test_falsy_inputs_are_inputs() -> None:
    every: list[Any] = ["", 0, [], {}, False]
    for inputs in every:
        assert json.loads(asked(Call(inputs), task()).body) == {"inputs": inputs}


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({}, "org/name"), ({"provider": "groq"}, "org/name:groq"), ({"provider": "auto"}, "org/name"),
        ({"provider": "cheapest"}, "org/name:cheapest"),
        ({"provider": "hf-inference"}, "org/name:hf-inference"), ({"model": "org/name:fastest", "provider": "groq"},
         "org/name:fastest"),
        ({"base_url": "https://own.example/hf", "provider": "groq"}, "org/name:groq"),
        ({"endpoint": ENDPOINT}, "org/name"), ({"endpoint": ENDPOINT, "model": None}, "tgi"),
        ({"endpoint": ENDPOINT, "provider": "groq"}, "org/name"),
    ],
)  # fmt: skip
def test_a_chat_names_its_model_first(options: dict[str, Any], model: str) -> None:
    messages = [{"role": "user", "content": "hi"}]
    sent = asked(Call(root={"messages": messages, "max_tokens": 9}), CHAT, **options)
    assert sent.body.startswith(b'{"model": "%s"' % model.encode())
    assert json.loads(sent.body) == {"model": model, "messages": messages, "max_tokens": 9}


def test_nan_is_not_sent() -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock, pytest.raises(HuggingFaceError) as caught:
        client().ask(TEXT, Call("x", {"top_k": float("nan")}), timeout=5)
    assert caught.value.code == "invalid_input"
    assert len(mock.calls) == 0


# --- who learns what ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "billed"),
    [({}, True), ({"endpoint": ENDPOINT}, False), ({"base_url": "https://gateway.example/hf"}, True),
     ({"endpoint": "https://own.example/"}, False), ({"endpoint": "http://own.example/"}, False)],
)  # fmt: skip
def test_who_is_told_whom_to_bill(options: dict[str, Any], billed: bool) -> None:
    sent = asked(bill_to="acme", **options)
    assert (sent.headers.get("X-HF-Bill-To") == "acme") is billed
    assert "X-HF-Bill-To" not in asked(**options).headers


def test_the_token_goes_to_whom_the_owner_trusts() -> None:
    assert "Authorization" in asked(endpoint="https://own.example/").headers
    assert "Authorization" not in asked(token=None).headers
    assert "Authorization" not in asked(token="").headers


# --- defects of the library that must not come back -----------------------------------------------


def test_one_request_means_one_request() -> None:
    """No retry, no sleep, no look-up of the model, nothing read twice."""
    with Loopback(answer({"error": "x"}, 503)) as server:
        policy = UrlPolicy((server.url,))
        one = InferenceAPI(Transport(policy), token=TOKEN, base_url=server.url, endpoint=None, model="org/name")
        for of, call in ((TEXT, Call("x")), (IMAGE, Call(media=Media(b"x", "image/png")))):
            with pytest.raises(Unavailable):
                one.ask(of, call, timeout=5)
    assert [heard.method for heard in server.heard] == ["POST", "POST"]
    assert server.connections == 1


def test_answers_that_are_no_json_are_said_to_be_none() -> None:
    with Loopback() as server:
        one = InferenceAPI(
            Transport(UrlPolicy((server.url,))), token=TOKEN, base_url=server.url, endpoint=None, model="org/name"
        )
        for status, body, kind in (
            (503, b"<html>", Unavailable),
            (200, b"<html>", InvalidAnswer),
            (200, b"", InvalidAnswer),
        ):
            server.speak = answer(body, status, "text/html")
            with pytest.raises(kind):
                one.ask(TEXT, Call("x"), timeout=5)


def test_media_names_are_never_opened_nor_fetched(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    secret = tmp_path / "secret.txt"
    secret.write_text("do not send")

    def no(*args: Any, **options: Any) -> Any:
        raise AssertionError("the library itself opened something")

    monkeypatch.setattr(requests, "get", no)
    monkeypatch.setattr(requests, "request", no)
    for inputs in (str(secret), "http://127.0.0.1:1/x", "httpcat.jpg", ["/etc/hostname"]):
        sent = asked(Call(inputs), IMAGE)
        assert b"do not send" not in sent.body
        assert json.loads(sent.body) == {"inputs": inputs}


def test_nothing_of_a_call_is_kept_for_the_next() -> None:
    of = task("zero-shot-classification", method="zero_shot_classification")
    one = client()
    with responses.RequestsMock() as mock:
        mock.post(one.url(of), json=[])
        one.ask(of, Call("x", {"candidate_labels": ["a"], "multi_label": True}), timeout=5)
        one.ask(of, Call("x", {"candidate_labels": ["b"]}), timeout=5)
        bodies = [json.loads(call.request.body)["parameters"] for call in mock.calls]
    assert bodies == [{"candidate_labels": ["a"], "multi_label": True}, {"candidate_labels": ["b"]}]


@pytest.mark.parametrize("of", [one for one in TASKS.values() if one.method], ids=lambda one: one.name)
def test_the_registrys_calls_have_a_place_in_their_methods(of: Task) -> None:
    arguments = Arguments(values=dict(of.example.using))
    for rows in {of.example.rows[:1], of.example.rows[: None if of.travel is Batching.LIST else 1]}:
        assert hf_inference._arguments(hf_inference._method(str(of.method)), of.encode(rows, arguments)) is not None


def test_no_model_is_made_up_for_a_translation() -> None:
    sent = asked(Call("x"), task("translation", method="translation"))
    assert "None" not in sent.url
    assert sent.url.endswith("/models/org/name")


def test_an_unknown_method_is_said_at_once() -> None:
    with pytest.raises(SettingsError, match="no method"):
        asked(of=task(method="make_coffee"))


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hugging_py_face"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hugging_py_face", None)
    with pytest.raises(SettingsError, match="pip install"):
        hf_inference.hugging_py_face()


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_leaves_logging_alone() -> None:
    out = _run(
        """
        import io, logging, sys, threading
        import huggingface_hub.hf_api, pandas, requests, urllib3, yaml
        names = ["app", "app.part", "requests", "urllib3", "huggingface_hub", "concurrent.futures", "mindsdb"]
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        logging.getLogger().addHandler(handler)
        logging.getLogger().setLevel(logging.ERROR)
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger("app.off").disabled = True

        def state():
            root = logging.getLogger()
            return (
                list(root.handlers), root.level, root.disabled, list(root.filters), logging.root.manager.disable,
                {n: (l.disabled, l.level, l.propagate, tuple(l.handlers)) for n in names + ["app.off"]
                 for l in [logging.getLogger(n)]},
            )

        before = state()
        configured = logging.config if hasattr(logging, "config") else None
        import logging.config
        original = logging.config.dictConfig
        from huggingface_api_handler.protocols import hf_inference
        threads = [threading.Thread(target=hf_inference.hugging_py_face) for _ in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
        package = hf_inference.hugging_py_face()
        assert package.NLP.__module__ == "hugging_py_face.nlp"
        assert state()[:-1] == before[:-1], (state(), before)
        after = state()[-1]
        assert after == before[-1]
        assert logging.config.dictConfig is original
        logging.getLogger("app").error("heard")
        assert stream.getvalue() == "heard\\n"
        disabled = [n for n, l in logging.root.manager.loggerDict.items() if getattr(l, "disabled", False)]
        assert disabled == ["app.off"], disabled
        """
    )
    assert out == ""


def test_other_threads_may_configure_logging_meanwhile() -> None:
    _run(
        """
        import logging, logging.config, sys, threading
        from huggingface_api_handler.protocols import hf_inference
        done = []

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name == "hugging_py_face.nlp" and not done:
                    def configure():
                        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
                                                   "loggers": {"theirs": {"level": "WARNING"}}})
                    other = threading.Thread(target=configure)
                    other.start(); other.join()
                    done.append(True)
                return None

        sys.meta_path.insert(0, Finder())
        hf_inference.hugging_py_face()
        assert done and logging.getLogger("theirs").level == logging.WARNING
        """
    )


def test_asking_imports_the_library_only_where_it_is_needed() -> None:
    _run(
        """
        import sys
        from huggingface_api_handler.protocols import hf_inference
        assert "hugging_py_face" not in sys.modules and "pandas" not in sys.modules
        """
    )


def test_nothing_is_logged_or_printed_by_a_request(capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    caplog.set_level("INFO")
    asked(Call("x"))
    assert capsys.readouterr().out == ""
    assert not [record for record in caplog.records if record.levelname in ("INFO", "WARNING")]
