"""Readers of answers: every shape that servers give, and nothing else."""

from __future__ import annotations

import base64
import json
import math
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.errors import (
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelLoading,
    RateLimited,
    SettingsError,
    Unavailable,
)
from huggingface_api_handler.protocols import Protocol, hf_inference, tei
from huggingface_api_handler.tasks import TASKS, answers, samples
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.media_answers import media_link
from huggingface_api_handler.tasks.task import Answer, Arguments, ModelFacts

PLAIN = Arguments()


def read(
    task: str, answer: Any, n: int = 1, args: Arguments = PLAIN, protocol: Protocol = hf_inference.PROTOCOL
) -> list[Answer]:
    return protocol.read(TASKS[task], answer, n, args)


def values(task: str, answer: Any, n: int = 1, args: Arguments = PLAIN) -> list[Any]:
    return [one.value for one in read(task, answer, n, args)]


def label(name: str, score: float) -> dict[str, Any]:
    return {"label": name, "score": score}


UP, DOWN = label("UP", 0.9), label("DOWN", 0.1)
PERSON = {"entity_group": "PER", "score": 0.99, "word": "Kim", "start": 0, "end": 3}
TOWN = {"entity": "B-LOC", "score": 0.8, "index": 3, "word": "Oslo", "start": None, "end": None}
LEGACY = {"sequence": "rain", "labels": ["weather", "sport"], "scores": [0.7, 0.3]}
PNG = samples.png(b"x")
PNG_64 = base64.b64encode(PNG.data).decode()
TONE = samples.tone(b"x")
TONE_64 = base64.b64encode(TONE.data).decode()
FILM = samples.avi(b"x")
FILM_64 = base64.b64encode(FILM.data).decode()
PACKED = base64.b64encode(struct.pack("<2f", 0.5, -2)).decode()
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}


def filled(word: str, score: float) -> dict[str, Any]:
    return {"sequence": f"a {word} day", "score": score, "token": 7, "token_str": word}


