"""Which Inference Provider serves which task: huggingface_hub's list, read at first use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..tasks import TASKS

#: Names that need no entry in huggingface_hub's list.
OWN = frozenset({"auto", "hf-inference"})
#: Pairs of huggingface_hub's list that are not served, and why. ``fault`` shows the reason.
NOT_SERVED: Mapping[tuple[str, str], str] = {
    ("openai", "chat-completion"): "Hugging Face passes nothing on to OpenAI: write endpoint = "
    "'https://api.openai.com/v1' with OpenAI's own api_key, and have the engine's owner name api.openai.com in "
    "allowed_hosts",
    # In older versions of huggingface_hub, whose helper sends the prompt in place of a list of messages.
    ("hyperbolic", "text-generation"): "hyperbolic takes chats only: write task = 'chat-completion'",
}


def helpers() -> Mapping[str, Mapping[str, Any]]:
    """Return provider → the Hub's name of a task → the helper that knows its requests; empty if there is no list.

    The list is in a private module of huggingface_hub; if it moves, the service decides.
    """
    try:
        from huggingface_hub.inference._providers import PROVIDERS
    except ImportError:
        return {}
    listed: Any = PROVIDERS
    return listed  # type: ignore[no-any-return]


def helper(provider: str, task: str) -> Any:
    """Return the helper for a task of ours, ``None`` if the provider does not serve it."""
    if (provider, task) in NOT_SERVED:
        return None
    known = helpers().get(provider, {})
    return next((known[name] for name in (task, *TASKS[task].aliases) if name in known), None)


def served() -> Mapping[str, tuple[str, ...]]:
    """Return provider → our tasks that it serves, in the order of the registry."""
    return {
        provider: tuple(task for task in TASKS if helper(provider, task) is not None) for provider in sorted(helpers())
    }


def fault(provider: str, task: str) -> str | None:
    """Return why a provider cannot be used for a task, and what to write instead; ``None`` if it can."""
    if provider in OWN or not helpers():
        return None
    if (provider, task) in NOT_SERVED:
        return f"provider '{provider}' is not served: {NOT_SERVED[provider, task]}"
    if helper(provider, task) is not None:
        return None
    table = served()
    able = ", ".join(one for one, tasks in table.items() if task in tasks)
    does = ", ".join(table.get(provider, ())) or "no task"
    instead = f"{task} is served by {able}" if able else f"no provider serves {task}: write an endpoint that does"
    return f"provider '{provider}' does not serve {task} but {does}; {instead}"
