"""The columns of ``output_schema``: their names, and their cells out of the JSON text of the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import SettingsError
from ..tasks.output_schema import NotValid, OutputSchema
from .cells import HOST_COLUMNS, unquoted

#: pandas' types that keep whole numbers and booleans as they are beside NULL.
_DTYPES = {"integer": "Int64", "boolean": "boolean", "number": "float64"}


def check_names(schema: OutputSchema, inputs: Iterable[str], target: str, *, is_new: bool = True) -> None:
    """Refuse fields with the name of another column of the query.

    Args:
        inputs: the columns that the model reads.
        target: the PREDICT column; the names that begin with it and ``_`` are those of its other columns.
        is_new: whether this statement contains the schema. Models that have a field ``id`` work with aliases.

    Raises:
        SettingsError: with another name to write.
    """
    read = {unquoted(name).lower() for name in inputs}
    target = target.lower()
    for written in schema.names:
        name = written.lower()
        if name in read:
            taken = "a column that the model reads"
        elif name == target or name.startswith(f"{target}_"):
            taken = f"a column that belongs to PREDICT {target}"
        elif name in HOST_COLUMNS:
            taken = "a column of MindsDB's own"
        elif name == "id" and is_new:
            taken = "a column of most tables: in a JOIN, id without the table's name would be the field"
        else:
            continue
        raise SettingsError(
            f"output_schema has a field '{written}', which is the name of {taken}",
            advice=f"Rename the field, for example to found_{name.strip('_')}",
        )


def is_readable(schema: OutputSchema | None, target: Any) -> bool:
    """Return whether the columns can be made of a target that comes from the cache."""
    if schema is None:
        return True
    try:
        schema.cells(target)
    except NotValid:
        return False
    return True


def dtype_of(schema: OutputSchema, position: int, cells: Sequence[Any]) -> str:
    """Return the type of a column; without NULL it is the plain one, which MySQL's clients read as a number."""
    kind = schema.fields[position].type
    if kind == "integer" and None not in cells:
        return "int64"
    if kind == "boolean" and None not in cells:
        return "bool"
    return _DTYPES.get(kind, "object")
