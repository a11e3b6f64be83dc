"""The short run of the fuzzer: what the corpus holds, and a few hundred new inputs, the same every time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from huggingface_api_handler.tasks import TASKS

from .__main__ import _mutated
from .seeds import good_answers
from .targets import NAMES, TARGETS, bodies, run

pytestmark = pytest.mark.unit
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
BODIES = TARGETS.index(bodies)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_corpus_ends_well(path: Path) -> None:
    run(path.read_bytes())


@pytest.mark.parametrize(("name", "seed_of"), good_answers().items(), ids=list(TASKS))
def test_every_task_has_a_good_answer_to_begin_with(name: str, seed_of: bytes) -> None:
    """Seeds that no reader takes would lead the fuzzer nowhere."""
    assert run(seed_of) == "fine"


@seed(5)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(st.integers(0, len(TARGETS) - 1), st.binary(max_size=600))
@example(BODIES, bytes([0, 0, 0, 0, 0, 0]) + b"[" * 100_000)
def test_nothing_but_our_own_errors(target: int, data: bytes) -> None:
    run(bytes([target]) + data)


@seed(6)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(
    st.sampled_from(range(len(NAMES))),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12)
        | st.sampled_from(["label", "score", "LABEL_0", "NaN", "data:image/png;base64,AAAA"]),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["label", "score", "answer", "generated_text", "box", "mask", "blob", "choices", "text",
                             "message", "content", "data", "embedding", "index", "cells", "sequence", "chunks"]),
            inner, max_size=4,
        ),
        max_leaves=20,
    ),
)  # fmt: skip
def test_no_answer_is_anything_but_answers_or_our_error(task: int, answer: object) -> None:
    run(bytes([BODIES, task, 0, 0, 0, 0, 0]) + json.dumps(answer).encode())


def test_mutations_of_the_corpus() -> None:
    chance = random.Random(7)
    seeds = [path.read_bytes() for path in CORPUS]
    for _ in range(3000):
        run(_mutated(chance, seeds))
