"""Interim responses (102, 103) before each answer, from a service that keeps connections open: on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from socket import socket

import pytest

from tests.unit.loopback import Heard, Loopback, answer

from .conftest import World
from .expected import MANY_REVIEWS

INTERIM = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
ROWS = 1000


def summarized(heard: Heard, sock: socket) -> None:
    """Answer each text with itself, so that an answer on a wrong row shows."""
    inputs = json.loads(heard.body)["inputs"]
    texts = inputs if isinstance(inputs, list) else [inputs]
    sock.sendall(INTERIM)
    answer([{"summary_text": f"short: {text}"} for text in texts])(heard, sock)


@pytest.fixture(scope="module")
def service() -> Iterator[Loopback]:
    with Loopback(summarized) as server:
        yield server


@pytest.mark.parametrize("batch_size", [1, 32])
def test_every_answer_reaches_its_own_row(world: World, service: Loopback, batch_size: int) -> None:
    world.sql(f"CREATE ML_ENGINE hints FROM huggingface_api USING base_url = '{service.url}'")
    try:
        world.model(
            "CREATE MODEL hinted PREDICT summary USING engine = 'hints', task = 'summarization', column = 'text', "
            f"max_batch_size = {batch_size}"
        )
        found = world.sql(
            f"SELECT t.id, m.summary FROM (SELECT id, review FROM duck.many WHERE id < {ROWS}) AS t "
            "JOIN hinted AS m ON m.text = t.review"
        )
        reviews = {number: review for number, _, review in MANY_REVIEWS[:ROWS]}
        expected = {number: None if text is None else f"short: {text}" for number, text in reviews.items()}
        assert dict(found.rows) == expected
        assert service.connections < len(service.heard)
        world.sql("DROP MODEL hinted")
    finally:
        world.sql("DROP ML_ENGINE hints")
