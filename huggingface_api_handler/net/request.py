"""One HTTP request, and its response: what the transport takes and what it returns."""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ..errors import InvalidAnswer, InvalidInput
from . import error_body
from .event_stream import Event, is_stream, parse_events
from .memory_limit import MEMORY
from .url_policy import Purpose

#: Bytes that the Python objects of one JSON body may take.
MAX_OBJECT_BYTES = 512 * 2**20
#: Bodies shorter than this never take as much.
_SMALL_BODY = 2**20
#: Header in which the router names the Inference Provider that answered.
ANSWERED_BY = "x-inference-provider"
_ENCODER = jsonlib.JSONEncoder(ensure_ascii=False, allow_nan=False)
_PROVIDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request.

    Attributes:
        url: checked by the URL policy for its ``purpose``.
        purpose: ``service``, ``media`` (a URL in a cell) or ``link`` (a URL in a response).
        token: text or a pydantic ``SecretStr``; sent only if the URL policy allows it.
        headers: in addition to those that the transport and the attributes here imply.
        body: bytes of the ``content_type``; ``None`` for a GET.
        timeout: seconds for the whole request, from connecting to the last byte of the body, redirects included.
        max_bytes: longest body of the response, decompressed; the transport's own limit holds as well for a service.
        begins_paid_work: what it asks for continues, and is billed, when the response is lost. It is sent on a new
            connection, once, and JSON with an ``error`` in a response of status 200 is left to the caller.
    """

    method: Literal["GET", "POST"]
    url: str
    timeout: float
    purpose: Purpose = "service"
    token: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None
    accept: str = "application/json"
    max_bytes: int | None = None
    begins_paid_work: bool = False


@dataclass(frozen=True)
class Response:
    """A successful response, read to its end.

    Attributes:
        headers: with lower-case names.
        content: the body, decompressed.
        media_type: of the body, lower case, without parameters; empty if the server does not name one.
        elapsed: seconds from the request's start to the body's last byte.
        url: of the request, after redirects.
        secret: the token of the request, which no error may show.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    media_type: str
    elapsed: float
    url: str = ""
    secret: str | None = field(default=None, repr=False)

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            InvalidAnswer: it is none, or was cut off (retryable), or would fill the memory, or is a stream.
        """
        if self.events:
            raise InvalidAnswer(
                "the service streams its response instead of sending it as JSON",
                advice="Remove stream from parameters; if it is not there, turn streaming off at the server",
                status=self.status,
                request_id=self.request_id,
                divisible=False,
            )
        if _objects_of(self.content) > MAX_OBJECT_BYTES:
            raise InvalidAnswer(
                "the service's response contains more values than fit into memory", advice="Ask for a shorter answer"
            )
        try:
            with MEMORY.parsing(len(self.content)):
                # UTF-8 only, as JSON is sent: in another encoding the token would not have been found in it.
                return jsonlib.loads(self.content.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            is_page = self.media_type == "text/html" or self.content[:1] == b"<"
            title = error_body.title_of(self.content, self.secret) if is_page else ""
            page = "a web page" + (f" titled '{title}'" if title else "")
            what = f"{page} instead of JSON" if is_page else "a response that is not JSON"
            raise InvalidAnswer(
                f"the service sent {what if self.content else 'an empty response'}",
                advice="A proxy or a network's login page may have responded: check base_url, endpoint and the "
                "server's network, then run the query again"
                if is_page
                else "Check base_url and endpoint; if they are right, run the query again",
                status=self.status,
                request_id=self.request_id,
                retryable=True,
                divisible=False,
            ) from error

    @cached_property
    def events(self) -> Sequence[Event]:
        """Return the server-sent events of a stream; empty if the response is none."""
        return parse_events(self.content) if self.is_json and is_stream(self.media_type, self.content) else []

    @property
    def is_json(self) -> bool:
        """Whether the body is to be parsed as JSON: unless the server calls it an image, audio, video or binary."""
        return not self.media_type.startswith(("image/", "audio/", "video/", "application/octet-stream"))

    @property
    def request_id(self) -> str | None:
        return error_body.request_id(self.headers, self.secret)

    @property
    def provider(self) -> str | None:
        """The Inference Provider that answered, if the router names it."""
        name = self.headers.get(ANSWERED_BY, "")
        return name if _PROVIDER.fullmatch(name) else None

    @property
    def compute_seconds(self) -> float | None:
        """Seconds of computing that the service reports, if it does."""
        seconds = _number(self.headers.get("x-compute-time"))
        if seconds is not None:
            # Some servers report milliseconds here; nothing computes for longer than the request took.
            return seconds / 1000 if seconds > self.elapsed + 1 else seconds
        milliseconds = _number(self.headers.get("x-inference-time") or self.headers.get("x-total-time"))
        return None if milliseconds is None else milliseconds / 1000


def encode_json(body: Any) -> bytes:
    """Return ``body`` as JSON in UTF-8.

    Raises:
        InvalidInput: it has no form in JSON.
    """
    try:
        return _ENCODER.encode(body).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput("the text contains an incomplete character (a lone surrogate)") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            "the input cannot be written as JSON", advice="JSON has no NaN and no infinite numbers, for example"
        ) from error


def _objects_of(content: bytes) -> int:
    """Return how many bytes the Python objects of a JSON body take at most, estimated from its punctuation."""
    if len(content) < _SMALL_BODY:
        return 0
    text = len(content) if content.isascii() else 4 * len(content)
    per_sign = ((b",", 32), (b"[", 64), (b"{", 256), (b'"', 24))
    return text + sum(content.count(sign) * size for sign, size in per_sign)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else -1.0
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None
