"""A small local server that speaks Hugging Face's Inference API and Hub: no token, no network needed.

::

    with Sandbox() as sandbox:
        sandbox.url       # base_url of an engine: http://127.0.0.1:PORT/hf-inference
        sandbox.hub_url   # HF_ENDPOINT:           http://127.0.0.1:PORT
        sandbox.faults = {"rules": [{"kind": "status", "status": 503, "next": 3}]}
        sandbox.requests  # what was sent

It serves every task of the registry. Its fake models answer in a simple, deterministic way: the answers show that a
value reached the right row, and say nothing about any real model. ``python -m huggingface_api_handler.sandbox`` runs
one.

Beside the Inference API (``/hf-inference/models/{id}``, ``/models/{id}``, ``/v1/chat/completions``), one route of one
Inference Provider (``/together/v1/images/generations``) and the Hub (``/api/models/{id}``, ``/api/whoami-v2``,
``/api/tasks``) there are servers of a single model, such as people deploy themselves, at ``/endpoints/{dialect}/{id}``
with the dialects of ``tasks.task.Dialect``.

Over HTTP it is steered with ``PUT /sandbox/faults`` (see ``faults.Faults``); ``GET`` and ``DELETE /sandbox/requests``
show and clear the log.
"""

from __future__ import annotations

from .faults import BadFaults, Faults, Rule
from .record import Record, fingerprint
from .server import Sandbox, SandboxProcess, app

__all__ = ["BadFaults", "Faults", "Record", "Rule", "Sandbox", "SandboxProcess", "app", "fingerprint"]
