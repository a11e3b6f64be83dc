"""What the sandbox's Inference Providers ask, which one answers a chat, and what a request costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The providers of chat models as ``GET /v1/models`` lists them: USD per million tokens, milliseconds, tokens a second.
#: The dearest is the fastest, and the cheapest takes no JSON schema.
PROVIDERS: Mapping[str, Mapping[str, Any]] = {
    "groq": {
        "status": "live",
        "context_length": 131_072,
        "pricing": {"input": 0.6, "output": 0.8},
        "supports_tools": True,
        "supports_structured_output": True,
        "first_token_latency_ms": 210,
        "throughput": 420.5,
        "is_model_author": False,
    },
    "together": {
        "status": "live",
        "context_length": 131_072,
        "pricing": {"input": 0.4, "output": 0.5},
        "supports_tools": True,
        "supports_structured_output": True,
        "first_token_latency_ms": 480,
        "throughput": 130.0,
        "is_model_author": False,
    },
    "novita": {
        "status": "live",
        "context_length": 32_768,
        "pricing": {"input": 0.1, "output": 0.2},
        "is_free": False,
        "supports_tools": False,
        "supports_structured_output": False,
        "first_token_latency_ms": 1490,
        "throughput": 24.7,
        "is_model_author": False,
    },
}

#: USD for a second of compute at hf-inference, and for an image of a provider.
SECOND_PRICE = 0.00012
IMAGE_PRICE = 0.003

POLICIES = ("fastest", "cheapest", "preferred")


def providers_of(names: tuple[str, ...], changes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return provider → its entry, for the providers of one model.

    Args:
        changes: provider → fields that replace those of ``PROVIDERS``, or ``None`` to remove the provider.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        change = changes.get(name, {})
        if change is not None:
            entry = {**PROVIDERS.get(name, {"status": "live"}), **change}
            found[name] = {field: value for field, value in entry.items() if value is not None}
    return found


def choose(entries: Mapping[str, Mapping[str, Any]], wanted: str, preferred: tuple[str, ...]) -> str | None:
    """Return the provider that answers; ``None`` if none does.

    Args:
        entries: the providers of the model.
        wanted: a policy, or the name of a provider.
        preferred: the user's order of providers, for the policy ``preferred``.
    """
    if wanted not in POLICIES:
        return wanted if wanted in entries else None
    live = [name for name, entry in entries.items() if entry.get("status") == "live"]
    if not live:
        return None
    if wanted == "cheapest":
        return min(live, key=lambda name: entries[name].get("pricing", {}).get("output", float("inf")))
    if wanted == "preferred":
        return next((name for name in preferred if name in live), live[0])
    return max(live, key=lambda name: entries[name].get("throughput", 0.0))


def tokens_cost(entry: Mapping[str, Any], input_tokens: int, output_tokens: int) -> float | None:
    """Return the USD that a chat costs at a provider; ``None`` if it publishes no price."""
    pricing = entry.get("pricing")
    if entry.get("is_free"):
        return 0.0
    if not pricing:
        return None
    return float(round((input_tokens * pricing["input"] + output_tokens * pricing["output"]) / 1e6, 12))
