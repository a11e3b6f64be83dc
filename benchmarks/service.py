"""The service that is measured against: a process of its own that classifies text and takes its time over it.

It speaks just enough HTTP/1.1 to be asked by every client, and does as little work as it can, so that what
is measured is the client. A request holds one of its slots for ``fixed`` seconds and ``each`` more for every
input; others queue for a slot. What comes oftener than ``rate`` a second, in any second, is refused with 429.
The label of a text follows from the text, so that an answer on a wrong row shows. Of the faults in ``FAULTS``
a share of the requests, drawn with a seed, meets one. Where it is ``away`` connections are broken off. It
remembers which inputs it has worked on: what is asked again is paid again.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import socket
import struct
import sys
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.request import Request, urlopen

LABELS = 7


def label_of(text: str) -> str:
    """The label that the service gives a text."""
    return f"L{zlib.crc32(text.encode()) % LABELS}"


@dataclass
class Manner:
    """How the service behaves: seconds, slots, requests a second, and what it says of waiting with a 429.

    ``faults`` is the share of the requests that meet each, by the names of ``FAULTS``; ``pause`` is what those that
    name a time say, in seconds. Lists of more than ``longest`` are refused, as servers do. While it is ``away``,
    connections are broken off.
    """

    fixed: float = 0.0
    each: float = 0.0
    slots: int = 10_000
    rate: float | None = None
    retry_after: str | None = None
    faults: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    pause: float = 1.0
    longest: int | None = None
    away: bool = False


#: Name of a fault → status line with headers, and body, which may name the manner's ``pause``; ``None``: it happens
#: to the connection or to the answer.
FAULTS: Mapping[str, tuple[str, bytes] | None] = {
    "503": ("503 Service Unavailable", b'{"error":"Service Unavailable"}'),
    "503 with estimated_time": ("503 Service Unavailable", b'{"error":"loading","estimated_time":%(pause)g}'),
    "429": ("429 Too Many Requests", b'{"error":"Rate limit reached"}'),
    "429 with Retry-After": ("429 Too Many Requests\r\nRetry-After: %(pause)g", b'{"error":"Rate limit reached"}'),
    "reset": None,
    "cut off": None,
    "hang": None,
    "HTML": ("200 OK", b"<!doctype html><html><head><title>Be right back</title></head></html>"),
}
#: The mixture that everything at once is measured with.
STORM: Mapping[str, float] = {
    "503": 0.05,
    "503 with estimated_time": 0.05,
    "429": 0.05,
    "429 with Retry-After": 0.05,
    "reset": 0.05,
    "cut off": 0.05,
    "hang": 0.02,
    "HTML": 0.02,
}


class _Service:
    def __init__(self) -> None:
        self.manner = Manner()
        self.busy = 0
        self.queue: deque[tuple[_Connection, list[str]]] = deque()
        self.passed: deque[float] = deque()
        self.chance = random.Random(0)
        self.seconds: dict[int, list[int]] = {}
        self.forget()

    def forget(self) -> None:
        self.requests = self.refused = self.inputs = self.again = 0
        self.seconds = {}
        self.met: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.worked: set[int] = set()
        self.passed.clear()

    def control(self, wanted: dict[str, Any]) -> bytes:
        """Set the manner, where one is given, and tell what has been counted since."""
        counts = {"requests": self.requests, "refused": self.refused, "inputs": self.inputs, "seconds": self.seconds}
        counts |= {
            "faults": self.met,
            "served": len(self.served),
            "served twice": sum(self.served.values()) - len(self.served),
            "distinct": len(self.worked),
            "again": self.again,
        }
        if wanted:
            self.manner = Manner(**wanted["manner"])
            if wanted["forget"]:
                self.forget()
                self.chance = random.Random(self.manner.seed)
        return json.dumps(counts).encode()

    def ask(self, connection: _Connection, inputs: list[str]) -> None:
        now = asyncio.get_running_loop().time()
        self.requests += 1
        counted = self.seconds.setdefault(int(now), [0, 0])
        if self.manner.away:
            self.refused += 1
            counted[1] += 1
            connection.transport.abort()
            return
        if self.manner.rate is not None:
            while self.passed and self.passed[0] <= now - 1.0:
                self.passed.popleft()
            if len(self.passed) >= self.manner.rate:
                self.refused += 1
                counted[1] += 1
                after = f"Retry-After: {self.manner.retry_after}\r\n" if self.manner.retry_after else ""
                connection.reply(b'{"error":"Rate limit reached"}', f"429 Too Many Requests\r\n{after}".rstrip())
                return
            self.passed.append(now)
        counted[0] += 1
        if self.manner.longest is not None and len(inputs) > self.manner.longest:
            self.refused += 1
            connection.reply(b'{"error":"batch size is too large"}', "422 Unprocessable Entity")
            return
        fault = self.draw() if self.manner.faults else None
        if fault is not None:
            self.met[fault] += 1
            if self.fail(connection, fault):
                return
        self.inputs += len(inputs)
        connection.spoils = fault == "cut off"
        if self.busy < self.manner.slots:
            self.work(connection, inputs)
        else:
            self.queue.append((connection, inputs))

    def draw(self) -> str | None:
        """The fault that the next request meets, if any."""
        drawn = self.chance.random()
        for name, share in self.manner.faults.items():
            drawn -= share
            if drawn < 0.0:
                return name
        return None

    def fail(self, connection: _Connection, fault: str) -> bool:
        """Let it happen; whether that was all that happens to the request."""
        said = FAULTS[fault]
        if said is not None:
            status, body = said
            counts = {"pause": self.manner.pause}
            kind = "text/html" if fault == "HTML" else "application/json"
            connection.reply(body % {b"pause": self.manner.pause}, status % counts, kind)
        elif fault == "reset":
            connection.reset()
        return fault != "cut off"  # what is cut off has been worked on first

    def work(self, connection: _Connection, inputs: list[str]) -> None:
        self.busy += 1
        seconds = self.manner.fixed + self.manner.each * len(inputs)
        asyncio.get_running_loop().call_later(seconds, self.done, connection, inputs)

    def done(self, connection: _Connection, inputs: list[str]) -> None:
        self.busy -= 1
        for text in inputs:
            # What is worked on is paid, whether or not anybody still waits for it.
            self.again += (known := hash(text)) in self.worked
            self.worked.add(known)
        answers = ",".join(f'[{{"label":"{label_of(text)}","score":0.9}}]' for text in inputs)
        body = f"[{answers}]".encode()
        if connection.spoils:
            connection.reply(body[: len(body) // 2])
        elif not connection.transport.is_closing():
            connection.reply(body)
            if self.manner.faults:
                self.served.update(inputs)
        if self.queue:
            self.work(*self.queue.popleft())


class _Connection(asyncio.Protocol):
    def __init__(self, service: _Service) -> None:
        self.service = service
        self.buffer = bytearray()
        self.transport: Any = None
        #: Whether the answer under way is to be cut off.
        self.spoils = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            if not head.startswith(b"POST"):
                # Whoever takes us for the Hub, too, is told of the model, and that it has no files.
                if head.startswith(b"GET /api/models/"):
                    self.reply(b'{"id":"org/model","pipeline_tag":"text-classification"}')
                else:
                    self.reply(b"", "404 Not Found")
                continue
            if b"/control" in head.split(b"\r\n", 1)[0]:
                self.reply(self.service.control(json.loads(body)))
                continue
            inputs = json.loads(body)["inputs"]
            self.service.ask(self, [inputs] if isinstance(inputs, str) else inputs)

    def reply(self, body: bytes, status: str = "200 OK", kind: str = "application/json") -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)

    def reset(self) -> None:
        """Hang up without a word, as a crashed server's system does."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _serve(port: Any) -> None:
    async def main() -> None:
        service = _Service()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(service), "127.0.0.1", 0, backlog=1024
        )
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)


class Service:
    """A running service. ``url`` is what to ask."""

    def __init__(self, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self.url = f"http://127.0.0.1:{port}"

    def behave(self, manner: Manner, *, forget: bool = True) -> None:
        """Change its manner."""
        self._control({"manner": asdict(manner), "forget": forget})

    def counted(self) -> dict[str, Any]:
        """Requests, refused ones, inputs; with a rate also both by second; with faults how often each was met,
        how many inputs got their answer, and how many answers were for an input that had had one."""
        return self._control({})

    def _control(self, wanted: dict[str, Any]) -> dict[str, Any]:
        request = Request(f"{self.url}/control", json.dumps(wanted).encode(), method="POST")
        with urlopen(request, timeout=10) as reply:
            counts: dict[str, Any] = json.load(reply)
        return counts


@contextmanager
def running() -> Iterator[Service]:
    """Start a service in a process of its own; it ends with the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Service(ours.recv())
    finally:
        process.terminate()
        process.join(10)
