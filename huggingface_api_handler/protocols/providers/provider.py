"""An Inference Provider: the steps in which providers differ, beyond what huggingface_hub knows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias
from urllib.parse import unquote, urlsplit

from ...errors import InvalidAnswer, InvalidInput, one_line
from ...net.request import Response
from ...net.url_policy import Purpose

#: Fetches a link of a response, without the token.
Fetch: TypeAlias = Callable[[str], Response]

#: States of a job, in lower case.
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
        status_url: where its state is.
        result_url: where its result is, if not in the response with its state.
        purpose: how the URL policy treats both URLs.
    """

    status_url: str
    result_url: str | None = None
    purpose: Purpose = "service"


class Provider:
    """One provider. This class suits providers that respond with the result, in the form that the task's decoder knows.

    Attributes:
        name: the Hub's name of the provider.
        converted: tasks whose responses have a form of the provider's own, which ``convert`` changes.
    """

    converted: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name

    def queues(self, url: str) -> bool:
        """Return whether a request to ``url`` begins queued work, which is billed even if its response is lost."""
        return False

    def job(self, body: Mapping[str, Any], base: str, url: str) -> Job | None:
        """Return the job that a response announces; ``None`` if it is the result.

        Args:
            body: the response's JSON.
            base: the provider's URL at the router. Providers name their own hosts; their paths work at the router too.
            url: of the request.

        Raises:
            InvalidAnswer: the job's URL cannot be requested.
        """
        if isinstance(body.get("polling_url"), str):
            return Job(body["polling_url"], purpose="link")
        urls = (_data(body) or body).get("urls")
        if isinstance(urls, Mapping) and isinstance(urls.get("get"), str):
            return Job(f"{base}{path_of(urls['get'])}")
        return None

    def state(self, body: Any) -> str:
        """Return a job's state in lower case; empty if there is none."""
        if not isinstance(body, Mapping):
            return ""
        state = body.get("status") or body.get("task_status") or _data(body).get("status")
        return state.lower() if isinstance(state, str) else ""

    def failure(self, body: Mapping[str, Any], response: Response) -> InvalidInput:
        """Return the error of a failed job, with the provider's reason."""
        reason = _data(body).get("error") or body.get("error") or body.get("message") or ""
        if isinstance(reason, Mapping):
            reason = reason.get("message") or reason.get("code") or ""
        why = one_line(str(reason), 300)
        why = why or f"its job ended as '{one_line(self.state(body), 40)}', with no reason given"
        message = f"{self.name} could not complete this: {why}"
        return InvalidInput(message, request_id=response.request_id, divisible=False)

    def convert(self, task: str, body: Any, fetch: Fetch) -> Any:
        """Return the JSON of a response in the form that the task's decoder knows; unchanged if its form is unknown."""
        return body


class QueueingProvider(Provider):
    """A provider that queues whatever is requested."""

    def queues(self, url: str) -> bool:
        """Return true."""
        return True


def _data(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object in which some providers wrap a job; an empty one if there is none."""
    found = body.get("data")
    return found if isinstance(found, Mapping) else {}


def identity(body: Mapping[str, Any]) -> str | None:
    """Return the ``id`` of a job."""
    found = body.get("id")
    return found if isinstance(found, str) and found else None


def path_of(url: str) -> str:
    """Return the path of a job's URL, to be requested at the router.

    Raises:
        InvalidAnswer: a path that might lead elsewhere.
    """
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InvalidAnswer("the URL of the provider's job is invalid", divisible=False) from error
    plain = unquote(path)
    # An error of this row, never of the settings: one response does not end the query for all rows.
    if not plain.isprintable() or "\\" in plain or ".." in plain.split("/"):
        raise InvalidAnswer("the URL of the provider's job is invalid", divisible=False)
    return path if path.startswith("/") else f"/{path}"
