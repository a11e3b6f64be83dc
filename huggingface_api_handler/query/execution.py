"""Sends requests and collects results; called from the workers of the pool."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..arguments import Execution
from ..arguments.template import Prompt
from ..cache import Cache
from ..cache.base import Throttle
from ..cache.runs import RunState
from ..errors import (
    AccountError,
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    ModelError,
    ServiceError,
    ServiceTimeout,
)
from ..media import loading
from ..net.exception_mapping import may_have_arrived
from ..net.memory_limit import MEMORY
from ..net.transport import Transport
from ..protocols.client import time_left
from ..protocols.detect import Answered, Endpoint
from ..protocols.usage import Usage
from ..scheduling.batches import Item
from ..scheduling.progress import Progress, duration, left
from ..scheduling.results import BatchResult, RowResult, Summary
from ..tasks.media import Media
from ..tasks.task import Answer, Arguments, Kind, Task
from ..tasks.vectors import VectorLength
from . import packing
from .advice import too_long_advice
from .caller import Caller
from .cost import PriceList
from .metrics import QueryMetrics, Send
from .packing import Audit
from .usage import ERROR, amounts, counters, known_cost

log = logging.getLogger(__name__)

#: What may be a number that is infinite as a float, which JSON cannot express.
_HUGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")
_ENCODER = json.JSONEncoder(allow_nan=False)
#: Seconds between two writes of the counts while no answers are stored.
COUNT_EVERY = 1.0
#: Seconds between two lines in the log on a query's progress.
LOG_EVERY = 30.0


def pack(value: Any, explain: Mapping[str, Any] | None, meta: Mapping[str, Any]) -> bytes:
    """Return an answer as it is stored."""
    return _ENCODER.encode([value, explain, meta]).encode()


def unpack(stored: bytes) -> tuple[Any, Mapping[str, Any] | None, Mapping[str, Any]] | None:
    """Return (value, explain, meta), or ``None`` for what is no answer of ours: others may write to the store."""
    try:
        value, explain, meta = json.loads(stored, parse_constant=_refused)
        if _HUGE.search(stored):
            json.dumps([value, explain], allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(value, (str, int, float, bool, type(None))) or not isinstance(explain, (dict, type(None))):
        return None
    texts = {name: meta.get(name) if isinstance(meta, dict) else None for name in ("request_id", "provider")}
    return value, explain, {name: text if isinstance(text, str) else None for name, text in texts.items()}


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@dataclass(eq=False)
class RequestExecutor:
    """Sends one request for some items: loads media, sends, reads the answers.

    Args:
        roots: folders that media may be read from.
        columns: for each input of the task, the column that it is read from, for messages.
        names_provider: whether errors say which provider they come from.
        lengths: of the query's vectors.
        misfits: key of an item → its answer that did not fit, which its next request quotes; shared by the
            executors of a query.
    """

    task: Task
    arguments: Arguments
    transport: Transport
    roots: tuple[str, ...]
    endpoint: Endpoint
    columns: Sequence[str | None]
    prices: PriceList = field(default_factory=PriceList)
    names_provider: bool = False
    misfits: dict[str, tuple[str, str]] = field(default_factory=dict)
    audit: Audit | None = None
    lengths: VectorLength | None = None

    def __post_init__(self) -> None:
        self._media = [one.kind for one in self.task.inputs]
        self._has_media = any(kind.is_media for kind in self._media)

    def __call__(self, items: Sequence[Item], timeout: float) -> BatchResult:
        with MEMORY.request():
            try:
                return self._sent(items, timeout)
            except HuggingFaceError as error:
                _release_frames(error)
                if error.usage is not None:
                    error.cost = self.prices.cost(error.usage, self.endpoint.provider)[0]
                elif isinstance(error, ConnectionFailed) and not may_have_arrived(error):
                    error.cost = 0.0
                if isinstance(error, InvalidAnswer) and error.misfit is not None and len(items) == 1:
                    self._note_misfit(items[0], error)
                if self.names_provider and isinstance(error, (AccountError, ModelError, ServiceError)):
                    error.message = f"{self.endpoint.provider}: {error.message}"
                if not error.is_too_long:
                    raise
                raise error.advising(too_long_advice(self.task, error.advice)) from error

    def _sent(self, items: Sequence[Item], timeout: float) -> BatchResult:
        try:
            answers, found = self._answered(items, timeout)
        except InvalidAnswer as error:
            if error.usage is None or len(items) == 1 or not self.task.chat:
                raise
            # Nothing in it is certainly any row's answer; it is billed all the same.
            return BatchResult(
                [None] * len(items), request_id=error.request_id, requests=error.requests, **self._used(error.usage)
            )
        counted = [answer.tokens for answer in found.answers if answer.tokens is not None]
        return BatchResult(
            [None if answer is None else self._row_result(answer) for answer in answers],
            request_id=found.response.request_id,
            compute_seconds=found.response.compute_seconds,
            tokens=sum(counted) if counted else None,
            requests=found.requests,
            max_batch_size=1 if self.audit is not None and self.audit.failed else None,
            **self._used(found.usage),
        )

    def _row_result(self, answer: Answer) -> RowResult | HuggingFaceError:
        fault = None if self.lengths is None else self.lengths.fault(answer.explain)
        if fault is not None:
            return fault
        value = answer.value if answer.media is None else answer.media.data_uri
        return RowResult(value, answer.explain, tokens=answer.tokens)

    def _used(self, usage: Usage) -> dict[str, Any]:
        """Return the fields of a ``BatchResult`` that say what a request used and cost, and who answered."""
        provider = self.endpoint.provider
        cost, source = self.prices.cost(usage, provider)
        return {
            "seconds": usage.seconds, "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens,
            "cost": cost, "cost_source": source, "provider": usage.provider or provider,
        }  # fmt: skip

    def _answered(self, items: Sequence[Item], timeout: float) -> tuple[Sequence[Answer | None], Answered]:
        if self.task.chat and len(items) > 1:
            return packing.ask(self.endpoint, items, self.arguments, timeout)
        rows = [item.payload for item in items]
        if any(isinstance(value, Prompt) for value in rows[0]):  # all rows of a query are alike in this
            rows = [tuple(value.render() if isinstance(value, Prompt) else value for value in row) for row in rows]
        ends = time.monotonic() + timeout
        if self._has_media:
            try:
                rows = [self._loaded(row, time_left(ends, time.monotonic())) for row in rows]
            except HuggingFaceError as error:
                error.cost = 0.0  # the service has not been sent anything
                raise
        arguments = self.arguments
        if self.misfits and len(items) == 1:
            arguments = replace(arguments, misfit=self.misfits.get(items[0].key))
        found = self.endpoint.ask(rows, arguments, time_left(ends, time.monotonic()))
        if self.task.place is None:
            return found.answers, found
        return [self.task.place(answer, row) for answer, row in zip(found.answers, rows, strict=True)], found

    def _note_misfit(self, item: Item, error: InvalidAnswer) -> None:
        """Remember an answer that does not fit for the item's next request, which quotes it; a second one is final."""
        if self.misfits.pop(item.key, None) is not None:
            error.retryable = False
        elif error.misfit is not None:
            self.misfits[item.key] = error.misfit

    def _loaded(self, row: tuple[Any, ...], timeout: float) -> tuple[Any, ...]:
        loaded = tuple(
            self._medium(value, kind, column, timeout) if kind.is_media and value is not None else value
            for value, kind, column in zip(row, self._media, self.columns, strict=True)
        )
        try:
            MEMORY.acquire(sum(len(one.data) for one in loaded if isinstance(one, Media)), timeout)
        except TimeoutError as error:
            raise ServiceTimeout(
                "the media of other rows use all the memory that media may use",
                advice="Lower max_concurrency, or raise timeout",
            ) from error
        return loaded

    def _medium(self, cell: Any, kind: Kind, column: str | None, timeout: float) -> Media:
        try:
            return loading.load(cell, kind, transport=self.transport, roots=self.roots, timeout=timeout)
        except HuggingFaceError as error:
            raise error.with_facts(column=column) from error


