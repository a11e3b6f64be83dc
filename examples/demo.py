"""The whole product in a minute: start MindsDB, create an engine and models, query them, stop everything.

    make demo

Without ``HF_TOKEN`` the sandbox replaces Hugging Face: its fake models show the form of the results,
not what a real model would answer. With ``HF_TOKEN`` set, the same statements ask the real service.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
import textwrap
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_shop import build

from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.mindsdb_server import (
    MindsDBServer,
    ServerFailed,
    SQLError,
    Table,
    service_environment,
    stop_on_signals,
)

SHOWN_KEY = "hf_..."
#: Of the right form, and nobody's: the sandbox takes any.
SANDBOX_KEY = "hf_" + "demo" * 8

#: Characters to which a cell is cut.
CELL = 58

CREATE_ENGINE = "CREATE ML_ENGINE hf_api_engine FROM huggingface_api USING api_key = '{key}';"

CREATE_MODEL = """\
CREATE MODEL mindsdb.hf_sentiment_classifier PREDICT sentiment
USING task = 'text-classification', column = 'text', engine = 'hf_api_engine';"""

ASK = "SELECT text, sentiment FROM mindsdb.hf_sentiment_classifier WHERE text = 'I like you. I love you.';"

CREATE_SHOP = """\
CREATE DATABASE shop
WITH ENGINE = 'duckdb', PARAMETERS = {{"database": "{path}", "read_only": true}};"""

JOIN = """\
SELECT r.stars, r.product, r.review, m.sentiment
FROM shop.reviews AS r
JOIN hf_sentiment_classifier AS m ON m.text = r.review
LIMIT 10;"""

COUNT = """\
SELECT stars, sentiment, count(*) AS reviews
FROM (
  SELECT r.stars, m.sentiment
  FROM shop.reviews AS r
  JOIN hf_sentiment_classifier AS m ON m.text = r.review
)
GROUP BY stars, sentiment
ORDER BY stars DESC, sentiment;"""

CREATE_SUMMARY = """\
CREATE MODEL ticket_summary
PREDICT summary
USING
  engine = 'hf_api_engine',
  task = 'summarization',
  input_column = 'body';"""

SUMMARISE = """\
SELECT t.id, t.subject, m.summary
FROM shop.tickets AS t
JOIN ticket_summary AS m ON m.body = t.body
WHERE t.opened_on >= '2026-03-10'
ORDER BY t.id DESC;"""

MISTYPED = """\
CREATE MODEL misspelt
PREDICT sentiment
USING
  engine = 'hf_api_engine',
  task = 'text-classification',
  input_colunm = 'text';"""

SHOW_ENGINES = "SHOW ML_ENGINES;"


class DemoFailed(Exception):
    """The demo did not show what it should; the text says what."""


# --- how it looks ---


class Paper:
    """Where the demo writes: in colour on a terminal, plain anywhere else.

    Args:
        secret: a text that is never written.
    """

    def __init__(self, secret: str) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._colour = self.is_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._secret = secret

    def say(self, text: str = "", code: str = "", end: str = "\n") -> None:
        text = text.replace(self._secret, SHOWN_KEY)
        print(f"\033[{code}m{text}\033[0m" if code and self._colour else text, end=end, flush=True)

    def progress(self, what: str) -> Callable[[float], None]:
        """Return what shows the seconds that something takes: on one line, or as dots where there is no terminal."""
        marks = itertools.count(1)
        due = [5.0]
        self.say(f"{what} ", "2", end="")

        def show(seconds: float) -> None:
            if self.is_terminal:
                turn = "|/-\\"[next(marks) % 4]
                self.say(f"\r{what} {turn} {seconds:.0f} s ", "2", end="")
            elif seconds >= due[0]:
                due[0] += 5.0
                self.say(".", end="")

        return show


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    none = sum(unicodedata.combining(one) > 0 or one in "\u200d\ufe0f" for one in text)
    return len(text) + wide - none


def shorten(value: Any) -> str:
    """Return a cell as one line of at most ``CELL`` columns."""
    if value is None:
        return "NULL"
    text = " ".join(str(value).split())
    if width(text) <= CELL:
        return text
    while width(text) > CELL - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def drawn(table: Table) -> str:
    """Return a table as text, a line a row."""
    cells = [[shorten(value) for value in row] for row in table.rows]
    widths = [max(map(width, column)) for column in zip(table.columns, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        padded = (value + " " * (size - width(value)) for value, size in zip(values, widths, strict=True))
        return "  " + " │ ".join(padded).rstrip()

    rule = "  " + "─┼─".join("─" * size for size in widths)
    return "\n".join([line(table.columns), rule, *map(line, cells)])


# --- what it does ---


@dataclass
class Demo:
    """Runs statements, shows each with its result, and counts them."""

    server: MindsDBServer
    paper: Paper
    seen: int = 0

    def run(self, what: str, statement: str, model: str | None = None) -> Table:
        """Show and run one statement; with ``model``, wait until the model that it creates is ready."""
        self._announce(what, statement)
        began = time.monotonic()
        try:
            result = self.server.sql(statement)
            if model is not None:
                self.server.wait_for_model(model)
        except SQLError as error:
            self.paper.say(f"  error: {error}", "31")
            raise DemoFailed(f"statement {self.seen} ({what}) failed") from error
        seconds = f"{time.monotonic() - began:.1f} s"
        if result.columns and model is None:
            self.paper.say(drawn(result))
            self.paper.say(f"  {len(result)} row{'' if len(result) == 1 else 's'}, {seconds}\n", "2")
        else:
            self.paper.say(f"  ok, {seconds}\n", "32")
        return result

    def fail(self, what: str, statement: str, expected: str) -> None:
        """Show and run a statement that must be refused, with ``expected`` in what is said of it."""
        self._announce(what, statement)
        try:
            self.server.sql(statement)
        except SQLError as error:
            said = str(error).strip().splitlines()[0]
            folded = textwrap.fill(f"error: {said}", 110, initial_indent="  ", subsequent_indent="  ")
            self.paper.say(folded + "\n", "33")
            if expected not in said:
                raise DemoFailed(f"statement {self.seen} ({what}) does not say {expected!r}") from error
        else:
            raise DemoFailed(f"statement {self.seen} ({what}) should have been refused")

    def _announce(self, what: str, statement: str) -> None:
        self.seen += 1
        self.paper.say(f"{self.seen}. {what}", "1")
        self.paper.say(textwrap.indent(statement, "  "), "36")


def check(holds: bool, what: str) -> None:
    if not holds:
        raise DemoFailed(what)


def show(demo: Demo, key: str, shop: Path) -> None:
    """Run the statements, and raise ``DemoFailed`` where one does not show what it should."""
    demo.run("An engine: who pays for the answers", CREATE_ENGINE.format(key=key))
    demo.run("A model: which task, on which column", CREATE_MODEL, model="hf_sentiment_classifier")
    asked = demo.run("Ask it about one text", ASK)
    check(
        [label.upper() for label in asked.column("sentiment")] == ["POSITIVE"],
        f"'I like you. I love you.' should be POSITIVE, not {asked.rows}",
    )
    demo.run("A database with some hundred reviews, in a DuckDB file", CREATE_SHOP.format(path=shop))
    joined = demo.run("JOIN the reviews to the model", JOIN)
    check(len(joined) == 10, f"the JOIN should give 10 rows, not {len(joined)}")
    pairs = zip(joined.column("review"), joined.column("sentiment"), strict=True)
    check(all((review is None) == (label is None) for review, label in pairs), "each review should have a sentiment")
    counted = demo.run("Do the stars agree with the words? (all 300 reviews)", COUNT)
    check(sum(counted.column("reviews")) == 300, f"300 reviews should be counted, not {counted.rows}")
    demo.run("Another task: what do people write to the shop, in short?", CREATE_SUMMARY, model="ticket_summary")
    summed = demo.run("JOIN the latest tickets to it (number 17 says nothing)", SUMMARISE)
    pairs = zip(summed.column("id"), summed.column("summary"), strict=True)
    empty = [number for number, summary in pairs if not summary]
    check((len(summed), empty) == (8, [17]), f"all tickets but number 17 should have summaries: {summed.rows}")
    demo.fail("A slip of the finger is told, with what was meant", MISTYPED, "input_column")
    engines = demo.run("The key is shown to nobody", SHOW_ENGINES)
    check(key not in str(engines.rows) and "******" in str(engines.rows), "SHOW ML_ENGINES should mask the key")
    check(key not in demo.server.log_text(), "the key should not be in the log")


def main() -> int:
    token = os.environ.get("HF_TOKEN", "")
    key = token or SANDBOX_KEY
    paper = Paper(key)
    # The stack is closed after the signals are ignored: a second Ctrl-C does not interrupt the clean-up.
    try:
        with contextlib.ExitStack() as stack, stop_on_signals():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hf-demo-")))
            environ: dict[str, str | None] = {}
            if token:
                paper.say("HF_TOKEN is set: the statements ask the real service, and your account is billed.\n", "33")
            else:
                sandbox = stack.enter_context(Sandbox())
                environ = service_environment(sandbox.url, sandbox.hub_url)
                paper.say(
                    "No HF_TOKEN is set, so a sandbox on this machine replaces Hugging Face.\n"
                    "Its fake models show the form of the results, not the answers of real models.\n",
                    "33",
                )
            shop = build(folder / "shop.duckdb")
            server = MindsDBServer(folder / "storage", environ=environ)
            stack.callback(server.stop)
            began = time.monotonic()
            server.start(progress=paper.progress("Starting MindsDB, which takes up to a minute"))
            paper.say(f"\nMindsDB answers at {server.url} after {time.monotonic() - began:.0f} s.\n", "2")
            show(Demo(server, paper), key, shop)
            paper.say("Everything worked. Stopping MindsDB.", "32")
        return 0
    except KeyboardInterrupt:
        paper.say("\nInterrupted; MindsDB is stopped.")
        return 130
    except (DemoFailed, ServerFailed, OSError, TimeoutError, SQLError) as error:
        paper.say(f"\nThe demo failed: {error}", "31")
        return 1


if __name__ == "__main__":
    sys.exit(main())
