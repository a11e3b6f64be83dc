"""``output_schema`` as it is written: what it means, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.tasks.output_schema import (
    MAX_FIELDS,
    TYPES,
    Field,
    NotValid,
    OutputSchema,
    read_schema,
    restored,
)


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("topic text", [Field("topic", "text")]),
        (" Topic  TEXT ,\n\tpaid Bool ", [Field("topic", "text"), Field("paid", "boolean")]),
        ("a int, b float, c timestamp, d array, e string", [
            Field("a", "integer"), Field("b", "number"), Field("c", "datetime"), Field("d", "list"), Field("e", "text"),
        ]),
        ("mood text in (good, 'very bad', \"it's, well (so)\")", [
            Field("mood", "text", ("good", "very bad", "it's, well (so)")),
        ]),
        ("mood text IN(a,b),n integer in (1, -2), x number in (0.5, 1)", [
            Field("mood", "text", ("a", "b")), Field("n", "integer", (1, -2)), Field("x", "number", (0.5, 1.0)),
        ]),
        ("tags list in (a, b, a)", [Field("tags", "list", ("a", "b"))]),
        ("who text in ('O''Neill')", [Field("who", "text", ("O'Neill",))]),
        ({"topic": "text", "Mood": "text in (a, b)"}, [Field("topic", "text"), Field("mood", "text", ("a", "b"))]),
        ({"n": {"type": "integer", "description": " how many ", "enum": [1, 2]}}, [
            Field("n", "integer", (1, 2), "how many"),
        ]),
    ],
)  # fmt: skip
def test_reads(written: Any, fields: list[Field]) -> None:
    schema = read_schema(written)
    assert schema == OutputSchema(tuple(fields))
    assert restored(json.loads(json.dumps(schema.stored))) == schema
    assert restored(json.loads(json.dumps(schema.stored, sort_keys=True))).fields is not None


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (" ", "where the name and the type of a field are expected"),
        ("a text,", "ends in a comma"),
        (",a text", "cannot be read from ',a text'"),
        ("a text, a number", "two fields named 'a'"),
        ("a text, A number", "two fields named 'a'"),
        ("a text not null", "the type 'text not null'"),
        ("a text in (x", "cannot be read from '(x'"),
        ("a text in (don't)", "cannot be read from"),
        ("a text in ()", "empty"),
        ("a date in (2025-01-01)", "date takes no list of values"),
        ("a boolean in (true)", "boolean takes no list of values"),
        ("a integer in (one)", "the value 'one', which is no integer"),
        ("1a text", "letters, digits and _ only"),
        ("é text", "letters, digits and _ only"),
        ("a" * 64 + " text", "at most 63"),
        (", ".join(f"f{place} text" for place in range(MAX_FIELDS + 1)), f"{MAX_FIELDS} is the most"),
        ({}, "has no field"),
        ({"a": 1}, "has no type for 'a'"),
        ({"a": {"type": "text", "default": "x"}}, "takes type, description and enum"),
        ({"a": {"type": "text", "enum": "x"}}, "no list"),
        ({"a": {"type": "text", "enum": []}}, "from 1 to"),
        ({"a": {"type": "text", "enum": [1]}}, "no text"),
        ({"a": {"type": "integer", "enum": [True]}}, "no integer"),
        ({"a": {"type": "text", "description": 1}}, "no text of at most"),
        ({"a": {"type": "object"}}, "the type 'object'"),
        ({"type": "object", "properties": {}}, "not a JSON schema"),
    ],
)
def test_refuses(written: Any, says: str) -> None:
    with pytest.raises(ValueError, match="") as refused:
        read_schema(written)
    assert says in str(refused.value)


@settings(deadline=None)
@given(st.text(alphabet="ab (),'\"intext\n", max_size=60))
def test_any_text_is_read_or_refused(written: str) -> None:
    said = ""
    try:
        schema = read_schema(written)
    except ValueError as refused:
        said = str(refused)
    else:
        assert restored(schema.stored) == schema
    assert len(said) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVERY = read_schema({kind: kind for kind in TYPES})


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(TYPES, json_values), optional={"more": json_values}))
def test_any_answer_is_refused_or_fits_its_cells(found: dict[str, Any]) -> None:
    try:
        valid = EVERY.validated(found)
    except NotValid:
        return
    assert list(valid) == list(TYPES)
    text = json.dumps(valid, allow_nan=False)
    text.encode()
    kinds: dict[str, Any] = {"integer": int, "number": float, "boolean": bool}
    for kind, cell in zip(TYPES, EVERY.cells(text), strict=True):
        assert cell is None if valid[kind] is None else type(cell) is kinds.get(kind, str)
    assert EVERY.validated(json.loads(text)) == valid


@pytest.mark.parametrize("target", ["", "no JSON", "[]", '{"a": 1}', "[" * 5000, '{"a": {"a": '])
def test_what_is_no_answer_has_no_cells(target: str) -> None:
    with pytest.raises(NotValid):
        read_schema("b text").cells(target)


def test_a_null_has_null_in_each_column() -> None:
    assert EVERY.cells(None) == [None] * len(TYPES)
