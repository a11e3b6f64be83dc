"""Where an HTTP/1.1 response ends: interim responses, lengths, transfer codings, and bytes that belong to no response.

HTTP/1.1 matches responses to requests by their order on a connection alone. If the end of one response is in doubt,
the next request on that connection could receive the wrong one, so such a connection is closed.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidAnswer

#: Interim responses (1xx) that may come before the final one.
MAX_INTERIM = 100
#: The line before a chunk: its size in hexadecimal, and extensions that mean nothing here.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 65536
#: Bytes of the headers of one response.
MAX_HEAD = 2**18
#: A line that says where the body ends, although it is no header: which of both a server means is in doubt.
_UNREADABLE_LENGTH = re.compile(r"[^\w]{0,9}(content-length|transfer-encoding)\b", re.I)
#: Name and value of a header (RFC 9112, section 5). White space around the value is removed apart: a pattern could
#: divide a long run of it in so many ways that it would hold all threads for hours.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r]*)")
#: A line that continues a value.
_FOLDED = re.compile(r"[ \t][^\0\r]*")
#: Final statuses of responses without a body.
_NO_BODY = (101, 204, 304)


class StrictResponse(http.client.HTTPResponse):
    """A response whose connection is closed after it if its end is in doubt.

    Attributes:
        headers: with lower-case names; different values of a repeated name are joined with commas. Equal ones count
            once: proxies repeat headers of which there can be only one, such as Location.
        has_extra_bytes: whether bytes came directly after the response.
        release: takes its connection back.
    """

    headers: dict[str, str]  # type: ignore[assignment]
    release: Callable[[StrictResponse], None]
    has_extra_bytes = False
    #: Whether it was closed before its end: what follows is its own rest.
    _is_abandoned = False

    def begin(self) -> None:
        """Read status and headers.

        Raises:
            InvalidAnswer: they leave no safe way to read the body.
            http.client.HTTPException: they are no HTTP.
        """
        version, self.status, self.reason = self._read_status()
        self.code = self.status
        if not version.startswith("HTTP/1."):
            raise http.client.UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.headers, is_complete = self._read_headers()
        self.msg = self.headers  # type: ignore[assignment]
        self._frame(will_close=not is_complete)

    def _read_status(self) -> tuple[str, int, str]:
        """Return the status line of the final response. 101 is final: what follows it is another protocol."""
        for _ in range(MAX_INTERIM + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= line[1] < 200 or line[1] == 101:
                return line
            self._read_headers()
        raise bad_framing(f"more than {MAX_INTERIM} interim responses (status 1xx) and no final one")

    def _read_headers(self) -> tuple[dict[str, str], bool]:
        """Return the headers, and whether all lines were headers."""
        # Joined at the end: a value of thousands of lines would be copied for each of them.
        lines: list[list[str]] = []
        is_header, is_complete, left = False, True, MAX_HEAD
        while (line := self.fp.readline(left + 1)) not in (b"\r\n", b"\n"):
            left -= len(line)
            if left < 0:
                raise bad_framing("too many headers")
            if not line.endswith(b"\n"):
                raise http.client.IncompleteRead(line)
            text = line.decode("latin-1").rstrip("\r\n")
            found = _HEADER.fullmatch(text)
            if found is not None:
                is_header = True
                lines.append([found[1].lower(), found[2].strip(" \t")])
            elif is_header and _FOLDED.fullmatch(text):
                lines[-1].append(text.strip(" \t"))
            elif _UNREADABLE_LENGTH.match(text):
                raise bad_framing("a length that cannot be read")
            else:
                is_header = is_complete = False
        values: dict[str, dict[str, None]] = {}
        for name, *parts in lines:
            values.setdefault(name, {})[" ".join(parts)] = None
        return {name: ", ".join(different) for name, different in values.items()}, is_complete

    def _frame(self, *, will_close: bool) -> None:
        """Determine where the body ends, and close the connection after it if the headers leave doubt.

        Args:
            will_close: a line that is no header leaves doubt.

        Raises:
            InvalidAnswer: the headers contradict each other, or name a transfer coding that is not supported.
        """
        headers = self.headers
        connection = _items(headers, "connection")
        lengths, codings = _items(headers, "content-length"), _items(headers, "transfer-encoding")
        self.chunked, self.length = False, None
        self.will_close = will_close or "close" in connection or (self.version == 10 and "keep-alive" not in connection)
        if codings:
            self._frame_coded(codings, lengths)
        elif self.status in _NO_BODY:
            self.length = 0
            self.will_close |= self.status == 101 or (self.status == 204 and lengths not in ([], ["0"]))
        elif lengths:
            self._frame_counted(lengths)
        self.will_close |= self.length is None and not self.chunked

    def _frame_coded(self, codings: list[str], lengths: list[str]) -> None:
        if set(codings) - {"chunked", "identity"}:
            raise bad_framing("a transfer coding that is not supported")
        self.will_close |= codings != ["chunked"] or bool(lengths) or self.version < 11 or self.status in _NO_BODY
        self.headers.pop("content-length", None)
        self.chunked = "chunked" in codings and self.status not in _NO_BODY
        self.chunk_left = None
        self.length = 0 if self.status in _NO_BODY else None

    def _frame_counted(self, lengths: list[str]) -> None:
        if len(set(lengths)) > 1:
            raise bad_framing("several values of Content-Length")
        if re.fullmatch("[0-9]{1,18}", lengths[0]):
            self.headers["content-length"] = lengths[0]
            self.length = int(lengths[0])
        else:
            del self.headers["content-length"]

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

    def read(self, amt: int | None = None, decode_content: bool = False) -> bytes:
        """Return at most ``amt`` bytes of the body, or all of it, as it was sent.

        Raises:
            http.client.IncompleteRead: it ends too early.
        """
        data: bytes = super().read(amt)
        if not data and amt and self.length:
            raise http.client.IncompleteRead(b"", self.length)
        return data

    def release_conn(self) -> None:
        """Give the connection back to its pool."""
        self.release(self)

    @property
    def ended_cleanly(self) -> bool:
        """Whether the body was read to its certain end, so that the connection can serve another request."""
        is_whole = self.isclosed() and not self.length
        return is_whole and not (self.will_close or self.has_extra_bytes or self._is_abandoned)

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


def _items(headers: Mapping[str, str], name: str) -> list[str]:
    """Return the items of a header, in lower case."""
    return [item.strip(" \t").lower() for item in headers[name].split(",")] if name in headers else []


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
