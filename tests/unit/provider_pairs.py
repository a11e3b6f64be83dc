"""What huggingface_hub's providers are asked and what they answer: a row for each pair of provider and task.

Texts in the rows stand for what differs from one row of the query to the other:

=============  =============================================================================
``@text``      the row's text (of question and context, or of two texts: the first, ``@other``)
``@medium``    the row's medium, as base64
``@uri``       the same, as a ``data:`` URI of its own type
``@answer``    the text that the row gets
``@number``    a number that the row gets
``@made``      the medium that the row gets, as base64
``@link``      where that medium lies, at somebody else's server
``@i``         the row's number
=============  =============================================================================
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huggingface_api_handler.tasks import samples
from huggingface_api_handler.tasks.media import Media
from huggingface_api_handler.tasks.task import Kind

MODEL = "org/name"
#: What every provider calls the model.
ID = "acme/name-1"
#: An organisation that pays.
PAYER = "acme"

PICTURES = (samples.png(b"asked 0"), samples.png(b"asked 1"))
#: By the type that their bytes show.
TONES = tuple(Media(samples.tone(seed).data, "audio/x-wav") for seed in (b"asked 0", b"asked 1"))
MADE: Mapping[Kind, tuple[Media, Media]] = {
    Kind.IMAGE: (samples.png(b"made 0"), samples.png(b"made 1")),
    Kind.AUDIO: (samples.tone(b"made 0"), samples.tone(b"made 1")),
    Kind.VIDEO: (samples.avi(b"made 0"), samples.avi(b"made 1")),
}
TEXTS = ("a hut by the sea", "a red bicycle")
OTHERS = ("it stands on a cliff", "it has no bell")


@dataclass(frozen=True)
class Question:
    """Two rows of a task.

    Attributes:
        columns: argument → column's cells.
        using: other arguments.
        makes: the kind of medium that a row gets.
        value: what the target holds, if no medium.
    """

    columns: Mapping[str, tuple[Any, ...]]
    using: Mapping[str, Any] = field(default_factory=dict)
    makes: Kind | None = None
    value: Any = "@answer"


def _text(**using: Any) -> Question:
    return Question({"input_column": TEXTS}, using)


def _media(cells: tuple[Media, ...], **using: Any) -> Question:
    return Question({"input_column": cells}, using)


_CANDIDATES = {"candidate_labels": ["answer 0", "answer 1", "none"]}
_ENTITY = {"entity_group": "PER", "score": 0.9, "word": "@answer", "start": 0, "end": 3}
_BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
_FOUND = {"label": "@answer", "score": 0.9, "box": _BOX}
_TABLES = tuple(f'{{"what": ["{text}"]}}' for text in TEXTS)
_MASKED = tuple(f"{text} [MASK]" for text in TEXTS)

QUESTIONS: Mapping[str, Question] = {
    "text-classification": _text(top_k=2),
    "token-classification": Question({"input_column": TEXTS}, value=[_ENTITY]),
    "question-answering": Question({"question_column": TEXTS, "context_column": OTHERS}),
    "table-question-answering": Question({"question_column": TEXTS, "table_column": _TABLES}),
    "zero-shot-classification": _text(**_CANDIDATES),
    "fill-mask": Question({"input_column": _MASKED}, {"top_k": 1}),
    "summarization": _text(max_output_length=9),
    "translation": _text(lang_input="en_XX", lang_output="fr_XX"),
    "text-generation": _text(max_new_tokens=5, temperature="0.5"),
    "chat-completion": _text(temperature=0),
    "feature-extraction": Question({"input_column": TEXTS}, {"dimensions": 2}, value=["@number", 1.0]),
    "sentence-similarity": Question({"input_column": TEXTS, "input_column2": OTHERS}, value="@number"),
    "image-classification": _media(PICTURES),
    "object-detection": Question({"input_column": PICTURES}, {"threshold": "0.5"}, value=[_FOUND]),
    "image-segmentation": Question(
        {"input_column": PICTURES}, {"threshold": "0.5"},
        value=[{"label": "mask", "score": None, "mask": "data:image/png;base64,@made"}],
    ),
    "image-to-text": _media(PICTURES),
    "zero-shot-image-classification": _media(PICTURES, **_CANDIDATES),
    "visual-question-answering": Question({"input_column": PICTURES, "question_column": TEXTS}),
    "document-question-answering": Question({"input_column": PICTURES, "question_column": TEXTS}),
    "image-to-image": Question(
        {"input_column": PICTURES, "prompt_column": TEXTS}, {"num_inference_steps": 3}, Kind.IMAGE
    ),
    "automatic-speech-recognition": _media(TONES, parameters={"language": "en"}),
    "audio-classification": _media(TONES),
    "audio-to-audio": Question(
        {"input_column": TONES}, value=[{"label": "one", "blob": "data:audio/x-wav;base64,@made"}]
    ),
    "text-to-image": Question({"input_column": TEXTS}, {"num_inference_steps": 3}, Kind.IMAGE),
    "text-to-speech": Question({"input_column": TEXTS}, {"parameters": {"voice": "kim"}}, Kind.AUDIO),
    "text-to-video": Question({"input_column": TEXTS}, {"num_inference_steps": 3}, Kind.VIDEO),
    "image-to-video": Question(
        {"input_column": PICTURES, "prompt_column": TEXTS}, {"num_inference_steps": 3}, Kind.VIDEO
    ),
    "tabular-classification": Question({"input_columns": TEXTS}),
}  # fmt: skip
#: What the answer @made and @link are about where the task makes no medium of its own.
PARTS: Mapping[str, Kind] = {"image-segmentation": Kind.IMAGE, "audio-to-audio": Kind.AUDIO}


@dataclass(frozen=True)
class Raw:
    """Bytes that travel as they are: the row's medium there, the one that it gets back."""

    type: str


