"""Which task, which model, where it is served: the part of a statement that the Hub has a word in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import SecretStr

from ..errors import AccountError, HuggingFaceError, ModelError, ServiceError, SettingsError
from ..hub import provider_registry
from ..net.url_policy import UrlPolicy, is_router, parse_url
from ..tasks import TASKS, find_task
from ..tasks.task import ModelFacts, Task
from .coercion import BadValue, shown
from .engine import take_token
from .models import EngineSettings
from .names import nearest
from .parsing import ABSENT, Reader
from .specs import API_KEY, MODEL, ArgumentSpec
from .validators import check_base_url, check_model_id, check_provider, check_served_name, check_service, check_url

#: (model id, token) → what the Hub says of it, ``None`` where it cannot be reached.
Hub: TypeAlias = Callable[[str, "str | None"], "ModelFacts | None"]

#: (task, model id, provider as written, token) → what is wrong with asking there, ``None`` where nothing is.
Unserved: TypeAlias = Callable[[Task, str, "str | None", "str | None"], "str | None"]

_FORMS: Mapping[str, ArgumentSpec] = {form.name: form for form in MODEL}


@dataclass(slots=True)
class Identity:
    """What a CREATE MODEL says of task and model; filled in as more becomes known.

    Attributes:
        token: the model's own token.
        task_given, model_given: whether the statement named them, good or bad.
        asked: whether the Hub was asked already.
        refusal: what the Hub said against the model.
    """

    token: SecretStr | None
    task: Task | None
    model: str | None
    provider: str | None
    base_url: str | None
    endpoint: str | None
    task_given: bool
    model_given: bool
    facts: ModelFacts | None = None
    asked: bool = False
    refusal: HuggingFaceError | None = None


def read_identity(reader: Reader, engine: EngineSettings) -> Identity:
    """Read what a statement says of task, model and server."""
    policy = UrlPolicy(base_urls=(engine.base_url,), allowed_hosts=engine.allowed_hosts)
    # RETRAIN brings a mask in place of a key that is kept: then there is one.
    has_key = any(reader.given.get(name) for name in (API_KEY.name, *API_KEY.aliases))
    token = take_token(reader)

    def endpoint_of(text: str) -> str:
        check_service(check_url(text, name="endpoint"), name="endpoint", policy=policy)
        return text

    def base_url_of(text: str) -> str:
        base_url = check_base_url(text)
        check_service(base_url, name="base_url", policy=policy)
        return base_url

    is_served_alone = reader.has(_FORMS["endpoint"])
    found = Identity(
        token=token,
        task=_take_task(reader),
        model=_value(reader.take(_FORMS["model_name"], check_served_name if is_served_alone else check_model_id)),
        provider=_value(reader.take(_FORMS["provider"], check_provider)),
        base_url=_value(reader.take(_FORMS["base_url"], base_url_of)),
        endpoint=_value(reader.take(_FORMS["endpoint"], endpoint_of)),
        task_given=reader.has(_FORMS["task"]),
        model_given=reader.has(_FORMS["model_name"]),
    )
    if is_served_alone:
        for name in ("provider", "base_url"):
            if reader.has(_FORMS[name]):
                reader.fault(f"endpoint and {name} exclude each other: an endpoint is asked as it stands")
        if not found.task_given:
            reader.fault("an endpoint does not say what it does: write task = 'text-classification', or what it is for")
    elif found.provider not in (None, "hf-inference", "auto") and found.base_url is not None:
        reader.fault("provider and base_url exclude each other: requests go to the one or to the other")
    for name, url in (("endpoint", found.endpoint), ("base_url", found.base_url)):
        if url is not None and engine.token is not None and not has_key and policy.is_unlisted_endpoint(url):
            host = parse_url(url).host
            reader.fault(
                f"{name}: '{host}' may be anybody's endpoint, so the engine's token is not sent there: write "
                f"api_key = 'hf_…' beside it, or have the engine's owner allow it: allowed_hosts = ['{host}']"
            )
    if not found.task_given and not found.model_given and not is_served_alone:
        reader.fault(
            "USING names neither task nor model_name: write task = 'text-classification', input_column = 'text' "
            "(RETRAIN, too, takes all arguments anew)"
        )
    return found


def _value(value: Any) -> Any:
    return None if value is ABSENT else value


def _take_task(reader: Reader) -> Task | None:
    name = _value(reader.take(_FORMS["task"]))
    if name is None:
        return None
    try:
        return find_task(name)
    except SettingsError:
        near = nearest(name, [one for task in TASKS.values() for one in (task.name, *task.aliases)])
        hint = f"did you mean '{near}'?" if near else f"there are: {', '.join(TASKS)}"
        reader.fault(f"unknown task {shown(name)}: {hint}")
        return None


# --- the Hub's word --------------------------------------------------------------------------


def ask_hub(found: Identity, engine: EngineSettings, hub: Hub) -> None:
    """Ask the Hub about the model, once, where it is one of the Hub's."""
    if found.asked or found.model is None or found.endpoint is not None:
        return
    found.asked = True
    token = found.token or engine.token
    try:
        found.facts = hub(found.model, None if token is None else token.get_secret_value())
        found.model = _own_name(found.facts) or found.model
    except (AccountError, ModelError) as error:
        found.refusal = error
    except ServiceError:  # the Hub has no word on it now, which is as good as unreachable
        found.facts = None


