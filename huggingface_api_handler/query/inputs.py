"""A frame's rows → distinct inputs, each with its cache key."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..arguments import ModelSettings
from ..arguments.template import Prompt, Template, parse_template
from ..errors import HuggingFaceError, PayloadTooLarge
from ..media import loading
from ..scheduling.batches import Item
from ..tasks.tabular import canonical_table, cell_text
from ..tasks.task import Batching, Input, Kind, Task
from . import cells as cell_values
from .caller import canonical

#: Characters of one rendered prompt.
MAX_PROMPT = 16 * 2**20

#: Positions of rows that have no item.
NO_INPUT = -1
REFUSED = -2


@dataclass(slots=True)
class DistinctInputs:
    """The inputs of a frame, equal rows as one.

    Attributes:
        items: one for each distinct input.
        row_to_item: for each row the index of its item; ``NO_INPUT`` or ``REFUSED`` if it has none.
        refused: errors of rows that cannot be sent, by row.
        first_row: for each item the first row with that input.
    """

    items: list[Item]
    row_to_item: array[int]
    refused: dict[int, HuggingFaceError]
    first_row: array[int]

    @classmethod
    def of_no_rows(cls) -> DistinctInputs:
        """Return the inputs of an empty frame: none."""
        return cls([], array("q"), {}, array("q"))


def collect_inputs(
    frame: pd.DataFrame, task: Task, model: ModelSettings, key: Callable[[Any], str], *, each: bool = False
) -> DistinctInputs:
    """Read the frame's rows into distinct items.

    Args:
        key: identity of a row → the item's key.
        each: keep equal rows apart, because each gets an answer of its own.

    Raises:
        SettingsError: a column that the model reads is missing or named twice.
    """
    inputs = [_one_input(frame, one, model) for one in task.inputs]
    needed = [position for position, one in enumerate(task.inputs) if one.required]
    own = [position for position, one in enumerate(task.inputs) if _is_the_rows_own(one, model)]
    grouped = task.batching is Batching.GROUP
    has_media = any(one.kind.is_media for one in task.inputs)
    # To Python 1, 1.0 and True are equal; to a model they need not be.
    has_numbers = any(one.kind is Kind.RECORD for one in task.inputs)
    has_prompts = model.prompt_template is not None and any(one.template for one in task.inputs)
    found = DistinctInputs.of_no_rows()
    columns = column_names(task, model)
    seen: dict[Any, int] = {}
    for row, values in enumerate(zip(*inputs, strict=True)):
        nothing_of_its_own = own and all(values[position] is None for position in own)
        if nothing_of_its_own or any(values[position] is None for position in needed):
            found.row_to_item.append(NO_INPUT)
            continue
        at = next((at for at, value in enumerate(values) if isinstance(value, HuggingFaceError)), None)
        if at is not None:
            facts = {"row": row, "column": columns[at], "task": task.name, "model": model.model}
            found.refused[row] = values[at].with_facts(**facts)
            found.row_to_item.append(REFUSED)
            continue
        identity = payload = values
        if has_media:
            identity = tuple(value[0] if isinstance(value, _Cell) else value for value in values)
            payload = tuple(value[1] if isinstance(value, _Cell) else value for value in values)
        if has_numbers:
            identity = (canonical(values),)
        name: str | None = None
        if has_prompts:
            # The text itself does not stay in memory: two prompts differ by their key.
            name = key(tuple(value.render() if isinstance(value, Prompt) else value for value in identity))
            identity = (name,)
        if each:
            identity = (*identity, row)
        position = seen.get(identity)
        if position is None:
            position = len(found.items)
            seen[identity] = position
            group = identity[0] if grouped else None
            found.items.append(
                Item(position, key(identity) if each else name or key(identity), payload, group, _size(payload))
            )
            found.first_row.append(row)
        found.row_to_item.append(position)
    return found


def column_names(task: Task, model: ModelSettings) -> list[str | None]:
    """Return, for each input of the task, the one column it is read from; ``None`` if there is no such."""
    named = [model.columns.get(one.argument) for one in task.inputs]
    return [name if isinstance(name, str) else None for name in named]


def read_columns(task: Task, model: ModelSettings) -> list[str]:
    """Return the columns that the model reads, those of ``prompt_template`` included."""
    named = [name for column in model.columns.values() for name in ([column] if isinstance(column, str) else column)]
    if model.prompt_template and any(one.template for one in task.inputs):
        named += parse_template(model.prompt_template).columns
    return named


def _is_the_rows_own(one: Input, model: ModelSettings) -> bool:
    """Return whether an input's values come from the row, not from an argument that is the same for all."""
    return one.argument in model.columns or (one.template and model.prompt_template is not None)


class _Cell(tuple[Any, Any]):
    """A media cell: (identity, the unchanged cell)."""

    __slots__ = ()


def _size(payload: tuple[Any, ...]) -> int:
    return sum(len(part) if isinstance(part, (str, bytes, Prompt)) else 64 for part in payload)


