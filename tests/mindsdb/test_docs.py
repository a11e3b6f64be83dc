"""The documentation's SQL, word for word, on a real server, over HTTP and over MySQL."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from make_shop import build

from huggingface_api_handler.sandbox.mindsdb_server import Table
from huggingface_api_handler.tasks import TASKS

from .conftest import World

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.docs


def _statements() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_statements", ROOT / "docs" / "statements.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


docs: Any = _statements()
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in docs.PAGES}
#: Blocks that a page may keep from being run. More of them is a decision, not an accident.
NOT_RUN = {"docs/endpoints.md": 1, "docs/operations.md": 2, "docs/recipes.md": 3, "docs/tasks.md": 1}

_DROP = {"ML_ENGINE": "ML_ENGINE", "TABLE": "TABLE", "DATABASE": "DATABASE", "MODEL": "MODEL", "VIEW": "VIEW"}


class Reader:
    """Somebody who types what the documentation says, and waits for models to be ready.

    Args:
        run: what runs a statement: over one protocol or the other.
    """

    def __init__(self, world: World, run: Callable[[str], Table]) -> None:
        self.world = world
        self.run = run
        self.made: list[tuple[str, str]] = []

    def __call__(self, statement: str) -> Any:
        made = docs.created(statement)
        if made is not None and made not in self.made:
            self.made.append(made)
        result = self.run(statement)
        if made is not None and made[0] == "MODEL":
            self.world.server.wait_for_model(made[1].rpartition(".")[2])
        return result

    def clean_up(self) -> None:
        for kind, name in reversed(self.made):
            if kind in _DROP:
                self.world.sql(f"DROP {_DROP[kind]} {name}")


@pytest.fixture(scope="module", params=["http", "mysql"])
def reader(request: pytest.FixtureRequest, world: World) -> Iterator[Reader]:
    """Has read the README, and typed all of it."""
    build(world.server.folder / "shop.duckdb")
    with world.mysql_session() as mysql:
        reader = Reader(world, world.sql if request.param == "http" else mysql)
        yield reader
        reader.clean_up()


@pytest.fixture(scope="module")
def after_readme(reader: Reader) -> str:
    """The README's text with the results of its statements as they are now."""
    renewed: str = docs.renewed(TEXTS["README.md"], reader)
    return renewed


@pytest.fixture(scope="module")
def after_recipes(reader: Reader, after_readme: str) -> str:
    """The recipes, likewise."""
    renewed: str = docs.renewed(TEXTS["docs/recipes.md"], reader)
    return renewed


@pytest.mark.parametrize("page", TEXTS)
def test_statements_run_and_give_what_is_shown(
    reader: Reader, after_readme: str, page: str, request: pytest.FixtureRequest
) -> None:
    if page == "README.md":
        renewed = after_readme
    elif page == "docs/recipes.md":
        renewed = request.getfixturevalue("after_recipes")
    else:
        renewed = docs.renewed(TEXTS[page], reader)
    assert renewed == TEXTS[page], "run: python docs/statements.py"


@pytest.mark.parametrize("page", TEXTS)
def test_few_blocks_are_not_run(page: str) -> None:
    found = [block.reason for block in docs.blocks(TEXTS[page]) if block.reason]
    assert len(found) == NOT_RUN.get(page, 0), found
    # Every block is one that the parser sees.
    assert len(list(docs.blocks(TEXTS[page]))) == len(re.findall(r"^```sql\b", TEXTS[page], re.MULTILINE))


def test_every_task_has_its_statement() -> None:
    page = TEXTS["docs/tasks.md"]
    run = [one for block in docs.blocks(page) if not block.reason for one in block.statements]
    for name in TASKS:
        assert f"\n### {name}\n" in page
        created = [one for one in run if re.search(rf"task = '{name}'", one)]
        models = [docs.created(one)[1] for one in created]
        assert any(re.search(rf"\b{model}\b", one) for model in models for one in run if one.startswith("SELECT")), name


def test_a_dry_run_and_the_runs_of_a_recipe_have_rows_to_show(reader: Reader, after_recipes: str) -> None:
    """Typed in order: no earlier recipe has filled the cache with the answers of a later one."""
    blocks = [block for block in docs.blocks(TEXTS["docs/recipes.md"]) if block.reason is None]
    plans = [block.result for block in blocks if "dry_run = true" in block.statements[-1]]
    assert plans
    assert all(re.search(r"^request +[1-9]", plan or "", re.MULTILINE) for plan in plans)
    described = [one for block in blocks for one in block.statements if re.match(r"DESCRIBE \w+\.runs", one)]
    assert described
    for statement in described:
        assert len(reader(statement)) > 0, statement


def test_the_example_of_every_model_runs(reader: Reader, after_readme: str) -> None:
    """``DESCRIBE model.example`` of each task: its first statement, as it stands."""
    for block in docs.blocks(TEXTS["docs/tasks.md"]):
        for statement in block.statements if block.reason is None else ():
            made = docs.created(statement)
            if made is not None and made not in reader.made:
                reader(statement)
    models = [name for kind, name in reader.made if kind == "MODEL"]
    assert len(models) >= len(TASKS)
    for model in models:
        first = reader(f"DESCRIBE {model}.example").records()[0]
        assert first["what for"] == "try it on one row"
        result = reader(first["sql"])
        assert len(result) == 1, first["sql"]
        assert result.rows[0][0] is not None, first["sql"]
