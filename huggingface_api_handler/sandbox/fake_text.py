"""Fake models that read text: simple, deterministic answers in the shapes of the Inference API.

Each takes the ``inputs`` of a request (or its whole body if it has no ``inputs``) and its ``parameters``.
A fake model takes a list of inputs if the real service does.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

#: (inputs, parameters) → the answer as JSON value or ``Media``.
FakeModel: TypeAlias = "Callable[[Any, Mapping[str, Any]], Any]"

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


GOOD_WORDS = frozenset(
    words(
        "amazing awesome best brilliant delicious easy enjoy excellent fantastic fast favourite fine friendly "
        "fun glad good great happy helpful joy kind like liked love loved lovely nice perfect pleasant recommend "
        "beautiful superb sweet thank thanks useful well wonderful"
    )
)
BAD_WORDS = frozenset(
    words(
        "angry annoying awful bad boring broke broken cold cost defect dirty disappointed disappointing dull expensive "
        "fail failed fault hate hated horrible late lost mess never noisy not poor rude sad scam slow sorry stale "
        "terrible ugly unhappy unusable useless waste worse worst wrong"
    )
)


def on_each(answer: FakeModel) -> FakeModel:
    """Make a fake model of one input answer lists too, with one answer for each input."""

    def answer_all(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        if isinstance(inputs, list):
            return [answer(one, parameters) for one in inputs]
        return answer(inputs, parameters)

    return answer_all


def ranked(scores: Mapping[str, float], limit: Any = None) -> list[dict[str, Any]]:
    """Return labels with scores, best first."""
    found = [{"label": label, "score": round(score, 6)} for label, score in scores.items()]
    found.sort(key=lambda one: (-float(one["score"]), one["label"]))  # type: ignore[arg-type]
    return found[:limit] if isinstance(limit, int) and limit > 0 else found


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights as shares that sum to 1 (softmax)."""
    top = max(weights.values())
    powers = {name: math.exp(weight - top) for name, weight in weights.items()}
    total = sum(powers.values())
    return {name: power / total for name, power in powers.items()}


# --- classification --------------------------------------------------------------------------


