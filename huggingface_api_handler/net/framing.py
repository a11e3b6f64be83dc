"""Where an HTTP/1.1 response ends: interim responses, lengths, transfer codings, and bytes that belong to no response.

HTTP/1.1 matches responses to requests by their order on a connection alone. If the end of one response is in doubt,
the next request on that connection could receive the wrong one, so such a connection is closed.
"""

from __future__ import annotations

import http.client
import re
from typing import Any

from ..errors import InvalidAnswer

#: Interim responses (1xx) that may come before the final one.
MAX_INTERIM = 100
#: The line before a chunk: its size in hexadecimal, and extensions that mean nothing here.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 65536
#: Final statuses of responses without a body.
_NO_BODY = (101, 204, 304)


class StrictResponse(http.client.HTTPResponse):
    """A response whose connection is closed after it if its end is in doubt."""

    #: Whether bytes came directly after the response.
    has_extra_bytes = False
    #: Whether it was closed before its end: what follows is its own rest.
    _is_abandoned = False

    def begin(self) -> None:
        """Read status and headers; drop lines that are no headers, which urllib3 would write into the log."""
        super().begin()
        headers = self.headers
        # Headers after such a line are lost, and with them what they say about the body.
        if headers.defects:
            self.will_close = True
        headers.set_payload("")
        headers.defects.clear()
        self._frame()

    def _read_status(self) -> tuple[str, int, str]:
        """Return the status line of the final response. 101 is final: what follows it is another protocol."""
        for _ in range(MAX_INTERIM + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= line[1] < 200 or line[1] == 101:
                return line
            http.client.parse_headers(self.fp)
        raise bad_framing(f"more than {MAX_INTERIM} interim responses (status 1xx) and no final one")

    def _frame(self) -> None:
        """Determine where the body ends, and close the connection after it if the headers leave doubt.

        Raises:
            InvalidAnswer: the headers contradict each other, or name a transfer coding that is not supported.
        """
        values: dict[str, list[str]] = {"content-length": [], "transfer-encoding": [], "connection": []}
        for name, value in self.headers.raw_items():
            found = values.get(name.lower())
            if found is not None:
                found += [part.strip().lower() for part in value.split(",")]
        lengths, codings, connection = values.values()
        if "close" in connection:
            self.will_close = True
        if codings:
            self._frame_coded(codings, lengths)
        elif self.status in _NO_BODY:
            self.will_close |= self.status == 101 or (self.status == 204 and lengths not in ([], ["0"]))
        elif lengths:
            self._frame_counted(lengths)

    def _frame_coded(self, codings: list[str], lengths: list[str]) -> None:
        if set(codings) - {"chunked", "identity"}:
            raise bad_framing("a transfer coding that is not supported")
        self.will_close |= codings != ["chunked"] or bool(lengths) or self.version < 11 or self.status in _NO_BODY
        del self.headers["Content-Length"]
        self.chunked = "chunked" in codings and self.status not in _NO_BODY
        self.chunk_left = None
        self.length = 0 if self.status in _NO_BODY else None

    def _frame_counted(self, lengths: list[str]) -> None:
        if len(set(lengths)) > 1:
            raise bad_framing("several values of Content-Length")
        valid = re.fullmatch("[0-9]{1,18}", lengths[0]) is not None
        if valid and len(lengths) == 1:
            return
        del self.headers["Content-Length"]
        if valid:
            self.headers["Content-Length"] = lengths[0]
        self.length = int(lengths[0]) if valid else None
        self.will_close |= not valid

    def _read_next_chunk_size(self) -> int:
        """Return the size of the next chunk, of which Python's own accepts signs and underscores as well."""
        found = _CHUNK_SIZE.fullmatch(self.fp.readline(_MAX_LINE))
        if found is None:
            raise ValueError("no size of a chunk")
        return int(found[1], 16)

    def _get_chunk_left(self) -> int | None:
        """Return the bytes that are left of a chunk. Python's own drops any two bytes after one."""
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined]
                raise http.client.IncompleteRead(b"")
            self.chunk_left = None
        left: int | None = super()._get_chunk_left()  # type: ignore[misc]
        return left

    def close(self) -> None:
        self._is_abandoned = self.fp is not None
        super().close()

    def _close_conn(self) -> None:
        """Note whether bytes follow the response: those in the reader's buffer are lost with the reader."""
        if self._is_abandoned:
            super()._close_conn()  # type: ignore[misc]
            return
        reader: Any = self.fp
        reader.raw.readinto = _read_nothing  # look at what has been read already, and read no more
        try:
            self.has_extra_bytes = bool(reader.peek())
        except (OSError, ValueError):  # closed
            pass
        super()._close_conn()  # type: ignore[misc]


def _read_nothing(buffer: Any) -> None:
    """Behave like a socket on which nothing waits."""


def bad_framing(what: str) -> InvalidAnswer:
    """Return the error for a response whose end, or whose request, is in doubt."""
    return InvalidAnswer(
        f"the service sent {what}",
        advice="Run the query again; if this persists, check for a faulty proxy between MindsDB and the service",
        retryable=True,
        divisible=False,
    )
