"""The kinds of server that the sandbox imitates, and which task each of them serves at which route."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from .hub import CHAT, Model


class ServerKind(enum.Enum):
    """A kind of server; the value is its name in ``/endpoints/{kind}/{model}``."""

    #: hf-inference, Hugging Face's own service
    HF_INFERENCE = "hf-inference"
    #: the default container of Inference Endpoints
    TOOLKIT = "toolkit"
    #: text-embeddings-inference
    TEI = "tei"
    #: text-generation-inference
    TGI = "tgi"
    #: servers with OpenAI's API
    OPENAI = "openai"

    @property
    def is_rust(self) -> bool:
        """Whether malformed requests get plain text, as from the servers written in Rust."""
        return self in (ServerKind.TEI, ServerKind.TGI)


#: What ``GET /info`` says.
INFO: Mapping[ServerKind, Mapping[str, Any]] = {
    ServerKind.TEI: {
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_client_batch_size": 32,
        "version": "sandbox",
    },
    ServerKind.TGI: {"model_pipeline_tag": "text-generation", "max_client_batch_size": 4, "version": "sandbox"},
}

_TEI_ROUTES = {
    "embed": "feature-extraction",
    "predict": "text-classification",
    "rerank": "text-ranking",
    "similarity": "sentence-similarity",
}
_OPENAI_ROUTES = {
    "v1/chat/completions": CHAT,
    "v1/embeddings": "feature-extraction",
    "v1/completions": "text-generation",
    "v1/rerank": "text-ranking",
    "v1/classify": "text-classification",
}


def _own_task(model: Model) -> str | None:
    return model.task


def _toolkit(route: str, model: Model) -> str | None:
    if route.startswith("pipeline/"):
        return model.serves(route.removeprefix("pipeline/"))
    return _own_task(model) if route in ("", "predict") else None


def _tei(route: str, model: Model) -> str | None:
    return model.serves(_TEI_ROUTES.get(route)) if route else _own_task(model)


def _tgi(route: str, model: Model) -> str | None:
    if route == "v1/chat/completions":
        return model.serves(CHAT)
    return _own_task(model) if route in ("", "generate") else None


def _openai(route: str, model: Model) -> str | None:
    return model.serves(_OPENAI_ROUTES.get(route))


#: (route below the endpoint, model) → task; ``None`` for 404.
ENDPOINT_ROUTES: Mapping[ServerKind, Callable[[str, Model], str | None]] = {
    ServerKind.HF_INFERENCE: _toolkit,
    ServerKind.TOOLKIT: _toolkit,
    ServerKind.TEI: _tei,
    ServerKind.TGI: _tgi,
    ServerKind.OPENAI: _openai,
}
