"""What a query may spend: requests and USD."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..cache.budgets import Draw, Grant
from ..errors import (
    AccountError,
    BudgetExceeded,
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    ModelError,
    ModelLoading,
    RateLimited,
    ServiceTimeout,
)
from .batches import Batch, Item


class RequestBudget:
    """``max_requests``: a request counts when it is sent, whatever comes of it.

    Args:
        max_requests: requests that may be sent, retries included; ``None``: no such limit.
    """

    def __init__(self, max_requests: int | None) -> None:
        self.limit = max_requests
        self.left: float = math.inf if max_requests is None else max_requests

    @property
    def is_spent(self) -> bool:
        """Whether no request may be sent any more."""
        return self.left <= 0

    @property
    def refusal(self) -> BudgetExceeded | None:
        """The error of rows for which no request may be sent any more; ``None``: it may."""
        if not self.is_spent:
            return None
        return BudgetExceeded(
            f"the query has sent as many requests as max_requests = {self.limit} allows",
            advice="Run the query again, or raise max_requests",
        )

    def spend(self, requests: int = 1) -> None:
        """Count requests that are sent, or have been sent beside one that was counted."""
        self.left -= requests


#: (items of one request) → the most USD that the request may cost. More items never cost less.
UpperEstimate = Callable[[Sequence[Item]], float]

#: Sums of USD are rounded: a part of this size of a limit is no excess.
ROUNDING = 1e-9
#: Advice behind the least that one more request needs.
_SEE_ALL = "; dry_run = true estimates the cost of all rows"

#: Statuses by which a gateway says that the service behind it, which may go on working, has not responded in time.
_NO_RESPONSE = (504, 524)
#: Errors of a service that has not begun to work on a request.
_NOT_BEGUN = (RateLimited, ModelLoading, AccountError, ModelError)


def dollars(amount: float) -> str:
    """Return an amount for a message: cents, or as many digits as show two that are not 0."""
    digits = 2 if amount >= 1 or amount <= 0 else 1 - math.floor(math.log10(amount))
    return f"${amount:,.{max(2, digits)}f}"


@dataclass(slots=True, eq=False)
class _Account:
    """What a run has spent of the budget of one day, what requests in progress may cost, and what it holds for them."""

    budget: str
    spent: float = 0.0
    reserved: float = 0.0
    held: float = 0.0
    expires: float = -math.inf


class SharedBudget:
    """A budget that the runs of all workers share, by parts of it that each run holds.

    It is that of a day (``max_cost_per_day``), or of a statement whose partitions are runs (``max_cost``). A run draws
    on the budget in advance, so that it need not ask for each request. Whoever runs the scheduler makes the draws,
    since that may take a while, and reports to ``granted`` what came of them.

    Args:
        cap: USD.
        name: (time by the run's clock) → name of the budget; each day has another.
        valid: seconds for which a part is held after a draw.
    """

    #: Share of the cap that is drawn at once.
    PART = 0.02
    #: Seconds between two draws if the first was not granted, and until the run gives up.
    RETRY, PATIENCE = 1.0, 60.0
    #: Seconds between two looks while another worker makes a draw.
    LOOK = 0.02

    def __init__(self, cap: float, name: Callable[[float], str], valid: float) -> None:
        self.cap = cap
        self._name = name
        self._valid = valid
        self._now = _Account("")
        #: Days that have ended, with requests in progress or with spending that is not reported.
        self._ended: list[_Account] = []
        self._drawing = False
        self._drew_at = -math.inf
        self._retry_at = -math.inf
        #: Whether requests were in progress when the last draw was made; and if it was not granted then, so that what
        #: they held, which is free by now, may be enough.
        self._drew_in_flight = self._may_fit = False
        #: Since when draws have not been granted.
        self._denied_since = math.inf
        #: Whether the last draw was granted in part, so that another would bring nothing.
        self.is_scarce = False
        #: What the last draw showed; ``None``: it failed.
        self.last: Grant | None = Grant(0.0, 0.0, 0.0)
        self._has_worked = False

    def account(self, now: float) -> _Account:
        """Return the account of the day."""
        budget = self._name(now)
        if budget != self._now.budget:
            if self._now.expires > -math.inf:
                self._ended.append(self._now)
            self._now = _Account(budget)
            self.is_scarce = False
        return self._now

    def free(self, now: float) -> float:
        """Return the USD that may be reserved without another draw."""
        account = self.account(now)
        return account.held - account.reserved + ROUNDING * self.cap if now < account.expires else 0.0

    def draw(self, least: float, most: float, now: float, in_flight: bool, pending: float) -> Draw | float | None:
        """Return the draw to make, or when to ask again; ``None``: there is nothing to wait for.

        Args:
            least, most: USD that the next request costs at most, with one item and with all.
            in_flight: whether requests are in progress; what they return may free some of what they reserve.
        """
        if self._drawing:
            return now + self.LOOK
        if now >= self._retry_at:
            account = self.account(now)
            self._drawing, self._drew_at, self._drew_in_flight = True, now, in_flight
            # Nothing is reserved from the rest while the draw is made. If it is not granted, others have the rest.
            account.held = account.reserved
            most = max(least, most, self.PART * self.cap)
            return self._draw_on(account, account.reserved, least=least, most=most, pending=pending)
        if in_flight:
            return self._retry_at
        if self._may_fit:
            return self._retry_at
        may_change = self._has_worked if self.last is None else self.last.others > 0
        return self._retry_at if may_change and now < self._denied_since + self.PATIENCE else None

    def let_go(self, now: float) -> None:
        """Hold no more than what is reserved; the next report tells the others."""
        account = self.account(now)
        account.held = min(account.held, account.reserved)

    def report(self, now: float, pending: float, *, closes: bool) -> list[Draw]:
        """Return the draws that renew what is held and report what was spent; none while another is made.

        Args:
            closes: the run has ended.
        """
        if self._drawing:
            return []
        current = self.account(now)
        # Requests count for the day on which they were sent.
        ended, self._ended = self._ended, [one for one in self._ended if one.reserved]
        draws = [self._draw_on(one, one.reserved, closes=closes or not one.reserved) for one in ended]
        if current.expires > -math.inf:  # a draw has been granted
            keep = 0.0 if closes else current.held
            draws.append(self._draw_on(current, keep, pending=pending, closes=closes))
        self._drawing, self._drew_at = bool(draws), now
        return draws

    def _draw_on(self, account: _Account, keep: float, **more: Any) -> Draw:
        return Draw(account.budget, self.cap * (1.0 + ROUNDING), account.spent, keep, **more)

    def granted(self, draw: Draw, grant: Grant | None, now: float) -> None:
        """Take the result of a draw; ``None``: it failed."""
        self._drawing = False
        if grant is not None and draw.budget == self._now.budget:
            account = self._now
            account.held = grant.amount - (account.spent - draw.spent)
            account.expires = self._drew_at + self._valid
        if not draw.most:
            return
        self.last = grant
        got = 0.0 if grant is None else grant.amount - draw.keep
        self.is_scarce = got < draw.most
        if grant is not None and got >= draw.least * (1.0 - ROUNDING):
            self._denied_since = math.inf
            self._has_worked, self._may_fit = True, False
        else:
            self._retry_at = now + self.RETRY
            self._may_fit = self._drew_in_flight
            self._denied_since = min(self._denied_since, now)


class CostBudget:
    """``max_cost`` and ``max_cost_per_day``: a request is sent only if the most it may cost still fits.

    What a request may cost at most is reserved before it is sent, and replaced by what it cost when it has returned.
    So what is spent never exceeds a limit, in whatever order requests return, unless one costs more than the most
    that was expected.

    Args:
        at_most: the most USD that a request for some items may cost.
        max_cost: USD for the run.
        daily: the budget of the day, if there is one.
        statement: the budget of the statement of which the run is a partition, in place of ``max_cost``.
        of_engine: whether ``max_cost`` is the engine's, for messages.

    Attributes:
        spent: USD, including the most that requests without a known cost may have cost.
        refusal: why nothing more may be sent.
    """

    def __init__(
        self,
        at_most: UpperEstimate,
        max_cost: float | None = None,
        daily: SharedBudget | None = None,
        *,
        statement: SharedBudget | None = None,
        of_engine: bool = False,
    ) -> None:
        self.daily = daily
        self.shared = tuple(budget for budget in (statement, daily) if budget is not None)
        self.spent = 0.0
        self.refusal: BudgetExceeded | None = None
        self._at_most = at_most
        self._of_engine = " of the engine" if of_engine else ""
        self._limit = math.inf if max_cost is None else max_cost
        self._reserved: dict[Batch, tuple[float, list[_Account]]] = {}
        #: Draws that are being made.
        self._drawn: dict[Draw, SharedBudget] = {}
        #: What the requests that have returned might have cost at most.
        self._expected = 0.0

    @property
    def reserved(self) -> float:
        """What the requests in progress may cost at most, in USD."""
        return math.fsum(amount for amount, _ in self._reserved.values())

    @property
    def _free(self) -> float:
        return self._limit * (1.0 + ROUNDING) - self.spent - self.reserved

    @property
    def _pending(self) -> float:
        """What the requests in progress will probably cost: as much of what is reserved as those before; the first,
        all of it."""
        return self.reserved * (min(1.0, self.spent / self._expected) if self._expected else 1.0)

    def rows_that_fit(self, items: Sequence[Item], now: float) -> int:
        """Return how many of ``items``, from the first, may be sent in one request now; 0: see ``wait``."""
        rows = self._fitting(items, self._free)
        for budget in self.shared:
            rows = self._within(budget, items[:rows], now)
        return rows

    def _within(self, budget: SharedBudget, items: Sequence[Item], now: float) -> int:
        """Return how many of ``items`` a budget pays for; 0: it is to be drawn on."""
        rows = self._fitting(items, budget.free(now)) if items else 0
        return rows if rows == len(items) or budget.is_scarce else 0

    def wait(self, items: Sequence[Item], now: float) -> Draw | float:
        """Return what must happen before any of ``items`` may be sent.

        A draw is to be made. A number is the time to ask again; infinity: when a request has returned. If nothing
        is to be waited for, ``refusal`` says why.
        """
        in_flight = bool(self._reserved)
        least = self._at_most(items[:1])
        if least > self._free:
            if in_flight:
                return math.inf
            self.refusal = self._too_expensive(least)
            return now
        items = items[: self._fitting(items, self._free)]
        for at, budget in enumerate(self.shared):
            if self._within(budget, items, now):
                continue
            step = budget.draw(least, self._at_most(items), now, in_flight, self._pending)
            if isinstance(step, Draw):
                self._drawn[step] = budget
                return step
            # A run that waits for a budget holds none of those after it: no two runs wait for each other.
            for later in self.shared[at + 1 :]:
                later.let_go(now)
            if step is None:
                self.refusal = self._is_spent(budget, least)
                return now
            return step
        return now

    def reserve(self, batch: Batch, now: float) -> None:
        """Reserve what the request of ``batch`` may cost at most; it is about to be sent."""
        amount = self._at_most(batch.items)
        accounts = [budget.account(now) for budget in self.shared]
        self._reserved[batch] = amount, accounts
        for account in accounts:
            account.reserved += amount

    def settle(self, batch: Batch, cost: float | None) -> None:
        """Replace what was reserved for ``batch`` by what it cost; ``None``: that is not known, and may be the most."""
        amount, accounts = self._reserved.pop(batch)
        cost = amount if cost is None else cost
        self.spent += cost
        self._expected += amount
        for account in accounts:
            account.reserved -= amount
            account.spent += cost
            account.held -= cost

    def report(self, now: float, *, closes: bool = False) -> list[Draw]:
        """Return the draws that keep shared budgets up to date; see ``SharedBudget.report``.

        All are to be made, and then reported to ``granted``.
        """
        draws: list[Draw] = []
        for budget in self.shared:
            made = budget.report(now, self._pending, closes=closes)
            self._drawn.update(dict.fromkeys(made, budget))
            draws += made
        return draws

    def granted(self, draw: Draw, grant: Grant | None, now: float) -> None:
        """Take the result of a draw; see ``SharedBudget.granted``."""
        self._drawn.pop(draw).granted(draw, grant, now)

    def _fitting(self, items: Sequence[Item], free: float) -> int:
        if self._at_most(items) <= free:
            return len(items)
        return bisect_right(range(1, len(items)), free, key=lambda rows: self._at_most(items[:rows]))

    def _too_expensive(self, least: float) -> BudgetExceeded:
        message = (
            f"the query has spent {dollars(self.spent)} of max_cost = {_plain(self._limit)}{self._of_engine}, and the "
            f"next request may cost up to {dollars(least)}"
        )
        if least <= self._limit:
            advice = f"Run the query again for the remaining rows, or raise max_cost{self._of_engine}"
            return BudgetExceeded(message, advice=advice)
        advice = f"Raise max_cost{self._of_engine} to at least {_rounded_up(least)} for this request{_SEE_ALL}"
        return BudgetExceeded(message, advice=advice, retryable=False)

    def _is_spent(self, budget: SharedBudget, least: float) -> BudgetExceeded:
        of_day, last = budget is self.daily, budget.last
        limit = f"{'max_cost_per_day' if of_day else 'max_cost'} = {_plain(budget.cap)}"
        if last is None:
            return BudgetExceeded(
                f"the cache in which all {'workers' if of_day else 'partitions'} record their spending for "
                f"{limit} cannot be used",
                advice="Run the query again when MindsDB's cache works; the log names the error",
            )
        spent = f"the {'engine' if of_day else 'query'} has spent {dollars(last.spent)} of {limit}"
        spent += " today" if of_day else self._of_engine
        who = "other queries" if of_day else "other partitions"
        held = (
            f", requests of {who} in progress may cost {dollars(last.others)}, for which this query waited "
            f"{budget.PATIENCE:g} seconds" if last.others else ""
        )  # fmt: skip
        message = f"{spent}{held}, and the next request may cost up to {dollars(least)}"
        of = "max_cost_per_day of the engine" if of_day else f"max_cost{self._of_engine}"
        if least > budget.cap:
            advice = f"Raise {of} to at least {_rounded_up(least)} for this request{_SEE_ALL}"
            return BudgetExceeded(message, advice=advice, retryable=False)
        freed = f"when {who} have ended" if last.others else ""
        reset = "after midnight UTC, when the next day's limit begins," if of_day else ""
        when = " or ".join(filter(None, [freed, reset]))
        again = f"Run the query again {f'{when} ' if when else ''}for the remaining rows"
        return BudgetExceeded(message, advice=f"{again}, or raise {of}")


class UnansweredCosts:
    """What items have cost in requests that brought no answer for them."""

    def __init__(self) -> None:
        self._by_index: dict[int, float] = {}

    def charge(self, items: Sequence[Item], cost: float | None, rows: int) -> None:
        """Note the shares of ``items`` in what a request for ``rows`` of them cost."""
        if cost is not None:
            for item in items:
                self._by_index[item.index] = self._by_index.get(item.index, 0.0) + cost / rows

    def added(self, item: Item, cost: float | None) -> float | None:
        """Return what an item has cost in all, with ``cost`` of the request that answered it."""
        before = self._by_index.pop(item.index, None) if self._by_index else None
        return cost if before is None else (cost or 0.0) + before


def cost_of_failure(error: HuggingFaceError) -> float | None:
    """Return the USD that a failed request cost; ``None``: it may have been carried out and billed."""
    if error.cost is not None:
        return error.cost
    is_lost = isinstance(error, (ServiceTimeout, ConnectionFailed, InvalidAnswer)) or error.status in _NO_RESPONSE
    # The answer is an error, such as that of a filter; a service may say that with status 200 as well.
    is_success = error.status is not None and error.status < 300 and not isinstance(error, _NOT_BEGUN)
    return None if error.usage is not None or is_lost or is_success else 0.0


def _plain(amount: float) -> str:
    """Return a number as a statement accepts it: MindsDB's parser rejects exponents."""
    return f"{amount:.15f}".rstrip("0").rstrip(".")


def _rounded_up(amount: float) -> str:
    """Return an amount of USD for a statement, with two digits, and not less than it is."""
    step = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return f"{math.ceil(amount / step - ROUNDING) * step:.{max(0, -math.floor(math.log10(step)))}f}"
