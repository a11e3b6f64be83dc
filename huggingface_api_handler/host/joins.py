"""Passes WHERE and ON of a JOIN to the model of this engine.

MindsDB hands a model one frame: the table's columns, renamed as ON says, and a column for each ``=`` in WHERE. From the
frame alone nobody can tell a condition from a column of the table, nor which of two columns with one name ON meant.

MindsDB uses ``model.column = table.column`` of ON, and ignores all else there, and such a comparison in WHERE.

An argument of USING for another table (``m.dry_run``) is left out, also where there is no such table: a misspelt prefix
would make a dry run a real query. USING in a SELECT that has no model, such as one around a sub-select or of a view, is
refused: MindsDB ignores it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pandas as pd
from mindsdb.integrations.utilities.query_traversal import query_traversal
from mindsdb_sql_parser.ast import BinaryOperation, Identifier, Join, Select, Union

from ..arguments.specs import HOST_CONDITIONS, HOST_EQUAL_COLUMNS, HOST_QUERY
from ..errors import SettingsError, one_line
from .patching import is_patched, patch

_STEPS = "mindsdb.api.executor.sql_query.steps.apply_predictor_step"


def on_and_where_are_passed_on(is_ours: Callable[[Any, str, str], bool]) -> None:
    """Patch the step of MindsDB's executor that applies a model to a table; a second call does nothing.

    The module is loaded in the processes that run SQL, and in no worker.

    Args:
        is_ours: (session, project, model) → whether the model belongs to this engine. Called only if there is a
            condition or a column's name could matter, since the answer takes database statements.
    """
    steps = sys.modules.get(_STEPS)
    if steps is None:
        return

    unpatched = steps.ApplyPredictorStepCall.call
    if not is_patched(unpatched):
        _unpatched.append(unpatched.__code__)

    @patch(steps.ApplyPredictorStepCall, "call")
    def call(original: Any, self: Any, step: Any) -> Any:
        found = _found(self, step, is_ours)
        if found is not None:
            step.params = {**(step.params or {}), **found.params}
            step.columns_map = {**(step.columns_map or {}), **found.hidden}
        return original(self, step)


#: The code of MindsDB's own step.
_unpatched: list[CodeType] = []


def catch_up(params: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    """Do for a process's first statement what the patch does for the others.

    A process loads this package while it runs its first statement for a model of this engine: its step has begun by
    then, and is read from the stack.

    Args:
        params: of the prediction, which are completed.
        frame: its rows.

    Returns:
        the rows, with the names of columns that the patch would have given them.

    Raises:
        SettingsError: MindsDB would follow ON only in part.
    """
    at: FrameType | None = sys._getframe()
    while at is not None and at.f_code not in _unpatched:
        at = at.f_back
    if at is None or (at.f_back is not None and at.f_back.f_globals is globals()):  # called by the patch
        return frame
    self = at.f_locals["self"]
    found = _found(self, at.f_locals["step"], lambda *_: True)
    if found is None:
        return frame
    params.update(found.params)
    columns = self.steps_data[at.f_locals["step"].dataframe.step_num].columns
    names = [".".join((str(one.table_alias), str(one.alias))) for one in columns]
    renamed = [own if own in found.hidden else name for own, name in zip(names, frame.columns, strict=False)]
    return frame.set_axis([*renamed, *frame.columns[len(renamed) :]], axis=1)


class _Found(NamedTuple):
    """What a step tells the model: arguments, and columns that ON does not mean."""

    params: dict[str, Any]
    hidden: dict[str, Any]


def _found(self: Any, step: Any, is_ours: Callable[[Any, str, str], bool]) -> _Found | None:
    """Return what a step is to tell its model; ``None``: nothing, or the model is another engine's.

    Raises:
        SettingsError: MindsDB would follow ON only in part.
    """
    data = self.steps_data[step.dataframe.step_num]
    conditions = list(step.row_dict or {})
    hidden = _hidden_by_on(data.columns, step.columns_map)
    target = _target(self.context["predictor_metadata"], step)
    selects = _selects(self.sql_query.query)
    nobodys = _for_no_table(selects)
    model = _label(step.predictor)
    selects = [one for one in selects if _has_model(one.from_table, step.predictor)]
    fault = _fault_in_on(selects, model) or _given_twice(conditions, step.columns_map, model)
    fault = fault or next(filter(None, (_fault_in_using(query, model) for query in _statements(self.sql_query))), None)
    equal = {
        name: f"{model}.{name} = {column}"
        for select in selects
        for name, column in _equal_columns(select.where, model)
        if not _has_name(column, name)
    }
    # Any condition could be on a field of output_schema, which only the model knows.
    matters = bool(hidden or conditions or nobodys or fault or equal)
    matters = matters or any(_may_be_filled(one.name, target) for one in data.columns)
    if not matters or not is_ours(self.session, step.namespace, step.predictor.parts[0]):
        return None
    if fault is not None:
        raise fault
    return _Found({**nobodys, HOST_CONDITIONS: conditions, HOST_EQUAL_COLUMNS: equal}, hidden)


def _hidden_by_on(columns: Any, columns_map: Any) -> dict[str, Any]:
    """Return what to add to ``columns_map`` so that ON wins over a column that has the model's own name.

    ``ON m.text = p.title`` renames ``title`` to ``text``; if ``p`` has a ``text`` too, that one becomes ``p.text``.
    """
    meant = {name: [str(part).lower() for part in column.parts] for name, column in (columns_map or {}).items()}
    hidden: dict[str, Any] = {}
    for one in columns:
        source = [str(one.table_alias), str(one.alias)]
        wanted = meant.get(one.name, [])
        if len(wanted) == 2 and wanted != [part.lower() for part in source]:
            hidden[".".join(source)] = Identifier(parts=source)
    return hidden


def _selects(query: Any) -> list[Select]:
    """Return a query's SELECT and its sub-selects."""
    found: list[Select] = []

    def note_select(node: Any, **_: Any) -> None:
        if isinstance(node, Select):
            found.append(node)

    query_traversal(query, note_select)
    return found


