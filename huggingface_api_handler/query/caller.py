"""The caller of a query, and the names under which the cache knows its answers, counters, rates and budgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ..arguments import EngineSettings, ModelSettings
from ..arguments.specs import PACKING
from ..cache import Owner
from .packing import Packing

#: A change of what an answer in the store means changes every key.
_KEY_VERSION = "1"

#: Arguments that say how rows share prompts, not what they ask.
_PACKING = frozenset(spec.name for spec in PACKING)

#: What follows the target and ``_`` in the names of the other columns that a model may fill.
OUTPUT_SUFFIXES = ("explain", "error", "error_type", "retryable", "meta", "plan", "cost")


@dataclass(frozen=True)
class Caller:
    """The model, engine and tenant for which a query runs.

    Attributes:
        tenant: company and user.
        engine: the engine's own unique name, not MindsDB's id.
        model: the model's own unique name, not MindsDB's id.
        name: what SQL calls the model.
        target: the PREDICT column.
        key: names the model's own token, if it has one. What a private model answered to one
            token is not for another.
        engine_name: what SQL calls the engine.
        project: what SQL calls the model's project.
    """

    tenant: str
    engine: str
    model: str
    name: str
    target: str
    key: str | None = None
    engine_name: str = ""
    project: str = "mindsdb"

    @property
    def output_columns(self) -> tuple[str, ...]:
        """The names in lower case of all columns that the model may fill."""
        target = self.target.lower()
        return (target, *(f"{target}_{suffix}" for suffix in OUTPUT_SUFFIXES))

    @property
    def scope(self) -> str:
        """Names the counters and runs of this model for this tenant."""
        return _digest([self.tenant, self.engine, self.model])

    @property
    def owner(self) -> Owner:
        """Names this model, and earlier models of its name, for people."""
        return Owner(self.tenant, self.engine_name, self.project, self.name)

    def rate(self, service: tuple[str, str | None]) -> str:
        """Name the rate limit that all of the engine's models share, in all workers, for ``service``."""
        return _digest([self.tenant, self.engine, *service])

    def budget(self, day: str) -> str:
        """Name the budget of a day that all of the engine's models share, in all workers, for whatever tenant."""
        return _digest(["budget", self.engine, day])

    def fact(self, *name: str) -> str:
        """Name something that is known of this model."""
        return _digest([self.tenant, self.engine, self.model, *name])


def _digest(value: Any) -> str:
    return blake2b(canonical(value), digest_size=20).hexdigest()


def canonical(value: Any) -> bytes:
    """Return a value as JSON that is the same for equal values, and differs for 1, 1.0 and true."""
    return _ENCODER.encode(value).encode()


def _jsonable(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": blake2b(bytes(value), digest_size=20).hexdigest()}
    if isinstance(value, Mapping):
        return dict(value)
    return repr(value)


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, default=_jsonable, separators=(",", ":"))


def _server_token(engine: EngineSettings, caller: Caller) -> str | None:
    """Return a digest, keyed by the engine's name, of a token that is not the engine's own: it may change."""
    if engine.token is None or engine.token_source == "engine":
        return None
    return blake2b(
        engine.token.get_secret_value().encode(), key=caller.engine.encode()[:64], digest_size=20
    ).hexdigest()


def key_maker(model: ModelSettings, engine: EngineSettings, caller: Caller) -> Callable[[Any], str]:
    """Return the function that names an answer: all that may change it goes in, nothing secret does."""
    context: dict[str, Any] = {
        "version": _KEY_VERSION,
        "tenant": caller.tenant,
        "engine": caller.engine,
        "key": caller.key,
        "task": model.task,
        "model": model.model,
        "provider": model.provider,
        "base_url": model.base_url or engine.base_url,
        "token": _server_token(engine, caller) if model.token is None else None,
        "endpoint": model.endpoint,
        "values": {name: value for name, value in model.arguments().values.items() if name not in _PACKING},
        "parameters": dict(model.parameters),
        "options": dict(model.options),
        "facts": [model.facts.pipeline_tag, model.facts.mask_token, list(model.facts.tags), dict(model.facts.id2label)],
    }
    if Packing.of(model) is not None:
        # A shared prompt may change an answer; with how many rows, and which, is left to chance.
        context["packed"] = True
    base = blake2b(canonical(context), digest_size=20)

    def key(identity: Any) -> str:
        digest = base.copy()
        digest.update(canonical(identity))
        return digest.hexdigest()

    return key
