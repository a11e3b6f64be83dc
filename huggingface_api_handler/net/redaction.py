"""A token, in the encodings in which a server's response may repeat it.

A server that has the token can disguise it in more ways than anybody can look for. These are the encodings that echoes,
logs and debug pages use, and JSON's escapes, which parsing the response decodes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from ..errors import MASK, hide_tokens, redact

#: Shorter tokens may occur in a response by chance.
MIN_LENGTH = 16
#: A shorter beginning of a token reveals nothing.
_MIN_PREFIX = 4
#: Levels of an argument that are searched for tokens.
_MAX_DEPTH = 40
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")


#: Names of secrets, without signs and capitals; those of the second group also at the end of longer names.
_SECRET_NAME = re.compile(
    r"token|idtoken|auth|xauth|bearer|credentials?|passwd|pwd|secret|cookie|jwt"
    r"|.*(?:apikey|(?:access|auth|bearer|refresh|session|hf|api|huggingface)token|authorization|password|passphrase"
    r"|(?:client|api|app)secret|(?:secret|private|access|subscription)key)"
)


def names_secret(name: str) -> bool:
    """Return whether ``name``, as ``X-Api-Key`` or ``access_token``, is one of a secret."""
    return _SECRET_NAME.fullmatch(re.sub(r"[^a-z0-9]", "", name.lower())) is not None


def holds_token(value: object, depth: int = 0) -> bool:
    """Return whether a value, or one inside it, has the form of a Hugging Face token.

    Args:
        depth: of ``value`` in an argument; what is nested deeper than ``_MAX_DEPTH`` is refused for that anyway.
    """
    if isinstance(value, str):
        return hide_tokens(value) != value
    if isinstance(value, Mapping):
        inner: list[object] = [one for pair in value.items() for one in pair]
    elif isinstance(value, (list, tuple)):
        inner = list(value)
    else:  # a bare word and a quoted text arrive as syntax objects of MindsDB
        inner = [getattr(value, name, None) for name in ("parts", "value")]
    return depth < _MAX_DEPTH and any(holds_token(one, depth + 1) for one in inner if one is not None)


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
    """Return whether ``content`` contains ``token`` in one of its encodings; always false for a short token."""
    if token is None or len(token) < MIN_LENGTH:
        return False
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    # Not ``in``: of bytes in bytes, CPython first makes an error that they are no number.
    for text in _encoded_bytes(token):
        if data.find(text) >= 0:
            return True
    if data.find(b"\\u00") < 0 and data.find(b"\\/") < 0:
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
