"""The doctor's checks of the task queue, and of what a MindsDB server and its consumers must have in common."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from ..host import queue_notes, settings
from .finding import Finding

#: Parts of the set-up that must be the same everywhere: name → (what differs, what to do).
AGREE = {
    "package": ("another version of this package", "install the same version on all machines, and restart them"),
    "mindsdb": (
        "another version of MindsDB",
        "install the same version on all machines: tasks are sent as Python objects",
    ),
    "python": ("another version of Python", "use the same one on all machines: tasks are sent as Python objects"),
    "secret_key": (
        "another secret_key",
        'set the same "secret_key" in the configuration of all: a consumer cannot read the engine\'s token without it',
    ),
    "database": (
        "another database of MindsDB's own",
        "set the same MINDSDB_DB_CON everywhere: it contains the models",
    ),
    "cache": ("another cache", 'set the same "cache" in the configuration of all'),
}


def check_queue() -> Iterator[Finding]:
    """Check the task queue, if there is one, and compare the set-ups of all machines that use it."""
    queue, cache = settings.queue_settings(), settings.cache_settings()
    if queue.get("type") != "redis":
        yield Finding("ok", "task queue", "none: predictions run on the server's own machine")
        return
    at = f"{queue.get('host')}:{queue.get('port')}"
    with contextlib.closing(queue_notes.connect(queue)) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            yield Finding(
                "problem",
                "task queue",
                f"the Redis at {at} cannot be used ({type(error).__name__})",
                "start it, or correct MINDSDB_ML_QUEUE_HOST, …_PORT, …_DB, …_USERNAME, …_PASSWORD",
            )
            return
        yield Finding("ok", "task queue", f"the Redis at {at} responds")
        yield from _check_cache(cache)
        yield from _check_persistence(client)
        yield from _check_consumers(client)
        queue_notes.note(client, "doctor")
        yield from _compare(client.hgetall(queue_notes.NOTES))


def _check_cache(cache: Any) -> Iterator[Finding]:
    if cache.type != "redis":
        yield Finding(
            "warning",
            "shared answers",
            f"MindsDB's cache is '{cache.type}', so each machine has its own answers and requests_per_minute",
            '"cache": {"type": "redis", "connection": {"host": …, "port": …, "db": 1}} in the configuration of all',
        )
        return
    with contextlib.closing(queue_notes.connect(cache.connection)) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            yield Finding(
                "problem",
                "shared answers",
                f"the cache's Redis cannot be used ({type(error).__name__})",
                'correct "cache": {"connection": …} in MindsDB\'s configuration',
            )
            return
        policy = ""
        with contextlib.suppress(redis.RedisError):  # a hosted Redis may refuse this
            policy = str(client.config_get("maxmemory-policy").get("maxmemory-policy", ""))
    if policy.startswith("allkeys"):
        yield Finding(
            "warning",
            "shared spending",
            f"with maxmemory-policy {policy} a full Redis forgets what queries with max_cost_per_day have spent",
            "set maxmemory-policy volatile-lru: then only answers are evicted, least recently used first",
        )
    yield Finding("ok", "shared answers", "answers, counters and requests_per_minute are shared through Redis")


def _check_persistence(client: Any) -> Iterator[Finding]:
    try:
        config = {name: client.config_get(name).get(name, "") for name in ("appendonly", "save", "maxmemory-policy")}
    except redis.RedisError:
        return  # a hosted Redis may refuse this
    if config["appendonly"] != "yes" and not config["save"]:
        yield Finding(
            "warning",
            "Redis persistence",
            "a restart of Redis deletes all answers, which are then billed again",
            "redis-server --appendonly yes",
        )
    if str(config["maxmemory-policy"]).startswith("allkeys"):
        yield Finding(
            "warning",
            "Redis memory",
            f"with maxmemory-policy {config['maxmemory-policy']} a full Redis drops tasks",
            "set maxmemory-policy volatile-lru: then only answers are evicted, least recently used first",
        )


def _check_consumers(client: Any) -> Iterator[Finding]:
    for machine, reason in sorted(queue_notes.refusals(client).items()):
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
    """Compare this machine's set-up with those of the others."""
    own, here = queue_notes.setup(), socket.gethostname()
    others = {}
    for name, text in notes.items():
        with contextlib.suppress(ValueError, AttributeError):
            noted = json.loads(text)
            if time.time() - float(noted.get("at", 0)) < queue_notes.NOTES_TTL:
                others[name.decode() if isinstance(name, bytes) else str(name)] = noted
    differ = False
    for name, (what, advice) in AGREE.items():
        odd = sorted(machine for machine, noted in others.items() if noted.get(name) != own[name])
        if odd:
            differ = True
            yield Finding("problem", "agreement", f"{', '.join(odd)}: {what}", advice)
    hosts = {machine.partition("/")[0] for machine in others} | {here}
    if len(hosts) > 1 and own["kind_of_database"] == "sqlite":
        differ = True
        yield Finding(
            "problem",
            "agreement",
            "MindsDB's own database is an SQLite file, which other machines cannot read",
            "set MINDSDB_DB_CON to a PostgreSQL or MySQL database that all of them can reach",
        )
    if not differ:
        yield Finding("ok", "agreement", f"{len(others)} set-ups noted, all alike")
