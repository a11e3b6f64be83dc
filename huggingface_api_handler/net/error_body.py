"""What a failing response says: its reason as one line of plain text, and the id of the request."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import one_line
from .redaction import redact_cut_token, redact_token

#: Of the server's own words. MySQL's clients show 500 characters of a message, and the advice comes after them.
REASON_CHARS = 200
#: Of the same, searched for what is wrong and for how long to wait.
SEARCHED_CHARS = 4000
#: Bytes of a failing response that are read.
REASON_BYTES = 65536
#: Characters of a web page that are looked at: it says what it has to say at its beginning.
_PAGE_CHARS = 8192

_TAGS = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.S | re.I)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.S | re.I)
#: How HTML begins. Other text may contain '<' too: '<mask>', '<extra_id_0>', 'List<int>'.
_HTML = re.compile(
    r"\s*<(!--|!doctype|\?xml|html|head|body|title|meta|script|style|h[1-6]|p|div|center|b|strong|pre|br|span)\b",
    re.I,
)
_REQUEST_ID = ("x-request-id", "x-amzn-trace-id", "x-amz-cf-id")
#: Fields of a JSON body that hold a reason, most telling first.
_REASON_FIELDS = (
    "error", "message", "errorMessage", "error_message", "title", "detail", "details", "error_description", "msg",
    "exception", "reason", "errors",
    "invalid_fields", "warnings", "base_resp", "status_msg", "metadata", "raw",
)  # fmt: skip


def request_id(headers: Mapping[str, str], secret: str | None = None) -> str | None:
    """Return the service's id of the request, which its support would ask for."""
    for name in _REQUEST_ID:
        value = headers.get(name)
        if value:
            return _short(value, 120, secret)
    return None


def parsed(content: bytes) -> Any:
    """Return ``content`` as JSON, or ``None`` if it is none (or is ``null``)."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def is_page(headers: Mapping[str, str], content: bytes) -> bool:
    """Return whether a response is a web page."""
    named = headers.get("content-type", "").strip().lower().startswith("text/html")
    return named or _HTML.match(content[:80].decode("utf-8", "replace")) is not None


def reason_of(headers: Mapping[str, str], content: bytes, secret: str | None = None, limit: int = REASON_CHARS) -> str:
    """Return the server's message, in one line of plain text of at most ``limit`` characters; empty if there is none.

    ``x-error-message`` comes first, then the usual fields of a JSON body, then the body's text.
    """
    text = headers.get("x-error-message")
    if text is None:
        body = parsed(content)
        if body is not None and not isinstance(body, (int, float)):
            return reason_in(body, secret, limit)
        text = _text(headers, content)
        if is_page(headers, content):
            return _short(_text_of_html(text), limit, secret)
    return _short(_plain_text(text), limit, secret)


def reason_in(body: Any, secret: str | None = None, limit: int = REASON_CHARS) -> str:
    """Return what an error's JSON says, in one line of plain text of at most ``limit`` characters."""
    words = list(dict.fromkeys(filter(None, (word.strip() for word in _words(body)))))
    text = "; ".join(words[:8]) if words else _as_json(body)
    return _short(_plain_text(text), limit, secret)


def _as_json(body: Any) -> str:
    try:
        return json.dumps(body, ensure_ascii=False)[:REASON_CHARS]
    except RecursionError:  # nested deeper than the encoder goes
        return ""


def title_of(content: bytes, secret: str | None = None) -> str:
    """Return the title of a web page, without the token; empty if it has none."""
    found = _TITLE.search(content[:_PAGE_CHARS].decode("utf-8", "replace"))
    return _short(_text_of_html(html.unescape(found[1])), 80, secret) if found else ""


def field_of(body: Any, name: str) -> Any:
    """Return a field of an error's JSON, which may be wrapped in a list or in ``error``."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return None
    if name in body:
        return body[name]
    inner = body.get("error")
    return inner.get(name) if isinstance(inner, dict) else None


def _text(headers: Mapping[str, str], content: bytes) -> str:
    if headers.get("content-type", "").startswith(("image/", "audio/", "video/", "application/octet-stream")):
        return ""
    try:
        return content[:REASON_BYTES].decode("utf-8")
    except UnicodeDecodeError as error:
        # Cut in the middle of a character, or no text at all.
        return content[: error.start].decode("utf-8") if error.start > 8 else ""


def _short(text: str, limit: int, secret: str | None) -> str:
    """Return a server's text on one short line, without the token, whole or cut.

    Half a character (a lone surrogate), which JSON may hold, is replaced: no database takes it.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return redact_cut_token(one_line(redact_token(text, secret), limit), secret)


def _plain_text(text: str) -> str:
    return _text_of_html(text) if _HTML.match(text) else text


def _text_of_html(text: str) -> str:
    if "<" not in text:
        return text
    text = text[:_PAGE_CHARS]  # the patterns are not for megabytes
    title = _TITLE.search(text)
    bare = html.unescape(_TAGS.sub(" ", text)).strip()
    heading = html.unescape(title[1]).strip() if title else ""
    if not bare or (heading and len(bare) > REASON_CHARS):
        return heading
    return bare if heading in bare else f"{heading}: {bare}"


def _words(body: Any, depth: int = 0) -> Iterator[str]:
    """Yield the sentences in an error's JSON, most telling first."""
    if depth > 6:
        return
    if isinstance(body, str):
        # Proxies pass on the JSON of the service behind them as a text.
        inner = parsed(body.encode("utf-8", "replace")) if body.lstrip()[:1] == "{" else None
        if isinstance(inner, dict):
            yield from _words(inner, depth + 1)
        else:
            yield body
    elif isinstance(body, list):
        for part in body[:8]:
            yield from _words(part, depth + 1)
    elif isinstance(body, dict):
        yield from _words_of_object(body, depth)


def _words_of_object(body: dict[str, Any], depth: int) -> Iterator[str]:
    if isinstance(body.get("msg"), str) and isinstance(body.get("loc"), list):
        yield f"{'.'.join(str(part) for part in body['loc'])}: {body['msg']}"
        return
    for name in _REASON_FIELDS:
        if name in body:
            yield from _words(body[name], depth + 1)
