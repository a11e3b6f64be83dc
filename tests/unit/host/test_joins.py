"""What a JOIN tells a model of this engine, without a MindsDB server: steps and tables are the least that will do."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mindsdb_sql_parser import parse_sql
from mindsdb_sql_parser.ast import Identifier

from huggingface_api_handler.arguments.specs import HOST_CONDITIONS, HOST_EQUAL_COLUMNS
from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.host import joins


def column(table: str, name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, alias=name, table_alias=table)


class Joined:
    """MindsDB's step, patched, and what it was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, ours: bool = True) -> None:
        self.asked: list[tuple[str, str]] = []
        module: Any = ModuleType(joins._STEPS)

        class ApplyPredictorStepCall:
            def call(self, step: Any) -> Any:
                return step

        module.ApplyPredictorStepCall = ApplyPredictorStepCall
        monkeypatch.setitem(sys.modules, joins._STEPS, module)

        def is_ours(session: Any, project: str, model: str) -> bool:
            self.asked.append((project, model))
            return ours

        joins.on_and_where_are_passed_on(is_ours)
        joins.on_and_where_are_passed_on(is_ours)
        self._kind = ApplyPredictorStepCall

    def call(
        self,
        columns: list[SimpleNamespace],
        where: Any = None,
        on: Any = None,
        using: Any = None,
        sql: str = "SELECT * FROM t JOIN m",
    ) -> Any:
        step: Any = SimpleNamespace(
            dataframe=SimpleNamespace(step_num=0), row_dict=where, columns_map=on, params=using,
            namespace="mindsdb", predictor=Identifier(parts=["m"]),
        )  # fmt: skip
        made: Any = self._kind()
        made.steps_data = [SimpleNamespace(columns=columns)]
        made.session = None
        made.context = {"predictor_metadata": [{"name": "m", "integration_name": "mindsdb", "to_predict": ["Label"]}]}
        made.sql_query = SimpleNamespace(query=parse_sql(sql), context=made.context)
        return made.call(step)


