"""Rows and arguments that several servers are asked with."""

from __future__ import annotations

from huggingface_api_handler.tasks import samples

WORDS = ("red", "green", "apple", "pear", "market", "news", "flight", "cheap", "bread", "price")
TEXTS = tuple((f"{first} {second}",) for first in WORDS for second in WORDS[:7])
SOUNDS = tuple((samples.tone(seed, 0.5, 16000).data_uri,) for seed in (b"one", b"two"))
LINES = (("good bread",), ("bad news",), ("the red apple",))
LONG = (*LINES, ("red apple " * 300,))
RANKED = tuple((query, f"{word} {query}") for query in ("cheap flight", "red apple") for word in WORDS)
EXAMPLE = [{"input": "red", "output": "apple"}]
OBJECT = {"type": "json_object"}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}]
GREEDY = {"max_tokens": 8, "temperature": 0}
GUIDED = {"max_tokens": 600, "temperature": None, "seed": 1}
