"""The answer of a fake model, in the shape of the kind of server that was asked.

The fake models answer as hf-inference does. If another server, or hf-inference in some cases, answers in another
shape, a function in ``SHAPES`` converts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..tasks.media import Media
from .fake_models import FAKE_MODELS
from .parsing import ParsedRequest, Refusal
from .server_kinds import ServerKind

Shape: TypeAlias = "Callable[[Any, ParsedRequest], Any]"

#: Parameters that a server uses if a request leaves them out.
DEFAULTS: Mapping[tuple[ServerKind, str], Mapping[str, Any]] = {
    (ServerKind.TOOLKIT, "token-classification"): {"aggregation_strategy": "none"},
}

#: Tasks whose lists hf-inference answers in one inner list if no ``top_k`` is given.
FUSED = frozenset({"text-classification"})


def answer(request: ParsedRequest, kind: ServerKind, *, fused: bool, wrong_count: bool, shuffle: bool) -> Any:
    """Return the JSON value, or the medium, that answers a request.

    Args:
        fused: a list of texts to classify without ``top_k`` is answered in one inner list.
        wrong_count: the last answer of a list is left out.
        shuffle: results that carry their index come in another order.
    """
    parameters = {**DEFAULTS.get((kind, request.task), {}), **request.parameters}
    try:
        found = FAKE_MODELS[request.task](request.inputs, parameters)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        # The containers that serve models answer every exception like this.
        raise Refusal(400, {"error": f"{type(error).__name__}: {error}"}) from None
    if isinstance(found, bytes):
        found = Media(found, "application/octet-stream")
    shape = SHAPES.get((kind, request.task))
    if isinstance(found, Media) and shape is None:
        return found
    if shape is not None:
        found = shape(found, request)
    if fused and kind is ServerKind.HF_INFERENCE and _is_fused(request):
        found = [[label for one in found for label in one]]
    if wrong_count and request.is_list:
        found = _without_last(found)
    if shuffle and isinstance(found, list) and all(isinstance(one, Mapping) and "index" in one for one in found):
        found = found[::-1]
    return found


def _is_fused(request: ParsedRequest) -> bool:
    return request.task in FUSED and request.is_list and "top_k" not in request.parameters


def _without_last(found: Any) -> Any:
    if isinstance(found, list):
        if len(found) == 1 and isinstance(found[0], list):
            return [_without_last(found[0])]
        return found[:-1]
    if isinstance(found, Mapping):
        return {name: _without_last(value) if isinstance(value, list) else value for name, value in found.items()}
    return found


# --- shapes ---


def _best_only(found: Any, request: ParsedRequest) -> Any:
    """Of a list of texts without ``top_k`` only the best label of each."""
    return found if "top_k" in request.parameters or not request.is_list else [one[:1] for one in found]


def _toolkit_labels(found: Any, request: ParsedRequest) -> Any:
    limited = "top_k" in request.parameters
    if not request.is_list:
        return found[0] if limited else found[0][:1]
    return found if limited else [one[0] for one in found]


def _tei_labels(found: Any, request: ParsedRequest) -> Any:
    """A bare text, and a bare pair of texts, get a bare list of labels."""
    is_nested = request.is_list and isinstance(request.inputs[0], list)
    return found if is_nested else found[0]


def _named(name: str) -> Shape:
    return lambda found, request: {name: found}


def _matrix(found: Any, request: ParsedRequest) -> Any:
    return found if request.is_list else [found]


def _generated(found: Any, request: ParsedRequest) -> Any:
    """Each text with the requested details, which count words."""
    if not request.parameters.get("details"):
        return found
    return [
        {**one, "details": {"finish_reason": "eos_token", "generated_tokens": len(one["generated_text"].split())}}
        for one in found
    ]


def _reranked(found: Any, request: ParsedRequest) -> Any:
    return {"results": [{"index": one["index"], "relevance_score": one["score"]} for one in found]}


def _in_json(found: Media, request: ParsedRequest) -> Any:
    return {"created": 0, "data": [{"b64_json": found.base64}]}


def _nested(found: Any, request: ParsedRequest) -> Any:
    return [[one] for one in found] if request.is_list else found


SHAPES: Mapping[tuple[ServerKind, str], Shape] = {
    (ServerKind.HF_INFERENCE, "text-classification"): _best_only,
    (ServerKind.TOOLKIT, "text-classification"): _toolkit_labels,
    (ServerKind.TOOLKIT, "feature-extraction"): _named("embeddings"),
    (ServerKind.TOOLKIT, "sentence-similarity"): _named("similarities"),
    (ServerKind.TOOLKIT, "text-generation"): _nested,
    (ServerKind.TEI, "text-classification"): _tei_labels,
    (ServerKind.TEI, "feature-extraction"): _matrix,
    (ServerKind.TGI, "text-generation"): _generated,
    (ServerKind.OPENAI, "text-to-image"): _in_json,
    (ServerKind.OPENAI, "text-ranking"): _reranked,
    (ServerKind.OPENAI, "text-classification"): _named("data"),
}
