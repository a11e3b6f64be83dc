"""Bytes with a media type, and the two forms in which text contains them: base64 and ``data:`` URIs."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from urllib.parse import unquote, unquote_to_bytes

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_URI = re.compile(r"data:(?P<type>[^,;]*)(?:;[^,;]*)*?(?P<base64>;\s*base64\s*)?,", re.I)
#: Characters within which the comma of a ``data:`` URI is looked for.
_LONGEST_HEAD = 1024


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes with their media type, such as ``image/png``."""

    data: bytes = field(repr=False)
    type: str

    @property
    def base64(self) -> str:
        """The bytes as base64, without line breaks."""
        return encode_base64(self.data)

    @property
    def data_uri(self) -> str:
        """The media type and the bytes as a ``data:`` URI."""
        return f"data:{self.type};base64,{self.base64}"


def sniff(data: bytes) -> str | None:
    """Return the media type that the first bytes of ``data`` show, or ``None``."""
    import filetype

    try:
        found = filetype.guess_mime(data[:8192])
    except Exception:  # a matcher may fail on bytes that are no file of its type
        return None
    return str(found) if found else None


def encode_base64(data: bytes) -> str:
    """Return bytes as base64, without line breaks."""
    return b64encode(data).decode("ascii")


def is_base64(text: str) -> bool:
    """Return whether ``text`` contains only characters of base64, in either alphabet, and white space."""
    return _BASE64.fullmatch("".join(text.split())) is not None


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of base64 text in either alphabet, with or without line breaks and padding.

    ``None`` for text that is empty or not base64.
    """
    packed = "".join(text.split())
    if not is_base64(packed) or ("/" in packed and ("-" in packed or "_" in packed)):
        return None
    packed = packed.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError:
        return None


def is_data_uri(text: str) -> bool:
    """Return whether ``text`` begins like a ``data:`` URI."""
    return text[:5].lower() == "data:"


@dataclass(frozen=True, slots=True)
class DataUri:
    """A ``data:`` URI.

    Attributes:
        type: the declared media type in lower case; may be empty.
        is_base64: whether ``text`` is base64; otherwise it is percent-encoded.
        text: the part after the comma.
    """

    type: str
    is_base64: bool
    text: str = field(repr=False)

    def decode(self) -> bytes:
        """Return the bytes.

        Raises:
            UnicodeEncodeError: the text contains half of a character.
            ValueError: the text is not base64.
        """
        if not self.is_base64:
            return unquote_to_bytes(self.text)
        data = decode_base64(unquote(self.text) if "%" in self.text else self.text)
        if data is None:
            raise ValueError("not base64")
        return data


def parse_data_uri(text: str) -> DataUri | None:
    """Return the parts of a ``data:`` URI; ``None`` if there is no comma before its data."""
    head = _DATA_URI.match(text, 0, _LONGEST_HEAD)
    if head is None:
        return None
    return DataUri(head["type"].strip().lower(), head["base64"] is not None, text[head.end() :])
