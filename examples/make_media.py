"""Write the pictures, sounds and films that the media tasks are tried on: shapes, a bill, tones, a rolling ball.

    python examples/make_media.py

The files are beside this script in ``pictures``, ``sounds`` and ``films``, and are the same each time.
"""

from __future__ import annotations

import math
import struct
import wave
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent

Colour = tuple[int, int, int]
Picture = list[list[Colour]]

SKY: Colour = (214, 234, 248)
GRASS: Colour = (125, 181, 106)
RED: Colour = (200, 50, 47)
BLUE: Colour = (46, 91, 164)
YELLOW: Colour = (244, 196, 48)
BROWN: Colour = (122, 78, 46)
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (30, 30, 30)
GREY: Colour = (150, 152, 155)
GREEN: Colour = (62, 125, 60)
ORANGE: Colour = (240, 140, 40)
PALE: Colour = (205, 230, 248)

#: Three dots wide, five high, a row of dots a number.
LETTERS = {
    "B": (6, 5, 6, 5, 6), "C": (7, 4, 4, 4, 7), "E": (7, 4, 6, 4, 7), "I": (7, 2, 2, 2, 7), "K": (5, 5, 6, 5, 5),
    "L": (4, 4, 4, 4, 7), "O": (7, 5, 5, 5, 7), "R": (6, 5, 6, 5, 5), "T": (7, 2, 2, 2, 2), "U": (5, 5, 5, 5, 7),
    "A": (7, 5, 7, 5, 5), "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "3": (7, 1, 7, 1, 7),
    "4": (5, 5, 7, 1, 1), "5": (7, 4, 7, 1, 7), "7": (7, 1, 1, 1, 1), " ": (0, 0, 0, 0, 0),
}  # fmt: skip


# --- pictures --------------------------------------------------------------------------------


def canvas(width: int, height: int, colour: Colour) -> Picture:
    return [[colour] * width for _ in range(height)]


def paint(picture: Picture, colour: Colour, inside: Callable[[int, int], bool]) -> None:
    """Paint every dot (x, y) for which ``inside`` holds."""
    for y, row in enumerate(picture):
        for x in range(len(row)):
            if inside(x, y):
                row[x] = colour


def disc(x: int, y: int, radius: int) -> Callable[[int, int], bool]:
    return lambda a, b: (a - x) ** 2 + (b - y) ** 2 <= radius**2


def box(left: int, top: int, right: int, bottom: int) -> Callable[[int, int], bool]:
    return lambda a, b: left <= a < right and top <= b < bottom


def roof(x: int, top: int, bottom: int, half: int) -> Callable[[int, int], bool]:
    return lambda a, b: top <= b < bottom and abs(a - x) * (bottom - top) <= half * (b - top)


def write_text(picture: Picture, text: str, left: int, top: int, dot: int = 2) -> None:
    for position, letter in enumerate(text):
        for line, bits in enumerate(LETTERS[letter]):
            for column in range(3):
                if bits & (4 >> column):
                    x, y = left + (4 * position + column) * dot, top + line * dot
                    paint(picture, BLACK, box(x, y, x + dot, y + dot))


def landscape() -> Picture:
    picture = canvas(96, 72, SKY)
    paint(picture, GRASS, box(0, 48, 96, 72))
    return picture


def house() -> Picture:
    picture = landscape()
    paint(picture, YELLOW, disc(80, 14, 8))
    paint(picture, RED, roof(40, 12, 30, 26))
    paint(picture, WHITE, box(20, 30, 60, 60))
    paint(picture, BROWN, box(35, 42, 46, 60))
    return picture


def tree() -> Picture:
    picture = landscape()
    paint(picture, BROWN, box(44, 36, 52, 62))
    paint(picture, GREEN, disc(48, 26, 18))
    return picture


def ball(x: int = 48) -> Picture:
    picture = landscape()
    paint(picture, BLUE, disc(x, 52, 12))
    paint(picture, WHITE, disc(x - 4, 48, 3))
    return picture


def bill() -> Picture:
    picture = canvas(96, 72, WHITE)
    for line, text in enumerate(("BILL 173", "KETTLE 30", "LABOUR 12", "TOTAL 42")):
        write_text(picture, text, 8, 6 + 16 * line)
    return picture


