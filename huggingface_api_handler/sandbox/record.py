"""What was sent to the sandbox, so that a test can count it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


def fingerprint(token: str) -> str:
    """Return what stands in a record for a token: enough to tell two apart, no more."""
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()[:16]


def fingerprint_of_header(authorization: str | None) -> str | None:
    """Return the fingerprint of what an Authorization header holds, ``None`` without the header."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    return fingerprint(token if scheme.lower() == "bearer" else authorization)


@dataclass
class Record:
    """One request.

    Attributes:
        token: see ``fingerprint``; ``None`` without one.
        inputs: the body's ``inputs``, or the whole body where there are none; of a medium its media type and size.
        items: how many inputs the request held; 0 where it was not for inference.
        status: of the answer; 0 where there was none.
        fault: kind of the rule that happened to it, ``rate`` where it came too fast.
        is_inference: whether it was sent to a route of a model.
        at: seconds since the epoch when it was read.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    token: str | None = None
    model: str = ""
    task: str = ""
    inputs: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    items: int = 0
    status: int = 0
    fault: str = ""
    is_inference: bool = False
    at: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Log:
    """All records since they were last cleared; safe to read while the server writes."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._lock = threading.Lock()

    def add(self, record: Record) -> None:
        with self._lock:
            self._records.append(record)

    def all(self) -> list[Record]:
        with self._lock:
            return list(self._records)

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