# (task, rows, answer, values)
SHAPES: list[tuple[str, int, Any, list[Any]]] = [
    # text-classification: one text
    ("text-classification", 1, [[DOWN, UP]], ["UP"]),
    ("text-classification", 1, [DOWN, UP], ["UP"]),
    ("text-classification", 1, [UP], ["UP"]),
    ("text-classification", 1, UP, ["UP"]),
    ("text-classification", 1, [label("x", 1), label("y", 2)], ["y"]),
    ("text-classification", 1, [{"score": 0.4, "label": 3}], ["3"]),
    ("text-classification", 1, [[UP]], ["UP"]),
    ("text-classification", 1, {"data": [[DOWN, UP]]}, ["UP"]),
    # text-classification: several texts
    ("text-classification", 2, [[UP, DOWN], [label("DOWN", 0.8), label("UP", 0.2)]], ["UP", "DOWN"]),
    ("text-classification", 2, [[UP], [label("DOWN", 0.8)]], ["UP", "DOWN"]),
    ("text-classification", 3, [[UP, label("UP", 0.6), label("DOWN", 0.8)]], ["UP", "UP", "DOWN"]),
    ("text-classification", 2, [UP, label("UP", 0.95)], ["UP", "UP"]),
    ("text-classification", 2, [[UP, label("UP", 0.95)]], ["UP", "UP"]),
    ("text-classification", 2, {"data": [[UP, DOWN], [label("DOWN", 0.8)]]}, ["UP", "DOWN"]),
    ("text-classification", 2, {"data": [{"index": 1, **UP}, {"index": 0, **DOWN}]}, ["DOWN", "UP"]),
    ("text-classification", 1, {"data": [{"label": "UP", "probs": [0.2, 0.8]}]}, ["UP"]),
    # token-classification
    ("token-classification", 1, [PERSON], None),
    ("token-classification", 1, [[PERSON]], None),
    ("token-classification", 1, [TOWN], None),
    ("token-classification", 1, [], ["[]"]),
    ("token-classification", 1, [[]], ["[]"]),
    ("token-classification", 2, [[], [PERSON]], None),
    # question-answering
    ("question-answering", 1, {"score": 0.9, "start": 0, "end": 3, "answer": "Kim"}, ["Kim"]),
    ("question-answering", 1, [{"score": 0.9, "start": 0, "end": 3, "answer": "Kim"}], ["Kim"]),
    ("question-answering", 1, [{"score": 0.2, "answer": "no"}, {"score": 0.7, "answer": "yes"}], ["yes"]),
    ("question-answering", 1, {"score": 0.1, "start": 0, "end": 0, "answer": ""}, [""]),
    ("question-answering", 2, [{"score": 0.9, "answer": "a"}, {"score": 0.8, "answer": "b"}], ["a", "b"]),
    ("question-answering", 2, [[{"score": 0.1, "answer": "z"}, {"score": 0.9, "answer": "a"}],
                               [{"score": 0.8, "answer": "b"}]], ["a", "b"]),
    # table-question-answering
    ("table-question-answering", 1, {"answer": "SUM > 1, 2", "coordinates": [[0, 1], [1, 1]], "cells": ["1", "2"],
                                     "aggregator": "SUM"}, ["SUM > 1, 2"]),
    ("table-question-answering", 1, [{"answer": "7", "coordinates": [[0, 0]], "cells": ["7"]}], ["7"]),
    # zero-shot-classification
    ("zero-shot-classification", 1, [label("sport", 0.2), label("food", 0.8)], ["food"]),
    ("zero-shot-classification", 1, LEGACY, ["weather"]),
    ("zero-shot-classification", 1, [LEGACY], ["weather"]),
    ("zero-shot-classification", 2, [LEGACY, {**LEGACY, "scores": [0.1, 0.9]}], ["weather", "sport"]),
    ("zero-shot-classification", 2, [[UP, DOWN], [DOWN, UP]], ["UP", "UP"]),
    # fill-mask
    ("fill-mask", 1, [filled("bad", 0.1), filled("good", 0.6)], ["a good day"]),
    ("fill-mask", 1, [[filled("good", 0.6)]], ["a good day"]),
    ("fill-mask", 2, [[filled("good", 0.6)], [filled("bad", 0.6)]], ["a good day", "a bad day"]),
    ("fill-mask", 1, [[{"sequence": "[CLS] the old [MASK] sat [SEP]", "score": 0.5, "token_str": "old"}],
                      [{"sequence": "[CLS] the [MASK] cat sat [SEP]", "score": 0.4, "token_str": " cat"}]],
     ["the old cat sat"]),
    ("fill-mask", 2, [[[{"sequence": "the old <mask>", "score": 0.5, "token_str": "old"}],
                       [{"sequence": "the <mask> cat", "score": 0.4, "token_str": " cat"}]], [filled("bad", 0.6)]],
     ["the old cat", "a bad day"]),
    # texts
    ("summarization", 1, [{"summary_text": "short"}], ["short"]),
    ("summarization", 1, {"summary_text": "short"}, ["short"]),
    ("summarization", 2, [{"summary_text": "a"}, {"summary_text": "b"}], ["a", "b"]),
    ("translation", 1, [{"translation_text": "Hej"}], ["Hej"]),
    ("translation", 1, {"translation_text": "Hej"}, ["Hej"]),
    ("translation", 2, [{"translation_text": "a"}, {"translation_text": "b"}], ["a", "b"]),
    ("translation", 1, [{"generated_text": "Hej"}], ["Hej"]),
    ("text-generation", 1, [{"generated_text": " upon"}], [" upon"]),
    ("text-generation", 1, {"generated_text": "", "details": {"generated_tokens": 1}}, [""]),
    ("text-generation", 2, [[{"generated_text": "a"}], [{"generated_text": "b"}]], ["a", "b"]),
    ("text-generation", 2, [{"generated_text": "a"}, {"generated_text": "b"}], ["a", "b"]),
    ("text-generation", 1, {"choices": [{"index": 0, "text": "hm", "finish_reason": "length"}]}, ["hm"]),
    ("text-generation", 1, {"choices": [{"text": "hm", "finish_reason": "eos", "seed": 7}]}, ["hm"]),
    ("text-generation", 2, {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}, ["a", "b"]),
    # chat
    ("chat-completion", 1, {"id": "", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hey"},
                                                   "finish_reason": "stop"}]}, ["hey"]),
    ("chat-completion", 1, {"object": "text_completion", "choices": [{"message": {"content": "hey"}}]}, ["hey"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": {"a": 1}}}]}, ['{"a": 1}']),  # parsed by the service
    ("chat-completion", 1, {"choices": [{"message": {"content": {"type": "text", "text": "hey"}}}]}, ["hey"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": {"type": "bill", "usd": 3}}}]},
     ['{"type": "bill", "usd": 3}']),
    ("chat-completion", 1, {"choices": [{"message": {"content": ["he", "y"]}}]}, ["hey"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": "hey", "reasoning": "hm"}}]}, ["hey"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": "<think>hm</think>\n\nhey"}}]}, ["hey"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": " say <b>hey</b>\n"}}]}, [" say <b>hey</b>\n"]),
    ("chat-completion", 1, {"choices": [{"message": {"content": [{"type": "text", "text": "a"},
                                                                 {"type": "text", "text": "b"}]}}]}, ["ab"]),
    ("chat-completion", 1, {"generated_text": "ok", "conversation": {}, "warnings": ["w"]}, ["ok"]),
    # vectors of one text
    ("feature-extraction", 1, [1.0, 2.0], ["[1.0, 2.0]"]),
    ("feature-extraction", 1, [[1.0, 2.0]], ["[1.0, 2.0]"]),
    ("feature-extraction", 1, [[1.0, 2.0], [3.0, 6.0]], ["[2.0, 4.0]"]),
    ("feature-extraction", 1, [[[1.0, 2.0], [3.0, 6.0]]], ["[2.0, 4.0]"]),
    ("feature-extraction", 1, [[[[1.0, 2.0], [3.0, 6.0]]]], ["[2.0, 4.0]"]),
    ("feature-extraction", 1, {"embeddings": [1, 2]}, ["[1.0, 2.0]"]),
    ("feature-extraction", 1, {"embeddings": [[1.0, 2.0]]}, ["[1.0, 2.0]"]),
    ("feature-extraction", 1, {"data": [{"index": 0, "embedding": [0.5]}]}, ["[0.5]"]),
    # vectors of several texts
    ("feature-extraction", 2, [[1.0], [2.0]], ["[1.0]", "[2.0]"]),
    ("feature-extraction", 2, [[[1.0], [3.0]], [[2.0]]], ["[2.0]", "[2.0]"]),
    ("feature-extraction", 2, [[[[1.0], [3.0]]], [[[2.0]]]], ["[2.0]", "[2.0]"]),
    ("feature-extraction", 2, {"embeddings": [[1.0], [2.0]]}, ["[1.0]", "[2.0]"]),
    ("feature-extraction", 2, {"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]},
     ["[1.0]", "[2.0]"]),
    ("feature-extraction", 1, {"data": [{"index": 0, "embedding": PACKED}]}, ["[0.5, -2.0]"]),
    ("feature-extraction", 1, {"data": [{"embedding": [0.5]}]}, ["[0.5]"]),
    ("feature-extraction", 1, {"data": [{"index": "0", "embedding": [0.5]}]}, ["[0.5]"]),
    ("feature-extraction", 1, {"data": [{"index": 1, "embedding": [0.5]}]}, ["[0.5]"]),
    ("text-ranking", 3, [{"index": 2, "score": 0.9}, {"score": 0.5}, {"index": 1, "score": 0.1}], [0.5, 0.1, 0.9]),
    # likeness and ranks
    ("sentence-similarity", 2, [0.8, 0.1], [0.8, 0.1]),
    ("sentence-similarity", 1, [1], [1.0]),
    ("sentence-similarity", 2, {"similarities": [0.8, -0.1]}, [0.8, -0.1]),
    ("text-ranking", 2, [{"index": 1, "score": 0.9, "text": "b"}, {"index": 0, "score": 0.1}], [0.1, 0.9]),
    ("text-ranking", 2, {"scores": [0.1, 0.9]}, [0.1, 0.9]),
    ("text-ranking", 2, {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]},
     [0.1, 0.9]),
    ("text-ranking", 1, [{"score": 0.4}], [0.4]),
    # labels of media
    ("image-classification", 1, [label("dog", 0.1), label("cat", 0.9)], ["cat"]),
    ("zero-shot-image-classification", 1, [label("dog", 0.1), label("cat", 0.9)], ["cat"]),
    ("audio-classification", 1, [label("glad", 0.8)], ["glad"]),
    ("video-classification", 1, [label("surf", 0.8), label("walk", 0.9)], ["walk"]),
    # pictures
    ("object-detection", 1, [], ["[]"]),
    ("object-detection", 1, [{**label("a", 0.2), "box": BOX}, {**label("b", 0.6), "box": BOX}],
     [json.dumps([{**label("b", 0.6), "box": BOX}, {**label("a", 0.2), "box": BOX}])]),
    ("zero-shot-object-detection", 1, [{**label("a", 0.2), "box": BOX}],
     [json.dumps([{**label("a", 0.2), "box": BOX}])]),
    ("image-segmentation", 1, [{"label": "sky", "mask": PNG_64, "score": None}],
     [json.dumps([{"label": "sky", "score": None, "mask": f"data:image/png;base64,{PNG_64}"}])]),
    ("image-segmentation", 1, [{"label": "sky", "mask": PNG_64}],
     [json.dumps([{"label": "sky", "score": None, "mask": f"data:image/png;base64,{PNG_64}"}])]),
    ("image-segmentation", 1, [{"label": "sky", "mask": PNG_64, "score": 1}],
     [json.dumps([{"label": "sky", "score": 1.0, "mask": f"data:image/png;base64,{PNG_64}"}])]),
    ("image-segmentation", 1, [{"label": "mask", "mask": f"data:image/png;base64,{PNG_64}"}],
     [json.dumps([{"label": "mask", "score": None, "mask": f"data:image/png;base64,{PNG_64}"}])]),
    ("image-to-text", 1, [{"generated_text": "a cat"}], ["a cat"]),
    ("image-to-text", 1, {"generated_text": "a cat"}, ["a cat"]),
    ("visual-question-answering", 1, [{"score": 0.1, "answer": "red"}, {"score": 0.9, "answer": "blue"}], ["blue"]),
    ("document-question-answering", 1, [{"score": 0.9, "answer": "12", "start": 4, "end": 4}], ["12"]),
    ("document-question-answering", 1, [{"answer": "12"}], ["12"]),
    ("document-question-answering", 1, {"answer": "12"}, ["12"]),
    # sound
    ("automatic-speech-recognition", 1, {"text": "hi"}, ["hi"]),
    ("automatic-speech-recognition", 1, [{"text": "hi"}], ["hi"]),
    ("automatic-speech-recognition", 1, {"text": "", "chunks": []}, [""]),
    ("automatic-speech-recognition", 1, {"text": "hi", "segments": [{"text": "hi", "start": 0, "end": 1.5}]}, ["hi"]),
    ("audio-to-audio", 1, [{"label": "a", "blob": TONE_64, "content-type": "audio/wav"}],
     [json.dumps([{"label": "a", "blob": f"data:audio/x-wav;base64,{TONE_64}"}])]),
    # tables
    ("tabular-classification", 3, [1, 0, "yes"], [1, 0, "yes"]),
    ("tabular-classification", 2, [[1], [0]], [1, 0]),
    ("tabular-regression", 2, [3.5, 2], [3.5, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("task", "n", "answer", "expected"), SHAPES)
def test_every_shape_of_every_server(task: str, n: int, answer: Any, expected: list[Any] | None) -> None:
    found = values(task, answer, n)
    assert len(found) == n
    if expected is not None:
        assert found == expected


REFUSED: list[tuple[str, int, Any]] = [
    ("text-classification", 2, [[UP, DOWN]]),  # all labels of one text
    ("text-classification", 2, [UP, DOWN]),  # the same, as a pair of texts gets it
    ("text-classification", 2, [[UP, label("DOWN", 0.8)]]),  # two rows' best, or one row's two
    ("text-classification", 2, [label("toxic", 0.95), label("insult", 0.9)]),  # both may be true of one text
    ("text-classification", 3, [[UP], [DOWN]]),
    ("text-classification", 3, [UP, UP]),  # best labels, but not one for each row
    ("text-classification", 2, [UP, UP, DOWN]),
    ("text-classification", 3, [[UP, UP]]),
    ("text-classification", 2, [[UP, UP, DOWN]]),
    ("text-classification", 2, {"data": [[UP, DOWN]]}),
    ("text-classification", 1, [[UP], [DOWN]]),
    ("text-classification", 1, []),
    ("text-classification", 1, [[]]),
    ("text-classification", 2, [[UP], []]),
    ("text-classification", 1, [label("a", math.nan)]),
    ("text-classification", 1, [label("a", math.inf)]),
    ("text-classification", 1, [{"label": "a", "score": "0.4"}]),
    ("text-classification", 1, [{"label": "a", "score": True}]),
    ("text-classification", 1, [{"label": "a", "score": 10**400}]),
    ("text-classification", 1, "POSITIVE"),
    ("text-classification", 1, None),
    ("token-classification", 2, [PERSON, PERSON]),
    ("token-classification", 2, []),
    ("token-classification", 2, [[PERSON]]),
    ("question-answering", 2, {"score": 0.9, "answer": "a"}),
    ("question-answering", 1, []),
    ("zero-shot-classification", 2, [UP, DOWN]),
    ("zero-shot-classification", 2, [LEGACY]),
    ("zero-shot-classification", 1, {"labels": ["a", "b"], "scores": [1.0]}),
    ("zero-shot-classification", 1, {"labels": [], "scores": []}),
    ("fill-mask", 2, [filled("good", 0.6), filled("bad", 0.2)]),
    ("fill-mask", 1, [[filled("good", 0.6)], [filled("bad", 0.6)]]),  # two rows' worth for one
    ("summarization", 2, [{"summary_text": "a"}]),
    ("summarization", 1, [{"summary_text": "a"}, {"summary_text": "b"}]),
    ("summarization", 1, {"summary_text": None}),
    ("summarization", 1, {"summary_text": ""}),
    ("translation", 2, [{"translation_text": "a"}, {"translation_text": " "}]),
    ("image-to-text", 1, [{"generated_text": ""}]),
    ("text-classification", 1, [{"label": "", "score": 0.5}]),
    ("text-classification", 1, [{"label": " ", "score": 0.5}]),
    ("text-generation", 1, [{"generated_text": "a"}, {"generated_text": "b"}]),
    ("text-generation", 1, {"generated_text": "", "details": {"finish_reason": "length", "generated_tokens": 9}}),
    ("text-generation", 2, {"choices": [{"index": 0, "text": "a"}, {"index": 0, "text": "b"}]}),
    ("text-generation", 2, {"choices": [{"text": "a"}, {"text": "b"}]}),
    ("chat-completion", 1, {"id": "x", "object": "chat.completion"}),
    ("chat-completion", 1, {"choices": []}),
    ("chat-completion", 1, {"choices": [{"message": None}]}),
    ("chat-completion", 2, {"choices": [{"message": {"content": "a"}}]}),
    ("feature-extraction", 2, [1.0, 2.0]),
    ("feature-extraction", 2, [[1.0, 2.0]]),
    ("feature-extraction", 2, {"embeddings": [1.0, 2.0]}),
    ("feature-extraction", 2, [[1.0], [2.0], [3.0]]),
    ("feature-extraction", 3, [[1.0], [2.0]]),
    ("feature-extraction", 2, [[[1.0], [2.0]]]),  # two tokens of one text, or two texts
    ("feature-extraction", 1, {"data": [{"embedding": [0.5]}, {"embedding": [0.7]}]}),
    ("feature-extraction", 2, {"data": [{"embedding": [0.5]}, {"embedding": [0.7]}]}),
    ("feature-extraction", 2, [[1.0, 2.0], [1.0]]),
    ("feature-extraction", 1, [[1.0, 2.0], [1.0]]),
    ("feature-extraction", 1, []),
    ("feature-extraction", 1, [[]]),
    ("feature-extraction", 1, [1.0, math.nan]),
    ("feature-extraction", 1, [1.0, None]),
    ("feature-extraction", 1, [{"index": 3, "value": 0.1}]),
    ("feature-extraction", 2, {"data": [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]}),
    ("sentence-similarity", 2, [0.8]),
    ("sentence-similarity", 1, [0.8, 0.1]),
    ("sentence-similarity", 1, [math.nan]),
    ("text-ranking", 2, [{"index": 1, "score": 0.9}, {"index": 1, "score": 0.1}]),
    ("text-ranking", 2, [{"score": 0.9}, {"score": 0.1}]),  # best first, of whom?
    ("text-ranking", 2, [{"index": 1, "score": 0.9}]),
    ("text-ranking", 2, [{"index": 0, "score": 0.9}, {"score": 0.1}]),  # which of them is 0?
    ("text-ranking", 2, [{"index": True, "score": 0.9}, {"index": 0, "score": 0.1}]),
    ("object-detection", 1, [{**UP, "box": {"xmin": 1}}]),
    ("object-detection", 1, [{**UP, "box": {**BOX, "ymax": math.inf}}]),
    ("image-segmentation", 1, [{"label": "sky", "mask": "no base64!"}]),
    ("image-segmentation", 1, [{"label": "sky", "mask": TONE_64}]),
    ("text-to-image", 1, "aGVsbG8="),
    ("text-to-image", 1, Media(b"<html>", "text/html")),
    ("text-to-image", 1, Media(b"", "image/png")),
    ("text-to-image", 1, Media(b"NSFW content detected\n", "image/png")),
    ("text-to-image", 1, "data:image/\ud800;base64,AAAA"),
    ("text-to-image", 1, 'data:image/">;base64,AAAA'),
    ("text-to-speech", 1, {"audio": [0.1, math.nan], "sampling_rate": 8000}),
    ("automatic-speech-recognition", 1, {"text": None}),
    ("automatic-speech-recognition", 1, {"text": "a", "chunks": [{"text": "a", "timestamp": [0]}]}),
    ("automatic-speech-recognition", 1, {"text": "a", "segments": [{"text": "a", "start": "0", "end": 1}]}),
    ("tabular-regression", 2, [1.0]),
    ("tabular-regression", 2, [1.0, math.nan]),
    ("tabular-regression", 2, [1.0, "much"]),
    ("tabular-classification", 2, [[1, 0], [0, 1]]),
    ("tabular-classification", 2, [[1], 0]),
]


@pytest.mark.parametrize(("task", "n", "answer"), REFUSED)
def test_what_is_not_surely_one_answer_a_row_is_refused(task: str, n: int, answer: Any) -> None:
    with pytest.raises(InvalidAnswer):
        read(task, answer, n)


def test_two_labels_of_one_pair_are_not_two_rows() -> None:
    """A server of embeddings reads a bare list of two texts as one pair; where the labels are two, the count fits."""
    pair = [label("UP", 0.9), label("DOWN", 0.4)]
    known = Arguments(model=ModelFacts(id2label={"0": "DOWN", "1": "UP"}))
    with pytest.raises(InvalidAnswer):
        read("text-classification", pair, 2, known)
    with pytest.raises(InvalidAnswer):
        read("text-classification", [UP, label("DOWN", 0.95)], 2, PLAIN, tei.PROTOCOL)


# --- explain ---------------------------------------------------------------------------------


def test_labels_are_explained_best_first() -> None:
    (answer,) = read("text-classification", [[DOWN, UP]])
    assert answer.explain == {"UP": 0.9, "DOWN": 0.1}
    assert list(answer.explain or ()) == ["UP", "DOWN"]


def test_labels_get_the_names_the_user_gave() -> None:
    args = Arguments(values={"labels": ["bad", "good"]}, model=ModelFacts(id2label={"0": "DOWN", "1": "UP"}))
    (answer,) = read("text-classification", [[DOWN, UP]], 1, args)
    assert (answer.value, answer.explain) == ("good", {"good": 0.9, "bad": 0.1})
    raw = [[label("LABEL_0", 0.3), label("LABEL_1", 0.6), label("LABEL_2", 0.1)]]
    (answer,) = read("text-classification", raw, 1, Arguments(values={"labels": ["bad", "good", "odd"]}))
    assert (answer.value, answer.explain) == ("good", {"good": 0.6, "bad": 0.3, "odd": 0.1})


@pytest.mark.parametrize(
    ("names", "raw", "says"),
    [
        ("bad, good", ["LABEL_0", "LABEL_1", "LABEL_2"], "LABEL_0, LABEL_1, LABEL_2"),
        ("negative, neutral, positive", ["NEGATIVE", "POSITIVE"], "NEGATIVE, POSITIVE"),
        ("x, y, z", ["negative", "neutral", "positive"], "order is not known.*negative, neutral, positive"),
    ],
)
def test_names_that_do_not_fit_the_models_labels_are_refused_with_them(names: str, raw: list[str], says: str) -> None:
    answered = [label(name, 1 / (2 + place)) for place, name in enumerate(raw)]
    with pytest.raises(SettingsError, match=says):
        read("text-classification", [answered], 1, Arguments(values={"labels": names.split(", ")}))


def test_names_are_checked_against_no_more_labels_than_the_answer_has_to_show() -> None:
    best = [[label("LABEL_2", 0.9)]]
    assert values("text-classification", best, 1, Arguments(values={"labels": ["x", "y", "z"]})) == ["z"]
    two = Arguments(values={"labels": ["x", "y", "z"]}, parameters={"top_k": 2})
    assert values("image-classification", [label("LABEL_2", 0.9), label("LABEL_0", 0.1)], 1, two) == ["z"]


def test_the_users_top_k_bounds_what_is_explained() -> None:
    (answer,) = read("text-classification", [[DOWN, UP]], 1, Arguments(parameters={"top_k": 1}))
    assert answer.explain == {"UP": 0.9}


def test_entities_are_listed_and_their_words_gathered() -> None:
    (answer,) = read("token-classification", [PERSON, TOWN, {**PERSON, "word": "Lee"}])
    assert answer.explain == {"PER": ["Kim", "Lee"], "B-LOC": ["Oslo"]}
    found = json.loads(str(answer.value))
    assert found[0] == PERSON
    assert found[1] == {"entity": "B-LOC", "score": 0.8, "word": "Oslo", "start": None, "end": None}


def test_spans_say_where_they_stand() -> None:
    (answer,) = read("question-answering", {"score": 0.9, "start": 0, "end": 3, "answer": "Kim"})
    assert answer.explain == {"score": 0.9, "start": 0, "end": 3}


def test_a_table_answer_says_what_it_rests_on() -> None:
    raw = {"answer": "SUM > 1, 2", "coordinates": [[0, 1], [1, 1]], "cells": ["1", "2"], "aggregator": "SUM"}
    (answer,) = read("table-question-answering", raw)
    assert answer.explain == {"coordinates": [[0, 1], [1, 1]], "cells": ["1", "2"], "aggregator": "SUM"}


def test_generation_says_why_it_ended() -> None:
    raw = [{"generated_text": "x", "details": {"finish_reason": "length", "generated_tokens": 5, "tokens": []}}]
    (answer,) = read("text-generation", raw)
    assert (answer.explain, answer.tokens) == ({"finish_reason": "length", "tokens": 5}, 5)


def test_detections_are_counted() -> None:
    raw = [{**label(name, 0.5), "box": BOX} for name in ("cat", "dog", "cat")]
    assert read("object-detection", raw)[0].explain == {"cat": 2, "dog": 1}


def test_chunks_are_explained_where_they_came() -> None:
    chunks = [{"text": "hi", "timestamp": [0.0, None]}]
    assert read("automatic-speech-recognition", {"text": "hi", "chunks": chunks})[0].explain == {"chunks": chunks}
    segments = [{"id": 0, "text": "hi", "start": 0.0, "end": None, "tokens": [1]}]
    assert read("automatic-speech-recognition", {"text": "hi", "segments": segments})[0].explain == {"chunks": chunks}
    assert read("automatic-speech-recognition", {"text": "hi"})[0].explain == {}


def test_pooling_is_the_users_choice() -> None:
    tokens = [[[1.0, 2.0], [3.0, 6.0]]]
    for pooling, expected in (("mean", [2.0, 4.0]), ("cls", [1.0, 2.0]), ("none", [[1.0, 2.0], [3.0, 6.0]])):
        (answer,) = read("feature-extraction", tokens, 1, Arguments(values={"pooling": pooling}))
        assert json.loads(str(answer.value)) == expected
        assert answer.explain == {"dimensions": 2}


def test_tokens_of_a_request_are_shared_out_and_none_is_lost() -> None:
    raw = {"data": [{"index": i, "embedding": [1.0]} for i in range(3)], "usage": {"total_tokens": 7}}
    assert [one.tokens for one in read("feature-extraction", raw, 3)] == [3, 2, 2]


@pytest.mark.parametrize("part", [[0.0, 0], [[0.0, 0.0], [0.0, 0.0]], {"embeddings": [[0, 0]]}])
def test_a_vector_of_zeros_is_none(part: Any) -> None:
    for pooling in ("mean", "none"):
        with pytest.raises(InvalidAnswer, match="a vector of zeros"):
            read("feature-extraction", part, 1, Arguments(values={"pooling": pooling}))


#: An emoji has one character, two code units of UTF-16 and four bytes of UTF-8; é has two bytes.
EMOJI = "\N{PARTY POPPER} Ana Pérez lives in Rome, é"


@pytest.mark.parametrize(
    "size", [len, lambda text: len(text.encode("utf-16-le")) // 2, lambda text: len(text.encode())]
)
@pytest.mark.parametrize("words", [["Ana Pérez", "Rome"], ["ana perez", "▁Rome"], ["ana", "##rez", "Rome"]])
def test_positions_are_in_characters_whatever_the_server_counts(size: Callable[[str], int], words: list[str]) -> None:
    places = [EMOJI.lower().index(word.strip("▁#").replace("perez", "pérez").lower()) for word in words]
    spans = [(place, place + len(word.strip("▁#"))) for place, word in zip(places, words, strict=True)]
    said = [
        {"entity_group": "X", "score": 0.9, "word": word, "start": size(EMOJI[:start]), "end": size(EMOJI[:end])}
        for word, (start, end) in zip(words, spans, strict=True)
    ]
    (answer,) = read("token-classification", said)
    placed = answers.placed_entities(answer, (EMOJI,))
    assert [(one["start"], one["end"]) for one in json.loads(str(placed.value))] == spans
    assert placed.explain == answer.explain


def test_positions_of_an_answer_are_in_characters_too() -> None:
    said = {"answer": "Rome", "score": 0.5, "start": len(EMOJI[:21].encode()), "end": len(EMOJI[:25].encode())}
    (answer,) = read("question-answering", said)
    assert EMOJI[21:25] == "Rome"
    assert answers.placed_span(answer, ("Where?", EMOJI)).explain == {"score": 0.5, "start": 21, "end": 25}


@pytest.mark.parametrize(
    ("word", "start", "end", "expected"),
    [
        ("[UNK]", 2, 5, (2, 5)), ("Rome", 400, 404, (None, None)), ("Rome", None, None, (None, None)),
        ("Rome", -1, 4, (None, 4)),
    ],
)  # fmt: skip
def test_positions_that_show_nothing_stay_and_those_beyond_the_text_are_left_out(
    word: str, start: int | None, end: int | None, expected: tuple[int | None, int | None]
) -> None:
    (answer,) = read("token-classification", [{"entity": "X", "score": 1, "word": word, "start": start, "end": end}])
    (found,) = json.loads(str(answers.placed_entities(answer, (EMOJI,)).value))
    assert (found["start"], found["end"]) == expected


# --- chat ------------------------------------------------------------------------------------


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **more},
                         "finish_reason": more.pop("reason", "stop")}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "odd": None}}  # fmt: skip


