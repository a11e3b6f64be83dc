"""The argument ``price``: which fields it has, and which of them a task is billed by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..tasks.task import Kind, Task
from .coercion import BadValue, read_value, shown
from .specs import ArgumentSpec

#: Fields that every task can be billed by: a second, and a request.
_OF_ANY_TASK = ("second", "request")
_FIELDS = ("input", "output", *_OF_ANY_TASK)
#: Beyond the bound, sums of costs would not be finite.
_USD = ArgumentSpec("price", "number", "", least=0, most=1_000_000)
#: Prices of tokens in examples: of a task that is billed by input and output, and by input alone.
_INPUT_OUTPUT, _INPUT = (0.6, 0.8), (0.02,)


def check_price(fields: dict[str, Any]) -> dict[str, float]:
    """Return a price in USD by what is billed.

    Raises:
        BadValue: for other fields, no field, and anything but numbers from 0.
    """
    price: dict[str, float] = {}
    for name, value in fields.items():
        if name not in _FIELDS:
            raise BadValue(
                "must have only the fields input and output (USD per million tokens), second and request, "
                f"not {shown(name)}"
            )
        try:
            price[name] = read_value(_USD, value)
        except BadValue as fault:
            raise BadValue(f"has a wrong {name}, which {fault}") from None
    if not price:
        raise BadValue("is empty")
    return price


def price_fault(price: Mapping[str, float], task: Task, *, timed: bool = False) -> str | None:
    """Return why requests of a task cannot be billed by a price; ``None`` if they can.

    The text follows the argument's name in a message.

    Args:
        timed: see ``price_example``.
    """
    tokens = task.billed_tokens
    wrong = [name for name, usd in price.items() if usd and name not in (*tokens, *_OF_ANY_TASK)]
    if wrong:
        return (
            f"has the field {wrong[0]}, but no service reports {wrong[0]} tokens of {task.name}: "
            f"write price = {price_example(task, timed=timed)[0]}"
        )
    given = {name: price[name] for name in tokens if name in price}
    missing = [name for name in tokens if name not in price]
    if given and missing:
        both = json.dumps({name: price.get(name, usd) for name, usd in zip(tokens, _INPUT_OUTPUT, strict=True)})
        return (
            f"has {next(iter(given))} without {missing[0]}, and {task.name} is billed by both: write, for example, "
            f"price = {both}, with 0 for what is free"
        )
    return None


def price_example(task: Task, *, timed: bool = False) -> tuple[str, str]:
    """Return a price of a task for a message, as it is written in USING, and its unit.

    Args:
        timed: requests go to hf-inference or to an endpoint, where a second of compute is billed.
    """
    if task.chat or (task.billed_tokens and task.inputs[0].kind is Kind.TEXT and not timed):
        both = len(task.billed_tokens) == len(_INPUT_OUTPUT)
        price = dict(zip(task.billed_tokens, _INPUT_OUTPUT if both else _INPUT, strict=True))
        return json.dumps(price), "USD per million tokens"
    return ('{"second": 0.00012}', "USD per second of compute") if timed else ('{"request": 0.003}', "USD per request")
