"""Prices, what is expected of a query, what it costs, and the most that a request may cost."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.arguments import engine_settings, model_settings, query_settings
from huggingface_api_handler.arguments.schema import read_schema
from huggingface_api_handler.arguments.template import Prompt, parse_template
from huggingface_api_handler.cache import Cache, NoCache, RedisCache, SqliteCache
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.hub.facts import is_hub
from huggingface_api_handler.hub.prices import Offer
from huggingface_api_handler.protocols import chat
from huggingface_api_handler.protocols.base import Fields
from huggingface_api_handler.protocols.chat import encode_chat, with_response_format
from huggingface_api_handler.protocols.usage import Usage
from huggingface_api_handler.query import cost
from huggingface_api_handler.query.budget import cost_budget
from huggingface_api_handler.query.cost import (
    MEDIUM_TOKENS,
    OUTPUT_TOKENS,
    Learned,
    Price,
    PriceList,
    own_price,
    price_list,
    upper_estimate,
)
from huggingface_api_handler.query.describe import Description, describe
from huggingface_api_handler.query.execution import ResultCollector
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.usage import dollars
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.fake_chat import count_tokens, usage
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.retry import RetryPolicy
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments

from ..cache.conftest import RedisServer
from ..end_to_end import CALLER

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
    engine = engine_settings({"price": engine_price}, environ={})
    using = {"task": "chat-completion", "input_column": "text", "price": model_price}
    return own_price(model_settings(using, engine, hub=lambda *_: None), engine)


@pytest.mark.parametrize(
    ("engine", "model", "price"),
    [
        (None, None, None),
        ({"second": 1}, None, Price(second=1.0, source="engine")),
        ({"second": 1}, {"input": 2, "output": 3}, Price(input=2.0, output=3.0, source="model")),
        (None, '{"request": 0.003}', Price(request=0.003, source="model")),
        (None, '{"request": 1e-7}', Price(request=1e-7, source="model")),
        ({"input": 0.6}, None, None),  # the output would be free
        ({"input": 0.6, "second": 1}, {"input": 2, "output": 0}, Price(input=2.0, source="model")),
    ],
)
def test_the_models_price_replaces_the_engines(engine: Any, model: Any, price: Price | None) -> None:
    assert settings(engine, model) == price


@pytest.mark.parametrize("engine", [None, {"input": 1, "output": 2}])
def test_a_models_price_without_what_is_billed_is_none(engine: Any) -> None:
    """Older versions stored such prices; by them, the output would be free."""
    of = engine_settings({"price": engine}, environ={})
    using = {"task": "chat-completion", "input_column": "text", "max_cost": 1}
    model = replace(model_settings(using, of, hub=lambda *_: None), price={"input": 2.0})
    assert own_price(model, of) is None
    with pytest.raises(SettingsError, match="; that of the model has input without output, and chat-completion is bil"):
        cost_budget(model, of, CALLER, None, NoCache())


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
    assert one is not None and two is not None
    assert two > 2 * one  # they share a prompt, which says more


@given(st.text(min_size=1), st.text(min_size=1), st.integers(1, 10_000))
def test_a_text_never_has_more_tokens_than_estimated(prompt: str, system: str, most: int) -> None:
    arguments = Arguments(values={"system_prompt": system}, parameters={"max_tokens": most})
    template = parse_template("Say: {{text}} {{text}}")
    for payload, text in ((prompt, prompt), (Prompt(template, (prompt,)), f"Say: {prompt} {prompt}")):
        estimate = upper_estimate([item(payload, None)], arguments, PRICE, task=CHAT, timeout=60.0)
        true = PRICE.cost(count_tokens(text) + 4 + count_tokens(system) + 4, most, None)
        assert estimate is not None and true is not None and estimate >= true
        assert estimate >= (len(text.encode("utf-8", "surrogatepass")) * 2.0 + most * 4.0) / 1e6


@pytest.mark.parametrize("misfit", [None, ("x" * 20_000, "urgent is no boolean " * 50)])
@pytest.mark.parametrize("form", ["schema", "object with schema", "prompt"])
def test_instructions_examples_and_repairs_are_in_the_estimate(form: str, misfit: Any) -> None:
    fields = {f"field_{at}": {"type": "text", "enum": ["good", "bad"], "description": "d" * 200} for at in range(20)}
    values = {"system_prompt": "Be brief. " * 30, "output_schema": fields, "examples": [("in " * 50, '{"a": 1}')] * 5}
    arguments = Arguments(values=values, parameters={"max_tokens": 300})
    estimate = upper_estimate([item("hello", None)], arguments, Price(input=1e6), task=CHAT, timeout=60.0)
    asked = replace(with_response_format(arguments, form), misfit=misfit and (misfit[0][:300], misfit[1]))
    body = encode_chat([("hello", None)], asked, Fields(root=dict(asked.parameters))).root
    true = usage(body, {})["prompt_tokens"] + count_tokens(json.dumps(body.get("response_format", "")))
    assert estimate is not None and estimate >= true


# --- which price a request is billed by ---

GROQ = Offer("groq", input=0.6, output=0.8, throughput=400.0)
NOVITA = Offer("novita", input=1.0, output=0.2)


def test_a_price_list_knows_the_provider_that_answered() -> None:
    prices = PriceList(offers=(GROQ, NOVITA), seen=5.0)
    million = Usage(1_000_000, 1_000_000)
    assert prices.of("novita") == Price(1.0, 0.2, source="router", seen=5.0)
    assert prices.cost(replace(million, provider="novita")) == (1.2, "computed")
    assert prices.cost(million, "novita") == (1.2, "computed")
    assert prices.cost(replace(million, provider="novita", cost=3.0)) == (3.0, "reported")
    assert prices.cost(replace(million, provider="stranger")) == (None, None)
    assert prices.cost(Usage(provider="novita")) == (None, None)


def test_a_reported_cost_counts_unless_it_is_0_and_the_price_is_not() -> None:
    """Gateways report 0 for models whose price they do not know."""
    used = Usage(1_000_000, 0, cost=0.25)
    free = replace(used, cost=0.0)
    prices = PriceList(own=Price(input=2.0, output=1.0))
    assert prices.cost(used) == (0.25, "reported")
    assert prices.cost(free) == (2.0, "computed")
    assert prices.cost(replace(free, input_tokens=None)) == (None, None)
    assert PriceList(own=Price()).cost(free) == PriceList().cost(free) == (0.0, "reported")


def test_a_price_of_an_argument_holds_for_all_providers() -> None:
    prices = PriceList(own=PRICE, offers=(GROQ,))
    assert prices.expected == prices.highest == prices.of("groq") == prices.of(None) == PRICE


def test_no_provider_that_may_answer_is_dearer_than_the_highest_price() -> None:
    assert PriceList(offers=(GROQ, NOVITA)).highest == Price(1.0, 0.8, source="router")
    assert PriceList(offers=(GROQ, NOVITA), wanted=("groq",)).highest == Price(0.6, 0.8, source="router")
    assert PriceList(offers=(GROQ, NOVITA), wanted=("cheapest",)).expected == Price(1.0, 0.2, source="router")
    assert PriceList().highest is None and PriceList().expected is None


@pytest.mark.parametrize("wanted", [("groq", "together"), ("together",), ("groq", "hf-inference")])
def test_a_named_provider_without_a_price_leaves_the_highest_price_unknown(wanted: tuple[str, ...]) -> None:
    assert PriceList(offers=(GROQ, NOVITA, Offer("together")), wanted=wanted).highest is None


# --- what is learned ---


def test_nothing_is_learned_from_no_answers() -> None:
    assert Learned.of({}) == Learned()
    assert Learned().cost(item("x" * 100, None), None, Arguments(), 1) is None
    size = Item(0, "key", ("x" * 100, None), size=100)
    assert Learned().cost(size, Price(input=1e6), Arguments(values={"system_prompt": "y" * 100}), 1) == 60.0
    assert Learned().cost(size, Price(output=1e6), Arguments(), 1) == OUTPUT_TOKENS
    assert Learned().cost(size, Price(output=1e6), Arguments(parameters={"max_tokens": 9}), 1) == 9
    assert Learned().cost(size, Price(request=1.0), Arguments(), 4) == 0.25
    assert Learned().cost(size, Price(second=1.0), Arguments(), 1) is None


def test_what_answers_show_is_learned() -> None:
    learned = Learned.of(
        {
            "input_tokens": 500, "input_size": 1000, "output_tokens": 300, "output_rows": 10, "billed_seconds": 2.0,
            "billed_rows": 20, "latency_ms:5": 3, "latency_ms:9": 1, "answered": 16,
        }
    )  # fmt: skip
    assert learned == Learned(0.5, 30.0, 0.1, 0.25)
    size = Item(0, "key", ("x" * 100, None), size=100)
    price = Price(input=1e6, output=1e6, second=1.0, request=1.0)
    assert learned.cost(size, price, Arguments(), 1) == pytest.approx(50 + 30 + 0.1 + 0.25)
    assert learned.cost(size, price, Arguments(parameters={"max_tokens": 9}), 1) == pytest.approx(50 + 9 + 0.1 + 0.25)


# --- against the sandbox ---

TOKEN = "hf_" + "x" * 34


@pytest.fixture(autouse=True)
def _hub(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.reset()
    monkeypatch.setenv("HF_ENDPOINT", sandbox.hub_url)


class Bench:
    """A model in the sandbox."""

    def __init__(self, sandbox: Sandbox, store: Cache, task: str = "chat-completion", **using: Any) -> None:
        self.engine = engine_settings({"base_url": sandbox.url, "api_key": TOKEN}, environ={})
        using = {"task": task, "input_column": "text", "model_name": f"sandbox/{task}", **using}
        self.model = model_settings(using, self.engine, hub=lambda *_: None)
        self.runtime = Runtime()
        self.store = store

    def run(self, texts: Sequence[str | None], **overrides: Any) -> pd.DataFrame:
        model = query_settings(self.model, self.engine, overrides)
        retry = RetryPolicy(model.execution.max_retries, base=0.01, cap=0.02)
        query = Prediction(model, self.engine, CALLER, self.runtime, self.store, retry)
        return query.run(pd.DataFrame({"text": texts}, dtype=object))

    def meta(self, texts: Sequence[str | None], **overrides: Any) -> list[dict[str, Any]]:
        found = self.run(texts, include_meta=True, on_error="null", **overrides)["y_meta"]
        return [json.loads(cell) for cell in found]

    def describe(self, table: str) -> list[dict[str, Any]]:
        found = describe(Description(self.model, self.engine, CALLER, self.store, self.runtime), table)
        return [{str(name): value for name, value in row.items()} for row in found.to_dict("records")]

    def usage(self) -> dict[str, Any]:
        return {row["measure"]: row["value"] for row in self.describe("usage")}


def billed(sandbox: Sandbox, model: str = "sandbox/chat-completion") -> float:
    return sandbox.usage()[model].cost


TEXTS = [f"review number {number}: " + "good " * (number % 7) for number in range(40)]


@pytest.mark.parametrize(
    ("using", "faults", "provider", "source"),
    [
        ({}, {}, "groq", "computed"),
        ({"provider": "cheapest"}, {}, "novita", "computed"),
        ({"provider": "together"}, {}, "together", "computed"),
        ({}, {"cost_field": "estimated_cost"}, "groq", "reported"),
        ({}, {"cost_field": "cost"}, "groq", "reported"),
    ],
)
def test_a_chat_costs_what_its_provider_bills(
    sandbox: Sandbox, store: Cache, using: dict[str, Any], faults: dict[str, Any], provider: str, source: str
) -> None:
    bench = Bench(sandbox, store, **using)
    sandbox.faults = faults
    meta = bench.meta([*TEXTS, TEXTS[0], None])
    assert {(one["provider"], one["cost_source"]) for one in meta[:40]} == {(provider, source)}
    assert [(one["source"], one["cost"], one["input_tokens"]) for one in meta[40:]] == [
        ("duplicate", 0, 0), ("null", 0, 0)
    ]  # fmt: skip
    assert sum(one["cost"] for one in meta) == pytest.approx(billed(sandbox), abs=1e-9)
    used, counted = sandbox.usage()["sandbox/chat-completion"], bench.usage()
    assert (counted["input_tokens"], counted["output_tokens"]) == (used.input_tokens, used.output_tokens)
    assert counted["cost"] == pytest.approx(billed(sandbox), abs=1e-9)
    assert bench.describe("runs")[0]["cost"] == pytest.approx(billed(sandbox), abs=1e-9)
    again = bench.meta(TEXTS)
    assert {(one["source"], one["cost"], one["provider"]) for one in again} == {("cache", 0, provider)}
    assert bench.usage()["cost"] == counted["cost"]


def test_a_row_of_a_list_costs_its_share(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store, "text-classification", price={"second": 0.00012})
    sandbox.faults = {"latency_per_item": 0.002}
    meta = bench.meta(TEXTS)
    requests = len(sandbox.inference_requests())
    assert requests < len(TEXTS)
    assert {one["cost_source"] for one in meta} == {"computed"}
    assert sum(one["cost"] for one in meta) == pytest.approx(bench.usage()["cost"], abs=1e-9)
    assert bench.usage()["cost"] == pytest.approx(billed(sandbox, "sandbox/text-classification"), rel=1e-3)


def test_a_cost_that_nobody_knows_is_null(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store, "text-classification")
    assert {one["cost"] for one in bench.meta(TEXTS)} == {None}
    usage = bench.usage()
    assert usage["cost"] is None
    assert usage["unpriced"] == len(sandbox.inference_requests())
    assert bench.describe("runs")[0]["cost"] is None


def test_an_answer_that_is_refused_is_billed(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store)
    sandbox.faults = {"rules": [{"kind": "reasoning", "style": "cut", "probability": 0.3}]}
    frame = bench.run(TEXTS, include_meta=True, on_error="null")
    costs = [json.loads(cell)["cost"] for cell in frame["y_meta"]]
    refused = [cost for cost, code in zip(costs, frame["y_error_type"], strict=True) if code == "invalid_answer"]
    assert refused and all(cost > 0 for cost in refused)
    assert sum(costs) == pytest.approx(billed(sandbox), abs=1e-9)
    assert bench.usage()["cost"] == pytest.approx(billed(sandbox), abs=1e-9)


def test_lists_that_come_back_short_are_billed_each_time(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store, "text-classification", price={"request": 0.001})
    sandbox.faults = {"rules": [{"kind": "wrong_count", "lists": True, "next": 5}]}
    meta = bench.meta(TEXTS)
    requests = len(sandbox.inference_requests())
    assert sum(one["cost"] for one in meta) == pytest.approx(0.001 * requests, abs=1e-9)
    assert bench.usage()["cost"] == pytest.approx(0.001 * requests, abs=1e-9)


def test_refusals_cost_nothing(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store)
    sandbox.faults = {"rules": [{"kind": "status", "status": 503, "probability": 0.3}]}
    meta = bench.meta(TEXTS)
    assert sum(one["attempts"] for one in meta) > len(TEXTS)
    assert sum(one["cost"] for one in meta) == pytest.approx(billed(sandbox), abs=1e-9)


# --- who is asked for prices ---


def asked(sandbox: Sandbox) -> int:
    return sum(record.path.startswith("/v1/models/") for record in sandbox.requests)


def test_the_router_is_asked_once_an_hour(sandbox: Sandbox, store: Cache) -> None:
    bench, now = Bench(sandbox, store), 1e9
    prices = [
        price_list(bench.model, bench.engine, CALLER, bench.runtime, store, now=lambda at=at: now + at)
        for at in (0.0, 10.0, 3590.0, 3610.0)
    ]
    assert asked(sandbox) == 2
    assert [one.seen for one in prices] == [now, now, now, now + 3610.0]
    assert {len(one.offers) for one in prices} == {3}


def test_old_prices_are_used_while_the_router_does_not_answer(
    sandbox: Sandbox, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(sandbox, store)
    at = [1e9]

    def prices() -> PriceList:
        return price_list(bench.model, bench.engine, CALLER, bench.runtime, store, now=lambda: at[0])

    before = prices()
    silent: list[str] = []
    monkeypatch.setattr(cost, "published", lambda *_: silent.append("asked"))
    at[0] += 4000.0
    assert prices() == before
    at[0] += 10.0
    assert prices() == before
    assert silent == ["asked"]


def test_a_router_that_was_never_heard_is_asked_again_soon(store: Cache, sandbox: Sandbox) -> None:
    bench = Bench(sandbox, store)
    silent: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "published", lambda *_: silent.append("asked"))
        for at in (0.0, 10.0, 70.0):
            found = price_list(bench.model, bench.engine, CALLER, bench.runtime, store, now=lambda at=at: 1e9 + at)
            assert found.expected is None
    assert len(silent) == 2


@pytest.mark.parametrize("saved", [3, [], {"offers": []}, [[{"name": "x"}], None, 0], [None, None, None], "x"])
def test_a_fact_of_another_version_is_no_price(sandbox: Sandbox, saved: Any) -> None:
    class Store(NoCache):
        def get_fact(self, name: str) -> Any:
            return saved

    bench = Bench(sandbox, Store())
    assert len(price_list(bench.model, bench.engine, CALLER, bench.runtime, bench.store).offers) == 3


@pytest.mark.parametrize(
    ("task", "using"),
    [
        ("text-classification", {}),
        ("chat-completion", {"endpoint": "{hub}/endpoints/openai/sandbox/chat-completion", "model_name": None}),
    ],
)
def test_only_chats_of_the_router_have_published_prices(
    sandbox: Sandbox, store: Cache, task: str, using: dict[str, Any]
) -> None:
    using = {name: value and value.format(hub=sandbox.hub_url) for name, value in using.items()}
    bench = Bench(sandbox, store, task, **using)
    bench.run(TEXTS[:2])
    assert asked(sandbox) == 0


def test_a_gateway_that_is_not_hugging_face_is_not_asked(
    sandbox: Sandbox, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    bench = Bench(sandbox, store)
    assert {one["cost"] for one in bench.meta(TEXTS[:3])} == {None}
    assert asked(sandbox) == 0


# --- before a query ---


def test_a_dry_run_tells_the_cost(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store, max_tokens=8)
    bench.run(TEXTS[:5])
    sent = len(sandbox.inference_requests())
    plan = bench.run([TEXTS[0], TEXTS[6], TEXTS[6], None], dry_run=True)
    assert plan["y_plan"].tolist() == ["cache", "request", "duplicate", "null"]
    costs = plan["y_cost"].tolist()
    assert costs[1] > 0 and [costs[0], *costs[2:]] == [0, 0, 0]
    assert len(sandbox.inference_requests()) == sent


def test_a_dry_run_does_not_guess_a_price(sandbox: Sandbox, store: Cache) -> None:
    plan = Bench(sandbox, store, "text-classification").run([TEXTS[0], TEXTS[0], None], dry_run=True)
    assert plan["y_cost"].isna().tolist() == [True, False, False]
    assert str(plan["y_cost"].dtype) == "float64"


@pytest.mark.parametrize("rows", [1, 2, 5, 20, 100, 400])
@pytest.mark.parametrize(
    ("using", "factor"),
    [
        ({"task": "text-classification", "price": {"request": 0.001}}, 3.0),
        ({"task": "text-classification", "price": {"request": 0.001}, "max_batch_size": 4, "max_concurrency": 2}, 3.0),
        ({"task": "chat-completion", "price": {"request": 0.001}}, 1.01),
        ({"task": "chat-completion", "price": {"request": 0.001}, "rows_per_request": 20}, 1.01),
        ({"task": "chat-completion", "price": {"input": 100, "output": 0}, "rows_per_request": 20}, 3.0),
        (
            {"task": "chat-completion", "price": {"input": 0, "output": 100}, "rows_per_request": 8, "max_tokens": 8},
            2.5,
        ),
        ({"task": "chat-completion", "price": {"request": 0.001}, "rows_per_request": 8, "audit": 1.0}, 1.01),
    ],
)
def test_a_dry_run_before_any_answer_is_close(
    sandbox: Sandbox, store: Cache, rows: int, using: dict[str, Any], factor: float
) -> None:
    texts = [f"review number {number} of a kettle" for number in range(rows)]
    bench = Bench(sandbox, store, **using)
    expected = bench.run(texts, dry_run=True)["y_cost"].sum()
    bench.run(texts)
    assert 1 / factor <= expected / bench.usage()["cost"] <= factor, (expected, bench.usage()["cost"])


def test_a_row_has_a_request_of_its_own_where_the_provider_takes_no_lists(store: Cache, sandbox: Sandbox) -> None:
    lists = Bench(sandbox, store, "text-generation", price={"request": 1.0})
    alone = Bench(sandbox, store, "text-generation", provider="featherless-ai", price={"request": 1.0})
    assert lists.run(TEXTS, dry_run=True)["y_cost"].sum() < len(TEXTS) / 2
    assert alone.run(TEXTS, dry_run=True)["y_cost"].tolist() == [1.0] * len(TEXTS)


WORDS = ["the", "delivery", "of", "this", "product", "was", "late", "its", "box", "had", "been", "opened", "at", "door"]
CHINESE = "这个产品的质量非常好我很喜欢但是送货时间太长了客服态度也不错下次还会再买"


def english(size: int, draw: random.Random) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(max(1, size // 5)))


def code(size: int, draw: random.Random) -> str:
    fields = {f"{draw.choice(WORDS)}_{n}": draw.choice([draw.random(), None, True, "x"]) for n in range(size // 20 + 1)}
    return json.dumps(fields)


def chinese(size: int, draw: random.Random) -> str:
    return "".join(draw.choice(CHINESE) if draw.random() < 0.8 else draw.choice("😀🚀，。👍") for _ in range(size))


@pytest.mark.parametrize("kind", [english, code, chinese])
def test_a_dry_run_on_a_thousand_texts_is_close(sandbox: Sandbox, store: Cache, kind: Any) -> None:
    draw = random.Random(7)
    texts = [kind(draw.choice([20, 60, 200, 600, 1500]), draw) + f" {number}" for number in range(1000)]
    bench = Bench(sandbox, store, max_tokens=40)
    before = bench.run(texts, dry_run=True)["y_cost"].sum()
    bench.run(texts[:50])
    first = billed(sandbox)
    after = bench.run(texts, dry_run=True)["y_cost"].sum()
    bench.run(texts, max_concurrency=32)
    true = billed(sandbox)
    assert 1 / 3 <= before / true <= 3
    assert after / (true - first) == pytest.approx(1, abs=0.2)


# --- in the log ---


def test_the_log_tells_the_cost_of_a_query(sandbox: Sandbox, store: Cache, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="huggingface_api_handler.query.pipeline"):
        bench = Bench(sandbox, store)
        bench.run([*TEXTS, *TEXTS, None])
        bench.run(TEXTS)
        Bench(sandbox, store, "text-classification").run(TEXTS)
    said = [record.getMessage() for record in caplog.records if "rows" in record.getMessage()]
    assert said == [
        f"m: 81 rows, 40 sent, {dollars(billed(sandbox))}",
        "m: 40 rows, 0 sent, $0.00",
        "m: 40 rows, 40 sent, unknown cost",
    ]


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, "unknown cost"), (0.0, "$0.00"), (0.42, "$0.42"), (1234.5, "$1,234.50"), (0.042, "$0.042"),
     (0.000123, "$0.00012")],
)  # fmt: skip
def test_dollars(amount: float | None, text: str) -> None:
    assert dollars(amount) == text


# --- DESCRIBE ---


def test_prices_are_described(sandbox: Sandbox, store: Cache) -> None:
    rows = Bench(sandbox, store, provider="cheapest").describe("prices")
    assert [(row["provider"], row["chosen"]) for row in rows] == [
        ("groq", False),
        ("together", False),
        ("novita", True),
    ]
    assert rows[0] | {"age_seconds": 0} == {
        "provider": "groq", "status": "live", "input": 0.6, "output": 0.8, "second": None, "request": None,
        "context_length": 131_072, "tools": True, "structured_output": True, "first_token_latency_ms": 210.0,
        "throughput": 420.5, "chosen": False, "source": "router", "age_seconds": 0,
    }  # fmt: skip


def test_the_price_of_an_argument_is_described(sandbox: Sandbox, store: Cache) -> None:
    (row,) = Bench(sandbox, store, "text-classification", price={"second": 0.00012}).describe("prices")
    assert (row["provider"], row["second"], row["chosen"], row["source"]) == (
        "hf-inference", 0.00012, True, "price of the model",
    )  # fmt: skip
    assert Bench(sandbox, store, "text-classification").describe("prices") == []


# --- over a kill ---


def _opened(place: str) -> Cache:
    return RedisCache(place) if place.startswith("redis:") else SqliteCache(place)


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store of its own is that several processes can open."""
    if request.param == "sqlite":
        yield str(tmp_path / "answers.sqlite")
        return
    server = RedisServer(tmp_path)
    server.start()
    yield server.url
    server.stop()


