"""How long requests take, by their rows."""

from __future__ import annotations

import pytest

from huggingface_api_handler.scheduling.latency_model import LatencyModel


class TestLatencyModel:
    def test_a_line_through_the_quickest(self) -> None:
        latency = LatencyModel()
        for rows in (1, 2, 4, 8):
            latency.observe(rows, 0.05 + 0.005 * rows, 4)
        assert (latency.fixed, latency.per_row) == (pytest.approx(0.05), pytest.approx(0.005))
        assert latency.seconds(32) == pytest.approx(0.21)

    def test_waiting_in_a_queue_is_no_cost(self) -> None:
        latency = LatencyModel()
        for rows in (1, 2, 4, 8):
            latency.observe(rows, 0.05 + 0.005 * rows, 4)
        for _ in range(50):
            latency.observe(8, 2 * 0.09, 16)
        assert latency.seconds(8) == pytest.approx(0.09, rel=0.15)
        assert latency.latency_ratio == pytest.approx(2.0, rel=0.15)

    def test_negative_slopes_are_nonsense(self) -> None:
        latency = LatencyModel()
        latency.observe(1, 0.5, 1)
        latency.observe(16, 0.4, 1)
        assert latency.per_row == 0.0
        assert latency.fixed > 0.0
