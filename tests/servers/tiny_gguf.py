"""Make models of random weights as llama.cpp loads them: for chat, for vectors, for ranks.

::

    python tiny_gguf.py FOLDER chat.gguf …
    python tiny_gguf.py FOLDER script.gguf <TEXTS      TEXTS: a JSON list of what the model says

Runs with the Python of that server, which has gguf and numpy. What such models say is nonsense, and the same each time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np

WORDS = ["a", "the", "red", "green", "apple", "pear", "market", "news", "flight", "cheap", "bread", "price",
         "good", "bad"]  # fmt: skip
LETTERS = [chr(code) for code in range(33, 127)]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SIZE, INNER, LAYERS, HEADS = 64, 128, 2, 2


class Model:
    """A model that is being written.

    Args:
        kind: its architecture.
        length: tokens of its context.
        seed: of its weights.
    """

    def __init__(self, path: Path, kind: str, length: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.file = gguf.GGUFWriter(str(path), kind)
        self.file.add_name("tiny")
        self.file.add_context_length(length)
        self.file.add_embedding_length(SIZE)
        self.file.add_block_count(LAYERS)
        self.file.add_feed_forward_length(INNER)
        self.file.add_head_count(HEADS)
        self.file.add_file_type(gguf.LlamaFileType.ALL_F32)

    def words(self, kind: str, pieces: list[str], types: list[int]) -> None:
        self.file.add_vocab_size(len(pieces))
        self.file.add_tokenizer_model(kind)
        self.file.add_token_list(pieces)
        self.file.add_token_scores([-float(place) for place in range(len(pieces))])
        self.file.add_token_types(types)

    def draw(self, *shape: int, scale: float = 0.3) -> Any:
        return (self.random.standard_normal(shape) * scale).astype(np.float32)

    def tensor(self, name: str, values: Any) -> None:
        self.file.add_tensor(name, values)

    def random_weights(self, name: str, *shape: int, scale: float = 0.3) -> None:
        self.tensor(name, self.draw(*shape, scale=scale))

    def linear(self, name: str, rows: int, columns: int) -> None:
        self.random_weights(f"{name}.weight", rows, columns)
        self.random_weights(f"{name}.bias", rows)

    def norm(self, name: str, *, bias: bool) -> None:
        self.tensor(f"{name}.weight", np.ones(SIZE, np.float32))
        if bias:
            self.tensor(f"{name}.bias", np.zeros(SIZE, np.float32))

    def write(self) -> None:
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


OCTETS = [f"<0x{octet:02X}>" for octet in range(256)]
#: The tokens that every chat model has; the first three are special.
PIECES = ["<unk>", "<s>", "</s>", *OCTETS, "▁", *LETTERS, *(f"▁{word}" for word in WORDS)]
_END = 2


def _llama(path: Path, pieces: Sequence[str]) -> Model:
    """Begin a Llama with a vocabulary: bytes, characters, and ``pieces``."""
    kinds: Any = gguf.TokenType
    model = Model(path, "llama", 8192, seed=5)
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * len(OCTETS)]
    model.words("llama", [*pieces], types + [kinds.NORMAL] * (len(pieces) - len(types)))
    file = model.file
    file.add_add_space_prefix(False)
    file.add_bos_token_id(1)
    file.add_eos_token_id(_END)
    file.add_unk_token_id(0)
    file.add_chat_template(CHAT_TEMPLATE)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(SIZE // HEADS)
    return model


def _layers(model: Model, scale: float) -> None:
    """Write the layers; the first of the embedding's numbers passes through them as it is."""
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        model.norm(f"{block}.attn_norm", bias=False)
        model.norm(f"{block}.ffn_norm", bias=False)
        for name in ("attn_q", "attn_k", "attn_v"):
            model.tensor(f"{block}.{name}.weight", model.draw(SIZE, SIZE, scale=scale))
        for name in ("ffn_gate", "ffn_up"):
            model.tensor(f"{block}.{name}.weight", model.draw(INNER, SIZE, scale=scale))
        for name, size in (("attn_output", SIZE), ("ffn_down", INNER)):
            weights = model.draw(SIZE, size, scale=scale)
            weights[0] = 0
            model.tensor(f"{block}.{name}.weight", weights)
    model.norm("output_norm", bias=False)