JSON_WANTED = Arguments(parameters={"response_format": {"type": "json_object"}})


def test_chat_explains_its_end_and_its_cost() -> None:
    (answer,) = read("chat-completion", chat("hey"))
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert (answer.explain, answer.tokens) == ({"finish_reason": "stop", "usage": usage}, 3)


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
def test_tool_calls_are_explained_with_arguments_as_text(arguments: Any) -> None:
    call = {"id": 0, "type": "function", "function": {"name": "f", "arguments": arguments}}
    (answer,) = read("chat-completion", chat(None, tool_calls=[call]), 1, JSON_WANTED)
    assert answer.value is None
    assert answer.explain is not None
    (reported,) = answer.explain["tool_calls"]
    assert (reported["function"]["name"], json.loads(reported["function"]["arguments"])) == ("f", {"a": 1})


@pytest.mark.parametrize(
    "content", ['{"a": "é"}', '```json\n{"a": "é"}\n```', ' ```\n{"a":"é"}```\n', '{"a":"\\u00e9"}']
)
def test_json_that_was_asked_for_comes_as_json(content: str) -> None:
    (answer,) = read("chat-completion", chat(content), 1, JSON_WANTED)
    assert answer.value == '{"a": "é"}'


@pytest.mark.parametrize(
    "content", ["hello", '{"a": ', "", '{"a": NaN}', "```json\nhi\n```", "[" * 100_000, "9" * 5000]
)
def test_what_is_no_json_is_refused_where_json_was_asked_for(content: str) -> None:
    with pytest.raises(InvalidAnswer, match="JSON"):
        read("chat-completion", chat(content), 1, JSON_WANTED)
    if content:
        assert values("chat-completion", chat(content)) == [content]


