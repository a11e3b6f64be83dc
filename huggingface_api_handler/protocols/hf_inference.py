"""The Hugging Face Inference API: what is asked where.

The tasks that hugging-py-face knows go through its own methods, which put the call together;
its ``_query``, where it would look the model up, read files, send and wait, is replaced by
ours. What it has no method for goes straight to the same ``_query``.
"""

from __future__ import annotations

import inspect
import logging.config
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import EndpointGone, HuggingFaceError, InvalidInput, SettingsError
from ..net.request import Response
from ..net.transport import Transport
from ..net.url_policy import DEAD_HOST, parse_url
from ..tasks.task import Call, Media, Task

ROUTER = "https://router.huggingface.co/hf-inference"
#: The router's own chat route, which finds a provider for the model.
ROUTER_CHAT = "https://router.huggingface.co/v1/chat/completions"
CHAT = "/chat/completions"
#: What chat servers of a single model take for its name.
ANY_MODEL = "tgi"
#: Where Inference Endpoints are served: their proxy answers for one that is scaled to zero.
ENDPOINTS_DOMAIN = ".endpoints.huggingface.cloud"
#: Seconds that the proxy gives up before we do, so that its word arrives.
_HOLD_MARGIN = 5
#: Statuses by which a server says that it has nothing at a path, or nothing for GET; 200: no JSON.
_NO_SUCH_THING = frozenset({200, 400, 404, 405, 406, 410, 415, 422, 501})
#: Providers that need no word to the router.
_NO_PROVIDER = ("", "auto")


# --- hugging-py-face ------------------------------------------------------------------------------

_importing = threading.Lock()


def hugging_py_face() -> ModuleType:
    """Import hugging-py-face without letting it change the process's logging.

    At import it hands its own configuration to ``logging.config.dictConfig``, which would disable
    every logger made before and take the root logger over. While it is imported, that one call,
    made by this thread, does nothing; other threads' calls go through.

    Raises:
        SettingsError: it is not installed, or cannot be imported.
    """
    with _importing:
        # Whatever else is imported along with it may set up loggers of its own, and does no harm.
        original, importer = logging.config.dictConfig, threading.get_ident()

        def dict_config(config: Any) -> None:
            if threading.get_ident() != importer:
                original(config)

        logging.config.dictConfig = dict_config
        try:
            import hugging_py_face
        except ImportError as error:
            raise SettingsError(
                "the package hugging-py-face cannot be imported",
                advice="Install it into MindsDB's environment: pip install 'hugging-py-face~=0.5.3'",
            ) from error
        finally:
            logging.config.dictConfig = original
    package: ModuleType = hugging_py_face
    return package


@dataclass(frozen=True, slots=True)
class _Method:
    """A method of hugging-py-face: the class to call it on, and the names of its arguments."""

    of: Callable[[_Asker], Any]
    name: str
    arguments: tuple[str, ...]


_Asker = Callable[[Any, "Mapping[str, Any] | None", "Mapping[str, Any] | None"], Response]


@lru_cache(maxsize=64)
def _method(name: str) -> _Method:
    """Find the method ``name`` in one of the library's three classes, with our ``_query`` in place."""
    package: Any = hugging_py_face()
    for family in (package.NLP, package.ComputerVision, package.AudioProcessing):
        method = getattr(family, name, None)
        if callable(method):
            arguments = tuple(inspect.signature(method).parameters)[1:]
            return _Method(_ours(family), name, arguments)
    raise SettingsError(f"hugging-py-face has no method '{name}'")


@lru_cache(maxsize=8)
def _ours(family: type) -> Callable[[_Asker], Any]:
    """Return a subclass of one of the library's classes that sends through an ``_Asker``.

    The library's own constructor is passed over: it reads files and sets up a client of the Hub
    with the machine's own login.
    """

    def take(self: Any, ask: _Asker) -> None:
        self._ask = ask

    if "parameters" in inspect.signature(family._query).parameters:  # type: ignore[attr-defined]

        def query(
            self: Any, inputs: Any, parameters: Any = None, options: Any = None, model: Any = None, task: Any = None
        ) -> Any:
            return self._ask(inputs, parameters, options)
    else:

        def query(self: Any, input: Any, model: Any = None, task: Any = None) -> Any:  # type: ignore[misc]
            return self._ask(input, None, None)

    return type(family.__name__, (family,), {"__init__": take, "_query": query})


