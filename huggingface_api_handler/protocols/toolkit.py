"""The default container of Inference Endpoints (huggingface-inference-toolkit), and all that takes ``{"inputs": …}``.

It is the kind of every server that says nothing else of itself.
"""

from __future__ import annotations

from dataclasses import replace

from . import hf_inference

PROTOCOL = replace(hf_inference.PROTOCOL, name="toolkit", title="the default container of Inference Endpoints")
