"""Wrong statements, and the first line that people get to read."""

from __future__ import annotations

import pytest

from huggingface_api_handler.sandbox.mindsdb_server import SQLError

from .conftest import World

CREATE = "CREATE MODEL wrong PREDICT a "

#: (statement, what its first line must hold: what is wrong, what to type instead)
MISTAKES = {
    "no USING": (CREATE + "USING engine = 'hf'", ("task", "model_name")),
    "unknown task": (CREATE + "USING engine = 'hf', task = 'text-clasification', column = 't'",
                     ("'text-clasification'", "text-classification")),
    "missing column": (CREATE + "USING engine = 'hf', task = 'text-classification'", ("input_column",)),
    "misspelt argument": (CREATE + "USING engine = 'hf', task = 'text-generation', column = 't', temprature = 1",
                          ("'temprature'", "'temperature'")),
    "text for a number": (CREATE + "USING engine = 'hf', task = 'text-classification', column = 't', timeout = 'soon'",
                          ("timeout", "soon")),
    "negative number": (CREATE + "USING engine = 'hf', task = 'text-classification', column = 't', max_retries = '-1'",
                        ("max_retries",)),
    "no labels": (CREATE + "USING engine = 'hf', task = 'zero-shot-classification', column = 't'",
                  ("candidate_labels",)),
    "one language": (CREATE + "USING engine = 'hf', task = 'translation', column = 't', lang_input = 'en'",
                     ("lang_output",)),
    "no context": (CREATE + "USING engine = 'hf', task = 'question-answering', column = 't'", ("context_column",)),
    "no second column": (CREATE + "USING engine = 'hf', task = 'sentence-similarity', column = 't'",
                         ("input_column2",)),
    "unknown model": (CREATE + "USING engine = 'hf', model_name = 'nobody/nothing-at-all', column = 't'",
                      ("nobody/nothing-at-all",)),
    "broken model name": (CREATE + "USING engine = 'hf', task = 'fill-mask', model_name = '../../etc', column = 't'",
                          ("model_name", "../../etc")),
    "wrong task for model": (
        CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', model_name = 'facebook/bart-large-cnn'",
        ("facebook/bart-large-cnn", "summarization")),
    "bad URL": (CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', endpoint = 'ftp://x/y'",
                ("endpoint", "http")),
    "stranger's endpoint": (
        CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', endpoint = 'https://evil.example/'",
        ("evil.example", "allowed_hosts")),
    "dead host": (
        CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', "
        "base_url = 'https://api-inference.huggingface.co'", ("router.huggingface.co",)),
    "bare word": (CREATE + "USING engine = 'hf', task = fill_mask, column = 't'", ("quotes",)),
    "wrong on_error": (CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', on_error = 'skip'",
                       ("on_error", "raise", "null")),
    "broken template": (CREATE + "USING engine = 'hf', task = 'text-generation', prompt_template = 'Say {{x'",
                        ("prompt_template",)),
    "labels that do not fit": (
        CREATE + "USING engine = 'hf', task = 'text-classification', column = 't', labels = 'bad, so-so, good'",
        ("labels must be 2 names", "NEGATIVE, POSITIVE")),
    "braces in a prompt": (
        CREATE + "USING engine = 'hf', task = 'chat-completion', prompt = 'Summarise {{title}}'",
        ("'{{title}}' is not replaced", "prompt_template = 'Summarise {{title}}'")),
    "no result wanted": (CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', top_k = '-1'",
                         ("top_k must be a whole number of at least 1",)),
    "generation without a model": (CREATE + "USING engine = 'hf', task = 'text-generation', column = 't'",
                                   ("model_name = ", "task = 'chat-completion'")),
    "policy for a task that is no chat": (
        CREATE + "USING engine = 'hf', task = 'fill-mask', column = 't', provider = 'cheapest'",
        ("chat-completion only",)),
    "several at once": (
        CREATE + "USING engine = 'hf', task = 'fill-mask', tmeout = 3, max_batch_size = 'many'",
        ("'tmeout'", "'timeout'", "max_batch_size", "input_column")),
    "unknown query argument": ("SELECT mood FROM sentiment WHERE text = 'x' USING max_retrys = 3",
                               ("'max_retrys'", "'max_retries'")),
    "argument of no model": (
        "SELECT s.mood FROM duck.reviews AS r JOIN sentiment AS s ON s.text = r.review USING m.dry_run = true",
        ("m.dry_run names no model of the query", "write dry_run")),
    "USING around a sub-select": (
        "SELECT count(*) FROM (SELECT s.mood FROM duck.reviews AS r JOIN sentiment AS s ON s.text = r.review) AS t "
        "USING dry_run = true",
        ("MindsDB ignores USING dry_run in a SELECT without a model", "Write USING in the SELECT with s")),
    "USING of one SELECT of a UNION": (
        "SELECT s.mood FROM duck.reviews AS r JOIN sentiment AS s ON s.text = r.review UNION ALL "
        "SELECT s.mood FROM duck.reviews AS r JOIN sentiment AS s ON s.text = r.review USING dry_run = true",
        ("USING dry_run holds for one SELECT of the UNION only", "Write USING in each")),
    "task in a query": ("SELECT mood FROM sentiment WHERE text = 'x' USING task = 'fill-mask'",
                        ("task", "CREATE MODEL")),
    "column not in the table": (
        "SELECT m.mood FROM duck.reviews AS r JOIN sentiment AS m", ("'text'", "input_column", "'review'")),
    "= on a column of the answer": (
        "SELECT r.id FROM duck.reviews AS r JOIN sentiment AS m ON m.text = r.review WHERE m.mood_retryable = TRUE "
        "USING on_error = 'null'", ("mood_retryable IS TRUE", "would return all rows")),
    "= on the answer": ("SELECT mood FROM sentiment WHERE text = 'I love it' AND mood = 'NEGATIVE'",
                        ("= on mood", "WHERE mood IN ('NEGATIVE')")),
    "engine: unknown argument": ("CREATE ML_ENGINE wrong FROM huggingface_api USING api_kye = 'x'",
                                 ("'api_kye'", "'api_key'")),
    "engine: bad key": ("CREATE ML_ENGINE wrong FROM huggingface_api USING api_key = 'hf_ab cd'", ("api_key",)),
    "target is an input": ("CREATE MODEL wrong PREDICT a USING engine = 'hf', task = 'fill-mask', column = 'A'",
                           ("PREDICT a", "a_predicted")),
    "describe: unknown table": ("DESCRIBE sentiment.argz", ("argz", "args")),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_first_line_says_what_to_do(world: World, statement: str, expected: tuple[str, ...]) -> None:
    try:
        table = world.sql(statement)
    except SQLError as error:
        text = str(error)
    else:  # DESCRIBE shows an error as a cell
        assert table.columns == ("error",), f"accepted: {table}"
        text = str(table.rows[0][0])
    first = text.splitlines()[0]
    assert "Traceback" not in text and "File " not in text
    for part in expected:
        assert part in first, first
    assert "wrong" not in world.sql("SELECT name FROM models").column("name")
