"""Replaces functions of MindsDB, each once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

#: Attribute that marks a replaced function. The package may be imported twice, under MindsDB's name of it and its own.
_MARK = "_huggingface_api"


def is_patched(target: Any) -> bool:
    """Return whether a function or class has been patched by this package."""
    return bool(getattr(target, _MARK, False))


def mark_patched(target: Any) -> None:
    """Mark a function or class as patched."""
    setattr(target, _MARK, True)


def patch(owner: Any, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace ``owner.name`` by the decorated function, which gets the original as its first argument.

    A second patch of the same attribute does nothing.

    Args:
        owner: a class or module of MindsDB.
        name: its attribute: a function, method or static method.
    """

    def replace(replacement: Callable[..., Any]) -> Callable[..., Any]:
        original = getattr(owner, name)
        if is_patched(original):
            return replacement

        @functools.wraps(original)
        def patched(*arguments: Any, **named: Any) -> Any:
            return replacement(original, *arguments, **named)

        mark_patched(patched)
        is_static = isinstance(inspect.getattr_static(owner, name), staticmethod)
        setattr(owner, name, staticmethod(patched) if is_static else patched)
        return replacement

    return replace
