"""A frame's cells → the values that tasks take.

Tables hold numbers, dates, decimals and missing values of several types; models take text.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from ..arguments.names import nearest
from ..errors import InvalidInput, SettingsError
from .sql import quoted

#: Columns that MindsDB adds to every frame.
HOST_COLUMNS = ("__mindsdb_row_id", "__mdb_forecast_offset")
#: How deep lists and objects in a cell may be nested.
DEEPEST = 64
#: Whole numbers below this are exact as floats; up to the largest 64-bit integer they may have been integers.
_EXACT, _LONGEST_INTEGER = 2**53, 2**64


def is_missing(cell: Any) -> bool:
    """Return whether a cell is any of pandas' NULL values; containers never are."""
    if cell is None:
        return True
    if isinstance(cell, (str, bytes)):
        return False
    if isinstance(cell, float):
        return math.isnan(cell)
    if isinstance(cell, Decimal):
        return cell.is_nan()  # pandas compares, which a signalling NaN does not allow
    missing = pd.isna(cell)  # of a container it gives an array
    return isinstance(missing, (bool, np.bool_)) and bool(missing)


def as_text(cell: Any) -> str | None:
    """Return a cell as text; ``None`` if it is missing or holds nothing but white space.

    Raises:
        InvalidInput: for bytes that are no UTF-8 text, and for lists nested without end.
    """
    if isinstance(cell, str):
        return cell if cell and not cell.isspace() else None
    if is_missing(cell):
        return None
    if isinstance(cell, float):
        return _number_text(cell)
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return as_text(_decoded(bytes(cell)))
    value = plain(cell)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return as_text(value) if value is None or isinstance(value, (str, float)) else str(value)


def _number_text(number: float) -> str:
    """Return a float as text; a NULL in another row makes pandas hold whole numbers as floats.

    Raises:
        InvalidInput: for a whole number in the range in which such a conversion has lost digits.
    """
    if not number.is_integer():
        return str(number)
    if abs(number) < _EXACT:
        return str(int(number))
    if abs(number) <= _LONGEST_INTEGER:
        raise InvalidInput(
            f"the integer {number:g} has lost its last digits: in a column with NULL, MindsDB reads integers as floats",
            advice="Cast the column to text in a sub-select, CAST(… AS VARCHAR), or exclude the rows with NULL",
            divisible=False,
        )
    return str(number)


def find_column(columns: Sequence[Any], wanted: str, argument: str) -> int:
    """Return the position of the column called ``wanted``, without regard to case, spaces around it or the way in
    which its accents are written.

    Raises:
        SettingsError: there is none, or more than one.
    """
    wanted = unquoted(wanted)
    given = [unquoted(str(name)) for name in columns]
    found: list[int] = []
    for fold in (str, str.lower, _folded):
        found = found or [position for position, name in enumerate(given) if fold(name) == fold(wanted)]
    if len(found) == 1:
        return found[0]
    names = [str(name) for name in columns if name not in HOST_COLUMNS]
    known = ", ".join(f"'{name}'" for name in names) or "none"
    if not found and argument == "prompt_template":
        raise SettingsError(
            f"prompt_template names {{{{{wanted}}}}}, but the query has no such column; its columns are: {known}",
            advice=f"Write {{{{{nearest(wanted, names) or 'your_column'}}}}} in prompt_template, or add the "
            "column to the query",
        )
    if not found:
        raise SettingsError(
            f"the query has no column '{wanted}', which the model reads as {argument}; its columns are: {known}",
            advice=_how_to_give(wanted, argument, names, is_table=len(names) < len(columns)),
        )
    raise SettingsError(
        f"the query has {len(found)} columns named '{wanted}', which the model reads as {argument}",
        advice=f"Write ON m.{quoted(wanted)} = <table>.<column>, or rename one of them in a sub-select, with AS",
    )


def _how_to_give(wanted: str, argument: str, names: Sequence[str], *, is_table: bool) -> str:
    """Return how to write a query that has a column for an input.

    Args:
        names: of the query's columns.
        is_table: whether they are a table's, and not the conditions of WHERE.
    """
    parts = [part.strip() for part in wanted.split(",")]
    if len(parts) > 1 and all(part in names for part in parts):
        return f"Name one column; combine several in a sub-select: CONCAT({', '.join(map(quoted, parts))}) AS text"
    near = wanted.rpartition(".")[2]
    near = near if near in names else nearest(wanted, names) or "<your column>"
    mapping = f"ON m.{quoted(wanted)} = t.{near if near.startswith('<') else quoted(near)}"
    alone = "" if is_table else f"{quoted(wanted)} = '…' in WHERE, or "
    return f"Write {alone}FROM <your table> AS t JOIN <the model> AS m {mapping}, or USING {argument} = '{near}'"


