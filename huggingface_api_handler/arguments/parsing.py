"""A USING clause, read argument by argument; what is wrong with it is gathered, not raised."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import HuggingFaceError, SettingsError, hide_tokens
from ..net.redaction import holds_token
from .coercion import BadValue, read_value, shown
from .names import nearest
from .specs import API_KEY, HOST_PREFIX, ArgumentSpec

#: How much of an error's text is spent on faults before the rest are only counted.
_ROOM = 900


class _Absent:
    """An argument that is not given, or that was refused."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


class Reader:
    """One statement's arguments, by lower-case name, and its faults so far.

    Args:
        raw: the arguments as they came.
        host: MindsDB's own arguments; they are passed over.
        prefix: takes what stands before a dot in a name; says whether it names this very model.
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
            if name not in (API_KEY.name, *API_KEY.aliases) and holds_token({name: value}):
                self._refused.add(name)
                self.fault(
                    f"{hide_tokens(name)} holds what looks like a token: write it in api_key of CREATE ML_ENGINE "
                    "or CREATE MODEL, and nowhere else"
                )

    def fault(self, text: str) -> None:
        """Note that something is wrong."""
        if text not in self.faults:
            self.faults.append(text)

    def has(self, form: ArgumentSpec) -> bool:
        """Say whether an argument was given at all, good or bad, null excepted."""
        return any(self.given.get(name) is not None for name in (form.name, *form.aliases))

    def take(self, form: ArgumentSpec, check: Callable[[Any], Any] | None = None) -> Any:
        """Return an argument's value, ``None`` where null was written, ``ABSENT`` where nothing good was.

        Args:
            check: a further rule; gets the value, returns it tidied or raises ``BadValue``.
        """
        names = [name for name in (form.name, *form.aliases) if name in self.given]
        self._read.update(names)
        if not names:
            return ABSENT
        if len(names) > 1:
            self.fault(f"{names[0]} and {names[1]} are the same argument: write {form.name} alone")
        value = self.given[names[0]]
        if not self._refused.isdisjoint(names):
            return ABSENT
        if value is None and "null" in form.choices:
            self.fault(f"{names[0]} is SQL's own NULL here: write {form.name} = 'null' in quotes")
            return ABSENT
        if value is None:
            return None
        try:
            value = read_value(form, value)
            return value if check is None else check(value)
        except BadValue as fault:
            self.fault(f"{names[0]} {fault.with_example(form)}")
            return ABSENT

    def left(self) -> list[str]:
        """Return the names that nothing has asked for."""
        return [name for name in self.given if name not in self._read | self._refused]

    def claim(self, name: str) -> Any:
        """Return a value as it came, under the name as it was written."""
        self._read.add(name)
        return self.given[name]

    def unknown(self, name: str, known: Iterable[str], otherwise: str = "") -> None:
        """Note an argument that there is not, with the nearest one that there is."""
        near = nearest(name, known)
        hint = f": did you mean '{near}'?" if near else otherwise
        self.fault(f"unknown argument {shown(name)}{hint}")

    def finish(self, cause: HuggingFaceError | None = None) -> None:
        """Raise what was found, if anything.

        Args:
            cause: what the Hub said of the model; alone it is raised as it is.

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
    """Return faults on one line; those beyond its room are counted."""
    told: list[str] = []
    for fault in faults:
        if told and sum(len(one) + 2 for one in told) + len(fault) > _ROOM:
            break
        told.append(fault)
    more = len(faults) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")
