"""The engine ``echo``."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mindsdb.integrations.libs.base import BaseMLEngine
from mindsdb.utilities import log

logger = log.getLogger("mindsdb.echo")
FAULT = "Bearer authentication is not enabled, Bearer 12345 and api_org_1 hf_inference neither; token: none"


class Echo(BaseMLEngine):  # type: ignore[misc]
    name = "echo"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.generative = True

    def create(self, target: str, df: Any = None, args: dict[str, Any] | None = None) -> None:
        logger.warning(FAULT)
        if "fail" in (args or {}).get("using", {}):
            raise ValueError(FAULT)
        self.model_storage.json_set("target", {"target": target})

    def predict(self, df: pd.DataFrame, args: dict[str, Any] | None = None) -> pd.DataFrame:
        if "fail" in list(df["text"]):
            raise ValueError(FAULT)
        return pd.DataFrame({self.model_storage.json_get("target")["target"]: df["text"]})
