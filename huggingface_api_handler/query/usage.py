"""The counters of a model, by name; the store adds up the counts of all processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..scheduling import budget

#: Followed by an upper bound in milliseconds: requests answered within it, and not within the one below.
LATENCY = "latency_ms:"
#: Followed by an error code: inputs that ended in it.
ERROR = "error:"

#: In the order in which they are shown.
COUNTERS = (
    "rows", "nulls", "duplicates", "cached", "requests", "answered", "retries", "throttled", "splits",
    "compute_seconds", "tokens", "input_tokens", "output_tokens", "audited", "agreed", "audit_stops",
)  # fmt: skip


def counters(summary: Any) -> dict[str, float]:
    """Return what the requests of a run add to the model's counters."""
    counts = amounts(summary)
    counts.update({"billed_seconds": summary.billed_seconds, "billed_rows": summary.billed_rows})
    counts.update({f"{LATENCY}{bound}": n for bound, n in summary.latencies.items()})
    return counts


def amounts(summary: Any) -> dict[str, float]:
    """Return those counters that change with most requests, and all that money depends on."""
    return {
        "requests": summary.requests,
        "retries": summary.retries,
        "throttled": summary.throttled,
        "splits": summary.splits,
        "compute_seconds": summary.compute_seconds,
        "tokens": summary.tokens,
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "cost": summary.cost,
        "unpriced": summary.unpriced,
        "input_size": summary.input_size,
        "output_rows": summary.output_rows,
    }


def known_cost(counts: Mapping[str, float]) -> float | None:
    """Return the USD that counted requests cost; ``None`` if there were some, and no cost of them is known."""
    cost = counts.get("cost", 0.0)
    return None if not cost and counts.get("unpriced") else cost


def dollars(cost: float | None) -> str:
    """Return a cost as text."""
    return "unknown cost" if cost is None else budget.dollars(cost)
