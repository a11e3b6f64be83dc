"""Each kind of server: rows to a request, to an answer, and back onto the rows."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.arguments.coercion import read_value
from huggingface_api_handler.arguments.task_specs import parameter_specs
from huggingface_api_handler.errors import InvalidAnswer, InvalidInput, SettingsError
from huggingface_api_handler.protocols import PROTOCOLS, Protocol, hf_inference, openai, tei, tgi, toolkit, vllm
from huggingface_api_handler.protocols.base import Call
from huggingface_api_handler.sandbox import fake_text
from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.tasks import TASKS, samples
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Answer, Arguments, Batching, ModelFacts, Row, Task

HF, TOOLKIT, TEI, TGI, OPENAI = (one.PROTOCOL for one in (hf_inference, toolkit, tei, tgi, openai))


def arguments(task: Task, **using: Any) -> Arguments:
    """Return what a task is called with: its own arguments, and the rest as parameters."""
    own = {argument.name for argument in task.arguments} | {one.constant for one in task.inputs}
    using = {**task.example.using, **using}
    values = {name: value for name, value in using.items() if name in own}
    known = {spec.name: spec for spec in parameter_specs(task)}
    parameters = {name: read_value(known[name], value) for name, value in using.items() if name not in own}
    return Arguments(values=values, parameters=parameters)


def whole_row(task: Task, row: Row, args: Arguments) -> Row:
    """Return a row of the task's required inputs with its optional ones, from constants where there are any."""
    given_cells = iter(row)
    return tuple(
        next(given_cells) if one.required else args.values.get(one.constant) if one.constant else None
        for one in task.inputs
    )


def rows_of(task: Task, args: Arguments) -> list[Row]:
    return [whole_row(task, row, args) for row in task.example.rows]


def fake_answer(task: Task, call: Call) -> Any:
    inputs = call.inputs if call.inputs is not None else call.media if call.media is not None else dict(call.root)
    if isinstance(inputs, dict) and "documents" in inputs:  # what Cohere's form calls the texts
        inputs["texts"] = inputs.pop("documents")
    if isinstance(inputs, dict) and isinstance(inputs.get("input"), list) and task.name == "text-classification":
        inputs = inputs["input"]
    answer = FAKE_MODELS[task.name](inputs, call.parameters)
    return answer if isinstance(answer, Media) else json.loads(json.dumps(answer, allow_nan=False))


def ask(task: Task, rows: Sequence[Row], args: Arguments, protocol: Protocol = HF) -> list[Answer]:
    return protocol.read(task, fake_answer(task, protocol.encode(task, rows, args)), len(rows), args)


