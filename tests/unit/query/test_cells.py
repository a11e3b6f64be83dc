"""Cells of tables → text."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.errors import InvalidInput, SettingsError
from huggingface_api_handler.query.cells import as_text, as_texts, column_cells, find_column, is_missing, plain


@pytest.mark.parametrize(
    "cell",
    [
        None,
        float("nan"),
        np.nan,
        pd.NA,
        pd.NaT,
        np.float64("nan"),
        np.float32("nan"),
        np.datetime64("NaT", "ns"),
        decimal.Decimal("NaN"),
        decimal.Decimal("sNaN"),
    ],
)
def test_missing_in_every_make(cell: Any) -> None:
    assert is_missing(cell)
    assert as_text(cell) is None


@pytest.mark.parametrize("dtype", ["float32", "Float32"])
def test_numbers_of_32_bits_have_the_digits_that_they_were_written_with(dtype: str) -> None:
    """DuckDB's FLOAT and PostgreSQL's real: as Python's numbers they would have digits that nobody wrote."""
    frame = pd.DataFrame({"price": pd.Series([0.1, 19.99, 3, None], dtype=dtype)})
    assert as_texts(column_cells(frame, 0)) == ["0.1", "19.99", "3", None]
    assert as_text(np.array([0.1, 19.99], dtype="float32")) == "[0.1, 19.99]"
    assert as_text(np.float32(0.1)) == "0.1"
    assert plain({"price": np.float16(0.1)}) == {"price": 0.1}


def test_numbers_of_16_bits_have_the_digits_that_they_were_written_with() -> None:
    frame = pd.DataFrame({"price": pd.Series([0.1, None], dtype="float16")})
    assert as_texts(column_cells(frame, 0)) == ["0.1", None]


@pytest.mark.parametrize("cell", [np.array(None, dtype=object), np.array(np.nan), np.ma.masked])
def test_an_array_of_nothing_is_missing(cell: Any) -> None:
    assert as_texts([cell]) == [None]


@pytest.mark.parametrize("cell", [object(), iter([1]), (one for one in [1]), [object()], {"a": iter([1])}])
def test_a_cell_that_has_no_text_fails_its_own_row(cell: Any) -> None:
    """What Python says of such a cell is where it is in memory: another text in each run."""
    first, second = as_texts([cell, "good"])
    assert isinstance(first, InvalidInput)
    assert second == "good"


@pytest.mark.parametrize("cell", ["", "  ", "\n\t", b"", b"  "])
def test_empty_text_counts_as_missing(cell: Any) -> None:
    assert as_text(cell) is None


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("a", "a"), (" a ", " a "), (0, "0"), (1.5, "1.5"), (2.0, "2"),
        (-0.0, "0"), (1e300, "1e+300"), (True, "True"), (b"caf\xc3\xa9", "café"),
        (decimal.Decimal("1.10"), "1.10"), (decimal.Decimal("0E-10"), "0.0000000000"),
        (decimal.Decimal("1.2E-7"), "0.00000012"), (decimal.Decimal("1E+3"), "1000"),
        (decimal.Decimal("1E-999"), "1E-999"), (decimal.Decimal("Infinity"), "Infinity"),
        ([decimal.Decimal("0E-7")], '["0.0000000"]'), (datetime.date(2026, 1, 2), "2026-01-02"),
        ({"a": "é"}, '{"a": "é"}'),
        ([1, 2], "[1, 2]"), (np.int64(3), "3"), ("🙂", "🙂"), (range(3), "[0, 1, 2]"), ({1: 2}.keys(), "[1]"),
        (collections.deque([1, 2]), "[1, 2]"), (array.array("i", [1, 2]), "[1, 2]"),
        (pd.DataFrame({"a": [1, 2]}), '{"a": [1, 2]}'), (np.array(5), "5"), (np.array(" "), None),
        ([np.timedelta64(86_400, "s")], '["1 days 00:00:00"]'),
    ],
)  # fmt: skip
def test_text_of_a_cell(cell: Any, text: str) -> None:
    assert as_text(cell) == text


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (np.array(["alpha", "beta"]), '["alpha", "beta"]'),
        (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (np.array([1.5, np.nan]), "[1.5, null]"),
        (np.array(["a", None, np.array([1])], dtype=object), '["a", null, [1]]'),
        (np.array([], dtype=float), "[]"),
        (np.array(3), "3"),
        (np.bool_(True), "True"),
        (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05.000000000"),
        (np.array(["2026-01-02"], dtype="datetime64[ns]"), '["2026-01-02T00:00:00.000000000"]'),
        (pd.array([1, None], dtype="Int64"), "[1, null]"),
        (pd.array(["a", pd.NA], dtype="string"), '["a", null]'),
        (pd.Series([1, 2]), "[1, 2]"),
        ({"tags": np.array(["x", "y"]), "n": np.int32(2)}, '{"tags": ["x", "y"], "n": 2}'),
        ((1, (2, np.float32(0.5))), "[1, [2, 0.5]]"),
        ({3, 1, 2}, "[1, 2, 3]"),
    ],
)
def test_text_of_an_array_or_a_struct_is_json(cell: Any, text: str) -> None:
    assert as_text(cell) == text


