"""Patches of MindsDB, each named after what it corrects. Those of the task queue are in ``task_queue``.

All of them affect models and engines of this package alone: what belongs to other engines is passed to MindsDB
unchanged.
"""

from __future__ import annotations

import glob
import importlib
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mindsdb.integrations.libs import ml_exec_base, process_cache
from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.fs import RESOURCE_GROUP
from mindsdb.utilities import cache as host_cache
from mindsdb.utilities import log as host_log
from mindsdb.utilities.config import Config
from mindsdb.utilities.context import context as ctx
from mindsdb.utilities.functions import encrypt_json
from mindsdb.utilities.ml_task_queue.const import ML_TASK_TYPE
from sqlalchemy import event

from ..errors import MASK, HuggingFaceError
from . import joins
from .commands import run_here
from .keys import is_key, remember_key, sealed, without_keys, without_secrets
from .patching import is_patched, mark_patched, patch
from .settings import ENGINE, KEY_ARGUMENTS, queue_settings, secret_key
from .storage import SECRETS

#: MindsDB names an entry of its prediction cache ``model_id_sha256``.
_PREDICTION_KEY = re.compile(r"_(\d+)_[0-9a-f]{64}$")
#: A key in the text of a statement, whatever its quotes.
_KEY_IN_STATEMENT = re.compile(rf"(\b(?:{'|'.join(KEY_ARGUMENTS)})[`\"']?\s*[=:]\s*)(?:(['\"])[^'\"\s]*\2|\S+)", re.I)


def apply_patches() -> None:
    """Patch MindsDB in this process; a second call does nothing."""
    joins.on_and_where_are_passed_on(_is_ours)
    _keys_of_models_are_masked()
    _keys_of_engines_are_encrypted()
    _unquoted_keys_are_refused()
    _predictions_are_not_cached_by_mindsdb(host_cache.FileCache)
    _predictions_are_not_cached_by_mindsdb(host_cache.RedisCache)
    _cache_connections_are_shared()
    _errors_of_workers_have_no_traceback()
    _failed_transactions_are_rolled_back()
    _errors_of_create_have_no_path()
    _tokens_are_masked_in_logs()
    _dead_workers_are_replaced()
    _sessions_of_mysql_are_closed()
    if queue_settings().get("type") == "redis":
        from . import task_queue

        task_queue.apply_patches()


def _is_ours(session: Any, project: str, model: str) -> bool:
    """Return whether a model of a project belongs to this engine; takes two database statements."""
    found = session.datahub.get(project).project.get_model(model)
    return found is not None and found["metadata"]["engine"] == ENGINE


def patch_tasks(owner: Any) -> Callable[[Callable[..., Any]], None]:
    """Replace ``owner.apply_async``, which starts a task, for this engine; a task that is a command runs here.

    The decorated function gets the original and its arguments.
    """

    def replace(start: Callable[..., Any]) -> None:
        @patch(owner, "apply_async")
        def apply_async(
            original: Any, self: Any, task_type: Any, model_id: Any, payload: Any, dataframe: Any = None
        ) -> Any:
            engine = payload["handler_meta"]["engine"]
            if engine == ENGINE and task_type == ML_TASK_TYPE.PREDICT:
                dataframe = joins.catch_up(payload["args"]["predict_params"], dataframe)
            task = (task_type, model_id, payload, dataframe)
            _note_model(task_type, model_id, engine)
            if engine != ENGINE:
                return original(self, *task)
            done = run_here(*task)
            return start(original, self, *task) if done is None else done

    return replace


# --- keys ------------------------------------------------------------------------------------


def _keys_of_models_are_masked() -> None:
    """Mask a model's key before MindsDB creates its record, which is also the result of CREATE MODEL and RETRAIN.

    The worker receives the key itself.
    """
    for verb in ("learn", "finetune"):

        @patch(ml_exec_base.BaseMLEngineExec, verb)
        def run(original: Any, self: Any, *arguments: Any, **named: Any) -> Any:
            if self.engine == ENGINE:
                arguments = tuple(sealed(one) for one in arguments)
                named = {name: sealed(value) for name, value in named.items()}
            return original(self, *arguments, **named)


def _keys_of_engines_are_encrypted() -> None:
    """Write an engine's key encrypted, in the transaction that writes the engine.

    MindsDB commits the arguments of CREATE ML_ENGINE before it calls the handler, whose process takes seconds to start.
    A server that is killed in between would leave the key unencrypted.
    """
    if is_patched(db.Integration):
        return
    mark_patched(db.Integration)
    for name in ("before_insert", "before_update"):
        event.listen(db.Integration, name, _take_key_out)
    for name in ("after_insert", "after_update"):
        event.listen(db.Integration, name, _write_key)


