"""hugging-py-face, the library that builds the requests of the tasks that it knows.

Nothing else imports it, so that it can be replaced: what it does for a task, ``built`` returns. Its own ways of sending
(looking the model up, reading files, waiting) are not used.
"""

from __future__ import annotations

import inspect
import logging.config
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from ..errors import SettingsError
from .base import Call

#: Task → the method of hugging-py-face that builds its requests.
METHODS: Mapping[str, str] = {
    "text-classification": "text_classification",
    "question-answering": "question_answering",
    "table-question-answering": "table_question_answering",
    "zero-shot-classification": "zero_shot_classification",
    "fill-mask": "fill_mask",
    "summarization": "summarization",
    "translation": "translation",
    "text-generation": "text_generation",
    "feature-extraction": "feature_extraction",
    "sentence-similarity": "sentence_similarity",
    "image-classification": "image_classification",
    "object-detection": "object_detection",
    "automatic-speech-recognition": "automatic_speech_recognition",
    "audio-classification": "audio_classification",
}

_importing = threading.Lock()


def load() -> ModuleType:
    """Import hugging-py-face without letting it change the process's logging.

    At import it hands its own configuration to ``logging.config.dictConfig``, which would disable
    every logger made before and take the root logger over. While it is imported, that one call,
    made by this thread, does nothing; other threads' calls go through.

    Raises:
        SettingsError: it is not installed, or cannot be imported.
    """
    with _importing:
        # Whatever else is imported along with it may set up loggers of its own, and does no harm.
        original, importer = logging.config.dictConfig, threading.get_ident()

        def dict_config(config: Any) -> None:
            if threading.get_ident() != importer:
                original(config)

        logging.config.dictConfig = dict_config
        try:
            import hugging_py_face
        except ImportError as error:
            raise SettingsError(
                "the package hugging-py-face cannot be imported",
                advice="Install it into MindsDB's environment: pip install 'hugging-py-face~=0.5.3'",
            ) from error
        finally:
            logging.config.dictConfig = original
    package: ModuleType = hugging_py_face
    return package


@dataclass(frozen=True, slots=True)
class _Method:
    """A method of the library: the class to call it on, and the names of its arguments."""

    of: Callable[[], Any]
    name: str
    arguments: tuple[str, ...]


@lru_cache(maxsize=64)
def _method(name: str) -> _Method:
    """Find the method ``name`` in one of the library's three classes, with our ``_query`` in place."""
    package: Any = load()
    for family in (package.NLP, package.ComputerVision, package.AudioProcessing):
        method = getattr(family, name, None)
        if callable(method):
            arguments = tuple(inspect.signature(method).parameters)[1:]
            return _Method(_ours(family), name, arguments)
    raise SettingsError(f"hugging-py-face has no method '{name}'")


@lru_cache(maxsize=8)
def _ours(family: type) -> Callable[[], Any]:
    """Return a subclass of one of the library's classes that returns what it would send.

    The library's own constructor is not called: it reads files and sets up a client of the Hub with the machine's own
    login.
    """

    def take(self: Any) -> None:
        pass

    if "parameters" in inspect.signature(family._query).parameters:  # type: ignore[attr-defined]

        def query(
            self: Any, inputs: Any, parameters: Any = None, options: Any = None, model: Any = None, task: Any = None
        ) -> Any:
            return inputs, parameters, options
    else:

        def query(self: Any, input: Any, model: Any = None, task: Any = None) -> Any:  # type: ignore[misc]
            return input, None, None

    return type(family.__name__, (family,), {"__init__": take, "_query": query})


def _arguments(method: _Method, call: Call) -> dict[str, Any] | None:
    """Return ``call`` as arguments of ``method``; ``None`` if it does not take all of them.

    ``parameters`` is a copy: zero_shot_classification writes into what it is given.
    """
    names = method.arguments
    parameters = dict(call.parameters)
    # Ours asks no name of a model; without one, translation would make one up.
    given: dict[str, Any] = {"model": ""}
    if "parameters" in names:
        given["parameters"] = parameters
    if "candidate_labels" in names:
        if "candidate_labels" not in parameters:
            return None
        given["candidate_labels"] = parameters.pop("candidate_labels")
    if "options" in names and isinstance(call.root.get("options"), Mapping):
        given["options"] = dict(call.root["options"])
    if call.media is not None:
        # The methods take names of files to read; ours reads none, so any text will do.
        return {**given, "inputs": ""} if "inputs" in names else None
    if "text" in names:
        # conversational(text) would wrap it; nothing served today takes that.
        return None if "past_user_inputs" in names else {**given, "text": call.inputs}
    if not isinstance(call.inputs, Mapping):
        return None
    fields = {("question" if "table" in names and name == "query" else name): v for name, v in call.inputs.items()}
    wanted = [name for name in names if name not in ("parameters", "options", "model")]
    return {**given, **fields} if sorted(fields) == sorted(wanted) else None


def built(task: str, call: Call) -> tuple[Any, Mapping[str, Any], Mapping[str, Any]] | None:
    """Return (inputs, parameters, options) of ``call`` as the library's method for ``task`` builds them.

    ``None``: it has no method for the task, or the method does not take everything in ``call``.
    """
    if task not in METHODS:
        return None
    method = _method(METHODS[task])
    arguments = _arguments(method, call)
    if arguments is None:
        return None
    inputs, parameters, options = getattr(method.of(), method.name)(**arguments)
    return inputs, parameters or {}, options or {}
