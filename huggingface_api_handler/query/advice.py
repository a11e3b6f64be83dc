"""Advice on model, task and provider for errors that follow from a wrong choice of them.

Nothing here raises: if the Hub does not respond, the advice stays general.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..arguments import EngineSettings, ModelSettings
from ..arguments.task_specs import own_specs, parameter_specs
from ..errors import AccountError, HuggingFaceError, ModelError, ModelNotFound, Unauthorized
from ..hub import facts, provider_registry
from ..hub.facts import Served
from ..hub.prices import ROUTERS_CHOICE
from ..protocols.detect import without_route
from ..protocols.providers import offers
from ..tasks import TASKS
from ..tasks.task import Kind, Task

log = logging.getLogger(__name__)

#: The status of a URL that accepts no POST.
_NO_POST = 405

#: Maximum seconds to wait for the Hub.
HUB_TIMEOUT = 4.0
#: Placeholder in advice for the URL of the model's page.
MODEL_PAGE = "the model's page"

#: Provider names that messages may quote.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves a model for one task.

    Attributes:
        able: providers that serve it for the task.
        beyond: providers that do, but to which this package cannot send requests for it.
        otherwise: other tasks for which it is served, each with its providers.
    """

    able: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    otherwise: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, task: Task, served: Sequence[Served]) -> Serving:
        """Sort the Hub's offers by what they mean for ``task``."""
        able: list[str] = []
        beyond: list[str] = []
        otherwise: dict[str, list[str]] = {}
        for one in served:
            if one.status == "error" or not _NAME.fullmatch(one.provider):
                continue
            theirs = _task_of(one.task)
            # hf-inference may serve several tasks with one model, and the Hub names one of them.
            alike = one.provider == "hf-inference" and not task.chat and not (theirs is not None and theirs.chat)
            if theirs is task or alike:
                (able if offers.knows(one.provider, task) else beyond).append(one.provider)
            elif theirs is not None and offers.knows(one.provider, theirs):
                otherwise.setdefault(theirs.name, []).append(one.provider)
        return cls(tuple(able), tuple(beyond), {name: tuple(names) for name, names in otherwise.items()})

    def instead(self, task: Task, model: str, avoid: str | None, write: str, *, it: str = "it") -> str:
        """Return what to do instead of using ``avoid``.

        Args:
            write: the verb: ``write``, or ``create the model with``.
            it: how to name the model if no provider serves it.
        """
        default = task.default_model
        known = f"model_name = '{default}'" if default and "{" not in default and default != model else None
        others = [name for name in self.able if name != avoid]
        if others:
            # The router also passes chats to providers that the installed huggingface_hub does not know.
            chosen = next((name for name in others if name in provider_registry.helpers()), "auto")
            return f"it is served by {listed(others)}: {write} provider = '{chosen}'"
        for name, names in (self.otherwise or {}).items():
            # The router finds the provider of a chat.
            other = "" if TASKS[name].chat or names[0] == "hf-inference" else f", provider = '{names[0]}'"
            also = f", or another model, such as {known}" if known else ", or another model_name"
            return f"it is served for {name}, by {listed(names)}: {write} task = '{name}'{other}{also}"
        alone = (
            f"it is served by {listed(self.beyond)} alone, to which this package cannot send requests"
            if self.beyond
            else ""
        )
        also = f"{known}, the task's default, or " if known else "another model_name, or "
        return (
            f"{alone or f'no Inference Provider serves {it}'}: {write} {also}"
            "endpoint = 'https://…' of an Inference Endpoint of your own"
        )


def _task_of(name: str | None) -> Task | None:
    """Return the task of a provider's name for it: providers call chat ``conversational``."""
    return next((one for one in TASKS.values() if name is not None and name in (one.name, *one.aliases)), None)


def listed(names: Sequence[str]) -> str:
    """Return names in a sentence; those after the fourth are "others"."""
    shown = [*names[:4], "others"] if len(names) > 4 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# --- before a model is created ---------------------------------------------------------------


