"""The cache that follows MindsDB's settings, and how a tenant is named in it. Imports nothing that takes long."""

from __future__ import annotations

import json
from typing import Any

from ..cache import Cache
from .runtime import Runtime

#: The file in the folder of the settings.
FILE = "answers.sqlite"


def open_store(runtime: Runtime, cache: Any) -> Cache:
    """Return the store that follows MindsDB's own cache setting.

    Args:
        cache: ``type`` (``local``, ``redis``, ``none``), ``folder``, ``connection``.
    """
    from ..cache import NoCache, RedisCache, SqliteCache

    if cache.type == "redis":
        connection = dict(cache.connection)
        key = ("redis", json.dumps(connection, sort_keys=True, default=str))
        return runtime.store(key, lambda: RedisCache(connection))
    if cache.type == "none":
        return runtime.store("none", NoCache)
    path = cache.folder / FILE
    return runtime.store(("sqlite", str(path)), lambda: SqliteCache(path))


def tenant_of(company: Any, user: Any) -> str:
    """Return a text that names a company and its user; both may be texts of a request's headers."""
    return json.dumps([company, user], default=str)


def answers_deleted(number: int) -> str:
    """Return how many answers were deleted, in words."""
    return f"{number:,} stored {'answer' if number == 1 else 'answers'} deleted"


def stops_requested(number: int) -> str:
    """Return how many queries were requested to stop, in words."""
    return f"{number:,} running {'query' if number == 1 else 'queries'} told to stop"
