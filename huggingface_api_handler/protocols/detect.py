"""Which kind of server an endpoint is: its URL shows it, or its answers to a few probes.

Each protocol recognizes its own kind (``Protocol.recognize``), in the order of ``PROTOCOLS``. A server that no protocol
recognizes is taken for the default container of Inference Endpoints, which takes ``{"inputs": …}`` at its root.

A process probes once, and again after ``LASTS`` seconds; never for each row. A server that does not answer is taken for
the default container, and probed again while it starts.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConnectionFailed, HuggingFaceError, Unavailable
from ..net.memory_limit import MEMORY
from ..net.request import Response
from ..tasks.media import Media
from ..tasks.media_answers import media_link
from ..tasks.task import Answer, Arguments, Batching, Kind, Row, Task
from . import PROTOCOLS, chat, hf_inference, toolkit
from .base import BROKEN, Call, Learned, Protocol, Server
from .chat import answer_schema, with_query, with_response_format
from .client import InferenceAPI, answer_of, time_left
from .pipeline_requests import WRITES_APART
from .usage import Usage, usage_of

#: Seconds for which what was found is used.
LASTS = 600.0
#: Seconds after which a server that did not answer is probed again; twice as long each time.
AGAIN = 5.0
#: Seconds that the probes may take, all together.
PATIENCE = 10.0
#: The status of a route that exists and fails; a server that is starting has others.
_BROKEN = 500
#: Forms in which a request is tried.
_MAX_FORMS = 4

#: What is not probed, and what does not answer.
HUB = Server(hf_inference.PROTOCOL)
UNKNOWN = Server(toolkit.PROTOCOL, has_answered=False)

#: Paths that an endpoint's URL may end in, longest first: ``/chat/completions`` before ``/completions``.
_ROUTES = sorted(
    {
        route
        for protocol in PROTOCOLS
        for route in (
            *protocol.routes,
            *((one.route or "").removeprefix("{v1}") for one in protocol.tasks.values()),
        )
        if route
    },
    key=len,
    reverse=True,
)


# --- URLs -----------------------------------------------------------------------------------------


def split_route(endpoint: str) -> tuple[str, str]:
    """Return an endpoint's URL as (server, route): ``https://host`` and ``/v1/rerank``, for example.

    The route is empty if the URL names none. A query of the URL is in neither: see ``with_query``.
    """
    url = endpoint.partition("?")[0].rstrip("/")
    path = urlsplit(url).path
    for known in _ROUTES:
        if path.endswith(known):
            root = url.removesuffix(known)
            versioned = root.removesuffix("/v1")
            return versioned, url[len(versioned) :]
    root = url.removesuffix("/v1")
    return root, url[len(root) :]


def without_route(endpoint: str) -> str | None:
    """Return the server's URL of an endpoint that names no route; ``None``: it names one."""
    root, route = split_route(endpoint)
    return None if route else root


def by_url(endpoint: str) -> Server | None:
    """Return the server if its URL shows of which kind it is."""
    route = split_route(endpoint)[1]
    return next((server for protocol in PROTOCOLS if (server := protocol.by_route(route)) is not None), None)


def url_of(endpoint: str, task: Task, server: Server) -> str:
    """Return the URL of ``task`` at a server.

    An endpoint that names its route is requested there; else a server with a route for the task is requested at it,
    and all others at the endpoint itself.
    """
    root, route = split_route(endpoint)
    own = server.protocol.serving(task).route
    if route not in ("", "/v1") or own is None:
        return endpoint
    return with_query(root + own.replace("{v1}", server.prefix), endpoint)


# --- probes ---------------------------------------------------------------------------------------


def matters(task: Task) -> bool:
    """Return whether kinds of servers differ in how they serve ``task``: they do in tasks about text."""
    return task.chat or task.inputs[0].kind is Kind.TEXT


def find(endpoint: str, ask: Callable[[str], Any]) -> Server:
    """Return the server at ``endpoint``.

    Args:
        ask: URL → the JSON that it answers; ``None`` if the server answers that it has no such thing.

    Raises:
        HuggingFaceError: the server does not answer, now or at all.
    """
    root, _ = split_route(endpoint)
    known: dict[str, Any] = {}

    def probe(path: str) -> Any:
        if path not in known:
            try:
                known[path] = ask(with_query(f"{root}{path}", endpoint))
            except Unavailable as error:
                if error.status != _BROKEN:
                    raise
                known[path] = BROKEN
        return known[path]

    shown = by_url(endpoint)
    if shown is not None:
        variant = next(
            (server for one in _variants(shown.protocol) if (server := one.recognize(probe)) is not None), None
        )
        if variant is not None:
            return variant
        itself = shown.protocol.recognize(probe)
        return shown if itself is None else replace(shown, model=itself.model)
    for protocol in PROTOCOLS:
        found = protocol.recognize(probe)
        if found is not None:
            return found
    return Server(toolkit.PROTOCOL)


