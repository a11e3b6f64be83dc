"""Fake models for images, audio, video and table rows."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..tasks import samples
from ..tasks.media import Media
from .fake_text import FakeModel, candidate_labels, likeness, ranked, shares, words
from .images import Region, colour_mask, colour_shares, find_regions, read_pixels


def data_of(inputs: Any) -> bytes:
    """Return the bytes of a request's medium: raw, as ``Media``, as base64, or as base64 in an object."""
    if isinstance(inputs, Media):
        return inputs.data
    if isinstance(inputs, (bytes, bytearray)):
        return bytes(inputs)
    if isinstance(inputs, Mapping):
        return data_of(inputs.get("image") or inputs.get("inputs") or b"")
    try:
        return base64.b64decode(str(inputs).rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return str(inputs).encode("utf-8", "replace")


def _scores(data: bytes, labels: Sequence[str]) -> dict[str, float]:
    """Return labels with scores that sum to 1 and follow from the bytes alone."""
    return shares({label: zlib.crc32(label.encode() + data) % 1000 / 250 for label in labels})


def classifier(*labels: str) -> FakeModel:
    """Make a fake model that scores the same labels for every file, by its bytes."""

    def answer(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        return ranked(_scores(data_of(inputs), labels), parameters.get("top_k"))

    return answer


def zero_shot_image(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The candidate labels, scored by the bytes."""
    return ranked(_scores(data_of(inputs), candidate_labels(parameters)))


def _regions(data: bytes) -> list[Region]:
    pixels = read_pixels(data)
    return find_regions(pixels) if pixels else []


def _found(label: str, score: float, box: Sequence[int]) -> dict[str, Any]:
    return {
        "label": label,
        "score": round(score, 6),
        "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
    }


def _random_boxes(data: bytes, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return each label once, in a box that follows from the bytes: for files that cannot be decoded."""
    corners = [zlib.crc32(data + bytes([number])) % 8 for number in range(len(labels))]
    return [
        _found(label, score, (corner, corner + 1, corner + 8, corner + 7))
        for corner, (label, score) in zip(corners, _scores(data, labels).items(), strict=True)
    ]


def object_detection(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The regions of one colour, by colour and shape; for a file that is no drawing, two boxes anywhere."""
    data = data_of(inputs)
    if read_pixels(data) is None:
        return _random_boxes(data, ("cat", "chair"))
    least = parameters.get("threshold") or 0
    return [_found(one.name, one.fit, one.box) for one in _regions(data) if one.fit >= least]


def zero_shot_detection(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Each candidate label once: on the region whose name is most like it, else anywhere."""
    data, labels = data_of(inputs), candidate_labels(parameters)
    found = _regions(data)
    if not found:
        return _random_boxes(data, labels)
    best = [max(found, key=lambda region, label=label: likeness(region.name, label)) for label in labels]  # type: ignore[misc]
    return [
        _found(label, (1 + likeness(region.name, label)) / 2, region.box)
        for label, region in zip(labels, best, strict=True)
    ]


def segmentation(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The colours of an image, scored by the share they cover; else the left half and the right half."""
    pixels = read_pixels(data_of(inputs))
    if pixels is None:
        return [
            {"label": label, "score": 0.5, "mask": samples.mask(left=left).base64}
            for label, left in (("left", True), ("right", False))
        ]
    return [
        {"label": name, "score": round(share, 6), "mask": samples.grey_png(colour_mask(pixels, name)).base64}
        for name, share in colour_shares(pixels).items()
    ]


def caption(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The size of the image in bytes."""
    return [{"generated_text": f"an image of {len(data_of(inputs))} bytes"}]


def image_answers(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The question's words as answers, scored by the bytes."""
    question = list(dict.fromkeys(words(str(inputs.get("question", ""))))) or ["nothing"]
    found = ranked(_scores(data_of(inputs), question[-3:]), parameters.get("top_k"))
    return [{"score": one["score"], "answer": one["label"]} for one in found]


def document_answers(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The same, with positions among the document's words."""
    return [{**one, "start": number, "end": number} for number, one in enumerate(image_answers(inputs, parameters))]


def depth(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """An image that follows from the bytes, inside an object."""
    return {"predicted_depth": [[0.0]], "depth": samples.png(data_of(inputs)).base64}


def image_to_image(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """An image that follows from image and prompt."""
    return samples.png(data_of(inputs) + str(parameters.get("prompt", "")).encode("utf-8", "replace"))


def image_to_video(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """A video that follows from image and prompt."""
    return samples.avi(data_of(inputs) + str(parameters.get("prompt", "")).encode("utf-8", "replace"))


def text_to_image(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """An image that follows from the text and the seed."""
    return samples.png(_seed(inputs, parameters))


def text_to_video(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """A video that follows from the text and the seed."""
    return samples.avi(_seed(inputs, parameters))


def text_to_speech(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """A tone that follows from the text."""
    return samples.tone(_seed(inputs, parameters))


def _seed(inputs: Any, parameters: Mapping[str, Any]) -> bytes:
    return f"{inputs}|{parameters.get('seed', '')}".encode("utf-8", "replace")


def transcript(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The size of the audio in bytes, in one chunk if timestamps are requested."""
    text = f"a sound of {len(data_of(inputs))} bytes"
    chunks = {"chunks": [{"text": text, "timestamp": [0.0, None]}]} if parameters.get("return_timestamps") else {}
    return {"text": text, **chunks}


def separated(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """Two tones that follow from the bytes."""
    data = data_of(inputs)
    return [
        {"label": label, "blob": samples.tone(data + label.encode()).base64,
         "content-type": "audio/wav"}
        for label in ("source_0", "source_1")
    ]  # fmt: skip


# --- tables ----------------------------------------------------------------------------------


def _table_rows(inputs: Any) -> list[list[str]]:
    columns = list((inputs.get("data") or {}).values())
    return [[str(cell) for cell in cells] for cells in zip(*columns, strict=True)]


def tabular_classification(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """0 or 1, by the cells of the row."""
    return [zlib.crc32("|".join(cells).encode("utf-8", "replace")) % 2 for cells in _table_rows(inputs)]


def _amount(cell: str) -> float:
    try:
        amount = float(cell)
    except ValueError:
        return float(len(cell))
    return amount if math.isfinite(amount) else 0.0


def tabular_regression(inputs: Any, parameters: Mapping[str, Any]) -> Any:
    """The mean of a row's numbers; a text counts as its length."""
    return [round(sum(map(_amount, cells)) / len(cells), 6) for cells in _table_rows(inputs)]