def _arguments(method: _Method, call: Call) -> dict[str, Any] | None:
    """Return ``call`` as arguments of ``method``; ``None`` where it has no place for them.

    ``parameters`` is a copy: zero_shot_classification writes into what it is given.
    """
    names = method.arguments
    parameters = dict(call.parameters)
    # Ours asks no name of a model; without one, translation would make one up.
    given: dict[str, Any] = {"model": ""}
    if "parameters" in names:
        given["parameters"] = parameters
    if "candidate_labels" in names:
        if "candidate_labels" not in parameters:
            return None
        given["candidate_labels"] = parameters.pop("candidate_labels")
    if "options" in names and isinstance(call.root.get("options"), Mapping):
        given["options"] = dict(call.root["options"])
    if call.media is not None:
        # The methods take names of files to read; ours reads none, so any text will do.
        return {**given, "inputs": ""} if "inputs" in names else None
    if "text" in names:
        # conversational(text) would wrap it; nothing served today takes that.
        return None if "past_user_inputs" in names else {**given, "text": call.inputs}
    if not isinstance(call.inputs, Mapping):
        return None
    fields = {("question" if "table" in names and name == "query" else name): v for name, v in call.inputs.items()}
    wanted = [name for name in names if name not in ("parameters", "options", "model")]
    return {**given, **fields} if sorted(fields) == sorted(wanted) else None


# --- addresses ------------------------------------------------------------------------------------


def model_path(model: str) -> str:
    """Return ``org/name`` as it stands in a path.

    Raises:
        SettingsError: parts that would lead to another path.
    """
    parts = model.strip().split("/")
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise SettingsError(f"'{model}' is no model's name", advice="It reads org/name, as on the model's page")
    return "/".join(quote(part, safe="") for part in parts)


def chat_url(url: str) -> str:
    """Return the chat route of a server: ``/v1/chat/completions`` unless ``url`` says more."""
    url = url.rstrip("/")
    if urlsplit(url).path.endswith(CHAT):
        return url
    return f"{url}{CHAT}" if urlsplit(url).path.endswith("/v1") else f"{url}/v1{CHAT}"


def _checked(url: str, argument: str) -> str:
    try:
        place = parse_url(url)
    except ValueError as error:
        raise SettingsError(f"{argument}: {error}", advice=f"{argument} = 'https://…'") from None
    if place.host == DEAD_HOST:
        raise SettingsError(
            f"{argument} names {DEAD_HOST}, which no longer serves anybody",
            advice=f"Leave {argument} out, or write base_url = '{ROUTER}'",
        )
    return place.url


# --- the client -----------------------------------------------------------------------------------


