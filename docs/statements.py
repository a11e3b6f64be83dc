"""Run the SQL of the documentation and write the results below it.

    python docs/statements.py           runs every page on a MindsDB with the sandbox and rewrites the results
    python docs/statements.py --list    lists the statements that are not run, with the reason

A block marked ``sql`` is run, statement by statement. An unmarked block right after it holds the result of the
last statement. ``<!-- not run: REASON -->`` on the line before a block excludes it.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: In reading order: a page may use what the README creates.
PAGES = ("README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))

#: Maximum width of a cell, in characters.
CELL = 72

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?```sql\n(?P<sql>.*?)```\n(?:\n?(?P<result>```\n.*?```\n))?", re.DOTALL
)
_CREATED = re.compile(
    r"\s*CREATE\s+(ML_ENGINE|DATABASE|MODEL|VIEW|JOB|TABLE)\s+(?:IF NOT EXISTS\s+)?([\w.]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Block:
    """A block of SQL.

    Attributes:
        line: the line of the page where it starts.
        statements: in order, without the semicolon.
        result: the last statement's result as the page shows it, or ``None``.
        reason: why it is not run, or ``None``.
        where: start and end of the result in the page's text.
    """

    line: int
    statements: tuple[str, ...]
    result: str | None
    reason: str | None
    where: tuple[int, int]


def blocks(text: str) -> Iterator[Block]:
    """Yield the blocks of a page."""
    for found in _BLOCK.finditer(text):
        statements = tuple(one.strip() for one in re.split(r";[ \t]*(?:--[^\n]*)?\n", found["sql"]) if one.strip())
        result = found["result"]
        shown = None if result is None else result.removeprefix("```\n").removesuffix("```\n")
        yield Block(text[: found.start("sql")].count("\n"), statements, shown, found["reason"], found.span("result"))


def created(statement: str) -> tuple[str, str] | None:
    """Return the kind and name of the object that a statement creates."""
    found = _CREATED.match(statement)
    return (found[1].upper(), found[2]) if found else None


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(one) in "WF") for one in text if not unicodedata.combining(one))


def _shown(cell: Any) -> str:
    if cell is None:
        return "NULL"
    text = " ".join((json.dumps(cell, ensure_ascii=False) if isinstance(cell, (list, dict)) else str(cell)).split())
    return text if len(text) <= CELL else text[: CELL - 1].rstrip() + "…"


def drawn(table: Any) -> str:
    """Return a result as text: column names, a rule, one line per row."""
    lines = [list(table.columns), *([_shown(cell) for cell in row] for row in table.rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ((cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join("  ".join(line).rstrip() + "\n" for line in padded)


Run = Callable[[str], Any]


def run_block(block: Block, run: Run) -> str | None:
    """Run a block's statements; return the last one's result as text, or ``None`` if the page shows none."""
    table = None
    for statement in block.statements:
        table = run(statement)
    return None if block.result is None else drawn(table)


def renewed(text: str, run: Run) -> str:
    """Return a page's text with the current results of its statements."""
    results = [(block, run_block(block, run)) for block in blocks(text) if block.reason is None]
    for block, result in reversed(results):
        if result is not None:
            start, end = block.where
            text = f"{text[:start]}```\n{result}```\n{text[end:]}"
    return text


# --- command line ---------------------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    if "--list" in arguments:
        for page in PAGES:
            for block in blocks((ROOT / page).read_text(encoding="utf-8")):
                if block.reason:
                    print(f"{page}:{block.line}: {block.reason}")
        return 0

    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
    from make_shop import build

    from huggingface_api_handler.sandbox import Sandbox
    from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, SQLError, service_environment

    with Sandbox() as sandbox, MindsDBServer(environ=service_environment(sandbox.url, sandbox.hub_url)) as server:
        build(server.storage / "shop.duckdb")

        def run(statement: str) -> Any:
            try:
                table = server.sql(statement)
                kind, name = created(statement) or ("", "")
                if kind == "MODEL":
                    server.wait_for_model(name.rpartition(".")[2])
            except SQLError as error:
                raise SystemExit(f"{statement}\n\n{error}") from None
            return table

        for page in PAGES:
            path = ROOT / page
            path.write_text(renewed(path.read_text(encoding="utf-8"), run), encoding="utf-8")
            print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
