"""Answers of providers whose form no other server shares, brought to the form that the task's reader knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ...errors import InvalidAnswer
from ...net.request import Response
from ...tasks.media import encode_base64
from ...tasks.media_answers import is_link, media_link

#: Fetches a link of an answer, without the token.
Fetch: TypeAlias = Callable[[str], Response]


def _spoken(body: Any, fetch: Fetch) -> Any:
    """Replicate's models of speech: a text, a list of one, or an object that names it in one of four ways.

    Where there is a translation, it was asked for.
    """
    output = body.get("output") if isinstance(body, Mapping) else None
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    if isinstance(output, str):
        return {"text": output}
    if not isinstance(output, Mapping):
        return body
    text = next((output[name] for name in ("translation", "transcription", "text")
                 if isinstance(output.get(name), str)), None)  # fmt: skip
    if text is None and is_link(output.get("txt_file")):
        text = _utf8(fetch(output["txt_file"]))
    return body if text is None else {**output, "text": text}


def _utf8(reply: Response) -> str:
    try:
        return reply.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidAnswer("the provider left a text that is not UTF-8", divisible=False) from error


def _cut_out(body: Any, fetch: Fetch) -> Any:
    """fal-ai's models of segments: one picture, the mask of whatever was to be cut out."""
    image = body.get("image") if isinstance(body, Mapping) else None
    url = image.get("url") if isinstance(image, Mapping) else None
    if not isinstance(url, str):
        return body
    link = media_link(url)
    mask = url if link is None else encode_base64(fetch(link).content)
    return [{"label": "mask", "mask": mask}]


#: (provider, task) → (answer, fetch) → the answer in the task's own form, or as it is where it is of no known form.
FORMS: Mapping[tuple[str, str], Callable[[Any, Fetch], Any]] = {
    ("fal-ai", "image-segmentation"): _cut_out,
    ("replicate", "automatic-speech-recognition"): _spoken,
}
