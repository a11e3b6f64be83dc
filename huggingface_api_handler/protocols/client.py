"""The client of one model, at its endpoint or at hf-inference: builds requests and sends them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from urllib3.filepost import encode_multipart_formdata

from ..errors import EndpointGone, HuggingFaceError, InvalidInput, SettingsError
from ..hub import facts
from ..net.request import Request, Response, encode_json
from ..net.transport import Transport
from ..net.url_policy import ROUTER, parse_url
from ..tasks.media import Media
from ..tasks.task import Task
from . import hf_inference, hugging_py_face, streams
from .base import Call
from .chat import chat_url
from .hf_inference import model_path

#: A name that chat servers with a single model accept for it.
ANY_MODEL = "tgi"
#: Where Inference Endpoints are served: their proxy responds for one that is scaled to zero.
ENDPOINTS_DOMAIN = ".endpoints.huggingface.cloud"
#: Seconds that the proxy responds before the timeout, so that its response arrives.
HOLD_MARGIN = 5
#: Bytes of the JSON with which a server describes itself.
_MAX_DESCRIPTION = 1 << 20
#: Statuses of a server that has nothing at a path, or nothing for GET; 200: no JSON.
_NO_SUCH_THING = frozenset({200, 400, 404, 405, 406, 410, 415, 422, 501})


def _parsed(url: str, argument: str) -> str:
    """Return the normal form of ``url``. Settings that an older version stored may break a newer rule."""
    try:
        return parse_url(url).url
    except ValueError as error:
        raise SettingsError(f"{argument}: {error}", advice=f"{argument} = 'https://…'") from None


class InferenceAPI:
    """One model, as one engine may call it. All workers share it.

    Args:
        transport: sends.
        token: text or ``SecretStr``; ``None`` asks anonymously.
        base_url: ``…/hf-inference`` of the router, or of a server in its place; not used with an endpoint.
        endpoint: URL of a server with this one model; requests go to it unchanged.
        model: ``org/name``; may be ``None`` with an endpoint.
        bill_to: organisation billed; sent to Hugging Face and the engine's own base URL alone.
        provider: of a chat (``org/name:provider`` to the router); ``auto``: the router's choice.
        session: by which name the requests are on Hugging Face's bill; sent to Hugging Face alone.
        timeout: seconds that a request may take; an endpoint's proxy is asked to hold it while a server starts.

    Attributes:
        endpoint, model: as given.

    Raises:
        SettingsError: an address that cannot work, or a model's name that leads to another path.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        token: Any,
        base_url: str = ROUTER,
        endpoint: str | None,
        model: str | None,
        bill_to: str | None = None,
        provider: str = "auto",
        timeout: float | None = None,
        session: str | None = None,
    ) -> None:
        self._session = session
        self._transport = transport
        self._token = token
        self._base_url = _parsed(base_url, "base_url").rstrip("/")
        self.endpoint = _parsed(endpoint, "endpoint") if endpoint else None
        self.model = model
        self._provider = provider
        self._bill_to = bill_to
        self._holds = _holds(self.endpoint, timeout)
        #: URL → headers of requests to it.
        self._headers: dict[str, Mapping[str, str]] = {}
        # An endpoint's name for its model is part of no path: '/repository' and the like are fine.
        self._path = "" if self.endpoint else model_path(model or "")

    @property
    def provider(self) -> str | None:
        """The provider of the model; ``None`` at an endpoint."""
        return None if self.endpoint else self._provider

    @property
    def wakes(self) -> bool:
        """Whether the endpoint's proxy can hold a request until a server is up."""
        return bool(self._holds)

    @property
    def service(self) -> tuple[str, str | None]:
        """What answers: two clients with the same ``service`` have the same limits."""
        return self.endpoint or self._base_url, self.model

    def alone(self, task: Task) -> bool:
        """Return whether every row has its own request here, whatever the task allows."""
        return False

    def url(self, task: Task) -> str:
        """Return the URL of ``task``."""
        if self.endpoint is not None:
            return chat_url(self.endpoint) if task.chat else self.endpoint
        return hf_inference.url_of(self._base_url, self._path, task)

    def look(self, url: str, *, timeout: float) -> Any:
        """Return the JSON with which the endpoint's server describes itself at ``url``; ``None`` if there is none.

        Raises:
            HuggingFaceError: that is unknown: no connection, no permission, a server that is starting.
        """
        try:
            reply = self._transport.get(
                url, purpose="service", token=self._token, accept="application/json", headers=self._holds,
                timeout=timeout, max_bytes=_MAX_DESCRIPTION,
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
            url: of the request, if not ``url(task)``.
            model: the server's name for its model, if the statement names none; empty: no name is sent.

        Raises:
            HuggingFaceError: the request failed, with the server's reason.
        """
        route = self.url(task)
        body, content_type = self._body(task, call, model)
        return self._transport.send(
            Request(
                method="POST", url=url or route, token=self._token, headers=self._headers_of(route),
                body=body, content_type=content_type, accept=call.accept, timeout=timeout,
                max_bytes=task.max_answer_bytes,
            )
        )  # fmt: skip

    def fetch(self, link: str, *, timeout: float) -> Response:
        """Fetch a link of a response; other servers serve it, so no token is sent."""
        return self._transport.get(link, purpose="link", token=None, timeout=timeout)

    def _headers_of(self, url: str) -> Mapping[str, str]:
        """Return the headers that say who is billed for a request to ``url``, under which name, and what holds it."""
        headers = self._headers.get(url)
        if headers is None:
            headers = dict(self._holds)
            if self._bill_to and self._transport.policy.is_primary(url):
                headers["X-HF-Bill-To"] = self._bill_to
            if self._session and facts.is_hub(url):
                headers["X-HF-Session-id"] = self._session
            self._headers[url] = headers
        return headers

    def _body(self, task: Task, call: Call, model: str | None) -> tuple[bytes, str]:
        """Return a request's body and its content type."""
        if call.form and call.media is not None:
            return _form(call.root, call.media)
        if call.media is not None and not call.parameters and not call.root and not task.chat:
            return call.media.data, call.media.type
        body: dict[str, Any] = {}
        if task.chat:
            # First in the body: the router decides by its beginning.
            name = self._chat_model(model)
            if name:
                body["model"] = name
        # What hugging-py-face has no argument for (top_k, src_lang, fields of the root) is taken from the call itself.
        inputs, parameters, options = hugging_py_face.built(task.name, call) or (call.inputs, {}, {})
        if call.media is not None:
            body["inputs"] = call.media.base64
        elif inputs is not None:
            body["inputs"] = inputs
        merged = {**call.parameters, **parameters}
        if merged:
            body["parameters"] = merged
        if options:
            body["options"] = options
        for name, value in call.root.items():
            body.setdefault(name, value)
        if not body:
            raise InvalidInput("the request would be empty")
        return encode_json(body), "application/json"

    def _chat_model(self, found: str | None) -> str:
        if self.model is None:
            return ANY_MODEL if found is None else found
        if self.endpoint is not None or self._provider == "auto" or ":" in self.model:
            return self.model
        return f"{self.model}:{self._provider}"


def _form(fields: Mapping[str, Any], file: Media) -> tuple[bytes, str]:
    """Return a multipart form and its content type."""
    suffix = file.type.rpartition("/")[2].removeprefix("x-")
    named: dict[str, Any] = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()
    }
    body, content_type = encode_multipart_formdata({**named, "file": (f"file.{suffix}", file.data, file.type)})
    return body, content_type


def answer_of(response: Response) -> Any:
    """Return the body as JSON, or as ``Media`` if its media type says so; a stream is assembled."""
    events = response.events
    if events:
        return streams.assembled(events)
    return response.json() if response.is_json else Media(response.content, response.media_type)


def _holds(endpoint: str | None, timeout: float | None) -> dict[str, str]:
    """Return the header by which the proxy of a sleeping endpoint holds a request instead of answering 503 at once."""
    seconds = int(timeout or 0) - HOLD_MARGIN
    asleep = endpoint is not None and (urlsplit(endpoint).hostname or "").endswith(ENDPOINTS_DOMAIN)
    return {"X-Scale-Up-Timeout": str(seconds)} if asleep and seconds > 0 else {}


def time_left(ends: float, now: float) -> float:
    """Return the seconds from ``now`` until ``ends``, rounded up to tenths, so that messages show round numbers.

    At least a tenth: a request without time could not show what is wrong.
    """
    left = ends - now
    return left if left == math.inf else max(math.ceil(left * 10.0 - 1e-6) / 10.0, 0.1)
