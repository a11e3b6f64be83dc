"""The two ways to run the sandbox: in a thread of this process, and in a process of its own."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from .fault_responses import Wire
from .faults import Behaviour, Faults, FaultsLike, Rule
from .record import Record, Usage, fingerprint, usage_by_model
from .routes import routes
from .state import State

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from typing_extensions import Self


def app(
    *,
    faults: FaultsLike = None,
    bad_tokens: Iterable[str] = (),
    private: Iterable[str] = (),
    gated: Iterable[str] = (),
) -> ASGIApp:
    """Return the sandbox as an ASGI application; see ``Sandbox`` for what it takes."""
    return _application(State(faults, bad_tokens, private, gated))


def _application(state: State) -> ASGIApp:
    return Wire(Starlette(routes=routes(state)))


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens. asyncio turns Nagle's algorithm off only where the protocol is named."""
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


class Steered(abc.ABC):
    """What a sandbox offers whoever runs it, wherever it runs.

    Attributes:
        url: what to give an engine as its ``base_url``.
        hub_url: what to give ``HF_ENDPOINT``.
        requests: all requests since the last ``reset``, in the order of their coming.
        faults: how it behaves: a ``Faults``, or its fields in a dict, which may be set at any time.
    """

    faults: Any

    @abc.abstractmethod
    def start(self) -> Self: ...

    @abc.abstractmethod
    def stop(self) -> None: ...

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    @abc.abstractmethod
    def hub_url(self) -> str: ...

    @property
    @abc.abstractmethod
    def requests(self) -> list[Record]: ...

    @property
    def url(self) -> str:
        return f"{self.hub_url}/hf-inference"

    def endpoint(self, kind: str, model: str) -> str:
        """Return the URL of a server of one model; ``kind`` is a value of ``ServerKind``."""
        return f"{self.hub_url}/endpoints/{kind}/{model}"

    def inference_requests(self) -> list[Record]:
        """Return those requests that were sent to a model's routes, refused ones too."""
        return [record for record in self.requests if record.is_inference]

    def sent(self) -> int:
        """Return the number of inputs that were sent to models and parsed."""
        return sum(record.items for record in self.requests)

    def usage(self) -> dict[str, Usage]:
        """Return model → requests, inputs, tokens and cost that were answered."""
        return usage_by_model(self.requests)

    def fail_on(self, text: str, *, status: int = 400, body: Any = None, next: int | None = None) -> None:
        """Refuse requests that hold ``text``, for ever or the next so many, beside what goes wrong already."""
        said = {"error": "the sandbox was told to refuse this"} if body is None else body
        rule = Rule("status", contains=text, status=status, body=said, next=next)
        self.faults = replace(self.faults, rules=(rule, *self.faults.rules))

    @staticmethod
    def fingerprint(token: str) -> str:
        """Return what stands in a record for ``token``."""
        return fingerprint(token)


class Sandbox(Steered):
    """A sandbox in a daemon thread of this process; ``with`` starts and stops it.

    Args:
        port: 0 picks a free one.
        host: the address to listen on; only this machine can reach the default.
        faults: how it behaves, a ``Faults`` or its fields in a dict; may be set again at any time.
        bad_tokens: tokens that are refused. All others that begin with ``hf_`` are good.
        private, gated: ids of models that the Hub hides from people without a token, or that nobody may use.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        faults: FaultsLike = None,
        bad_tokens: Iterable[str] = (),
        private: Iterable[str] = (),
        gated: Iterable[str] = (),
    ) -> None:
        self._address = (host, port)
        self._given = Faults.of(faults)
        self._bad_tokens = frozenset(bad_tokens)
        self._state = State(self._given, self._bad_tokens, private, gated)
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self.port = port

    @property
    def hub_url(self) -> str:
        return f"http://{self._address[0]}:{self.port}"

    def start(self) -> Self:
        """Start it, unless it runs; raise ``OSError`` where the port is taken."""
        if self._thread is not None:
            return self
        import uvicorn

        listener = _listener(*self._address)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            _application(self._state),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop it; requests that are being answered are dropped."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._server.force_exit = True
            self._server.should_exit = True
            thread.join(10)

    @property
    def requests(self) -> list[Record]:
        return self._state.log.all()

    @property
    def faults(self) -> Faults:
        return self._state.behaviour.faults

    @faults.setter
    def faults(self, faults: FaultsLike) -> None:
        # One assignment: requests under way keep the behaviour that they came under.
        self._state.behaviour = Behaviour(Faults.of(faults))

    def refuse(self, *tokens: str) -> None:
        """Refuse these tokens from now on, until ``reset``."""
        self._state.bad_tokens |= set(tokens)

    def reset(self) -> None:
        """Forget the requests, and behave again as at the start."""
        self._state.log.clear()
        self._state.bad_tokens = self._bad_tokens
        self.faults = self._given


class SandboxProcess(Steered):
    """A sandbox in a process of its own, so that its work does not count as the caller's; ``with`` runs it.

    It ends with the process that started it. Takes what ``Sandbox`` takes.
    """

    def __init__(self, port: int = 0, *, faults: FaultsLike = None, bad_tokens: Iterable[str] = ()) -> None:
        self._port = port
        self._given = Faults.of(faults)
        self._bad_tokens = tuple(bad_tokens)
        self._process: subprocess.Popen[str] | None = None
        self._hub_url = ""

    @property
    def hub_url(self) -> str:
        return self._hub_url

    def start(self) -> Self:
        package = __package__ or ""
        root = Path(__file__).parents[package.count(".") + 1]
        path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", package, "--until-stdin-ends", "--port", str(self._port)]
        command += ["--faults", json.dumps(self._given.to_dict())]
        for token in self._bad_tokens:
            command += ["--bad-token", token]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, _, value = line.strip().partition("=")
            if name == "HF_ENDPOINT":
                self._hub_url = value
                return self
        self.stop()
        raise OSError("the sandbox did not start")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def requests(self) -> list[Record]:
        return [Record(**record) for record in self._steer("GET", "requests")]

    @property
    def faults(self) -> Faults:
        return Faults.of(self._steer("GET", "faults"))

    @faults.setter
    def faults(self, faults: FaultsLike) -> None:
        self._steer("PUT", "faults", Faults.of(faults).to_dict())

    def reset(self) -> None:
        """Forget the requests, and behave again as at the start."""
        self._steer("DELETE", "requests")
        self.faults = self._given

    def _steer(self, method: str, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.hub_url}/sandbox/{what}", data, method=method)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as answer:
            return json.load(answer)
