"""What a run may use, and what it reports."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import HuggingFaceError
from .batches import Item


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use.

    Attributes:
        max_batch_size: items in one request.
        max_concurrency: requests under way at once.
        requests_per_minute: requests sent, evenly spread; ``None``: no such limit.
        deadline: seconds that the run may take; ``None``: no such limit.
        max_requests: requests that the run may send, retries included; ``None``: no such limit.
        max_retries: how often a failed request is sent again.
        timeout: seconds that a request may take; infinite: no such limit.
        max_batch_bytes: bytes of the items in one request, if there is more than one.
        fill_batches: each request holds as many items as it may, whatever would be fastest.
    """

    max_batch_size: int = 32
    max_concurrency: int = 16
    requests_per_minute: float | None = None
    deadline: float | None = None
    max_requests: int | None = None
    max_retries: int = 5
    timeout: float = math.inf
    max_batch_bytes: int = 1_500_000
    fill_batches: bool = False


@dataclass(slots=True, kw_only=True)
class Accounting:
    """What the service reported for one request; for a row, its share of it.

    Attributes:
        request_id: the service's ID of the request.
        provider: the provider that answered.
        input_tokens, output_tokens, tokens: as counted by the service.
        cost: USD.
        cost_source: ``reported`` by the service, or ``computed`` from a price; ``None``: the cost is not known.
    """

    request_id: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    cost: float | None = None
    cost_source: str | None = None


@dataclass(slots=True)
class RowResult(Accounting):
    """The answer or the error of one input, from the scheduler to the cells of the frame.

    Attributes:
        value: the target's value; ``None`` if there is an error, or the answer is NULL.
        explain: content of ``<target>_explain``; ``None``: the task has none.
        error: why there is no answer.
        source: where the answer comes from: ``request``, ``cache``, or ``null`` for a row without input.
        attempts: requests that the input was in; 0: it was never sent.
        latency: seconds that the last of them took.
        item: the input; ``None`` for a row without one.
    """

    value: Any = None
    explain: Mapping[str, Any] | None = None
    error: HuggingFaceError | None = None
    source: str = "request"
    attempts: int = 0
    latency: float = 0.0
    item: Item | None = field(default=None, repr=False)


@dataclass(slots=True)
class BatchResult(Accounting):
    """The answers of one request, whose cost its rows share equally.

    Attributes:
        answers: one for each item, in order; an answer that is a ``HuggingFaceError`` is that
            item's error; ``None``: nothing in the response is certainly the item's.
        compute_seconds: how long the service says it worked.
        seconds: that are billed, if seconds are: those of compute, or else those that the request took.
        requests: made for these answers; more than one, if the first showed how the server wants them.
        max_batch_size: the most items that requests of this run may hold from now on; ``None``: as before.
    """

    answers: Sequence[RowResult | HuggingFaceError | None]
    compute_seconds: float | None = None
    seconds: float | None = None
    requests: int = 1
    max_batch_size: int | None = None

    def fill(self, result: RowResult, item: Item, attempts: int, latency: float, at: int = 0) -> RowResult:
        """Add to the answer of one item what holds for the whole request, and return it.

        Args:
            at: the item's position in the request.
        """
        result.item = item
        result.attempts = attempts
        result.latency = latency
        result.request_id = self.request_id
        result.provider = self.provider
        result.cost_source = self.cost_source
        rows = len(self.answers)
        if self.cost is not None:
            result.cost = self.cost / rows
        if self.input_tokens is not None:
            result.input_tokens = _share(self.input_tokens, rows, at)
        if self.output_tokens is not None:
            result.output_tokens = _share(self.output_tokens, rows, at)
        if rows == 1 and result.tokens is None:
            result.tokens = self.tokens
        return result


def _share(total: int, rows: int, at: int) -> int:
    """Return the part of one of ``rows``, such that the parts of all add up to ``total``."""
    return total // rows + (at < total % rows)


#: Upper bounds, in milliseconds, of the counts in ``Summary.latencies``: a quarter apart.
LATENCY_STEPS: tuple[int, ...] = tuple(sorted({math.ceil(1.25**step) for step in range(64)}))


def latency_step(seconds: float) -> int:
    """Return the bound in ``LATENCY_STEPS`` under which ``seconds`` falls."""
    at = bisect.bisect_left(LATENCY_STEPS, seconds * 1000.0)
    return LATENCY_STEPS[min(at, len(LATENCY_STEPS) - 1)]


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the milliseconds within which ``share`` (0 to 1) of the counted requests were answered."""
    total = sum(counts.values())
    if not total:
        return None
    seen = 0
    for bound in sorted(counts):
        seen += counts[bound]
        if seen >= share * total:
            break
    return float(bound)


@dataclass(slots=True)
class Summary:
    """The counts of a run.

    Attributes:
        rows: items that were answered.
        requests: requests sent, ``retries`` of them for items that had been sent before.
        throttled: requests refused with 429.
        splits: batches that were split.
        errors: items that ended in an error, by its code.
        compute_seconds, tokens, input_tokens, output_tokens: what the service says it used.
        cost: USD; answered requests whose cost is not known are not in it, but in ``unpriced``.
        input_size: size of the items whose ``input_tokens`` are counted.
        output_rows, billed_rows: items whose ``output_tokens``, and whose ``billed_seconds``, are counted.
        seconds: how long the run took.
        workers: most requests under way at once.
        latencies: answered requests by ``latency_step`` of the time they took; adds up over runs.
        stopped: the error that ended the sending early, if one did.
    """

    rows: int = 0
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    splits: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    compute_seconds: float = 0.0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    input_size: int = 0
    output_rows: int = 0
    billed_seconds: float = 0.0
    billed_rows: int = 0
    seconds: float = 0.0
    workers: int = 0
    latencies: Counter[int] = field(default_factory=Counter)
    stopped: BaseException | None = None

    def account(self, items: Sequence[Item], used: Any, cost: float | None) -> None:
        """Count what the answer to a request for ``items`` used and cost, whether it was one for every item or not."""
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost
        if used.input_tokens is not None:
            self.input_tokens += used.input_tokens
            self.input_size += sum(item.size for item in items)
        if used.output_tokens is not None:
            self.output_tokens += used.output_tokens
            self.output_rows += len(items)
        if used.seconds is not None:
            self.billed_seconds += used.seconds
            self.billed_rows += len(items)
