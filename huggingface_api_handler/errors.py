"""All errors of this package, as one tree.

::

    HuggingFaceError
    ├── SettingsError          invalid_settings    invalid arguments
    ├── InputError             (concerns one row)
    │   ├── InvalidInput       invalid_input       the value was rejected
    │   ├── PayloadTooLarge    payload_too_large   more bytes than allowed
    │   ├── BlockedAddress     blocked_address     a URL that may not be requested
    │   └── BlockedFile        blocked_file        a path that may not be opened
    ├── AccountError           (concerns every row)
    │   ├── Unauthorized       unauthorized        401
    │   ├── Forbidden          forbidden           403
    │   └── OutOfCredits       out_of_credits      402
    ├── ModelError             (concerns every row)
    │   ├── ModelNotFound      model_not_found     404
    │   └── EndpointGone       endpoint_gone       410, or a paused endpoint
    ├── ServiceError           (often temporary)
    │   ├── RateLimited        rate_limited        429
    │   ├── ModelLoading       model_loading       503 while the model starts
    │   ├── Unavailable        unavailable         5xx
    │   ├── ServiceTimeout     timeout             no response in time
    │   ├── ConnectionFailed   connection          no connection, or a broken one
    │   └── InvalidAnswer      invalid_answer      a response that cannot be trusted
    └── LimitReached           (the query's own limits)
        ├── BudgetExceeded     budget_exceeded     max_requests, max_cost or max_cost_per_day
        ├── DeadlineExceeded   deadline_exceeded   deadline
        ├── Stopped            stopped             stopped on request
        └── NotAttempted       not_attempted       the query stopped before this row

Each class has a stable ``code``, which ``<target>_error_type`` shows. ``str(error)`` is a
single, self-contained line: what failed, where, after how many attempts, and what to do.
Tokens are removed from every text that an error takes.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

# Also after a letter or a digit: in a URL, '%20' or '%3D' may precede it.
_TOKEN = re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{20,}|hf_(?:oauth|jwt)_[A-Za-z0-9_.-]{20,}")
# Prose may follow the word as well ("Bearer authentication is not enabled."): a credential is long, or has a digit or
# a sign inside.
_BEARER = re.compile(
    r"(?i:(?<=bearer )|(?<=bearer%20))(?=[^\s\"',;&]{20}|[^\s\"',;&]*(?:[0-9]|[._~+/=][A-Za-z0-9]))[^\s\"',;&]+"
)
#: What a terminal or a reader of the log takes for orders, and what shows nothing: control characters, line separators,
#: changes of direction, half of a surrogate pair.
CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
_SPACE = re.compile(rf"[\s{CONTROLS}]+")
MASK = "******"


def redact(text: str, *secrets: str | None) -> str:
    """Return ``text`` without anything that looks like a token or a bearer credential, and without ``secrets``."""
    return _BEARER.sub(MASK, hide_tokens(text, *secrets))


def hide_tokens(text: str, *secrets: str | None) -> str:
    """Return ``text`` without strings of the form of a Hugging Face token, and without ``secrets``."""
    for secret in secrets:
        if secret and len(secret) >= 4:
            text = text.replace(secret, MASK)
    return _TOKEN.sub(MASK, text)


def one_line(text: str, limit: int = 300) -> str:
    """Fold white space and control characters, and cut ``text`` to ``limit`` characters."""
    text = _SPACE.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


class HuggingFaceError(Exception):
    """Base of all errors of this package.

    Args:
        message: what happened, without a full stop at the end.
        advice: what the user can do about it, a sentence without its full stop.
        task, model: what was being asked.
        status: HTTP status of the answer, if there was one.
        request_id: the service's id of the request.
        row: position of the row in the input frame, counted from 0.
        column: whose cell is at fault, where one is.
        argument: the argument that the service's words point to.
        attempts: how many requests were made for it.
        retry_after: seconds the service asked to wait.
        retryable: whether the same row may succeed later; default by class.
        retry_limit: retries that are worth making, if fewer than usual.
        concerns_content: what a row contains may be the reason, though the error looks like one of all rows: a
            firewall or a moderation refused it. If other rows have been answered, it is a row's own error.
        is_too_long: the input is longer than the model accepts; what to do about that depends on the task.
    """

    code: ClassVar[str] = "error"
    #: What people do about errors of this kind, for the documentation; a message's own advice is closer.
    remedy: ClassVar[str] = ""
    retryable: bool = False
    #: Every row of the query would meet it, so sending stops.
    fatal: ClassVar[bool] = False
    #: Requests made where this one ended: more than one, if earlier ones showed how the server wants them.
    requests: int = 1
    #: USD that they cost; ``None``: not known.
    cost: float | None = None
    #: What the refused answer used, if there was one: its ``input_tokens``, ``output_tokens`` and ``seconds``.
    usage: Any = None
    #: A list of inputs may hold one that is to blame: halve it and ask again.
    divisible: bool = False
    concerns_content: bool = False
    is_too_long: bool = False

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        task: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        row: int | None = None,
        column: str | None = None,
        argument: str | None = None,
        attempts: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        retry_limit: int | None = None,
        divisible: bool | None = None,
        concerns_content: bool = False,
        is_too_long: bool = False,
    ) -> None:
        self.message = redact(message)
        self.advice = redact(advice) if advice else None
        self.task = task
        self.model = model
        self.status = status
        self.request_id = redact(request_id) if request_id else None
        self.row = row
        self.column = column
        self.argument = argument
        self.attempts = attempts
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable
        self.retry_limit = retry_limit
        if divisible is not None:
            self.divisible = divisible
        self.concerns_content = concerns_content
        self.is_too_long = is_too_long
        super().__init__(self.message)

    def __str__(self) -> str:
        where = [
            f"task {self.task}" if self.task else "",
            f"model {self.model}" if self.model else "",
            f"row {self.row + 1}" if self.row is not None else "",
            f"column {one_line(self.column, 60)}" if self.column else "",
            f"HTTP {self.status}" if self.status and self.status >= 300 else "",
            f"request {self.request_id}" if self.request_id else "",
        ]
        facts = ", ".join(filter(None, where))
        failed = f"failed after {self.attempts} attempts: " if self.attempts and self.attempts > 1 else ""
        text = failed + one_line(self.message, 1000) + (f" ({facts})" if facts else "")
        if not self.advice:
            return text
        advice = one_line(self.advice, 600)
        return f"{text}. {advice[:1].upper()}{advice[1:]}" + ("" if advice.endswith((".", ";")) else ".")

    @classmethod
    def plain_remedy(cls) -> str:
        """Return ``remedy`` as a message gives it: without Markdown."""
        return re.sub(r"\[[^\]]*\]\(([^)]*)\)", r"\1", cls.remedy).replace("`", "")

    def with_facts(self, **facts: Any) -> Self:
        """Return a copy that also knows ``facts``; what is already known stays."""
        copied = self._copy()
        known = vars(copied)
        known.update({name: value for name, value in facts.items() if known.get(name) is None})
        return copied

    def advising(self, advice: str | None) -> Self:
        """Return a copy with other advice."""
        copied = self._copy()
        copied.advice = redact(advice) if advice else None
        return copied

    def _copy(self) -> Self:
        copied = copy.copy(self)
        copied.__cause__ = self.__cause__
        return copied

    def with_cause(self, cause: BaseException) -> Self:
        """Return the error itself, with its cause."""
        self.__cause__ = cause
        return self


class SettingsError(HuggingFaceError):
    """The arguments are invalid, regardless of the rows."""

    code = "invalid_settings"
    remedy = "Correct the statement; the message lists all errors in it"
    fatal = True


class InputError(HuggingFaceError):
    """One row's own fault; the other rows go on."""

    code = "invalid_input"


