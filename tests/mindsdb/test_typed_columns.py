"""The columns of ``output_schema`` on a real server: what arrives over HTTP and MySQL, beside NULL too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from huggingface_api_handler.arguments.coercion import as_sql
from huggingface_api_handler.sandbox.mindsdb_server import SQLError, Table

from .conftest import World

Run = Callable[[str], Table]

FIELDS = ("word", "stars", "price", "paid", "day", "at", "tags", "mood", "large")
#: The sandbox's model gives NULL for what a text says that it has not.
FULL, BARE = "I love it", "awful: " + ", ".join(f"no {name}" for name in FIELDS)
#: Beyond what a float holds.
LARGE = 2**53 + 1


@pytest.fixture(scope="module")
def tickets(world: World) -> Iterator[None]:
    world.model(
        "CREATE MODEL ticket_fields PREDICT facts "
        "USING engine = 'hf', task = 'chat-completion', input_column = 'text', temperature = 0, "
        "output_schema = 'word text, stars integer, price number, paid boolean, day date, at datetime, tags list, "
        "mood text in (positive, negative), large integer in (9007199254740993)'"
    )
    yield
    world.sql("DROP MODEL ticket_fields")


def source(*texts: str) -> str:
    rows = " UNION ALL ".join(f"SELECT {place} AS id, '{text}' AS text" for place, text in enumerate(texts))
    return f"FROM duck ({rows}) AS t JOIN ticket_fields AS m ON m.text = t.text"


def shown(run: Run, *texts: str) -> list[dict[str, object]]:
    return run(f"SELECT t.id, {', '.join(f'm.{name}' for name in FIELDS)} {source(*texts)} ORDER BY t.id").records()


def test_columns_without_null_have_their_types(run: Run, tickets: None) -> None:
    for found in shown(run, FULL, "I hate it"):
        assert {name: type(found[name]) for name in FIELDS} == {
            "word": str, "stars": int, "price": float, "paid": type(found["paid"]), "day": str, "at": str, "tags": str,
            "mood": str, "large": int,
        }  # fmt: skip
        # MySQL has no booleans.
        assert found["paid"] in (True, False)
        assert found["large"] == LARGE
    (alone,) = run(f"SELECT {', '.join(FIELDS)} FROM ticket_fields WHERE text = '{FULL}'").records()
    assert alone == {name: cell for name, cell in shown(run, FULL)[0].items() if name != "id"}


def test_numbers_and_booleans_beside_null(world: World, run: Run, tickets: None) -> None:
    alone = shown(world.sql, FULL)[0]
    full, bare = shown(run, FULL, BARE)
    assert {name: bare[name] for name in FIELDS} == dict.fromkeys(FIELDS)
    if run == world.sql:
        assert full == alone
        assert isinstance(full["stars"], int)
    else:  # MindsDB sends any column with a NULL as text over MySQL
        assert full == {name: cell if name == "id" else str(cell) for name, cell in alone.items()}
    assert int(str(full["large"])) == LARGE


def test_sql_computes_with_the_columns(run: Run, tickets: None) -> None:
    stars = {place: found["stars"] for place, found in enumerate(shown(run, FULL, "I hate it"))}
    (found,) = run(
        f"SELECT sum(m.stars) AS stars, avg(m.stars) AS mean, count(m.paid) AS told, count(*) AS n "
        f"{source(FULL, 'I hate it', BARE)}"
    ).records()
    total = sum(int(str(one)) for one in stars.values())
    assert found == {"stars": total, "mean": total / 2, "told": 2, "n": 3}
    selected = run(f"SELECT t.id {source(FULL, 'I hate it', BARE)} WHERE m.stars >= 0 AND m.paid IS NOT NULL").rows
    assert sorted(selected) == [(0,), (1,)]
    paid = {place for place, found in enumerate(shown(run, FULL, "I hate it")) if found["paid"] in (True, "True")}
    assert {one for (one,) in run(f"SELECT t.id {source(FULL, 'I hate it', BARE)} WHERE m.paid IS TRUE").rows} == paid
    moods = run(f"SELECT t.id {source(FULL, 'I hate it', BARE)} WHERE m.mood IN ('positive')").rows
    assert moods == ((0,),)


def test_a_column_of_the_table_with_the_name_of_a_field_is_its_own(run: Run, tickets: None) -> None:
    found = run(
        "SELECT t.id, t.mood AS before, m.mood AS after FROM duck (SELECT 1 AS id, 'old' AS mood, 'I love it' AS text "
        "UNION ALL SELECT 2, 'older', 'I hate it') AS t JOIN ticket_fields AS m ON m.text = t.text ORDER BY t.id"
    )
    assert found.rows == ((1, "old", "positive"), (2, "older", "negative"))


def test_a_field_is_selected_as_it_is_written(world: World, run: Run) -> None:
    world.model(
        "CREATE MODEL capitals PREDICT facts USING engine = 'hf', task = 'chat-completion', input_column = 'text', "
        "output_schema = '`TopicName` text in (Soup)'"
    )
    try:
        for name in ("TopicName", "`TopicName`"):
            assert run(f"SELECT {name} FROM capitals WHERE text = 'I love it'").rows == (("Soup",),)
            joined = "FROM duck (SELECT 1 AS id, 'I love it' AS text) AS t JOIN capitals AS m ON m.text = t.text"
            assert run(f"SELECT t.id, m.{name} {joined}").rows == ((1, "Soup"),)
            assert run(f"SELECT t.id {joined} WHERE m.{name} IN ('Soup')").rows == ((1,),)
        assert run(f"SELECT m.topicname {joined}").rows == (("Soup",),)
        with pytest.raises(SQLError, match=r"treats = on TopicName in WHERE .* Write TopicName IN \('Soup'\) instead"):
            run(f"SELECT t.id {joined} WHERE m.TopicName = 'Soup'")
    finally:
        world.sql("DROP MODEL capitals")


def test_rows_in_error_have_null_in_each_column(world: World, run: Run, tickets: None) -> None:
    world.sandbox.faults = {"rules": [{"kind": "status", "status": 400, "contains": "unlucky"}]}
    rows = run(
        f"SELECT t.id, m.word, m.stars, m.facts, m.facts_error_type {source('lucky', 'unlucky')} ORDER BY t.id "
        "USING on_error = 'null', max_retries = 0, use_cache = false"
    ).records()
    assert [one["facts_error_type"] for one in rows] == [None, "invalid_input"]
    assert [rows[1][name] for name in ("word", "stars", "facts")] == [None] * 3
    assert rows[0]["word"] == "lucky"


def test_a_dry_run_and_a_schema_of_the_query(run: Run, tickets: None) -> None:
    assert run(f"SELECT m.stars, m.facts_plan {source('never sent')} USING dry_run = true").rows == ((None, "request"),)
    assert run(f"SELECT m.only {source('x')} USING output_schema = 'only integer in (7)'").rows == ((7,),)


@pytest.mark.parametrize("name", ["word", "stars", "price", "paid", "day", "tags", "mood"])
def test_the_condition_that_replaces_equals_works(run: Run, tickets: None, name: str) -> None:
    texts = ("I love it", "I hate it", "I like it")
    cells = {place: found[name] for place, found in enumerate(shown(run, *texts))}
    wanted = cells[0]
    if name == "tags":
        wanted = json.loads(str(wanted))[0]
    with pytest.raises(SQLError, match=f"treats = on {name} in WHERE") as refused:
        run(f"SELECT t.id {source(*texts)} WHERE m.{name} = {as_sql(wanted)}")
    found = re.search(r"Write (.*) instead\.", str(refused.value))
    assert found is not None
    rows = run(f"SELECT t.id {source(*texts)} WHERE m.{found[1]}").rows
    assert sorted(rows) == [(place,) for place, cell in cells.items() if cell == cells[0]]


@pytest.mark.parametrize("texts", [("a", "b"), ("a",)])
def test_equals_in_where_is_refused(run: Run, tickets: None, texts: tuple[str, ...]) -> None:
    with pytest.raises(SQLError, match="MindsDB treats = on mood in WHERE"):
        run(f"SELECT t.id {source(*texts)} WHERE m.mood = 'positive'")


def test_equals_in_where_is_refused_beside_a_column_of_the_table_with_that_name(run: Run, tickets: None) -> None:
    table = "SELECT 1 AS id, 'old' AS mood, 'a' AS text UNION ALL SELECT 2, 'new', 'b'"
    with pytest.raises(SQLError, match="MindsDB treats = on mood in WHERE"):
        run(
            f"SELECT t.id, t.mood FROM duck ({table}) AS t JOIN ticket_fields AS m ON m.text = t.text "
            "WHERE m.mood = 'positive'"
        )


@pytest.mark.parametrize("name", ["text", "facts", "facts_error"])
def test_a_field_with_the_name_of_another_column_is_refused_at_once(world: World, name: str) -> None:
    with pytest.raises(SQLError, match=f"output_schema has a field '{name}', which is the name of a column"):
        world.sql(
            "CREATE MODEL clash PREDICT facts USING engine = 'hf', task = 'chat-completion', input_column = 'text', "
            f"output_schema = '{name} text'"
        )


def test_the_schema_as_an_object_and_examples(world: World, run: Run) -> None:
    world.model(
        "CREATE MODEL by_object PREDICT facts USING engine = 'hf', task = 'chat-completion', input_column = 'text', "
        "output_schema = {'mood': {'type': 'text', 'enum': ['positive', 'negative'], 'description': 'the mood'}}, "
        "examples = [{'input': 'lovely', 'output': {'mood': 'positive'}}], temperature = 0"
    )
    try:
        assert run("SELECT mood FROM by_object WHERE text = 'I hate it'").rows == (("negative",),)
        outputs = [one for one in run("DESCRIBE by_object.task").records() if one["kind"] == "output"]
        assert (outputs[1]["name"], outputs[1]["type"]) == ("mood", "text")
        sent = world.sandbox.requests[-1]
        assert sent is not None
    finally:
        world.sql("DROP MODEL by_object")