@pytest.mark.parametrize(("content", "reason", "kind", "retryable"), [
    ("", "stop", InvalidAnswer, True),
    (None, "stop", InvalidAnswer, True),
    ("\n\n", "stop", InvalidAnswer, True),
    ("<think>hm</think>", "stop", InvalidAnswer, True),
    ("Par", "error", Unavailable, True),
    ("Par", "insufficient_system_resource", Unavailable, True),
    ("", "network_error", Unavailable, True),
    ("", "content_filter", InvalidInput, False),
    (None, "SAFETY", InvalidInput, False),
    ("<think>\nLet me consider. The user wants", "length", InvalidAnswer, False),
    ("", "length", InvalidAnswer, False),
    (None, "length", InvalidAnswer, False),
    (None, "MAX_TOKENS", InvalidAnswer, False),
    (None, "model_length", InvalidAnswer, False),
    ("<think>\nLet me", "max_tokens", InvalidAnswer, False),
    ("", None, InvalidAnswer, True),
    (None, None, InvalidAnswer, True),
    (None, "tool_calls", InvalidAnswer, True),
    (None, "STOP", InvalidAnswer, True),
    (None, "MALFORMED_FUNCTION_CALL", InvalidAnswer, True),
    ("", "refusal", InvalidAnswer, False),
    ("I cannot", "refusal", InvalidAnswer, False),
    ([{"type": "refusal", "refusal": "I cannot"}], "stop", InvalidAnswer, False),
])  # fmt: skip
def test_a_completion_that_is_not_worth_keeping_is_an_error(
    content: Any, reason: str | None, kind: type[HuggingFaceError], retryable: bool
) -> None:
    with pytest.raises(kind) as caught:
        read("chat-completion", chat(content, reason=reason))
    assert caught.value.retryable is retryable
    if reason is not None and ("length" in reason or reason.lower() == "max_tokens"):
        assert "max_tokens" in str(caught.value)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("chat-completion", chat("The first half", reason="content_filter")),
        ("chat-completion", chat("The first half", reason="SAFETY")),
        ("text-generation", {"choices": [{"text": "The first half", "finish_reason": "content_filter"}]}),
    ],
)
def test_half_an_answer_that_a_filter_left_is_none(task: str, answer: Any) -> None:
    """Unlike one that ends at the limit of tokens, which the user sets."""
    with pytest.raises(InvalidInput, match="content filter cut the answer off: 'The first half'"):
        read(task, answer)


