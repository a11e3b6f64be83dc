"""Rows that share prompts (``rows_per_request``), and the audit that measures what that changes."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from ..arguments import ModelSettings
from ..arguments.specs import AUDIT_AGREEMENT
from ..arguments.template import Prompt, Template
from ..errors import InputError
from ..protocols.detect import Answered, Endpoint
from ..scheduling.batches import Item
from ..scheduling.results import Limits, RowResult
from ..tasks.packing import ROWS_IN_REQUEST, packed_arguments, packed_prompt, row_ids, unpacked
from ..tasks.task import Answer, Arguments, Scalar

log = logging.getLogger(__name__)

#: Characters of the rows of one request, if the model's context length is not known: about 8,000 tokens.
MAX_CHARACTERS = 24_000
#: Characters that become one token in most languages, at least.
CHARACTERS_PER_TOKEN = 3
#: Rows that must have been compared before the audit is judged.
LEAST_AUDITED = 20

#: The cell of a row that has no template.
_TEXT = "text"


@dataclass(frozen=True, slots=True)
class Packing:
    """How the rows of a query share prompts.

    Attributes:
        rows: that share one, at most.
        audit: share of the rows that are sent alone as well.
        agreement: share of those whose two answers must agree.
        typed: answers are objects of ``output_schema``.
    """

    rows: int
    audit: float
    agreement: float
    typed: bool = False

    @classmethod
    def of(cls, model: ModelSettings) -> Packing | None:
        """Return how a query's rows share prompts; ``None``: each row has its own."""
        values = model.values
        rows = values.get("rows_per_request", 1)
        if rows <= 1:
            return None
        agreement = values.get("audit_agreement", AUDIT_AGREEMENT.default)
        return cls(rows, values.get("audit", 0.0), agreement, typed="output_schema" in values)

    def limits(self, limits: Limits, context_length: int | None) -> Limits:
        """Return the limits of a run: its rows fill at most half of the model's context.

        Args:
            context_length: tokens of prompt and answer together, if that is known.
        """
        size = MAX_CHARACTERS if context_length is None else context_length // 2 * CHARACTERS_PER_TOKEN
        return replace(limits, max_batch_size=self.rows, max_batch_bytes=size, fill_batches=True)

    def audit_of(self, items: Iterable[Item]) -> Audit | None:
        """Return the audit of a query; ``None`` if it has none."""
        return Audit(self, items) if self.audit else None

    def items(self, items: Sequence[Item], audited: Audit | None) -> list[Item]:
        """Return what is to be sent: the audited rows alone, then the rows of shared prompts, audited ones first.

        So a bad agreement shows before most rows are sent.
        """
        sized = [replace(item, size=_size(item.payload)) for item in items]
        if audited is None:
            return sized
        both = [item for item in sized if audited.has(item)]
        alone = [replace(item, group=("audit", item.index)) for item in both]
        return [*alone, *both, *(item for item in sized if not audited.has(item))]


def _size(payload: tuple[Any, ...]) -> int:
    """Return the characters that a row adds to a prompt: the text of a template is there once."""
    prompt = payload[0]
    return sum(len(cell or "") for cell in prompt.cells) if isinstance(prompt, Prompt) else len(prompt)


# --- one request -----------------------------------------------------------------------------


def ask(
    endpoint: Endpoint, items: Sequence[Item], arguments: Arguments, timeout: float
) -> tuple[list[Answer | None], Answered]:
    """Send one request for several rows.

    Returns:
        an answer for each row, ``None`` for a row to which nothing in the response certainly belongs; and the answer
        to all.

    Raises:
        HuggingFaceError: what went wrong, with the service's reason.
    """
    ids, prompt = prompt_of(items, arguments)
    try:
        found = endpoint.ask([(prompt, None)], packed_arguments(arguments, len(items)), timeout)
    except InputError as error:
        error.divisible = True  # what it says of the prompt may be true of one row
        raise
    return unpacked(found.answers[0], ids, arguments), found


def prompt_of(items: Sequence[Item], arguments: Arguments) -> tuple[list[str], str]:
    """Return the ids of rows and the prompt that they share."""
    ids = row_ids([item.key for item in items])
    rows = [_cells(item.payload) for item in items]
    return ids, packed_prompt(ids, rows, _instruction(items[0].payload), arguments)


