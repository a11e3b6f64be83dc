"""MindsDB's own task queue on Redis: predictions run in consumers, answers are shared through Redis."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pymysql
import pytest

from huggingface_api_handler.host.queue_notes import refusals
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.mindsdb_server import HOST, MindsDBServer, SQLError, service_environment
from tests.services import RedisServer

from .conftest import postgres_with_reviews
from .expected import REVIEWS, TWIN_REVIEWS, mood
from .one_process import environment, found_by, queue_environment
from .scrape import totals_of, usage_of


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The server's queue is in database 0; tests with consumers of their own use others."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    installed: None, sandbox: Sandbox, queue: RedisServer, duck: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MindsDBServer]:
    environ = {
        **service_environment(sandbox.url, sandbox.hub_url),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics")),
        "MINDSDB_ML_QUEUE_TYPE": "redis",
        "MINDSDB_ML_QUEUE_HOST": HOST,
        "MINDSDB_ML_QUEUE_PORT": str(queue.port),
        "MINDSDB_ML_QUEUE_DB": "0",
    }
    config = {
        "cache": {"type": "redis", "connection": {"host": HOST, "port": queue.port, "db": 0}},
        # Rows that a partitioned query fetches at a time, whatever its batch_size.
        "data_stream": {"fetch_size": 100},
    }
    with MindsDBServer(environ=environ, config=config) as running:
        running.start_consumer()
        running.sql("CREATE ML_ENGINE hf FROM huggingface_api USING api_key = 'hf_" + "q" * 34 + "'")
        parameters = json.dumps({"database": str(duck), "read_only": True})
        running.sql(f"CREATE DATABASE duck WITH ENGINE = 'duckdb', PARAMETERS = {parameters}")
        running.sql("CREATE MODEL s PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text'")
        running.wait_for_model("s")
        yield running


@pytest.mark.parametrize(("table", "rows"), [("reviews", REVIEWS), ("twins", TWIN_REVIEWS)])
def test_a_join_through_a_consumer(
    server: MindsDBServer, sandbox: Sandbox, table: str, rows: list[tuple[int, str, str | None]]
) -> None:
    statement = f"SELECT r.id, m.mood FROM duck.{table} AS r JOIN s AS m ON m.text = r.review"
    truth = {number: mood(review) for number, _, review in rows}
    assert dict(server.sql(statement).rows) == truth
    sandbox.reset()
    assert dict(server.sql(statement).rows) == truth
    assert not sandbox.inference_requests()  # the answers are in Redis


def test_errors_come_back_as_clean_as_without_a_queue(server: MindsDBServer) -> None:
    with pytest.raises(SQLError) as refused:
        server.sql("CREATE MODEL t PREDICT mood USING engine = 'hf', task = 'text-clasification', column = 'text'")
    assert str(refused.value).splitlines()[0].endswith("did you mean 'text-classification'?")
    assert "Traceback" not in str(refused.value)


def test_no_key_stands_in_redis(server: MindsDBServer, queue: RedisServer) -> None:
    with contextlib.closing(queue.client()) as client:
        held = [client.dump(key) or b"" for key in client.scan_iter()]
        assert held
        assert not any(("hf_" + "q" * 34).encode() in value for value in held)


def test_counters_are_shared_through_redis(server: MindsDBServer) -> None:
    usage = dict(server.sql("DESCRIBE s.usage").rows)
    assert usage["rows"] >= len(REVIEWS)
    assert usage["cached"] > 0


def test_metrics_of_two_consumers_add_up_to_usage(server: MindsDBServer, sandbox: Sandbox) -> None:
    server.start_consumer()
    server.sql(
        "CREATE MODEL metered PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 5, parameters = {'function_to_apply': 'softmax'}"
    )
    server.wait_for_model("metered")
    sandbox.faults = {"latency": 0.1, "rules": [{"kind": "status", "status": 429, "next": 2}]}
    statement = (
        "SELECT m.mood FROM duck.reviews AS r JOIN metered AS m ON m.text = r.review WHERE r.id >= {} AND r.id < {}"
    )
    with ThreadPoolExecutor() as clients:
        list(clients.map(lambda part: server.sql(statement.format(100 * part, 100 * part + 100)), range(6)))
    server.sql(statement.format(0, 100))
    usage, sums = usage_of(server, "metered"), totals_of(server, "metered")
    assert 0 < sums.pop("answered requests") <= usage["requests"]
    assert sums == usage
    assert usage["throttled"] == 2
    assert dict(server.sql("DESCRIBE metered.usage").rows)["rows"] == len(REVIEWS) + 100


def test_clients_that_come_and_go_leave_nothing_open(server: MindsDBServer) -> None:
    def ask(times: int) -> None:
        for _ in range(times):
            connection = pymysql.connect(host="127.0.0.1", port=server.mysql_port, user="mindsdb", database="mindsdb")
            with contextlib.closing(connection), connection.cursor() as cursor:
                cursor.execute("SELECT mood FROM s WHERE text = 'I love this'")
                assert cursor.fetchall() == (("POSITIVE",),)

    ask(5)
    (serving,) = (
        child
        for child in psutil.Process(server.pid).children()
        if any(one.status == "LISTEN" and one.laddr.port == server.mysql_port for one in child.net_connections("tcp"))
    )
    before = serving.num_fds()
    ask(50)
    assert serving.num_fds() <= before + 4


# --- what happens when a part dies -----------------------------------------------------------


@pytest.fixture(scope="module")
def tasks(installed: None, queue: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What becomes of tasks in a queue of their own, with a consumer that does as the script says."""
    return found_by("queue_inprocess", queue_environment(tmp_path_factory.mktemp("tasks"), HOST, queue.port, 1))


