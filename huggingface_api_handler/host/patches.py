"""What we need of MindsDB, and what we mend in it.

Each mend stands beside its reason. All of them concern models and engines of this handler
alone; what belongs to others passes through untouched.
"""

from __future__ import annotations

import functools
import glob
import importlib
import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mindsdb.integrations.libs import process_cache
from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.model_fs import HandlerStorage, ModelStorage
from mindsdb.utilities import cache as host_cache
from mindsdb.utilities import log as host_log
from mindsdb.utilities.config import Config
from mindsdb.utilities.context import context as ctx
from mindsdb.utilities.ml_task_queue.const import ML_TASK_TYPE
from sqlalchemy import text
from sqlalchemy.orm.attributes import flag_modified

from ..errors import MASK, HuggingFaceError, SettingsError, hide_tokens
from ..net.redaction import MIN_LENGTH, encodings

ENGINE = "huggingface_api"
SECRETS = "huggingface_api_secrets"
MODEL = "huggingface_api_model"

#: Arguments that hold a token, at an engine and at a model.
KEY_ARGUMENTS = ("api_key", "huggingface_api_api_key")

#: MindsDB names an entry of its prediction cache ``model_id_sha256``.
_PREDICTION_KEY = re.compile(r"_(\d+)_[0-9a-f]{64}$")


# --- mends -----------------------------------------------------------------------------------


def protect() -> None:
    """Mend MindsDB in this process; a second call does nothing."""
    from . import joins, keys

    keys.protect()
    joins.protect(_is_ours)
    _keep_out_of_prediction_cache(host_cache.FileCache)
    _keep_out_of_prediction_cache(host_cache.RedisCache)
    _share_cache_connections()
    _keep_error_texts_clean()
    _keep_tokens_out_of_logs()
    _replace_dead_workers()
    _let_go_of_sessions()
    _keep_queue_whole()


def _is_ours(session: Any, project: str, model: str) -> bool:
    """Whether a model of a project belongs to this engine; takes two database statements."""
    found = session.datahub.get(project).project.get_model(model)
    return found is not None and found["metadata"]["engine"] == ENGINE


def _mended(original: Callable[..., Any] | None) -> bool:
    return getattr(original, "_huggingface_api", False)


def _mark(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    wrapped._huggingface_api = True  # type: ignore[attr-defined]
    return wrapped


#: Models of this engine that this process has asked for predictions. MindsDB caches a prediction right after that.
_our_models: set[int] = set()


def note_model(task_type: Any, model_id: int, engine: str) -> None:
    """Remember whose model is asked for a prediction; ids are used again after DROP."""
    if task_type == ML_TASK_TYPE.PREDICT:
        (_our_models.add if engine == ENGINE else _our_models.discard)(model_id)


def _keep_out_of_prediction_cache(kind: Any) -> None:
    """Let no prediction of ours be stored in MindsDB's own cache.

    Its key is a hash of ``str(frame.values)``, which numpy shortens beyond 1,000 cells, and it
    leaves out the query's USING: a second table with the same first and last rows would be
    given the first one's predictions, and a real query a dry run's. Our own cache does not err.
    """
    original = kind.set
    if _mended(original):
        return

    @functools.wraps(original)
    def set_unless_ours(self: Any, name: str, value: Any) -> Any:
        match = _PREDICTION_KEY.search(str(name))
        if match and int(match.group(1)) in _our_models:
            return None
        return original(self, name, value)

    kind.set = _mark(set_unless_ours)


def _share_cache_connections() -> None:
    """Have a process keep one set of connections to the Redis that MindsDB caches predictions in.

    MindsDB opens new ones for every prediction, and leaves it to the garbage collector to close them.
    """
    original = host_cache.RedisCache.__init__
    if _mended(original):
        return
    clients: dict[tuple[int, str], Any] = {}

    @functools.wraps(original)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)  # connects when it is first used, and so never
        if self.category != "predict":
            return
        plain = {
            name: value
            for name, value in self.client.connection_pool.connection_kwargs.items()
            if isinstance(value, (str, int, float, bool))
        }
        at = (os.getpid(), repr(sorted(plain.items())))
        self.client = clients.setdefault(at, self.client)

    host_cache.RedisCache.__init__ = _mark(init)


