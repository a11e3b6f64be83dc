"""The arguments of CREATE ML_ENGINE, CREATE MODEL and SELECT … USING.

A value is looked up in the query's USING, then the model's, then the engine's, then in the defaults. All faults of a
statement are raised at once, each with what to write instead.

Read the package in this order: ``specs`` (the table), ``task_specs`` (what tasks add to it), ``coercion`` (one value),
``parsing`` (one statement), ``validators`` (rules beyond types), then ``engine``, ``model`` with ``identity``, and
``query``, one for each kind of statement.
"""

from __future__ import annotations

from .engine import engine_settings
from .model import model_settings
from .query import query_command, query_settings
from .settings import EngineSettings, ModelSettings
from .specs import ENGINE, MODEL, ArgumentSpec, Execution

__all__ = [
    "ENGINE",
    "MODEL",
    "EngineSettings",
    "Execution",
    "ArgumentSpec",
    "ModelSettings",
    "engine_settings",
    "model_settings",
    "query_command",
    "query_settings",
]
