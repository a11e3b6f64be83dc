"""From the bytes of a request to what it asks, as strictly as the services read: what they refuse is refused here."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..tasks.task import Batching, Dialect, Kind, Media, Task

JSON = "application/json"
OCTETS = "application/octet-stream"

MEDIA_TYPES = (
    *(f"image/{one}" for one in ("png", "jpeg", "jpg", "tiff", "bmp", "gif", "webp", "x-image")),
    *(f"audio/{one}" for one in ("flac", "x-flac", "mpeg", "x-mpeg-3", "wave", "wav", "x-wav", "ogg", "x-audio")),
    *(f"audio/{one}" for one in ("webm", "webm;codecs=opus", "AMR", "amr", "AMR-WB", "AMR-WB+", "m4a", "x-m4a")),
    *(f"video/{one}" for one in ("mp4", "webm", "x-msvideo", "avi", "quicktime", "x-matroska", "mpeg")),
)

#: Servers written in Rust, which answer malformed calls with plain text.
_RUST = (Dialect.TEI, Dialect.TGI)

#: Fields that hold an input for each row, where ``inputs`` is an object or there is none.
_LISTED = ("sentences", "texts", "question", "prompt", "input")

#: Fields of a body that are neither inputs nor parameters.
_BESIDE = ("inputs", "parameters", "options", "model")


class Refusal(Exception):
    """An answer other than 2xx. A text body travels as ``text/plain``."""

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
class Asked:
    """What a request asks of a task.

    Attributes:
        inputs: the JSON value of ``inputs``, ``Media`` where it came raw, or the whole body where it has no inputs.
        items: inputs in it; 1 where it is no list.
        is_list: whether it came as a list, be it of one.
    """

    task: Task
    inputs: Any
    parameters: Mapping[str, Any] = field(default_factory=dict)
    items: int = 1
    is_list: bool = False

    @property
    def media(self) -> Media | None:
        return self.inputs if isinstance(self.inputs, Media) else None

    @property
    def shown(self) -> Any:
        """The inputs as they stand in a record."""
        return f"{len(self.media.data)} bytes of {self.media.type}" if self.media else self.inputs


def _refuse(message: str | list[str], status: int = 400, **more: Any) -> NoReturn:
    raise Refusal(status, {"error": message, **more})


# --- the document ---


def document(body: bytes, content_type: str | None, dialect: Dialect) -> Mapping[str, Any] | Media:
    """Return a JSON object, or a medium that came raw."""
    kind = _content_type(content_type, dialect)
    if kind != JSON:
        if not body:
            _refuse("The request has no body")
        return Media(body, kind)
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if dialect in _RUST:
            raise Refusal(400, f"Failed to parse the request body as JSON: {error}") from None
        raise Refusal(400, {"error": f"The body is not JSON: {error}"}) from None
    if not isinstance(found, dict):
        _refuse("The body must be a JSON object")
    if found.get("stream"):
        _refuse("The sandbox does not stream")
    return found


def _content_type(given: str | None, dialect: Dialect) -> str:
    plain = (given or "").partition(";")[0].strip()
    if dialect in _RUST or dialect is Dialect.OPENAI:
        if plain != JSON:
            raise Refusal(415, "Expected request with `Content-Type: application/json`")
        return JSON
    if not given:
        missing = "No content type provided and no default one configured."
        _refuse(missing if dialect is Dialect.INFERENCE else 'Content type "None" not supported.')
    # The container of dedicated endpoints compares the whole header; the service's own leaves parameters out.
    kind = plain if dialect is Dialect.INFERENCE else given
    accepted = (JSON, *MEDIA_TYPES, *((OCTETS,) if dialect is Dialect.INFERENCE else ()))
    if kind not in accepted:
        _refuse(f'Content type "{given}" not supported. Supported content types are: {", ".join(accepted)}')
    return kind


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def named_model(found: Mapping[str, Any] | Media) -> str:
    """Return the model that a body names, without the provider behind the colon of a chat's."""
    name = found.get("model") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or not name:
        _refuse("`model` is required")
    return name.partition(":")[0]


# --- what it asks ---


def asked(task: Task, found: Mapping[str, Any] | Media, dialect: Dialect, max_items: int) -> Asked:
    """Return what a request asks of ``task``, or refuse it as a service would."""
    if isinstance(found, Media):
        if not any(one.kind.is_media for one in task.inputs):
            _refuse(f'Content type "{found.type}" not supported for {task.name}')
        return Asked(task, found)
    parameters = found.get("parameters", {})
    if not isinstance(parameters, Mapping):
        _refuse(["Error in `parameters`: value is not a valid dict"])
    if task.chat:
        _check_messages(found)
        return Asked(task, found)
    if dialect is Dialect.OPENAI:
        found = _BESIDE_OPENAI.get(task.name, dict)(found)
    if "inputs" not in found:
        if dialect is Dialect.INFERENCE or not any(name in found for name in _LISTED):
            _refuse(["Error in `inputs`: field required"])
        inputs: Any = found
    else:
        inputs = found["inputs"]
        parameters = {**{name: value for name, value in found.items() if name not in _BESIDE}, **parameters}
    CHECKS.get(task.name, _check_inputs)(task, inputs, parameters, dialect)
    listed = inputs if isinstance(inputs, list) else _rows(inputs)
    items = 1 if listed is None else len(listed)
    if items > max_items:
        _refuse(f"batch size {items} > maximum allowed batch size {max_items}", 422, error_type="Validation")
    return Asked(task, inputs, parameters, items, listed is not None)


