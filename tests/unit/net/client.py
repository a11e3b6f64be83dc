"""The transport with a short way to POST, as tests do all the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_api_handler.net.request import Request, Response, encode_json
from huggingface_api_handler.net.transport import Transport

_NO_JSON: Any = object()


class Client(Transport):
    def post(
        self,
        url: str,
        *,
        json: Any = _NO_JSON,
        data: bytes = b"",
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> Response:
        """Send ``json``, or ``data`` of a ``content_type``, to a service."""
        if json is not _NO_JSON:
            data, content_type = encode_json(json), "application/json"
        return self.send(
            Request(method="POST", url=url, body=data, content_type=content_type, headers=headers or {}, **request)
        )
