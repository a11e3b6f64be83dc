"""The table of arguments: what each is called, what it accepts, its default and where it may be given.

Validation, messages, MindsDB's forms (``creation_args.py``, ``model_using_args.py``) and the reference
tables of the documentation follow from here. See the package's docstring for how to add an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..net.url_policy import ROUTER

ENGINE_LEVEL, MODEL_LEVEL, QUERY_LEVEL = "engine", "model", "query"
#: The statements that take most arguments: CREATE MODEL, and SELECT to override it.
_MODEL_AND_QUERY = (MODEL_LEVEL, QUERY_LEVEL)
_EVERYWHERE = (ENGINE_LEVEL, MODEL_LEVEL, QUERY_LEVEL)


@dataclass(frozen=True, slots=True)
class ArgumentSpec:
    """One argument: its name and what it accepts.

    Attributes:
        type: ``text``, ``number``, ``integer``, ``boolean``, ``list``, ``object``, ``any``, or a special kind
            of text: ``secret``, ``url``, ``column``, ``columns``, ``template``. Alternatives are joined with
            `` or ``: ``boolean or text``.
        meaning: what it is, for the documentation.
        aliases: other names of the same argument.
        default: the value if none is given.
        least, most: bounds of a number, both allowed.
        above: an exclusive lower bound.
        choices: the only texts that are accepted.
        items: type of a list's items. ``name``: text without the white space around it, and not empty.
        example: a good value in SQL, for messages.
        levels: the statements that accept it: ``engine`` (CREATE ML_ENGINE), ``model`` (CREATE MODEL),
            ``query`` (SELECT).
        is_cap: whether the engine's value is the most that its models and their queries may have.
    """

    name: str
    type: str
    meaning: str
    aliases: tuple[str, ...] = ()
    default: Any = None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    items: str = "name"
    example: str | None = None
    levels: tuple[str, ...] = _MODEL_AND_QUERY
    is_cap: bool = False

    @property
    def secret(self) -> bool:
        return self.type == "secret"

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return self.name, *self.aliases

    @property
    def label(self) -> str:
        """The name for people: ``Base URL``."""
        words = self.name.split("_")
        return " ".join(_LABELS.get(word, word if at else word.capitalize()) for at, word in enumerate(words))


_LABELS = {"api": "API", "url": "URL", "ttl": "TTL"}


# --- how requests are made -------------------------------------------------------------------

_DAY = 24 * 3600
_YEAR = 365 * _DAY

#: The type of an argument, by the annotation of its field in ``Execution``.
_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "text"}


def _argument(default: Any, meaning: str, **more: Any) -> Any:
    """Return a field of ``Execution`` that is an argument; ``more`` are attributes of its ``ArgumentSpec``."""
    return field(default=default, metadata={"meaning": meaning, **more})


@dataclass(frozen=True, slots=True)
class Execution:
    """How requests are made, retried, limited and cached. Each field is an argument, with its only default.

    ``None`` is no limit.
    """

    on_error: str = _argument(
        "raise", "after an error that retries cannot fix: stop the query (raise), or set the row to NULL (null)",
        choices=("raise", "null"), example="'null'",
    )  # fmt: skip
    use_cache: bool = _argument(True, "read answers from the cache and store new ones in it", example="false")
    cache_ttl: int = _argument(
        _DAY, "seconds that a stored answer stays valid",
        least=0, most=10 * _YEAR, example=f"{_DAY}", levels=_EVERYWHERE,
    )  # fmt: skip
    max_batch_size: int = _argument(32, "maximum rows per request", least=1, most=1000, example="32")
    max_concurrency: int = _argument(
        16, "maximum concurrent requests", least=1, most=256, example="16", levels=_EVERYWHERE
    )
    requests_per_minute: float | None = _argument(
        None, "maximum requests per minute, for all workers together",
        above=0, most=1_000_000, example="300", levels=_EVERYWHERE,
    )  # fmt: skip
    timeout: float = _argument(
        60, "maximum seconds per request", least=0.1, most=3600, example="60", levels=_EVERYWHERE
    )
    max_retries: int = _argument(
        5,
        "retries of a failed request; up to twice as many while other requests succeed",
        least=0, most=20, example="5", levels=_EVERYWHERE,
    )  # fmt: skip
    deadline: float | None = _argument(None, "maximum seconds per query", above=0, most=7 * _DAY, example="600")
    max_requests: int | None = _argument(None, "maximum requests per query", least=1, most=10**9, example="1000")
    max_cost: float | None = _argument(
        None, "maximum USD per query",
        above=0, most=1_000_000, example="0.50", levels=_EVERYWHERE, is_cap=True,
    )  # fmt: skip
    max_cost_per_day: float | None = _argument(
        None, "maximum USD per day (UTC), for all models and workers of the engine together",
        above=0, most=1_000_000, example="10", levels=(ENGINE_LEVEL,),
    )  # fmt: skip
    include_meta: bool = _argument(
        False, "add a JSON column with the source, attempts, latency and cost of each answer", example="true"
    )
    dry_run: bool = _argument(False, "send nothing and show what would be sent, and at what cost", example="true")


#: The arguments that ``Execution`` holds, in its order.
EXECUTION: tuple[ArgumentSpec, ...] = tuple(
    ArgumentSpec(one.name, _TYPES[str(one.type).removesuffix(" | None")], default=one.default, **one.metadata)
    for one in fields(Execution)
)


# --- which model, where ----------------------------------------------------------------------

API_KEY = ArgumentSpec(
    "api_key", "secret", "Hugging Face token",
    aliases=("huggingface_api_api_key",), example="'hf_…'", levels=(ENGINE_LEVEL, MODEL_LEVEL),
)  # fmt: skip
BASE_URL = ArgumentSpec(
    "base_url", "url", "replaces the Hugging Face router's URL, for a gateway or the sandbox",
    example=f"'{ROUTER}'", levels=(ENGINE_LEVEL, MODEL_LEVEL),
)  # fmt: skip
TASK = ArgumentSpec(
    "task", "text", "the task, by its name on the Hub", example="'text-classification'", levels=(MODEL_LEVEL,)
)
MODEL_NAME = ArgumentSpec(
    "model_name", "text", "the model's ID on the Hub",
    aliases=("model",), example="'org/name'", levels=(MODEL_LEVEL,),
)  # fmt: skip
PROVIDER = ArgumentSpec(
    "provider", "list",
    "the Inference Provider that runs the model, or several in order of preference; for chat-completion also fastest, "
    "cheapest or preferred",
    default="hf-inference (chat-completion: auto)", example="'hf-inference'", levels=(MODEL_LEVEL,),
)  # fmt: skip
ENDPOINT = ArgumentSpec(
    "endpoint", "url", "URL of a server that serves one model",
    example="'https://my-endpoint.endpoints.huggingface.cloud'", levels=(MODEL_LEVEL,),
)  # fmt: skip
ALLOWED_HOSTS = ArgumentSpec(
    "allowed_hosts", "list", "additional hosts that models and media URLs may reach, as host or host:port",
    example="'models.example.com, 10.0.0.5:8080'", levels=(ENGINE_LEVEL,),
)  # fmt: skip
MEDIA_ROOTS = ArgumentSpec(
    "media_roots", "list", "folders where media files may be read and generated files written",
    example="'/srv/media'", levels=(ENGINE_LEVEL,),
)  # fmt: skip
BILL_TO = ArgumentSpec("bill_to", "text", "organization to bill", example="'my-org'", levels=(ENGINE_LEVEL,))
PRICE = ArgumentSpec(
    "price", "object",
    "what the service charges, in USD: input and output (per million tokens), second (of compute), request",
    example='{"input": 0.6, "output": 0.8}', levels=(ENGINE_LEVEL, MODEL_LEVEL),
)  # fmt: skip
PARAMETERS = ArgumentSpec(
    "parameters", "object", "task parameters; each can also be written as a separate argument",
    example="{'top_k': 3}",
)  # fmt: skip
OPTIONS = ArgumentSpec(
    "options", "object", "request options, such as wait_for_model", example="{'wait_for_model': true}"
)

STOP = ArgumentSpec(
    "stop", "boolean", "true: stop the running queries of this model and send nothing",
    example="true", levels=(QUERY_LEVEL,),
)  # fmt: skip
CLEAR_CACHE = ArgumentSpec(
    "clear_cache", "boolean", "true: delete the stored answers of this model and send nothing",
    example="true", levels=(QUERY_LEVEL,),
)  # fmt: skip
#: What a SELECT does instead of asking the model.
COMMANDS: tuple[ArgumentSpec, ...] = (STOP, CLEAR_CACHE)

#: All arguments that do not depend on the task.
ARGUMENTS: tuple[ArgumentSpec, ...] = (
    TASK, MODEL_NAME, PROVIDER, ENDPOINT, API_KEY, BASE_URL, ALLOWED_HOSTS, MEDIA_ROOTS, BILL_TO, PRICE, PARAMETERS,
    OPTIONS, *EXECUTION, *COMMANDS,
)  # fmt: skip


def _as_of_engine(spec: ArgumentSpec) -> ArgumentSpec:
    if spec.is_cap:
        return replace(spec, meaning=f"{spec.meaning}, which models and queries cannot raise")
    is_default = QUERY_LEVEL in spec.levels
    return replace(spec, meaning=f"{spec.meaning}; default for the engine's models") if is_default else spec


def _as_of_model(spec: ArgumentSpec) -> ArgumentSpec:
    overrides = ENGINE_LEVEL in spec.levels and QUERY_LEVEL not in spec.levels
    return replace(spec, meaning=f"overrides the engine's {spec.name}") if overrides else spec


#: What CREATE ML_ENGINE accepts.
ENGINE: tuple[ArgumentSpec, ...] = tuple(_as_of_engine(spec) for spec in ARGUMENTS if ENGINE_LEVEL in spec.levels)
#: What CREATE MODEL accepts for every task; others depend on the task (``task_specs``).
MODEL: tuple[ArgumentSpec, ...] = tuple(_as_of_model(spec) for spec in ARGUMENTS if MODEL_LEVEL in spec.levels)
#: What SELECT … USING accepts for every task.
QUERY: tuple[ArgumentSpec, ...] = tuple(spec for spec in ARGUMENTS if QUERY_LEVEL in spec.levels)
#: What only CREATE ML_ENGINE accepts.
ENGINE_ONLY: frozenset[str] = frozenset(
    name for spec in ARGUMENTS if spec.levels == (ENGINE_LEVEL,) for name in spec.names
)
#: Names that a query cannot change.
FIXED: frozenset[str] = frozenset(name for spec in MODEL if QUERY_LEVEL not in spec.levels for name in spec.names) | {
    "engine"
}


# --- what some tasks accept ------------------------------------------------------------------

#: Instead of a column, if the task allows it.
PROMPT_TEMPLATE = ArgumentSpec(
    "prompt_template", "template", "the prompt, with column names in double braces", example="'Summarise: {{review}}'"
)
#: For tasks with messages.
SYSTEM_PROMPT = ArgumentSpec(
    "system_prompt", "text", "the system message, sent before the prompt", example="'Answer in one word.'"
)
#: For language models: what an answer must hold, and what good answers look like.
OUTPUT_SCHEMA = ArgumentSpec(
    "output_schema", "object or text", "the fields of the answer and their types, each a column of the model",
    example="'topic text, urgent boolean, mood text in (good, bad)'",
)  # fmt: skip
EXAMPLES = ArgumentSpec(
    "examples", "list", "examples of inputs and their answers, sent before the prompt", items="object",
    example="[{'input': 'Where is my parcel?', 'output': 'delivery'}]",
)  # fmt: skip
#: For language models: several rows in one prompt.
ROWS_PER_REQUEST = ArgumentSpec(
    "rows_per_request", "integer", "maximum rows that share one prompt", default=1, least=1, most=100, example="20"
)
AUDIT = ArgumentSpec(
    "audit", "number", "share of the rows with a shared prompt that are also sent alone, to compare the answers",
    default=0, least=0, most=1, example="0.02",
)  # fmt: skip
AUDIT_AGREEMENT = ArgumentSpec(
    "audit_agreement", "number", "share of the audited rows whose answers must agree; below it rows are sent alone",
    default=0.95, least=0, most=1, example="0.95",
)  # fmt: skip
PACKING: tuple[ArgumentSpec, ...] = (ROWS_PER_REQUEST, AUDIT, AUDIT_AGREEMENT)
#: For tasks that generate media.
OUTPUT_DIR = ArgumentSpec(
    "output_dir", "text", "folder inside media_roots to write generated files to", example="'/srv/media/out'"
)


# --- what MindsDB passes along ---------------------------------------------------------------

#: MindsDB's own arguments, which are ignored here.
HOST_CREATE: frozenset[str] = frozenset({"engine", "tag", "active", "join_learn_process"})
HOST_QUERY: frozenset[str] = frozenset({"batch_size", "track_column", "partition_size", "threads", "error"})
HOST_PREFIX = "__mdb"
#: What our patch of JOIN adds to USING: the columns that WHERE compares with ``=``.
HOST_CONDITIONS = "__mdb_conditions"
#: And the columns of the model that WHERE compares with columns of a table: name → the condition for ON.
HOST_EQUAL_COLUMNS = "__mdb_equal_columns"
