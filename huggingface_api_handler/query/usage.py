"""What is counted of every model, by name; the counters of all processes add up in the store."""

from __future__ import annotations

from typing import Any

#: Followed by an upper bound in milliseconds: requests answered within it, and not within the one below.
LATENCY = "latency_ms:"
#: Followed by an error code: inputs that ended in it.
ERROR = "error:"

#: In the order in which they are shown.
COUNTERS = (
    "rows", "nulls", "duplicates", "cached", "requests", "answered", "retries", "throttled", "splits",
    "compute_seconds", "tokens", "audited", "agreed", "audit_stops",
)  # fmt: skip


def counters(summary: Any) -> dict[str, float]:
    """Return what a run adds to the model's counters."""
    counts: dict[str, float] = {
        "answered": summary.rows,
        "requests": summary.requests,
        "retries": summary.retries,
        "throttled": summary.throttled,
        "splits": summary.splits,
        "compute_seconds": summary.compute_seconds,
        "tokens": summary.tokens,
    }
    counts.update({f"{ERROR}{code}": n for code, n in summary.errors.items()})
    counts.update({f"{LATENCY}{bound}": n for bound, n in summary.latencies.items()})
    return {name: n for name, n in counts.items() if n}
