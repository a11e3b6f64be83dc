"""Bytes with a media type, and the two forms in which text holds them: base64 and ``data:`` URIs."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Media:
    """Bytes with their media type, such as ``image/png``."""

    data: bytes = field(repr=False)
    type: str

    @property
    def base64(self) -> str:
        """The bytes as base64, without line breaks."""
        return b64encode(self.data).decode("ascii")

    @property
    def data_uri(self) -> str:
        """The whole as a ``data:`` URI."""
        return f"data:{self.type};base64,{self.base64}"