def _variants(protocol: Protocol) -> list[Protocol]:
    return [one for one in PROTOCOLS if one.variant_of is protocol]


# --- one endpoint ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one request, one for each row.

    Attributes:
        response: which they come from.
        usage: what the response says of its cost.
        requests: made for them; more than one, if the first showed how the server wants them.
    """

    answers: list[Answer]
    response: Response
    usage: Usage
    requests: int = 1


class Findings:
    """What was found at one endpoint, for all threads of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: What refusals have shown of the server.
        self.learned = Learned()
        self._first = threading.Lock()
        self._tried: set[str] = set()
        self._server: Server | None = None
        self._until = 0.0
        self._pause = AGAIN / 2

    def get(self, find: Callable[[], Server]) -> Server:
        """Return what was found; probe the server if that was never done or is long ago.

        One thread probes; others wait for it. What was found stays when the server later does not answer.
        """
        server = self._server
        if server is not None and self._clock() < self._until:
            return server
        with self._lock:
            if self._server is None or self._clock() >= self._until:
                found = find()
                if found.has_answered or self._server is None or not self._server.has_answered:
                    self._server = found
                # A server that never answers probes is soon left alone.
                self._pause = LASTS if found.has_answered else min(self._pause * 2, LASTS)
                self._until = self._clock() + self._pause
            return self._server

    @contextmanager
    def first(self, task: str, *, patience: float) -> Iterator[None]:
        """Let one thread send the first request of a task; the others wait for what it shows.

        Args:
            patience: seconds to wait at most.
        """
        patience = min(patience, threading.TIMEOUT_MAX)
        if task not in self._tried and self._first.acquire(timeout=patience):
            try:
                if task not in self._tried:
                    try:
                        yield
                    finally:
                        self._tried.add(task)
                    return
            finally:
                self._first.release()
        yield


