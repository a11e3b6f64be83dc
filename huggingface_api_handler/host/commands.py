"""Runs commands, such as ``USING stop = true``, in the server's own process.

A worker process takes seconds to start, and a consumer of the task queue takes none while it has all the tasks that it
may have: a query that blocks them could not be stopped.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from mindsdb.integrations.libs.process_cache import MLProcessException
from mindsdb.interfaces.storage.model_fs import HandlerStorage, ModelStorage
from mindsdb.utilities.ml_task_queue.const import ML_TASK_TYPE

from ..arguments.coercion import truth
from ..arguments.specs import COMMANDS

_NAMES = frozenset(spec.name for spec in COMMANDS)


def run_here(task_type: Any, model_id: int, payload: Mapping[str, Any], dataframe: Any) -> Future[Any] | None:
    """Run a command for a model of this engine.

    Args:
        task_type, model_id, payload, dataframe: what MindsDB hands to a worker.

    Returns:
        what has come of it; ``None`` for anything but a command.
    """
    if task_type != ML_TASK_TYPE.PREDICT or not _is_command(payload["args"]):
        return None
    done: Future[Any] = Future()
    try:
        meta = payload["handler_meta"]
        handler = importlib.import_module(meta["module_path"]).Handler(
            model_storage=ModelStorage(model_id), engine_storage=HandlerStorage(meta["integration_id"])
        )
        done.set_result(handler.command(dataframe, payload["args"]))
    except Exception as error:
        done.set_exception(MLProcessException(error))
    return done


def _is_command(args: Mapping[str, Any]) -> bool:
    using = args.get("predict_params") or {}
    return any(
        truth(value) and str(name).rpartition(".")[2].strip("`").lower() in _NAMES for name, value in using.items()
    )
