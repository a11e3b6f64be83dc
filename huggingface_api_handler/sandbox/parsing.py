"""Parse a request as strictly as the services do: what they refuse is refused here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..tasks import TASKS
from ..tasks.media import Media
from .fake_chat import packed_rows
from .fake_text import MASK
from .hub import CHAT
from .server_kinds import ServerKind

JSON = "application/json"
OCTETS = "application/octet-stream"

MEDIA_TYPES = (
    *(f"image/{one}" for one in ("png", "jpeg", "jpg", "tiff", "bmp", "gif", "webp", "x-image")),
    *(f"audio/{one}" for one in ("flac", "x-flac", "mpeg", "x-mpeg-3", "wave", "wav", "x-wav", "ogg", "x-audio")),
    *(f"audio/{one}" for one in ("webm", "webm;codecs=opus", "AMR", "amr", "AMR-WB", "AMR-WB+", "m4a", "x-m4a")),
    *(f"video/{one}" for one in ("mp4", "webm", "x-msvideo", "avi", "quicktime", "x-matroska", "mpeg")),
)

#: Tasks whose input is a file.
MEDIA_TASKS = frozenset(name for name, task in TASKS.items() if task.inputs[0].kind.is_media)
#: Tasks that take a list of texts, and those whose single texts are refused in a list.
LIST_TASKS = frozenset({
    "text-classification", "token-classification", "zero-shot-classification", "fill-mask", "summarization",
    "translation", "text-generation", "feature-extraction",
})  # fmt: skip
TEXT_TASKS = LIST_TASKS | {"text-to-image", "text-to-speech", "text-to-video"}
#: Servers that take one prompt a request.
ONE_PROMPT = (ServerKind.OPENAI, ServerKind.TGI)

#: Fields that hold one input a row, if ``inputs`` is an object or missing.
_LISTED = ("sentences", "texts", "question", "prompt", "input")

#: Fields of a body that are neither inputs nor parameters.
_BESIDE = ("inputs", "parameters", "options", "model")


class Refusal(Exception):
    """An answer other than 2xx. A text body is sent as ``text/plain``."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def response(self) -> Response:
        if isinstance(self.body, str):
            return PlainTextResponse(self.body, self.status, self.headers)
        return JSONResponse(self.body, self.status, self.headers)


@dataclass(frozen=True)
class ParsedRequest:
    """What a request asks of a task.

    Attributes:
        task: name of the task.
        inputs: the JSON value of ``inputs``, ``Media`` for raw bytes, or the whole body if it has no ``inputs``.
        items: number of inputs; 1 if it is no list.
        is_list: whether the inputs came as a list, even a list of one.
    """

    task: str
    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    items: int = 1
    is_list: bool = False

    @property
    def media(self) -> Media | None:
        return self.inputs if isinstance(self.inputs, Media) else None

    @property
    def recorded(self) -> Any:
        """The inputs as a record shows them."""
        return f"{len(self.media.data)} bytes of {self.media.type}" if self.media else self.inputs


def _refuse(message: str | list[str], status: int = 400, **more: Any) -> NoReturn:
    raise Refusal(status, {"error": message, **more})


# --- the document ---


def parse_body(body: bytes, content_type: str | None, kind: ServerKind) -> Mapping[str, Any] | Media:
    """Return the JSON object or the raw file of a body."""
    media_type = _content_type(content_type, kind)
    if media_type != JSON:
        if not body:
            _refuse("The request has no body")
        return Media(body, media_type)
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if kind.is_rust:
            raise Refusal(400, f"Failed to parse the request body as JSON: {error}") from None
        raise Refusal(400, {"error": f"The body is not JSON: {error}"}) from None
    if not isinstance(found, dict):
        _refuse("The body must be a JSON object")
    if found.get("stream"):
        _refuse("The sandbox does not stream")
    return found