def _release_frames(error: BaseException) -> None:
    """Empty the frames behind an error, which lives until the query ends: they hold media and answers."""
    at: BaseException | None = error
    while at is not None:
        traceback.clear_frames(at.__traceback__)
        if isinstance(at, json.JSONDecodeError):
            at.doc = ""
        at = at.__cause__ or at.__context__


class UsageCounters:
    """Adds to the counters of a model, and to the metrics if MindsDB serves them.

    Args:
        store: where the counters are.
        scope: whose they are.
        metrics: of this query.
    """

    def __init__(self, store: Cache, scope: str, metrics: QueryMetrics | None = None) -> None:
        self._store = store
        self._scope = scope
        self._metrics = metrics

    def add(
        self, counts: Mapping[str, float], answers: Mapping[str, bytes] = MappingProxyType({}), ttl: float = 0.0
    ) -> None:
        """Add ``counts``, by the names of ``usage``, and store ``answers`` for ``ttl`` seconds, in one transaction."""
        if answers:
            self._store.put_many(answers, ttl, scope=self._scope, counts=counts)
        else:
            self._store.count(self._scope, counts)
        if self._metrics is not None:
            self._metrics.count(counts)

    def timed(self, send: Send) -> Send:
        """Return ``send`` with the time and tokens of each request observed, if there are metrics."""
        return send if self._metrics is None else self._metrics.timed(send)


