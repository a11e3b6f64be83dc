"""Parts of SQL statements for users to paste: names, and RETRAIN with all arguments of a model."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from ..arguments import ModelSettings
from ..arguments.coercion import as_sql
from .caller import Caller

#: Characters of the longest statement that a message shows.
_LONGEST = 450
#: Numbers that MindsDB's parser takes without quotes.
_PLAIN_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")

#: What MindsDB's parser takes for no column's name.
_KEYWORDS = frozenset(
    """
    alter and as asc between case character collate convert cross delete desc describe distinct drop else end except
    explain false for from full having in inner insert intersect into is join latest left like limit not null on or
    outer over persist_only read right select set show then true union update use using values when where window with
    write
    """.split()  # noqa: SIM905
)


def quoted(column: str) -> str:
    """Return a column's name as SQL takes it."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", column) and column not in _KEYWORDS
    return column if plain else f"`{column}`"


def sql_name(caller: Caller) -> str:
    """Return a model's name in SQL, with its project unless that is the default one."""
    return quoted(caller.name) if caller.project == "mindsdb" else f"{quoted(caller.project)}.{quoted(caller.name)}"


def retrain(model: ModelSettings, caller: Caller, **arguments: str) -> str | None:
    """Return the RETRAIN of a model with other ``arguments``, as they are written in USING.

    RETRAIN … USING replaces all arguments, so those of the model are in it too.

    Returns:
        ``None`` if the statement would be too long for a message, or its texts have several lines.
    """
    given = {**_given(model), **arguments}
    using = ", ".join(f"{name} = {value}" for name, value in given.items())
    statement = f"RETRAIN {sql_name(caller)} USING {using};"
    return statement if len(statement) <= _LONGEST and "\n" not in statement else None


def _given(model: ModelSettings) -> dict[str, str]:
    """Return the arguments that CREATE MODEL gave, as they are written in USING."""
    known: dict[str, Any] = {
        "task": model.task,
        "model_name": model.model,
        "provider": model.provider,
        "base_url": model.base_url,
        "endpoint": model.endpoint,
        "prompt_template": model.prompt_template,
        "output_dir": model.output_dir,
        **model.columns,
        **model.values,
        **model.parameters,
        **asdict(model.execution),
    }
    given = {name: _written(value) for name, value in known.items() if model.sources.get(name) == "model"}
    if model.options:
        given["options"] = _written(dict(model.options))
    if model.token is not None:
        given["api_key"] = "'******'"  # the model keeps its key
    return given


def _written(value: Any) -> str:
    if isinstance(value, (bool, str)):
        return as_sql(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if _PLAIN_NUMBER.fullmatch(text) else as_sql(text)
