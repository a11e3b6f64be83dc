"""Chat completions that go wrong: answers to packed rows, and reasoning that is left in the content."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .fake_chat import count_tokens, cut_at_tokens, thoughts, usage

Answers: TypeAlias = "list[dict[str, Any]]"


def _drop(answers: Answers) -> Answers:
    return answers[:-1]


def _double(answers: Answers) -> Answers:
    return [*answers[:1], *answers]


def _swap(answers: Answers) -> Answers:
    first, second, *rest = answers if len(answers) > 1 else [*answers, *answers]
    return [{**first, "answer": second["answer"]}, {**second, "answer": first["answer"]}, *rest]


def _renumber(answers: Answers) -> Answers:
    return [{**one, "id": str(number)} for number, one in enumerate(answers)]


def _merge(answers: Answers) -> Answers:
    first, *rest = answers
    both = " ".join(str(one["answer"]) for one in answers[:2])
    return [{**first, "answer": both}, *rest[1:]]


def _translate(answers: Answers) -> Answers:
    return [{**one, "id": f"row {one['id']}"} for one in answers]


_PACKED: Mapping[str, Callable[[Answers], Answers]] = {
    "drop": _drop,
    "double": _double,
    "swap": _swap,
    "renumber": _renumber,
    "merge": _merge,
    "translate": _translate,
}


def _packed(content: str, style: str) -> tuple[str, str]:
    """Return the content and the finish reason of a wrong answer to packed rows."""
    answers = json.loads(content)["answers"]
    if style in _PACKED:
        return json.dumps({"answers": _PACKED[style](answers)}, ensure_ascii=False), "stop"
    half = len(answers) // 2
    if style == "cut":
        return cut_at_tokens(content, count_tokens(content) // 2), "length"
    prose = ". ".join(f"The answer to {one['id']} is {one['answer']}" for one in answers[:half])
    return f"{prose}. {json.dumps({'answers': answers[half:]}, ensure_ascii=False)}", "stop"


def _reasoning(content: str, style: str, thought: str) -> tuple[str, str]:
    """Return the content and the finish reason of an answer with its reasoning in the content."""
    if style == "cut":
        return f"<think>\n{thought}", "length"
    if style == "channel":
        analysis = f"<|channel|>analysis<|message|>{thought}<|end|>"
        return f"{analysis}<|start|>assistant<|channel|>final<|message|>{content}", "stop"
    opened = "<think>\n" if style == "think" else ""
    return f"{opened}{thought}\n</think>\n\n{content}", "stop"


#: Kind of a rule → its styles.
STYLES: Mapping[str, tuple[str, ...]] = {
    "packed": (*_PACKED, "cut", "prose"),
    "reasoning": ("think", "template", "cut", "channel"),
}


def spoil(kind: str, style: str, body: Mapping[str, Any], answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a chat completion with the fault of a rule; unchanged if the rule does not fit it.

    Args:
        kind, style: see ``STYLES``.
        body: the request.
        answer: the completion as the model gave it.
    """
    (choice,) = answer["choices"]
    content = choice["message"]["content"]
    if not content:
        return answer
    if kind == "packed":
        try:
            content, reason = _packed(content, style)
        except (ValueError, KeyError, TypeError):
            return answer
    else:
        content, reason = _reasoning(content, style, thoughts(body))
    message = {**choice["message"], "content": content}
    spoiled = {**choice, "message": message, "finish_reason": reason}
    return {**answer, "choices": [spoiled], "usage": usage(body, message)}
