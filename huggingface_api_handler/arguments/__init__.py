"""The arguments of CREATE ML_ENGINE, CREATE MODEL and SELECT … USING.

A value is looked up in the query's USING, then the model's, then the engine's, then in the defaults. All faults of a
statement are raised at once, each with what to write instead.

How to add an argument:

1. One that controls requests (limits, retries, cost, cache) is a field of ``Execution`` in ``specs``: type, default,
   meaning, bounds, an example, and the ``levels`` at which it may be given. Validation, messages, override by a query,
   storage with the model, MindsDB's forms and the documentation follow from that line.
   One of a single task is an ``Argument`` in the task's entry under ``tasks``.
2. A rule beyond type, bounds and choices goes into ``validators.RULES`` under the argument's name.
3. Read it where it has its effect: ``model.execution.<name>``, or ``arguments.values["<name>"]`` in a task.
4. ``python docs/tables.py`` writes the forms and the tables of the documentation again.

Read the package in this order: ``specs`` (the table), ``task_specs`` (what tasks add to it), ``coercion`` (one value),
``parsing`` (one statement), ``validators`` (rules beyond types), then ``engine``, ``model`` with ``identity``, and
``query``, one for each kind of statement.
"""

from __future__ import annotations

from .engine import engine_settings, hub_login
from .model import model_settings
from .models import EngineSettings, ModelSettings
from .query import query_command, query_settings
from .specs import ENGINE, MODEL, ROUTER, ArgumentSpec, Execution

__all__ = [
    "ENGINE",
    "MODEL",
    "ROUTER",
    "EngineSettings",
    "Execution",
    "ArgumentSpec",
    "ModelSettings",
    "engine_settings",
    "hub_login",
    "model_settings",
    "query_command",
    "query_settings",
]
