"""Splits of an answer into rows: one part a row, for the task's decoder.

Most kinds of server answer in one of a few forms, and some of them now in one and now in another: each split here
takes all forms that are certain. If an answer could be assigned to the rows in two ways it is refused: another request
for fewer rows costs less than a value in the wrong row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..errors import InvalidAnswer, SettingsError
from ..tasks.answers import label_of
from ..tasks.chat import choices_of
from ..tasks.shapes import EMPTY_RETRIES, array, int64, is_number, mapping, number, one_element, refuse, unwrapped
from ..tasks.task import Arguments, Batching, Task
from .base import Split, miscounted, refuse_failed

_LABELS = "a list of labels with scores"


def split_single(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Take the whole answer for the one row of the request."""
    return [answer]


def by_index(parts: Sequence[Any], n: int, what: str) -> list[Any]:
    """Return objects with an ``index`` in the order of the rows: each of 0 … n-1 exactly once.

    The only object of the only row needs none, and one index that is missing is 0, which some gateways leave out.
    """
    known = [mapping(part, what).get("index") for part in parts]
    if n == 1 and len(parts) == 1:
        return list(parts)
    if known.count(None) == 1:
        known[known.index(None)] = 0
    placed: dict[int, Any] = {}
    for part, index in zip(parts, known, strict=True):
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < n or index in placed:
            refuse(part, f"{what} with each index from 0 to {n - 1} once")
        placed[index] = part
    if len(placed) != n:
        miscounted(len(placed), n)
    return [placed[index] for index in range(n)]


# --- labels ----------------------------------------------------------------------------------


def _is_label(value: Any) -> bool:
    return isinstance(value, Mapping) and "label" in value and "score" in value


def split_labels(answer: Any, n: int, args: Arguments, *, takes_pairs: bool = False) -> list[Any]:
    """Split an answer of text-classification.

    Args:
        takes_pairs: the server takes a list of two texts for one pair, and answers with one list of its labels.
    """
    if isinstance(answer, Mapping) and isinstance(answer.get("data"), list):
        # A classify route beside OpenAI's: an element for each text, even for one.
        answer = answer["data"]
        if any(isinstance(part, Mapping) and ("index" in part or "probs" in part) for part in answer):
            return [_named(part, args) if "probs" in part else part for part in by_index(answer, n, "labels")]
        if len(answer) != n:
            miscounted(len(answer), n)
    if n == 1:
        return [unwrapped(answer)]
    rows = array(answer, _LABELS)
    if len(rows) == n and all(isinstance(row, list) for row in rows):
        return rows
    # The best label of each row, as one list, bare or inside another.
    flat = rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
    if len(flat) != n or not all(_is_label(one) for one in flat):
        miscounted(len(rows), n)
    # Labels that all differ could be those of one row. Scores tell nothing: those of several labels that may all be
    # true need not add up to 1.
    if takes_pairs or len({label_of(one["label"]) for one in flat}) == len(flat):
        refuse(answer, f"a list of labels for each of {n} inputs")
    return [[one] for one in (by_index(flat, n, "a label") if any("index" in one for one in flat) else flat)]


def _named(part: Mapping[str, Any], args: Arguments) -> list[dict[str, Any]]:
    """Return a row's labels from ``{"label", "probs", "num_classes"}``, in which only the best one has its name."""
    scores = [number(one, "a probability") for one in array(part.get("probs"), "a list of probabilities")]
    if not scores:
        refuse(part, "at least one probability")
    count = int64(part.get("num_classes"))
    if count is not None and count != len(scores):
        refuse(part, f"{count} probabilities")
    best = max(range(len(scores)), key=scores.__getitem__)
    label = part.get("label")
    named = {} if args.values.get("labels") or not isinstance(label, str) else {best: label}
    return [
        {"label": args.model.id2label.get(str(position)) or named.get(position, f"LABEL_{position}"), "score": score}
        for position, score in enumerate(scores)
    ]