def _keep_error_texts_clean() -> None:
    """Give users our one-line messages without the traceback that MindsDB adds.

    The text of an exception crosses from the worker as ``MLProcessException.message``; that of
    a failed CREATE MODEL goes through ``format_exception_error``, which adds a path of the server.
    """
    original_init = process_cache.MLProcessException.__init__
    if not _mended(original_init):

        @functools.wraps(original_init)
        def init(self: Any, base_exception: Exception, message: str | None = None) -> None:
            original_init(self, base_exception, message)
            if isinstance(base_exception, HuggingFaceError):
                self.message = _carried(str(base_exception))
            elif isinstance(getattr(self, "message", None), str):
                self.message = without_keys(self.message)

        process_cache.MLProcessException.__init__ = _mark(init)

    learn = importlib.import_module("mindsdb.integrations.libs.ml_handler_process.learn_process")
    original_format = learn.format_exception_error
    if not _mended(original_format):

        @functools.wraps(original_format)
        def format_exception_error(exception: Exception) -> str:
            if isinstance(exception, HuggingFaceError):
                return _carried(str(exception))
            return without_keys(original_format(exception))

        learn.format_exception_error = _mark(format_exception_error)  # type: ignore[attr-defined]


def _carried(text: str) -> str:
    """Return an error's text so that all of it arrives.

    MindsDB's MySQL server counts an error's length in characters and sends that many bytes: every
    character beyond ASCII costs the end of the text. Ours are written plainly; for those of the
    user's data blanks are put at the end, to be lost in place of the advice.
    """
    text = text.replace("…", "...").replace("–", "-").replace("→", "->")
    return text + " " * (len(text.encode("utf-8", "replace")) - len(text))


#: Keys that this process has seen, which need not look like tokens.
_known_keys: set[str] = set()


def remember_key(key: Any) -> None:
    """Have a key masked in this process's logs and error texts; a short one may occur in them by chance."""
    if isinstance(key, str) and len(key) >= MIN_LENGTH and len(_known_keys) < 1000:
        _known_keys.add(key)


def without_keys(text: str) -> str:
    """Return ``text`` without known keys and strings of the form of a token; all else stays as it is."""
    return hide_tokens(text, *(text for key in tuple(_known_keys) for text in encodings(key)))


def _keep_tokens_out_of_logs() -> None:
    """Mask keys in MindsDB's log: in messages, tracebacks and the exceptions that they chain.

    MindsDB's own list of secret names lacks ours, and it looks into messages alone. Logs are everybody's, so
    nothing but tokens is masked.
    """
    if _mended(getattr(host_log.SanitizingMixin, "format", None)):
        return

    def format_without_keys(self: Any, record: logging.LogRecord) -> str:
        return without_keys(super(host_log.SanitizingMixin, self).format(record))

    host_log.SanitizingMixin.format = _mark(format_without_keys)


def _replace_dead_workers() -> None:
    """Let MindsDB start a new worker in the place of one that was killed.

    It goes on handing calls to the dead one's broken pool: without this a single worker that the
    system kills, for its memory say, ends the engine's use until the server is restarted.
    """
    original = process_cache.ProcessCache.apply_async
    if _mended(original):
        return

    @functools.wraps(original)
    def apply_async(self: Any, task_type: Any, model_id: Any, payload: Any, dataframe: Any = None) -> Any:
        engine = payload["handler_meta"]["engine"]
        note_model(task_type, model_id, engine)
        if engine == ENGINE and (done := run_command_here(task_type, model_id, payload, dataframe)) is not None:
            return done
        entry = self.cache.get(ENGINE) if engine == ENGINE else None
        if entry is not None:
            with self._lock:
                entry["processes"] = [one for one in entry["processes"] if not getattr(one.pool, "_broken", False)]
        return original(self, task_type, model_id, payload, dataframe)

    process_cache.ProcessCache.apply_async = _mark(apply_async)


def run_command_here(task_type: Any, model_id: int, payload: Mapping[str, Any], dataframe: Any) -> Future[Any] | None:
    """Return what has come of a call that needs no worker; ``None``: it needs one."""
    from .commands import run_here

    return run_here(task_type, model_id, payload, dataframe)


def _let_go_of_sessions() -> None:
    """Have MindsDB's MySQL server give back its database connection when a client goes, as its HTTP server does.

    One in six or so stayed open, in a transaction, until PostgreSQL would take no more.
    """
    proxy = sys.modules.get("mindsdb.api.mysql.mysql_proxy.mysql_proxy")
    if proxy is None or _mended(proxy.MysqlProxy.handle):
        return
    original = proxy.MysqlProxy.handle

    @functools.wraps(original)
    def handle(self: Any) -> None:
        try:
            original(self)
        finally:
            db.session.remove()

    proxy.MysqlProxy.handle = _mark(handle)


def _keep_queue_whole() -> None:
    """Mend the queue too where there is one, and this is no worker: workers put nothing into it."""
    if queue_settings().get("type") == "redis":
        from . import task_queue

        task_queue.protect()


