"""``prompt_template``: text with ``{{column}}`` in it.

A template is split once; a cell's text is put in as it stands and never read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FIELD = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal texts and column names by turns, beginning and ending with a text."""

    parts: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it names, each once, in order."""
        return tuple(dict.fromkeys(self.parts[1::2]))

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
    pieces = _FIELD.split(text)
    literals, names = pieces[0::2], [name.strip() for name in pieces[1::2]]
    for literal in literals:
        if "{{" in literal or "}}" in literal:
            raise ValueError("has a '{{' or '}}' without its partner")
    for name in names:
        if not name or "{" in name or "}" in name:
            raise ValueError("names no column between '{{' and '}}'")
    parts: list[str] = [literals[0]]
    for name, literal in zip(names, literals[1:], strict=True):
        parts += [name, literal]
    return Template(tuple(parts))
