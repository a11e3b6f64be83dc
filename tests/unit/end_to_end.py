"""Shared by tests of whole queries: a model on a server of the test, and a record of what its sockets send."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pytest

from huggingface_api_handler.arguments import EngineSettings, ModelSettings, engine_settings, model_settings
from huggingface_api_handler.cache import Cache, NoCache
from huggingface_api_handler.net.sockets import DeadlineSocket
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.query.stopping import Statement
from huggingface_api_handler.scheduling.retry import RetryPolicy

from .loopback import Loopback

TOKEN = "hf_" + "s" * 34
CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")
#: Stands for the internet: connections to it are made to a listener of the test's.
PUBLIC = "93.184.216.34"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 40
LABELS = [{"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.1}]


def engine(server: Loopback | None, **using: Any) -> EngineSettings:
    """An engine with ``TOKEN`` whose base URL is ``server``."""
    base = {} if server is None else {"base_url": f"{server.url}/hf-inference"}
    return engine_settings({**base, "api_key": TOKEN, **using}, environ={})


def model(at: EngineSettings, **using: Any) -> ModelSettings:
    """A model as CREATE MODEL makes it, without the Hub."""
    return model_settings(using, at, hub=lambda *_: None)


def predict(
    at: EngineSettings,
    of: ModelSettings,
    cells: Mapping[str, Sequence[Any]],
    *,
    store: Cache | None = None,
    caller: Caller = CALLER,
    runtime: Runtime | None = None,
    statement: Statement | None = None,
    **execution: Any,
) -> pd.DataFrame:
    """Predict a frame with an error of its own for each row, and short waits."""
    of = replace(of, execution=replace(of.execution, **{"on_error": "null", "max_retries": 0, **execution}))
    retry = RetryPolicy(of.execution.max_retries, base=0.01, cap=0.02)
    shared = runtime or Runtime()
    try:
        prediction = Prediction(
            replace(of, media_roots=at.media_roots), at, caller, shared, store or NoCache(), retry,
            statement or Statement(),
        )  # fmt: skip
        return prediction.run(pd.DataFrame(dict(cells), dtype=object))
    finally:
        if runtime is None:
            shared.close()


@dataclass
class Wire:
    """Everything that this package's own sockets do.

    Attributes:
        dialled: addresses to which a connection was tried.
        sent: (address, bytes) of every write.
        names: names that were looked up, in order.
        known: what a name answers; of several answers one at a time, the last for ever.
        internet: the port on loopback that stands for ``PUBLIC``.
    """

    dialled: list[tuple[str, int]] = field(default_factory=list)
    sent: list[tuple[tuple[str, int], bytes]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    known: dict[str, list[list[str]]] = field(default_factory=dict)
    internet: int = 0

    def to(self, *ports: int) -> list[tuple[str, int]]:
        """Return the addresses dialled that are neither the internet nor these ports on loopback."""
        return [at for at in self.dialled if at[0] != PUBLIC and at not in [("127.0.0.1", port) for port in ports]]

    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.sent)


def watch(patch: pytest.MonkeyPatch) -> Wire:
    """Record what the transport's sockets do, and answer look-ups from ``Wire.known``."""
    wire = Wire()
    connect, sendall = DeadlineSocket.connect, DeadlineSocket.sendall
    peers: dict[int, tuple[str, int]] = {}

    def connect_watched(self: Any, address: Any) -> None:
        wire.dialled.append(address[:2])
        peers[id(self)] = address[:2]
        connect(self, ("127.0.0.1", wire.internet) if address[0] == PUBLIC else address)

    def sendall_watched(self: Any, data: Any, flags: int = 0) -> None:
        wire.sent.append((peers.get(id(self), ("?", 0)), bytes(data)))
        sendall(self, data, flags)

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
        host = host.decode() if isinstance(host, bytes) else str(host)
        wire.names.append(host)
        answers = wire.known.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    patch.setattr(DeadlineSocket, "connect", connect_watched, raising=False)
    patch.setattr(DeadlineSocket, "sendall", sendall_watched)
    patch.setattr(socket, "getaddrinfo", look_up)
    return wire
