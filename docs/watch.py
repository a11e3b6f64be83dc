"""Draw the table of ``watch`` for docs/operations.md.

python docs/watch.py           writes docs/watch.svg
python docs/watch.py --check   exit code 1 if it is out of date
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from huggingface_api_handler.cli.watch import table

PICTURE = Path(__file__).with_name("watch.svg")
NOON = 1_767_268_800.0


def rows() -> list[dict[str, Any]]:
    """Return two running queries and two that have ended."""
    names = (
        "run", "engine", "model", "state", "rows", "done", "errors", "rows_per_second", "seconds", "seconds_left",
        "cost",
    )  # fmt: skip
    hf, moods = "hf_api_engine", "hf_sentiment_classifier"
    made: list[tuple[Any, ...]] = [
        ("3f2a91c4", hf, moods, "running", 120_000, 53_400, 2, 412.0, 131, 161.6, 0.3147),
        ("b07d5e1a", hf, "ticket_summary", "running", 900, 610, 0, 3.9, 158, 74.4, 0.0821),
        ("91cc04f7", hf, moods, "stopped", 120_000, 8_200, 0, 391.0, 21, None, 0.0483),
        ("5de8310b", "embeddings", "review_vectors", "done", 48_000, 48_000, 0, 1630.0, 29.4, None, None),
    ]
    return [dict(zip(names, row, strict=True)) for row in made]


def drawn() -> str:
    """Return the picture; without the fonts that rich would load from the web."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    console = Console(record=True, width=140, file=io.StringIO(), force_terminal=True)
    console.print(table(rows(), NOON))
    svg = console.export_svg(title="python -m huggingface_api_handler watch", unique_id="watch")
    return re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        return 0 if PICTURE.read_text(encoding="utf-8") == drawn() else 1
    PICTURE.write_text(drawn(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
