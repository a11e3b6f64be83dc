"""What a PNG shows, for the stand-ins: areas of one colour, with a name such as ``red disc``.

Drawings in plain colours are what it can tell something of. It knows nothing of photographs.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Colour: TypeAlias = "tuple[int, int, int]"

#: What a dot's colour is called: by the nearest of these.
COLOURS: dict[str, Colour] = {
    "white": (255, 255, 255), "grey": (140, 140, 140), "black": (20, 20, 20), "red": (205, 45, 45),
    "orange": (240, 140, 40), "yellow": (245, 205, 55), "green": (55, 125, 60), "light green": (130, 185, 110),
    "blue": (45, 90, 170), "light blue": (205, 230, 248), "purple": (125, 70, 150), "pink": (240, 160, 190),
    "brown": (122, 78, 46),
}  # fmt: skip

#: An area counts from this share of the picture on.
LEAST = 0.007
#: More areas than this are not told.
MOST = 20
#: A picture of more dots is read in steps, one of more bytes not at all.
DOTS = 200_000
BYTES = 3_000_000


@dataclass(frozen=True, slots=True)
class Dots:
    """A picture as the names of its colours.

    Attributes:
        width, height: in dots, as the file has them.
        step: every how many dots one was read, both ways.
        names: the colours, row by row, of the dots that were read.
        columns: how many dots were read in a row.
    """

    width: int
    height: int
    step: int
    names: tuple[str, ...]
    columns: int


@dataclass(frozen=True, slots=True)
class Area:
    """Dots of one colour that hang together and do not touch the picture's edge.

    Attributes:
        name: colour and shape.
        fit: how well the shape fits, from 0 to 1.
        box: left, top, right, bottom in dots of the file; right and bottom lie outside.
    """

    name: str
    fit: float
    box: tuple[int, int, int, int]


# --- a file's dots ---------------------------------------------------------------------------

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def read_dots(data: bytes) -> Dots | None:
    """Return the dots of a PNG of 8 bits a channel; ``None`` for anything else, broken and large files too."""
    try:
        return _read(data)
    except (ValueError, IndexError, KeyError, struct.error, zlib.error):
        return None


def _read(data: bytes) -> Dots | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    parts = list(_parts(data))
    width, height, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    size = width * height * _CHANNELS[kind]
    if bits != 8 or interlaced or not 0 < size <= BYTES:
        return None
    # Never unpacks more than the header speaks of.
    packed = b"".join(body for name, body in parts if name == b"IDAT")
    raw = zlib.decompressobj().decompress(packed, size + height)
    palette = b"".join(body for name, body in parts if name == b"PLTE")
    step = max(1, math.ceil(math.sqrt(width * height / DOTS)))
    known: dict[bytes, str] = {}
    names: list[str] = []
    for line in itertools.islice(_lines(raw, width, height, _CHANNELS[kind]), 0, None, step):
        for x in range(0, width, step):
            dot = line[x * _CHANNELS[kind] : (x + 1) * _CHANNELS[kind]]
            if dot not in known:
                known[dot] = _called(_rgb(dot, kind, palette))
            names.append(known[dot])
    return Dots(width, height, step, tuple(names), math.ceil(width / step))


def _parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _lines(raw: bytes, width: int, height: int, channels: int) -> Iterator[bytes]:
    """Yield the lines of a picture, with PNG's five filters undone."""
    length = width * channels
    if len(raw) < (length + 1) * height:
        raise ValueError("the picture's data end too early")
    above = bytes(length)
    for start in range(0, (length + 1) * height, length + 1):
        way, line = raw[start], bytearray(raw[start + 1 : start + 1 + length])
        guess = _GUESSES[way]
        if guess is not None:
            for place in range(length):
                left, corner = (line[place - channels], above[place - channels]) if place >= channels else (0, 0)
                line[place] = (line[place] + guess(left, above[place], corner)) & 255
        above = bytes(line)
        yield above


