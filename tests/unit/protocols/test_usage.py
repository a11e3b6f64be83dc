"""What a response says of what it cost."""

from __future__ import annotations

from typing import Any

import pytest

from huggingface_api_handler.net.request import Response
from huggingface_api_handler.protocols.usage import Usage, usage_of


def used(answer: Any, **headers: str) -> Usage:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return usage_of(Response(200, named, b"", "application/json", 2.0), answer)


@pytest.mark.parametrize(
    ("answer", "tokens"),
    [
        ({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}, (7, 3)),
        ({"usage": {"prompt_tokens": 7, "total_tokens": 10}}, (7, 3)),
        ({"usage": {"prompt_tokens": 7, "total_tokens": 7}, "data": []}, (7, 0)),
        ({"usage": {"input_tokens": 7, "output_tokens": 3}}, (7, 3)),
        ({"usage": {"total_tokens": 10}}, (None, None)),
        ({"message": {}, "prompt_eval_count": 7, "eval_count": 3}, (7, 3)),
        ([{"generated_text": "a", "details": {"generated_tokens": 3}}], (None, 3)),
        ({"result": {"response": "a", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}}, (7, 3)),
        ({"usage": {"prompt_tokens": "7", "completion_tokens": -3}}, (None, None)),
        ({"usage": None}, (None, None)),
        # Servers that do not count send zeros.
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}, (None, None)),
        ({"usage": {"prompt_tokens": 0, "completion_tokens": 3}}, (None, 3)),
        ([[{"label": "a", "score": 1.0}], []], (None, None)),
        (None, (None, None)),
    ],
)
def test_tokens(answer: Any, tokens: tuple[int | None, int | None]) -> None:
    found = used(answer)
    assert (found.input_tokens, found.output_tokens) == tokens


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.25}, 0.25),
        ({"estimated_cost": 0}, 0.0),
        ({"cost": 0.25, "estimated_cost": 0.5}, 0.25),
        ({"cost": None, "estimated_cost": 0.5}, 0.5),
        ({"cost": "0.25"}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": 1e308}, None),
        ({"cost": 10**400}, None),
        ({"cost": -1, "estimated_cost": 0.5}, 0.5),
        ({"cost": 5e-324}, 5e-324),
        ({"cost": float("nan")}, None),
    ],
)
def test_dollars(usage: Any, cost: float | None) -> None:
    assert used({"usage": usage}).cost == cost


def test_seconds_are_those_of_compute_or_of_the_request() -> None:
    assert used(None, x_compute_time="0.5").seconds == 0.5
    assert used(None).seconds == 2.0


@pytest.mark.parametrize(("header", "provider"), [("groq", "groq"), ("", None), ("a\x00b", None)])
def test_who_answered(header: str, provider: str | None) -> None:
    assert used(None, x_inference_provider=header).provider == provider
