"""hf-inference, Hugging Face's own service: all tasks, as ``{"inputs": …, "parameters": {…}}``.

Behind it are several kinds of servers: its own fork of the default container, and text-embeddings-inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from ..errors import SettingsError
from ..net.url_policy import ROUTER
from ..tasks import TASKS
from ..tasks.task import Task
from . import pipeline_requests as requests
from .base import Encoder, Protocol, Refused, Rule, Sent, Serving, done, refused, sent
from .chat import CHAT, chat_url
from .splitting import split_for

#: The router's own chat route, which finds a provider for the model.
ROUTER_CHAT = "https://router.huggingface.co/v1/chat/completions"
#: Tasks that share models: the route says which of them is wanted.
BY_PIPELINE = frozenset({"feature-extraction", "sentence-similarity"})

_LABELS = done("the client renames the labels of the answer", "labels")
_CANDIDATES = sent("candidate_labels")
_LENGTHS: dict[str, Rule] = {"min_output_length": Sent("min_length"), "max_output_length": Sent("max_length")}
_ONE = Refused("a row has one answer", accepts=(1,))
_NEW_TOKENS: dict[str, Rule] = {
    "min_output_length": Sent("min_new_tokens"), "max_output_length": Sent("max_new_tokens"),
}  # fmt: skip
_WRITTEN = {
    **sent("clean_up_tokenization_spaces", "generate_parameters", "truncation"),
    "num_return_sequences": _ONE,
}
_CLASSES = {**_LABELS, **sent("function_to_apply", "top_k")}
_SPANS = sent(
    "doc_stride", "handle_impossible_answer", "max_answer_len", "max_question_len", "max_seq_len", "top_k",
)  # fmt: skip
_PAINTED = sent("guidance_scale", "negative_prompt", "num_inference_steps")

#: Task → what becomes of each of its arguments.
ARGUMENTS: Mapping[str, Mapping[str, Rule]] = {
    "text-classification": _CLASSES,
    "token-classification": sent("aggregation_strategy", "ignore_labels", "stride"),
    "question-answering": {**_SPANS, **sent("align_to_words")},
    "table-question-answering": sent("padding", "sequential", "truncation"),
    "zero-shot-classification": {**_CANDIDATES, **sent("hypothesis_template", "multi_label")},
    "fill-mask": sent("targets", "top_k"),
    "summarization": {**_LENGTHS, **_WRITTEN},
    "translation": {
        **_LENGTHS,
        **_WRITTEN,
        **sent("src_lang", "tgt_lang"),
        **done("the encoder sends both to models of several languages", "lang_input", "lang_output"),
    },
    "text-generation": {
        **_NEW_TOKENS,
        **sent(
            "adapter_id", "best_of", "decoder_input_details", "details", "do_sample", "frequency_penalty", "grammar",
            "max_new_tokens", "repetition_penalty", "return_full_text", "seed", "stop", "temperature", "top_k",
            "top_n_tokens", "top_p", "truncate", "typical_p", "watermark",
        ),
        "num_return_sequences": _ONE,
    },
    "feature-extraction": {
        **done("the client pools the vectors of tokens", "pooling"),
        **sent("dimensions", "normalize", "prompt_name", "truncate", "truncation_direction", root=True),
    },
    "sentence-similarity": {},
    "text-ranking": {
        **sent("truncate"),
        **refused("write endpoint = '…' of a server with text-embeddings-inference", "raw_scores"),
    },
    "image-classification": _CLASSES,
    "object-detection": sent("threshold"),
    "zero-shot-object-detection": _CANDIDATES,
    "image-segmentation": sent("mask_threshold", "overlap_mask_area_threshold", "subtask", "threshold"),
    "image-to-text": {"max_output_length": Sent("max_new_tokens"), **sent("generation_parameters", "max_new_tokens")},
    "zero-shot-image-classification": {**_CANDIDATES, **sent("hypothesis_template")},
    "visual-question-answering": sent("top_k"),
    "document-question-answering": {**_SPANS, **sent("lang", "word_boxes")},
    "depth-estimation": {},
    "image-to-image": {**_PAINTED, **sent("target_size")},
    "video-classification": {**_CLASSES, **sent("frame_sampling_rate", "num_frames")},
    "automatic-speech-recognition": sent("generation_parameters", "return_timestamps"),
    "audio-classification": _CLASSES,
    "audio-to-audio": {},
    "text-to-image": {**_PAINTED, **sent("height", "scheduler", "seed", "width")},
    "text-to-speech": sent("generation_parameters"),
    "text-to-video": {**_PAINTED, **sent("num_frames", "seed")},
    "image-to-video": {**_PAINTED, **sent("num_frames", "seed", "target_size")},
    "tabular-classification": {},
    "tabular-regression": {},
}  # fmt: skip

_ENCODERS: Mapping[str, Encoder] = {
    "text-classification": requests.encode_classification,
    "token-classification": requests.text_encoder(aggregation_strategy="simple"),
    "question-answering": requests.encode_question,
    "table-question-answering": requests.encode_table_question,
    "zero-shot-classification": requests.text_encoder(),
    "fill-mask": requests.encode_masked,
    "summarization": requests.text_encoder(),
    "translation": requests.encode_translation,
    "text-generation": requests.encode_generation,
    "feature-extraction": requests.encode_vectors,
    "sentence-similarity": requests.encode_similarity,
    "text-ranking": requests.encode_ranking,
    "visual-question-answering": requests.encode_image_question,
    "document-question-answering": requests.encode_image_question,
    "image-to-image": requests.media_encoder(accept="image/png"),
    "text-to-image": requests.text_encoder(accept="image/png"),
    "text-to-speech": requests.text_encoder(accept="*/*"),
    "text-to-video": requests.text_encoder(accept="*/*"),
    "image-to-video": requests.media_encoder(accept="*/*"),
    "tabular-classification": requests.encode_rows,
    "tabular-regression": requests.encode_rows,
}

PROTOCOL = Protocol(
    name="hf-inference",
    title="hf-inference",
    tasks={
        **{
            name: Serving(_ENCODERS.get(name, requests.media_encoder()), split_for(TASKS[name]), rules)
            for name, rules in ARGUMENTS.items()
        },
        "chat-completion": CHAT,
    },
    learn=requests.learn,
)


def model_path(model: str) -> str:
    """Return ``org/name`` as a part of a path.

    Raises:
        SettingsError: parts that would lead to another path.
    """
    parts = model.strip().split("/")
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise SettingsError(f"'{model}' is not a model name", advice="Write org/name, as on the model's page")
    return "/".join(quote(part, safe="") for part in parts)


def url_of(base_url: str, model: str, task: Task) -> str:
    """Return the URL of ``task`` at hf-inference, or at what is in its place; ``model`` is a path."""
    if task.chat:
        return ROUTER_CHAT if base_url == ROUTER else chat_url(base_url)
    url = f"{base_url}/models/{model}"
    return f"{url}/pipeline/{task.name}" if task.name in BY_PIPELINE else url