def _sentiment(text: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = words(str(text))
    balance = sum(word in GOOD_WORDS for word in found) - sum(word in BAD_WORDS for word in found)
    positive = round(1 / (1 + math.exp(-1.5 * balance - 0.1)), 6)
    return ranked({"POSITIVE": positive, "NEGATIVE": round(1 - positive, 6)}, parameters.get("top_k"))


def text_classification(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Sentiment by two small lists of words."""
    if isinstance(inputs, list):
        # text-embeddings-inference wraps each text of a list.
        return [_sentiment(one[0] if isinstance(one, list) else one, parameters) for one in inputs]
    return [_sentiment(inputs, parameters)]


def candidate_labels(parameters: Mapping[str, Any]) -> list[str]:
    """Return the candidate labels of a request, which may be text with commas."""
    labels = parameters.get("candidate_labels") or ["thing"]
    return [label.strip() for label in labels.split(",")] if isinstance(labels, str) else list(labels)


def zero_shot(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Likeness of text and label; one text gets today's shape, a list the former one, as the service does."""
    labels = candidate_labels(parameters)

    def scores(text: str) -> dict[str, float]:
        weights = {label: 6 * likeness(text, label) for label in labels}
        if parameters.get("multi_label"):
            return {label: 1 / (1 + math.exp(1 - weight)) for label, weight in weights.items()}
        return shares(weights)

    if not isinstance(inputs, list):
        return ranked(scores(str(inputs)))
    legacy = []
    for text in inputs:
        found = ranked(scores(str(text)))
        legacy.append(
            {"sequence": text, "labels": [one["label"] for one in found], "scores": [one["score"] for one in found]}
        )
    return legacy


_PLACES = frozenset(words("Amsterdam Berlin Europe France Germany Lisbon London Madrid Oslo Paris Rome Spain Tokyo"))
_FIRMS = ("Inc", "Ltd", "Corp", "GmbH", "SA", "Bank", "University")
_NOT_NAMES = frozenset(
    words(
        "a an and at but by for he her his i if in it its my no of on or our she so the their they this to was we what "
        "when where which who why yes you your"
    )
)
_NAME = re.compile(r"\b[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*")


def _entities(text: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = str(text)
    found = []
    for match in _NAME.finditer(text):
        name, start = match.group(), match.start()
        while name and name.split(" ")[0].lower() in _NOT_NAMES:
            first, _, name = name.partition(" ")
            start += len(first) + 1
        if name:
            last = name.split(" ")[-1]
            kind = "LOC" if last.lower() in _PLACES else "ORG" if last in _FIRMS else "PER"
            span = {"score": 0.99, "word": name, "start": start, "end": start + len(name)}
            named = "entity" if parameters.get("aggregation_strategy") == "none" else "entity_group"
            found.append({named: f"I-{kind}" if named == "entity" else kind, **span})
    return found


#: Names by their capital letters.
token_classification = on_each(_entities)

_FILLINGS = (("good", 0.4), ("new", 0.25), ("great", 0.15), ("small", 0.12), ("big", 0.08))
MASK = re.compile(r"\[MASK\]|<mask>")


def _filled(text: Any, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    targets = parameters.get("targets")
    choices = [(word, 1 / len(targets)) for word in targets] if targets else list(_FILLINGS)
    limit = parameters.get("top_k")
    return [
        {"sequence": MASK.sub(word, str(text), count=1), "score": score, "token": zlib.crc32(word.encode()) % 30000,
         "token_str": word}
        for word, score in choices[: limit if isinstance(limit, int) and limit > 0 else 5]
    ]  # fmt: skip


def fill_mask(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The same few words for every blank; a list of one text is answered as the text alone."""
    if isinstance(inputs, list) and len(inputs) > 1:
        return [_filled(one, parameters) for one in inputs]
    return _filled(inputs[0] if isinstance(inputs, list) else inputs, parameters)


# --- questions -------------------------------------------------------------------------------


def _span(question: str, context: str) -> dict[str, Any]:
    asked = {word for word in words(question) if word not in _NOT_NAMES}
    sentences = [match for match in _SENTENCE.finditer(context) if match.group().strip()]
    if not sentences:
        return {"score": 0.01, "start": 0, "end": len(context), "answer": context}
    best = max(sentences, key=lambda match: len(asked & set(words(match.group()))))
    names = [match for match in re.finditer(r"[A-Z][\w'’-]*|\d[\d.,]*\d|\d", best.group())
             if match.group().lower() not in asked | _NOT_NAMES]  # fmt: skip
    chosen = names[0] if names else None
    answer = chosen.group() if chosen else best.group().strip().rstrip(".!?")
    start = best.start() + chosen.start() if chosen else context.index(answer, best.start())
    shared = len(asked & set(words(best.group())))
    score = round((shared + 0.5) / (len(asked) + 1), 6)
    return {"score": score, "start": start, "end": start + len(answer), "answer": answer}


def question_answering(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The first name or number in the sentence that shares most words with the question."""
    questions, contexts = inputs["question"], inputs["context"]
    if not isinstance(questions, list):
        return _span(str(questions), str(contexts))
    contexts = contexts if isinstance(contexts, list) else [contexts] * len(questions)
    return [_span(str(question), str(context)) for question, context in zip(questions, contexts, strict=True)]


def table_question_answering(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The cells of the column that the question names, in the rows that it names; added up if it says so."""
    query = str(inputs.get("query") or inputs.get("question") or "")
    table: Mapping[str, Sequence[Any]] = inputs.get("table") or {}
    asked = set(words(query))
    columns = list(table)
    rows = range(max((len(cells) for cells in table.values()), default=0))
    column = next((position for position, name in enumerate(columns) if set(words(name)) & asked), len(columns) - 1)
    named = [row for row in rows if any(position != column and set(words(str(cells[row]))) & asked
                                        for position, cells in enumerate(table.values()))]  # fmt: skip
    chosen = named or list(rows)
    cells = [str(table[columns[column]][row]) for row in chosen] if columns else []
    totals = {"SUM": {"sum", "total"}, "COUNT": {"count", "many"}, "AVERAGE": {"average", "mean"}}
    aggregator = next((name for name, signs in totals.items() if signs & asked), "NONE")
    answer = ", ".join(cells)
    return {
        "answer": answer if aggregator == "NONE" else f"{aggregator} > {answer}",
        "coordinates": [[row, column] for row in chosen],
        "cells": cells,
        "aggregator": aggregator,
    }


# --- vectors ---------------------------------------------------------------------------------

DIMENSIONS = 32

#: Words that say little of what a text is about.
_COMMON = _NOT_NAMES | frozenset(
    words(
        "are as be can could do does for from get has have how not off than that them then there too up were while "
        "will with would"
    )
)
#: Words that go together: all that the fake model knows of meaning.
_KIN = tuple(
    (name, frozenset(words(kin)))
    for name, kin in (
        ("delivery", "arrive arrived courier deliver delivered delivery parcel postage sent shipped shipping tracking"),
        ("payment", "basket card charge charged discount invoice money paid pay paying payment payments price refund"),
        ("account", "account address cancel log login mail newsletter password subscribe subscription"),
        ("fault", "app broken camera crash crashes defect error errors fault faults repair search slow technical"),
    )
)


def vector(text: str) -> list[float]:
    """Return a unit vector: texts that share runs of three letters, or words of the same kin, lie close."""
    found = [0.0] * DIMENSIONS

    def add(key: str, weight: float) -> None:
        code = zlib.crc32(key.encode("utf-8", "replace"))
        found[code % DIMENSIONS] += weight if code & 0x10000 else -weight

    told = words(text)
    kept = [word for word in told if word not in _COMMON] or told
    padded = f"  {' '.join(kept) or text} "
    for position in range(len(padded) - 2):
        add(padded[position : position + 3], 1.0)
    for word in kept:
        for name, kin in _KIN:
            for turn in range(8 if word in kin else 0):
                add(f"{turn} {name}", 2.0)
    length = math.sqrt(sum(one * one for one in found))
    return [round(one / length, 6) for one in found] if length else [1.0] + [0.0] * (DIMENSIONS - 1)


def likeness(one: str, other: str) -> float:
    """Return how alike two texts are, from -1 to 1: the cosine of their vectors."""
    return round(sum(a * b for a, b in zip(vector(one), vector(other), strict=True)), 6)


def feature_extraction(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Vectors out of letters and words of a kin; the whole body of OpenAI's form gets an answer in that form."""
    if isinstance(inputs, Mapping):
        given = inputs.get("input") or []
        found = [vector(text) for text in ([given] if isinstance(given, str) else given)]
        data = [{"object": "embedding", "index": position, "embedding": one} for position, one in enumerate(found)]
        return {"object": "list", "data": data}
    return [vector(str(one)) for one in inputs] if isinstance(inputs, list) else vector(str(inputs))


def sentence_similarity(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Likeness of each sentence with the source."""
    source = str(inputs["source_sentence"])
    return [likeness(source, str(sentence)) for sentence in inputs["sentences"]]


def text_ranking(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Likeness of each document with the query, best first, with the document's place as ``index``."""
    scores = [round((1 + likeness(str(inputs["query"]), str(text))) / 2, 6) for text in inputs["texts"]]
    order = sorted(range(len(scores)), key=lambda position: -scores[position])
    return [{"index": position, "score": scores[position]} for position in order]


# --- generation ------------------------------------------------------------------------------


def truncate(text: str, limit: Any) -> str:
    parts = text.split()
    return " ".join(parts[:limit]) if isinstance(limit, int) and 0 < limit < len(parts) else text


def _summary(text: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    first = _SENTENCE.search(str(text))
    return {"summary_text": truncate((first.group() if first else str(text)).strip(), parameters.get("max_length"))}


def _translated(text: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"translation_text": f"[{parameters.get('tgt_lang') or 'translated'}] {text}"}


def _generated(text: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    continuation = f" … and so on, says the sandbox of {len(words(str(text)))} words"
    said = truncate(continuation, parameters.get("max_new_tokens"))
    return {"generated_text": said if parameters.get("return_full_text") is False else f"{text}{said}"}


def _one_listed(answer: FakeModel) -> FakeModel:
    """Make a fake model answer a single input with a list of one."""
    return lambda inputs, parameters: [
        answer(one, parameters) for one in (inputs if isinstance(inputs, list) else [inputs])
    ]


#: The first sentence.
summarization = _one_listed(_summary)
#: The text itself, with the language in front.
translation = _one_listed(_translated)


def text_generation(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """A fixed phrase with the prompt's length; the whole body of a completions route gets choices."""
    if not isinstance(inputs, Mapping):
        return _one_listed(_generated)(inputs, parameters)
    prompts = inputs.get("prompt")
    said = [_generated(prompt, {"max_new_tokens": inputs.get("max_tokens"), "return_full_text": False})
            for prompt in (prompts if isinstance(prompts, list) else [prompts])]  # fmt: skip
    return {"choices": [{"index": position, "text": one["generated_text"], "finish_reason": "stop"}
                        for position, one in enumerate(said)]}  # fmt: skip
