"""``=`` in WHERE on a column that the model fills: the refusal names the condition to write instead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.query.conditions import refuse_columns_in_where, refuse_conditions_on_outputs
from huggingface_api_handler.tasks import TASKS
from tests.unit.end_to_end import CALLER, engine, model

SCHEMA = "word text, stars integer, price number, paid boolean, day date, tags list"


def refusal(frame: pd.DataFrame, conditions: list[str] | None) -> str:
    chat = model(engine(None), task="chat-completion", input_column="text", output_schema=SCHEMA)
    with pytest.raises(SettingsError) as refused:
        refuse_conditions_on_outputs(frame, TASKS["chat-completion"], chat, CALLER, conditions)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "condition"),
    [
        ("stars", 6, "stars IN (6)"),
        ("stars", np.int64(6), "stars IN (6)"),
        ("stars", "6", "stars IN (6)"),
        ("stars", "six", "stars IN (1)"),
        ("`Stars`", -6, "Stars IN (-6)"),
        ("price", 2.5, "price IN (2.5)"),
        ("paid", True, "paid IS TRUE"),
        ("paid", 0, "paid IS FALSE"),
        ("paid", "false", "paid IS FALSE"),
        ("paid", None, "paid IS NULL"),
        ("word", "it's", "word IN ('it''s')"),
        ("word", 6, "word IN ('6')"),
        ("day", "2025-01-31", "day IN ('2025-01-31')"),
        ("tags", "a", "tags LIKE '%\"a\"%'"),
        ("tags", '["a"]', "tags IN ('[\"a\"]')"),
        ("y_retryable", 1, "y_retryable IS TRUE"),
        ("y_error_type", "timeout", "y_error_type IN ('timeout')"),
        ("y_cost", 0.5, "y_cost IN (0.5)"),
    ],
)
def test_the_condition_fits_the_column_and_the_value(name: str, value: Any, condition: str) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], name: [value, value]}, dtype=object)
    assert refusal(frame, [name.strip("`")]) == (
        f"MindsDB treats = on {name.strip('`')} in WHERE as an input of the model and would return all rows. "
        f"Write {condition} instead."
    )


def test_without_a_table_it_belongs_in_an_outer_select() -> None:
    assert refusal(pd.DataFrame({"text": ["a"], "stars": [6]}), None) == (
        "MindsDB treats = on stars in WHERE as an input of the model and would show its value for the answer. "
        "Write SELECT * FROM (SELECT …) AS t WHERE stars IN (6)."
    )


def test_the_value_is_that_of_the_condition_and_not_of_a_column_of_the_table() -> None:
    frame = pd.DataFrame([["a", 1, 6], ["b", 2, 6]], columns=["text", "stars", "stars"])
    assert "stars IN (6)" in refusal(frame, ["stars"])


def test_a_query_of_no_rows_has_no_value_to_show() -> None:
    assert "Write word IN ('…') instead." in refusal(pd.DataFrame({"text": []}), ["word"])


def test_a_column_in_where_belongs_in_on() -> None:
    """Only for inputs: an answer may be compared with a column."""
    chat = model(engine(None), task="chat-completion", input_column="text", output_schema=SCHEMA)
    refuse_columns_in_where({"word": "m.word = t.word", "y": "m.y = t.y"}, TASKS["chat-completion"], chat)
    with pytest.raises(SettingsError) as refused:
        refuse_columns_in_where({"Text": "m.Text = t.title"}, TASKS["chat-completion"], chat)
    assert str(refused.value) == (
        "MindsDB ignores a condition in WHERE that compares the model's input Text with a column. "
        "Write it in the JOIN: ON m.Text = t.title."
    )
