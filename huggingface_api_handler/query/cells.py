"""A frame's cells → the values that tasks take.

Tables hold numbers, dates, decimals and missing values of several makes; models take text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..arguments.names import nearest
from ..errors import InvalidInput, SettingsError

#: Columns that MindsDB adds to every frame.
HOST_COLUMNS = ("__mindsdb_row_id", "__mdb_forecast_offset")
#: How deep lists and objects may stand in one another in a cell.
DEEPEST = 64


def is_missing(cell: Any) -> bool:
    """Say whether a cell is NULL in any of pandas' makes; containers never are."""
    if cell is None:
        return True
    if isinstance(cell, (str, bytes)):
        return False
    if isinstance(cell, float):
        return math.isnan(cell)
    missing = pd.isna(cell)  # of a container it gives an array
    return isinstance(missing, (bool, np.bool_)) and bool(missing)


def as_text(cell: Any) -> str | None:
    """Return a cell as text; ``None`` where it is missing or holds nothing but white space.

    Raises:
        InvalidInput: for bytes that are no UTF-8 text, and for lists nested without end.
    """
    if isinstance(cell, str):
        return cell if cell and not cell.isspace() else None
    if is_missing(cell):
        return None
    if isinstance(cell, (bytes, bytearray, memoryview)):
        try:
            return as_text(bytes(cell).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(
                "the cell holds bytes that are no UTF-8 text",
                advice="Give this task a text column, or choose a task for images or sound",
                divisible=False,
            ) from error
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # a NULL in another row makes pandas hold whole numbers as floats
    if isinstance(cell, (dict, list, tuple)):
        return json.dumps(plain(cell), ensure_ascii=False)
    return as_text(str(cell))


def find_column(columns: Sequence[Any], wanted: str, argument: str) -> int:
    """Return the position of the column called ``wanted``, without regard to case.

    Raises:
        SettingsError: where there is none, or more than one.
    """
    exact = [position for position, name in enumerate(columns) if str(name) == wanted]
    found = exact or [position for position, name in enumerate(columns) if str(name).lower() == wanted.lower()]
    if len(found) == 1:
        return found[0]
    names = [str(name) for name in columns if name not in HOST_COLUMNS]
    known = ", ".join(f"'{name}'" for name in names) or "none"
    if not found and argument == "prompt_template":
        raise SettingsError(
            f"prompt_template names {{{{{wanted}}}}}, and the query gives no such column; it gives: {known}",
            advice=f"Write {{{{{nearest(wanted, names) or 'your_column'}}}}} in it, or add the column to the query",
        )
    if not found:
        raise SettingsError(
            f"the query gives no column '{wanted}', which the model reads as {argument}; it gives: {known}",
            advice=f"Look at the spelling, in ON m.{wanted} = t.<your column> too, and name the table first: "
            f"FROM <your table> AS t JOIN <the model> AS m; or write USING {argument} = '<your column>'",
        )
    raise SettingsError(
        f"the query gives {len(found)} columns named '{wanted}', which the model reads as {argument}",
        advice="Rename one of them in a sub-select, with AS",
    )


def column_cells(frame: pd.DataFrame, position: int) -> list[Any]:
    """Return one column's cells as Python objects, in row order."""
    cells: list[Any] = frame.iloc[:, position].tolist()
    return cells


def as_texts(cells: Sequence[Any]) -> list[str | InvalidInput | None]:
    """Return cells as text; a cell that cannot be is replaced by its error."""
    texts: list[str | InvalidInput | None] = []
    for cell in cells:
        if isinstance(cell, str):  # by far the most frequent
            texts.append(cell if cell and not cell.isspace() else None)
            continue
        try:
            texts.append(as_text(cell))
        except InvalidInput as error:
            texts.append(error)
    return texts


def plain(cell: Any, depth: int = DEEPEST) -> Any:
    """Return a cell as something JSON knows.

    Raises:
        InvalidInput: it is nested deeper than ``depth``.
    """
    if is_missing(cell):
        return None
    if isinstance(cell, (str, bool, int)):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(cell)
    if hasattr(cell, "item"):
        return plain(cell.item(), depth)
    if depth <= 0 and isinstance(cell, (Mapping, list, tuple)):
        raise InvalidInput(f"the cell is nested deeper than {DEEPEST} levels", divisible=False)
    if isinstance(cell, Mapping):
        return {str(key): plain(value, depth - 1) for key, value in cell.items()}
    if isinstance(cell, (list, tuple)):
        return [plain(value, depth - 1) for value in cell]
    return str(cell)
