"""Which fake model answers which task."""

from __future__ import annotations

from collections.abc import Mapping

from . import fake_chat, fake_media, fake_text
from .fake_text import FakeModel

#: Task → fake model.
FAKE_MODELS: Mapping[str, FakeModel] = {
    "text-classification": fake_text.text_classification,
    "token-classification": fake_text.token_classification,
    "question-answering": fake_text.question_answering,
    "table-question-answering": fake_text.table_question_answering,
    "zero-shot-classification": fake_text.zero_shot,
    "fill-mask": fake_text.fill_mask,
    "summarization": fake_text.summarization,
    "translation": fake_text.translation,
    "text-generation": fake_text.text_generation,
    "chat-completion": fake_chat.chat_completion,
    "feature-extraction": fake_text.feature_extraction,
    "sentence-similarity": fake_text.sentence_similarity,
    "text-ranking": fake_text.text_ranking,
    "image-classification": fake_media.classifier("cat", "dog", "house", "tree"),
    "object-detection": fake_media.object_detection,
    "zero-shot-object-detection": fake_media.zero_shot_detection,
    "image-segmentation": fake_media.segmentation,
    "image-to-text": fake_media.caption,
    "zero-shot-image-classification": fake_media.zero_shot_image,
    "visual-question-answering": fake_media.image_answers,
    "document-question-answering": fake_media.document_answers,
    "depth-estimation": fake_media.depth,
    "image-to-image": fake_media.image_to_image,
    "video-classification": fake_media.classifier("surfing", "cooking", "walking"),
    "automatic-speech-recognition": fake_media.transcript,
    "audio-classification": fake_media.classifier("speech", "music", "silence"),
    "audio-to-audio": fake_media.separated,
    "text-to-image": fake_media.text_to_image,
    "text-to-speech": fake_media.text_to_speech,
    "text-to-video": fake_media.text_to_video,
    "image-to-video": fake_media.image_to_video,
    "tabular-classification": fake_media.tabular_classification,
    "tabular-regression": fake_media.tabular_regression,
}
