"""Answers made to stop, fill or confuse whoever reads them: the row ends in an error, in time, and the others go on."""

from __future__ import annotations

import gzip
import json
import math
import resource
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from huggingface_api_handler.net.memory_limit import LARGE, MAX_LARGE, MemoryLimit
from huggingface_api_handler.net.transport import MAX_ANSWER_BYTES
from huggingface_api_handler.tasks.task import LARGE_ANSWER, SMALL_ANSWER
from tests.unit.end_to_end import LABELS, PNG, engine, model, predict
from tests.unit.loopback import Heard, Loopback, Speak, answer, raw

#: Seconds that a request may take here, and those that its end may be late.
TIMEOUT = 1.5
LATE = 4.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _bomb(size: int, content: bytes = b"\0") -> bytes:
    """``size`` bytes that travel as a thousandth of it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = content * (1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()


def _endless(server: Loopback, piece: bytes, head: bytes, pause: float = 0.0) -> Speak:
    def speak(heard: Heard, sock: socket.socket) -> None:
        sock.sendall(head)
        until = time.monotonic() + TIMEOUT + LATE
        while time.monotonic() < until:
            sock.sendall(piece)
            if pause:
                server.wait(pause)
        raise EOFError

    return speak


BOMB = _bomb(1 << 30)
NESTED_BOMB = gzip.compress(BOMB)
DEEP = b"[" * 10_000 + b"]" * 10_000
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

#: Name → the server's part, and the codes that a row may end in.
HOSTILE: dict[str, tuple[Callable[[Loopback], Speak], tuple[str, ...]]] = {
    "gzip bomb": (lambda _: answer(BOMB, Content_Encoding="gzip"), ("invalid_answer", "timeout")),
    "deflate bomb": (lambda _: answer(zlib.compress(b"\0" * (1 << 28), 9), Content_Encoding="deflate"),
                     ("invalid_answer", "timeout")),
    "bomb in a bomb": (lambda _: answer(NESTED_BOMB, Content_Encoding="gzip, gzip"), ("invalid_answer",)),
    "no gzip at all": (lambda _: answer(b"{}", Content_Encoding="gzip"), ("invalid_answer",)),
    "gzip cut off": (lambda _: answer(gzip.compress(b"[]" * 1000)[:-9], Content_Encoding="gzip"), ("invalid_answer",)),
    "packed in a way not asked for": (lambda _: answer(b"x", Content_Encoding="br"), ("invalid_answer",)),
    "gzip bomb as the reason of a failure": (lambda _: answer(BOMB, 400, Content_Encoding="gzip"), ("invalid_input",)),
    "endless body": (lambda server: _endless(server, b"A" * 65536, HEAD + b"\r\n"), ("invalid_answer", "timeout")),
    "endless chunks": (lambda server: _endless(server, b"10000\r\n" + b"A" * 65536 + b"\r\n", CHUNKED),
                       ("invalid_answer", "timeout")),
    "endless header": (lambda server: _endless(server, b"A" * 65536, HEAD + b"X-Long: "),
                       ("invalid_answer", "timeout")),
    "endless headers": (lambda server: _endless(server, b"X-More: 1\r\n" * 1000, HEAD), ("invalid_answer", "timeout")),
    "endless empty chunk extension": (lambda server: _endless(server, b"1;" + b"a" * 65536, CHUNKED),
                                      ("connection", "timeout", "invalid_answer")),
    "slow body": (lambda server: _endless(server, b"A", HEAD + b"Content-Length: 100000\r\n\r\n", 0.05), ("timeout",)),
    "slow header": (lambda server: _endless(server, b"A", HEAD + b"X-Slow: ", 0.05), ("timeout",)),
    "slow status": (lambda server: _endless(server, b"H", b"", 0.05), ("timeout", "connection")),
    "silence": (lambda server: _endless(server, b"", b"", 0.05), ("timeout",)),
    "10,000-deep JSON": (lambda _: answer(DEEP), ("invalid_answer",)),
    "deep objects": (lambda _: answer(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), ("invalid_answer",)),
    "deep within reach": (lambda _: answer(b"[" * 900 + b"]" * 900), ("invalid_answer",)),
    "deep error": (lambda _: answer(b'{"error":' * 10_000 + b"1" + b"}" * 10_000, 400), ("invalid_input",)),
    "2 GB announced": (lambda _: raw(HEAD + b"Content-Length: 2147483648\r\n\r\n[]"), ("invalid_answer",)),
    "more announced than there is": (lambda _: raw(HEAD + b"Content-Length: 1000\r\n\r\n[]"), ("connection",)),
    "less announced than there is": (lambda _: raw(HEAD + b"Content-Length: 1\r\n\r\n[]"), ("invalid_answer",)),
    "a negative length": (lambda _: raw(HEAD + b"Content-Length: -1\r\n\r\n[]"), ("invalid_answer", "connection")),
    "a length that is none": (lambda _: raw(HEAD + b"Content-Length: 1e9\r\n\r\n[]"), ("invalid_answer", "connection")),
    "two lengths": (lambda _: raw(HEAD + b"Content-Length: 2\r\nContent-Length: 9999\r\n\r\n[]"),
                    ("invalid_answer", "connection")),
    "a chunk of 16 EB": (lambda _: raw(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n[]"),
                         ("invalid_answer", "connection", "timeout")),
    "no HTTP": (lambda _: raw(b"SSH-2.0-OpenSSH_9.6\r\n"), ("connection",)),
    "HTTP/0.9": (lambda _: raw(b"[]"), ("connection",)),
    "numbers beyond all": (lambda _: answer(b'[{"label":"x","score":' + b"9" * 5000 + b"}]"), ("invalid_answer",)),
    "not a number": (lambda _: answer(b'[{"label":"x","score":NaN}]'), ("invalid_answer",)),
    "a million results": (lambda _: answer([LABELS] * 20_000), ("invalid_answer",)),
    "no UTF-8": (lambda _: answer(b'[{"label":"\xff\xfe","score":0.5}]'), ("invalid_answer",)),
    "a picture for an answer": (lambda _: answer(PNG, content_type="image/png"), ("invalid_answer",)),
    "a picture by its type alone": (lambda _: answer(LABELS, content_type="image/png"), ("invalid_answer",)),
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as one:
        yield one


def _memory() -> float:
    """Return the most MiB that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", HOSTILE)
