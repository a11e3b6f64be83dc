"""One query: from the frame of inputs to the frame of predictions.

Rows without input are set aside, equal rows become one input, stored answers are looked up, and the other inputs are
sent. Each answer is stored as it arrives and assigned to every row with its input.
"""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from ..arguments import EngineSettings, ModelSettings
from ..cache import Cache, NoCache
from ..errors import HuggingFaceError, NotAttempted, Stopped
from ..hub.prices import TIMEOUT
from ..media import loading
from ..net.transport import Transport
from ..protocols.client import InferenceAPI
from ..protocols.detect import Endpoint
from ..protocols.providers.provider_api import client_class
from ..scheduling.batches import Item
from ..scheduling.results import Limits, RowResult, Summary
from ..scheduling.retry import RetryPolicy
from ..scheduling.worker_pool import WorkerPool
from ..tasks import TASKS
from ..tasks.output_schema import OutputSchema
from ..tasks.task import Batching, Task
from ..tasks.vectors import VectorLength
from .advice import Adviser
from .budget import cost_budget
from .claims import SendOnce, WaitingRun, waiting_run
from .conditions import refuse_conditions_on_outputs
from .cost import Learned, PriceList, expected_costs, note_answers, price_list, token_of, transport_of
from .execution import RequestExecutor, ResultCollector, UsageCounters, unpack
from .inputs import NO_INPUT, REFUSED, Caller, DistinctInputs, collect_inputs, column_names, key_maker, read_columns
from .metrics import query_metrics
from .packing import Audit, Packing
from .runtime import Runtime
from .stopping import Statement, StopSignal
from .typed_columns import check_names, dtype_of, is_readable
from .usage import dollars

log = logging.getLogger(__name__)


