"""Decoders of embeddings: one vector a row."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidAnswer, SettingsError
from .media import decode_base64
from .shapes import array, dumps, is_number, refuse
from .task import Answer, Arguments, Task

_VECTOR = "a vector of finite numbers"
#: Half-precision servers return lengths that differ from 1 by as much.
_NORM_TOLERANCE = 1e-3


def mean(tokens: list[list[float]]) -> list[float]:
    """Return the mean of token vectors. Raises ``InvalidAnswer`` where their sum is beyond all numbers."""
    try:
        return [math.fsum(column) / len(tokens) for column in zip(*tokens, strict=True)]
    except OverflowError:
        refuse(tokens, _VECTOR)


def first(tokens: list[list[float]]) -> list[float]:
    """Return the vector of the first token, which represents the whole text in BERT-like models."""
    return tokens[0]


POOLS: Mapping[str, Callable[[list[list[float]]], list[float]]] = {"mean": mean, "cls": first}


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and not isinstance(value[0], list)


def _vector(value: Any) -> list[float]:
    if isinstance(value, str):
        value = _from_base64(value)
    if not _is_vector(value):
        refuse(value, _VECTOR)
    # Checked in one sweep, since vectors are long and most are all floats.
    if not all(type(one) is float and math.isfinite(one) for one in value):
        if not all(is_number(one) for one in value):
            refuse(value, _VECTOR)
        return [float(one) for one in value]
    return value  # type: ignore[no-any-return]


def _from_base64(value: str) -> list[float]:
    """Return the little-endian 32-bit floats that ``encoding_format = 'base64'`` asks for."""
    data = decode_base64(value)
    if data is None or len(data) % 4:
        refuse(value, _VECTOR)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _pooled(tokens: list[Any], args: Arguments) -> Any:
    """Return one row's token vectors as one vector, or as they are with ``pooling = 'none'``."""
    vectors = [_vector(token) for token in tokens]
    if len({len(vector) for vector in vectors}) != 1:
        refuse(tokens, "token vectors of one length")
    pool = POOLS.get(str(args.values.get("pooling") or "mean"))
    if pool is None:
        return vectors
    return pool(vectors)


def _normalized(vector: list[float]) -> list[float]:
    """Return a vector of length 1; one that the server has normalized already stays as it is, to the last digit."""
    length = math.hypot(*vector)
    if not math.isfinite(length):
        refuse(vector, _VECTOR)
    return vector if abs(length - 1) <= _NORM_TOLERANCE else [one / length for one in vector]


def _checked_length(vector: list[float], args: Arguments) -> None:
    """Refuse a vector of another length than ``dimensions`` asks for: the server ignored it."""
    wanted = args.values.get("dimensions")
    if wanted is not None and len(vector) != wanted:
        raise SettingsError(
            f"dimensions = {wanted} has no effect at this server: its vectors have {len(vector)} dimensions",
            advice="Leave dimensions out, or use a model and a server that shorten vectors",
        )


def vector_answer(part: Any, args: Arguments) -> Answer:
    """One row's vector → JSON list, with ``pooling = 'none'`` its token vectors, and how long they are.

    A vector of zeros is none: it has no direction, so no distance of angles to it is defined.
    """
    found = _vector_of(part, args)
    if not any(any(one) if isinstance(one, list) else one for one in found):
        raise InvalidAnswer(
            "the service returned a vector of zeros",
            advice="Check that the server's model computes embeddings: one for ranking, for example, does not",
        )
    if isinstance(found[0], list):
        _checked_length(found[0], args)
        return Answer(dumps(found), {"dimensions": len(found[0])})
    _checked_length(found, args)
    vector = _normalized(found) if args.parameters.get("normalize") else found
    return Answer(dumps(vector), {"dimensions": len(vector)})


class VectorLength:
    """The length of the vectors of one query, which is that of its first one: others cannot be compared with it."""

    def __init__(self, task: Task) -> None:
        self._matters = task.decode is vector_answer
        self._first: dict[str, Any] = {}

    def fault(self, explain: Mapping[str, Any] | None) -> InvalidAnswer | None:
        """Return the error of an answer with another length; ``None``: it has none."""
        length = (explain or {}).get("dimensions")
        if not self._matters or self._first.setdefault("length", length) == length:
            return None
        return InvalidAnswer(
            f"the vector has {length} dimensions, and others of this query have {self._first['length']}: the server's "
            "model has changed, or providers have different models",
            advice="Name one provider; delete stored vectors with USING clear_cache = true, and run the query again",
            divisible=False,
        )


def _vector_of(part: Any, args: Arguments) -> Any:
    if isinstance(part, str) or _is_vector(part):
        return _vector(part)
    tokens = array(part, _VECTOR)
    if len(tokens) == 1 and isinstance(tokens[0], list) and tokens[0] and isinstance(tokens[0][0], list):
        tokens = tokens[0]
    if not tokens:
        refuse(part, _VECTOR)
    return _pooled(tokens, args)
