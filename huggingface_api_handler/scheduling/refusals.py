"""Whose fault a failed request is: one row's, the batch's, the arguments', the account's, or the moment's."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from ..errors import (
    AccountError,
    HuggingFaceError,
    InvalidAnswer,
    InvalidInput,
    ModelLoading,
    NotAttempted,
    RateLimited,
    ServiceTimeout,
    SettingsError,
)

#: Requests that must fail in the same words, and rows that must have done so alone, before the arguments are blamed.
SAME_REQUESTS, SAME_ROWS = 20, 3

#: What differs between two errors with the same words: ids, long numbers, times.
_VARIABLE = re.compile(r"\b(?=[0-9a-f-]*[0-9])[0-9a-f][0-9a-f-]{7,}\b|\d{2}:\d{2}:\d{2}\S*", re.I)
_NUMBER = re.compile(r"\d+")


class Fault(Enum):
    """What a failed request says about.

    ``ROW``: these rows fail, whenever they are sent. ``BATCH``: one of the rows is bad, or the batch is too long:
    send its parts. ``SETTINGS`` and ``ACCOUNT``: every row would fail, so the query stops. ``MOMENT``: the same
    request may succeed later. ``OPEN``: what is under way will show.
    """

    ROW = "row"
    BATCH = "batch"
    SETTINGS = "settings"
    ACCOUNT = "account"
    MOMENT = "moment"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when a request fails.

    Attributes:
        rows: rows in the request.
        failures: how often these rows have failed together, this time included.
        passed: whether the query has had an answer to any row.
        passed_here: whether the query has had an answer to any row from this service.
        service_passed: whether the service has ever answered a row.
        lists_passed: whether the service has ever answered more than one row in a request.
        others_pass: whether other requests have succeeded since this one was sent.
        others_under_way: whether other requests are under way.
        others_left: whether other requests are under way or to come, which may show more.
        tried_alone: whether the query has sent any row alone.
        same_requests: requests of the query that failed in the same words, while none had passed.
        same_rows: those of them that held one row.
    """

    rows: int = 1
    failures: int = 1
    passed: bool = False
    passed_here: bool = False
    service_passed: bool = False
    lists_passed: bool = False
    others_pass: bool = False
    others_under_way: bool = False
    others_left: bool = True
    tried_alone: bool = True
    same_requests: int = 1
    same_rows: int = 0


def fault_of(error: HuggingFaceError, known: Evidence) -> Fault:
    """Return whose fault ``error`` is."""
    if error.concerns_content and error.fatal:
        return _content_fault(error, known)
    if error.fatal and known.passed and _is_of_answer(error):
        return Fault.BATCH if known.rows > 1 else Fault.ROW
    if error.fatal:
        return Fault.ACCOUNT if isinstance(error, AccountError) else Fault.SETTINGS
    if error.retryable:
        return Fault.BATCH if _list_may_be_at_fault(error, known) else Fault.MOMENT
    same = known.same_requests >= SAME_REQUESTS and known.same_rows >= SAME_ROWS
    if same and not known.passed and _may_concern_all(error, known):
        return Fault.SETTINGS
    return Fault.BATCH if error.divisible and known.rows > 1 else Fault.ROW


def _is_of_answer(error: HuggingFaceError) -> bool:
    """Return whether an answer showed that an argument has no effect: not if others came with the same arguments."""
    return isinstance(error, SettingsError) and error.usage is not None


def _may_concern_all(error: HuggingFaceError, known: Evidence) -> bool:
    """Return whether the service said so, or answered in a form that follows from the task, the model and the server.

    Without that, the fault was found here, in the row itself: a blocked address, a file that is missing.
    """
    if isinstance(error, InvalidAnswer):
        return (error.divisible or error.argument is not None) and not known.service_passed
    return error.status is not None


def _content_fault(error: HuggingFaceError, known: Evidence) -> Fault:
    """Return whose fault a refusal by a firewall or a moderation is: not the content's if it refuses everything.

    A refusal without a reason may be of the token, and an earlier query may have had another.
    """
    if known.passed or (known.service_passed and error.divisible):
        return Fault.BATCH if known.rows > 1 else Fault.ROW
    return Fault.OPEN if known.others_under_way else Fault.ACCOUNT


def _list_may_be_at_fault(error: HuggingFaceError, known: Evidence) -> bool:
    """Return whether a temporary failure may be permanent for this batch.

    A bad row breaks some servers, and others fail on every list.
    """
    if known.rows == 1 or isinstance(error, (RateLimited, ModelLoading)):
        return False
    if isinstance(error, ServiceTimeout):
        return True
    if known.passed_here and not known.lists_passed:
        return True
    nothing_else_shows = not known.tried_alone or (known.passed and not known.others_left)
    return known.failures > 1 and (known.others_pass or nothing_else_shows)


class SameRefusals:
    """Counts requests that failed in the same words, until a row passes."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int | None, str]] = Counter()
        self._rows: Counter[tuple[str, int | None, str]] = Counter()

    def count(self, error: HuggingFaceError, rows: int) -> tuple[int, int]:
        """Count a failed request of ``rows`` rows; return the requests and the single rows with the same words."""
        # "12 in the input + 4096 asked for" is the same refusal for each row; "513 words, max_length 512" is not.
        differs = _NUMBER if error.argument == "max_tokens" else _VARIABLE
        words = (error.code, error.status, differs.sub("#", error.message))
        self._requests[words] += 1
        self._rows[words] += rows == 1
        return self._requests[words], self._rows[words]


def settings_error(error: HuggingFaceError, requests: int) -> SettingsError:
    """Return the error of a query whose every request failed like ``error``."""
    wrong = f"the argument {error.argument}" if error.argument else "an argument"
    advice = f"Check {error.argument}: the message" if error.argument else "The message"
    advice += " of the service names the cause"
    if isinstance(error, InvalidAnswer):  # the message is ours
        wrong = wrong if error.argument else "an argument, the model or the server"
        advice = error.advice or error.plain_remedy()
    return SettingsError(
        f"no row succeeded: the first {requests} requests failed with the same error, so {wrong} is wrong, not "
        f"the rows: {error.message}",
        advice=f"{advice}; DESCRIBE <model>.args shows all arguments",
        status=error.status,
        request_id=error.request_id,
    )


def row_error(error: HuggingFaceError) -> HuggingFaceError:
    """Return ``error`` as the error of the one row that caused it."""
    if not error.fatal:
        return error
    if _is_of_answer(error):
        return InvalidAnswer(error.message, advice=error.advice, request_id=error.request_id, divisible=False)
    return InvalidInput(
        f"the service refused the content of this row, while other rows succeeded: {error.message}",
        advice="Check the text or media of this row",
        status=error.status,
        request_id=error.request_id,
        divisible=False,
    )


def not_attempted(cause: BaseException) -> HuggingFaceError:
    """Return the error of a row that was not sent, since ``cause`` had stopped the query."""
    why = cause.message if isinstance(cause, HuggingFaceError) else type(cause).__name__
    return NotAttempted(
        f"not sent, because the query had stopped: {why}",
        advice="Fix the cause, then run the query again for the remaining rows",
    ).with_cause(cause)
