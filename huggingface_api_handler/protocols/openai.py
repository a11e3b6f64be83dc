"""Servers with OpenAI's API: chat, completions, embeddings; ranks and labels in forms that have become usual there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..tasks.task import EMPTY, Arguments, Batching, Row
from . import toolkit
from .base import BROKEN, Call, Fields, Probe, Protocol, Rule, Sent, Server, Serving, done, model_name, sent
from .chat import CHAT, NOT_SENT
from .splitting import split_generations, split_labels, split_ranking, split_vectors

# --- completions, embeddings, ranks, labels --------------------------------------------------


def named(args: Arguments) -> Mapping[str, Any]:
    """Return the field by which the server learns which model is meant, if that is known."""
    return {"model": args.model.id} if args.model.id else EMPTY


def encode_completion(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt → the body of a completion."""
    root = {name: value for name, value in fields.root.items() if name not in NOT_SENT}
    return Call(root={**named(args), "prompt": rows[0][0], **root})


def encode_input(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, as a list even for one."""
    return Call(root={**named(args), "input": [row[0] for row in rows], **fields.root})


def encode_ranking(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One query with its documents, in the form of Cohere and Jina."""
    return Call(root={**named(args), "query": rows[0][0], "documents": [row[1] for row in rows], **fields.root})


#: Text generation's names of arguments → those of completions; ``None``: there is no such field.
COMPLETION_NAMES: Mapping[str, str | None] = {
    "max_new_tokens": "max_tokens", "return_full_text": None, "details": None, "decoder_input_details": None,
    "do_sample": None, "min_new_tokens": None,
}  # fmt: skip


def completion_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of text generation as completions take them."""
    renamed = {COMPLETION_NAMES.get(name, name): value for name, value in fields.items()}
    return {name: value for name, value in renamed.items() if name is not None}


COMPLETION_ARGUMENTS: Mapping[str, Rule] = {
    "max_output_length": Sent("max_tokens", root=True),
    "max_new_tokens": Sent("max_tokens", root=True),
    **done("dropped", "min_output_length", "return_full_text", "details", "decoder_input_details", "do_sample"),
    **sent(
        "adapter_id", "best_of", "frequency_penalty", "grammar", "repetition_penalty", "seed", "stop", "temperature",
        "top_k", "top_n_tokens", "top_p", "truncate", "typical_p", "watermark", root=True,
    ),
}  # fmt: skip

TASKS: Mapping[str, Serving] = {
    "chat-completion": CHAT,
    "text-generation": Serving(
        encode_completion, split_generations, COMPLETION_ARGUMENTS, "{v1}/completions", Batching.ONE, True
    ),
    "feature-extraction": Serving(
        encode_input,
        split_vectors,
        {
            **done("the client pools the vectors of tokens", "pooling"),
            **sent("dimensions", "normalize", "prompt_name", "truncate", "truncation_direction", root=True),
        },
        "{v1}/embeddings",
        root_fields=True,
    ),
    "text-ranking": Serving(
        encode_ranking, split_ranking, sent("truncate", "raw_scores", root=True), "{v1}/rerank", root_fields=True
    ),
    "text-classification": Serving(
        encode_input,
        split_labels,
        {
            **done("the client renames the labels of the answer", "labels"),
            **done("all labels come, the client cuts the list", "top_k"),
            **done("dropped", "function_to_apply"),
        },
        "{v1}/classify",
        root_fields=True,
    ),
}


# --- recognition -----------------------------------------------------------------------------


def models_at(probe: Probe, prefix: str) -> list[Mapping[str, Any]] | None:
    """Return the models that a server lists; ``None``: it has no such route.

    A server that lists what it has of the Hub fails if the Hub cannot be reached.
    """
    found = probe(f"{prefix}/models")
    if found is BROKEN:
        return []
    models = found.get("data") if isinstance(found, Mapping) else None
    return [one for one in models if isinstance(one, Mapping)] if isinstance(models, list) else None


def only_model(models: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the model's name if there is one only."""
    return model_name(models[0].get("id")) if len(models) == 1 else None


def recognize(probe: Probe) -> Server | None:
    """Return the server if it lists its models."""
    for prefix in ("/v1", ""):
        models = models_at(probe, prefix)
        if models is not None:
            return Server(PROTOCOL, prefix, only_model(models))
    return None


_ROUTES = ("/chat/completions", "/completions", "/embeddings")


def by_route(route: str) -> Server | None:
    """Return the server for a URL with OpenAI's ``/v1``, or with one of its routes."""
    if route.startswith("/v1"):
        return Server(PROTOCOL, "/v1")
    return Server(PROTOCOL) if route in _ROUTES else None


PROTOCOL = Protocol(
    name="openai",
    title="a server with OpenAI's API",
    tasks=TASKS,
    others=toolkit.PROTOCOL,
    recognize=recognize,
    by_route=by_route,
    routes=_ROUTES,
    nameless=True,
)
