"""Everything that can go wrong, as one tree.

::

    HuggingFaceError
    ├── SettingsError          invalid_settings    arguments that cannot work
    ├── InputError             (a row's own fault)
    │   ├── InvalidInput       invalid_input       the model cannot take this value
    │   ├── PayloadTooLarge    payload_too_large   more bytes than allowed
    │   ├── BlockedAddress     blocked_address     a URL that may not be opened
    │   └── BlockedFile        blocked_file        a path that may not be opened
    ├── AccountError           (every row would meet it)
    │   ├── Unauthorized       unauthorized        401
    │   ├── Forbidden          forbidden           403
    │   └── OutOfCredits       out_of_credits      402
    ├── ModelError             (every row would meet it)
    │   ├── ModelNotFound      model_not_found     404
    │   └── EndpointGone       endpoint_gone       410, or a paused endpoint
    ├── ServiceError           (may pass)
    │   ├── RateLimited        rate_limited        429
    │   ├── ModelLoading       model_loading       503 while the model starts
    │   ├── Unavailable        unavailable         5xx
    │   ├── ServiceTimeout     timeout             no answer in time
    │   ├── ConnectionFailed   connection          no connection, or a broken one
    │   └── InvalidAnswer      invalid_answer      an answer that cannot be trusted
    └── LimitReached           (the query's own limits)
        ├── BudgetExceeded     budget_exceeded     max_requests
        ├── DeadlineExceeded   deadline_exceeded   deadline
        └── NotAttempted       not_attempted       the query had ended before this row

Each class has a stable ``code``, the one that stands in ``<target>_error_type``.
``str(error)`` is a single line that is complete in itself: what happened, where,
how often it was tried, what to do. Tokens are taken out of every text on its way in.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

E = TypeVar("E", bound="HuggingFaceError")

# Also behind a letter or a digit: in a URL '%20' or '%3D' may stand before it.
_TOKEN = re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{20,}|hf_(?:oauth|jwt)_[A-Za-z0-9_.-]{20,}")
# Prose may follow the word as well ("Bearer authentication is not enabled."): a credential is long, or has a digit or
# a sign inside.
_BEARER = re.compile(
    r"(?i:(?<=bearer )|(?<=bearer%20))(?=[^\s\"',;&]{20}|[^\s\"',;&]*(?:[0-9]|[._~+/=][A-Za-z0-9]))[^\s\"',;&]+"
)
#: White space, and what a terminal or a reader of the log takes for orders: control characters, turns of direction.
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069]+")
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
        attempts: how many requests were made for it.
        retry_after: seconds the service asked to wait.
        retryable: whether the same row may succeed later; default by class.
    """

    code: ClassVar[str] = "error"
    #: What people do about errors of this kind, for the documentation; a message's own advice is closer.
    remedy: ClassVar[str] = ""
    retryable: bool = False
    #: Every row of the query would meet it, so sending stops.
    fatal: ClassVar[bool] = False
    #: A list of inputs may hold one that is to blame: halve it and ask again.
    divisible: bool = False

    _facts: ClassVar[tuple[str, ...]] = (
        "advice",
        "task",
        "model",
        "status",
        "request_id",
        "row",
        "column",
        "attempts",
        "retry_after",
        "retryable",
        "divisible",
    )

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
        attempts: int | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        divisible: bool | None = None,
    ) -> None:
        self.message = redact(message)
        self.advice = redact(advice) if advice else None
        self.task = task
        self.model = model
        self.status = status
        self.request_id = redact(request_id) if request_id else None
        self.row = row
        self.column = column
        self.attempts = attempts
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable
        if divisible is not None:
            self.divisible = divisible
        super().__init__(self.message)

    def __str__(self) -> str:
        where = [
            f"task {self.task}" if self.task else "",
            f"model {self.model}" if self.model else "",
            f"row {self.row + 1}" if self.row is not None else "",
            f"column {one_line(self.column, 60)}" if self.column else "",
            f"HTTP {self.status}" if self.status and self.status >= 300 else "",
            f"tried {self.attempts} times" if self.attempts and self.attempts > 1 else "",
            f"request {self.request_id}" if self.request_id else "",
        ]
        facts = ", ".join(filter(None, where))
        text = one_line(self.message, 1000) + (f" ({facts})" if facts else "")
        if not self.advice:
            return text
        advice = one_line(self.advice, 600)
        return f"{text}. {advice[:1].upper()}{advice[1:]}" + ("" if advice.endswith((".", ";")) else ".")

    def with_facts(self, **facts: Any) -> Self:
        """Return a copy that also knows ``facts``; what is already known stays."""
        known = {name: getattr(self, name) for name in self._facts}
        for name, value in facts.items():
            if known.get(name) is None:
                known[name] = value
        copy = type(self)(self.message, **known)
        copy.__cause__ = self.__cause__
        return copy

    def advising(self, advice: str | None) -> Self:
        """Return a copy with other advice."""
        known = {name: getattr(self, name) for name in self._facts}
        copy = type(self)(self.message, **{**known, "advice": advice})
        copy.__cause__ = self.__cause__
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {name: getattr(self, name) for name in self._facts})


def _rebuild(kind: type[E], message: str, facts: dict[str, Any]) -> E:
    return kind(message, **facts)


