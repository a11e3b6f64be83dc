"""``output_schema`` as it is written: what it means, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.arguments.schema import MAX_FIELDS, read_schema
from huggingface_api_handler.tasks.output_schema import Field, OutputSchema, restored


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("topic text", [Field("topic", "text")]),
        (" Topic  TEXT ,\n\tpaid Bool ", [Field("Topic", "text"), Field("paid", "boolean")]),
        ("'topic' text, \"Paid\" boolean, `at` date", [
            Field("topic", "text"), Field("Paid", "boolean"), Field("at", "date"),
        ]),
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
        ({"topic": "text", "Mood": "text in (a, b)"}, [Field("topic", "text"), Field("Mood", "text", ("a", "b"))]),
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
        (",a text", "a comma without a field before it, at ',a text'"),
        ("a text, a number", "two fields named 'a'"),
        ("a text, A number", "two fields named 'a'"),
        ("a text in (x", "a bracket or a quote that is not closed, at '(x'"),
        ("a text in (don't)", "a quote that is not closed"),
        ("a text in ()", "gives the field 'a' 0 values, and text takes from 1 to 200 values: write"),
        ("a date in (2025-01-01)", "date takes no list of values"),
        ("a boolean in (true)", "boolean takes no list of values"),
        ("a integer in (one)", "the value 'one', which is no integer"),
        ("1a text", "letters, digits and _ only"),
        ("`topic name` text", "letters, digits and _ only"),
        ("é text", "letters, digits and _ only"),
        ("a" * 64 + " text", "at most 63"),
        (", ".join(f"f{place} text" for place in range(MAX_FIELDS + 1)), f"but the maximum is {MAX_FIELDS}"),
        ({}, "has no field"),
        ({"a": 1}, "has no type for the field 'a': write"),
        ({"a": ["x", "y"]}, 'write {"a": {"type": "text", "enum": ["x", "y"]}}'),
        ({"a": {"enum": ["x"] * 50}}, 'write {"a": {"type": "text", "enum": ["a", "b"]}}'),
        ({"a": {"b": "text"}}, 'has fields inside the field \'a\', and fields cannot be nested: write {"a_b": "text"}'),
        ({"a": "what is it about"}, 'write output_schema = {"a": {"type": "text", "description": "what is it about"}}'),
        (
            'paid boolean "was it paid"',
            "and a description has its own place: write output_schema = "
            '{"paid": {"type": "boolean", "description": "was it paid"}}',
        ),
        ("paid boolean -- was it paid?", '{"paid": {"type": "boolean", "description": "was it paid?"}}'),
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


ONLY_IN = "and only in (…), with all allowed values, can follow it"
TYPES_ARE = "and types are text, integer, number, boolean, date, datetime, list"


@pytest.mark.parametrize(
    ("written", "says", "instead"),
    [
        ("n integer between 1 and 5", f"has 'between 1 and 5' after the type of the field 'n', {ONLY_IN}",
         "n integer in (1, 2, 3, 4, 5)"),
        ("n int 1-5", f"has '1-5' after the type of the field 'n', {ONLY_IN}", "n integer in (1, 2, 3, 4, 5)"),
        ("n integer(0,2)", f"has '(0,2)' after the type of the field 'n', {ONLY_IN}", "n integer in (0, 1, 2)"),
        ("n integer 1..500", f"has '1..500' after the type of the field 'n', {ONLY_IN}", "n integer"),
        ("n integer > 0", f"has '> 0' after the type of the field 'n', {ONLY_IN}", "n integer"),
        ("n integer in (1-3)", "gives the field 'n' the value '1-3', which is no integer", "n integer in (1, 2, 3)"),
        ("n number between 0 and 1", f"has 'between 0 and 1' after the type of the field 'n', {ONLY_IN}", "n number"),
        ("n decimal(10,2)", f"has '(10,2)' after the type of the field 'n', {ONLY_IN}", "n number"),
        ("a varchar(20)", f"has '(20)' after the type of the field 'a', {ONLY_IN}", "a text"),
        ("a text not null", f"has 'not null' after the type of the field 'a', {ONLY_IN}", "a text"),
        ("a text (x, y)", f"has '(x, y)' after the type of the field 'a', {ONLY_IN}", "a text in (x, y)"),
        ("a text ('x', 'y')", f"has '('x', 'y')' after the type of the field 'a', {ONLY_IN}", 'a text in ("x", "y")'),
        ("a text [x, y]", f"has '[x' after the type of the field 'a', {ONLY_IN}", "a text in (x, …)"),
        ("a text in x, y", f"has 'in x' after the type of the field 'a', {ONLY_IN}", "a text in (x, …)"),
        ("a in (x, y)", "has no type for the field 'a'", "a text in (x, y)"),
        ("a enum(x, y)", f"gives the field 'a' the type 'enum(x, y)', {TYPES_ARE}", "a text in (x, y)"),
        ("a, b", "has no type for the field 'a'", "a text"),
        ("a txt", f"gives the field 'a' the type 'txt', {TYPES_ARE}", "a text"),
        ("a tinyint", f"gives the field 'a' the type 'tinyint', {TYPES_ARE}", "a integer"),
        ("a json", f"gives the field 'a' the type 'json', {TYPES_ARE}", "a text"),
        ("a list of text", f"has 'of text' after the type of the field 'a', {ONLY_IN}", "a list"),
        ("a list(text)", f"has '(text)' after the type of the field 'a', {ONLY_IN}", "a list"),
        ("a text[]", "gives the field 'a' the type 'text[]', and a list of texts is list", "a list"),
        ("a text; b integer", "has ; after the field 'a', and fields are separated by commas", "a text, b integer"),
        ("text a, integer b", "has the type 'text' before the name of a field, which comes first", "a text"),
        ("a: text", "has a field 'a:', and the name of a field has letters, digits and _ only, at most 63 of them",
         "a text"),
        ("a-b integer", "has a field 'a-b', and the name of a field has letters, digits and _ only, at most 63 of them",
         "a_b integer"),
        ("is it boolean", "has the words 'is it' in place of the name of a field", "is_it boolean"),
        ("Is it late?", "has the words 'Is it late?' in place of the name of a field", "Is_it_late boolean"),
        ("first name string", "has the words 'first name' in place of the name of a field", "first_name text"),
        ("'first name' text", "has a field 'first name', and the name of a field has letters, digits and _ only, "
         "at most 63 of them", "first_name text"),
        ("a as text", "has 'as text' in place of the type of the field 'a'", "a text"),
        ("a yes/no", "has no type for the field 'a'", "a boolean"),
        ("a good or very bad", "has no type for the field 'a'", "a text in (good, very bad)"),
        ("a text: x | y", "has ': x | y' after the type of the field 'a'", "a text in (x, y)"),
        ("a text in (x; y)", "gives the field 'a' one value, 'x; y', and values are separated by commas",
         "a text in (x, y)"),
        ("a 1-3", f"gives the field 'a' the type '1-3', {TYPES_ARE}", "a integer in (1, 2, 3)"),
        ("a one of x, y", f"gives the field 'a' the type 'one of x', {TYPES_ARE}", "a text in (x, …)"),
        ("a integer in (one)", "gives the field 'a' the value 'one', which is no integer", "a integer in (1, 2, 3)"),
        ("a text b boolean", "has no comma after the field 'a'", "a text, b boolean"),
        ("a text, b c boolean, d date", "has the words 'b c' in place of the name of a field",
         "a text, b_c boolean, d date"),
        ("(a text, b date)", "must not be in brackets", "a text, b date"),
        ("date", "has no type for the field 'date'", "topic date"),
        ("gefühl text", "has a field 'gefühl', and the name of a field has letters, digits and _ only, at most 63 of "
         "them", "gefuhl text"),
        ("a date not null", "has 'not null' after the type of the field 'a', and nothing can follow it", "a date"),
        ("a boolean in (true)", "gives the field 'a' 1 values, and boolean takes no list of values", "a boolean"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_can_be_written(written: str, says: str, instead: str) -> None:
    with pytest.raises(ValueError, match="") as refused:
        read_schema(written)
    assert str(refused.value) == f"{says}: write output_schema = '{instead}'"
    if "…" not in instead:
        read_schema(instead)


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
