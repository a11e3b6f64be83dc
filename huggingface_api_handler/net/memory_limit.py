"""How much memory requests may use at once.

Many requests run at the same time, and a service, or the author of the rows, may make each one hold as much as its
own limit allows. So only ``MAX_LARGE`` requests at a time may hold more than ``LARGE`` bytes of media or response; the
others wait, within their own timeout. Parsed JSON takes many times its bytes, and Python parses in one thread at a
time anyway: so one request at a time holds parsed JSON of ``SMALL`` bytes or more.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

#: Bytes that every request may hold without asking.
LARGE = 16 * 2**20
#: Requests of a process that may hold more than ``LARGE`` bytes at a time.
MAX_LARGE = 4
#: JSON shorter than this is parsed by any number of threads at a time.
SMALL = 2**18


class MemoryLimit:
    """The limit that all requests of a process share.

    Which request a thread is working on is kept for the thread: memory is acquired in places that know no request, such
    as the loading of media and the reading of a body.
    """

    def __init__(self) -> None:
        self._large = threading.BoundedSemaphore(MAX_LARGE)
        self._parsing = threading.RLock()
        self._thread = threading.local()

    @contextmanager
    def request(self) -> Iterator[None]:
        """The time of one request in this thread, from loading its media to reading its response."""
        self._thread.is_large = False
        try:
            yield
        finally:
            if self._thread.is_large:
                self._large.release()
            del self._thread.is_large

    def acquire(self, size: int, seconds: float | None) -> None:
        """Wait until this thread's request may hold ``size`` bytes.

        A request waits at most once: after that it may hold what it needs until it ends. Outside of :meth:`request`
        there is no limit.

        Raises:
            TimeoutError: other requests held too much for ``seconds``.
        """
        if size <= LARGE or getattr(self._thread, "is_large", True):
            return
        if not self._large.acquire(timeout=seconds):
            raise TimeoutError("other requests use all the memory that is allowed at once")
        self._thread.is_large = True

    def parsing(self, size: int) -> AbstractContextManager[Any]:
        """The time during which JSON of ``size`` bytes is in memory as Python objects."""
        return nullcontext() if size < SMALL else self._parsing


MEMORY = MemoryLimit()

# A lock that another thread held at the time of a fork would never be released in the child.
os.register_at_fork(after_in_child=MEMORY.__init__)  # type: ignore[misc]
