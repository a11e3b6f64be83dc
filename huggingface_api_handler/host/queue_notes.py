"""Notes about the set-up of each server and consumer, in the Redis of MindsDB's task queue.

Every consumer, and every machine on which the doctor runs, notes its set-up. Secrets are noted as short fingerprints
that are expensive to guess from.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import time
from collections.abc import Mapping
from typing import Any

import redis

from .. import __version__
from . import settings

#: Redis key of the noted set-ups, and the seconds for which they count.
NOTES, NOTES_TTL = "huggingface_api:setup", 7 * 86400
#: Redis key of the consumers that refused to start, and the seconds for which they count.
REFUSALS, REFUSALS_TTL = "huggingface_api:refusals", 86400
#: Seconds for a connection and a response.
TIMEOUT = 5.0


def fingerprint(secret: str) -> str:
    """Return a few characters that tell secrets apart; each guess at the secret takes a tenth of a second."""
    return hashlib.scrypt(secret.encode(), salt=b"huggingface_api", n=2**15, r=8, p=1, maxmem=2**26, dklen=6).hex()


def setup() -> dict[str, str]:
    """Return the part of this machine's set-up that must be the same everywhere."""
    cache = settings.cache_settings()
    connection = {name: cache.connection.get(name) for name in ("host", "port", "db")} if cache.type == "redis" else {}
    return {
        "package": __version__,
        "mindsdb": settings.mindsdb_version(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "secret_key": fingerprint(settings.secret_key()),
        "database": fingerprint(settings.database_url()),
        "kind_of_database": settings.database_url().partition(":")[0],
        "cache": json.dumps([cache.type, connection], sort_keys=True),
    }


def note(client: Any, role: str) -> None:
    """Note this machine's set-up.

    Args:
        client: the queue's Redis.
        role: ``consumer`` or ``doctor``.
    """
    own = {**setup(), "role": role, "at": time.time(), "pid": os.getpid()}
    client.hset(NOTES, f"{socket.gethostname()}/{role}", json.dumps(own))
    client.expire(NOTES, NOTES_TTL)
    if role == "consumer":
        client.hdel(REFUSALS, socket.gethostname())


def note_refusal(client: Any, reason: str) -> None:
    """Note that a consumer on this machine refuses to start, for queries that wait for one."""
    client.hset(REFUSALS, socket.gethostname(), json.dumps({"reason": reason, "at": time.time()}))
    client.expire(REFUSALS, REFUSALS_TTL)


def refusals(client: Any) -> dict[str, str]:
    """Return machine → why its consumer refused to start, without those that have started since."""
    found = {}
    for name, text in client.hgetall(REFUSALS).items():
        noted = json.loads(text)
        if time.time() - float(noted["at"]) < REFUSALS_TTL:
            found[name.decode() if isinstance(name, bytes) else str(name)] = str(noted["reason"])
    return found


def connect(connection: Mapping[str, Any]) -> Any:
    """Return a client for the connection settings of the queue or the cache."""
    credentials = {name: connection[name] for name in ("username", "password") if connection.get(name)}
    return redis.Redis(
        host=str(connection.get("host") or "localhost"),
        port=int(connection.get("port") or 6379),
        db=int(connection.get("db") or 0),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        **credentials,
    )