def _work(hub_url: str, place: str, texts: list[str]) -> None:
    engine = engine_settings({"base_url": f"{hub_url}/hf-inference", "api_key": TOKEN}, environ={})
    using = {"task": "chat-completion", "input_column": "text", "model_name": "sandbox/chat-completion"}
    model = model_settings({**using, "max_concurrency": 4}, engine, hub=lambda *_: None)
    Prediction(model, engine, CALLER, Runtime(), _opened(place)).run(pd.DataFrame({"text": texts}, dtype=object))


def test_no_cost_is_lost_or_counted_twice_over_kill_and_resume(sandbox: Sandbox, place: str) -> None:
    sandbox.faults = {"latency": 0.03}
    texts = [f"text {number}" for number in range(120)]
    worker = multiprocessing.get_context("spawn").Process(target=_work, args=(sandbox.hub_url, place, texts))
    worker.start()
    while not (used := sandbox.usage()) or used["sandbox/chat-completion"].requests < 40:
        assert worker.is_alive()
        time.sleep(0.01)
    os.kill(int(worker.pid or 0), signal.SIGKILL)
    worker.join()
    time.sleep(0.2)  # the sandbox answers what was under way
    sandbox.faults = {}
    store = _opened(place)
    bench = Bench(sandbox, store)
    meta = bench.meta(texts)
    usage, used_now = bench.usage(), sandbox.usage()["sandbox/chat-completion"]
    under_way = used_now.requests - len(texts)
    assert 0 <= under_way <= 4
    assert -1e-12 <= used_now.cost - usage["cost"] <= 1.05 * under_way * used_now.cost / used_now.requests + 1e-12
    assert sum(one["source"] == "cache" for one in meta) == store.usage(CALLER.scope)["cached"] >= 30
    store.close()


