"""Rows that share a prompt: each answer goes to the row whose id it has, or to none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.tasks.packing import packed_arguments, packed_prompt, row_ids, text_answer, unpacked
from huggingface_api_handler.tasks.task import Answer, Arguments

KEYS = st.lists(st.text(min_size=1), min_size=2, max_size=100, unique=True)
IDS = row_ids(["a", "b", "c", "d", "e"])


def read(entries: Any, **more: Any) -> list[Any]:
    answers = unpacked(Answer(json.dumps({"answers": entries}), **more), IDS, text_answer)
    return [None if one is None else one.value for one in answers]


def entries(*numbers: int) -> list[dict[str, Any]]:
    return [{"id": IDS[number], "answer": f"answer {number}"} for number in numbers]


# --- ids ---


@given(KEYS)
def test_ids_are_distinct_and_neither_numbers_nor_positions(keys: list[str]) -> None:
    ids = row_ids(keys)
    assert len(set(ids)) == len(keys)
    assert all(len(one) >= 5 for one in ids)
    places = {str(place) for place in range(-1, len(keys) + 2)}
    assert not places & {one.lstrip("0") or "0" for one in ids}


@given(KEYS, st.randoms())
def test_an_id_follows_from_the_rows_own_key(keys: list[str], random: Any) -> None:
    mixed = list(keys)
    random.shuffle(mixed)
    assert dict(zip(keys, row_ids(keys), strict=True)) == dict(zip(mixed, row_ids(mixed), strict=True))


def test_ids_are_longer_where_short_ones_would_be_equal() -> None:
    """Of 20,000 keys some have the same first five characters."""
    ids = row_ids([str(number) for number in range(20_000)])
    assert len(set(ids)) == 20_000 and len(ids[0]) > 5


# --- the request ---


@given(st.lists(st.text(), min_size=2, max_size=20), st.none() | st.text())
def test_a_prompt_has_one_line_for_each_row(texts: list[str], instruction: str | None) -> None:
    """Whatever a row holds, it stays on its line."""
    ids = row_ids([str(place) for place in range(len(texts))])
    prompt = packed_prompt(ids, [{"text": text} for text in texts], instruction)
    lines = prompt.split("\n")[-len(texts) :]
    assert [json.loads(line) for line in lines] == [
        {"id": name, "text": text} for name, text in zip(ids, texts, strict=True)
    ]


def test_the_prompt_in_full() -> None:
    assert packed_prompt(["k7q2a", "m4xdb"], [{"review": "Née"}, {"review": 'a\n"b"'}], "Summarise: {{review}}") == (
        "Below are 2 rows, one JSON object a line. Do the following for each row as if it were the only one, with its "
        "values in place of the names in double braces:\n\n"
        "Summarise: {{review}}\n\n"
        'Answer with one JSON object, {"answers": [{"id": "…", "answer": …}, …]}, which holds the answer to each line '
        "once, under the id of that line. Write nothing else.\n\n"
        '{"id": "k7q2a", "review": "Née"}\n'
        '{"id": "m4xdb", "review": "a\\n\\"b\\""}'
    )
    assert packed_prompt(["k7q2a", "m4xdb"], [{"text": "hi"}, {"text": "you"}], None).startswith(
        "Below are 2 messages, one JSON object a line. Answer each message as if it were the only one.\n\nAnswer with"
    )


def test_a_request_may_be_as_long_as_its_answers_together() -> None:
    args = Arguments({"max_output_length": 5, "system_prompt": "x"}, {"max_tokens": 10, "seed": 1})
    packed = packed_arguments(args, 20, {"type": "string"})
    assert packed.parameters["max_tokens"] == 20 * (10 + 24)
    assert packed.values == {"max_output_length": 20 * (5 + 24), "system_prompt": "x"}
    assert packed.parameters["seed"] == 1
    described = packed.parameters["response_format"]["json_schema"]
    assert described["strict"] is True
    assert described["schema"]["properties"]["answers"]["items"]["properties"]["answer"] == {"type": "string"}
    assert args.parameters == {"max_tokens": 10, "seed": 1}
    assert "max_tokens" not in packed_arguments(Arguments(), 20, {}).parameters


# --- the response ---


def test_answers_go_to_their_ids_in_any_order() -> None:
    assert read(entries(4, 2, 0, 1, 3)) == [f"answer {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (entries(0, 1, 2, 3), [0, 1, 2]),  # the last is missing: the one before may hold its answer
        (entries(0, 1, 3, 4), [0, 4]),
        ([*entries(0, 1, 2, 3, 4), *entries(0)], [2, 3, 4]),  # twice, even if alike
        ([*entries(0, 1, 2, 3, 4), {"id": "zzzzz", "answer": "of nobody"}], [0, 1, 2, 3, 4]),
        ([{**one, "id": str(place)} for place, one in enumerate(entries(0, 1, 2, 3, 4))], []),
        ([{**one, "id": one["id"].upper()} for one in entries(0, 1, 2, 3, 4)], []),
        ([{**one, "id": f" {one['id']}"} for one in entries(0, 1, 2, 3, 4)], []),
        ([{"id": f"{IDS[0]}, {IDS[1]}", "answer": "both"}, *entries(2, 3, 4)], [3, 4]),
        ([[one["id"], one["answer"]] for one in entries(0, 1, 2, 3, 4)], []),
        ([one["answer"] for one in entries(0, 1, 2, 3, 4)], []),
        ([], []),
        (None, []),
        ({IDS[0]: "x"}, []),
    ],
)
def test_what_is_not_certainly_a_rows_answer_is_nobodys(found: Any, kept: Sequence[int]) -> None:
    assert read(found) == [f"answer {number}" if number in kept else None for number in range(5)]


@pytest.mark.parametrize("value", [None, "[1]", "7", '"x"', "null", '{"answer": "x"}', "[" * 100_000])
def test_a_response_of_another_form_answers_nobody(value: Any) -> None:
    assert unpacked(Answer(value), IDS, text_answer) == [None] * 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("yes", "yes"), (" a ", " a "), ("", None), (" \n", None), (7, "7"), (0.5, "0.5"), (True, "true"),
        (None, None), (["a"], None), ({"a": 1}, None), ("\ud83d", "\ufffd"),
    ],
)  # fmt: skip
def test_an_answer_is_text_or_none(value: Any, text: str | None) -> None:
    assert text_answer(value) == text


def test_an_answer_without_a_text_is_that_rows_matter_alone() -> None:
    found = entries(0, 1, 2, 3, 4)
    found[2]["answer"] = None
    assert read(found) == ["answer 0", "answer 1", None, "answer 3", "answer 4"]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_rows_share_what_was_counted(prompt: int, completion: int) -> None:
    explain = {"finish_reason": "stop", "reasoning": "of all", "usage": {"prompt_tokens": prompt, "cost": 0.5}}
    value = json.dumps({"answers": entries(0, 1, 2, 3, 4)})
    answers = unpacked(Answer(value, explain, tokens=prompt + completion), IDS, text_answer)
    shares = [one for one in answers if one is not None]
    assert len(shares) == 5
    assert sum(one.tokens or 0 for one in shares) == prompt + completion
    told = [dict(one.explain or {}) for one in shares]
    assert sum(one["usage"]["prompt_tokens"] for one in told) == prompt
    assert [one["usage"]["cost"] for one in told] == [0.1] * 5
    assert all(one["finish_reason"] == "stop" and one["rows_in_request"] == 5 for one in told)
    assert all("reasoning" not in one for one in told)
