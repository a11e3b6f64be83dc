"""How the sandbox behaves: its faults, its speed and its prices. All can be changed while it runs.

::

    {"latency": 0.05, "slots": 8,
     "rules": [{"kind": "status", "status": 503, "body": {"error": "loading", "estimated_time": 1}, "probability": 0.1},
               {"kind": "reset", "next": 2},
               {"kind": "status", "status": 400, "contains": "BAD ROW"},
               {"kind": "status", "status": 429, "provider": "groq", "probability": 0.5}]}

Rules apply to inference requests, not to the Hub. The first rule that matches a request is the one that happens.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from .chat_faults import STYLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

#: What constructors take: ``Faults``, or its fields.
FaultsLike: TypeAlias = "Faults | Mapping[str, Any] | None"

#: Kinds of rules, and what each does to a request.
KINDS: Mapping[str, str] = {
    "status": "answers with `status`, `body` and `headers`",
    "reset": "resets the connection before any answer",
    "break": "resets the connection in the middle of the answer",
    "cut": "answers with the first half of the JSON, as if that were all",
    "trickle": "sends the answer a byte at a time, `seconds` apart",
    "hang": "says nothing for `seconds`",
    "html": "answers with a page of HTML and status 200",
    "empty": "answers with nothing and status 200",
    "wrong_count": "leaves the last answer of a list out",
    "shuffle": "puts the results of a ranking in another order (each carries its index)",
    "packed": f"spoils the answers to rows that share a prompt; `style`: {', '.join(STYLES['packed'])}",
    "reasoning": f"leaves the reasoning in the content of a chat; `style`: {', '.join(STYLES['reasoning'])}",
}


class BadFaults(ValueError):
    """Settings that make no sense; the text says which."""


def _typed(kind: type[T], given: Mapping[str, Any]) -> T:
    """Build a dataclass out of JSON, refusing names it does not know."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(given) - known)
    if unknown:
        raise BadFaults(f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    try:
        return kind(**given)
    except TypeError as error:
        raise BadFaults(str(error)) from None


@dataclass(frozen=True)
class Rule:
    """One thing that goes wrong.

    Attributes:
        kind: one of ``KINDS``.
        next: happens to that many requests, then no more; ``None``: for ever.
        probability: happens to this share of the requests to which it could.
        contains: only to requests whose body holds this text.
        lists: only to requests with several inputs (true) or with one (false).
        model: only to requests for this model.
        provider: only to requests that this Inference Provider answers (``hf-inference`` is one).
        status, body, headers: of the answer. A text body is sent as ``text/plain``.
        seconds: of hanging, or between the bytes of a trickle.
        style: what exactly goes wrong, for the kinds that have styles; the first one if empty.
    """

    kind: str = "status"
    next: int | None = None
    probability: float = 1.0
    contains: str | None = None
    lists: bool | None = None
    model: str | None = None
    provider: str | None = None
    status: int = 500
    body: Any = None
    headers: Mapping[str, str] | None = None
    seconds: float = 3600.0
    style: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadFaults(f"unknown kind {self.kind!r}; known are {', '.join(KINDS)}")
        if not 0 <= self.probability <= 1:
            raise BadFaults(f"probability {self.probability} is not between 0 and 1")
        styles = STYLES.get(self.kind, ())
        if self.style and self.style not in styles:
            raise BadFaults(f"{self.kind} has no style {self.style!r} but {', '.join(styles) or 'none'}")
        if styles and not self.style:
            object.__setattr__(self, "style", styles[0])

    def matches(self, target: Target) -> bool:
        return (
            (self.contains is None or self.contains in target.body)
            and (self.lists is None or self.lists == target.has_several)
            and (self.model is None or self.model == target.model)
            and (self.provider is None or self.provider == target.provider)
            and (self.kind != "packed" or (target.is_chat and target.has_several))
            and (self.kind != "reasoning" or target.is_chat)
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule sees of a request.

    Attributes:
        body: the text of the body, empty for a raw file.
        has_several: whether it has several inputs, or a prompt with several rows.
        provider: who answers; empty at a server of one's own.
    """

    body: str
    has_several: bool
    model: str
    provider: str = ""
    is_chat: bool = False


@dataclass(frozen=True)
class Faults:
    """How the sandbox behaves. The defaults are a fast service without faults.

    Attributes:
        latency: seconds that an inference request takes.
        latency_per_item: further seconds for each of its inputs.
        slots: requests processed at a time; the others wait. ``None``: no limit.
        requests_per_second: more are answered with 429. ``None``: no limit.
        retry_after: ``Retry-After`` of the 429: true for the seconds it really takes, a number for that many
            seconds, false for none.
        max_items: inputs in one list; more are answered with 422.
        max_bytes: size of a body; larger ones are answered with 413.
        fused_lists: answer a list of texts to classify without ``top_k`` in one inner list, as the service did
            until the middle of 2026.
        seed: of the random choices.
        rules: see ``Rule``.
        providers: provider → fields of its entry in ``GET /v1/models`` that replace those of ``prices.PROVIDERS``,
            or ``None`` to remove it: ``{"groq": {"status": "error"}, "novita": None}``.
        preferred: the user's order of providers, for the policy ``:preferred``.
        cost_field: field of a chat's ``usage`` that holds its cost in USD, such as ``estimated_cost`` or ``cost``;
            ``None``: costs are not reported.
        bill_delay: reads of the bill in which no session appears yet.
        bill_missing: sessions never appear on the bill.
        bill_status: status of a read of the bill, such as 403.
    """

    latency: float = 0.0
    latency_per_item: float = 0.0
    slots: int | None = None
    requests_per_second: float | None = None
    retry_after: bool | float = True
    max_items: int = 32
    max_bytes: int = 2_000_000
    fused_lists: bool = True
    seed: int = 0
    rules: tuple[Rule, ...] = ()
    providers: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    preferred: tuple[str, ...] = ("together", "groq", "novita")
    cost_field: str | None = None
    bill_delay: int = 0
    bill_missing: bool = False
    bill_status: int = 200

    @classmethod
    def of(cls, given: FaultsLike) -> Faults:
        """Read what a constructor or a PUT was given; raise ``BadFaults`` with what is wrong."""
        if given is None:
            return cls()
        if isinstance(given, Faults):
            return given
        if not isinstance(given, Mapping):
            raise BadFaults(f"an object is needed, not {type(given).__name__}")
        rules = given.get("rules", ())
        if not isinstance(rules, (list, tuple)):
            raise BadFaults("rules must be a list")
        read = tuple(rule if isinstance(rule, Rule) else _typed(Rule, rule) for rule in rules)
        preferred = {"preferred": tuple(given["preferred"])} if "preferred" in given else {}
        return _typed(cls, {**given, **preferred, "rules": read})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Behaviour:
    """``Faults`` with their state: uses left of each rule, slots taken, requests of the last second, bills read.

    It belongs to the server's event loop; its methods are not for other threads.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self._left = [rule.next for rule in faults.rules]
        self._random = random.Random(faults.seed)
        self._slots = asyncio.Semaphore(faults.slots) if faults.slots else None
        self._recent: deque[float] = deque()
        self._bills_read = 0

    def pick(self, target: Target) -> Rule | None:
        """Return the rule that happens to a request, and count it."""
        for index, rule in enumerate(self.faults.rules):
            if self._left[index] == 0 or not rule.matches(target):
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            left = self._left[index]
            if left is not None:
                self._left[index] = left - 1
            return rule
        return None

    def bill_is_ready(self) -> bool:
        """Count a read of the bill; tell whether sessions appear on it."""
        self._bills_read += 1
        return self._bills_read > self.faults.bill_delay and not self.faults.bill_missing

    def compute_seconds(self, items: int) -> float:
        """Return the seconds of compute that a request takes, which hf-inference reports and bills."""
        return max(0.001, round(self.faults.latency + self.faults.latency_per_item * items, 6))

    def throttle(self, now: float) -> float | None:
        """Return the seconds to wait if the rate limit is exceeded; else count the request and return ``None``."""
        rate = self.faults.requests_per_second
        if rate is None:
            return None
        # A window of one second, or longer where less than one request a second is allowed.
        window = max(1.0, 1.0 / rate)
        while self._recent and now - self._recent[0] >= window:
            self._recent.popleft()
        if len(self._recent) >= max(1, int(rate * window)):
            return window - (now - self._recent[0])
        self._recent.append(now)
        return None

    def retry_header(self, wait: float) -> str | None:
        """Return the value of ``Retry-After``, or ``None`` if it is not sent."""
        if self.faults.retry_after is False:
            return None
        return str(math.ceil(wait) if self.faults.retry_after is True else self.faults.retry_after)

    @asynccontextmanager
    async def work(self, items: int) -> AsyncIterator[None]:
        """Take as long as a request with so many inputs takes, in a slot if slots are limited."""
        if self._slots is not None:
            await self._slots.acquire()
        try:
            seconds = self.faults.latency + self.faults.latency_per_item * items
            if seconds > 0:
                await asyncio.sleep(seconds)
            yield
        finally:
            if self._slots is not None:
                self._slots.release()