# --- the bill ---


def test_the_bill_shows_what_each_run_cost(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store)
    bench.run(TEXTS[:10])
    sandbox.faults = {"bill_delay": 1}
    (row,) = bench.describe("bill")
    assert (row["state"], row["billed"], row["reason"]) == ("pending", None, None)
    bench.run(TEXTS)
    rows = bench.describe("bill")
    assert {row["state"] for row in rows} == {"billed"}
    assert [row["billed"] for row in rows] == pytest.approx([row["computed"] for row in rows], abs=1e-8)
    assert sum(row["billed"] for row in rows) == pytest.approx(billed(sandbox), abs=1e-8)
    assert {record.session for record in sandbox.inference_requests()} == {row["run"] for row in rows}


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (
            {"bill_status": 403},
            "the token may not read the bill (HTTP 403). Give it the permission to read billing at "
            "https://huggingface.co/settings/tokens.",
        ),
        (
            {"bill_status": 401},
            "the token may not read the bill (HTTP 401). Give it the permission to read billing at "
            "https://huggingface.co/settings/tokens.",
        ),
        ({"bill_status": 503}, "the Hugging Face Hub cannot be reached"),
    ],
)
def test_a_bill_that_cannot_be_read_is_not_zero(
    sandbox: Sandbox, store: Cache, faults: dict[str, Any], reason: str
) -> None:
    bench = Bench(sandbox, store)
    bench.run(TEXTS[:3])
    sandbox.faults = faults
    (row,) = bench.describe("bill")
    assert (row["state"], row["billed"], row["reason"]) == ("unavailable", None, reason)
    assert row["computed"] > 0


