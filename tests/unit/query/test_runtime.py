"""What the queries of a process share, and that it can be closed."""

from __future__ import annotations

import os

from huggingface_api_handler.cache.base import NoCache
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.query.runtime import Runtime
from tests.unit.loopback import Loopback, answer


class Recording(NoCache):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def test_everything_is_opened_once_and_again_after_close() -> None:
    runtime, policy = Runtime(), UrlPolicy(("http://127.0.0.1:1",))
    first = runtime.store("a", Recording)
    transport, state = runtime.transport(policy), runtime.service_state("s")
    assert runtime.store("a", Recording) is first
    assert runtime.transport(policy) is transport
    runtime.close()
    assert isinstance(first, Recording) and first.closed == 1
    assert runtime.store("a", Recording) is not first
    assert runtime.transport(policy) is not transport
    assert runtime.service_state("s") is not state
    runtime.close()
    assert first.closed == 1


def test_close_closes_idle_connections() -> None:
    with Loopback(answer([1])) as server:
        runtime, policy = Runtime(), UrlPolicy((server.url,))
        for _ in range(2):
            runtime.transport(policy).get(server.url, purpose="service", timeout=5)
        assert server.connections == 1
        runtime.close()
        runtime.transport(policy).get(server.url, purpose="service", timeout=5)
        assert server.connections == 2
        runtime.close()


def test_a_forked_process_leaves_what_belongs_to_its_parent_open() -> None:
    runtime = Runtime()
    store = runtime.store("a", Recording)
    assert isinstance(store, Recording)
    child = os.fork()
    if child == 0:
        runtime.close()
        os._exit(store.closed)
    assert os.waitpid(child, 0)[1] == 0
    runtime.close()
    assert store.closed == 1