def test_each_ends_in_time_and_the_others_are_answered(server: Loopback, name: str) -> None:
    hostile, codes = HOSTILE[name][0](server), HOSTILE[name][1]
    good = answer(LABELS)

    def speak(heard: Heard, sock: socket.socket) -> None:
        (hostile if "bad" in json.loads(heard.body)["inputs"] else good)(heard, sock)

    server.speak = speak
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", max_batch_size=1, max_concurrency=4)
    texts = ["one", "bad", "two", "three", "four"]
    before, began = _memory(), time.monotonic()
    found = predict(at, of, {"t": texts}, timeout=TIMEOUT)
    took = time.monotonic() - began
    assert took < TIMEOUT + LATE, f"{name} took {took:.1f} seconds"
    assert [value for text, value in zip(texts, found["y"], strict=True) if text != "bad"] == ["cat"] * 4
    assert found["y"][1] is None
    assert found["y_error_type"][1] in codes
    message = found["y_error"][1]
    assert "\n" not in message
    assert 20 < len(message) < 2000
    # One answer's limit, twice: what was read, and the copy that is handed on.
    assert _memory() - before < 2.5 * MAX_ANSWER_BYTES / 2**20


GROWN = """
import resource, sys
from tests.unit.loopback import Loopback, answer
from tests.unit.end_to_end import PNG, LABELS, engine, model, predict

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

task, column, threads = sys.argv[1], "t", int(sys.argv[2])
with Loopback(eval(sys.argv[3])) as server:
    server.heard = type("Forgetful", (list,), {"append": lambda *_: None})()
    cells = eval(sys.argv[4])
    at = engine(server, allowed_hosts=f"127.0.0.1:{server.port}")
    of = model(at, task=task, input_column=column)
    predict(at, of, {column: cells[:1]}, timeout=60)
    before = most()
    found = predict(at, of, {column: cells}, timeout=60, max_batch_size=1, max_concurrency=threads)
    print(most() - before, *found["y_error_type"].unique())
"""


def _grown(task: str, threads: int, speak: str, cells: str) -> tuple[float, list[str]]:
    """Return the MiB by which a process of its own grows while it answers ``cells``, and the codes they end in."""
    command = [sys.executable, "-c", GROWN, task, str(threads), speak, cells]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    grown, *codes = done.stdout.split()
    return float(grown), codes