@dataclass(frozen=True)
class ArgumentSpec:
    """A multipart form: these fields, and the row's medium as ``file``."""

    fields: Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """One pair of provider and task.

    Attributes:
        path: what is asked for with POST.
        body: of the request.
        said: the answer to it.
        then: path → what is answered there with GET, one after the other.
        status: of the first answer.
        headers: of the requests, beside those that all have.
    """

    path: str
    body: Any
    said: Any
    then: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


# --- chats: the router finds the provider by the model's name ------------------------------------


def _chat(provider: str) -> Pair:
    return Pair(
        "/hf-inference/v1/chat/completions",
        {
            "model": f"{MODEL}:{provider}",
            "messages": [{"role": "user", "content": "@text"}],
            "temperature": 0,
        },
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": ID,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "@answer"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        },
    )  # fmt: skip


_CHATS = (
    "baseten", "cerebras", "clarifai", "cohere", "deepinfra", "featherless-ai", "fireworks-ai", "groq", "hf-inference",
    "hyperbolic", "nebius", "novita", "nscale", "ovhcloud", "publicai", "sambanova", "scaleway", "together", "zai-org",
)  # fmt: skip


# --- OpenAI's routes ------------------------------------------------------------------------------


def _completion(path: str) -> Pair:
    return Pair(
        path,
        {"prompt": "@text", "max_tokens": 5, "temperature": 0.5, "model": ID},
        {"id": "t1", "choices": [{"index": 0, "text": "@answer", "finish_reason": "length", "seed": 7}]},
    )


def _vectors(path: str, **body: Any) -> Pair:
    asked = {"input": ["@text"], "model": ID, "dimensions": 2}
    said = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": ["@number", 1.0]}], "model": ID}
    return Pair(path, {**asked, **body}, said)


def _pictures(path: str, **body: Any) -> Pair:
    said = {"created": 1, "data": [{"b64_json": "@made"}]}
    return Pair(path, {"prompt": "@text", "model": ID, **body}, said)


# --- queues ---------------------------------------------------------------------------------------

_QUEUE = {"request_id": "job-@i", "status": "IN_QUEUE", "queue_position": 0,
          "response_url": f"https://queue.fal.run/{ID}/requests/job-@i"}  # fmt: skip


def _fal(body: Any, made: Any) -> Pair:
    there = f"/fal-ai/{ID}/requests/job-@i"
    return Pair(
        f"/fal-ai/{ID}?_subdomain=queue",
        body,
        _QUEUE,
        {
            f"{there}/status?_subdomain=queue": ({"status": "IN_QUEUE"}, {"status": "IN_PROGRESS"},
                                                 {"status": "COMPLETED"}),
            f"{there}?_subdomain=queue": (made,),
        },
    )  # fmt: skip


def _replicate(given: Any, output: Any) -> Pair:
    """The prediction is not ready within the time that the request is held."""
    job = {
        "id": "job-@i",
        "model": ID,
        "error": None,
        "urls": {"get": "https://api.replicate.com/v1/predictions/job-@i"},
    }
    return Pair(
        f"/replicate/v1/models/{ID}/predictions",
        {"input": given},
        {**job, "status": "starting", "output": None},
        {
            "/replicate/v1/predictions/job-@i": (
                {**job, "status": "processing", "output": None}, {**job, "status": "succeeded", "output": output},
            )
        },
        201,
        {"prefer": "wait=55"},
    )  # fmt: skip