def test_a_run_that_the_bill_does_not_list_is_not_expected_for_ever(
    sandbox: Sandbox, store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(sandbox, store)
    bench.run(TEXTS[:3])
    sandbox.faults = {"bill_missing": True}
    assert bench.describe("bill")[0]["state"] == "pending"
    later = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: later)
    (row,) = bench.describe("bill")
    assert (row["state"], row["reason"]) == ("unavailable", "Hugging Face has not listed the run within a day")


def test_a_run_that_has_sent_nothing_is_not_pending(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store, price={"request": 1.0})
    bench.run(TEXTS[:3], max_cost=0.5, on_error="null")
    waited = ResultCollector(CALLER, TASKS["chat-completion"], bench.model.execution, store, 3, [])
    waited.begin()
    states = {row["state"] for row in bench.describe("bill")}
    waited.end("waited")
    assert states == {"nothing_sent", "pending"}
    assert {row["state"] for row in bench.describe("bill")} == {"nothing_sent"}
    assert not sandbox.inference_requests()


def test_the_bill_of_an_organization(sandbox: Sandbox, store: Cache) -> None:
    bench = Bench(sandbox, store)
    bench.engine = replace(bench.engine, bill_to="my-org")
    bench.run(TEXTS[:3])
    (row,) = bench.describe("bill")
    assert row["billed"] == pytest.approx(billed(sandbox), abs=1e-8)
    assert any("/api/organizations/my-org/" in record.path for record in sandbox.requests)


