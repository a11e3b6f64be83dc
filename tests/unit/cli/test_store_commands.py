"""``stop``, ``watch`` and ``cache`` on a store that other processes write to."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from huggingface_api_handler.cache import Cache, Owner, RedisCache, SqliteCache
from huggingface_api_handler.cache.runs import RunState
from huggingface_api_handler.cli import main, watch
from huggingface_api_handler.cli import store as cli_store
from huggingface_api_handler.cli.tables import json_lines
from huggingface_api_handler.host import settings as host_settings
from huggingface_api_handler.query import runtime
from huggingface_api_handler.query.execution import ResultCollector
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.scheduling.batches import Item
from huggingface_api_handler.scheduling.results import RowResult
from huggingface_api_handler.tasks import TASKS
from tests.unit.cache.conftest import RedisServer
from tests.unit.end_to_end import CALLER

OURS = '["0", "0"]'


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(params=["local", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cache]:
    """The cache that MindsDB's settings name, as another process has opened it."""
    monkeypatch.setattr(logging, "disable", lambda level: None)
    monkeypatch.setattr(cli_store, "own_tenant", lambda: OURS)
    monkeypatch.setattr(runtime, "RUNTIME", Runtime())
    opened: Cache
    connection: dict[str, Any] = {}
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        import redis

        with contextlib.closing(redis.Redis.from_url(url)) as client:
            client.flushdb()
        connection = {"host": "127.0.0.1", "port": int(url.rsplit(":", 1)[1].split("/")[0])}
        opened = RedisCache(connection)
    else:
        opened = SqliteCache(tmp_path / "answers.sqlite")
    settings = SimpleNamespace(type=request.param, folder=tmp_path, connection=connection)
    monkeypatch.setattr(host_settings, "cache_settings", lambda: settings)
    for scope, tenant, engine, model in (
        ("s1", OURS, "hf", "one"), ("s1-old", OURS, "hf", "one"), ("s2", OURS, "other", "two"),
        ("s3", '["acme", "7"]', "hf", "one"),
    ):  # fmt: skip
        opened.register(scope, Owner(tenant, engine, "mindsdb", model))
        opened.put_many({f"{scope}-{number}": b"answer" for number in range(3)}, ttl=60, scope=scope)
        if scope != "s1-old":
            opened.run_start(f"run-of-{scope}", scope, model=model, task="text-classification", rows=1000)
    opened.run_start("ended", "s1", model="one", task="text-classification", rows=5)
    opened.run_end("ended", RunState(5, 1, "done"))
    yield opened
    opened.close()


class Said(SimpleNamespace):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[[str], Said]:
    def call(line: str) -> Said:
        code = main.main(line.split())
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    return call


# --- stop ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "stopped"),
    [
        ("stop --model one", {"s1"}),
        ("stop --model MINDSDB.One", {"s1"}),
        ("stop --model one --all-tenants", {"s1", "s3"}),
        ("stop --engine hf", {"s1"}),
        ("stop --engine other", {"s2"}),
        ("stop --all", {"s1", "s2"}),
        ("stop --all --all-tenants", {"s1", "s2", "s3"}),
        ("stop run-of-s2", {"s2"}),
        ("stop --model one --engine hf", {"s1"}),
    ],
)
def test_stop_tells_what_is_selected(store: Cache, run: Any, line: str, stopped: set[str]) -> None:
    said = run(line)
    assert said.code == 0
    assert {scope for scope in ("s1", "s2", "s3") if store.stop_requested([f"run-of-{scope}"])} == stopped
    queries = "query" if len(stopped) == 1 else "queries"
    assert said.out.splitlines()[-1] == f"{len(stopped)} running {queries} told to stop"
    assert len(said.out.splitlines()) == len(stopped) + 1
    assert not store.stop_requested(["ended"])


def test_stop_needs_one_selection(store: Cache, run: Any) -> None:
    for line, error in (
        ("stop", "write one of: RUN, --model NAME, --engine NAME, --all\n"),
        ("stop --all --model one", "--model NAME and --all are mutually exclusive: write only one of them\n"),
        (
            "stop --all --model one --engine hf",
            "--model NAME and --all are mutually exclusive: write only one of them\n",
        ),
        ("stop run-of-s1 --engine hf", "RUN and --engine NAME are mutually exclusive: write only one of them\n"),
    ):
        said = run(line)
        assert (said.code, said.out, said.err) == (2, "", error)
    assert run("stop run-of").err == (
        "not stopped: several running queries begin with run-of: `watch --once` lists them\n"
    )
    said = run("stop ended")
    assert (said.code, said.err) == (1, "not stopped: no running query begins with ended: `watch --once` lists them\n")


