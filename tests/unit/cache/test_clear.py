"""Stored answers are shown by owner and deleted; the count that is told is the count that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from huggingface_api_handler.cache import Cache, Owner, SqliteCache, Stored, sqlite

from .conftest import TTL, Backend, unreachable

ONE, TWO = Owner("0", "hf", "mindsdb", "one"), Owner("0", "hf", "mindsdb", "two")


@pytest.fixture
def filled(keeping: Backend) -> Iterator[Cache]:
    """3 answers of ``one``, an hour later 2 of ``two``, 1 of nobody known."""
    cache = keeping.open()
    keeping.clock.now = float(int(keeping.clock.now))
    cache.register("scope-1", ONE)
    cache.register("scope-2", TWO)
    cache.put_many({f"a{n}": b"x" * 10 for n in range(3)}, ttl=86400, scope="scope-1")
    keeping.advance(3600)
    cache.put_many({f"b{n}": b"y" for n in range(2)}, TTL, scope="scope-2")
    cache.put_many({"c": b"z"}, TTL, scope="forgotten")
    yield cache
    cache.close()


def left(cache: Cache) -> str:
    return "".join(sorted(cache.get_many(["a0", "a1", "a2", "b0", "b1", "c"])))


def test_owners_are_remembered(filled: Cache, keeping: Backend) -> None:
    assert keeping.open().owners() == {"scope-1": ONE, "scope-2": TWO}


def test_sizes_by_owner(filled: Cache, keeping: Backend) -> None:
    now = int(keeping.clock.now)
    found = {stored.scope: stored for stored in filled.sizes() or []}
    assert found == {
        "scope-1": Stored("scope-1", 3, 3 * 30, now - 3600, now - 3600),
        "scope-2": Stored("scope-2", 2, 2 * 21, now, now),
        None: Stored(None, 1, 21, now, now),
    }
    assert [stored.scope for stored in filled.sizes(before=now) or []] == ["scope-1"]


@pytest.mark.parametrize(
    ("scopes", "gone", "remain"),
    [
        (["scope-1"], 3, "b0b1c"),
        (["scope-2", "scope-1"], 5, "c"),
        (["forgotten"], 1, "a0a1a2b0b1"),
        (["unknown"], 0, "a0a1a2b0b1c"),
        ([], 0, "a0a1a2b0b1c"),
        (None, 6, ""),
    ],
)
def test_clearing_deletes_what_it_says(filled: Cache, scopes: list[str] | None, gone: int, remain: str) -> None:
    assert filled.clear(scopes) == gone
    assert left(filled) == remain
    assert filled.clear(scopes) == 0
    filled.put_many({"a0": b"again"}, TTL)
    assert "a0" in left(filled)


def test_clearing_by_age(filled: Cache, keeping: Backend) -> None:
    now = keeping.clock.now
    assert filled.clear(["scope-2"], before=now - 60) == 0
    assert filled.clear(None, before=now - 60) == 3
    assert left(filled) == "b0b1c"


def test_many_are_deleted_a_part_at_a_time(keeping: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "ROWS_AT_ONCE", 300)
    cache = keeping.open()
    cache.put_many({f"{n:064x}": b"1" for n in range(2500)}, TTL, scope="s")
    cache.put_many({"other": b"1"}, TTL, scope="t")
    assert cache.clear(["s"]) == 2500
    assert cache.get_many(["other"]) == {"other": b"1"}
    cache.close()


def test_a_cache_that_cannot_be_reached_says_so(keeping: Backend) -> None:
    cache = unreachable(keeping)
    assert not cache.is_available()
    assert cache.clear(["s"]) is None
    assert cache.sizes() is None
    assert cache.owners() == {}
    cache.close()


def test_nothing_is_stored_without_a_cache(cache: Cache, backend: Backend) -> None:
    assert cache.is_available() is backend.keeps
    assert cache.clear() == 0
    assert cache.sizes() == []


def test_deleted_answers_do_not_remain_in_the_file(tmp_path: Path) -> None:
    cache = SqliteCache(tmp_path / "answers.sqlite")
    cache.put_many({f"k{n}": b"a customer's secret" * 20 for n in range(200)}, TTL, scope="s")
    assert cache.clear(["s"]) == 200
    cache.close()
    assert not any(b"customer's secret" in path.read_bytes() for path in tmp_path.iterdir())


def test_answers_of_versions_before_are_cleared_with_all(tmp_path: Path) -> None:
    cache = SqliteCache(tmp_path / "answers.sqlite")
    cache.file.write(lambda connection: connection.execute("INSERT INTO answers VALUES ('old', '[1]', 1e12)"))
    cache.put_many({"new": b"1"}, TTL, scope="s")
    assert cache.sizes(before=5.0) == [Stored(None, 1, 3)]
    assert cache.clear(["s"]) == 1
    assert cache.clear() == 1
    cache.close()


def test_the_runs_of_all_scopes(filled: Cache, keeping: Backend) -> None:
    for number, scope in enumerate(["scope-1", "scope-2"]):
        keeping.clock.now += 1
        filled.run_start(f"r{number}", scope, model="m", task="t", rows=1)
    assert [run.run for run in filled.runs()] == ["r1", "r0"]
    assert [run.run for run in filled.runs("scope-1")] == ["r0"]
