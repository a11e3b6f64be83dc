"""The requests and responses of each kind of server.

A new kind of server is a module with a ``PROTOCOL`` and a line in ``PROTOCOLS``.
"""

from __future__ import annotations

from . import hf_inference, llama_cpp, ollama, openai, tei, tgi, toolkit, vllm
from .base import Protocol

#: In the order of probes. The default container has no probe and is the last choice.
PROTOCOLS: tuple[Protocol, ...] = (
    hf_inference.PROTOCOL,
    tei.PROTOCOL,
    tgi.PROTOCOL,
    ollama.PROTOCOL,
    vllm.PROTOCOL,
    llama_cpp.PROTOCOL,
    openai.PROTOCOL,
    toolkit.PROTOCOL,
)

__all__ = ["PROTOCOLS", "Protocol"]
