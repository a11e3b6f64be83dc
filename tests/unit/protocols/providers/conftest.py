"""A router of Inference Providers, and no waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from huggingface_api_handler.protocols.providers import offers
from huggingface_api_handler.protocols.providers.provider_api import ProviderAPI
from tests.unit.loopback import Loopback
from tests.unit.provider_router import Service


@pytest.fixture
def service() -> Iterator[Loopback]:
    with Service() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ProviderAPI, "_sleep", staticmethod(lambda seconds: None))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    offers._known.clear()
    yield
    offers._known.clear()
