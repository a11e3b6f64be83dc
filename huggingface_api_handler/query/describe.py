"""``DESCRIBE model`` and its tables: what the model is, what it does, what it has cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

import pandas as pd

from ..arguments import EngineSettings, ModelSettings
from ..arguments.coercion import as_sql
from ..arguments.specs import OUTPUT_DIR, PROMPT_TEMPLATE, SYSTEM_PROMPT, ArgumentSpec
from ..arguments.task_specs import parameter_specs
from ..arguments.template import parse_template
from ..cache import Cache, Run
from ..errors import HuggingFaceError, SettingsError
from ..hub import facts
from ..scheduling.results import quantile
from ..tasks import TASKS, samples
from ..tasks.task import Input, Kind, Task
from .caller import Caller
from .cost import given_price, own_price, price_list, token_of
from .run_view import view_of
from .runtime import Runtime
from .sql import quoted, sql_name
from .usage import COUNTERS, ERROR, LATENCY, known_cost


@dataclass(frozen=True)
class Description:
    """What the tables are made from: the model, its engine, the caller, the counters and the router's prices."""

    model: ModelSettings
    engine: EngineSettings
    caller: Caller
    store: Cache
    runtime: Runtime = field(default_factory=Runtime)

    @property
    def entry(self) -> Task:
        return TASKS[self.model.task]