def _folded(name: str) -> str:
    """Return a name as people read it: a file's header may hold spaces, and accents as characters of their own."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def unquoted(name: str) -> str:
    """Return a column's name without the back-ticks that MindsDB leaves around names in WHERE."""
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == "`" else name


def column_cells(frame: pd.DataFrame, position: int) -> list[Any]:
    """Return one column's cells as Python objects, in row order."""
    column = frame.iloc[:, position]
    cells: list[Any] = column.tolist()
    short = _SHORT_FLOATS.get(str(column.dtype).lower())
    if short is not None:
        cells = [_as_written(cell, short) for cell in cells]
    return cells


#: Data types of columns whose numbers have fewer digits than Python's → of their cells.
_SHORT_FLOATS: Mapping[str, type[np.floating[Any]]] = {
    "float16": np.float16, "halffloat[pyarrow]": np.float16, "float32": np.float32, "float[pyarrow]": np.float32,
}  # fmt: skip
#: Digits before and behind the point up to which a decimal is written out.
_MOST_DIGITS = 64


def _as_written(cell: Any, short: type[np.floating[Any]]) -> Any:
    """Return a number of 32 bits or less with the digits it was written with: 0.1, not 0.10000000149011612."""
    return cell if is_missing(cell) else float(str(short(cell)))


def _decimal_text(number: Decimal) -> str:
    """Return a decimal as databases write it: 0.0000000, not 0E-7."""
    if not number.is_finite() or max(abs(number.adjusted()), -int(number.as_tuple().exponent)) > _MOST_DIGITS:
        return str(number)
    return format(number, "f")


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
        except UNREADABLE as error:
            texts.append(unreadable(cell, error))
    return texts


#: What reading a cell raises that cannot be read.
UNREADABLE = (TypeError, ValueError, OverflowError, RecursionError)


def unreadable(cell: Any, cause: BaseException) -> InvalidInput:
    """Return the error of a cell of an unsupported type."""
    error = InvalidInput(
        f"the cell cannot be read: its type is {type(cell).__name__}",
        advice="Cast the column to text in a sub-select: CAST(… AS VARCHAR)",
        divisible=False,
    )
    error.__cause__ = cause
    return error


def plain(cell: Any, depth: int = DEEPEST) -> Any:
    """Return a cell as JSON-ready Python objects: arrays and collections of any library become lists.

    Raises:
        InvalidInput: it is nested deeper than ``depth``.
        TypeError: it is an object without a text of its own.
    """
    if isinstance(cell, (str, bool, int)) and type(cell) in _JSON_SCALARS:
        return cell
    if is_missing(cell):
        return None
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, (np.float16, np.float32)):
        return plain(_as_written(cell, type(cell)))
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else str(cell)
    if isinstance(cell, Decimal):
        return _decimal_text(cell)
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return bytes(cell).decode("utf-8", "backslashreplace")
    if isinstance(cell, np.datetime64):
        return str(cell)  # as Python objects some of them are bare numbers
    if isinstance(cell, np.timedelta64):
        return str(pd.Timedelta(cell))  # in days, hours, …, like a cell that is one
    if isinstance(cell, pd.DataFrame):
        return plain(cell.to_dict("list"), depth)
    if isinstance(cell, (np.generic, np.ndarray)) and cell.ndim == 0:
        value = cell.tolist()
        return str(cell) if value is cell else plain(value, depth)
    if hasattr(cell, "to_pylist"):  # Arrow
        return plain(cell.to_pylist(), depth)
    if isinstance(cell, Collection):
        return _plain_container(cell, depth)
    text = str(cell)
    if isinstance(cell, Iterator) or text == object.__repr__(cell):
        raise TypeError("its text says where it is, not what it is")
    return text


_JSON_SCALARS = (str, bool, int)


def _plain_container(cell: Any, depth: int) -> Any:
    if depth <= 0:
        raise InvalidInput(f"the cell is nested deeper than {DEEPEST} levels", divisible=False)
    if isinstance(cell, Mapping):
        return {str(key): plain(value, depth - 1) for key, value in cell.items()}
    if isinstance(cell, (set, frozenset)):
        cell = sorted(cell, key=repr)  # a set has no order of its own, and equal sets are one input
    return [plain(value, depth - 1) for value in cell]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "the cell holds bytes that are not UTF-8 text",
            advice="Use a text column, or a task that reads images, audio or video",
            divisible=False,
        ) from error