# --- cache -----------------------------------------------------------------------------------


def test_cache_shows_sizes_by_model(store: Cache, run: Any) -> None:
    lines = run("cache").out.splitlines()
    assert lines[0].split() == ["engine", "model", "answers", "size", "oldest", "newest"]
    # Of the model's two versions together; of no other tenant.
    assert [line.split()[:3] for line in lines[1:3]] == [["hf", "one", "6"], ["other", "two", "3"]]
    assert lines[3].startswith("9 stored answers, ")
    assert run("cache --all-tenants").out.splitlines()[-1].startswith("12 stored answers")
    (row,) = [json.loads(line) for line in run("cache --json --model two").out.splitlines()]
    assert {name: row[name] for name in ("engine", "model", "answers", "bytes")} == {
        "engine": "other", "model": "two", "answers": 3, "bytes": 3 * 26,
    }  # fmt: skip
    assert run("cache --older-than 1h").out.splitlines()[-1] == "0 stored answers, 0 B"


@pytest.mark.parametrize(
    ("line", "deleted", "left"),
    [
        ("--model one", 6, {"s2", "s3"}),
        ("--engine other", 3, {"s1", "s1-old", "s3"}),
        ("--model one --all-tenants", 9, {"s2"}),
        ("--all", 12, set()),
        ("--all --older-than 1h", 0, {"s1", "s1-old", "s2", "s3"}),
    ],
)
def test_cache_clear_deletes_what_is_selected(store: Cache, run: Any, line: str, deleted: int, left: set[str]) -> None:
    assert run(f"cache --clear {line}").out == f"{deleted} stored answers deleted\n"
    assert {scope for scope in ("s1", "s1-old", "s2", "s3") if store.get_many([f"{scope}-1"])} == left


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("cache --clear", "--clear: write one of: --model NAME, --engine NAME, --all\n"),
        (
            "cache --clear --all --model one",
            "--clear: --model NAME and --all are mutually exclusive: write only one of them\n",
        ),
        ("cache --all", "--all needs --clear: without --clear, --all-tenants shows everything\n"),
    ],
)
def test_cache_refuses_half_an_order(store: Cache, run: Any, line: str, error: str) -> None:
    said = run(line)
    assert (said.code, said.err) == (2, error)
    assert len(store.sizes() or []) == 4


# --- names that nothing has ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selected", "error"),
    [
        ("--model onne", "model 'onne': did you mean --model one?"),
        ("--model ones", "model 'ones': did you mean --model one?"),
        ("--model nosuch", "model 'nosuch': `cache` and `watch --once` list the models that queries have used"),
        ("--engine othr", "engine 'othr': did you mean --engine other?"),
        ("--model two --engine othr", "model 'two' of engine 'othr': did you mean --engine other?"),
        ("--model two --engine hf",
         "model 'two' of engine 'hf': `cache` and `watch --once` list the models that queries have used"),
        ("--model three", "model 'three' for this tenant: add --all-tenants to include the others"),
        ("--model a\x9b\u202eb", "model 'a b': `cache` and `watch --once` list the models that queries have used"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("command", "prefix"),
    [
        ("stop", "not stopped"), ("cache", "not done"), ("cache --clear", "not done"),
        ("watch --once", "nothing to watch"), ("watch --json", "nothing to watch"),
    ],
)  # fmt: skip
def test_a_name_that_no_query_has_used_is_refused(
    store: Cache, run: Any, command: str, prefix: str, selected: str, error: str
) -> None:
    store.register("s4", Owner('["acme", "7"]', "hf", "mindsdb", "three"))
    said = run(f"{command} {selected}")
    assert (said.code, said.out, said.err) == (1, "", f"{prefix}: no query has used the {error}\n")
    assert len(store.sizes() or []) == 4


# --- watch -----------------------------------------------------------------------------------


def test_watch_in_a_pipe_is_plain_text(store: Cache, run: Any) -> None:
    for line in ("watch", "watch --once"):
        lines = run(line).out.splitlines()
        assert lines[0].split() == list(watch.COLUMNS)
        shown = {row.split()[2]: row.split()[3] for row in lines[1:]}
        assert sorted(row.split()[3] for row in lines[1:]) == ["done", "running", "running"]
        assert set(shown) == {"one", "two"}
    assert "\x1b" not in "\n".join(lines)
    assert len(run("watch --once --all-tenants").out.splitlines()) == 5
    assert len(run("watch --once --model two").out.splitlines()) == 2


def test_a_table_of_many_ended_runs_says_that_it_is_cut(store: Cache, run: Any) -> None:
    note = "3 more ended in the last hour: --json lists all."
    for number in range(22):
        store.run_start(f"more-{number}", "s2", model="two", task="text-classification", rows=1)
        store.run_end(f"more-{number}", RunState(1, 0, "done"))
    lines = run("watch --once").out.splitlines()
    assert (len(lines), lines[-1]) == (1 + 2 + watch.RECENT + 1, note)
    assert len(run("watch --json").out.splitlines()) == 2 + 23
    everything: Any = SimpleNamespace(model=None, engine=None, all_tenants=False)
    file = io.StringIO()
    Console(file=file, width=200).print(watch.table(watch.rows_of(store, everything, time.time()), 0.0))
    assert note in file.getvalue()
    store.run_end("run-of-s3", RunState(1, 0, "done"))
    assert run("watch --once --model two").out.splitlines()[-1] == "2 more ended in the last hour: --json lists all."


def test_no_runs_are_said_to_be_none(store: Cache, run: Any) -> None:
    store.register("s4", Owner(OURS, "hf", "mindsdb", "three"))
    assert run("watch --once --model three").out.splitlines()[1:] == ["No query is running or ended in the last hour."]


#: What a terminal takes for orders, in names: sequences with ESC and with its single character, a change of direction,
#: a line separator, half of a surrogate pair.
ORDERS = "\x1b]0;title\x07\x9b31m\x85\u202e\u2066\u2028\u061c\ud800"


def test_json_escapes_control_characters() -> None:
    row = {"model": f"é😀 {ORDERS}"}
    line = json_lines([row])
    assert "é😀 " in line and not {*ORDERS} - {*"]0;title31m"} & {*line}
    assert json.loads(line) == row


def test_an_invalid_argument_sends_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["cache", "--older-than", "7\x9b31m\u202ed"])
    said = capsys.readouterr().err
    assert said.endswith("argument --older-than: '7 31m d' is no age: write 12h, 7d or 4w\n")
    assert "\x9b" not in said