def _cells(payload: tuple[Any, ...]) -> dict[str, str]:
    prompt = payload[0]
    if not isinstance(prompt, Prompt):
        return {_TEXT: prompt}
    names = _fields(prompt.template)
    return {names[column]: cell or "" for column, cell in zip(prompt.template.columns, prompt.cells, strict=True)}


def _instruction(payload: tuple[Any, ...]) -> str | None:
    """Return the template with the names that its columns have in the prompt; ``None`` for rows without a template."""
    prompt = payload[0]
    if not isinstance(prompt, Prompt):
        return None
    names, parts = _fields(prompt.template), prompt.template.parts
    return "".join(part if position % 2 == 0 else f"{{{{{names[part]}}}}}" for position, part in enumerate(parts))


@lru_cache(maxsize=64)
def _fields(template: Template) -> Mapping[str, str]:
    """Return the names of a template's columns in the prompt, where ``id`` is taken."""
    names = {column: column for column in template.columns}
    for column in template.columns:
        if column.lower() == "id":
            names[column] = f"{column}_column"
            while names[column] in template.columns:
                names[column] += "_"
    return names


# --- audit -----------------------------------------------------------------------------------


class Audit:
    """Compares the answers that rows get in shared prompts with those that they get alone.

    Hold ``lock`` from ``take`` until what is shown is in its place.

    Attributes:
        audited: rows with both answers; ``agreed``: those of them whose answers agree.
        failed: whether too few agreed at some time, so that rows should share no more prompts.
    """

    def __init__(self, packing: Packing, items: Iterable[Item]) -> None:
        self._typed = packing.typed
        self.lock = threading.Lock()
        self.audited = 0
        self.agreed = 0
        self.failed = False
        self._agreement = packing.agreement
        self._chosen = {item.index for item in items if _chance(item.key) < packing.audit}
        self._first: dict[int, RowResult] = {}

    def has(self, item: Item) -> bool:
        """Return whether a row is audited."""
        return item.index in self._chosen

    def report(self, name: str) -> dict[str, float]:
        """Log what was found, and return it by the names of ``usage``.

        Args:
            name: of the model.
        """
        ending = ": too few, so the rest of the rows were sent alone" if self.failed else ""
        log.log(
            logging.WARNING if self.failed else logging.INFO,
            "%s: audit: %d of %d rows have the same answer alone and in a shared prompt%s",
            name, self.agreed, self.audited, ending,
        )  # fmt: skip
        return {"audited": self.audited, "agreed": self.agreed, "audit_stops": int(self.failed)}

    def take(self, result: RowResult) -> tuple[bool, RowResult | None]:
        """Take a row's result; an audited row has two.

        Returns:
            whether the row shows it: the answer that it got alone, else the other; and the row's final result, unless
            another is to come.
        """
        item = result.item
        assert item is not None
        if not self.has(item):
            return True, result
        other = self._first.pop(item.index, None)
        if other is None:
            self._first[item.index] = result
            return True, None
        alone = item.group is not None
        shown = result.error is None and (alone or other.error is not None)
        in_company = other if alone else result
        if result.error is None and other.error is None and ROWS_IN_REQUEST in (in_company.explain or {}):
            self.audited += 1
            self.agreed += agree(result.value, other.value, typed=self._typed)
            too_few = self.audited >= LEAST_AUDITED and self.agreed < self._agreement * self.audited
            self.failed = self.failed or too_few
        winner, loser = (result, other) if shown else (other, result)
        if loser.cost is not None:  # the row has cost both
            winner.cost = loser.cost + (winner.cost or 0.0)
        return shown, winner


def _chance(key: str) -> float:
    """Return a number in [0, 1) that follows from a row's key and is known to nobody before."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8, person=b"audit").digest(), "big") / 2**64


def agree(one: Scalar, other: Scalar, *, typed: bool = False) -> bool:
    """Return whether two answers are the same but for white space, capitals and the signs around them.

    Args:
        typed: they are JSON objects, all of whose fields must agree.
    """
    if typed:
        return bool(_normalized(json.loads(str(one))) == _normalized(json.loads(str(other))))
    return bool(_normalized(one) == _normalized(other))


#: Signs that models put around an answer. Not those that change it, such as ``-`` and ``%``.
_AROUND = " .,;:!?…\"'`*()[]{}«»„“”‘’"


def _normalized(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normalized(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_normalized(part) for part in value]
    if not isinstance(value, str):
        return value
    text = " ".join(value.casefold().split())
    return text.strip(_AROUND) or text
