"""Readers of labels, texts, spans and detections: every shape that servers give, one shape out.

A reader takes (answer, number of rows, arguments) and gives exactly one ``Answer`` a row, in the order
of the rows, or raises. Where an answer could be laid on the rows in two ways it is refused:
asking again for fewer rows costs a request, a value on the wrong row costs trust.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .shapes import (
    Reader,
    by_index,
    carried,
    dumps,
    each,
    is_number,
    listed,
    mapping,
    miscounted,
    number,
    one_element,
    refuse,
    single,
    text,
    unwrapped,
    whole,
    whole_answer,
)
from .task import Answer, Arguments, Dialect

_LABELS = "a list of labels with scores"


# --- labels with scores ----------------------------------------------------------------------


def as_list(value: Any) -> list[str]:
    """Return a list of texts that was given as a list or as comma-separated text."""
    if value is None:
        return []
    parts = value.split(",") if isinstance(value, str) else list(value)
    return [part for part in (str(part).strip() for part in parts) if part]


def label_names(args: Arguments) -> dict[str, str]:
    """Return raw label → the user's name for it, from the ``labels`` argument.

    ``LABEL_0`` and the first label of the model's config become the first name, and so on.
    """
    names = as_list(args.values.get("labels"))
    renamed: dict[str, str] = {}
    for place, name in enumerate(names):
        renamed[f"LABEL_{place}"] = name
        raw = args.model.id2label.get(str(place))
        if isinstance(raw, str):
            renamed[raw] = name
    return renamed


def _is_label(value: Any) -> bool:
    return isinstance(value, Mapping) and "label" in value and "score" in value


def _scored(part: Any) -> list[tuple[str, float]]:
    """Return (label, score) of one row, from a list of objects, one object, or a legacy object of two lists."""
    if isinstance(part, list) and len(part) == 1 and isinstance(part[0], Mapping) and "labels" in part[0]:
        part = part[0]
    if isinstance(part, Mapping) and "labels" in part:
        labels = listed(part["labels"], "a list of labels")
        scores = listed(part.get("scores"), "a list of scores")
        if len(labels) != len(scores):
            refuse(part, "as many labels as scores")
        pairs = list(zip(labels, scores, strict=True))
    else:
        objects = [part] if isinstance(part, Mapping) else listed(part, _LABELS)
        pairs = [(mapping(one, _LABELS).get("label"), one.get("score")) for one in objects]
        if pairs and pairs[0][0] is None:
            refuse(objects[0], _LABELS)
    if not pairs:
        refuse(part, _LABELS)
    return [(_label(label), number(score, "a score")) for label, score in pairs]


def _label(value: Any) -> str:
    if whole(value) is not None:  # class ids of models without names
        return str(value)
    return text(value, "a label")


def labels_answer(part: Any, args: Arguments) -> Answer:
    """One row's labels → the one with the best score, and all of them with theirs."""
    renamed = label_names(args)
    best: dict[str, float] = {}
    for label, score in _scored(part):
        name = renamed.get(label, label)
        best[name] = max(score, best.get(name, score))
    ranked = sorted(best.items(), key=lambda item: -item[1])
    limit = whole(args.parameters.get("top_k"))
    if limit is not None and limit > 0:
        ranked = ranked[:limit]
    return Answer(ranked[0][0], dict(ranked))


def _may_be_one_row(labels: Sequence[Any], args: Arguments) -> bool:
    """Say whether labels that came as one list could all be of one row: they could if they all differ.

    A text-embeddings-inference server takes a list of two texts for one pair and answers so. Scores
    tell nothing: those of several labels that may all be true need not add up to 1.
    """
    if args.dialect is Dialect.TEI:
        return True
    return len({_label(one["label"]) for one in labels}) == len(labels)