def test_only_hugging_face_is_told_the_session(sandbox: Sandbox, store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://huggingface.co")
    elsewhere = Bench(sandbox, store, "text-classification")
    elsewhere.run(TEXTS[:3])
    assert {record.session for record in sandbox.inference_requests()} == {None}
    assert elsewhere.describe("bill")[0]["reason"] == "the requests do not go to Hugging Face"


@pytest.mark.parametrize(
    ("url", "hub", "is_at"),
    [
        ("https://router.huggingface.co/hf-inference", None, True),
        ("https://huggingface.co", None, True),
        ("http://router.huggingface.co/hf-inference", None, False),
        ("https://x.endpoints.huggingface.cloud", None, False),
        ("https://huggingface.co.example.com", None, False),
        ("https://evilhuggingface.co", None, False),
        ("https://mirror.example/hf-inference", "https://mirror.example", True),
        ("https://mirror.example:8443/hf-inference", "https://mirror.example", False),
        ("https://gateway.example/v1", "https://mirror.example", False),
        ("https://gateway.example/v1", "no url", False),
        ("https://router.huggingface.co/v1", "no url", True),
        ("https://mirror.example/v1", " https://mirror.example/ ", True),
    ],
)
def test_what_is_at_hugging_face(url: str, hub: str | None, is_at: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if hub is None:
        monkeypatch.delenv("HF_ENDPOINT")
    else:
        monkeypatch.setenv("HF_ENDPOINT", hub)
    assert is_hub(url) is is_at


def test_the_upper_estimate_of_a_chat_covers_all_that_is_sent() -> None:
    """A schema is sent twice, and a repair request has the last answer and what was wrong with it."""
    values = {
        "system_prompt": "Be brief. Answer in English.",
        "output_schema": read_schema("topic text, urgent boolean, mood text in (good, bad), tags list").stored,
        "examples": (("What a kettle!", '{"topic": "kettle"}'), ("It leaks.", '{"topic": "leak"}')),
    }
    row = "The kettle arrived with a dent."
    arguments = Arguments(values=values, parameters={"max_tokens": 50})
    asked = chat.messages({"role": "user", "content": row}, replace(arguments, misfit=("", "x" * 200)))
    asked_for = chat.with_response_format(arguments, "schema").parameters["response_format"]
    sent = sum(len(one["content"].encode()) + 16 for one in asked) + 50 + len(json.dumps(asked_for["json_schema"]))
    estimate = upper_estimate([item(row, None)], arguments, Price(input=1e6), task=CHAT, timeout=60.0)
    assert estimate is not None
    assert sent <= estimate <= 4 * sent
