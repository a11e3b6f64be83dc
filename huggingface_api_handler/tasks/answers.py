"""Decoders of labels, texts, spans and detections: one row's part of an answer → its ``Answer``.

Servers write the same thing in several forms; each decoder takes all of them and returns one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import SettingsError
from .offsets import in_characters
from .shapes import (
    array,
    dumps,
    exact_number,
    int64,
    is_number,
    mapping,
    number,
    one_element,
    refuse,
    refuse_empty,
    storable,
    text,
    unwrapped,
)
from .task import Answer, Arguments, Decoder, Row

_LABELS = "a list of labels with scores"


# --- labels with scores ----------------------------------------------------------------------


def label_names(args: Arguments) -> dict[str, str]:
    """Return raw label → the user's name for it, from the ``labels`` argument.

    ``LABEL_0`` and the first label of the model's config become the first name, and so on.
    """
    renamed: dict[str, str] = {}
    for position, name in enumerate(args.values.get("labels") or ()):
        renamed[f"LABEL_{position}"] = name
        raw = args.model.id2label.get(str(position))
        if isinstance(raw, str):
            renamed[raw] = name
    return renamed


#: Labels that servers give of media where a request does not say how many.
_USUAL_TOP_K = 5


def _check_labels(found: Sequence[str], renamed: Mapping[str, str], args: Arguments) -> None:
    """Refuse ``labels`` that do not fit the labels of an answer, which are the model's own, or ``candidate_labels``.

    Raises:
        SettingsError: with the model's labels.
    """
    names, candidates = args.values.get("labels"), args.values.get("candidate_labels")
    if candidates and not {label.strip().casefold() for label in found} <= {one.casefold() for one in candidates}:
        raise SettingsError(
            f"candidate_labels has no effect at this server: it returns {', '.join(found[:20])}",
            advice="Choose a model that supports this task, or set another task",
        )
    if not names:
        return
    own = f"the model's labels are {', '.join(found[:20])}{', …' if len(found) > 20 else ''}"
    known = {*renamed, *names}
    if len(found) > len(names) or (1 < len(found) < min(len(names), _USUAL_TOP_K) and "top_k" not in args.parameters):
        raise SettingsError(
            f"labels has {len(names)} names, and {own}",
            advice="Write one name for each label of the model, in the model's order, or leave labels out",
        )
    if any(label not in known for label in found):
        raise SettingsError(
            f"labels cannot be assigned to the model's labels, whose order is not known: {own}",
            advice="Leave labels out and rename them in SQL with CASE, or name the model on the Hub with model_name",
        )


def _scored(part: Any) -> list[tuple[str, float]]:
    """Return (label, score) of one row, from a list of objects, one object, or a legacy object of two lists."""
    if isinstance(part, list) and len(part) == 1 and isinstance(part[0], Mapping) and "labels" in part[0]:
        part = part[0]
    if isinstance(part, Mapping) and "labels" in part:
        labels = array(part["labels"], "a list of labels")
        scores = array(part.get("scores"), "a list of scores")
        if len(labels) != len(scores):
            refuse(part, "as many labels as scores")
        pairs = list(zip(labels, scores, strict=True))
    else:
        objects = [part] if isinstance(part, Mapping) else array(part, _LABELS)
        pairs = [(mapping(one, _LABELS).get("label"), one.get("score")) for one in objects]
        if pairs and pairs[0][0] is None:
            refuse(objects[0], _LABELS)
    if not pairs:
        refuse(part, _LABELS)
    return [(label_of(label), number(score, "a score")) for label, score in pairs]


def label_of(value: Any) -> str:
    if int64(value) is not None:  # class ids of models without names
        return str(value)
    label = text(value, "a label")
    if not label.strip():
        refuse(value, "a label")
    return label


def labels_answer(part: Any, args: Arguments) -> Answer:
    """One row's labels → the one with the best score, and all of them with theirs."""
    renamed = label_names(args)
    best: dict[str, float] = {}
    scored = _scored(unwrapped(part))
    if args.values:
        _check_labels(list(dict.fromkeys(label for label, _ in scored)), renamed, args)
    for label, score in scored:
        name = renamed.get(label, label)
        best[name] = max(score, best.get(name, score))
    ranked = sorted(best.items(), key=lambda item: -item[1])
    limit = int64(args.parameters.get("top_k"))
    if limit is not None and limit > 0:
        ranked = ranked[:limit]
    return Answer(ranked[0][0], dict(ranked))


