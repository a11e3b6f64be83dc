"""Queries that need the same answers at the same time pay for them once, and never wait for each other for ever."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.cache import Cache, NoCache, SqliteCache
from huggingface_api_handler.cache.claims import Claim
from huggingface_api_handler.errors import Stopped
from huggingface_api_handler.query import claims, stopping
from huggingface_api_handler.query.claims import SendOnce
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.scheduling.batches import Item

from .test_metrics import CALLER, predict

ROOT = Path(__file__).parents[3]


class Service:
    """Answers all but some keys, after a while; counts how often each was sent."""

    def __init__(self, store: Cache, bad: frozenset[str] = frozenset(), seconds: float = 0.0) -> None:
        self.store = store
        self.bad = bad
        self.seconds = seconds
        self.sent: Counter[str] = Counter()

    def send(self, items: Sequence[Item]) -> None:
        self.sent.update(item.key for item in items)
        time.sleep(self.seconds)
        self.store.put_many({item.key: b"answer" for item in items if item.key not in self.bad}, 60.0)


class Client:
    """One query, with its answers."""

    def __init__(
        self, service: Service, keys: Sequence[str], patience: float = 60.0, in_parts: bool = True, **using: Any
    ) -> None:
        self.service = service
        self.patience, self.in_parts = patience, in_parts
        self.once = SendOnce(service.store, "scope", self.lookup, self.send, self.waiting, **using)
        self.stopped: list[Stopped] = []
        self.waited = 0
        self.items = [Item(number, key, None, None, 1) for number, key in enumerate(keys)]
        self.found: set[str] = set()
        self.calls: list[list[str]] = []

    def lookup(self, items: Sequence[Item]) -> list[Item]:
        have = self.service.store.get_many([item.key for item in items])
        self.found |= {*have}
        return [item for item in items if item.key not in have]

    def send(self, items: Sequence[Item]) -> BaseException | None:
        self.calls.append([item.key for item in items])
        self.service.send(items)
        return self.stopped[0] if self.stopped else None

    def run(self) -> None:
        self.once.run(self.lookup(self.items), patience=self.patience, in_parts=self.in_parts)

    @contextmanager
    def waiting(self, items: Sequence[Item]) -> Iterator[list[Stopped]]:
        self.waited += 1
        yield self.stopped

    @property
    def answered(self) -> set[str]:
        return self.found | {key for call in self.calls for key in call if key not in self.service.bad}


def run_all(clients: Sequence[Client]) -> None:
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a query waits for ever"


def test_equal_queries_pay_once(store: Cache) -> None:
    service = Service(store, seconds=0.2)
    keys = [f"k{number}" for number in range(100)]
    clients = [Client(service, keys) for _ in range(4)]
    run_all(clients)
    assert set(service.sent.values()) == {1}
    assert all(client.answered == {*keys} for client in clients)


KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(st.lists(KEYS, min_size=1, max_size=4), st.frozensets(st.sampled_from("abcdefgh"), max_size=3), st.integers())
@settings(max_examples=40, deadline=None)
def test_queries_in_any_order_end_and_pay_once_for_what_has_an_answer(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[list[str]], bad: frozenset[str], seed: int
) -> None:
    store = SqliteCache(tmp_path_factory.mktemp("claims") / "answers.sqlite")
    chance = random.Random(seed)
    service = Service(store, bad, seconds=chance.choice([0.0, 0.002, 0.01]))
    clients = [Client(service, keys) for keys in wanted]
    run_all(clients)
    for client in clients:
        assert client.answered == {item.key for item in client.items} - bad
        assert all(count == 1 for count in Counter(key for call in client.calls for key in call).values())
    assert all(count == 1 for key, count in service.sent.items() if key not in bad)
    assert not store.claim_holders("scope")
    store.close()


def test_a_query_sends_its_own_inputs_before_it_waits(store: Cache) -> None:
    service = Service(store)
    assert store.claim("scope", ["a", "b"], "other").granted == {"a", "b"}
    client = Client(service, ["a", "b", "c"])
    thread = threading.Thread(target=client.run)
    thread.start()
    until(lambda: service.sent["c"] == 1)
    store.put_many({"a": b"answer"}, 60.0)
    store.release_claim("scope", "other")
    thread.join(30)
    assert client.calls == [["c"], ["b"]]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_budget_is_spent_in_one_go(store: Cache) -> None:
    service = Service(store)
    store.claim("scope", ["a"], "other")
    client = Client(service, ["a", "b"], in_parts=False)
    client.run()
    assert client.calls == [["a", "b"]]


def test_inputs_that_the_other_query_gets_no_answer_to_are_sent(store: Cache) -> None:
    service = Service(store, bad=frozenset("a"), seconds=0.1)
    clients = [Client(service, ["a"]) for _ in range(3)]
    run_all(clients)
    assert service.sent["a"] == 3
    assert max(len(client.calls) for client in clients) == 1


def test_waiting_ends_when_patience_ends(store: Cache) -> None:
    service, clock = Service(store), [100.0]
    store.claim("scope", ["a"], "other")

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    client = Client(service, ["a"], patience=5.0, clock=lambda: clock[0], sleep=sleep)
    client.run()
    assert client.calls == [["a"]]
    assert clock[0] == pytest.approx(105.0)


def test_a_query_that_ends_early_waits_for_nobody(store: Cache) -> None:
    store.claim("scope", ["b"], "other")
    client = Client(Service(store), ["a", "b"])
    client.stopped.append(Stopped("stopped"))
    client.run()
    assert client.calls == [["a"]]
    assert not client.waited
    assert store.claim_holders("scope") == {"other"}


def test_a_query_that_is_stopped_while_it_waits_sends_nothing(store: Cache) -> None:
    store.claim("scope", ["a"], "other")
    client = Client(Service(store), ["a"], sleep=lambda seconds: client.stopped.append(Stopped("stopped")))
    client.run()
    assert client.waited == 1
    assert not client.calls


def test_a_claim_is_renewed_while_it_is_held(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RENEW_EVERY", 0.01)
    renewed = threading.Event()
    monkeypatch.setattr(store, "renew_claim", lambda scope, holder: renewed.set())
    client = Client(Service(store), ["a"])
    monkeypatch.setattr(client.service, "send", lambda items: renewed.wait(30))
    client.run()
    assert renewed.is_set()


def test_without_a_cache_nobody_waits() -> None:
    client = Client(Service(NoCache()), ["a", "b"])
    client.run()
    assert client.calls == [["a", "b"]]


def test_a_query_that_waits_is_a_run_and_can_be_stopped(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(store, "claim", lambda scope, keys, holder: Claim(frozenset(), frozenset({"other"})))
    monkeypatch.setattr(store, "claim_holders", lambda scope: {"other"})
    with Sandbox() as sandbox, ThreadPoolExecutor() as pool:
        asked = pool.submit(predict, sandbox, store, ["a", "b"])
        until(lambda: bool(store.runs(CALLER.scope)))
        (run,) = store.runs(CALLER.scope)
        assert (run.state, run.rows, run.done) == ("running", 2, 0)
        store.request_stop([run.run])
        found = asked.result(30)
        assert not sandbox.sent()
    assert list(found["y_error_type"]) == ["stopped"] * 2
    assert [run.state for run in store.runs(CALLER.scope)] == ["stopped"]


_QUERIES = """
import sys
from pathlib import Path
from huggingface_api_handler.cache import SqliteCache
from tests.unit.query.test_metrics import predict

