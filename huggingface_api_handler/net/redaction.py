"""A token, in the forms in which a server's answer may repeat it.

A server that has the token can disguise it in more ways than anybody can look for. These are the
forms that come about by themselves, in echoes, logs and debug pages, and the one that undoes
itself here: JSON's escapes, which reading the answer takes away.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from ..errors import MASK, hide_tokens, redact

#: Shorter tokens may stand in an answer by chance.
SHORTEST = 16
#: Beginnings of a token shorter than this tell nothing of it.
_SHORTEST_PART = 4
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


def holds_token(value: object) -> bool:
    """Return whether a value, or one inside it, has the form of a Hugging Face token."""
    if isinstance(value, str):
        return hide_tokens(value) != value
    if isinstance(value, Mapping):
        return any(holds_token(one) for pair in value.items() for one in pair)
    if isinstance(value, (list, tuple)):
        return any(holds_token(one) for one in value)
    # A bare word and a quoted text arrive as syntax objects of MindsDB.
    return any(holds_token(getattr(value, name, None)) for name in ("parts", "value") if hasattr(value, name))


@lru_cache(maxsize=64)
def forms(token: str) -> tuple[str, ...]:
    """Return the token as it stands, percent-encoded, JSON-escaped, in hexadecimal, and inside base64 at any offset."""
    raw = token.encode()
    found = [token, quote(token, safe=""), json.dumps(token)[1:-1], raw.hex()]
    for offset in range(3):
        packed = base64.b64encode(bytes(offset) + raw).decode()
        # What the bytes before and after have a part in is left out.
        core = packed[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]
        found += [core, core.translate(str.maketrans("+/", "-_"))]
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=64)
def _packed(token: str) -> tuple[bytes, ...]:
    return tuple(form.encode() for form in forms(token))


def repeats(content: bytes | str, token: str | None) -> bool:
    """Whether ``content`` holds ``token`` in one of its forms; of short tokens nothing is said."""
    if token is None or len(token) < SHORTEST:
        return False
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if any(form in data for form in _packed(token)):
        return True
    if b"\\u00" not in data and b"\\/" not in data:
        return False
    plain = _ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), data).replace(b"\\/", b"/")
    return token.encode() in plain


def without(text: str, token: str | None) -> str:
    """Return ``text`` without anything that looks like a token, and without ``token`` in any of its forms."""
    return redact(text, *(forms(token) if token else ()))


def without_end(text: str, token: str | None) -> str:
    """Return a text that was cut without the beginning of ``token`` where it ends in one."""
    bare = text.rstrip("…")
    for length in range(min(len(token or "") - 1, len(bare)), _SHORTEST_PART - 1, -1):
        if token and bare.endswith(token[:length]):
            return bare[:-length] + MASK
    return text
