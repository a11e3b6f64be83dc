"""Inference Providers: the same tasks, asked of whoever serves the model.

Each provider has its own routes, names and bodies. huggingface_hub knows them: its helpers put
the request together here, and our transport sends it, through Hugging Face's router. What they
would do after that is done here instead, within the same limits as everything else: waiting for
queued work, and fetching what was made from where the provider left it, without the token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ..egress import Purpose
from ..errors import (
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelNotFound,
    ServiceTimeout,
    SettingsError,
    Unavailable,
    one_line,
)
from ..tasks.media_answers import media_link
from ..tasks.task import Call, Task
from . import hub
from .inference_api import InferenceAPI
from .transport import Reply, Transport

#: Providers that need nothing of this module.
_PLAIN = ("hf-inference", "", None)
#: Tasks whose answers providers give in a shape that the tasks' readers know.
_READABLE = frozenset(
    {
        "automatic-speech-recognition", "feature-extraction", "image-to-image", "image-to-video", "text-generation",
        "text-to-image", "text-to-speech", "text-to-video",
    }
)  # fmt: skip
#: Where they do not.
_UNREADABLE = frozenset({("replicate", "automatic-speech-recognition")})
#: Seconds between two questions for a queued job, growing from the first to the second.
_POLL = (0.5, 4.0)
#: Seconds for which the Hub's word on who serves a model is used again.
_SERVED_TTL = 600.0
_DONE = frozenset({"completed", "succeeded", "success", "successful", "done"})
_FAILED = frozenset({"failed", "fail", "failure", "error", "canceled", "cancelled"})


def client(
    transport: Transport,
    *,
    token: Any,
    base_url: str | None,
    endpoint: str | None,
    model: str | None,
    bill_to: str | None = None,
    provider: str | None = None,
    timeout: float | None = None,
) -> InferenceAPI:
    """Return the client for a model: of its endpoint, of hf-inference, or of a provider."""
    kind = InferenceAPI if endpoint or provider in _PLAIN else ProviderAPI
    return kind(
        transport, token=token, base_url=base_url, endpoint=endpoint, model=model, bill_to=bill_to,
        provider=provider or "auto", timeout=timeout,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Job:
    """Queued work: where to ask how far it is, and where its result lies (if not in the same place)."""

    status_url: str
    result_url: str | None = None


class ProviderAPI(InferenceAPI):
    """One model at one Inference Provider; ``auto``: at the first that serves it for the task."""

    _sleep: Callable[[float], None] = staticmethod(time.sleep)
    _clock: Callable[[], float] = staticmethod(time.monotonic)

    @property
    def service(self) -> tuple[str, str | None]:
        return f"{self._base_url}#{self._provider}", self._model

    def ask(self, task: Task, call: Call, *, timeout: float, url: str | None = None, model: str | None = None) -> Reply:
        """Make one request, wait for its result where it is queued, and fetch it where it is linked.

        Raises:
            HuggingFaceError: as for hf-inference; a queued job that is late is not asked for again.
        """
        if task.chat:
            return super().ask(task, call, timeout=timeout)
        deadline = self._clock() + timeout
        served = self._served(task)
        if served.provider == "hf-inference":
            return super().ask(task, call, timeout=timeout)
        helper = _helper(served.provider, task.name)
        base = self._provider_base(served.provider)
        url = f"{base}/{_said(lambda: helper._prepare_route(served.provider_id, 'hf_')).lstrip('/')}"
        headers = {**self._bill_header(url), **_extra_headers(helper)}
        reply = self._transport.post(
            url, token=self._token, accept="*/*", headers=headers, timeout=timeout,
            **_body(helper, served, call),
        )  # fmt: skip
        reply = self._finished(reply, served.provider, base, url, deadline, timeout)
        return self._fetched(reply, call, deadline, timeout)

    # -- who serves

    def _served(self, task: Task) -> hub.Served:
        found = _who_serves(str(self._model), self._token)
        wanted = self._provider
        fitting = [
            one for one in found
            if wanted in ("auto", one.provider) and one.task == task.name and one.status != "error"
            and (one.provider == "hf-inference" or (_knows(one.provider, task.name) and one.provider_id))
        ]  # fmt: skip
        if fitting:
            return fitting[0]
        others = ", ".join(f"{one.provider} ({one.task})" for one in found[:12]) or "nobody"
        whom = "no provider serves" if wanted == "auto" else f"{wanted} does not serve"
        raise ModelNotFound(
            f"{whom} '{self._model}' for {task.name}; it is served by: {others}",
            advice="Create the model with another provider, task or model_name",
        )

    def _provider_base(self, provider: str) -> str:
        return f"{self._base_url.removesuffix('/hf-inference')}/{quote(provider, safe='')}"

    def _bill_header(self, url: str) -> dict[str, str]:
        home = self._bill_to and self._transport.egress.is_home(url)
        return {"X-HF-Bill-To": str(self._bill_to)} if home else {}

    # -- after the first answer

    def _finished(self, reply: Reply, provider: str, base: str, url: str, deadline: float, timeout: float) -> Reply:
        """Return ``reply``, or where it announces queued work, the answer with the work's result."""
        if not reply.is_json:
            return reply
        body = reply.json()
        job = _job(provider, body, base, url)
        pauses = _pauses()
        while job is not None:
            state = _state(body)
            if state in _FAILED:
                raise _job_failed(provider, body, reply)
            if state in _DONE:
                return self._got(job.result_url, "service", deadline, timeout) if job.result_url else reply
            self._sleep(min(next(pauses), max(deadline - self._clock(), 0)))
            reply = self._got(job.status_url, "service", deadline, timeout)
            body = reply.json()
        return reply

    def _got(self, url: str, purpose: Purpose, deadline: float, timeout: float) -> Reply:
        """Fetch something of work that has begun; what fails in passing is fetched again.

        Never left to the caller's retries: those would start, and bill, the work a second time.
        """
        for pause in _pauses():
            left = deadline - self._clock()
            if left <= 0:
                raise ServiceTimeout(
                    f"the provider was still at work after timeout = {timeout:g} seconds",
                    advice="Raise timeout",
                    retryable=False,
                )
            token, accept = (self._token, "application/json") if purpose == "service" else (None, "*/*")
            try:
                reply = self._transport.get(url, purpose=purpose, token=token, accept=accept, timeout=left)
                if purpose == "service":
                    reply.json()
                return reply
            except HuggingFaceError as error:
                if not error.retryable:
                    raise
            self._sleep(min(pause, max(deadline - self._clock(), 0)))
        raise AssertionError("pauses do not end")

    def _fetched(self, reply: Reply, call: Call, deadline: float, timeout: float) -> Reply:
        """Return ``reply``, or the medium behind the link in it."""
        if call.accept == "application/json" or not reply.is_json:
            return reply
        body = reply.json()
        link = media_link(body.get("image_result", body) if isinstance(body, Mapping) else body)
        if link is None:
            return reply
        made = self._got(link, "link", deadline, timeout)
        return Reply(made.status, {**made.headers, **reply.headers}, made.content, made.media_type, reply.elapsed, link)