class SettingsError(HuggingFaceError):
    """The arguments cannot work, whatever the rows hold."""

    code = "invalid_settings"
    remedy = "Write the statement as the message says; all that is wrong with it is said at once"
    fatal = True


class InputError(HuggingFaceError):
    """One row's own fault; the other rows go on."""

    code = "invalid_input"


class InvalidInput(InputError):
    """The service, or we, cannot take this row's value (400, 422)."""

    code = "invalid_input"
    remedy = "Look at the row that the message names: shorten the text, convert the picture, fill the gap"
    divisible = True


class PayloadTooLarge(InputError):
    """More bytes than the service (413), or our limit, takes."""

    code = "payload_too_large"
    remedy = "Shorten the text, shrink the media, or lower `max_batch_size`"
    divisible = True


class BlockedAddress(InputError):
    """A URL that leads where requests may not go."""

    code = "blocked_address"
    remedy = "Give public URLs, or have the engine's owner add the host to `allowed_hosts`"


class BlockedFile(InputError):
    """A path outside ``media_roots``, or something there that is no plain file."""

    code = "blocked_file"
    remedy = "Give paths inside `media_roots`, or have the engine's owner add the folder"


class AccountError(HuggingFaceError):
    """The token or its account; every row would meet it."""

    code = "unauthorized"
    fatal = True


class Unauthorized(AccountError):
    """401: no token, a wrong one, or a private model."""

    code = "unauthorized"
    remedy = "Make a token at [settings/tokens](https://huggingface.co/settings/tokens) and give it as `api_key`"


class Forbidden(AccountError):
    """403: the token lacks a permission, or the model is gated."""

    code = "forbidden"
    remedy = (
        "Give the token the permission 'Make calls to Inference Providers'; accept a gated model's terms at its page"
    )


class OutOfCredits(AccountError):
    """402: the account's inference credits are used up."""

    code = "out_of_credits"
    remedy = (
        "Buy credits at [settings/billing](https://huggingface.co/settings/billing), or set `bill_to`; "
        "then run the query again: what was answered is not paid twice"
    )


class ModelError(HuggingFaceError):
    """The model is not to be had there; every row would meet it."""

    code = "model_not_found"
    fatal = True


class ModelNotFound(ModelError):
    """404: no such model, or it is not deployed at this provider."""

    code = "model_not_found"
    remedy = "Take the `provider`, `task` or `model_name` that the message names, or an endpoint of your own"


class EndpointGone(ModelError):
    """410, or an endpoint that its owner has paused."""

    code = "endpoint_gone"
    remedy = (
        "Have the endpoint resumed at [endpoints.huggingface.co](https://endpoints.huggingface.co); leave "
        "an old `base_url` out"
    )


class ServiceError(HuggingFaceError):
    """A fault on the way or at the service that may pass."""

    code = "unavailable"
    retryable = True


class RateLimited(ServiceError):
    """429."""

    code = "rate_limited"
    remedy = "Lower `max_concurrency` or set `requests_per_minute`; run the query again for the rest"


class ModelLoading(ServiceError):
    """503 while the model is being loaded or the endpoint scales up."""

    code = "model_loading"
    remedy = "Run the query again in a minute, or raise `max_retries`"


class Unavailable(ServiceError):
    """500, 502, 503, 504, 424 and the like."""

    code = "unavailable"
    remedy = "Run the query again later, or raise `max_retries`"


class ServiceTimeout(ServiceError):
    """No whole answer within ``timeout``."""

    code = "timeout"
    remedy = "Raise `timeout`, or ask for less at once: `max_batch_size`, `max_new_tokens`, `max_tokens`"


class ConnectionFailed(ServiceError):
    """No connection, or one that broke before the answer was whole."""

    code = "connection"
    remedy = "Look at `base_url`, `endpoint`, the server's network and proxy; run the query again"


class InvalidAnswer(ServiceError):
    """An answer that cannot be trusted: not JSON (worth another try), or of an unknown shape or count (not)."""

    code = "invalid_answer"
    remedy = "Look whether the model does this task, and what stands behind `base_url` or `endpoint`"
    retryable = False
    divisible = True


class LimitReached(HuggingFaceError):
    """The query met a limit that the user set; running it again goes on where it stopped."""

    code = "not_attempted"
    retryable = True
    fatal = True


class BudgetExceeded(LimitReached):
    """``max_requests`` were made."""

    code = "budget_exceeded"
    remedy = "Run the query again: it goes on where it stopped; or raise `max_requests`"


class DeadlineExceeded(LimitReached):
    """``deadline`` seconds have passed."""

    code = "deadline_exceeded"
    remedy = "Run the query again: it goes on where it stopped; or raise `deadline`"


class NotAttempted(LimitReached):
    """The query ended, for another row's error, before this row was sent."""

    code = "not_attempted"
    remedy = "Mend what ended the query, and run it again for the rest"


def _leaves(kind: type[HuggingFaceError]) -> list[type[HuggingFaceError]]:
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [kind]


#: Every error a row can end in, by its code.
BY_CODE: dict[str, type[HuggingFaceError]] = {kind.code: kind for kind in _leaves(HuggingFaceError)}
