"""Every pair of provider and task that huggingface_hub lists, in a whole query: each answer returns to its row.

The pairs are read from the library that is installed: a new one fails here until ``provider_pairs`` has a row for it.
"""

from __future__ import annotations

import base64
import email
import json
import socket
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.inference._providers import PROVIDERS

from huggingface_api_handler.errors import SettingsError
from huggingface_api_handler.hub import provider_registry
from huggingface_api_handler.tasks import find_task
from huggingface_api_handler.tasks.media import Media
from tests.unit import provider_pairs as known
from tests.unit.end_to_end import TOKEN, engine, model, predict
from tests.unit.loopback import Heard, Loopback, Speak, answer
from tests.unit.provider_pairs import ID, MODEL, PAIRS, PAYER, QUESTIONS, REFUSED, ArgumentSpec, Pair, Raw, filled

LISTED: Any = PROVIDERS
LISTED_PAIRS = [(provider, task) for provider in LISTED for task in LISTED[provider]]


class World:
    """Router and Hub in one server, somebody else's store of files in another, for one pair."""

    def __init__(self, provider: str, task: str, pair: Pair) -> None:
        self.provider, self.task, self.pair = provider, find_task(task).name, pair
        self.hub_task = task
        self.router = Loopback(self._speak)
        self.store = Loopback(self._hand_out)
        self.asked_at: dict[str, int] = {}

    def _speak(self, heard: Heard, sock: socket.socket) -> None:
        if heard.target.startswith("/api/models/"):
            served = {"status": "live", "providerId": ID, "task": self.hub_task}
            answer({"id": MODEL, "inferenceProviderMapping": {"newcomer": {}, self.provider: served}})(heard, sock)
        elif heard.method == "POST":
            row = self.row(heard)
            self._say(self.pair.said, row, self.pair.status)(heard, sock)
        else:
            self._poll(heard.target, heard, sock)

    def _poll(self, target: str, heard: Heard, sock: socket.socket) -> None:
        for path, said in self.pair.then.items():
            for row in (0, 1):
                if self.filled(path, row).removeprefix(self.store.url) == target:
                    turn = self.asked_at[target] = self.asked_at.get(target, -1) + 1
                    self._say(said[turn], row)(heard, sock)
                    return
        answer("Not Found", 404, "text/plain")(heard, sock)

    def _say(self, said: Any, row: int, status: int = 200) -> Speak:
        if isinstance(said, Raw):
            return answer(self.made(row).data, status, said.type)
        return answer(self.filled(said, row), status)

    def _hand_out(self, heard: Heard, sock: socket.socket) -> None:
        if heard.target.startswith("/made-"):
            # As stores of files are wont to, it does not say what it has.
            made = self.made(int(heard.target.removeprefix("/made-")))
            answer(made.data, content_type="binary/octet-stream")(heard, sock)
        else:
            self._poll(heard.target, heard, sock)

    def filled(self, template: Any, row: int) -> Any:
        return filled(template, self.task, row, self.store.url)

    def made(self, row: int) -> Media:
        kind = QUESTIONS[self.task].makes or known.PARTS[self.task]
        return known.MADE[kind][row]

    def row(self, heard: Heard) -> int:
        """Return which row a request is about, by what it holds of one and not of the other."""
        marks = [
            [value for cells in QUESTIONS[self.task].columns.values() for value in _marks(cells[row])] for row in (0, 1)
        ]
        (found,) = [row for row in (0, 1) if any(mark in heard.body for mark in marks[row])]
        return found

    def posts(self) -> list[Heard]:
        return [heard for heard in self.router.heard if heard.method == "POST"]

    def gets(self) -> list[Heard]:
        return [
            heard for heard in self.router.heard
            if heard.method == "GET" and not heard.target.startswith(("/api/models/", "/v1/models/"))
        ]  # fmt: skip

    def asked_the_hub(self) -> int:
        return sum(heard.target.startswith("/api/models/") for heard in self.router.heard)

    def close(self) -> None:
        self.router.close()
        self.store.close()


def _marks(cell: Any) -> list[bytes]:
    if isinstance(cell, Media):
        return [cell.data, base64.b64encode(cell.data)]
    return [json.dumps(cell)[1:-1].encode()]


def row_of(provider: str, task: str) -> Pair:
    assert (provider, task) in PAIRS, (
        f"huggingface_hub {huggingface_hub.__version__} lists {provider} for {task}: write down in provider_pairs what "
        "is asked there and answered"
    )
    return PAIRS[provider, task]


def test_a_pair_that_is_not_written_down_is_named() -> None:
    with pytest.raises(AssertionError, match="lists newcomer for text-to-image"):
        row_of("newcomer", "text-to-image")


