"""What a query may spend: ``max_cost`` and ``max_cost_per_day``, from the arguments to the scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from ..arguments import EngineSettings, ModelSettings
from ..cache import Cache, NoCache
from ..cache.budgets import HELD_FOR
from ..errors import SettingsError
from ..scheduling.batches import Item
from ..scheduling.budget import CostBudget, DailyBudget
from ..tasks import TASKS
from ..tasks.task import Task
from .cost import Price, upper_estimate
from .inputs import Caller


def cost_budget(
    model: ModelSettings, engine: EngineSettings, caller: Caller, price: Price | None, store: Cache
) -> CostBudget | None:
    """Return what one query of a model may spend; ``None``: it has no limit of cost.

    Args:
        price: the highest that requests may be billed by; ``None``: it is not known.
        store: where all workers count what they spend.

    Raises:
        SettingsError: the cost cannot be limited, since nobody knows the price or the store keeps nothing.
    """
    execution, task = model.execution, TASKS[model.task]
    if execution.max_cost is None and execution.max_cost_per_day is None:
        return None
    if price is None:
        raise _unknown_price(model, task)
    daily = None
    if execution.max_cost_per_day is not None:
        if isinstance(store, NoCache):
            raise SettingsError(
                "max_cost_per_day needs a cache, in which all workers count what they spend, and MindsDB's cache is "
                "off",
                advice="Set the cache of MindsDB's configuration to local or redis, or create the engine with max_cost "
                "in place of max_cost_per_day",
            )
        name = lru_cache(maxsize=2)(caller.budget)
        daily = DailyBudget(execution.max_cost_per_day, lambda now: name(_today()), HELD_FOR)
    of_engine = execution.max_cost is not None and execution.max_cost == engine.execution.get("max_cost")
    return CostBudget(_at_most(model, task, price), execution.max_cost, daily, of_engine=of_engine)


def _unknown_price(model: ModelSettings, task: Task) -> SettingsError:
    """Return the refusal of a cap where nobody knows what a request costs."""
    cap = "max_cost" if model.execution.max_cost is not None else "max_cost_per_day"
    if task.chat:
        argument, unit = '{"input": 0.6, "output": 0.8}', "USD per million tokens"
    elif model.endpoint is not None or model.providers[0] == "hf-inference":
        argument, unit = '{"second": 0.00012}', "USD per second of compute"
    else:
        argument, unit = '{"request": 0.003}', "USD per request"
    where = "RETRAIN the model" if cap == "max_cost" else "Create the engine or RETRAIN the model"
    name, providers = model.model or model.endpoint, model.providers
    several = f"not all of {', '.join(providers)} publish a price of {name}"
    return SettingsError(
        f"{cap} needs a price, and {several if len(providers) > 1 else f'no price of {name} is published'}",
        advice=f"{where} with price = {argument}, in {unit}",
    )


def _at_most(model: ModelSettings, task: Task, price: Price) -> Callable[[Sequence[Item]], float]:
    arguments, timeout = model.arguments(), model.execution.timeout

    def at_most(items: Sequence[Item]) -> float:
        return upper_estimate(items, arguments, price, task=task, timeout=timeout) or 0.0

    return at_most


def _today() -> str:
    """Return the day in UTC. The clock of a run has no date, and stops while a machine sleeps."""
    return time.strftime("%Y-%m-%d", time.gmtime())
