"""Statements that messages show: they do what they say when they are typed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mindsdb_sql_parser import parse_sql
from mindsdb_sql_parser.lexer import MindsDBLexer

from huggingface_api_handler.arguments import ModelSettings, query_settings
from huggingface_api_handler.query import sql
from huggingface_api_handler.query.sql import quoted, retrain

from ..end_to_end import CALLER, TOKEN, engine, model

CHAT = {"task": "chat-completion", "model_name": "org/name"}
PRICE = '{"request": 0.003}'
AT = engine(None, allowed_hosts="127.0.0.1:1")


def retrained(of: ModelSettings) -> tuple[str, ModelSettings]:
    """The model that a statement names, and its settings once the statement has run."""
    statement = retrain(of, replace(CALLER, name="My model", project="p"), price=PRICE)
    assert statement is not None
    parsed = parse_sql(statement)
    using = {name: None if name == "api_key" else value for name, value in parsed.using.items()}
    return str(parsed.name), model(AT, **using)


@pytest.mark.parametrize(
    "using",
    [
        {**CHAT, "input_column": "the text"},
        {**CHAT, "prompt_template": "It's {{a}} and \"{{b}}\"", "system_prompt": "Be \\brief", "max_tokens": 20},
        {**CHAT, "prompt_template": "{{a}}", "output_schema": "word text, stars integer", "rows_per_request": 4,
         "temperature": 0, "parameters": {"top_p": 0.5}, "price": {"request": 1}},
        {**CHAT, "input_column": "a", "examples": [{"input": "it's", "output": "no"}]},
        {**CHAT, "input_column": "a", "presence_penalty": "-1.5", "seed": 7},
        {**CHAT, "provider": "groq, together", "input_column": "a", "timeout": "0.5", "use_cache": False,
         "max_cost": "1e-7", "on_error": "null"},
        {"task": "zero-shot-classification", "model_name": "o/n", "input_column": "a", "candidate_labels": ["b", "c"],
         "options": {"wait_for_model": True}},
        {"task": "chat-completion", "endpoint": "http://127.0.0.1:1/v1", "input_column": "a", "api_key": TOKEN},
        {"task": "tabular-classification", "model_name": "o/n", "input_columns": "a, b"},
    ],
)  # fmt: skip
def test_a_model_keeps_its_arguments_and_gains_a_price(using: dict[str, Any]) -> None:
    before = model(AT, **using)
    name, after = retrained(before)
    assert name == "p.`My model`"
    assert after.token is None
    price = {"request": 0.003}
    assert after == replace(before, price=price, sources=after.sources, token=None)


def test_the_key_of_a_model_is_not_shown() -> None:
    keyed = model(AT, **CHAT, input_column="a", api_key=TOKEN)
    assert str(retrain(keyed, CALLER, price=PRICE)).endswith(
        f"input_column = 'a', api_key = '******', price = {PRICE};"
    )


def test_arguments_of_the_query_stay_with_the_query() -> None:
    query = query_settings(model(AT, **CHAT, input_column="a"), AT, {"max_cost": 1, "max_tokens": 5})
    assert "max_" not in str(retrain(query, CALLER, price=PRICE))


@pytest.mark.parametrize("template", ["{{a}}" + "x" * 500, "one\n{{a}}"])
def test_what_a_message_cannot_carry_is_no_statement(template: str) -> None:
    assert retrain(model(AT, **CHAT, prompt_template=template), CALLER, price=PRICE) is None


@pytest.mark.parametrize(
    ("name", "written"), [("plain", "plain"), ("Two words", "`Two words`"), ("select", "`select`")]
)
def test_names_are_quoted_where_they_must_be(name: str, written: str) -> None:
    assert quoted(name) == written


def test_keywords_are_those_of_the_parser() -> None:
    refused = set()
    for word in (token.lower() for token in MindsDBLexer.tokens if token.isidentifier()):
        try:
            statement = parse_sql(f"SELECT t.{word} FROM d.t AS t JOIN m ON m.{word} = t.{word} WHERE {word} = 1")
            if statement.where.args[0].parts != [word]:
                refused.add(word)
        except Exception:
            refused.add(word)
    assert refused <= sql._KEYWORDS
