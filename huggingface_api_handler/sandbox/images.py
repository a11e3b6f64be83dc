"""What the fake image models see: regions of one colour, named by colour and shape, such as ``red disc``.

Works for drawings in plain colours. It recognises nothing in a photograph. Pillow decodes the files.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Colour: TypeAlias = "tuple[int, int, int]"

#: A pixel is named after the nearest of these.
COLOURS: dict[str, Colour] = {
    "white": (255, 255, 255), "grey": (140, 140, 140), "black": (20, 20, 20), "red": (205, 45, 45),
    "orange": (240, 140, 40), "yellow": (245, 205, 55), "green": (55, 125, 60), "light green": (130, 185, 110),
    "blue": (45, 90, 170), "light blue": (205, 230, 248), "purple": (125, 70, 150), "pink": (240, 160, 190),
    "brown": (122, 78, 46),
}  # fmt: skip

#: Regions below this share of the image are ignored.
MIN_SHARE = 0.007
#: At most this many regions or colours are returned.
MAX_FOUND = 20
#: Larger images are sampled down to about this many pixels, and images over ``MAX_PIXELS`` are not decoded.
SAMPLED_PIXELS = 200_000
MAX_PIXELS = 1_000_000
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as colour names.

    Attributes:
        width, height: in pixels of the file.
        step: distance between two sampled pixels, in both directions.
        names: the colour of each sampled pixel, row by row.
        columns: sampled pixels in a row.
    """

    width: int
    height: int
    step: int
    names: tuple[str, ...]
    columns: int


@dataclass(frozen=True, slots=True)
class Region:
    """Connected pixels of one colour that do not touch the edge of the image.

    Attributes:
        name: colour and shape.
        fit: how well the shape fits, from 0 to 1.
        box: left, top, right, bottom in pixels of the file; right and bottom are exclusive.
    """

    name: str
    fit: float
    box: tuple[int, int, int, int]


def read_pixels(data: bytes) -> Pixels | None:
    """Return the pixels of an image file; ``None`` if it is broken, too large or no image, or without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return None
            raw = image.convert("RGB").tobytes()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    step = max(1, math.ceil(math.sqrt(width * height / SAMPLED_PIXELS)))
    known: dict[bytes, str] = {}
    names: list[str] = []
    for y in range(0, height, step):
        for x in range(0, width, step):
            at = 3 * (y * width + x)
            pixel = raw[at : at + 3]
            if pixel not in known:
                known[pixel] = _nearest((pixel[0], pixel[1], pixel[2]))
            names.append(known[pixel])
    return Pixels(width, height, step, tuple(names), math.ceil(width / step))


def _nearest(colour: Colour) -> str:
    return min(COLOURS, key=lambda name: math.dist(COLOURS[name], colour))


def find_regions(pixels: Pixels) -> list[Region]:
    """Return the regions of an image, largest first."""
    rows = len(pixels.names) // pixels.columns
    seen = bytearray(len(pixels.names))
    found: list[tuple[int, Region]] = []
    for start in range(len(pixels.names)):
        if seen[start]:
            continue
        members = _flood_fill(pixels, start, seen)
        xs, ys = [one % pixels.columns for one in members], [one // pixels.columns for one in members]
        left, top, right, bottom = min(xs), min(ys), max(xs) + 1, max(ys) + 1
        inside = left > 0 and top > 0 and right < pixels.columns and bottom < rows
        if not inside or len(members) < MIN_SHARE * len(pixels.names):
            continue
        shape, fit = _shape(_filled_size(pixels, members) / ((right - left) * (bottom - top)))
        box = (left * pixels.step, top * pixels.step, right * pixels.step, bottom * pixels.step)
        found.append((len(members), Region(f"{pixels.names[start]} {shape}", fit, box)))
    found.sort(key=lambda one: -one[0])
    return [region for _, region in found[:MAX_FOUND]]


def _flood_fill(pixels: Pixels, start: int, seen: bytearray) -> list[int]:
    """Return the indices of the pixels connected with ``start``, and mark them as seen."""
    name, columns = pixels.names[start], pixels.columns
    seen[start] = 1
    members = [start]
    for index in members:
        x = index % columns
        for neighbour, in_row in (
            (index - 1, x > 0), (index + 1, x < columns - 1), (index - columns, True), (index + columns, True),
        ):  # fmt: skip
            is_inside = in_row and 0 <= neighbour < len(seen)
            if is_inside and not seen[neighbour] and pixels.names[neighbour] == name:
                seen[neighbour] = 1
                members.append(neighbour)
    return members


def _filled_size(pixels: Pixels, members: Sequence[int]) -> int:
    """Return the size of a region in pixels with its holes filled, row by row."""
    ends: dict[int, tuple[int, int]] = {}
    for index in members:
        y, x = divmod(index, pixels.columns)
        first, last = ends.get(y, (x, x))
        ends[y] = min(first, x), max(last, x)
    return sum(last - first + 1 for first, last in ends.values())


def _shape(filled: float) -> tuple[str, float]:
    """Return the shape that fills such a share of its bounding box, and how close it comes to that share."""
    shares = {"box": 1.0, "disc": math.pi / 4, "triangle": 0.5}
    shape = min(shares, key=lambda one: abs(shares[one] - filled))
    return shape, round(1 - abs(shares[shape] - filled), 6)


def colour_shares(pixels: Pixels) -> dict[str, float]:
    """Return the colours that cover a visible share of an image, with that share, largest first."""
    count = Counter(pixels.names)
    found = count.most_common(MAX_FOUND)
    return {name: n / len(pixels.names) for name, n in found if n >= MIN_SHARE * len(pixels.names)}


def colour_mask(pixels: Pixels, colour: str) -> Sequence[bytes]:
    """Return a line of bytes for each line of the file: 255 for pixels of that colour, else 0."""
    lines = []
    for start in range(0, len(pixels.names), pixels.columns):
        names = pixels.names[start : start + pixels.columns]
        line = b"".join((b"\xff" if name == colour else b"\0") * pixels.step for name in names)[: pixels.width]
        lines += [line] * pixels.step
    return lines[: pixels.height]
