"""Make models of a few thousand random weights for the tasks of huggingface-inference-toolkit, one for each.

Runs with the Python of that server. A seed for each model makes its answers the same every time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_models import BERT, bert_config, chat_model, classifier, tokenizer, vector_model

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PICTURE = {**SMALL, "image_size": 32, "patch_size": 8}


def named(*labels: str) -> dict[str, Any]:
    """The labels of a model's config."""
    return {"id2label": dict(enumerate(labels)), "label2id": {one: at for at, one in enumerate(labels)}}


def save(folder: Path, model: Any, *more: Any) -> None:
    """Save a model with its tokenizer or processor."""
    for one in (model, *more):
        one.save_pretrained(folder)


def bert(kind: str, *labels: str) -> Callable[[Path], None]:
    """A BERT of the class ``kind``."""

    def make(folder: Path) -> None:
        import torch
        import transformers

        torch.manual_seed(5)
        words = tokenizer(BERT, ("[CLS]", "[SEP]"))
        config = bert_config(len(words), **(named(*labels) if labels else {}))
        config.initializer_range = 0.5  # far enough apart for the answers to differ
        save(folder, getattr(transformers, kind)(config), words)

    return make


def writer(folder: Path) -> None:
    """A T5, which writes another text than it reads."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(6)
    words = tokenizer(BERT, ("[CLS]", "[SEP]"))
    config = T5Config(
        vocab_size=len(words), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=5.0,
        decoder_start_token_id=words.pad_token_id, pad_token_id=words.pad_token_id, eos_token_id=words.sep_token_id,
    )  # fmt: skip
    save(folder, T5ForConditionalGeneration(config), words)


def translator(folder: Path) -> None:
    """An mBART, which has to be told of both languages."""
    import torch
    from transformers import MBart50TokenizerFast, MBartConfig, MBartForConditionalGeneration

    torch.manual_seed(12)
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    plain = tokenizer(special, ("<s>", "</s>"))
    words = MBart50TokenizerFast(tokenizer_object=plain.backend_tokenizer, src_lang="en_XX", tgt_lang="fr_XX")
    config = MBartConfig(
        vocab_size=len(words), d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=160, init_std=0.5,
        bos_token_id=0, pad_token_id=1, eos_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    save(folder, MBartForConditionalGeneration(config), words)


def table_reader(folder: Path) -> None:
    import torch
    from transformers import TapasConfig, TapasForQuestionAnswering, TapasTokenizer

    torch.manual_seed(7)
    plain = tokenizer(BERT, ("[CLS]", "[SEP]")).get_vocab()
    folder.mkdir()
    pieces = [*sorted(plain, key=plain.__getitem__), "[EMPTY]"]
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    words = TapasTokenizer(str(folder / "vocab.txt"), model_max_length=128)
    config = TapasConfig(
        vocab_size=len(words), **SMALL, max_position_embeddings=128, num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"}, initializer_range=0.5,
        average_logits_per_cell=False, select_one_column=True,
    )  # fmt: skip
    save(folder, TapasForQuestionAnswering(config), words)


def image_classifier(folder: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(8)
    config = ViTConfig(**PICTURE, **named("cat", "dog", "owl"), initializer_range=0.5)
    save(folder, ViTForImageClassification(config), ViTImageProcessor(size={"height": 32, "width": 32}))


def object_detector(folder: Path) -> None:
    import torch
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    torch.manual_seed(9)
    config = YolosConfig(
        **{**PICTURE, "image_size": [32, 32]}, num_detection_tokens=6, **named("cat", "dog"), initializer_range=0.2
    )
    size = {"shortest_edge": 32, "longest_edge": 32}
    save(folder, YolosForObjectDetection(config), YolosImageProcessor(size=size))


def segmenter(folder: Path) -> None:
    """A Mask2Former, for all kinds of segments."""
    import torch
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(10)
    config = Mask2FormerConfig(
        backbone_config=SwinConfig(
            image_size=32, patch_size=2, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[2, 2, 2, 2], window_size=2,
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=32, dim_feedforward=32,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=4, **named("cat", "dog"),
    )  # fmt: skip
    save(
        folder, Mask2FormerForUniversalSegmentation(config), Mask2FormerImageProcessor(size={"height": 32, "width": 32})
    )


def image_questions(folder: Path) -> None:
    import torch
    from transformers import ViltConfig, ViltForQuestionAnswering, ViltImageProcessor

    torch.manual_seed(15)
    words = tokenizer(BERT, ("[CLS]", "[SEP]"))
    words.model_max_length = 40
    config = ViltConfig(
        vocab_size=len(words), **PICTURE, max_position_embeddings=40, initializer_range=0.5, **named("yes", "no", "red")
    )
    size = {"shortest_edge": 32}
    save(folder, ViltForQuestionAnswering(config), words, ViltImageProcessor(size=size, size_divisor=8))


def captions(folder: Path) -> None:
    import torch
    from transformers import VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig, ViTImageProcessor

    torch.manual_seed(16)
    words = tokenizer(BERT, ("[CLS]", "[SEP]"))
    text = bert_config(len(words), is_decoder=True, add_cross_attention=True)
    text.initializer_range = 0.5
    seen = ViTConfig(**PICTURE, initializer_range=0.5)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(seen, text)
    config.decoder_start_token_id, config.pad_token_id = words.cls_token_id, words.pad_token_id
    model = VisionEncoderDecoderModel(config)
    model.generation_config.max_length = 12
    save(folder, model, words, ViTImageProcessor(size={"height": 32, "width": 32}))


def depths(folder: Path) -> None:
    import torch
    from transformers import GLPNConfig, GLPNForDepthEstimation, GLPNImageProcessor

    torch.manual_seed(17)
    config = GLPNConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16
    )
    save(folder, GLPNForDepthEstimation(config), GLPNImageProcessor())


def voice(folder: Path) -> None:
    """A VITS without noise."""
    import json

    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    torch.manual_seed(18)
    folder.mkdir()
    pieces = [*" abcdefghijklmnopqrstuvwxyz", "<unk>"]
    (folder / "vocab.json").write_text(json.dumps({one: at for at, one in enumerate(pieces)}))
    words = VitsTokenizer(str(folder / "vocab.json"), pad_token=" ", phonemize=False, is_uroman=False)
    config = VitsConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=16, flow_size=16,
        spectrogram_bins=17, use_stochastic_duration_prediction=False, duration_predictor_filter_channels=16,
        prior_encoder_num_flows=1, prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1,
        upsample_initial_channel=32, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16], resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]], noise_scale=0.0, noise_scale_duration=0.0,
    )  # fmt: skip
    save(folder, VitsModel(config), words)


def speech(kind: str, **more: Any) -> Callable[[Path], None]:
    """A Wav2Vec2 of the class ``kind``, with characters as words."""

    def make(folder: Path) -> None:
        import json

        import torch
        import transformers

        torch.manual_seed(11)
        folder.mkdir()
        pieces = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefgh"]
        (folder / "vocab.json").write_text(json.dumps({one: at for at, one in enumerate(pieces)}))
        words = transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
        config = transformers.Wav2Vec2Config(
            vocab_size=len(pieces), **SMALL, conv_dim=(32, 32, 32), conv_kernel=(10, 8, 4), conv_stride=(5, 8, 4),
            num_feat_extract_layers=3, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
            feat_extract_norm="layer", classifier_proj_size=16, initializer_range=0.5, pad_token_id=0, **more,
        )  # fmt: skip
        model = getattr(transformers, kind)(config)
        save(folder, model, words, transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True))

    return make


MAKERS: dict[str, Callable[[Path], None]] = {
    "text-classification": lambda folder: classifier(folder, ("bad", "so-so", "good"), 4),
    "token-classification": bert("BertForTokenClassification", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
    "question-answering": bert("BertForQuestionAnswering"),
    "zero-shot-classification": bert("BertForSequenceClassification", "contradiction", "neutral", "entailment"),
    "fill-mask": bert("BertForMaskedLM"),
    "feature-extraction": bert("BertModel"),
    "sentences": vector_model,
    "text-ranking": lambda folder: classifier(folder, ("LABEL_0",), 3),
    "text2text": writer,
    "languages": translator,
    "text-generation": chat_model,
    "table-question-answering": table_reader,
    "image-classification": image_classifier,
    "object-detection": object_detector,
    "image-segmentation": segmenter,
    "visual-question-answering": image_questions,
    "image-to-text": captions,
    "depth-estimation": depths,
    "text-to-speech": voice,
    "automatic-speech-recognition": speech("Wav2Vec2ForCTC"),
    "audio-classification": speech("Wav2Vec2ForSequenceClassification", **named("bell", "drum", "horn")),
}

if __name__ == "__main__":
    place = Path(sys.argv[1])
    for name in sys.argv[2:]:
        MAKERS[name](place / name)
        print("made", name, flush=True)