def test_two_tasks_of_one_moment_have_two_names(tasks: dict[str, Any]) -> None:
    assert tasks["same names without the patch"]
    assert not tasks["same names"]


@pytest.mark.parametrize("part", ["connection_args", "problem_definition"])
def test_the_key_of_a_statement_is_encrypted_in_the_queue(tasks: dict[str, Any], part: str) -> None:
    assert tasks[f"key in the clear in {part}"] is False
    assert tasks[f"key taken out of {part}"] is True
    assert "hf_" not in tasks[f"key of another secret_key in {part}"]
    assert "cannot be read" in tasks[f"key of another secret_key in {part}"]


def test_a_consumer_is_patched_by_its_first_task(tasks: dict[str, Any]) -> None:
    assert tasks["consumer patched"]


def test_a_process_keeps_one_set_of_connections(tasks: dict[str, Any]) -> None:
    assert tasks["connections shared"]
    assert not tasks["connections mixed up"]


@pytest.mark.parametrize(
    ("life", "times"),
    [
        ("answered", 1),
        ("answered before anybody listens", 1),
        ("slow, with signs of life", 1),
        ("its consumer dies at work", 2),
        ("its consumer dies at once", 2),
        ("its answer is gone", 2),
        ("its worker is killed", 2),
    ],
)
def test_a_task_is_answered_whatever_befalls_it(tasks: dict[str, Any], life: str, times: int) -> None:
    assert tasks[life] == [{"label": ["A"]}, times]


def test_a_task_that_cannot_be_done_says_why(tasks: dict[str, Any]) -> None:
    assert tasks["it fails"] == ["ValueError: no", 1]
    for life, times, why in (
        ("a training is not begun twice", 1, "lost the task: its consumer has been silent"),
        ("every consumer dies", 6, "lost the task: its consumer has been silent"),
        ("nobody takes it", 0, "no consumer of MindsDB's task queue took the query"),
    ):
        came, puts = tasks[life]
        assert why in came
        assert puts == times
    assert tasks["waited"] >= 2.5
    came, _ = tasks["nobody takes it, and a consumer has refused to start"]
    assert f"the one on {socket.gethostname()} refuses to start: its link leads elsewhere" in came


@pytest.mark.parametrize("sigint", [signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "background"])
def test_a_worker_whose_parent_is_killed_ends_in_good_order(
    installed: None, tmp_path: Path, sigint: signal.Handlers
) -> None:
    """Shell scripts start what runs in the background with SIGINT ignored."""
    output = tmp_path / "told"
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.mindsdb.orphan", str(output)], cwd=Path(__file__).parents[2],
        env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),
    )  # fmt: skip
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _until(lambda: _has_ended(worker))
    assert output.read_text() == "in good order"


