"""What one company, user, engine or key paid for, counts or runs is seen by no other; all share one store."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.cache import Cache, SqliteCache
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.describe import Description, describe
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.store import tenant_of
from tests.unit.end_to_end import LABELS, engine, model, predict
from tests.unit.loopback import Loopback, answer

HERE = Caller(tenant="1/1", engine="engine-1", model="model-1", name="m", target="y")
#: Everybody who is somebody else, though the names in SQL are the same.
OTHERS = {
    "company": replace(HERE, tenant="2/1"),
    "user": replace(HERE, tenant="1/2"),
    "nobody": replace(HERE, tenant="None/None"),
    "engine": replace(HERE, engine="engine-2"),
    "key": replace(HERE, key="key-1"),
    "odd company": replace(HERE, tenant='1/1","engine-1'),
}
SECRET = "what the first one asked"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(answer(LABELS)) as one:
        yield one


def _ask(server: Loopback, store: Cache, caller: Caller, **using: Any) -> tuple[list[Any], int]:
    """Predict one row as ``caller``; return what its meta tells, and how many requests were made."""
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", include_meta=True, **using)
    before = len(server.heard)
    found = predict(at, of, {"t": [SECRET]}, store=store, caller=caller, runtime=Runtime(), timeout=5)
    return [found["y"][0], found["y_meta"][0]], len(server.heard) - before


def _table(server: Loopback, store: Cache, caller: Caller, name: str) -> list[tuple[Any, ...]]:
    at = engine(server)
    about = Description(model(at, task="text-classification", input_column="t"), at, caller, store)
    return list(describe(about, name).itertuples(index=False, name=None))


def test_the_same_caller_is_served_from_the_cache(server: Loopback, store: Cache) -> None:
    """Else the tests below would show nothing."""
    assert _ask(server, store, HERE)[1] == 1
    cells, requests = _ask(server, store, HERE)
    assert requests == 0
    assert '"source": "cache"' in cells[1]


@pytest.mark.parametrize("other", OTHERS)
def test_no_answer_is_shared(server: Loopback, store: Cache, other: str) -> None:
    _ask(server, store, HERE)
    cells, requests = _ask(server, store, OTHERS[other])
    assert requests == 1
    assert '"source": "request"' in cells[1]


@pytest.mark.parametrize("other", OTHERS)
def test_nor_by_a_dry_run(server: Loopback, store: Cache, other: str) -> None:
    """A plan would tell whether somebody else has asked the very same."""
    _ask(server, store, HERE)
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", dry_run=True)
    plan = predict(at, of, {"t": [SECRET]}, store=store, caller=OTHERS[other], runtime=Runtime())
    assert list(plan["y_plan"]) == ["request"]


@pytest.mark.parametrize("other", [name for name in OTHERS if name != "key"])
def test_no_counter_and_no_run_is_shared(server: Loopback, store: Cache, other: str) -> None:
    """A model's counters are the model's, whoever's key it uses; they are no other's."""
    _ask(server, store, HERE)
    assert ("rows", 1) in _table(server, store, HERE, "usage")
    assert len(_table(server, store, HERE, "runs")) == 1
    assert {value for _, value in _table(server, store, OTHERS[other], "usage") if value} == set()
    assert _table(server, store, OTHERS[other], "runs") == []


def test_a_model_created_anew_starts_at_nothing_but_finds_its_engines_answers(server: Loopback, store: Cache) -> None:
    """MindsDB's ids come again after DROP: nothing here is named by them."""
    _ask(server, store, HERE)
    again = replace(HERE, model="model-2")
    assert _table(server, store, again, "runs") == []
    assert _ask(server, store, again)[1] == 0
    assert {value for _, value in _table(server, store, again, "usage") if value} != set()


def test_no_two_callers_have_the_same_scope() -> None:
    parts = ["", "0", "1", "0/0", "1/1", '"', ",", '","', "[", "None"]
    scopes = {Caller(tenant, at, of, "m", "y").scope for tenant, at, of in itertools.product(parts, repeat=3)}
    assert len(scopes) == len(parts) ** 3


def test_neither_names_nor_inputs_stand_in_the_store(server: Loopback, store: Cache, tmp_path: Path) -> None:
    """Whoever reads the file of one tenant's answers learns no other's questions."""
    _ask(server, store, HERE)
    store.close()
    raw = b"".join(path.read_bytes() for path in tmp_path.rglob("answers.sqlite*"))
    assert b"cat" in raw
    assert SECRET.encode() not in raw
    assert (tmp_path / "answers.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "planted",
    [b"", b"null", b"[" * 100_000, b"[1,2]", b'["x",{"a":NaN},{}]', b"[NaN,null,{}]", b'["x",{"a":1e999},{}]',
     b'["x",{"a":-' + b"9" * 400 + b'.0},{}]', b'[{"a":1},null,{}]', b'["x",[1],{}]', b'["x",{},' + b"9" * 5000 + b"]",
     b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.", b"\xff\xfe["],
    ids=range(13),
)  # fmt: skip
def test_what_others_write_to_the_store_is_asked_anew(server: Loopback, store: SqliteCache, planted: bytes) -> None:
    """A Redis may be shared with anybody; what lies there is read as an answer or as nothing, and ends no query."""
    _ask(server, store, HERE)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE answers SET value = ?", (planted,))
    connection.close()
    cells, requests = _ask(server, store, HERE)
    assert (cells[0], requests) == ("cat", 1)


def test_a_request_id_in_the_store_is_a_text(server: Loopback, store: SqliteCache) -> None:
    _ask(server, store, HERE)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE answers SET value = ?", (b'["x", {"a": 1}, {"request_id": {"a": 1}}]',))
    connection.close()
    cells, requests = _ask(server, store, HERE)
    assert (cells[0], requests) == ("x", 0)
    assert '"request_id": null' in cells[1]


def test_no_two_pairs_of_company_and_user_read_alike() -> None:
    """Both may be texts out of a request's headers."""
    parts = [None, 0, 1, "0", "1", "", "a", "a/b", "b", "/", '"', "None", "a/", "/b"]
    assert len({tenant_of(company, user) for company, user in itertools.product(parts, repeat=2)}) == len(parts) ** 2


def test_what_is_learnt_of_a_service_is_the_engines_own(server: Loopback, store: Cache) -> None:
    """The pace that one engine was slowed down to is not another's."""
    runtime = Runtime()
    assert runtime.service_state((("url", "m"), "engine-1")) is not runtime.service_state((("url", "m"), "engine-2"))


def test_a_rate_limit_is_per_engine_and_service_whatever_the_model_or_its_key() -> None:
    service = ("https://example.org", "org/model")
    pace = HERE.rate(service)
    assert replace(HERE, model="model-2", name="n", target="z", key="key-1").rate(service) == pace
    for who in ("company", "user", "nobody", "engine", "odd company"):
        assert OTHERS[who].rate(service) != pace, who
    assert HERE.rate(("https://example.org", "org/other")) != pace
