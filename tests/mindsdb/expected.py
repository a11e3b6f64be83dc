"""Rows for the tests and what the sandbox must answer for each of them."""

from __future__ import annotations

import json
import random
from typing import Any

from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS

_GOOD = ("I love this", "wonderful quality", "great, would buy again", "excellent and happy", "good value, nice")
_BAD = ("I hate this", "terrible quality", "awful, broke at once", "bad and sad", "poor value, angry")
_THINGS = ("kettle", "lamp", "chair", "radio", "bicycle", "tent", "clock")


def _reviews(count: int, seed: int) -> list[tuple[int, str, str | None]]:
    """Rows of (id, product, review): some equal, some NULL, no order in their moods."""
    chance = random.Random(seed)
    rows: list[tuple[int, str, str | None]] = []
    for number in range(count):
        thing = chance.choice(_THINGS)
        text: str | None = f"{chance.choice(_GOOD + _BAD)}, this {thing} no. {number}"
        if chance.random() < 0.05:
            text = None
        elif chance.random() < 0.1:
            text = chance.choice(_GOOD + _BAD)
        rows.append((number, thing, text))
    return rows


REVIEWS = _reviews(600, seed=7)

#: The same first and last rows as ``REVIEWS``, and other ones between.
TWIN_REVIEWS = REVIEWS[:5] + _reviews(600, seed=11)[5:-5] + REVIEWS[-5:]

#: Enough rows to be interrupted half-way.
MANY_REVIEWS = _reviews(2000, seed=13)


def scores(text: str) -> dict[str, float]:
    """What the sandbox's classifier says of a text, without any reader of ours."""
    answer = FAKE_MODELS["text-classification"](text, {"top_k": 100})
    while isinstance(answer[0], list):
        answer = answer[0]
    return {entry["label"]: entry["score"] for entry in answer}


def mood(text: str | None) -> str | None:
    """The label that the sandbox holds likeliest."""
    if text is None or not text.strip():
        return None
    found = scores(text)
    return max(found, key=lambda label: found[label])


def parsed(cell: Any) -> Any:
    """A JSON cell as MindsDB hands it over, read."""
    return None if cell is None else json.loads(cell)
