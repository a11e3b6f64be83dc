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

from .shapes import by_index, dumps, is_number, listed, miscounted, refuse, whole, whole_answer
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


def _row(part: Any, args: Arguments) -> Any:
    """Return one row's vector, or its token vectors with ``pooling = 'none'``."""
    if isinstance(part, str) or _is_vector(part):
        return _vector(part)
    tokens = listed(part, _VECTOR)
    if len(tokens) == 1 and isinstance(tokens[0], list) and tokens[0] and isinstance(tokens[0][0], list):
        tokens = tokens[0]
    if not tokens:
        refuse(part, _VECTOR)
    return _pooled(tokens, args)


def _parts(answer: Any, n: int) -> list[Any]:
    """Split an answer into rows, without a guess at how many there are."""
    if isinstance(answer, Mapping) and isinstance(answer.get("data"), list):
        return [part.get("embedding") for part in by_index(answer["data"], n, "an embedding")]
    if isinstance(answer, Mapping):
        answer = answer.get("embeddings", answer.get("embedding", answer))
    parts = listed(answer, "a list of vectors")
    if n == 1:
        # Bare, wrapped, or the token vectors of the one text: all are this row's.
        return [parts[0] if len(parts) == 1 and isinstance(parts[0], (list, str)) else parts]
    if any(not isinstance(part, (list, str)) for part in parts):
        refuse(answer, f"a vector for each of {n} inputs")
    return parts


def _vectors(answer: Any, n: int, args: Arguments) -> list[Answer]:
    parts = _parts(answer, n)
    if len(parts) != n:
        miscounted(len(parts), n)
    rows = [_row(part, args) for part in parts]
    sizes = {_dimensions(row) for row in rows}
    if len(sizes) != 1:
        refuse(answer, "vectors of one length")
    tokens = _shares(answer, n)
    return [
        Answer(dumps(row), {"dimensions": size}, tokens=share)
        for row, size, share in zip(rows, [sizes.pop()] * n, tokens, strict=True)
    ]


def _dimensions(row: Any) -> int:
    return len(row[0]) if isinstance(row[0], list) else len(row)


def _shares(answer: Any, n: int) -> list[int | None]:
    """Return each row's part of the tokens that the service counted for the whole request."""
    usage = answer.get("usage") if isinstance(answer, Mapping) else None
    total = whole(usage.get("total_tokens")) if isinstance(usage, Mapping) else None
    if total is None:
        return [None] * n
    each, rest = divmod(total, n)
    return [each + (place < rest) for place in range(n)]


read_vectors = whole_answer(_vectors)
