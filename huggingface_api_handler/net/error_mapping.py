"""Failing responses as our errors.

Servers behind one URL fail in a dozen formats: JSON of many shapes, plain text, a proxy's web page, nothing at all.
Each becomes one error with the server's own reason in it and something that the user at the SQL prompt can do. The
texts are in :mod:`.status_cases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import HuggingFaceError, InvalidInput, Unavailable
from . import status_cases
from .error_body import SEARCHED_CHARS, field_of, is_page, parsed, reason_in, reason_of, request_id
from .retry_after import retry_after, seconds_of
from .status_cases import BY_ARGUMENT, BY_ERROR_TYPE, BY_REASON, BY_STATUS, Case


def failure(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    *,
    authorised: bool = True,
    is_hugging_face: bool = True,
    is_billed: bool = False,
    secret: str | None = None,
) -> HuggingFaceError:
    """Return the error for a failing response of a service.

    Args:
        headers: with lower-case names.
        content: the body, or its beginning.
        authorised: whether the request carried a token.
        is_hugging_face: whether Hugging Face's accounts and tokens count there.
        is_billed: whether the request named an organization to bill (``bill_to``).
        secret: the token, which is removed from the server's reason if it repeats it.
    """
    body = parsed(content) if content[:1] in b'{[" \n\t\r' else None
    reason = reason_of(headers, content, secret)
    full_reason = reason_of(headers, content, secret, SEARCHED_CHARS)
    page = status in status_cases.FIREWALL_STATUSES and is_page(headers, content)
    case = status_cases.FIREWALL if page else _case(status, full_reason, body, authorised)
    advice = case.own_server if case.own_server and not is_hugging_face else case.advice
    if is_billed and case in (status_cases.TOKEN, status_cases.NO_TOKEN):
        advice = f"{advice}{status_cases.CHECK_BILL_TO}"
    waits = status in (408, 425, 429, 498) or status >= 500
    wait = retry_after(headers, body, reason=full_reason) if waits else None
    return _error(case, advice, reason, status, request_id(headers, secret), wait)


def failure_within(
    status: int, headers: Mapping[str, str], body: Any, *, secret: str | None = None
) -> HuggingFaceError | None:
    """Return the error in the JSON of a response of status 200, if there is one.

    ``{"error": …}`` or ``{"errors": …}`` that says something, ``{"object": "error"}``, an object that holds nothing
    but a message and its circumstances, such as ``{"detail": …}`` or ``{"success": false, "code": 7, "msg": …}``,
    MiniMax's ``{"base_resp": {"status_code": 1008, "status_msg": …}}``, or a list of nothing else.
    """
    parts = body if isinstance(body, list) else [body]
    if not parts or not all(isinstance(part, dict) and _says_error(part) for part in parts):
        return None
    full_reason = reason_in(parts[0], secret, SEARCHED_CHARS)
    case = _hidden_case(full_reason, parts[0])
    wait = retry_after(headers, parts[0], reason=full_reason)
    return _error(case, case.advice, reason_in(parts[0], secret), status, request_id(headers, secret), wait)


#: Fields that hold the message of an error, and those that may stand beside it: no answer has these alone.
_MESSAGES = frozenset({"detail", "message", "msg", "errorMessage", "error_message", "exception", "title"})
_CIRCUMSTANCES = _MESSAGES | frozenset(
    {
        "code", "error", "error_code", "error_type", "errorType", "errors", "id", "instance", "object", "param", "path",
        "reason", "request_id", "requestId", "stackTrace", "stack_trace", "status", "status_code", "statusCode",
        "success", "timestamp", "trace_id", "traceback", "type",
    }
)  # fmt: skip


def _says_error(body: dict[str, Any]) -> bool:
    if _says(body.get("error")) or _says(body.get("errors")) or body.get("object") == "error":
        return True
    if body.keys() <= _CIRCUMSTANCES and any(
        body.get(name) and isinstance(body[name], (str, list)) for name in _MESSAGES
    ):
        return True
    base = body.get("base_resp")
    return isinstance(base, dict) and base.get("status_code") not in (0, None) and not body.get("choices")


def _says(value: Any) -> bool:
    """Return whether a field says anything: some gateways add an error that is empty to every answer."""
    return any(value.values()) if isinstance(value, dict) else bool(value)


def unfetched(status: int, headers: Mapping[str, str], url: str) -> HuggingFaceError:
    """Return the row's error for a failing response to a URL of media or to a link.

    Its server is not the service: what it says about tokens or models is not about ours.
    """
    if status in (408, 425, 429) or status >= 500:
        return Unavailable(f"the URL's server failed with status {status}: {url}", retry_after=retry_after(headers))
    what = "redirects too often" if 300 <= status < 400 else f"responded with status {status}"
    return InvalidInput(f"the URL {what}: {url}", advice="Check the URL", divisible=False)


def _case(status: int, reason: str, body: Any, authorised: bool) -> Case:
    code = f"{field_of(body, 'code') or ''} {field_of(body, 'type') or ''}"
    for statuses, pattern, case in BY_REASON:
        if status in statuses and (pattern.search(reason) or pattern.search(code)):
            return case
    if status >= 500 and seconds_of(field_of(body, "estimated_time"), 1) is not None:
        return status_cases.STARTING
    if status == 403 and status_cases.BARE_REFUSAL.fullmatch(reason):
        return status_cases.NO_REASON
    if status == 401 and not authorised:
        return status_cases.NO_TOKEN
    known = BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        return status_cases.BUSY
    if status >= 400:
        return status_cases.INPUT
    return status_cases.REDIRECTED if 300 <= status < 400 else status_cases.NO_CONTENT


def _hidden_case(reason: str, body: dict[str, Any]) -> Case:
    inner = body["error"] if isinstance(body.get("error"), dict) else body
    codes = (inner.get("code"), inner.get("status"), inner.get("status_code"), inner.get("statusCode"))
    for value in (*codes, body.get("http_status_code"), body.get("error")):
        if isinstance(value, (int, str)) and re.fullmatch(r"[45][0-9][0-9]", str(value)):
            return _case(int(str(value)), reason, body, True)
    if field_of(body, "estimated_time") is not None:
        return status_cases.STARTING
    kind = str(field_of(body, "error_type") or field_of(body, "type") or "").lower()
    for pattern, status in BY_ERROR_TYPE:
        if re.search(pattern, f"{kind} {reason}", re.I):
            return _case(status, reason, body, True)
    return status_cases.HIDDEN


def _error(
    case: Case, advice: str | None, reason: str, status: int, request: str | None, wait: float | None
) -> HuggingFaceError:
    argument = case.argument
    if case.error is InvalidInput and advice == status_cases.INPUT.advice:
        argument = _argument_in(reason)
        advice = f"Check the argument {argument}, then this row's values" if argument else advice
    return case.error(
        f'{case.happened}: "{reason}"' if reason else case.happened,
        advice=advice or case.error.plain_remedy(),
        status=status,
        request_id=request,
        retry_after=wait,
        retryable=case.retryable,
        divisible=case.divisible,
        argument=argument,
        concerns_content=case.concerns_content,
        is_too_long=case.is_too_long,
    )


def _argument_in(reason: str) -> str | None:
    """Return the argument that a server's words point to; MindsDB's user may have set it for all rows."""
    return next((argument for argument, pattern in BY_ARGUMENT if pattern.search(reason)), None)
