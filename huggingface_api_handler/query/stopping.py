"""Ends a query early: on request, when its model is dropped, or when the statement it is a part of is cancelled."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from ..cache import Cache
from ..errors import Stopped

log = logging.getLogger(__name__)

#: Seconds between two checks whether a query is to stop.
CHECK_EVERY = 2.0
#: Seconds that a stopped query waits for the requests it has sent.
GRACE = 1.5
#: Seconds for which the partitions of a stopped statement that have not started yet are refused; each refusal
#: extends it. After that, the statement may be resumed.
REFUSE_FOR = 20.0


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Statement:
    """What the host knows about the statement that a query belongs to.

    Attributes:
        names: of the statement, if the query is one of its partitions. A partition ends if the first is to stop; if it
            must end itself, it asks all of them to stop.
        gone: why the query must end, because its model or its statement no longer exists; ``None`` while both do.
    """

    names: tuple[str, ...] = ()
    gone: Callable[[], Stopped | None] = _nothing


class StopSignal:
    """Tells whether a query is to stop.

    Args:
        store: where other processes leave their requests to stop.
        statement: what the query belongs to.
        run: the query's id among the runs; ``None`` before it has one.
    """

    def __init__(self, store: Cache, statement: Statement, run: str | None = None) -> None:
        self._store = store
        self._statement = statement
        self._names = [*([run] if run is not None else []), *statement.names[:1]]

    def check(self) -> Stopped | None:
        """Return why the query must stop; ``None``: it continues. Also stops the statement's other partitions."""
        cause = self._statement.gone()
        if cause is None and self._store.stop_requested(self._names):
            cause = Stopped("the query was stopped on request", advice="Run it again to resume it")
        if cause is not None and self._statement.names:
            self._store.request_stop(self._statement.names, ttl=REFUSE_FOR)
        return cause

    def refuse_partition(self) -> None:
        """Raise ``Stopped`` if this is a partition of a statement that has been stopped."""
        cause = self.check() if self._statement.names else None
        if cause is not None:
            raise cause

    def watched(self, stop: Callable[[Stopped, float], None]) -> AbstractContextManager[None]:
        """Check every ``CHECK_EVERY`` seconds while the block runs, in one thread, and call ``stop`` with the cause."""

        def check() -> None:
            try:
                cause = self.check()
                if cause is not None:
                    stop(cause, GRACE)
            except Exception:  # a query must not fail because this check did
                log.warning("it cannot be checked whether a query is to stop", exc_info=True)

        return repeated(check, CHECK_EVERY, "huggingface-stop")


@contextmanager
def repeated(work: Callable[[], None], interval: float, name: str) -> Iterator[None]:
    """Call ``work`` every ``interval`` seconds while the block runs, in a thread called ``name``."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(interval):
            work()

    # The host keeps the tenant in a context variable.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name=name, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
