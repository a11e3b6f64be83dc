"""``prompt_template``: text with ``{{column}}`` in it.

A template is split once; a cell's text is put in as it stands and never read as a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts and column names by turns, beginning and ending with a text."""

    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        return tuple(dict.fromkeys(self.parts[1::2]))

    def length(self, cells: Mapping[str, str | None]) -> int:
        """Return how many characters ``render`` gives, without rendering."""
        return sum(
            len(part) if position % 2 == 0 else len(cells.get(part) or "") for position, part in enumerate(self.parts)
        )

    def render(self, cells: Mapping[str, str | None]) -> str | None:
        """Return the text for one row; a NULL is put in as nothing, but where all are NULL so is the text."""
        if self.columns and all(cells.get(name) is None for name in self.columns):
            return None
        return "".join(part if position % 2 == 0 else cells.get(part) or "" for position, part in enumerate(self.parts))


def parse_template(text: str) -> Template:
    """Split ``text`` into literals and column names.

    Raises:
        ValueError: saying what is wrong with it.
    """
    # Each piece is looked at once: a pattern would look through all that follows for every '{{' left open.
    first, *pieces = text.split("{{")
    parts = [first]
    for piece in pieces:
        name, closed, literal = piece.partition("}}")
        if not closed:
            raise ValueError("has a '{{' or '}}' without its partner")
        parts += [name.strip(), literal]
    if any("}}" in literal for literal in parts[0::2]):
        raise ValueError("has a '{{' or '}}' without its partner")
    if any(not name or "{" in name or "}" in name for name in parts[1::2]):
        raise ValueError("names no column between '{{' and '}}'")
    return Template(tuple(parts))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A row's prompt, rendered when it is sent: a template may repeat large cells many times.

    Attributes:
        template: shared by all rows.
        cells: the text of each column in ``template.columns``, in that order.
    """

    template: Template
    cells: tuple[str | None, ...]

    def __len__(self) -> int:
        return self.template.length(self._by_name)

    def render(self) -> str:
        """Return the text; at least one cell has a value."""
        return self.template.render(self._by_name) or ""

    @property
    def _by_name(self) -> dict[str, str | None]:
        return dict(zip(self.template.columns, self.cells, strict=True))
