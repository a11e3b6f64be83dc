"""What kind of server stands behind an endpoint: told by what it answers, or by its URL.

=====================================  ==============================================
``GET /info`` with ``model_type``      text-embeddings-inference
``GET /info`` with a text generator    text-generation-inference
``GET /v1/models`` or ``/models``      a server that speaks OpenAI's API
none of these                          the default container of Inference Endpoints, and whatever
                                       takes ``{"inputs": …}`` at its root
=====================================  ==============================================

Three short questions at most, once a process and then again after ``LASTS`` seconds; never for each row. A server
that does not answer them is asked as if it had answered none, and they are put again while it starts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConnectionFailed, HuggingFaceError, Unavailable
from ..tasks.task import Arguments, Batching, Dialect, Kind, Task
from .hf_inference import InferenceAPI

#: Seconds for which what was found is used.
LASTS = 600.0
#: Seconds after which a server that did not answer is asked again; twice as long each time.
AGAIN = 5.0
#: Seconds that the questions may take, all together.
PATIENCE = 10.0
#: Bytes of an answer that are looked at.
_MAX_BYTES = 1 << 20
#: What an endpoint's URL may end in that names a route of OpenAI's API, …
_OPENAI_ROUTES = ("/chat/completions", "/completions", "/embeddings")
#: … and those that other servers have.
_OTHER_ROUTES = ("/generate", "/embed", "/embed_all", "/predict", "/rerank", "/similarity", "/classify")


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a server.

    Attributes:
        dialect: where fields stand in its requests.
        prefix: what stands before OpenAI's routes: ``/v1``, or nothing.
        model: what it calls its model, where it has only one.
        max_batch_size: inputs that it takes in one request, if it says so.
        has_answered: whether it could be asked at all.
    """

    dialect: Dialect
    prefix: str = ""
    model: str | None = None
    max_batch_size: int | None = None
    has_answered: bool = True


#: What is not asked, and what does not answer.
HUB = Server(Dialect.INFERENCE)
UNKNOWN = Server(Dialect.TOOLKIT, has_answered=False)


# --- addresses ------------------------------------------------------------------------------------


def split_route(endpoint: str) -> tuple[str, str]:
    """Return an endpoint's URL as (server, route): ``https://host`` and ``/v1/rerank``, for example.

    The route is empty where the URL names none.
    """
    url = endpoint.rstrip("/")
    path = urlsplit(url).path
    for known in (*_OPENAI_ROUTES, *_OTHER_ROUTES):
        if path.endswith(known):
            root = url.removesuffix(known)
            versioned = root.removesuffix("/v1")
            return versioned, url[len(versioned) :]
    root = url.removesuffix("/v1")
    return root, url[len(root) :]


def by_url(endpoint: str) -> Server | None:
    """Return what the URL itself says of the server: ``/v1`` and the routes under it are OpenAI's."""
    route = split_route(endpoint)[1]
    if route.startswith("/v1"):
        return Server(Dialect.OPENAI, prefix="/v1")
    return Server(Dialect.OPENAI) if route in _OPENAI_ROUTES else None


def url_of(endpoint: str, task: Task, server: Server) -> str:
    """Return the address at which a server is asked for ``task``.

    An endpoint that names its route is asked there; else kinds of servers that have a route for the task are asked
    at it, and all others at the endpoint as it stands.
    """
    root, route = split_route(endpoint)
    if route not in ("", "/v1"):
        return endpoint
    own = task.routes.get(server.dialect)
    if own is None:
        return endpoint
    return f"{root}{server.prefix if server.dialect is Dialect.OPENAI else ''}{own}"


# --- questions ------------------------------------------------------------------------------------


def matters(task: Task) -> bool:
    """Say whether kinds of servers differ in how they are asked for ``task``: they do in tasks about text."""
    return task.chat or task.inputs[0].kind is Kind.TEXT


def find(endpoint: str, ask: Callable[[str], Any]) -> Server:
    """Return what stands behind ``endpoint``.

    Args:
        ask: URL → the JSON that it answers; ``None`` where the server answers that it has no such thing.

    Raises:
        HuggingFaceError: where the server cannot be asked, now or at all.
    """
    root, _ = split_route(endpoint)
    told = by_url(endpoint)
    if told is not None:
        return replace(told, model=_only_model(_listed(ask, f"{root}{told.prefix}/models")))
    about = _info(ask, f"{root}/info")
    if isinstance(about, Mapping):
        if "model_type" in about and ("max_client_batch_size" in about or "max_batch_tokens" in about):
            return Server(Dialect.TEI, model=_text(about.get("model_id")), max_batch_size=_batch(about))
        if "model_id" in about and any(name in about for name in _OF_TGI):
            return Server(Dialect.TGI, model=_text(about["model_id"]))
    for prefix in ("/v1", ""):
        listed = _listed(ask, f"{root}{prefix}/models")
        if isinstance(listed, Mapping) and isinstance(listed.get("data"), list):
            return Server(Dialect.OPENAI, prefix, _only_model(listed))
    return Server(Dialect.TOOLKIT)