def _take_key_out(_: Any, connection: Any, record: Any) -> None:
    if record.engine != ENGINE or not isinstance(record.data, Mapping):
        return
    keys = [str(value).strip() for name, value in record.data.items() if is_key(name, value)]
    for key in keys:
        remember_key(key)
    masked = without_secrets(record.data)
    if masked != record.data:
        record.data = masked
    record._huggingface_key = keys[0] if keys else None
    record._huggingface_is_new = record.id is None


def _write_key(_: Any, connection: Any, record: Any) -> None:
    if record.engine != ENGINE or not hasattr(record, "_huggingface_key"):
        return
    key, is_new = record._huggingface_key, record._huggingface_is_new
    del record._huggingface_key, record._huggingface_is_new
    if key is None and not is_new:
        return
    # MindsDB reuses IDs after DROP, which leaves the key of the dropped engine behind.
    table = db.JsonStorage.__table__
    entry = {
        "name": SECRETS,
        "resource_group": RESOURCE_GROUP.INTEGRATION,
        "resource_id": record.id,
        **{name: getattr(ctx, name) for name in ("company_id", "user_id") if name in table.c},
    }
    connection.execute(table.delete().where(*(table.c[name] == value for name, value in entry.items())))
    content = encrypt_json({"token": key, "uid": uuid.uuid4().hex}, secret_key())
    connection.execute(table.insert().values(**entry, encrypted_content=content))


def _unquoted_keys_are_refused() -> None:
    """Refuse a key without quotes: MindsDB turns an identifier into a string before it passes it on.

    The first statement imports this package while it runs, so that the statement is read from the caller's frame.
    """
    integrations = sys.modules.get("mindsdb.interfaces.database.integrations")
    if integrations is None:  # in workers
        return

    @patch(integrations.IntegrationController, "add")
    def add(
        original: Any, self: Any, name: str, engine: Any, connection_args: Any, *arguments: Any, **named: Any
    ) -> Any:
        if engine == ENGINE and isinstance(connection_args, dict):
            # The frames above this one: the wrapper that ``patch`` makes, then MindsDB's caller.
            written = getattr(sys._getframe(2).f_locals.get("statement"), "params", None) or {}
            unquoted = [one for one, value in written.items() if type(value).__name__ == "Identifier"]
            # The handler refuses a list as a key, in its own words.
            connection_args = {
                one: [value] if one in unquoted and is_key(one, value) else value
                for one, value in connection_args.items()
            }
        return original(self, name, engine, connection_args, *arguments, **named)


# --- MindsDB's cache -------------------------------------------------------------------------

#: Models of this engine for which this process has requested predictions. MindsDB caches a prediction right after that.
_our_models: set[int] = set()


def _note_model(task_type: Any, model_id: int, engine: str) -> None:
    """Note whether a model belongs to this engine when a prediction is requested; IDs are reused after DROP."""
    if task_type == ML_TASK_TYPE.PREDICT:
        (_our_models.add if engine == ENGINE else _our_models.discard)(model_id)


def _predictions_are_not_cached_by_mindsdb(kind: Any) -> None:
    """Keep predictions of this engine out of MindsDB's own cache.

    Its key is a hash of ``str(frame.values)``, which numpy shortens beyond 1,000 cells, and ignores the query's USING:
    a second table with the same first and last rows would get the predictions of the first one, and a real query those
    of a dry run. This package's own cache has exact keys.
    """

    @patch(kind, "set")
    def set_unless_ours(original: Any, self: Any, name: str, value: Any) -> Any:
        match = _PREDICTION_KEY.search(str(name))
        if match and int(match.group(1)) in _our_models:
            return None
        return original(self, name, value)


def _cache_connections_are_shared() -> None:
    """Share one set of connections per process to the Redis in which MindsDB caches predictions.

    MindsDB opens new ones for every prediction and leaves it to the garbage collector to close them.
    """
    clients: dict[tuple[int, str], Any] = {}

    @patch(host_cache.RedisCache, "__init__")
    def init(original: Any, self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)  # connects at first use, hence never
        if self.category != "predict":
            return
        settings = {
            name: value
            for name, value in self.client.connection_pool.connection_kwargs.items()
            if isinstance(value, (str, int, float, bool))
        }
        self.client = clients.setdefault((os.getpid(), repr(sorted(settings.items()))), self.client)


