"""Which model, task and provider go together, for people who chose what does not.

Nothing here fails: who cannot be asked, or says nothing, leaves the advice as it was.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..arguments import EngineSettings, ModelSettings
from ..arguments.task_specs import own_specs, parameter_specs
from ..arguments.validators import POLICIES
from ..errors import AccountError, HuggingFaceError, ModelError, ModelNotFound, Unauthorized
from ..hub import facts, provider_registry
from ..hub.facts import Served
from ..protocols.detect import without_route
from ..protocols.providers import offers
from ..tasks import TASKS
from ..tasks.task import Kind, Task

log = logging.getLogger(__name__)

#: The status of a URL that accepts no POST.
_NO_POST = 405

#: Seconds that the Hub has to answer, for advice alone.
HUB_TIMEOUT = 4.0
#: Stands in advice for the address of the very model's page.
MODEL_PAGE = "the model's page"

#: What stands in a message as a provider's name.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

#: (model id, token) → who serves it; ``None``: the Hub cannot say now.
WhoServes: TypeAlias = Callable[[str, "str | None"], "tuple[Served, ...] | None"]


def who_serves(model_id: str, token: str | None) -> tuple[Served, ...] | None:
    """Ask the Hub who serves a model, for no longer than ``HUB_TIMEOUT``; ``None`` where it does not say.

    Raises:
        HuggingFaceError: as for ``hub.providers``.
    """
    return facts.providers(model_id, token=token, timeout=HUB_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves a model, as one task sees it.

    Attributes:
        able: providers that serve it for the task.
        beyond: those that do, and that this package cannot ask for it.
        otherwise: other tasks of the registry for which it is served, each with its providers.
    """

    able: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()
    otherwise: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def of(cls, task: Task, served: Sequence[Served]) -> Serving:
        """Sort what the Hub says by what it means for ``task``."""
        able: list[str] = []
        beyond: list[str] = []
        otherwise: dict[str, list[str]] = {}
        for one in served:
            if one.status == "error" or not _NAME.fullmatch(one.provider):
                continue
            theirs = _task_of(one.task)
            # hf-inference may serve several tasks by one model, and the Hub names one of them.
            alike = one.provider == "hf-inference" and not task.chat and not (theirs is not None and theirs.chat)
            if theirs is task or alike:
                (able if offers.knows(one.provider, task) else beyond).append(one.provider)
            elif theirs is not None and offers.knows(one.provider, theirs):
                otherwise.setdefault(theirs.name, []).append(one.provider)
        return cls(tuple(able), tuple(beyond), {name: tuple(names) for name, names in otherwise.items()})

    def instead(self, task: Task, model: str, avoid: str | None, write: str, *, it: str = "it") -> str:
        """Return what to do instead of asking ``avoid``.

        Args:
            write: how to begin: ``write``, or ``create the model with``.
            it: what the model is called where nobody serves it.
        """
        default = task.default_model
        known = f"model_name = '{default}'" if default and "{" not in default and default != model else None
        others = [name for name in self.able if name != avoid]
        if others:
            # The router brings a chat to providers of which the installed huggingface_hub has not heard.
            chosen = next((name for name in others if name in provider_registry.helpers()), "auto")
            return f"it is served by {listed(others)}: {write} provider = '{chosen}'"
        for name, names in (self.otherwise or {}).items():
            # A chat finds its provider by itself.
            other = "" if TASKS[name].chat or names[0] == "hf-inference" else f", provider = '{names[0]}'"
            also = f", or another model, such as {known}" if known else ", or another model_name"
            return f"it is served for {name}, by {listed(names)}: {write} task = '{name}'{other}{also}"
        alone = f"it is served by {listed(self.beyond)} alone, which cannot be asked from here" if self.beyond else ""
        also = f"{known}, the task's default, or " if known else "another model_name, or "
        return (
            f"{alone or f'no Inference Provider serves {it}'}: {write} {also}"
            "endpoint = 'https://…' of an Inference Endpoint of your own"
        )