def street() -> Picture:
    """A house, two trees, a van and a ball, five times as wide as the others and with smooth edges."""
    picture = canvas(1200, 720, SKY)
    add = partial(paint, picture)
    add(GRASS, box(0, 420, 1200, 720))
    add(GREY, box(0, 590, 1200, 720))
    add(YELLOW, disc(1080, 110, 62))
    add(RED, roof(330, 120, 270, 225))
    add(WHITE, box(160, 270, 500, 540))
    add(BROWN, box(295, 390, 375, 540))
    for left in (186, 406):
        add(PALE, box(left, 310, left + 72, 410))
    for x, radius in ((660, 92), (1040, 74)):
        add(BROWN, box(x - 17, 380, x + 17, 530))
        add(GREEN, disc(x, 330, radius))
    add(BLUE, box(690, 490, 990, 650))
    add(PALE, box(880, 515, 966, 570))
    for x in (760, 935):
        add(BLACK, disc(x, 650, 48))
    add(ORANGE, disc(580, 570, 48))
    return halved(picture)


def halved(picture: Picture) -> Picture:
    """Return a picture of half the size, each dot the mean of four."""
    pairs = zip(picture[::2], picture[1::2], strict=True)
    return [
        [
            ((a[0] + b[0] + c[0] + d[0]) // 4, (a[1] + b[1] + c[1] + d[1]) // 4, (a[2] + b[2] + c[2] + d[2]) // 4)
            for a, b, c, d in zip(above[::2], above[1::2], below[::2], below[1::2], strict=True)
        ]
        for above, below in pairs
    ]


def png(picture: Picture) -> bytes:
    """Return a picture as a PNG file."""
    rows = b"".join(b"\0" + bytes(part for dot in row for part in dot) for row in picture)
    header = struct.pack(">IIBBBBB", len(picture[0]), len(picture), 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


# --- sounds ----------------------------------------------------------------------------------

RATE = 8000


def tone(pitch: float, seconds: float, end: float | None = None) -> list[float]:
    """Return a tone that fades out, in numbers from -1 to 1; it slides to the pitch ``end`` where one is given."""
    steps = round(seconds * RATE)
    sound, turn = [], 0.0
    for step in range(steps):
        share = step / steps
        turn += 2 * math.pi * (pitch + ((end or pitch) - pitch) * share) / RATE
        sound.append(0.5 * math.sin(turn) * (1 - share))
    return sound


SOUNDS = {
    "doorbell": [*tone(659.3, 0.25), *tone(523.3, 0.4)],
    "siren": [*tone(400, 0.3, 900), *tone(900, 0.3, 400)],
    "hum": tone(110, 0.5),
}


def write_wav(path: Path, sound: Sequence[float]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{len(sound)}h", *(round(32767 * one) for one in sound)))


# --- films -----------------------------------------------------------------------------------


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def avi(pictures: Sequence[Picture], rate: int = 4) -> bytes:
    """Return an uncompressed AVI film of pictures of one size, ``rate`` of them a second."""
    height, width = len(pictures[0]), len(pictures[0][0])
    frames = [b"".join(bytes(part for dot in row for part in dot[::-1]) for row in reversed(one)) for one in pictures]
    size = len(frames[0])
    main = struct.pack("<14I", 10**6 // rate, rate * size, 0, 0x10, len(frames), 0, 1, size, width, height, 0, 0, 0, 0)
    stream = b"vidsDIB " + struct.pack(
        "<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, rate, 0, len(frames), size, 0, 0, 0, 0, width, height
    )
    form = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0)
    described = _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", form))
    head = _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + described)
    movie = _chunk(b"LIST", b"movi" + b"".join(_chunk(b"00db", frame) for frame in frames))
    return _chunk(b"RIFF", b"AVI " + head + movie)


def small(picture: Picture) -> Picture:
    """Return a picture of a third of the size: a film is stored dot by dot."""
    return [row[::3] for row in picture[::3]]


# --- files -----------------------------------------------------------------------------------


def write(folder: Path = HERE) -> list[Path]:
    """Write all files below ``folder`` and return their paths."""
    for name in ("pictures", "sounds", "films"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    written = []
    for draw in (ball, bill, house, street, tree):
        written.append(folder / "pictures" / f"{draw.__name__}.png")
        written[-1].write_bytes(png(draw()))
    for name, sound in SOUNDS.items():
        written.append(folder / "sounds" / f"{name}.wav")
        write_wav(written[-1], sound)
    films = {"rolling": [small(ball(x)) for x in range(12, 84, 24)], "waiting": [small(tree())] * 3}
    for name, pictures in films.items():
        written.append(folder / "films" / f"{name}.avi")
        written[-1].write_bytes(avi(pictures))
    return written


if __name__ == "__main__":
    for path in write():
        print(path.relative_to(HERE), path.stat().st_size, "bytes")
