"""Which task a request for a model outside the catalogue is about: by what it holds, then by the model's name."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from ..tasks.media import Media
from .fake_text import MASK

#: Fields of ``inputs`` (or of the body, if it has no ``inputs``) → the only task that has them.
_FIELDS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"messages"}), "chat-completion"),
    (frozenset({"question", "context"}), "question-answering"),
    (frozenset({"query", "table"}), "table-question-answering"),
    (frozenset({"question", "table"}), "table-question-answering"),
    (frozenset({"source_sentence", "sentences"}), "sentence-similarity"),
    (frozenset({"query", "texts"}), "text-ranking"),
)
#: Parameters of a request about text → the only task that has them.
_PARAMETERS: Mapping[str, str] = {
    "candidate_labels": "zero-shot-classification",
    "aggregation_strategy": "token-classification",
    "src_lang": "translation",
    "tgt_lang": "translation",
    "return_full_text": "text-generation",
    "max_new_tokens": "text-generation",
    "top_k": "text-classification",
    "function_to_apply": "text-classification",
}

#: What a request holds → the tasks that such a request may be about, each with what the name of a model for it holds.
#: The last one without a pattern is the usual task of such requests.
_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "text": (
        ("opus-mt|nllb|mbart|m2m100|translat", "translation"),
        ("bart|pegasus|t5|summar", "summarization"),
        ("tts|speech|kokoro|bark", "text-to-speech"),
        ("t2v|video", "text-to-video"),
        ("flux|diffusion|sdxl|t2i", "text-to-image"),
    ),
    "image": (
        ("i2v|video", "image-to-video"),
        ("kontext|pix2pix|edit", "image-to-image"),
        ("detr|yolo|detect", "object-detection"),
        ("former-b|mask2former|segment", "image-segmentation"),
        ("blip|caption", "image-to-text"),
        ("depth|dpt", "depth-estimation"),
        ("vit|resnet|convnext|swin|class", "image-classification"),
    ),
    "image and labels": (("owl|dino|detect", "zero-shot-object-detection"), ("", "zero-shot-image-classification")),
    "image and question": (("layoutlm|donut|doc", "document-question-answering"), ("", "visual-question-answering")),
    "audio": (
        ("ast-|class|superb", "audio-classification"),
        ("sepformer|demucs", "audio-to-audio"),
        ("", "automatic-speech-recognition"),
    ),
    "video": (("", "video-classification"),),
    "rows": (("regress", "tabular-regression"), ("", "tabular-classification")),
}


def guess(model_id: str, document: Mapping[str, Any] | Media, accept: str) -> str | None:
    """Return the task that a request is about, ``None`` if neither the request nor the model's name tells.

    Args:
        document: the body, parsed.
        accept: the media type that the client wants.
    """
    if isinstance(document, Media):
        return _by_name(model_id, document.type.partition("/")[0])
    inputs = document.get("inputs")
    fields = inputs if isinstance(inputs, Mapping) else document
    for names, task in _FIELDS:
        if names <= set(fields):
            return task
    parameters = document.get("parameters")
    named = parameters if isinstance(parameters, Mapping) else {}
    if isinstance(inputs, Mapping):
        return _by_name(model_id, "rows" if "data" in inputs else "image and question")
    medium = _medium(inputs)
    if medium is not None:
        return _by_name(model_id, f"{medium} and labels" if "candidate_labels" in named else medium)
    by_parameter = next((task for name, task in _PARAMETERS.items() if name in named), None)
    if by_parameter is not None:
        return by_parameter
    if MASK.search(str(inputs)):
        return "fill-mask"
    return "text-to-image" if accept.startswith("image/") else _by_name(model_id, "text")


def _medium(inputs: Any) -> str | None:
    """Return ``image``, ``audio`` or ``video`` if ``inputs`` is a file as base64."""
    import filetype

    try:
        data = base64.b64decode(inputs, validate=True) if isinstance(inputs, str) else b""
    except (binascii.Error, ValueError):
        return None
    kind = filetype.guess(data) if data else None
    found = kind.mime.partition("/")[0] if kind else None
    return found if found in ("image", "audio", "video") else None


def _by_name(model_id: str, holds: str) -> str | None:
    name = model_id.rpartition("/")[2].lower()
    return next((task for pattern, task in _NAMES.get(holds, ()) if re.search(pattern, name)), None)
