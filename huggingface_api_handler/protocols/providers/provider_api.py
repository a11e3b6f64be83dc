"""Inference Providers: the same tasks, asked of whoever serves the model.

Each provider has its own routes, names and bodies. huggingface_hub knows them: its helpers put
the request together here, and our transport sends it, through Hugging Face's router. What they
would do after that is done here instead, within the same limits as everything else: waiting for
queued work, and fetching what was made from where the provider left it, without the token.
"""

from __future__ import annotations

import json as jsonlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ...errors import (
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelError,
    ModelNotFound,
    ServiceTimeout,
    SettingsError,
    Unavailable,
    one_line,
)
from ...hub import facts, provider_registry
from ...net.error_mapping import failure_within
from ...net.exception_mapping import may_have_arrived
from ...net.request import ANSWERED_BY, Response
from ...net.transport import Transport
from ...net.url_policy import Purpose
from ...tasks.media_answers import media_link
from ...tasks.task import Arguments, Batching, Task
from .. import openai
from ..base import Call
from ..client import InferenceAPI, time_left
from ..hf_inference import BY_PIPELINE
from . import jobs
from .answers import FORMS

#: Providers that need nothing of this module.
_PLAIN = ("hf-inference", "", None)
#: Seconds between two questions for a queued job, growing from the first to the second.
_POLL = (0.5, 4.0)
#: Seconds for which the Hub's word on who serves a model is used again.
_SERVED_TTL = 600.0
#: Seconds for which it is not asked again where it could not say.
_UNSAID_TTL = 2.0
#: Seconds for which replicate is asked to hold a request at most; it then answers with a job.
_HELD = 60
#: Statuses by which a gateway says that it handed the request over and heard nothing.
_UNHEARD = (504, 524)
#: Seconds that it gives up before we do, so that its word arrives.
_HELD_MARGIN = 5


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


