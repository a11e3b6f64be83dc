"""What people type, on a real server, over both of its protocols, checked row by row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError, Table

from .conftest import Postgres, World
from .expected import REVIEWS, TWIN_REVIEWS, mood, parsed, scores

Run = Callable[[str], Table]
#: What a server process must run first, so that its JOINs are read by our patch.
WARM_UP = "SELECT mood FROM sentiment WHERE text = 'I love it'"

MOODS = {number: mood(review) for number, _, review in REVIEWS}


def test_the_three_statements(world: World, run: Run) -> None:
    token = "hf_" + "m" * 34
    run(f"CREATE ML_ENGINE hf_api_engine FROM huggingface_api USING api_key = '{token}';")
    try:
        run(
            "CREATE MODEL mindsdb.hf_sentiment_classifier PREDICT sentiment\n"
            "USING task = 'text-classification', column = 'text', engine = 'hf_api_engine';"
        )
        world.server.wait_for_model("hf_sentiment_classifier")
        result = run(
            "SELECT text, sentiment FROM mindsdb.hf_sentiment_classifier WHERE text = 'I like you. I love you.';"
        )
        assert result.columns == ("text", "sentiment")
        assert result.rows == (("I like you. I love you.", "POSITIVE"),)
    finally:
        run("DROP MODEL mindsdb.hf_sentiment_classifier")
        run("DROP ML_ENGINE hf_api_engine")


@pytest.mark.parametrize("database", ["duck", "pg"])
def test_join_every_row(run: Run, database: str, request: pytest.FixtureRequest) -> None:
    if database == "pg":
        request.getfixturevalue("pg")
    result = run(
        f"SELECT r.id, r.review, m.mood, m.mood_explain FROM {database}.reviews AS r "
        "JOIN sentiment AS m ON m.text = r.review"
    )
    assert len(result) == len(REVIEWS)
    reviews = {number: review for number, _, review in REVIEWS}
    for number, review, found, explain in result.rows:
        assert review == reviews[number]
        assert found == MOODS[number]
        assert parsed(explain) == (None if review is None else pytest.approx(scores(review)))


def test_join_with_filters_order_and_limit(run: Run) -> None:
    result = run(
        "SELECT r.id, m.mood FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review "
        "WHERE r.product = 'lamp' ORDER BY r.id DESC LIMIT 20"
    )
    lamps = [number for number, product, _ in REVIEWS if product == "lamp"]
    assert [row[0] for row in result.rows] == sorted(lamps, reverse=True)[:20]
    assert all(found == MOODS[number] for number, found in result.rows)


def test_group_by_prediction(run: Run) -> None:
    result = run(
        "SELECT mood, count(*) AS n FROM (SELECT m.mood AS mood FROM duck.reviews AS r "
        "JOIN sentiment AS m ON m.text = r.review) AS s GROUP BY mood"
    )
    assert {found: int(n) for found, n in result.rows} == Counter(MOODS.values())


def test_column_named_in_using_of_the_query(run: Run) -> None:
    result = run("SELECT r.id, m.mood FROM duck.reviews AS r JOIN sentiment AS m USING input_column = 'review'")
    assert dict(result.rows) == MOODS


def test_on_wins_over_a_column_that_has_the_name_of_the_input(run: Run) -> None:
    """The table's own ``text`` is left alone, in the table that ON names and in another."""
    run(WARM_UP)
    texts = "(SELECT id, review AS title, 'I love it' AS text FROM duck.reviews WHERE id < 40) AS p"
    result = run(f"SELECT p.id, p.text, m.mood FROM {texts} JOIN sentiment AS m ON m.text = p.title")
    assert {number: found for number, _, found in result.rows} == {number: MOODS[number] for number in range(40)}
    assert {text for _, text, _ in result.rows} == {"I love it"}
    other = "(SELECT id, 'I hate it' AS text FROM duck.reviews WHERE id < 40) AS q ON q.id = p.id"
    result = run(f"SELECT p.id, m.mood FROM {texts} JOIN {other} JOIN sentiment AS m ON m.text = p.title")
    assert dict(result.rows) == {number: MOODS[number] for number in range(40)}