@dataclass
class Prediction:
    """One query; made for one frame.

    Args:
        model: settings of this query.
        engine: the engine's settings.
        caller: the tenant, engine and model that the query belongs to.
        runtime: connections and what the process has learned of services.
        store: the cache, with counters and runs.
        retry: waits between retries; by default those of ``RetryPolicy``.
        statement: what the host knows about the statement that the query belongs to.
        conditions: names that WHERE compares with ``=``; ``None``: not known.
    """

    model: ModelSettings
    engine: EngineSettings
    caller: Caller
    runtime: Runtime
    store: Cache
    retry: RetryPolicy | None = None
    statement: Statement = field(default_factory=Statement)
    conditions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        self._lengths = VectorLength(TASKS[self.model.task])

    def run(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the prediction columns for ``frame``: same index, same order of rows.

        Raises:
            HuggingFaceError: with ``on_error = 'raise'``, the first error that retries cannot fix.
        """
        task = TASKS[self.model.task]
        StopSignal(self.store, self.statement).refuse_partition()
        if self._schema is not None:
            is_new = self.model.sources.get("output_schema") != "model"
            check_names(self._schema, read_columns(task, self.model), self.caller.target, is_new=is_new)
        refuse_conditions_on_outputs(frame, task, self.model, self.caller, self.conditions)
        each = not self.model.execution.use_cache and task.samples(self.model.arguments())
        if len(frame):
            inputs = collect_inputs(frame, task, self.model, key_maker(self.model, self.engine, self.caller), each=each)
        else:  # MindsDB drops the columns of an empty frame
            inputs = DistinctInputs.of_no_rows()
        if self.model.execution.dry_run:
            return self._plan(frame, inputs)
        results = self._results(task, inputs)
        if self.model.execution.on_error == "raise" or self._is_stopped_partition(results):
            self._raise_first(inputs, results)
        return self._frame_of(frame, task, inputs, results)

    @property
    def _schema(self) -> OutputSchema | None:
        return self.model.output_schema

    @property
    def _fields(self) -> tuple[str, ...]:
        """The names of the columns of ``output_schema``."""
        return self._schema.names if self._schema else ()

    # Cache and requests

    def _cached(self, items: Sequence[Item]) -> dict[str, bytes]:
        if not self.model.execution.use_cache or not items:
            return {}
        return self.store.get_many([item.key for item in items])

    def _results(self, task: Task, inputs: DistinctInputs) -> list[RowResult | None]:
        results: list[RowResult | None] = [None] * len(inputs.items)
        missing = self._take_cached(inputs.items, results)
        usage = UsageCounters(self.store, self.caller.scope, query_metrics(self.runtime, self.caller, self.model))
        usage.add(
            {
                "rows": len(inputs.row_to_item),
                "cached": len(inputs.items) - len(missing),
                "duplicates": sum(1 for position in inputs.row_to_item if position >= 0) - len(inputs.items),
                "nulls": sum(1 for position in inputs.row_to_item if position == NO_INPUT),
            }
        )
        if inputs.refused and self.model.execution.on_error == "raise":
            return results  # the query ends with that row's error: pay for nothing more
        sent = self._send_once(task, missing, results, usage) if missing else []
        log.info(
            "%s: %s rows, %s sent, %s",
            self.caller.name,
            f"{len(inputs.row_to_item):,}",
            f"{sum(one.done for one in sent):,}",
            dollars(None if any(one.cost is None for one in sent) else sum(one.cost or 0.0 for one in sent)),
        )
        return results

    def _take_cached(self, items: Sequence[Item], results: list[RowResult | None]) -> list[Item]:
        """Put the stored answers of ``items`` into ``results``, and return the items without one."""
        cached, schema = self._cached(items), self._schema
        missing: list[Item] = []
        for item in items:
            found = unpack(cached[item.key]) if item.key in cached else None
            if found is None or not is_readable(schema, found[0]) or self._lengths.fault(found[1]):
                missing.append(item)
            else:
                value, explain, meta = found
                results[item.index] = RowResult(
                    value, explain, source="cache", item=item, request_id=meta["request_id"], provider=meta["provider"]
                )
        return missing

    def _send_once(
        self, task: Task, missing: list[Item], results: list[RowResult | None], usage: UsageCounters
    ) -> list[ResultCollector]:
        """Send what is missing, except what another query is sending: its answers are found in the cache."""
        execution, began = self.model.execution, time.monotonic()
        sent: list[ResultCollector] = []

        def lookup(items: Sequence[Item]) -> list[Item]:
            rest = self._take_cached(items, results)
            usage.add({"cached": len(items) - len(rest)})
            return rest

        def send(items: Sequence[Item]) -> BaseException | None:
            sent.append(self._send(task, items, results, usage, began))
            return sent[-1].stopped

        def waiting(items: Sequence[Item]) -> WaitingRun:
            collector = ResultCollector(self.caller, task, execution, self.store, len(items), results)
            return waiting_run(collector, StopSignal(self.store, self.statement, collector.run))

        if self._stores:
            patience = math.inf if execution.deadline is None else execution.deadline / 2
            once = SendOnce(self.store, self.caller.scope, lookup, send, waiting)
            limits = (execution.max_requests, execution.max_cost)  # each part would have all of them
            stopped = once.run(missing, patience=patience, in_parts=limits == (None, None))
        else:
            stopped = send(missing)
        if isinstance(stopped, Stopped):
            _end_with(stopped, missing, results)
        return sent

    def _prices(self) -> PriceList:
        patience = min(TIMEOUT, self.model.execution.deadline or TIMEOUT)
        return price_list(self.model, self.engine, self.caller, self.runtime, self.store, timeout=patience)

    def _send(
        self,
        task: Task,
        missing: Sequence[Item],
        results: list[RowResult | None],
        usage: UsageCounters,
        began: float,
    ) -> ResultCollector:
        execution = self.model.execution
        run = uuid.uuid4().hex
        transport, clients, endpoints = self._endpoints(task, run)
        services = [(client.service, self.caller.engine) for client in clients]
        packing = Packing.of(self.model)
        audit, total = Audit(packing, missing) if packing is not None and packing.audit else None, len(missing)
        if packing is not None:
            missing = packing.items(missing, audit)
        arguments, roots, columns = self.model.arguments(), self.model.media_roots, column_names(task, self.model)
        several, prices = len(endpoints) > 1, self._prices()
        for endpoint, provider in zip(endpoints, self.model.providers, strict=True):
            if self._schema is not None and prices.takes_schema(provider) is False:
                endpoint.expect_no_schema()
        shared: dict[str, Any] = {"prices": prices, "names_provider": several, "misfits": {}, "audit": audit}
        shared["lengths"] = self._lengths
        executors = [
            RequestExecutor(task, arguments, transport, roots, endpoint, columns, **shared) for endpoint in endpoints
        ]
        rate = self.caller.rate(clients[0].service)
        costs = cost_budget(self.model, self.engine, self.caller, prices.highest, self.store, self.statement)
        collector = ResultCollector(
            self.caller, task, execution, self.store, total, results, usage=usage, run=run, audit=audit
        )
        limits = Limits(
            max_batch_size=min(endpoint.batch_size(execution.max_batch_size) for endpoint in endpoints),
            max_concurrency=execution.max_concurrency,
            requests_per_minute=execution.requests_per_minute,
            deadline=execution.deadline,
            max_requests=execution.max_requests,
            max_retries=execution.max_retries,
            timeout=execution.timeout,
        )
        if packing is not None:
            limits = packing.limits(limits, prices.context_length)
        collector.begin()

        def finished(summary: Summary) -> None:
            collector.report(summary, final=True)
            if audit is not None:
                usage.add(audit.report(self.caller.name))
            collector.end("stopped" if summary.stopped or collector.done < collector.total else "done")

        reserve = partial(self.store.reserve_requests, rate)
        states = [self.runtime.service_state((*service, self.caller.tenant)) for service in services]
        hold = partial(self.store.hold_budget, run)
        pool = WorkerPool(limits, states=states, retry=self.retry, reserve=reserve, hold=hold)
        sends = [usage.timed(executor) for executor in executors]
        signal = StopSignal(self.store, self.statement, collector.run)
        stop = execution.on_error == "raise"
        try:
            with signal.watched(pool.stop):
                summary = pool.run(
                    missing,
                    sends,
                    collector.deliver,
                    stop_on_error=stop,
                    began=began,
                    report=collector.report,
                    finished=finished,
                    costs=costs,
                )
        except BaseException:
            collector.end("failed")
            raise
        if isinstance(summary.stopped, Stopped):  # some requests may not have returned: their answers come too late
            _end_with(summary.stopped, missing, results, attempts=1)
        self._advise([results[item.index] for item in missing], token_of(self.model, self.engine))
        note_answers(prices, results, self.caller, self.store)
        collector.stopped = summary.stopped
        return collector

    def _endpoints(self, task: Task, session: str) -> tuple[Transport, list[InferenceAPI], list[Endpoint]]:
        """Return what sends the requests of a query, and where to: one for each provider."""
        transport, token = transport_of(self.model, self.engine, self.runtime), token_of(self.model, self.engine)
        clients = [self._client(transport, token, provider, session) for provider in self.model.providers]
        execution = self.model.execution
        patience = min(execution.timeout, execution.deadline or math.inf)
        findings = [self.runtime.findings((client.service, self.caller.engine)) for client in clients]
        endpoints = [Endpoint(client, task, found, patience) for client, found in zip(clients, findings, strict=True)]
        return transport, clients, endpoints

    def _client(self, transport: Transport, token: str | None, provider: str, session: str) -> InferenceAPI:
        return client_class(self.model.endpoint, provider)(
            transport,
            token=token,
            base_url=self.model.base_url or self.engine.base_url,
            endpoint=self.model.endpoint,
            model=self.model.model,
            bill_to=self.engine.bill_to,
            provider=provider,
            timeout=self.model.execution.timeout,
            session=session,
        )

    def _advise(self, results: Sequence[RowResult | None], token: str | None) -> None:
        """Add to the errors of all rows what to do: which provider serves the model, or how to request access."""
        adviser = Adviser(self.model, self.engine, token)
        for result in results:
            if result is not None and result.error is not None:
                result.error = adviser.advised(result.error)

    @property
    def _stores(self) -> bool:
        execution = self.model.execution
        return execution.use_cache and execution.cache_ttl > 0 and not isinstance(self.store, NoCache)

    # Errors

    def _is_stopped_partition(self, results: Sequence[RowResult | None]) -> bool:
        """Whether this is a partition that was stopped: the host would start the next one if it returned rows."""
        return bool(self.statement.names) and any(
            result is not None and isinstance(result.error, Stopped) for result in results
        )

    def _raise_first(self, inputs: DistinctInputs, results: Sequence[RowResult | None]) -> None:
        errors = dict(inputs.refused)
        for item, result in zip(inputs.items, results, strict=True):
            if result is not None and result.error is not None:
                row = inputs.first_row[item.index]
                errors.setdefault(row, result.error)
        if not errors:
            return
        causes = {row: error for row, error in errors.items() if not isinstance(error, NotAttempted)}
        row, error = min((causes or errors).items())
        answered = sum(1 for result in results if result is not None and result.error is None)
        advice = error.advice or ""
        if not error.fatal:
            past = "To set failed rows to NULL and continue, write USING on_error = 'null'"
            advice = f"{advice}. {past}" if advice else past
        if answered and self._stores:
            again = "run the query again to pay only for the remaining rows"
            stored = f"{answered} of {len(inputs.items)} answers are stored: {again}"
            advice = f"{advice}. {stored}" if advice else stored
        facts = {"task": self.model.task, "model": self.model.model, "row": None if error.fatal else row}
        raise error.advising(advice or None).with_facts(**facts) from error

    # The result

    def _plan(self, frame: pd.DataFrame, inputs: DistinctInputs) -> pd.DataFrame:
        cached = self._cached(inputs.items)
        source = ["cache" if item.key in cached else "request" for item in inputs.items]
        seen: set[int] = set()
        plan: list[str] = []
        empty = "unknown" if not inputs.items and _is_after_a_dry_run(frame) else "null"
        for row, position in enumerate(inputs.row_to_item):
            if position == NO_INPUT:
                plan.append(empty)
            elif position == REFUSED:
                plan.append(inputs.refused[row].code)
            elif position in seen and source[position] == "request":
                plan.append("duplicate")
            else:
                seen.add(position)
                plan.append(source[position])
        columns: dict[str, list[Any]] = {name: [None] * len(plan) for name in self.columns()}
        if self.model.execution.on_error == "null":
            columns[f"{self.caller.target}_retryable"] = [False] * len(plan)
        columns[f"{self.caller.target}_plan"] = plan
        planned = pd.DataFrame(columns, index=frame.index, dtype=object)
        planned[f"{self.caller.target}_cost"] = pd.Series(self._costs(inputs, plan), frame.index, "float64")
        return planned

    def _costs(self, inputs: DistinctInputs, plan: list[str]) -> list[float | None]:
        """Return what each row is expected to cost; ``None``: not known."""
        if "request" not in plan:
            return [None if planned == "unknown" else 0.0 for planned in plan]
        wanted = {position for position, planned in zip(inputs.row_to_item, plan, strict=True) if planned == "request"}
        items = [item for position, item in enumerate(inputs.items) if position in wanted]
        learned = Learned.of(self.store.usage(self.caller.scope))
        costs = expected_costs(self.model, items, self._prices(), learned, self._most_rows())
        return [
            costs[inputs.items[position].index] if planned == "request" else 0.0
            for position, planned in zip(inputs.row_to_item, plan, strict=True)
        ]

    def _most_rows(self) -> int:
        """Return how many rows a request may have, as far as that is known without asking an endpoint."""
        task, most = TASKS[self.model.task], self.model.execution.max_batch_size
        if task.batching is Batching.ONE:
            return 1
        return most if self.model.endpoint else min(one.batch_size(most) for one in self._endpoints(task, "")[2])

    def columns(self) -> list[str]:
        """Return the names of the prediction columns; a dry run has them too, so that the same query can be tried."""
        task, target, execution = TASKS[self.model.task], self.caller.target, self.model.execution
        names = [target, *self._fields]
        if task.explain:
            names.append(f"{target}_explain")
        if execution.on_error == "null":
            names += [f"{target}_error", f"{target}_error_type", f"{target}_retryable"]
        if execution.include_meta:
            names.append(f"{target}_meta")
        return names

    def _frame_of(
        self, frame: pd.DataFrame, task: Task, inputs: DistinctInputs, results: Sequence[RowResult | None]
    ) -> pd.DataFrame:
        execution = self.model.execution
        by_item = [self._finished(item, result) for item, result in zip(inputs.items, results, strict=True)]
        explained = [self._explained(task, result) for result in by_item]
        schema, fields = self._schema, self._fields
        nothing: list[Any] = [None] * len(fields)
        typed = [schema.cells(result.value) if schema and not result.error else nothing for result in by_item]
        target = self.caller.target
        columns: dict[str, list[Any]] = {name: [] for name in self.columns()}
        seen_in_meta: set[int] = set()
        for row, position in enumerate(inputs.row_to_item):
            if position >= 0:
                result = by_item[position]
            else:
                result = RowResult(error=inputs.refused.get(row), source="null")
            columns[target].append(result.value)
            for name, cell in zip(fields, typed[position] if position >= 0 else nothing, strict=True):
                columns[name].append(cell)
            if task.explain:
                columns[f"{target}_explain"].append(explained[position] if position >= 0 else None)
            if execution.on_error == "null":
                columns[f"{target}_error"].append(str(result.error) if result.error else None)
                columns[f"{target}_error_type"].append(result.error.code if result.error else None)
                columns[f"{target}_retryable"].append(bool(result.error and result.error.retryable))
            if execution.include_meta:
                source = "duplicate" if position in seen_in_meta and result.source == "request" else result.source
                if position >= 0:
                    seen_in_meta.add(position)
                columns[f"{target}_meta"].append(self._meta(result, source))
        dtypes = {name: _dtype(values) for name, values in columns.items()}
        if schema:
            dtypes.update({name: dtype_of(schema, position, columns[name]) for position, name in enumerate(fields)})
        return pd.DataFrame(
            {name: pd.Series(values, index=frame.index, dtype=dtypes[name]) for name, values in columns.items()},
            index=frame.index,
        )

    def _finished(self, item: Item, result: RowResult | None) -> RowResult:
        """Return an item's result as its rows show it; generated media are written to files here."""
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

    def _explained(self, task: Task, result: RowResult) -> str | None:
        if not task.explain or result.error is not None:
            return None
        return json.dumps(result.explain or {}, ensure_ascii=False, allow_nan=False)

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


def _end_with(
    error: HuggingFaceError, items: Sequence[Item], results: list[RowResult | None], attempts: int = 0
) -> None:
    """Give those of ``items`` that have no result ``error``."""
    for item in items:
        if results[item.index] is None:
            results[item.index] = RowResult(error=error, attempts=attempts, item=item)


def _dtype(values: Sequence[Any]) -> Any:
    """Numbers with NULLs stay a numeric column; everything else becomes objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {float, int} and bool not in kinds:
        return "float64" if float in kinds or None in values else "int64"
    if kinds == {bool} and None not in values:
        return "bool"
    return object


def _is_after_a_dry_run(frame: pd.DataFrame) -> bool:
    """Return whether a frame has the columns of another model's dry run, whose answers this model may read."""
    names = {str(name) for name in frame.columns}
    plans = [name for name in names if name.endswith("_plan") and f"{name.removesuffix('_plan')}_cost" in names]
    return any(frame[name].isin(["request", "cache", "duplicate", "unknown"]).to_numpy().any() for name in plans)
