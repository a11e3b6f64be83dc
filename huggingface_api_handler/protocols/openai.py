"""Servers with OpenAI's API: chat, completions, embeddings; ranks and labels in forms that have become usual there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import HuggingFaceError
from ..tasks.generation import SAMPLING
from ..tasks.shapes import inside, objects
from ..tasks.task import EMPTY, Arguments, Batching, Row, Task
from . import toolkit
from .base import (
    BROKEN,
    Call,
    Fields,
    Learned,
    Probe,
    Protocol,
    Refused,
    Rule,
    Sent,
    Server,
    Serving,
    beside,
    done,
    model_name,
    no_field,
    refused,
    sent,
)
from .chat import CHAT, NOT_SENT, ROUTE
from .splitting import split_generations, split_labels, split_ranking, split_single, split_vectors, with_function

# --- completions, embeddings, ranks, labels --------------------------------------------------


def named(args: Arguments) -> Mapping[str, Any]:
    """Return the field by which the server learns which model is meant, if that is known."""
    return {"model": args.model.id} if args.model.id else EMPTY


def completion(fields: Mapping[str, Any], *, samples: bool) -> dict[str, Any]:
    """Return the fields of a completion; OpenAI-style servers sample unless ``temperature`` is 0."""
    found = {name: value for name, value in fields.items() if name not in NOT_SENT}
    if not samples and not any(found.get(name) is not None for name in (*SAMPLING, "best_of")):
        found["temperature"] = 0
    return found


def encode_completion(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt → the body of a completion."""
    root = completion(fields.root, samples=bool(args.parameters.get("do_sample")))
    return Call(root=beside({**named(args), "prompt": rows[0][0]}, root))


