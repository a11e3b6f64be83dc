"""Which providers serve a model, as the Hub says; looked up once for several requests."""

from __future__ import annotations

import threading
import time

from ...errors import ModelNotFound, SettingsError, Unavailable
from ...hub import facts, provider_registry
from ...tasks.task import Task
from ..hf_inference import BY_PIPELINE

#: Seconds for which the Hub's offers are used.
OFFERS_TTL = 600.0
#: Seconds until the Hub is asked again if it could not respond.
FAILURE_TTL = 2.0

_known: dict[tuple[str, str | None], tuple[float, tuple[facts.Served, ...] | None]] = {}
_lock = threading.Lock()


def offers_of(model: str, token: str | None) -> tuple[facts.Served, ...]:
    """Return the offers for a model; one thread asks the Hub, the others wait for its response.

    Raises:
        Unavailable: the Hub cannot respond now.
    """
    with _lock:
        until, found = _known.get((model, token), (0.0, None))
        if time.monotonic() >= until:
            found = facts.providers(model, token=token)
            if len(_known) > 256:
                _known.clear()
            _known[model, token] = time.monotonic() + (FAILURE_TTL if found is None else OFFERS_TTL), found
    if found is None:
        raise Unavailable(
            "the Hub did not return the providers of the model", advice="Run the query again, or leave provider out"
        )
    return found


def choose(model: str, token: str | None, wanted: str, task: Task) -> facts.Served:
    """Return the offer to use.

    Args:
        wanted: a provider's name, or ``auto`` for the first that serves the task.

    Raises:
        ModelNotFound: no such provider serves the model for the task.
        SettingsError: huggingface_hub has no list of providers.
        Unavailable: the Hub cannot respond now.
    """
    found = offers_of(model, token)
    suitable = [one for one in found if wanted in ("auto", one.provider) and _serves(one, task)]
    if suitable:
        # The Hub tests providers now and then; if all have failed its test, the provider itself decides.
        return next((one for one in suitable if one.status != "error"), suitable[0])
    if not provider_registry.helpers():
        raise SettingsError(
            "the huggingface_hub that is installed has no list of providers",
            advice="Install huggingface_hub 1.3 or newer where MindsDB runs, or leave provider out",
        )
    others = ", ".join(f"{one.provider} ({one.task})" for one in found[:12]) or "no provider"
    whom = "no provider serves" if wanted == "auto" else f"{wanted} does not serve"
    chat = any(wanted in ("auto", one.provider) and one.task == "conversational" for one in found)
    advice = "Create the model with another provider, task or model_name"
    raise ModelNotFound(
        f"{whom} '{model}' for {task.name}; it is served by: {others}",
        advice=f"{advice}: task = 'chat-completion' uses it as a chat model" if chat else advice,
    )


def _serves(one: facts.Served, task: Task) -> bool:
    """Return whether an offer is for a task, in a form that is known here."""
    if one.provider == "hf-inference":
        # Its models of vectors and of similarity are the same; the route says which is wanted.
        return one.task == task.name or (task.name in BY_PIPELINE and one.task in task.pipeline_tags)
    return one.task == task.name and bool(one.provider_id) and knows(one.provider, task)


def knows(provider: str, task: Task) -> bool:
    """Return whether requests for a task can be sent to a provider: the router passes every chat to its provider."""
    return provider == "hf-inference" or task.chat or provider_registry.helper(provider, task.name) is not None
