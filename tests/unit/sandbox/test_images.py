"""What the fake image models see in drawings; the expected values are written by hand from how they are drawn."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from huggingface_api_handler.sandbox import fake_media
from huggingface_api_handler.sandbox.images import read_pixels
from huggingface_api_handler.tasks import samples

PICTURES = Path(__file__).parents[3] / "examples" / "pictures"
HOUSE = (PICTURES / "house.png").read_bytes()


def boxes(data: bytes) -> dict[str, tuple[int, ...]]:
    found = fake_media.object_detection(data, {})
    return {one["label"]: tuple(one["box"].values()) for one in found}


def test_a_house_has_its_parts() -> None:
    assert boxes(HOUSE) == {
        "white box": (20, 30, 60, 60),
        "red triangle": (16, 12, 65, 30),
        "brown box": (35, 42, 46, 60),
        "yellow disc": (72, 6, 89, 23),
    }


def test_letters_are_too_small_to_count() -> None:
    assert boxes((PICTURES / "bill.png").read_bytes()) == {}


def test_a_threshold_leaves_out_what_is_less_sure() -> None:
    sure = fake_media.object_detection(HOUSE, {"threshold": 0.95})
    assert {one["label"] for one in sure} == {"white box", "red triangle", "brown box"}


def test_labels_of_ones_own_are_found_by_their_colour() -> None:
    found = fake_media.zero_shot_detection(HOUSE, {"candidate_labels": ["red roof", "brown door"]})
    assert [one["box"]["ymin"] for one in found] == [12, 42]


def test_masks_have_the_size_of_the_picture_and_share_it_out() -> None:
    picture = Image.open(io.BytesIO(HOUSE)).convert("RGB")
    covered = 0
    for one in fake_media.segmentation(HOUSE, {}):
        mask = Image.open(io.BytesIO(base64.b64decode(one["mask"])))
        assert mask.size == picture.size
        white = sum(value == 255 for value in mask.tobytes())
        assert one["score"] == pytest.approx(white / (96 * 72), abs=1e-6)
        covered += white
        if one["label"] == "red":
            red = [pixel == (200, 50, 47) for pixel in zip(*[iter(picture.tobytes())] * 3, strict=True)]
            assert [value == 255 for value in mask.tobytes()] == red
    assert covered == 96 * 72


def saved(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_any_form_of_a_png_reads_alike(mode: str) -> None:
    """Written by another hand than ours, with filters and a palette as it sees fit."""
    picture = Image.open(io.BytesIO(HOUSE)).convert("RGB")
    if mode == "P":
        picture = picture.quantize(dither=Image.Dither.NONE)
        # A short palette would be stored in fewer bits.
        picture.putpalette(((picture.getpalette() or []) + [0] * 768)[:768])
    other = saved(picture.convert(mode))
    assert boxes(other) == (boxes(saved(picture.convert("L").convert("RGB"))) if "L" in mode else boxes(HOUSE))
    assert boxes(other)


def test_a_large_picture_is_read_in_steps() -> None:
    large = saved(Image.open(io.BytesIO(HOUSE)).resize((960, 720), Image.Resampling.NEAREST))
    small, found = boxes(HOUSE), boxes(large)
    assert set(found) == set(small)
    for name, box in small.items():
        assert all(abs(10 * one - other) <= 10 for one, other in zip(box, found[name], strict=True))
    (mask,) = [one["mask"] for one in fake_media.segmentation(large, {}) if one["label"] == "red"]
    assert Image.open(io.BytesIO(base64.b64decode(mask))).size == (960, 720)


def test_a_huge_picture_is_not_read() -> None:
    assert read_pixels(saved(Image.new("RGB", (2000, 2000)))) is None


@pytest.mark.parametrize("data", [
    b"", b"no picture", HOUSE[:20], HOUSE[:100], HOUSE[:8] + b"\xff" * 40, samples.tone(b"x").data,
], ids=range(6))  # fmt: skip
def test_what_is_no_picture_is_no_picture(data: bytes) -> None:
    assert read_pixels(data) is None
    answers: list[list[dict[str, Any]]] = [
        fake_media.object_detection(data, {}), fake_media.segmentation(data, {}),
    ]  # fmt: skip
    assert [len(one) for one in answers] == [2, 2]


def test_without_pillow_files_are_answered_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        assert read_pixels(HOUSE) is None
        assert len(fake_media.object_detection(HOUSE, {})) == 2
    assert read_pixels(HOUSE) is not None
