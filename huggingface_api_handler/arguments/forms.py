"""The table of arguments as MindsDB's forms: what each statement accepts, with labels for people.

``docs/tables.py`` writes ``creation_args.py`` and ``model_using_args.py`` from here, because MindsDB reads the first
without importing it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .specs import ENGINE, MODEL, QUERY, ArgumentSpec

#: MindsDB's types; it has none for fractions.
_TYPES = {
    "secret": "pwd", "url": "url", "list": "list", "text": "str", "integer": "int", "number": "str", "boolean": "bool",
    "object": "dict",
}  # fmt: skip


def engine_form() -> dict[str, dict[str, Any]]:
    """Return what CREATE ML_ENGINE accepts.

    MindsDB masks the arguments of an engine by this form alone, so it has the alias of a secret as well: an engine of
    MindsDB's own handler may still have its token there.
    """
    return _form(ENGINE, aliases=[spec for spec in ENGINE if spec.secret])


def model_form() -> dict[str, dict[str, Any]]:
    """Return what CREATE MODEL accepts for every task."""
    return _form(MODEL, aliases=MODEL)


def query_form() -> list[dict[str, Any]]:
    """Return what SELECT … USING accepts for every task."""
    return [{"name": name, **entry} for name, entry in _form(QUERY).items()]


def _form(specs: Iterable[ArgumentSpec], aliases: Iterable[ArgumentSpec] = ()) -> dict[str, dict[str, Any]]:
    form = {spec.name: _entry(spec, spec.label, spec.meaning) for spec in specs}
    for spec in aliases:
        for alias in spec.aliases:
            form[alias] = _entry(spec, f"{spec.label} (older name)", f"the same as {spec.name}")
    return form


def _entry(spec: ArgumentSpec, label: str, meaning: str) -> dict[str, Any]:
    entry = {"type": _TYPES[spec.type], "label": label, "description": meaning, "required": False}
    return {**entry, "secret": True} if spec.secret else entry
