"""MindsDB's configuration, as far as this package follows it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindsdb.utilities.config import Config
from mindsdb.utilities.context import context as ctx

#: The name under which MindsDB knows this package, in its configuration and its records.
ENGINE = "huggingface_api"

#: Arguments that hold a token, of an engine and of a model.
KEY_ARGUMENTS = ("api_key", "huggingface_api_api_key")

#: The key with which MindsDB encrypts if its configuration names none.
DUMMY_SECRET_KEY = "dummy-key"


@dataclass(frozen=True)
class CacheSettings:
    """Where MindsDB caches.

    Attributes:
        type: ``local``, ``redis`` or ``none``.
        folder: this package's folder, for ``local``.
        connection: arguments of the connection, for ``redis``.
    """

    type: str
    folder: Path
    connection: Mapping[str, Any]


def cache_settings() -> CacheSettings:
    """Return MindsDB's own cache settings, which this package follows."""
    config = Config()
    settings = config["cache"]
    return CacheSettings(
        type=str(settings.get("type", "local")),
        folder=Path(config["paths"]["cache"]) / ENGINE,
        connection=dict(settings.get("connection") or {}),
    )


def queue_settings() -> Mapping[str, Any]:
    """Return the settings of MindsDB's task queue: ``type`` (``local`` or ``redis``), ``host``, ``port``, ``db``…"""
    return dict(Config().get("ml_task_queue") or {})


def tenant() -> tuple[Any, Any]:
    """Return the company and the user of the current statement; ``None``: nobody is named.

    Before 26.0, MindsDB's HTTP server calls a user who is not named 0, and its other parts ``None``.
    """
    return ctx.company_id or None, ctx.user_id or None


def is_key_argument(name: Any) -> bool:
    """Return whether an argument of this name, in capitals or not, holds a token."""
    return str(name).lower() in KEY_ARGUMENTS


def configured_token() -> str | None:
    """Return the token in MindsDB's configuration file, if there is one."""
    section = Config().get(ENGINE) or {}
    if not isinstance(section, Mapping):
        return None
    return next((str(section[key]) for key in reversed(KEY_ARGUMENTS) if section.get(key)), None)


def secret_key() -> str:
    """Return the key with which MindsDB encrypts."""
    return str(Config().get("secret_key", DUMMY_SECRET_KEY))


def database_url() -> str:
    """Return the URL of MindsDB's own database; it may contain a password."""
    return str(Config()["storage_db"])


def community_handlers_folder() -> Path:
    """Return the folder from which MindsDB loads community handlers."""
    return Path(Config()["paths"]["root"]) / "community_handlers"


def mindsdb_version() -> str:
    """Return the version of MindsDB, ``none`` if it runs from source."""
    try:
        return importlib.metadata.version("mindsdb")
    except importlib.metadata.PackageNotFoundError:
        return "none"
