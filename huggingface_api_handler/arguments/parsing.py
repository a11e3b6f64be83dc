"""Reads a USING clause argument by argument. Faults are collected, and raised together at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import HuggingFaceError, SettingsError, hide_tokens
from ..net.redaction import holds_token, names_secret
from .coercion import BadValue, read_value, shown
from .names import nearest
from .specs import API_KEY, HOST_PREFIX, ArgumentSpec
from .validators import RULES

#: Characters of an error's text for faults; those beyond are only counted.
_MAX_TEXT = 900


class _Absent:
    """The value of an argument that is not given, or not valid."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Reader:
    """One statement's arguments, by lower-case name, and its faults so far.

    Args:
        raw: the arguments as they came.
        host: MindsDB's own arguments, which are ignored.
        prefix: called with what precedes a dot in a name; returns whether it names this model.
    """

    def __init__(
        self,
        raw: Mapping[str, Any] | None,
        *,
        host: Iterable[str] = (),
        prefix: Callable[[str], bool] | None = None,
    ) -> None:
        self.faults: list[str] = []
        self.given: dict[str, Any] = {}
        self._read: set[str] = set()
        self._refused: set[str] = set()
        ignored = frozenset(host)
        for written, value in (raw or {}).items():
            name = str(written).strip().lower()
            before, dot, after = name.rpartition(".")
            if dot and prefix is not None and prefix(before.rpartition(".")[2].strip("`")):
                name = after
            name = name.strip("`")
            if name in ignored or name.startswith(HOST_PREFIX):
                continue
            if name in self.given:
                self.fault(f"{name} is given twice")
            self.given[name] = value
            if name not in API_KEY.names and holds_token({name: value}):
                self._refused.add(name)
                self.fault(
                    f"{hide_tokens(name)} contains what looks like a token: write it in api_key of CREATE "
                    "ML_ENGINE or CREATE MODEL, and nowhere else"
                )

    def fault(self, text: str) -> None:
        """Record a fault of the statement."""
        if text not in self.faults:
            self.faults.append(text)

    def has(self, spec: ArgumentSpec) -> bool:
        """Return whether an argument was given, valid or not; NULL does not count."""
        return any(self.given.get(name) is not None for name in spec.names)

    def take(self, spec: ArgumentSpec, check: Callable[[Any], Any] | None = None) -> Any:
        """Return an argument's value, ``None`` for NULL, ``ABSENT`` if it is not given or not valid.

        Args:
            check: a rule beyond the type: returns the value, normalised, or raises ``BadValue``. By default the
                rule of this name in ``RULES``.
        """
        check = check or RULES.get(spec.name)
        names = [name for name in spec.names if name in self.given]
        self._read.update(names)
        if not names:
            return ABSENT
        if len(names) > 1:
            self.fault(f"{names[0]} and {names[1]} are the same argument: write only {spec.name}")
        value = self.given[names[0]]
        if not self._refused.isdisjoint(names):
            return ABSENT
        if value is None and "null" in spec.choices:
            self.fault(f"{names[0]} is the SQL value NULL: write {spec.name} = 'null', with quotes")
            return ABSENT
        if value is None:
            return None
        try:
            value = read_value(spec, value)
            return value if check is None else check(value)
        except BadValue as fault:
            self.fault(f"{names[0]} {fault.with_example(spec)}")
            return ABSENT

    def value(self, spec: ArgumentSpec, check: Callable[[Any], Any] | None = None) -> Any:
        """Return an argument's value, ``None`` if it is NULL, not given or not valid; see ``take``."""
        found = self.take(spec, check)
        return None if found is ABSENT else found

    def left(self) -> list[str]:
        """Return the names that nothing has read or refused."""
        return [name for name in self.given if name not in self._read | self._refused]

    def claim(self, name: str) -> Any:
        """Return a value as it was given, and count it as read."""
        self._read.add(name)
        return self.given[name]

    def unknown(self, name: str, known: Iterable[str], otherwise: str = "") -> None:
        """Record an unknown argument, with the nearest known one."""
        known = tuple(known)
        near = API_KEY.name if names_secret(name) and API_KEY.name in known else nearest(name, known)
        hint = f": did you mean '{near}'?" if near else otherwise
        self.fault(f"unknown argument {shown(name)}{hint}")

    def finish(self, cause: HuggingFaceError | None = None) -> None:
        """Raise the faults, if there are any.

        Args:
            cause: the Hub's refusal of the model; without other faults it is raised as it is.

        Raises:
            SettingsError: all faults on one line.
        """
        if cause is not None and not self.faults:
            raise cause
        if cause is not None:
            advice = f": {cause.advice[:1].lower()}{cause.advice[1:]}" if cause.advice else ""
            self.fault(f"{cause.message}{advice}")
        if self.faults:
            raise SettingsError(joined(self.faults)) from cause


def joined(faults: list[str]) -> str:
    """Return faults on one line; those beyond ``_MAX_TEXT`` are counted."""
    shown_faults: list[str] = []
    for fault in faults:
        if shown_faults and sum(len(one) + 2 for one in shown_faults) + len(fault) > _MAX_TEXT:
            break
        shown_faults.append(fault)
    more = len(faults) - len(shown_faults)
    return "; ".join(shown_faults) + (f"; and {more} more" if more else "")
