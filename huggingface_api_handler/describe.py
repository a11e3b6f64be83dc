"""``DESCRIBE model`` and its tables: what the model is, what it does, what it has cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from .errors import SettingsError
from .execution.store import Store
from .execution.terms import quantile
from .prediction import Caller
from .settings import EngineSettings, ModelSettings
from .tasks import TASKS
from .tasks.parameters import parameter_fields
from .tasks.task import Input, Task
from .usage import COUNTERS, ERROR, LATENCY


@dataclass(frozen=True)
class Description:
    """What there is to tell of: the model, its engine, who asks, and what was counted."""

    model: ModelSettings
    engine: EngineSettings
    caller: Caller
    store: Store

    @property
    def entry(self) -> Task:
        return TASKS[self.model.task]


def describe(about: Description, attribute: Any) -> pd.DataFrame:
    """Return the table that ``attribute`` names; the list of tables where it names none.

    Raises:
        SettingsError: there is no such table.
    """
    if attribute is None:
        return pd.DataFrame({"tables": [list(TABLES)]})
    name = ".".join(map(str, attribute)) if isinstance(attribute, (list, tuple)) else str(attribute)
    if name.lower() not in TABLES:
        raise SettingsError(
            f"DESCRIBE knows no table '{name}'",
            advice="Write one of " + ", ".join(f"DESCRIBE {about.caller.name}.{table}" for table in TABLES),
        )
    return TABLES[name.lower()](about)


def _table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


# --- what it is ------------------------------------------------------------------------------


def task_table(about: Description) -> pd.DataFrame:
    """Inputs, outputs, arguments and parameters of the model's task."""
    task, target = about.entry, about.caller.target
    rows: list[tuple[Any, ...]] = [("task", task.name, "", f"model {about.model.model or 'of the endpoint'}", None)]
    rows += [("input", one.argument, one.kind.value, _input_meaning(one), None) for one in task.inputs]
    rows.append(("output", target, "", task.answer, None))
    if task.explain:
        rows.append(("output", f"{target}_explain", "JSON", task.explain, None))
    for argument in task.arguments:
        meaning = argument.meaning + (f"; one of {', '.join(argument.choices)}" if argument.choices else "")
        rows.append(("argument", argument.name, argument.type, meaning, "required" if argument.required else None))
    for parameter in parameter_fields(task):
        rows.append(("parameter", parameter.name, parameter.type, parameter.meaning, _shown(parameter.default)))
    return _table(("kind", "name", "type", "meaning", "default"), rows)


def _input_meaning(one: Input) -> str:
    more = [one.meaning]
    if one.aliases:
        more.append("also written " + ", ".join(one.aliases))
    if one.template:
        more.append("or prompt_template = 'text with {{columns}}'")
    if one.constant:
        more.append(f"or {one.constant} = 'the same for every row'")
    return "; ".join(more)


def _shown(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def args_table(about: Description) -> pd.DataFrame:
    """Effective settings, where each comes from; secrets are only said to be there."""
    model = about.model
    sources = model.sources
    rows: list[tuple[Any, ...]] = [
        ("task", model.task, sources.get("task", "default")),
        ("model_name", model.model, sources.get("model_name", "default")),
        ("provider", model.provider, sources.get("provider", "default")),
        ("base_url", model.base_url or about.engine.base_url, "model" if model.base_url else "engine"),
        ("endpoint", model.endpoint, sources.get("endpoint", "default")),
    ]
    for argument, column in model.columns.items():
        shown = column if isinstance(column, str) else json.dumps(list(column), ensure_ascii=False)
        rows.append((argument, shown, sources.get(argument, "default")))
    for name in ("prompt_template", "output_dir"):
        if getattr(model, name) is not None:
            rows.append((name, getattr(model, name), sources.get(name, "default")))
    for group in (model.values, model.parameters, model.options):
        rows += [(name, _shown(value), sources.get(name, "model")) for name, value in group.items()]
    rows += [(name, _shown(value), sources.get(name, "default")) for name, value in asdict(model.execution).items()]
    if model.token is not None:
        rows.append(("api_key", "******", "model"))
    elif about.engine.token is not None:
        rows.append(("api_key", "******", about.engine.token_source))
    else:
        rows.append(("api_key", None, "none: calls are anonymous"))
    return _table(("argument", "value", "source"), rows)


# --- what it has done ------------------------------------------------------------------------


def usage_table(about: Description) -> pd.DataFrame:
    """Requests, rows, errors and time, counted since the model was created."""
    counted = about.store.usage(about.caller.scope)
    rows: list[tuple[Any, ...]] = [(name, _number(counted.get(name, 0))) for name in COUNTERS]
    errors = {name[len(ERROR) :]: n for name, n in sorted(counted.items()) if name.startswith(ERROR)}
    rows += [(f"errors {code}", _number(n)) for code, n in errors.items()]
    latencies = {int(name[len(LATENCY) :]): int(n) for name, n in counted.items() if name.startswith(LATENCY)}
    rows += [(f"p{share} latency_ms", quantile(latencies, share / 100)) for share in (50, 95)]
    return _table(("measure", "value"), [(name, value) for name, value in rows])


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 3)


def runs_table(about: Description) -> pd.DataFrame:
    """Running and recent predictions, newest first: how far, how fast, how long still."""
    now = time.time()
    rows: list[tuple[Any, ...]] = []
    for run in about.store.runs(about.caller.scope):
        # Notes of how far a run is come about once a second: its pace is that up to the last one.
        rate = run.done / max(run.updated - run.started, 1e-3)
        seconds = (now if run.state == "running" else run.updated) - run.started
        left = None
        if run.state == "running" and rate:
            left = max((run.rows - run.done) / rate - (now - run.updated), 0.0)
        rows.append(
            (
                time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(run.started)),
                run.state,
                run.rows,
                run.done,
                run.errors,
                round(seconds, 1),
                round(rate, 2),
                None if left is None else round(left, 1),
            )
        )
    columns = ("started_utc", "state", "inputs", "done", "errors", "seconds", "inputs_per_second", "eta_seconds")
    # Over MySQL a column comes as numbers only where it has a type of numbers.
    kinds = {**dict.fromkeys(columns[2:5], "int64"), **dict.fromkeys(columns[5:7], "float64")}
    return _table(columns, rows).astype(kinds)


def example_table(about: Description) -> pd.DataFrame:
    """Statements for this very model, ready to paste."""
    name, target, task = about.caller.name, about.caller.target, about.entry
    values = dict(zip((one.argument for one in task.inputs if one.required), task.example.rows[0], strict=False))
    given = {
        column: values.get(argument) for argument, column in about.model.columns.items() if isinstance(column, str)
    }
    where = " AND ".join(f"{column} = {_literal(value)}" for column, value in given.items())
    joined = " AND ".join(f"m.{column} = t.{column}" for column in given)
    on = f" ON {joined}" if joined else ""
    source = f"FROM my_database.my_table AS t JOIN {name} AS m{on}"
    statements = [
        f"SELECT {target} FROM {name}" + (f" WHERE {where};" if where else ";"),
        f"SELECT t.*, m.{target} {source};",
        f"SELECT m.{target}_plan, count(*) AS n {source} GROUP BY m.{target}_plan USING dry_run = true;",
    ]
    return _table(("sql",), [(statement,) for statement in statements])


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "'…'"


TABLES: Mapping[str, Callable[[Description], pd.DataFrame]] = {
    "task": task_table,
    "args": args_table,
    "usage": usage_table,
    "runs": runs_table,
    "example": example_table,
}