# --- lists of objects ------------------------------------------------------------------------


def _objects(part: Any, what: str) -> list[Mapping[str, Any]]:
    parts = [part] if isinstance(part, Mapping) else array(part, what)
    return [mapping(one, what) for one in parts]


def entities_answer(part: Any, args: Arguments) -> Answer:
    """One row's entities → JSON list, and the words of each kind."""
    entities: list[dict[str, Any]] = []
    words: dict[str, list[str]] = {}
    grouping = args.parameters.get("aggregation_strategy")
    for raw in _objects(part, "a list of entities"):
        field = "entity_group" if raw.get("entity_group") is not None else "entity"
        if field == "entity" and grouping not in (None, "none"):
            raise SettingsError(
                f"aggregation_strategy = '{grouping}' has no effect at this server: it returns single tokens",
                advice="Leave aggregation_strategy out, or use another server",
            )
        kind, word = label_of(raw.get(field)), text(raw.get("word"), "a word")
        entity = {field: kind, "score": number(raw.get("score"), "a score"), "word": word}
        entity.update({name: int64(raw.get(name)) for name in ("start", "end")})
        entities.append(entity)
        words.setdefault(kind, []).append(word)
    return Answer(dumps(entities), words)


def placed_entities(answer: Answer, row: Row) -> Answer:
    """Return entities with their positions in characters of the text."""
    entities = in_characters(json.loads(str(answer.value)), "word", str(row[0]))
    return replace(answer, value=dumps(entities))


#: What fill-mask models call their blank, for models of which nothing is known.
MASKS = ("[MASK]", "<mask>")
_FRAMES = ("[CLS]", "[SEP]", "<s>", "</s>")


def _fillings(part: Any) -> list[tuple[str, float, Any]]:
    what = "a list of completed sentences"
    found = [(text(one.get("sequence"), "a completed sentence"), number(one.get("score"), "a score"),
              one.get("token_str")) for one in _objects(part, what)]  # fmt: skip
    if not found:
        refuse(part, what)
    return sorted(found, key=lambda filling: -filling[1])


def fillings_answer(part: Any, args: Arguments) -> Answer:
    """One row's completed sentences, best first; a sentence with several blanks gets the best word in each."""
    if isinstance(part, list) and part and all(isinstance(one, list) for one in part):
        sentence, score = _all_blanks([_fillings(one)[0] for one in part], args)
        return Answer(sentence, {sentence: score})
    best: dict[str, float] = {}
    for sentence, score, _ in _fillings(part):
        best.setdefault(sentence, score)
    ranked = list(best.items())[: int64(args.parameters.get("top_k"))]
    return Answer(ranked[0][0], dict(ranked))


def _all_blanks(bests: Sequence[tuple[str, float, Any]], args: Arguments) -> tuple[str, float]:
    """Fill the blanks after the first, which the service left in the first one's sentence."""
    sentence, score, _ = bests[0]
    known = (args.model.mask_token,) if args.model.mask_token else MASKS
    for _, likely, token in bests[1:]:
        mask = next((mask for mask in known if mask and mask in sentence), None)
        if mask is None:
            refuse([], "a sentence with its further blanks")
        sentence = sentence.replace(mask, text(token, "the word for a blank").strip(), 1)
        score *= likely
    for frame in _FRAMES:
        sentence = sentence.replace(frame, "")
    return " ".join(sentence.split()), score


# --- texts -----------------------------------------------------------------------------------


