"""Following redirects: one by one, each URL checked like the first, without credentials to another origin."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin

from ..errors import InvalidAnswer, SettingsError
from .redaction import contains_token
from .request import Request
from .url_policy import ParsedUrl, UrlPolicy

MAX_REDIRECTS = 4
_ANY_METHOD = (307, 308)
_GET_ONLY = (301, 302, 303)
_WITHOUT_CREDENTIALS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def is_followed(method: str, status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a response redirects: a POST only by 307 and 308, since the others would turn it into a GET."""
    follows = status in _ANY_METHOD or (method == "GET" and status in _GET_ONLY)
    return follows and bool(headers.get("location"))


def next_url(policy: UrlPolicy, parsed: ParsedUrl, location: str, request: Request, token: str | None) -> ParsedUrl:
    """Return where a response from ``parsed`` redirects to.

    Raises:
        InvalidAnswer: a service redirects to where this request may not be sent.
        BlockedAddress: a server of media or of a link does.
    """
    # http.client reads headers as Latin-1; what servers write there is UTF-8.
    try:
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        pass
    if contains_token(location, token):  # it would be in a URL, and in logs
        raise InvalidAnswer(f"'{parsed.host}' redirects to a URL that contains the token", divisible=False)
    try:
        target = policy.parse(urljoin(parsed.url, location), purpose=request.purpose)
    except ValueError:  # urljoin's own, for brackets that hold no address
        raise _refused(parsed, "that is no URL") from None
    except SettingsError as error:
        # Not an error of the settings, which would end the query for all rows: a server may do so for one of them.
        raise _refused(parsed, f"that cannot be used: {error.message}") from None
    if request.purpose == "service" and parsed.scheme == "https" and target.scheme == "http":
        raise _refused(parsed, "without encryption")
    return target


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that another origin receives."""
    return {name: value for name, value in headers.items() if name in _WITHOUT_CREDENTIALS}


def _refused(parsed: ParsedUrl, why: str) -> InvalidAnswer:
    return InvalidAnswer(
        f"'{parsed.host}' redirects to a URL {why}", advice="Check base_url and endpoint", retryable=False
    )
