"""Keys of statements on their way through MindsDB: masked before MindsDB stores or shows them.

All of this concerns engines and models of this handler alone.
"""

from __future__ import annotations

import functools
import logging
import sys
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography.fernet import InvalidToken
from mindsdb.integrations.libs import ml_exec_base
from mindsdb.interfaces.storage import db
from mindsdb.interfaces.storage.fs import RESOURCE_GROUP
from mindsdb.utilities.config import Config
from mindsdb.utilities.context import context as ctx
from mindsdb.utilities.functions import decrypt, encrypt, encrypt_json
from sqlalchemy import event

from ..errors import MASK, hide_tokens
from .patches import ENGINE, KEY_ARGUMENTS, SECRETS, _mark, _mended, remember_key

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)


def protect() -> None:
    """Patch MindsDB in this process; a second call does nothing."""
    _mask_keys_of_models()
    _store_keys_of_engines_encrypted()
    _refuse_bare_words()


def secret_key() -> str:
    """Return what MindsDB encrypts with."""
    return str(Config().get("secret_key", "dummy-key"))


# --- keys between processes ------------------------------------------------------------------


class Sealed(str):
    """A key that reads as ``******`` in this process, and is encrypted when it is pickled.

    It unpickles as the key, in a process with the same ``secret_key``.
    """

    __slots__ = ("_sealed",)

    _sealed: bytes

    def __new__(cls, key: str) -> Self:
        self = super().__new__(cls, MASK)
        remember_key(key)
        self._sealed = encrypt(key.encode(), secret_key())
        return self

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return unsealed, (self._sealed,)


def unsealed(sealed: bytes) -> str:
    """Return the key; if it cannot be read, a text that is refused as one."""
    try:
        return str(decrypt(sealed, secret_key()), "utf-8")
    except InvalidToken:
        log.error("the key in a task cannot be read: the server has another secret_key in its configuration")
        return "cannot be read: this consumer has another secret_key"


def sealed(part: Any) -> Any:
    """Return a copy of a task's part with the keys that a statement gave sealed."""
    if not isinstance(part, dict):
        return part
    return {
        name: Sealed(value) if is_key(name, value) and not isinstance(value, Sealed) else sealed(value)
        for name, value in part.items()
    }


def is_key(name: Any, value: Any) -> bool:
    """Return whether an argument holds a key in the clear. A value that is no text is refused before it is used."""
    return str(name).lower() in KEY_ARGUMENTS and isinstance(value, str) and bool(value.strip(" *\t\r\n"))


# --- models ----------------------------------------------------------------------------------


def _mask_keys_of_models() -> None:
    """Mask a model's key before MindsDB makes its record, which is also the result of CREATE MODEL and RETRAIN.

    The worker receives the key itself.
    """
    for verb in ("learn", "finetune"):
        original = getattr(ml_exec_base.BaseMLEngineExec, verb)
        if not _mended(original):
            setattr(ml_exec_base.BaseMLEngineExec, verb, _mark(_with_sealed_arguments(original)))


def _with_sealed_arguments(original: Any) -> Any:
    @functools.wraps(original)
    def verb(self: Any, *arguments: Any, **named: Any) -> Any:
        if self.engine == ENGINE:
            arguments = tuple(sealed(one) for one in arguments)
            named = {name: sealed(value) for name, value in named.items()}
        return original(self, *arguments, **named)

    return verb


# --- engines ---------------------------------------------------------------------------------


def _store_keys_of_engines_encrypted() -> None:
    """Write an engine's key encrypted, in the transaction that writes the engine.

    MindsDB commits the arguments of CREATE ML_ENGINE before it calls the handler, whose process takes seconds to
    start. A server that is killed meanwhile would leave the key in the clear.
    """
    if getattr(db.Integration, "_huggingface_api", False):
        return
    db.Integration._huggingface_api = True
    for name in ("before_insert", "before_update"):
        event.listen(db.Integration, name, _take_key_out)
    for name in ("after_insert", "after_update"):
        event.listen(db.Integration, name, _write_key)


def _refuse_bare_words() -> None:
    """Have a key that is a bare word refused: MindsDB makes text of it before it hands it on.

    The first statement imports this package while it runs, so that the statement is found in the caller.
    """
    integrations = sys.modules.get("mindsdb.interfaces.database.integrations")
    if integrations is None or _mended(integrations.IntegrationController.add):  # in workers
        return
    original = integrations.IntegrationController.add

    @functools.wraps(original)
    def add(self: Any, name: str, engine: Any, connection_args: Any, *arguments: Any, **named: Any) -> Any:
        if engine == ENGINE and isinstance(connection_args, dict):
            written = getattr(sys._getframe(1).f_locals.get("statement"), "params", None) or {}
            bare = [one for one, value in written.items() if type(value).__name__ == "Identifier"]
            # No text in quotes: the handler refuses it in its own words.
            connection_args = {
                one: [value] if one in bare and is_key(one, value) else value for one, value in connection_args.items()
            }
        return original(self, name, engine, connection_args, *arguments, **named)

    integrations.IntegrationController.add = _mark(add)


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
    # Ids come again after DROP, which leaves the key of the engine before.
    table = db.JsonStorage.__table__
    place = {
        "name": SECRETS,
        "resource_group": RESOURCE_GROUP.INTEGRATION,
        "resource_id": record.id,
        **{name: getattr(ctx, name) for name in ("company_id", "user_id") if name in table.c},
    }
    connection.execute(table.delete().where(*(table.c[name] == value for name, value in place.items())))
    content = encrypt_json({"token": key, "uid": uuid.uuid4().hex}, secret_key())
    connection.execute(table.insert().values(**place, encrypted_content=content))


def without_secrets(value: Any, name: str = "") -> Any:
    """Return a copy of an engine's arguments, keys and strings of the form of a token masked."""
    if name.lower() in KEY_ARGUMENTS and value:
        return MASK
    if isinstance(value, Mapping):
        return {one: without_secrets(inner, str(one)) for one, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(one) for one in value]
    return hide_tokens(value) if isinstance(value, str) else value
