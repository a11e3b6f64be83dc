"""The arguments that every engine, or every model, knows: the tables that all else follows from.

``creation_args.py`` and ``model_using_args.py`` hold the same names as plain constants for
MindsDB; the reference tables of the documentation are made from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

#: Where requests go unless an engine or a model says otherwise.
ROUTER = "https://router.huggingface.co/hf-inference"


@dataclass(frozen=True, slots=True)
class ArgumentSpec:
    """One argument: its name and what may be written there.

    Attributes:
        type: ``text``, ``number``, ``integer``, ``boolean``, ``list``, ``object``, or one that
            says more of a text: ``secret``, ``url``, ``column``, ``columns``, ``template``.
        meaning: what it is, for the documentation.
        aliases: other names of the same argument.
        default: what holds where nobody gives it.
        least, most: bounds of a number, both allowed themselves.
        above: a bound that is not allowed itself.
        choices: the values there are; others are refused.
        example: how a good value is written in SQL, for messages.
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
    example: str | None = None

    @property
    def secret(self) -> bool:
        return self.type == "secret"


API_KEY = ArgumentSpec(
    "api_key", "secret", "Hugging Face token", aliases=("huggingface_api_api_key",), example="'hf_…'"
)  # fmt: skip
BASE_URL = ArgumentSpec(
    "base_url", "url", "replaces the Hugging Face router's URL, for a gateway or the sandbox", example=f"'{ROUTER}'"
)  # fmt: skip

_DAY = 24 * 3600
_YEAR = 365 * _DAY

#: How many requests, when, and again: everything that ``Execution`` holds, in its order.
EXECUTION: tuple[ArgumentSpec, ...] = (
    ArgumentSpec(
        "on_error",
        "text",
        "after an error that retries cannot fix: stop the query (raise), or set the row to NULL (null)",
        default="raise",
        choices=("raise", "null"),
        example="'null'",
    ),
    ArgumentSpec(
        "use_cache", "boolean", "read answers from the cache and store new ones in it", default=True, example="false"
    ),
    ArgumentSpec(
        "cache_ttl",
        "integer",
        "seconds that a stored answer stays valid",
        default=_DAY,
        least=0,
        most=10 * _YEAR,
        example=f"{_DAY}",
    ),
    ArgumentSpec("max_batch_size", "integer", "maximum rows per request", default=32, least=1, most=1000, example="32"),
    ArgumentSpec(
        "max_concurrency", "integer", "maximum concurrent requests", default=16, least=1, most=256, example="16"
    ),
    ArgumentSpec(
        "requests_per_minute",
        "number",
        "maximum requests per minute, for all workers together",
        above=0,
        most=1_000_000,
        example="300",
    ),
    ArgumentSpec("timeout", "number", "maximum seconds per request", default=60, above=0, most=3600, example="60"),
    ArgumentSpec(
        "max_retries",
        "integer",
        "retries of a failed request; up to twice as many while other requests succeed, six times as many after 429",
        default=5,
        least=0,
        most=20,
        example="5",
    ),
    ArgumentSpec("deadline", "number", "maximum seconds per query", above=0, most=7 * _DAY, example="600"),
    ArgumentSpec("max_requests", "integer", "maximum requests per query", least=1, most=10**9, example="1000"),
    ArgumentSpec(
        "include_meta",
        "boolean",
        "add a JSON column with the source, attempts and latency of each answer",
        default=False,
        example="true",
    ),
    ArgumentSpec("dry_run", "boolean", "send nothing and show what would be sent", default=False, example="true"),
)

_EXECUTION = {form.name: form for form in EXECUTION}

#: What CREATE ML_ENGINE takes.
ENGINE: tuple[ArgumentSpec, ...] = (
    API_KEY,
    BASE_URL,
    ArgumentSpec(
        "allowed_hosts", "list", "additional hosts that models and media URLs may reach, as host or host:port",
        example="'models.example.com, 10.0.0.5:8080'",
    ),
    ArgumentSpec(
        "media_roots", "list", "folders where media files may be read and generated files written",
        example="'/srv/media'",
    ),
    ArgumentSpec("bill_to", "text", "organization to bill", example="'my-org'"),
    *(
        replace(_EXECUTION[name], meaning=f"{_EXECUTION[name].meaning}; default for the engine's models")
        for name in ("max_concurrency", "requests_per_minute", "timeout", "max_retries", "cache_ttl")
    ),
)  # fmt: skip

#: What CREATE MODEL takes for every task; further ones depend on the task.
MODEL: tuple[ArgumentSpec, ...] = (
    ArgumentSpec("task", "text", "the task, by its name on the Hub", example="'text-classification'"),
    ArgumentSpec("model_name", "text", "the model's ID on the Hub", aliases=("model",), example="'org/name'"),
    ArgumentSpec(
        "provider", "text", "the Inference Provider that runs the model",
        default="hf-inference (chat-completion: auto)", example="'hf-inference'",
    ),
    ArgumentSpec(
        "endpoint", "url", "URL of a server that serves one model",
        example="'https://my-endpoint.endpoints.huggingface.cloud'",
    ),
    replace(BASE_URL, meaning="overrides the engine's base_url"),
    replace(API_KEY, meaning="overrides the engine's api_key"),
    ArgumentSpec(
        "parameters", "object", "task parameters; each can also be written as an argument of its own",
        example="{'top_k': 3}",
    ),
    ArgumentSpec("options", "object", "request options, such as wait_for_model", example="{'wait_for_model': true}"),
    *EXECUTION,
)  # fmt: skip

#: A template stands in for a column where the task allows it.
PROMPT_TEMPLATE = ArgumentSpec(
    "prompt_template", "template", "the prompt, with column names in double braces", example="'Summarise: {{review}}'"
)
#: Where the task talks in messages.
SYSTEM_PROMPT = ArgumentSpec(
    "system_prompt", "text", "the system message, sent before the prompt", example="'Answer in one word.'"
)
#: Where the task makes media.
OUTPUT_DIR = ArgumentSpec(
    "output_dir", "text", "folder inside media_roots to write generated files to",
    example="'/srv/media/out'",
)  # fmt: skip

#: Settled when the model is created; a query cannot change them.
FIXED: tuple[str, ...] = ("task", "model_name", "provider", "endpoint", "base_url", "api_key", "engine")

#: MindsDB's own arguments, which may reach us.
HOST_CREATE: frozenset[str] = frozenset({"engine", "tag", "active", "join_learn_process"})
HOST_QUERY: frozenset[str] = frozenset({"batch_size", "track_column", "partition_size", "threads", "error"})
HOST_PREFIX = "__mdb"