def chat_model(path: Path) -> None:
    """A Llama that writes ASCII characters and a few words, and ends texts in JSON now and then."""
    model = _llama(path, PIECES)
    embeddings = model.draw(len(PIECES), SIZE, scale=1)
    embeddings[:, 0] = 4
    model.tensor("token_embd.weight", embeddings)
    _layers(model, 0.3)
    weights = model.draw(len(PIECES), SIZE)
    beyond = PIECES.index("<0x80>")
    weights[[0, 1, *range(beyond, beyond + 128)], 0] = -20
    weights[PIECES.index('"'), 0] = 1.5
    model.tensor("output.weight", weights)
    model.write()


def script_model(path: Path, script: Sequence[str]) -> None:
    """A Llama that answers with the texts of ``script``, one after the other, whatever it is asked.

    Each text is a token. The output of a token is that to which the one before it points: the first follows the colon
    at the end of the chat template.
    """
    pieces = [*PIECES, *(text.replace(" ", "▁") for text in script)]
    model = _llama(path, pieces)
    embeddings = model.draw(len(pieces), SIZE, scale=1)
    model.tensor("token_embd.weight", embeddings)
    _layers(model, 0)
    weights = np.zeros_like(embeddings)
    before = PIECES.index(":")
    for token in (*range(len(PIECES), len(pieces)), _END):
        weights[token] = 4 * embeddings[before]
        before = token
    model.tensor("output.weight", weights)
    model.write()


def bert_model(path: Path, *, ranks: bool) -> None:
    """A BERT of words and characters, for vectors or with a head that scores pairs."""
    kinds: Any = gguf.TokenType
    length = 512
    model = Model(path, "bert", length, seed=6)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [letter for letter in LETTERS if not letter.isupper()]
    starts = dict.fromkeys(f"▁{piece}" for piece in (*WORDS, *letters))
    pieces = [*special, *starts, *letters]
    model.words("bert", pieces, [kinds.CONTROL] * len(special) + [kinds.NORMAL] * (len(pieces) - len(special)))
    file = model.file
    file.add_pad_token_id(0)
    file.add_unk_token_id(1)
    file.add_bos_token_id(2)
    file.add_eos_token_id(3)
    file.add_sep_token_id(3)
    file.add_mask_token_id(4)
    file.add_add_bos_token(True)
    file.add_add_eos_token(True)
    file.add_token_type_count(2)
    file.add_layer_norm_eps(1e-12)
    file.add_causal_attention(False)
    file.add_pooling_type(gguf.PoolingType.RANK if ranks else gguf.PoolingType.MEAN)
    model.random_weights("token_embd.weight", len(pieces), SIZE, scale=1)
    model.random_weights("token_types.weight", 2, SIZE)
    model.random_weights("position_embd.weight", length, SIZE)
    model.norm("token_embd_norm", bias=True)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            model.linear(f"{block}.{name}", SIZE, SIZE)
        model.linear(f"{block}.ffn_up", INNER, SIZE)
        model.linear(f"{block}.ffn_down", SIZE, INNER)
        model.norm(f"{block}.attn_output_norm", bias=True)
        model.norm(f"{block}.layer_output_norm", bias=True)
    if ranks:
        file.add_classifier_output_labels(["score"])
        model.linear("cls", SIZE, SIZE)
        model.linear("cls.output", 1, SIZE)
    model.write()


MAKERS: dict[str, Callable[[Path], None]] = {
    "chat.gguf": chat_model,
    "script.gguf": lambda path: script_model(path, json.load(sys.stdin)),
    "vectors.gguf": lambda path: bert_model(path, ranks=False),
    "ranks.gguf": lambda path: bert_model(path, ranks=True),
}

if __name__ == "__main__":
    place = Path(sys.argv[1])
    for name in sys.argv[2:]:
        MAKERS[name](place / name)
        print("made", name, flush=True)