@pytest.mark.parametrize(
    ("task", "speak", "body"),
    [
        ("text-classification", 'answer(b"[" + b"{}," * 1_300_000 + b"{}]")', SMALL_ANSWER),
        ("text-classification", 'answer(b"[" + b"[]," * 40_000_000 + b"[]]")', SMALL_ANSWER),
        ("feature-extraction", 'answer(b"[" + b"[]," * 30_000_000 + b"[]]")', LARGE_ANSWER),
    ],
    ids=["objects", "more than labels have", "more than vectors have"],
)
def test_responses_that_decompress_in_many_threads_stay_within_the_limit(task: str, speak: str, body: int) -> None:
    """Three bytes of JSON make an object of sixty: one thread at a time parses what is large, and no error keeps it."""
    grown, codes = _grown(task, 4, speak, "[str(n) for n in range(6)]")
    assert codes == ["invalid_answer"]
    # The first of them has been in memory before, with all that it unfolds to.
    assert grown < 4 * body / 2**20 + 384


def test_media_in_many_rows_are_held_by_a_few_requests_at_a_time() -> None:
    """A kilobyte of gzip is a megabyte of picture."""
    threads, size = 24, 32
    server = f"""[
        packed := __import__('gzip').compress(PNG + bytes({size} << 20), 1),
        picture := answer(packed, content_type='image/png', Content_Encoding='gzip'),
        lambda heard, sock: (heard.method == 'POST' and server.wait(1), (answer(LABELS) if heard.method == 'POST' else
                             picture)(heard, sock)),
    ][-1]"""
    grown, codes = _grown(
        "image-classification", threads, server, f"[f'{{server.url}}/{{n}}' for n in range({threads})]"
    )
    assert codes == ["None"]
    # Each of a few requests has it as it is handed on and as it is sent, and the server, in this process, as it comes.
    assert grown < MAX_LARGE * 3 * size + 80


def test_a_request_that_waits_for_memory_ends_within_its_own_timeout() -> None:
    memory = MemoryLimit()
    let_in = threading.Barrier(MAX_LARGE + 1)
    ended = threading.Event()

    def hold() -> None:
        with memory.request():
            memory.acquire(LARGE + 1, 1.0)
            memory.acquire(1 << 30, 0.0)  # a second time for nothing
            let_in.wait()
            ended.wait()

    holders = [threading.Thread(target=hold) for _ in range(MAX_LARGE)]
    for one in holders:
        one.start()
    let_in.wait()
    with memory.request():
        memory.acquire(LARGE, 0.0)
        with pytest.raises(TimeoutError):
            memory.acquire(LARGE + 1, 0.05)
    ended.set()
    for one in holders:
        one.join()
    with memory.request():
        memory.acquire(1 << 30, 0.0)
    memory.acquire(1 << 30, 0.0)  # outside of a request nothing is counted


def test_a_medium_behind_a_url_has_the_same_limits(server: Loopback) -> None:
    speakers = {
        "/bomb.png": answer(_bomb(1 << 28), content_type="image/png", Content_Encoding="gzip"),
        "/endless.png": _endless(server, b"A" * 65536, HEAD + b"\r\n"),
        "/slow.png": _endless(server, b"A", HEAD + b"Content-Length: 100000\r\n\r\n", 0.05),
        "/huge.png": raw(HEAD + b"Content-Length: 2147483648\r\n\r\n[]"),
        "/good.png": answer(PNG, content_type="image/png"),
    }

    def speak(heard: Heard, sock: socket.socket) -> None:
        speakers[heard.target](heard, sock)

    server.speak = speak
    with Loopback(answer(LABELS)) as service:
        at = engine(service, allowed_hosts=f"127.0.0.1:{server.port}")
        of = model(at, task="image-classification", input_column="u")
        began = time.monotonic()
        slow = predict(at, of, {"u": [f"{server.url}/slow.png", f"{server.url}/endless.png"]}, timeout=TIMEOUT)
        assert time.monotonic() - began < TIMEOUT + LATE
        # How long a machine takes to unpack as much as is allowed is its own affair.
        large = predict(at, of, {"u": [server.url + path for path in ("/bomb.png", "/huge.png", "/good.png")]})
    assert slow["y_error_type"][0] == "timeout"
    assert slow["y_error_type"][1] in ("payload_too_large", "timeout")
    assert list(large["y_error_type"]) == ["payload_too_large", "payload_too_large", None]
    assert list(large["y"]) == [None, None, "cat"]


