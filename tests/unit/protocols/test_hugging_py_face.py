"""The library puts requests together, and none of its own ways of sending is left."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import responses

from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.protocols import hf_inference, hugging_py_face
from huggingface_api_handler.protocols.base import Call
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Arguments, Batching, Task
from tests.unit.protocols.test_client import TOKEN, asked, client, task

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


@pytest.mark.parametrize("method", hugging_py_face.METHODS.values())
def test_methods_are_those_of_the_library(method: str) -> None:
    library: Any = hugging_py_face.load()
    assert any(hasattr(family, method) for family in (library.NLP, library.ComputerVision, library.AudioProcessing))


@pytest.mark.parametrize(("name", "method", "call"), METHODS)
def test_each_method_sends_what_the_call_says(
    name: str, method: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.dumps([call.inputs, dict(call.parameters), dict(call.root)])
    for known in ({name: method}, {}):
        monkeypatch.setattr(hugging_py_face, "METHODS", known)
        sent = asked(call, task(name))
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
    library: Any = hugging_py_face.load()
    built: list[str] = []
    for family in (library.NLP, library.ComputerVision, library.AudioProcessing):
        for name in {method for _, method, _ in METHODS} & set(vars(family)):
            real = vars(family)[name]

            def spy(self: Any, *args: Any, _real: Any = real, _name: str = name, **given: Any) -> Any:
                built.append(_name)
                return _real(self, *args, **given)

            spy.__signature__ = hugging_py_face.inspect.signature(real)  # type: ignore[attr-defined]
            monkeypatch.setattr(family, name, spy)
    hugging_py_face._method.cache_clear()
    hugging_py_face._ours.cache_clear()
    try:
        for name, method, call in METHODS:
            monkeypatch.setattr(hugging_py_face, "METHODS", {name: method})
            asked(call, task(name))
    finally:
        hugging_py_face._method.cache_clear()
        hugging_py_face._ours.cache_clear()
    # Six calls have a shape for which their method has no place.
    assert len(built) == len(METHODS) - 6
    assert set(built) == {method for _, method, _ in METHODS} - {"audio_classification", "conversational"}


def test_nothing_of_a_call_is_kept_for_the_next() -> None:
    of = task("zero-shot-classification")
    one = client()
    with responses.RequestsMock() as mock:
        mock.post(one.url(of), json=[])
        one.ask(of, Call("x", {"candidate_labels": ["a"], "multi_label": True}), timeout=5)
        one.ask(of, Call("x", {"candidate_labels": ["b"]}), timeout=5)
        bodies = [json.loads(call.request.body)["parameters"] for call in mock.calls]
    assert bodies == [{"candidate_labels": ["a"], "multi_label": True}, {"candidate_labels": ["b"]}]


@pytest.mark.parametrize("of", [TASKS[name] for name in hugging_py_face.METHODS], ids=lambda one: one.name)
def test_the_registrys_calls_have_a_place_in_their_methods(of: Task) -> None:
    arguments = Arguments(values=dict(of.example.using))
    for rows in {of.example.rows[:1], of.example.rows[: None if of.batching is Batching.LIST else 1]}:
        assert hugging_py_face.built(of.name, hf_inference.PROTOCOL.encode(of, rows, arguments)) is not None


def test_no_model_is_made_up_for_a_translation() -> None:
    sent = asked(Call("x"), task("translation"))
    assert "None" not in sent.url
    assert sent.url.endswith("/models/org/name")


def test_an_unknown_method_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_py_face, "METHODS", {"text-classification": "make_coffee"})
    with pytest.raises(SettingsError, match="no method"):
        asked()


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hugging_py_face"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hugging_py_face", None)
    with pytest.raises(SettingsError, match="pip install"):
        hugging_py_face.load()


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
        from huggingface_api_handler.protocols import hugging_py_face
        threads = [threading.Thread(target=hugging_py_face.load) for _ in range(4)]
        [t.start() for t in threads]; [t.join() for t in threads]
        package = hugging_py_face.load()
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
        from huggingface_api_handler.protocols import hugging_py_face
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
        hugging_py_face.load()
        assert done and logging.getLogger("theirs").level == logging.WARNING
        """
    )


def test_asking_imports_the_library_only_where_it_is_needed() -> None:
    _run(
        """
        import sys
        import huggingface_api_handler.protocols.client
        assert "hugging_py_face" not in sys.modules and "pandas" not in sys.modules
        """
    )