def test_a_refusal_is_told_in_the_models_own_words() -> None:
    for answer in (chat(None, refusal="I can't help."), chat([{"type": "refusal", "refusal": "I can't help."}])):
        with pytest.raises(InvalidAnswer, match=r"refused to answer: I can't help\.") as caught:
            read("chat-completion", answer)
        assert not caught.value.retryable
    assert values("chat-completion", chat("Paris", refusal=None)) == ["Paris"]
    assert values("chat-completion", chat("Paris", refusal="")) == ["Paris"]


def test_a_function_call_of_the_former_form_is_a_tool_call() -> None:
    (answer,) = read("chat-completion", chat(None, function_call={"name": "f", "arguments": "{}"}))
    assert answer.explain is not None
    assert [one["function"]["name"] for one in answer.explain["tool_calls"]] == ["f"]


def test_a_choice_may_hold_an_error_or_no_message() -> None:
    failed = {"choices": [{"error": {"code": 502, "message": "gone"}, "finish_reason": "error",
                           "message": {"content": "Par"}}]}  # fmt: skip
    with pytest.raises(Unavailable, match="gone"):
        read("chat-completion", failed)
    filtered = {"choices": [{"message": None, "finish_reason": "content_filter"}]}
    with pytest.raises(InvalidInput, match="filter"):
        read("chat-completion", filtered)


