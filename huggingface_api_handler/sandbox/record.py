"""What was sent to the sandbox and what it cost: tests compare with it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Mapping
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
        inputs: the body's ``inputs``, or the whole body if it has none; for a file its media type and size.
        items: inputs of the request; 0 if it was not for inference.
        status: of the answer; 0 if there was none.
        fault: kind of the rule that happened to it; ``rate`` if it exceeded the rate limit.
        is_inference: whether it was sent to a route of a model.
        at: seconds since the epoch when it was read.
        provider: the Inference Provider that answered it; empty at a server of one's own.
        session, bill_to: its headers ``X-HF-Session-id`` and ``X-HF-Bill-To``.
        input_tokens, output_tokens: of a chat that was answered.
        compute_seconds: of a request that hf-inference answered.
        cost: USD; ``None`` if the provider publishes no price. Only answers below 400 cost anything.
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
    provider: str = ""
    session: str | None = None
    bill_to: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    compute_seconds: float = 0.0
    cost: float | None = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Usage:
    """What was asked of one model and answered.

    Attributes:
        requests: requests that were answered with a status below 400.
        items: their inputs.
        cost: USD; requests without a known price count 0.
    """

    requests: int = 0
    items: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    compute_seconds: float = 0.0
    cost: float = 0.0

    def add(self, record: Record) -> None:
        self.requests += 1
        self.items += record.items
        self.input_tokens += record.input_tokens
        self.output_tokens += record.output_tokens
        self.compute_seconds = round(self.compute_seconds + record.compute_seconds, 6)
        self.cost = round(self.cost + (record.cost or 0.0), 12)


def usage_by_model(records: Iterable[Record]) -> dict[str, Usage]:
    """Return model → what was asked of it and answered."""
    found: dict[str, Usage] = {}
    for record in records:
        if record.is_inference and 0 < record.status < 400:
            found.setdefault(record.model, Usage()).add(record)
    return found


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