def test_names_send_nothing_to_the_terminal(store: Cache, run: Any) -> None:
    store.register("s1", Owner(OURS, "hf\x1b[31m", "mindsdb", f"one{ORDERS[:-1]}"))
    everything: Any = SimpleNamespace(model=None, engine=None, all_tenants=True)
    file = io.StringIO()
    Console(file=file, width=200).print(watch.table(watch.rows_of(store, everything, time.time()), 0.0))
    for shown in (file.getvalue(), run("watch --once").out, run("cache").out, run("stop run-of-s1").out,
                  run("watch --json").out, run("cache --json").out):  # fmt: skip
        assert "]0;title" in shown and not {*ORDERS} - {*"]0;title31m"} & {*shown}


def test_a_narrow_terminal_shows_whole_what_matters(store: Cache, run: Any) -> None:
    everything: Any = SimpleNamespace(model=None, engine=None, all_tenants=True)
    rows = watch.rows_of(store, everything, time.time())
    file = io.StringIO()
    Console(file=file, width=80).print(watch.table(rows, 0.0, 80))
    shown = file.getvalue()
    assert "…" not in shown
    for row in rows:
        assert row["run"][:8] in shown and row["model"] in shown


def test_watch_for_scripts(store: Cache, run: Any) -> None:
    rows = {row["run"]: row for row in map(json.loads, run("watch --json").out.splitlines())}
    assert set(rows) == {"run-of-s1", "run-of-s2", "ended"}
    assert rows["ended"]["errors"] == 1
    assert rows["run-of-s1"]["rows"] == 1000
    assert rows["run-of-s1"]["pid"] == os.getpid()


