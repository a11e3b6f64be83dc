"""Generated text: requests and answers of text-generation and of chat, with their lengths, usage and tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import InvalidAnswer, InvalidInput, SettingsError, Unavailable, one_line
from .output_schema import NotValid, OutputSchema, output_schema
from .reasoning import separate
from .shapes import (
    array,
    dumps,
    inside,
    int64,
    is_number,
    mapping,
    objects,
    one_element,
    plain,
    refuse,
    refuse_empty,
    storable,
    text,
)
from .task import Answer, Arguments

_FENCE = re.compile(r"\A\s*```[A-Za-z]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*\Z", re.DOTALL)


# --- answers of chat -------------------------------------------------------------------------


def choices_of(answer: Mapping[str, Any]) -> list[Any]:
    """Return the choices of a completion, of which there must be one at least."""
    choices = answer.get("choices")
    choices = array(answer if choices is None else choices, "an object with choices")
    if not choices:
        refuse(answer, "at least one choice")
    return choices


#: Types of the parts of a message; JSON may have a field ``type`` too.
_PARTS = ("text", "output_text", "thinking", "reasoning", "refusal")


def _content(value: Any) -> tuple[str | None, str]:
    """Return (content, reasoning) of a message: text, a list of parts, or JSON that the service has parsed.

    ``None``: there is no content.
    """
    if isinstance(value, Mapping):
        if value.get("type") not in _PARTS:
            return dumps(plain(value)), ""
        value = [value]
    if value is None:
        return None, ""
    if not isinstance(value, list):
        return text(value, "a message's content"), ""
    parts = [{"text": part} if isinstance(part, str) else mapping(part, "a part of a message") for part in value]
    texts = [text(part["text"]) for part in parts if isinstance(part.get("text"), str)]
    thought = [_content(part["thinking"])[0] for part in parts if part.get("thinking")]
    return "".join(texts), "\n\n".join(filter(None, thought))


def _tool_calls(value: Any) -> list[dict[str, Any]]:
    """Return tool calls with their arguments as JSON text, which is what most servers send."""
    calls = []
    for raw in [value] if isinstance(value, Mapping) else array(value, "a list of tool calls"):
        call = plain(mapping(raw, "a tool call"))
        if call.get("type") == "custom" and isinstance(call.get("custom"), Mapping):  # its input is a text
            calls.append(call)
            continue
        function = dict(mapping(call.get("function"), "a tool call's function"))
        if not isinstance(function.get("arguments"), str):
            function["arguments"] = dumps(function.get("arguments", {}))
        calls.append({"id": call.get("id"), "type": call.get("type", "function"), "function": function})
    return calls


def _usage(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {
        storable(name): count
        for name, count in value.items()
        if isinstance(name, str) and (int64(count) is not None or (isinstance(count, float) and is_number(count)))
    }


def wants_json(args: Arguments) -> bool:
    """Return whether the user's ``response_format`` asks for JSON; if the answer has a schema, it is not the user's."""
    if "output_schema" in args.values or args.json_schema is not None:
        return False
    wanted = args.parameters.get("response_format")
    return isinstance(wanted, Mapping) and str(wanted.get("type", "")).startswith("json")


def is_cut(explain: Mapping[str, Any]) -> bool:
    """Return whether an answer ended at the limit of tokens."""
    return _CUT.search(explain.get("finish_reason", "")) is not None


def json_text(content: str, *, cut: bool) -> str:
    """Return content as JSON text, without a code fence around it.

    Raises:
        InvalidAnswer: where it is no JSON.
    """
    fenced = _FENCE.match(content)
    try:
        return dumps(plain(json.loads(fenced.group(1) if fenced else content, parse_constant=_no_constant)))
    except (ValueError, RecursionError) as error:
        raise _no_json(cut=cut) from error


def _no_json(*, cut: bool) -> InvalidAnswer:
    return InvalidAnswer(
        "response_format requests JSON, but the content is "
        + ("JSON that was cut off at the token limit" if cut else "no valid JSON"),
        advice="Raise max_tokens" if cut else "Describe the JSON in the prompt, or choose another model",
    )


def typed_text(content: str | None, explain: Mapping[str, Any], schema: OutputSchema) -> str:
    """Return the content of a message as JSON text that fits a schema.

    The object may be in a code fence or in prose: it reaches from the first brace to the last, so there is only one.

    Raises:
        InvalidAnswer: with ``misfit``, if another answer may fit.
    """
    content = content or ""
    try:
        return dumps(schema.validated(one_object(content)))
    except NotValid as fault:
        if is_cut(explain):
            raise InvalidAnswer(
                "the answer was cut off at the token limit, so it does not match output_schema",
                advice="Raise max_tokens",
                divisible=False,
            ) from fault
        error = InvalidAnswer(
            f"the answer does not match output_schema: {fault}",
            advice="Describe the fields in output_schema, give examples, or choose another model",
            retryable=True,
            divisible=False,
        )
        error.misfit = content, str(fault)
        raise error from fault


def one_object(content: str) -> Any:
    """Return the one JSON object in a text: it reaches from the first brace to the last.

    Raises:
        NotValid: with what is wrong.
    """
    start, end = content.find("{"), content.rfind("}") + 1
    if start < 0 or end <= start:
        raise NotValid("there is no JSON object in it")
    try:
        return json.loads(content[start:end], parse_constant=_no_constant, object_pairs_hook=_without_doubles)
    except NotValid:
        raise
    except (ValueError, RecursionError) as error:
        raise NotValid("it is not one valid JSON object") from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotValid("a field occurs twice in it")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


#: Reasons to end that name a failure of the service, in whatever words.
_FAILED = re.compile(r"error|fail|insufficient|overload|unavailable|timed?[ _-]?out|abort|cancel|system_resource", re.I)
#: Reasons to end that name a filter: OpenAI's, and Gemini's in capitals.
_FILTERED = re.compile(r"filter|safety|prohibited|blocklist|recitation|spii|moderat|guardrail|sensitive", re.I)
#: Reasons to end that name the limit of tokens: OpenAI's, Gemini's, Anthropic's.
_CUT = re.compile(r"length|max_(output_)?tokens|context_window_exceeded", re.I)


def _refuse_failed(choice: Mapping[str, Any], content: Any) -> None:
    """Raise the error of a completion that failed on the way, or that the service's filter withheld or cut off.

    What a filter leaves would pass for the answer. A limit of tokens cuts answers off as well, but the user sets it.
    """
    reason = str(choice.get("finish_reason") or choice.get("native_finish_reason") or "")
    if _FILTERED.search(reason):
        begun = one_line(storable(content), 60) if isinstance(content, str) else ""
        raise InvalidInput(
            "the service's content filter " + (f"cut the answer off: '{begun}'" if begun else "withheld the answer"),
            advice="Change this row's text, or choose another model or provider",
            divisible=False,
        )
    if _FAILED.search(reason):
        raise Unavailable(f"the service ended the answer with finish_reason = '{storable(reason)[:60]}'")


def _refuse_blocked(found: Mapping[str, Any]) -> None:
    """Raise for a prompt that Gemini's filter refused: it gives no candidate, only the reason."""
    reason = inside(found, "promptFeedback", "blockReason")
    if isinstance(reason, str):
        raise InvalidInput(
            f"the service's content filter refused the prompt: {storable(reason)[:60]}",
            advice="Change this row's text, or choose another model or provider",
            divisible=False,
        )


