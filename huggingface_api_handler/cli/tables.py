"""Tables as text and as JSON lines, and messages, for a terminal, a pipe and scripts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import CONTROLS, one_line
from ..scheduling.progress import duration

_DAY = 86400.0
_CONTROL = re.compile(f"[{CONTROLS}]")


def complain(text: str) -> None:
    """Print a message as one line on stderr."""
    print(one_line(text, 2000), file=sys.stderr)


def plain(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned text, a line a row; columns of numbers to the right."""
    lines = [list(columns), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [_are_numbers(column[1:]) for column in zip(*lines, strict=True)]
    padded = (
        (cell.rjust(width) if to_the_right else cell.ljust(width))
        for line in lines
        for cell, width, to_the_right in zip(line, widths, right, strict=True)
    )
    return "\n".join("  ".join(next(padded) for _ in columns).rstrip() for _ in lines)


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    """Return a JSON object a line; control characters are escaped, so that a terminal ignores them."""
    return "\n".join(
        _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(row, ensure_ascii=False)) for row in rows
    )


def size(number: int) -> str:
    """Return a readable size: ``512 B``, ``1.5 MB``."""
    value, units = float(number), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{number} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def age(seconds: float) -> str:
    """Return a readable age: ``40 s``, ``3 h 5 min``, ``12 days``."""
    return f"{seconds / _DAY:.0f} days" if seconds >= 2 * _DAY else duration(max(seconds, 0.0))


def _are_numbers(cells: Sequence[str]) -> bool:
    return bool(cells) and all(cell[:1].isdigit() or cell in ("-", "?") or cell[:2] == "$0" for cell in cells)
