"""Keys of statements on their way through MindsDB: masked before MindsDB stores or shows them.

All of this concerns engines and models of this handler alone.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from cryptography.fernet import InvalidToken
from mindsdb.integrations.libs import ml_exec_base
from mindsdb.utilities.config import Config
from mindsdb.utilities.functions import decrypt, encrypt

from .errors import MASK
from .host import ENGINE, KEY_ARGUMENTS, _mark, _mended

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)


def protect() -> None:
    """Patch MindsDB in this process; a second call does nothing."""
    _mask_keys_of_models()


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
