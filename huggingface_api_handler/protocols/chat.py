"""Chat completions, in OpenAI's form, which nearly all servers of chats take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from ..errors import HuggingFaceError
from ..tasks.output_schema import output_schema
from ..tasks.shapes import inside
from ..tasks.task import Arguments, Row
from .base import Call, Fields, Learned, Refused, Rule, Sent, Serving, beside, done, refuse_failed, sent

#: Fields that would make the service answer in another form than one JSON object.
NOT_SENT = ("stream", "stream_options")


#: Characters of an answer that a repair request quotes.
_MAX_QUOTED = 8000


def messages(question: Mapping[str, Any], args: Arguments) -> list[dict[str, Any]]:
    """Return the messages of a chat: instructions, examples, the row's own, and what was wrong with its last answer.

    Args:
        question: the message of the row.
    """
    schema = output_schema(args)
    instructions = [args.values.get("system_prompt"), schema.instruction if schema else None]
    system = "\n\n".join(filter(None, instructions))
    found: list[dict[str, Any]] = [_message("system", system)] if system else []
    for prompt, answer in args.values.get("examples") or ():
        found += [_message("user", prompt), _message("assistant", answer)]
    found.append(dict(question))
    if args.misfit is not None:
        answer, fault = args.misfit
        wrong = f"That answer does not fit: {fault}. Answer again, with nothing but the whole JSON object."
        found += [_message("assistant", answer[:_MAX_QUOTED]), _message("user", wrong)]
    return found


def _message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def encode_chat(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt → the body of a chat completion, without ``model``, which the client knows."""
    prompt, image = rows[0]
    content: Any = prompt
    if image is not None:
        content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": image.data_uri}}]
    root = {name: value for name, value in fields.root.items() if name not in NOT_SENT}
    return Call(root=beside({"messages": messages(_message("user", content), args)}, root))


def split_choice(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Take the whole answer for the one row, unless its choice holds an error."""
    choices = inside(answer, "choices")
    if isinstance(choices, list) and choices:
        refuse_failed(choices[0])
    return [answer]


#: Arguments that every protocol of chats puts into the messages.
IN_MESSAGES: Mapping[str, Rule] = {
    **done("the encoder makes it the first message", "system_prompt"),
    **done("the encoder adds it to the first message, and the client to response_format", "output_schema"),
    **done("the encoder makes them messages before the row's", "examples"),
    **done("the client asks for several rows as for one", "rows_per_request", "audit", "audit_agreement"),
}
ARGUMENTS: Mapping[str, Rule] = {
    "max_output_length": Sent("max_tokens", root=True),
    **IN_MESSAGES,
    "n": Refused("a row has one answer", accepts=(1,)),
    **sent(
        "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "presence_penalty", "response_format", "seed",
        "stop", "temperature", "tool_choice", "tool_prompt", "tools", "top_logprobs", "top_p", root=True,
    ),
}  # fmt: skip
CHAT = Serving(encode_chat, split_choice, ARGUMENTS, root_fields=True)


# --- answers with a schema -------------------------------------------------------------------

#: Form in which a server is asked for JSON → the one to try if it refuses: OpenAI's schema, that of llama-cpp-python,
#: Fireworks and others, any object, the prompt alone.
NEXT_FORM: Mapping[str, str] = {"schema": "object with schema", "object with schema": "object", "object": "prompt"}
#: As chat templates refuse it, those of Gemma 1 and 2 among them.
_NO_SYSTEM = re.compile(
    r"(system|developer) (role|message|prompt|instruction)|role.{0,20}system|roles must alternate|only user and assist",
    re.I,
)
#: OpenAI's name for the limit of tokens of models that reason, which refuse ``max_tokens``.
_OTHER_LIMIT = "max_completion_tokens"
_USE_OTHER_LIMIT = re.compile(rf"\buse [`'\"]?{_OTHER_LIMIT}", re.I)
_ABOUT_FORM = re.compile(r"response_?format|json|structured|guided|grammar|samplers|\bschema|\bformat\b", re.I)


def answer_schema(args: Arguments) -> Mapping[str, Any] | None:
    """Return the JSON schema of the answer: that of ``output_schema``, or of several rows; ``None``: it has none."""
    schema = output_schema(args)
    return schema.json_schema if schema is not None else args.json_schema


def with_response_format(args: Arguments, form: str) -> Arguments:
    """Return arguments that ask for JSON of a schema, if there is one, in a form that the server takes."""
    schema = answer_schema(args)
    if schema is None or form == "prompt":
        return args
    wanted: dict[str, Any] = {"type": "json_object"}
    if form == "object with schema":
        wanted["schema"] = schema
    elif form == "schema":
        described = {"name": "answer", "schema": schema, "strict": True}
        wanted = {"type": "json_schema", "json_schema": described}
    return replace(args, parameters={**args.parameters, "response_format": wanted})


def learn(error: HuggingFaceError, call: Call, args: Arguments, known: Learned) -> Learned | None:
    """Return that a server has no system messages, has another name for the limit of tokens, or does not take the form
    in which it was asked for JSON.

    ``None`` if its refusal says none of it.
    """
    if error.retryable or error.concerns_content or error.is_too_long:  # a row's error, whatever it mentions
        return None
    if _NO_SYSTEM.search(error.message) and _has_system(call) and not known.knows_no_system:
        return replace(known, knows_no_system=True)
    if (
        _USE_OTHER_LIMIT.search(error.message)
        and call.root.get("max_tokens") is not None
        and not known.counts_reasoning
    ):
        return replace(known, counts_reasoning=True)
    following = NEXT_FORM.get(known.json_form)
    if following is None or answer_schema(args) is None or error.status not in (400, 415, 422, 501):
        return None
    return replace(known, json_form=following) if _ABOUT_FORM.search(error.message) else None


#: The route of chat completions below a server's ``/v1``.
ROUTE = "/chat/completions"


def with_query(url: str, endpoint: str) -> str:
    """Return ``url`` with the query of the endpoint behind it, such as ``?api-version=…``."""
    return f"{url}?{query}" if (query := endpoint.partition("?")[2]) else url


def chat_url(endpoint: str) -> str:
    """Return the chat route of a server: ``/v1/chat/completions`` unless its URL says more."""
    url = endpoint.partition("?")[0].rstrip("/")
    path = urlsplit(url).path
    if not path.endswith(ROUTE):
        url = f"{url}{ROUTE}" if path.endswith("/v1") else f"{url}/v1{ROUTE}"
    return with_query(url, endpoint)


def _has_system(call: Call) -> bool:
    found = call.root.get("messages")
    return isinstance(found, list) and bool(found) and found[0].get("role") == "system"


def as_learned(call: Call, known: Learned) -> Call:
    """Return a request in the form that the server's refusals have asked for."""
    if known.counts_reasoning and call.root.get("max_tokens") is not None:
        root = {_OTHER_LIMIT if name == "max_tokens" else name: value for name, value in call.root.items()}
        call = replace(call, root=root)
    return _without_system(call) if known.knows_no_system and _has_system(call) else call


def _without_system(call: Call) -> Call:
    """Return a request in which the first message says what its system message said."""
    system, first, *others = call.root["messages"]
    content = first["content"]
    if isinstance(content, str):
        content = f"{system['content']}\n\n{content}"
    else:
        content = [{"type": "text", "text": system["content"]}, *content]
    return replace(call, root={**call.root, "messages": [{**first, "content": content}, *others]})