def _has_model(node: Any, model: Identifier) -> bool:
    """Return whether a FROM has the model, and not only another table with its alias."""
    if isinstance(node, Join):
        return _has_model(node.left, model) or _has_model(node.right, model)
    if not isinstance(node, Identifier) or _label(node) != _label(model):
        return False
    name = [str(part).lower() for part in model.parts]
    return [str(part).lower() for part in node.parts][-len(name) :] == name


def _fault_in_on(selects: list[Select], model: str) -> SettingsError | None:
    """Return the refusal of an ON that MindsDB would follow only in part; ``None``: there is none.

    MindsDB takes from it one column of a table for each column of the model, and ignores the rest: it would send all
    rows.
    """
    for select in selects:
        table = select.from_table
        if isinstance(table, Join) and model in _table_names(table.left) and isinstance(table.left, Identifier):
            on = table.condition
            if on is not None and any(_matters_before_table(part, model) for part in _parts(on)):
                first, second, shown = (one_line(one.to_string(), 100) for one in (table.right, table.left, on))
                return SettingsError(
                    f"MindsDB ignores ON {shown}, because the model comes before the table",
                    advice=f"Write the table first: FROM {first} JOIN {second} ON {shown}",
                )
    for condition in (one for select in selects for one in _conditions(select.from_table, model)):
        columns: dict[str, str] = {}
        for part in _parts(condition):
            found = _equal_columns(part, model) if getattr(part, "op", None) == "=" else []
            if not found:
                return _ignored(part, model)
            name, column = found[0]
            other = columns.setdefault(name.lower(), column)
            if other.lower() != column.lower():
                return SettingsError(
                    f"ON gives the model's input {name} two columns, {other} and {column}, and MindsDB would use only "
                    "one of them",
                    advice=f"Write one condition: ON {model}.{name} = {column}; or combine the columns in a sub-select",
                )
    return None


def _matters_before_table(condition: Any, model: str) -> bool:
    """Return whether a condition says what the model reads, other than the column with its input's name."""
    if not any(_is_of(one, model) for one in _identifiers(condition)):
        return False
    equal = _equal_columns(condition, model) if getattr(condition, "op", None) == "=" else []
    return not equal or not _has_name(equal[0][1], equal[0][0])


def _has_name(column: str, name: str) -> bool:
    """Return whether a column has the name of an input, which then reads it although MindsDB ignores the condition."""
    return column.rpartition(".")[2].lower() == name.lower()


def _given_twice(conditions: list[str], columns_map: Any, model: str) -> SettingsError | None:
    """Return the refusal of an input for which ON has a column and WHERE has a value; ``None``: there is none."""
    mapped = {name.lower() for name in columns_map or {}}
    name = next((one for one in conditions if one.lower() in mapped), None)
    if name is None:
        return None
    return SettingsError(
        f"ON has a column for the model's input {name}, and WHERE has a value for it",
        advice=f"Remove {model}.{name} from one of them",
    )


def _parts(condition: Any) -> Iterator[Any]:
    """Yield the conditions that AND joins, without those on constants, such as ``1 = 1``."""
    if isinstance(condition, BinaryOperation) and condition.op.lower() == "and":
        for one in condition.args:
            yield from _parts(one)
    elif _identifiers(condition):
        yield condition


def _ignored(condition: Any, model: str) -> SettingsError:
    """Return the refusal of a condition that MindsDB ignores in ON."""
    columns, shown = _identifiers(condition), one_line(condition.to_string(), 100)
    if isinstance(condition, Identifier):
        advice = f"Write ON {model}.text = {shown}, with the model's input in place of text"
    elif any(len(one.parts) == 1 for one in columns):
        advice = f"Write the model or the table before each column: ON {model}.text = t.review"
    elif len(columns) > 1 and any(_is_of(one, model) for one in columns):
        advice = (
            f"Write ON {model}.text = t.review, joined by AND; put an expression into a sub-select: "
            f"FROM (SELECT UPPER(review) AS text FROM …) AS t JOIN {model} ON {model}.text = t.text"
        )
    else:
        advice = "Write it in WHERE"
    return SettingsError(f"MindsDB ignores {shown} in ON of a model, and would send all rows", advice=advice)


