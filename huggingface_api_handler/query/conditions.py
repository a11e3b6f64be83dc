"""Conditions of WHERE that MindsDB takes for inputs of the model, or ignores."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..arguments import ModelSettings
from ..arguments.coercion import as_sql
from ..errors import SettingsError, one_line
from ..tasks.task import Task
from . import cells as cell_values
from .caller import Caller
from .cells import HOST_COLUMNS
from .inputs import read_columns

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def refuse_conditions_on_outputs(
    frame: pd.DataFrame, task: Task, model: ModelSettings, caller: Caller, conditions: Sequence[str] | None
) -> None:
    """Refuse a query whose WHERE has ``=`` on a column of the model's answer.

    MindsDB takes the condition for an input: it adds a column with that value at the end, and drops the
    condition. If the conditions are not known, the frame must show it: a table's own columns, whatever their
    names are, precede the row numbers; what another model of the same query has answered follows them, and
    seldom is the same in every row and column.

    Args:
        conditions: names that WHERE compares with ``=``; ``None``: not known.
    """
    fields = [name.lower() for name in model.output_schema.names] if model.output_schema else []
    columns = [cell_values.unquoted(str(name)).lower() for name in frame.columns]
    read = {name.lower() for name in read_columns(task, model)}
    filled = [name for name in (*caller.output_columns, *fields) if name not in read]
    if conditions is not None:
        condition = next((str(name) for name in conditions if str(name).lower() in filled), None)
        if condition is not None:
            positions = [position for position, name in enumerate(columns) if name == condition.lower()]
            raise _equals_on_an_output(condition, frame, positions[-1:], model, alone=False)
        return
    ours = [name for name in filled if columns.count(name) == 1]
    start = max((position for position, name in enumerate(columns) if name in HOST_COLUMNS), default=-1) + 1
    if start:
        # The target itself may be another model's, which feeds this one.
        ours = [name for name in ours if name in columns[start:] and name != caller.target.lower()]
    name = next((one for one in ours if one in columns), None)
    if name is None or (start and len(frame) < 2):
        return
    position = columns.index(name)
    if all(_is_constant(frame.iloc[:, one]) for one in (range(start, len(columns)) if start else [position])):
        raise _equals_on_an_output(str(frame.columns[position]), frame, [position], model, alone=len(frame) == 1)


def refuse_columns_in_where(equal: Mapping[str, str], task: Task, model: ModelSettings) -> None:
    """Refuse a query whose WHERE compares an input of the model with a column: MindsDB ignores such a condition.

    Args:
        equal: columns of the model that WHERE compares with a column → the condition for ON.
    """
    read = {name.lower() for name in read_columns(task, model)}
    for name, condition in equal.items():
        if name.lower() in read:
            raise SettingsError(
                f"MindsDB ignores a condition in WHERE that compares the model's input {name} with a column",
                advice=f"Write it in the JOIN: ON {condition}",
            )


def _equals_on_an_output(
    name: str, frame: pd.DataFrame, positions: Sequence[int], model: ModelSettings, *, alone: bool
) -> SettingsError:
    """Return the refusal of ``WHERE <name> = …`` on a column that the model fills.

    Args:
        positions: of the column of ``frame`` that contains the value of the condition, if there is one.
        alone: the query reads from the model alone, without a table.
    """
    value = next((frame.iloc[0, position] for position in positions if len(frame)), "…")
    shown = cell_values.unquoted(name)
    condition = f"{shown} {_other_condition(_type_of(shown.lower(), model), value)}"
    would = "show its value for the answer" if alone else "return all rows"
    advice = f"SELECT * FROM (SELECT …) AS t WHERE {condition}" if alone else f"{condition} instead"
    return SettingsError(
        f"MindsDB treats = on {shown} in WHERE as an input of the model and would {would}", advice=f"Write {advice}"
    )


def _type_of(name: str, model: ModelSettings) -> str | None:
    """Return the type of a column that the model fills, as in ``output_schema``; ``None``: as the value suggests."""
    fields = model.output_schema.fields if model.output_schema else ()
    known = next((field.type for field in fields if field.name.lower() == name), None)
    return "boolean" if known is None and name.endswith("_retryable") else known


def _other_condition(kind: str | None, value: Any) -> str:
    """Return the condition that MindsDB applies to the answers, in place of ``= value``."""
    if value is None:
        return "IS NULL"
    text = one_line(str(value), 100)
    if kind == "boolean" or (kind is None and isinstance(value, (bool, np.bool_))):
        return "IS FALSE" if text.lower() in ("false", "0", "0.0", "no") else "IS TRUE"
    if kind in ("integer", "number") or (kind is None and isinstance(value, (int, float))):
        return f"IN ({text if _NUMBER.fullmatch(text) else 1})"
    if kind == "list" and not text.startswith("["):  # the cell is JSON text: one of its items
        return f"LIKE {as_sql(f'%{json.dumps(text, ensure_ascii=False)}%')}"
    return f"IN ({as_sql(text)})"


def _is_constant(column: pd.Series) -> bool:
    """Return whether a column has one value in every row, as MindsDB gives it for a condition in WHERE."""
    cells = column.tolist()
    return bool(cells) and all(isinstance(cell, (str, int, float, bool)) and cell == cells[0] for cell in cells)
