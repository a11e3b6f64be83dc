"""What MindsDB stores of an engine and a model, tokens in its encrypted storage.

MindsDB shows the arguments of CREATE ML_ENGINE and CREATE MODEL to users and stores them unencrypted. So a token moves
to the encrypted storage, and a mask takes its place.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.model_fs import HandlerStorage, ModelStorage
from sqlalchemy import text
from sqlalchemy.orm.attributes import flag_modified

from ..arguments.coercion import as_sql
from ..errors import MASK, SettingsError
from .keys import remember_key
from .settings import is_key_argument

#: Name of the encrypted entry of an engine and of a model.
SECRETS = "huggingface_api_secrets"
#: Name of the entry with a model's settings.
MODEL = "huggingface_api_model"


@dataclass(frozen=True)
class EngineRecord:
    """The arguments with which an engine was created.

    Attributes:
        arguments: the connection arguments, without the token.
        token: the token, or ``None``.
        uid: identifies the engine. MindsDB's own IDs are reused after DROP, this one is not.
    """

    arguments: Mapping[str, Any]
    token: str | None
    uid: str


def _erase_overwritten() -> None:
    """Make SQLite erase the old content of updated rows from the database file."""
    bind = db.session.get_bind()
    if bind.dialect.name == "sqlite":
        db.session.execute(text("PRAGMA secure_delete = ON"))


def _split_key(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return ``arguments`` with keys masked, and the first key."""
    masked = dict(arguments)
    token: str | None = None
    for name, value in arguments.items():
        if is_key_argument(name) and value:
            token = token or str(value)
            remember_key(token)
            masked[name] = MASK
    return masked, token


def store_engine(storage: HandlerStorage, arguments: Mapping[str, Any]) -> EngineRecord:
    """Move an engine's token into the encrypted storage and mask it where MindsDB shows it.

    The encrypted storage is always overwritten: DROP does not remove it, and MindsDB reuses IDs.
    """
    masked, token = _split_key(arguments)
    token = None if token == MASK else token
    uid = uuid.uuid4().hex
    _erase_overwritten()
    storage.encrypted_json_set(SECRETS, {"token": token, "uid": uid})
    storage.update_connection_args(masked)
    return EngineRecord(_without_keys(masked), token, uid)


def engine_record(storage: HandlerStorage) -> EngineRecord:
    """Return the engine's record; the token of an engine of the bundled handler moves to the encrypted storage.

    Raises:
        SettingsError: the token is lost.
    """
    arguments = storage.get_connection_args() or {}
    secrets = storage.encrypted_json_get(SECRETS)
    masked, plain = _split_key(arguments)
    if secrets is None and plain == MASK:
        raise SettingsError(
            "the engine's key is lost", advice="DROP ML_ENGINE, then CREATE ML_ENGINE … USING api_key = 'hf_…' again"
        )
    if secrets is None or (plain is not None and plain != MASK):
        return store_engine(storage, arguments)
    remember_key(secrets.get("token"))
    return EngineRecord(_without_keys(masked), secrets.get("token"), str(secrets["uid"]))


def _without_keys(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if not is_key_argument(name)}


@dataclass(frozen=True)
class ModelKey:
    """A model's own token; every field is ``None`` if the model uses the engine's.

    Attributes:
        uid: identifies the token and reveals nothing of it. RETRAIN preserves both.
        destination: what the token was given for: the engine's ``uid``, ``endpoint``, ``base_url``. ``None``: not yet
            known.
    """

    token: str | None = None
    uid: str | None = None
    destination: tuple[str | None, ...] | None = None

    def is_for(self, destination: tuple[str | None, ...]) -> bool:
        """Return whether the token may be sent to ``destination``; true if there is no token."""
        return self.token is None or self.destination == destination


def store_model_key(storage: ModelStorage, using: Mapping[str, Any]) -> ModelKey:
    """Move a model's own token, if it has one, into the encrypted storage; return it.

    MindsDB stores the whole USING as ``Predictor.learn_args``, shows it in DESCRIBE and passes it to RETRAIN. So
    RETRAIN gets the mask, and the token comes from the previous version.
    """
    _, token = _split_key(using)
    record = db.session.get(db.Predictor, storage.predictor_id)
    if token is not None and record is not None and isinstance(record.learn_args, dict):
        learn_args = dict(record.learn_args)
        learn_args["using"] = _split_key(learn_args.get("using") or {})[0]
        record.learn_args = learn_args
        flag_modified(record, "learn_args")
        _erase_overwritten()
        db.session.commit()
    if token == MASK:
        key = _key_of_previous_version(record)
    else:
        key = ModelKey(token, uuid.uuid4().hex) if token else ModelKey()
    _store_key(storage, key)
    return key


def bind_model_key(storage: ModelStorage, key: ModelKey, destination: tuple[str | None, ...]) -> ModelKey:
    """Bind a model's token to its destination; remove a token that was given for another one.

    RETRAIN passes the masked key on, possibly to another engine or address, and a user who may retrain a model is not
    necessarily the owner of its key.

    Returns:
        the key, bound; without a token if the destination differs.
    """
    bound = replace(key, destination=destination) if key.token and key.destination is None else key
    if not bound.is_for(destination):
        bound = ModelKey()
    _store_key(storage, bound)
    return bound


def _store_key(storage: ModelStorage, key: ModelKey) -> None:
    storage.encrypted_json_set(SECRETS, {"token": key.token, "uid": key.uid, "place": key.destination})


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
    """Return a model's current name and the current storage of its engine.

    MindsDB caches handler instances by model ID and reuses the IDs of models and engines after DROP: the engine storage
    of an instance may belong to another engine.

    Raises:
        LookupError: there is no such model.
    """
    db.session.expire_all()
    record = db.session.get(db.Predictor, storage.predictor_id)
    if record is None or record.integration_id is None:
        raise LookupError(f"no model {storage.predictor_id}")
    return str(record.name), HandlerStorage(record.integration_id)


def not_complete(storage: ModelStorage) -> SettingsError:
    """Return why a model without stored settings cannot be used."""
    record = db.session.get(db.Predictor, storage.predictor_id)
    again = "DROP MODEL it and CREATE MODEL it again"
    if record is not None and record.status == "error":
        error = dict(record.data or {}).get("error") or "for an unknown reason"
        return SettingsError(f"this model could not be created: {error}", advice=again)
    if record is not None and record.status in ("generating", "training"):
        return SettingsError(
            "this model is still being created",
            advice=f"Try again when SELECT status FROM models WHERE name = {as_sql(str(record.name))} returns complete",
        )
    return SettingsError("this model was not created by this version of the handler", advice=again)


def project_name(storage: ModelStorage) -> str:
    """Return the name of the model's project in SQL."""
    record = db.session.get(db.Predictor, storage.predictor_id)
    project = None if record is None else db.session.get(db.Project, record.project_id)
    return "mindsdb" if project is None else str(project.name)


def engine_name(storage: HandlerStorage) -> str:
    """Return the engine's name in SQL, an empty string if it does not exist any more."""
    record = db.session.get(db.Integration, storage.integration_id)
    return "" if record is None else str(record.name)
