"""CREATE MODEL … USING, and SELECT … USING → ``ModelSettings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ..errors import SettingsError
from ..tasks import TASKS
from ..tasks.task import ModelFacts, Task
from .engine import take_token
from .identity import (
    Hub,
    Identity,
    Unserved,
    ask_hub,
    note_mismatch,
    note_provider,
    note_unserved,
    read_identity,
    settle_model,
    settle_task,
)  # fmt: skip
from .models import EngineSettings, Execution, ModelSettings
from .parsing import Reader
from .specs import EXECUTION, FIXED, HOST_CREATE, HOST_QUERY, MODEL
from .task_arguments import Draft, note_missing, note_unknown, read_arguments, read_common

_OVERRIDABLE = tuple(form for form in MODEL if form.name not in FIXED)
_FIXED_NAMES = frozenset(
    {"engine"}.union(*({form.name, *form.aliases} for form in MODEL if form.name in FIXED)),
)


def model_settings(
    using: Mapping[str, Any] | None, engine: EngineSettings, *, hub: Hub, unserved: Unserved | None = None
) -> ModelSettings:
    """Return what a CREATE MODEL amounts to.

    Args:
        using: its USING; values are what SQL can carry, or syntax objects of MindsDB.
        engine: the engine's settings.
        hub: (model id, token) → the Hub's word on the model, ``None`` where it cannot be
            reached; asked at most once, not at all for an endpoint.
        unserved: says of a model that USING names why nobody serves it there, if so.

    Raises:
        SettingsError: with all that is wrong.
        Unauthorized, Forbidden, ModelNotFound: the Hub's refusal, where nothing else is wrong.
    """
    reader = Reader(using, host=HOST_CREATE)
    found = read_identity(reader, engine)
    draft = Draft()
    ask_hub(found, engine, hub)
    settle_task(reader, found)
    if found.task is not None:
        note_provider(reader, found)
        read_arguments(reader, found.task, draft, "model", engine.media_roots)
        note_missing(reader, found.task, draft)
        settle_model(reader, found, draft.values)
        ask_hub(found, engine, hub)
        if found.model_given:  # that a default model does its task stands in the registry
            note_mismatch(reader, found)
            if unserved is not None:
                note_unserved(reader, found, engine, unserved)
    else:
        read_common(reader, draft, "model")
    note_unknown(reader, found.task, MODEL)
    reader.finish(found.refusal)
    if found.task is None:  # some fault has been noted where it is not known
        raise SettingsError("USING names no task: write task = 'text-classification'")
    return _settled(found, found.task, draft, engine)


def _settled(found: Identity, task: Task, draft: Draft, engine: EngineSettings) -> ModelSettings:
    sources = dict.fromkeys(
        [
            name
            for name, given in (
                ("task", found.task_given),
                ("model_name", found.model_given),
                ("provider", found.provider is not None),
                ("base_url", found.base_url is not None),
                ("endpoint", found.endpoint is not None),
                ("api_key", found.token is not None),
            )
            if given
        ],
        "model",
    )
    shared, told = _drafted(draft, engine)
    return ModelSettings(
        task=task.name,
        model=found.model,
        provider=found.provider or ("auto" if task.chat else "hf-inference"),
        base_url=found.base_url,
        endpoint=found.endpoint,
        **shared,
        facts=found.facts or ModelFacts(id=found.model),
        sources={**told, **draft.sources, **sources},
        token=found.token,
    )


def _drafted(draft: Draft, engine: EngineSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of ``ModelSettings`` that a draft and its engine settle, and what ``layered`` tells."""
    execution, told = layered(engine, draft)
    shared = {
        "columns": draft.columns,
        "prompt_template": draft.prompt_template,
        "output_dir": draft.output_dir,
        "values": draft.values,
        "parameters": draft.parameters,
        "options": draft.options,
        "execution": execution,
        "media_roots": engine.media_roots,
    }
    return shared, told


def layered(engine: EngineSettings, draft: Draft) -> tuple[Execution, dict[str, str]]:
    """Lay what a model says of execution over what its engine says, and that over the defaults.

    Returns:
        the whole, and for each argument that the draft does not hold where it comes from.
    """
    told = {
        form.name: "engine" if form.name in engine.execution else "default"
        for form in EXECUTION
        if form.name not in draft.execution
    }
    return Execution(**{**engine.execution, **draft.execution}), told


def query_settings(
    model: ModelSettings, engine: EngineSettings, overrides: Mapping[str, Any] | None, *, alias: str | None = None
) -> ModelSettings:
    """Return what a model amounts to for one query.

    Args:
        overrides: the query's USING. Names are folded to lower case, and ``m.top_k`` is ``top_k``
            where ``m`` is the model. Objects are laid over the model's field by field; null takes
            away what the model says.
        alias: what the query calls the model; ``None``: whatever stands before the dot is it.

    Raises:
        SettingsError: with all that is wrong.
    """
    if not overrides:
        return replace(model, media_roots=engine.media_roots)
    own = None if alias is None else alias.strip("`").lower()
    reader = Reader(overrides, host=HOST_QUERY, prefix=lambda before: own is None or before == own)
    _note_fixed(reader)
    _note_others(reader, own)
    task = TASKS[model.task]
    draft = _draft_of(model)
    read_arguments(reader, task, draft, "query", engine.media_roots)
    note_missing(reader, task, draft)
    note_unknown(reader, task, _OVERRIDABLE)
    reader.finish()
    shared, told = _drafted(draft, engine)
    return replace(model, **shared, sources={**told, **draft.sources})


def _note_fixed(reader: Reader) -> None:
    for name in [one for one in reader.given if one in _FIXED_NAMES]:
        reader.claim(name)
        reader.fault(
            f"{name} cannot be changed in a query, it was settled by CREATE MODEL: leave it out, "
            "or create another model"
        )


def _note_others(reader: Reader, own: str | None) -> None:
    for name in [one for one in reader.given if "." in one]:
        reader.claim(name)
        argument = name.rpartition(".")[2]
        reader.fault(f"{name} is not for this model: write {argument}" + (f" or {own}.{argument}" if own else ""))


def _draft_of(model: ModelSettings) -> Draft:
    """Return what the model itself says, to lay a query over it."""
    execution = asdict(model.execution)
    return Draft(
        columns=dict(model.columns),
        values=dict(model.values),
        parameters=dict(model.parameters),
        options=dict(model.options),
        execution={name: value for name, value in execution.items() if model.sources.get(name) == "model"},
        prompt_template=model.prompt_template,
        output_dir=model.output_dir,
        sources={name: source for name, source in model.sources.items() if source == "model"},
    )


__all__ = ["layered", "model_settings", "query_settings", "take_token"]
