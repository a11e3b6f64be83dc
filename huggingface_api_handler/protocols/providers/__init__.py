"""Inference Providers that differ from the others in more than huggingface_hub knows.

A new one is a class in a module here, and an entry in ``PROVIDERS``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .fal_ai import FalAI
from .provider import Provider, QueueingProvider
from .replicate import Replicate
from .together import Together
from .zai_org import ZaiOrg

PROVIDERS: Mapping[str, Provider] = {
    one.name: one
    for one in (
        QueueingProvider("black-forest-labs"),
        FalAI("fal-ai"),
        Replicate("replicate"),
        Together("together"),
        QueueingProvider("wavespeed"),
        ZaiOrg("zai-org"),
    )
}


def find_provider(name: str) -> Provider:
    """Return the provider of that name."""
    return PROVIDERS.get(name) or Provider(name)


__all__ = ["PROVIDERS", "Provider", "find_provider"]
