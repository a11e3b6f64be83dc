"""``prompt_template``: text with ``{{column}}`` in it.

A template is parsed once. A cell's text is inserted as it is, and never parsed as a template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts and column names in turn; the first and last are texts."""

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
        """Return the text for one row: NULL cells become empty text, and if all are NULL the text is ``None``."""
        if self.columns and all(cells.get(name) is None for name in self.columns):
            return None
        return "".join(part if position % 2 == 0 else cells.get(part) or "" for position, part in enumerate(self.parts))


def parse_template(text: str) -> Template:
    """Split ``text`` into literals and column names.

    Raises:
        ValueError: with what is wrong with it.
    """
    # Linear time: a regular expression would scan the rest of the text for every unmatched '{{'.
    first, *pieces = text.split("{{")
    parts = [first]
    for piece in pieces:
        name, closed, literal = piece.partition("}}")
        if not closed:
            raise ValueError("has an unmatched '{{' or '}}'")
        parts += [name.strip(), literal]
    if any("}}" in literal for literal in parts[0::2]):
        raise ValueError("has an unmatched '{{' or '}}'")
    if any(not name or "{" in name or "}" in name for name in parts[1::2]):
        raise ValueError("has no column name between '{{' and '}}'")
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
