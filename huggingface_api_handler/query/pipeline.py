"""One query: from the frame of inputs to the frame of predictions.

Rows without input are set aside, equal rows become one input, stored answers are looked up, and the other inputs are
sent. Each answer is stored as it arrives and assigned to every row with its input.
"""

from __future__ import annotations

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
from ..net.transport import Transport
from ..protocols.client import InferenceAPI
from ..protocols.detect import Endpoint
from ..protocols.providers.provider_api import client_class
from ..scheduling.batches import Item
from ..scheduling.results import Limits, RowResult, Summary
from ..scheduling.retry import RetryPolicy
from ..scheduling.worker_pool import WorkerPool
from ..tasks import TASKS
from ..tasks.task import Batching, Task
from ..tasks.vectors import VectorLength
from .advice import Adviser
from .budget import cost_budget
from .caller import Caller, key_maker
from .claims import SendOnce, WaitingRun, waiting_run
from .conditions import refuse_conditions_on_outputs
from .cost import Learned, PriceList, expected_costs, note_answers, price_list, token_of, transport_of
from .execution import RequestExecutor, ResultCollector, UsageCounters, unpack
from .frame import PredictionFrame, is_after_a_dry_run, planned
from .inputs import NO_INPUT, DistinctInputs, collect_inputs, column_names, read_columns
from .metrics import query_metrics
from .packing import Audit, Packing
from .runtime import Runtime
from .stopping import Statement, StopSignal
from .typed_columns import check_names, is_readable
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
        schema = self.model.output_schema
        if schema is not None:
            is_new = self.model.sources.get("output_schema") != "model"
            check_names(schema, read_columns(task, self.model), self.caller.target, is_new=is_new)
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
        return PredictionFrame(self.model, self.caller).of_results(frame.index, inputs, results)

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
        cached, schema = self._cached(items), self.model.output_schema
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
        """Send what is missing as one run."""
        run, execution, packing = uuid.uuid4().hex, self.model.execution, Packing.of(self.model)
        endpoints, prices = self._endpoints(task, run), self._prices()
        audit = None if packing is None else packing.audit_of(missing)
        total = len(missing)
        if packing is not None:
            missing = packing.items(missing, audit)
        sends = [usage.timed(one) for one in self._executors(task, endpoints, prices, audit)]
        costs = cost_budget(self.model, self.engine, self.caller, prices.highest, self.store, self.statement)
        collector = ResultCollector(
            self.caller, task, execution, self.store, total, results, usage=usage, run=run, audit=audit
        )
        limits = self._limits(endpoints)
        if packing is not None:
            limits = packing.limits(limits, prices.context_length)

        def finished(summary: Summary) -> None:
            collector.report(summary, final=True)
            if audit is not None:
                usage.add(audit.report(self.caller.name))
            collector.end("stopped" if summary.stopped or collector.done < collector.total else "done")

        pool = self._pool(endpoints, limits, run)
        collector.begin()
        try:
            with StopSignal(self.store, self.statement, run).watched(pool.stop):
                summary = pool.run(
                    missing,
                    sends,
                    collector.deliver,
                    stop_on_error=execution.on_error == "raise",
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
        self._advise([results[item.index] for item in missing])
        note_answers(prices, results, self.caller, self.store)
        collector.stopped = summary.stopped
        return collector

    def _endpoints(self, task: Task, session: str) -> list[Endpoint]:
        """Return where the requests of a query go: one endpoint for each provider."""
        execution = self.model.execution
        timeout = min(execution.timeout, execution.deadline or math.inf)
        clients = [self._client(provider, session) for provider in self.model.providers]
        findings = [self.runtime.findings((client.service, self.caller.engine)) for client in clients]
        return [Endpoint(client, task, found, timeout) for client, found in zip(clients, findings, strict=True)]

    def _client(self, provider: str, session: str) -> InferenceAPI:
        return client_class(self.model.endpoint, provider)(
            self._transport,
            token=token_of(self.model, self.engine),
            base_url=self.model.base_url or self.engine.base_url,
            endpoint=self.model.endpoint,
            model=self.model.model,
            bill_to=self.engine.bill_to,
            provider=provider,
            timeout=self.model.execution.timeout,
            session=session,
        )

    @property
    def _transport(self) -> Transport:
        return transport_of(self.model, self.engine, self.runtime)

    def _executors(
        self, task: Task, endpoints: Sequence[Endpoint], prices: PriceList, audit: Audit | None
    ) -> list[RequestExecutor]:
        for endpoint, provider in zip(endpoints, self.model.providers, strict=True):
            if self.model.output_schema is not None and prices.takes_schema(provider) is False:
                endpoint.expect_no_schema()
        shared: dict[str, Any] = {
            "task": task,
            "arguments": self.model.arguments(),
            "transport": self._transport,
            "roots": self.model.media_roots,
            "columns": column_names(task, self.model),
            "prices": prices,
            "names_provider": len(endpoints) > 1,
            "misfits": {},
            "audit": audit,
            "lengths": self._lengths,
        }
        return [RequestExecutor(endpoint=endpoint, **shared) for endpoint in endpoints]

    def _limits(self, endpoints: Sequence[Endpoint]) -> Limits:
        execution = self.model.execution
        return Limits(
            max_batch_size=min(endpoint.batch_size(execution.max_batch_size) for endpoint in endpoints),
            max_concurrency=execution.max_concurrency,
            requests_per_minute=execution.requests_per_minute,
            deadline=execution.deadline,
            max_requests=execution.max_requests,
            max_retries=execution.max_retries,
            timeout=execution.timeout,
        )

    def _pool(self, endpoints: Sequence[Endpoint], limits: Limits, run: str) -> WorkerPool:
        services = [(endpoint.service, self.caller.engine, self.caller.tenant) for endpoint in endpoints]
        return WorkerPool(
            limits,
            states=[self.runtime.service_state(service) for service in services],
            retry=self.retry,
            reserve=partial(self.store.reserve_requests, self.caller.rate(endpoints[0].service)),
            hold=partial(self.store.hold_budget, run),
        )

    def _advise(self, results: Sequence[RowResult | None]) -> None:
        """Add to the errors of all rows what to do: which provider serves the model, or how to request access."""
        adviser = Adviser(self.model, self.engine, token_of(self.model, self.engine))
        for result in results:
            if result is not None and result.error is not None:
                result.error = adviser.advised(result.error)

    @property
    def _stores(self) -> bool:
        execution = self.model.execution
        return execution.use_cache and execution.cache_ttl > 0 and not isinstance(self.store, NoCache)

    # Errors

    def _is_stopped_partition(self, results: Sequence[RowResult | None]) -> bool:
        """Return whether this is a stopped partition: if it returned rows, the host would start the next one."""
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

    # Dry run

    def _plan(self, frame: pd.DataFrame, inputs: DistinctInputs) -> pd.DataFrame:
        empty = "unknown" if not inputs.items and is_after_a_dry_run(frame) else "null"
        plan = planned(inputs, self._cached(inputs.items), empty=empty)
        return PredictionFrame(self.model, self.caller).of_plan(frame.index, plan, self._costs(inputs, plan))

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
        return most if self.model.endpoint else min(one.batch_size(most) for one in self._endpoints(task, ""))


def _end_with(
    error: HuggingFaceError, items: Sequence[Item], results: list[RowResult | None], attempts: int = 0
) -> None:
    """Give those of ``items`` that have no result ``error``."""
    for item in items:
        if results[item.index] is None:
            results[item.index] = RowResult(error=error, attempts=attempts, item=item)