def _own_name(facts: ModelFacts | None) -> str | None:
    """Return the id that the Hub itself gives a model: old names and other spellings lead to it."""
    try:
        return check_model_id(facts.id) if facts is not None and facts.id else None
    except BadValue:
        return None


def settle_task(reader: Reader, found: Identity) -> None:
    """Find the task where only the model was named: the Hub knows it."""
    if found.task_given or found.model is None or found.endpoint is not None or found.refusal is not None:
        return
    if found.facts is None:
        reader.fault(
            f"the Hugging Face Hub cannot be reached, so the task of {found.model} is not known: "
            "write task = '…' beside model_name"
        )
        return
    tag = found.facts.pipeline_tag
    if tag is None:
        reader.fault(f"the Hub does not say what {found.model} is for: write task = '…' beside model_name")
        return
    found.task = _task_of(tag)
    if found.task is None:
        reader.fault(
            f"{found.model} is for '{tag}', which no task here does: write task = '…' beside model_name "
            "if it can do another"
        )


def _task_of(tag: str) -> Task | None:
    """Return the task that a Hub's tag stands for: of that name, else one whose models bear it."""
    named = next((one for one in TASKS.values() if tag == one.name or tag in one.aliases), None)
    return named or next((one for one in TASKS.values() if tag in one.pipeline_tags), None)


def settle_model(reader: Reader, found: Identity, values: Mapping[str, Any]) -> None:
    """Choose the task's default model where only the task was named."""
    task = found.task
    if task is None or found.model is not None or found.model_given or found.endpoint is not None:
        return
    name = task.default_for(values)
    if name is None:
        choosing = [one for one in task.arguments if f"{{{one.name}}}" in (task.default_model or "")]
        pairs = ", ".join(f"{one.name} = '{task.example.using.get(one.name, '…')}'" for one in choosing)
        also = f", or {pairs}" if pairs else ""
        reader.fault(f"task '{task.name}' needs a model: write model_name = 'org/name'{also}")
        return
    try:
        found.model = check_model_id(name)
    except BadValue:
        reader.fault(f"task '{task.name}' has no default model for these arguments: write model_name = 'org/name'")


def note_provider(reader: Reader, found: Identity) -> None:
    """Note a provider that does not serve the task, whatever the model."""
    if found.task is None or found.provider is None or found.endpoint is not None:
        return
    fault = provider_registry.fault(found.provider, found.task.name)
    if fault is not None:
        reader.fault(fault)


def note_mismatch(reader: Reader, found: Identity) -> None:
    """Note a model that, as the Hub has it, does not do the task."""
    task, facts = found.task, found.facts
    if task is None or facts is None or does(task, facts):
        return
    able = [one.name for one in TASKS.values() if does(one, facts)]
    other = f"write task = '{able[0]}'" if able else "choose another model"
    default = task.default_model
    model = f", or a model for it: model_name = '{default}'" if default and "{" not in default else ""
    reader.fault(f"{found.model} is for {facts.pipeline_tag}, not {task.name}: {other}{model}")


def note_unserved(reader: Reader, found: Identity, engine: EngineSettings, unserved: Unserved) -> None:
    """Note a model that, as the Hub has it, is not served where it would be asked for."""
    task, model = found.task, found.model
    is_the_hubs = found.endpoint is None and found.base_url is None and is_router(engine.base_url)
    if task is None or model is None or found.facts is None or not is_the_hubs or reader.faults:
        return
    token = found.token or engine.token
    fault = unserved(task, model, found.provider, None if token is None else token.get_secret_value())
    if fault is not None:
        reader.fault(fault)


def does(task: Task, facts: ModelFacts) -> bool:
    """Say whether a model can do a task, as far as the Hub's tags tell."""
    if facts.pipeline_tag is None:
        return True
    names = {task.name, *task.aliases, *task.pipeline_tags}
    # Some models serve several tasks, and say so among their tags.
    return not names.isdisjoint((facts.pipeline_tag, *facts.tags))
