"""The task, the model and its server: the part of CREATE MODEL that is checked against the Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pydantic import SecretStr

from ..errors import AccountError, HuggingFaceError, ModelError, ServiceError
from ..hub import provider_registry
from ..hub.prices import POLICIES
from ..net.url_policy import UrlPolicy, is_router, parse_url
from ..tasks import TASKS, find_task
from ..tasks.task import ModelFacts, Task
from .coercion import BadValue, shown
from .engine import take_token
from .names import nearest
from .parsing import Reader
from .price import price_example, price_fault
from .settings import EngineSettings, secret_text
from .specs import API_KEY, BASE_URL, ENDPOINT, MODEL_NAME, PRICE, PROVIDER, TASK
from .validators import (
    check_base_url,
    check_model_id,
    check_served_name,
    check_service,
    check_url,
    split_provider,
)

#: (model ID, token) → the Hub's record of it, ``None`` if the Hub cannot be reached.
Hub: TypeAlias = Callable[[str, "str | None"], "ModelFacts | None"]

#: (task, model ID, provider as written, token) → why it is not served there, ``None`` if it is, or if that is unknown.
Unserved: TypeAlias = Callable[[Task, str, "str | None", "str | None"], "str | None"]


@dataclass(slots=True)
class Identity:
    """The task, model and server of a CREATE MODEL; completed step by step.

    Attributes:
        token: the model's own token.
        provider: one provider, several joined with commas, ``auto`` or a policy.
        price: the model's own price.
        task_given, model_given: whether the statement names them, valid or not.
        asked: whether the Hub has been asked.
        refusal: the Hub's refusal of the model.
    """

    token: SecretStr | None
    task: Task | None
    model: str | None
    provider: str | None
    base_url: str | None
    endpoint: str | None
    price: Mapping[str, float] | None
    task_given: bool
    model_given: bool
    facts: ModelFacts | None = None
    asked: bool = False
    refusal: HuggingFaceError | None = None


def read_identity(reader: Reader, engine: EngineSettings) -> Identity:
    """Read the task, model and server of a statement."""
    policy = UrlPolicy(base_urls=(engine.base_url,), allowed_hosts=engine.allowed_hosts)
    # RETRAIN brings a mask in place of a stored key: then there is one.
    has_key = any(reader.given.get(name) for name in API_KEY.names)
    token = take_token(reader)

    def endpoint_of(text: str) -> str:
        check_service(check_url(text, name="endpoint"), policy)
        return text

    def base_url_of(text: str) -> str:
        base_url = check_base_url(text)
        check_service(base_url, policy)
        return base_url

    has_endpoint = reader.has(ENDPOINT)
    task = _take_task(reader)
    model, provider = _take_model(reader, has_endpoint)
    found = Identity(
        token=token,
        task=task,
        model=model,
        provider=provider,
        base_url=reader.value(BASE_URL, base_url_of),
        endpoint=reader.value(ENDPOINT, endpoint_of),
        price=_take_price(reader, task, timed=_is_timed(has_endpoint, provider)),
        task_given=reader.has(TASK),
        model_given=reader.has(MODEL_NAME),
    )
    _note_conflicts(reader, found, has_endpoint)
    for name, url in (("endpoint", found.endpoint), ("base_url", found.base_url)):
        if url is not None and engine.token is not None and not has_key and policy.is_unlisted_endpoint(url):
            host = parse_url(url).host
            reader.fault(
                f"{name}: anyone may own '{host}', so the engine's token is not sent there: write api_key = 'hf_…', "
                f"or let the engine's owner write allowed_hosts = ['{host}']"
            )
    return found


def _note_conflicts(reader: Reader, found: Identity, has_endpoint: bool) -> None:
    """Record arguments that do not go together, and a statement without any."""
    if has_endpoint:
        for spec in (PROVIDER, BASE_URL):
            if reader.has(spec):
                reader.fault(f"endpoint and {spec.name} are mutually exclusive: write only one of them")
        if not found.task_given:
            reader.fault("an endpoint needs a task: write task = 'text-classification', or the task that it serves")
    elif found.provider not in (None, "hf-inference", "auto") and found.base_url is not None:
        reader.fault("provider and base_url are mutually exclusive: write only one of them")
    if not found.task_given and not found.model_given and not has_endpoint:
        reader.fault(
            "USING has neither task nor model_name: write task = 'text-classification', input_column = 'text' "
            "(RETRAIN needs all arguments again)"
        )


def _take_model(reader: Reader, has_endpoint: bool) -> tuple[str | None, str | None]:
    """Return the model and its provider; ``model_name = 'org/name:provider'`` names both."""
    provider: str | None = reader.value(PROVIDER)
    if has_endpoint:
        return reader.value(MODEL_NAME, check_served_name), provider
    model, suffix = reader.value(MODEL_NAME, split_provider) or (None, None)
    if suffix is not None and provider is not None and suffix != provider:
        reader.fault(f"model_name ends in ':{suffix}' and provider is '{provider}': write only one of them")
    return model, provider or suffix


def _take_price(reader: Reader, task: Task | None, *, timed: bool) -> dict[str, float] | None:
    example = PRICE.example if task is None else price_example(task, timed=timed)[0]
    price: dict[str, float] | None = reader.value(replace(PRICE, example=example))
    return price


def _is_timed(has_endpoint: bool, provider: str | None) -> bool:
    """Return whether the service bills seconds, unless the task is a chat."""
    return has_endpoint or provider in (None, "hf-inference")


#: Words for tasks that are unlike their names.
_EVERYDAY = (
    (r"embed|vector", "feature-extraction"),
    (r"rerank", "text-ranking"),
    (r"speech.?to.?text|transcri|^asr|whisper", "automatic-speech-recognition"),
    (r"^tts", "text-to-speech"),
    (r"^ocr|caption", "image-to-text"),
    (r"entit", "token-classification"),
    (r"^qa$", "question-answering"),
    (r"^vqa", "visual-question-answering"),
    (r"summar", "summarization"),
    (r"zero.?shot$|topic", "zero-shot-classification"),
    (r"^classif|toxic|spam|emotion|moderat", "text-classification"),
    (r"image.?generation|diffusion", "text-to-image"),
    (r"video.?generation", "text-to-video"),
    (r"^(llm|gpt|instruct)|^extract", "chat-completion"),
    (r"^generate", "text-generation"),
)


def _take_task(reader: Reader) -> Task | None:
    name = reader.value(TASK)
    if name is None:
        return None
    task = find_task(name)
    if task is None:
        near = next((task for words, task in _EVERYDAY if re.search(words, name.lower())), None)
        near = near or nearest(name, [one for task in TASKS.values() for one in (task.name, *task.aliases)])
        hint = f"did you mean '{near}'?" if near else f"choose one of {', '.join(TASKS)}"
        reader.fault(f"unknown task {shown(name)}: {hint}")
    return task


# --- the Hub's record ------------------------------------------------------------------------


def ask_hub(found: Identity, engine: EngineSettings, hub: Hub) -> None:
    """Ask the Hub about the model, once, unless an endpoint serves it."""
    if found.asked or found.model is None or found.endpoint is not None:
        return
    found.asked = True
    try:
        found.facts = hub(found.model, secret_text(found.token or engine.token))
        found.model = _own_name(found.facts) or found.model
    except (AccountError, ModelError) as error:
        found.refusal = error
    except ServiceError:  # as if the Hub could not be reached
        found.facts = None


def _own_name(facts: ModelFacts | None) -> str | None:
    """Return the Hub's own ID of a model: old names and other spellings redirect to it."""
    try:
        return check_model_id(facts.id) if facts is not None and facts.id else None
    except BadValue:
        return None


