"""Which servers are asked, what for, and what must become of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from huggingface_api_handler.arguments.coercion import as_sql
from huggingface_api_handler.arguments.schema import read_schema

HERE = Path(__file__).parent

# --- servers --------------------------------------------------------------------------------------

#: On Linux, PyPI's is a build of several GB for GPUs: PIP_EXTRA_INDEX_URL may name where a smaller one is.
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Server:
    """A server of PyPI.

    Attributes:
        name: of its environment, its log and its results.
        packages: what pip installs for it, in this order; the first one named is the server.
        told: packages whose versions the results tell.
        maker: the script that makes its models.
        models: the tiny models that it serves.
        command: its program in ``bin`` and arguments; ``{port}``, ``{here}`` and ``{models}`` are filled in.
        base: (task, USING arguments that every case of it has).
    """

    name: str
    packages: tuple[str, ...]
    told: tuple[str, ...]
    maker: str
    models: tuple[str, ...]
    command: tuple[str, ...]
    base: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


GREEDY = {"max_tokens": 8, "temperature": 0}
TRANSFORMERS = Server(
    "transformers",
    (TORCH, "transformers[serving]==5.23.0"),
    ("transformers", "torch"),
    "tiny_models.py",
    ("chat",),
    ("transformers", "serve", "{models}/chat", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"),
    {"chat-completion": GREEDY, "text-generation": {"max_new_tokens": 8}},
)
INFINITY = Server(
    "infinity",
    (TORCH, "infinity-emb[torch,server]==0.0.78"),
    ("infinity-emb", "transformers", "torch"),
    "tiny_models.py",
    ("vectors", "ranks", "labels"),
    (
        "infinity_emb", "v2", "--host", "127.0.0.1", "--port", "{port}", "--engine", "torch", "--device", "cpu",
        "--no-bettertransformer", "--no-compile", "--no-model-warmup",
        "--model-id", "{models}/vectors", "--served-model-name", "vectors",
        "--model-id", "{models}/ranks", "--served-model-name", "ranks",
        "--model-id", "{models}/labels", "--served-model-name", "labels",
    ),
    {
        "feature-extraction": {"model_name": "vectors"},
        "text-ranking": {"model_name": "ranks"},
        "text-classification": {"model_name": "labels"},
    },
)  # fmt: skip


def _llama(kind: str, base: Mapping[str, Mapping[str, Any]]) -> Server:
    return Server(
        f"llama.cpp-{kind}", ("xllamacpp==2026.10.11549", "gguf==0.19.0"), ("xllamacpp",), "tiny_gguf.py",
        (f"{kind}.gguf",), ("python", "{here}/llama_server.py", kind, f"{{models}}/{kind}.gguf", "{port}"), base,
    )  # fmt: skip


LLAMA_CHAT = _llama("chat", {"chat-completion": GREEDY, "text-generation": {"max_new_tokens": 8}})
LLAMA_VECTORS = _llama("vectors", {})
LLAMA_RANKS = _llama("ranks", {})

SERVERS = (TRANSFORMERS, INFINITY, LLAMA_CHAT, LLAMA_VECTORS, LLAMA_RANKS)

# --- what must become of a case -------------------------------------------------------------------

#: The values are those of the model, asked without the handler: see direct.py and native.py.
DIRECT = "as the model run directly"
#: The values are those without the argument.
IGNORED = "ignored by the server"
REFUSED = "refused by this package, with a reason"


def error(code: str) -> str:
    """Return that each row has the error with this code."""
    return f"`{code}`"


def _answered(result: pd.DataFrame) -> pd.DataFrame:
    return result[result["y_error_type"].isna()]


def _fits(result: pd.DataFrame, schema: str) -> bool:
    """Return whether each row has valid cells or, where the model ran on to its limit, the one error for that."""
    errors = set(result["y_error_type"].dropna())
    known = read_schema(schema)
    good = _answered(result)
    cells = [known.cells(value) for value in good["y"]]
    shown = [[None if pd.isna(cell) else cell for cell in row] for row in good[list(known.names)].to_numpy().tolist()]
    return len(good) > 0 and errors <= {"invalid_answer"} and cells == shown


SCHEMA = (
    "topic text in (fruit, 'daily news'), urgent boolean, score number, amount integer, tags list in (a, b), "
    "day date, at datetime, grade integer in (1, 2, 3)"
)
FREE = "title text, urgent boolean"

CHECKS: Mapping[str, Callable[[pd.DataFrame], bool]] = {
    "each row has values of the columns' types, or `invalid_answer`": lambda result: _fits(result, SCHEMA),
    "a text that reaches the limit of tokens: `invalid_answer` on that row alone": lambda result: _fits(result, FREE),
    "`invalid_input` on that row alone": lambda result: (
        list(result["y_error_type"].fillna("")) == ["", "", "", "invalid_input"]
    ),
    "JSON": lambda result: all(isinstance(json.loads(value), dict) for value in _answered(result)["y"]),
    "a score for each document, another one for each": lambda result: result["y"].nunique() == len(result),
    "the log probabilities are in `<target>_explain`": lambda result: all(
        '"logprobs"' in value for value in result["y_explain"]
    ),
}  # fmt: skip
TYPED, LIMITED, TOO_LONG, JSON, SCORES, LOGPROBS = CHECKS


#: Arguments that say how rows are sent, not what is asked.
_NOT_TOLD = ("max_concurrency",)


@dataclass(frozen=True)
class Case:
    """A task at a server with arguments, and what must become of it.

    Attributes:
        rows: the cells of each row.
        using: arguments beside those of the server's base; one that is ``None`` is left out of them.
        expect: ``DIRECT``, ``IGNORED``, ``REFUSED``, what ``refused`` returns, or the name of a check.
        path: what follows the server's URL in ``endpoint``.
        shown: the arguments in the table, if not as they are written in SQL.
    """

    server: Server
    task: str
    rows: tuple[tuple[str, ...], ...]
    using: Mapping[str, Any]
    expect: str
    path: str = ""
    shown: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """All USING arguments of the task."""
        own = {**self.server.base.get(self.task, {}), **self.using}
        return {name: value for name, value in own.items() if value is not None}

    @property
    def title(self) -> str:
        """The arguments as they are written in SQL, for the table."""
        told = {name: value for name, value in self.using.items() if name not in _NOT_TOLD and value is not None}
        return self.shown or ", ".join(f"`{name} = {as_sql(value)}`" for name, value in told.items()) or "none"


WORDS = ("red", "green", "apple", "pear", "market", "news", "flight", "cheap", "bread", "price")
TEXTS = tuple((f"{first} {second}",) for first in WORDS for second in WORDS[:7])
LINES = (("good bread",), ("bad news",), ("the red apple",))
LONG = (*LINES, ("red apple " * 300,))
RANKED = tuple((query, f"{word} {query}") for query in ("cheap flight", "red apple") for word in WORDS)
EXAMPLE = [{"input": "red", "output": "apple"}]
OBJECT = {"type": "json_object"}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]


def _each(server: Server, task: str, rows: tuple[tuple[str, ...], ...], expect: str, *using: Any) -> tuple[Case, ...]:
    return tuple(Case(server, task, rows, one, expect) for one in using)


_CHAT = "chat-completion"
_TEXT = "text-generation"
_VECTORS = "feature-extraction"
_RANKS = "text-ranking"
_LABELS = "text-classification"

#: A seed tells the samples of one request after the other only.
_SAMPLES = {"temperature": 1.5, "seed": 3, "max_concurrency": 1}

_OF_TRANSFORMERS = (
    Case(TRANSFORMERS, _CHAT, LINES, {}, DIRECT),
    Case(TRANSFORMERS, _CHAT, LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *_each(
        TRANSFORMERS, _CHAT, LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE},
        {"max_tokens": 20}, {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]},
        {"logit_bias": {"20": 50.5}}, {"n": 1}, _SAMPLES, {**_SAMPLES, "seed": 4}, {**_SAMPLES, "top_p": 0.3},
    ),
    *_each(
        TRANSFORMERS, _CHAT, LINES, IGNORED, {"presence_penalty": 1.5}, {"logprobs": True}, {"tool_choice": "none"},
    ),
    *_each(TRANSFORMERS, _CHAT, LINES, error("invalid_answer"), {"response_format": OBJECT}, {"output_schema": FREE}),
    *_each(TRANSFORMERS, _CHAT, LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    Case(TRANSFORMERS, _CHAT, LINES, {"model_name": "org/other"}, error("invalid_input")),
    Case(TRANSFORMERS, _TEXT, LINES, {}, DIRECT),
    *_each(
        TRANSFORMERS, _TEXT, LINES, DIRECT, {"max_new_tokens": 20}, {"max_new_tokens": None, "max_output_length": 5},
        {"stop": ["e"]}, {"details": True}, _SAMPLES, {**_SAMPLES, "top_p": 0.3},
        {"do_sample": True, "seed": 3, "max_concurrency": 1},
    ),
    *_each(
        TRANSFORMERS, _TEXT, LINES, REFUSED, {"return_full_text": True}, {"watermark": True}, {"top_n_tokens": 2},
        {"decoder_input_details": True}, {"adapter_id": "x"}, {"grammar": {"type": "json", "value": {}}},
    ),
    *_each(
        TRANSFORMERS, _TEXT, LINES, error("invalid_settings"), {"top_k": 5}, {"typical_p": 0.5},
        {"repetition_penalty": 1.5}, {"min_output_length": 5}, {"truncate": 2},
    ),
    Case(TRANSFORMERS, _VECTORS, LINES, {}, error("model_not_found")),
    Case(TRANSFORMERS, "summarization", LINES, {}, error("model_not_found")),
)  # fmt: skip

_OF_INFINITY = (
    Case(INFINITY, _VECTORS, TEXTS, {}, DIRECT),
    *_each(
        INFINITY, _VECTORS, LONG, DIRECT, {"normalize": True}, {"dimensions": 8, "normalize": True},
        {"truncate": True}, {"truncation_direction": "right"}, {"pooling": "mean"},
    ),
    *_each(
        INFINITY, _VECTORS, LINES, REFUSED, {"normalize": False}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    Case(INFINITY, _VECTORS, LINES, {"dimensions": 64}, error("invalid_settings")),
    Case(INFINITY, _VECTORS, LINES, {"model_name": None}, error("model_not_found"), shown="no `model_name`"),
    Case(INFINITY, _VECTORS, LINES, {"model_name": "ranks"}, error("invalid_input")),
    Case(INFINITY, _RANKS, RANKED, {}, DIRECT),
    *_each(INFINITY, _RANKS, RANKED, DIRECT, {"raw_scores": True}, {"raw_scores": False}, {"truncate": True}),
    Case(INFINITY, _RANKS, RANKED[:2], {"model_name": "vectors"}, error("invalid_input")),
    Case(INFINITY, _LABELS, TEXTS, {}, DIRECT),
    *_each(
        INFINITY, _LABELS, LINES, DIRECT, {"top_k": 1}, {"top_k": 2}, {"function_to_apply": "softmax"},
    ),
    *_each(INFINITY, _LABELS, LINES, REFUSED, {"function_to_apply": "none"}, {"function_to_apply": "sigmoid"}),
    Case(INFINITY, _LABELS, LINES, {"labels": "low, middle, high"}, error("invalid_settings")),
    Case(INFINITY, _CHAT, LINES, {"model_name": "vectors"}, error("model_not_found")),
)  # fmt: skip

_GUIDED = {"max_tokens": 600, "temperature": None, "seed": 1}
_OF_LLAMA = (
    Case(LLAMA_CHAT, _CHAT, LINES, {}, DIRECT),
    Case(LLAMA_CHAT, _CHAT, LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *_each(
        LLAMA_CHAT, _CHAT, LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE},
        {"max_tokens": 20}, {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]},
        {"logit_bias": {"300": 50}}, {"frequency_penalty": 1.5, "max_tokens": 40},
        {"presence_penalty": 1.5, "max_tokens": 40}, {"n": 1}, {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 4}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
    ),
    Case(LLAMA_CHAT, _CHAT, LINES, {"logprobs": True, "top_logprobs": 2}, LOGPROBS),
    Case(LLAMA_CHAT, _CHAT, LINES, {**_GUIDED, "response_format": OBJECT}, JSON, shown="`response_format`"),
    Case(LLAMA_CHAT, _CHAT, TEXTS[:20], {**_GUIDED, "output_schema": SCHEMA}, TYPED, shown="`output_schema`"),
    Case(
        LLAMA_CHAT, _CHAT, TEXTS[:20], {**_GUIDED, "max_tokens": 120, "output_schema": FREE}, LIMITED,
        shown="`output_schema` with a text, `max_tokens`",
    ),
    Case(
        LLAMA_CHAT, _CHAT, TEXTS[:12], {**_GUIDED, "output_schema": SCHEMA, "rows_per_request": 4}, TYPED,
        shown="`output_schema`, `rows_per_request`",
    ),
    *_each(LLAMA_CHAT, _CHAT, LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    Case(LLAMA_CHAT, _TEXT, LINES, {}, DIRECT),
    *_each(
        LLAMA_CHAT, _TEXT, LINES, DIRECT, {"max_new_tokens": 20}, {"max_new_tokens": None, "max_output_length": 5},
        {"stop": ["e"]}, {"details": True}, {"repetition_penalty": 1.9, "max_new_tokens": 40},
        {"frequency_penalty": 1.5, "max_new_tokens": 40}, {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 3, "top_k": 3}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
        {"temperature": 1.5, "seed": 3, "typical_p": 0.3}, {"do_sample": True, "seed": 3},
    ),
    *_each(
        LLAMA_CHAT, _TEXT, LINES, REFUSED, {"return_full_text": True}, {"watermark": True}, {"top_n_tokens": 2},
        {"decoder_input_details": True}, {"adapter_id": "x"}, {"grammar": {"type": "json", "value": {}}},
        {"best_of": 2}, {"min_output_length": 5}, {"truncate": 2},
    ),
    Case(LLAMA_CHAT, _VECTORS, LINES, {}, error("model_not_found"), shown="a server for chats"),
    Case(LLAMA_VECTORS, _VECTORS, TEXTS, {}, DIRECT),
    *_each(LLAMA_VECTORS, _VECTORS, LINES, DIRECT, {"normalize": True}, {"normalize": False}, {"dimensions": 64}),
    *_each(
        LLAMA_VECTORS, _VECTORS, LINES, REFUSED, {"dimensions": 8}, {"truncate": True}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    Case(LLAMA_VECTORS, _VECTORS, LONG, {}, TOO_LONG, shown="a text above the model's length"),
    Case(LLAMA_VECTORS, _CHAT, LINES, {}, error("model_not_found"), shown="a server for embeddings"),
    Case(LLAMA_RANKS, _RANKS, RANKED, {}, SCORES),
    Case(LLAMA_RANKS, _RANKS, RANKED, {"raw_scores": True}, SCORES),
    *_each(LLAMA_RANKS, _RANKS, RANKED, REFUSED, {"raw_scores": False}, {"truncate": True}),
)  # fmt: skip

CASES = (*_OF_TRANSFORMERS, *_OF_INFINITY, *_OF_LLAMA)