class Endpoint:
    """One task at the server of one client, which is called by its own protocol.

    Args:
        client: sends the requests to its endpoint.
        findings: what the process knows of that endpoint.
        timeout: seconds that a request may take.
    """

    def __init__(self, client: InferenceAPI, task: Task, findings: Findings, timeout: float) -> None:
        self._client = client
        self._task = task
        self._findings = findings
        self._timeout = timeout
        at = client.endpoint
        self._is_asked = at is not None and (matters(task) or by_url(at) is not None)

    @property
    def provider(self) -> str | None:
        """The provider of the model; ``None`` at an endpoint."""
        return self._client.provider

    @property
    def service(self) -> tuple[str, str | None]:
        """What answers; see ``InferenceAPI.service``."""
        return self._client.service

    def server(self, timeout: float | None = None) -> Server:
        """Return what is known of the server now. Never raises: the query's own requests show what is wrong.

        Args:
            timeout: seconds that probes may take, if less than those of a request.
        """
        if not self._is_asked:
            return HUB
        seconds = self._timeout if timeout is None else min(timeout, self._timeout)
        return self._findings.get(lambda: self._find(seconds))

    def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
        """Send one request for ``rows`` and return their answers.

        Raises:
            HuggingFaceError: what went wrong, with the service's reason.
        """
        ends = time.monotonic() + timeout
        server = self.server(timeout)
        unsure = self._is_unsure(server) or answer_schema(arguments) is not None
        if not unsure:
            return self._asked(server, rows, arguments, ends)
        # A request that is left with too little time would be billed, and its answer lost.
        with self._findings.first(self._task.name, patience=timeout / 2):
            return self._asked(server, rows, arguments, ends)

    def _asked(self, server: Server, rows: Sequence[Row], arguments: Arguments, ends: float) -> Answered:
        """Send one request, and again in another form if its refusal tells one that the server takes."""
        task = self._task
        for requests in itertools.count(1):
            known = self._findings.learned
            protocol = known.protocol or server.protocol
            asked = server if protocol is server.protocol else replace(server, protocol=protocol)
            of_server = with_response_format(self.arguments(arguments, server), known.json_form)
            call = _as_learned(protocol.encode(task, rows, of_server), known)
            try:
                response = self._client.ask(
                    task, call, timeout=time_left(ends, time.monotonic()),
                    url=self.url(asked), model=self.model_of(server),
                )  # fmt: skip
                break
            except HuggingFaceError as error:
                error.requests = requests
                # What has been carried out is billed, and not asked for again here.
                if error.usage is not None or requests >= _MAX_FORMS:
                    raise
                if not self._learn(protocol, error, call, known, of_server):
                    raise
        answer: Any = None
        try:
            with MEMORY.parsing(len(response.content)):
                answer = answer_of(response)
                usage = usage_of(response, answer)
                link = media_link(answer) if call.accept != "application/json" and response.is_json else None
                if link is None:
                    return Answered(protocol.read(task, answer, len(rows), of_server), response, usage, requests)
            made = self._client.fetch(link, timeout=time_left(ends, time.monotonic()))
            medium = Media(made.content, made.media_type)
            return Answered(protocol.read(task, medium, len(rows), of_server), response, usage, requests)
        except HuggingFaceError as error:  # an invalid answer is billed too
            error.usage, error.requests = usage_of(response, answer), requests
            raise

    def _learn(self, protocol: Protocol, error: HuggingFaceError, call: Call, known: Learned, args: Arguments) -> bool:
        """Return whether a refusal tells another form of the request, or another thread has learned one meanwhile."""
        if self._findings.learned is not known:
            return True
        findings = (one.learn(self._task, error, call, known) for one in (protocol, *_variants(protocol)))
        learned = next((one for one in findings if one is not None), None) or chat.learn(error, call, args, known)
        if learned is not None:
            self._findings.learned = learned
        return learned is not None

    def _is_unsure(self, server: Server) -> bool:
        """Return whether the first request has to show at which route the server has the task."""
        protocol, name = server.protocol, self._task.name
        if name not in protocol.tasks or self._findings.learned.protocol is not None:
            return False
        return any(one.tasks[name].route != protocol.tasks[name].route for one in _variants(protocol))

    def expect_no_schema(self) -> None:
        """Ask for JSON in the next form, if nothing is known yet but that the provider takes no JSON schema."""
        if self._findings.learned.json_form == "schema":
            self._findings.learned = replace(self._findings.learned, json_form=chat.NEXT_FORM["schema"])

    def arguments(self, arguments: Arguments, server: Server) -> Arguments:
        """Return ``arguments`` with what is known of the server's model: its name if none is given, its blank."""
        model, known = arguments.model, self._findings.learned
        if known.mask_token is not None:
            model = replace(model, mask_token=known.mask_token)
        if known.writes_apart:
            model = replace(model, tags=(*model.tags, WRITES_APART))
        if not model.id and (self._client.model or server.model):
            model = replace(model, id=self._client.model or server.model)
        return arguments if model is arguments.model else replace(arguments, model=model)

    def model_of(self, server: Server) -> str | None:
        """Return what the server calls its model; empty: requests name none; ``None``: nothing is known."""
        return server.model or ("" if server.protocol.nameless else None)

    def batch_size(self, most: int) -> int:
        """Return how many rows may share a request, of ``most`` that the user allows."""
        server = self.server()
        if self._client.alone(self._task) or server.protocol.batching(self._task) is Batching.ONE:
            return 1
        if self._findings.learned.takes_no_lists:
            return 1
        return min(most, server.max_batch_size or most)

    def url(self, server: Server) -> str | None:
        """Return the URL of the task; ``None``: the client's own."""
        if self._client.endpoint is None or not self._is_asked:
            return None
        if self._task.chat and server.protocol.serving(self._task).route is None:
            return None
        return url_of(self._client.endpoint, self._task, server)

    def _find(self, timeout: float) -> Server:
        # The first probe wakes a server that is scaled to zero, and is answered when it is up.
        patience = timeout if self._client.wakes else min(PATIENCE, timeout)
        ends = time.monotonic() + patience

        def ask(url: str) -> Any:
            left = ends - time.monotonic()
            if left <= 0:
                raise ConnectionFailed("the server did not answer in time")
            return self._client.look(url, timeout=left)

        endpoint = self._client.endpoint or ""
        shown = by_url(endpoint)
        if shown is not None and self._client.model and split_route(endpoint)[1] != "/v1":
            return shown
        try:
            return find(endpoint, ask)
        except HuggingFaceError:
            return replace(shown or UNKNOWN, has_answered=False)


def _as_learned(call: Call, known: Learned) -> Call:
    """Return the content of a request in the form that the server's refusals have asked for."""
    if call.media is not None and call.media.type in known.text_forms and not call.form:
        return replace(call, inputs=call.media.base64, media=None)
    call = chat.as_learned(call, known)
    texts = call.root.get("input")
    if known.takes_no_lists and isinstance(texts, list) and len(texts) == 1:
        return replace(call, root={**call.root, "input": texts[0]})
    return call
