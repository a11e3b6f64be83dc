"""MindsDB's ``/metrics`` shows the sums over all workers."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .conftest import World
from .expected import REVIEWS
from .scrape import scraped, totals_of, usage_of
from .test_execution import working_process


def test_three_workers_add_up_to_usage_also_after_one_was_killed(world: World) -> None:
    world.sandbox.reset()
    # No other test may have stored the answers of this one: it counts requests.
    world.model(
        "CREATE MODEL metered PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 5, parameters = {'function_to_apply': 'softmax', 'top_k': 53}"
    )
    world.sandbox.faults = {
        "latency": 0.1,
        "rules": [
            {"kind": "status", "status": 429, "next": 2},
            {"kind": "status", "status": 400, "contains": "terrible", "body": {"error": "cannot be read"}},
        ],
    }
    statement = (
        "SELECT m.mood FROM duck.reviews AS r JOIN metered AS m ON m.text = r.review "
        "WHERE r.id >= {} AND r.id < {} USING on_error = 'null'"
    )
    with ThreadPoolExecutor() as clients:
        list(clients.map(lambda part: world.sql(statement.format(200 * part, 200 * part + 200)), range(3)))
    world.sql(statement.format(0, 100))

    usage = usage_of(world.server, "metered")
    sums = totals_of(world.server, "metered")
    assert sums.pop("answered requests") <= usage["requests"]
    assert sums == usage
    assert usage["errors invalid_input"] > 0
    assert usage["throttled"] == 2
    assert usage["cached"] > 0
    rows = dict(world.sql("DESCRIBE metered.usage").rows)["rows"]
    assert rows == len(REVIEWS) + 100

    world.sandbox.faults = {"latency": 0.1}
    with ThreadPoolExecutor() as clients:
        doomed = clients.submit(
            world.sql,
            "SELECT m.mood FROM duck.many AS r JOIN metered AS m ON m.text = r.review USING max_concurrency = 2",
        )
        until = time.monotonic() + 120
        sent = world.sandbox.sent()
        while world.sandbox.sent() < sent + 20 and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(working_process(world, "metered"), signal.SIGKILL)
        with pytest.raises(SQLError):
            doomed.result()
    world.sql("SELECT mood FROM metered WHERE text = 'one more'")
    after = totals_of(world.server, "metered")
    assert after.pop("answered requests") > 0
    assert after == usage_of(world.server, "metered")
    assert after["answered"] > usage["answered"]


def test_metrics_tell_no_rows_and_no_keys(world: World) -> None:
    world.sql("SELECT mood FROM sentiment WHERE text = 'a very private letter'")
    text = scraped(world.server)
    assert 'engine="hf",model="sentiment",provider="hf-inference"' in text
    assert "private letter" not in text
    assert "t" * 34 not in text
