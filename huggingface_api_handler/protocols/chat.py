"""Chat completions, in OpenAI's form, which nearly all servers of chats take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..tasks.media import Media
from ..tasks.task import Arguments, Row
from .base import Call, Fields, Refused, Rule, Sent, Serving, done, refuse_failed, sent

#: Fields that would make the service answer in another form than one JSON object, or name another model.
NOT_SENT = ("stream", "stream_options", "messages", "model")


def messages(prompt: str, image: Media | None, system: str | None) -> list[dict[str, Any]]:
    """Return the messages of one prompt, perhaps about an image."""
    content: Any = prompt
    if image is not None:
        content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": image.data_uri}}]
    opening = [{"role": "system", "content": system}] if system else []
    return [*opening, {"role": "user", "content": content}]


def encode_chat(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One prompt → the body of a chat completion, without ``model``, which the client knows."""
    prompt, image = rows[0]
    root = {name: value for name, value in fields.root.items() if name not in NOT_SENT}
    return Call(root={"messages": messages(prompt, image, args.values.get("system_prompt")), **root})


def split_choice(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Take the whole answer for the one row, unless its choice holds an error."""
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if isinstance(choices, list) and choices:
        refuse_failed(choices[0])
    return [answer]


ARGUMENTS: Mapping[str, Rule] = {
    "max_output_length": Sent("max_tokens", root=True),
    **done("the encoder makes it the first message", "system_prompt"),
    **done("the client asks for several rows as for one", "rows_per_request", "audit", "audit_agreement"),
    "n": Refused("a row has one answer", accepts=(1,)),
    **sent(
        "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "presence_penalty", "response_format", "seed",
        "stop", "temperature", "tool_choice", "tool_prompt", "tools", "top_logprobs", "top_p", root=True,
    ),
}  # fmt: skip
CHAT = Serving(encode_chat, split_choice, ARGUMENTS, root_fields=True)


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