class InferenceAPI:
    """One model, as one engine may ask it. Stateless but for what it prepared; shared by all lanes.

    Args:
        transport: sends.
        token: text or ``SecretStr``; ``None`` asks anonymously.
        base_url: ``…/hf-inference`` of the router, or of what stands in for it.
        endpoint: URL of a server with this one model; requests go to it as it stands.
        model: ``org/name``; may be ``None`` with an endpoint.
        bill_to: organisation billed; sent to Hugging Face and the engine's own base URL alone.
        provider: who shall serve a chat (``org/name:provider`` to the router); ``auto``: the router's choice.
        timeout: seconds that a request may take; an endpoint's proxy is asked to hold it while a server starts.

    Raises:
        SettingsError: an address or a name that cannot work.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        token: Any,
        base_url: str | None,
        endpoint: str | None,
        model: str | None,
        bill_to: str | None = None,
        provider: str = "auto",
        timeout: float | None = None,
    ) -> None:
        self._transport = transport
        self._token = token
        self._base_url = _checked(base_url or ROUTER, "base_url").rstrip("/").removesuffix("/models")
        self._endpoint = _checked(endpoint, "endpoint") if endpoint else None
        self._model = model
        self._provider = provider
        self._bill_to = bill_to
        self._holds = _holds(self._endpoint, timeout)
        if self._endpoint is None and not model:
            raise SettingsError("model_name is missing", advice="Name a model, or an endpoint that serves one")
        # What an endpoint calls its model stands in no path: '/repository' and the like are fine.
        self._path = model_path(model) if model and self._endpoint is None else ""
        self._routes: dict[tuple[str, bool, bool], tuple[str, dict[str, str]]] = {}

    @property
    def endpoint(self) -> str | None:
        """URL of a server with this one model."""
        return self._endpoint

    @property
    def model(self) -> str | None:
        """What the model is called."""
        return self._model

    @property
    def wakes(self) -> bool:
        """Whether the endpoint's proxy can hold a request until a server is up."""
        return bool(self._holds)

    @property
    def service(self) -> tuple[str, str | None]:
        """What answers: two clients with the same ``service`` meet the same limits."""
        return self._endpoint or self._base_url, self._model

    def alone(self, task: Task) -> bool:
        """Say whether rows are asked one by one here, whatever the task says."""
        return False

    def url(self, task: Task) -> str:
        """Return the address at which ``task`` is asked for."""
        if self._endpoint is not None:
            return chat_url(self._endpoint) if task.chat else self._endpoint
        if task.chat:
            return ROUTER_CHAT if self._base_url == ROUTER else chat_url(self._base_url)
        url = f"{self._base_url}/models/{self._path}"
        return f"{url}/pipeline/{task.name}" if task.pipeline_route else url

    def look(self, url: str, *, timeout: float, max_bytes: int) -> Any:
        """Return what the endpoint's server says of itself at ``url``, as JSON; ``None`` where it has no such thing.

        Raises:
            HuggingFaceError: where that cannot be told: no connection, no permission, a server that is starting.
        """
        try:
            reply = self._transport.get(
                url, purpose="service", token=self._token, accept="application/json", headers=self._holds,
                timeout=timeout, max_bytes=max_bytes,
            )  # fmt: skip
            return reply.json()
        except HuggingFaceError as error:
            if error.status in _NO_SUCH_THING and not isinstance(error, EndpointGone):
                return None
            raise

    def ask(
        self, task: Task, call: Call, *, timeout: float, url: str | None = None, model: str | None = None
    ) -> Response:
        """Make one request. Seconds in ``timeout`` cover all of it.

        Args:
            url: where to ask, if not at ``url(task)``.
            model: what the server calls its model, for where no name was given; empty: no name is sent.

        Raises:
            HuggingFaceError: whatever went wrong, with the server's reason.
        """
        route, headers = self._route(task)

        def query(inputs: Any, parameters: Mapping[str, Any] | None, options: Mapping[str, Any] | None) -> Response:
            return self._query(url or route, headers, task, call, inputs, parameters, options, timeout, model)

        if task.method is not None:
            method = _method(task.method)
            arguments = _arguments(method, call)
            if arguments is not None:
                reply: Response = getattr(method.of(query), method.name)(**arguments)
                return reply
        return query(call.inputs, None, None)

    def _route(self, task: Task) -> tuple[str, dict[str, str]]:
        key = (task.name, task.chat, task.pipeline_route)
        known = self._routes.get(key)
        if known is None:
            url = self.url(task)
            home = self._bill_to and self._transport.policy.is_primary(url)
            billed = {"X-HF-Bill-To": str(self._bill_to)} if home else {}
            known = self._routes[key] = url, {**billed, **self._holds}
        return known

    def _query(
        self,
        url: str,
        headers: Mapping[str, str],
        task: Task,
        call: Call,
        inputs: Any,
        parameters: Mapping[str, Any] | None,
        options: Mapping[str, Any] | None,
        timeout: float,
        model: str | None = None,
    ) -> Response:
        """Send a call that hugging-py-face, or nobody, has put together.

        What the library has no argument for (``top_k``, ``src_lang``, fields of the root) is taken
        out of the call itself.
        """
        if call.media is not None and not call.parameters and not call.root and not task.chat:
            return self._transport.post(
                url, token=self._token, data=call.media.data, content_type=call.media.type, accept=call.accept,
                headers=headers, timeout=timeout, max_bytes=task.max_answer_bytes,
            )  # fmt: skip
        body: dict[str, Any] = {}
        if task.chat:
            # First in the body: the router decides by its beginning.
            name = self._chat_model(model)
            if name:
                body["model"] = name
        if call.media is not None:
            body["inputs"] = call.media.base64
        elif inputs is not None:
            body["inputs"] = inputs
        merged = {**call.parameters, **(parameters or {})}
        if merged:
            body["parameters"] = merged
        if options:
            body["options"] = options
        for name, value in call.root.items():
            body.setdefault(name, value)
        if not body:
            raise InvalidInput("the request would be empty")
        return self._transport.post(
            url, token=self._token, json=body, accept=call.accept, headers=headers, timeout=timeout,
            max_bytes=task.max_answer_bytes,
        )  # fmt: skip

    def _chat_model(self, found: str | None) -> str:
        if self._model is None:
            return ANY_MODEL if found is None else found
        if self._endpoint is not None or self._provider in _NO_PROVIDER or ":" in self._model:
            return self._model
        return f"{self._model}:{self._provider}"


def answer_of(response: Response) -> Any:
    """Return the body as JSON, or as ``Media`` if its media type says so."""
    return response.json() if response.is_json else Media(response.content, response.media_type)


def _holds(endpoint: str | None, timeout: float | None) -> dict[str, str]:
    """Return the header by which the proxy of a sleeping endpoint holds a request instead of answering 503 at once."""
    seconds = int(timeout or 0) - _HOLD_MARGIN
    asleep = endpoint is not None and (urlsplit(endpoint).hostname or "").endswith(ENDPOINTS_DOMAIN)
    return {"X-Scale-Up-Timeout": str(seconds)} if asleep and seconds > 0 else {}
