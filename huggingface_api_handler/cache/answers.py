"""The format of stored answers, and the answers that wait to be written."""

from __future__ import annotations

import logging
import struct
import threading
import zlib
from collections.abc import Iterable, Mapping
from hashlib import blake2b

log = logging.getLogger(__name__)

#: Starts a value of this version: mark, time of writing, scope, checksum; the answer follows. Values of the versions
#: before are the answer alone, which is JSON and so never starts with this mark.
MARK = b"\x01hf1"
_HEADER = struct.Struct(">4sI8sI")
HEADER_SIZE = _HEADER.size
#: Positions of the time and the scope in the header.
TIME_START, TIME_SIZE = 4, 4
SCOPE_START, SCOPE_SIZE = 8, 8

#: Maximum bytes of answers that wait for a cache that cannot be written to; the oldest are dropped first.
PENDING_BYTES = 64 * 1024**2
#: Bytes of memory that an answer takes in addition to its key and its value.
OVERHEAD = 200


def scope_id(scope: str) -> bytes:
    """Name a scope in the header of its answers."""
    return blake2b(scope.encode(), digest_size=SCOPE_SIZE).digest() if scope else bytes(SCOPE_SIZE)


def seal(key: str, answer: bytes, scope: bytes, now: int) -> bytes:
    """Return ``answer`` as it is stored under ``key``.

    Args:
        scope: by ``scope_id``.
        now: whole seconds since 1970.
    """
    return _HEADER.pack(MARK, now, scope, _checksum(key, now, scope, answer)) + answer


def read_header(stored: bytes) -> tuple[bytes, int]:
    """Return by ``scope_id`` whose a stored answer is, and when it was written; versions before say neither."""
    if not stored.startswith(MARK) or len(stored) < HEADER_SIZE:
        return bytes(SCOPE_SIZE), 0
    _, written, scope, _ = _HEADER.unpack_from(stored)
    return scope, written


def unseal(key: str, stored: object) -> bytes | None:
    """Return the answer that is stored under ``key``; ``None`` if any of it has changed."""
    if not isinstance(stored, bytes):  # written by another program
        return None
    if not stored.startswith(MARK):
        return stored
    if len(stored) < HEADER_SIZE:
        return None
    _, written, scope, checksum = _HEADER.unpack_from(stored)
    answer = stored[HEADER_SIZE:]
    return answer if checksum == _checksum(key, written, scope, answer) else None


def unseal_many(stored: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the intact answers of ``stored``, by key."""
    answers: dict[str, bytes] = {}
    for key, value in stored.items():
        answer = unseal(key, value)
        if answer is not None:
            answers[key] = answer
    if len(answers) < len(stored):
        log.warning("%d of %d cached answers are damaged: they are ignored", len(stored) - len(answers), len(stored))
    return answers


def _checksum(key: str, now: int, scope: bytes, answer: bytes) -> int:
    # It includes the key, so that an answer under another key is noticed as well.
    return zlib.crc32(answer, zlib.crc32(b"%d " % now + scope + key.encode()))


class PendingAnswers:
    """Sealed answers on their way into a cache, by key: (value, when it expires in seconds since 1970)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[bytes, float]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, values: Mapping[str, tuple[bytes, float]]) -> None:
        """Add ``values``; they replace older ones with the same keys."""
        with self._lock:
            for key, entry in values.items():
                if key in self._waiting:
                    self._drop(key)
                self._waiting[key] = entry
                self._bytes += _size(key, entry)

    def take(self) -> dict[str, tuple[bytes, float]]:
        """Remove and return all, in order to write them."""
        with self._lock:
            taken, self._waiting, self._bytes = self._waiting, {}, 0
            return taken

    def give_back(self, taken: Mapping[str, tuple[bytes, float]]) -> None:
        """Add what could not be written again, before what was added since."""
        since = self.take()
        self.add(taken)
        self.add(since)
        self.trim()

    def trim(self) -> None:
        """Drop the oldest answers beyond ``PENDING_BYTES``."""
        with self._lock:
            while self._bytes > PENDING_BYTES:
                self._drop(next(iter(self._waiting)))

    def get_many(self, keys: Iterable[str], now: float) -> dict[str, bytes]:
        """Return the values of those ``keys`` that wait and have not expired."""
        if not self._waiting:
            return {}
        with self._lock:
            found = {key: self._waiting[key] for key in keys if key in self._waiting}
        return {key: value for key, (value, expires) in found.items() if expires > now}

    def _drop(self, key: str) -> None:
        self._bytes -= _size(key, self._waiting.pop(key))


def _size(key: str, entry: tuple[bytes, float]) -> int:
    return len(key) + len(entry[0]) + OVERHEAD
