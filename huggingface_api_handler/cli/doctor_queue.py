"""What must agree between a MindsDB server and the consumers of its task queue.

Every consumer, and every machine on which the doctor is asked, notes in the queue's Redis how it is set up.
Whoever asks the doctor sees who differs. Secrets are noted as short fingerprints that are dear to guess from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .. import __version__
from .install import Finding

#: Redis keys under which set-ups are noted, and seconds for which they count.
NOTES, NOTED_FOR = "huggingface_api:setup", 7 * 86400
#: Redis key under which consumers that refuse to start are noted, and seconds for which they count.
REFUSALS, REFUSED_FOR = "huggingface_api:refusals", 86400
#: Seconds for a connection and an answer.
TIMEOUT = 5.0

#: What must be the same everywhere: name → (what differs, what to do).
AGREE = {
    "package": ("another version of this package", "install the same version on all machines, and restart them"),
    "mindsdb": (
        "another version of MindsDB",
        "install the same version on all machines: tasks travel as Python objects",
    ),
    "python": ("another version of Python", "use the same one on all machines: tasks travel as Python objects"),
    "secret_key": (
        "another secret_key",
        'set the same "secret_key" in the configuration of all: a consumer cannot read the engine\'s token without it',
    ),
    "database": (
        "another database of MindsDB's own",
        "set the same MINDSDB_DB_CON everywhere: models are looked up there",
    ),
    "cache": ("another cache", 'set the same "cache" in the configuration of all'),
}


def fingerprint(secret: str) -> str:
    """Return a few characters that tell secrets apart; each guess at the secret takes a tenth of a second."""
    return hashlib.scrypt(secret.encode(), salt=b"huggingface_api", n=2**15, r=8, p=1, maxmem=2**26, dklen=6).hex()


def setup() -> dict[str, str]:
    """Return how this machine is set up, as far as all must agree."""
    from mindsdb.utilities.config import Config

    from ..host import patches
    from .install import _version

    config = Config()
    cache = patches.cache_settings()
    connection = {name: cache.connection.get(name) for name in ("host", "port", "db")} if cache.type == "redis" else {}
    return {
        "package": __version__,
        "mindsdb": _version("mindsdb") or "none",
        "python": ".".join(platform.python_version_tuple()[:2]),
        "secret_key": fingerprint(str(config.get("secret_key", "dummy-key"))),
        "database": fingerprint(str(config["storage_db"])),
        "kind_of_database": str(config["storage_db"]).partition(":")[0],
        "cache": json.dumps([cache.type, connection], sort_keys=True),
    }


def note(client: Any, role: str) -> None:
    """Note this machine's set-up in Redis."""
    own = {**setup(), "role": role, "at": time.time(), "pid": os.getpid()}
    client.hset(NOTES, f"{socket.gethostname()}/{role}", json.dumps(own))
    client.expire(NOTES, NOTED_FOR)
    if role == "consumer":
        client.hdel(REFUSALS, socket.gethostname())


def note_refusal(client: Any, reason: str) -> None:
    """Note in Redis that a consumer on this machine refuses to start, for those who wait for one."""
    client.hset(REFUSALS, socket.gethostname(), json.dumps({"reason": reason, "at": time.time()}))
    client.expire(REFUSALS, REFUSED_FOR)


def refusals(client: Any) -> dict[str, str]:
    """Return why consumers refused to start, by machine; one that has started since is not among them."""
    found = {}
    for name, told in client.hgetall(REFUSALS).items():
        read = json.loads(told)
        if time.time() - float(read["at"]) < REFUSED_FOR:
            found[name.decode() if isinstance(name, bytes) else str(name)] = str(read["reason"])
    return found


def connect(settings: Mapping[str, Any]) -> Any:
    """Return a client for the queue's, or the cache's, connection settings."""
    import redis

    named = {name: settings[name] for name in ("username", "password") if settings.get(name)}
    return redis.Redis(
        host=str(settings.get("host") or "localhost"),
        port=int(settings.get("port") or 6379),
        db=int(settings.get("db") or 0),
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        **named,
    )