class ProviderAPI(InferenceAPI):
    """One model at one Inference Provider; ``auto``: at the first that serves it for the task."""

    _sleep: Callable[[float], None] = staticmethod(time.sleep)
    _clock: Callable[[], float] = staticmethod(time.monotonic)

    @property
    def service(self) -> tuple[str, str | None]:
        return f"{self._base_url}#{self._provider}", self._model

    def alone(self, task: Task) -> bool:
        # Providers speak OpenAI's API, or take one input in their own.
        return openai.PROTOCOL.batching(task) is Batching.ONE

    def ask(
        self, task: Task, call: Call, *, timeout: float, url: str | None = None, model: str | None = None
    ) -> Response:
        """Make one request, wait for its result where it is queued, and fetch it where it is linked.

        Raises:
            HuggingFaceError: as for hf-inference; work that a provider has begun, or may have, is not asked for again.
        """
        if task.chat:
            return super().ask(task, call, timeout=timeout)
        deadline = self._clock() + timeout
        served = self._served(task)
        left = time_left(deadline, self._clock())  # the Hub may have taken a while
        if served.provider == "hf-inference":
            return _named(super().ask(task, call, timeout=left), served.provider)
        provider, helper = served.provider, provider_registry.helper(served.provider, task.name)
        base = self._provider_base(provider)
        url = f"{base}/{_said(lambda: helper._prepare_route(served.provider_id, 'hf_')).lstrip('/')}"
        headers = {**self._bill_header(url), **_extra_headers(helper, left)}
        body = _body(helper, served, call, str(self._model), url)
        if jobs.begins(provider, url):
            reply = self._begun(provider, url, headers, body, left, task.max_answer_bytes)
            reply = self._finished(reply, provider, base, url, headers, deadline, timeout, task.max_answer_bytes)
        else:
            reply = self._transport.post(
                url, token=self._token, accept="*/*", headers=headers, timeout=left,
                max_bytes=task.max_answer_bytes, **body,
            )  # fmt: skip
        return _named(self._fetched(reply, (provider, task.name), call, deadline, timeout), provider)

    # -- who serves

    def _served(self, task: Task) -> facts.Served:
        found = _who_serves(str(self._model), self._token)
        wanted = self._provider
        fitting = [one for one in found if wanted in ("auto", one.provider) and _serves(one, task)]
        if fitting:
            # The Hub tries providers now and then; where all have failed at it, the service itself has the last word.
            return next((one for one in fitting if one.status != "error"), fitting[0])
        if not provider_registry.helpers():
            raise SettingsError(
                "the huggingface_hub that is installed has no list of providers",
                advice="Install huggingface_hub 1.3 or newer where MindsDB runs, or leave provider out",
            )
        others = ", ".join(f"{one.provider} ({one.task})" for one in found[:12]) or "nobody"
        whom = "no provider serves" if wanted == "auto" else f"{wanted} does not serve"
        chat = any(wanted in ("auto", one.provider) and one.task == "conversational" for one in found)
        advice = "Create the model with another provider, task or model_name"
        raise ModelNotFound(
            f"{whom} '{self._model}' for {task.name}; it is served by: {others}",
            advice=f"{advice}: task = 'chat-completion' asks it as a chat" if chat else advice,
        )

    def _provider_base(self, provider: str) -> str:
        return f"{self._base_url.removesuffix('/hf-inference')}/{quote(provider, safe='')}"

    def _bill_header(self, url: str) -> dict[str, str]:
        home = self._bill_to and self._transport.policy.is_primary(url)
        return {"X-HF-Bill-To": str(self._bill_to)} if home else {}

    # -- queued work

    def _begun(
        self, provider: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any], timeout: float, most: int
    ) -> Response:
        """Send a request that begins queued work.

        A failing status, or no connection, means that nothing was begun: those are for the caller to try again. An
        answer that cannot be read, or none after the request has left, also to a gateway on the way, leaves that open,
        and work is paid for.
        """
        try:
            reply = self._transport.post(
                url, token=self._token, accept="*/*", headers=headers, timeout=timeout, max_bytes=most, begins=True,
                **body,
            )  # fmt: skip
            if _is_document(reply):
                reply.json()
            return reply
        except (ConnectionFailed, InvalidAnswer, ServiceTimeout, Unavailable) as error:
            unknown = isinstance(error, InvalidAnswer) or error.status in _UNHEARD
            unknown = unknown or (error.status is None and may_have_arrived(error))
            if not (unknown and error.retryable):
                raise
            raise type(error)(
                f"{error.message}; whether {provider} is at work is not known, so it is not asked again by itself",
                advice="Raise timeout" if isinstance(error, ServiceTimeout) else
                "Run the query again if this row may be paid twice",
                status=error.status,
                request_id=error.request_id,
                retryable=False,
                divisible=False,
            ) from error  # fmt: skip

    def _finished(
        self,
        reply: Response,
        provider: str,
        base: str,
        url: str,
        headers: Mapping[str, str],
        deadline: float,
        timeout: float,
        most: int,
    ) -> Response:
        """Return ``reply``, or where it announces queued work, the answer with the work's result."""
        if not _is_document(reply):
            return reply
        body = reply.json()
        job = jobs.announced(provider, body, base, url)
        pauses = _pauses()
        while True:
            state = jobs.state(body)
            if state in jobs.FAILED:
                raise jobs.failed(provider, body, reply)
            if job is None:
                refusal = failure_within(reply.status, reply.headers, body)
                if refusal is not None:
                    raise refusal
                return reply
            if state in jobs.DONE:
                if job.result_url is None:
                    return reply
                return self._got(job.result_url, job.purpose, headers, deadline, timeout, provider, state, most=most)
            self._sleep(min(next(pauses), max(deadline - self._clock(), 0)))
            reply = self._got(job.status_url, job.purpose, headers, deadline, timeout, provider, state, most=most)
            body = reply.json()

    def _got(
        self,
        url: str,
        purpose: Purpose,
        headers: Mapping[str, str],
        deadline: float,
        timeout: float,
        provider: str,
        state: str = "",
        *,
        is_json: bool = True,
        most: int | None = None,
    ) -> Response:
        """Fetch something of work that has begun; what fails in passing is fetched again.

        Never left to the caller's retries: those would start, and bill, the work a second time.
        """
        ours = purpose == "service"
        last: HuggingFaceError | None = None
        for pause in _pauses():
            left = deadline - self._clock()
            if left <= 0:
                raise self._late(provider, state, timeout, last) from last
            try:
                reply = self._transport.get(
                    url, purpose=purpose, token=self._token if ours else None,
                    accept="application/json" if is_json else "*/*", headers=headers if ours else {}, timeout=left,
                    max_bytes=most,
                )  # fmt: skip
                if is_json:
                    reply.json()
                return reply
            except ModelError as error:  # of a job, not of the model
                raise InvalidAnswer(
                    f"{provider} knows the work no longer that it had begun: {error.message}",
                    status=error.status,
                    request_id=error.request_id,
                    divisible=False,
                ) from error
            except HuggingFaceError as error:
                if not error.retryable:
                    raise
                last = error
            wait = max(pause, last.retry_after or 0)
            self._sleep(min(wait, max(deadline - self._clock(), 0)))
        raise AssertionError("pauses do not end")

    def _late(self, provider: str, state: str, timeout: float, last: HuggingFaceError | None) -> ServiceTimeout:
        told = f" ({one_line(state, 40)})" if state and state not in jobs.DONE else ""
        doing = "had not handed over the result" if state in jobs.DONE else f"was still at work{told}"
        why = f"; asked last, {one_line(last.message, 200)}" if last is not None else ""
        return ServiceTimeout(
            f"{provider} {doing} after timeout = {timeout:g} seconds{why}",
            advice="Raise timeout; the row is not asked again by itself, since what was begun is paid for",
            retryable=False,
        )

    # -- what was made

    def _fetched(self, reply: Response, pair: tuple[str, str], call: Call, deadline: float, timeout: float) -> Response:
        """Return ``reply`` in the task's own form, or the medium behind the link in it."""
        if not _is_document(reply):
            return _as_file(reply)

        def fetch(link: str) -> Response:
            return self._got(link, "link", {}, deadline, timeout, pair[0], "done", is_json=False)

        form = FORMS.get(pair)
        if form is not None:
            content = jsonlib.dumps(form(reply.json(), fetch)).encode()
            return replace(reply, content=content, media_type="application/json")
        if call.accept == "application/json":
            return reply
        link = media_link(reply.json())
        if link is None:
            return reply
        made = _as_file(fetch(link))
        return replace(made, headers={**made.headers, **reply.headers}, elapsed=reply.elapsed, url=link)