def _content_type(given: str | None, kind: ServerKind) -> str:
    plain = (given or "").partition(";")[0].strip()
    if kind.is_rust or kind is ServerKind.OPENAI:
        if plain != JSON:
            raise Refusal(415, "Expected request with `Content-Type: application/json`")
        return JSON
    is_service = kind is ServerKind.HF_INFERENCE
    if not given:
        missing = "No content type provided and no default one configured."
        _refuse(missing if is_service else 'Content type "None" not supported.')
    # The container of dedicated endpoints compares the whole header; hf-inference ignores its parameters.
    media_type = plain if is_service else given
    accepted = (JSON, *MEDIA_TYPES, *((OCTETS,) if is_service else ()))
    if media_type not in accepted:
        _refuse(f'Content type "{given}" not supported. Supported content types are: {", ".join(accepted)}')
    return media_type


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def named_model(document: Mapping[str, Any] | Media) -> tuple[str, str]:
    """Return the model that a body names, and the policy or the provider behind its colon (``fastest`` without one)."""
    name = document.get("model") if isinstance(document, Mapping) else None
    if not isinstance(name, str) or not name:
        _refuse("`model` is required")
    model, _, suffix = name.partition(":")
    return model, suffix or "fastest"


# --- the task's request ---


def parse(task: str, document: Mapping[str, Any] | Media, kind: ServerKind, max_items: int) -> ParsedRequest:
    """Return what a request asks of ``task``, or refuse it as a service would."""
    if isinstance(document, Media):
        if task not in MEDIA_TASKS:
            _refuse(f'Content type "{document.type}" not supported for {task}')
        return ParsedRequest(task, document)
    parameters = document.get("parameters", {})
    if not isinstance(parameters, Mapping):
        _refuse(["Error in `parameters`: value is not a valid dict"])
    if task == CHAT:
        _check_messages(document)
        return ParsedRequest(task, document, items=len(packed_rows(document)) or 1)
    if kind is ServerKind.OPENAI:
        document = _OPENAI_FORMS.get(task, dict)(document)
    if "inputs" not in document:
        if kind is ServerKind.HF_INFERENCE or not any(name in document for name in _LISTED):
            _refuse(["Error in `inputs`: field required"])
        inputs: Any = document
    else:
        inputs = document["inputs"]
        parameters = {**{name: value for name, value in document.items() if name not in _BESIDE}, **parameters}
    CHECKS.get(task, _check_inputs)(task, inputs, parameters, kind)
    listed = inputs if isinstance(inputs, list) else _rows(inputs)
    items = 1 if listed is None else len(listed)
    if items > max_items:
        _refuse(f"batch size {items} > maximum allowed batch size {max_items}", 422, error_type="Validation")
    return ParsedRequest(task, inputs, parameters, items, listed is not None)


def _rerank_form(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": {"query": found.get("query"), "texts": found.get("documents")}}


def _classify_form(found: Mapping[str, Any]) -> dict[str, Any]:
    given = found.get("input")
    return {"inputs": [given] if isinstance(given, str) else given, "parameters": {"top_k": 100}}


def _image_form(found: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in found.items() if name not in ("prompt", "response_format")}
    return {"inputs": found.get("prompt"), **fields}


#: Bodies that servers with OpenAI's API take in another form → ``inputs`` and ``parameters``.
_OPENAI_FORMS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "text-ranking": _rerank_form,
    "text-classification": _classify_form,
    "text-to-image": _image_form,
}


def _rows(inputs: Any) -> list[Any] | None:
    if isinstance(inputs, Mapping):
        return next((inputs[name] for name in _LISTED if isinstance(inputs.get(name), list)), None)
    return None


def _check_text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        _refuse([f"Error in `{where}`: str type expected"])
    if not value:
        _refuse(f"`{where}` must not be empty")


def _check_texts(value: Any, where: str) -> None:
    if not value:
        _refuse(f"`{where}` must not be empty")
    for one in value:
        _check_text(one, where)