def end_with_parent(look: float = 1.0, grace: float = 60.0) -> None:
    """End this worker when the process that it works for is gone; a second call does nothing.

    A pool's worker waits for its parent for ever, though nobody reads its answers any more. It sends
    nothing further then; what is on its way is waited for, up to ``grace`` seconds, and kept.

    Args:
        look: seconds between two looks.
    """
    global _watched
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None or _watched == os.getpid() or os.getppid() != parent.pid:
        return
    _watched = os.getpid()
    expected, worker = parent.pid, threading.main_thread().ident

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(look)
        until = time.monotonic() + grace
        if _working.is_set() and worker is not None:
            signal.pthread_kill(worker, signal.SIGINT)
        while _working.is_set() and time.monotonic() < until:
            time.sleep(0.05)
        os._exit(1)

    threading.Thread(target=watch, name="huggingface-parent", daemon=True).start()


@contextmanager
def at_work() -> Iterator[None]:
    """Say for as long as the block runs that this process is at work, as ``end_with_parent`` asks."""
    _working.set()
    try:
        yield
    finally:
        _working.clear()


_working = threading.Event()
_watched = 0


def forget_predictions(model_id: int) -> None:
    """Drop what MindsDB's prediction cache holds under ``model_id``.

    Ids are used again after DROP, and an entry may be older than our installation.
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


# --- what MindsDB says -----------------------------------------------------------------------


@dataclass(frozen=True)
class CacheSettings:
    """Where MindsDB caches: ``local`` with a folder, ``redis`` with connection arguments, ``none``."""

    type: str
    folder: Path
    connection: Mapping[str, Any]


def cache_settings() -> CacheSettings:
    """Return MindsDB's own cache setting, which ours follows."""
    config = Config()
    settings = config["cache"]
    return CacheSettings(
        type=str(settings.get("type", "local")),
        folder=Path(config["paths"]["cache"]) / ENGINE,
        connection=dict(settings.get("connection") or {}),
    )


def queue_settings() -> Mapping[str, Any]:
    """Return the settings of MindsDB's task queue: ``type`` (``local``, ``redis``), ``host``, ``port``, ``db``…"""
    return dict(Config().get("ml_task_queue") or {})


def tenant() -> tuple[Any, Any]:
    """Return the company and the user on whose behalf this process works."""
    return ctx.company_id, ctx.user_id


def configured_token() -> str | None:
    """Return the token of MindsDB's configuration file, if it has one."""
    section = Config().get(ENGINE) or {}
    if not isinstance(section, Mapping):
        return None
    return next((str(section[key]) for key in reversed(KEY_ARGUMENTS) if section.get(key)), None)


def has_dummy_secret_key() -> bool:
    """Say whether MindsDB still encrypts with the key that everybody knows."""
    return bool(Config().get("secret_key", "dummy-key") == "dummy-key")


# --- keys at rest ----------------------------------------------------------------------------


@dataclass(frozen=True)
class EngineRecord:
    """What an engine was created with.

    Attributes:
        arguments: the connection arguments, without the token.
        token: the token, or ``None``.
        uid: names this very engine; a new one gets a new one, though MindsDB's ids come again.
    """

    arguments: Mapping[str, Any]
    token: str | None
    uid: str


def _forget_overwritten() -> None:
    """Have SQLite overwrite what an update leaves behind in the database file."""
    bind = db.session.get_bind()
    if bind.dialect.name == "sqlite":
        db.session.execute(text("PRAGMA secure_delete = ON"))


