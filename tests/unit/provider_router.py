"""A router of Inference Providers on loopback, and a client of one model there."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from huggingface_api_handler.hub import facts
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.net.transport import Transport
from huggingface_api_handler.net.url_policy import UrlPolicy
from huggingface_api_handler.protocols.client import InferenceAPI
from huggingface_api_handler.protocols.providers.provider_api import client_class

from .loopback import Heard, Loopback, answer

TOKEN = "hf_" + "p" * 34
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + b"\x00" * 40


class Service(Loopback):
    """Answers by path; what is not known is 404."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {}
        super().__init__(self._route)

    def _route(self, heard: Heard, sock: socket.socket) -> None:
        said = self.routes.get(heard.target)
        said = said.pop(0) if isinstance(said, list) and len(said) > 1 else said[0] if isinstance(said, list) else said
        if said is None:
            said = answer("Not Found", 404, "text/plain")
        (said if callable(said) else answer(said))(heard, sock)


def serve(monkeypatch: pytest.MonkeyPatch, *served: Served) -> list[str]:
    """Have the Hub say who serves the model; return what it will have been asked."""
    asked: list[str] = []

    def who(model: str, *, token: str | None = None) -> tuple[Served, ...]:
        asked.append(f"{model} {token}")
        return served

    monkeypatch.setattr(facts, "providers", who)
    return asked


def make(service: Any, provider: str, links: tuple[str, ...] = (), **options: Any) -> InferenceAPI:
    transport = Transport(UrlPolicy((f"{service.url}/hf-inference",), links))
    return client_class(None, provider)(
        transport, token=TOKEN, base_url=f"{service.url}/hf-inference", endpoint=None, model="org/name",
        provider=provider, **options,
    )  # fmt: skip
