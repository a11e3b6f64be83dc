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

Its routes are those of

- hf-inference: ``/hf-inference/models/{id}``, ``/models/{id}``,
- the router: ``/v1/chat/completions``, ``/v1/models``, ``/v1/models/{id}``,
- an Inference Provider: ``/together/v1/images/generations``,
- the Hub: ``/api/models/{id}``, ``/api/whoami-v2``, ``/api/tasks``, ``/api/settings/billing/…``,
- servers of one model, such as people deploy themselves: ``/endpoints/{kind}/{id}``, see ``server_kinds.ServerKind``.

Its code for these protocols is its own: it imports none of the product's, so that a test against it proves something.

Over HTTP it is controlled with ``PUT /sandbox/faults`` (see ``faults.Faults``); ``GET`` and ``DELETE
/sandbox/requests`` show and clear the log, ``GET /sandbox/usage`` counts requests, tokens and costs.
"""

from __future__ import annotations

from .faults import BadFaults, Faults, Rule
from .record import Record, fingerprint
from .server import Sandbox, SandboxProcess, app

__all__ = ["BadFaults", "Faults", "Record", "Rule", "Sandbox", "SandboxProcess", "app", "fingerprint"]
