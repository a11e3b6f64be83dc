"""Rows that share prompts, on a real server."""

from __future__ import annotations

from .conftest import World
from .expected import REVIEWS

DISTINCT = len({review for _, _, review in REVIEWS if review})
SELECT = "SELECT r.id, m.a FROM duck.reviews AS r JOIN shared AS m ON m.text = r.review USING {}"


def test_rows_share_prompts_and_an_audit_falls_back(world: World) -> None:
    """600 reviews in 20 a request; then a model that swaps answers, which the audit notices."""
    world.model(
        "CREATE MODEL shared PREDICT a USING engine = 'hf', task = 'chat-completion', column = 'text', "
        "model_name = 'sandbox/chat-completion', temperature = 0, rows_per_request = 20"
    )
    expected = {number: review and f"You said: {review}" for number, _, review in REVIEWS}
    try:
        world.sandbox.reset()
        table = world.sql(SELECT.format("use_cache = true"))
        assert dict(table.rows) == expected
        assert world.sandbox.sent() == DISTINCT
        assert len(world.sandbox.inference_requests()) == -(-DISTINCT // 20)

        world.sandbox.reset()
        world.sandbox.faults = {"rules": [{"kind": "packed", "style": "swap"}]}
        table = world.sql(SELECT.format("use_cache = false, audit = 0.2, max_concurrency = 4"))
        wrong = [number for number, answer in table.rows if answer != expected[number]]
        assert len(wrong) < 30  # of the sixty that all shared prompts would have had
        usage = dict(world.sql("DESCRIBE shared.usage").rows)
        assert usage["audited"] >= 20
        assert usage["agreed"] < 0.95 * usage["audited"]
        assert usage["audit_stops"] == 1
    finally:
        world.sandbox.reset()
        world.sql("DROP MODEL shared")
