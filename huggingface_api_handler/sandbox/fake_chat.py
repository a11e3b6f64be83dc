"""The fake chat model: repeats what it was told, as text, as JSON of a schema, as a tool call, or row by row.

Its answer depends on the text alone. So a row gets the same answer whether it has a prompt of its own or shares one,
as long as its text is the whole message of the user.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .fake_text import BAD_WORDS, GOOD_WORDS, words
from .json_instance import instance

_TOKEN = re.compile(r"\w{1,6}|[^\w\s]")
#: Tokens of an image, and of what a chat template puts around a message.
_IMAGE_TOKENS, _MESSAGE_TOKENS = 256, 4


def count_tokens(text: str) -> int:
    """Return a plausible number of tokens: about one for each short word or sign."""
    return len(_TOKEN.findall(text))


def cut_at_tokens(text: str, limit: int) -> str:
    """Return the first ``limit`` tokens of a text."""
    found = list(_TOKEN.finditer(text))
    return text[: found[limit - 1].end()] if 0 < limit < len(found) else text


# --- what it is told -------------------------------------------------------------------------


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, list):
        return "" if content is None else str(content)
    return " ".join(str(part.get("text", "")) for part in content if part.get("type") == "text")


def _images_of(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    return sum(part.get("type") == "image_url" for part in content) if isinstance(content, list) else 0


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the JSON schema that an answer must fit, from ``response_format`` or out of the messages.

    Without ``response_format`` only the system message can ask for JSON.
    """
    wanted = body.get("response_format")
    messages = [one for one in body.get("messages") or () if isinstance(one, Mapping)]
    if not isinstance(wanted, Mapping):
        wanted, messages = {}, [one for one in messages if one.get("role") == "system"]
    schema = (wanted.get("json_schema") or {}).get("schema") or wanted.get("value") or wanted.get("schema")
    if isinstance(schema, Mapping):
        return schema
    return next((one for one in _objects_in(_prompt({"messages": messages})) if "properties" in one), None)


def _prompt(body: Mapping[str, Any]) -> str:
    return "\n".join(_text_of(message) for message in body.get("messages") or () if isinstance(message, Mapping))


def _objects_in(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in a text."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield found
        at = text.find("{", end)


def _answers_schema(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the schema of one entry of ``answers``; ``None`` if a schema is not that of packed rows."""
    answers = ((schema or {}).get("properties") or {}).get("answers")
    items = answers.get("items") if isinstance(answers, Mapping) else None
    fits = isinstance(items, Mapping) and {"id", "answer"} <= set(items.get("properties") or ())
    return items if fits else None


def packed_rows(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows that share a prompt, one JSON object with an ``id`` a line; empty if the prompt is one row's."""
    prompt = _prompt(body)
    if _answers_schema(_schema(body)) is None and '"answers"' not in prompt:
        return []
    rows: list[Mapping[str, Any]] = []
    for line in prompt.splitlines():
        if line.lstrip().startswith("{"):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and "id" in row and len(row) > 1 and "properties" not in row:
                rows.append(row)
    return rows


def _row_text(row: Mapping[str, Any]) -> str:
    cells = {name: cell for name, cell in row.items() if name != "id"}
    if len(cells) == 1:
        (cell,) = cells.values()
        return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return json.dumps(cells, ensure_ascii=False)


# --- what it answers -------------------------------------------------------------------------


def _of_schema(schema: Mapping[str, Any], text: str) -> Any:
    return instance(schema, text, choose)


def choose(options: Sequence[Any], text: str) -> Any:
    """Return one of the options for a text: by its mood if the options have moods, else at random by the text.

    Null is chosen for a text without a mood alone.
    """
    moods = [_mood(words(str(option))) for option in options]
    if max(moods) > 0 > min(moods):
        named = {word for option in options for word in words(str(option))}
        mood = _mood([word for word in words(text) if word not in named])
        return options[moods.index(max(moods) if mood > 0 else min(moods) if mood < 0 or 0 not in moods else 0)]
    options = [one for one in options if one is not None] or options
    return options[zlib.crc32(text.encode("utf-8", "replace")) % len(options)]


def _mood(found: Sequence[str]) -> int:
    good = sum(word in GOOD_WORDS or word == "positive" for word in found)
    return good - sum(word in BAD_WORDS or word == "negative" for word in found)


def _packed_content(body: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    described = (_schema(body), *_objects_in(_prompt(body)))
    entry = next(filter(None, map(_answers_schema, described)), {})
    schema = (entry.get("properties") or {}).get("answer") or {}
    is_text = schema.get("type", "string") == "string" and not schema.get("enum")
    answers = []
    for row in rows:
        text = _row_text(row)
        answers.append({"id": row["id"], "answer": f"You said: {text}" if is_text else _of_schema(schema, text)})
    return json.dumps({"answers": answers}, ensure_ascii=False)


def _content(body: Mapping[str, Any]) -> str:
    rows = packed_rows(body)
    if rows:
        return _packed_content(body, rows)
    message = body["messages"][-1]
    text, images = _text_of(message), _images_of(message)
    wanted = body.get("response_format") or {}
    schema = _schema(body)
    if schema or str(wanted.get("type", "")).startswith("json"):
        return json.dumps(_of_schema(schema, text) if schema else {"said": text}, ensure_ascii=False)
    return f"You said: {text}" + (f" (with {images} image)" if images else "")


def _tool_call(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    tools = body.get("tools") or []
    if not tools or body.get("tool_choice") != "required":
        return None
    function = tools[0]["function"]
    arguments = json.dumps(_of_schema(function.get("parameters") or {}, _text_of(body["messages"][-1])))
    return {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _reasons(body: Mapping[str, Any]) -> bool:
    thinks = (body.get("chat_template_kwargs") or {}).get("enable_thinking")
    return bool(thinks) or body.get("reasoning_effort") not in (None, "none")


def thoughts(body: Mapping[str, Any]) -> str:
    """Return what the model thinks before it answers."""
    return f"The user wrote {len(words(_text_of(body['messages'][-1])))} words. I repeat them."


def chat_completion(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Answer the last message; as JSON, as answers to packed rows or as a tool call if that is requested."""
    body = {**parameters, **(inputs if isinstance(inputs, Mapping) else {})}
    message: dict[str, Any] = {"role": "assistant", "content": None}
    call = _tool_call(body)
    reason = "stop"
    if call is not None:
        message["tool_calls"], reason = [call], "tool_calls"
    else:
        whole = _content(body)
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        message["content"] = cut_at_tokens(whole, limit) if isinstance(limit, int) else whole
        reason = "stop" if message["content"] == whole else "length"
    if _reasons(body):
        message["reasoning_content"] = thoughts(body)
    answer = {
        "id": "sandbox",
        "object": "chat.completion",
        "created": 0,
        "model": str(body.get("model", "")),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
    }
    return {**answer, "usage": usage(body, message)}


def usage(body: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the token counts of a request and the message that answers it."""
    messages = body["messages"]
    given = sum(count_tokens(_text_of(one)) + _IMAGE_TOKENS * _images_of(one) + _MESSAGE_TOKENS for one in messages)
    reasoned = count_tokens(message.get("reasoning_content") or "")
    calls = json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""
    made = count_tokens(message.get("content") or calls) + reasoned
    counts: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return {**counts, "completion_tokens_details": {"reasoning_tokens": reasoned}} if reasoned else counts