def _named(reply: Response, provider: str) -> Response:
    """Return ``reply`` with the name of who answered, as the router's own answers have it."""
    return replace(reply, headers={**reply.headers, ANSWERED_BY: provider})


def _is_document(reply: Response) -> bool:
    """Say whether an answer is to be read as JSON: by its type, or by its beginning where the type says nothing."""
    told = reply.media_type
    return reply.is_json and ("json" in told or told.startswith("text/") or reply.content[:1] in (b"{", b"[", b'"'))


def _as_file(reply: Response) -> Response:
    """Return an answer whose bytes are what was made, whatever their server calls them."""
    return replace(reply, media_type="application/octet-stream") if reply.is_json else reply


def _serves(one: facts.Served, task: Task) -> bool:
    """Say whether what the Hub says of a provider is that it serves a model for a task, in a way known here."""
    if one.provider == "hf-inference":
        # Its models of vectors and of likeness are the same; the route says which is wanted.
        return one.task == task.name or (task.name in BY_PIPELINE and one.task in task.pipeline_tags)
    return (
        one.task == task.name
        and bool(one.provider_id)
        and provider_registry.helper(one.provider, task.name) is not None
    )


def _pauses() -> Iterator[float]:
    pause, longest = _POLL
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


# --- what is asked --------------------------------------------------------------------------------