def _task_of(name: str | None) -> Task | None:
    """Return the task that a provider means: chat is ``conversational`` to them."""
    return next((one for one in TASKS.values() if name is not None and name in (one.name, *one.aliases)), None)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names in a sentence; those beyond ``most`` are "others"."""
    shown = [*names[:most], "others"] if len(names) > most else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


# --- before a model is created ---------------------------------------------------------------


def unserved(
    task: Task, model: str, provider: str | None, token: str | None, ask: WhoServes = who_serves
) -> str | None:
    """Return what is wrong with asking ``provider`` for ``model``; ``None`` where nothing is, or nobody knows.

    Args:
        provider: as the statement names it; ``None``: it names none.
    """
    if provider in ("hf-inference", "auto"):  # whoever insists knows better, or will see
        return None
    try:
        served = ask(model, token)
    except HuggingFaceError as error:  # its word on the model itself has been heard before
        log.info("the Hub does not say who serves %s: %s", model, error.code)
        return None
    if served is None:
        return None
    serving = Serving.of(task, served)
    wanted = provider or ("auto" if task.chat else "hf-inference")
    if wanted in serving.able or (wanted == "auto" and serving.able):
        return None
    if provider is not None:
        return f"{provider} does not serve {model} for {task.name}; {serving.instead(task, model, provider, 'write')}"
    insist = f"to have it asked there all the same, write provider = '{wanted}'"
    instead = serving.instead(task, model, wanted, "write", it=model)
    if not (serving.able or serving.beyond or serving.otherwise):
        return f"{instead} ({insist})"
    whom = f"nobody serves {model} for {task.name}" if task.chat else f"hf-inference does not serve {model}"
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
        f"Shorten the text, for instance with LEFT(text, 2000) in a sub-select, {truncate}"
        "or choose a model that accepts longer texts"
    )


# --- once a query has failed -----------------------------------------------------------------


class Adviser:
    """Says what to do about errors that every row of a query meets; asks the Hub once at most.

    Args:
        token: the one that the query sends, by which the Hub is asked too.
    """

    def __init__(
        self, model: ModelSettings, engine: EngineSettings, token: str | None, ask: WhoServes = who_serves
    ) -> None:
        self._model = model
        self._engine = engine
        self._token = token
        self._ask = ask
        self._known: dict[tuple[str, str], str | None] = {}

    def advised(self, error: HuggingFaceError) -> HuggingFaceError:
        """Return ``error`` with the best advice there is for this very model."""
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
                check = "Check endpoint, its path too, and model_name, and that the server supports this task"
                at = without_route(endpoint) if error.status == _NO_POST else None
                return f"{check}; for a server with OpenAI's API write endpoint = '{at}/v1'" if at else check
            return self._where_served(str(model)) or self._with_page(error.advice)
        if isinstance(error, Unauthorized) and self._token is not None and self._model.token is None:
            source = self._engine.token_source
            if source != "engine":
                return f"It is the token of the server's {source}, since the engine has none of its own. {error.advice}"
        return self._with_page(error.advice)

    def _with_page(self, advice: str | None) -> str | None:
        model = self._model.model
        if advice is None or model is None or self._model.endpoint is not None:
            return advice
        return advice.replace(MODEL_PAGE, f"https://huggingface.co/{model}")

    def _where_served(self, model: str) -> str | None:
        try:
            served = self._ask(model, self._token)
        except ModelNotFound as error:
            return f"{error.message}: {error.advice[:1].lower()}{error.advice[1:]}" if error.advice else error.message
        except HuggingFaceError:
            return None
        if served is None:
            return None
        task, asked = TASKS[self._model.task], self._model.provider
        serving = Serving.of(task, served)
        able = [name for name in self._model.providers if name in serving.able]
        if able:
            return (
                f"By the Hub's word {listed(able)} {'serve' if len(able) > 1 else 'serves'} it, so this may pass: run "
                f"the query again in a few minutes, or look at https://huggingface.co/{model}"
            )
        if asked in ("auto", *POLICIES) and serving.able:
            return (
                f"It is served by {listed(serving.able)}: enable one at "
                "https://huggingface.co/settings/inference-providers, "
                f"or create the model with provider = '{serving.able[0]}'"
            )
        return serving.instead(task, model, asked, "create the model with")