@pytest.mark.parametrize("name", ["label_error", "mood"])
def test_conditions_are_named_to_the_model(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    step = Joined(monkeypatch).call([column("t", "text"), column("t", "mood")], {name: "x"}, using={"top_k": 2})
    assert step.params == {"top_k": 2, HOST_CONDITIONS: [name], HOST_EQUAL_COLUMNS: {}}


def test_the_models_own_columns_in_a_table_are_known_not_to_be_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Joined(monkeypatch).call([column("t", "text"), column("t", "label_error")])
    assert step.params == {HOST_CONDITIONS: [], HOST_EQUAL_COLUMNS: {}}


@pytest.mark.parametrize(
    ("sql", "nobodys"),
    [
        ("SELECT * FROM shop.t AS a JOIN m AS b USING b.dry_run = true, a.x = 1, w = 5", {}),
        ("SELECT * FROM shop.t JOIN mindsdb.m USING m.dry_run = true, t.x = 1", {}),
        ("SELECT * FROM t AS a JOIN m AS b USING m.dry_run = true", {"m.dry_run": True}),
        ("SELECT * FROM t AS a JOIN m AS b USING c.dry_run = true, b.top_k = 2", {"c.dry_run": True}),
        ("SELECT * FROM (SELECT * FROM t JOIN m AS b USING c.dry_run = true) AS c", {"c.dry_run": True}),
        ("SELECT * FROM (SELECT * FROM t) AS a JOIN m AS b USING a.dry_run = true", {}),
    ],
)  # fmt: skip
def test_arguments_for_no_table_are_not_dropped(monkeypatch: pytest.MonkeyPatch, sql: str, nobodys: Any) -> None:
    """The model refuses them: a misspelt prefix would make a dry run a real query."""
    step = Joined(monkeypatch).call([column("t", "text")], using={"top_k": 2}, sql=sql)
    expected = {"top_k": 2, **nobodys, HOST_CONDITIONS: [], HOST_EQUAL_COLUMNS: {}} if nobodys else {"top_k": 2}
    assert step.params == expected


def test_on_renames_every_other_column_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    table = [column("p", "title"), column("p", "text"), column("q", "text"), column("q", "id")]
    step = Joined(monkeypatch).call(table, on={"text": Identifier(parts=["P", "title"])})
    renamed = {name: one.parts for name, one in step.columns_map.items()}
    assert renamed == {"text": ["P", "title"], "p.text": ["p", "text"], "q.text": ["q", "text"]}


@pytest.mark.parametrize("on", [None, {"text": Identifier(parts=["p", "text"])}, {"text": Identifier(parts=["text"])}])
def test_nobody_is_asked_where_no_name_matters(monkeypatch: pytest.MonkeyPatch, on: Any) -> None:
    joined = Joined(monkeypatch)
    step = joined.call([column("p", "id"), column("p", "text")], None, on)
    assert (joined.asked, step.params, step.columns_map) == ([], None, on)


def test_a_model_of_another_engine_gets_what_mindsdb_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = Joined(monkeypatch, ours=False)
    on = {"text": Identifier(parts=["p", "title"])}
    step = joined.call([column("p", "title"), column("p", "text")], {"label_error": "x"}, on, {"a": 1})
    assert joined.asked == [("mindsdb", "m")]
    assert (step.params, step.columns_map) == ({"a": 1}, on)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t JOIN m ON t.title = m.text AND t.body = m.text",
        "SELECT * FROM t AS a JOIN m AS M ON m.text = a.title AND (1 = 1 AND m.text = a.body)",
        "SELECT * FROM (SELECT * FROM t JOIN u ON t.id = u.id JOIN p.m ON m.text = t.title AND m.text = u.body) AS c",
    ],
)
def test_two_columns_for_one_input_are_refused(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    with pytest.raises(
        SettingsError, match=r"input [Tt]ext two columns, \w\.title and \w\.body, and MindsDB would use"
    ):
        Joined(monkeypatch).call([column("t", "title")], sql=sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t JOIN m ON t.title = m.text AND m.text = T.title",
        "SELECT * FROM t JOIN m ON t.title = m.text AND t.body = m.context",
        "SELECT * FROM t JOIN m ON t.title = m.text JOIN m AS n ON t.body = n.text",
        "SELECT * FROM t JOIN m ON t.title = m.text UNION SELECT * FROM t JOIN m ON t.body = m.text",
        "SELECT * FROM t JOIN u ON t.text = u.a AND t.text = u.b AND u.a > 2 JOIN m",
        "SELECT * FROM t JOIN m ON 1 = 1",
        "SELECT * FROM m JOIN t ON t.id = t.other",
        "SELECT * FROM (SELECT * FROM t JOIN m) AS x JOIN u AS m ON m.id = x.id AND m.stars > 3",
        "SELECT * FROM (SELECT * FROM t JOIN m) AS x JOIN u AS m WHERE m.id = x.key",
        "SELECT * FROM m JOIN t ON m.title = t.Title AND t.id = t.other",
        "SELECT * FROM t, m WHERE m.title = t.title",
        "SELECT * FROM t JOIN m WHERE t.Title = m.title",
        "SELECT * FROM m JOIN t",
    ],
)
def test_one_column_for_each_input_is_passed_on(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    assert Joined(monkeypatch).call([column("t", "title")], sql=sql).params is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM (SELECT * FROM t JOIN m) AS a USING dry_run = true", "ignores USING dry_run in a SELECT with"),
        ("SELECT * FROM (SELECT * FROM t JOIN m) AS a JOIN u USING max_cost = 1", "ignores USING max_cost"),
        ("SELECT * FROM t JOIN m UNION ALL SELECT * FROM t JOIN m USING max_cost = 1", "holds for one SELECT of the U"),
        ("SELECT 1 FROM t JOIN m UNION SELECT 2 FROM t JOIN m USING x = 1 UNION SELECT 3 FROM u", "holds for one SEL"),
    ],
)  # fmt: skip
def test_using_that_does_not_reach_the_model_is_refused(
    monkeypatch: pytest.MonkeyPatch, sql: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        Joined(monkeypatch).call([column("t", "title")], sql=sql)
    Joined(monkeypatch, ours=False).call([column("t", "title")], sql=sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM (SELECT * FROM t JOIN m USING max_cost = 1) AS a",
        "SELECT * FROM (SELECT * FROM t JOIN m) AS a USING batch_size = 10",
        "SELECT * FROM (SELECT * FROM t JOIN m) AS a JOIN proj.m USING max_cost = 1",
        "(SELECT * FROM t JOIN m USING max_cost = 1) UNION ALL (SELECT * FROM t JOIN m USING max_cost = 2)",
        "SELECT * FROM t UNION ALL SELECT * FROM t JOIN m USING max_cost = 1",
    ],
)
def test_using_that_reaches_the_model_is_accepted(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    Joined(monkeypatch).call([column("t", "title")], sql=sql)


def test_a_column_that_where_compares_with_the_model_is_named_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "SELECT * FROM t, m WHERE t.title = m.text AND t.id > 2 AND t.id = t.other AND m.mood = t.guess"
    step = Joined(monkeypatch).call([column("t", "title")], sql=sql)
    assert step.params[HOST_EQUAL_COLUMNS] == {"text": "m.text = t.title", "mood": "m.mood = t.guess"}


class FirstStatement:
    """A statement whose step loads this package: MindsDB's own code has begun by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sql: str, *columns: SimpleNamespace) -> None:
        module: Any = ModuleType(joins._STEPS)
        frame = pd.DataFrame([range(len(columns) + 1)], columns=[*(one.name for one in columns), "__mindsdb_row_id"])

        class ApplyPredictorStepCall:
            def call(self, step: Any) -> Any:
                joins.on_and_where_are_passed_on(lambda *_: True)
                params = dict(step.params or {})
                return params, joins.catch_up(params, frame)

        module.ApplyPredictorStepCall = ApplyPredictorStepCall
        monkeypatch.setitem(sys.modules, joins._STEPS, module)
        self.step: Any = SimpleNamespace(
            dataframe=SimpleNamespace(step_num=0), row_dict={"mood": "x"}, columns_map=None, params={"top_k": 2},
            namespace="mindsdb", predictor=Identifier(parts=["m"]),
        )  # fmt: skip
        self.made: Any = ApplyPredictorStepCall()
        self.made.steps_data = [SimpleNamespace(columns=list(columns))]
        self.made.context, self.made.session = (
            {"predictor_metadata": [{"name": "m", "integration_name": "mindsdb"}]},
            None,
        )
        self.made.sql_query = SimpleNamespace(query=parse_sql(sql), context=self.made.context)

    def run(self) -> Any:
        return self.made.call(self.step)


def test_the_first_statement_of_a_process_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "SELECT * FROM p JOIN m ON m.text = p.title USING c.dry_run = true"
    first = FirstStatement(monkeypatch, sql, column("p", "title"), column("p", "text"))
    first.step.columns_map = {"text": Identifier(parts=["p", "title"])}
    params, frame = first.run()
    told = {HOST_CONDITIONS: ["mood"], HOST_EQUAL_COLUMNS: {}}
    assert params == {"top_k": 2, "c.dry_run": True, **told}
    assert list(frame.columns) == ["title", "p.text", "__mindsdb_row_id"]
    # The next one goes through the patch, which has done all this already.
    params, frame = first.run()
    assert params == {"top_k": 2, "c.dry_run": True, **told}
    assert list(frame.columns) == ["title", "text", "__mindsdb_row_id"]


def test_the_first_statement_of_a_process_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "SELECT * FROM t JOIN m ON m.text = t.title AND t.stars > 3"
    with pytest.raises(SettingsError, match=r"MindsDB ignores t\.stars > 3"):
        FirstStatement(monkeypatch, sql, column("t", "title")).run()


def test_a_prediction_without_a_step_is_left_alone() -> None:
    frame, params = pd.DataFrame({"text": ["a"]}), {"top_k": 2}
    assert joins.catch_up(params, frame) is frame
    assert params == {"top_k": 2}


IGNORED = "in ON of a model, and would send all rows."
QUALIFY = "Write the model or the table before each column: ON m.text = t.review."


@pytest.mark.parametrize(
    ("on", "ignored", "advice"),
    [
        ("m.text = t.title AND t.stars > 3", "t.stars > 3", "Write it in WHERE."),
        ("m.text = t.title AND t.id = u.id", "t.id = u.id", "Write it in WHERE."),
        ("m.text = 'hello'", "m.text = 'hello'", "Write it in WHERE."),
        ("text = t.title", "text = t.title", QUALIFY),
        ("t.title", "t.title", "Write ON m.text = t.title, with the model's input in place of text."),
    ],
)
def test_what_mindsdb_ignores_in_on_is_refused(
    monkeypatch: pytest.MonkeyPatch, on: str, ignored: str, advice: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Joined(monkeypatch).call([column("t", "title")], sql=f"SELECT * FROM t JOIN u JOIN m ON {on}")
    assert str(refused.value) == f"MindsDB ignores {ignored} {IGNORED} {advice}"


def test_an_input_with_a_column_in_on_and_a_value_in_where_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    on = {"text": Identifier(parts=["t", "title"])}
    with pytest.raises(SettingsError) as refused:
        Joined(monkeypatch).call([column("t", "title"), column("t", "Text")], {"Text": "x"}, on)
    assert str(refused.value) == (
        "ON has a column for the model's input Text, and WHERE has a value for it. Remove m.Text from one of them."
    )


def test_a_model_before_its_table_is_refused_with_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless both columns have one name: the model reads it without ON, too."""
    sql = "SELECT * FROM p.m AS m JOIN shop.t AS r ON m.text = r.title"
    with pytest.raises(SettingsError) as refused:
        Joined(monkeypatch).call([column("r", "title")], sql=sql)
    assert str(refused.value) == (
        "MindsDB ignores ON m.text = r.title, because the model comes before the table. Write the table first: "
        "FROM shop.t AS r JOIN p.m AS m ON m.text = r.title."
    )


@pytest.mark.parametrize("on", ["m.text = upper(t.title)", "m.text = t.title OR m.text = t.body", "m.text <> t.title"])
def test_an_expression_in_on_belongs_in_a_sub_select(monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Joined(monkeypatch).call([column("t", "title")], sql=f"SELECT * FROM t JOIN m ON {on}")
    assert str(refused.value) == (
        f"MindsDB ignores {on} {IGNORED} Write ON m.text = t.review, joined by AND; put an expression into a "
        "sub-select: FROM (SELECT UPPER(review) AS text FROM …) AS t JOIN m ON m.text = t.text."
    )