@pytest.mark.parametrize(("provider", "task"), LISTED_PAIRS)
def test_a_pair_is_asked_rightly_and_its_answer_reaches_its_row(
    provider: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (provider, task) in REFUSED:
        return  # see below
    world = World(provider, task, row_of(provider, task))
    try:
        monkeypatch.setenv("HF_ENDPOINT", world.router.url)
        _check(world)
    finally:
        world.close()


def _check(world: World) -> None:
    question, pair = QUESTIONS[world.task], world.pair
    at = engine(world.router, bill_to=PAYER, allowed_hosts=[f"127.0.0.1:{world.store.port}"])
    columns = {argument: argument for argument in question.columns}
    of = model(at, task=world.hub_task, provider=world.provider, model_name=MODEL, **columns, **question.using)
    cells = {name: [cell.data if isinstance(cell, Media) else cell for cell in given]
             for name, given in question.columns.items()}  # fmt: skip
    frame = predict(at, of, cells, max_concurrency=1, max_batch_size=1)

    assert frame["y_error"].tolist() == [None, None]
    assert [_value(one) for one in frame["y"]] == [_wanted(world, row) for row in (0, 1)]

    assert [heard.target for heard in world.posts()] == [pair.path] * 2
    assert sorted(map(world.row, world.posts())) == [0, 1]
    for heard in world.posts():
        row = world.row(heard)
        if isinstance(pair.body, Raw):
            assert (heard.body, heard.headers["content-type"]) == (_cell(question, row).data, pair.body.type)
        elif isinstance(pair.body, ArgumentSpec):
            assert _form(heard) == (pair.body.fields, _cell(question, row).data)
        else:
            assert heard.headers["content-type"] == "application/json"
            assert heard.json() == world.filled(pair.body, row)
            if "model" in pair.body and world.hub_task == "conversational":
                assert next(iter(heard.json())) == "model"  # the router decides by a body's beginning
    looks = [world.filled(path, row) for row in (0, 1) for path, said in pair.then.items() for _ in said]
    far = [url.removeprefix(world.store.url) for url in looks if url.startswith(world.store.url)]
    assert sorted(heard.target for heard in world.gets()) == sorted(url for url in looks if url.startswith("/"))
    for heard in (*world.posts(), *world.gets()):
        assert heard.headers["authorization"] == f"Bearer {TOKEN}"
        assert heard.headers["x-hf-bill-to"] == PAYER
        assert {name: heard.headers.get(name) for name in pair.headers} == pair.headers
    links = ["/made-0", "/made-1"] if "@link" in repr((pair.said, pair.then)) else []
    assert sorted(heard.target for heard in world.store.heard) == sorted([*far, *links])
    for heard in world.store.heard:
        assert not {"authorization", "x-hf-bill-to"} & set(heard.headers)
        assert TOKEN not in str(heard)
    # The router finds chats' providers itself; hf-inference calls models by their own names.
    reported = world.hub_task == "conversational" or world.provider == "hf-inference"
    assert world.asked_the_hub() == (0 if reported else 1)


def _cell(question: known.Question, row: int) -> Media:
    cell = question.columns["input_column"][row]
    assert isinstance(cell, Media)
    return cell


def _value(cell: Any) -> Any:
    return json.loads(cell) if isinstance(cell, str) and cell[:1] in "[{" else cell


def _wanted(world: World, row: int) -> Any:
    question = QUESTIONS[world.task]
    if question.makes is None:
        return world.filled(question.value, row)
    # The bytes decide where nobody says what they are.
    kind = world.pair.said.type if isinstance(world.pair.said, Raw) else _SEEN[question.makes]
    return Media(world.made(row).data, kind).data_uri


_SEEN = dict(zip(known.MADE, ("image/png", "audio/x-wav", "video/x-msvideo"), strict=True))


def _form(heard: Heard) -> tuple[dict[str, str], bytes]:
    raw = b"Content-Type: " + heard.headers["content-type"].encode() + b"\r\n\r\n" + heard.body
    parts: Any = email.message_from_bytes(raw).get_payload()
    found = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}
    medium = found.pop("file")
    return {name: value.decode() for name, value in found.items()}, medium


@pytest.mark.parametrize(("provider", "task"), sorted(REFUSED))
def test_the_few_that_cannot_be_served_are_refused_when_the_model_is_made(provider: str, task: str) -> None:
    with Loopback() as server:
        if provider not in LISTED:
            assert provider_registry.fault(provider, find_task(task).name) is not None
            return
        with pytest.raises(SettingsError) as caught:
            model(engine(server), task=task, provider=provider, model_name=MODEL, input_column="text")
        assert REFUSED[provider, task] in str(caught.value).splitlines()[0]
        assert server.heard == []


def test_no_other_pair_is_refused() -> None:
    theirs = {(provider, find_task(task).name) for provider, task in REFUSED}
    assert set(provider_registry.NOT_SERVED) == theirs
    assert not set(REFUSED) & set(PAIRS)
    listed = {(provider, find_task(task).name) for provider, task in LISTED_PAIRS}
    assert {
        (provider, task) for provider, tasks in provider_registry.served().items() for task in tasks
    } == listed - theirs
