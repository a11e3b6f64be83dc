"""Which servers are asked, what for, and what must become of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers import toolkit_cases, vllm_cases
from tests.servers.case import (
    DIRECT,
    FREE,
    IGNORED,
    JSON,
    LIMITED,
    LOGPROBS,
    REFUSED,
    SCHEMA,
    SCORES,
    TOO_LONG,
    TORCH,
    TYPED,
    Case,
    Server,
    each,
    error,
)
from tests.servers.rows import EXAMPLE, GREEDY, GUIDED, LINES, LONG, OBJECT, RANKED, SOUNDS, TEXTS


def _transformers(name: str, maker: str, model: str, base: Mapping[str, Mapping[str, Any]]) -> Server:
    return Server(
        name, (TORCH, "transformers[serving]==5.23.0", "python-multipart", "soundfile", "soxr"),
        ("transformers", "torch"), maker, (model,),
        ("transformers", "serve", f"{{models}}/{model}", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"),
        base,
    )  # fmt: skip


TRANSFORMERS = _transformers(
    "transformers", "tiny_models.py", "chat", {"chat-completion": GREEDY, "text-generation": {"max_new_tokens": 8}}
)
TRANSFORMERS_SPEECH = _transformers(
    "transformers-speech", "speech_models.py", "speech", {"automatic-speech-recognition": {"model_name": "speech"}}
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
        direct="",
    )  # fmt: skip


LLAMA_CHAT = _llama("chat", {"chat-completion": GREEDY, "text-generation": {"max_new_tokens": 8}})
LLAMA_VECTORS = _llama("vectors", {})
LLAMA_RANKS = _llama("ranks", {})
#: A gateway of OpenAI's API in front of it.
LITELLM = Server(
    "litellm", ("litellm[proxy]==1.108.7",), ("litellm",), "", (),
    (
        "litellm", "--model", "openai/chat", "--api_base", "{behind}/v1", "--host", "127.0.0.1", "--port", "{port}",
    ),
    LLAMA_CHAT.base, behind=LLAMA_CHAT,
)  # fmt: skip

SERVERS = (
    TRANSFORMERS,
    TRANSFORMERS_SPEECH,
    INFINITY,
    LLAMA_CHAT,
    LLAMA_VECTORS,
    LLAMA_RANKS,
    LITELLM,
    *vllm_cases.SERVERS,
    *toolkit_cases.SERVERS,
)

_CHAT = "chat-completion"
_TEXT = "text-generation"
_VECTORS = "feature-extraction"
_RANKS = "text-ranking"
_LABELS = "text-classification"
_SPEECH = "automatic-speech-recognition"

#: A seed tells the samples of one request after the other only.
_SAMPLES = {"temperature": 1.5, "seed": 3, "max_concurrency": 1}

_OF_TRANSFORMERS = (
    Case(TRANSFORMERS, _CHAT, LINES, {}, DIRECT),
    Case(TRANSFORMERS, _CHAT, LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *each(
        TRANSFORMERS, _CHAT, LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE},
        {"max_tokens": 20}, {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]},
        {"logit_bias": {"20": 50.5}}, {"n": 1}, _SAMPLES, {**_SAMPLES, "seed": 4}, {**_SAMPLES, "top_p": 0.3},
    ),
    *each(
        TRANSFORMERS, _CHAT, LINES, IGNORED, {"presence_penalty": 1.5}, {"logprobs": True}, {"tool_choice": "none"},
    ),
    *each(TRANSFORMERS, _CHAT, LINES, error("invalid_answer"), {"response_format": OBJECT}, {"output_schema": FREE}),
    *each(TRANSFORMERS, _CHAT, LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    Case(TRANSFORMERS, _CHAT, LINES, {"model_name": "org/other"}, error("invalid_input")),
    Case(TRANSFORMERS, _TEXT, LINES, {}, DIRECT),
    *each(
        TRANSFORMERS, _TEXT, LINES, DIRECT, {"max_new_tokens": 20}, {"max_new_tokens": None, "max_output_length": 5},
        {"stop": ["e"]}, {"details": True}, _SAMPLES, {**_SAMPLES, "top_p": 0.3},
        {"do_sample": True, "seed": 3, "max_concurrency": 1},
    ),
    *each(
        TRANSFORMERS, _TEXT, LINES, REFUSED, {"return_full_text": True}, {"watermark": True}, {"top_n_tokens": 2},
        {"decoder_input_details": True}, {"adapter_id": "x"}, {"grammar": {"type": "json", "value": {}}},
    ),
    *each(
        TRANSFORMERS, _TEXT, LINES, error("invalid_settings"), {"top_k": 5}, {"typical_p": 0.5},
        {"repetition_penalty": 1.5}, {"min_output_length": 5}, {"truncate": 2},
    ),
    Case(TRANSFORMERS, _VECTORS, LINES, {}, error("model_not_found")),
    Case(TRANSFORMERS, "summarization", LINES, {}, error("model_not_found")),
    Case(TRANSFORMERS_SPEECH, _SPEECH, SOUNDS, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    Case(
        TRANSFORMERS_SPEECH, _SPEECH, SOUNDS, {}, DIRECT, path="/v1/audio/transcriptions",
        shown="`/v1/audio/transcriptions` in `endpoint`",
    ),
    Case(TRANSFORMERS_SPEECH, _SPEECH, SOUNDS, {"return_timestamps": True}, error("invalid_settings"), path="/v1"),
    Case(TRANSFORMERS_SPEECH, _SPEECH, SOUNDS, {"model_name": None}, error("unavailable"), "/v1", "no `model_name`"),
    Case(
        TRANSFORMERS_SPEECH, _SPEECH, SOUNDS, {"generation_parameters": {"language": "en"}}, IGNORED, path="/v1",
    ),
)  # fmt: skip

_OF_INFINITY = (
    Case(INFINITY, _VECTORS, TEXTS, {}, DIRECT),
    *each(
        INFINITY, _VECTORS, LONG, DIRECT, {"normalize": True}, {"dimensions": 8, "normalize": True},
        {"truncate": True}, {"truncation_direction": "right"}, {"pooling": "mean"},
    ),
    *each(
        INFINITY, _VECTORS, LINES, REFUSED, {"normalize": False}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    Case(INFINITY, _VECTORS, LINES, {"dimensions": 64}, error("invalid_settings")),
    Case(INFINITY, _VECTORS, LINES, {"model_name": None}, error("model_not_found"), shown="no `model_name`"),
    Case(INFINITY, _VECTORS, LINES, {"model_name": "ranks"}, error("invalid_input")),
    Case(INFINITY, _RANKS, RANKED, {}, DIRECT),
    *each(INFINITY, _RANKS, RANKED, DIRECT, {"raw_scores": True}, {"raw_scores": False}, {"truncate": True}),
    Case(INFINITY, _RANKS, RANKED[:2], {"model_name": "vectors"}, error("invalid_input")),
    Case(INFINITY, _LABELS, TEXTS, {}, DIRECT),
    *each(
        INFINITY, _LABELS, LINES, DIRECT, {"top_k": 1}, {"top_k": 2}, {"function_to_apply": "softmax"},
    ),
    *each(INFINITY, _LABELS, LINES, REFUSED, {"function_to_apply": "none"}, {"function_to_apply": "sigmoid"}),
    Case(INFINITY, _LABELS, LINES, {"labels": "low, middle, high"}, error("invalid_settings")),
    Case(INFINITY, _CHAT, LINES, {"model_name": "vectors"}, error("model_not_found")),
)  # fmt: skip

_OF_LLAMA = (
    Case(LLAMA_CHAT, _CHAT, LINES, {}, DIRECT),
    Case(LLAMA_CHAT, _CHAT, LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *each(
        LLAMA_CHAT, _CHAT, LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE},
        {"max_tokens": 20}, {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]},
        {"logit_bias": {"300": 50}}, {"frequency_penalty": 1.5, "max_tokens": 40},
        {"presence_penalty": 1.5, "max_tokens": 40}, {"n": 1}, {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 4}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
    ),
    Case(LLAMA_CHAT, _CHAT, LINES, {"logprobs": True, "top_logprobs": 2}, LOGPROBS),
    Case(LLAMA_CHAT, _CHAT, LINES, {**GUIDED, "response_format": OBJECT}, JSON, shown="`response_format`"),
    Case(LLAMA_CHAT, _CHAT, TEXTS[:20], {**GUIDED, "output_schema": SCHEMA}, TYPED, shown="`output_schema`"),
    Case(
        LLAMA_CHAT, _CHAT, TEXTS[:20], {**GUIDED, "max_tokens": 120, "output_schema": FREE}, LIMITED,
        shown="`output_schema` with a text, `max_tokens`",
    ),
    Case(
        LLAMA_CHAT, _CHAT, TEXTS[:12], {**GUIDED, "output_schema": SCHEMA, "rows_per_request": 4}, TYPED,
        shown="`output_schema`, `rows_per_request`",
    ),
    *each(LLAMA_CHAT, _CHAT, LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    Case(LLAMA_CHAT, _TEXT, LINES, {}, DIRECT),
    *each(
        LLAMA_CHAT, _TEXT, LINES, DIRECT, {"max_new_tokens": 20}, {"max_new_tokens": None, "max_output_length": 5},
        {"stop": ["e"]}, {"details": True}, {"repetition_penalty": 1.9, "max_new_tokens": 40},
        {"frequency_penalty": 1.5, "max_new_tokens": 40}, {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 3, "top_k": 3}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
        {"temperature": 1.5, "seed": 3, "typical_p": 0.3}, {"do_sample": True, "seed": 3},
    ),
    *each(
        LLAMA_CHAT, _TEXT, LINES, REFUSED, {"return_full_text": True}, {"watermark": True}, {"top_n_tokens": 2},
        {"decoder_input_details": True}, {"adapter_id": "x"}, {"grammar": {"type": "json", "value": {}}},
        {"best_of": 2}, {"min_output_length": 5}, {"truncate": 2},
    ),
    Case(LLAMA_CHAT, _VECTORS, LINES, {}, error("model_not_found"), shown="a server for chats"),
    Case(LLAMA_VECTORS, _VECTORS, TEXTS, {}, DIRECT),
    *each(LLAMA_VECTORS, _VECTORS, LINES, DIRECT, {"normalize": True}, {"normalize": False}, {"dimensions": 64}),
    *each(
        LLAMA_VECTORS, _VECTORS, LINES, REFUSED, {"dimensions": 8}, {"truncate": True}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    Case(LLAMA_VECTORS, _VECTORS, LONG, {}, TOO_LONG, shown="a text above the model's length"),
    Case(LLAMA_VECTORS, _CHAT, LINES, {}, error("model_not_found"), shown="a server for embeddings"),
    Case(LLAMA_RANKS, _RANKS, RANKED, {}, SCORES),
    Case(LLAMA_RANKS, _RANKS, RANKED, {"raw_scores": True}, SCORES),
    *each(LLAMA_RANKS, _RANKS, RANKED, REFUSED, {"raw_scores": False}, {"truncate": True}),
)  # fmt: skip

_OF_LITELLM = (
    Case(LITELLM, _CHAT, LINES, {}, DIRECT),
    Case(LITELLM, _CHAT, LINES, {}, DIRECT, path="/v1", shown="`/v1` in `endpoint`"),
    *each(
        LITELLM, _CHAT, LINES, DIRECT, {"system_prompt": "good"}, {"examples": EXAMPLE}, {"max_tokens": 20},
        {"max_tokens": None, "max_output_length": 5}, {"stop": ["e"]}, {"logit_bias": {"300": 50}},
        {"frequency_penalty": 1.5, "max_tokens": 40}, {"presence_penalty": 1.5, "max_tokens": 40}, {"n": 1},
        {"temperature": 1.5, "seed": 3}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
    ),
    Case(LITELLM, _CHAT, LINES, {"logprobs": True, "top_logprobs": 2}, LOGPROBS),
    Case(LITELLM, _CHAT, LINES, {**GUIDED, "response_format": OBJECT}, JSON, shown="`response_format`"),
    Case(LITELLM, _CHAT, TEXTS[:20], {**GUIDED, "output_schema": SCHEMA}, TYPED, shown="`output_schema`"),
    *each(LITELLM, _CHAT, LINES, REFUSED, {"n": 2}, {"tool_prompt": "x"}),
    *each(
        LITELLM, _TEXT, LINES, DIRECT, {}, {"max_new_tokens": 20}, {"max_new_tokens": None, "max_output_length": 5},
        {"stop": ["e"]}, {"details": True}, {"frequency_penalty": 1.5, "max_new_tokens": 40},
        {"temperature": 1.5, "seed": 3}, {"temperature": 1.5, "seed": 3, "top_p": 0.3},
        {"temperature": 1.5, "seed": 3, "top_k": 3}, {"temperature": 1.5, "seed": 3, "typical_p": 0.3},
    ),
    *each(
        LITELLM, _TEXT, LINES, IGNORED, {"repetition_penalty": 1.9}, {"min_output_length": 5}, {"truncate": 2},
    ),
)  # fmt: skip

CASES = (*_OF_TRANSFORMERS, *_OF_INFINITY, *_OF_LLAMA, *_OF_LITELLM, *vllm_cases.CASES, *toolkit_cases.CASES)
