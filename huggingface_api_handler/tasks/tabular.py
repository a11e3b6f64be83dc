"""Table tasks: questions about a table, and classification or regression of its rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput
from .answers import table_answer
from .shapes import dumps, exact_number, is_number, text
from .task import Answer, Arguments, Batching, Example, Input, Kind, Task

_ADVICE = "Write it as {column: [cells]} or [{column: cell}]"


# --- tables in cells -------------------------------------------------------------------------


def cell_text(cell: Any) -> str:
    """Return a table's cell as the text that services want; nothing becomes empty text.

    A whole number that a column of floats holds loses its ``.0``.
    """
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, ensure_ascii=False)
    return str(cell)


def canonical_table(cell: Any) -> str:
    """Return a table as JSON text ``{column: [cells as text]}``.

    Args:
        cell: the table, or JSON text of it, as ``{column: [cells]}`` or ``[{column: cell}, …]``.

    Raises:
        InvalidInput: where it is neither, or its columns are not of the same length.
    """
    if isinstance(cell, (bytes, bytearray)):
        cell = bytes(cell).decode("utf-8", "replace")
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise _no_table("is no JSON") from error
    try:
        return dumps(_columns(cell))
    except RecursionError as error:
        raise _no_table("is nested too deep") from error


def _no_table(why: str) -> InvalidInput:
    return InvalidInput(f"the table {why}", advice=_ADVICE, divisible=False)


def _columns(table: Any) -> dict[str, list[str]]:
    if isinstance(table, Mapping):
        if not all(isinstance(cells, (list, tuple)) for cells in table.values()):
            raise _no_table("has columns that are no lists")
        columns = {str(name): [cell_text(cell) for cell in cells] for name, cells in table.items()}
    elif isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        names = list(dict.fromkeys(str(name) for row in table for name in row))
        rows = [{str(name): cell for name, cell in row.items()} for row in table]
        columns = {name: [cell_text(row.get(name)) for row in rows] for name in names}
    else:
        raise _no_table("is neither an object nor a list of objects")
    if len({len(cells) for cells in columns.values()}) != 1:
        raise _no_table("has columns of different lengths" if columns else "is empty")
    if not next(iter(columns.values())):
        raise _no_table("has no rows")
    return columns


TABLE_QUESTION_ANSWERING = Task(
    name="table-question-answering",
    answer="the answer",
    explain="the coordinates, cells and aggregator behind the answer",
    inputs=(
        Input("input_column", Kind.TEXT, "the question", aliases=("question_column", "column"), constant="question"),
        Input(
            "table_column",
            Kind.TABLE,
            "the table as JSON; with question = '…' and no columns, the rows of the query are the table",
        ),
    ),
    parameters="TableQuestionAnsweringParameters",
    decode=table_answer,
    default_model="google/tapas-base-finetuned-wtq",
    example=Example(
        (
            ("How tall is Ana?", '{"name": ["Ana", "Ben"], "tall": ["170", "182"]}'),
            ("What is the total price?", '[{"item": "tea", "price": 2}, {"item": "cake", "price": 4}]'),
        )
    ),
)


# --- rows of one table -----------------------------------------------------------------------


def class_answer(value: Any, args: Arguments) -> Answer:
    """A class: an ID or its name."""
    if isinstance(value, bool):
        return Answer(value)
    return Answer(exact_number(value) if is_number(value) else text(value, "a class"))


def amount_answer(value: Any, args: Arguments) -> Answer:
    """An estimate: a number."""
    return Answer(exact_number(value))


RECORD = Input("input_columns", Kind.RECORD, "the columns to read; default: all columns of the query")
FLATS = (((("rooms", 2), ("metres", 50)),), ((("rooms", 3), ("metres", 80)),), ((("rooms", 1), ("metres", 20)),))

TABULAR_CLASSIFICATION = Task(
    name="tabular-classification",
    answer="the class of the row",
    inputs=(RECORD,),
    decode=class_answer,
    batching=Batching.TABLE,
    default_model="vvmnnnkv/wine-quality",
    example=Example(FLATS),
)

TABULAR_REGRESSION = Task(
    name="tabular-regression",
    answer="the predicted number",
    inputs=(RECORD,),
    decode=amount_answer,
    batching=Batching.TABLE,
    default_model="scikit-learn/Fish-Weight",
    example=Example(FLATS),
)
