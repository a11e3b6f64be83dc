"""SELECT … USING → the ``ModelSettings`` of one query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ..errors import SettingsError
from ..tasks import TASKS
from ..tasks.task import Task
from .coercion import shown, truth
from .parsing import Reader
from .settings import EngineSettings, ModelSettings
from .specs import COMMANDS, FIXED, HOST_QUERY, QUERY
from .task_arguments import Draft, drafted, note_conflicts, note_unknown, read_arguments
from .task_specs import parameter_specs


def query_settings(
    model: ModelSettings, engine: EngineSettings, overrides: Mapping[str, Any] | None, *, alias: str | None = None
) -> ModelSettings:
    """Return a model's settings for one query.

    Args:
        overrides: the query's USING. Names are folded to lower case, and ``m.top_k`` is ``top_k``
            if ``m`` is the model. Objects override the model's field by field; NULL removes what
            the model has.
        alias: the model's name in the query; ``None``: whatever precedes the dot is it.

    Raises:
        SettingsError: with every fault.
    """
    if not overrides:
        return replace(model, media_roots=engine.media_roots)
    reader, own = _reader(overrides, alias)
    _note_fixed(reader)
    _note_others(reader, own)
    task = TASKS[model.task]
    _take_commands(reader, task)
    draft = _draft_of(model)
    read_arguments(reader, task, draft, engine.media_roots)
    note_conflicts(reader, model.facts, draft, model.model or model.endpoint)
    note_unknown(reader, task, QUERY)
    reader.finish()
    shared, sources = drafted(draft, engine)
    return replace(model, **shared, sources=sources)


def query_command(task: Task, overrides: Mapping[str, Any], *, alias: str | None = None) -> str | None:
    """Return what the query does instead of asking the model: a name of ``COMMANDS``; ``None``: it asks the model.

    Args:
        overrides, alias: as for ``query_settings``, which checks the values.

    Raises:
        SettingsError: there are several.
    """
    names = {spec.name for spec in COMMANDS}
    if not any(str(name).rpartition(".")[2].strip("`").lower() in names for name in overrides):
        return None
    reader, _ = _reader(overrides, alias)
    found = _take_commands(reader, task)
    if len(found) > 1:
        raise SettingsError(f"{found[0]} and {found[1]} are mutually exclusive", advice="Write only one of them")
    return found[0] if found else None


def _reader(overrides: Mapping[str, Any], alias: str | None) -> tuple[Reader, str | None]:
    own = None if alias is None else alias.strip("`").lower()
    return Reader(overrides, host=HOST_QUERY, prefix=lambda before: own is None or before == own), own


def _take_commands(reader: Reader, task: Task) -> list[str]:
    """Return the commands that are set to true. ``stop`` is a parameter of some tasks, too: a list or another text."""
    parameters = {spec.name for spec in parameter_specs(task)}
    found: list[str] = []
    for spec in COMMANDS:
        value = reader.given.get(spec.name)
        if value is None or (spec.name in parameters and truth(value) is None):
            continue
        if spec.name in parameters and isinstance(value, str) and value.strip().lower() not in ("true", "false"):
            reader.claim(spec.name)
            reader.fault(
                f"{spec.name} = {shown(value)} is ambiguous: write {spec.name} = true to stop the running queries of "
                f"this model, or {spec.name} = [{shown(value)}] for a text that ends the answer"
            )
        elif reader.take(spec) is True:
            found.append(spec.name)
    return found


def _note_fixed(reader: Reader) -> None:
    for name in [one for one in reader.given if one in FIXED]:
        reader.claim(name)
        reader.fault(f"{name} cannot be changed in a query: remove it, or create another model with CREATE MODEL")


def _note_others(reader: Reader, own: str | None) -> None:
    for name in [one for one in reader.given if "." in one]:
        reader.claim(name)
        argument = name.rpartition(".")[2]
        also = f" or {own}.{argument}" if own else ""
        reader.fault(f"{name} names no model of the query: write {argument}{also}, or the model's alias before it")


def _draft_of(model: ModelSettings) -> Draft:
    """Return the model's own arguments, for a query to override."""
    execution = asdict(model.execution)
    return Draft(
        "query",
        columns=dict(model.columns),
        values=dict(model.values),
        parameters=dict(model.parameters),
        options=dict(model.options),
        execution={name: value for name, value in execution.items() if model.sources.get(name) == "model"},
        prompt_template=model.prompt_template,
        output_dir=model.output_dir,
        sources={name: source for name, source in model.sources.items() if source == "model"},
    )