def test_long_arrays_are_written_whole() -> None:
    one, other = np.arange(2000), np.arange(2000)
    other[1000] = -1
    texts = as_texts([one, other])
    assert [json.loads(str(text)) for text in texts] == [one.tolist(), other.tolist()]


def test_a_cell_of_an_unreadable_type_is_that_cells_error() -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError("no text")

    good, bad = as_texts(["a", Odd()])
    assert good == "a"
    assert isinstance(bad, InvalidInput)
    assert "Odd" in str(bad) and "CAST" in str(bad)


@pytest.mark.parametrize("number", [float(2**53), 9.223372036854775e18, -(2.0**60)])
def test_a_whole_number_that_lost_digits_is_that_cells_error(number: float) -> None:
    (found,) = as_texts([number])
    assert isinstance(found, InvalidInput)
    assert "CAST" in str(found)


def test_back_ticks_around_a_name_do_not_count() -> None:
    assert find_column(["id", "`My Text`"], "My Text", "input_column") == 1
    assert find_column(["id", "My Text"], "`my text`", "input_column") == 1


def test_bytes_that_are_no_text_are_that_cells_error() -> None:
    texts = as_texts(["a", b"\xff\xfe\x00", None])
    assert texts[0] == "a" and texts[2] is None
    assert isinstance(texts[1], InvalidInput)


def test_find_column_prefers_the_exact_name_and_folds_case() -> None:
    assert find_column(["Text", "text"], "text", "input_column") == 1
    assert find_column(["A", "TEXT"], "text", "input_column") == 1


@pytest.mark.parametrize(("given", "wanted"), [(" text", "text"), ("cafe\u0301", "café"), ("STRASSE", "straße")])
def test_find_column_reads_names_as_people_do(given: str, wanted: str) -> None:
    """A file's header may have spaces after its commas, and accents as characters of their own."""
    assert find_column(["id", given], wanted, "input_column") == 1
    assert find_column([wanted, given], wanted, "input_column") == 0


def test_find_column_prefers_a_name_that_differs_in_its_case_alone() -> None:
    assert find_column([" text", "Text"], "text", "input_column") == 1


def test_find_column_refuses_what_is_missing_or_twice() -> None:
    with pytest.raises(SettingsError, match=r"no column 'text'.*its columns are: 'review'"):
        find_column(["review", "__mindsdb_row_id"], "text", "input_column")
    with pytest.raises(SettingsError, match="2 columns named 'text'"):
        find_column(["TEXT", "Text"], "text", "input_column")


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.binary()))
def test_plain_is_always_json(cell: Any) -> None:
    json.dumps(plain(cell), allow_nan=False)


def test_cells_nested_without_end_are_refused_and_keys_need_not_be_texts() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    assert isinstance(as_texts([deep])[0], InvalidInput)
    with pytest.raises(InvalidInput, match="nested deeper"):
        plain(deep)
    assert as_texts([{(1, 2): ["é", None]}]) == ['{"(1, 2)": ["é", null]}']
