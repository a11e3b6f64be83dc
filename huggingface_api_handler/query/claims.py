"""Has each input sent by one query only, although several that run at the same time need its answer.

A query claims the inputs that it is about to send. Another query that needs them sends its other inputs, then waits,
and finds the answers in the cache. No query waits while it holds a claim, so they never wait for each other in a
circle.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from ..cache import Cache
from ..cache.claims import CLAIM_KEPT_FOR, Claim
from ..errors import Stopped
from ..scheduling.batches import Item
from .execution import ResultCollector
from .stopping import StopSignal, repeated

log = logging.getLogger(__name__)

#: Seconds between two looks whether those that are waited for have ended: at first, and at most.
LOOK_FIRST, LOOK_AT_MOST = 0.05, 0.5
#: Seconds after which a claim is renewed.
RENEW_EVERY = CLAIM_KEPT_FOR / 3

Lookup = Callable[[Sequence[Item]], list[Item]]
Send = Callable[[Sequence[Item]], "BaseException | None"]
WaitingRun = AbstractContextManager["list[Stopped]"]
Waiting = Callable[[Sequence[Item]], WaitingRun]


@dataclass(frozen=True)
class SendOnce:
    """Sends inputs, except those that another query is sending.

    Args:
        scope: queries of one scope wait for each other.
        lookup: takes what the cache has of some items, and returns the others.
        send: sends items; returns why the query must end, if it must.
        waiting: entered while answers are waited for; see ``waiting_run``.
    """

    store: Cache
    scope: str
    lookup: Lookup
    send: Send
    waiting: Waiting
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, items: Sequence[Item], *, patience: float, in_parts: bool) -> BaseException | None:
        """Send ``items`` or take their answers from the cache; return why the query must end, if it must.

        Args:
            items: not in the cache a moment ago.
            patience: seconds to wait for other queries; what is missing then is sent.
            in_parts: whether items may be sent in several parts.
        """
        until = self.clock() + patience
        rest = list(items)
        while rest:
            with self._claimed(rest) as claim:
                # What others answered between the first look and the claim is in the cache.
                rest = self.lookup(rest)
                own = [item for item in rest if item.key in claim.granted]
                others = [item for item in rest if item.key not in claim.granted]
                if own and others and not in_parts:
                    own, others = rest, []
                stopped = self.send(own) if own else None
            if stopped is not None or not others:
                return stopped
            with self.waiting(others) as causes:
                ended = self._wait(claim.holders, until, causes)
            if causes:
                return causes[0]
            rest = self.lookup(others)
            if rest and (not ended or len(rest) == len(others)):
                # They take too long, or have got no answer either.
                return self.send(rest)
        return None

    def _wait(self, holders: frozenset[str], until: float, causes: list[Stopped]) -> bool:
        """Wait until none of ``holders`` has its claim any more; whether that was so before ``until``."""
        log.info("waiting for answers that another query is getting")
        pause = LOOK_FIRST
        while holders & self.store.claim_holders(self.scope) and not causes:
            left = until - self.clock()
            if left <= 0:
                return False
            self.sleep(min(pause, left))
            pause = min(2 * pause, LOOK_AT_MOST)
        return True

    @contextmanager
    def _claimed(self, items: Sequence[Item]) -> Iterator[Claim]:
        """Claim the answers of items while the block runs."""
        holder = uuid.uuid4().hex
        claim = self.store.claim(self.scope, [item.key for item in items], holder)
        if not claim.granted:
            yield claim
            return
        renew = partial(self.store.renew_claim, self.scope, holder)
        try:
            with repeated(renew, RENEW_EVERY, "huggingface-claim"):
                yield claim
        finally:
            self.store.release_claim(self.scope, holder)


@contextmanager
def waiting_run(collector: ResultCollector, signal: StopSignal) -> Iterator[list[Stopped]]:
    """Show a query that waits as a run that can be stopped; gives why it must stop, as soon as it must."""
    causes: list[Stopped] = []
    collector.begin()
    try:
        with signal.watched(lambda cause, grace: causes.append(cause)):
            yield causes
    finally:
        collector.end("stopped" if causes else "waited")
