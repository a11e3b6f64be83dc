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
    "base_url", "url", "replaces the Hugging Face router, for a gateway or a sandbox", example=f"'{ROUTER}'"
)  # fmt: skip

_DAY = 24 * 3600
_YEAR = 365 * _DAY

#: How many requests, when, and again: everything that ``Execution`` holds, in its order.
EXECUTION: tuple[ArgumentSpec, ...] = (
    ArgumentSpec(
        "on_error",
        "text",
        "what the first lasting error does: end the query, or leave the row NULL",
        default="raise",
        choices=("raise", "null"),
        example="'null'",
    ),
    ArgumentSpec(
        "use_cache", "boolean", "read answers from the cache and keep them there", default=True, example="false"
    ),
    ArgumentSpec(
        "cache_ttl",
        "integer",
        "seconds an answer is kept",
        default=_DAY,
        least=0,
        most=10 * _YEAR,
        example=f"{_DAY}",
    ),
    ArgumentSpec("max_batch_size", "integer", "rows in one request", default=32, least=1, most=1000, example="32"),
    ArgumentSpec(
        "max_concurrency", "integer", "requests under way at once", default=16, least=1, most=256, example="16"
    ),
    ArgumentSpec(
        "requests_per_minute",
        "number",
        "requests started in a minute, by all workers together",
        above=0,
        most=1_000_000,
        example="300",
    ),
    ArgumentSpec("timeout", "number", "seconds one request may take", default=60, above=0, most=3600, example="60"),
    ArgumentSpec(
        "max_retries",
        "integer",
        "how often a failed one is sent again; while others pass up to twice that, after 429 six times that",
        default=5,
        least=0,
        most=20,
        example="5",
    ),
    ArgumentSpec("deadline", "number", "seconds a query may take", above=0, most=7 * _DAY, example="600"),
    ArgumentSpec("max_requests", "integer", "requests a query may make", least=1, most=10**9, example="1000"),
    ArgumentSpec(
        "include_meta", "boolean", "add a column on how each answer came about", default=False, example="true"
    ),
    ArgumentSpec("dry_run", "boolean", "send nothing, say what would be sent", default=False, example="true"),
)

_EXECUTION = {form.name: form for form in EXECUTION}

#: What CREATE ML_ENGINE takes.
ENGINE: tuple[ArgumentSpec, ...] = (
    API_KEY,
    BASE_URL,
    ArgumentSpec(
        "allowed_hosts", "list", "further hosts that models and media URLs may reach, as host or host:port",
        example="'models.example.com, 10.0.0.5:8080'",
    ),
    ArgumentSpec("media_roots", "list", "folders from which media files may be read", example="'/srv/media'"),
    ArgumentSpec("bill_to", "text", "organisation that is billed", example="'my-org'"),
    *(
        replace(_EXECUTION[name], meaning=f"{_EXECUTION[name].meaning}, for the engine's models")
        for name in ("max_concurrency", "requests_per_minute", "timeout", "max_retries", "cache_ttl")
    ),
)  # fmt: skip

#: What CREATE MODEL takes for every task; further ones depend on the task.
MODEL: tuple[ArgumentSpec, ...] = (
    ArgumentSpec("task", "text", "what the model is asked to do, by the Hub's name", example="'text-classification'"),
    ArgumentSpec("model_name", "text", "the model's id on the Hub", aliases=("model",), example="'org/name'"),
    ArgumentSpec(
        "provider", "text", "the Inference Provider that runs the model",
        default="hf-inference, for chat auto", example="'hf-inference'",
    ),
    ArgumentSpec(
        "endpoint", "url", "URL of a server that serves one model",
        example="'https://my-endpoint.endpoints.huggingface.cloud'",
    ),
    replace(BASE_URL, meaning="as for the engine, for this model"),
    replace(API_KEY, meaning="as for the engine, for this model"),
    ArgumentSpec(
        "parameters", "object", "fields of the request's parameters; they may also be written one by one",
        example="{'top_k': 3}",
    ),
    ArgumentSpec("options", "object", "fields of the request's options", example="{'wait_for_model': true}"),
    *EXECUTION,
)  # fmt: skip

#: A template stands in for a column where the task allows it.
PROMPT_TEMPLATE = ArgumentSpec(
    "prompt_template", "template", "the prompt, with columns in double braces", example="'Summarise: {{review}}'"
)
#: Where the task talks in messages.
SYSTEM_PROMPT = ArgumentSpec(
    "system_prompt", "text", "what the model is told before the prompt", example="'Answer in one word.'"
)
#: Where the task makes media.
OUTPUT_DIR = ArgumentSpec(
    "output_dir", "text", "folder inside the engine's media_roots where generated media are written",
    example="'/srv/media/out'",
)  # fmt: skip

#: Settled when the model is created; a query cannot change them.
FIXED: tuple[str, ...] = ("task", "model_name", "provider", "endpoint", "base_url", "api_key", "engine")

#: MindsDB's own arguments, which may reach us.
HOST_CREATE: frozenset[str] = frozenset({"engine", "tag", "active", "join_learn_process"})
HOST_QUERY: frozenset[str] = frozenset({"batch_size", "track_column", "partition_size", "threads", "error"})
HOST_PREFIX = "__mdb"