class ResultCollector:
    """Collects results as they arrive, from any worker: stores them, counts them and reports progress."""

    def __init__(
        self,
        caller: Caller,
        task: Task,
        execution: Execution,
        store: Cache,
        total: int,
        results: list[RowResult | None],
        clock: Callable[[], float] = time.monotonic,
        *,
        usage: UsageCounters | None = None,
        run: str | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._usage = usage or UsageCounters(store, caller.scope)
        self.caller = caller
        self.task = task
        self.execution = execution
        self.store = store
        self.total = total
        self.results = results
        self.audit = audit
        self.done = 0
        self.errors = 0
        self.run = run or uuid.uuid4().hex
        #: Why the run ended early, if it did.
        self.stopped: BaseException | None = None
        #: What was counted by the last request that has returned, and what of it is written.
        self._counts: Mapping[str, float] = {}
        self._written: Mapping[str, float] = {}
        #: Inputs that were answered, and those that ended in an error, by the names of ``usage``.
        self._ended: Counter[str] = Counter()
        self._counted = Throttle(COUNT_EVERY, clock)
        self._reported = Throttle(COUNT_EVERY, clock)
        self._lock = threading.Lock()
        self._clock = clock
        self._logged = clock()
        self._progress = Progress(self._logged)

    def begin(self) -> None:
        """Note that the run has begun."""
        self.store.register(self.caller.scope, self.caller.owner)
        self.store.run_start(self.run, self.caller.scope, model=self.caller.name, task=self.task.name, rows=self.total)

    @property
    def cost(self) -> float | None:
        """USD that the run has cost; ``None``: not known."""
        return known_cost(self._counts)

    def report(self, summary: Summary, *, final: bool = False) -> None:
        """Take the counts of the run; ``deliver`` writes what has been added to them.

        Errors and latencies are many numbers, of which none is money: unless ``final``, once a second is enough.
        """
        self._counts = counters(summary) if final or self._reported.passes(self.run) else amounts(summary)

    def _added(self) -> dict[str, float]:
        """Return what was counted since the last call."""
        with self._lock:
            written, counts = self._written, {**self._counts, **self._ended}
            self._written = {**written, **counts}
        return {name: count - written.get(name, 0) for name, count in counts.items() if count != written.get(name, 0)}

    def deliver(self, results: Sequence[RowResult]) -> None:
        """Take the results of some items."""
        if self.audit is None:
            self._note_ended(results)
            self._place(results)
        else:
            with self.audit.lock:
                taken = [self.audit.take(result) for result in results]
                ended = [final for _, final in taken if final is not None]
                self._note_ended(ended)
                self._place([result for result, (is_shown, _) in zip(results, taken, strict=True) if is_shown])
        self._report_progress()

    def _note_ended(self, results: Sequence[RowResult]) -> None:
        """Count the final results of some inputs."""
        with self._lock:
            for result in results:
                self._ended["answered" if result.error is None else f"{ERROR}{result.error.code}"] += 1
                if result.attempts:
                    self.done += 1
                    self.errors += result.error is not None

    def _place(self, results: Sequence[RowResult]) -> None:
        """Assign results to their items, and store the answers."""
        answers: dict[str, bytes] = {}
        stores = self.execution.use_cache and self.execution.cache_ttl > 0
        for result in results:
            item, error = result.item, result.error
            assert item is not None
            if error is None:
                if stores:
                    meta = {"request_id": result.request_id, "provider": result.provider}
                    answers[item.key] = pack(result.value, result.explain, meta)
            else:
                result.error = error.with_facts(attempts=result.attempts or None)
            self.results[item.index] = result
        if answers or self._counted.passes(self.run):
            # Together, so that a worker that is killed has counted what it has stored.
            self._usage.add(self._added(), answers, self.execution.cache_ttl)

    def _report_progress(self) -> None:
        with self._lock:
            done, errors = self.done, self.errors
            now = self._clock()
            self._progress.note(now, done)
            rate = self._progress.rate
            is_due = now - self._logged >= LOG_EVERY
            if is_due:
                self._logged = now
        self.store.run_update(self.run, RunState(done, errors, rate=rate, cost=self.cost))
        if is_due:
            rest = left(self.total, done, rate)
            log.info(
                "%s: %d of %d inputs done, %d errors, %.3g a second, about %s left",
                self.caller.name, done, self.total, errors, rate, "?" if rest is None else duration(rest),
            )  # fmt: skip

    def end(self, state: str) -> None:
        """Note that the run has ended, and how."""
        self._usage.add(self._added())
        audit = None if self.audit is None else (self.audit.audited, self.audit.agreed)
        self.store.run_end(self.run, RunState(self.done, self.errors, state, cost=self.cost, audit=audit))
