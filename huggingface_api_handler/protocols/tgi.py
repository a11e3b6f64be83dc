"""text-generation-inference: one text, or one chat, in a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..tasks.shapes import inside
from ..tasks.task import Arguments, Batching, Row
from . import chat, hf_inference, pipeline_requests, toolkit
from .base import Call, Fields, Probe, Protocol, Sent, Server, Serving, model_name, refused
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
    schema = inside(wanted, "json_schema", "schema")
    return {"type": "json_object", "value": schema} if schema else wanted


def _share(share: float) -> float | None:
    """Return a share of the probability; all of it, which these servers refuse, is what they take without the field."""
    return None if share == 1 else share


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
            {
                **hf_inference.ARGUMENTS["text-generation"],
                **{name: Sent(value=_share) for name in ("top_p", "typical_p")},
                **refused("it has no shortest output", "min_output_length"),
            },
            batching=Batching.ONE,
        ),
        "chat-completion": replace(
            chat.CHAT,
            arguments={
                **chat.ARGUMENTS,
                "response_format": Sent(root=True, value=_schema),
                "top_p": Sent(root=True, value=_share),
                **refused("it ignores biases", "logit_bias"),
            },
        ),
    },
    others=toolkit.PROTOCOL,
    recognize=recognize,
    routes=("/generate",),
)
