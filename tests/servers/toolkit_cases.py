"""What the default container of Inference Endpoints is asked: a server for each task, as it serves one alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_api_handler.tasks import samples
from tests.servers.case import DIRECT, IGNORED, REFUSED, SAMPLED, SPOKEN, TORCH, Case, Server, each, error
from tests.servers.rows import LONG, SOUNDS

#: As its container has them, but torch, and for its own source, which PyPI does not have.
PACKAGES = (
    TORCH, "transformers[sentencepiece]==4.51.3", "sentence-transformers==4.0.2", "starlette<1", "uvicorn", "orjson",
    "pandas<3", "Pillow", "imageio-ffmpeg",
)  # fmt: skip


def _toolkit(task: str, model: str = "", base: Mapping[str, Any] | None = None, served: str = "") -> Server:
    """Return the server of one task.

    Args:
        model: the model's name, if that is not the task's.
        base: USING arguments that every case has.
        served: the task's name at the server, if it is another.
    """
    model, served = model or task, served or task
    return Server(
        "-".join(dict.fromkeys(("toolkit", served, model))), PACKAGES,
        ("huggingface-inference-toolkit", "transformers", "torch"), "toolkit_models.py", (model,),
        ("python", "{here}/toolkit_server.py", served, f"{{models}}/{model}", "{port}"), {task: base} if base else {},
        direct="toolkit_direct.py", source="TOOLKIT",
    )  # fmt: skip


SENTENCES = (("good bread",), ("bad news market",), ("the red apple is cheap",))
PAIRS = (("red apple", "green apple"), ("red apple", "market news"), ("red apple", "bread"))
QUESTIONS = (("red or green?", "the red apple, the green pear"), ("price?", "bread is cheap at the market"))
BLANKS = (("good [MASK]",), ("the [MASK] apple",))
TABLE = '{"fruit": ["apple", "pear", "bread"], "price": ["3", "40", "5"]}'
TABLES = (("price apple", TABLE), ("cheap fruit", TABLE))
IMAGES = tuple((samples.png(seed, 32).data_uri,) for seed in (b"one", b"two", b"three"))
CANDIDATES = {"candidate_labels": ["red", "bread"]}
SHORT = {"max_output_length": 12}

_LABELS = _toolkit("text-classification")
_ENTITIES = _toolkit("token-classification")
_SPANS = _toolkit("question-answering")
_TABLES = _toolkit("table-question-answering")
_ZERO_SHOT = _toolkit("zero-shot-classification", base=CANDIDATES)
_MASKS = _toolkit("fill-mask")
_SUMMARIES = _toolkit("summarization", "text2text", SHORT)
_TRANSLATIONS = _toolkit("translation", "text2text", SHORT)
_LANGUAGES = _toolkit("translation", "languages", {**SHORT, "lang_input": "en_XX", "lang_output": "fr_XX"})
_TEXTS = _toolkit("text-generation", base={"max_new_tokens": 8})
_VECTORS = _toolkit("feature-extraction")
_SENTENCES = _toolkit("feature-extraction", "sentences", served="sentence-embeddings")
_SIMILAR = _toolkit("sentence-similarity", "sentences")
_RANKS = _toolkit("text-ranking")
_IMAGES = _toolkit("image-classification")
_BOXES = _toolkit("object-detection")
_SEGMENTS = _toolkit("image-segmentation", base={"threshold": 0.1})
_IMAGE_QUESTIONS = _toolkit("visual-question-answering")
_CAPTIONS = _toolkit("image-to-text")
_DEPTHS = _toolkit("depth-estimation")
_VOICES = _toolkit("text-to-speech")
_SPEECH = _toolkit("automatic-speech-recognition")
_SOUNDS = _toolkit("audio-classification")

SERVERS = (
    _LABELS, _ENTITIES, _SPANS, _TABLES, _ZERO_SHOT, _MASKS, _SUMMARIES, _TRANSLATIONS, _LANGUAGES, _TEXTS, _VECTORS,
    _SENTENCES,
    _SIMILAR, _RANKS, _IMAGES, _BOXES, _SEGMENTS,
    _IMAGE_QUESTIONS, _CAPTIONS, _DEPTHS, _VOICES, _SPEECH, _SOUNDS,
)  # fmt: skip

_NAMES = {"labels": ["low", "middle", "high"]}
CASES = (
    *each(
        _LABELS, "text-classification", SENTENCES, DIRECT, {}, {"top_k": 1}, {"top_k": 2},
        {"function_to_apply": "sigmoid"}, {"function_to_apply": "none"}, {"function_to_apply": "softmax"},
    ),
    Case(_LABELS, "text-classification", SENTENCES, _NAMES, error("invalid_settings")),
    *each(
        _ENTITIES, "token-classification", SENTENCES, DIRECT, {}, {"aggregation_strategy": "none"},
        {"aggregation_strategy": "first"}, {"aggregation_strategy": "max"}, {"aggregation_strategy": "average"},
        {"ignore_labels": ["B-PER"]}, {"stride": 4},
    ),
    *each(
        _SPANS, "question-answering", QUESTIONS, DIRECT, {}, {"align_to_words": False},
        {"doc_stride": 4, "max_seq_len": 20}, {"handle_impossible_answer": True}, {"max_answer_len": 2},
        {"max_question_len": 3}, {"max_seq_len": 20}, {"top_k": 2},
    ),
    *each(
        _TABLES, "table-question-answering", TABLES, DIRECT, {}, {"padding": "max_length"}, {"sequential": True},
        {"truncation": True},
    ),
    *each(
        _ZERO_SHOT, "zero-shot-classification", SENTENCES, DIRECT, {}, {"hypothesis_template": "the {} market"},
        {"multi_label": True}, {"candidate_labels": ["red"]},
    ),
    *each(_MASKS, "fill-mask", BLANKS, DIRECT, {}, {"top_k": 2}, {"targets": ["red", "bread"]}),
    *each(
        _SUMMARIES, "summarization", SENTENCES, DIRECT, {}, {"min_output_length": 5},
        {"clean_up_tokenization_spaces": True}, {"truncation": "only_first"}, {"generate_parameters": {"num_beams": 2}},
        {"max_output_length": 20},
    ),
    *each(
        _TRANSLATIONS, "translation", SENTENCES, DIRECT, {}, {"min_output_length": 5},
        {"clean_up_tokenization_spaces": True}, {"truncation": "only_first"}, {"generate_parameters": {"num_beams": 2}},
        {"max_output_length": 20}, {"lang_input": "en", "lang_output": "fr"},
    ),
    *each(
        _LANGUAGES, "translation", SENTENCES, DIRECT, {}, {"lang_output": "de_DE"}, {"lang_input": "de_DE"},
        {"lang_input": None, "lang_output": None, "src_lang": "de_DE", "tgt_lang": "fr_XX"},
        {"min_output_length": 10}, {"truncation": "only_first"},
    ),
    *each(
        _TEXTS, "text-generation", SENTENCES, DIRECT, {}, {"max_new_tokens": None, "max_output_length": 5},
        {"min_output_length": 5}, {"repetition_penalty": 1.5}, {"return_full_text": True}, {"do_sample": False},
        {"top_k": 1, "do_sample": True}, {"temperature": 1.5, "top_k": 1}, {"temperature": 1.5, "top_p": 0.0001},
    ),
    *each(_TEXTS, "text-generation", SENTENCES, SAMPLED, {"temperature": 1.5}, {"top_k": 9}, {"typical_p": 0.5}),
    *each(
        _TEXTS, "text-generation", SENTENCES, error("invalid_settings"), {"details": True}, {"seed": 3},
        {"stop": ["e"]}, {"truncate": 2}, {"watermark": True}, {"best_of": 2},
        {"grammar": {"type": "json", "value": {}}}, {"adapter_id": "x"}, {"decoder_input_details": True},
        {"top_n_tokens": 2}, {"frequency_penalty": 1.5},
    ),
    *each(
        _VECTORS, "feature-extraction", SENTENCES, DIRECT, {}, {"pooling": "cls"}, {"pooling": "none"},
        {"normalize": True}, {"normalize": False},
    ),
    Case(_VECTORS, "feature-extraction", LONG, {"truncate": True}, DIRECT),
    *each(
        _VECTORS, "feature-extraction", SENTENCES, REFUSED, {"dimensions": 8}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    *each(
        _SENTENCES, "feature-extraction", LONG, DIRECT, {}, {"normalize": True}, {"normalize": False},
        {"truncate": True},
    ),
    Case(
        _SENTENCES, "feature-extraction", SENTENCES, {"pooling": "cls"}, IGNORED,
        shown="`pooling = 'cls'`, a model of sentence-transformers",
    ),
    *each(
        _SENTENCES, "feature-extraction", SENTENCES, REFUSED, {"dimensions": 8}, {"prompt_name": "query"},
        {"truncation_direction": "left"},
    ),
    *each(_SIMILAR, "sentence-similarity", PAIRS, DIRECT, {}),
    *each(_RANKS, "text-ranking", PAIRS, DIRECT, {}, {"truncate": True}, {"raw_scores": False}),
    *each(_RANKS, "text-ranking", PAIRS, REFUSED, {"raw_scores": True}),
    *each(
        _IMAGES, "image-classification", IMAGES, DIRECT, {}, {"top_k": 1}, {"function_to_apply": "sigmoid"},
        {"function_to_apply": "none"}, {"function_to_apply": "softmax"},
    ),
    Case(_IMAGES, "image-classification", IMAGES, _NAMES, error("invalid_settings")),
    *each(_BOXES, "object-detection", IMAGES, DIRECT, {}, {"threshold": 0.1}, {"threshold": 0.9}),
    *each(
        _SEGMENTS, "image-segmentation", IMAGES, DIRECT, {}, {"threshold": 0.9}, {"mask_threshold": 0.1},
        {"overlap_mask_area_threshold": 0.1}, {"subtask": "semantic"}, {"subtask": "instance"}, {"subtask": "panoptic"},
    ),
    *each(
        _IMAGE_QUESTIONS, "visual-question-answering", tuple((*row, "red or green?") for row in IMAGES), DIRECT, {},
        {"top_k": 1},
    ),
    *each(
        _CAPTIONS, "image-to-text", IMAGES, DIRECT, {}, {"max_new_tokens": 5}, {"max_output_length": 5},
        {"generation_parameters": {"max_new_tokens": 3}},
    ),
    *each(_DEPTHS, "depth-estimation", IMAGES, error("invalid_input"), {}),
    Case(_VOICES, "text-to-speech", SENTENCES, {}, SPOKEN),
    Case(
        _VOICES, "text-to-speech", SENTENCES, {"generation_parameters": {"do_sample": False}},
        error("invalid_settings"), shown="`generation_parameters`, a model that does not generate",
    ),
    *each(
        _SPEECH, "automatic-speech-recognition", SOUNDS, DIRECT, {}, {"return_timestamps": "char"},
        {"return_timestamps": "word"},
    ),
    *each(
        _SOUNDS, "audio-classification", SOUNDS, DIRECT, {}, {"top_k": 1}, {"function_to_apply": "sigmoid"},
        {"function_to_apply": "none"},
    ),
    Case(_SOUNDS, "audio-classification", SOUNDS, _NAMES, error("invalid_settings")),
)  # fmt: skip
