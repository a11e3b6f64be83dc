"""The registry: each task from rows to a request, to an answer, and back onto the rows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from huggingface_api_handler.errors import InvalidInput
from huggingface_api_handler.sandbox import fake_text
from huggingface_api_handler.tasks import TASKS, find_task, samples
from huggingface_api_handler.tasks.tabular import canonical_table
from huggingface_api_handler.tasks.task import (
    Media,
    Task,
)

ORDER = [
    "text-classification", "token-classification", "question-answering", "table-question-answering",
    "zero-shot-classification", "fill-mask", "summarization", "translation", "text-generation", "chat-completion",
    "feature-extraction", "sentence-similarity", "text-ranking", "image-classification", "object-detection",
    "zero-shot-object-detection", "image-segmentation", "image-to-text", "zero-shot-image-classification",
    "visual-question-answering", "document-question-answering", "depth-estimation", "image-to-image",
    "video-classification", "automatic-speech-recognition", "audio-classification", "audio-to-audio", "text-to-image",
    "text-to-speech", "text-to-video", "image-to-video", "tabular-classification", "tabular-regression",
]  # fmt: skip


# --- the registry ----------------------------------------------------------------------------


def test_every_task_is_there_in_order() -> None:
    assert list(TASKS) == ORDER
    assert all(TASKS[name].name == name for name in TASKS)


@pytest.mark.parametrize(("name", "found"), [
    ("text2text-generation", "text-generation"), ("conversational", "chat-completion"),
    ("text-to-audio", "text-to-speech"), ("Text_Classification", "text-classification"), (" fill mask ", "fill-mask"),
])  # fmt: skip
def test_tasks_are_found_by_other_names(name: str, found: str) -> None:
    assert find_task(name) is TASKS[found]


@pytest.mark.parametrize("name", ["sumarisation", "§"])
def test_no_task_has_an_unknown_name(name: str) -> None:
    assert find_task(name) is None


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_an_entry_is_whole(task: Task) -> None:
    assert task.answer
    assert task.inputs
    assert len(task.example.rows) >= 2
    required = [one for one in task.inputs if one.required]
    assert all(len(row) == len(required) for row in task.example.rows)
    names = [one.argument for one in task.inputs] + [one.name for one in task.arguments]
    names += [alias for one in (*task.inputs, *task.arguments) for alias in one.aliases]
    assert len(names) == len(set(names))
    assert all(one.name in task.example.using for one in task.arguments if one.required)
    hash(task.example.rows)


def test_the_model_of_a_translation_follows_from_its_languages() -> None:
    task = TASKS["translation"]
    assert task.default_for({"lang_input": "en", "lang_output": "fr"}) == "Helsinki-NLP/opus-mt-en-fr"
    assert task.default_for({"lang_input": "en"}) is None
    assert TASKS["summarization"].default_for({}) == "facebook/bart-large-cnn"
    assert TASKS["text-generation"].default_for({}) is None


# --- tables ----------------------------------------------------------------------------------

TABLE = '{"name": ["Ana", "Ben"], "age": ["31", ""]}'


@pytest.mark.parametrize("cell", [
    {"name": ["Ana", "Ben"], "age": [31, None]},
    [{"name": "Ana", "age": 31}, {"name": "Ben"}],
    '[{"name": "Ana", "age": 31.0}, {"name": "Ben", "age": NaN}]',
    TABLE,
    TABLE.encode(),
])  # fmt: skip
def test_tables_of_either_form_become_one(cell: Any) -> None:
    assert canonical_table(cell) == TABLE


@pytest.mark.parametrize("cell", [
    "hello", "[1, 2]", "{}", "[]", '{"a": 1}', '{"a": ["1"], "b": []}', 3, '{"a": []}', "[" * 99_999,
])  # fmt: skip
def test_what_is_no_table_is_refused(cell: Any) -> None:
    with pytest.raises(InvalidInput):
        canonical_table(cell)


def test_alike_texts_lie_close() -> None:
    near = fake_text.likeness("a red apple", "a green apple")
    assert near > fake_text.likeness("a red apple", "stock market news")
    assert fake_text.likeness("same", "same") == pytest.approx(1, abs=1e-4)
    assert math.isclose(sum(one * one for one in fake_text.vector("any text")), 1, abs_tol=1e-4)
    assert fake_text.likeness("the parcel is late", "when will it be delivered?") > 0.5
    assert abs(fake_text.likeness("the parcel is late", "my card was charged twice")) < 0.5


@pytest.mark.parametrize("medium", [samples.png(b"x"), samples.tone(b"x"), samples.avi(b"x")], ids=lambda one: one.type)
def test_sample_files_are_what_they_say(medium: Media) -> None:
    import filetype

    assert filetype.guess_mime(medium.data).replace("x-wav", "wav") == medium.type
    assert len(medium.data) < 10_000
