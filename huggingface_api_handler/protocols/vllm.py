"""vLLM: OpenAI's API, and labels at a route and in a form of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import HuggingFaceError, ModelNotFound
from ..tasks.task import Arguments, Row, Task
from . import openai
from .base import Call, Fields, Learned, Probe, Refused, Server, beside, done, no_field

#: Raw scores: ``use_activation``, which older versions call ``activation``.
_RAW = {"use_activation": False, "activation": False}


def encode_classification(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, with a request for the model's own scores if a function is to be applied to them."""
    raw = _RAW if args.parameters.get("function_to_apply") else {}
    own = {**openai.named(args), "input": [row[0] for row in rows]}
    return Call(root={**beside(own, fields.root), **raw})


def encode_ranking(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One query with its documents."""
    call = openai.encode_ranking(rows, args, fields)
    return replace(call, root={**call.root, **_RAW}) if args.values.get("raw_scores") else call


def recognize(probe: Probe) -> Server | None:
    """Return the server if it says that its models are vLLM's."""
    return openai.recognize_owner(probe, "vllm", PROTOCOL)


def learn(task: Task, error: HuggingFaceError, call: Call, known: Learned) -> Learned | None:
    """Return that a server is vLLM if it has no classify route below ``/v1``."""
    is_missing = isinstance(error, ModelNotFound) and error.status in (404, 405)
    if is_missing and task.name == "text-classification" and known.protocol is None:
        return replace(known, protocol=PROTOCOL)
    return None


_OPENAI = openai.PROTOCOL.tasks
PROTOCOL = replace(
    openai.PROTOCOL,
    name="vllm",
    title="vLLM",
    tasks={
        **_OPENAI,
        "text-classification": replace(
            _OPENAI["text-classification"],
            encode=encode_classification,
            route="/classify",
        ),
        "text-ranking": replace(
            _OPENAI["text-ranking"],
            encode=encode_ranking,
            arguments={**done("use_activation asks for it", "raw_scores"), **openai.TRUNCATE},
        ),
        "text-generation": replace(
            _OPENAI["text-generation"],
            arguments={
                **openai.COMPLETION_ARGUMENTS,
                **no_field("typical_p"),
                "best_of": Refused("it writes one text", accepts=(1,)),
            },
        ),
    },
    recognize=recognize,
    variant_of=openai.PROTOCOL,
    learn=learn,
    by_route=lambda route: None,
    routes=(),
)
