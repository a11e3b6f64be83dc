"""An argument that is accepted has an effect: it is sent in the server's words, done here, or refused with a reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from huggingface_api_handler.arguments.task_specs import parameter_specs
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.protocols import (
    PROTOCOLS,
    Protocol,
    hf_inference,
    llama_cpp,
    openai,
    tei,
    tgi,
    toolkit,
    vllm,
)
from huggingface_api_handler.protocols.base import Call, Done, Refused, Sent
from huggingface_api_handler.tasks import TASKS, samples
from huggingface_api_handler.tasks.task import Arguments, ModelFacts

HF, TOOLKIT, TEI, TGI = (one.PROTOCOL for one in (hf_inference, toolkit, tei, tgi))
OPENAI, VLLM, LLAMA = openai.PROTOCOL, vllm.PROTOCOL, llama_cpp.PROTOCOL
ROWS: Mapping[str, tuple[Any, ...]] = {
    "text-ranking": ("q", "a"),
    "automatic-speech-recognition": (samples.tone(b"x"),),
    "chat-completion": ("hi", None),
}


def arguments_of(name: str) -> list[str]:
    """Return every argument of a task that may have an effect on its requests or answers."""
    task = TASKS[name]
    prompt = []
    if task.chat:
        prompt = ["system_prompt", "output_schema", "examples", "rows_per_request", "audit", "audit_agreement"]
    return [*prompt, *(one.name for one in task.arguments), *(one.name for one in parameter_specs(task))]


def call(protocol: Protocol, name: str, model: ModelFacts | None = None, **using: Any) -> Call:
    task = TASKS[name]
    own = {one.name for one in task.arguments}
    values = {one: value for one, value in using.items() if one in own}
    parameters = {one: value for one, value in using.items() if one not in own}
    args = Arguments(values, parameters, model=model or ModelFacts())
    return protocol.encode(task, [ROWS.get(name, ("a",))], args)


def sent(protocol: Protocol, name: str, **using: Any) -> dict[str, Any]:
    """Return the fields of a request beside its inputs."""
    made = call(protocol, name, **using)
    return {**made.parameters, **made.root}


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
def test_every_argument_of_every_task_has_a_rule(protocol: Protocol) -> None:
    missing = [
        (name, argument)
        for name, serving in protocol.tasks.items()
        for argument in arguments_of(name)
        if argument not in serving.arguments
    ]
    assert missing == []


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
def test_every_rule_says_what_becomes_of_its_argument(protocol: Protocol) -> None:
    for serving in protocol.tasks.values():
        for rule in serving.arguments.values():
            assert isinstance(rule, (Sent, Done, Refused))
            if isinstance(rule, Done):
                assert rule.how
            if isinstance(rule, Refused):
                assert rule.reason


@pytest.mark.parametrize(
    ("protocol", "name", "using", "says"),
    [
        (TOOLKIT, "text-ranking", {"raw_scores": True}, "raw_scores = true has no effect at the default container"),
        (HF, "text-ranking", {"raw_scores": True}, "text-embeddings-inference"),
        (TOOLKIT, "feature-extraction", {"prompt_name": "query"}, "sub-select"),
        (TOOLKIT, "feature-extraction", {"truncation_direction": "left"}, "cuts texts at their end"),
        (OPENAI, "text-generation", {"return_full_text": True}, "CONCAT"),
        (OPENAI, "text-generation", {"decoder_input_details": True}, "no such field"),
        (OPENAI, "feature-extraction", {"normalize": False}, "only true can be had"),
        (OPENAI, "automatic-speech-recognition", {"return_timestamps": "char"}, "segments and words"),
        (OPENAI, "chat-completion", {"n": 2}, "one answer"),
        (OPENAI, "chat-completion", {"tool_prompt": "x"}, "no such field"),
        (OPENAI, "text-generation", {"n": 2}, "one answer"),
        (TOOLKIT, "summarization", {"num_return_sequences": 2}, "one answer"),
        (TGI, "text-generation", {"min_output_length": 3}, "no shortest output"),
        (VLLM, "text-generation", {"typical_p": 0.5}, "at vLLM"),
        (VLLM, "text-generation", {"best_of": 2}, "one text"),
        (LLAMA, "text-generation", {"min_output_length": 3}, "no such field"),
        (LLAMA, "text-generation", {"best_of": 2}, "no such field"),
        (LLAMA, "text-generation", {"truncate": 9}, "does not cut prompts"),
        (LLAMA, "feature-extraction", {"truncate": True}, "does not cut texts"),
        (LLAMA, "text-ranking", {"truncate": True}, "does not cut texts"),
        (LLAMA, "text-ranking", {"raw_scores": False}, "always gives the scores of the model"),
    ],
)
def test_what_a_server_cannot_do_is_refused_with_a_reason(
    protocol: Protocol, name: str, using: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        call(protocol, name, **using)
    assert f"Leave {next(iter(using))} out" in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "name", "using"),
    [
        (TOOLKIT, "text-ranking", {"raw_scores": False}),
        (OPENAI, "text-generation", {"return_full_text": False, "details": True, "watermark": False}),
        (OPENAI, "feature-extraction", {"normalize": True, "truncation_direction": "right"}),
        (OPENAI, "chat-completion", {"n": 1}),
        (VLLM, "text-generation", {"best_of": 1}),
        (LLAMA, "text-ranking", {"raw_scores": True, "truncate": False}),
        (LLAMA, "feature-extraction", {"truncate": False}),
    ],
)
def test_what_a_server_does_anyway_is_no_reason_to_refuse(protocol: Protocol, name: str, using: dict[str, Any]) -> None:
    assert not set(sent(protocol, name, **using)) & set(using)


@pytest.mark.parametrize(
    ("protocol", "name", "using"),
    [
        (OPENAI, "chat-completion", {"max_tokens": 5, "max_output_length": 9}),
        (OPENAI, "text-generation", {"max_new_tokens": 5, "max_output_length": 9}),
        (TGI, "text-generation", {"max_new_tokens": 5, "max_output_length": 9}),
        (TOOLKIT, "summarization", {"generate_parameters": {"max_length": 5}, "max_output_length": 9}),
    ],
)
def test_two_values_for_one_field_are_refused(protocol: Protocol, name: str, using: dict[str, Any]) -> None:
    first, second = using
    with pytest.raises(SettingsError, match=f"{first} and {second} are the same field at"):
        call(protocol, name, **using)


def test_one_value_for_one_field_may_be_written_twice() -> None:
    assert sent(OPENAI, "chat-completion", max_tokens=5, max_output_length=5)["max_tokens"] == 5


def test_messages_are_the_rows_own() -> None:
    with pytest.raises(SettingsError, match="parameters must not contain 'messages'"):
        call(OPENAI, "chat-completion", messages=[])


@pytest.mark.parametrize(
    ("protocol", "name"), [(OPENAI, "chat-completion"), (TEI, "feature-extraction"), (TGI, "text-generation")]
)
def test_options_are_sent_or_refused(protocol: Protocol, name: str) -> None:
    rows = [ROWS.get(name, ("a",))]
    with pytest.raises(SettingsError, match="options has no effect at .*Write num_ctx in parameters"):
        protocol.encode(TASKS[name], rows, Arguments(options={"num_ctx": 8192}))
    old = protocol.encode(TASKS[name], rows, Arguments(options={"wait_for_model": True, "use_cache": False}))
    assert "options" not in old.root
    made = TOOLKIT.encode(TASKS["summarization"], [("a",)], Arguments(options={"num_ctx": 8192}))
    assert made.root == {"options": {"num_ctx": 8192}}


# --- the servers' own words ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("using", "temperature"),
    [({}, 0), ({"do_sample": False}, 0), ({"seed": 3}, 0), ({"do_sample": True}, None), ({"temperature": 0.7}, 0.7),
     ({"top_p": 0.9}, None), ({"best_of": 2}, None)],
)  # fmt: skip
def test_a_completion_is_deterministic_unless_samples_are_wanted(
    using: dict[str, Any], temperature: float | None
) -> None:
    assert sent(OPENAI, "text-generation", **using).get("temperature") == temperature


@pytest.mark.parametrize("protocol", [HF, TOOLKIT, TGI], ids=lambda one: one.name)
def test_no_pipeline_is_sent_a_temperature_of_0(protocol: Protocol) -> None:
    made = sent(protocol, "text-generation", temperature=0, do_sample=True)
    assert "temperature" not in made
    assert made["do_sample"] is False
    assert sent(protocol, "text-generation", temperature=0.5)["temperature"] == 0.5


def test_text_generation_inference_is_not_sent_all_of_the_probability() -> None:
    assert not {"top_p", "typical_p"} & sent(TGI, "text-generation", top_p=1.0, typical_p=1).keys()
    assert "top_p" not in sent(TGI, "chat-completion", top_p=1)
    assert sent(TGI, "text-generation", top_p=0.9)["top_p"] == 0.9


@pytest.mark.parametrize(
    ("using", "wanted"),
    [
        ({}, {"do_sample": False}),
        ({"repetition_penalty": 1.5}, {"do_sample": False, "repetition_penalty": 1.5}),
        ({"temperature": 0.7}, {"do_sample": True, "temperature": 0.7}),
        ({"top_k": 5}, {"do_sample": True, "top_k": 5}),
        ({"temperature": 0}, {"do_sample": False}),
        ({"temperature": 0.7, "do_sample": False}, {"do_sample": False, "temperature": 0.7}),
    ],
)  # fmt: skip
def test_a_pipeline_samples_if_that_is_wanted_whatever_its_model_prefers(
    using: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert sent(TOOLKIT, "text-generation", **using) == {**wanted, "return_full_text": False}


def test_lengths_of_a_completion() -> None:
    made = sent(OPENAI, "text-generation", min_output_length=2, max_output_length=9)
    assert (made["min_tokens"], made["max_tokens"]) == (2, 9)


@pytest.mark.parametrize(
    ("protocol", "name", "field"),
    [
        (TOOLKIT, "feature-extraction", {"truncation": True}),
        (TEI, "feature-extraction", {"truncate": True}),
        (OPENAI, "feature-extraction", {"truncate_prompt_tokens": -1}),
        (VLLM, "feature-extraction", {"truncate_prompt_tokens": -1}),
        (TEI, "text-ranking", {"truncate": True}),
        (VLLM, "text-ranking", {"truncate_prompt_tokens": -1}),
        (TOOLKIT, "text-ranking", {}),
    ],
)
def test_truncation(protocol: Protocol, name: str, field: dict[str, Any]) -> None:
    plain, asked = sent(protocol, name), sent(protocol, name, truncate=True)
    assert {one: value for one, value in asked.items() if one not in plain} == field


def test_the_default_container_looks_for_arguments_in_parameters() -> None:
    made = call(TOOLKIT, "feature-extraction", truncate=True, dimensions=8, normalize=True, tokenize_kwargs={})
    assert dict(made.parameters) == {"truncation": True, "dimensions": 8, "tokenize_kwargs": {}}
    assert dict(made.root) == {}
    flat = call(TOOLKIT, "summarization", generate_parameters={"num_beams": 2}, max_output_length=9)
    assert dict(flat.parameters) == {"num_beams": 2, "max_length": 9}
    heard = call(TOOLKIT, "automatic-speech-recognition", generation_parameters={"num_beams": 2})
    assert dict(heard.parameters) == {"generate_kwargs": {"num_beams": 2}}


def test_raw_scores_of_ranks() -> None:
    assert sent(TEI, "text-ranking", raw_scores=True)["raw_scores"] is True
    assert sent(VLLM, "text-ranking", raw_scores=True)["use_activation"] is False
    assert "use_activation" not in sent(VLLM, "text-ranking")


def test_llama_cpps_names_of_parameters() -> None:
    made = sent(LLAMA, "text-generation", repetition_penalty=1.2)
    assert made == {"prompt": "a", "repeat_penalty": 1.2, "temperature": 0}
    assert sent(LLAMA, "feature-extraction", normalize=False)["embd_normalize"] == -1
    assert sent(LLAMA, "feature-extraction", normalize=True)["embd_normalize"] == 2
    assert "embd_normalize" not in sent(LLAMA, "feature-extraction")


# --- scores as function_to_apply wants them --------------------------------------------------

RAW = [3.14, -1.0]
EXPECTED = {
    "none": RAW,
    "sigmoid": [1 / (1 + math.exp(-one)) for one in RAW],
    "softmax": [math.exp(one) / sum(math.exp(other) for other in RAW) for one in RAW],
}


def classified(protocol: Protocol, scores: list[float]) -> Any:
    labels = [{"label": name, "score": score} for name, score in zip("ab", scores, strict=True)]
    if protocol is VLLM:
        return {"data": [{"index": 0, "label": "a", "probs": scores, "num_classes": 2}]}
    return {"data": [labels]} if protocol is OPENAI else labels


@pytest.mark.parametrize("function", EXPECTED)
@pytest.mark.parametrize("protocol", [TEI, OPENAI, VLLM], ids=lambda one: one.name)
def test_a_function_is_applied_to_the_models_own_scores(protocol: Protocol, function: str) -> None:
    made = sent(protocol, "text-classification", function_to_apply=function)
    assert made.get("raw_scores") is True or made.get("use_activation") is False
    args = Arguments(parameters={"function_to_apply": function})
    (answer,) = protocol.read(TASKS["text-classification"], classified(protocol, RAW), 1, args)
    assert list((answer.explain or {}).values()) == pytest.approx(sorted(EXPECTED[function], reverse=True))


@pytest.mark.parametrize("protocol", [TEI, OPENAI, VLLM], ids=lambda one: one.name)
def test_a_server_that_gives_probabilities_all_the_same_is_found_out(protocol: Protocol) -> None:
    args = Arguments(parameters={"function_to_apply": "none"})
    with pytest.raises(SettingsError, match="function_to_apply = 'none' has no effect"):
        protocol.read(TASKS["text-classification"], classified(protocol, [0.96, 0.04]), 1, args)
    soft = Arguments(parameters={"function_to_apply": "softmax"})
    (answer,) = protocol.read(TASKS["text-classification"], classified(protocol, [0.96, 0.04]), 1, soft)
    assert list((answer.explain or {}).values()) == [0.96, 0.04]


# --- vLLM's labels ---------------------------------------------------------------------------


def vllm_labels(args: Arguments, label: str | None = "POSITIVE") -> dict[str, Any]:
    said = {"data": [{"index": 0, "label": label, "probs": [0.25, 0.75], "num_classes": 2}]}
    (answer,) = VLLM.read(TASKS["text-classification"], said, 1, args)
    return {"value": answer.value, **(answer.explain or {})}


def test_vllm_names_the_best_label_and_the_config_names_the_others() -> None:
    known = Arguments(model=ModelFacts(id2label={"0": "NEGATIVE", "1": "POSITIVE"}))
    assert vllm_labels(known) == {"value": "POSITIVE", "POSITIVE": 0.75, "NEGATIVE": 0.25}
    assert vllm_labels(Arguments()) == {"value": "POSITIVE", "POSITIVE": 0.75, "LABEL_0": 0.25}
    assert vllm_labels(Arguments(), None) == {"value": "LABEL_1", "LABEL_1": 0.75, "LABEL_0": 0.25}
    assert vllm_labels(Arguments(values={"labels": ["bad", "good"]})) == {"value": "good", "good": 0.75, "bad": 0.25}


def test_vllms_rows_are_told_by_their_index() -> None:
    said = {"data": [{"index": 1, "label": "a", "probs": [0.9, 0.1]}, {"index": 0, "label": "b", "probs": [0.2, 0.8]}]}
    answers = VLLM.read(TASKS["text-classification"], said, 2, Arguments())
    assert [one.value for one in answers] == ["b", "a"]


# --- transcriptions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("using", "fields"),
    [
        ({}, {"response_format": "json"}),
        ({"return_timestamps": True}, {"response_format": "verbose_json", "timestamp_granularities[]": "segment"}),
        ({"return_timestamps": "word"}, {"response_format": "verbose_json", "timestamp_granularities[]": "word"}),
        ({"language": "de"}, {"response_format": "json", "language": "de"}),
        ({"generation_parameters": {"temperature": 0}}, {"response_format": "json", "temperature": 0}),
    ],
)
def test_a_transcription_is_a_form(using: dict[str, Any], fields: dict[str, Any]) -> None:
    made = call(OPENAI, "automatic-speech-recognition", **using)
    assert made.form
    assert dict(made.root) == fields
    assert made.media == ROWS["automatic-speech-recognition"][0]


def test_times_of_words_and_segments() -> None:
    task = TASKS["automatic-speech-recognition"]
    said = {"text": "hi you", "words": [{"word": "hi", "start": 0, "end": 0.5}], "segments": []}
    (answer,) = OPENAI.read(task, said, 1, Arguments())
    assert json.dumps(answer.explain) == '{"chunks": [{"text": "hi", "timestamp": [0.0, 0.5]}]}'
