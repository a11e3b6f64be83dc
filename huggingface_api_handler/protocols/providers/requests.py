"""Requests of Inference Providers, as huggingface_hub's helpers build them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InvalidInput, one_line
from ...hub import facts
from ...net.request import encode_json
from ...tasks.task import Arguments
from .. import openai
from ..base import Call
from ..client import HOLD_MARGIN

#: Maximum seconds for which replicate may hold a request; it then responds with a job.
_MAX_HOLD = 60
#: Headers that the transport sets.
_USUAL = frozenset({"authorization", "user-agent", "content-type", "accept", "x-hf-bill-to"})


def route(helper: Any, offer: facts.Served) -> str:
    """Return the path of a provider's route, without the slash at its beginning."""
    return str(_built(lambda: helper._prepare_route(offer.provider_id, "hf_"))).lstrip("/")


def headers(helper: Any, timeout: float) -> dict[str, str]:
    """Return the headers that a provider needs beside the usual ones, such as ``Prefer: wait``."""
    named = helper._prepare_headers({}, "hf_")
    extra = {name: str(value) for name, value in named.items() if name.lower() not in _USUAL and value is not None}
    if extra.get("Prefer") == "wait":
        extra["Prefer"] = f"wait={max(1, min(_MAX_HOLD, int(timeout) - HOLD_MARGIN))}"
    return extra


def body(helper: Any, offer: facts.Served, call: Call, model: str, url: str) -> tuple[bytes, str]:
    """Return a request's body and its content type.

    Raises:
        InvalidInput: the row's or the model's values cannot be put into a request.
    """
    from huggingface_hub.hf_api import InferenceProviderMapping
    from huggingface_hub.inference._common import MimeBytes

    make: Any = InferenceProviderMapping
    mapping = make(
        provider=offer.provider, hf_model_id=model, providerId=offer.provider_id, status="live", task=offer.task,
        adapterWeightsPath=offer.adapter_path,
    )  # fmt: skip
    # Bytes always: the helper would read a text as the name of a file.
    inputs = call.inputs if call.media is None else MimeBytes(call.media.data, mime_type=call.media.type)
    fields = {name: value for name, value in call.root.items() if name != "options"}
    parameters = {**call.parameters, **fields}
    payload = _built(lambda: helper._prepare_payload_as_dict(inputs, dict(parameters), mapping))
    if payload is None:
        data = _built(lambda: helper._prepare_payload_as_bytes(inputs, dict(parameters), mapping, None))
        return bytes(data or b""), getattr(data, "mime_type", None) or "application/octet-stream"
    if url.endswith("/completions"):
        payload = _completion(payload)
    return encode_json({name: value for name, value in payload.items() if value is not None}), "application/json"


def _completion(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body of text generation with the field names of completions."""
    prompt = {name: payload[name] for name in ("model", "prompt") if name in payload}
    given = {name: value for name, value in payload.items() if name not in prompt}
    fields = openai.PROTOCOL.fields(openai.PROTOCOL.tasks["text-generation"], Arguments(parameters=given))
    return {**prompt, **openai.completion(fields.root, samples=bool(given.get("do_sample")))}


def _built(build: Callable[[], Any]) -> Any:
    """Run a step of huggingface_hub's helper; its errors concern the row's or the model's values."""
    try:
        return build()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InvalidInput(f"the provider's request cannot be built: {one_line(str(error), 200)}") from error