#: Sums of a row's scores that show that they are probabilities of exclusive labels.
_SUM = (0.999, 1.001)


def applied(part: Any, function: str | None) -> Any:
    """Return a row's labels with ``function_to_apply`` applied to the model's own scores.

    Raises:
        SettingsError: the server gave probabilities, though it was asked for its own scores.
    """
    if function is None:
        return part
    labels = [mapping(one, _LABELS) for one in array(unwrapped(part), _LABELS)]
    scores = [number(one.get("score"), "a score") for one in labels]
    if len(scores) > 1 and all(0 <= one <= 1 for one in scores) and _SUM[0] <= sum(scores) <= _SUM[1]:
        if function == "softmax":
            return part
        raise SettingsError(
            f"function_to_apply = '{function}' has no effect at this server: it always returns probabilities",
            advice="Leave function_to_apply out",
        )
    return [{**one, "score": score} for one, score in zip(labels, FUNCTIONS[function](scores), strict=True)]


def _softmax(scores: Sequence[float]) -> list[float]:
    powers = [math.exp(one - max(scores)) for one in scores]
    return [one / sum(powers) for one in powers]


def _sigmoid(scores: Sequence[float]) -> list[float]:
    return [1 / (1 + math.exp(-one)) if one >= 0 else 1 - 1 / (1 + math.exp(one)) for one in scores]


#: ``function_to_apply`` → raw scores of one row → scores.
FUNCTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "none": list,
    "softmax": _softmax,
    "sigmoid": _sigmoid,
}


def with_function(split: Split) -> Split:
    """Return a split that applies ``function_to_apply`` to the raw scores that the request asked for."""

    def split_and_apply(answer: Any, n: int, args: Arguments) -> list[Any]:
        return [applied(part, args.parameters.get("function_to_apply")) for part in split(answer, n, args)]

    return split_and_apply