def split_labels(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of text-classification into rows."""
    if isinstance(answer, Mapping) and isinstance(answer.get("data"), list):
        # A classify route beside OpenAI's: a list for each text, even for one.
        answer = answer["data"]
        if len(answer) != n:
            miscounted(len(answer), n)
    if n == 1:
        return [unwrapped(answer)]
    rows = listed(answer, _LABELS)
    if len(rows) == n and all(isinstance(row, list) for row in rows):
        return rows
    # The best label of each row, as one list, bare or inside another.
    flat = rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
    if len(flat) != n or not all(_is_label(one) for one in flat):
        miscounted(len(rows), n)
    if _may_be_one_row(flat, args):
        refuse(answer, f"a list of labels for each of {n} inputs")
    return [[one] for one in flat]


def split_zero_shot(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of zero-shot-classification: one list of labels is always one row's."""
    if n == 1:
        return [unwrapped(answer)]
    rows = listed(answer, _LABELS)
    if len(rows) != n:
        miscounted(len(rows), n)
    if not all(isinstance(row, list) or (isinstance(row, Mapping) and "labels" in row) for row in rows):
        refuse(answer, f"a list of labels for each of {n} inputs")
    return rows


read_labels = each(split_labels, labels_answer)
read_zero_shot = each(split_zero_shot, labels_answer)
read_media_labels = single(lambda answer, args: labels_answer(unwrapped(answer), args))


# --- rows of lists ---------------------------------------------------------------------------


def split_lists(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer where each row has a list of objects, which may be empty."""
    if n == 1:
        return [unwrapped(answer)]
    rows = listed(answer, f"a list for each of {n} inputs")
    if len(rows) == n and not all(isinstance(row, list) for row in rows):
        refuse(answer, f"a list for each of {n} inputs")
    return rows


def _objects(part: Any, what: str) -> list[Mapping[str, Any]]:
    parts = [part] if isinstance(part, Mapping) else listed(part, what)
    return [mapping(one, what) for one in parts]


def entities_answer(part: Any, args: Arguments) -> Answer:
    """One row's entities → JSON list, and the words of each kind."""
    entities: list[dict[str, Any]] = []
    words: dict[str, list[str]] = {}
    for raw in _objects(part, "a list of entities"):
        field = "entity_group" if raw.get("entity_group") is not None else "entity"
        kind, word = _label(raw.get(field)), text(raw.get("word"), "a word")
        entity = {field: kind, "score": number(raw.get("score"), "a score"), "word": word}
        entity.update({name: whole(raw.get(name)) for name in ("start", "end")})
        entities.append(entity)
        words.setdefault(kind, []).append(word)
    return Answer(dumps(entities), words)


read_entities = each(split_lists, entities_answer)

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
    return Answer(next(iter(best)), best)


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


def split_fillings(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of fill-mask; lists inside one row's list belong to its several blanks."""
    return [unwrapped(answer)] if n == 1 else split_lists(answer, n, args)


read_fillings = each(split_fillings, fillings_answer)


# --- texts -----------------------------------------------------------------------------------


def split_elements(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer with an element a row; one row's may come bare."""
    if n == 1 and not isinstance(answer, list):
        return [answer]
    return listed(answer, f"an object for each of {n} inputs")


def text_reader(*names: str) -> Reader:
    """Make a reader of objects that hold one text under one of ``names``."""

    def read(part: Any, args: Arguments) -> Answer:
        found = mapping(one_element(part, "one text"), f"an object with {names[0]}")
        value = next((found[name] for name in names if isinstance(found.get(name), str)), None)
        return Answer(text(value, f"an object with {names[0]}", of=found))

    return each(split_elements, read)


# --- answers to questions --------------------------------------------------------------------


def _ranked_answers(part: Any) -> list[Mapping[str, Any]]:
    """Return a row's answers, best first; those without a score keep their place at the end."""
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
    facts.update({name: whole(one[name]) for name in ("start", "end") if whole(one.get(name)) is not None})
    return facts


def split_spans(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of question-answering: where several answers were asked for, each row has a list."""
    if n == 1:
        return [answer]
    rows = listed(answer, f"an answer for each of {n} questions")
    wanted = whole(args.parameters.get("top_k"))
    if wanted is not None and wanted > 1 and not all(isinstance(row, list) for row in rows):
        refuse(answer, f"a list of answers for each of {n} questions")
    return rows


def span_answer(part: Any, args: Arguments) -> Answer:
    """One question's answers → the best one's text, with its score and place in the context."""
    best = _ranked_answers(part)[0]
    return Answer(carried(best["answer"]), _facts(best))


def all_answers(part: Any, args: Arguments) -> Answer:
    """One question's answers → the best one's text, and all of them."""
    ranked = _ranked_answers(part)
    return Answer(
        carried(ranked[0]["answer"]), {"answers": [{"answer": carried(one["answer"]), **_facts(one)} for one in ranked]}
    )


read_spans = each(split_spans, span_answer)
read_all_answers = single(all_answers)


def table_answer(part: Any, args: Arguments) -> Answer:
    """An answer about a table, with the cells that it rests on."""
    found = mapping(one_element(part, "one answer"), "an answer about the table")
    explain: dict[str, Any] = {}
    if isinstance(found.get("coordinates"), list):
        explain["coordinates"] = [
            [whole(place) for place in listed(pair, "a row and a column")[:2]] for pair in found["coordinates"]
        ]
    if isinstance(found.get("cells"), list):
        explain["cells"] = [carried(cell) if isinstance(cell, str) else str(cell) if is_number(cell) else None
                            for cell in found["cells"]]  # fmt: skip
    if isinstance(found.get("aggregator"), str):
        explain["aggregator"] = carried(found["aggregator"])
    return Answer(text(found.get("answer"), "an answer about the table"), explain)


read_table_answer = single(table_answer)


# --- numbers ---------------------------------------------------------------------------------


def _numbers(answer: Any, n: int, args: Arguments) -> list[Answer]:
    if isinstance(answer, Mapping):
        answer = answer.get("similarities", answer)
    scores = listed(answer, f"a number for each of {n} sentences")
    return [Answer(number(score)) for score in scores]


read_numbers = whole_answer(_numbers)


def _ranking(answer: Any, n: int, args: Arguments) -> list[Answer]:
    """Lay scores on the documents that they are of: services give them best first, with ``index``."""
    what = f"a score for each of {n} documents"
    if isinstance(answer, Mapping):
        found = next((answer[name] for name in ("scores", "results", "data") if name in answer), None)
        answer = listed(found, what)
    parts = listed(answer, what)
    if all(is_number(part) for part in parts):
        return [Answer(float(part)) for part in parts]
    return [_rank(part) for part in by_index(parts, n, what)]


def _rank(part: Mapping[str, Any]) -> Answer:
    name = "score" if "score" in part else "relevance_score"
    return Answer(number(part.get(name), "a score"))


read_ranking = whole_answer(_ranking)


# --- detections ------------------------------------------------------------------------------

_EDGES = ("xmin", "ymin", "xmax", "ymax")


def _box(value: Any) -> dict[str, float | int]:
    box = mapping(value, "a box with xmin, ymin, xmax, ymax")
    edges: dict[str, float | int] = {}
    for name in _EDGES:
        edge = number(box.get(name), f"the box's {name}")
        known = whole(box[name])
        edges[name] = known if known is not None else edge
    return edges


def detections_answer(part: Any, args: Arguments) -> Answer:
    """Detections → JSON list, best first, and how many there are of each label."""
    found = [
        {"label": _label(one.get("label")), "score": number(one.get("score"), "a score"), "box": _box(one.get("box"))}
        for one in _objects(unwrapped(part), "a list of detections")
    ]
    found.sort(key=lambda one: -float(one["score"]))  # type: ignore[arg-type]
    return Answer(dumps(found), dict(Counter(str(one["label"]) for one in found)))


read_detections = single(detections_answer)