def encode_input(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, as a list even for one."""
    return Call(root=beside({**named(args), "input": [row[0] for row in rows]}, fields.root))


def encode_ranking(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One query with its documents, in the form of Cohere and Jina."""
    own = {**named(args), "query": rows[0][0], "documents": [row[1] for row in rows]}
    return Call(root=beside(own, fields.root))


def encode_classification(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, with a request for the model's own scores if a function is to be applied to them."""
    raw = {"raw_scores": True} if args.parameters.get("function_to_apply") else {}
    return Call(root={**beside({**named(args), "input": [row[0] for row in rows]}, fields.root), **raw})


def encode_transcription(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One file of audio, as a form."""
    times = args.parameters.get("return_timestamps")
    wanted: dict[str, Any] = {"response_format": "json"}
    if times:
        granularity = "word" if times == "word" else "segment"
        wanted = {"response_format": "verbose_json", "timestamp_granularities[]": granularity}
    return Call(root={**named(args), **wanted, **fields.root}, media=rows[0][0], form=True)


#: The length to which vLLM cuts a text, -1 being what the model takes. Servers that do not know the field either cut
#: texts anyway, or refuse it.
TRUNCATE: Mapping[str, Rule] = {
    "truncate": Sent("truncate_prompt_tokens", root=True, value=lambda truncate: -1 if truncate else None)
}

#: What each server of completions does in the same way.
OF_COMPLETIONS: Mapping[str, Rule] = {
    **done("temperature = 0 unless samples are wanted", "do_sample"),
    **done("finish_reason and the number of tokens come in any case", "details"),
    **refused("join the prompt and the answer in SQL with CONCAT", "return_full_text"),
    **refused("write task = 'chat-completion' and response_format", "grammar"),
    "n": Refused("a row has one answer", accepts=(1,)),
}
COMPLETION_ARGUMENTS: Mapping[str, Rule] = {
    "max_output_length": Sent("max_tokens", root=True),
    "max_new_tokens": Sent("max_tokens", root=True),
    "min_output_length": Sent("min_tokens", root=True),
    **OF_COMPLETIONS,
    **no_field("decoder_input_details", "top_n_tokens", "watermark"),
    **refused("name the adapter as model_name", "adapter_id"),
    "truncate": Sent("truncate_prompt_tokens", root=True),
    **sent(
        "best_of", "frequency_penalty", "repetition_penalty", "seed", "stop", "temperature", "top_k", "top_p",
        "typical_p", root=True,
    ),
}  # fmt: skip

EMBEDDING_ARGUMENTS: Mapping[str, Rule] = {
    **done("the client pools the vectors of tokens", "pooling"),
    **sent("dimensions", root=True),
    "normalize": Refused("the server decides; only true can be had, which the client does", accepts=(True,)),
    **TRUNCATE,
    "truncation_direction": Refused("it has no such field", accepts=("right", "Right")),
    **refused("it has no such field; join the prompt to the text in a sub-select", "prompt_name"),
}

CLASSIFICATION_ARGUMENTS: Mapping[str, Rule] = {
    **done("the client renames the labels of the answer", "labels"),
    **done("all labels come, the client cuts the list", "top_k"),
    **done("the client applies it to the scores that raw_scores asks for", "function_to_apply"),
}

TASKS: Mapping[str, Serving] = {
    "chat-completion": replace(CHAT, arguments={**CHAT.arguments, **no_field("tool_prompt")}, route=f"{{v1}}{ROUTE}"),
    "text-generation": Serving(
        encode_completion, split_generations, COMPLETION_ARGUMENTS, "{v1}/completions", Batching.ONE, True
    ),
    "feature-extraction": Serving(
        encode_input, split_vectors, EMBEDDING_ARGUMENTS, "{v1}/embeddings", root_fields=True
    ),
    "text-ranking": Serving(
        encode_ranking,
        split_ranking,
        {**sent("raw_scores", root=True), **TRUNCATE},
        "{v1}/rerank",
        root_fields=True,
    ),
    "text-classification": Serving(
        encode_classification,
        with_function(split_labels),
        CLASSIFICATION_ARGUMENTS,
        "{v1}/classify",
        root_fields=True,
    ),
    "automatic-speech-recognition": Serving(
        encode_transcription,
        split_single,
        {
            "return_timestamps": Refused("it gives times of segments and words", accepts=(False, True, "word")),
            "generation_parameters": Sent(root=True, spread=True),
        },
        "{v1}/audio/transcriptions",
        root_fields=True,
    ),
}


# --- recognition -----------------------------------------------------------------------------


#: Routes that other servers lack.
_ROUTES = ("/chat/completions", "/completions", "/embeddings", "/audio/transcriptions")


def models_at(probe: Probe, prefix: str) -> list[Mapping[str, Any]] | None:
    """Return the models that a server lists; ``None``: it has no such route.

    A server that lists what it has of the Hub fails if the Hub cannot be reached.
    """
    found = probe(f"{prefix}/models")
    if found is BROKEN:
        return []
    models = inside(found, "data")
    return objects(models) if isinstance(models, list) else None


def only_model(models: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the model's name if there is one only."""
    return model_name(models[0].get("id")) if len(models) == 1 else None


def recognize_owner(probe: Probe, owner: str, protocol: Protocol) -> Server | None:
    """Return the server if it says that ``owner`` owns its models."""
    models = models_at(probe, "/v1") or []
    is_owner = any(one.get("owned_by") == owner for one in models)
    return Server(protocol, "/v1", only_model(models)) if is_owner else None


def recognize(probe: Probe) -> Server | None:
    """Return the server if it lists its models, or describes such routes."""
    for prefix in ("/v1", ""):
        models = models_at(probe, prefix)
        if models is not None:
            return Server(PROTOCOL, prefix, only_model(models))
    paths = inside(probe("/openapi.json"), "paths")
    own = [f"/v1{route}" for route in _ROUTES]
    return Server(PROTOCOL, "/v1") if isinstance(paths, Mapping) and any(one in paths for one in own) else None


def by_route(route: str) -> Server | None:
    """Return the server for a URL with OpenAI's ``/v1``, or with one of its routes."""
    if route.startswith("/v1"):
        return Server(PROTOCOL, "/v1")
    return Server(PROTOCOL) if route in _ROUTES else None


_NO_LIST = re.compile(r"expected a string|should be a valid string|must be (a|of type) string", re.I)


def learn(task: Task, error: HuggingFaceError, call: Call, known: Learned) -> Learned | None:
    """Return that a server takes no lists if it refuses a list of one text for being none."""
    texts = call.root.get("input")
    is_list = isinstance(texts, list) and len(texts) == 1 and error.status in (400, 422)
    return replace(known, takes_no_lists=True) if is_list and _NO_LIST.search(error.message) else None


PROTOCOL = Protocol(
    name="openai",
    title="a server with OpenAI's API",
    tasks=TASKS,
    others=toolkit.PROTOCOL,
    recognize=recognize,
    by_route=by_route,
    routes=_ROUTES,
    learn=learn,
    nameless=True,
)
