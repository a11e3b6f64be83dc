"""When a failed request is worth making again, and after how long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huggingface_api_handler import errors
from huggingface_api_handler.scheduling.retry import RetryPolicy

LOST = errors.ConnectionFailed("lost")


@pytest.mark.parametrize("kind", sorted(errors.BY_CODE.values(), key=lambda kind: kind.code))
def test_only_what_may_pass_is_tried_again(kind: type[errors.HuggingFaceError]) -> None:
    passing = issubclass(kind, errors.ServiceError) and kind is not errors.InvalidAnswer
    assert (RetryPolicy().delay(kind("x"), 1) is not None) is passing


def test_an_error_itself_may_say_otherwise() -> None:
    assert RetryPolicy().delay(errors.InvalidAnswer("cut off", retryable=True), 1) is not None
    assert RetryPolicy().delay(errors.Unavailable("paused", retryable=False), 1) is None


@pytest.mark.parametrize(("retries", "tries", "again"), [(0, 1, False), (1, 1, True), (1, 2, False), (5, 5, True)])
def test_no_more_tries_than_allowed(retries: int, tries: int, again: bool) -> None:
    assert (RetryPolicy(retries).delay(LOST, tries) is not None) is again


def test_waits_double_up_to_the_cap() -> None:
    policy = RetryPolicy(10, base=0.5, cap=3.0)
    assert [policy.delay(LOST, tries, lambda: 1.0) for tries in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert policy.delay(LOST, 3, lambda: 0.25) == 0.5  # the whole range is drawn from


@given(st.floats(), st.integers(1, 2000), st.floats(0, 1, exclude_max=True))
def test_every_wait_is_finite_and_bounded(asked: float, tries: int, drawn: float) -> None:
    policy = RetryPolicy(10**6)
    error = errors.RateLimited("slow down", retry_after=asked)
    wait = policy.delay(error, tries, lambda: drawn)
    assert wait is not None
    assert 0.0 <= wait <= policy.longest_pause


@pytest.mark.parametrize(
    ("asked", "granted"), [(2.5, 2.5), (-1.0, 0.0), (1e9, 60.0), (math.nan, 0.0), (math.inf, 60.0)]
)
def test_what_the_service_asks_for_is_kept_to(asked: float, granted: float) -> None:
    assert RetryPolicy().delay(errors.ModelLoading("soon", retry_after=asked), 1, lambda: 0.0) == granted