def test_json_that_never_began_is_json_that_was_cut() -> None:
    with pytest.raises(InvalidAnswer, match="cut off at the token limit"):
        read("chat-completion", chat(None, reason="length"), 1, JSON_WANTED)


def test_one_tool_call_may_come_without_a_list() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    (answer,) = read("chat-completion", chat(None, tool_calls=call))
    assert answer.value is None
    assert answer.explain is not None
    assert [one["function"]["name"] for one in answer.explain["tool_calls"]] == ["f"]


def test_labels_that_are_none_of_the_candidates_are_told() -> None:
    """A server that classifies texts in its own way does not look at the candidates."""
    args = Arguments(values={"candidate_labels": ["food", "Billing"]})
    with pytest.raises(SettingsError, match="candidate_labels has no effect at this server: it returns UP, DOWN"):
        read("zero-shot-classification", [[UP, DOWN]], 1, args)
    (answer,) = read("zero-shot-classification", {"labels": ["billing", "food"], "scores": [0.9, 0.1]}, 1, args)
    assert answer.value == "billing"


def test_an_empty_continuation_is_asked_for_again() -> None:
    with pytest.raises(InvalidAnswer) as caught:
        read("text-generation", {"generated_text": ""})
    assert caught.value.retryable
    assert caught.value.retry_limit == 3


def test_a_vector_of_nulls_is_asked_for_again_and_a_list_is_halved() -> None:
    for answer, n, retryable in (([[None, None]], 1, True), ([[0.1, 0.2], [None, None]], 2, False)):
        with pytest.raises(InvalidAnswer) as caught:
            read("feature-extraction", answer, n)
        assert caught.value.retryable is retryable
        assert caught.value.divisible


