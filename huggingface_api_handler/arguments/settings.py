"""The validated settings of an engine, a model and a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pydantic import SecretStr

from ..errors import SettingsError
from ..net.url_policy import ROUTER
from ..tasks.output_schema import OutputSchema, output_schema
from ..tasks.task import Arguments, ModelFacts
from .examples import rendered
from .specs import Execution

#: Incremented when the meaning of what ``ModelSettings.to_dict`` returns changes.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The arguments of CREATE ML_ENGINE.

    Attributes:
        token: the Hugging Face token; ``None``: requests are anonymous.
        token_source: where the token was found, in words.
        base_url: where requests go, without a slash at its end.
        allowed_hosts: additional ``host`` or ``host:port`` that may be reached.
        media_roots: folders from which media files may be read.
        bill_to: organization to bill.
        price: USD by what is billed: ``input``, ``output``, ``second``, ``request``.
        execution: defaults for the engine's models, only those that were given.
    """

    token: SecretStr | None = None
    token_source: str = "anonymous"
    base_url: str = ROUTER
    allowed_hosts: tuple[str, ...] = ()
    media_roots: tuple[str, ...] = ()
    bill_to: str | None = None
    price: Mapping[str, float] | None = None
    execution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The arguments of CREATE MODEL, and for one query with those of its USING.

    Attributes:
        task: the Hub's name of the task.
        model: the model's ID on the Hub, or what its endpoint calls it.
        provider: an Inference Provider, several in order of preference, ``auto`` or one of the router's policies,
            as it is stored: see ``providers``.
        base_url: replaces the engine's.
        endpoint: URL of a server that serves this one model.
        columns: USING argument → column; a tuple of columns for ``input_columns``.
        prompt_template: text with ``{{column}}`` in it, instead of a column.
        output_dir: folder for generated media.
        price: overrides the engine's.
        values: the task's own arguments and constants.
        parameters: fields of the request's ``parameters``.
        options: fields of the request's ``options``.
        execution: how requests are made, retried, limited and cached.
        facts: the Hub's record of the model.
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
    price: Mapping[str, float] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)
    facts: ModelFacts = field(default_factory=ModelFacts)
    sources: Mapping[str, str] = field(default_factory=dict)
    media_roots: tuple[str, ...] = ()
    token: SecretStr | None = None

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers in order of preference; ``auto`` or a policy is alone."""
        return tuple(self.provider.split(", "))

    @property
    def is_timed(self) -> bool:
        """Whether requests go to hf-inference or to an endpoint, where a second of compute is billed."""
        return self.endpoint is not None or self.provider == "hf-inference"

    @property
    def output_schema(self) -> OutputSchema | None:
        """The fields that an answer must have, each a column."""
        return output_schema(Arguments(self.values))

    def arguments(self) -> Arguments:
        """Return the arguments of the task's ``encode`` and ``read``; examples are pairs of a prompt and an answer."""
        values = dict(self.values)
        if "examples" in values:
            values["examples"] = rendered(values["examples"], self.prompt_template, values.get("output_schema"))
        return Arguments(values, self.parameters, self.options, self.facts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the token and the engine's folders, ready for JSON."""
        stored = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _NOT_STORED}
        stored["columns"] = {name: _listed(column) for name, column in self.columns.items()}
        stored["execution"] = asdict(self.execution)
        stored["facts"] = {
            "id": self.facts.id,
            "pipeline_tag": self.facts.pipeline_tag,
            "tags": list(self.facts.tags),
            "id2label": dict(self.facts.id2label),
            "mask_token": self.facts.mask_token,
        }
        return {"format": FORMAT, **{name: _plain(value) for name, value in stored.items()}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], *, token: str | SecretStr | None = None) -> ModelSettings:
        """Return the settings that ``to_dict`` returned; arguments added since then have their defaults.

        Raises:
            SettingsError: another version of this package stored them, in another format.
        """
        try:
            if stored["format"] != FORMAT:
                raise ValueError(f"format {stored['format']}")
            given = {name: value for name, value in stored.items() if name != "format"}
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
                advice="RETRAIN it, or DROP MODEL it and CREATE MODEL it again",
            ) from error


_NOT_STORED = frozenset({"token", "media_roots"})


def as_secret(token: str | SecretStr | None) -> SecretStr | None:
    """Return ``token`` hidden from ``repr`` and ``str``; ``None`` for an empty one."""
    if isinstance(token, SecretStr):
        return token
    return SecretStr(token) if token else None


def secret_text(token: SecretStr | None) -> str | None:
    """Return the text of a token, if there is one."""
    return None if token is None else token.get_secret_value()


def _listed(column: str | tuple[str, ...]) -> str | list[str]:
    return column if isinstance(column, str) else list(column)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
