"""What programs of other people get: SQLAlchemy and pandas over MySQL, MindsDB's SDK over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator

import mindsdb_sdk
import pandas as pd
import pytest
import sqlalchemy as sa
from pandas.api import types

from .conftest import World
from .expected import REVIEWS, mood, scores

TEXTS = {number: review for number, _, review in REVIEWS if number < 60}
JOIN = "FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review"


@pytest.fixture(scope="module")
def engine(world: World) -> Iterator[sa.Engine]:
    url = f"mysql+pymysql://mindsdb@127.0.0.1:{world.server.mysql_port}/mindsdb"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def test_pandas_reads_predictions_with_plain_types(engine: sa.Engine) -> None:
    found = pd.read_sql(f"SELECT r.id, r.product, m.mood, m.mood_explain {JOIN} WHERE r.id < 60", engine)
    assert types.is_integer_dtype(found.id)
    assert dict(zip(found.id, found.mood, strict=True)) == {number: mood(text) for number, text in TEXTS.items()}
    for number, explained in zip(found.id, found.mood_explain, strict=True):
        text = TEXTS[number]
        assert (json.loads(explained) if explained else None) == (scores(text) if text else None)


def test_sqlalchemy_binds_values_and_leaves_signs_alone(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        ask = sa.text("SELECT mood FROM sentiment WHERE text = :text")
        for text in ("50% off: great", "it's bad, 100 %", 'say "awful" :no', "great 😊"):
            assert connection.execute(ask, {"text": text}).scalar_one() == mood(text)
        chosen = sa.text(f"SELECT r.id, m.mood {JOIN} WHERE r.id < :below AND r.review LIKE '%love%'")
        rows = connection.execute(chosen, {"below": 60}).all()
        assert dict(map(tuple, rows)) == {n: mood(text) for n, text in TEXTS.items() if text and "love" in text}


def test_errors_come_as_columns_of_plain_types(engine: sa.Engine, world: World) -> None:
    texts = {number: text for number, text in TEXTS.items() if number < 20}
    word = next(text for text in texts.values() if text).split()[-1]
    world.sandbox.fail_on(word, status=400)
    query = (
        f"SELECT r.id, m.mood, m.mood_error_type, m.mood_retryable {JOIN} WHERE r.id < 20 "
        "USING on_error = 'null', use_cache = false"
    )
    found = pd.read_sql(query, engine).set_index("id")
    bad = {number for number, text in texts.items() if text and word in text}
    assert set(found.index[found.mood_error_type == "invalid_input"]) == bad
    assert set(found.index[found.mood_error_type.isna()]) == set(texts) - bad
    assert types.is_integer_dtype(found.mood_retryable) and not found.mood_retryable.any()


def test_numbers_of_describe_are_numbers(engine: sa.Engine, world: World) -> None:
    world.sql(f"SELECT m.mood {JOIN} WHERE r.id < 60")
    runs = pd.read_sql("DESCRIBE sentiment.runs", engine)
    assert types.is_integer_dtype(runs.inputs) and types.is_integer_dtype(runs.done)
    assert types.is_float_dtype(runs.seconds) and types.is_float_dtype(runs.inputs_per_second)


def test_a_view_reads_like_a_table(engine: sa.Engine, world: World) -> None:
    world.sql(f"CREATE VIEW moods_of_reviews AS (SELECT r.id, m.mood {JOIN})")
    try:
        found = pd.read_sql("SELECT * FROM moods_of_reviews WHERE id < 60", engine)
        assert dict(zip(found.id, found.mood, strict=True)) == {number: mood(text) for number, text in TEXTS.items()}
    finally:
        world.sql("DROP VIEW moods_of_reviews")


def test_the_sdk_makes_asks_and_drops_a_model(world: World) -> None:
    project = mindsdb_sdk.connect(world.server.url).get_project("mindsdb")
    model = project.models.create(
        "sdk_mood", predict="mood", engine="hf", options={"task": "text-classification", "input_column": "review"}
    )
    try:
        model.wait_complete()
        frame = pd.DataFrame({"review": ["I love it", None, "I hate it", "I love it"]}, index=[7, 3, 9, 1])
        assert model.predict(frame).mood.tolist() == [mood("I love it"), None, mood("I hate it"), mood("I love it")]
        assert model.predict({"review": "awful"}).mood.tolist() == [mood("awful")]
        plan = model.predict(frame, params={"dry_run": True})
        assert plan.mood_plan.tolist().count("null") == 1 and plan.mood.isna().all()
        joined = project.query("SELECT r.id, m.mood FROM duck.reviews AS r JOIN sdk_mood AS m WHERE r.id < 60").fetch()
        assert dict(zip(joined.id, joined.mood, strict=True)) == {n: mood(text) for n, text in TEXTS.items()}
        assert "rows" in model.describe("usage").iloc[:, 0].tolist()
    finally:
        project.models.drop("sdk_mood")
