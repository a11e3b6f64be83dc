"""What each task of the Hub means: its inputs, its request, its answer. Nothing about HTTP or about frames."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import audio, generation, tabular, text, vision
from .task import Task

_ALL = (
    text.TEXT_CLASSIFICATION,
    text.TOKEN_CLASSIFICATION,
    text.QUESTION_ANSWERING,
    tabular.TABLE_QUESTION_ANSWERING,
    text.ZERO_SHOT_CLASSIFICATION,
    text.FILL_MASK,
    generation.SUMMARIZATION,
    generation.TRANSLATION,
    generation.TEXT_GENERATION,
    generation.CHAT_COMPLETION,
    text.FEATURE_EXTRACTION,
    text.SENTENCE_SIMILARITY,
    text.TEXT_RANKING,
    vision.IMAGE_CLASSIFICATION,
    vision.OBJECT_DETECTION,
    vision.ZERO_SHOT_OBJECT_DETECTION,
    vision.IMAGE_SEGMENTATION,
    vision.IMAGE_TO_TEXT,
    vision.ZERO_SHOT_IMAGE_CLASSIFICATION,
    vision.VISUAL_QUESTION_ANSWERING,
    vision.DOCUMENT_QUESTION_ANSWERING,
    vision.DEPTH_ESTIMATION,
    vision.IMAGE_TO_IMAGE,
    vision.VIDEO_CLASSIFICATION,
    audio.AUTOMATIC_SPEECH_RECOGNITION,
    audio.AUDIO_CLASSIFICATION,
    audio.AUDIO_TO_AUDIO,
    vision.TEXT_TO_IMAGE,
    audio.TEXT_TO_SPEECH,
    vision.TEXT_TO_VIDEO,
    vision.IMAGE_TO_VIDEO,
    tabular.TABULAR_CLASSIFICATION,
    tabular.TABULAR_REGRESSION,
)

#: Every task by the Hub's name.
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})

_BY_ANY_NAME: Mapping[str, Task] = {**{alias: task for task in _ALL for alias in task.aliases}, **TASKS}


def find_task(name: str) -> Task | None:
    """Return the task of that name or alias, if there is one; case, spaces and underscores do not matter."""
    return _BY_ANY_NAME.get("-".join(name.lower().replace("_", " ").replace("-", " ").split()))


__all__ = ["TASKS", "find_task"]
