"""The answer stores: a file, a Redis, none."""

from __future__ import annotations

from .kept import NoStore, Run, Store
from .redis_store import RedisStore
from .sqlite_store import SqliteStore

__all__ = ["NoStore", "RedisStore", "Run", "SqliteStore", "Store"]