def _refuse_refusal(choice: Mapping[str, Any], message: Mapping[str, Any], content: str | None) -> None:
    """Raise for a model that refuses: in a field of its own, in a part of the content, or as its reason to end."""
    refusals = [message.get("refusal"), *(part.get("refusal") for part in objects(message.get("content")))]
    said = next((one for one in refusals if isinstance(one, str) and one.strip()), "")
    if not said and choice.get("finish_reason") != "refusal":
        return
    said = said or content or ""
    raise InvalidAnswer(
        f"the model refused to answer{f': {one_line(storable(said), 200)}' if said.strip() else ''}",
        advice="Change this row's text, or choose another model",
        divisible=False,
    )


def _refuse_media(message: Mapping[str, Any]) -> None:
    """Raise for a message with an image or audio and no text: the answer is complete, and a retry gets the same."""
    content = message.get("content")
    parts = [part.get("type") for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    for kind, is_there in (
        ("an image", message.get("images") or "image_url" in parts),
        ("audio", message.get("audio") or "output_audio" in parts),
    ):
        if is_there:
            raise InvalidAnswer(
                f"the model answered with {kind} and without text",
                advice="Choose a model that writes text, or another task for media",
                divisible=False,
            )


def _refuse_empty(explain: Mapping[str, Any], args: Arguments) -> NoReturn:
    """Raise for a completion without an answer."""
    if is_cut(explain):
        if wants_json(args) and "reasoning" not in explain:
            raise _no_json(cut=True)
        raise _spent("max_tokens")
    if "reasoning" in explain:
        refuse_empty(", only the model's reasoning")
    refuse_empty(", and response_format asks for JSON" if wants_json(args) else "")


def _spent(limit: str) -> InvalidAnswer:
    return InvalidAnswer(
        "the token limit was used up before the answer, for example by the model's reasoning",
        advice=f"Raise {limit}, or tell the model to reason less",
        divisible=False,
        argument=limit,
    )


def chat_answer(answer: Any, args: Arguments) -> Answer:
    """A chat completion → its content; why it ended, tokens used, tools called and the reasoning beside it."""
    found = mapping(one_element(answer, "one completion"), "a chat completion")
    if "choices" not in found and isinstance(found.get("result"), Mapping):  # a gateway's envelope
        found = found["result"]
    bare = next(
        (found[name] for name in ("generated_text", "response") if isinstance(found.get(name), (str, Mapping))), None
    )
    if "choices" not in found and bare is not None:  # servers of the former task, and Cloudflare's
        found = {**found, "choices": [{"message": {"content": bare}}]}
    _refuse_blocked(found)
    choice = mapping(choices_of(found)[0], "a choice")
    message = choice.get("message")
    if message is None:  # Gemini's without content has none
        message = {"content": choice.get("text")}
    content, thought = _content(mapping(message, "a message").get("content"))
    _refuse_failed(choice, content)
    _refuse_refusal(choice, message, content)
    explain = _explained(found, choice, message)
    if content:
        parts = separate(content, cut=is_cut(explain))
        content, thought = parts.answer, "\n\n".join(filter(None, [thought, parts.reasoning]))
    reasoning = "\n\n".join(filter(None, [explain.get("reasoning"), thought]))
    if reasoning:
        explain["reasoning"] = reasoning
    if not (content or "").strip() and "tool_calls" not in explain:
        _refuse_media(message)
        _refuse_empty(explain, args)
    if wants_json(args) and content is not None and "tool_calls" not in explain:
        content = json_text(content, cut=is_cut(explain))
    schema = output_schema(args)
    if schema is not None:
        content = typed_text(content, explain, schema)
    return Answer(content, explain, tokens=int64(explain.get("usage", {}).get("total_tokens")))


def _explained(found: Mapping[str, Any], choice: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    explain: dict[str, Any] = {}
    if isinstance(choice.get("finish_reason"), str):
        explain["finish_reason"] = storable(choice["finish_reason"])
    usage = _usage(found.get("usage"))
    if usage:
        explain["usage"] = usage
    if message.get("tool_calls"):
        explain["tool_calls"] = _tool_calls(message["tool_calls"])
    elif isinstance(message.get("function_call"), Mapping):  # OpenAI's former name
        explain["tool_calls"] = _tool_calls({"function": message["function_call"]})
    reasoning = next(filter(None, map(message.get, ("reasoning_content", "reasoning", "thinking"))), None)
    if isinstance(reasoning, str) and reasoning.strip():
        explain["reasoning"] = storable(reasoning.strip())
    if isinstance(choice.get("logprobs"), Mapping):
        explain["logprobs"] = plain(choice["logprobs"])
    return explain


# --- answers of text-generation --------------------------------------------------------------


def generation_answer(part: Any, args: Arguments) -> Answer:
    """One generated text, with why it ended and how long it is where the service says so."""
    found = mapping(one_element(part, "one generated text"), "an object with generated_text")
    positions = (found.get("generated_text"), found.get("text"), inside(found, "message", "content"))
    generated = next((one for one in positions if one is not None), None)
    explain: dict[str, Any] = {}
    details = found.get("details")
    details = details if isinstance(details, Mapping) else found
    _refuse_failed(details, generated)
    if isinstance(details.get("finish_reason"), str):
        explain["finish_reason"] = storable(details["finish_reason"])
    tokens = int64(details.get("generated_tokens"))
    if tokens is None:
        tokens = int64(_usage(found.get("usage")).get("completion_tokens"))
    if tokens is not None:
        explain["tokens"] = tokens
    generated = text(generated, "an object with generated_text", of=found)
    if not generated and is_cut(explain):
        raise _spent("max_new_tokens")
    if not generated and not tokens:
        refuse_empty()
    least = args.values.get("min_output_length")
    if least is not None and tokens is not None and tokens < least:
        raise SettingsError(
            f"min_output_length = {least} has no effect at this server: it ended an output after {tokens} tokens",
            advice="Leave min_output_length out, or use another server",
        )
    return Answer(generated, explain, tokens=tokens)
