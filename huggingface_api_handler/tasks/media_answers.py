"""Decoders of media in answers: bytes, base64, ``data:`` URIs, lists of samples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInput
from . import samples
from .media import Media, decode_base64, is_data_uri, parse_data_uri, sniff
from .shapes import (
    array,
    dumps,
    int64,
    is_number,
    mapping,
    number,
    one_element,
    refuse,
    storable,
    text,
    unwrapped,
)
from .task import Answer, Arguments, Decoder

#: Fields in which services put what they generated.
_HOLDERS = (
    "image", "images", "image_result", "depth", "audio", "video", "videos", "output", "outputs", "data", "blob",
    "result",
)  # fmt: skip
_INLINE = ("b64_json", "base64", "content", "url", "video_url", "image_url", "audio_url", "sample")
_MAX_STEPS = 6

_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+\Z")


def from_text(value: str, kind: str) -> Media | None:
    """Return the medium in a ``data:`` URI or base64 text, if its bytes are of ``kind``: image, audio or video."""
    declared = None
    if is_data_uri(value):
        uri = parse_data_uri(value)
        if uri is None:
            return None
        declared = uri.type
        try:
            data: bytes | None = uri.decode()
        except ValueError:
            return None
    else:
        data = decode_base64(value)
    if not data:
        return None
    seen = sniff(data) or declared
    return Media(data, seen) if seen and _is_of(seen, kind) else None


def _is_of(media_type: str, kind: str) -> bool:
    return media_type.startswith(f"{kind}/") and bool(_TYPE.match(media_type))


def is_link(value: Any) -> bool:
    """Return whether a value is an http(s) URL."""
    return isinstance(value, str) and value[:8].lower().startswith(("https://", "http://"))


def _inner(value: Any) -> Any:
    """Return what is one level inside an answer, or ``None``."""
    if isinstance(value, list):
        return value[0] if value else None
    return next((value[name] for name in (*_HOLDERS, *_INLINE) if value.get(name)), None)


def _core(answer: Any) -> Any:
    """Return the text at the heart of a provider's JSON: base64, a ``data:`` URI or a link; or what is there.

    Raises:
        InvalidInput: fal-ai's filter has put a black image in its place.
    """
    flags = answer.get("has_nsfw_concepts") if isinstance(answer, Mapping) else None
    if isinstance(flags, list) and flags[:1] == [True]:
        raise InvalidInput(
            "the service's content filter withheld the image",
            advice="Change this row's text, or choose another model or provider",
            divisible=False,
        )
    for _ in range(_MAX_STEPS):
        if not isinstance(answer, (Mapping, list)):
            break
        answer = _inner(answer)
    return answer


def media_link(answer: Any) -> str | None:
    """Return the link to what a service generated, or ``None`` if the answer contains it itself."""
    core = _core(answer)
    return core if is_link(core) else None


def _audio(answer: Any) -> Media | None:
    """Return audio that came as a list of samples with their rate."""
    found = answer[0] if isinstance(answer, list) and len(answer) == 1 else answer
    if not isinstance(found, Mapping):
        return None
    rate, audio = int64(found.get("sampling_rate")), found.get("audio")
    audio = unwrapped(audio)
    if rate is None or not 0 < rate <= 1_000_000 or not isinstance(audio, list) or not audio:
        return None
    return samples.wav(audio, rate) if all(is_number(one) for one in audio) else None


def _as_sent(answer: Media, kind: str) -> Media:
    """Return a medium with the type that its bytes show: file stores often declare a generic or another one."""
    declared = answer.type.partition(";")[0].strip().lower()
    seen = sniff(answer.data) if answer.data else None
    if seen is not None and _is_of(seen, kind) and seen.replace("/x-", "/") != declared:
        return Media(answer.data, seen)
    if not answer.data or not _is_of(declared, kind) or (seen is None and _is_text(answer.data, declared)):
        refuse(answer, f"a file of type {kind}")
    return Media(answer.data, declared)


def _is_text(data: bytes, declared: str) -> bool:
    """Return whether a medium is a text, such as a message why there is none; SVG is a text that is an image."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return declared != "image/svg+xml" and "".join(text.split()).isprintable()


