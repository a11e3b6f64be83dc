"""Reading a response's body: limited, decompressed piece by piece, within the memory limit."""

from __future__ import annotations

import http.client
import re
import zlib
from collections.abc import Mapping
from typing import Any

import urllib3.exceptions

from ..errors import HuggingFaceError, InvalidAnswer, PayloadTooLarge
from .framing import bad_framing
from .memory_limit import MEMORY
from .sockets import seconds_left
from .url_policy import Purpose

#: Bytes that are read from the connection at a time.
_CHUNK = 65536
#: Bytes that are decompressed at a time.
_PIECE = 2**20
#: The first byte of each of gzip's members.
_GZIP = b"\x1f"
#: Names in Content-Encoding that compress nothing. Amazon's tools store theirs with the file, and servers send it on.
_NO_COMPRESSION = frozenset({"identity", "none", "binary", "8bit", "chunked", "aws-chunked"})
#: Which bytes of a body are sent, and how many it has.
_RANGE = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})")


def read_body(raw: Any, headers: Mapping[str, str], most: int, purpose: Purpose, deadline: float) -> bytes:
    """Return the body of the response ``raw``, decompressed.

    Args:
        headers: with lower-case names.
        most: its longest length.

    Raises:
        InvalidAnswer: it is longer (of media: ``PayloadTooLarge``), cannot be decompressed, or is only a part.
        TimeoutError: there was no memory for it in time.
    """
    if raw.status == 206 and not _is_whole(headers):
        raise bad_framing("only a part of its response (status 206)")
    decompressor = _decompressor(headers)
    if decompressor is None:
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit():
            if int(length) > most:
                raise _too_large(most, purpose)
            MEMORY.acquire(int(length), seconds_left(deadline))
            # The common case; http.client notices if fewer bytes come.
            return bytes(raw.read(decode_content=False))
    body = bytearray()
    while chunk := raw.read(_CHUNK, decode_content=False):
        _append(body, chunk, decompressor, most, deadline)
        if len(body) > most:
            raise _too_large(most, purpose)
    if decompressor is not None and not decompressor.has_ended:
        raise InvalidAnswer("the service's compressed response was cut off", retryable=True, divisible=False)
    return bytes(body)


def _is_whole(headers: Mapping[str, str]) -> bool:
    """Return whether a "partial" response holds all of the body, as far as its headers say."""
    given = headers.get("content-range")
    if given is None:
        return not headers.get("content-type", "").lower().startswith("multipart/byteranges")
    found = _RANGE.fullmatch(given.strip())
    return found is not None and int(found[1]) + 1 == int(found[2])


def read_beginning(raw: Any, headers: Mapping[str, str], most: int, deadline: float) -> bytes:
    """Return at most ``most`` bytes of the body of a failing response.

    Fewer if it breaks off, or cannot be decompressed: the status says enough.
    """
    body = bytearray()
    try:
        decompressor = _decompressor(headers)
        while len(body) <= most and (chunk := raw.read(_CHUNK, decode_content=False)):
            _append(body, chunk, decompressor, most, deadline)
    except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, HuggingFaceError):
        raw.close()
    if len(body) > most:
        raw.close()
    return bytes(body[:most])


def _append(body: bytearray, chunk: bytes, decompressor: Decompressor | None, most: int, deadline: float) -> None:
    """Add what ``chunk`` holds to ``body``, until that is longer than ``most``."""
    while chunk and len(body) <= most:
        piece, chunk = (chunk, b"") if decompressor is None else decompressor.decompress(chunk)
        body += piece
        MEMORY.acquire(len(body), seconds_left(deadline))


def _decompressor(headers: Mapping[str, str]) -> Decompressor | None:
    names = re.split(r"[\s,]+", headers.get("content-encoding", "").lower())
    encoding = ", ".join(one for one in names if one and one not in _NO_COMPRESSION and not _is_charset(one))
    if not encoding:
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Decompressor()
    # Named only if it looks like a name: a server may repeat there what it was sent.
    how = f" as '{encoding}'" if re.fullmatch(r"[a-z]{1,8}", encoding) else ""
    raise InvalidAnswer(f"the service compressed its response{how}, which was not requested")


def _is_charset(encoding: str) -> bool:
    """Return whether ``encoding`` names a character set, which some servers write there: nothing is compressed."""
    try:
        b"a".decode(encoding)
    except (LookupError, ValueError):
        return False
    return True


class Decompressor:
    """Decompresses a body piece by piece: zlib's format, or gzip's of one or more members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its head
        self._is_gzip = False
        self._has_begun = False

    @property
    def has_ended(self) -> bool:
        """Whether all that has begun has ended."""
        return self._member.eof

    def decompress(self, data: bytes) -> tuple[bytes, bytes]:
        """Return some of what is in ``data``, and the rest of ``data``.

        Raises:
            InvalidAnswer: it cannot be decompressed.
        """
        if not self._has_begun:
            self._has_begun, self._is_gzip = True, data[:1] == _GZIP
        if self._member.eof:
            # Another member; anything else, such as padding, is no part of the body.
            if not self._is_gzip or data[:1] != _GZIP:
                self._is_gzip = False
                return b"", b""
            self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            piece = self._member.decompress(data, _PIECE)
        except zlib.error as error:
            raise InvalidAnswer(
                "the service's compressed response cannot be decompressed", retryable=True, divisible=False
            ) from error
        return piece, self._member.unused_data if self._member.eof else self._member.unconsumed_tail


def _too_large(most: int, purpose: Purpose) -> HuggingFaceError:
    if purpose == "media":
        return PayloadTooLarge(f"the file at the URL is larger than {most} bytes", divisible=False)
    return InvalidAnswer(f"the service's response is larger than {most} bytes", advice="Ask for a shorter answer")
