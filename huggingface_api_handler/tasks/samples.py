"""Small generated files for examples and tests: PNG, WAV and AVI."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence

from .media import Media


def png(seed: bytes, size: int = 16) -> Media:
    """Return a small colour image, another for each seed."""
    red, green, blue, _ = struct.pack(">I", zlib.crc32(seed))
    return _colour_png(size, lambda x, y: (red, (green + 8 * x) % 256, (blue + 8 * y) % 256))


def spot(red: int, green: int, blue: int) -> Media:
    """Return a white image with a disc of that colour in the middle."""
    size = 16
    middle = (size - 1) / 2
    return _colour_png(
        size, lambda x, y: (red, green, blue) if math.hypot(x - middle, y - middle) < size / 4 else (255, 255, 255)
    )


def _colour_png(size: int, colour_at: Callable[[int, int], tuple[int, int, int]]) -> Media:
    rows = b"".join(b"\0" + b"".join(bytes(colour_at(x, y)) for x in range(size)) for y in range(size))
    return Media(_png_file(size, rows, colour=2), "image/png")


def mask(size: int = 16, *, left: bool = True) -> Media:
    """Return a black-and-white image, one half of it white."""
    row = b"\xff" * (size // 2) + b"\0" * (size - size // 2)
    return grey_png([row if left else row[::-1]] * size)


def grey_png(lines: Sequence[bytes]) -> Media:
    """Return a greyscale image: a line of it for each of ``lines``, a pixel for each byte."""
    return Media(_png_file(len(lines[0]), b"".join(b"\0" + line for line in lines), colour=0), "image/png")


def _png_file(width: int, rows: bytes, *, colour: int) -> bytes:
    """Return a PNG file of ``rows``, each with its filter's number in front; ``colour`` is 0 for greys, 2 for RGB."""
    height = len(rows) // (1 + width * (1 + colour))
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def wav(samples: Sequence[float], rate: int = 8000) -> Media:
    """Return audio, given as numbers from -1 to 1, as 16-bit PCM; ``rate`` in samples a second."""
    frames = struct.pack(f"<{len(samples)}h", *(round(32767 * max(-1.0, min(1.0, one))) for one in samples))
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(frames)) + frames
    return Media(b"RIFF" + struct.pack("<I", len(body)) + body, "audio/wav")


def tone(seed: bytes, seconds: float = 0.05, rate: int = 8000) -> Media:
    """Return a short tone, another for each seed."""
    pitch = 200 + zlib.crc32(seed) % 600
    return wav([0.3 * math.sin(2 * math.pi * pitch * step / rate) for step in range(int(seconds * rate))], rate)


def avi(seed: bytes, frames: int = 3, size: int = 16) -> Media:
    """Return a short uncompressed video, another for each seed."""
    red, green, blue, _ = struct.pack(">I", zlib.crc32(seed))
    images = [bytes((blue, green, (red + 40 * position) % 256)) * (size * size) for position in range(frames)]
    length = len(images[0])
    main = struct.pack("<14I", 100_000, 10 * length, 0, 0x10, frames, 0, 1, length, size, size, 0, 0, 0, 0)
    stream = b"vidsDIB " + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 10, 0, frames, length, 0, 0, 0, 0, size, size)
    header = struct.pack("<IiiHHIIiiII", 40, size, size, 1, 24, 0, length, 0, 0, 0, 0)
    described = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", header))
    headers = _list(b"hdrl", _chunk(b"avih", main) + described)
    movie = _list(b"movi", b"".join(_chunk(b"00db", one) for one in images))
    body = b"AVI " + headers + movie
    return Media(b"RIFF" + struct.pack("<I", len(body)) + body, "video/x-msvideo")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(name: bytes, data: bytes) -> bytes:
    return _chunk(b"LIST", name + data)
