"""Generated text: requests and answers of text-generation and of chat, with their lengths, usage and tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidAnswer
from .shapes import (
    carried,
    dumps,
    is_number,
    listed,
    mapping,
    one_element,
    plain,
    refuse,
    text,
    whole,
)
from .task import Answer, Arguments

#: Thoughts that a server left in front of the content instead of apart from it.
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(r"\A\s*```[A-Za-z]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*\Z", re.DOTALL)


# --- answers of chat -------------------------------------------------------------------------


def choices_of(answer: Mapping[str, Any]) -> list[Any]:
    choices = answer.get("choices")
    choices = listed(answer if choices is None else choices, "an object with choices")
    if not choices:
        refuse(answer, "at least one choice")
    return choices


def _content(value: Any) -> str | None:
    """Return a message's content: text, or a list of parts of which the texts count; ``None`` for none."""
    if value is None:
        return None
    if isinstance(value, list):
        parts = [mapping(part, "a part of a message") for part in value]
        return "".join(text(part["text"]) for part in parts if isinstance(part.get("text"), str))
    return text(value, "a message's content")


def _tool_calls(value: Any) -> list[dict[str, Any]]:
    """Return tool calls with their arguments as JSON text, which is what most servers send."""
    calls = []
    for raw in listed(value, "a list of tool calls"):
        call = plain(mapping(raw, "a tool call"))
        function = dict(mapping(call.get("function"), "a tool call's function"))
        if not isinstance(function.get("arguments"), str):
            function["arguments"] = dumps(function.get("arguments", {}))
        calls.append({"id": call.get("id"), "type": call.get("type", "function"), "function": function})
    return calls


def _usage(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {carried(name): count for name, count in value.items() if isinstance(name, str) and is_number(count)
            and (not isinstance(count, int) or whole(count) is not None)}  # fmt: skip


def wants_json(args: Arguments) -> bool:
    """Say whether ``response_format`` asks for JSON."""
    wanted = args.parameters.get("response_format")
    return isinstance(wanted, Mapping) and str(wanted.get("type", "")).startswith("json")


def json_text(content: str, finish_reason: str | None) -> str:
    """Return content as JSON text, taken out of a code fence if it stands in one.

    Raises:
        InvalidAnswer: where it is no JSON.
    """
    fenced = _FENCE.match(content)
    try:
        return dumps(plain(json.loads(fenced.group(1) if fenced else content, parse_constant=_no_constant)))
    except (ValueError, RecursionError) as error:
        cut = finish_reason == "length"
        raise InvalidAnswer(
            "response_format asks for JSON, but the content is "
            + ("JSON that was cut at the token limit" if cut else "no valid JSON"),
            advice="Raise max_tokens" if cut else "Say in the prompt which JSON is wanted, or choose another model",
        ) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def chat_answer(answer: Any, args: Arguments) -> Answer:
    """A chat completion → its content; why it ended, what it cost and which tools it calls beside it."""
    found = mapping(one_element(answer, "one completion"), "a chat completion")
    if "choices" not in found and isinstance(found.get("generated_text"), str):  # servers of the former task
        return Answer(carried(found["generated_text"]), {})
    choice = mapping(choices_of(found)[0], "a choice")
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}
    message = mapping(message, "a message")
    content = _content(message.get("content"))
    if content is not None:
        content = _THOUGHTS.sub("", content, count=1)
    explain: dict[str, Any] = {}
    if isinstance(choice.get("finish_reason"), str):
        explain["finish_reason"] = carried(choice["finish_reason"])
    usage = _usage(found.get("usage"))
    if usage:
        explain["usage"] = usage
    if message.get("tool_calls"):
        explain["tool_calls"] = _tool_calls(message["tool_calls"])
    if isinstance(message.get("refusal"), str):
        explain["refusal"] = carried(message["refusal"])
    if wants_json(args) and content is not None and "tool_calls" not in explain:
        content = json_text(content, explain.get("finish_reason"))
    return Answer(content, explain, tokens=whole(usage.get("total_tokens")))


# --- answers of text-generation --------------------------------------------------------------


def generation_answer(part: Any, args: Arguments) -> Answer:
    """One generated text, with why it ended and how long it is where the service says so."""
    found = mapping(one_element(part, "one generated text"), "an object with generated_text")
    message = found.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    places = (found.get("generated_text"), found.get("text"), content)
    generated = next((one for one in places if one is not None), None)
    explain: dict[str, Any] = {}
    details = found.get("details")
    details = details if isinstance(details, Mapping) else found
    if isinstance(details.get("finish_reason"), str):
        explain["finish_reason"] = carried(details["finish_reason"])
    tokens = whole(details.get("generated_tokens"))
    if tokens is None:
        tokens = whole(_usage(found.get("usage")).get("completion_tokens"))
    if tokens is not None:
        explain["tokens"] = tokens
    return Answer(text(generated, "an object with generated_text", of=found), explain, tokens=tokens)