def test_a_consumer_ends_when_it_is_told_to_and_the_doctor_knows_it(
    installed: None, queue: RedisServer, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "huggingface_api_handler", "consumer", "--tasks", "2"]
    with contextlib.closing(queue.client(2)) as client:
        environ = queue_environment(tmp_path, HOST, queue.port, 2)
        consumer = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until(lambda: any(one["cmd"] == "xreadgroup" and one["db"] == "2" for one in client.client_list()))
            script = "from huggingface_api_handler.cli.doctor_queue import check_queue as c; print(*c(), sep='\\n')"
            output = subprocess.run(
                [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
            ).stdout
            assert re.search(r"ok +agreement: 2 set-ups noted, all alike", output), output
            assert re.search(r"ok +consumers: \d+ wait for tasks", output), output
            environ["MINDSDB_DB_CON"] = "sqlite:///elsewhere.db"
            output = subprocess.run(
                [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=60, check=True
            ).stdout
            assert "another database of MindsDB's own" in output
            consumer.send_signal(signal.SIGTERM)
            assert consumer.wait(60) == 0
        finally:
            consumer.kill()
            consumer.wait()


def test_a_consumer_that_refuses_to_start_says_so_in_the_queue(
    installed: None, queue: RedisServer, tmp_path: Path
) -> None:
    # The link leads to another copy than the one that is run.
    script = (
        "import pathlib, sys; from huggingface_api_handler.cli import link, main; "
        f"link.PACKAGE = pathlib.Path({str(tmp_path)!r}); sys.exit(main.main(['consumer']))"
    )
    with contextlib.closing(queue.client(3)) as client:
        done = subprocess.run(
            [sys.executable, "-c", script], env=queue_environment(tmp_path, HOST, queue.port, 3), capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        noted = refusals(client)
    assert done.returncode == 1
    assert "not started: MindsDB finds another handler of this name" in done.stderr
    assert "MindsDB finds another handler of this name" in noted[socket.gethostname()]


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _until(ready: Callable[[], bool], timeout: float = 60.0) -> None:
    end = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def _worker_of(consumers: list[int], sandbox: Sandbox) -> tuple[int, int]:
    """Return the consumer whose worker talks to the sandbox, and that worker."""
    port = int(sandbox.hub_url.rsplit(":", 1)[1])
    while True:
        for consumer in consumers:
            for child in psutil.Process(consumer).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if any(one.raddr and one.raddr.port == port for one in child.net_connections("tcp")):
                        return consumer, child.pid
        time.sleep(0.05)


@pytest.mark.parametrize("killed", ["worker", "consumer"])
def test_a_query_outlives_whoever_works_on_it(server: MindsDBServer, sandbox: Sandbox, killed: str) -> None:
    me = psutil.Process(server.pid).ppid()
    consumers = [
        child.pid
        for guard in psutil.Process(os.getpid()).children()
        if guard.pid != me
        for child in guard.children()
        if "consumer" in child.cmdline()
    ]
    if len(consumers) < 2:
        consumers.append(server.start_consumer())
    name = f"k_{killed}"
    server.sql(
        f"CREATE MODEL {name} PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text', "
        f"parameters = {{'top_k': {next(LABELS)}}}, max_batch_size = 1, max_concurrency = 8"
    )
    server.wait_for_model(name)
    sandbox.reset()
    sandbox.faults = {"latency": 0.05}  # type: ignore[assignment]
    found: list[Any] = []
    statement = f"SELECT r.id, m.mood FROM duck.reviews AS r JOIN {name} AS m ON m.text = r.review"
    asking = threading.Thread(target=lambda: found.extend(server.sql(statement).rows))
    asking.start()
    _until(lambda: len(sandbox.inference_requests()) > 50 or not asking.is_alive())
    consumer, worker = _worker_of(consumers, sandbox)
    if killed == "worker":
        os.kill(worker, signal.SIGKILL)
    else:
        os.killpg(consumer, signal.SIGKILL)
    asking.join()
    assert dict(found) == {number: mood(review) for number, _, review in REVIEWS}
    texts = {review for _, _, review in REVIEWS if review}
    # Paid twice is at most what was on its way.
    assert len(texts) <= len(sandbox.inference_requests()) <= len(texts) + 8


# --- stopping --------------------------------------------------------------------------------


def test_queries_in_consumers_end_within_seconds(server: MindsDBServer, sandbox: Sandbox) -> None:
    """By a SELECT, which needs no consumer, and by DROP MODEL."""
    server.start_consumer()
    server.sql(
        "CREATE MODEL far PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 1, parameters = {'top_k': 19}"
    )
    server.wait_for_model("far")
    halves = ("< 1500", ">= 1500")
    statement = "SELECT t.id, m.a FROM duck.thousands AS t JOIN far AS m ON m.text = t.review WHERE t.id {}"
    paid = 0
    for way in ("stop", "drop"):
        sandbox.reset()
        sandbox.faults = {"latency": 0.3}  # type: ignore[assignment]
        errors: list[str] = []

        def ask(half: str, errors: list[str] = errors) -> None:
            with pytest.raises(SQLError) as stopped:
                server.sql(statement.format(half))
            errors.append(str(stopped.value))

        def are_both_under_way() -> bool:
            # A request is listed before its body has been read.
            read = [str(one.inputs) for one in sandbox.inference_requests() if one.inputs is not None]
            numbers = [int(text.split()[1]) for text in read]
            return len(numbers) > 40 and any(n < 1500 for n in numbers) and any(n >= 1500 for n in numbers)

        asking = [threading.Thread(target=ask, args=(half,)) for half in halves]
        for one in asking:
            one.start()
        _until(are_both_under_way)
        if way == "stop":
            output = server.sql("SELECT a FROM far WHERE text = '' USING stop = true").rows[0][0]
            assert output == "2 running queries told to stop"
        else:
            server.sql("DROP MODEL far")
        stopped = time.time()
        for one in asking:
            one.join(60)
        assert time.time() - stopped < 5.0
        sent = sandbox.sent()
        time.sleep(1.0)
        assert sandbox.sent() == sent
        paid += sent
        reason = {
            "stop": "the query was stopped on request",
            "drop": "the model was dropped while the query was running",
        }
        assert [reason[way] in error for error in errors] == [True, True]
    server.sql(
        "CREATE MODEL far PREDICT a USING engine = 'hf', task = 'text-classification', column = 'text', "
        "max_batch_size = 1, parameters = {'top_k': 19}"
    )
    server.wait_for_model("far")
    plan = server.sql(statement.format("IS NOT NULL").replace("m.a", "m.a_plan") + " USING dry_run = true")
    assert plan.column("a_plan").count("cache") == paid


# --- partitioned queries ---------------------------------------------------------------------

TEXTS = {review for _, _, review in REVIEWS if review}
TRUTH = {number: mood(review) for number, _, review in REVIEWS}
PARTS = "USING batch_size = 100, track_column = 'id'"
#: Answers are shared by all models of an engine that ask the same: these ask for so many labels each.
LABELS = itertools.count(20)


class Parts:
    """A model of its own, which nobody has asked anything yet, and partitioned statements through it."""

    def __init__(self, server: MindsDBServer, name: str) -> None:
        self.server = server
        self.select = f"SELECT r.id, m.* FROM pg.reviews AS r JOIN {name} AS m ON m.text = r.review {PARTS}"
        server.sql(
            f"CREATE MODEL {name} PREDICT mood USING engine = 'hf', task = 'text-classification', column = 'text', "
            f"parameters = {{'top_k': {next(LABELS)}}}"
        )
        server.wait_for_model(name)

    def ask(self, statement: str) -> dict[int, Any]:
        table = self.server.sql(statement)
        return dict(zip(table.column("id"), table.column("mood"), strict=True))

    def noted(self) -> dict[str, Any]:
        """What MindsDB notes of the latest partitioned query."""
        # Not all columns: MindsDB fails to show those of queries whose arguments differ in their types.
        noted = self.server.sql(
            "SELECT id, processed_rows, error, finished_at FROM information_schema.queries"
        ).records()
        return max(({name.lower(): value for name, value in one.items()} for one in noted), key=lambda one: one["id"])


@pytest.fixture(scope="module")
def parts_in(server: MindsDBServer) -> Iterator[Callable[[str], Parts]]:
    with postgres_with_reviews(server):
        yield lambda name: Parts(server, name)


def test_a_query_in_parts_is_right_and_says_how_far_it_is(
    parts_in: Callable[[str], Parts], sandbox: Sandbox, server: MindsDBServer
) -> None:
    parts = parts_in("whole")
    assert parts.ask(f"{parts.select}, threads = 2") == TRUTH
    noted = parts.noted()
    assert (noted["processed_rows"], noted["error"]) == (len(REVIEWS), None)
    assert noted["finished_at"]
    # Parts that run at the same time may ask the same: ten texts occur more than once.
    assert len(TEXTS) <= sandbox.sent() <= len(TEXTS) + 10
    # Each part is a prediction of its own, for which another worker may be free.
    assert len(server.sql("DESCRIBE whole.runs")) >= 6


def test_a_query_in_parts_that_failed_goes_on_and_pays_nothing_twice(
    parts_in: Callable[[str], Parts], sandbox: Sandbox
) -> None:
    parts = parts_in("again")
    bad = next(review for number, _, review in REVIEWS if number > 250 and review and f"no. {number}" in review)
    sandbox.fail_on(bad)
    with pytest.raises(SQLError, match="the sandbox was told to refuse this"):
        parts.ask(parts.select)
    noted = parts.noted()
    assert 200 <= noted["processed_rows"] < 400
    assert "refuse this" in noted["error"]
    paid = len({text for record in sandbox.inference_requests() if record.status == 200 for text in _inputs(record)})
    sandbox.reset()
    rest = parts.ask(f"SELECT query_resume({noted['id']})")
    # Where it begins again is MindsDB's affair; all that was still to come is there.
    assert rest == {number: TRUTH[number] for number in rest}
    assert set(range(300, 600)) <= set(rest)
    assert paid + sandbox.sent() == len(TEXTS)
    sandbox.reset()
    assert parts.ask(parts.select) == TRUTH  # the whole of it costs nothing
    assert sandbox.sent() == 0


def _inputs(record: Any) -> list[str]:
    return [record.inputs] if isinstance(record.inputs, str) else list(record.inputs)


def test_rows_that_fail_are_passed_by_in_parts_too(parts_in: Callable[[str], Parts], sandbox: Sandbox) -> None:
    parts = parts_in("passed")
    bad = next(number for number, _, review in REVIEWS if number > 350 and review and f"no. {number}" in review)
    sandbox.fail_on(next(review for number, _, review in REVIEWS if number == bad) or "")
    table = parts.server.sql(parts.select + ", on_error = 'null'")
    found = dict(zip(table.column("id"), table.column("mood"), strict=True))
    assert found == {**TRUTH, bad: None}
    errors = dict(zip(table.column("id"), table.column("mood_error_type"), strict=True))
    assert {number: error for number, error in errors.items() if error} == {bad: "invalid_input"}


def test_a_query_in_parts_can_be_stopped(parts_in: Callable[[str], Parts], sandbox: Sandbox) -> None:
    parts = parts_in("stopped_early")
    sandbox.faults = {"latency": 0.05}  # type: ignore[assignment]
    caught: list[str] = []

    def ask() -> None:
        with pytest.raises(SQLError) as stopped:
            parts.ask(parts.select + ", max_batch_size = 1, max_concurrency = 1")
        caught.append(str(stopped.value))

    asking = threading.Thread(target=ask)
    asking.start()
    _until(lambda: sandbox.sent() > 10 or not asking.is_alive())
    parts.server.sql(f"SELECT query_cancel({parts.noted()['id']})")
    asking.join()
    assert caught
    sent = sandbox.sent()
    assert sent < len(TEXTS) - 100  # it ended with the rows it had fetched
    sandbox.reset()
    assert parts.ask(parts.select) == TRUTH
    assert sent + sandbox.sent() == len(TEXTS)