def _pauses() -> Iterator[float]:
    pause, longest = _POLL
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


# --- what is asked --------------------------------------------------------------------------------


def _body(helper: Any, served: hub.Served, call: Call) -> dict[str, Any]:
    """Return the body as arguments of ``Transport.post``, put together by huggingface_hub's helper."""
    from huggingface_hub.hf_api import InferenceProviderMapping
    from huggingface_hub.inference._common import MimeBytes

    make: Any = InferenceProviderMapping
    mapping = make(
        provider=served.provider, hf_model_id="", providerId=served.provider_id, status="live", task=served.task
    )
    # Bytes always: a text would be taken for the name of a file to read.
    inputs = call.inputs if call.media is None else MimeBytes(call.media.data, mime_type=call.media.type)
    fields = {name: value for name, value in call.root.items() if name != "options"}
    parameters = {**call.parameters, **fields}
    payload = _said(lambda: helper._prepare_payload_as_dict(inputs, dict(parameters), mapping))
    if payload is not None:
        return {"json": payload}
    data = _said(lambda: helper._prepare_payload_as_bytes(inputs, dict(parameters), mapping, None))
    return {"data": bytes(data or b""), "content_type": getattr(data, "mime_type", None)}


def _said(build: Callable[[], Any]) -> Any:
    """Run a step of huggingface_hub's helper; its complaints are about the row's or the model's values."""
    try:
        return build()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(f"the provider's request cannot be put together: {one_line(str(error), 200)}") from error