class InvalidInput(InputError):
    """The value of this row was rejected, by the service (400, 422) or before it was sent."""

    code = "invalid_input"
    remedy = "Check the row that the message names: shorten the text, convert the image, or fill in the missing value"
    divisible = True


class PayloadTooLarge(InputError):
    """The value exceeds the size limit of the service (413) or of this engine."""

    code = "payload_too_large"
    remedy = "Shorten the text, use a smaller media file, or use a server that accepts larger requests"
    divisible = True


class BlockedAddress(InputError):
    """The URL leads to an address that requests may not reach."""

    code = "blocked_address"
    remedy = "Use a public URL, or have the host added to the engine's `allowed_hosts`"


class BlockedFile(InputError):
    """The path is outside ``media_roots``, or is not a regular file."""

    code = "blocked_file"
    remedy = "Use a path inside `media_roots`, or have the folder added to the engine's `media_roots`"


class AccountError(HuggingFaceError):
    """The token or its account; every row would meet it."""

    code = "unauthorized"
    fatal = True


class Unauthorized(AccountError):
    """401: the token is missing or wrong, or the model is private."""

    code = "unauthorized"
    remedy = "Create a token at [settings/tokens](https://huggingface.co/settings/tokens) and set it as `api_key`"


class Forbidden(AccountError):
    """403: the token lacks a permission, or the model is gated."""

    code = "forbidden"
    remedy = (
        "Give the token the permission 'Make calls to Inference Providers'; for a gated model, accept the terms "
        "on its Hub page"
    )


