"""Streams: servers may respond with events or lines of JSON, although no request asks for them.

A complete stream is assembled to the answer that the same server sends at once. One that breaks off is no answer.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidAnswer
from ..net.event_stream import Event
from ..tasks.shapes import objects

#: The last event of OpenAI's streams; text-generation-inference ends without it.
_END = "[DONE]"
#: Fields of a message whose pieces are joined.
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


def assembled(events: Sequence[Event]) -> Any:
    """Return the answer that a stream contains.

    Raises:
        InvalidAnswer: the stream breaks off (retryable), or is of no known form.
    """
    has_end = any(event.data.strip() == _END for event in events)
    found = [_parsed(event.data) for event in events]
    parts = [part for part in found if isinstance(part, Mapping)]
    if any(part is None and event.data.lstrip()[:1] == "{" for part, event in zip(found, events, strict=True)):
        raise broken_off()  # a piece is missing
    if any(isinstance(part.get("choices"), list) for part in parts):
        return _choices(parts, has_end)
    whole = next((part for part in reversed(parts) if isinstance(part.get("generated_text"), str)), None)
    if whole is not None:
        return {"generated_text": whole["generated_text"], "details": whole.get("details")}
    if len(parts) == 1 and "token" not in parts[0]:
        return parts[0]
    if any("token" in part for part in parts) or not parts:
        raise broken_off()
    raise InvalidAnswer(
        "the service streams its answer in an unknown format",
        advice="Remove stream from parameters; if it is not there, turn streaming off at the server",
        divisible=False,
    )


def _parsed(data: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def broken_off() -> InvalidAnswer:
    """Return the error of a stream that is not whole."""
    return InvalidAnswer(
        "the service's stream broke off before the end of the answer",
        advice="Run the query again, or ask for a shorter answer",
        retryable=True,
        divisible=False,
    )


def _choices(parts: Sequence[Mapping[str, Any]], has_end: bool) -> dict[str, Any]:
    """Put the chunks of a chat or of completions together."""
    found: dict[int, dict[str, Any]] = {}
    usage = None
    for part in parts:
        usage = part.get("usage") or usage
        for choice in objects(part.get("choices")):
            index = choice.get("index")
            _add(found.setdefault(index if isinstance(index, int) else 0, {}), choice)
    if not found or not (has_end or all(one.get("finish_reason") for one in found.values())):
        raise broken_off()
    choices = [{"index": index, **_with_messages(choice)} for index, choice in sorted(found.items())]
    return {"choices": choices, "usage": usage}


def _add(choice: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    for name in ("finish_reason", "error"):
        if chunk.get(name) is not None:
            choice[name] = chunk[name]
    if isinstance(chunk.get("text"), str):
        choice["text"] = choice.get("text", "") + chunk["text"]
    if isinstance(chunk.get("message"), Mapping) and not chunk.get("delta"):
        choice.setdefault("messages", []).append(chunk["message"])
    delta = chunk.get("delta")
    if not isinstance(delta, Mapping):
        return
    message = choice.setdefault("message", {"role": "assistant", "content": None})
    for name in _TEXTS:
        if isinstance(delta.get(name), (str, list)):
            message[name] = _joined(message.get(name), delta[name])
    for call in objects(delta.get("tool_calls")):
        _add_call(message.setdefault("tool_calls", []), call)


def _with_messages(choice: dict[str, Any]) -> dict[str, Any]:
    """Put the messages of chunks without a delta into a choice.

    After deltas, it is the whole message, if it is not empty. Without deltas, each message is a piece, or repeats and
    continues the one before it.
    """
    messages = choice.pop("messages", [])
    if not messages:
        return choice
    said = {name: value for one in messages for name, value in one.items() if value not in (None, "")}
    message = {**messages[-1], **choice.get("message", {}), **said}
    for name in _TEXTS if "message" not in choice else ():
        texts = [one[name] for one in messages if one.get(name) and isinstance(one[name], (str, list))]
        if not all(later[: len(earlier)] == earlier for earlier, later in itertools.pairwise(texts)):
            message[name] = functools.reduce(_joined, texts)
    return {**choice, "message": message}


def _joined(known: Any, piece: str | list[Any]) -> str | list[Any]:
    """Put the pieces of a text together, or of a list of parts, in which a text is a part."""
    if not known:
        return piece
    if isinstance(known, str) and isinstance(piece, str):
        return known + piece
    return [*_as_parts(known), *_as_parts(piece)]


def _as_parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [{"type": "text", "text": value}]


def _add_call(calls: list[dict[str, Any]], chunk: Mapping[str, Any]) -> None:
    """Add a piece of a tool call: the first names the function, the others continue its arguments.

    Gemini gives all calls the same index; some servers give each piece another id. So a new call has both an id of its
    own and a name.
    """
    index, function = chunk.get("index"), chunk.get("function")
    same = [one for one in calls if one["index"] == index] if isinstance(index, int) else calls
    names = isinstance(function, Mapping) and bool(function.get("name"))
    if not same or (names and chunk.get("id") not in (None, same[-1].get("id"))):
        same = [{"index": index, "type": "function", "function": {"name": "", "arguments": ""}}]
        calls += same
    call = same[-1]
    if chunk.get("id") is not None:
        call["id"] = chunk["id"]
    if isinstance(function, Mapping):
        for name in ("name", "arguments"):
            if isinstance(function.get(name), str):
                call["function"][name] += function[name]
