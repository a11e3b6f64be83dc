"""How many rows a request holds. All of it in virtual time."""

from __future__ import annotations

import math

from huggingface_api_handler.scheduling.batch_size import BatchSizeCap
from huggingface_api_handler.scheduling.results import Limits
from huggingface_api_handler.scheduling.service_state import ServiceState
from tests.unit.virtual import Service, items, play


def test_at_a_slow_rate_lists_stay_full_where_a_request_costs_next_to_nothing() -> None:
    """Short lists would open workers sooner; what is scarce here are requests, of which they would take one a row."""
    state = ServiceState()
    for rows, seconds in ((1, 0.02), (4, 0.08), (8, 0.16)):
        state.latency.observe(rows, seconds, 1)
    service = Service(0.0, 0.02, 8)
    _, results, _ = play(items(128), service, Limits(requests_per_minute=60.0), state=state)
    assert len(results) == 128
    assert len(service.sizes) <= 8


def test_at_a_slow_rate_lists_are_full() -> None:
    service = Service(0.2, 0.01)
    took, _, _ = play(items(320), service, Limits(requests_per_minute=60.0))
    assert len(service.sizes) == 10
    assert took < 11


class TestBatchSizeCap:
    def test_a_bad_row_proves_nothing(self) -> None:
        cap = BatchSizeCap()
        cap.too_long(32)
        cap.passed(32)
        cap.too_long(32)
        assert cap.cap == math.inf

    def test_twice_it_was_the_length(self) -> None:
        cap = BatchSizeCap()
        cap.too_long(8)
        cap.too_long(16)
        cap.passed(4)
        assert cap.cap == 4
