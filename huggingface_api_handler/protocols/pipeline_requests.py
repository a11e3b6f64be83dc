"""Requests of servers that run pipelines: ``{"inputs": …, "parameters": {…}}``, or the bytes of a medium."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import HuggingFaceError, InvalidInput
from ..tasks.answers import MASKS
from ..tasks.tabular import canonical_table, cell_text
from ..tasks.task import EMPTY, Arguments, ModelFacts, Row, Task
from .base import Call, Encoder, Fields, Learned

#: More labels than most models have, so that all of them come.
ALL_LABELS = 100
#: Tags of models that read a text and write another; what they write holds no prompt.
WRITES_APART = "text2text-generation"
_WRITERS = frozenset({WRITES_APART, "t5", "mt5", "umt5", "bart", "mbart", "pegasus", "led", "longt5"})


def texts(rows: Sequence[Row]) -> Any:
    """Return the first input of one row bare, of several as a list."""
    return rows[0][0] if len(rows) == 1 else [row[0] for row in rows]


def options(args: Arguments) -> Mapping[str, Any]:
    """Return the fields beside ``inputs`` that hold the user's options."""
    return {"options": dict(args.options)} if args.options else EMPTY


def _call(inputs: Any, args: Arguments, fields: Fields, *, accept: str = "application/json", **defaults: Any) -> Call:
    return Call(inputs, {**defaults, **fields.parameters}, {**fields.root, **options(args)}, accept=accept)


def text_encoder(*, accept: str = "application/json", **defaults: Any) -> Encoder:
    """Make the encoder of a task whose ``inputs`` are one column's texts; ``defaults`` are parameters."""
    return lambda rows, args, fields: _call(texts(rows), args, fields, accept=accept, **defaults)


def media_encoder(*, accept: str = "application/json") -> Encoder:
    """Make the encoder of a task with one medium, and maybe a prompt."""

    def encode(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
        row = rows[0]
        prompt = {"prompt": row[1]} if len(row) > 1 and row[1] is not None else {}
        root = {**fields.root, **options(args)}
        return Call(media=row[0], parameters={**fields.parameters, **prompt}, root=root, accept=accept)

    return encode


def encode_classification(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, with a request for all labels: without ``top_k`` some servers give one, and mix the rows in one list."""
    return _call(texts(rows), args, fields, top_k=max(ALL_LABELS, len(args.model.id2label)))


def encode_question(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One question with its context, or two lists of the same length."""
    if len(rows) == 1:
        return _call({"question": rows[0][0], "context": rows[0][1]}, args, fields)
    inputs = {"question": [row[0] for row in rows], "context": [row[1] for row in rows]}
    return _call(inputs, args, fields)


def masked(text: str, mask: str | None) -> str:
    """Return the text with the model's own blank instead of another model's.

    Raises:
        InvalidInput: the text has no blank.
    """
    if mask is None or mask in text:
        return text
    for other in MASKS:
        if other in text:
            return text.replace(other, mask)
    raise InvalidInput(f"the text has no blank to fill: write {mask} where the word is missing")


def encode_masked(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts with the model's own blank."""
    return _call(texts([(masked(row[0], args.model.mask_token),) for row in rows]), args, fields)


def knows_one_pair(model: ModelFacts) -> bool:
    """Return whether a translation model is made for one pair of languages, and takes no names of them."""
    return "marian" in model.tags or "opus-mt-" in (model.id or "")


def encode_translation(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Texts, with their languages for models that know several; both or neither, as the service wants it."""
    source, target = args.values.get("lang_input"), args.values.get("lang_output")
    if source and target and not knows_one_pair(args.model):
        return _call(texts(rows), args, fields, src_lang=source, tgt_lang=target)
    return _call(texts(rows), args, fields)


def writes_apart(model: ModelFacts) -> bool:
    """Return whether the model writes its output apart from the prompt, and knows no ``return_full_text``."""
    return model.pipeline_tag == WRITES_APART or not _WRITERS.isdisjoint(model.tags)


def encode_generation(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Prompts, with a request for what is new only, since some servers repeat the prompt.

    These servers take no temperature of 0, by which people ask for the most likely text.
    """
    fields.parameters.pop("stream", None)
    if fields.parameters.get("temperature") == 0:
        del fields.parameters["temperature"]
        fields.parameters["do_sample"] = False
    defaults: dict[str, Any] = {} if writes_apart(args.model) else {"return_full_text": False}
    return _call(texts(rows), args, fields, **defaults)


def encode_vectors(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Always a list: a matrix in answer to a bare text may be one vector, or the vectors of its tokens."""
    return _call([row[0] for row in rows], args, fields)


def encode_similarity(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One source with all the sentences it is compared with."""
    return _call({"source_sentence": rows[0][0], "sentences": [row[1] for row in rows]}, args, fields)


def encode_ranking(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """One query with all its documents."""
    return _call({"query": rows[0][0], "texts": [row[1] for row in rows]}, args, fields)


def encode_image_question(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """An image with its question."""
    image, question = rows[0]
    return _call({"image": image.base64, "question": question}, args, fields)


def encode_table_question(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """A question with its table."""
    query, table = rows[0]
    return _call({"query": query, "table": json.loads(canonical_table(table))}, args, fields)


def encode_rows(rows: Sequence[Row], args: Arguments, fields: Fields) -> Call:
    """Return all rows as one table, column by column."""
    records = [dict(row[0]) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    data = {str(name): [cell_text(record.get(name)) for record in records] for name in names}
    return _call({"data": data}, args, fields)


# --- refusals --------------------------------------------------------------------------------

#: The words of transformers' pipeline.
_NO_MASK = re.compile(r"No mask_token \(\s*(\S+?)\s*\) found")


def learn(task: Task, error: HuggingFaceError, call: Call, known: Learned) -> Learned | None:
    """Return what the refusal of a pipeline tells: its blank, or which form of request it takes.

    A request with ``return_full_text`` of ``False`` has it from this package, not from the user.
    """
    blank = _NO_MASK.search(error.message)
    if blank is not None:
        return replace(known, mask_token=blank[1]) if blank[1] != known.mask_token else None
    if "return_full_text" in error.message and call.parameters.get("return_full_text") is False:
        return None if known.writes_apart else replace(known, writes_apart=True)
    is_refused_type = error.status == 415 or "content type" in error.message.lower()
    if call.media is not None and is_refused_type and call.media.type not in known.text_forms:
        return replace(known, text_forms=known.text_forms | {call.media.type})
    return None
