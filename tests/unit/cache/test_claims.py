"""A key is one holder's at a time, over threads, processes and machines; what a dead holder had is free again."""

from __future__ import annotations

import threading
from collections import Counter

from huggingface_api_handler.cache import Cache
from huggingface_api_handler.cache.claims import CLAIM_KEPT_FOR, Claim

from .conftest import Backend, in_ended_process, unreachable


def test_a_key_is_granted_once_until_it_is_released(keeping: Backend) -> None:
    cache, another = keeping.open(), keeping.open()
    assert cache.claim("scope", ["a", "b"], "one") == Claim(frozenset("ab"))
    assert another.claim("scope", ["b", "c"], "two") == Claim(frozenset("c"), frozenset({"one"}))
    assert cache.claim("scope", ["a", "c"], "three") == Claim(frozenset(), frozenset({"one", "two"}))
    assert cache.claim_holders("scope") == {"one", "two"}
    another.release_claim("scope", "one")
    assert cache.claim_holders("scope") == {"two"}
    assert cache.claim("scope", ["a", "b", "c"], "four") == Claim(frozenset("ab"), frozenset({"two"}))
    cache.close()
    another.close()


def test_scopes_know_nothing_of_each_other(keeping: Backend) -> None:
    cache = keeping.open()
    cache.claim("scope", ["a"], "one")
    assert cache.claim("another", ["a"], "two") == Claim(frozenset("a"))
    cache.release_claim("another", "one")
    assert cache.claim_holders("scope") == {"one"}
    cache.close()


def test_a_claim_ends_unless_it_is_renewed(keeping: Backend) -> None:
    cache = keeping.open()
    cache.claim("scope", ["a"], "kept")
    cache.claim("scope", ["b"], "silent")
    keeping.advance(CLAIM_KEPT_FOR - 5)
    assert cache.claim_holders("scope") == {"kept", "silent"}
    cache.renew_claim("scope", "kept")
    keeping.advance(10)
    assert cache.claim_holders("scope") == {"kept"}
    assert cache.claim("scope", ["a", "b"], "next").granted == {"b"}
    cache.close()


def test_the_claim_of_a_process_that_has_ended_ends_with_it(keeping: Backend) -> None:
    cache = keeping.open()
    with in_ended_process():
        cache.claim("scope", ["a"], "dead")
    assert cache.claim_holders("scope") == set()
    assert cache.claim("scope", ["a"], "next").granted == {"a"}
    cache.close()


def test_a_clock_that_was_set_back_leaves_no_claim_behind(keeping: Backend) -> None:
    cache = keeping.open()
    if keeping.kind == "sqlite":
        keeping.clock.now += 10 * CLAIM_KEPT_FOR
        cache.claim("scope", ["a"], "future")
        keeping.clock.now -= 10 * CLAIM_KEPT_FOR
    assert cache.claim_holders("scope") == set()
    assert cache.claim("scope", ["a"], "next").granted == {"a"}
    cache.close()


def test_each_key_is_granted_to_one_of_those_that_claim_at_the_same_moment(keeping: Backend) -> None:
    granted: Counter[str] = Counter()
    start = threading.Barrier(8)

    def claim(number: int) -> None:
        cache = keeping.open()
        start.wait()
        granted.update(cache.claim("scope", [f"k{key}" for key in range(number, number + 20)], f"h{number}").granted)
        cache.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted == Counter({f"k{key}": 1 for key in range(27)})


def test_without_a_cache_everything_is_granted(backend: Backend) -> None:
    cache: Cache = unreachable(backend) if backend.keeps else backend.open()
    for holder in ("one", "two"):
        assert cache.claim("scope", ["a"], holder) == Claim(frozenset("a"))
        cache.renew_claim("scope", holder)
        cache.release_claim("scope", holder)
    assert cache.claim_holders("scope") == set()
    cache.close()