def test_batches_are_halved_down_to_the_row_that_is_answered_with_a_lie(server: Loopback) -> None:
    """A count that is wrong, or an answer too long, costs its own row only."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        inputs = json.loads(heard.body)["inputs"]
        rows = [inputs] if isinstance(inputs, str) else inputs
        said: Any = [LABELS for _ in rows]
        if "bad" in rows:
            said = [*said, LABELS, LABELS]
        answer(said)(heard, sock)

    server.speak = speak
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", max_batch_size=8, max_concurrency=1)
    texts = [f"text {number}" for number in range(15)] + ["bad"]
    found = predict(at, of, {"t": texts}, timeout=5)
    assert list(found["y"][:15]) == ["cat"] * 15
    assert found["y_error_type"][15] == "invalid_answer"


@pytest.mark.parametrize(
    "tokens",
    [[[1e308, 1.0]] * 3, [[-1e308]] * 2, [[1e200, 1e200], [1e200, 1e200]], [[1.7e308, 1.7e308]]],
    ids=["mean", "negative", "length", "one"],
)
def test_vectors_near_the_end_of_all_numbers_are_one_rows_own_fault(server: Loopback, tokens: Any) -> None:
    """Their sum is beyond what a float holds: Python's own error for that ended the query for all rows."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        bad = "bad" in json.loads(heard.body)["inputs"]
        answer(tokens if bad else [[0.25, 0.5], [0.75, 0.5]])(heard, sock)

    server.speak = speak
    at = engine(server)
    of = model(at, task="feature-extraction", input_column="t", parameters={"normalize": True}, max_batch_size=1)
    found = predict(at, of, {"t": ["one", "bad", "two"]}, timeout=5)
    assert found["y"][0] == found["y"][2]
    assert found["y"][0] is not None
    assert found["y_error_type"][1] in ("invalid_answer", None)
    if found["y"][1] is not None:
        assert all(math.isfinite(one) for one in json.loads(found["y"][1]))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["https://blocked.example/", "http://10.0.0.1/", "/sorry", "http://[", "ftp://x/", ""])
def test_a_row_that_is_sent_elsewhere_is_one_row(server: Loopback, status: int, to: str) -> None:
    """A firewall before a service sends on what it does not like; whoever writes such a row ends no other's query."""

    def speak(heard: Heard, sock: socket.socket) -> None:
        if heard.target == "/sorry" or "bad" in json.loads(heard.body)["inputs"]:
            answer(b"<p>blocked</p>", status, "text/html", **({"Location": to} if to else {}))(heard, sock)
        else:
            rows = json.loads(heard.body)["inputs"]
            answer(LABELS if isinstance(rows, str) else [LABELS for _ in rows])(heard, sock)

    server.speak = speak
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", max_batch_size=8, max_concurrency=1)
    found = predict(at, of, {"t": ["one", "two", "bad", "three", "four", "five", "six"]}, timeout=5)
    assert list(found["y"]) == ["cat", "cat", None, "cat", "cat", "cat", "cat"]
    assert found["y_error_type"][2] == "invalid_answer"
    assert "elsewhere" in found["y_error"][2] or "redirects to" in found["y_error"][2]


@pytest.mark.parametrize(
    "label",
    ['=HYPERLINK("http://x")', "%s%n{0}{x.__class__}", "{{t}}", "\r\nX: y", "a\0b", "../../x", "http://127.0.0.1/",
     "</script>", "\u202eevil"],
)  # fmt: skip
def test_what_an_answer_says_is_data(server: Loopback, label: str) -> None:
    """No formula, format, template, path or address in an answer means anything to us; it is handed on as it stands."""
    server.speak = answer([{"label": label, "score": 0.9}])
    at = engine(server)
    found = predict(
        at, model(at, task="text-classification", input_column="t"), {"t": ["a"]}, timeout=5, include_meta=True
    )
    assert found["y"][0].replace("\ufffd", "\0") == label
    assert len(server.heard) == 1


def test_threads_do_not_pile_up(server: Loopback) -> None:
    server.speak = _endless(server, b"A", HEAD + b"Content-Length: 100000\r\n\r\n", 0.05)
    at = engine(server)
    of = model(at, task="text-classification", input_column="t", max_batch_size=1, max_concurrency=4)
    before = {thread.ident for thread in threading.enumerate()}
    predict(at, of, {"t": ["a", "b", "c", "d"]}, timeout=0.3)
    time.sleep(0.3)
    ours = [one.name for one in threading.enumerate() if one.ident not in before and "_serve" not in one.name]
    assert ours == []
