"""Run the models of huggingface-inference-toolkit in transformers' pipelines, row by row, without a server.

Reads and writes what direct.py does. A value is what ``values_of`` in try_servers.py makes of a row of the result.
"""

from __future__ import annotations

import base64
import io
import json
import math
import sys
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from direct import ranks, vectors

#: Argument of this package → argument of a pipeline, where they differ.
NAMES: Mapping[str, Mapping[str, str]] = {
    "summarization": {"max_output_length": "max_length", "min_output_length": "min_length"},
    "translation": {
        "max_output_length": "max_length", "min_output_length": "min_length",
        "lang_input": "src_lang", "lang_output": "tgt_lang",
    },
    "text-generation": {"max_output_length": "max_new_tokens", "min_output_length": "min_new_tokens"},
    "feature-extraction": {"truncate": "truncation"},
    "automatic-speech-recognition": {"generation_parameters": "generate_kwargs"},
    "image-to-text": {"generation_parameters": "generate_kwargs", "max_output_length": "max_new_tokens"},
}  # fmt: skip
#: What this package does itself, or asks for in any case.
OWN = ("labels", "pooling", "normalize", "generate_parameters", "model_name")
LABELS = ("text-classification", "zero-shot-classification", "image-classification", "audio-classification")


def answers(task: str, model: str, rows: Sequence[Sequence[str]], using: Mapping[str, Any]) -> list[Any]:
    """Return a value for each row."""
    if Path(model, "modules.json").exists():
        own = {"normalize": False, **using}
        return similarities(model, rows) if task == "sentence-similarity" else list(vectors(model, rows, own))
    if task == "text-ranking":
        return list(ranks(model, rows, using))
    from transformers import pipeline

    names = NAMES.get(task, {})
    arguments = {names.get(name, name): value for name, value in using.items() if name not in OWN}
    arguments |= using.get("generate_parameters", {})
    if task == "text-classification":
        arguments.setdefault("top_k", None)
    if task == "text-generation":
        arguments = {"return_full_text": False, "do_sample": "temperature" in using, **arguments}
    if task == "token-classification":
        arguments.setdefault("aggregation_strategy", "simple")
    run = pipeline(task, model=model, device="cpu")
    return [value(task, run, row, arguments, using) for row in rows]


def value(task: str, run: Any, row: Sequence[str], arguments: Mapping[str, Any], using: Mapping[str, Any]) -> Any:
    """Run a pipeline on one row, and return the value."""
    if task == "question-answering":
        found = run(question=row[0], context=row[1], **arguments)
        best = found[0] if isinstance(found, list) else found
        return [best["answer"], {name: best[name] for name in ("score", "start", "end")}]
    if task == "visual-question-answering":
        ranked = sorted(run(medium(row[0]), row[1], **arguments), key=lambda one: -one["score"])
        return [ranked[0]["answer"], {"answers": [{name: one[name] for name in ("answer", "score")} for one in ranked]}]
    if task == "table-question-answering":
        found = run(query=row[0], table=json.loads(row[1]), **arguments)
        return [found.pop("answer"), {**found, "coordinates": [list(pair) for pair in found["coordinates"]]}]
    found = run(medium(row[0]), **arguments)
    if task in LABELS:
        if "labels" in found:
            return dict(zip(found["labels"], found["scores"], strict=True))
        found = found[0] if isinstance(found[0], list) else found
        own = dict(zip(run.model.config.id2label.values(), using.get("labels", ()), strict=False))
        return {own.get(one["label"], one["label"]): one["score"] for one in found}
    if task == "fill-mask":
        return {one["sequence"]: one["score"] for one in found}
    if task == "feature-extraction":
        return pooled(found[0], using)
    if task == "automatic-speech-recognition":
        chunks = [{**one, "timestamp": list(one["timestamp"])} for one in found.get("chunks", ())]
        return [found["text"], {"chunks": chunks} if chunks else {}]
    if task == "image-segmentation":
        ranked = sorted(found, key=lambda one: -(one["score"] or 0))
        return [{"label": one["label"], "score": one["score"], "mask": picture(one["mask"])} for one in ranked]
    if task == "object-detection":
        return [{name: one[name] for name in ("label", "score", "box")} for one in found]
    if task == "token-classification":
        return [{name: value for name, value in one.items() if name != "index"} for one in found]
    if isinstance(found, list) and len(found) == 1 and len(found[0]) == 1:
        return next(iter(found[0].values()))
    return found


def medium(cell: str) -> Any:
    """The image or the samples of a data URI; another text as it is."""
    kind, found, data = cell.partition(";base64,")
    if not found:
        return cell
    if kind.startswith("data:image"):
        from PIL import Image

        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    import numpy

    with wave.open(io.BytesIO(base64.b64decode(data))) as sound:
        return numpy.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype("float32") / 32768


def picture(image: Any) -> str:
    """The data URI of an image."""
    made = io.BytesIO()
    image.save(made, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(made.getvalue()).decode()}"


def pooled(tokens: Sequence[Sequence[float]], using: Mapping[str, Any]) -> Any:
    """The vectors of a text's tokens, or the one made of them."""
    if using.get("pooling") == "none":
        return tokens
    made = (
        list(tokens[0])
        if using.get("pooling") == "cls"
        else [sum(one) / len(tokens) for one in zip(*tokens, strict=True)]
    )
    length = math.hypot(*made) if using.get("normalize") else 1
    return [one / length for one in made]


def similarities(model: str, rows: Sequence[Sequence[str]]) -> list[Any]:
    """The cosines between two texts."""
    found = zip(*(vectors(model, [[row[at]] for row in rows], {"normalize": True}) for at in (0, 1)), strict=True)
    return [sum(one * other for one, other in zip(*pair, strict=True)) for pair in found]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    made = [answers(one["task"], one["model"], one["rows"], one["using"]) for one in asked]
    json.dump(made, sys.stdout, default=lambda number: number.item())  # NumPy's