def groups(task: Task, rows: Sequence[Row], protocol: Protocol = HF) -> list[list[Row]]:
    """Return which rows travel together."""
    travel = protocol.batching(task)
    if travel is Batching.ONE:
        return [[row] for row in rows]
    if travel is Batching.GROUP:
        found: dict[Any, list[Row]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(row)
        return list(found.values())
    return [list(rows)]


# --- there and back --------------------------------------------------------------------------


def labelled(text: str) -> str:
    scores = {one["label"]: one["score"] for one in fake_text.text_classification(text, {})[0]}
    return max(scores, key=lambda name: scores[name])


def by_rows(expected: Callable[..., Any]) -> Callable[[Sequence[Row]], list[Any]]:
    return lambda rows: [expected(*row) for row in rows]


def names_of(*found: tuple[str, str, int]) -> str:
    return json.dumps([{"entity_group": kind, "score": 0.99, "word": word, "start": start, "end": start + len(word)}
                       for kind, word, start in found])  # fmt: skip


#: What the fake models answer to the examples, written by hand or computed without a reader.
EXPECTED: Mapping[str, Callable[[Sequence[Row]], list[Any]]] = {
    "text-classification": lambda rows: ["POSITIVE", "NEGATIVE", "POSITIVE"],
    "token-classification": lambda rows: [
        names_of(("PER", "Ana Lopez", 0), ("LOC", "Rome", 19)),
        names_of(("ORG", "Acme Corp", 10), ("LOC", "Berlin", 23)),
        "[]",
    ],
    "question-answering": lambda rows: ["Rome", "120"],
    "table-question-answering": lambda rows: ["170", "SUM > 2, 4"],
    "zero-shot-classification": lambda rows: ["food", "billing", "sports"],
    "fill-mask": lambda rows: ["We had a good time.", "This is a good town."],
    "summarization": lambda rows: ["The tower is 324 metres tall.", "Bees dance to tell the way."],
    "translation": lambda rows: ["[fr] Good morning", "[fr] The train is late."],
    "text-generation": lambda rows: [f" … and so on, says the sandbox of {n} words" for n in (4, 6)],
    "chat-completion": lambda rows: ["You said: Say hello", "You said: Name a colour"],
    "feature-extraction": by_rows(lambda text: json.dumps(fake_text.vector(text))),
    "sentence-similarity": by_rows(fake_text.likeness),
    "text-ranking": by_rows(lambda query, text: round((1 + fake_text.likeness(query, text)) / 2, 6)),
    "image-to-text": by_rows(lambda image: f"an image of {len(image.data)} bytes"),
    "automatic-speech-recognition": by_rows(lambda sound: f"a sound of {len(sound.data)} bytes"),
    "text-to-image": by_rows(lambda text: samples.png(f"{text}|".encode())),
    "text-to-video": by_rows(lambda text: samples.avi(f"{text}|".encode())),
    "text-to-speech": by_rows(lambda text: samples.tone(f"{text}|".encode())),
    "image-to-image": by_rows(lambda image, prompt: samples.png(image.data + prompt.encode())),
    "image-to-video": by_rows(lambda image, prompt: samples.avi(image.data + prompt.encode())),
    "depth-estimation": by_rows(lambda image: samples.png(image.data)),
    "tabular-regression": by_rows(lambda row: sum(cell for _, cell in row) / len(row)),
}


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_example_rows_get_their_own_answers_in_order(task: Task) -> None:
    args = arguments(task)
    rows = rows_of(task, args)
    alone = [ask(task, [row], args)[0] for row in rows]
    together: dict[Row, Answer] = {}
    for group in groups(task, rows):
        together.update(zip(group, ask(task, group, args), strict=True))
    assert [together[row].value for row in rows] == [one.value for one in alone]
    assert [together[row].media for row in rows] == [one.media for one in alone]
    assert len({str([one.value, one.explain, one.media and one.media.data]) for one in alone}) > 1
    if task.name in EXPECTED:
        assert [one.media or one.value for one in alone] == EXPECTED[task.name](rows)
    for one in alone:
        assert (one.explain is not None) == bool(task.explain)
        json.dumps([one.value, one.explain], allow_nan=False)


@pytest.mark.parametrize("name", ["text-classification", "zero-shot-classification", "image-classification"])
def test_scores_of_one_row_sum_to_one(name: str) -> None:
    args = arguments(TASKS[name])
    for row in rows_of(TASKS[name], args):
        (answer,) = ask(TASKS[name], [row], args)
        assert answer.explain is not None
        assert math.isclose(sum(answer.explain.values()), 1, abs_tol=1e-4)
        assert answer.value == max(answer.explain, key=lambda label: answer.explain[label])  # type: ignore[index]


#: Blank rows are not sent, and the sandbox answers them with an empty text.
TEXTS = st.text(min_size=1, max_size=20).filter(str.strip)
#: Rows of tasks that do not take just any text.
ROWS: Mapping[str, st.SearchStrategy[Row]] = {
    "fill-mask": st.tuples(TEXTS.map(lambda text: f"{text} [MASK]")),
    "sentence-similarity": st.tuples(st.just("source"), TEXTS),
    "text-ranking": st.tuples(st.just("query"), TEXTS),
    "tabular-classification": st.tuples(st.integers(0, 99).map(lambda one: (("a", one), ("b", one + 0.5)))),
    "tabular-regression": st.tuples(st.integers(0, 99).map(lambda one: (("a", one), ("b", one + 0.5)))),
}  # fmt: skip


@pytest.mark.parametrize("name", [task.name for task in TASKS.values() if task.batching is not Batching.ONE])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_rows_that_travel_together_get_what_each_gets_alone(name: str, data: st.DataObject) -> None:
    task = TASKS[name]
    args = arguments(task)
    drawn = ROWS[name] if name in ROWS else st.tuples(*(TEXTS for one in task.inputs if one.required))
    rows = data.draw(st.lists(drawn, min_size=1, max_size=6))
    (together,) = [ask(task, group, args) for group in groups(task, rows)]
    for row, answer in zip(rows, together, strict=True):
        (alone,) = ask(task, [row], args)
        assert answer.value == alone.value
        assert answer.explain == alone.explain


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
@pytest.mark.parametrize("name", ["text-classification", "feature-extraction", "text-ranking", "text-generation"])
def test_every_kind_of_server_is_asked_in_its_own_way(name: str, protocol: Protocol) -> None:
    task = TASKS[name]
    args = arguments(task)
    rows = [row for row in rows_of(task, args) if len(row) == 1 or row[0] == rows_of(task, args)[0][0]]
    for group in groups(task, rows, protocol):
        if protocol is TEI and name == "text-generation":
            continue
        found = ask(task, group, args, protocol)
        assert [one.value for one in found] == [ask(task, [row], arguments(task))[0].value for row in group]


# --- requests --------------------------------------------------------------------------------


UNKNOWN = ModelFacts()


def encode(name: str, *rows: Row, protocol: Protocol = HF, model: ModelFacts = UNKNOWN,
           options: Mapping[str, Any] = {}, values: Mapping[str, Any] = {}, **parameters: Any) -> Call:  # fmt: skip
    return protocol.encode(TASKS[name], rows, Arguments(values, parameters, options, model))


@pytest.mark.parametrize(
    ("name", "row", "field"),
    [
        ("text-generation", ("a",), "prompt"), ("feature-extraction", ("a",), "input"),
        ("text-classification", ("a",), "input"), ("text-ranking", ("q", "a"), "query"),
        ("text-ranking", ("q", "a"), "documents"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [openai.PROTOCOL, vllm.PROTOCOL])
def test_no_parameter_takes_the_place_of_the_rows_input(name: str, row: Row, field: str, protocol: Protocol) -> None:
    with pytest.raises(SettingsError, match=f"parameters must not contain '{field}'"):
        encode(name, row, protocol=protocol, **{field: "the same for all"})


def test_all_labels_are_asked_for_unless_the_user_says_how_many() -> None:
    assert encode("text-classification", ("a",)).parameters["top_k"] >= 100
    many = ModelFacts(id2label={str(n): str(n) for n in range(300)})
    assert encode("text-classification", ("a",), model=many).parameters["top_k"] == 300
    assert encode("text-classification", ("a",), top_k=2).parameters == {"top_k": 2}
    assert encode("token-classification", ("a",)).parameters == {"aggregation_strategy": "simple"}
    by_token = encode("token-classification", ("a",), aggregation_strategy="none")
    assert by_token.parameters == {"aggregation_strategy": "none"}


def test_one_row_travels_bare_and_several_as_a_list() -> None:
    assert encode("summarization", ("a",)).inputs == "a"
    assert encode("summarization", ("a",), ("b",)).inputs == ["a", "b"]
    assert encode("question-answering", ("q", "c")).inputs == {"question": "q", "context": "c"}
    two = encode("question-answering", ("q", "c"), ("r", "d"))
    assert two.inputs == {"question": ["q", "r"], "context": ["c", "d"]}


def test_an_embeddings_server_gets_no_pairs_and_its_fields_at_the_root() -> None:
    given_fields = {"truncate": True, "top_k": 2, "function_to_apply": "none"}
    call = encode("text-classification", ("a",), ("b",), protocol=TEI, **given_fields)
    assert call.inputs == [["a"], ["b"]]
    assert (call.parameters, call.root) == ({}, {"truncate": True, "raw_scores": True})
    call = encode("feature-extraction", ("a",), protocol=TEI, normalize=True)
    assert (call.inputs, call.parameters, call.root) == (["a"], {}, {"normalize": True})
    call = encode("text-ranking", ("q", "a"), ("q", "b"), protocol=TEI, values={"raw_scores": True})
    assert (call.inputs, call.root) == (None, {"query": "q", "texts": ["a", "b"], "raw_scores": True})


def test_vectors_are_asked_for_with_their_fields_at_the_root() -> None:
    call = encode("feature-extraction", ("a",), normalize=True, values={"pooling": "cls", "dimensions": 8})
    assert (call.inputs, call.parameters, call.root) == (["a"], {}, {"normalize": True, "dimensions": 8})
    call = encode("feature-extraction", ("a",), ("b",), protocol=OPENAI, model=ModelFacts("org/m"))
    assert (call.inputs, call.root) == (None, {"model": "org/m", "input": ["a", "b"]})


def test_options_travel_beside_inputs_where_they_are_known() -> None:
    assert encode("summarization", ("a",), options={"use_cache": False}).root == {"options": {"use_cache": False}}
    assert encode("text-generation", ("a",), options={"use_cache": False}, protocol=TGI).root == {}


@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("zero-shot")])
def test_candidate_labels_come_as_a_list(name: str) -> None:
    row = ("x",) if TASKS[name].inputs[0].kind.value == "text" else (samples.png(b"x"),)
    assert encode(name, row, values={"candidate_labels": ["a", "b", "c"]}).parameters["candidate_labels"] == [
        "a",
        "b",
        "c",
    ]


@pytest.mark.parametrize(("name", "wire"), [
    ("summarization", {"min_length": 2, "max_length": 9}),
    ("translation", {"min_length": 2, "max_length": 9}),
    ("text-generation", {"min_new_tokens": 2, "max_new_tokens": 9, "return_full_text": False}),
])  # fmt: skip
def test_lengths_of_output_get_the_services_names(name: str, wire: Mapping[str, Any]) -> None:
    assert encode(name, ("a",), values={"min_output_length": 2, "max_output_length": 9}).parameters == wire


def test_chat_and_captions_have_a_longest_output() -> None:
    assert encode("chat-completion", ("a", None), values={"max_output_length": 9}).root["max_tokens"] == 9
    caption = encode("image-to-text", (samples.png(b""),), values={"max_output_length": 9})
    assert caption.parameters == {"max_new_tokens": 9}
    for name in ("summarization", "translation", "text-generation", "chat-completion", "image-to-text"):
        assert any("max_length" in one.aliases for one in TASKS[name].arguments)


def test_generation_asks_for_what_is_new() -> None:
    assert encode("text-generation", ("a",)).parameters == {"return_full_text": False}
    assert encode("text-generation", ("a",), return_full_text=True).parameters == {"return_full_text": True}
    assert encode("text-generation", ("a",), model=ModelFacts(tags=("t5",))).parameters == {}
    assert encode("text-generation", ("a",), protocol=TGI, stream=True).parameters == {
        "details": True, "return_full_text": False,
    }  # fmt: skip
    call = encode("text-generation", ("a",), protocol=OPENAI, max_new_tokens=5, stop=["."])
    assert (call.inputs, call.parameters, call.root) == (
        None,
        {},
        {"prompt": "a", "max_tokens": 5, "stop": ["."], "temperature": 0},
    )
    assert TGI.batching(TASKS["text-generation"]) is Batching.ONE
    assert TOOLKIT.batching(TASKS["text-generation"]) is Batching.LIST


def test_languages_go_to_models_that_know_several() -> None:
    languages = {"lang_input": "en_XX", "lang_output": "fr_XX"}
    several = encode("translation", ("a",), values=languages, model=ModelFacts("facebook/mbart-large-50"))
    assert several.parameters == {"src_lang": "en_XX", "tgt_lang": "fr_XX"}
    one_pair = encode("translation", ("a",), values=languages, model=ModelFacts("Helsinki-NLP/opus-mt-en-fr"))
    assert one_pair.parameters == {}
    assert encode("translation", ("a",), values={"lang_input": "en_XX"}).parameters == {}
    assert encode("translation", ("a",), src_lang="a", tgt_lang="b").parameters == {"src_lang": "a", "tgt_lang": "b"}


def test_blanks_are_written_as_the_model_knows_them() -> None:
    roberta, bert = ModelFacts(mask_token="<mask>"), ModelFacts(mask_token="[MASK]")
    assert encode("fill-mask", ("a [MASK] b",), model=roberta).inputs == "a <mask> b"
    assert encode("fill-mask", ("a <mask> b",), model=bert).inputs == "a [MASK] b"
    assert encode("fill-mask", ("a <mask> b",)).inputs == "a <mask> b"
    with pytest.raises(InvalidInput, match="<mask>"):
        encode("fill-mask", ("no blank",), model=roberta)


def test_chat_bodies_are_openais() -> None:
    image = samples.png(b"x")
    call = encode("chat-completion", ("what?", image), values={"system_prompt": "be brief"}, temperature=0, stop=["."],
                  stream=True, seed=None)  # fmt: skip
    uri = f"data:image/png;base64,{base64.b64encode(image.data).decode()}"
    assert call.inputs is None
    assert call.root == {
        "messages": [
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": uri}}],
            },
        ],
        "temperature": 0,
        "stop": ["."],
    }
    assert encode("chat-completion", ("hi", None)).root == {"messages": [{"role": "user", "content": "hi"}]}


