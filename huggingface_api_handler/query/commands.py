"""What a SELECT does instead of asking the model: ``USING stop = true``, ``USING clear_cache = true``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from ..cache import Cache, NoCache
from ..cache.runs import RUNNING
from ..errors import SettingsError, Unavailable
from .caller import Caller
from .frame import PredictionFrame
from .pipeline import Prediction
from .store import answers_deleted, stops_requested


def run_command(name: str, prediction: Prediction, frame: pd.DataFrame) -> pd.DataFrame:
    """Run a command of ``arguments.specs.COMMANDS``.

    Returns:
        the prediction columns, as a query would have them, in one row for the first of ``frame``: the target says what
        was done.

    Raises:
        SettingsError: the query is a dry run; or MindsDB's cache, where the workers find each other, is off, and
            ``name`` is ``stop``.
        Unavailable: it cannot be reached.
    """
    if prediction.model.execution.dry_run:
        raise SettingsError(f"{name} and dry_run are mutually exclusive", advice="Write only one of them")
    done = _COMMANDS[name](prediction.store, prediction.caller)
    columns = PredictionFrame(prediction.model, prediction.caller).columns
    row = {**dict.fromkeys(columns), prediction.caller.target: done}
    return pd.DataFrame([row], index=frame.index[:1], dtype=object)


def _stop(store: Cache, caller: Caller) -> str:
    if isinstance(store, NoCache):
        raise SettingsError(
            "MindsDB's cache is off, so the running queries of other workers are not known",
            advice=f"DROP MODEL {caller.name} stops them",
        )
    runs = [run.run for scope in _scopes(store, caller) for run in store.runs(scope) if run.state == RUNNING]
    if not store.request_stop(runs):
        raise Unavailable(
            "the request to stop could not be stored, because MindsDB's cache cannot be reached",
            advice=f"Try again; DROP MODEL {caller.name} stops its queries without the cache",
        )
    return stops_requested(len(runs))


def _clear_cache(store: Cache, caller: Caller) -> str:
    deleted = store.clear(_scopes(store, caller))
    if deleted is None:
        raise Unavailable(
            "not all stored answers of this model could be deleted, because MindsDB's cache cannot be reached",
            advice="Try again",
        )
    return answers_deleted(deleted)


def _scopes(store: Cache, caller: Caller) -> set[str]:
    """Return the scopes of this model and of earlier ones of its name: before RETRAIN, or DROP and CREATE."""
    return {caller.scope, *(scope for scope, owner in store.owners().items() if owner == caller.owner)}


_COMMANDS: Mapping[str, Callable[[Cache, Caller], str]] = {"stop": _stop, "clear_cache": _clear_cache}
