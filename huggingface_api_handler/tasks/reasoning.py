"""The reasoning of a language model, separated from its answer.

Some servers put a model's reasoning in a field of its own; others leave it in the content, in one of these forms:

=========================================  ===================================================================
form                                       used by
=========================================  ===================================================================
``<think>…</think>answer``                 most models; other names, square brackets, several blocks
``…</think>answer``                        chat templates that write the opening tag themselves
``<|channel|>analysis<|message|>…``        gpt-oss: a message a channel, of which ``final`` is the answer
=========================================  ===================================================================

Text that only mentions a tag stays as it is: a tag counts at the start of the content or of a line, a closing tag
without an opening one only where it ends its line or its sentence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|seed:think)"
#: Tags in one of several brackets; group ``name`` is what a closing tag has to repeat.
_OPEN = re.compile(
    rf"(?:<(?P<angle>{_NAME})>|\[(?P<square>{_NAME})\]|◁(?P<arrow>{_NAME})▷|<\|begin_of_(?P<word>thought)\|>)", re.I
)
_CLOSE = re.compile(
    rf"(?:</(?P<angle>{_NAME})>|\[/(?P<square>{_NAME})\]|◁/(?P<arrow>{_NAME})▷|<\|end_of_(?P<word>thought)\|>)", re.I
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)(?:[^<]|<\|constrain\|>)*<\|message\|>(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.S,
)
#: The same without its signs, as servers write it that drop special tokens.
_BARE_CHANNELS = re.compile(r"\Aanalysis(.*?)assistantfinal(.*)\Z", re.S)
_SIGN = re.compile(r"<\|(?:start|end|return|call|channel|message|constrain)\|>")
#: A tag beside one of these is mentioned.
_QUOTES = "`'\"“”‘’(«»"


#: Between two tags, these only join the mentions of them.
_JOINS = frozenset({"and", "or", "to", "&", "/", ",", "...", "…"})


@dataclass(frozen=True, slots=True)
class Separated:
    """The content of a message, taken apart.

    Attributes:
        answer: what is meant for the reader; empty if the content was cut before it.
        reasoning: what came before or between; empty if there is none.
    """

    answer: str
    reasoning: str = ""


def separate(content: str, *, cut: bool = False) -> Separated:
    """Take the reasoning out of a message's content.

    Args:
        cut: the message ended at the token limit.
    """
    if "<|channel|>" in content:
        return _by_channel(content)
    bare = _BARE_CHANNELS.match(content)
    if bare is not None:
        return Separated(bare[2].strip(), bare[1].strip())
    answer: list[str] = []
    reasoning: list[str] = []
    at = 0
    headless = _headless_end(content)
    if headless is not None:
        reasoning.append(content[: headless.start()])
        at = headless.end()
    while (block := _next_block(content, at, leads=not any(one.strip() for one in answer), cut=cut)) is not None:
        opening, closing = block
        answer.append(content[at : opening.start()])
        if closing is None:
            reasoning.append(content[opening.end() :])
            return Separated(_joined(answer), _joined(reasoning).strip())
        reasoning.append(content[opening.end() : closing.start()])
        at = closing.end()
    if at == 0:
        return Separated(content)
    return Separated(_joined([*answer, content[at:]]), _joined(reasoning).strip())


def _joined(parts: list[str]) -> str:
    """Join what is left of a text; white space at its end stays."""
    texts = [part for part in parts if part.strip()]
    if not texts:
        return ""
    return "\n\n".join([*(part.strip() for part in texts[:-1]), texts[-1].lstrip()])


def _by_channel(content: str) -> Separated:
    found = [(name.lower(), text.strip()) for name, text in _CHANNEL.findall(content)]
    if not found:
        return Separated(content)
    before = _SIGN.sub("", content[: content.index("<|channel|>")]).removesuffix("assistant")
    final = [text for name, text in found if name == "final"]
    reasoning = _joined([text for name, text in found if name != "final"])
    return Separated(_joined([before, *final]), reasoning)


def _is_mentioned(content: str, tag: re.Match[str]) -> bool:
    beside = content[max(tag.start() - 1, 0) : tag.start()] + content[tag.end() : tag.end() + 1]
    return any(sign in _QUOTES for sign in beside)


def _headless_end(content: str) -> re.Match[str] | None:
    """Return the closing tag of a block whose opening tag the chat template wrote, if there is such a block."""
    closing = _CLOSE.search(content)
    if closing is None or _is_mentioned(content, closing):
        return None
    if any(not _is_mentioned(content, one) for one in _OPEN.finditer(content, 0, closing.start())):
        return None
    head, tail = content[: closing.start()], content[closing.end() :]
    if not head.strip() or head.rstrip(" \t").endswith("\n"):
        return closing
    ends_its_line = not head[-1].isspace() or tail.lstrip(" \t").startswith(("\n", "\r"))
    return closing if ends_its_line and tail.strip() else None


def _next_block(content: str, at: int, *, leads: bool, cut: bool) -> tuple[re.Match[str], re.Match[str] | None] | None:
    """Return the tags of the next block; without a closing tag, if the content was cut inside it."""
    for opening in _OPEN.finditer(content, at):
        head = content[at : opening.start()]
        is_first = leads and not head.strip()
        if _is_mentioned(content, opening) or not (is_first or head.rstrip(" \t").endswith("\n")):
            continue
        closing = next((one for one in _CLOSE.finditer(content, opening.end()) if _is_pair(opening, one)), None)
        if closing is None:
            # A word at the beginning of a sentence has a space behind it.
            if is_first and (cut or not content.startswith(" ", opening.end())):
                return opening, None
        elif content[opening.end() : closing.start()].strip().lower() not in _JOINS:
            return opening, closing
    return None


def _is_pair(opening: re.Match[str], closing: re.Match[str]) -> bool:
    return {name.lower() for name in opening.groups() if name} == {name.lower() for name in closing.groups() if name}
