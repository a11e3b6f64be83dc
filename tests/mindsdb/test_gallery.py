"""The gallery's notebook runs to its end, and what it draws is what the tables and the sandbox hold."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from make_shop import build
from PIL import Image
from run_gallery import NOTEBOOK, execute, pictures, read

from huggingface_api_handler.sandbox import fake_chat, fake_text

from .conftest import World
from .expected import mood

EXAMPLES = Path(__file__).parents[2] / "examples"
MODELS = ("sentiment", "things", "parts", "vector", "team", "fields")

#: Run behind the notebook: the values that its pictures are drawn from.
TELL = """
print(json.dumps({
    "moods": dict(zip(map(str, reviews.id), reviews.sentiment)),
    "counts": {str(stars): row.to_dict() for stars, row in counts.iterrows()},
    "plans": plans.to_dict(orient="index"),
    "boxes": [[one["label"], *one["box"].values()] for one in found],
    "masks": {label: [list(mask.shape), int(mask.sum())] for label, mask in masks.items()},
    "vectors": dict(zip(map(str, tickets.id), vectors.tolist())),
    "packing": {str(rows): one.to_dict() for rows, one in packing.iterrows()},
    "by_product": by_product.to_dict(orient="index"),
    "teams": dict(zip(map(str, tickets.id), teams)),
    "rows": usage.rows.to_dict(),
    "mistake": mistake,
}, default=int))
"""


def rows_of(table: str) -> list[dict[str, str]]:
    with (EXAMPLES / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def shown(notebook: Any) -> list[list[str]]:
    """What each cell says as text, cells that vary left out."""
    return [
        [str(output.get("text") or output.data.get("text/plain")) for output in cell.outputs
         if output.get("name") != "stderr"]
        for cell in notebook.cells if cell.cell_type == "code" and "varies" not in cell.metadata.get("tags", ())
    ]  # fmt: skip


@pytest.fixture(scope="module")
def ran(world: World) -> Iterator[Any]:
    """The notebook, run on a new engine; its last cell tells its values."""
    from nbformat.v4 import new_code_cell

    if not (world.server.folder / "shop.duckdb").exists():
        build(world.server.folder / "shop.duckdb")
    notebook = read()
    notebook.cells.append(new_code_cell(TELL))
    execute(notebook, world.server.mysql_port)
    yield notebook
    world.sql("DROP ML_ENGINE gallery")
    world.sql("DROP DATABASE shop")


@pytest.fixture(scope="module")
def values(ran: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.cells[-1].outputs[-1].text)
    return found


def test_it_says_what_is_stored_in_it(ran: Any) -> None:
    assert shown(ran)[:-1] == shown(read()), "run: python examples/run_gallery.py"


def test_moods_are_those_of_the_table(values: dict[str, Any]) -> None:
    reviews = {row["id"]: row for row in rows_of("reviews") if row["review"].strip()}
    assert values["moods"] == {number: mood(row["review"]) for number, row in reviews.items()}
    for stars, counted in values["counts"].items():
        here = [values["moods"][number] for number, row in reviews.items() if row["stars"] == stars]
        assert counted == {label: here.count(label) for label in ("NEGATIVE", "POSITIVE")}


def test_costs_are_those_of_the_table(values: dict[str, Any]) -> None:
    texts = [row["review"] for row in rows_of("reviews")]
    given = [text for text in texts if text.strip()]
    different = len(set(given))
    null = len(texts) - len(given)
    before, after = values["plans"]["before the first query"], values["plans"]["after it"]
    assert before == {"request": different, "duplicate": len(given) - different, "cache": 0, "null": null}
    assert after == {"request": 0, "duplicate": 0, "cache": len(given), "null": null}
    assert values["rows"] == {"gallery_sentiment": 300, "gallery_things": 1, "gallery_parts": 1,
                              "gallery_vector": 24, "gallery_team": 24, "gallery_fields": len(given)}  # fmt: skip


def test_boxes_lie_where_the_street_was_painted(values: dict[str, Any]) -> None:
    found = {label: box for label, *box in values["boxes"]}
    painted = {"white box": (80, 135, 250, 270), "red triangle": (53, 60, 277, 135), "brown box": (148, 195, 188, 270),
               "yellow disc": (509, 24, 571, 86), "orange disc": (266, 261, 314, 309),
               "blue box": (345, 245, 495, 325)}  # fmt: skip
    for label, box in painted.items():
        assert found[label] == pytest.approx(box, abs=3), label


def test_masks_cover_the_dots_of_their_colour(values: dict[str, Any]) -> None:
    picture = Image.open(EXAMPLES / "pictures" / "street.png").convert("RGB")
    dots = picture.getcolors(maxcolors=100_000)
    assert dots is not None
    count = {colour: n for n, colour in dots}
    for label, colour in {"red": (200, 50, 47), "blue": (46, 91, 164), "yellow": (244, 196, 48)}.items():
        shape, n = values["masks"][label]
        assert shape == [picture.height, picture.width]
        assert n == pytest.approx(count[colour], rel=0.03)


def test_vectors_and_teams_are_the_sandboxs(values: dict[str, Any]) -> None:
    tickets = {row["id"]: row["body"] for row in rows_of("tickets") if row["body"].strip()}
    assert values["vectors"] == {number: fake_text.vector(body) for number, body in tickets.items()}
    labels = {"candidate_labels": ["delivery", "payment", "account", "technical fault"]}
    assert values["teams"] == {
        number: fake_text.zero_shot(body, labels)[0]["label"] for number, body in tickets.items()
    }


def test_fields_of_a_language_model_are_columns(values: dict[str, Any]) -> None:
    moods: dict[str, Counter[str]] = {}
    for row in rows_of("reviews"):
        if row["review"].strip():
            found = fake_chat.choose(["positive", "negative", None], row["review"]) or "none"
            moods.setdefault(row["product"], Counter())[found] += 1
    assert values["by_product"] == {
        product: {mood: counted[mood] for mood in ("positive", "none", "negative")}
        for product, counted in moods.items()
    }


def test_rows_that_share_prompts_need_few_requests(values: dict[str, Any]) -> None:
    texts = {row["review"] for row in rows_of("reviews") if int(row["id"]) <= 100 and row["review"].strip()}
    alone, together = values["packing"]["1"], values["packing"]["20"]
    assert (alone["requests"], together["requests"]) == (len(texts), math.ceil(len(texts) / 20))
    assert together["input_tokens"] < alone["input_tokens"] / 2


def test_the_mistake_is_told_with_what_to_write(values: dict[str, Any], world: World) -> None:
    assert "unknown argument 'input_colunm': did you mean 'input_column'?" in values["mistake"]
    assert not world.sql("SELECT name FROM models WHERE name LIKE 'gallery%'").rows


def test_what_is_stored_is_fit_to_be_shown() -> None:
    notebook = read()
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert NOTEBOOK.stat().st_size < 1_500_000
    assert "sandbox" in notebook.cells[0].source
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert not re.search(r"/(home|root|tmp|usr|Users|work)\b|hf_[A-Za-z0-9]{20,}|stderr|\"error\"", re.sub(
        r'"image/png": "[^"]*"', "", outputs))  # fmt: skip
    assert not re.search(r"hf_[A-Za-z0-9]{20,}", text)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    drawn = [Image.open(io.BytesIO(one)) for one in pictures(notebook)]
    assert len(drawn) == 9
    assert all(one.width > 600 and len(one.getcolors(maxcolors=1_000_000) or ()) > 50 for one in drawn)