def test_vectors_are_normalized_here_if_the_server_did_not() -> None:
    wanted = Arguments(parameters={"normalize": True})
    assert values("feature-extraction", [[3.0, 4.0]], 1, wanted) == ["[0.6, 0.8]"]
    near = [[0.6000001, 0.8]]  # as near to 1 as half precision comes
    assert values("feature-extraction", near, 1, wanted) == ["[0.6000001, 0.8]"]
    assert values("feature-extraction", [[3.0, 4.0]]) == ["[3.0, 4.0]"]


def test_dimensions_that_a_server_ignores_are_told() -> None:
    wanted = Arguments(values={"dimensions": 2})
    assert values("feature-extraction", [[0.1, 0.2]], 1, wanted) == ["[0.1, 0.2]"]
    with pytest.raises(SettingsError, match="dimensions = 2 has no effect.*3 dimensions"):
        read("feature-extraction", [[0.1, 0.2, 0.3]], 1, wanted)


def test_an_output_shorter_than_asked_for_is_told() -> None:
    wanted = Arguments(values={"min_output_length": 5})
    answered = {"choices": [{"text": "hm"}], "usage": {"completion_tokens": 2}}
    with pytest.raises(SettingsError, match="min_output_length = 5 has no effect"):
        read("text-generation", answered, 1, wanted)


# --- errors in place of answers --------------------------------------------------------------


@pytest.mark.parametrize("task", list(TASKS))
def test_an_error_that_came_as_an_answer_is_raised_with_its_words(task: str) -> None:
    said = {"message": "out of memory"}
    for raw in ({"error": "out of memory"}, {"error": ["out of memory", "sorry"]}, {"error": said}, {"errors": [said]},
                [{"error": "out of memory"}], {"object": "error", **said}, {"error": {"detail": said}}):  # fmt: skip
        with pytest.raises(Unavailable, match="out of memory"):
            read(task, raw)


def test_an_error_says_what_to_do_about_it() -> None:
    with pytest.raises(ModelLoading) as caught:
        read("fill-mask", [{"error": "Model x is currently loading", "estimated_time": 20.5}])
    assert caught.value.retry_after == 20.5
    assert caught.value.retryable
    with pytest.raises(RateLimited):
        read("feature-extraction", {"error": "Model is overloaded", "error_type": "Overloaded"})
    with pytest.raises(InvalidInput):
        read("text-generation", {"error": "`inputs` is too long", "error_type": "validation"})


def test_no_token_is_repeated_from_an_error() -> None:
    token = "hf_" + "a" * 34
    with pytest.raises(HuggingFaceError) as caught:
        read("fill-mask", {"error": f"bad token {token}"})
    assert token not in str(caught.value)


def test_an_error_field_that_says_nothing_is_no_error() -> None:
    assert values("summarization", {"summary_text": "a", "error": None}) == ["a"]


# --- media -----------------------------------------------------------------------------------

MADE: list[tuple[str, Any, Media]] = [
    ("text-to-image", PNG, PNG),
    ("text-to-image", Media(PNG.data, "application/octet-stream"), PNG),
    ("text-to-image", PNG_64, PNG),
    ("text-to-image", f"data:image/png;base64,{PNG_64}", PNG),
    ("text-to-image", {"data": [{"b64_json": PNG_64}]}, PNG),
    ("text-to-image", {"images": [{"url": f"data:image/png;base64,{PNG_64}"}]}, PNG),
    ("text-to-image", {"output": [f"data:image/png;base64,{PNG_64}"]}, PNG),
    ("text-to-image", {"output": f"data:image/png;base64,{PNG_64}"}, PNG),
    ("text-to-image", {"images": [{"image": PNG_64}]}, PNG),
    ("text-to-image", {"task_status": "SUCCESS", "image_result": [{"url": f"data:image/png;base64,{PNG_64}"}]}, PNG),
    ("text-to-image", {"status": "Ready", "result": {"sample": f"data:image/png;base64,{PNG_64}"}}, PNG),
    ("text-to-image", {"data": {"outputs": [f"data:image/png;base64,{PNG_64}"], "status": "completed"}}, PNG),
    ("text-to-image", Media(b"\xff\xd8\xff\xe0", "image/jpeg"), Media(b"\xff\xd8\xff\xe0", "image/jpeg")),
    ("text-to-image", Media(PNG.data, "binary/octet-stream"), PNG),
    ("text-to-image", Media(PNG.data, ""), PNG),
    ("text-to-image", Media(PNG.data, "image/jpeg"), PNG),
    ("text-to-image", Media(b"<svg></svg>", "image/svg+xml"), Media(b"<svg></svg>", "image/svg+xml")),
    ("text-to-image", {"images": [{"url": f"data:image/png;base64,{PNG_64}"}], "has_nsfw_concepts": [False]}, PNG),
    ("image-to-image", {"images": [{"url": f"data:image/png;base64,{PNG_64}"}]}, PNG),
    ("depth-estimation", PNG, PNG),
    ("image-to-image", PNG, PNG),
    ("depth-estimation", {"predicted_depth": [[1.0]], "depth": PNG_64}, PNG),
    ("depth-estimation", [{"predicted_depth": "x", "depth": PNG_64}], PNG),
    ("text-to-speech", Media(TONE.data, "audio/wav"), TONE),
    ("text-to-speech", Media(b"fLaC....", "audio/flac; q=1"), Media(b"fLaC....", "audio/flac")),
    ("text-to-speech", Media(b"ID3....", "audio/mpeg"), Media(b"ID3....", "audio/mpeg")),
    ("text-to-speech", {"audio": {"url": f"data:audio/wav;base64,{TONE_64}"}}, Media(TONE.data, "audio/x-wav")),
    ("text-to-speech", {"audio": TONE_64, "sampling_rate": 16000}, Media(TONE.data, "audio/x-wav")),
    ("text-to-speech", {"audio": [0.0, 0.5], "sampling_rate": 8000}, samples.wav([0.0, 0.5])),
    ("text-to-speech", [{"audio": [[0.0, 0.5]], "sampling_rate": 8000}], samples.wav([0.0, 0.5])),
    ("text-to-video", FILM, FILM),
    ("image-to-video", {"video": {"url": f"data:video/avi;base64,{FILM_64}"}}, FILM),
    ("text-to-video", {"video": {"video_url": f"data:video/avi;base64,{FILM_64}"}}, FILM),
    ("text-to-video", {"outputs": {"cost": 0.1, "video_url": f"data:video/avi;base64,{FILM_64}"}}, FILM),
]


