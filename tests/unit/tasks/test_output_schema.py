"""``output_schema``: the validation of answers, and the cells of their columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.tasks.output_schema import TYPES, Field, NotValid, OutputSchema

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVERY = OutputSchema(tuple(Field(kind, kind) for kind in TYPES))


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
        OutputSchema((Field("b", "text"),)).cells(target)


def test_a_null_has_null_in_each_column() -> None:
    assert EVERY.cells(None) == [None] * len(TYPES)
