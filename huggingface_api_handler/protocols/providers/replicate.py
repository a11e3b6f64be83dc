"""replicate: queues every request; its models of speech return text in several forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidAnswer
from ...net.request import Response
from ...tasks.media_answers import is_link
from ...tasks.shapes import inside
from .provider import Fetch, QueueingProvider


class Replicate(QueueingProvider):
    """A request returns ``status``, ``urls.get`` and, when it is done, ``output``."""

    converted = frozenset({"automatic-speech-recognition"})

    def convert(self, task: str, body: Any, fetch: Fetch) -> Any:
        """Return the text: ``output`` is a text, a list of one, or an object that names it in one of four ways.

        If there is a translation, it was requested.
        """
        output = inside(body, "output")
        if isinstance(output, list) and len(output) == 1:
            output = output[0]
        if isinstance(output, str):
            return {"text": output}
        if not isinstance(output, Mapping):
            return body
        names = ("translation", "transcription", "text")
        text = next((output[name] for name in names if isinstance(output.get(name), str)), None)
        if text is None and is_link(output.get("txt_file")):
            text = _utf8(fetch(output["txt_file"]))
        return body if text is None else {**output, "text": text}


def _utf8(response: Response) -> str:
    try:
        return response.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidAnswer("the provider's text is not UTF-8", divisible=False) from error
