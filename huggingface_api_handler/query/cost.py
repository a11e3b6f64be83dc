"""What requests cost, in USD: prices, and the most that a request may cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arguments import EngineSettings, ModelSettings
from ..arguments.template import Prompt
from ..scheduling.batches import Item
from ..tasks.task import Arguments, Task

#: Expected tokens of an answer before any answer has been seen.
OUTPUT_TOKENS = 256
#: Tokens that the template of a chat adds at most: to each message, and once to the prompt.
MESSAGE_TOKENS, TEMPLATE_TOKENS = 16, 64
#: Tokens that an image, a sound or a video becomes at most. Large images reach this at the models that cut them into
#: the most patches.
MEDIUM_TOKENS = 16_384
#: Arguments that limit the tokens of an answer.
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_length")

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """What requests are billed by, in USD.

    Attributes:
        input, output: per million tokens.
        second: per second of compute.
        request: per request.
        source: who says so: ``model``, ``engine`` or ``router``.
        seen: when the router said so, in seconds since 1970.
    """

    input: float = 0.0
    output: float = 0.0
    second: float = 0.0
    request: float = 0.0
    source: str = "model"
    seen: float | None = None

    def cost(
        self, input_tokens: float | None, output_tokens: float | None, seconds: float | None, requests: float = 1.0
    ) -> float | None:
        """Return what requests cost together; ``None`` if something that they are billed by is not known."""
        total = self.request * requests
        billed = (
            (self.input / MILLION, input_tokens),
            (self.output / MILLION, output_tokens),
            (self.second, seconds),
        )
        for price, amount in billed:
            if price:
                if amount is None:
                    return None
                total += price * amount
        return total


def own_price(model: ModelSettings, engine: EngineSettings) -> Price | None:
    """Return the price of the argument ``price``: the model's, else the engine's."""
    if model.price is not None:
        return Price(**model.price, source="model")
    return None if engine.price is None else Price(**engine.price, source="engine")


def output_limit(arguments: Arguments) -> int | None:
    """Return the most tokens that an answer may have, if an argument limits them."""
    given = {**arguments.parameters, **arguments.values}
    limits = [value for name in _OUTPUT_LIMITS if isinstance(value := given.get(name), int)]
    return max(limits, default=None)


def upper_estimate(
    items: Sequence[Item], arguments: Arguments, price: Price | None, *, task: Task, timeout: float
) -> float | None:
    """Return the most USD that one request for ``items`` may cost; ``None`` if its price is not known.

    A token has at least one byte of UTF-8, so a text has at most as many tokens as bytes. An answer has as many tokens
    as an argument allows, or ``OUTPUT_TOKENS`` where none limits them: then it may cost more.

    Args:
        timeout: seconds that the request may take.
    """
    if price is None:
        return None
    limit = output_limit(arguments)
    constant = _bytes_of({**arguments.values, **arguments.parameters}) + TEMPLATE_TOKENS + 2 * MESSAGE_TOKENS
    media = [one.kind.is_media for one in task.inputs]
    tokens = sum(constant + _tokens_of(item.payload, media) for item in items)
    return price.cost(tokens, (OUTPUT_TOKENS if limit is None else limit) * len(items), timeout)


def _tokens_of(payload: Sequence[Any], media: Sequence[bool]) -> int:
    return sum(
        MEDIUM_TOKENS if is_medium else _bytes_of(value)
        for value, is_medium in zip(payload, media, strict=True)
        if value is not None
    )


def _bytes_of(value: Any) -> int:
    if isinstance(value, Prompt):
        value = value.render()
    if isinstance(value, Mapping):
        value = json.dumps(value, ensure_ascii=False, default=str) if value else ""
    return len((value if isinstance(value, str) else str(value)).encode("utf-8", "surrogatepass"))