def test_two_models_that_fill_columns_of_one_name(run: Run, world: World) -> None:
    """What the first model answers is no condition of the second, also where it is the same in every row."""
    run(WARM_UP)
    world.model("CREATE MODEL again PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'")
    try:
        result = run(
            "SELECT t.id, a.mood, b.mood FROM "
            "(SELECT id, 'I love it' AS review FROM duck.reviews WHERE id < 2) AS t "
            "JOIN sentiment AS a ON a.text = t.review JOIN again AS b ON b.text = t.review"
        )
        assert result.rows == tuple((number, "POSITIVE", "POSITIVE") for number in range(2))
    finally:
        run("DROP MODEL again")


@pytest.mark.parametrize("rows", [1, 3])
def test_equals_on_an_output_is_refused_for_any_number_of_rows(run: Run, rows: int) -> None:
    run(WARM_UP)
    with pytest.raises(SQLError, match="treats = on mood_retryable in WHERE"):
        run(
            f"SELECT t.id FROM (SELECT id, review FROM duck.reviews WHERE id < {rows}) AS t "
            "JOIN sentiment AS m ON m.text = t.review WHERE m.mood_retryable = TRUE USING on_error = 'null'"
        )


def test_view_over_a_prediction(run: Run) -> None:
    run(
        "CREATE VIEW moods AS (SELECT r.id AS id, m.mood AS mood FROM duck.reviews AS r "
        "JOIN sentiment AS m ON m.text = r.review)"
    )
    try:
        assert dict(run("SELECT id, mood FROM moods").rows) == MOODS
        with pytest.raises(SQLError, match="MindsDB ignores USING max_requests in a SELECT without a model"):
            run("SELECT id, mood FROM moods USING max_requests = 1")
    finally:
        run("DROP VIEW moods")


def test_predictions_stored_in_postgres(pg: Postgres, run: Run) -> None:
    run(
        "CREATE TABLE pg.scored (SELECT r.id AS id, r.review AS review, m.mood AS mood "
        "FROM pg.reviews AS r JOIN sentiment AS m ON m.text = r.review)"
    )
    try:
        stored = pg.query("SELECT id, review, mood FROM scored")
        assert len(stored) == len(REVIEWS)
        assert all(found == mood(review) == MOODS[number] for number, review, found in stored)
    finally:
        pg.execute("DROP TABLE scored")


def test_retrain_makes_a_version_and_keeps_the_old_one(world: World, run: Run) -> None:
    world.model("CREATE MODEL versions PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text'")
    try:
        run("RETRAIN versions USING task = 'fill-mask', column = 'text'")
        world.server.wait_for_model("versions")
        new = run("SELECT a FROM versions WHERE text = 'The sky is <mask>.'").rows[0][0]
        assert "mask" not in new and new.lower().startswith("the sky is")
        assert run("SELECT a FROM versions.1 WHERE text = 'I love it'").rows == (("POSITIVE",),)
    finally:
        run("DROP MODEL versions")


def test_two_engines_each_use_their_own_key(world: World) -> None:
    names = {"engine_a": "hf_" + "a" * 34, "engine_b": "hf_" + "b" * 34}
    seen: dict[str, set[str]] = {}
    for engine, token in names.items():
        world.sql(f"CREATE ML_ENGINE {engine} FROM huggingface_api USING api_key = '{token}'")
        world.model(
            f"CREATE MODEL m_{engine} PREDICT a USING engine = '{engine}', task = 'text-classification', column = 't'"
        )
    try:
        for engine in names:
            world.sandbox.reset()
            world.sql(f"SELECT a FROM m_{engine} WHERE t = 'I love it'")
            seen[engine] = {entry.token for entry in world.sandbox.inference_requests()}
    finally:
        for engine in names:
            world.sql(f"DROP MODEL m_{engine}")
            world.sql(f"DROP ML_ENGINE {engine}")
    assert all(len(tokens) == 1 for tokens in seen.values())
    assert seen["engine_a"] != seen["engine_b"]


