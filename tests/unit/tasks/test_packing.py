"""Rows that share a prompt: each answer goes to the row whose id it has, or to none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.arguments.schema import read_schema
from huggingface_api_handler.tasks.packing import packed_arguments, packed_prompt, row_ids, unpacked
from huggingface_api_handler.tasks.task import Answer, Arguments

KEYS = st.lists(st.text(min_size=1), min_size=2, max_size=100)
IDS = row_ids(["a", "b", "c", "d", "e"])


def read(entries: Any, **more: Any) -> list[Any]:
    answers = unpacked(Answer(json.dumps({"answers": entries}), **more), IDS, Arguments())
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


@given(st.lists(st.text(), min_size=2, max_size=100, unique=True), st.randoms())
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
    prompt = packed_prompt(ids, [{"text": text} for text in texts], instruction, Arguments())
    lines = prompt.split("\n")[-len(texts) :]
    assert [json.loads(line) for line in lines] == [
        {"id": name, "text": text} for name, text in zip(ids, texts, strict=True)
    ]


def test_the_prompt_in_full() -> None:
    assert packed_prompt(
        ["k7q2a", "m4xdb"], [{"review": "Née"}, {"review": 'a\n"b"'}], "Summarise: {{review}}", Arguments()
    ) == (
        "Below are 2 rows, one JSON object a line. Do the following for each row as if it were the only one, with its "
        "values in place of the names in double braces:\n\n"
        "Summarise: {{review}}\n\n"
        'Answer with one JSON object, {"answers": [{"id": "…", "answer": …}, …]}, which holds the answer to each line '
        "once, under the id of that line. Write nothing else.\n\n"
        '{"id": "k7q2a", "review": "Née"}\n'
        '{"id": "m4xdb", "review": "a\\n\\"b\\""}'
    )
    assert packed_prompt(["k7q2a", "m4xdb"], [{"text": "hi"}, {"text": "you"}], None, Arguments()).startswith(
        "Below are 2 messages, one JSON object a line. Answer each message as if it were the only one.\n\nAnswer with"
    )


def test_a_request_may_be_as_long_as_its_answers_together() -> None:
    args = Arguments({"max_output_length": 5, "system_prompt": "x"}, {"max_tokens": 10, "seed": 1})
    packed = packed_arguments(args, 20)
    assert packed.parameters["max_tokens"] == 20 * (10 + 24)
    assert packed.values == {"max_output_length": 20 * (5 + 24), "system_prompt": "x"}
    assert packed.parameters["seed"] == 1
    assert packed.json_schema is not None
    assert packed.json_schema["properties"]["answers"]["items"]["properties"]["answer"] == {"type": "string"}
    assert args.parameters == {"max_tokens": 10, "seed": 1}
    assert "max_tokens" not in packed_arguments(Arguments(), 20).parameters


# --- the response ---


def test_answers_go_to_their_ids_in_any_order() -> None:
    assert read(entries(4, 2, 0, 1, 3)) == [f"answer {number}" for number in range(5)]


@pytest.mark.parametrize(
    ("found", "selected"),
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
def test_what_is_not_certainly_a_rows_answer_is_nobodys(found: Any, selected: Sequence[int]) -> None:
    assert read(found) == [f"answer {number}" if number in selected else None for number in range(5)]


@pytest.mark.parametrize("value", [None, "[1]", "7", '"x"', "null", '{"answer": "x"}', "[" * 100_000])
def test_a_response_of_another_form_answers_nobody(value: Any) -> None:
    assert unpacked(Answer(value), IDS, Arguments()) == [None] * 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("yes", "yes"), (" a ", " a "), ("", None), (" \n", None), (7, "7"), (0.5, "0.5"), (True, "true"),
        (None, None), (["a"], None), ({"a": 1}, None), ("\ud83d", "\ufffd"), (1e999, None),
    ],
)  # fmt: skip
def test_an_answer_is_text_or_none(value: Any, text: str | None) -> None:
    found = entries(0, 1, 2, 3, 4)
    found[2]["answer"] = value
    if value == 1e999:
        assert read(found) == [None] * 5  # no JSON
    else:
        assert read(found) == ["answer 0", "answer 1", text, "answer 3", "answer 4"]


def cut(text: str, reason: str = "length") -> list[str | None]:
    """The answers of a response that ends after ``text``."""
    found = unpacked(Answer(text, {"finish_reason": reason}), IDS, Arguments())
    assert {(one.explain or {})["finish_reason"] for one in found if one} <= {"stop"}  # theirs is whole
    return [one and str(one.value) for one in found]


def test_a_response_cut_at_the_token_limit_answers_the_rows_before_the_cut() -> None:
    whole = json.dumps({"answers": entries(0, 1, 2, 3, 4)})
    ends = [whole.index(json.dumps(one)) + len(json.dumps(one)) for one in entries(0, 1, 2, 3, 4)]
    for end in range(len(whole) - 1):
        complete = sum(one <= end for one in ends)
        # The last complete entry may hold the answer of the row after it, too.
        selected = max(0, complete - 1) if complete < 5 else 5
        for text in (whole[:end], f"```json\n{whole[:end]}"):
            assert cut(text) == [f"answer {number}" if number < selected else None for number in range(5)], end
        assert cut(whole[:end], "MAX_TOKENS") == cut(whole[:end])  # Gemini's name
        assert cut(whole[:end], "stop") == [None] * 5  # nobody knows why it ends there


@pytest.mark.parametrize(
    "found",
    [
        entries(1, 0, 2), entries(1, 2, 3), entries(0, 2, 3), entries(0, 0, 1, 2), [*entries(0, 1), {"id": "zzzzz"}],
        [*entries(0, 1), 7, *entries(2)], [*entries(0, 1), {"id": "zzzzz", "answer": "x"}],
    ],
)  # fmt: skip
def test_a_cut_response_in_another_order_answers_nobody(found: Any) -> None:
    assert cut(json.dumps({"answers": found})[:-2] + ', {"id": "') == [None] * 5


def test_an_entry_with_two_ids_before_the_cut_answers_nobody() -> None:
    first = f'{{"id": "x", "answer": "a", "id": "{IDS[0]}", "answer": "b"}}'
    assert cut(f'{{"answers": [{first}, {json.dumps(entries(1, 2))[1:-1]}, {{"id"') == [None] * 5


SCHEMA = read_schema("mood text in (good, bad), stars integer").stored


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"mood": "good", "stars": 5}, '{"mood": "good", "stars": 5}'),
        ({"stars": 5.0, "mood": None, "more": 1}, '{"mood": null, "stars": 5}'),
        ({"mood": "good"}, None),
        ({"mood": "fine", "stars": 5}, None),
        ({"mood": "good", "stars": "5"}, None),
        ("good", None),
        (None, None),
    ],
)
def test_an_answer_fits_output_schema_or_is_none(answer: Any, text: str | None) -> None:
    args = Arguments({"output_schema": SCHEMA})
    found = [{"id": name, "answer": {"mood": "bad", "stars": 1}} for name in IDS]
    found[2]["answer"] = answer
    answers = unpacked(Answer(json.dumps({"answers": found})), IDS, args)
    other = '{"mood": "bad", "stars": 1}'
    assert [one and one.value for one in answers] == [other, other, text, other, other]


def test_one_entry_with_two_ids_answers_nobody() -> None:
    """JSON readers take the last of two equal names: the answer of one row would be the other's."""
    first = f'{{"id": "{IDS[0]}", "answer": "a", "id": "{IDS[1]}", "answer": "b"}}'
    rest = json.dumps(entries(2, 3, 4))[1:]
    assert unpacked(Answer(f'{{"answers": [{first}, {rest}}}'), IDS, Arguments()) == [None] * 5


