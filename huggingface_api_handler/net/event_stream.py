"""Streams: server-sent events (``text/event-stream``) or lines of JSON, read after their end."""

from __future__ import annotations

import re
from dataclasses import dataclass

MEDIA_TYPE = "text/event-stream"

#: How events begin: servers call them JSON or text as well.
_EVENTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
_LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        data: its text; often JSON, or ``[DONE]``.
        name: its type; ``message`` if the server names none.
    """

    data: str
    name: str = "message"


def is_stream(media_type: str, content: bytes) -> bool:
    """Return whether a body is a stream: by its media type, or by its beginning, which JSON does not have."""
    return media_type == MEDIA_TYPE or _EVENTS.match(content) is not None or _is_json_lines(content)


def _is_json_lines(content: bytes) -> bool:
    line, _, rest = content.lstrip().partition(b"\n")
    return line[:1] == b"{" and line.rstrip()[-1:] == b"}" and rest.lstrip()[:1] == b"{"


def parse_events(content: bytes) -> list[Event]:
    """Return the events of a stream, in their order; the last one also if the stream breaks off within it.

    A line of JSON is an event too.
    """
    if _is_json_lines(content):
        # Not at U+2028 or U+0085, where ``splitlines`` cuts as well: a text in JSON may contain them.
        return [Event(line) for line in _LINE_END.split(content.decode("utf-8", "replace")) if line.strip()]
    events: list[Event] = []
    name = ""
    data: list[str] = []
    for line in [*_LINE_END.split(content.decode("utf-8-sig", "replace")), ""]:
        if not line:
            if data:
                events.append(Event("\n".join(data), name or "message"))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "error":  # llama.cpp's, before it kept to the standard
            name, data = "error", [value]
    return events