def split_zero_shot(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of zero-shot-classification: one list of labels is always one row's."""
    if n == 1:
        return [unwrapped(answer)]
    rows = array(answer, _LABELS)
    if len(rows) != n:
        miscounted(len(rows), n)
    if not all(isinstance(row, list) or (isinstance(row, Mapping) and "labels" in row) for row in rows):
        refuse(answer, f"a list of labels for each of {n} inputs")
    return rows


# --- lists and objects -----------------------------------------------------------------------


def split_lists(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer in which each row has a list of objects, which may be empty.

    Lists inside the only row's list belong to it: to the several blanks of one text.
    """
    if n == 1:
        return [unwrapped(answer)]
    rows = array(answer, f"a list for each of {n} inputs")
    if len(rows) == n and not all(isinstance(row, list) for row in rows):
        refuse(answer, f"a list for each of {n} inputs")
    return rows


def split_elements(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer with one element a row; that of a single row may be bare."""
    if n == 1 and not isinstance(answer, list):
        return [answer]
    return array(answer, f"an object for each of {n} inputs")


def split_spans(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of question-answering: with ``top_k``, each row has a list."""
    if n == 1:
        return [answer]
    rows = array(answer, f"an answer for each of {n} questions")
    wanted = int64(args.parameters.get("top_k"))
    if wanted is not None and wanted > 1 and not all(isinstance(row, list) for row in rows):
        refuse(answer, f"a list of answers for each of {n} questions")
    return rows


def split_generations(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of text-generation; a completions route says of each choice which prompt it belongs to."""
    if isinstance(answer, Mapping) and "choices" in answer:
        choices = choices_of(answer)
        refuse_failed(choices[0])
        if n > 1:
            return by_index(choices, n, "a choice")
        return [{**mapping(choices[0], "a choice"), "usage": answer.get("usage")}] if len(choices) == 1 else choices
    return split_elements(answer, n, args)


# --- numbers ---------------------------------------------------------------------------------


def split_vectors(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of feature-extraction, without a guess at how many rows it is for.

    ====================================  =====================  ==========================
    server                                one text               N texts
    ====================================  =====================  ==========================
    sentence-transformers                 dim, or 1 × dim        N × dim
    plain transformers                    tokens × dim, or       N × tokens × dim, or
                                          1 × tokens × dim       N × 1 × tokens × dim
    Inference Endpoints                   {"embeddings": …} of the above
    OpenAI's form                         {"data": [{"index", "embedding"}, …]}
    llama.cpp's own form                  [{"index", "embedding"}, …]
    ====================================  =====================  ==========================
    """
    if isinstance(answer, list) and any(isinstance(part, Mapping) and "embedding" in part for part in answer):
        answer = {"data": answer}
    if isinstance(answer, Mapping) and isinstance(answer.get("data"), list):
        parts = [part.get("embedding") for part in by_index(answer["data"], n, "an embedding")]
    else:
        if isinstance(answer, Mapping):
            answer = answer.get("embeddings", answer.get("embedding", answer))
        parts = array(answer, "a list of vectors")
        if n == 1:
            # Bare, wrapped, or the token vectors of the one text: all are this row's.
            parts = [parts[0] if len(parts) == 1 and isinstance(parts[0], (list, str)) else parts]
        elif any(not isinstance(part, (list, str)) for part in parts):
            refuse(answer, f"a vector for each of {n} inputs")
    if any(_is_null(part) for part in parts):
        raise InvalidAnswer(
            "the service sent nulls instead of a vector",
            advice="Run the query again; a server with half precision may need another dtype",
            retryable=n == 1,
            retry_limit=EMPTY_RETRIES,
        )
    if len({_dimensions(part) for part in parts if isinstance(part, list)}) > 1:
        refuse(answer, "vectors of one length")
    return parts


def _is_null(part: Any) -> bool:
    """Return whether a vector holds nulls, which servers write for numbers that are none."""
    return part is None or (isinstance(part, list) and bool(part) and part[0] is None)


def _dimensions(part: Any) -> int:
    """Return the length of a row's vector, or of its tokens' vectors."""
    while isinstance(part, list) and part and isinstance(part[0], list):
        part = part[0]
    return len(part)


def split_numbers(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer of sentence-similarity."""
    if isinstance(answer, Mapping):
        answer = answer.get("similarities", answer)
    return array(answer, f"a number for each of {n} sentences")


def split_ranking(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Assign scores to their documents: services give them best first, with ``index``."""
    what = f"a score for each of {n} documents"
    if isinstance(answer, Mapping):
        answer = array(next((answer[name] for name in ("scores", "results", "data") if name in answer), None), what)
    parts = array(answer, what)
    return parts if all(is_number(part) for part in parts) else by_index(parts, n, what)


def split_rows(answer: Any, n: int, args: Arguments) -> list[Any]:
    """Split an answer about the rows of one table."""
    what = f"a value for each of {n} rows"
    rows = array(answer, what)
    if len(rows) != n:
        miscounted(len(rows), n)
    if any(isinstance(row, list) for row in rows) and not all(isinstance(row, list) for row in rows):
        refuse(answer, what)
    return [one_element(row, what) for row in rows]


#: Task → the split that takes every form in which servers are known to answer it.
SPLITS: Mapping[str, Split] = {
    "text-classification": split_labels,
    "token-classification": split_lists,
    "question-answering": split_spans,
    "zero-shot-classification": split_zero_shot,
    "fill-mask": split_lists,
    "summarization": split_elements,
    "translation": split_elements,
    "text-generation": split_generations,
    "feature-extraction": split_vectors,
    "sentence-similarity": split_numbers,
    "text-ranking": split_ranking,
    "tabular-classification": split_rows,
    "tabular-regression": split_rows,
}

split_pairs_labels = partial(split_labels, takes_pairs=True)


def split_for(task: Task) -> Split:
    """Return the split of a task's answers; an answer to a request of one row is that row's."""
    return split_single if task.batching is Batching.ONE else SPLITS[task.name]
