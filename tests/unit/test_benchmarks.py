"""The benchmarks run, and mind wrong answers. What they measure is no test's business."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import cases, contenders, cost, plot
from benchmarks.service import Manner, Service, label_of, running
from benchmarks.soak import judged

ASKED = cases.texts(40)
TRUTH = [label_of(text) for text in ASKED]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as started:
        yield started


def test_every_contender_gets_the_right_labels(service: Service) -> None:
    service.behave(Manner(0.001, slots=4))
    assert contenders.ours(service, ASKED)[0] == TRUTH
    assert contenders.ours(service, ASKED, max_batch_size=1)[0] == TRUTH
    assert contenders.asyncio_bare(service, ASKED, 4) == TRUTH
    assert contenders.asyncio_bare(service, ASKED, 4, 7) == TRUTH
    assert contenders.requests_pool(service, ASKED, 4) == TRUTH
    assert contenders.hub_sync(service, ASKED[:3]) == TRUTH[:3]
    assert contenders.hub_async(service, ASKED, 4) == TRUTH


def test_the_service_refuses_what_comes_too_often(service: Service) -> None:
    service.behave(Manner(rate=30))
    assert contenders.ours(service, ASKED, max_batch_size=1)[0] == TRUTH
    counted = service.counted()
    assert counted["inputs"] == len(ASKED)
    assert counted["refused"] == counted["requests"] - len(ASKED) > 0


def test_the_service_knows_what_it_is_paid_for_twice(service: Service) -> None:
    service.behave(Manner())
    contenders.asyncio_bare(service, ASKED, 4)
    assert (service.counted()["distinct"], service.counted()["again"]) == (len(ASKED), 0)
    contenders.asyncio_bare(service, ASKED[:7], 4)
    assert (service.counted()["distinct"], service.counted()["again"]) == (len(ASKED), 7)


def test_a_service_that_is_away_breaks_off(service: Service) -> None:
    service.behave(Manner(away=True))
    with pytest.raises((OSError, EOFError)):
        contenders.asyncio_bare(service, ASKED[:1], 1)
    service.behave(Manner(), forget=False)
    assert service.counted()["inputs"] == 0
    assert contenders.asyncio_bare(service, ASKED[:1], 1) == TRUTH[:1]


@pytest.mark.parametrize(("grows", "flat"), [(0, True), (1, True), (20, False)])
def test_what_grows_is_not_flat(grows: int, flat: bool) -> None:
    samples = [
        {
            "server": {
                "processes": 4,
                "most": {"rss_mib": 800.0, "fds": 50 + grows * at // 4, "sockets": 9, "threads": 9},
            },
            "files": 10,
        }
        for at in range(40)
    ]
    found = judged(samples)
    assert found["server: fds of a process"]["flat"] == flat
    assert all(one["flat"] for what, one in found.items() if what != "server: fds of a process")


def test_a_wrong_answer_is_no_result() -> None:
    with pytest.raises(cases.WrongAnswer):
        cases.timed("liar", lambda asked: ["L0"] * len(asked), ASKED)


def test_the_best_pair_is_the_best() -> None:
    (seconds, size, concurrency), *_ = cases.best_pairs(Manner(0.5, 0.0, 4), 2000, 3)
    assert (seconds, size, concurrency) == (8.0, 32, 4)


def test_the_picture_is_well_formed_and_dark_where_it_is_dark() -> None:
    picture = plot.bars([("A <title>", "s", [("ours & theirs", 1.0, True), ("none", 0.0, False)])])
    ElementTree.fromstring(picture)
    assert "prefers-color-scheme: dark" in picture


def test_the_picture_of_costs_shows_what_queries_cost() -> None:
    assert cost.draw() == cost.PICTURE.read_text(encoding="utf-8"), "run: python -m benchmarks.cost"


PROGRAMS = sorted(
    path
    for folder in ("benchmarks", "docs", "examples", "tests/fuzz", "tests/matrix", "tests/servers")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_import_names_that_exist(program: Path) -> None:
    """Also where no test runs them, or not all of their functions."""
    for node in ast.walk(ast.parse(program.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("huggingface_api_handler"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name) or importlib.util.find_spec(f"{node.module}.{name.name}"), name.name
