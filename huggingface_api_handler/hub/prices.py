"""The router's records of the providers of a chat model: prices, speed and features.

Nothing here fails: a router that does not answer, or not in this form, has published nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..errors import HuggingFaceError
from ..net.request import Request
from ..net.transport import Transport
from ..tasks.shapes import inside, not_negative, objects

log = logging.getLogger(__name__)

#: Seconds that a query waits for the router's prices at most.
TIMEOUT = 4.0
#: Bytes of the router's answer.
_MAX_BYTES = 1 << 20
LIVE = "live"
#: What the router chooses a provider by, if ``provider`` names none.
CHEAPEST, FASTEST = "cheapest", "fastest"
#: Ways in which the router itself chooses a provider for a chat, and what ``provider`` may be if it does.
POLICIES = (FASTEST, CHEAPEST, "preferred")
ROUTERS_CHOICE = ("auto", *POLICIES)


@dataclass(frozen=True, slots=True)
class Offer:
    """One provider of a model.

    Attributes:
        status: ``live`` or ``error``.
        input, output: USD per million tokens; ``None``: not published.
        context_length: tokens of prompt and answer together.
        throughput: tokens per second.
    """

    provider: str
    status: str = LIVE
    input: float | None = None
    output: float | None = None
    context_length: int | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    first_token_latency_ms: float | None = None
    throughput: float | None = None

    @property
    def has_price(self) -> bool:
        return self.input is not None and self.output is not None


def models_url(base_url: str, model: str) -> str:
    """Return the URL at which the router of ``base_url`` describes a model."""
    root = base_url.rstrip("/").removesuffix("/hf-inference")
    return f"{root}/v1/models/{quote(model, safe='/')}"


def published(transport: Transport, url: str, token: Any, timeout: float = TIMEOUT) -> tuple[Offer, ...] | None:
    """Ask the router for the providers of a model.

    Returns:
        the offers, none if the router does not know the model; ``None``: it cannot be asked now.
    """
    try:
        response = transport.send(
            Request(method="GET", url=url, token=token, timeout=min(timeout, TIMEOUT), max_bytes=_MAX_BYTES)
        )
        body = response.json()
    except HuggingFaceError as error:
        if error.status in (400, 404):
            return ()
        log.info("the router's prices cannot be read: %s", error.message)
        return None
    inner = inside(body, "data")
    listed = inside(inner if isinstance(inner, Mapping) else body, "providers")
    return tuple(offers_of(listed)) if isinstance(listed, list) else None


def offers_of(listed: list[Any]) -> Iterable[Offer]:
    """Read the router's entries of providers; fields that are missing or of another type are ``None``."""
    for entry in objects(listed):
        name = entry.get("provider")
        if not isinstance(name, str) or not name:
            continue
        prices = {"input": 0.0, "output": 0.0} if entry.get("is_free") is True else entry.get("pricing")
        context = not_negative(entry.get("context_length"))
        yield Offer(
            name,
            str(entry.get("status") or LIVE),
            not_negative(inside(prices, "input")),
            not_negative(inside(prices, "output")),
            None if context is None else int(context),
            _flag(entry.get("supports_tools")),
            _flag(entry.get("supports_structured_output")),
            not_negative(entry.get("first_token_latency_ms")),
            not_negative(entry.get("throughput")),
        )


def choose(offers: Iterable[Offer], wanted: str, answered_by: str | None = None) -> Offer | None:
    """Return the offer by which a request is billed, as far as that is known before it is answered.

    Args:
        wanted: a provider, ``auto`` or a policy of the router.
        answered_by: the provider that answered last, if the router chooses.

    Returns:
        that of the provider; else of the one that answered last; else of the one that the policy chooses; else the most
        expensive. If the router chooses, offers without a price and of providers that are not live are ignored.
    """
    offers = tuple(offers)
    named = next((offer for offer in offers if offer.provider == wanted), None)
    if named is not None:
        return named
    if wanted not in ROUTERS_CHOICE:
        return None
    live = [offer for offer in offers if offer.status == LIVE and offer.has_price]
    last = next((offer for offer in live if offer.provider == answered_by), None)
    if last is not None or not live:
        return last
    if wanted == CHEAPEST:
        return min(live, key=lambda offer: (offer.output, offer.input))
    if wanted == FASTEST:
        return max(live, key=lambda offer: offer.throughput or 0.0)
    return max(live, key=lambda offer: (offer.output, offer.input))


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