def test_the_fake_chat_model_makes_what_was_asked_for() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}}
    task = TASKS["chat-completion"]
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    args = Arguments(parameters={"response_format": wanted})
    made = json.loads(str(ask(task, [("hi", None)], args)[0].value))
    assert made["name"] == "hi" and isinstance(made["n"], int)
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    (answer,) = ask(task, [("hi", None)], Arguments(parameters={"tools": tools, "tool_choice": "required"}))
    assert answer.value is None
    assert answer.explain is not None
    assert answer.explain["tool_calls"][0]["function"]["name"] == "f"


def test_media_travel_raw_without_parameters_and_with_their_prompt() -> None:
    image = samples.png(b"x")
    assert encode("image-classification", (image,)) == Call(media=image)
    call = encode("image-to-image", (image, "blue"), guidance_scale=2)
    assert (call.media, call.parameters, call.accept) == (image, {"guidance_scale": 2, "prompt": "blue"}, "image/png")
    assert encode("image-to-image", (image, None)).parameters == {}
    asked = encode("visual-question-answering", (image, "colour?"), top_k=1)
    assert asked.inputs == {"image": base64.b64encode(image.data).decode(), "question": "colour?"}
    assert encode("text-to-image", ("a hut",), width=8, height=8).parameters == {"width": 8, "height": 8}


def test_what_draws_lots_says_so() -> None:
    def samples_with(name: str, **parameters: Any) -> bool:
        return TASKS[name].samples(Arguments(parameters=parameters))

    assert not samples_with("text-classification")
    assert not samples_with("text-generation")
    assert samples_with("text-generation", temperature=0.7)
    assert samples_with("text-generation", top_k=5)
    assert not samples_with("text-generation", temperature=0.7, seed=1)
    assert samples_with("chat-completion")
    assert not samples_with("chat-completion", temperature=0)
    assert samples_with("text-to-image")
    assert not samples_with("text-to-image", seed=0)


def test_cells_of_rows_travel_as_text() -> None:
    rows = [((("a", 1.0), ("b", None)),), ((("a", 2.5), ("b", True)),)]
    assert encode("tabular-classification", *rows).inputs == {"data": {"a": ["1", "2.5"], "b": ["", "True"]}}


def test_a_wrong_number_of_answers_is_refused() -> None:
    task = TASKS["translation"]
    args = arguments(task)
    with pytest.raises(InvalidAnswer):
        HF.read(task, fake_answer(task, HF.encode(task, rows_of(task, args), args)), 3, args)
