"""Readers of embeddings: 1-D to 4-D lists, objects around them, OpenAI's form; one vector a row.

====================================  =====================  ==========================
server                                one text               N texts
====================================  =====================  ==========================
sentence-transformers                 dim, or 1 × dim        N × dim
plain transformers                    tokens × dim, or       N × tokens × dim, or
                                      1 × tokens × dim       N × 1 × tokens × dim
Inference Endpoints                   {"embeddings": …} of the above
OpenAI's form                         {"data": [{"index", "embedding"}, …]}
====================================  =====================  ==========================
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from .shapes import dumps, is_number, listed, refuse
from .task import Answer, Arguments

_VECTOR = "a vector of finite numbers"


def mean(tokens: list[list[float]]) -> list[float]:
    """Return the mean of token vectors. Raises ``InvalidAnswer`` where their sum is beyond all numbers."""
    try:
        return [math.fsum(column) / len(tokens) for column in zip(*tokens, strict=True)]
    except OverflowError:
        refuse(tokens, _VECTOR)


def first(tokens: list[list[float]]) -> list[float]:
    """Return the vector of the first token, which stands for the whole text in BERT-like models."""
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
    try:
        data = base64.b64decode(value, validate=True)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    except (binascii.Error, ValueError, struct.error):
        refuse(value, _VECTOR)


def _pooled(tokens: list[Any], args: Arguments) -> Any:
    """Return one row's token vectors as one vector, or as they are with ``pooling = 'none'``."""
    vectors = [_vector(token) for token in tokens]
    if len({len(vector) for vector in vectors}) != 1:
        refuse(tokens, "token vectors of one length")
    pool = POOLS.get(str(args.values.get("pooling") or "mean"))
    if pool is None:
        return vectors
    vector = pool(vectors)
    return _normalised(vector) if len(vectors) > 1 and args.parameters.get("normalize") else vector


def _normalised(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    if not math.isfinite(length):
        refuse(vector, _VECTOR)
    return [one / length for one in vector] if length else vector


def vector_answer(part: Any, args: Arguments) -> Answer:
    """One row's vector → JSON list, with ``pooling = 'none'`` its token vectors, and how long they are."""
    vector = _vector_of(part, args)
    return Answer(dumps(vector), {"dimensions": len(vector[0]) if isinstance(vector[0], list) else len(vector)})


def _vector_of(part: Any, args: Arguments) -> Any:
    if isinstance(part, str) or _is_vector(part):
        return _vector(part)
    tokens = listed(part, _VECTOR)
    if len(tokens) == 1 and isinstance(tokens[0], list) and tokens[0] and isinstance(tokens[0][0], list):
        tokens = tokens[0]
    if not tokens:
        refuse(part, _VECTOR)
    return _pooled(tokens, args)
