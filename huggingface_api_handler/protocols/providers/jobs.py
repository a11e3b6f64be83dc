"""Work that providers queue: what begins it, where its state is told, when it is done, why it failed.

===================  ====================================================  =========================================
provider             answers a request with                                and is asked at
===================  ====================================================  =========================================
fal-ai (queued)      ``request_id``, ``status``, ``response_url``          ``…/status``, then the ``response_url``
replicate            ``status``, ``urls.get``, ``output`` when done        ``urls.get``
wavespeed            ``data.urls.get``                                     the same
together (videos)    ``id``, ``status``                                    ``/v2/videos/{id}``
zai-org (images)     ``id``, ``task_status``                               ``/api/paas/v4/async-result/{id}``
black-forest-labs    ``id``, ``polling_url``                               the same, a public link
===================  ====================================================  =========================================

Providers name their own hosts; the same paths lead there through the router.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ...errors import InvalidAnswer, InvalidInput, one_line
from ...net.request import Response
from ...net.url_policy import Purpose

#: Providers that queue whatever they are asked, …
_QUEUEING = frozenset({"black-forest-labs", "replicate", "wavespeed"})
#: … and what the URL holds where others do.
_QUEUED_AT = ("_subdomain=queue", "/v2/videos", "/async/")

DONE = frozenset({"completed", "succeeded", "success", "successful", "done", "ready"})
FAILED = frozenset(
    {
        "failed", "fail", "failure", "error", "canceled", "cancelled", "aborted", "expired", "request moderated",
        "content moderated", "task not found",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """Queued work.

    Attributes:
        status_url: where to ask how far it is.
        result_url: where its result lies, if not in the same place.
        purpose: as whose address they are judged.
    """

    status_url: str
    result_url: str | None = None
    purpose: Purpose = "service"


def begins(provider: str, url: str) -> bool:
    """Say whether a request to ``url`` begins work that is queued, and paid, however long its answer is away."""
    return provider in _QUEUEING or any(sign in url for sign in _QUEUED_AT)


def announced(provider: str, body: Any, base: str, url: str) -> Job | None:
    """Return the job that an answer announces, or ``None`` where it is the result itself.

    Args:
        base: the provider's address at the router.
        url: what was asked.

    Raises:
        InvalidAnswer: the job is said to lie where no request may go.
    """
    if not isinstance(body, Mapping):
        return None
    if provider == "fal-ai" and isinstance(body.get("response_url"), str):
        there = f"{base}{_path(body['response_url'])}"
        return Job(f"{there}/status?_subdomain=queue", f"{there}?_subdomain=queue")
    if isinstance(body.get("polling_url"), str):
        return Job(body["polling_url"], purpose="link")
    holder = body.get("data") if isinstance(body.get("data"), Mapping) else body
    urls = holder.get("urls") if isinstance(holder, Mapping) else None
    if isinstance(urls, Mapping) and isinstance(urls.get("get"), str):
        return Job(f"{base}{_path(urls['get'])}")
    identity = body.get("id")
    if not isinstance(identity, str) or not identity:
        return None
    if url.endswith("/v2/videos"):
        return Job(f"{url}/{quote(identity, safe='')}")
    if "task_status" in body:
        return Job(f"{base}/api/paas/v4/async-result/{quote(identity, safe='')}")
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


def state(body: Any) -> str:
    """Return the state that an answer tells, in lower case; empty where it tells none."""
    if not isinstance(body, Mapping):
        return ""
    inner = body.get("data") if isinstance(body.get("data"), Mapping) else {}
    told = body.get("status") or body.get("task_status") or (inner or {}).get("status")
    return told.lower() if isinstance(told, str) else ""


def failed(provider: str, body: Any, reply: Response) -> InvalidInput:
    """Return the error of a job that failed, with the provider's reason."""
    inner = body.get("data") if isinstance(body.get("data"), Mapping) else body
    reason = (inner or {}).get("error") or body.get("error") or body.get("message") or ""
    if isinstance(reason, Mapping):
        reason = reason.get("message") or reason.get("code") or ""
    told = one_line(str(reason), 300) or f"its job ended as '{one_line(state(body), 40)}', with no reason given"
    return InvalidInput(f"{provider} could not do this: {told}", request_id=reply.request_id, divisible=False)
