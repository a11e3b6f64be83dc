"""Tokens in this process and between processes: recognized, masked, encrypted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography.fernet import InvalidToken
from mindsdb.utilities.functions import decrypt, encrypt

from ..errors import MASK, hide_tokens
from ..net.redaction import MIN_LENGTH, encodings
from .settings import is_key_argument, secret_key

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

#: Keys that this process has seen; they do not always have the form of a token.
_known_keys: set[str] = set()


def remember_key(key: Any) -> None:
    """Mask a key in the logs and error texts of this process; a short one is ignored, since it may occur by chance."""
    if isinstance(key, str) and len(key) >= MIN_LENGTH and len(_known_keys) < 1000:
        _known_keys.add(key)


def without_keys(text: str) -> str:
    """Return ``text`` with known keys and strings of the form of a token masked."""
    return hide_tokens(text, *(encoded for key in tuple(_known_keys) for encoded in encodings(key)))


def is_key(name: Any, value: Any) -> bool:
    """Return whether an argument is an unmasked key. A value that is not a string is refused before it is used."""
    return is_key_argument(name) and isinstance(value, str) and bool(value.strip(" *\t\r\n"))


def without_secrets(value: Any, name: str = "") -> Any:
    """Return a copy of an engine's arguments with keys and strings of the form of a token masked."""
    if is_key_argument(name) and value:
        return MASK
    if isinstance(value, Mapping):
        return {one: without_secrets(inner, str(one)) for one, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_secrets(one) for one in value]
    return hide_tokens(value) if isinstance(value, str) else value


class Sealed(str):
    """A key that reads as ``******`` in this process, and is encrypted when it is pickled.

    It unpickles as the key in a process with the same ``secret_key``.
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
    """Return the key; if it cannot be decrypted, a text that is refused as a key."""
    try:
        return str(decrypt(sealed, secret_key()), "utf-8")
    except InvalidToken:
        log.error("the key in a task cannot be read: the server has another secret_key in its configuration")
        return "cannot be read: this consumer has another secret_key"


def sealed(part: Any) -> Any:
    """Return a copy of a part of a task with the keys of the statement sealed."""
    if not isinstance(part, dict):
        return part
    return {
        name: Sealed(value) if is_key(name, value) and not isinstance(value, Sealed) else sealed(value)
        for name, value in part.items()
    }
