"""The models of the sandbox, and what its Hub says about them.

The catalogue lists the default model of every task, ``sandbox/<task>`` for every task, and some models that show
what can be wrong:

- ``sandbox/private``: hidden from everybody without a token,
- ``sandbox/gated``: the owner has to grant access (403 at inference),
- ``sandbox/not-deployed``: on the Hub, but no provider serves it,
- ``sandbox/elsewhere``: providers serve it (for text-to-image), hf-inference does not,
- ``sandbox/chat-alone``: the Hub says text-generation, providers serve it for chat only,
- ``sandbox/untagged``: the Hub does not know its task, and no provider serves it.

Any other well-formed id is a model too, of whatever task a request asks for (see ``guess``). Only the owner
``nobody`` has no models.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..tasks import TASKS
from .prices import PROVIDERS

CHAT = "chat-completion"

#: The owner, if any, and the name of a model.
_WELL_FORMED = re.compile(r"(?:[\w.-]{1,96}/)?[\w.-]{1,96}")
NO_MODELS_OF = "nobody/"

#: What the config of a model says beside its task.
DETAILS: Mapping[str, Mapping[str, Any]] = {
    "text-classification": {"labels": ("NEGATIVE", "POSITIVE")},
    "fill-mask": {"mask_token": "[MASK]"},
}

#: Models of sentence-transformers serve both tasks; the Hub names one and tags the other.
SENTENCE_TASKS = ("sentence-similarity", "feature-extraction")

#: The Inference Provider with a route of its own, and the tasks it serves there.
IMAGE_PROVIDER = "together"
OF_IMAGE_PROVIDER = frozenset({"text-to-image"})


@dataclass(frozen=True)
class Model:
    """What the Hub knows about a model.

    Attributes:
        task: its own task; ``None`` if the Hub does not know it.
        tags: the Hub's tags, further tasks among them.
        providers: (provider, task) beside hf-inference.
        any_task: whether it serves every task, since it is not in the catalogue.
    """

    id: str
    task: str | None
    tags: tuple[str, ...] = ()
    private: bool = False
    gated: bool = False
    deployed: bool = True
    providers: tuple[tuple[str, str], ...] = ()
    labels: tuple[str, ...] = ()
    mask_token: str | None = None
    any_task: bool = False

    def serves(self, task: str | None) -> str | None:
        """Return ``task`` if the model serves it, else ``None``."""
        if task not in TASKS:
            return None
        is_chat = task == CHAT and "conversational" in self.tags
        return task if self.any_task or is_chat or task == self.task or task in self.tags else None

    def chat_providers(self) -> tuple[str, ...]:
        """Return the providers that serve it for chat, hf-inference aside."""
        if self.any_task:
            return tuple(PROVIDERS)
        return tuple(provider for provider, task in self.providers if task == "conversational")

    def config(self) -> dict[str, Any]:
        """Return the model's ``config.json``."""
        labels = {str(index): label for index, label in enumerate(self.labels)}
        return {"model_type": "sandbox", **({"id2label": labels} if labels else {})}

    def facts(self) -> dict[str, Any]:
        """Return the Hub's record, as ``GET /api/models/{id}`` gives it."""
        mapping: dict[str, Any] = {}
        if self.deployed and self.task:
            served = "conversational" if self.task == CHAT else self.task
            mapping = {
                "hf-inference": {"status": "live", "providerId": self.id, "task": served, "isModelAuthor": False},
            }
            if self.task in OF_IMAGE_PROVIDER:
                mapping[IMAGE_PROVIDER] = {
                    "status": "live",
                    "providerId": f"{IMAGE_PROVIDER}/{self.id}",
                    "task": served,
                }
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
            "config": {"model_type": "sandbox"},
            "siblings": [],
            "inferenceProviderMapping": mapping,
        }
        if self.task:
            record["pipeline_tag"] = "text-generation" if self.task == CHAT else self.task
        if self.mask_token:
            record["mask_token"] = self.mask_token
        if self.deployed and (self.task or self.any_task):
            record["inference"] = "warm"
        return record


def _of(model_id: str, task: str, **more: Any) -> Model:
    """Return a model of ``task`` as it would be tagged and configured."""
    tags = ["transformers", task]
    if task in SENTENCE_TASKS:
        tags += ["sentence-transformers", *SENTENCE_TASKS]
    if task == CHAT:
        tags.append("conversational")
        more.setdefault("providers", tuple((provider, "conversational") for provider in PROVIDERS))
    return Model(model_id, task, tuple(dict.fromkeys(tags)), **{**DETAILS.get(task, {}), **more})


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
        some = next(iter(TASKS))
        listed: list[Model] = []
        for task in TASKS.values():
            listed.append(_of(f"sandbox/{task.name}", task.name))
            if task.default_model and "{" not in task.default_model:
                listed.append(_of(task.default_model, task.name))
        listed += [_of(name, some, private=True) for name in ("sandbox/private", *self.private)]
        listed += [_of(name, some, gated=True) for name in ("sandbox/gated", *self.gated)]
        listed += [_of("sandbox/not-deployed", some, deployed=False), Model("sandbox/untagged", None)]
        listed += [
            _of("sandbox/elsewhere", "text-to-image", deployed=False,
                providers=(("together", "text-to-image"), ("fal-ai", "text-to-image"))),
            Model("sandbox/chat-alone", "text-generation", ("text-generation", "conversational"), deployed=False,
                  providers=(("groq", "conversational"), ("together", "conversational"))),
        ]  # fmt: skip
        for model in listed:
            # A default model that several tasks share belongs to the first of them.
            self.models.setdefault(model.id, model)

    def find(self, model_id: str) -> Model | None:
        """Return the model of that id; ``None`` if there is none."""
        known = self.models.get(model_id)
        if known is not None or model_id.startswith(NO_MODELS_OF) or not _WELL_FORMED.fullmatch(model_id):
            return known
        for task in TASKS.values():
            family = (task.default_model or "").partition("{")
            if family[1] and model_id.startswith(family[0]):
                return _of(model_id, task.name)
        return Model(model_id, None, ("transformers",), any_task=True)


def expanded(facts: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Any]:
    """Return what ``?expand=`` leaves of a record: the id and the requested properties."""
    names = set(wanted)
    if not names:
        return dict(facts)
    return {name: value for name, value in facts.items() if name in names or name in ("_id", "id", "modelId")}
