"""The owners of the answers and runs in a cache."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """The model that a scope belongs to, by the names that users know. A model that is created again has a new scope.

    Attributes:
        tenant: opaque text.
        engine, project, model: names.
    """

    tenant: str
    engine: str
    project: str
    model: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The answers of one scope that are stored.

    Attributes:
        scope: whose they are; ``None``: not known, as for answers of older versions.
        answers: how many.
        size: bytes.
        oldest, newest: when they were written, in seconds since 1970; 0: not known.
    """

    scope: str | None
    answers: int
    size: int
    oldest: int = 0
    newest: int = 0
