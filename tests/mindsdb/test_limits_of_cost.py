"""``max_cost`` and ``max_cost_per_day`` on a real server: what the sandbox bills stays within them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .conftest import Postgres, World

ASK = (
    "SELECT r.id, m.a, m.a_error_type FROM duck.reviews AS r JOIN {} AS m ON m.text = r.review USING on_error = 'null'"
)
#: USD for a request.
REQUEST = 0.0001


@contextlib.contextmanager
def engine(world: World, name: str, **arguments: float) -> Iterator[Callable[..., str]]:
    """Make an engine with a price per request; gives what makes models of it, which hold one row in a request."""
    given = "".join(f"{argument} = {value}, " for argument, value in arguments.items())
    world.sql(f'CREATE ML_ENGINE {name} FROM huggingface_api USING {given}price = {{"request": {REQUEST}}}')
    models: list[str] = []

    def make(model: str, function: str) -> str:
        models.append(model)
        return world.model(
            f"CREATE MODEL {model} PREDICT a USING engine = '{name}', task = 'text-classification', column = 'text', "
            f"max_batch_size = 1, parameters = {{'function_to_apply': '{function}'}}"
        )

    try:
        yield make
    finally:
        for model in models:
            world.sql(f"DROP MODEL {model}")
        world.sql(f"DROP ML_ENGINE {name}")


def test_a_query_stops_at_its_max_cost_and_the_next_goes_on(world: World) -> None:
    with engine(world, "costed") as make:
        cost = f"{ASK.format(make('costed_mood', 'softmax'))}, max_cost = {3 * REQUEST}"
        world.sandbox.reset()
        answered: set[int] = set()
        for query in range(1, 3):
            rows = world.sql(cost).rows
            assert {error for _, _, error in rows} == {None, "budget_exceeded"}
            before, answered = answered, {number for number, mood, _ in rows if mood}
            assert before < answered
            assert world.sandbox.sent() == 3 * query
        with pytest.raises(SQLError, match=r"spent \$0\.00030 of max_cost = 0\.0003, and the next request may cost"):
            world.mysql(cost.replace("on_error = 'null'", "on_error = 'raise'"))
        assert world.sandbox.sent() == 9


def test_partitions_of_a_query_share_its_max_cost(world: World, pg: Postgres) -> None:
    pg.execute(
        "CREATE TABLE IF NOT EXISTS parts AS SELECT n AS id, 'part ' || n AS review FROM generate_series(0, 1999) n"
    )
    with engine(world, "parted") as make:
        ask = ASK.format(make("parted_mood", "softmax")).replace("duck.reviews", "pg.parts")
        query = f"{ask}, max_cost = {5 * REQUEST}, batch_size = 500, track_column = 'id', threads = 2"
        world.sandbox.reset()
        rows = world.sql(query).rows
        assert len(rows) == 2000
        assert world.sandbox.sent() == sum(mood is not None for _, mood, _ in rows) == 5
        world.sql(query)
        assert world.sandbox.sent() == 10


def test_models_of_an_engine_share_its_day(world: World) -> None:
    with engine(world, "careful", max_cost_per_day=5 * REQUEST) as make:
        one, other = make("careful_one", "softmax"), make("careful_other", "none")
        world.sandbox.reset()
        for model, limit in ((one, 3), (other, 100)):
            rows = world.sql(f"{ASK.format(model)}, max_requests = {limit}").rows
            assert "budget_exceeded" in {error for _, _, error in rows}
        assert world.sandbox.sent() == 5
        with pytest.raises(SQLError, match=r"the engine has spent \$0\.00050 of max_cost_per_day = 0\.0005 today"):
            world.mysql(ASK.format(one).replace("on_error = 'null'", "max_cost = 1"))
        assert world.sandbox.sent() == 5


def test_a_chat_with_the_price_of_the_router_stays_within_its_max_cost(world: World) -> None:
    world.model(
        "CREATE MODEL chatty PREDICT a USING engine = 'hf', task = 'chat-completion', max_tokens = 20, "
        "prompt_template = 'Say: {{review}}'"
    )
    try:
        world.sandbox.reset()
        cap = 0.0004
        rows = world.sql(
            "SELECT m.a, m.a_error_type FROM duck.reviews AS r JOIN chatty AS m "
            f"USING max_cost = {cap}, on_error = 'null', include_meta = true"
        ).rows
        assert {error for _, error in rows} == {None, "budget_exceeded"}
        usage = dict(world.sql("DESCRIBE chatty.usage").rows)
        assert 0 < float(usage["cost"]) <= cap
    finally:
        world.sql("DROP MODEL chatty")


def test_the_statement_of_a_model_without_a_price_gives_it_one(world: World) -> None:
    world.model(
        "CREATE MODEL unpriced PREDICT a USING engine = 'hf', task = 'text-classification', input_column = 'review', "
        "max_batch_size = 2"
    )
    try:
        query = "SELECT m.a FROM duck.reviews AS r JOIN unpriced AS m LIMIT 4 USING max_cost = 1, use_cache = false"
        with pytest.raises(SQLError, match="needs a price") as refused:
            world.sql(query)
        found = re.search("RETRAIN unpriced USING .*;", str(refused.value))
        assert found is not None
        world.sql(found[0])
        world.server.wait_for_model("unpriced")
        assert len(world.sql(query).rows) == 4
        reported = {row[0]: row[1] for row in world.sql("DESCRIBE unpriced.args").rows}
        assert str(reported["max_batch_size"]) == "2" and "0.00012" in str(reported["price"])
    finally:
        world.sql("DROP MODEL unpriced")
