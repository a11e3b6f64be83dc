"""The reasoning of a language model, separated from its answer.

Some servers put a model's reasoning in a field of its own; others leave it in the content, in one of these forms:

=========================================  ===================================================================
form                                       used by
=========================================  ===================================================================
``<think>…</think>answer``                 most models; other names and brackets, several blocks
``…</think>answer``                        chat templates that write the opening tag themselves
``<think>…</think><answer>…</answer>``     Hunyuan, Ernie, GLM: the answer has tags too, each on its own line
``<|channel|>analysis<|message|>…``        gpt-oss: a message a channel, of which ``final`` is the answer
``<|channel>thought…<channel|>answer``     Gemma
``Here is my thought process: …``          Granite, Apriel: a sentence or a tag begins the answer
=========================================  ===================================================================

Text that only mentions a tag stays as it is: a tag counts at the start of the content or of a line, a closing tag
without an opening one only where it ends its line or its sentence, and none counts in a block of code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

#: The words for it, with the prefix that a model's maker may put before them.
_NAME = (
    r"(?:(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reason(?:ing)?|scratchpad|monologue|思考|反思|推理|推敲)"
    r"|reflection|analysis)"
)
#: Tags in one of several brackets; group ``name`` is what a closing tag should repeat.
_OPEN = re.compile(
    rf"<(?P<angle>{_NAME})(?:\s\w+=[^<>]*)?>|\[(?P<square>{_NAME})\]|◁(?P<arrow>{_NAME})▷"
    rf"|<\|(?:begin_of_|START_)?(?P<pipe>{_NAME})\|>|<\|channel>(?P<channel>{_NAME})\s",
    re.I,
)
_CLOSE = re.compile(
    rf"</(?P<angle>{_NAME})>|\[/(?P<square>{_NAME})\]|◁/(?P<arrow>{_NAME})▷"
    rf"|<\|(?:end_of_|END_|/)(?P<pipe>{_NAME})\|>|<(?P<channel>channel)\|>",
    re.I,
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(\w+)(?:[^<]|<\|constrain\|>)*<\|message\|>(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.S,
)
#: The beginning of a content whose first sign the chat template wrote.
_HEADLESS_CHANNEL = re.compile(r"\A\s*(?:analysis|commentary|final)\b[^<]{0,100}<\|message\|>")
#: The same without its signs, as servers write it that drop special tokens.
_BARE_CHANNELS = re.compile(
    r"\A(?:assistant)?(?:analysis|commentary)(?=[^\Wa-z_]|.*assistantfinal)(.*?)(?:assistantfinal(.*)|\Z)", re.S
)
_SIGN = re.compile(r"<\|(?:start|end|return|call|channel|message|constrain)\|>")
#: Sentences before the reasoning and before the answer.
_SENTENCES = re.compile(
    r"\A\s*(?:Here(?:'s| is) my thought process|Here are my reasoning steps):?"
    r"(.*?)(?:Here(?:'s| is) my response:|\[BEGIN FINAL RESPONSE\]|\Z)(.*?)(?:\[END FINAL RESPONSE\]\s*)?\Z",
    re.S,
)
#: Tags before and after an answer that follows reasoning.
_BEFORE_ANSWER = re.compile(r"\A\s*(?:<(answer|response|output)>\n|<\|(?:begin_of|start)_(solution|response)\|>)", re.I)
_BEHIND_ANSWER = re.compile(r"</(answer|response|output)>\Z|<\|end_(?:of_)?(solution|response)\|>\Z", re.I)
#: Words that prompts ask for as well: a block of these that nothing follows is the answer.
_OF_PROMPTS = ("analysis", "reflection")
#: Characters of the longest sign behind an answer.
_LONGEST_SIGN = 24
#: A tag between two of these is mentioned.
_QUOTES = "`'\"“”‘’()«»"
#: The first line and the last of a block of code.
_FENCE = re.compile(r"^[ \t]*```", re.M)
#: Tags that are looked at for one block: the time that hostile content takes stays short.
_TAGS = 64

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
    if _HEADLESS_CHANNEL.match(content):
        content = f"<|channel|>{content}"
    if "<|channel|>" in content:
        return _by_channel(content)
    named = _SENTENCES.match(content) or _BARE_CHANNELS.match(content)
    if named is not None:
        return _by_words(content, named, cut)
    return _by_tags(content, cut)


def _by_words(content: str, found: re.Match[str], cut: bool) -> Separated:
    """Take reasoning and answer from between the words that begin them."""
    reasoning, answer = found[1].strip(), (found[2] or "").strip()
    if answer:
        return Separated(answer, reasoning)
    return Separated("", reasoning) if cut else Separated(content)


def _by_tags(content: str, cut: bool) -> Separated:
    answer: list[str] = []
    reasoning: list[str] = []
    at, leads = 0, True
    while (headless := _headless_end(content, at)) is not None:
        reasoning.append(content[at : headless.start()])
        at = headless.end()
    while (block := _next_block(content, at, leads=leads, cut=cut)) is not None:
        opening, closing = block
        head = content[at : opening.start()]
        leads = leads and not head.strip()
        if leads and closing and _name(opening) in _OF_PROMPTS and not content[closing.end() :].strip():
            break
        answer.append(head)
        if closing is None:
            reasoning.append(content[opening.end() :])
            return Separated(_joined(answer), _joined(reasoning).strip())
        reasoning.append(content[opening.end() : closing.start()])
        at = _after_strays(content, closing.end())
    if at == 0:
        return Separated(content)
    return Separated(_unwrapped(_joined([*answer, content[at:]])), _joined(reasoning).strip())


def _after_strays(content: str, at: int) -> int:
    """Return where a text continues after closing tags without opening ones."""
    while (closing := _CLOSE.search(content, at)) is not None and not content[at : closing.start()].strip():
        at = closing.end()
    return at


def _unwrapped(answer: str) -> str:
    """Return an answer without the tags around it."""
    before = _BEFORE_ANSWER.match(answer)
    if before is None:
        return answer
    inner = answer[before.end() :].strip()
    behind = _BEHIND_ANSWER.search(inner, max(len(inner) - _LONGEST_SIGN, 0))
    is_pair = behind is not None and [*map(_lowered, behind.groups())] == [*map(_lowered, before.groups())]
    return inner[: behind.start()].rstrip() if behind is not None and is_pair else inner


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
    before, after = content[max(tag.start() - 1, 0) : tag.start()], content[tag.end() : tag.end() + 1]
    return all(sign and sign in _QUOTES for sign in (before, after))


def _is_in_code(content: str, at: int, tag: re.Match[str]) -> bool:
    """Return whether a tag after ``at`` is within a fenced block of code: an example."""
    return len(_FENCE.findall(content, at, tag.start())) % 2 == 1 and _FENCE.search(content, tag.end()) is not None


def _headless_end(content: str, at: int) -> re.Match[str] | None:
    """Return the closing tag of a block whose opening tag the chat template wrote, if there is such a block."""
    closing = _CLOSE.search(content, at)
    if closing is None or _is_mentioned(content, closing) or _is_in_code(content, at, closing):
        return None
    if any(not _is_mentioned(content, one) for one in _OPEN.finditer(content, at, closing.start())):
        return None
    head, tail = content[at : closing.start()], content[closing.end() :]
    if not head.strip() or head.rstrip(" \t").endswith("\n"):
        return closing
    ends_its_line = not head[-1].isspace() or tail.lstrip(" \t").startswith(("\n", "\r"))
    return closing if ends_its_line and tail.strip() else None


def _next_block(content: str, at: int, *, leads: bool, cut: bool) -> tuple[re.Match[str], re.Match[str] | None] | None:
    """Return the tags of the next block; without a closing tag, if the content was cut inside it."""
    for opening in islice(_OPEN.finditer(content, at), _TAGS):
        head = content[at : opening.start()]
        is_first = leads and not head.strip()
        if _is_mentioned(content, opening) or not (is_first or head.rstrip(" \t").endswith("\n")):
            continue
        if not is_first and _is_in_code(content, at, opening):
            continue
        closing = _closing(content, opening)
        if closing is None:
            # A word at the beginning of a sentence has a space behind it; "[Analysis]" alone is a heading.
            if opening["square"] and not opening["square"].lower().startswith("think"):
                continue
            if is_first and (cut or not content.startswith(" ", opening.end())):
                return opening, None
        elif content[opening.end() : closing.start()].strip().lower() not in _JOINS:
            return opening, closing
    return None


def _closing(content: str, opening: re.Match[str]) -> re.Match[str] | None:
    """Return the tag that closes a block: the most similar to its opening tag, beyond the blocks inside it."""
    found: dict[int, re.Match[str]] = {}
    number = 0
    for closing in islice(_CLOSE.finditer(content, opening.end()), _TAGS):
        if _is_mentioned(content, closing):
            continue
        is_alike = closing.lastgroup == opening.lastgroup
        is_same = is_alike and _name(closing) == _name(opening)
        if is_same:
            inside = islice(_OPEN.finditer(content, opening.end(), closing.start()), _TAGS)
            if sum(_name(one) == _name(opening) for one in inside) <= number:
                return closing
            number += 1
        found.setdefault(is_alike + is_same, closing)
    return found.get(2) or found.get(1) or found.get(0)


def _lowered(text: str | None) -> str:
    return (text or "").lower()


def _name(tag: re.Match[str]) -> str:
    return str(tag[str(tag.lastgroup)]).lower()