def _info(ask: Callable[[str], Any], url: str) -> Any:
    try:
        return ask(url)
    except Unavailable as error:
        if error.status == _BROKEN:
            return None
        raise


def _listed(ask: Callable[[str], Any], url: str) -> Any:
    """Return the models that a server lists. One that fails at it has the route: it is OpenAI's all the same.

    A server that lists what it has of the Hub fails where the Hub cannot be reached.
    """
    try:
        return ask(url)
    except Unavailable as error:
        if error.status == _BROKEN:
            return {"data": []}
        raise


#: The status of a route that is there and fails; a server that is starting has others.
_BROKEN = 500
#: Fields of /info that only text-generation-inference has, in one of its versions.
_OF_TGI = ("max_total_tokens", "max_input_tokens", "max_input_length", "max_stop_sequences", "model_pipeline_tag")


def _batch(about: Mapping[str, Any]) -> int | None:
    most = about.get("max_client_batch_size")
    return most if isinstance(most, int) and not isinstance(most, bool) and most > 0 else None


def _only_model(listed: Any) -> str | None:
    models = listed.get("data") if isinstance(listed, Mapping) else None
    if not isinstance(models, list) or len(models) != 1 or not isinstance(models[0], Mapping):
        return None
    return _text(models[0].get("id"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 500 and value.isprintable() else None


# --- what is kept ---------------------------------------------------------------------------------


class Findings:
    """What was found behind one endpoint, for all threads of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._until = 0.0
        self._pause = AGAIN / 2

    def get(self, find: Callable[[], Server]) -> Server:
        """Return what was found, by asking now if that was never done or is long ago.

        One thread asks; others wait for it. What was found stays when the server later does not answer.
        """
        server = self._server
        if server is not None and self._clock() < self._until:
            return server
        with self._lock:
            if self._server is None or self._clock() >= self._until:
                found = find()
                if found.has_answered or self._server is None or not self._server.has_answered:
                    self._server = found
                # A server that never answers such questions is soon left alone.
                self._pause = LASTS if found.has_answered else min(self._pause * 2, LASTS)
                self._until = self._clock() + self._pause
            return self._server


class Endpoint:
    """The server of one client, as its requests need to know it.

    Args:
        client: asks; its own endpoint is meant.
        findings: what the process knows of that endpoint.
        timeout: seconds that a request to it may take.
    """

    def __init__(self, client: InferenceAPI, task: Task, findings: Findings, timeout: float) -> None:
        self._client = client
        self._task = task
        self._findings = findings
        self._timeout = timeout
        self._is_asked = client.endpoint is not None and matters(task)

    def server(self) -> Server:
        """Return what is known of the server now. Never raises: the query itself says what is wrong."""
        return self._findings.get(self._find) if self._is_asked else HUB

    def arguments(self, arguments: Arguments, server: Server) -> Arguments:
        """Return ``arguments`` in the server's dialect, with its own name of the model where none is given."""
        model = arguments.model
        if not model.id and (self._client.model or server.model):
            model = replace(model, id=self._client.model or server.model)
        return replace(arguments, dialect=server.dialect, model=model)

    def model_of(self, server: Server) -> str | None:
        """Return what the server calls its model; empty: it is asked without a name; ``None``: nothing is known.

        Servers of OpenAI's API that have one model take a request without a name, and may refuse a wrong one.
        """
        return server.model or ("" if server.dialect is Dialect.OPENAI else None)

    def batch_size(self, most: int) -> int:
        """Return how many rows may share a request, of ``most`` that the user allows."""
        server = self.server()
        if self._client.alone(self._task) or self._task.travels(server.dialect) is Batching.ONE:
            return 1
        return min(most, server.max_batch_size or most)

    def url(self, server: Server) -> str | None:
        """Return where the task is asked for; ``None``: where the client would ask anyway."""
        if self._client.endpoint is None or self._task.chat or not self._is_asked:
            return None
        return url_of(self._client.endpoint, self._task, server)

    def _find(self) -> Server:
        # A server that is held asleep is woken by the first question, and answers when it is up.
        patience = self._timeout if self._client.wakes else min(PATIENCE, self._timeout)
        ends = time.monotonic() + patience

        def ask(url: str) -> Any:
            left = ends - time.monotonic()
            if left <= 0:
                raise ConnectionFailed("the server did not answer in time")
            return self._client.look(url, timeout=left, max_bytes=_MAX_BYTES)

        endpoint = self._client.endpoint or ""
        told = by_url(endpoint)
        if told is not None and self._client.model:
            return told
        try:
            return find(endpoint, ask)
        except HuggingFaceError:
            return replace(told or UNKNOWN, has_answered=False)
