"""The frame that a query returns: the prediction columns, or the plan of a dry run."""

from __future__ import annotations

import json
from array import array
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..arguments import ModelSettings
from ..errors import HuggingFaceError, NotAttempted
from ..media import loading
from ..scheduling.batches import Item
from ..scheduling.results import RowResult
from ..tasks import TASKS
from .caller import Caller
from .inputs import NO_INPUT, REFUSED, DistinctInputs
from .typed_columns import dtype_of


@dataclass(frozen=True)
class PredictionFrame:
    """Builds the frame of prediction columns of one query."""

    model: ModelSettings
    caller: Caller

    @property
    def columns(self) -> list[str]:
        """The names of the prediction columns; a dry run has them too, so that the same query can be tried."""
        target, execution, schema = self.caller.target, self.model.execution, self.model.output_schema
        names = [target, *(schema.names if schema else ())]
        if TASKS[self.model.task].explain:
            names.append(f"{target}_explain")
        if execution.on_error == "null":
            names += [f"{target}_error", f"{target}_error_type", f"{target}_retryable"]
        if execution.include_meta:
            names.append(f"{target}_meta")
        return names

    def of_plan(self, index: pd.Index, plan: list[str], costs: list[float | None]) -> pd.DataFrame:
        """Return the frame of a dry run.

        Args:
            plan: from where each row would get its answer; see ``planned``.
            costs: what each row is expected to cost; ``None``: not known.
        """
        target = self.caller.target
        columns: dict[str, list[Any]] = {name: [None] * len(plan) for name in self.columns}
        if self.model.execution.on_error == "null":
            columns[f"{target}_retryable"] = [False] * len(plan)
        columns[f"{target}_plan"] = plan
        frame = pd.DataFrame(columns, index=index, dtype=object)
        frame[f"{target}_cost"] = pd.Series(costs, index, "float64")
        return frame

    def of_results(self, index: pd.Index, inputs: DistinctInputs, results: Sequence[RowResult | None]) -> pd.DataFrame:
        """Return the frame of the results of all items; generated media are written to files here."""
        by_item = [self._finished(item, result) for item, result in zip(inputs.items, results, strict=True)]
        # By column from the beginning: lists of each row's cells would take a sixth of a query's memory.
        cells: list[list[Any]] = [[] for _ in self.columns]
        for result in by_item:
            self._add_cells(cells, result)
        names_source = self.model.execution.include_meta
        seen: set[int] = set()
        positions = array("q")
        for row, position in enumerate(inputs.row_to_item):
            at = position
            if position < 0:
                at = self._add_cells(cells, RowResult(error=inputs.refused.get(row), source="null"))
            elif names_source and position in seen and by_item[position].source == "request":
                at = self._add_cells(cells, by_item[position], source="duplicate")
            elif names_source:
                seen.add(position)
            positions.append(at)
        columns = {name: [values[at] for at in positions] for name, values in zip(self.columns, cells, strict=True)}
        dtypes = {name: _dtype(values) for name, values in columns.items()}
        schema = self.model.output_schema
        if schema:
            dtypes.update({name: dtype_of(schema, at, columns[name]) for at, name in enumerate(schema.names)})
        return pd.DataFrame(
            {name: pd.Series(values, index=index, dtype=dtypes[name]) for name, values in columns.items()}, index=index
        )

    def _finished(self, item: Item, result: RowResult | None) -> RowResult:
        """Return an item's result as its rows show it."""
        if result is None:
            return RowResult(error=NotAttempted("the query ended before this row was sent"), source="null", item=item)
        value = result.value
        if self.model.output_dir and isinstance(value, str) and value.startswith("data:"):
            try:
                result.value = loading.write(value, item.key, self.model.output_dir, self.model.media_roots)
            except HuggingFaceError as error:
                if self.model.execution.on_error == "raise":
                    raise
                result.value, result.error = None, error
        return result

    def _add_cells(self, columns: list[list[Any]], result: RowResult, *, source: str | None = None) -> int:
        """Add the cells of a row to all columns, and return their position."""
        for values, cell in zip(columns, self._cells(result, source or result.source), strict=True):
            values.append(cell)
        return len(columns[0]) - 1

    def _cells(self, result: RowResult, source: str) -> list[Any]:
        """Return the cells of a row, in the order of ``columns``.

        Args:
            source: from where the row has its answer.
        """
        error, schema, execution = result.error, self.model.output_schema, self.model.execution
        cells = [result.value]
        if schema:
            cells += schema.cells(None if error else result.value)
        if TASKS[self.model.task].explain:
            has_answer = error is None and result.source != "null"
            cells.append(json.dumps(result.explain or {}, ensure_ascii=False, allow_nan=False) if has_answer else None)
        if execution.on_error == "null":
            cells += [str(error), error.code, error.retryable] if error else [None, None, False]
        if execution.include_meta:
            cells.append(self._meta(result, source))
        return cells

    def _meta(self, result: RowResult, source: str) -> str:
        is_sent = source == "request" and result.attempts > 0
        return json.dumps(
            {
                "model": self.model.model,
                "provider": result.provider or (None if self.model.endpoint else self.model.provider),
                "source": source,
                "attempts": result.attempts if is_sent else 0,
                "latency_ms": round(result.latency * 1000, 1) if is_sent else 0,
                "request_id": result.request_id,
                "input_tokens": result.input_tokens if is_sent else 0,
                "output_tokens": result.output_tokens if is_sent else 0,
                "cost": (None if result.cost is None else round(result.cost, 15)) if is_sent else 0,
                "cost_source": result.cost_source if is_sent else None,
            },
            ensure_ascii=False,
        )


def planned(inputs: DistinctInputs, cached: Container[str], *, empty: str) -> list[str]:
    """Return for each row from where it would get its answer: ``request``, ``cache``, ``duplicate``, or an error code.

    Args:
        cached: keys of stored answers.
        empty: for rows without input.
    """
    seen: set[int] = set()
    plan: list[str] = []
    for row, position in enumerate(inputs.row_to_item):
        if position == NO_INPUT:
            plan.append(empty)
        elif position == REFUSED:
            plan.append(inputs.refused[row].code)
        elif inputs.items[position].key in cached:
            plan.append("cache")
        else:
            plan.append("duplicate" if position in seen else "request")
            seen.add(position)
    return plan


def is_after_a_dry_run(frame: pd.DataFrame) -> bool:
    """Return whether a frame has the columns of another model's dry run, whose answers this model may read."""
    names = {str(name) for name in frame.columns}
    plans = [name for name in names if name.endswith("_plan") and f"{name.removesuffix('_plan')}_cost" in names]
    return any(frame[name].isin(["request", "cache", "duplicate", "unknown"]).to_numpy().any() for name in plans)


def _dtype(values: Sequence[Any]) -> Any:
    """Return the dtype of a column: numbers with NULLs stay numeric, everything else becomes objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {float, int} and bool not in kinds:
        return "float64" if float in kinds or None in values else "int64"
    if kinds == {bool} and None not in values:
        return "bool"
    return object
