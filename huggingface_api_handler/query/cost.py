"""What requests cost, in USD: by which price, what is expected of a row, and the most that a request may cost."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..arguments import EngineSettings, ModelSettings
from ..arguments.price import price_fault
from ..arguments.settings import secret_text
from ..arguments.template import Prompt
from ..cache import Cache
from ..hub.facts import is_hub
from ..hub.prices import ROUTERS_CHOICE, TIMEOUT, Offer, choose, models_url, published
from ..net.transport import Transport
from ..net.url_policy import TokenOf, UrlPolicy
from ..protocols.usage import Usage
from ..scheduling.batches import Item
from ..scheduling.results import Limits, RowResult
from ..tasks import TASKS
from ..tasks.output_schema import output_schema
from ..tasks.packing import ENTRY_TOKENS
from ..tasks.task import Arguments, Task
from . import packing
from .caller import Caller
from .runtime import Runtime
from .usage import LATENCY

#: Expected tokens of an answer before any answer has been seen.
OUTPUT_TOKENS = 256
#: Expected tokens per character of a text.
TOKENS_PER_CHARACTER = 0.3
#: Tokens that the template of a chat adds at most: to each message, and once to the prompt.
MESSAGE_TOKENS, TEMPLATE_TOKENS = 16, 64
#: Tokens that an image, audio or a video becomes at most. Large images reach this at the models that cut them into
#: the most patches.
MEDIUM_TOKENS = 16_384
#: Tokens that a repair request adds at most, beside the answer that it quotes.
REPAIR_TOKENS = 1024
#: Requests with few rows that each doubling of a query's rows adds, as measured with services of several speeds.
_TRIALS = 1.5
#: Arguments that limit the tokens of an answer.
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_new_tokens", "max_output_length")

MILLION = 1_000_000
#: Seconds after which the router's prices are read again: after an answer, and after none.
REFRESH, AGAIN = 3600.0, 60.0
#: Seconds for which prices are used if the router does not answer.
KEPT_FOR = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Price:
    """What requests are billed by, in USD.

    Attributes:
        input, output: per million tokens.
        second: per second of compute.
        request: per request.
        source: who says so: ``model``, ``engine`` or ``router``.
        seen: when the router published it, in seconds since 1970.
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


def given_price(model: ModelSettings, engine: EngineSettings) -> tuple[Mapping[str, float], str] | None:
    """Return the argument ``price`` and whose it is: the model's, else the engine's."""
    if model.price is not None:
        return model.price, "model"
    return None if engine.price is None else (engine.price, "engine")


def own_price(model: ModelSettings, engine: EngineSettings) -> Price | None:
    """Return the price of the argument ``price``, if the task is billed by it.

    An engine's need not be for all tasks, and older versions accepted a model's that lacks what is billed.
    """
    given = given_price(model, engine)
    if given is None or price_fault(given[0], TASKS[model.task]) is not None:
        return None
    return Price(**given[0], source=given[1])


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one model: the one of an argument, or those of the router's providers.

    Attributes:
        own: of the argument ``price``.
        offers: of the providers.
        wanted: providers in order of preference, ``auto`` or a policy.
        answered_by: the provider that answered last, if the router chooses.
        seen: when the router sent them, in seconds since 1970.
    """

    own: Price | None = None
    offers: tuple[Offer, ...] = ()
    wanted: tuple[str, ...] = ("auto",)
    answered_by: str | None = None
    seen: float | None = None

    @property
    def chosen(self) -> Offer | None:
        """The offer by which requests are expected to be billed."""
        return choose(self.offers, self.wanted[0], self.answered_by)

    @property
    def expected(self) -> Price | None:
        """The price by which requests are expected to be billed."""
        return self.own or self._price(self.chosen)

    @property
    def highest(self) -> Price | None:
        """A price that no provider exceeds that may answer; ``None``: a provider that the model names has none.

        If the router chooses, providers that publish no price are ignored.
        """
        if self.own is not None:
            return self.own
        known = [(offer.provider, price) for offer in self.offers if (price := self._price(offer)) is not None]
        if self.wanted[0] not in ROUTERS_CHOICE:
            known = [(provider, price) for provider, price in known if provider in self.wanted]
            if {provider for provider, _ in known} != {*self.wanted}:
                return None
        if not known:
            return None
        prices = [price for _, price in known]
        return replace(prices[0], input=max(one.input for one in prices), output=max(one.output for one in prices))

    @property
    def context_length(self) -> int | None:
        """Tokens of prompt and answer that every provider takes that may answer, as far as they publish them."""
        named = [offer for offer in self.offers if offer.provider in self.wanted]
        return min((offer.context_length for offer in named or self.offers if offer.context_length), default=None)

    def of(self, provider: str | None) -> Price | None:
        """Return the price of the provider that has answered; ``None``: nobody knows who did."""
        return self.own or self._price(choose(self.offers, provider or self.wanted[0], self.answered_by))

    def takes_schema(self, provider: str) -> bool | None:
        """Return whether chats of a provider, or of the one that a policy chooses, take a JSON schema.

        ``None``: it is not published, or not known who will answer.
        """
        offer = None if provider in ("auto", "preferred") else choose(self.offers, provider, self.answered_by)
        return None if offer is None else offer.structured_output

    def cost(self, usage: Usage, provider: str | None = None) -> tuple[float | None, str | None]:
        """Return what a request cost and its source: ``reported`` or ``computed``.

        Args:
            provider: who got the request, in case that the response does not say who answered.
        """
        if usage.cost:
            return usage.cost, "reported"
        price = self.of(usage.provider or provider)
        cost = None if price is None else price.cost(usage.input_tokens, usage.output_tokens, usage.seconds)
        # Gateways report 0 for models whose price they do not know.
        if usage.cost is not None and (price is None or cost == 0):
            return usage.cost, "reported"
        return cost, None if cost is None else "computed"

    def _price(self, offer: Offer | None) -> Price | None:
        if offer is None or offer.input is None or offer.output is None:
            return None
        return Price(offer.input, offer.output, source="router", seen=self.seen)


def token_of(model: ModelSettings, engine: EngineSettings) -> str | None:
    """Return the token that a model's requests carry: its own, else the engine's."""
    return secret_text(model.token or engine.token)


def transport_of(model: ModelSettings, engine: EngineSettings, runtime: Runtime) -> Transport:
    """Return what sends a model's requests, to where its engine allows."""
    given_by: TokenOf = "model" if model.token else "engine" if engine.token_source == "engine" else "server"
    return runtime.transport(UrlPolicy((engine.base_url,), engine.allowed_hosts, given_by))


