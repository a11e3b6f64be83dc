"""Engine, model and query arguments: typed, aliased, validated, layered.

An argument is looked for in the query's USING, then the model's, then the engine's, then in the
defaults. Everything that is wrong with a statement is said at once, each fault with what to
write instead.
"""

from __future__ import annotations

from .engine import engine_settings, hub_login
from .model import model_settings, query_settings
from .models import EngineSettings, Execution, ModelSettings
from .specs import ENGINE, MODEL, ROUTER, ArgumentSpec

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
    "query_settings",
]