def _paeth(left: int, above: int, corner: int) -> int:
    by_left, by_above, by_corner = abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)
    if by_left <= by_above and by_left <= by_corner:
        return left
    return above if by_above <= by_corner else corner


#: What a filter expects of a byte, after those to its left, above it, and above that on its left.
_GUESSES = (
    None, lambda left, above, corner: left, lambda left, above, corner: above,
    lambda left, above, corner: (left + above) // 2, _paeth,
)  # fmt: skip


def _rgb(dot: bytes, kind: int, palette: bytes) -> Colour:
    if kind == 3:
        dot = palette[3 * dot[0] : 3 * dot[0] + 3]
    elif kind in (0, 4):
        dot = dot[:1] * 3
    return dot[0], dot[1], dot[2]


def _called(colour: Colour) -> str:
    return min(COLOURS, key=lambda name: math.dist(COLOURS[name], colour))


# --- what they show --------------------------------------------------------------------------


def areas(dots: Dots) -> list[Area]:
    """Return the areas of a picture, largest first."""
    rows = len(dots.names) // dots.columns
    seen = bytearray(len(dots.names))
    found: list[tuple[int, Area]] = []
    for start in range(len(dots.names)):
        if seen[start]:
            continue
        places = _together(dots, start, seen)
        xs, ys = [place % dots.columns for place in places], [place // dots.columns for place in places]
        left, top, right, bottom = min(xs), min(ys), max(xs) + 1, max(ys) + 1
        inside = left > 0 and top > 0 and right < dots.columns and bottom < rows
        if not inside or len(places) < LEAST * len(dots.names):
            continue
        shape, fit = _shape(_outline(dots, places) / ((right - left) * (bottom - top)))
        box = (left * dots.step, top * dots.step, right * dots.step, bottom * dots.step)
        found.append((len(places), Area(f"{dots.names[start]} {shape}", fit, box)))
    found.sort(key=lambda one: -one[0])
    return [area for _, area in found[:MOST]]


def _together(dots: Dots, start: int, seen: bytearray) -> list[int]:
    """Return the places of one colour that hang together with ``start``, and mark them as seen."""
    name, columns = dots.names[start], dots.columns
    seen[start] = 1
    places = [start]
    for place in places:
        x = place % columns
        for there, fits in (
            (place - 1, x > 0), (place + 1, x < columns - 1), (place - columns, True), (place + columns, True),
        ):  # fmt: skip
            if fits and 0 <= there < len(seen) and not seen[there] and dots.names[there] == name:
                seen[there] = 1
                places.append(there)
    return places


def _outline(dots: Dots, places: Sequence[int]) -> int:
    """Return how many dots an area has with those that it encloses from left to right."""
    ends: dict[int, tuple[int, int]] = {}
    for place in places:
        y, x = divmod(place, dots.columns)
        first, last = ends.get(y, (x, x))
        ends[y] = min(first, x), max(last, x)
    return sum(last - first + 1 for first, last in ends.values())


def _shape(filled: float) -> tuple[str, float]:
    """Return the shape that fills such a share of its box, and how near it comes to that."""
    shares = {"box": 1.0, "disc": math.pi / 4, "triangle": 0.5}
    shape = min(shares, key=lambda one: abs(shares[one] - filled))
    return shape, round(1 - abs(shares[shape] - filled), 6)


def colours(dots: Dots) -> dict[str, float]:
    """Return the colours that fill a visible share of a picture, with that share, largest first."""
    count = Counter(dots.names)
    return {name: n / len(dots.names) for name, n in count.most_common(MOST) if n >= LEAST * len(dots.names)}


def where(dots: Dots, colour: str) -> Sequence[bytes]:
    """Return a line of bytes for each line of the file: 255 where the dots have that colour, else 0."""
    lines = []
    for start in range(0, len(dots.names), dots.columns):
        read = dots.names[start : start + dots.columns]
        line = b"".join((b"\xff" if name == colour else b"\0") * dots.step for name in read)[: dots.width]
        lines += [line] * dots.step
    return lines[: dots.height]
