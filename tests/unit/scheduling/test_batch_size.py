"""How many rows a request holds. All of it in virtual time."""

from __future__ import annotations

import math

from huggingface_api_handler.scheduling.batch_size import BatchSizeCap
from huggingface_api_handler.scheduling.results import Limits
from huggingface_api_handler.scheduling.service_state import ServiceState
from tests.unit.virtual import Service, items, play


def test_at_a_slow_rate_lists_are_full_even_if_a_request_costs_almost_nothing() -> None:
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

    def test_what_was_refused_stays_refused(self) -> None:
        cap = BatchSizeCap()
        cap.too_long(8)
        cap.too_long(8)
        for _ in range(1000):
            cap.passed(1)
        assert cap.cap == 4

    def test_what_failed_is_tried_again_ever_later(self) -> None:
        cap, rechecks = BatchSizeCap(), []
        for _ in range(2):
            cap.too_long(2, certain=False)
        for row in range(1000):
            cap.passed(1)
            if cap.cap > 1:
                rechecks.append(row + 1)
                cap.too_long(2, certain=False)
                cap.too_long(2, certain=False)
        assert rechecks == [64, 64 + 128, 64 + 128 + 256, 64 + 128 + 256 + 512]

    def test_a_service_that_has_recovered_takes_lists_again(self) -> None:
        cap = BatchSizeCap()
        for _ in range(2):
            cap.too_long(2, certain=False)
        for _ in range(64):
            cap.passed(1)
        for size in (2, 4, 8, 16, 32):
            assert cap.cap == size
            cap.passed(size)
