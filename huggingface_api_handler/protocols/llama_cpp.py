"""llama.cpp's server: OpenAI's API, with names of its own for some parameters.

It ignores fields that it does not know, so arguments without an effect are refused here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import openai
from .base import Probe, Protocol, Refused, Sent, Server, no_field, refused


def _norm(normalize: Any) -> int:
    """Return the norm to which llama.cpp scales vectors: 2 is the Euclidean one, -1 none."""
    return 2 if normalize else -1


def recognize(probe: Probe) -> Server | None:
    """Return the server if it says that its models are llama.cpp's."""
    return openai.recognize_owner(probe, "llamacpp", PROTOCOL)


_OPENAI = openai.PROTOCOL.tasks
PROTOCOL: Protocol = replace(
    openai.PROTOCOL,
    name="llama.cpp",
    title="llama.cpp",
    tasks={
        **_OPENAI,
        "text-generation": replace(
            _OPENAI["text-generation"],
            arguments={
                **openai.COMPLETION_ARGUMENTS,
                "repetition_penalty": Sent("repeat_penalty", root=True),
                **no_field("best_of", "min_output_length"),
                **refused("it does not cut prompts; shorten the text in a sub-select", "truncate"),
            },
        ),
        "feature-extraction": replace(
            _OPENAI["feature-extraction"],
            arguments={
                **openai.EMBEDDING_ARGUMENTS,
                "normalize": Sent("embd_normalize", root=True, value=_norm),
                **refused("it does not cut texts; shorten them in a sub-select", "truncate"),
            },
        ),
        "text-ranking": replace(
            _OPENAI["text-ranking"],
            arguments={
                "raw_scores": Refused("it always gives the scores of the model", accepts=(True,)),
                **refused("it does not cut texts; shorten them in a sub-select", "truncate"),
            },
        ),
    },
    recognize=recognize,
    variant_of=openai.PROTOCOL,
    by_route=lambda route: None,
    routes=(),
)