def check_queue() -> Iterator[Finding]:
    """Look at the task queue, where one is set up, and at whether all who use it agree."""
    import redis

    from ..host import patches

    queue, cache = patches.queue_settings(), patches.cache_settings()
    if queue.get("type") != "redis":
        yield Finding("ok", "task queue", "none: predictions run on the server's own machine")
        return
    at = f"{queue.get('host')}:{queue.get('port')}"
    with contextlib.closing(connect(queue)) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            yield Finding(
                "problem",
                "task queue",
                f"the Redis at {at} cannot be used ({type(error).__name__})",
                "start it, or mend MINDSDB_ML_QUEUE_HOST, …_PORT, …_DB, …_USERNAME, …_PASSWORD",
            )
            return
        yield Finding("ok", "task queue", f"the Redis at {at} answers")
        yield from _check_cache(cache)
        yield from _check_persistence(client)
        yield from _check_consumers(client)
        note(client, "doctor")
        yield from _compare(client.hgetall(NOTES))


def _check_cache(cache: Any) -> Iterator[Finding]:
    import redis

    if cache.type != "redis":
        yield Finding(
            "warning",
            "shared answers",
            f"MindsDB's cache is '{cache.type}', so each machine keeps answers and requests_per_minute for itself",
            '"cache": {"type": "redis", "connection": {"host": …, "port": …, "db": 1}} in the configuration of all',
        )
        return
    with contextlib.closing(connect(cache.connection)) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            yield Finding(
                "problem",
                "shared answers",
                f"the cache's Redis cannot be used ({type(error).__name__})",
                'mend "cache": {"connection": …} in MindsDB\'s configuration',
            )
            return
    yield Finding("ok", "shared answers", "answers, counters and requests_per_minute are shared through Redis")


def _check_persistence(client: Any) -> Iterator[Finding]:
    import redis

    try:
        told = {name: client.config_get(name).get(name, "") for name in ("appendonly", "save", "maxmemory-policy")}
    except redis.RedisError:
        return  # a hosted Redis may not tell
    if told["appendonly"] != "yes" and not told["save"]:
        yield Finding(
            "warning",
            "Redis persistence",
            "a restart of Redis forgets all answers, which are then paid for again",
            "redis-server --appendonly yes",
        )
    if str(told["maxmemory-policy"]).startswith("allkeys"):
        yield Finding(
            "warning",
            "Redis memory",
            f"with maxmemory-policy {told['maxmemory-policy']} a full Redis drops tasks",
            "maxmemory-policy volatile-lru: answers go, those that were not used for longest",
        )


def _check_consumers(client: Any) -> Iterator[Finding]:
    import redis

    for machine, reason in sorted(refusals(client).items()):
        yield Finding(
            "problem",
            "consumers",
            f"the one on {machine} refuses to start: {reason}",
            "follow that advice there, and start it again",
        )
    try:
        number = str(client.connection_pool.connection_kwargs.get("db", 0))
        waiting = sum(one.get("cmd") == "xreadgroup" and one.get("db") == number for one in client.client_list())
    except redis.RedisError:
        return
    if waiting:
        yield Finding("ok", "consumers", f"{waiting} wait for tasks")
    else:
        yield Finding(
            "warning",
            "consumers",
            "none waits for tasks at the moment",
            "python -m huggingface_api_handler consumer, on as many machines as you like",
        )


def _compare(notes: Mapping[Any, Any]) -> Iterator[Finding]:
    """Compare this machine's set-up with the others'."""
    own, here = setup(), socket.gethostname()
    others = {}
    for name, told in notes.items():
        with contextlib.suppress(ValueError, AttributeError):
            read = json.loads(told)
            if time.time() - float(read.get("at", 0)) < NOTED_FOR:
                others[name.decode() if isinstance(name, bytes) else str(name)] = read
    differ = False
    for name, (what, advice) in AGREE.items():
        odd = sorted(who for who, told in others.items() if told.get(name) != own[name])
        if odd:
            differ = True
            yield Finding("problem", "agreement", f"{', '.join(odd)}: {what}", advice)
    hosts = {who.partition("/")[0] for who in others} | {here}
    if len(hosts) > 1 and own["kind_of_database"] == "sqlite":
        differ = True
        yield Finding(
            "problem",
            "agreement",
            "MindsDB's own database is an SQLite file, which other machines do not see",
            "set MINDSDB_DB_CON to a PostgreSQL or MySQL that all reach",
        )
    if not differ:
        yield Finding("ok", "agreement", f"{len(others)} set-ups noted, all alike")
