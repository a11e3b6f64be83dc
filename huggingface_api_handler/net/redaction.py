"""A token, in the encodings in which a server's response may repeat it.

A server that has the token can disguise it in more ways than anybody can look for. These are the encodings that echoes,
logs and debug pages use, and JSON's escapes, which parsing the response decodes.
"""

from __future__ import annotations

import base64
import json
import re
from functools import lru_cache
from urllib.parse import quote

from ..errors import MASK, redact

#: Shorter tokens may occur in a response by chance.
MIN_LENGTH = 16
#: A shorter beginning of a token reveals nothing.
_MIN_PREFIX = 4
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")


@lru_cache(maxsize=64)
def encodings(token: str) -> tuple[str, ...]:
    """Return the token as it is, percent-encoded, JSON-escaped, in hexadecimal, and inside base64 at any offset."""
    raw = token.encode()
    found = [token, quote(token, safe=""), json.dumps(token)[1:-1], raw.hex()]
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).decode()
        # Without the characters that also depend on the bytes before and after.
        core = encoded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        found += [core, core.translate(str.maketrans("+/", "-_"))]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=64)
def _encoded_bytes(token: str) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in encodings(token))


def contains_token(content: bytes | str, token: str | None) -> bool:
    """Whether ``content`` contains ``token`` in one of its encodings; always false for a short token."""
    if token is None or len(token) < MIN_LENGTH:
        return False
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if any(text in data for text in _encoded_bytes(token)):
        return True
    if b"\\u00" not in data and b"\\/" not in data:
        return False
    plain = _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), data).replace(b"\\/", b"/")
    return token.encode() in plain


def redact_token(text: str, token: str | None) -> str:
    """Return ``text`` without anything that looks like a token, and without ``token`` in any of its encodings."""
    return redact(text, *(encodings(token) if token else ()))


def redact_cut_token(text: str, token: str | None) -> str:
    """Return a shortened text; if it ends in the beginning of ``token``, without that."""
    bare = text.rstrip("…")
    for length in range(min(len(token or "") - 1, len(bare)), _MIN_PREFIX - 1, -1):
        if token and bare.endswith(token[:length]):
            return bare[:-length] + MASK
    return text
