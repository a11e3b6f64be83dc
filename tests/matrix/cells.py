"""Which cells the compatibility matrix has, and what was found of them; the standard library alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
#: The newest release of MindsDB, tried with every Python.
NEWEST = "26.1.0"
#: Releases before it that have ML engines, each with the Pythons that it is tried with.
OLDER: Mapping[str, tuple[str, ...]] = {"26.0.1": ("3.11",), "25.14.1": ("3.10", "3.13")}
#: The huggingface_hub beside them: what pip chooses for MindsDB and this package, or the newest there is.
HUBS = ("resolved", "newest")


@dataclass(frozen=True)
class Cell:
    """One combination to try.

    Attributes:
        python: such as ``3.12``.
        mindsdb: a release.
        hub: one of ``HUBS``.
    """

    python: str
    mindsdb: str
    hub: str

    @property
    def name(self) -> str:
        return f"{self.twin}_hub-{self.hub}"

    @property
    def twin(self) -> str:
        """What it has in common with the cell that has another huggingface_hub."""
        return f"mindsdb-{self.mindsdb}_python-{self.python}"


#: All that are tried, in the order in which they are.
CELLS = (
    *(Cell(python, NEWEST, hub) for python in PYTHONS for hub in HUBS),
    *(Cell(python, release, "resolved") for release, pythons in OLDER.items() for python in pythons),
)


def results() -> dict[str, dict[str, Any]]:
    """Return what was found, by the name of the cell; nothing where nothing was tried yet."""
    if not RESULTS.exists():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def keep(cell: Cell, found: Mapping[str, Any]) -> None:
    """Write down what was found of a cell, beside the others."""
    known = results() | {cell.name: dict(found)}
    order = [one.name for one in CELLS]
    ordered = {name: known[name] for name in sorted(known, key=lambda name: order.index(name) if name in order else 99)}
    fresh = RESULTS.with_suffix(".part")
    fresh.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    fresh.replace(RESULTS)
