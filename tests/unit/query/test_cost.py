"""Prices, and the most that a request may cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.arguments.template import Prompt, parse_template
from huggingface_api_handler.query.cost import MEDIUM_TOKENS, OUTPUT_TOKENS, Price, own_price, upper_estimate
from huggingface_api_handler.sandbox.fake_chat import count_tokens
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments

CHAT = TASKS["chat-completion"]
PRICE = Price(input=2.0, output=4.0)


def item(*payload: Any) -> Item:
    return Item(0, "key", payload)


def upper(*items: Item, price: Price | None = PRICE, timeout: float = 60.0, **parameters: Any) -> float | None:
    return upper_estimate(items, Arguments(parameters=parameters), price, task=CHAT, timeout=timeout)


# --- prices ---


def test_a_price_charges_for_what_it_names() -> None:
    assert PRICE.cost(1_000_000, 500_000, None) == 4.0
    assert Price(second=0.5).cost(None, None, 3.0) == 1.5
    assert Price(request=0.003).cost(None, None, None) == 0.003
    assert Price(input=1.0, request=0.5).cost(1_000_000, None, None, requests=2) == 2.0


def test_a_cost_is_unknown_where_an_amount_is() -> None:
    assert PRICE.cost(None, 10, 1.0) is None
    assert PRICE.cost(10, None, 1.0) is None
    assert Price(second=0.5).cost(10, 10, None) is None


def test_a_free_model_costs_nothing() -> None:
    assert Price().cost(None, None, None) == 0.0


def settings(engine_price: Any, model_price: Any) -> Price | None:
    engine = engine_settings({"price": engine_price}, environ={}, login=lambda: None)
    using = {"task": "chat-completion", "input_column": "text", "price": model_price}
    return own_price(model_settings(using, engine, hub=lambda *_: None), engine)


@pytest.mark.parametrize(
    ("engine", "model", "price"),
    [
        (None, None, None),
        ({"second": 1}, None, Price(second=1.0, source="engine")),
        ({"second": 1}, {"input": 2, "output": 3}, Price(input=2.0, output=3.0, source="model")),
        (None, '{"request": 0.003}', Price(request=0.003, source="model")),
    ],
)
def test_the_models_price_replaces_the_engines(engine: Any, model: Any, price: Price | None) -> None:
    assert settings(engine, model) == price


# --- the most that a request may cost ---


def test_without_a_price_there_is_no_estimate() -> None:
    assert upper(item("hello", None), price=None) is None


def test_an_answer_counts_in_full() -> None:
    limited, unlimited = upper(item("hello", None), max_tokens=1000), upper(item("hello", None))
    assert limited is not None and unlimited is not None
    assert limited - unlimited == pytest.approx((1000 - OUTPUT_TOKENS) * 4.0 / 1e6, abs=1e-4)


def test_a_second_counts_until_the_timeout() -> None:
    assert upper(item("hello", None), price=Price(second=0.01, request=1.0), timeout=30.0) == pytest.approx(1.3)


def test_an_image_counts_as_the_largest() -> None:
    with_image, without = upper(item("hello", b"image")), upper(item("hello", None))
    assert with_image is not None and without is not None
    assert with_image - without == pytest.approx(MEDIUM_TOKENS * 2.0 / 1e6)


def test_a_request_for_more_rows_costs_more() -> None:
    one, two = upper(item("hello", None)), upper(item("hello", None), item("hello", None))
    assert one is not None and two == pytest.approx(2 * one)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 10_000))
def test_a_text_never_has_more_tokens_than_estimated(prompt: str, system: str, most: int) -> None:
    arguments = Arguments(values={"system_prompt": system}, parameters={"max_tokens": most})
    template = parse_template("Say: {{text}} {{text}}")
    for payload, text in ((prompt, prompt), (Prompt(template, (prompt,)), f"Say: {prompt} {prompt}")):
        estimate = upper_estimate([item(payload, None)], arguments, PRICE, task=CHAT, timeout=60.0)
        true = PRICE.cost(count_tokens(text) + 4 + count_tokens(system) + 4, most, None)
        assert estimate is not None and true is not None and estimate >= true
        assert estimate >= (len(text.encode("utf-8", "surrogatepass")) * 2.0 + most * 4.0) / 1e6