class Place:
    url = sys.argv[1]

store = SqliteCache(Path(sys.argv[2]))
print("ready", flush=True)
for name in sys.stdin:
    found = predict(Place, store, [f"{name} {number} good" for number in range(300)], max_batch_size=1)
    print(list(found["y"]).count("POSITIVE"), flush=True)
"""


def test_three_processes_pay_once_also_if_the_one_that_sends_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with Sandbox() as sandbox, ExitStack() as stack:
        sandbox.faults = {"latency": 0.05}
        command = [sys.executable, "-c", _QUERIES, sandbox.url, str(path)]
        processes = [
            stack.enter_context(
                subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(3)
        ]
        stack.callback(lambda: [process.kill() for process in processes])

        def read(process: subprocess.Popen[str]) -> str:
            assert process.stdout is not None
            return process.stdout.readline().strip()

        def ask(name: str) -> None:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"{name}\n")
                process.stdin.flush()

        assert [read(process) for process in processes] == ["ready"] * 3
        ask("first")
        assert [read(process) for process in processes] == ["300"] * 3
        assert 300 <= sandbox.sent() <= 315
        store = SqliteCache(path)
        usage = store.usage(CALLER.scope)
        assert usage["rows"] == usage["answered"] + usage["cached"] == 900
        assert {(run.state, run.done) for run in store.runs(CALLER.scope)} == {("done", 300), ("waited", 0)}

        sandbox.reset()
        sandbox.faults = {"latency": 0.05}
        ask("second")
        until(lambda: sandbox.sent() > 100)
        with sqlite3.connect(path) as connection:
            ((holder,),) = connection.execute("SELECT pid FROM claims").fetchall()
        killed = next(process for process in processes if process.pid == holder)
        killed.kill()
        killed.wait()
        others = [process for process in processes if process.pid != holder]
        assert [read(process) for process in others] == ["300"] * 2
        assert sandbox.sent() <= 300 + 16  # those under way when it was killed
        store.close()