def find_missing_task(reader: Reader, found: Identity) -> None:
    """Take the task from the Hub's record if the statement names only the model."""
    if found.task_given or found.model is None or found.endpoint is not None or found.refusal is not None:
        return
    if found.facts is None:
        reader.fault(
            f"the Hugging Face Hub cannot be reached, so the task of {found.model} is unknown: write task = '…'"
        )
        return
    tag = found.facts.pipeline_tag
    if tag is None:
        reader.fault(f"the Hub names no task for {found.model}: write task = '…'")
        return
    found.task = _task_of(tag)
    if found.task is None:
        reader.fault(
            f"{found.model} is a '{tag}' model, which is not supported: write task = '…' if it also does another task"
        )


def _task_of(tag: str) -> Task | None:
    """Return the task of a tag of the Hub: the one of that name, else one whose models have that tag."""
    named = next((one for one in TASKS.values() if tag == one.name or tag in one.aliases), None)
    return named or next((one for one in TASKS.values() if tag in one.pipeline_tags), None)


#: Languages that people name.
_CODES = {
    "arabic": "ar", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hindi": "hi", "hungarian": "hu", "italian": "it",
    "japanese": "ja", "korean": "ko", "polish": "pl", "portuguese": "pt", "russian": "ru", "spanish": "es",
    "swedish": "sv", "turkish": "tr", "ukrainian": "uk",
}  # fmt: skip


