"""The default container of Inference Endpoints (huggingface-inference-toolkit), and all that takes ``{"inputs": …}``.

Every server that identifies itself as nothing else counts as one. Its pipelines look for arguments in ``parameters``
alone; those of sentence-transformers take none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..tasks.generation import SAMPLING
from ..tasks.task import Arguments, Row
from . import hf_inference, pipeline_requests
from .base import Call, Encoder, Fields, Protocol, Refused, Rule, Sent, done


def encode_generation(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Prompts, with whether samples are wanted.

    If a request does not say so, a pipeline does as its model's ``generation_config.json`` says: it samples unasked, or
    ignores ``temperature``.
    """
    call = pipeline_requests.encode_generation(rows, args, fields)
    is_wanted = any(call.parameters.get(name) is not None for name in SAMPLING)
    return replace(call, parameters={"do_sample": is_wanted, **call.parameters})


_GENERATE_KWARGS: dict[str, Rule] = {"generation_parameters": Sent("generate_kwargs")}
_GENERATE_PARAMETERS: dict[str, Rule] = {"generate_parameters": Sent(spread=True)}

#: Task → rules other than hf-inference's.
_OWN: Mapping[str, Mapping[str, Rule]] = {
    "feature-extraction": {
        **done("the client normalizes, and checks the length of the answer", "normalize"),
        "dimensions": Sent(),
        "truncate": Sent("truncation"),
        "truncation_direction": Refused("it cuts texts at their end", accepts=("right", "Right")),
        "prompt_name": Refused("it puts no prompt before a text; join the prompt to the text in a sub-select"),
    },
    "text-ranking": {
        **done("its models always cut texts that are too long", "truncate"),
        "raw_scores": Refused("it gives the scores that the model's config asks for"),
    },
    "summarization": _GENERATE_PARAMETERS,
    "translation": _GENERATE_PARAMETERS,
    "image-to-text": _GENERATE_KWARGS,
    "automatic-speech-recognition": _GENERATE_KWARGS,
    "text-to-speech": _GENERATE_KWARGS,
}

_ENCODERS: Mapping[str, Encoder] = {"text-generation": encode_generation}

PROTOCOL: Protocol = replace(
    hf_inference.PROTOCOL,
    name="toolkit",
    title="the default container of Inference Endpoints",
    tasks={
        name: replace(
            serving,
            encode=_ENCODERS.get(name, serving.encode),
            arguments={**serving.arguments, **_OWN.get(name, {})},
        )
        for name, serving in hf_inference.PROTOCOL.tasks.items()
    },
)