def _reranked(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": {"query": found.get("query"), "texts": found.get("documents")}}


def _classified(found: Mapping[str, Any]) -> dict[str, Any]:
    given = found.get("input")
    return {"inputs": [given] if isinstance(given, str) else given, "parameters": {"top_k": 100}}


def _drawn(found: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in found.items() if name not in ("prompt", "response_format")}
    return {"inputs": found.get("prompt"), **fields}


#: What servers of OpenAI's API are asked in a form of its own, or of none → ``inputs`` and ``parameters``.
_BESIDE_OPENAI: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "text-ranking": _reranked,
    "text-classification": _classified,
    "text-to-image": _drawn,
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


def _check_inputs(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    """What holds for tasks without a rule of their own: a text, a list of texts where lists are taken, base64."""
    if isinstance(inputs, Mapping) and "inputs" not in inputs and _rows(inputs) is not None:
        _check_texts(_rows(inputs), "inputs")
        return
    if isinstance(inputs, Mapping) and isinstance(inputs.get("prompt"), str):
        _check_text(inputs["prompt"], "prompt")
        return
    kind = task.inputs[0].kind
    if kind.is_media:
        _check_media(inputs)
    elif kind is Kind.TEXT and isinstance(inputs, list):
        if task.travels(dialect) is not Batching.LIST:
            _refuse(["Error in `inputs`: str type expected"])
        _check_texts(inputs, "inputs")
    elif kind is Kind.TEXT:
        _check_text(inputs, "inputs")


def _check_media(inputs: Any) -> None:
    found = inputs.get("image", "") if isinstance(inputs, Mapping) else inputs
    _check_text(found, "inputs")
    try:
        base64.b64decode(found, validate=True)
    except (binascii.Error, ValueError):
        _refuse("`inputs` is not base64")


def _check_classified(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    if dialect is Dialect.TEI and isinstance(inputs, list):
        if inputs and all(isinstance(one, list) for one in inputs):
            for one in inputs:
                _check_texts(one, "inputs")
            return
        if len(inputs) != 2:
            # A bare list is one pair of texts, and a pair has two.
            raise Refusal(422, "Failed to deserialize the JSON body into the target type: inputs: expected a pair")
    _check_inputs(task, inputs, parameters, dialect)


def _check_labels(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    if not parameters.get("candidate_labels"):
        _refuse(["Error in `parameters.candidate_labels`: field required"])
    _check_inputs(task, inputs, parameters, dialect)


def _check_masked(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    _check_inputs(task, inputs, parameters, dialect)
    for text in inputs if isinstance(inputs, list) else [inputs]:
        if "[MASK]" not in text and "<mask>" not in text:
            _refuse("No mask_token ([MASK]) found on the input")


def _object(inputs: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(inputs, Mapping):
        _refuse(["Error in `inputs`: value is not a valid dict"])
    missing = [f"Error in `inputs.{name}`: field required" for name in names if name not in inputs]
    if missing:
        _refuse(missing)
    return inputs


def _check_questions(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    given = _object(inputs, "question", "context")
    for name in ("question", "context"):
        value = given[name]
        (_check_texts if isinstance(value, list) else _check_text)(value, f"inputs.{name}")
    questions, contexts = given["question"], given["context"]
    if isinstance(contexts, list) and (not isinstance(questions, list) or len(questions) != len(contexts)):
        _refuse("Questions and contexts don't have the same lengths")


def _check_table(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    given = _object(inputs, "query" if "question" not in inputs else "question", "table")
    table = given["table"]
    if not isinstance(table, Mapping) or not table:
        _refuse(["Error in `inputs.table`: value is not a valid dict"])
    if len({len(cells) if isinstance(cells, list) else -1 for cells in table.values()}) != 1:
        _refuse(["All rows in the table must be the same length"])
    if not all(isinstance(cell, str) for cells in table.values() for cell in cells):
        _refuse("The table's cells must be texts")


def _check_sentences(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
    given = _object(inputs, "source_sentence", "sentences")
    _check_text(given["source_sentence"], "inputs.source_sentence")
    _check_listed(given["sentences"], "inputs.sentences")


def _check_ranking(task: Task, inputs: Any, parameters: Mapping[str, Any], dialect: Dialect) -> None:
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


#: What a task's inputs must be, where that is more than a text, a list of texts or a medium.
CHECKS: Mapping[str, Callable[[Task, Any, Mapping[str, Any], Dialect], None]] = {
    "text-classification": _check_classified,
    "zero-shot-classification": _check_labels,
    "fill-mask": _check_masked,
    "question-answering": _check_questions,
    "table-question-answering": _check_table,
    "sentence-similarity": _check_sentences,
    "text-ranking": _check_ranking,
}