def _extra_headers(helper: Any) -> dict[str, str]:
    """Return the headers that a provider wants beside the usual ones, such as ``Prefer: wait``."""
    usual = {"authorization", "user-agent", "content-type", "accept", "x-hf-bill-to"}
    named = helper._prepare_headers({}, "hf_")
    return {name: str(value) for name, value in named.items() if name.lower() not in usual and value is not None}


def _helper(provider: str, task: str) -> Any:
    from huggingface_hub.inference._providers import PROVIDERS

    known: Any = PROVIDERS
    return known[provider][task]


def knows(provider: str, task: Task) -> bool:
    """Say whether a task can be asked of a provider from here: the router brings every chat to its provider."""
    return provider == "hf-inference" or task.chat or _knows(provider, task.name)


def is_known(provider: str) -> bool:
    """Say whether the installed huggingface_hub has heard of a provider."""
    try:
        from huggingface_hub.inference._providers import PROVIDERS
    except ImportError:
        return False
    return provider in PROVIDERS


def _knows(provider: str, task: str) -> bool:
    if task not in _READABLE or (provider, task) in _UNREADABLE:
        return False
    try:
        from huggingface_hub.inference._providers import PROVIDERS
    except ImportError as error:
        raise SettingsError(
            "this version of huggingface_hub has no providers",
            advice="Install huggingface_hub 1.x into MindsDB's environment",
        ) from error
    known: Any = PROVIDERS
    return task in known.get(provider, {})


_asked: dict[tuple[str, str], tuple[float, tuple[hub.Served, ...]]] = {}
_asking = threading.Lock()


def _who_serves(model: str, token: Any) -> tuple[hub.Served, ...]:
    secret = str(token.get_secret_value() if hasattr(token, "get_secret_value") else token or "")
    with _asking:
        known = _asked.get((model, secret))
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        found = hub.providers(model, token=secret or None)
        if found is None:
            raise Unavailable(
                "the Hub cannot say who serves the model", advice="Run the query again, or leave provider out"
            )
        if len(_asked) > 256:
            _asked.clear()
        _asked[model, secret] = time.monotonic() + _SERVED_TTL, found
        return found


# --- queues ---------------------------------------------------------------------------------------


def _job(provider: str, body: Any, base: str, url: str) -> _Job | None:
    """Return the job that an answer announces, or ``None`` where it is the result itself.

    Providers name their own hosts; the same paths lead there through the router.
    """
    if not isinstance(body, Mapping):
        return None
    if provider == "fal-ai" and isinstance(body.get("response_url"), str):
        there = f"{base}{_path(body['response_url'])}"
        return _Job(f"{there}/status?_subdomain=queue", f"{there}?_subdomain=queue")
    holder = body.get("data") if isinstance(body.get("data"), Mapping) else body
    urls = holder.get("urls") if isinstance(holder, Mapping) else None
    if isinstance(urls, Mapping) and isinstance(urls.get("get"), str):
        return _Job(f"{base}{_path(urls['get'])}")
    identity = body.get("id")
    if not isinstance(identity, str) or not identity:
        return None
    if url.endswith("/v2/videos"):
        return _Job(f"{url}/{quote(identity, safe='')}")
    if "task_status" in body:
        return _Job(f"{base}/api/paas/v4/async-result/{quote(identity, safe='')}")
    return None


def _path(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InvalidAnswer("the provider's job lies nowhere", divisible=False) from error
    plain = unquote(path)
    # This row's fault, never the settings': one answer shall not end the query for all rows.
    if not plain.isprintable() or "\\" in plain or ".." in plain.split("/"):
        raise InvalidAnswer("the provider's job lies nowhere", divisible=False)
    return path if path.startswith("/") else f"/{path}"


def _state(body: Any) -> str:
    if not isinstance(body, Mapping):
        return ""
    inner = body.get("data") if isinstance(body.get("data"), Mapping) else {}
    state = body.get("status") or body.get("task_status") or (inner or {}).get("status")
    return str(state or "").lower()


def _job_failed(provider: str, body: Any, reply: Reply) -> HuggingFaceError:
    inner = body.get("data") if isinstance(body.get("data"), Mapping) else body
    reason = (inner or {}).get("error") or body.get("error") or body.get("message") or "no reason given"
    if isinstance(reason, Mapping):
        reason = reason.get("message") or "no reason given"
    return InvalidInput(
        f"{provider} could not do this: {one_line(str(reason), 300)}", request_id=reply.request_id, divisible=False
    )
