"""Hugging Face models as SQL tables: an ML engine for MindsDB.

MindsDB reads this file twice: as text, for the constants below, and by importing it. The handler, and with it MindsDB,
is imported at the first access to ``Handler``, so that the sandbox, the command line and most tests start fast.
"""

from __future__ import annotations

import importlib
from typing import Any

from .creation_args import creation_args
from .model_using_args import model_using_args

name = "huggingface_api"
title = "Hugging Face API"
description = "Every task of Hugging Face's inference services, from SQL"
version = "1.0.0"
type = "ml"
class_type = "ml"
icon_path = "icon.svg"
permanent = False

__version__ = version

__all__ = [
    "Handler",
    "creation_args",
    "description",
    "icon_path",
    "import_error",
    "model_using_args",
    "name",
    "permanent",
    "title",
    "type",
    "version",
]


def __getattr__(attribute: str) -> Any:
    """Import the handler when MindsDB asks for ``Handler`` or ``import_error``."""
    if attribute not in ("Handler", "import_error"):
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    handler: Any = None
    error: Exception | None = None
    try:
        handler = importlib.import_module(".handler", __name__).HuggingFaceInferenceAPIHandler
    except Exception as caught:  # MindsDB shows it to the user
        error = caught
    globals().update(Handler=handler, import_error=error)
    return globals()[attribute]