def _split_key(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return ``arguments`` with keys masked, and the key."""
    masked = dict(arguments)
    token: str | None = None
    for name, value in arguments.items():
        if str(name).lower() in KEY_ARGUMENTS and value:
            token = token or str(value)
            remember_key(token)
            masked[name] = MASK
    return masked, token


def keep_engine(storage: HandlerStorage, arguments: Mapping[str, Any]) -> EngineRecord:
    """Move an engine's token into the encrypted storage and mask it where MindsDB shows it.

    The encrypted storage is always overwritten: DROP leaves it behind, and ids come again.
    """
    masked, token = _split_key(arguments)
    token = None if token == MASK else token
    uid = uuid.uuid4().hex
    _forget_overwritten()
    storage.encrypted_json_set(SECRETS, {"token": token, "uid": uid})
    storage.update_connection_args(masked)
    return EngineRecord(_without_keys(masked), token, uid)


def engine_record(storage: HandlerStorage) -> EngineRecord:
    """Return what the engine was created with; an engine made before our installation is adopted."""
    arguments = storage.get_connection_args() or {}
    secrets = storage.encrypted_json_get(SECRETS)
    masked, plain = _split_key(arguments)
    if secrets is None and plain == MASK:
        raise SettingsError(
            "the engine's key is lost", advice="DROP ML_ENGINE, and CREATE ML_ENGINE … USING api_key = 'hf_…' again"
        )
    if secrets is None or (plain is not None and plain != MASK):
        return keep_engine(storage, arguments)
    remember_key(secrets.get("token"))
    return EngineRecord(_without_keys(masked), secrets.get("token"), str(secrets["uid"]))


def _without_keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if str(name).lower() not in KEY_ARGUMENTS}


@dataclass(frozen=True)
class ModelKey:
    """A model's own token; all are ``None`` where the engine's is used.

    Attributes:
        uid: names this very token without telling anything of it; RETRAIN keeps both.
        place: what the token was given for: the engine's ``uid``, ``endpoint``, ``base_url``. ``None``: not yet known.
    """

    token: str | None = None
    uid: str | None = None
    place: tuple[str | None, ...] | None = None

    def is_for(self, place: tuple[str | None, ...]) -> bool:
        """Whether the token may be used at ``place``; where there is none nothing speaks against it."""
        return self.token is None or self.place == place


def keep_model_key(storage: ModelStorage, using: Mapping[str, Any]) -> ModelKey:
    """Move a model's own token, if it has one, into the encrypted storage; return it.

    MindsDB keeps the whole USING as ``Predictor.learn_args``, shows it in DESCRIBE and hands it
    to RETRAIN: there the masked key comes back, and the version before still has the true one.
    """
    _, token = _split_key(using)
    record = db.session.get(db.Predictor, storage.predictor_id)
    if token is not None and record is not None and isinstance(record.learn_args, dict):
        learn_args = dict(record.learn_args)
        learn_args["using"] = _split_key(learn_args.get("using") or {})[0]
        record.learn_args = learn_args
        flag_modified(record, "learn_args")
        _forget_overwritten()
        db.session.commit()
    if token == MASK:
        key = _key_of_previous_version(record)
    else:
        key = ModelKey(token, uuid.uuid4().hex) if token else ModelKey()
    _store_key(storage, key)
    return key


def settle_model_key(storage: ModelStorage, key: ModelKey, place: tuple[str | None, ...]) -> ModelKey:
    """Bind a model's token to what it was given for; one that was given for something else is not kept.

    RETRAIN hands the masked key on, to another engine or address if it names one, and whoever may
    retrain a model need not be who gave it its key.

    Returns:
        the key, bound; without a token where it was refused.
    """
    bound = replace(key, place=place) if key.token and key.place is None else key
    if not bound.is_for(place):
        bound = ModelKey()
    _store_key(storage, bound)
    return bound


def _store_key(storage: ModelStorage, key: ModelKey) -> None:
    storage.encrypted_json_set(SECRETS, {"token": key.token, "uid": key.uid, "place": key.place})


def _key_of_previous_version(record: Any) -> ModelKey:
    if record is None:
        return ModelKey()
    # Before 26.0 models belong to companies alone.
    owners = [name for name in ("company_id", "user_id") if hasattr(db.Predictor, name)]
    query = db.session.query(db.Predictor.id).filter(
        db.Predictor.name == record.name,
        db.Predictor.project_id == record.project_id,
        *(getattr(db.Predictor, name) == getattr(record, name) for name in owners),
        db.Predictor.id != record.id,
        db.Predictor.deleted_at.is_(None),
    )
    for (previous,) in query.order_by(db.Predictor.version.desc(), db.Predictor.id.desc()):
        key = model_key(ModelStorage(previous))
        if key.token:
            return key
    return ModelKey()


def model_key(storage: ModelStorage) -> ModelKey:
    """Return the model's own token, if it has one."""
    secrets = storage.encrypted_json_get(SECRETS) or {}
    if not secrets.get("token"):
        return ModelKey()
    remember_key(secrets["token"])
    return ModelKey(str(secrets["token"]), str(secrets["uid"]), tuple(secrets.get("place") or ()) or None)


def engine_of(storage: ModelStorage) -> tuple[str, HandlerStorage]:
    """Return a model's name and the storage of its engine, as they are now.

    MindsDB keeps handler instances by model id, and both ids, the model's and the engine's, come
    again after DROP: the engine's storage that an instance was made with may be a stranger's.

    Raises:
        LookupError: there is no such model.
    """
    db.session.expire_all()
    record = db.session.get(db.Predictor, storage.predictor_id)
    if record is None or record.integration_id is None:
        raise LookupError(f"no model {storage.predictor_id}")
    return str(record.name), HandlerStorage(record.integration_id)


def engine_name(storage: HandlerStorage) -> str:
    """Return what SQL calls the engine."""
    record = db.session.get(db.Integration, storage.integration_id)
    return "" if record is None else str(record.name)
