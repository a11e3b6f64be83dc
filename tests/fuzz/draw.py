"""Bytes → values: what a fuzzer mutates, read as the arguments, cells and answers of a hostile world."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

#: Texts that mean something to some part of the package, or to something behind it.
WORDS = (
    "", " ", "0", "1", "-1", "1e400", "NaN", "null", "true", "text", "t", "label", "score", "LABEL_0", "LABEL_99",
    "generated_text", "translation_text", "summary_text", "answer", "answers", "start", "end", "word",
    "entity_group", "entity", "token", "sequence", "token_str", "labels", "scores", "embeddings", "data", "index",
    "embedding", "choices", "message", "content", "usage", "finish_reason", "tool_calls", "box", "xmin", "mask",
    "image", "images", "url", "b64_json", "blob", "content-type", "chunks", "timestamp", "error", "estimated_time",
    "warnings", "type", "output", "outputs", "results", "relevance_score", "coordinates", "cells", "aggregator",
    "depth", "video", "audio", "data:image/png;base64,iVBORw0KGgo=", "data:,x", "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB",
    "http://127.0.0.1/", "file:///etc/passwd", "https://good.example/a.png", "../../etc/passwd",
    "/proc/self/environ", "{{t}}", "{{", "}}", "{{t", "{0}", "{t.__class__}", "%s%n", "=HYPERLINK(\"x\")",
    "\r\nX: y", "\0", "\ud800", "\u202e", "\U0001f600", "é", "m.top_k", "top_k", "task", "text-classification",
    "chat-completion", "image-classification", "table-question-answering", "feature-extraction", "model_name",
    "org/name", "org/../name", "org/name:groq", "provider", "together", "fal-ai", "endpoint", "base_url",
    "https://x.endpoints.huggingface.cloud", "input_column", "column", "question_column", "context_column",
    "candidate_labels", "a,b", "[\"a\",\"b\"]", "prompt_template", "system_prompt", "parameters", "options",
    "{\"a\":1}", "on_error", "timeout", "max_requests", "deadline", "cache_ttl", "api_key", "hf_" + "f" * 34,
    "allowed_hosts", "media_roots", "/", "bill_to", "lang_input", "en", "src_lang", "pooling", "mean", "cls",
    "none", "min_length", "max_length", "response_format", "schema", "output_dir", "stop", "seed", "input_columns",
    "question", "image_column", "include_meta", "dry_run",
)  # fmt: skip


class Draw:
    """Reads values off bytes; where they end, everything is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def one(self, of: Sequence[T]) -> T:
        number = self.byte()
        return of[(number if len(of) <= 256 else number * 256 + self.byte()) % len(of)]

    def raw(self, most: int = 64) -> bytes:
        size = self.byte() % (most + 1)
        self._at += size
        return self._data[self._at - size : self._at]

    def rest(self) -> bytes:
        rest, self._at = self._data[self._at :], len(self._data)
        return rest

    def text(self) -> str:
        kind = self.byte() % 8
        if kind < 5:
            return self.one(WORDS)
        if kind == 5:
            return self.one(WORDS) + self.one(WORDS)
        if kind == 6:
            return self.raw().decode("utf-8", "surrogateescape")
        return self.one(WORDS) * (1 + self.byte() * 16)

    def number(self) -> int | float:
        kind = self.byte() % 4
        if kind == 0:
            return self.byte() - 128
        if kind == 1:
            return 1 << self.byte()
        packed = (self.raw(8) + bytes(8))[:8]
        return float(struct.unpack("<d", packed)[0]) if kind == 2 else int.from_bytes(packed, "little", signed=True)

    def value(self, depth: int = 5) -> Any:
        """Anything that JSON, or a table's cell, may hold; infinities too."""
        kind = self.byte() % 12
        if kind < 4 or depth <= 0:
            return self.text()
        if kind < 6:
            return self.number()
        if kind == 6:
            return self.one((None, True, False))
        if kind < 9:
            return [self.value(depth - 1) for _ in range(self.byte() % 5)]
        if kind < 11:
            return self.mapping(depth - 1)
        wrapped: Any = self.text()
        for _ in range(self.byte() * 4):
            wrapped = [wrapped]
        return wrapped

    def mapping(self, depth: int = 4) -> dict[str, Any]:
        return {self.text(): self.value(depth) for _ in range(self.byte() % 6)}

    def json(self) -> Any:
        """A value as it comes off the wire: a drawn one, or the rest of the bytes if they are JSON."""
        if self.byte() % 2:
            return self.value()
        try:
            return json.loads(self.rest())
        except (ValueError, RecursionError):
            return None
