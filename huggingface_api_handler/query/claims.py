"""Has each input sent by one query only, although several that run at the same time need its answer.

A query claims the inputs that it is about to send. Another query that needs them sends its other inputs, then waits,
and finds the answers in the cache. No query waits while it holds a claim, so they never wait for each other in a
circle.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..cache import Cache
from ..cache.claims import CLAIM_KEPT_FOR
from ..scheduling.batches import Item

log = logging.getLogger(__name__)

#: Seconds between two looks whether those that are waited for have ended: at first, and at most.
LOOK_FIRST, LOOK_AT_MOST = 0.05, 0.5
#: Seconds after which a claim is renewed.
RENEW_EVERY = CLAIM_KEPT_FOR / 3

Lookup = Callable[[Sequence[Item]], list[Item]]
Send = Callable[[Sequence[Item]], bool]


def send_once(
    items: Sequence[Item],
    store: Cache,
    scope: str,
    lookup: Lookup,
    send: Send,
    *,
    patience: float,
    in_parts: bool,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Send ``items``, but for those that another query is sending, whose answers are waited for.

    Args:
        items: not in the cache a moment ago.
        scope: queries of one scope wait for each other.
        lookup: takes what the cache has of some items, and returns the others.
        send: sends items; whether the query goes on.
        patience: seconds to wait for other queries; what is missing then is sent.
        in_parts: whether ``send`` may be called more than once.
    """
    until = clock() + patience
    rest = list(items)
    while rest:
        with claimed(store, scope, rest) as (granted, holders):
            # What others answered between the first look and the claim is in the cache.
            rest = lookup(rest)
            own = [item for item in rest if item.key in granted]
            others = [item for item in rest if item.key not in granted]
            if own and others and not in_parts:
                own, others = rest, []
            if own and not send(own):
                return
        if others:
            log.info("waiting for %d answers that another query is getting", len(others))
            ended = _wait(store, scope, holders, until, clock, sleep)
            rest = lookup(others)
            if rest and (not ended or len(rest) == len(others)):
                # They take too long, or have got no answer either.
                send(rest)
                return
        else:
            rest = []


@contextmanager
def claimed(store: Cache, scope: str, items: Sequence[Item]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Claim the answers of items while the block runs; gives the keys that were granted, and who holds the others."""
    holder = uuid.uuid4().hex
    claim = store.claim(scope, [item.key for item in items], holder)
    if not claim.granted:
        yield claim
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEW_EVERY):
            store.renew_claim(scope, holder)

    threading.Thread(target=renew, name="huggingface-claim", daemon=True).start()
    try:
        yield claim
    finally:
        ended.set()
        store.release_claim(scope, holder)


def _wait(
    store: Cache,
    scope: str,
    holders: frozenset[str],
    until: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> bool:
    """Wait until no one of ``holders`` has its claim any more; whether that was so before ``until``."""
    pause = LOOK_FIRST
    while holders & store.claim_holders(scope):
        left = until - clock()
        if left <= 0:
            return False
        sleep(min(pause, left))
        pause = min(2 * pause, LOOK_AT_MOST)
    return True
