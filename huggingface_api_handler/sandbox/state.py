"""What all routes of one sandbox share."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request

from .faults import Behaviour, Faults, FaultsLike
from .hub import Catalogue
from .record import Log, Record, fingerprint_of_header

BAD_TOKEN = "Invalid credentials in Authorization header"
NO_TOKEN = "Invalid username or password."
MAX_SESSION_ID = 256


class State:
    """Models, requests, tokens and settings. Everything but ``log`` belongs to the server's event loop."""

    def __init__(self, faults: FaultsLike, bad_tokens: Iterable[str], private: Iterable[str], gated: Iterable[str]):
        self.catalogue = Catalogue(tuple(private), tuple(gated))
        self.log = Log()
        self.bad_tokens = frozenset(bad_tokens)
        self.behaviour = Behaviour(Faults.of(faults))

    def refuses(self, request: Request) -> bool:
        """Tell whether a request has a token that is not valid. A request without a token is not refused here."""
        header = request.headers.get("authorization")
        if header is None:
            return False
        scheme, _, token = header.partition(" ")
        return scheme.lower() != "bearer" or not token.startswith("hf_") or token in self.bad_tokens

    def record(self, request: Request, *, model: str = "", status: int = 200) -> Record:
        """Log a request and return its record, which the answer completes."""
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        record = Record(
            request.method,
            request.url.path,
            headers,
            fingerprint_of_header(request.headers.get("authorization")),
            model=model,
            status=status,
            session=headers.get("x-hf-session-id"),
            bill_to=headers.get("x-hf-bill-to"),
        )
        self.log.add(record)
        return record
