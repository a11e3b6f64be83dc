"""Server-sent events (``text/event-stream``): what a server that streams sends, read after its end."""

from __future__ import annotations

import re
from dataclasses import dataclass

MEDIA_TYPE = "text/event-stream"

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


def parse_events(content: bytes) -> list[Event]:
    """Return the events of a stream, in their order; the last one also if the stream breaks off within it."""
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
