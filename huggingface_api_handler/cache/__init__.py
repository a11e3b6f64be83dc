"""The answer stores: a file, a Redis, none."""

from __future__ import annotations

from .base import Cache, NoCache, Run
from .redis import RedisCache
from .sqlite import SqliteCache

__all__ = ["Cache", "NoCache", "RedisCache", "Run", "SqliteCache"]