def _check_inputs(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    """Check the inputs of tasks without a check of their own: a text, a list of texts, or base64."""
    if isinstance(inputs, Mapping) and "inputs" not in inputs and _rows(inputs) is not None:
        _check_texts(_rows(inputs), "inputs")
        return
    if isinstance(inputs, Mapping) and isinstance(inputs.get("prompt"), str):
        _check_text(inputs["prompt"], "prompt")
        return
    if task in MEDIA_TASKS:
        _check_media(inputs)
    elif task in TEXT_TASKS and isinstance(inputs, list):
        if task not in LIST_TASKS or (task == "text-generation" and kind in ONE_PROMPT):
            _refuse(["Error in `inputs`: str type expected"])
        _check_texts(inputs, "inputs")
    elif task in TEXT_TASKS:
        _check_text(inputs, "inputs")


def _check_media(inputs: Any) -> None:
    found = inputs.get("image", "") if isinstance(inputs, Mapping) else inputs
    _check_text(found, "inputs")
    try:
        base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        _refuse("`inputs` is not base64")


def _check_classified(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    if kind is ServerKind.TEI and isinstance(inputs, list):
        if inputs and all(isinstance(one, list) for one in inputs):
            for one in inputs:
                _check_texts(one, "inputs")
            return
        if len(inputs) != 2:
            # A bare list is one pair of texts, and a pair has two.
            raise Refusal(422, "Failed to deserialize the JSON body into the target type: inputs: expected a pair")
    _check_inputs(task, inputs, parameters, kind)


def _check_labels(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    if not parameters.get("candidate_labels"):
        _refuse(["Error in `parameters.candidate_labels`: field required"])
    _check_inputs(task, inputs, parameters, kind)


def _check_masked(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    _check_inputs(task, inputs, parameters, kind)
    for text in inputs if isinstance(inputs, list) else [inputs]:
        if not MASK.search(text):
            _refuse("No mask_token ([MASK]) found on the input")


def _object(inputs: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(inputs, Mapping):
        _refuse(["Error in `inputs`: value is not a valid dict"])
    missing = [f"Error in `inputs.{name}`: field required" for name in names if name not in inputs]
    if missing:
        _refuse(missing)
    return inputs


def _check_questions(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    given = _object(inputs, "question", "context")
    for name in ("question", "context"):
        value = given[name]
        (_check_texts if isinstance(value, list) else _check_text)(value, f"inputs.{name}")
    questions, contexts = given["question"], given["context"]
    if isinstance(contexts, list) and (not isinstance(questions, list) or len(questions) != len(contexts)):
        _refuse("Questions and contexts don't have the same lengths")


def _check_table(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    given = _object(inputs, "query" if "question" not in inputs else "question", "table")
    table = given["table"]
    if not isinstance(table, Mapping) or not table:
        _refuse(["Error in `inputs.table`: value is not a valid dict"])
    if len({len(cells) if isinstance(cells, list) else -1 for cells in table.values()}) != 1:
        _refuse(["All rows in the table must be the same length"])
    if not all(isinstance(cell, str) for cells in table.values() for cell in cells):
        _refuse("The table's cells must be texts")


def _check_sentences(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    given = _object(inputs, "source_sentence", "sentences")
    _check_text(given["source_sentence"], "inputs.source_sentence")
    _check_listed(given["sentences"], "inputs.sentences")


def _check_ranking(task: str, inputs: Any, parameters: Mapping[str, Any], kind: ServerKind) -> None:
    given = _object(inputs, "query", "texts")
    _check_text(given["query"], "inputs.query")
    _check_listed(given["texts"], "inputs.texts")


def _check_listed(value: Any, where: str) -> None:
    if not isinstance(value, list):
        _refuse([f"Error in `{where}`: value is not a valid list"])
    _check_texts(value, where)


def _check_messages(found: Mapping[str, Any]) -> None:
    messages = found.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, Mapping) for one in messages):
        _refuse("`messages` must be a list of messages", 422)


#: Tasks whose inputs are more than a text, a list of texts or a file → the check of their inputs.
CHECKS: Mapping[str, Callable[[str, Any, Mapping[str, Any], ServerKind], None]] = {
    "text-classification": _check_classified,
    "zero-shot-classification": _check_labels,
    "fill-mask": _check_masked,
    "question-answering": _check_questions,
    "table-question-answering": _check_table,
    "sentence-similarity": _check_sentences,
    "text-ranking": _check_ranking,
}
