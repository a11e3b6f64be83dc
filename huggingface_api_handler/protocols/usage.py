"""The usage that a response reports: tokens, seconds, dollars, and the provider that answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..net.request import Response
from ..tasks.shapes import int64, is_number

#: Fields of an answer that hold an object with counts of tokens, in the order in which they are read.
_HOLDERS = ("usage", "details", "meta", "result")
#: Names of the counts: OpenAI's, those of newer APIs, Ollama's, text-generation-inference's.
_INPUT = ("prompt_tokens", "input_tokens", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "eval_count", "generated_tokens")
#: What gateways call the USD of a request.
_COST = ("cost", "estimated_cost")
#: A request that costs more is a mistake of the service, and a few of them would add up to infinity.
_MOST_DOLLARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request used, as far as its response says.

    Attributes:
        input_tokens, output_tokens: of all rows of the request.
        cost: USD.
        seconds: of compute; those of the whole request, if the service does not say.
        provider: who answered; ``None``: the service does not say.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
    provider: str | None = None


def usage_of(response: Response, answer: Any) -> Usage:
    """Return what a request used.

    Args:
        answer: the response's body as JSON; anything else says nothing.
    """
    seconds = response.compute_seconds
    seconds = response.elapsed if seconds is None else seconds
    found = _counts(answer)
    if not found:
        return Usage(seconds=seconds, provider=response.provider)
    given, made = _first(found, _INPUT), _first(found, _OUTPUT)
    total = int64(found.get("total_tokens"))
    if total is not None and given is not None and made is None:
        made = max(total - given, 0)
    if given == 0:  # no request is without input: the service does not count
        given, made = None, made or None
    return Usage(given, made, _dollars(found), seconds, response.provider)


def _counts(answer: Any) -> Mapping[str, Any]:
    """Return the object of an answer that counts its tokens; an empty one if there is none."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if not isinstance(answer, Mapping):
        return {}
    inner = next((answer[name] for name in _HOLDERS if isinstance(answer.get(name), Mapping)), answer)
    return _counts(inner) if isinstance(inner.get("usage"), Mapping) else inner


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = int64(found.get(name))
        if count is not None and count >= 0:
            return count
    return None


def _dollars(found: Mapping[str, Any]) -> float | None:
    for name in _COST:
        cost: Any = found.get(name)
        if is_number(cost) and 0 <= cost <= _MOST_DOLLARS:
            return float(cost)
    return None