def price_list(
    model: ModelSettings,
    engine: EngineSettings,
    caller: Caller,
    runtime: Runtime,
    store: Cache,
    *,
    timeout: float = TIMEOUT,
    now: Callable[[], float] = time.time,
) -> PriceList:
    """Return the prices of a model: the stored ones, or the router's if those are older than an hour.

    Args:
        timeout: seconds that the router may take.
    """
    own, answered_by = own_price(model, engine), store.get_fact(caller.fact("answered by"))
    base_url = model.base_url or engine.base_url
    if not TASKS[model.task].chat or model.endpoint is not None or model.model is None or not is_hub(base_url):
        return PriceList(own, wanted=model.providers)
    url = models_url(base_url, model.model)
    name = caller.fact("offers", url)
    offers, seen, tried = _stored_offers(store.get_fact(name))
    if now() - tried > (AGAIN if seen is None else REFRESH):
        found, tried = published(transport_of(model, engine, runtime), url, token_of(model, engine), timeout), now()
        if found is not None:
            offers, seen = found, tried
        store.put_fact(name, [[asdict(offer) for offer in offers], seen, tried], KEPT_FOR)
    return PriceList(own, offers, model.providers, answered_by, seen)


def _stored_offers(stored: Any) -> tuple[tuple[Offer, ...], float | None, float]:
    """Return the stored offers of the router, when it sent them, and when they were last requested."""
    try:
        offers, seen, tried = stored
        return tuple(Offer(**offer) for offer in offers), None if seen is None else float(seen), float(tried)
    except (TypeError, ValueError):  # nothing, or of another version
        return (), None, -math.inf


def note_answers(prices: PriceList, results: Iterable[RowResult | None], caller: Caller, store: Cache) -> None:
    """Store which provider has answered last, if the router chooses it."""
    sent = (result for result in results if result is not None and result.source == "request")
    provider = next((result.provider for result in sent if result.error is None), None)
    if prices.offers and provider not in (None, prices.answered_by) and provider not in prices.wanted:
        store.put_fact(caller.fact("answered by"), provider, KEPT_FOR)


