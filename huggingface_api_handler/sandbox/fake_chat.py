"""The fake chat model: it repeats what it was told, as JSON or as a tool call if that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .fake_text import truncate, words


def _instance(schema: Any, depth: int = 8) -> Any:
    """Return a small value that fits a JSON schema of the everyday kind."""
    if not isinstance(schema, Mapping) or depth <= 0:
        return "sandbox"
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        return {name: _instance(part, depth - 1) for name, part in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_instance(schema.get("items"), depth - 1)]
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(str(kind), "sandbox")


def _said(body: Mapping[str, Any]) -> tuple[str, int]:
    """Return the last thing the user said, and how many images came with it."""
    content = body["messages"][-1].get("content")
    if not isinstance(content, list):
        return str(content), 0
    told = [str(part.get("text", "")) for part in content if part.get("type") == "text"]
    return " ".join(told), sum(part.get("type") == "image_url" for part in content)


def chat_completion(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Says what it was told; makes JSON where that is asked for, and calls a tool where one is required."""
    body = {**parameters, **(inputs if isinstance(inputs, Mapping) else {})}
    told, images = _said(body)
    content: str | None = f"You said: {told}" + (f" (with {images} image)" if images else "")
    message: dict[str, Any] = {"role": "assistant", "content": truncate(str(content), body.get("max_tokens"))}
    wanted = body.get("response_format") or {}
    tools = body.get("tools") or []
    reason = "stop"
    if tools and body.get("tool_choice") == "required":
        function = tools[0]["function"]
        arguments = json.dumps(_instance(function.get("parameters")))
        message.update(
            content=None,
            tool_calls=[
                {"id": "call_1", "type": "function", "function": {"name": function["name"], "arguments": arguments}}
            ],
        )
        reason = "tool_calls"
    elif str(wanted.get("type", "")).startswith("json"):
        schema = (wanted.get("json_schema") or {}).get("schema") or wanted.get("value") or wanted.get("schema")
        message["content"] = json.dumps(_instance(schema) if schema else {"said": told}, ensure_ascii=False)
    counts = len(words(told)), len(words(str(message["content"])))
    return {
        "id": "sandbox",
        "object": "chat.completion",
        "created": 0,
        "model": str(body.get("model", "")),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts)},
    }
