"""When a service is left alone, and when it is tried again."""

from __future__ import annotations

import math

from huggingface_api_handler.scheduling.circuit_breaker import CircuitBreaker


def opened(at: float = 10.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(breaker.LEAST):
        breaker.failed(at - 1.0, at)
    assert breaker.is_open
    return breaker


def test_it_opens_when_half_of_the_last_requests_failed() -> None:
    breaker = CircuitBreaker()
    for _ in range(100):
        breaker.succeeded(0.0)
    for _ in range(breaker.WINDOW // 2):
        assert not breaker.is_open
        assert breaker.due(5.0) == 5.0
        breaker.failed(0.0, 5.0)
    assert breaker.is_open
    assert breaker.due(5.0) == 5.0 + breaker.PAUSE


def test_a_few_failures_decide_nothing() -> None:
    breaker = CircuitBreaker()
    for _ in range(breaker.LEAST - 1):
        breaker.failed(0.0, 1.0)
    assert not breaker.is_open
    assert breaker.has_failures
    for _ in range(200):
        for _ in range(6):
            breaker.succeeded(1.0)
        breaker.failed(1.0, 2.0)
        for _ in range(6):
            breaker.succeeded(1.0)
    assert not breaker.is_open


def test_one_timeout_opens_an_unknown_service_and_three_in_twenty_a_known_one() -> None:
    breaker = CircuitBreaker()
    breaker.failed(0.0, 60.0, is_timeout=True)
    assert breaker.is_open
    breaker = CircuitBreaker()
    for _ in range(20):
        breaker.succeeded(0.0)
    breaker.failed(0.0, 60.0, is_timeout=True)
    breaker.failed(0.0, 60.0, is_timeout=True)
    assert not breaker.is_open
    breaker.failed(0.0, 60.0, is_timeout=True)
    assert breaker.is_open


def test_after_the_pause_one_trial_is_sent_and_its_success_closes() -> None:
    breaker = opened(10.0)
    assert breaker.due(12.0) == 15.0
    assert breaker.due(15.0) == 15.0
    breaker.sent(15.0)
    assert breaker.due(16.0) == math.inf
    breaker.succeeded(15.0)
    assert not breaker.is_open
    assert not breaker.has_failures
    assert breaker.due(16.0) == 16.0


def test_a_trial_that_fails_doubles_the_pause_up_to_the_longest() -> None:
    breaker = opened(10.0)
    now, pauses = 10.0, []
    for _ in range(6):
        at = breaker.due(now)
        pauses.append(at - now)
        breaker.sent(at)
        now = at + 0.5
        breaker.failed(at, now)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]


def test_the_pause_is_as_long_as_the_failed_request_at_least() -> None:
    breaker = CircuitBreaker()
    breaker.failed(0.0, 30.0, is_timeout=True)
    assert breaker.due(30.0) == 60.0
    breaker.sent(60.0)
    breaker.failed(60.0, 90.0, is_timeout=True)
    assert breaker.due(90.0) == 120.0


def test_what_was_sent_before_it_opened_is_no_trial() -> None:
    breaker = opened(10.0)
    breaker.succeeded(9.0)
    assert breaker.is_open
    breaker.failed(9.0, 14.0)
    assert breaker.due(12.0) == 15.0


def test_a_service_that_fails_again_is_left_alone_for_longer_until_it_has_proved_itself() -> None:
    breaker = opened(10.0)
    breaker.sent(15.0)
    breaker.succeeded(15.0)
    for _ in range(breaker.LEAST):
        breaker.failed(16.0, 17.0)
    assert breaker.due(17.0) == 17.0 + 10.0
    breaker.sent(27.0)
    breaker.succeeded(27.0)
    for _ in range(breaker.WINDOW):
        breaker.succeeded(28.0)
    for _ in range(breaker.WINDOW):
        breaker.failed(30.0, 31.0)
    assert breaker.due(31.0) == 31.0 + breaker.PAUSE
