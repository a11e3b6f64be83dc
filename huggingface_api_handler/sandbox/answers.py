"""From a parsed request to an answer: the fake model's, in the shape of the kind of server that was asked.

The fake models answer as hf-inference does. If another server, or hf-inference in some cases, answers in another
shape, a function in ``SHAPES`` converts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..tasks.task import Dialect, Media
from .fake_models import FAKE_MODELS
from .read import Asked, Refusal

Shape: TypeAlias = "Callable[[Any, Asked], Any]"

#: Parameters that a server takes where a request leaves them out.
DEFAULTS: Mapping[tuple[Dialect, str], Mapping[str, Any]] = {
    (Dialect.TOOLKIT, "token-classification"): {"aggregation_strategy": "none"},
}

#: Tasks whose lists hf-inference answers in one inner list, where no ``top_k`` is given.
FUSED = frozenset({"text-classification"})


def answer(asked: Asked, dialect: Dialect, *, fused: bool, wrong_count: bool, shuffle: bool) -> Any:
    """Return the JSON value, or the medium, that answers a request.

    Args:
        fused: a list of texts to classify without ``top_k`` is answered in one inner list.
        wrong_count: the last answer of a list is left out.
        shuffle: results that carry their index come in another order.
    """
    parameters = {**DEFAULTS.get((dialect, asked.task.name), {}), **asked.parameters}
    try:
        said = FAKE_MODELS[asked.task.name](asked.inputs, parameters)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        # The containers that serve models answer every exception like this.
        raise Refusal(400, {"error": f"{type(error).__name__}: {error}"}) from None
    if isinstance(said, bytes):
        said = Media(said, "application/octet-stream")
    shape = SHAPES.get((dialect, asked.task.name))
    if isinstance(said, Media) and shape is None:
        return said
    if shape is not None:
        said = shape(said, asked)
    if fused and dialect is Dialect.INFERENCE and _is_fused(asked):
        said = [[label for one in said for label in one]]
    if wrong_count and asked.is_list:
        said = _without_last(said)
    if shuffle and isinstance(said, list) and all(isinstance(one, Mapping) and "index" in one for one in said):
        said = said[::-1]
    return said


def _is_fused(asked: Asked) -> bool:
    return asked.task.name in FUSED and asked.is_list and "top_k" not in asked.parameters


def _without_last(said: Any) -> Any:
    if isinstance(said, list):
        if len(said) == 1 and isinstance(said[0], list):
            return [_without_last(said[0])]
        return said[:-1]
    if isinstance(said, Mapping):
        return {name: _without_last(value) if isinstance(value, list) else value for name, value in said.items()}
    return said


# --- shapes ---


def _best_only(said: Any, asked: Asked) -> Any:
    """Of a list of texts without ``top_k`` only the best label of each."""
    return said if "top_k" in asked.parameters or not asked.is_list else [one[:1] for one in said]


def _toolkit_labels(said: Any, asked: Asked) -> Any:
    limited = "top_k" in asked.parameters
    if not asked.is_list:
        return said[0] if limited else said[0][:1]
    return said if limited else [one[0] for one in said]


def _tei_labels(said: Any, asked: Asked) -> Any:
    """A bare text, and a bare pair of texts, get a bare list of labels."""
    is_nested = asked.is_list and isinstance(asked.inputs[0], list)
    return said if is_nested else said[0]


def _named(name: str) -> Shape:
    return lambda said, asked: {name: said}


def _matrix(said: Any, asked: Asked) -> Any:
    return said if asked.is_list else [said]


def _generated(said: Any, asked: Asked) -> Any:
    """Each text with the details that were asked for, which count words."""
    if not asked.parameters.get("details"):
        return said
    return [
        {**one, "details": {"finish_reason": "eos_token", "generated_tokens": len(one["generated_text"].split())}}
        for one in said
    ]


def _reranked(said: Any, asked: Asked) -> Any:
    return {"results": [{"index": one["index"], "relevance_score": one["score"]} for one in said]}


def _in_json(said: Media, asked: Asked) -> Any:
    return {"created": 0, "data": [{"b64_json": said.base64}]}


def _nested(said: Any, asked: Asked) -> Any:
    return [[one] for one in said] if asked.is_list else said


SHAPES: Mapping[tuple[Dialect, str], Shape] = {
    (Dialect.INFERENCE, "text-classification"): _best_only,
    (Dialect.TOOLKIT, "text-classification"): _toolkit_labels,
    (Dialect.TOOLKIT, "feature-extraction"): _named("embeddings"),
    (Dialect.TOOLKIT, "sentence-similarity"): _named("similarities"),
    (Dialect.TOOLKIT, "text-generation"): _nested,
    (Dialect.TEI, "text-classification"): _tei_labels,
    (Dialect.TEI, "feature-extraction"): _matrix,
    (Dialect.TGI, "text-generation"): _generated,
    (Dialect.OPENAI, "text-to-image"): _in_json,
    (Dialect.OPENAI, "text-ranking"): _reranked,
    (Dialect.OPENAI, "text-classification"): _named("data"),
}
