"""What MindsDB's database says about a running query: whether its model and its statement still exist.

MindsDB tells a handler neither that a model is dropped nor that a statement is cancelled: it deletes their records.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.fs import RESOURCE_GROUP
from mindsdb.utilities.context import context as ctx
from sqlalchemy.orm import Session

from ..errors import Stopped
from ..query.stopping import Statement
from .storage import MODEL


def statement_of(model_id: int, uid: str) -> Statement:
    """Return what a query belongs to.

    MindsDB's context names the partitioned statement that runs, and still names it after it has failed.

    Args:
        model_id: MindsDB's ID of the model, which it uses again after DROP.
        uid: the unique name of the model.
    """
    number = getattr(ctx, "run_query_id", None)
    found = _statement(number) if number is not None else None
    if number is None or (found is not None and not found.is_running):
        return Statement(gone=partial(_gone, model_id, uid))
    names = (f"statement {number}",)
    if found is None:  # cancelled, now or long ago
        return Statement(names, partial(_gone, model_id, uid))
    return Statement(
        (f"statement {number} {found.started}", *names),
        lambda: _gone(model_id, uid) or _cancelled(number, found),
    )


def _gone(model_id: int, uid: str) -> Stopped | None:
    with Session(db.engine) as session:
        model = session.query(db.Predictor.deleted_at).filter_by(id=model_id).first()
        content = (
            session.query(db.JsonStorage.content)
            .filter_by(name=MODEL, resource_group=RESOURCE_GROUP.PREDICTOR, resource_id=model_id)
            .first()
        )
    if model is not None and model[0] is None and content is not None and content[0].get("uid") == uid:
        return None
    return Stopped(
        "the model was dropped while the query was running", advice="Create it again, then run the query to resume it"
    )


@dataclass(frozen=True)
class _Partitioned:
    """A partitioned statement, as MindsDB records it."""

    started: Any
    is_running: bool


def _statement(number: int) -> _Partitioned | None:
    """Return a partitioned statement; ``None``: it was cancelled."""
    columns = (db.Queries.started_at, db.Queries.finished_at, db.Queries.error)
    with Session(db.engine) as session:
        found = session.query(*columns).filter_by(id=number).first()
    if found is None:
        return None
    started, finished, error = found
    return _Partitioned(started, finished is None and error is None)


def _cancelled(number: int, known: _Partitioned) -> Stopped | None:
    now = _statement(number)
    if now is not None and now.started == known.started:
        return None
    return Stopped("the statement was cancelled with query_cancel", advice="Run it again to resume it")