def describe(about: Description, attribute: Any) -> pd.DataFrame:
    """Return the table that ``attribute`` names; the list of tables if it names none.

    Raises:
        SettingsError: there is no such table.
    """
    if attribute is None:
        model = sql_name(about.caller)
        rows = [(name, str(made.__doc__).rstrip("."), f"DESCRIBE {model}.{name};") for name, made in TABLES.items()]
        return _table(("table", "shows", "sql"), list(rows))
    name = ".".join(map(str, attribute)) if isinstance(attribute, (list, tuple)) else str(attribute)
    if name.lower() not in TABLES:
        raise SettingsError(
            f"DESCRIBE has no table '{name}'",
            advice="Write one of " + ", ".join(f"DESCRIBE {sql_name(about.caller)}.{table}" for table in TABLES),
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
    schema = about.model.output_schema
    rows.append(("output", target, "JSON" if schema else "", task.answer, None))
    rows += [("output", one.name, one.type, one.meaning, None) for one in (schema.fields if schema else ())]
    if task.explain:
        rows.append(("output", f"{target}_explain", "JSON", task.explain, None))
    for shared in _shared_arguments(task):
        rows.append(("argument", shared.name, shared.type, shared.meaning, None))
    for argument in task.arguments:
        meaning = argument.meaning + _choices(argument.choices)
        rows.append(("argument", argument.name, argument.type, meaning, "required" if argument.required else None))
    for parameter in parameter_specs(task):
        meaning = parameter.meaning + _choices(parameter.choices)
        rows.append(("parameter", parameter.name, parameter.type, meaning, _shown(parameter.default)))
    return _table(("kind", "name", "type", "meaning", "default"), rows)


def _shared_arguments(task: Task) -> list[ArgumentSpec]:
    """Return the arguments that the task shares with others of its kind."""
    takes = (
        (PROMPT_TEMPLATE, any(one.template for one in task.inputs)),
        (SYSTEM_PROMPT, task.chat),
        (OUTPUT_DIR, task.makes is not None),
    )
    return [spec for spec, taken in takes if taken]


def _choices(choices: tuple[str, ...]) -> str:
    return f"; one of {', '.join(choices)}" if choices else ""


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
    """Effective settings and the source of each; of secrets, only that they exist."""
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
    price = given_price(model, about.engine)
    if price is not None and own_price(model, about.engine) is not None:
        rows.append(("price", _shown(price[0]), price[1]))
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
    """Requests, rows, errors, time and cost in USD, since the model was created or retrained."""
    counted = about.store.usage(about.caller.scope)
    rows: list[tuple[Any, ...]] = [(name, _number(counted.get(name, 0))) for name in COUNTERS]
    errors = {name[len(ERROR) :]: n for name, n in sorted(counted.items()) if name.startswith(ERROR)}
    rows += [(f"errors {code}", _number(n)) for code, n in errors.items()]
    latencies = {int(name[len(LATENCY) :]): int(n) for name, n in counted.items() if name.startswith(LATENCY)}
    rows += [("cost", _rounded(known_cost(counted), 9)), ("unpriced", _number(counted.get("unpriced", 0)))]
    rows += [(f"p{share} latency_ms", quantile(latencies, share / 100)) for share in (50, 95)]
    return _table(("measure", "value"), rows)


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else round(float(value), 3)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def runs_table(about: Description) -> pd.DataFrame:
    """Running and recent predictions, newest first: progress, time left, cost in USD, audit."""
    now = time.time()
    rows: list[tuple[Any, ...]] = []
    for run in about.store.runs(about.caller.scope):
        view = view_of(run, now)
        rows.append(
            (
                _utc(run.started), run.state, run.rows, run.done, run.errors, round(view.seconds, 1),
                round(view.rate, 2), _rounded(view.left, 1), _rounded(run.cost, 9), run.audited, run.agreed,
            )
        )  # fmt: skip
    columns = (
        "started_utc", "state", "inputs", "done", "errors", "seconds", "inputs_per_second", "eta_seconds", "cost",
        "audited", "agreed",
    )  # fmt: skip
    # Over MySQL a column comes as numbers only if it has a type of numbers.
    kinds = {
        **dict.fromkeys(columns[2:5], "int64"),
        **dict.fromkeys(columns[5:7], "float64"),
        **dict.fromkeys(columns[9:], "int64"),
    }
    return _table(columns, rows).astype(kinds)


def prices_table(about: Description) -> pd.DataFrame:
    """Prices in USD, and what the router says of the providers of a chat model."""
    prices = price_list(about.model, about.engine, about.caller, about.runtime, about.store)
    own, chosen = prices.own, None if prices.own is not None else prices.chosen
    rows: list[tuple[Any, ...]] = []
    if own is not None:
        amounts = (own.input, own.output, own.second, own.request)
        rows.append((about.model.provider, None, *amounts, *[None] * 5, True, f"price of the {own.source}", None))
    age = None if prices.seen is None else round(time.time() - prices.seen)
    for offer in prices.offers:
        rows.append(
            (
                offer.provider, offer.status, offer.input, offer.output, None, None, offer.context_length, offer.tools,
                offer.structured_output, offer.first_token_latency_ms, offer.throughput, offer == chosen, "router", age,
            )
        )  # fmt: skip
    columns = (
        "provider", "status", "input", "output", "second", "request", "context_length", "tools", "structured_output",
        "first_token_latency_ms", "throughput", "chosen", "source", "age_seconds",
    )  # fmt: skip
    return _table(columns, rows)


#: Seconds after which a run that is not on the bill is no longer expected there.
_BILLED_WITHIN = 86400.0


def bill_table(about: Description) -> pd.DataFrame:
    """Cost of each run in USD: as computed here, and as Hugging Face has billed it."""
    runs = about.store.runs(about.caller.scope)
    costs, reason = _bill(about, runs)
    rows: list[tuple[Any, ...]] = []
    for run in runs:
        billed, why = costs.get(run.run), reason
        state = "unavailable" if reason else "pending" if billed is None else "billed"
        if state == "pending" and run.sent_nothing:
            state = "nothing_sent"
        elif state == "pending" and time.time() - run.updated > _BILLED_WITHIN:
            state, why = "unavailable", "Hugging Face has not listed the run within a day"
        rows.append((run.run, _utc(run.started), _rounded(run.cost, 9), _rounded(billed, 9), state, why))
    return _table(("run", "started_utc", "computed", "billed", "state", "reason"), rows)


def _bill(about: Description, runs: Sequence[Run]) -> tuple[Mapping[str, float], str | None]:
    """Return what is billed for the sessions of ``runs``, or why it is not known."""
    token = token_of(about.model, about.engine)
    base_url = about.model.endpoint or about.model.base_url or about.engine.base_url
    if not facts.is_hub(base_url):
        return {}, "the requests do not go to Hugging Face"
    if token is None:
        return {}, "the requests are anonymous"
    if not runs:
        return {}, None
    since = datetime.fromtimestamp(min(run.started for run in runs), timezone.utc)
    try:
        costs = facts.bill(token, since, organization=about.engine.bill_to)
    except HuggingFaceError as error:
        return {}, str(error)
    return (costs, None) if costs is not None else ({}, "the Hugging Face Hub cannot be reached")


def example_table(about: Description) -> pd.DataFrame:
    """Statements for this model, ready to paste; the first runs unchanged."""
    name, target = sql_name(about.caller), about.caller.target
    value, plan, failed = (quoted(f"{target}{suffix}") for suffix in ("", "_plan", "_error"))
    cells = example_cells(about.entry, about.model)
    # A model all of whose inputs are arguments needs a row too.
    where = " AND ".join(f"{quoted(column)} = {as_sql(cell)}" for column, cell in (cells or {"row": 1}).items())
    joined = " AND ".join(f"m.{quoted(column)} = t.{quoted(column)}" for column in cells)
    source = f"FROM my_database.my_table AS t JOIN {name} AS m" + (f" ON {joined}" if joined else "")
    schema = about.model.output_schema
    filled = [quoted(one) for one in schema.names] if schema else [value]
    shown = ", ".join(filled)
    of_model = ", ".join(f"m.{one}" for one in filled)
    statements = [
        ("try it on one row", f"SELECT {shown} FROM {name} WHERE {where};"),
        ("for each row of a table", f"SELECT t.*, {of_model} {source} LIMIT 10;"),
        (
            "what a query would send",
            f"SELECT m.{plan}, count(*) AS n {source} GROUP BY m.{plan} USING dry_run = true;",
        ),
        (
            "go past rows that fail, and see which",
            f"SELECT t.*, {of_model}, m.{failed} {source} WHERE m.{failed} IS NOT NULL USING on_error = 'null';",
        ),
    ]
    return _table(("what for", "sql"), list(statements))


def example_cells(task: Task, model: ModelSettings) -> dict[str, Any]:
    """Return a value for each column that a model reads, such that all of them make sense together.

    Media are tiny ``data:`` URIs.
    """
    needed = [one for one in task.inputs if one.required]
    values = dict(zip((one.argument for one in needed), task.example.rows[0], strict=True))
    cells: dict[str, Any] = {}
    for one in task.inputs:
        column: Any = model.columns.get(one.argument)
        value: Any = values.get(one.argument)
        if one.template and model.prompt_template:
            cells.update(dict.fromkeys(parse_template(model.prompt_template).columns, value))
        elif one.kind is Kind.RECORD:
            cells.update(dict.fromkeys([column] if isinstance(column, str) else column, 1) if column else dict(value))
        elif isinstance(column, str):
            cells[column] = _example_of(one.kind, value or task.example.using.get(str(one.constant), "blue"))
        elif one.kind is Kind.TABLE:  # the query's own rows are the table
            cells.update({name: found[0] for name, found in json.loads(value).items()})
    return cells


def _example_of(kind: Kind, value: Any) -> Any:
    if kind is Kind.IMAGE:
        return samples.png(b"example", 4).data_uri
    if kind is Kind.AUDIO:
        return samples.tone(b"example", 0.01).data_uri
    return samples.avi(b"example", 1, 4).data_uri if kind is Kind.VIDEO else value


TABLES: Mapping[str, Callable[[Description], pd.DataFrame]] = {
    "task": task_table,
    "args": args_table,
    "usage": usage_table,
    "runs": runs_table,
    "prices": prices_table,
    "bill": bill_table,
    "example": example_table,
}