def found_medium(answer: Any, kind: str) -> Media | None:
    """Return the medium that an answer holds, or ``None`` if it holds a link to it.

    Raises:
        InvalidAnswer: where it is neither.
    """
    if isinstance(answer, Media):
        return _as_sent(answer, kind)
    core = _core(answer)
    if is_link(core):
        return None
    medium = from_text(core, kind) if isinstance(core, str) else None
    medium = medium or (_audio(answer) if kind == "audio" else None)
    if medium is None:
        refuse(answer, f"a file of type {kind}")
    return medium


def media_decoder(kind: str, *, described: bool) -> Decoder:
    """Make the decoder of a task that makes a medium of ``kind``; ``described``: type and size go to explain."""

    def decode(answer: Any, args: Arguments) -> Answer:
        medium = found_medium(answer, kind)
        if medium is None:
            return Answer(storable(str(media_link(answer))), {} if described else None)
        facts = {"media_type": medium.type, "bytes": len(medium.data)} if described else None
        return Answer(None, facts, media=medium)

    return decode


# --- parts -----------------------------------------------------------------------------------


def _uri(value: Any, kind: str, what: str) -> str:
    medium = from_text(text(value, what), kind)
    if medium is None:
        refuse(value, what)
    return medium.data_uri


def segments_answer(answer: Any, args: Arguments) -> Answer:
    """Segments → JSON list, their masks as ``data:`` URIs, and how many there are of each label."""
    found = []
    for raw in array([answer] if isinstance(answer, Mapping) else unwrapped(answer), "a list of segments"):
        one = mapping(raw, "a segment")
        score = None if one.get("score") is None else number(one["score"], "a score")
        found.append({"label": text(one.get("label"), "a label"), "score": score,
                      "mask": _uri(one.get("mask"), "image", "a mask as base64")})  # fmt: skip
    # Models that cut the whole image into parts give no scores: their order stays.
    found.sort(key=lambda one: -float(one["score"]) if one["score"] is not None else 0.0)
    return Answer(dumps(found), dict(Counter(str(one["label"]) for one in found)))


def parts_answer(answer: Any, args: Arguments) -> Answer:
    """Separated audio sources → JSON list of label and ``data:`` URI."""
    found = []
    for raw in array([answer] if isinstance(answer, Mapping) else answer, "a list of audio sources"):
        one = mapping(raw, "an audio source")
        found.append({"label": text(one.get("label"), "a label"),
                      "blob": _uri(one.get("blob"), "audio", "audio as base64")})  # fmt: skip
    if not found:
        refuse(answer, "a list of audio sources")
    return Answer(dumps(found))


def transcript_answer(answer: Any, args: Arguments) -> Answer:
    """Spoken words, and with ``return_timestamps`` when they were said; OpenAI's form calls the chunks segments."""
    found = mapping(one_element(answer, "one text"), "an object with text")
    explain: dict[str, Any] = {}
    if isinstance(found.get("chunks"), list):
        explain["chunks"] = [_chunk(mapping(one, "a chunk")) for one in found["chunks"]]
    elif isinstance(found.get("segments"), list) and not found.get("words"):
        parts = [mapping(one, "a segment") for one in found["segments"]]
        explain["chunks"] = [_chunk({**one, "timestamp": [one.get("start"), one.get("end")]}) for one in parts]
    elif isinstance(found.get("words"), list):
        words = [mapping(one, "a word") for one in found["words"]]
        explain["chunks"] = [_chunk({"text": one.get("word"), "timestamp": [one.get("start"), one.get("end")]})
                             for one in words]  # fmt: skip
    return Answer(text(found.get("text"), "an object with text", of=found), explain)


def _chunk(one: Mapping[str, Any]) -> dict[str, Any]:
    times = [None, None] if one.get("timestamp") is None else array(one["timestamp"], "start and end of a chunk")
    if len(times) != 2:
        refuse(times, "start and end of a chunk")
    return {"text": text(one.get("text"), "a chunk's text"),
            "timestamp": [None if time is None else number(time, "a time") for time in times]}  # fmt: skip
