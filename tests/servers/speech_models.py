"""Make a Whisper of random weights, which writes nonsense, and the same nonsense every time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tiny_models import byte_tokenizer


def tokenizer() -> Any:
    """Return a tokenizer of bytes with Whisper's own tokens."""
    from transformers import WhisperTokenizerFast
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    plain = byte_tokenizer({"unk_token": "<|endoftext|>"})
    words = WhisperTokenizerFast(
        tokenizer_object=plain.backend_tokenizer, vocab=plain.get_vocab(), merges=[], language="en", task="transcribe",
    )  # fmt: skip
    own = ["startoftranscript", *LANGUAGES, "translate", "transcribe", "startoflm", "startofprev", "nospeech"]
    words.add_special_tokens({"additional_special_tokens": [f"<|{one}|>" for one in (*own, "notimestamps")]})
    words.add_tokens([f"<|{step / 50:.2f}|>" for step in range(1501)])
    return words


def whisper(folder: Path) -> None:
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    torch.manual_seed(13)
    words = tokenizer()
    ids = words.get_vocab()
    end = ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(words), d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=80, max_target_positions=64,
        bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=ids["<|startoftranscript|>"],
        init_std=0.5,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.model.decoder.embed_tokens.weight.data[end + 1 + 256 :] *= 0.01  # else it says little but its own tokens
    made = model.generation_config
    made.lang_to_id = {f"<|{one}|>": ids[f"<|{one}|>"] for one in LANGUAGES}
    made.task_to_id = {one: ids[f"<|{one}|>"] for one in ("translate", "transcribe")}
    made.no_timestamps_token_id = ids["<|notimestamps|>"]
    made.is_multilingual, made.max_length, made.max_initial_timestamp_index = True, 24, 50
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), words).save_pretrained(folder)


if __name__ == "__main__":
    whisper(Path(sys.argv[1]) / "speech")