def find_missing_model(reader: Reader, found: Identity, values: Mapping[str, Any]) -> None:
    """Choose the task's default model if the statement names only the task."""
    task = found.task
    if task is None or found.model is not None or found.model_given or found.endpoint is not None:
        return
    named = {one: value for one, value in values.items() if one.startswith("lang_") and value.lower() in _CODES}
    for one, value in named.items():
        reader.fault(
            f"{one} must be a code for the task's default model, not {shown(value)}: write "
            f"{one} = '{_CODES[value.lower()]}'"
        )
    name = task.default_for(values)
    if named:
        return
    if name is None:
        reader.fault(f"task '{task.name}' needs a model: write model_name = 'org/name'{_or_default(task)}")
        return
    try:
        found.model = check_model_id(name)
    except BadValue:
        reader.fault(f"task '{task.name}' has no default model for these arguments: write model_name = 'org/name'")


def _or_default(task: Task) -> str:
    """Return how to get a default model, for a task that has none as it is."""
    choosing = [one for one in task.arguments if f"{{{one.name}}}" in (task.default_model or "")]
    if choosing:
        return ", or " + ", ".join(f"{one.name} = '{task.example.using.get(one.name, '…')}'" for one in choosing)
    chat = next((one for one in TASKS.values() if one.chat and one.default_model), None)
    return f", or task = '{chat.name}', whose default model is {chat.default_model}" if chat else ""


def note_provider(reader: Reader, found: Identity) -> None:
    """Record providers that do not serve the task, whatever the model."""
    if found.task is None or found.provider is None or found.endpoint is not None:
        return
    for name in found.provider.split(", "):
        if name not in POLICIES:
            fault = provider_registry.fault(name, found.task.name)
        elif not found.task.chat:
            fault = f"provider = '{name}' is for chat-completion only: write provider = 'auto', or a provider's name"
        else:
            fault = None
        if fault is not None:
            reader.fault(fault)


def note_price(reader: Reader, found: Identity) -> None:
    """Record a price by which requests of the task cannot be billed."""
    if found.task is None or found.price is None:
        return
    timed = _is_timed(found.endpoint is not None, found.provider)
    fault = price_fault(found.price, found.task, timed=timed)
    if fault is not None:
        reader.fault(f"{PRICE.name} {fault}")


def note_mismatch(reader: Reader, found: Identity) -> None:
    """Record a model that, by the Hub's record, does not do the task."""
    task, facts = found.task, found.facts
    if task is None or facts is None or does(task, facts):
        return
    able = [one.name for one in TASKS.values() if does(one, facts)]
    other = f"write task = '{able[0]}'" if able else "choose another model"
    default = task.default_model
    model = f", or model_name = '{default}'" if default and "{" not in default else ""
    reader.fault(f"{found.model} is a {facts.pipeline_tag} model, not one for {task.name}: {other}{model}")


def note_unserved(reader: Reader, found: Identity, engine: EngineSettings, unserved: Unserved) -> None:
    """Record a model that, by the Hub's record, none of its providers serves."""
    task, model = found.task, found.model
    is_the_hubs = found.endpoint is None and found.base_url is None and is_router(engine.base_url)
    if task is None or model is None or found.facts is None or not is_the_hubs or reader.faults:
        return
    token = secret_text(found.token or engine.token)
    # A policy is the router's choice among all providers, like no provider at all.
    names = [None] if found.provider in (None, *POLICIES) else found.provider.split(", ")
    faults = [unserved(task, model, name, token) for name in names]
    if all(faults):
        reader.fault(str(faults[0]))


def does(task: Task, facts: ModelFacts) -> bool:
    """Return whether a model can do a task, as far as the Hub's tags tell."""
    if facts.pipeline_tag is None:
        return True
    names = {task.name, *task.aliases, *task.pipeline_tags}
    # Some models do several tasks, and list them in their tags.
    return not names.isdisjoint((facts.pipeline_tag, *facts.tags))
