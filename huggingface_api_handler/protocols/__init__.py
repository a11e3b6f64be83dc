"""How each kind of server is asked, and how its answers are read.

A new kind of server is a module with a ``PROTOCOL`` and a line in ``PROTOCOLS``.
"""

from __future__ import annotations

from . import hf_inference, ollama, openai, tei, tgi, toolkit, vllm
from .base import Protocol

#: In the order in which a server is probed; the default container recognizes nothing, and is what is left.
PROTOCOLS: tuple[Protocol, ...] = (
    hf_inference.PROTOCOL,
    tei.PROTOCOL,
    tgi.PROTOCOL,
    ollama.PROTOCOL,
    vllm.PROTOCOL,
    openai.PROTOCOL,
    toolkit.PROTOCOL,
)

__all__ = ["PROTOCOLS", "Protocol"]