def _one_input(frame: pd.DataFrame, one: Input, model: ModelSettings) -> Sequence[Any]:
    """Return the value of an input in every row."""
    if one.template and model.prompt_template:
        return _prompts(frame, model.prompt_template)
    column = model.columns.get(one.argument)
    if one.kind is Kind.RECORD:
        return _records(frame, column, one.argument)
    if column is not None:
        name = column if isinstance(column, str) else column[0]
        position = cell_values.find_column(frame.columns, name, one.argument)
        return _converted(cell_values.column_cells(frame, position), one.kind, model)
    if one.constant and model.values.get(one.constant) is not None:
        return [model.values[one.constant]] * len(frame)
    if one.kind is Kind.TABLE:
        return [_whole_table(frame)] * len(frame)
    return [None] * len(frame)


def _converted(column: list[Any], kind: Kind, model: ModelSettings) -> Sequence[Any]:
    if kind is Kind.TEXT:
        return cell_values.as_texts(column)
    if kind is Kind.TABLE:
        return [_table(cell) for cell in column]
    return [_media_cell(cell, kind, model.media_roots) for cell in column]


def _media_cell(cell: Any, kind: Kind, roots: tuple[str, ...]) -> Any:
    if cell_values.is_missing(cell) or (isinstance(cell, (str, bytes)) and not cell):
        return None
    identity = _or_error(loading.identity, cell, kind, roots)
    return identity if isinstance(identity, HuggingFaceError) else _Cell((identity, cell))


def _prompts(frame: pd.DataFrame, source: str) -> list[Any]:
    """Return each row's prompt, ``None`` if all its cells are NULL, or the row's error."""
    template = parse_template(source)
    columns = [
        cell_values.as_texts(
            cell_values.column_cells(frame, cell_values.find_column(frame.columns, name, "prompt_template"))
        )
        for name in template.columns
    ]
    if not columns:
        return [Prompt(template, ())] * len(frame)
    return [_prompt(template, cells) for cells in zip(*columns, strict=True)]


def _prompt(template: Template, cells: tuple[Any, ...]) -> Prompt | HuggingFaceError | None:
    error = _error_in(cells)
    if error is not None:
        return error
    if all(cell is None for cell in cells):
        return None
    prompt = Prompt(template, cells)
    if len(prompt) > MAX_PROMPT:
        return PayloadTooLarge(
            f"the prompt would have {len(prompt):,} characters, but the maximum is {MAX_PROMPT:,}",
            advice="Shorten the cells in a sub-select, or name each column once in prompt_template",
            divisible=False,
        )
    return prompt


def _own_columns(frame: pd.DataFrame) -> list[int]:
    return [position for position, name in enumerate(frame.columns) if str(name) not in cell_values.HOST_COLUMNS]


def _different(frame: pd.DataFrame, positions: list[int]) -> list[int]:
    """Return ``positions``, if no two of their columns have the same name."""
    for position in positions:
        cell_values.find_column(
            [str(frame.columns[one]) for one in positions], str(frame.columns[position]), "input_columns"
        )
    return positions


def _records(frame: pd.DataFrame, chosen: Any, argument: str) -> list[Any]:
    """Return each row as ((column, cell), …)."""
    if chosen:
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        positions = [cell_values.find_column(frame.columns, name, argument) for name in names]
    else:
        positions = _different(frame, _own_columns(frame))
        names = [str(frame.columns[position]) for position in positions]
    columns = [
        [_or_error(cell_values.plain, cell) for cell in cell_values.column_cells(frame, position)]
        for position in positions
    ]
    records: list[Any] = []
    for values in zip(*columns, strict=True):
        error = _error_in(values)
        if error is not None:
            records.append(error)
        elif all(value is None for value in values):
            records.append(None)
        else:
            records.append(tuple(zip(names, (_hashable(value) for value in values), strict=True)))
    return records


def _or_error(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``read`` makes of a cell, its first argument, or the cell's error."""
    try:
        return read(*arguments)
    except HuggingFaceError as error:
        return error
    except cell_values.UNREADABLE as error:
        return cell_values.unreadable(arguments[0], error)


def _error_in(cells: Iterable[Any]) -> HuggingFaceError | None:
    return next((cell for cell in cells if isinstance(cell, HuggingFaceError)), None)


def _hashable(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _whole_table(frame: pd.DataFrame) -> str | HuggingFaceError:
    """Return the query's own rows as one table, ``{column: [cells as text]}``, or the error of one of its cells."""
    table: dict[str, list[str]] = {}
    for position in _different(frame, _own_columns(frame)):
        cells = [_or_error(cell_values.plain, cell) for cell in cell_values.column_cells(frame, position)]
        error = _error_in(cells)
        if error is not None:
            return error
        table[str(frame.columns[position])] = [cell_text(cell) for cell in cells]
    return json.dumps(table, ensure_ascii=False)


def _table(cell: Any) -> Any:
    """Return a table cell as canonical JSON text ``{column: [cells as text]}``, or its error."""
    if cell_values.is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
        return None
    table = cell if isinstance(cell, str) else _or_error(cell_values.plain, cell)
    return table if isinstance(table, HuggingFaceError) else _or_error(canonical_table, table)