def test_rate_and_time_left_at_half_time(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, one at 40 rows a second, one at 5 that began slowly; within 10 % of the truth at half-time."""
    began = 1_700_000_000.0
    now = [began]
    monkeypatch.setattr(store, "_clock", lambda: now[0])
    store._updates._clock = lambda: now[0]  # type: ignore[attr-defined]
    execution = SimpleNamespace(use_cache=False, cache_ttl=0)
    total = 2000

    def worker(rows: int, name: str) -> ResultCollector:
        caller = SimpleNamespace(scope="s1" if name == "fast" else "s2", name=name, owner=CALLER.owner)
        collector = ResultCollector(
            caller, TASKS["text-classification"], execution, store, rows, [None] * rows, clock=lambda: now[0]
        )
        monkeypatch.setattr(store, "register", lambda scope, owner: None)
        collector.begin()
        return collector

    def deliver(to: ResultCollector, count: int) -> None:
        start = to.done
        to.deliver([RowResult(1, attempts=1, item=Item(start + n, "k", "", None, 1)) for n in range(count)])

    fast, slow = worker(total, "fast"), worker(500, "slow")
    # Half-time of the fast run: 25 of 50 seconds. The slow one takes 20 seconds for its first 25 rows, then 5 a second.
    for tick in range(25 * 10):
        now[0] = began + (tick + 1) / 10
        deliver(fast, 4)
        if tick < 200 and tick % 8 == 7:
            deliver(slow, 1)
        if tick >= 200 and tick % 2:
            deliver(slow, 1)
    arguments = SimpleNamespace(model=None, engine=None, all_tenants=True)
    rows = {row["model"]: row for row in watch.rows_of(store, arguments, now[0]) if row["run"] in (fast.run, slow.run)}
    assert rows["one"]["rows_per_second"] == pytest.approx(40, rel=0.1)
    assert rows["one"]["seconds_left"] == pytest.approx(25, rel=0.1)
    while slow.done < 250:
        now[0] += 0.2
        deliver(slow, 1)
    rows = {row["run"]: row for row in watch.rows_of(store, arguments, now[0])}
    assert rows[slow.run]["rows_per_second"] == pytest.approx(5, rel=0.1)
    assert rows[slow.run]["seconds_left"] == pytest.approx(50, rel=0.1)


# --- where there is nothing to see -----------------------------------------------------------


@pytest.mark.parametrize("command", ["watch --once", "stop --all", "cache"])
def test_it_is_said_where_there_is_no_store(
    run: Any, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "disable", lambda level: None)
    monkeypatch.setattr(runtime, "RUNTIME", Runtime())
    settings = SimpleNamespace(type="local", folder=tmp_path, connection={})
    monkeypatch.setattr(host_settings, "cache_settings", lambda: settings)
    prefix = {"watch --once": "nothing to watch: ", "stop --all": "not stopped: ", "cache": "not done: "}[command]

    def says(text: str) -> None:
        said = run(command)
        assert (said.code, said.out, said.err) == (1, "", f"{prefix}{text}\n")

    path = tmp_path / "answers.sqlite"
    says(
        f"there is no {path}: nothing has been stored yet, or the server has other settings; set MINDSDB_CONFIG_PATH "
        "and MINDSDB_STORAGE_DIR as for the server"
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    says(f"{path} was written by another version of this package (format 99): use the version that MindsDB uses")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["answers.sqlite"]
    settings.type, settings.connection = "redis", {"host": "127.0.0.1", "port": 1}
    says("the cache in Redis cannot be read: check that it is reachable and that you may read it")
    settings.type = "none"
    says('MindsDB\'s cache is off ("cache": {"type": "none"}): no answer and no run is stored')
    monkeypatch.setattr(cli_store.importlib.util, "find_spec", lambda name: None)
    says(f"MindsDB is not installed for {sys.executable}: use the Python that runs MindsDB")


# --- on a terminal ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_is_left_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    cache = SqliteCache(tmp_path / "cache" / "huggingface_api" / "answers.sqlite")
    cache.register("s", Owner(OURS, "hf", "mindsdb", "moods"))
    cache.run_start("1" * 32, "s", model="moods", task="text-classification", rows=3000)
    cache.run_update("1" * 32, RunState(1500, 2))
    cache.close()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
    before = termios.tcgetattr(slave)
    environ = {
        **os.environ, "TERM": "xterm-256color", "MINDSDB_STORAGE_DIR": str(tmp_path), "MINDSDB_COMMUNITY_HANDLERS": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "huggingface_api_handler", "watch", "--all-tenants"]
    shown = b""

    def read(until: bytes, seconds: float) -> None:
        nonlocal shown
        end = time.monotonic() + seconds
        while until not in shown and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                shown += os.read(master, 65536)

    def with_sigint() -> None:  # which is ignored if the tests run in the background of a shell script
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environ, preexec_fn=with_sigint
    ) as process:
        try:
            read(b"moods", 60)
            assert b"\x1b[?25l" in shown  # the cursor is hidden while the table moves
            process.send_signal(number)
            assert process.wait(30) == 0
            read(b"\x1b[?25h", 10)
        finally:
            process.kill()
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"Traceback" not in shown
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_the_picture_of_watch_is_up_to_date() -> None:
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "docs/watch.py", "--check"], cwd=root, check=False).returncode == 0
