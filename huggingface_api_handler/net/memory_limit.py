"""Room in memory: what is large is taken in by a few lanes at a time, and unpacked by one.

Lanes are many, and a service, or the writer of a row, may make each hold the most that a limit
allows. A lane that holds more than ``LARGE`` bytes, of media or of an answer, has to be one of
``AT_ONCE``; the others wait, within their own time. Turning JSON into objects takes many times its
bytes, and Python does it for one thread at a time anyway: so one lane at a time has the objects.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

#: Bytes that every lane may hold without asking.
LARGE = 16 * 2**20
#: Lanes of a process that may hold more.
AT_ONCE = 4
#: Answers shorter than this are unpacked by as many lanes as like.
SMALL = 2**18


class Room:
    """What the lanes of one process share."""

    def __init__(self) -> None:
        self._large = threading.BoundedSemaphore(AT_ONCE)
        self._unpacking = threading.RLock()
        self._lane = threading.local()

    @contextmanager
    def lane(self) -> Iterator[None]:
        """The time of one request, from its media to its answer, in this thread."""
        self._lane.holds = False
        try:
            yield
        finally:
            if self._lane.holds:
                self._large.release()
            del self._lane.holds

    def take(self, size: int, seconds: float | None) -> None:
        """Go on holding ``size`` bytes. Raises ``TimeoutError`` where there is no room within ``seconds``.

        A lane that has been let in holds what it needs until it ends: it waits but once, and never for itself.
        """
        if size <= LARGE or getattr(self._lane, "holds", True):
            return
        if not self._large.acquire(timeout=seconds):
            raise TimeoutError("other requests hold as much as may be held at once")
        self._lane.holds = True

    def unpacking(self, size: int) -> AbstractContextManager[Any]:
        """The time for which a JSON of ``size`` bytes stands in memory as objects."""
        return nullcontext() if size < SMALL else self._unpacking


ROOM = Room()

# Locks that another thread held when the process forked would never be given back.
os.register_at_fork(after_in_child=ROOM.__init__)  # type: ignore[misc]
