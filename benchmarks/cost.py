"""Draw what a query costs by the share of duplicates, for docs/cost.md: ``python -m benchmarks.cost``.

Measured on the sandbox, by its count of tokens and its prices, so the result is always the same.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox

from . import plot

PICTURE = Path(__file__).parent.parent / "docs" / "cost.svg"
ROWS = 200
SHARES = (0, 25, 50, 75, 90)


def costs(share: int) -> Iterator[float]:
    """Yield the USD that a query costs with ``share`` per cent of duplicates, and that the same query costs again."""
    distinct = ROWS * (100 - share) // 100
    texts = [f"What is review {number % distinct} about? It says that the delivery was late." for number in range(ROWS)]
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox:
        before, os.environ["HF_ENDPOINT"] = os.environ.get("HF_ENDPOINT"), sandbox.hub_url
        try:
            engine = engine_settings({"base_url": sandbox.url, "api_key": "hf_" + "x" * 34}, environ={})
            using = {"task": "chat-completion", "model_name": "sandbox/chat-completion", "input_column": "text"}
            model = model_settings({**using, "max_tokens": 20}, engine, hub=lambda *_: None)
            store, caller = SqliteCache(Path(folder) / "answers.sqlite"), Caller("0/0", "engine", "model", "m", "y")
            spent = 0.0
            for _ in range(2):
                Prediction(model, engine, caller, Runtime(), store).run(pd.DataFrame({"text": texts}))
                total = store.usage(caller.scope)["cost"]
                yield total - spent
                spent = total
            store.close()
        finally:
            if before is None:
                del os.environ["HF_ENDPOINT"]
            else:
                os.environ["HF_ENDPOINT"] = before


def draw() -> str:
    """Return the picture as SVG."""
    measured = {share: tuple(cost * 100 for cost in costs(share)) for share in SHARES}
    groups = [
        (title, "cents", [(f"{share} % duplicates", cents[at], at == 0) for share, cents in measured.items()])
        for at, title in enumerate(
            (f"Cost of a query on {ROWS} rows", "Cost of the same query again, within cache_ttl")
        )
    ]
    return plot.bars(groups)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
