"""The bill: what the requests of each session cost, by calendar month."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

from .record import Record


def parse_time(text: str) -> datetime | None:
    """Return an ISO 8601 time with a time zone; ``None`` if ``text`` is none."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def bill(
    records: Iterable[Record], token: str | None, organisation: str | None, within: tuple[datetime, datetime]
) -> Any:
    """Return the bill of a user or of an organisation, in the Hub's form.

    Args:
        token: fingerprint of the user's token; the user's bill holds the requests that came with it.
        organisation: the one billed, by ``X-HF-Bill-To``; ``None`` for the user.
        within: start and end; months that begin between them are on the bill.
    """
    periods: dict[datetime, dict[str, list[float]]] = {}
    for record in records:
        is_theirs = record.bill_to == organisation and (organisation is not None or record.token == token)
        if not (is_theirs and record.session and record.provider and 0 < record.status < 400):
            continue
        month = datetime.fromtimestamp(record.at, timezone.utc).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        if within[0] <= month < within[1]:
            periods.setdefault(month, {}).setdefault(str(record.session), []).append(record.cost or 0.0)
    return {
        "currency": "USD",
        "periods": [
            {
                "period": month.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "sessions": [
                    {"id": session, "requestCount": len(costs), "costCents": round(100 * sum(costs), 9)}
                    for session, costs in sessions.items()
                ],
            }
            for month, sessions in sorted(periods.items())
        ],
    }