def unserved(task: Task, model: str, provider: str | None, token: str | None) -> str | None:
    """Return why ``provider`` does not serve ``model``; ``None`` if it does, or if that is unknown.

    Args:
        provider: of the statement; ``None``: it names none.
    """
    if provider in ("hf-inference", "auto"):  # an explicit choice is not questioned
        return None
    try:
        served = facts.providers(model, token=token, timeout=HUB_TIMEOUT)
    except HuggingFaceError as error:  # errors of the model itself have been raised before
        log.info("the Hub did not return the providers of %s: %s", model, error.code)
        return None
    if served is None:
        return None
    serving = Serving.of(task, served)
    wanted = provider or ("auto" if task.chat else "hf-inference")
    if wanted in serving.able or (wanted == "auto" and serving.able):
        return None
    if provider is not None:
        return f"{provider} does not serve {model} for {task.name}; {serving.instead(task, model, provider, 'write')}"
    insist = f"to send requests there anyway, write provider = '{wanted}'"
    instead = serving.instead(task, model, wanted, "write", it=model)
    if not (serving.able or serving.beyond or serving.otherwise):
        return f"{instead} ({insist})"
    whom = f"no provider serves {model} for {task.name}" if task.chat else f"hf-inference does not serve {model}"
    return f"{whom}; {instead} ({insist})"


# --- an input that is too long ---------------------------------------------------------------


def too_long_advice(task: Task, otherwise: str | None) -> str | None:
    """Return what to do about an input that is longer than the model accepts.

    Args:
        otherwise: for a task that reads neither text nor tables.
    """
    kinds = {one.kind for one in task.inputs}
    if Kind.TABLE in kinds:
        return "Give the table fewer rows or columns, or choose a model that accepts larger tables"
    if Kind.TEXT not in kinds:
        return otherwise
    specs = (*own_specs(task), *parameter_specs(task))
    truncates = any(spec.name == "truncate" and spec.type == "boolean" for spec in specs)
    truncate = "set truncate = true, " if truncates else ""
    return (
        f"Shorten the text, for example with LEFT(text, 2000) in a sub-select, {truncate}or choose a model that "
        "accepts longer texts"
    )


# --- once a query has failed -----------------------------------------------------------------


class Adviser:
    """Adds advice to errors that concern every row of a query; sends at most one request to the Hub.

    Args:
        token: of the query; the Hub gets it too.
    """

    def __init__(self, model: ModelSettings, engine: EngineSettings, token: str | None) -> None:
        self._model = model
        self._engine = engine
        self._token = token
        self._known: dict[tuple[str, str], str | None] = {}

    def advised(self, error: HuggingFaceError) -> HuggingFaceError:
        """Return ``error`` with advice for this model."""
        if not isinstance(error, (AccountError, ModelError)):
            return error
        known = (error.code, error.message)
        if known not in self._known:
            self._known[known] = self._advice(error)
        return error.advising(self._known[known])

    def _advice(self, error: HuggingFaceError) -> str | None:
        model, endpoint = self._model.model, self._model.endpoint
        if isinstance(error, ModelNotFound):
            if endpoint is not None:
                check = "Check model_name, endpoint and its path, and that the server supports this task"
                at = without_route(endpoint) if error.status == _NO_POST else None
                return f"{check}; for a server with OpenAI's API write endpoint = '{at}/v1'" if at else check
            return self._where_served(str(model)) or self._with_page(error.advice)
        if isinstance(error, Unauthorized) and self._token is not None and self._model.token is None:
            source = self._engine.token_source
            if source != "engine":
                return (
                    f"The engine has no token of its own, so the one from the server's {source} is used. {error.advice}"
                )
        return self._with_page(error.advice)

    def _with_page(self, advice: str | None) -> str | None:
        model = self._model.model
        if advice is None or model is None or self._model.endpoint is not None:
            return advice
        return advice.replace(MODEL_PAGE, f"https://huggingface.co/{model}")

    def _where_served(self, model: str) -> str | None:
        try:
            served = facts.providers(model, token=self._token, timeout=HUB_TIMEOUT)
        except ModelNotFound as error:
            return f"{error.message}: {error.advice[:1].lower()}{error.advice[1:]}" if error.advice else error.message
        except HuggingFaceError:
            return None
        if served is None:
            return None
        task, provider = TASKS[self._model.task], self._model.provider
        serving = Serving.of(task, served)
        able = [name for name in self._model.providers if name in serving.able]
        if able:
            return (
                f"The Hub lists it at {listed(able)}, so this may be temporary: run the query again in a few minutes, "
                f"or check https://huggingface.co/{model}"
            )
        if provider in ROUTERS_CHOICE and serving.able:
            return (
                f"It is served by {listed(serving.able)}: enable one at "
                "https://huggingface.co/settings/inference-providers, "
                f"or create the model with provider = '{serving.able[0]}'"
            )
        return serving.instead(task, model, provider, "create the model with")
