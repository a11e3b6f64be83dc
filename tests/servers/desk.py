"""The handler's own street, from the arguments of CREATE MODEL to the columns of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from huggingface_api_handler.arguments import engine_settings, model_settings
from huggingface_api_handler.cache import NoCache
from huggingface_api_handler.query.caller import Caller
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.tasks import TASKS


class Desk:
    """Asks one server.

    Args:
        url: of the server, without a path.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.runtime = Runtime()
        self.engine = engine_settings({"allowed_hosts": ["127.0.0.1"]}, environ={})

    def predict(
        self, task: str, rows: Sequence[Sequence[str]], using: Mapping[str, Any], path: str = ""
    ) -> pd.DataFrame:
        """Return the columns of a query, errors among them.

        Args:
            rows: the cells of each row.
            path: what follows the server's URL in ``endpoint``.

        Raises:
            HuggingFaceError: an argument that CREATE MODEL refuses.
        """
        columns = ["a", "b"][: len(rows[0])]
        inputs = dict(zip((one.argument for one in TASKS[task].inputs), columns, strict=False))
        common = {
            "task": task, "endpoint": f"{self.url}{path}", "max_retries": 1, "use_cache": False, "on_error": "null",
        }  # fmt: skip
        model = model_settings({**common, **inputs, **using}, self.engine, hub=lambda *_: None)
        caller = Caller(tenant="0/0", engine="servers", model=task, name="m", target="y")
        frame = pd.DataFrame(rows, columns=columns)
        return Prediction(model, self.engine, caller, self.runtime, NoCache()).run(frame)