@pytest.mark.parametrize(("task", "raw", "medium"), MADE)
def test_media_are_found_wherever_they_lie(task: str, raw: Any, medium: Media) -> None:
    (answer,) = read(task, raw)
    assert answer.media == medium
    assert answer.explain in (None, {"media_type": medium.type, "bytes": len(medium.data)})
    assert bool(TASKS[task].explain) == (answer.explain is not None)


def test_single_tokens_are_no_groups() -> None:
    wanted = Arguments(parameters={"aggregation_strategy": "simple"})
    with pytest.raises(SettingsError, match="aggregation_strategy = 'simple' has no effect.*single tokens"):
        read("token-classification", [TOWN], 1, wanted)
    assert read("token-classification", [PERSON], 1, wanted)
    assert read("token-classification", [TOWN], 1, Arguments(parameters={"aggregation_strategy": "none"}))


def test_as_many_fillings_as_wanted() -> None:
    found = [filled("good", 0.6), filled("bad", 0.2), filled("odd", 0.1)]
    (answer,) = read("fill-mask", found, 1, Arguments(parameters={"top_k": 2}))
    assert answer.explain == {"a good day": 0.6, "a bad day": 0.2}


def test_a_transcript_stays_if_the_times_of_a_chunk_are_unknown() -> None:
    (answer,) = read("automatic-speech-recognition", {"text": "hi", "chunks": [{"text": "hi", "timestamp": None}]})
    assert (answer.value, answer.explain) == ("hi", {"chunks": [{"text": "hi", "timestamp": [None, None]}]})


@pytest.mark.parametrize("url", [f"data:image/png;base64,{PNG_64}", "https://x.test/a.png"])
def test_an_image_that_a_filter_has_blackened_is_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="content filter withheld the image"):
        media_link({"images": [{"url": url}], "has_nsfw_concepts": [True], "prompt": "x"})


@pytest.mark.parametrize("raw", [
    {"images": [{"url": "https://x.test/a.png"}]}, {"output": "https://x.test/a.png"}, {"output": ["https://x.test/a.png"]},
    {"image": {"url": "https://x.test/a.png"}}, {"data": [{"url": "https://x.test/a.png"}]},
])  # fmt: skip
def test_links_are_found_to_be_fetched(raw: Any) -> None:
    assert media_link(raw) == "https://x.test/a.png"
    assert values("text-to-image", raw) == ["https://x.test/a.png"]
    assert media_link({"data": [{"b64_json": PNG_64}]}) is None


# --- anything at all -------------------------------------------------------------------------

WORDS = st.sampled_from([
    "label", "score", "labels", "scores", "sequence", "answer", "start", "end", "box", "xmin", "ymin", "xmax", "ymax",
    "word", "entity", "entity_group", "index", "text", "embedding", "embeddings", "data", "choices", "message",
    "content", "generated_text", "summary_text", "translation_text", "similarities", "mask", "blob", "audio", "video",
    "depth", "image", "images", "url", "b64_json", "chunks", "timestamp", "coordinates", "cells", "usage", "details",
    "tool_calls", "function", "arguments", "error", "errors", "detail", "estimated_time", "error_type", "object",
    "output", "sampling_rate", "token_str",
])  # fmt: skip
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
    | st.sampled_from([10**400, -(2**64), "\ud800", PNG_64, TONE_64, "https://x.test/a", "data:,", "data:image/png,"])
)  # fmt: skip
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)
ARGS = st.sampled_from([
    PLAIN, JSON_WANTED, Arguments(values={"pooling": "none", "labels": ["a"]}),
    Arguments(parameters={"top_k": 2, "normalize": True}, model=ModelFacts(id2label={"0": "a", "1": "b"})),
])  # fmt: skip


def check_read(task: str, answer: Any, n: int, args: Arguments) -> None:
    """N sound answers, or one of our errors."""
    try:
        found = read(task, answer, n, args)
    except HuggingFaceError as error:
        str(error).encode("utf-8", "strict")
        return
    assert len(found) == n
    for one in found:
        assert one.value is None or isinstance(one.value, (str, int, float, bool))
        assert not isinstance(one.value, float) or math.isfinite(one.value)
        assert (one.explain is not None) == bool(TASKS[task].explain)
        json.dumps([one.value, one.explain], ensure_ascii=False, allow_nan=False).encode("utf-8")


@pytest.mark.parametrize("task", list(TASKS))
@given(answer=ANY_JSON, n=st.integers(1, 4), args=ARGS)
@settings(max_examples=60, deadline=None)
def test_any_json_gives_an_answer_for_each_row_or_an_error(task: str, answer: Any, n: int, args: Arguments) -> None:
    check_read(task, answer, n, args)


@given(data=st.data())
@settings(max_examples=600, deadline=None)
def test_answers_of_the_right_kind_with_parts_spoilt(data: st.DataObject) -> None:
    """Known shapes, in which some parts are replaced: nearer to what goes wrong than any JSON is."""
    task, n, answer, _ = data.draw(st.sampled_from(SHAPES))
    check_read(task, _spoilt(answer, data), data.draw(st.sampled_from([n, 1, 2, 3])), data.draw(ARGS))


def _spoilt(value: Any, data: st.DataObject) -> Any:
    if data.draw(st.integers(0, 9)) == 0:
        return data.draw(LEAVES)
    if isinstance(value, list):
        return [_spoilt(one, data) for one in value][: data.draw(st.integers(0, 9)) or None]
    if isinstance(value, dict):
        return {name: _spoilt(one, data) for name, one in value.items() if data.draw(st.integers(0, 14))}
    return value


def _deep(depth: int, leaf: Any, name: str | None) -> Any:
    value = leaf
    for _ in range(depth):
        value = [value] if name is None else {name: value}
    return value


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("name", [None, "error", "data", "message", "label", "embedding", "choices", "image"])
def test_nesting_does_no_harm(task: str, name: str | None) -> None:
    deep = _deep(50_000, 1.0, name)
    started = time.perf_counter()
    try:
        for answer in (deep, [deep, deep], {"choices": [{"message": {"content": deep, "tool_calls": [deep]}}]}):
            check_read(task, answer, 1, PLAIN)
    finally:
        while isinstance(deep, (list, dict)):  # taken apart by hand: freeing it would recurse
            deep = deep[0] if isinstance(deep, list) else deep[name]
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("task", list(TASKS))
def test_a_great_deal_of_nothing_is_read_quickly(task: str) -> None:
    started = time.perf_counter()
    for answer in ([{}] * 20_000, [[]] * 20_000, [None] * 20_000, {str(i): i for i in range(20_000)}, "A" * 400_000):
        check_read(task, answer, 1, PLAIN)
    assert time.perf_counter() - started < 3
