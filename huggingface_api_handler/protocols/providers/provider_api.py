"""The client of a model at an Inference Provider, through Hugging Face's router.

huggingface_hub's helpers build the request, and this package's transport sends it. The rest is done here, within
the same limits as for every other request: waiting for queued work, and fetching its result from the provider's link,
without the token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from ...errors import (
    ConnectionFailed,
    HuggingFaceError,
    InvalidAnswer,
    ModelError,
    ServiceTimeout,
    Unavailable,
    one_line,
)
from ...hub import provider_registry
from ...net.error_mapping import failure_within
from ...net.exception_mapping import may_have_arrived
from ...net.request import ANSWERED_BY, Request, Response
from ...net.url_policy import Purpose
from ...tasks.media_answers import media_link
from ...tasks.task import Batching, Task
from .. import openai
from ..base import Call
from ..client import InferenceAPI, time_left
from ..usage import Usage
from . import find_provider, offers, requests
from .provider import DONE, FAILED, Provider

#: Seconds between two requests for a job's state, growing from the first to the second.
_POLL = (0.5, 4.0)
#: Statuses by which a gateway says that it has passed the request on and got no response.
_NO_RESPONSE = (504, 524)


def client_class(endpoint: str | None, provider: str) -> type[InferenceAPI]:
    """Return the class of client for a model at its endpoint, at hf-inference or at a provider."""
    return InferenceAPI if endpoint or provider == "hf-inference" else ProviderAPI


@dataclass(frozen=True, slots=True)
class Work:
    """What a row asks of a provider, from its first request to the result.

    Attributes:
        base: the provider's URL at the router.
        url: of the first request.
        headers: for the router, in addition to the usual ones.
        timeout: seconds for everything together.
        deadline: the time at which they have passed.
        max_bytes: longest response.
    """

    provider: Provider
    base: str
    url: str
    headers: Mapping[str, str]
    timeout: float
    deadline: float
    max_bytes: int | None = None


class ProviderAPI(InferenceAPI):
    """One model at one Inference Provider; ``auto``: at the first that serves it for the task."""

    _sleep: Callable[[float], None] = staticmethod(time.sleep)
    _clock: Callable[[], float] = staticmethod(time.monotonic)

    @property
    def service(self) -> tuple[str, str | None]:
        return f"{self._base_url}#{self._provider}", self.model

    def alone(self, task: Task) -> bool:
        # Providers have OpenAI's API, or accept one input in their own.
        return openai.PROTOCOL.batching(task) is Batching.ONE

    def ask(
        self, task: Task, call: Call, *, timeout: float, url: str | None = None, model: str | None = None
    ) -> Response:
        """Send one request, wait for its result if it is queued, and fetch it if it is linked.

        Raises:
            HuggingFaceError: as for hf-inference; work that a provider has begun, or may have, is not begun again.
        """
        if task.chat:
            return super().ask(task, call, timeout=timeout)
        deadline = self._clock() + timeout
        offer = offers.choose(str(self.model), self._token, self._provider, task)
        left = time_left(deadline, self._clock())  # the Hub may have taken a while
        if offer.provider == "hf-inference":
            return _named(super().ask(task, call, timeout=left), offer.provider)
        provider = find_provider(offer.provider)
        helper = provider_registry.helper(offer.provider, task.name)
        base = f"{self._base_url.removesuffix('/hf-inference')}/{quote(provider.name, safe='')}"
        url = f"{base}/{requests.route(helper, offer)}"
        headers = {**self._headers_of(url), **requests.headers(helper, left)}
        body, content_type = requests.body(helper, offer, call, str(self.model), url)
        work = Work(provider, base, url, headers, timeout, deadline, task.max_answer_bytes)
        request = Request(
            method="POST", url=url, token=self._token, accept="*/*", headers=headers, body=body,
            content_type=content_type, timeout=left, max_bytes=work.max_bytes, begins_paid_work=provider.queues(url),
        )  # fmt: skip
        began = self._clock()
        response = self._begin(work, request) if request.begins_paid_work else self._transport.send(request)
        try:
            if request.begins_paid_work:
                response = self._finish(work, response)
            response = self._collect(work, response, task, call)
        except HuggingFaceError as error:
            if error.cost is None:  # the work has begun, and is billed, whatever became of its result
                error.usage = Usage(seconds=self._clock() - began, provider=provider.name)
            raise
        # Of all requests: the work is billed from the first to the last.
        return _named(replace(response, elapsed=self._clock() - began), provider.name)

    # -- queued work

    def _begin(self, work: Work, request: Request) -> Response:
        """Send a request that begins queued work.

        A status of failure, or no connection, means that nothing was begun, and the caller may retry. A response that
        cannot be read, or none after the request was sent, also to a gateway, leaves that open, and work is billed.
        """
        try:
            response = self._transport.send(request)
            if _is_document(response):
                response.json()
            return response
        except (ConnectionFailed, InvalidAnswer, ServiceTimeout, Unavailable) as error:
            unknown = isinstance(error, InvalidAnswer) or error.status in _NO_RESPONSE
            unknown = unknown or (error.status is None and may_have_arrived(error))
            if not (unknown and error.retryable):
                raise
            raise type(error)(
                f"{error.message}; whether {work.provider.name} has begun is unknown, so the request is not retried",
                advice="Raise timeout" if isinstance(error, ServiceTimeout) else
                "Run the query again if this row may be billed twice",
                status=error.status,
                request_id=error.request_id,
                retryable=False,
                divisible=False,
            ) from error  # fmt: skip

    def _finish(self, work: Work, response: Response) -> Response:
        """Return ``response``, or if it announces a job, the response with the job's result."""
        if not _is_document(response):
            return response
        provider, body = work.provider, response.json()
        job = provider.job(body, work.base, work.url) if isinstance(body, Mapping) else None
        pauses = _pauses()
        while True:
            state = provider.state(body)
            if state in FAILED:
                raise provider.failure(body, response)
            if job is None:
                refusal = failure_within(response.status, response.headers, body)
                if refusal is not None:
                    refusal.cost = 0.0  # nothing has begun
                    raise refusal
                return response
            if state in DONE:
                return response if job.result_url is None else self._get(work, job.result_url, job.purpose, state)
            self._sleep(min(next(pauses), max(work.deadline - self._clock(), 0)))
            response = self._get(work, job.status_url, job.purpose, state)
            body = response.json()

    def _get(self, work: Work, url: str, purpose: Purpose, state: str = "", *, is_json: bool = True) -> Response:
        """Get something of work that has begun, and retry temporary errors until the deadline.

        They are never left to the caller's retries, which would begin, and bill, the work a second time.
        """
        ours = purpose == "service"
        last: HuggingFaceError | None = None
        for pause in _pauses():
            left = work.deadline - self._clock()
            if left <= 0:
                raise _late(work, state, last) from last
            try:
                response = self._transport.get(
                    url, purpose=purpose, token=self._token if ours else None,
                    accept="application/json" if is_json else "*/*", headers=work.headers if ours else {},
                    timeout=left, max_bytes=work.max_bytes if is_json else None,
                )  # fmt: skip
                if is_json:
                    response.json()
                return response
            except ModelError as error:  # of a job, not of the model
                raise InvalidAnswer(
                    f"{work.provider.name} no longer knows the job that it began: {error.message}",
                    status=error.status,
                    request_id=error.request_id,
                    divisible=False,
                ) from error
            except HuggingFaceError as error:
                if not error.retryable:
                    raise
                last = error
            wait = max(pause, last.retry_after or 0)
            self._sleep(min(wait, max(work.deadline - self._clock(), 0)))
        raise AssertionError("pauses do not end")

    # -- results

    def _collect(self, work: Work, response: Response, task: Task, call: Call) -> Response:
        """Return ``response`` in the task's own form, or the medium behind the link in it."""
        if not _is_document(response):
            return _as_file(response)

        def fetch(link: str) -> Response:
            return self._get(work, link, "link", "done", is_json=False)

        if task.name in work.provider.converted:
            converted = work.provider.convert(task.name, response.json(), fetch)
            return replace(response, content=json.dumps(converted).encode(), media_type="application/json")
        link = None if call.accept == "application/json" else media_link(response.json())
        if link is None:
            return response
        made = _as_file(fetch(link))
        return replace(made, headers={**made.headers, **response.headers}, elapsed=response.elapsed, url=link)


