"""The router's prices: what is read of them, and which of them is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from huggingface_api_handler.hub.prices import Offer, choose, models_url, offers_of, published
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.sandbox import Sandbox

from ..loopback import Loopback, Speak, answer, raw

CHAT = "sandbox/chat-completion"
DEAR = Offer("groq", input=0.6, output=0.8, throughput=400.0)
MIDDLE = Offer("together", input=0.4, output=0.5, throughput=130.0)
CHEAP = Offer("novita", input=0.1, output=0.2, throughput=25.0)
SILENT = Offer("hyperbolic")
DOWN = Offer("nebius", "error", input=9.0, output=9.0, throughput=900.0)
ALL = (CHEAP, DEAR, MIDDLE, SILENT, DOWN)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def ask(base_url: str, model: str = CHAT, timeout: float = 4.0) -> tuple[Offer, ...] | None:
    return published(Transport(UrlPolicy((base_url,))), models_url(base_url, model), "hf_token", timeout)


# --- what is read ---


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://router.huggingface.co/hf-inference", "https://router.huggingface.co/v1/models/org/a%20b"),
        ("http://127.0.0.1:8000/hf-inference/", "http://127.0.0.1:8000/v1/models/org/a%20b"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/models/org/a%20b"),
    ],
)
def test_the_router_of_a_base_url(base_url: str, url: str) -> None:
    assert models_url(base_url, "org/a b") == url


def test_offers_of_the_router(sandbox: Sandbox) -> None:
    sandbox.reset()
    found = ask(sandbox.url)
    assert found is not None
    assert found[0] == Offer("groq", "live", 0.6, 0.8, 131_072, True, True, 210.0, 420.5)
    assert [offer.provider for offer in found] == ["groq", "together", "novita"]


def test_a_free_provider_costs_nothing(sandbox: Sandbox) -> None:
    sandbox.faults = {"providers": {"groq": {"is_free": True, "pricing": None}, "novita": {"pricing": None}}}
    found = {offer.provider: (offer.input, offer.output) for offer in ask(sandbox.url) or ()}
    assert found == {"groq": (0.0, 0.0), "together": (0.4, 0.5), "novita": (None, None)}


def test_a_model_that_the_router_does_not_know_has_no_offers(sandbox: Sandbox) -> None:
    assert ask(sandbox.url, "sandbox/text-classification") == ()


@pytest.mark.parametrize(
    "speak",
    [
        answer({"error": "no"}, 500),
        answer({"error": "no"}, 401),
        answer({"error": "slow down"}, 429),
        answer("<html>login</html>", 200, "text/html"),
        answer([]),
        answer({"providers": 3}),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        raw(b""),
    ],
)
def test_a_router_that_does_not_answer_has_published_nothing(speak: Speak) -> None:
    with Loopback(speak) as server:
        assert ask(f"{server.url}/hf-inference") is None


def test_nobody_listens() -> None:
    with Loopback() as server:
        url = server.url
    assert ask(f"{url}/hf-inference") is None


@pytest.mark.parametrize("envelope", [lambda model: model, lambda model: {"data": model}])
def test_a_model_bare_or_in_an_envelope(envelope: Any) -> None:
    model = {"id": "a/b", "providers": [{"provider": "x", "pricing": {"input": 1, "output": 2}}]}
    with Loopback(answer(envelope(model))) as server:
        assert ask(f"{server.url}/hf-inference") == (Offer("x", input=1.0, output=2.0),)


def test_fields_of_other_types_are_not_known() -> None:
    entries = [
        3, {"status": "live"}, {"provider": ""},
        {"provider": "x", "status": None, "pricing": {"input": "1", "output": -2}, "context_length": True,
         "supports_tools": "yes", "throughput": float("inf")},
    ]  # fmt: skip
    assert list(offers_of(entries)) == [Offer("x")]


# --- which is chosen ---


@pytest.mark.parametrize(
    ("wanted", "answered_by", "chosen"),
    [
        ("together", None, MIDDLE),
        ("nebius", None, DOWN),
        ("unknown", None, None),
        ("hf-inference", None, None),
        ("cheapest", None, CHEAP),
        ("fastest", None, DEAR),
        ("auto", None, DEAR),
        ("preferred", None, DEAR),
        ("auto", "together", MIDDLE),
        ("cheapest", "together", MIDDLE),
        ("auto", "nebius", DEAR),
        ("together", "novita", MIDDLE),
    ],
)
def test_the_offer_that_is_billed(wanted: str, answered_by: str | None, chosen: Offer | None) -> None:
    assert choose(ALL, wanted, answered_by) == chosen


def test_nothing_to_choose_from() -> None:
    assert choose((SILENT, DOWN), "auto") is None
    assert choose((), "cheapest") is None
