"""Everything goes wrong at once, over real sockets: each row has its own answer, and none is paid for twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import cases
from benchmarks.service import STORM, Manner, Service, label_of, running
from huggingface_api_handler.cache import SqliteCache
from tests.unit.end_to_end import engine, model, predict


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as started:
        yield started


#: Few requests hang, since each costs the test its timeout; ``make bench`` has the full share and the defaults.
WEATHER = {**STORM, "hang": 0.005}
#: All kinds of faults among the first 150 requests, and the first refusal only when the service is known a little:
#: a refusal among the first few is taken for a slow service for some seconds.
SEED = 2611


@pytest.mark.parametrize(("rows", "using"), [(2500, {}), (120, {"max_batch_size": 1})], ids=["in lists", "one by one"])
def test_each_row_has_its_own_answer(service: Service, rows: int, using: dict[str, Any], tmp_path: Any) -> None:
    service.behave(Manner(0.005, 0.0005, faults=WEATHER, seed=SEED, pause=0.05))
    at = engine(None, base_url=service.url)
    of = model(at, task="text-classification", model_name="org/model", input_column="text", **using)
    asked = cases.texts(rows)
    store = SqliteCache(tmp_path / "answers.sqlite")
    found = predict(at, of, {"text": asked}, store=store, max_retries=5, timeout=2.0)
    assert found["y_error"].tolist() == [None] * rows
    assert found["y"].tolist() == [label_of(text) for text in asked]
    counted = service.counted()
    assert counted["served"] == rows
    # A slow machine may give up an answer that comes all the same; nothing else is asked twice.
    assert counted["served twice"] <= rows // 20
    met = counted["faults"]
    assert sum(met.values()) > 0.2 * counted["requests"]
    assert len(met) >= len(WEATHER) - 2, "the storm was too short to hold much of anything"
    before = counted["requests"]
    again = predict(at, of, {"text": asked}, store=store, max_retries=5, timeout=2.0)
    assert again["y"].tolist() == found["y"].tolist()
    assert service.counted()["requests"] == before
    store.close()