def _identifiers(node: Any) -> list[Identifier]:
    """Return the columns in a condition."""
    found: list[Identifier] = []

    def note_column(node: Any, **_: Any) -> None:
        if isinstance(node, Identifier):
            found.append(node)

    query_traversal(node, note_column)
    return found


def _conditions(node: Any, model: str) -> Iterator[Any]:
    """Yield the ON of every JOIN with a model in a FROM."""
    if isinstance(node, Join):
        yield from _conditions(node.left, model)
        if node.condition is not None and model in _table_names(node.right):
            yield node.condition


def _equal_columns(condition: Any, model: str) -> list[tuple[str, str]]:
    """Return the comparisons of a column of the model with another one: (its name, the other one as written)."""
    found: list[tuple[str, str]] = []

    def note_comparison(node: Any, **_: Any) -> None:
        if isinstance(node, BinaryOperation) and all(isinstance(one, Identifier) for one in node.args):
            for one, other in (node.args, reversed(node.args)):
                if _is_of(one, model):
                    found.append((str(one.parts[-1]), ".".join(map(str, other.parts))))
                    break

    query_traversal(condition, note_comparison)
    return found


def _is_of(column: Identifier, model: str) -> bool:
    return len(column.parts) > 1 and str(column.parts[-2]).lower() == model


def _statements(query: Any) -> list[Any]:
    """Return a query of MindsDB, and those around it: a view is a query of its own, run within another."""
    found, at = [query], sys._getframe()
    while (at := at.f_back) is not None:  # type: ignore[assignment]
        around = at.f_locals.get("self")
        if isinstance(around, type(query)) and around not in found:
            found.append(around)
    return found


def _fault_in_using(query: Any, model: str) -> SettingsError | None:
    """Return the refusal of a USING that would not reach the model, such as a limit; ``None``: there is none."""
    models = {str(one["name"]).lower() for one in query.context.get("predictor_metadata") or ()}
    for select in _selects(query.query):
        name = next((one for one in select.using or {} if one not in HOST_QUERY), None)
        if name is not None and not models & _parts_of_tables(select.from_table):
            return SettingsError(
                f"MindsDB ignores USING {name} in a SELECT without a model, and would send all rows",
                advice=f"Write USING in the SELECT with {model}, inside the sub-select or the view: "
                f"FROM (SELECT … JOIN {model} USING {name} = …) AS t",
            )
    branches = _branches(query.query)
    name = next((one for select in branches for one in select.using or {}), None)
    if name is not None and any(not one.using and models & _parts_of_tables(one.from_table) for one in branches):
        return SettingsError(
            f"USING {name} holds for one SELECT of the UNION only, and all rows of the others would be sent",
            advice=f"Write USING in each: (SELECT … USING {name} = …) UNION ALL (SELECT … USING {name} = …)",
        )
    return None


def _branches(query: Any) -> list[Select]:
    """Return the SELECTs of a UNION; none if a query is none."""
    if not isinstance(query, Union):
        return []
    return [
        select for one in (query.left, query.right) for select in ([one] if isinstance(one, Select) else _branches(one))
    ]


def _parts_of_tables(node: Any) -> set[str]:
    """Return all parts of the names of the tables in FROM, in lower case."""
    if isinstance(node, Join):
        return _parts_of_tables(node.left) | _parts_of_tables(node.right)
    return {str(part).lower() for part in node.parts} if isinstance(node, Identifier) else set()


def _for_no_table(selects: list[Select]) -> dict[str, Any]:
    """Return the arguments of USING, in a query and its sub-selects, whose prefix names no table of their SELECT."""
    found: dict[str, Any] = {}
    for select in (one for one in selects if one.using):
        names = _table_names(select.from_table)
        found.update({name: value for name, value in select.using.items() if name.split(".")[0] not in names})
    return {name: value for name, value in found.items() if "." in name}


def _table_names(node: Any) -> set[str]:
    """Return how MindsDB's planner names the tables of FROM in USING: by their aliases, in lower case."""
    if isinstance(node, Join):
        return _table_names(node.left) | _table_names(node.right)
    named = None if node is None else node.alias or node
    return {_label(named)} if isinstance(named, Identifier) else set()


def _label(table: Identifier) -> str:
    """Return how columns name their table: by its alias, in lower case."""
    return str((table.alias or table).parts[-1]).lower()


def _target(metadata: Any, step: Any) -> str | None:
    """Return the PREDICT column of the step's model, in lower case."""
    for one in metadata:
        if one["name"] == step.predictor.parts[0] and one["integration_name"].lower() == step.namespace:
            predicted = one.get("to_predict")
            first = predicted[0] if isinstance(predicted, list) and predicted else predicted
            return str(first).lower() if first else None
    return None


def _may_be_filled(name: Any, target: str | None) -> bool:
    """Return whether a column's name is one that a model with this target could fill."""
    return target is not None and (str(name).lower() == target or str(name).lower().startswith(f"{target}_"))