def test_a_thousand_rows(pg: Postgres, run: Run) -> None:
    rows = [(number, f"I {'love' if number % 3 else 'hate'} number {number}") for number in range(1000)]
    if not pg.query("SELECT 1 FROM pg_tables WHERE tablename = 'thousand'"):
        pg.execute("CREATE TABLE thousand (id int, review text)")
        pg.execute("INSERT INTO thousand VALUES (%s, %s)", rows)
    result = run("SELECT t.id, m.mood FROM pg.thousand AS t JOIN sentiment AS m ON m.text = t.review")
    assert dict(result.rows) == {number: mood(text) for number, text in rows}


def test_tables_that_look_alike_get_their_own_answers(run: Run) -> None:
    """MindsDB's own prediction cache would take these two tables for one."""
    statement = "SELECT r.id, m.mood FROM duck.{} AS r JOIN sentiment AS m ON m.text = r.review"
    first = run(statement.format("reviews"))
    second = run(statement.format("twins"))
    assert dict(first.rows) == MOODS
    assert dict(second.rows) == {number: mood(text) for number, _, text in TWIN_REVIEWS}


def test_a_query_with_another_using_is_another_query(run: Run) -> None:
    statement = "SELECT r.id, m.mood, m.mood_explain FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review"
    many = run(statement)
    one = run(statement + " USING top_k = 1")
    assert max(len(parsed(explain) or {}) for *_, explain in many.rows) > 1
    assert max(len(parsed(explain) or {}) for *_, explain in one.rows) == 1


def test_dry_run_sends_nothing_and_is_not_taken_for_the_real_query(world: World, run: Run) -> None:
    text = f"I love dry runs, {run!r}"
    statement = f'SELECT mood, mood_plan FROM sentiment WHERE text = "{text}" USING dry_run = true'
    world.sandbox.reset()
    assert run(statement).rows == ((None, "request"),)
    assert not world.sandbox.inference_requests()
    assert run(f'SELECT mood FROM sentiment WHERE text = "{text}"').rows == (("POSITIVE",),)
    assert run(statement).rows == ((None, "cache"),)


def test_the_cost_of_a_query_is_known_before_and_after(world: World, run: Run) -> None:
    """Rows of different texts: a stored answer of the other protocol would cost nothing."""
    world.sandbox.reset()
    name = f"priced_{id(run)}"
    world.model(
        f"CREATE MODEL {name} PREDICT x USING engine = 'hf', task = 'chat-completion', max_tokens = 5, "
        f"model_name = 'sandbox/chat-completion', prompt_template = 'For {name}: {{{{review}}}}'"
    )
    plan = run(
        f"SELECT m.x_plan, count(*) AS n, sum(m.x_cost) AS usd FROM duck.reviews AS r JOIN {name} AS m GROUP BY 1 "
        "USING dry_run = true"
    )
    planned = {row: (int(n), float(usd)) for row, n, usd in plan.rows}
    assert planned["request"][1] > 0
    assert all(usd == 0 for row, (_, usd) in planned.items() if row != "request")
    assert not world.sandbox.inference_requests()
    rows = run(f"SELECT r.id, m.x_meta FROM duck.reviews AS r JOIN {name} AS m USING include_meta = true").rows
    billed = world.sandbox.usage()["sandbox/chat-completion"].cost
    assert sum(json.loads(meta)["cost"] for _, meta in rows) == pytest.approx(billed, abs=1e-9)
    assert planned["request"][0] == len(world.sandbox.inference_requests())
    assert 1 / 3 < planned["request"][1] / billed < 3
    usage = {str(measure): value for measure, value in run(f"DESCRIBE {name}.usage").rows}
    assert float(usage["cost"]) == pytest.approx(billed, abs=1e-9)
    runs, bill = run(f"DESCRIBE {name}.runs"), run(f"DESCRIBE {name}.bill")
    assert float(runs.rows[0][runs.columns.index("cost")]) == pytest.approx(billed, abs=1e-9)
    assert float(bill.rows[0][bill.columns.index("billed")]) == pytest.approx(billed, abs=1e-8)
    assert bill.rows[0][bill.columns.index("state")] == "billed"
    assert {row[0] for row in run(f"DESCRIBE {name}.prices").rows} == {"groq", "together", "novita"}
    run(f"DROP MODEL {name}")


