"""What is sent in which portions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler.scheduling.batches import Batch, Item, Queue, fair_share
from tests.unit.virtual import items


def groups(*names: str | None) -> list[Item]:
    return [Item(index, str(index), None, name, 10) for index, name in enumerate(names)]


def taken(queue: Queue, size: int, max_bytes: float = math.inf) -> list[list[int]]:
    batches = []
    while queue.fresh:
        batches.append([item.index for item in queue.take(size, max_bytes).items])
    return batches


@pytest.mark.parametrize(
    ("names", "size", "expected"),
    [
        ([None] * 5, 2, [[0, 1], [2, 3], [4]]),
        (["a", "b", "a", "b", "a"], 2, [[0, 2], [4], [1, 3]]),
        ([None, "a", None, "a"], 9, [[0, 2], [1, 3]]),
        (["a"], 1, [[0]]),
        ([], 3, []),
    ],
)
def test_lists_hold_one_group_and_no_more_than_their_size(
    names: list[str | None], size: int, expected: list[list[int]]
) -> None:
    assert taken(Queue(groups(*names)), size) == expected


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([10, 10, 10], 25, [[0, 1], [2]]),
        ([100, 1, 1], 25, [[0], [1, 2]]),  # what is too big by itself still goes, alone
        ([1, 100, 1], 25, [[0], [1], [2]]),
    ],
)
def test_lists_hold_no_more_bytes_than_allowed(sizes: list[int], most: int, expected: list[list[int]]) -> None:
    wanted = [Item(index, "", None, None, size) for index, size in enumerate(sizes)]
    assert taken(Queue(wanted), 32, most) == expected


def test_what_is_ready_again_goes_first_in_its_order() -> None:
    queue = Queue(items(4))
    first = queue.take(2)
    queue.ready_again(first.halves())
    again = [queue.again(0.0), queue.again(0.0), queue.again(0.0)]
    assert [batch and [item.index for item in batch.items] for batch in again] == [[0], [1], None]


def test_what_is_to_wait_waits_and_the_rest_goes_on() -> None:
    queue = Queue(items(2))
    late, soon = queue.take(1), queue.take(1)
    late.due, soon.due = 9.0, 5.0
    queue.later(late)
    queue.later(soon)
    assert (queue.due(1.0), queue.waiting) == (5.0, 2)
    assert queue.again(4.9) is None
    assert queue.again(5.0) is soon
    assert queue.due(6.0) == 9.0


def test_what_has_failed_all_its_tries_goes_last() -> None:
    queue = Queue(items(2))
    last = queue.take(1)
    queue.last(last)
    assert queue.again(0.0) is None
    queue.take(1)
    assert queue.again(0.0) is last
    assert queue.due(0.0) == math.inf


@given(
    st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=60),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["halve", "later", "last", "sent"])), max_size=60),
)
def test_nothing_is_lost_or_doubled(names: list[str | None], steps: list[tuple[int, str]]) -> None:
    queue = Queue(groups(*names))
    sent: list[Batch] = []
    for now, (size, then) in enumerate(steps):
        batch = queue.again(now) or (queue.take(size) if queue.fresh else None)
        if batch is None:
            continue
        assert len({item.group for item in batch.items}) == 1
        if then == "halve":
            queue.ready_again(batch.halves())
        elif then == "later":
            batch.due = now + 3.0
            queue.later(batch)
        elif then == "last":
            queue.last(batch)
        else:
            sent.append(batch)
        assert queue.waiting == len(names) - sum(map(len, sent))
    rest = queue.drain()
    assert queue.waiting == 0
    assert sorted(item.index for batch in [*sent, *rest] for item in batch.items) == list(range(len(names)))


@pytest.mark.parametrize(
    ("rows", "busy", "idle", "each", "share"),
    [
        (100, [], 1, 0.1, 100.0),
        (100, [], 4, 0.1, 25.0),
        (100, [0.0], 3, 0.1, 25.0),
        (10, [5.0], 1, 0.1, 10.0),  # the other is busy for longer than all of it takes
        (10, [0.5], 1, 0.1, 7.5),  # 7.5 rows here and 2.5 there end together
        (1, [], 9, 0.1, 1.0),
        (9, [], 3, 0.0, math.inf),
    ],
)
def test_lanes_end_together(rows: int, busy: list[float], idle: int, each: float, share: float) -> None:
    assert fair_share(rows, busy, idle, each) == pytest.approx(share)


@given(
    st.integers(1, 10**6),
    st.lists(st.floats(0, 1e3), max_size=40),
    st.integers(0, 40),
    st.floats(1e-6, 10.0),
)
def test_a_share_is_no_more_than_there_is(rows: int, busy: list[float], idle: int, each: float) -> None:
    assert 1.0 <= fair_share(rows, busy, idle, each) <= rows * (1 + 1e-9)