def _wavespeed(body: Any) -> Pair:
    job = {"id": "job-@i", "urls": {"get": "https://api.wavespeed.ai/api/v3/predictions/job-@i/result"}, "error": ""}
    return Pair(
        f"/wavespeed/api/v3/{ID}",
        body,
        {"code": 200, "message": "success", "data": {**job, "status": "created", "outputs": []}},
        {
            "/wavespeed/api/v3/predictions/job-@i/result": (
                {"code": 200, "data": {**job, "status": "processing", "outputs": []}},
                {"code": 200, "data": {**job, "status": "completed", "outputs": ["@link"]}},
            )
        },
    )  # fmt: skip


def _together_video(body: Any) -> Pair:
    return Pair(
        "/together/v2/videos",
        {"model": ID, "steps": 3, **body},
        {"id": "job-@i", "object": "video", "status": "queued"},
        {
            "/together/v2/videos/job-@i": (
                {"id": "job-@i", "status": "in_progress"},
                {"id": "job-@i", "status": "completed", "outputs": {"cost": 0.1, "video_url": "@link"}},
            )
        },
    )


def _image(body: Any) -> Any:
    """A picture with a wish, as providers take it."""
    return {"prompt": "@text", "num_inference_steps": 3, **body}


# --- hf-inference ---------------------------------------------------------------------------------

_HF = f"/hf-inference/models/{MODEL}"


def _hf(inputs: Any, said: Any, parameters: Mapping[str, Any] | None = None, route: str = "") -> Pair:
    body = {"inputs": inputs} if parameters is None else {"inputs": inputs, "parameters": parameters}
    return Pair(_HF + route, body, said)


def _scored(label: str) -> list[dict[str, Any]]:
    return [{"label": "none", "score": 0.1}, {"label": label, "score": 0.9}]


_ASKED = {"image": "@medium", "question": "@text"}
_RAW_PICTURE = Pair(_HF, Raw("image/png"), _scored("@answer"))

HF_INFERENCE: Mapping[str, Pair] = {
    "text-classification": _hf("@text", [_scored("@answer")], {"top_k": 2}),
    "token-classification": _hf("@text", [_ENTITY], {"aggregation_strategy": "simple"}),
    "question-answering": _hf({"question": "@text", "context": "@other"}, {"answer": "@answer", "score": 0.9}),
    "table-question-answering": _hf({"query": "@text", "table": {"what": ["@text"]}},
                                    {"answer": "@answer", "coordinates": [[0, 0]], "cells": ["@text"]}),
    "zero-shot-classification": _hf("@text", _scored("@answer"), _CANDIDATES),
    "fill-mask": _hf("@text [MASK]", [{"sequence": "@answer", "score": 0.9, "token_str": "x"}], {"top_k": 1}),
    "summarization": _hf("@text", [{"summary_text": "@answer"}], {"max_length": 9}),
    "translation": _hf("@text", [{"translation_text": "@answer"}], {"src_lang": "en_XX", "tgt_lang": "fr_XX"}),
    "text-generation": _hf("@text", [{"generated_text": "@answer"}],
                           {"return_full_text": False, "max_new_tokens": 5, "temperature": 0.5}),
    "feature-extraction": Pair(f"{_HF}/pipeline/feature-extraction", {"inputs": ["@text"], "dimensions": 2},
                               [["@number", 1.0]]),
    "sentence-similarity": _hf({"source_sentence": "@text", "sentences": ["@other"]}, ["@number"],
                               route="/pipeline/sentence-similarity"),
    "image-classification": _RAW_PICTURE,
    "object-detection": _hf("@medium", [_FOUND], {"threshold": 0.5}),
    "image-segmentation": _hf("@medium", [{"label": "mask", "mask": "@made"}], {"threshold": 0.5}),
    "image-to-text": Pair(_HF, Raw("image/png"), [{"generated_text": "@answer"}]),
    "zero-shot-image-classification": _hf("@medium", _scored("@answer"), _CANDIDATES),
    "visual-question-answering": _hf(_ASKED, [{"score": 0.9, "answer": "@answer"}]),
    "document-question-answering": _hf(_ASKED, [{"score": 0.9, "answer": "@answer", "start": 4, "end": 4}]),
    "image-to-image": _hf("@medium", Raw("image/png"), {"prompt": "@text", "num_inference_steps": 3}),
    "automatic-speech-recognition": _hf("@medium", {"text": "@answer"}, {"language": "en"}),
    "audio-classification": Pair(_HF, Raw("audio/x-wav"), _scored("@answer")),
    "audio-to-audio": Pair(_HF, Raw("audio/x-wav"), [{"label": "one", "blob": "@made", "content-type": "audio/wav"}]),
    "text-to-image": _hf("@text", Raw("image/png"), {"num_inference_steps": 3}),
    "text-to-speech": _hf("@text", Raw("audio/x-wav"), {"voice": "kim"}),
    "tabular-classification": _hf({"data": {"input_columns": ["@text"]}}, ["@answer"]),
}  # fmt: skip


