"""What a JOIN with a model of this engine needs to know of its WHERE and ON.

MindsDB hands a model one frame: the table's columns, renamed as ON says, and a column for each ``=`` in WHERE. From the
frame alone nobody can tell a condition from a column of the table, nor which of two columns with one name ON meant.

An argument of USING for another table (``m.dry_run``) is left out, also where there is no such table: a misspelt prefix
would make a dry run a real query.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mindsdb.integrations.utilities.query_traversal import query_traversal
from mindsdb_sql_parser.ast import Identifier, Join, Select

from ..arguments.specs import HOST_CONDITIONS
from .patching import patch

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

    @patch(steps.ApplyPredictorStepCall, "call")
    def call(original: Any, self: Any, step: Any) -> Any:
        data = self.steps_data[step.dataframe.step_num]
        conditions = list(step.row_dict or {})
        hidden = _hidden_by_on(data.columns, step.columns_map)
        target = _target(self.context["predictor_metadata"], step)
        nobodys = _for_no_table(self.sql_query.query)
        # Any condition could be on a field of output_schema, which only the model knows.
        matters = bool(hidden or conditions or nobodys) or any(_may_be_filled(one.name, target) for one in data.columns)
        if matters and is_ours(self.session, step.namespace, step.predictor.parts[0]):
            step.params = {**(step.params or {}), **nobodys, HOST_CONDITIONS: conditions}
            step.columns_map = {**(step.columns_map or {}), **hidden}
        return original(self, step)


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


def _for_no_table(query: Any) -> dict[str, Any]:
    """Return the arguments of USING, in a query and its sub-selects, whose prefix names no table of their SELECT."""
    selects: list[Select] = []

    def note_select(node: Any, **_: Any) -> None:
        if isinstance(node, Select) and any("." in name for name in node.using or {}):
            selects.append(node)

    query_traversal(query, note_select)
    found: dict[str, Any] = {}
    for select in selects:
        names = _table_names(select.from_table)
        found.update({name: value for name, value in select.using.items() if name.split(".")[0] not in names})
    return {name: value for name, value in found.items() if "." in name}


def _table_names(node: Any) -> set[str]:
    """Return how MindsDB's planner names the tables of FROM in USING: by their aliases, in lower case."""
    if isinstance(node, Join):
        return _table_names(node.left) | _table_names(node.right)
    named = None if node is None else node.alias or node
    return {str(named.parts[-1]).lower()} if isinstance(named, Identifier) else set()


def _target(metadata: Any, step: Any) -> str | None:
    """Return the PREDICT column of the step's model, in lower case."""
    for one in metadata:
        if one["name"] == step.predictor.parts[0] and one["integration_name"].lower() == step.namespace:
            predicted = one.get("to_predict")
            first = predicted[0] if isinstance(predicted, list) and predicted else predicted
            return str(first).lower() if first else None
    return None


def _may_be_filled(name: Any, target: str | None) -> bool:
    """Whether a column's name is one that a model with this target could fill."""
    return target is not None and (str(name).lower() == target or str(name).lower().startswith(f"{target}_"))
