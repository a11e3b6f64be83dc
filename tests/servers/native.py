"""Ask llama.cpp by its own routes, in its own words: the values that the handler's are compared with."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.direct import messages

#: Argument → llama.cpp's own field.
_FIELDS: Mapping[str, str] = {
    "max_tokens": "n_predict", "max_new_tokens": "n_predict", "max_output_length": "n_predict",
    "repetition_penalty": "repeat_penalty", "typical_p": "typical_p",
    **{name: name for name in (
        "temperature", "seed", "stop", "frequency_penalty", "presence_penalty", "top_k", "top_p", "logit_bias",
    )},
}  # fmt: skip


def post(url: str, body: Mapping[str, Any]) -> Any:
    """Return the JSON that a route answers; no proxy is asked."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return json.load(response)


def answers(url: str, task: str, rows: Sequence[Sequence[str]], using: Mapping[str, Any]) -> list[Any]:
    """Return one text or vector a row."""
    if task == "feature-extraction":
        norm = -1 if using.get("normalize") is False else 2
        found = post(f"{url}/embedding", {"content": [row[0] for row in rows], "embd_normalize": norm})
        return [one["embedding"][0] for one in found]
    fields = {_FIELDS[name]: value for name, value in using.items() if name in _FIELDS}
    if task == "text-generation" and "temperature" not in using and not using.get("do_sample"):
        fields["temperature"] = 0
    if "logit_bias" in fields:
        fields["logit_bias"] = [[int(token), bias] for token, bias in fields["logit_bias"].items()]
    bodies = [{"prompt": _prompt(url, task, row[0], using), **fields} for row in rows]
    return [post(f"{url}/completion", body)["content"] for body in bodies]


def _prompt(url: str, task: str, text: str, using: Mapping[str, Any]) -> str:
    if task == "text-generation":
        return text
    return str(post(f"{url}/apply-template", {"messages": messages(text, using)})["prompt"])
