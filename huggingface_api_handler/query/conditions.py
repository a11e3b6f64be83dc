"""Conditions of WHERE that MindsDB takes for inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..arguments import ModelSettings
from ..errors import SettingsError
from ..tasks.task import Task
from . import cells as cell_values
from .cells import HOST_COLUMNS
from .inputs import Caller, read_columns


def refuse_conditions_on_outputs(
    frame: pd.DataFrame, task: Task, model: ModelSettings, caller: Caller, conditions: Sequence[str] | None
) -> None:
    """Refuse a query whose WHERE has ``=`` on a column of the model's answer.

    MindsDB takes the condition for an input: it adds a column with that value at the end, and drops the
    condition. Where the conditions are not known, the frame must show it: a table's own columns, whatever their
    names are, precede the row numbers; what another model of the same query has answered follows them, and
    seldom is the same in every row and column.

    Args:
        conditions: names that WHERE compares with ``=``; ``None``: not known.
    """
    fields = model.output_schema.names if model.output_schema else ()
    columns = [cell_values.unquoted(str(name)).lower() for name in frame.columns]
    read = {name.lower() for name in read_columns(task, model)}
    filled = [name for name in (*caller.output_columns, *fields) if name not in read]
    if conditions is not None:
        condition = next((str(name) for name in conditions if str(name).lower() in filled), None)
        if condition is not None:
            raise equals_on_an_output(condition, alone=False)
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
        raise equals_on_an_output(str(frame.columns[position]), alone=len(frame) == 1)


def equals_on_an_output(name: str, *, alone: bool) -> SettingsError:
    """Return the refusal of ``WHERE <name> = …`` on a column that the model fills.

    Args:
        alone: the query reads from the model alone, without a table.
    """
    would = "show its value for the answer" if alone else "return all rows"
    ways = "the condition" if alone else f"{name} IS TRUE, {name} IN ('…') or {name} IS NULL, or filter"
    return SettingsError(
        f"MindsDB takes = on {name} in WHERE for an input of the model, and would {would}",
        advice=f"Write {ways} in an outer SELECT",
    )


def _is_constant(column: pd.Series) -> bool:
    """Whether a column has one value in every row, as MindsDB gives it for a condition in WHERE."""
    cells = column.tolist()
    return bool(cells) and all(isinstance(cell, (str, int, float, bool)) and cell == cells[0] for cell in cells)