@pytest.mark.parametrize("around", ["```json\n{}\n```", "Here are the answers: {} I hope that helps."])
def test_fences_and_prose_around_the_object_do_no_harm(around: str) -> None:
    value = around.replace("{}", json.dumps({"answers": entries(0, 1, 2, 3, 4)}))
    answers = unpacked(Answer(value), IDS, Arguments())
    assert [one and one.value for one in answers] == [f"answer {number}" for number in range(5)]


def test_schema_and_examples_are_in_the_prompt() -> None:
    args = Arguments({"output_schema": SCHEMA, "examples": [("fine", '{"mood": "good", "stars": 4}')], "seed": 1})
    prompt = packed_prompt(["k7q2a", "m4xdb"], [{"text": "hi"}, {"text": "you"}], None, args)
    assert prompt.split("\n\n")[1:3] == [
        'Answer with one JSON object, {"answers": [{"id": "…", "answer": …}, …]}, which holds the answer to each line '
        "once, under the id of that line. Write nothing else. Each answer is an object with all of the properties "
        "below; one that the line does not tell is null.\n"
        '{"properties":{"answers":{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"},'
        '"answer":{"type":"object","properties":{"mood":{"type":["string","null"],"enum":["good","bad",null]},'
        '"stars":{"type":["integer","null"]}},"required":["mood","stars"],"additionalProperties":false}},'
        '"required":["id","answer"],"additionalProperties":false}}}}',
        'Examples of messages and their answers:\n{"message": "fine", "answer": {"mood": "good", "stars": 4}}',
    ]
    packed = packed_arguments(args, 2)
    assert packed.values == {"seed": 1}
    plain = Arguments({"examples": [("a", "b")]})
    assert '{"message": "a", "answer": "b"}' in packed_prompt(["k7q2a"], [{"text": "hi"}], None, plain)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_rows_share_what_was_counted(prompt: int, completion: int) -> None:
    explain = {"finish_reason": "stop", "reasoning": "of all", "usage": {"prompt_tokens": prompt, "cost": 0.5}}
    value = json.dumps({"answers": entries(0, 1, 2, 3, 4)})
    answers = unpacked(Answer(value, explain, tokens=prompt + completion), IDS, Arguments())
    shares = [one for one in answers if one is not None]
    assert len(shares) == 5
    assert sum(one.tokens or 0 for one in shares) == prompt + completion
    reported = [dict(one.explain or {}) for one in shares]
    assert sum(one["usage"]["prompt_tokens"] for one in reported) == prompt
    assert [one["usage"]["cost"] for one in reported] == [0.1] * 5
    assert all(one["finish_reason"] == "stop" and one["rows_in_request"] == 5 for one in reported)
    assert all("reasoning" not in one for one in reported)
