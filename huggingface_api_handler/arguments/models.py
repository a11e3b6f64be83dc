"""What an engine, a model and a query are told, once it has been validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import SecretStr

from ..errors import SettingsError
from ..tasks.task import Arguments, Dialect, ModelFacts
from .specs import ROUTER

#: Raised when what ``ModelSettings.to_dict`` returns changes its meaning.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Execution:
    """How many requests, when, and again.

    Attributes:
        on_error: ``raise`` ends the query with the first lasting error, ``null`` leaves the row NULL.
        use_cache: read answers from the cache and keep them there.
        cache_ttl: seconds an answer is kept.
        max_batch_size: rows in one request.
        max_concurrency: requests under way at once.
        requests_per_minute: requests started in a minute, by all workers together; ``None``: as many as go.
        timeout: seconds one request may take.
        max_retries: how often a failed request is sent again.
        deadline: seconds a query may take; ``None``: as long as it takes.
        max_requests: requests a query may make; ``None``: as many as it needs.
        include_meta: add a column on how each answer came about.
        dry_run: send nothing, say what would be sent.
    """

    on_error: str = "raise"
    use_cache: bool = True
    cache_ttl: int = 86_400
    max_batch_size: int = 32
    max_concurrency: int = 16
    requests_per_minute: float | None = None
    timeout: float = 60
    max_retries: int = 5
    deadline: float | None = None
    max_requests: int | None = None
    include_meta: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What CREATE ML_ENGINE settled.

    Attributes:
        token: the Hugging Face token; ``None``: calls are anonymous.
        token_source: where the token was found, in words.
        base_url: where requests go, without a slash at its end.
        allowed_hosts: ``host`` or ``host:port`` that may be reached beside the defaults.
        media_roots: folders from which media files may be read.
        bill_to: organisation that is billed.
        execution: defaults for the engine's models, only those that were given.
    """

    token: SecretStr | None = None
    token_source: str = "anonymous"
    base_url: str = ROUTER
    allowed_hosts: tuple[str, ...] = ()
    media_roots: tuple[str, ...] = ()
    bill_to: str | None = None
    execution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What CREATE MODEL settled, or what it amounts to for one query.

    Attributes:
        task: the Hub's name of the task.
        model: the model's id on the Hub, or what its endpoint calls it.
        provider: the Inference Provider.
        base_url: replaces the engine's.
        endpoint: URL of a server that serves this one model.
        columns: USING argument → column; a tuple of columns for ``input_columns``.
        prompt_template: text with ``{{column}}`` in it, instead of a column.
        output_dir: folder for generated media.
        values: the task's own arguments and constants.
        parameters: fields of the request's ``parameters``.
        options: fields of the request's ``options``.
        execution: how many, when, and again.
        facts: what the Hub says of the model.
        sources: argument → ``model``, ``engine``, ``query`` or ``default``.
        media_roots: the engine's, for this query.
        token: the model's own token; never part of ``to_dict``.
    """

    task: str
    model: str | None = None
    provider: str = "hf-inference"
    base_url: str | None = None
    endpoint: str | None = None
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    prompt_template: str | None = None
    output_dir: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    execution: Execution = Execution()
    facts: ModelFacts = field(default_factory=ModelFacts)
    sources: Mapping[str, str] = field(default_factory=dict)
    media_roots: tuple[str, ...] = ()
    token: SecretStr | None = None

    @property
    def system_prompt(self) -> str | None:
        """What the model is told before the prompt."""
        return self.values.get("system_prompt")

    def arguments(self, dialect: Dialect = Dialect.INFERENCE) -> Arguments:
        """Return what the task's ``encode`` and ``read`` are called with."""
        return Arguments(self.values, self.parameters, self.options, self.facts, dialect)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the token and the engine's folders, ready for JSON."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _NOT_KEPT}
        kept["columns"] = {name: _listed(column) for name, column in self.columns.items()}
        kept["execution"] = asdict(self.execution)
        kept["facts"] = {
            "id": self.facts.id,
            "pipeline_tag": self.facts.pipeline_tag,
            "tags": list(self.facts.tags),
            "id2label": dict(self.facts.id2label),
            "mask_token": self.facts.mask_token,
        }
        return {"format": FORMAT, **{name: _plain(value) for name, value in kept.items()}}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any], *, token: str | SecretStr | None = None) -> ModelSettings:
        """Return the settings that ``to_dict`` gave.

        Raises:
            SettingsError: for what another version of this package kept.
        """
        try:
            if kept["format"] != FORMAT:
                raise ValueError(f"format {kept['format']}")
            given = {name: value for name, value in kept.items() if name != "format"}
            given["columns"] = {
                name: tuple(column) if isinstance(column, list) else column for name, column in given["columns"].items()
            }
            given["execution"] = Execution(**given["execution"])
            facts = given["facts"]
            given["facts"] = ModelFacts(**{**facts, "tags": tuple(facts["tags"])})
            return cls(**given, token=as_secret(token))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SettingsError(
                "this model was created by another version of the handler",
                advice="RETRAIN it, or DROP MODEL and CREATE MODEL it again",
            ) from error


_NOT_KEPT = frozenset({"token", "media_roots"})


def as_secret(token: str | SecretStr | None) -> SecretStr | None:
    """Return ``token`` so that neither ``repr`` nor ``str`` shows it; ``None`` for an empty one."""
    if isinstance(token, SecretStr):
        return token
    return SecretStr(token) if token else None


def _listed(column: str | tuple[str, ...]) -> str | list[str]:
    return column if isinstance(column, str) else list(column)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
