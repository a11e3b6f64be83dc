"""One Redis that the processes of several machines share: connected to, and left alone when it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from .base import CircuitBreaker

T = TypeVar("T")

#: Seconds for a connection, and for a response, if the settings name none.
CONNECT_TIMEOUT, TIMEOUT = 2.0, 3.0
#: The same for a try while Redis is left alone.
PROBE_TIMEOUT = 0.25
#: What MindsDB's own client takes beside the connection's arguments.
_NOT_OURS = ("script_dir",)


class RedisConnection:
    """Runs commands on Redis, and never raises when Redis fails.

    A Redis that refuses to write, such as a replica or one without memory, is still read.

    Args:
        connection: a URL (``redis://…``) or the arguments of ``redis.Redis``.
    """

    def __init__(self, connection: str | Mapping[str, Any]) -> None:
        self._connection = connection
        self._client: Any = None
        self._lock = threading.Lock()
        self.reaching = CircuitBreaker("the answer cache in Redis")
        self.writing = CircuitBreaker("writing to the answer cache in Redis", "answers wait in memory")

    @property
    def is_writable(self) -> bool:
        """Whether neither connections nor writes have failed lately."""
        return not (self.reaching.is_open or self.writing.is_open)

    def read(self, work: Callable[[Any], T]) -> T | None:
        """Return the result of ``work``; ``None`` if Redis cannot be reached or refuses."""
        return None if self.reaching.is_open else self._run(work, self.reaching, self.reaching)

    def write(self, work: Callable[[Any], T], *, probe: bool = False) -> T | None:
        """Run what changes something, as ``read`` does.

        Args:
            probe: try it even while Redis is not used after a failure, but without a long wait.
        """
        if self.is_writable:
            return self._run(work, self.reaching, self.writing)
        if not probe:
            return None

        def try_once(_: Any) -> T:
            with self._new_client(socket_timeout=PROBE_TIMEOUT, socket_connect_timeout=PROBE_TIMEOUT) as client:
                return work(client)

        return self._run(try_once, self.reaching, self.writing)

    def run_script(
        self, script: str, keys: Sequence[str | bytes], arguments: tuple[Any, ...], breaker: CircuitBreaker
    ) -> list[float] | None:
        """Return the numbers that a script returns; ``None`` if Redis cannot be reached or refuses.

        Args:
            breaker: of all such scripts.
        """

        def run(client: Any) -> list[float]:
            # Its hash is sent, and the script itself only to a server that does not know it.
            found = client.register_script(script)(keys, arguments)
            return [float(number) for number in as_text(found).split()]

        return None if breaker.is_open or self.reaching.is_open else self._run(run, breaker, breaker)

    def close(self) -> None:
        """Close the connections; the next command connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run(self, work: Callable[[Any], T], failures: CircuitBreaker, refusals: CircuitBreaker) -> T | None:
        import redis

        try:
            done = work(self._connected())
        except redis.ResponseError as error:
            # After a failover, the name in the settings leads to another server than this connection. It closes when
            # no other thread uses it any more.
            with self._lock:
                self._client = None
            refusals.record_failure(error)
            return None
        except (redis.RedisError, OSError, TypeError, ValueError) as error:
            # The last two: arguments of the connection that the client does not know.
            failures.record_failure(type(error).__name__ if isinstance(error, (TypeError, ValueError)) else error)
            return None
        failures.record_success()
        refusals.record_success()
        return done

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self, **limits: float) -> Any:
        import redis

        given = {"socket_timeout": TIMEOUT, "socket_connect_timeout": CONNECT_TIMEOUT}
        # Answers are bytes, whatever the host's settings say.
        fixed = {**limits, "decode_responses": False}
        if isinstance(self._connection, str):
            client = redis.Redis.from_url(self._connection, **given)
            client.connection_pool.connection_kwargs.update(fixed)  # options of the URL would replace arguments
            return client
        own = {name: value for name, value in self._connection.items() if name not in _NOT_OURS}
        return redis.Redis(**{**given, **own, **fixed})


def as_text(value: Any) -> str:
    """Return what Redis sent as a text."""
    return value.decode() if isinstance(value, bytes) else str(value)
