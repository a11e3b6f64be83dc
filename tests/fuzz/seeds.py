"""A good answer of every task, as the input that makes a fuzz target read it: where mutating begins."""

from __future__ import annotations

import json

from huggingface_api_handler.protocols import hf_inference
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media

from ..unit.protocols.test_requests import arguments, fake_answer, rows_of
from .targets import BODY_TYPES, NAMES, TARGETS, bodies


def good_answers() -> dict[str, bytes]:
    """Return, for each task, what its fake model answers to the first row of its example."""
    seeds = {}
    for name, task in TASKS.items():
        args = arguments(task)
        said = fake_answer(task, hf_inference.PROTOCOL.encode(task, rows_of(task, args)[:1], args))
        if isinstance(said, Media):
            body, kind = said.data, said.type if said.type in BODY_TYPES else "application/octet-stream"
        else:
            body, kind = json.dumps(said).encode(), "application/json"
        # Behind target, task and type stand two texts, of two bytes each.
        seeds[name] = bytes([TARGETS.index(bodies), NAMES.index(name), BODY_TYPES.index(kind), 0, 0, 0, 0]) + body
    return seeds
