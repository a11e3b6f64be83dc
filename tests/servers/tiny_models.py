"""Make models of a few thousand random weights, as servers load them: for chat, for vectors, for ranks and labels.

Runs with the Python of the servers (torch, transformers, sentence-transformers), not with that of the handler.
What such models say is nonsense, and the same nonsense every time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = [
    "a",
    "the",
    "red",
    "green",
    "apple",
    "pear",
    "market",
    "news",
    "flight",
    "cheap",
    "bread",
    "price",
    "history",
    "hello",
    "world",
    "good",
    "bad",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} : {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant :{% endif %}"
)


def tokenizer(special: dict[str, str], frame: tuple[str, str]) -> Any:
    """Return a tokenizer of words and single characters, which puts a text between two tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    pieces = [*special.values(), *WORDS, *letters, *(f"##{one}" for one in letters)]
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token=special["unk_token"], max_input_chars_per_word=40))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    first, last = frame
    ids = [(name, vocabulary[name]) for name in frame]
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=ids
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=128, **special)


def byte_tokenizer(special: dict[str, str]) -> Any:
    """Return a tokenizer whose tokens are bytes, as language models have them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*special.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    made = Tokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=2048, **special)


def chat_model(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    words = byte_tokenizer({"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    words.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=2048, bos_token_id=1, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.do_sample = True  # as most chat models have it; else a server ignores temperature
    model.save_pretrained(folder)
    words.save_pretrained(folder)


BERT = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}


def bert_config(size: int, **more: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=1, intermediate_size=64,
        max_position_embeddings=160, pad_token_id=3, **more,
    )  # fmt: skip


def vector_model(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertModel

    torch.manual_seed(2)
    words = tokenizer(BERT, ("[CLS]", "[SEP]"))
    plain = folder.with_name(f"{folder.name}-plain")
    BertModel(bert_config(len(words))).save_pretrained(plain)
    words.save_pretrained(plain)
    layer = models.Transformer(str(plain), max_seq_length=128)
    SentenceTransformer(modules=[layer, models.Pooling(32)], device="cpu").save(str(folder))


def classifier(folder: Path, labels: tuple[str, ...], seed: int) -> None:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(seed)
    words = tokenizer(BERT, ("[CLS]", "[SEP]"))
    config = bert_config(
        len(words), id2label=dict(enumerate(labels)), label2id={one: at for at, one in enumerate(labels)}
    )
    config.initializer_range = 0.5  # far enough apart for the answers to differ
    BertForSequenceClassification(config).save_pretrained(folder)
    words.save_pretrained(folder)


MAKERS: dict[str, Callable[[Path], None]] = {
    "chat": chat_model,
    "vectors": vector_model,
    "ranks": lambda folder: classifier(folder, ("LABEL_0",), 3),
    "labels": lambda folder: classifier(folder, ("bad", "so-so", "good"), 4),
}

if __name__ == "__main__":
    place = Path(sys.argv[1])
    for name in sys.argv[2:]:
        MAKERS[name](place / name)
        print("made", name, flush=True)
