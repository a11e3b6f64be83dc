"""The documentation's SQL that needs a database, an endpoint or a folder of one's own, with those of the tests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from make_shop import build

from huggingface_api_handler.sandbox.fake_models import FAKE_MODELS
from huggingface_api_handler.sandbox.mindsdb_server import Table

from .conftest import POSTGRES, Postgres, World
from .test_docs import ROOT, TEXTS, Reader, docs

pytestmark = pytest.mark.docs

#: Where the documentation speaks of somebody's own machines, by what the tests have in their place.
POSTGRES_OF_OWN = '"host": "127.0.0.1", "port": 5432, "user": "reader", "password": "...", "database": "shop"'
TICKETS = 24


def section_of(page: str, block: Any) -> list[Any]:
    """The blocks of the section in which a block stands, up to it."""
    lines = TEXTS[page].splitlines()
    start = max(number for number in range(block.line) if re.match("#{2,3} ", lines[number]))
    return [one for one in docs.blocks(TEXTS[page]) if start <= one.line <= block.line]


def own(reason: str) -> list[tuple[str, Any]]:
    """The blocks that are not run for a reason, with their pages."""
    found = [(page, block) for page in TEXTS for block in docs.blocks(TEXTS[page]) if reason in (block.reason or "")]
    assert found, reason
    return found


@pytest.fixture
def type_in(world: World) -> Iterator[Callable[[str, Any, dict[str, str]], Table]]:
    """Type a section up to a block, with some texts replaced; gives the last result. Cleans up behind itself."""
    reader = Reader(world, world.sql)

    def type_in(page: str, block: Any, instead: dict[str, str]) -> Table:
        table = Table()
        for one in section_of(page, block):
            for statement in one.statements:
                for text, other in instead.items():
                    statement = statement.replace(text, other)
                table = reader(statement)
        return table

    build(world.server.folder / "shop.duckdb")
    for kind, statement in (
        ("ML_ENGINE", "CREATE ML_ENGINE hf_api_engine FROM huggingface_api"),
        ("DATABASE", """CREATE DATABASE shop WITH ENGINE = 'duckdb', PARAMETERS = {"database": "shop.duckdb"}"""),
    ):
        assert docs.created(statement)[0] == kind
        reader(statement)
    yield type_in
    reader.clean_up()


def test_postgresql_of_ones_own(type_in: Callable[..., Table], world: World, pg: Postgres) -> None:
    stored, pictured = [one for one in own("PostgreSQL") if one[0] == "docs/recipes.md"]
    instead = {POSTGRES_OF_OWN: json.dumps({**POSTGRES, "database": pg.name})[1:-1]}
    pg.execute("CREATE TABLE ticket_vectors (id int, vector jsonb)")
    type_in(*stored, instead)
    rows = dict(pg.query("SELECT id, vector FROM ticket_vectors"))
    assert len(rows) == TICKETS
    assert all(row is None or len(row) == 32 for row in rows.values())
    assert sum(row is None for row in rows.values()) == 1

    files = sorted((ROOT / "examples" / "pictures").glob("*.png"))
    pg.execute("CREATE TABLE pictures (id int, image bytea)")
    pg.execute("INSERT INTO pictures VALUES (%s, %s)", [(n, file.read_bytes()) for n, file in enumerate(files)])
    found = type_in(*pictured, instead)
    classify = FAKE_MODELS["image-classification"]
    assert dict(found.rows) == {n: classify(file.read_bytes(), {})[0]["label"] for n, file in enumerate(files)}
    pg.execute("DROP TABLE ticket_vectors; DROP TABLE pictures")


def test_an_endpoint_of_ones_own(type_in: Callable[..., Table], world: World) -> None:
    ((page, block),) = [one for one in own("own endpoint") if one[0] == "docs/recipes.md"]
    url = world.sandbox.endpoint("tei", "sandbox/feature-extraction")
    host = url.split("/")[2]
    found = type_in(page, block, {"http://10.0.0.5:8080": url, "10.0.0.5:8080": host, "'hf_...'": f"'hf_{'o' * 34}'"})
    assert json.loads(found.rows[0][0]) == FAKE_MODELS["feature-extraction"]("Where is my parcel?", {})


def test_a_folder_of_ones_own(type_in: Callable[..., Table], tmp_path: Path) -> None:
    ((page, block),) = own("folder of your own")
    found = type_in(page, block, {"/srv/media": str(tmp_path)})
    path = Path(found.rows[0][0])
    assert path.parent == tmp_path / "painted"
    assert path.read_bytes().startswith(b"\x89PNG")