def _body(helper: Any, served: facts.Served, call: Call, model: str, url: str) -> dict[str, Any]:
    """Return the body as arguments of ``Transport.post``, put together by huggingface_hub's helper."""
    from huggingface_hub.hf_api import InferenceProviderMapping
    from huggingface_hub.inference._common import MimeBytes

    make: Any = InferenceProviderMapping
    mapping = make(
        provider=served.provider, hf_model_id=model, providerId=served.provider_id, status="live", task=served.task,
        adapterWeightsPath=served.adapter_path,
    )  # fmt: skip
    # Bytes always: a text would be taken for the name of a file to read.
    inputs = call.inputs if call.media is None else MimeBytes(call.media.data, mime_type=call.media.type)
    fields = {name: value for name, value in call.root.items() if name != "options"}
    parameters = {**call.parameters, **fields}
    payload = _said(lambda: helper._prepare_payload_as_dict(inputs, dict(parameters), mapping))
    if payload is not None:
        if url.endswith("/completions"):
            payload = _completion(payload)
        return {"json": {name: value for name, value in payload.items() if value is not None}}
    data = _said(lambda: helper._prepare_payload_as_bytes(inputs, dict(parameters), mapping, None))
    return {"data": bytes(data or b""), "content_type": getattr(data, "mime_type", None)}


def _completion(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with text generation's names of fields as completions take it."""
    prompt = {name: payload[name] for name in ("model", "prompt") if name in payload}
    given = {name: value for name, value in payload.items() if name not in prompt}
    fields = openai.PROTOCOL.fields(openai.PROTOCOL.tasks["text-generation"], Arguments(parameters=given))
    return {**prompt, **openai.completion(fields.root, samples=bool(given.get("do_sample")))}


def _said(build: Callable[[], Any]) -> Any:
    """Run a step of huggingface_hub's helper; its complaints are about the row's or the model's values."""
    try:
        return build()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(f"the provider's request cannot be put together: {one_line(str(error), 200)}") from error


def _extra_headers(helper: Any, timeout: float) -> dict[str, str]:
    """Return the headers that a provider wants beside the usual ones, such as ``Prefer: wait``."""
    usual = {"authorization", "user-agent", "content-type", "accept", "x-hf-bill-to"}
    named = helper._prepare_headers({}, "hf_")
    extra = {name: str(value) for name, value in named.items() if name.lower() not in usual and value is not None}
    if extra.get("Prefer") == "wait":
        extra["Prefer"] = f"wait={max(1, min(_HELD, int(timeout) - _HELD_MARGIN))}"
    return extra


def knows(provider: str, task: Task) -> bool:
    """Say whether a task can be asked of a provider from here: the router brings every chat to its provider."""
    return provider == "hf-inference" or task.chat or provider_registry.helper(provider, task.name) is not None


_asked: dict[tuple[str, str], tuple[float, tuple[facts.Served, ...] | None]] = {}
_asking = threading.Lock()


def _who_serves(model: str, token: Any) -> tuple[facts.Served, ...]:
    """Return the Hub's word on who serves a model; one lane asks, the others wait for what it hears."""
    secret = str(token.get_secret_value() if hasattr(token, "get_secret_value") else token or "")
    with _asking:
        until, found = _asked.get((model, secret), (0.0, None))
        if time.monotonic() >= until:
            found = facts.providers(model, token=secret or None)
            if len(_asked) > 256:
                _asked.clear()
            _asked[model, secret] = time.monotonic() + (_UNSAID_TTL if found is None else _SERVED_TTL), found
    if found is None:
        raise Unavailable(
            "the Hub cannot say who serves the model", advice="Run the query again, or leave provider out"
        )
    return found