def purge_predictions(model_id: int) -> None:
    """Delete the entries of a model from MindsDB's prediction cache.

    MindsDB reuses IDs after DROP, and an entry may be older than the installation of this package.
    """
    kind = Config()["cache"]["type"]
    if kind == "none":
        return
    cache = host_cache.get_cache("predict")
    if isinstance(cache, host_cache.RedisCache):
        for raw in list(cache.client.hgetall(cache.category) or {}):
            key = raw.decode() if isinstance(raw, bytes) else str(raw)
            found = _PREDICTION_KEY.search(key)
            if found and int(found.group(1)) == model_id:
                cache.delete_key(key)
        return
    root = Path(Config()["paths"]["cache"]) / "predict"
    for path in glob.glob(str(root / "**" / f"*_{model_id}_{'?' * 64}"), recursive=True):
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


# --- error texts and logs --------------------------------------------------------------------


def _errors_of_workers_have_no_traceback() -> None:
    """Show our one-line messages without MindsDB's traceback: workers pass on ``MLProcessException.message``."""

    @patch(process_cache.MLProcessException, "__init__")
    def init(original: Any, self: Any, base_exception: Exception, message: str | None = None) -> None:
        original(self, base_exception, message)
        if isinstance(base_exception, HuggingFaceError):
            self.message = _fit_for_mysql(str(base_exception))
        elif isinstance(getattr(self, "message", None), str):
            self.message = without_keys(self.message)


def _failed_transactions_are_rolled_back() -> None:
    """Roll back a transaction that has failed in a worker, at the end of its task.

    If a model is dropped while it is created, MindsDB cannot write the model's status. It leaves its database session
    in that state, in which every later task of the worker fails.
    """

    @patch(process_cache, "warm_function")
    def warm_function(original: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return original(*arguments, **named)
        finally:
            if not db.session.is_active:
                db.session.rollback()


def _errors_of_create_have_no_path() -> None:
    """Show our one-line messages of a failed CREATE MODEL without the path of the server that MindsDB adds."""
    learn = importlib.import_module("mindsdb.integrations.libs.ml_handler_process.learn_process")

    @patch(learn, "format_exception_error")
    def format_exception_error(original: Any, exception: Exception) -> str:
        if isinstance(exception, HuggingFaceError):
            return _fit_for_mysql(str(exception))
        return without_keys(original(exception))


def _fit_for_mysql(text: str) -> str:
    """Return an error's text in a form that reaches MySQL clients in full.

    MindsDB's MySQL server counts the length of an error in characters and sends as many bytes: each character beyond
    ASCII costs the end of the text. Common ones are replaced; for others, appended blanks are cut off instead.
    """
    text = text.replace("…", "...").replace("–", "-").replace("→", "->")
    return text + " " * (len(text.encode("utf-8", "replace")) - len(text))


def _tokens_are_masked_in_logs() -> None:
    """Mask tokens in MindsDB's log: in messages, tracebacks and chained exceptions.

    MindsDB's own list of secret names lacks ours, and it examines messages alone. All engines share the log, so that
    nothing else is masked.
    """
    if is_patched(getattr(host_log.SanitizingMixin, "format", None)):
        return

    def format_without_keys(self: Any, record: logging.LogRecord) -> str:
        text = super(host_log.SanitizingMixin, self).format(record)
        if ENGINE in text:  # a key need not have the form of a token
            text = _KEY_IN_STATEMENT.sub(rf"\1{MASK}", text)
        return without_keys(text)

    mark_patched(format_without_keys)
    host_log.SanitizingMixin.format = format_without_keys


# --- processes and connections ---------------------------------------------------------------


def _dead_workers_are_replaced() -> None:
    """Start a new worker in place of one that was killed.

    MindsDB continues to send calls to the broken pool: without this patch, one worker that the system kills, for
    example for its memory, makes the engine unusable until the server is restarted.
    """

    @patch_tasks(process_cache.ProcessCache)
    def apply_async(original: Any, self: Any, task_type: Any, model_id: Any, payload: Any, dataframe: Any) -> Any:
        entry = self.cache.get(ENGINE)
        if entry is not None:
            with self._lock:
                entry["processes"] = [one for one in entry["processes"] if not getattr(one.pool, "_broken", False)]
        return original(self, task_type, model_id, payload, dataframe)


def _sessions_of_mysql_are_closed() -> None:
    """Close the database session of MindsDB's MySQL server when a client disconnects, as its HTTP server does.

    About one in six remained open, in a transaction, until PostgreSQL accepted no more connections.
    """
    proxy = sys.modules.get("mindsdb.api.mysql.mysql_proxy.mysql_proxy")
    if proxy is None:
        return

    @patch(proxy.MysqlProxy, "handle")
    def handle(original: Any, self: Any) -> None:
        try:
            original(self)
        finally:
            db.session.remove()