def test_drop_and_create_with_the_same_name_is_a_new_model(world: World, run: Run) -> None:
    create = "CREATE MODEL again PREDICT a USING engine = 'hf', task = '{}', column = 'text'"
    ask = "SELECT a FROM again WHERE text = 'I love <mask>'"
    world.model(create.format("text-classification"))
    assert run(ask).rows == (("POSITIVE",),)
    run("DROP MODEL again")
    world.model(create.format("fill-mask"))
    try:
        assert run(ask).rows[0][0] not in (None, "POSITIVE")
    finally:
        run("DROP MODEL again")


def test_a_worker_asks_the_right_engine_though_all_ids_come_again(world: World) -> None:
    """Workers keep handlers by model id; ids of models and engines are used again after DROP."""
    world.sql("CREATE ML_ENGINE brief FROM huggingface_api USING api_key = 'hf_" + "k" * 34 + "'")
    world.model("CREATE MODEL shortlived PREDICT a USING engine = 'brief', task = 'fill-mask', column = 'text'")
    world.sql("SELECT a FROM shortlived WHERE text = 'I love <mask>'")
    world.sql("DROP MODEL shortlived")
    world.sql("DROP ML_ENGINE brief")
    world.sql("CREATE ML_ENGINE other FROM huggingface_api USING api_key = 'hf_" + "o" * 34 + "'")
    world.model("CREATE MODEL lasting PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text'")
    try:
        world.sandbox.reset()
        for number in range(4):  # more than one worker may be at hand
            assert world.sql(f"SELECT a FROM lasting WHERE text = 'I love number {number}'").rows == (("POSITIVE",),)
        tokens = {entry.token for entry in world.sandbox.inference_requests()}
        assert tokens == {world.sandbox.fingerprint("hf_" + "t" * 34)}
    finally:
        world.sql("DROP MODEL lasting")
        world.sql("DROP ML_ENGINE other")


def test_finetune_is_refused_and_leaves_no_version(run: Run) -> None:
    with pytest.raises(SQLError, match="FINETUNE is not supported"):
        run("FINETUNE sentiment FROM duck (SELECT review FROM reviews)")
    assert len(run("SELECT * FROM models WHERE name = 'sentiment'")) == 1


def test_errors_per_row(world: World, run: Run) -> None:
    world.model(
        "CREATE MODEL fragile PREDICT a USING engine = 'hf', task = 'text-classification', column = 'review', "
        "on_error = 'null', max_retries = 1, use_cache = false"
    )
    try:
        world.sandbox.fail_on("no. 17", status=400)
        result = run(
            "SELECT t.id, m.a, m.a_error, m.a_error_type, m.a_retryable FROM duck.reviews AS t JOIN fragile AS m"
        )
        bad = {number for number, _, review in REVIEWS if review and "no. 17" in review}
        assert bad
        for number, found, error, kind, retryable in result.rows:
            if number in bad:
                assert (found, kind) == (None, "invalid_input")
                assert error
            else:
                assert (found, error, kind) == (MOODS[number], None, None)
            assert retryable in (False, 0, "False")
        good = run("SELECT t.id FROM duck.reviews AS t JOIN fragile AS m WHERE m.a_error_type IN ('invalid_input')")
        assert {row[0] for row in good.rows} == bad
    finally:
        run("DROP MODEL fragile")
