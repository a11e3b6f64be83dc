"""The models that the sandbox knows, and what its Hub says of them.

Known are: the default model of every task, ``sandbox/<task>`` for every task, every
``Helsinki-NLP/opus-mt-*``, and some that show what can be wrong:

- ``sandbox/private``: nobody may see it without a token,
- ``sandbox/gated``: its owner has to let people in (403 at inference),
- ``sandbox/not-deployed``: the Hub has it, no provider serves it,
- ``sandbox/elsewhere``: providers serve it (for text-to-image), hf-inference does not,
- ``sandbox/chat-alone``: the Hub says text-generation, providers serve it for chat alone,
- ``sandbox/untagged``: the Hub does not know its task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..tasks import TASKS
from ..tasks.task import Task

#: Who publishes under these names is served as a model of this task, whatever follows.
FAMILIES: Mapping[str, str] = {"Helsinki-NLP/opus-mt-": "translation"}

#: What the config of a model says beside its task.
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "text-classification": {"labels": ("NEGATIVE", "POSITIVE")},
    "fill-mask": {"mask_token": "[MASK]"},
}

#: Models of sentence-transformers serve these tasks alike; the Hub names one and tags the others.
SENTENCE_TASKS = ("sentence-similarity", "feature-extraction")


#: The one Inference Provider beside hf-inference, and what it serves at routes of its own.
PROVIDER = "together"
OF_PROVIDER = frozenset({"text-to-image"})


@dataclass(frozen=True)
class Model:
    """What the Hub knows of a model."""

    id: str
    task: str | None
    tags: tuple[str, ...] = ()
    private: bool = False
    gated: bool = False
    deployed: bool = True
    providers: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()
    mask_token: str | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it serves, its own first."""
        own = (self.task,) if self.task else ()
        return own + tuple(tag for tag in self.tags if tag in TASKS and tag != self.task)

    def facts(self) -> dict[str, Any]:
        """Return the Hub's record, as ``GET /api/models/{id}`` gives it."""
        config: dict[str, Any] = {"model_type": "sandbox"}
        if self.labels:
            config["id2label"] = {str(place): label for place, label in enumerate(self.labels)}
        mapping: dict[str, Any] = {}
        if self.deployed and self.task:
            served = "conversational" if TASKS[self.task].chat else self.task
            mapping = {
                "hf-inference": {"status": "live", "providerId": self.id, "task": served, "isModelAuthor": False},
            }
            if self.task in OF_PROVIDER:
                mapping[PROVIDER] = {"status": "live", "providerId": f"{PROVIDER}/{self.id}", "task": served}
        for provider, served in self.providers:
            mapping[provider] = {"status": "live", "providerId": self.id, "task": served, "isModelAuthor": False}
        record: dict[str, Any] = {
            "_id": hashlib.sha256(self.id.encode()).hexdigest()[:24],
            "id": self.id,
            "modelId": self.id,
            "author": self.id.partition("/")[0] if "/" in self.id else None,
            "sha": hashlib.sha256(b"sha" + self.id.encode()).hexdigest()[:40],
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "private": self.private,
            "gated": "manual" if self.gated else False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "library_name": "sentence-transformers" if "sentence-transformers" in self.tags else "transformers",
            "tags": list(self.tags),
            "config": config,
            "siblings": [],
            "inferenceProviderMapping": mapping,
        }
        if self.task:
            record["pipeline_tag"] = "text-generation" if TASKS[self.task].chat else self.task
        if self.mask_token:
            record["mask_token"] = self.mask_token
        if self.deployed and self.task:
            record["inference"] = "warm"
        return record


def _of(model_id: str, task: Task, **more: Any) -> Model:
    """Return a model of ``task`` as it would be tagged and configured."""
    tags = ["transformers", task.name]
    if task.name in SENTENCE_TASKS:
        tags += ["sentence-transformers", *SENTENCE_TASKS]
    if task.chat:
        tags.append("conversational")
    return Model(model_id, task.name, tuple(dict.fromkeys(tags)), **{**DETAILS.get(task.name, {}), **more})


@dataclass(frozen=True)
class Catalogue:
    """All models of one sandbox.

    Args:
        private, gated: ids that are known as such beside the sandbox's own.
    """

    private: tuple[str, ...] = ()
    gated: tuple[str, ...] = ()
    models: dict[str, Model] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        some = next(iter(TASKS.values()))
        listed: list[Model] = []
        for task in TASKS.values():
            listed.append(_of(f"sandbox/{task.name}", task))
            if task.default_model and "{" not in task.default_model:
                listed.append(_of(task.default_model, task))
        listed += [_of(name, some, private=True) for name in ("sandbox/private", *self.private)]
        listed += [_of(name, some, gated=True) for name in ("sandbox/gated", *self.gated)]
        listed += [_of("sandbox/not-deployed", some, deployed=False), Model("sandbox/untagged", None)]
        listed += [
            _of("sandbox/elsewhere", TASKS["text-to-image"], deployed=False,
                providers=(("together", "text-to-image"), ("fal-ai", "text-to-image"))),
            Model("sandbox/chat-alone", "text-generation", ("text-generation", "conversational"), deployed=False,
                  providers=(("groq", "conversational"), ("together", "conversational"))),
        ]  # fmt: skip
        for model in listed:
            # A default model that several tasks share belongs to the first of them.
            self.models.setdefault(model.id, model)

    def find(self, model_id: str) -> Model | None:
        known = self.models.get(model_id)
        if known is not None:
            return known
        for prefix, task in FAMILIES.items():
            if model_id.startswith(prefix) and len(model_id) > len(prefix) and task in TASKS:
                return _of(model_id, TASKS[task])
        return None


def expanded(facts: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """Return what ``?expand=`` leaves of a record: the id and the properties asked for."""
    names = set(wanted)
    if not names:
        return dict(facts)
    return {name: value for name, value in facts.items() if name in names or name in ("_id", "id", "modelId")}
