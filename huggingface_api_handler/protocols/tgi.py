"""text-generation-inference: one text, or one chat, in a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..tasks.task import Arguments, Batching, Row
from . import chat, hf_inference, pipeline_requests, toolkit
from .base import Call, Fields, Probe, Protocol, Sent, Server, Serving, model_name
from .splitting import split_generations

#: Fields of /info that only text-generation-inference has, in one of its versions.
_OWN_FIELDS = (
    "max_total_tokens", "max_input_tokens", "max_input_length", "max_stop_sequences", "model_pipeline_tag",
)  # fmt: skip


def encode_generation(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt; details tell why the text ended, and how long it is."""
    call = pipeline_requests.encode_generation(rows, replace(args, options={}), fields)
    return replace(call, parameters={"details": True, **call.parameters})


def _schema(wanted: Any) -> Any:
    """Return OpenAI's ``json_schema`` in the one form that all versions of text-generation-inference know."""
    described = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    schema = described.get("schema") if isinstance(described, Mapping) else None
    return {"type": "json_object", "value": schema} if schema else wanted


def recognize(probe: Probe) -> Server | None:
    """Return the server if ``/info`` tells of a text generator."""
    about = probe("/info")
    if not isinstance(about, Mapping) or "model_id" not in about or not any(one in about for one in _OWN_FIELDS):
        return None
    return Server(PROTOCOL, model=model_name(about["model_id"]))


PROTOCOL = Protocol(
    name="tgi",
    title="text-generation-inference",
    tasks={
        "text-generation": Serving(
            encode_generation,
            split_generations,
            hf_inference.ARGUMENTS["text-generation"],
            batching=Batching.ONE,
        ),
        "chat-completion": replace(
            chat.CHAT,
            arguments={**chat.ARGUMENTS, "response_format": Sent(root=True, value=_schema)},
        ),
    },
    others=toolkit.PROTOCOL,
    recognize=recognize,
    routes=("/generate",),
)
