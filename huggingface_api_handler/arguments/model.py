"""CREATE MODEL … USING → ``ModelSettings``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SettingsError
from ..tasks.task import ModelFacts, Task
from .coercion import truth
from .identity import (
    Hub,
    Identity,
    Unserved,
    ask_hub,
    find_missing_model,
    find_missing_task,
    note_mismatch,
    note_price,
    note_provider,
    note_unserved,
    read_identity,
)  # fmt: skip
from .parsing import Reader
from .settings import EngineSettings, ModelSettings
from .specs import CLEAR_CACHE, HOST_CREATE, HOST_QUERY, MODEL, STOP
from .task_arguments import Draft, drafted, note_conflicts, note_unknown, read_arguments, read_common


def model_settings(
    using: Mapping[str, Any] | None, engine: EngineSettings, *, hub: Hub, unserved: Unserved | None = None
) -> ModelSettings:
    """Return the settings of a model.

    Args:
        using: its USING; values are those of SQL, or syntax objects of MindsDB.
        engine: the engine's settings.
        hub: (model ID, token) → the Hub's record of the model, ``None`` if it cannot be
            reached; called at most once, and never for an endpoint.
        unserved: returns why no provider serves a model that USING names, if so.

    Raises:
        SettingsError: with every fault.
        Unauthorized, Forbidden, ModelNotFound: the Hub's refusal, if nothing else is wrong.
    """
    reader = Reader(using, host=HOST_CREATE)
    _note_query_only(reader)
    found = read_identity(reader, engine)
    draft = Draft("model")
    ask_hub(found, engine, hub)
    find_missing_task(reader, found)
    if found.task is not None:
        note_provider(reader, found)
        note_price(reader, found)
        read_arguments(reader, found.task, draft, engine.media_roots)
        find_missing_model(reader, found, draft.values)
        ask_hub(found, engine, hub)
        note_conflicts(reader, found.facts, draft, found.model or found.endpoint)
        if found.model_given:  # a default model does its task, whatever its tags
            note_mismatch(reader, found)
            if unserved is not None:
                note_unserved(reader, found, engine, unserved)
    else:
        read_common(reader, draft)
    note_unknown(reader, found.task, MODEL)
    reader.finish(found.refusal)
    if found.task is None:  # unreachable: an unknown task is a fault
        raise SettingsError("USING has no task: write task = 'text-classification'")
    return _settings(found, found.task, draft, engine)


def _note_query_only(reader: Reader) -> None:
    """Record arguments that only a query has, which are not taken for misspelt others."""
    for name in reader.left():
        # Some tasks have a parameter ``stop``, a text or a list.
        value = reader.given[name]
        is_text = isinstance(value, str) and value.strip().lower() != "true"
        if name == STOP.name and (is_text or not truth(value)):
            continue
        if name in (STOP.name, CLEAR_CACHE.name):
            reader.claim(name)
            reader.fault(
                f"{name} is an argument of a query: remove it here, and write "
                f"SELECT * FROM my_model WHERE text = '' USING {name} = true"
            )
        elif name in HOST_QUERY:
            reader.claim(name)
            also = ", or write max_batch_size for the rows of a request" if name == "batch_size" else ""
            reader.fault(f"{name} is an argument of a query: write it in SELECT … USING, and remove it here{also}")


def _settings(found: Identity, task: Task, draft: Draft, engine: EngineSettings) -> ModelSettings:
    given = {
        "task": found.task_given,
        "model_name": found.model_given,
        "provider": found.provider is not None,
        "base_url": found.base_url is not None,
        "endpoint": found.endpoint is not None,
        "api_key": found.token is not None,
        "price": found.price is not None,
    }
    shared, sources = drafted(draft, engine)
    return ModelSettings(
        task=task.name,
        model=found.model,
        provider=found.provider or ("auto" if task.chat else "hf-inference"),
        base_url=found.base_url,
        endpoint=found.endpoint,
        price=found.price,
        **shared,
        facts=found.facts or ModelFacts(id=found.model),
        sources={**sources, **{name: "model" for name, is_given in given.items() if is_given}},
        token=found.token,
    )