# --- all of them ----------------------------------------------------------------------------------

_SPOKEN = {"text": "@answer", "segments": [{"id": 0, "text": "@answer", "start": 0.0, "end": 1.5}]}
_PREDICTED = {"prompt": "@text", "num_inference_steps": 3}

PAIRS: Mapping[tuple[str, str], Pair] = {
    **{(provider, "conversational"): _chat(provider) for provider in _CHATS},
    **{("hf-inference", task): pair for task, pair in HF_INFERENCE.items()},
    ("black-forest-labs", "text-to-image"): Pair(
        f"/black-forest-labs/v1/{ID}", {"prompt": "@text", "steps": 3},
        {"id": "job-@i", "polling_url": "@far/v1/get_result?id=job-@i"},
        {"@far/v1/get_result?id=job-@i": ({"id": "job-@i", "status": "Pending", "result": None},
                                          {"id": "job-@i", "status": "Ready", "result": {"sample": "@link"}})},
    ),
    ("deepinfra", "automatic-speech-recognition"): Pair(
        "/deepinfra/v1/openai/audio/transcriptions", ArgumentSpec({"language": "en", "model": ID}), _SPOKEN
    ),
    ("deepinfra", "feature-extraction"): _vectors("/deepinfra/v1/openai/embeddings"),
    ("deepinfra", "text-generation"): _completion("/deepinfra/v1/openai/completions"),
    ("deepinfra", "text-to-speech"): Pair(
        "/deepinfra/v1/openai/audio/speech", {"input": "@text", "voice": "kim", "model": ID}, Raw("audio/x-wav")
    ),
    ("fal-ai", "automatic-speech-recognition"): Pair(
        f"/fal-ai/{ID}", {"audio_url": "data:audio/mpeg;base64,@medium", "language": "en"},
        {"text": "@answer", "chunks": [{"timestamp": [0.0, 1.5], "text": "@answer"}]},
    ),
    ("fal-ai", "image-segmentation"): _fal(
        {"image_url": "@uri", "threshold": 0.5, "sync_mode": True},
        {"image": {"url": "data:image/png;base64,@made", "content_type": "image/png"}},
    ),
    ("fal-ai", "image-to-image"): _fal(
        _image({"image_url": "@uri", "image_urls": ["@uri"]}), {"images": [{"url": "@link", "width": 16}], "seed": 7}
    ),
    ("fal-ai", "image-to-video"): _fal(_image({"image_url": "@uri"}), {"video": {"url": "@link"}}),
    ("fal-ai", "text-to-image"): Pair(
        f"/fal-ai/{ID}", {"prompt": "@text", "num_inference_steps": 3},
        {"images": [{"url": "@link", "content_type": "image/png"}], "has_nsfw_concepts": [False], "prompt": "@text"},
    ),
    ("fal-ai", "text-to-speech"): Pair(
        f"/fal-ai/{ID}", {"text": "@text", "voice": "kim"}, {"audio": {"url": "@link", "content_type": "audio/wav"}}
    ),
    ("fal-ai", "text-to-video"): _fal(_PREDICTED, {"video": {"url": "@link", "file_size": 9}, "seed": 7}),
    ("featherless-ai", "text-generation"): _completion("/featherless-ai/v1/completions"),
    ("hyperbolic", "text-to-image"): Pair(
        "/hyperbolic/v1/images/generations",
        {"prompt": "@text", "model_name": ID, "steps": 3, "width": 512, "height": 512},
        {"images": [{"image": "@made"}]},
    ),
    ("nebius", "feature-extraction"): Pair("/nebius/v1/embeddings", {"input": ["@text"], "model": ID},
                                           _vectors("").said),
    ("nebius", "text-generation"): _completion("/nebius/v1/completions"),
    ("nebius", "text-to-image"): _pictures("/nebius/v1/images/generations", num_inference_steps=3,
                                           response_format="b64_json"),
    ("novita", "text-generation"): _completion("/novita/v3/openai/completions"),
    ("novita", "text-to-video"): Pair(f"/novita/v3/hf/{ID}", _PREDICTED, {"video": {"video_url": "@link"}}),
    ("nscale", "text-to-image"): _pictures("/nscale/v1/images/generations", response_format="b64_json"),
    ("replicate", "automatic-speech-recognition"): _replicate(
        {"audio": "@uri", "language": "en"}, {"transcription": "@answer", "segments": [], "translation": None}
    ),
    ("replicate", "image-to-image"): _replicate(
        _image({"image": "@uri", "images": ["@uri"], "input_image": "@uri", "input_images": ["@uri"]}), "@link"
    ),
    ("replicate", "text-to-image"): _replicate(_PREDICTED, ["@link"]),
    ("replicate", "text-to-speech"): _replicate({"text": "@text", "voice": "kim"}, "@link"),
    ("replicate", "text-to-video"): _replicate(_PREDICTED, "@link"),
    ("sambanova", "feature-extraction"): _vectors("/sambanova/v1/embeddings"),
    ("scaleway", "feature-extraction"): _vectors("/scaleway/v1/embeddings"),
    ("together", "feature-extraction"): _vectors("/together/v1/embeddings"),
    ("together", "image-to-image"): _pictures(
        "/together/v1/images/generations", reference_images=["@uri"], response_format="base64", steps=3
    ),
    ("together", "image-to-video"): _together_video(
        {"prompt": "@text", "frame_images": [{"input_image": "@uri", "frame": "first"}]}
    ),
    ("together", "text-generation"): _completion("/together/v1/completions"),
    ("together", "text-to-image"): _pictures("/together/v1/images/generations", response_format="base64", steps=3),
    ("together", "text-to-speech"): Pair(
        "/together/v1/audio/speech", {"input": "@text", "model": ID, "voice": "kim"}, Raw("audio/wav")
    ),
    ("together", "text-to-video"): _together_video({"prompt": "@text"}),
    ("wavespeed", "image-to-image"): _wavespeed(_image({"image": "data:image/jpeg;base64,@medium"})),
    ("wavespeed", "image-to-video"): _wavespeed(_image({"image": "data:image/jpeg;base64,@medium"})),
    ("wavespeed", "text-to-image"): _wavespeed(_PREDICTED),
    ("wavespeed", "text-to-video"): _wavespeed(_PREDICTED),
    ("zai-org", "text-to-image"): Pair(
        "/zai-org/api/paas/v4/async/images/generations", {"model": ID, "prompt": "@text", "num_inference_steps": 3},
        {"id": "job-@i", "model": ID, "request_id": "r", "task_status": "PROCESSING"},
        {"/zai-org/api/paas/v4/async-result/job-@i": (
            {"id": "job-@i", "task_status": "PROCESSING"},
            {"id": "job-@i", "task_status": "SUCCESS", "image_result": [{"url": "@link"}]},
        )},
        headers={"accept-language": "en-US,en", "x-source-channel": "hugging_face"},
    ),
}  # fmt: skip

