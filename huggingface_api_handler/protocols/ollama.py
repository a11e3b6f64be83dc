"""Ollama, by its own API: chats, texts and vectors. It calls parameters ``options``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..tasks.task import Arguments, Batching, Row
from . import chat, openai, toolkit
from .base import (
    Call,
    Fields,
    Probe,
    Protocol,
    Refused,
    Rule,
    Sent,
    Server,
    Serving,
    beside,
    done,
    no_field,
    refused,
    sent,
)
from .splitting import split_generations, split_single, split_vectors
from .streams import broken_off


def _body(args: Arguments, fields: Fields, **content: Any) -> Call:
    """Return a request with its options together; Ollama streams by default."""
    options = {**args.options, **fields.parameters}
    own = {"options": options} if options else {}
    return Call(root={**beside({**openai.named(args), **content}, fields.root), **own, "stream": False})


def encode_chat(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt → the messages of a chat; an image is base64 text beside the prompt."""
    prompt, image = rows[0]
    images = {"images": [image.base64]} if image is not None else {}
    question = {"role": "user", "content": prompt, **images}
    return _body(args, fields, messages=chat.messages(question, args))


def encode_generation(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt, which the model continues as it is, without its chat template."""
    options = openai.completion(fields.parameters, samples=bool(args.parameters.get("do_sample")))
    return _body(args, Fields(options, fields.root), prompt=rows[0][0], raw=True)


def encode_input(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, as a list even for one."""
    call = openai.encode_input(rows, args, fields)
    return replace(call, root={**call.root, "options": dict(args.options)}) if args.options else call


def _counts(answer: Mapping[str, Any]) -> dict[str, Any]:
    counts = [answer.get("prompt_eval_count", 0), answer.get("eval_count")]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in counts):
        return {}
    return {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)}


def _refuse_piece(answer: Mapping[str, Any]) -> None:
    """Raise for the first piece of a stream, of which nothing else has arrived."""
    if answer.get("done") is False:
        raise broken_off()


def split_chat(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Put an answer in the form of a chat completion."""
    if not isinstance(answer, Mapping) or not isinstance(answer.get("message"), Mapping):
        return split_single(answer, n, args)
    _refuse_piece(answer)
    message = {**answer["message"], "reasoning": answer["message"].get("thinking")}
    choice = {"message": message, "finish_reason": answer.get("done_reason")}
    return [{"choices": [choice], "usage": _counts(answer)}]


def split_text(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Put an answer in the form of a generated text."""
    if not isinstance(answer, Mapping) or "response" not in answer:
        return split_generations(answer, n, args)
    _refuse_piece(answer)
    details = {"finish_reason": answer.get("done_reason"), "generated_tokens": answer.get("eval_count")}
    return [{"generated_text": answer["response"], "details": details}]


def _format(wanted: Any) -> Any:
    """Return ``response_format`` as Ollama takes it: a schema, or ``json`` for any JSON."""
    if not isinstance(wanted, Mapping) or not str(wanted.get("type", "")).startswith("json"):
        return None
    described = wanted.get("json_schema")
    return described.get("schema", "json") if isinstance(described, Mapping) else wanted.get("value", "json")


def recognize(probe: Probe) -> Server | None:
    """Return the server if it lists models with tags, as in ``llama3.2:latest``, and tells Ollama's version."""
    models = openai.models_at(probe, "/v1") or []
    if not models or not all(":" in str(one.get("id")) and one.get("owned_by") for one in models):
        return None
    about = probe("/api/version")
    if not isinstance(about, Mapping) or not isinstance(about.get("version"), str):
        return None
    return Server(PROTOCOL, model=openai.only_model(models))


_OPTIONS: Mapping[str, Rule] = sent("frequency_penalty", "seed", "stop", "temperature", "top_p")
_LENGTH: Mapping[str, Rule] = {"max_output_length": Sent("num_predict")}
#: Its own fields that are no options.
_OWN: Mapping[str, Rule] = sent("format", "keep_alive", "think", root=True)

PROTOCOL: Protocol = Protocol(
    name="ollama",
    title="Ollama",
    tasks={
        "chat-completion": Serving(
            encode_chat,
            split_chat,
            {
                **_OPTIONS,
                **_LENGTH,
                **_OWN,
                **sent("presence_penalty"),
                **sent("tools", "logprobs", "top_logprobs", root=True),
                **chat.IN_MESSAGES,
                "max_tokens": Sent("num_predict"),
                "response_format": Sent("format", root=True, value=_format),
                "n": Refused("a row has one answer", accepts=(1,)),
                "tool_choice": Refused("the model decides whether it calls a tool", accepts=("auto",)),
                **no_field("logit_bias", "tool_prompt"),
            },
            route="/api/chat",
        ),
        "text-generation": Serving(
            encode_generation,
            split_text,
            {
                **_OPTIONS,
                **_LENGTH,
                **_OWN,
                **sent("top_k", "typical_p"),
                "max_new_tokens": Sent("num_predict"),
                "repetition_penalty": Sent("repeat_penalty"),
                **openai.OF_COMPLETIONS,
                **refused("create a model with the adapter in Ollama, and name it as model_name", "adapter_id"),
                **no_field(
                    "best_of", "decoder_input_details", "min_output_length", "top_n_tokens", "truncate",
                    "watermark",
                ),
            },
            "/api/generate",
            Batching.ONE,
        ),
        "feature-extraction": Serving(
            encode_input,
            split_vectors,
            {
                **done("its models give one vector for a text", "pooling"),
                **sent("dimensions", "truncate", root=True),
                "normalize": Refused("it always normalizes", accepts=(True,)),
                "truncation_direction": Refused("it cuts texts at their end", accepts=("right", "Right")),
                **refused("it has no such field; join the prompt to the text in a sub-select", "prompt_name"),
            },
            "/api/embed",
            root_fields=True,
        ),
    },
    others=toolkit.PROTOCOL,
    recognize=recognize,
    by_route=lambda route: Server(PROTOCOL) if route.startswith("/api/") else None,
)  # fmt: skip
