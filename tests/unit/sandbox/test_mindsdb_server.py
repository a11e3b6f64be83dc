"""The server helper without a server: that nothing is left running, and what surrounds a server."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from huggingface_api_handler.sandbox import mindsdb_server, serve
from huggingface_api_handler.sandbox.mindsdb_server import SUPERVISOR, MindsDBServer, SQLError, Table

ROOT = Path(__file__).parents[3]

#: A command that starts two more, as a server starts its workers; the last of them does not want to end.
FAMILY = """
import os, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: Any, seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _pids(file: Path) -> list[int]:
    assert _until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(pid) for pid in file.read_text().split()]


def test_a_second_server_leaves_the_shop_of_the_first_alone(tmp_path: Path) -> None:
    shop = tmp_path / "shop" / "shop.duckdb"

    def commands() -> str:
        """What `make serve` would run, with everything but the shop in place."""
        ready = f"{tmp_path}/.ready"
        return subprocess.run(
            ["make", "--dry-run", "-o", ready, f"VENV={tmp_path}", "serve"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    assert "make_shop.py" in commands()
    shop.parent.mkdir()
    shop.touch()
    assert "make_shop.py" not in commands() and "sandbox.serve" in commands()


def test_a_request_that_reaches_itself_is_no_sign_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(*_: Any, **__: Any) -> None:
        raise http.client.BadStatusLine("GET /api/util/ping HTTP/1.1")

    monkeypatch.setattr(mindsdb_server._DIRECT, "open", echo)
    assert not MindsDBServer(tmp_path)._is_ready()


def test_the_shop_is_replaced_as_a_whole(tmp_path: Path) -> None:
    from make_shop import build

    shop = tmp_path / "shop.duckdb"
    shop.write_text("the old one, which a server has open")
    with shop.open() as opened:
        assert build(shop) == shop
        assert opened.read().startswith("the old one")
    assert shop.stat().st_size > 10_000
    assert [one.name for one in tmp_path.iterdir()] == [shop.name]


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@linux
def test_the_supervisor_ends_all_processes_when_its_input_ends(tmp_path: Path) -> None:
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    command = [sys.executable, "-I", str(SUPERVISOR), sys.executable, str(script), str(tmp_path / "pids")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdin is not None and supervisor.stdout is not None
        pids = _pids(tmp_path / "pids")
        assert int(supervisor.stdout.readline()) == pids[0]
        assert all(map(_alive, pids))
        supervisor.stdin.close()
        supervisor.wait(15)
    assert not any(map(_alive, pids))


@linux
def test_the_supervisor_ends_all_processes_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "family.py"
    script.write_text(FAMILY)
    supervisor = [sys.executable, str(SUPERVISOR), sys.executable, str(script), str(tmp_path / "pids")]
    parent = textwrap.dedent(f"""
        import subprocess, sys, time
        subprocess.Popen({supervisor!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        pids = _pids(tmp_path / "pids")
        process.send_signal(signal.SIGKILL)
    assert _until(lambda: not any(map(_alive, pids)))


@pytest.mark.parametrize(("script", "code"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)])
def test_the_supervisor_ends_with_the_command(script: str, code: int) -> None:
    command = [sys.executable, str(SUPERVISOR), sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as supervisor:
        assert supervisor.wait(15) == code


def _fake_mindsdb(folder: Path, script: str) -> None:
    """Write a package that is run in MindsDB's place."""
    (folder / "mindsdb").mkdir()
    (folder / "mindsdb" / "__init__.py").touch()
    (folder / "mindsdb" / "__main__.py").write_text(script)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    _fake_mindsdb(tmp_path, "raise RuntimeError('no room at the inn')")
    server = MindsDBServer(tmp_path / "storage", environ={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(mindsdb_server.ServerFailed, match="no room at the inn"):
        server.start(timeout=20)
    assert not server.is_running
    assert (tmp_path / "storage").exists()


def test_what_a_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps to itself: foreign settings stay out, nothing is fetched, temporary files are its own."""
    monkeypatch.setenv("MINDSDB_STORAGE_DIR", "/somebody/elses")
    monkeypatch.setenv("MINDSDB_PASSWORD", "theirs")
    monkeypatch.setenv("HF_TOKEN", "from outside")
    monkeypatch.setenv("NO_PROXY", "example.org")
    _fake_mindsdb(tmp_path, "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv]))")
    server = MindsDBServer(
        tmp_path / "storage",
        environ={"PYTHONPATH": str(tmp_path), "HF_TOKEN": None, "EXTRA": "1"},
        config={"cache": {"type": "redis"}, "api": {"http": {"extra": True}}},
    )
    with pytest.raises(mindsdb_server.ServerFailed):
        server.start(timeout=20)
    environ, arguments = json.loads(next(line for line in server.log_text().splitlines() if line.startswith("[")))
    assert environ["MINDSDB_STORAGE_DIR"] == str(tmp_path / "storage")
    assert environ["TMPDIR"].startswith(str(tmp_path / "storage"))
    assert environ["MINDSDB_NO_STUDIO"] == "1"
    assert environ["MINDSDB_COMMUNITY_HANDLERS"] == "false"
    assert "example.org" in environ["NO_PROXY"] and "127.0.0.1" in environ["NO_PROXY"]
    assert environ["EXTRA"] == "1"
    assert {"HF_TOKEN", "MINDSDB_PASSWORD"}.isdisjoint(environ)
    assert arguments[1:] == ["--api=http,mysql"]
    settings = json.loads(Path(environ["MINDSDB_CONFIG_PATH"]).read_text())
    assert settings["gui"] == {"open_on_start": False, "autoupdate": False}
    assert settings["cache"] == {"type": "redis"}
    assert settings["api"]["http"] == {
        "host": "127.0.0.1", "port": str(server.http_port), "restart_on_failure": False, "extra": True,
    }  # fmt: skip


class _FakeMindsDB(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
        answers: dict[str, Any] = {
            "table": {"type": "table", "column_names": ["a", "a"], "data": [[1, None], [2, "x"]]},
            "ok": {"type": "ok"},
            "error": {"type": "error", "error_code": 0, "error_message": "no such thing"},
        }
        body = json.dumps(answers.get(query, {})).encode()
        self.send_response(200 if query in answers else 400)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[MindsDBServer]:
    with HTTPServer(("127.0.0.1", 0), _FakeMindsDB) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield MindsDBServer(tmp_path, http_port=http.server_port)
        http.shutdown()


def test_results_of_statements(talking: MindsDBServer) -> None:
    found = talking.sql("table")
    assert (found.columns, found.rows, len(found)) == (("a", "a"), ((1, None), (2, "x")), 2)
    assert found.column("A") == [1, 2]
    assert talking.sql("ok") == Table()
    with pytest.raises(SQLError, match="no such thing"):
        talking.sql("error")
    with pytest.raises(SQLError, match="HTTP 400"):
        talking.sql("nonsense")


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(mindsdb_server.ServerFailed, match="has ended"):
        MindsDBServer(tmp_path).sql("ok")


def test_serving_says_which_port_is_taken(talking: MindsDBServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--http-port", str(talking.http_port)]) == 1
    assert f"Port {talking.http_port} is taken" in capsys.readouterr().err


def test_a_port_that_does_not_answer_is_taken_too(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        assert serve.main(["--mysql-port", str(port), "--http-port=0"]) == 1
    assert f"Port {port} is taken" in capsys.readouterr().err
    assert serve.main(["--http-port", "70000"]) == 1


@pytest.mark.parametrize("which", ["http", "mysql"])
def test_a_port_that_is_taken_while_the_server_starts(tmp_path: Path, which: str) -> None:
    ports = {"http": mindsdb_server.free_port(), "mysql": mindsdb_server.free_port()}
    said = "OSError: [Errno 98] Address already in use"
    if which == "http":
        said = f"[Errno 98] error while attempting to bind on address ('127.0.0.1', {ports[which]}): " + said[-22:]
    _fake_mindsdb(tmp_path, f"import time; print({said!r}, flush=True); time.sleep(60)")
    server = MindsDBServer(
        tmp_path / "storage",
        environ={"PYTHONPATH": str(tmp_path)},
        http_port=ports["http"],
        mysql_port=ports["mysql"],
    )
    with pytest.raises(mindsdb_server.ServerFailed, match=f"Port {ports[which]} is taken: .* make serve ARGS="):
        server.start(timeout=50)


def test_a_temporary_storage_goes_with_the_server() -> None:
    server = MindsDBServer()
    assert os.path.isdir(server.storage)
    server.stop()
    assert not os.path.exists(server.storage)


#: A server that is told to stop, writes that down and goes on, so that the clean-up takes its time.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: open(os.environ["TOLD"], "w").close())
print("ready", flush=True)
time.sleep(600)
"""


@linux
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", [
    ["-m", "huggingface_api_handler.sandbox.serve", "--http-port=0", "--mysql-port=0", "--sandbox-port=0"],
    [str(ROOT / "examples" / "demo.py")],
], ids=["serve", "demo"])  # fmt: skip
def test_a_signal_during_the_clean_up_leaves_nothing_behind(
    tmp_path: Path, command: list[str], first: signal.Signals
) -> None:
    temporary, reported = tmp_path / "tmp", tmp_path / "told"
    temporary.mkdir()
    _fake_mindsdb(tmp_path, STUBBORN)
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    environ = {**os.environ, "TMPDIR": str(temporary), "TOLD": str(reported), "PYTHONPATH": path}
    with subprocess.Popen(
        [sys.executable, *command],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # Under nohup it would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:
        try:
            assert _until(lambda: any("ready" in log.read_text() for log in temporary.rglob("server.log")), 60)
            process.send_signal(first)
            assert _until(reported.exists, 60)
            for number in (first, signal.SIGINT, signal.SIGTERM):
                process.send_signal(number)
            assert process.stdout is not None
            said = process.stdout.read().decode()
        finally:
            process.kill()
    assert process.returncode == (0 if command[0] == "-m" else 130)
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