def _late(work: Work, state: str, last: HuggingFaceError | None) -> ServiceTimeout:
    shown = f" ({one_line(state, 40)})" if state and state not in DONE else ""
    doing = "had not returned the result" if state in DONE else f"was still at work{shown}"
    why = f"; last error: {one_line(last.message, 200)}" if last is not None else ""
    return ServiceTimeout(
        f"{work.provider.name} {doing} after timeout = {work.timeout:g} seconds{why}",
        advice="Raise timeout; the request is not retried, because the work that has begun is billed",
        retryable=False,
    )


def _named(response: Response, provider: str) -> Response:
    """Return ``response`` with the provider's name in a header, as in the router's own responses."""
    return replace(response, headers={**response.headers, ANSWERED_BY: provider})


def _is_document(response: Response) -> bool:
    """Return whether a response is JSON: by its media type, or by its first byte if the type is missing or generic."""
    declared = response.media_type
    return response.is_json and (
        "json" in declared or declared.startswith("text/") or response.content[:1] in (b"{", b"[", b'"')
    )


def _as_file(response: Response) -> Response:
    """Return a response whose body is a medium, whatever media type the server declares."""
    return replace(response, media_type="application/octet-stream") if response.is_json else response


def _pauses() -> Iterator[float]:
    pause, longest = _POLL
    while True:
        yield pause
        pause = min(pause * 1.5, longest)