@dataclass(frozen=True, slots=True)
class Learned:
    """What the answers of a model have shown of what a row uses.

    Attributes:
        tokens_per_character: of its input.
        output_tokens, seconds, requests: of one row; ``None``: no answer has shown it yet.
    """

    tokens_per_character: float | None = None
    output_tokens: float | None = None
    seconds: float | None = None
    requests: float | None = None

    @classmethod
    def of(cls, counted: Mapping[str, float]) -> Learned:
        """Return what the counters of a model show."""
        requests = sum(count for name, count in counted.items() if name.startswith(LATENCY))
        rows = counted.get("answered", 0.0) + counted.get("audited", 0.0)
        return cls(
            _ratio(counted, "input_tokens", "input_size"),
            _ratio(counted, "output_tokens", "output_rows"),
            _ratio(counted, "billed_seconds", "billed_rows"),
            requests / rows if requests and rows else None,
        )

    def cost(
        self, item: Item, price: Price | None, arguments: Arguments, rows_per_request: float, *, shared: float = 0.0
    ) -> float | None:
        """Return what a row is expected to cost, in USD; ``None`` if its price is not known.

        Args:
            shared: characters of a prompt beside its rows, where rows share prompts.
        """
        if price is None:
            return None
        limit, entry = output_limit(arguments), ENTRY_TOKENS if shared else 0
        most = math.inf if limit is None else limit + entry  # that of a shared response grows with its rows
        output: float = OUTPUT_TOKENS + entry if limit is None else most
        tokens = item.size * (self.tokens_per_character or TOKENS_PER_CHARACTER)
        if self.tokens_per_character is None:  # what has been seen includes what is in every prompt
            constant = shared / rows_per_request if shared else _constant_size(arguments)
            tokens += constant * TOKENS_PER_CHARACTER + entry
        requests = self.requests or 1 / rows_per_request
        if self.output_tokens is not None:
            output = min(self.output_tokens, most)
        return price.cost(tokens, output, self.seconds, requests)


def expected_costs(
    model: ModelSettings, items: Sequence[Item], prices: PriceList, learned: Learned, most: int
) -> dict[int, float | None]:
    """Return what rows that are to be sent will probably cost in USD, by ``Item.index``; ``None``: not known.

    Args:
        most: rows that a request may have, if they do not share a prompt.
    """
    arguments, price = model.arguments(), prices.expected
    together = packing.Packing.of(model)
    audit = None if together is None else together.audit_of(items)
    limits, alike, shared = Limits(max_batch_size=most), list(items), 0.0
    if together is not None and len(items) > 1:
        limits, alike = together.limits(limits, prices.context_length), together.items(items, None)
        prompt = packing.prompt_of(alike[:1], arguments)[1]
        shared = float(len(prompt) - alike[0].size + len(arguments.values.get("system_prompt") or ""))
    rows = len(alike) / max(1, expected_requests(alike, limits))
    costs: dict[int, float | None] = {}
    for item, row in zip(items, alike, strict=True):
        costs[item.index] = cost = learned.cost(row, price, arguments, rows, shared=shared)
        if audit is not None and audit.has(item) and cost is not None:
            costs[item.index] = cost + (learned.cost(item, price, arguments, 1) or 0.0)
    return costs


def expected_requests(items: Sequence[Item], limits: Limits) -> int:
    """Return how many requests ``items`` will probably take while nothing is known of the service."""
    groups = Counter(item.group for item in items)
    requests: float = sum(math.ceil(rows / limits.max_batch_size) for rows in groups.values())
    requests = max(requests, sum(item.size for item in items) / limits.max_batch_bytes)
    if not limits.fill_batches:  # short ones show first what a request costs, and what a row
        requests += _TRIALS * math.log2(len(items) + 1)
    return min(len(items), math.ceil(requests))


def _constant_size(arguments: Arguments) -> int:
    """Return the characters that are the same in every prompt of a model."""
    schema = output_schema(arguments)
    texts = [arguments.values.get("system_prompt") or "", schema.instruction if schema else ""]
    return sum(map(len, [*texts, *(text for pair in arguments.values.get("examples") or () for text in pair)]))


def _ratio(counted: Mapping[str, float], amount: str, of: str) -> float | None:
    return counted.get(amount, 0.0) / counted[of] if counted.get(of) else None


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
    as an argument allows, or ``OUTPUT_TOKENS`` if none limits them: then it may cost more.

    Args:
        timeout: seconds that the request may take.
    """
    if price is None:
        return None
    limit = output_limit(arguments)
    answer = OUTPUT_TOKENS if limit is None else limit
    constant = _bytes_of({**arguments.values, **arguments.parameters}) + TEMPLATE_TOKENS + 2 * MESSAGE_TOKENS
    schema = output_schema(arguments)
    if schema is not None:  # it is sent as an instruction and as a JSON schema; a repair request quotes the last answer
        constant += _bytes_of(schema.instruction) + _bytes_of(schema.json_schema) + answer + REPAIR_TOKENS
    constant += 2 * MESSAGE_TOKENS * len(arguments.values.get("examples") or ())
    media = [one.kind.is_media for one in task.inputs]
    if task.chat and len(items) > 1:  # they share a prompt
        prompt = packing.prompt_of(items, arguments)[1]
        return price.cost(constant + _bytes_of(prompt), (answer + ENTRY_TOKENS) * len(items), timeout)
    tokens = sum(constant + _tokens_of(item.payload, media) for item in items)
    return price.cost(tokens, answer * len(items), timeout)


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
