"""What is stored beyond a query: in a file, in Redis, or not at all."""

from __future__ import annotations

from .base import Cache, NoCache
from .budgets import Draw, Grant
from .owners import Owner, Stored
from .redis import RedisCache
from .runs import Run
from .sqlite import SqliteCache

__all__ = ["Cache", "Draw", "Grant", "NoCache", "Owner", "RedisCache", "Run", "SqliteCache", "Stored"]