def text_decoder(*names: str) -> Decoder:
    """Make the decoder of an object that holds one text, which is not empty, under one of ``names``."""

    def decode(part: Any, args: Arguments) -> Answer:
        found = mapping(one_element(part, "one text"), f"an object with {names[0]}")
        given = [found[name] for name in names if found.get(name) is not None]
        value = next((one for one in given if isinstance(one, str)), next(iter(given), None))
        said = text(value, f"an object with {names[0]}", of=found)
        if not said.strip():
            refuse_empty()
        return Answer(said)

    return decode


# --- answers to questions --------------------------------------------------------------------


def _ranked_answers(part: Any) -> list[Mapping[str, Any]]:
    """Return a row's answers, best first; those without a score stay at the end."""
    found = _objects(unwrapped(part), "an answer")
    if not found:
        refuse(part, "an answer")
    for one in found:
        text(one.get("answer"), "an answer's text")
        if one.get("score") is not None:
            number(one["score"], "a score")
    return sorted(found, key=lambda one: -one["score"] if one.get("score") is not None else float("inf"))


def _facts(one: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if one.get("score") is not None:
        facts["score"] = number(one["score"], "a score")
    facts.update({name: int64(one[name]) for name in ("start", "end") if int64(one.get(name)) is not None})
    return facts


def span_answer(part: Any, args: Arguments) -> Answer:
    """One question's answers → the best one's text, with its score and position in the context."""
    best = _ranked_answers(part)[0]
    return Answer(storable(best["answer"]), _facts(best))


def placed_span(answer: Answer, row: Row) -> Answer:
    """Return a span with its position in characters of the context."""
    (span,) = in_characters([{**(answer.explain or {}), "": str(answer.value)}], "", str(row[1]))
    del span[""]
    return replace(answer, explain=span)


def all_answers(part: Any, args: Arguments) -> Answer:
    """One question's answers → the best one's text, and all of them."""
    answers = [{"answer": storable(one["answer"]), **_facts(one)} for one in _ranked_answers(part)]
    return Answer(answers[0]["answer"], {"answers": answers})


def table_answer(part: Any, args: Arguments) -> Answer:
    """An answer about a table, with the cells that it rests on."""
    found = mapping(one_element(part, "one answer"), "an answer about the table")
    explain: dict[str, Any] = {}
    if isinstance(found.get("coordinates"), list):
        explain["coordinates"] = [
            [int64(position) for position in array(pair, "a row and a column")[:2]] for pair in found["coordinates"]
        ]
    if isinstance(found.get("cells"), list):
        explain["cells"] = [_cell(cell) for cell in found["cells"]]
    if isinstance(found.get("aggregator"), str):
        explain["aggregator"] = storable(found["aggregator"])
    return Answer(text(found.get("answer"), "an answer about the table"), explain)


def _cell(cell: Any) -> str | None:
    if isinstance(cell, str):
        return storable(cell)
    return str(cell) if is_number(cell) else None


# --- numbers ---------------------------------------------------------------------------------


def number_answer(part: Any, args: Arguments) -> Answer:
    """A similarity → the number itself."""
    return Answer(number(part))


def rank_answer(part: Any, args: Arguments) -> Answer:
    """A document's score, bare or in an object."""
    if is_number(part):
        return Answer(float(part))
    found = mapping(part, "a score")
    name = "score" if "score" in found else "relevance_score"
    return Answer(number(found.get(name), "a score"))


# --- detections ------------------------------------------------------------------------------

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def _box(value: Any) -> dict[str, float | int]:
    box = mapping(value, "a box with xmin, ymin, xmax, ymax")
    return {name: exact_number(box.get(name), f"the box's {name}") for name in _EDGES}


def detections_answer(part: Any, args: Arguments) -> Answer:
    """Detections → JSON list, best first, and how many there are of each label."""
    found = [
        {"label": label_of(one.get("label")), "score": number(one.get("score"), "a score"), "box": _box(one.get("box"))}
        for one in _objects(unwrapped(part), "a list of detections")
    ]
    found.sort(key=lambda one: -float(one["score"]))  # type: ignore[arg-type]
    return Answer(dumps(found), dict(Counter(str(one["label"]) for one in found)))
