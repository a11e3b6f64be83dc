"""Pictures out of PostgreSQL's BYTEA and sounds out of DuckDB's BLOB, by a JOIN, each row checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from make_shop import build

from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.sandbox.mindsdb_server import Table
from huggingface_api_handler.tasks.samples import png

from .conftest import Postgres, World

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURES: list[tuple[int, bytes | None]] = [
    *enumerate([path.read_bytes() for path in sorted(EXAMPLES.glob("pictures/*.png"))]),
    *((number, png(b"%d" % number).data) for number in range(10, 60)),
    (60, None),
    (61, png(b"10").data),
]


def label(data: bytes | None) -> str | None:
    """What the sandbox's classifier says of a picture, without any reader of ours."""
    if data is None:
        return None
    best: dict[str, Any] = max(FAKE_MODELS["image-classification"](data, {}), key=lambda one: one["score"])
    return str(best["label"])


@pytest.fixture(scope="module")
def pictures(world: World, pg: Postgres) -> Iterator[None]:
    pg.execute("CREATE TABLE pictures (id int, image bytea)")
    pg.execute("INSERT INTO pictures VALUES (%s, %s)", PICTURES)
    world.model("CREATE MODEL seen PREDICT label USING engine = 'hf', task = 'image-classification', column = 'image'")
    yield
    world.sql("DROP MODEL seen")
    pg.execute("DROP TABLE pictures")


def test_pictures_out_of_bytea(pictures: None, run: Callable[[str], Table]) -> None:
    found = dict(run("SELECT p.id, m.label FROM pg.pictures AS p JOIN seen AS m").rows)
    assert found == {number: label(data) for number, data in PICTURES}
    assert len(set(found.values())) > 3


@pytest.fixture(scope="module")
def sounds(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    parameters = {"database": str(build(tmp_path_factory.mktemp("media") / "media.duckdb")), "read_only": True}
    world.sql(f"CREATE DATABASE media WITH ENGINE = 'duckdb', PARAMETERS = {json.dumps(parameters)}")
    world.model(
        "CREATE MODEL heard PREDICT said USING engine = 'hf', task = 'automatic-speech-recognition', column = 'sound'"
    )
    yield
    world.sql("DROP MODEL heard")
    world.sql("DROP DATABASE media")


def test_sounds_out_of_a_blob(sounds: None, run: Callable[[str], Table]) -> None:
    sizes = {path.stem: path.stat().st_size for path in EXAMPLES.glob("sounds/*.wav")}
    found = dict(run("SELECT c.name, m.said FROM media.calls AS c JOIN heard AS m").rows)
    assert found == {name: f"a sound of {size} bytes" for name, size in sizes.items()}


def test_vectors_into_jsonb(world: World, pg: Postgres) -> None:
    world.model("CREATE MODEL vectors PREDICT v USING engine = 'hf', task = 'feature-extraction', column = 'review'")
    pg.execute("CREATE TABLE vectors (id int, v jsonb)")
    try:
        world.sql("INSERT INTO pg.vectors (SELECT r.id, m.v FROM pg.reviews AS r JOIN vectors AS m WHERE r.id < 40)")
        texts = dict(pg.query("SELECT id, review FROM reviews WHERE id < 40"))
        stored = dict(pg.query("SELECT id, v FROM vectors"))
        embed = FAKE_MODELS["feature-extraction"]
        assert stored == {number: None if text is None else embed([text], {})[0] for number, text in texts.items()}
    finally:
        pg.execute("DROP TABLE vectors")
        world.sql("DROP MODEL vectors")
