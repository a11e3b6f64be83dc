"""What MindsDB's database says about a running query: whether its model and its statement still exist.

MindsDB tells a handler neither that a model is dropped nor that a statement is cancelled: it deletes their records.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.fs import RESOURCE_GROUP
from mindsdb.utilities.context import context as ctx
from sqlalchemy.orm import Session

from ..errors import Stopped
from ..query.stopping import Statement
from .patches import MODEL


def statement_of(model_id: int, uid: str, using: Mapping[str, Any]) -> Statement:
    """Return what a query belongs to.

    Args:
        model_id: MindsDB's ID of the model, which it uses again after DROP.
        uid: the unique name of the model.
        using: the query's USING. A partitioned statement has ``batch_size`` there; without it, MindsDB's context may
            name a statement that has ended.
    """
    number = getattr(ctx, "run_query_id", None) if "batch_size" in using else None
    if number is None:
        return Statement(gone=partial(_gone, model_id, uid))
    started = _started(number)
    return Statement(
        whole=f"statement {number} {started}",
        gone=lambda: _gone(model_id, uid) or _cancelled(number, started),
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


def _started(number: int) -> Any:
    """Return when a partitioned statement started; ``None``: it was cancelled."""
    with Session(db.engine) as session:
        found = session.query(db.Queries.started_at).filter_by(id=number).first()
    return found[0] if found is not None else None


def _cancelled(number: int, started: Any) -> Stopped | None:
    now = _started(number)
    if now is not None and now == started:
        return None
    return Stopped("the statement was cancelled with query_cancel", advice="Run it again to resume it")