#: Pairs that cannot be served, with what the refusal must say.
REFUSED: Mapping[tuple[str, str], str] = {
    ("openai", "conversational"): "Hugging Face passes nothing on to OpenAI",
    ("hyperbolic", "text-generation"): "hyperbolic takes chats only",
}


def filled(template: Any, task: str, row: int, far: str) -> Any:
    """Return a template with what belongs to a row in the places of the texts that stand for it.

    Args:
        far: URL of somebody else's server.
    """
    if isinstance(template, dict):
        return {filled(name, task, row, far): filled(part, task, row, far) for name, part in template.items()}
    if isinstance(template, (list, tuple)):
        return [filled(part, task, row, far) for part in template]
    if not isinstance(template, str):
        return template
    if template == "@number":
        return row + 0.5
    cells = QUESTIONS[task].columns.get("input_column", TEXTS)
    medium = cells[row] if isinstance(cells[row], Media) else PICTURES[row]
    kind = QUESTIONS[task].makes or PARTS.get(task)
    made = base64.b64encode(MADE[kind][row].data).decode() if kind else ""
    known = {
        "@text": TEXTS[row], "@other": OTHERS[row], "@medium": medium.base64, "@uri": medium.data_uri,
        "@answer": f"answer {row}", "@made": made, "@link": f"{far}/made-{row}", "@far": far, "@i": str(row),
    }  # fmt: skip
    for name, value in known.items():
        template = template.replace(name, value)
    return template
