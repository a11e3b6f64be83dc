"""What a query may spend: ``max_cost`` and ``max_cost_per_day``, from the arguments to the scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from ..arguments import EngineSettings, ModelSettings
from ..arguments.price import price_example, price_fault
from ..cache import Cache, NoCache
from ..cache.budgets import HELD_FOR
from ..errors import SettingsError
from ..scheduling.batches import Item
from ..scheduling.budget import CostBudget, SharedBudget
from ..tasks import TASKS
from ..tasks.task import Task
from .caller import Caller
from .cost import Price, given_price, upper_estimate
from .sql import retrain
from .stopping import Statement


def cost_budget(
    model: ModelSettings,
    engine: EngineSettings,
    caller: Caller,
    price: Price | None,
    store: Cache,
    statement: Statement | None = None,
) -> CostBudget | None:
    """Return what one query of a model may spend; ``None``: it has no limit of cost.

    Args:
        price: the highest that requests may be billed by; ``None``: it is not known.
        store: where all workers count what they spend.
        statement: of which the query may be a partition. Its partitions share ``max_cost`` if the store keeps anything.

    Raises:
        SettingsError: the cost cannot be limited, since nobody knows the price or the store keeps nothing.
    """
    execution, task = model.execution, TASKS[model.task]
    if execution.max_cost is None and execution.max_cost_per_day is None:
        return None
    if price is None:
        raise _unknown_price(model, engine, caller)
    daily = None
    if execution.max_cost_per_day is not None:
        if isinstance(store, NoCache):
            raise SettingsError(
                "max_cost_per_day needs MindsDB's cache, in which all workers record what they spend, and the "
                "cache is off",
                advice="Set cache.type in MindsDB's configuration to local or redis, or create the engine with "
                "max_cost instead of max_cost_per_day",
            )
        name = lru_cache(maxsize=2)(caller.budget)
        daily = SharedBudget(execution.max_cost_per_day, lambda now: name(_today()), HELD_FOR)
    max_cost = execution.max_cost
    partitions: SharedBudget | None = None
    of_engine = max_cost is not None and max_cost == engine.execution.get("max_cost")
    if max_cost is not None and statement is not None and statement.names and not isinstance(store, NoCache):
        budget = caller.fact("budget", statement.names[0])
        partitions = SharedBudget(max_cost, lambda now: budget, HELD_FOR)
        max_cost = None
    return CostBudget(_at_most(model, task, price), max_cost, daily, statement=partitions, of_engine=of_engine)


def _unknown_price(model: ModelSettings, engine: EngineSettings, caller: Caller) -> SettingsError:
    """Return the refusal of a limit if nobody knows what a request costs."""
    cap, task = "max_cost" if model.execution.max_cost is not None else "max_cost_per_day", TASKS[model.task]
    name, providers = model.model or model.endpoint, model.providers
    unknown = f"no price of {name} is published"
    if len(providers) > 1:
        unknown = f"not all of {', '.join(providers)} publish a price of {name}"
    given = given_price(model, engine)
    fault = None if given is None else price_fault(given[0], task)
    if given is not None and fault is not None:
        unknown += f"; that of the {given[1]} {fault.partition(': write')[0]}"
    price, unit = price_example(task, timed=model.is_timed)
    statement = retrain(model, caller, price=price)
    return SettingsError(
        f"{cap} needs a price in {unit}, and {unknown}",
        advice=f"Write the service's own price in this statement: {statement}"
        if statement
        else f"RETRAIN the model with price = {price} and, since USING replaces all arguments, with its other ones",
    )


def _at_most(model: ModelSettings, task: Task, price: Price) -> Callable[[Sequence[Item]], float]:
    arguments, timeout = model.arguments(), model.execution.timeout

    def at_most(items: Sequence[Item]) -> float:
        return upper_estimate(items, arguments, price, task=task, timeout=timeout) or 0.0

    return at_most


def _today() -> str:
    """Return the day in UTC. The clock of a run has no date, and stops while a machine sleeps."""
    return time.strftime("%Y-%m-%d", time.gmtime())