class OutOfCredits(AccountError):
    """402: the account has used up its inference credits."""

    code = "out_of_credits"
    remedy = (
        "Buy credits at [settings/billing](https://huggingface.co/settings/billing), or set `bill_to`; "
        "then run the query again: stored answers are not billed twice"
    )


class ModelError(HuggingFaceError):
    """The model is not to be had there; every row would meet it."""

    code = "model_not_found"
    fatal = True


class ModelNotFound(ModelError):
    """404: the model does not exist, or this provider does not serve it."""

    code = "model_not_found"
    remedy = "Use the `provider`, `task` or `model_name` that the message suggests, or your own endpoint"


class EndpointGone(ModelError):
    """410, or the endpoint is paused."""

    code = "endpoint_gone"
    remedy = (
        "Resume the endpoint at [endpoints.huggingface.co](https://endpoints.huggingface.co); remove "
        "an outdated `base_url`"
    )


class ServiceError(HuggingFaceError):
    """A fault on the way or at the service that may pass."""

    code = "unavailable"
    retryable = True


class RateLimited(ServiceError):
    """429: too many requests."""

    code = "rate_limited"
    remedy = "Lower `max_concurrency` or set `requests_per_minute`; run the query again for the remaining rows"


class ModelLoading(ServiceError):
    """503 while the model is loading or the endpoint is scaling up."""

    code = "model_loading"
    remedy = "Run the query again in a minute, or raise `max_retries`"


class Unavailable(ServiceError):
    """500, 502, 503, 504, 424 or another temporary server error."""

    code = "unavailable"
    remedy = "Run the query again later, or raise `max_retries`"


class ServiceTimeout(ServiceError):
    """No complete response within ``timeout``."""

    code = "timeout"
    remedy = "Raise `timeout`, or make requests smaller: lower `max_batch_size`, `max_new_tokens` or `max_tokens`"


class ConnectionFailed(ServiceError):
    """No connection, or the connection broke before the response was complete."""

    code = "connection"
    remedy = "Check `base_url`, `endpoint`, the network and the proxy, then run the query again"


class InvalidAnswer(ServiceError):
    """The response cannot be trusted: not JSON (retried), or an unexpected shape or count (not retried)."""

    code = "invalid_answer"
    remedy = "Check that the model supports the task and that `base_url` or `endpoint` names the right server"
    retryable = False
    divisible = True
    #: A language model's answer that does not fit its schema, and why: a repair request quotes both.
    misfit: tuple[str, str] | None = None


class LimitReached(HuggingFaceError):
    """The query met a limit that the user set; running it again resumes it."""

    code = "not_attempted"
    retryable = True
    fatal = True


class BudgetExceeded(LimitReached):
    """The query has made ``max_requests`` requests or spent ``max_cost``, or the engine ``max_cost_per_day``."""

    code = "budget_exceeded"
    remedy = "Run the query again to resume it, or raise the limit that the message names"


class DeadlineExceeded(LimitReached):
    """The query has reached its ``deadline``."""

    code = "deadline_exceeded"
    remedy = "Run the query again to resume it, or raise `deadline`"


class Stopped(LimitReached):
    """The query was stopped on request, or its model was dropped."""

    code = "stopped"
    remedy = "Run the query again to resume it: stored answers are not billed twice"


class NotAttempted(LimitReached):
    """Another row's error stopped the query before this row was sent."""

    code = "not_attempted"
    remedy = "Fix the error that stopped the query, then run it again for the remaining rows"


def _leaves(kind: type[HuggingFaceError]) -> list[type[HuggingFaceError]]:
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [kind]


#: Every error a row can end in, by its code.
BY_CODE: dict[str, type[HuggingFaceError]] = {kind.code: kind for kind in _leaves(HuggingFaceError)}
