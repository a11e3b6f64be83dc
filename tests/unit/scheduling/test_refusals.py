"""Whose fault a failed request is: the table, and what a run makes of it in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from huggingface_api_handler import errors
from huggingface_api_handler.errors import HuggingFaceError
from huggingface_api_handler.protocols.usage import Usage
from huggingface_api_handler.scheduling.batches import Batch
from huggingface_api_handler.scheduling.refusals import Evidence, Fault, SameRefusals, fault_of, row_error
from huggingface_api_handler.scheduling.results import Limits, RowResult
from huggingface_api_handler.scheduling.service_state import ServiceState
from tests.unit.virtual import Service, items, play

FIREWALL = errors.Forbidden("a firewall: Attention Required!", status=403, concerns_content=True, divisible=True)
NO_REASON = errors.Forbidden("Forbidden", status=403, concerns_content=True)
TOKEN = errors.Unauthorized("the token was refused", status=401)
FORBIDDEN = errors.Forbidden("the token may not do this", status=403)
CREDITS = errors.OutOfCredits("no credits", status=402)
NOT_FOUND = errors.ModelNotFound("Model Not Found", status=422)
TOO_MANY_TOKENS = errors.InvalidInput("max_tokens > 4096 must have stream=true", status=400, argument="max_tokens")
CONTENT_TYPE = errors.InvalidInput("not this kind of content", status=415, divisible=False)
FILTERED = errors.InvalidInput("the service filtered the answer", divisible=False)
MODERATED = errors.InvalidInput("against our content policy", status=400, concerns_content=True)
UNSEEN = errors.SettingsError("labels has 2 names, and the model's labels are a, b, c", advice="Leave labels out")
UNSEEN.usage = Usage()
NO_FORM = errors.InvalidAnswer("null, but a list of labels was expected", advice="Check that the model fits")
REFUSED = errors.InvalidAnswer("the model refused to answer", divisible=False)
SPENT = errors.InvalidAnswer("the token limit was used up", divisible=False, argument="max_tokens")
EMPTY = errors.InvalidAnswer("an empty answer", retryable=True)
BROKEN = errors.Unavailable("Internal Server Error", status=500)
SLOW = errors.RateLimited("slow down", status=429)
LOADING = errors.ModelLoading("loading", status=503)
LATE = errors.ServiceTimeout("60 s")
LOST = errors.ConnectionFailed("reset")

ONE, MANY = Evidence(), Evidence(rows=32)
#: Others pass, lists too.
GOOD = {"passed": True, "service_passed": True, "lists_passed": True, "others_pass": True}
#: The service answers, but no list was ever answered.
SINGLES = {"passed": True, "passed_here": True, "service_passed": True, "others_pass": True}


@pytest.mark.parametrize(
    ("error", "known", "fault"),
    [
        # A firewall's page or a moderation is about the content, once anything passes.
        (FIREWALL, ONE, Fault.ACCOUNT),
        (FIREWALL, Evidence(others_under_way=True), Fault.OPEN),
        (FIREWALL, Evidence(rows=32, others_under_way=True), Fault.OPEN),
        (FIREWALL, Evidence(**GOOD), Fault.ROW),
        (FIREWALL, Evidence(rows=32, **GOOD), Fault.BATCH),
        (FIREWALL, Evidence(service_passed=True), Fault.ROW),  # an earlier query passed
        # One without a reason as well, but an earlier query may have had another token.
        (NO_REASON, ONE, Fault.ACCOUNT),
        (NO_REASON, Evidence(others_under_way=True), Fault.OPEN),
        (NO_REASON, Evidence(service_passed=True), Fault.ACCOUNT),
        (NO_REASON, Evidence(**GOOD), Fault.ROW),
        (NO_REASON, Evidence(rows=32, **GOOD), Fault.BATCH),
        (MODERATED, ONE, Fault.ROW),  # no token is meant by that
        (MODERATED, Evidence(rows=32, **GOOD), Fault.BATCH),
        # What concerns every row stops the query, whatever has passed.
        (TOKEN, ONE, Fault.ACCOUNT),
        (TOKEN, Evidence(others_under_way=True), Fault.ACCOUNT),
        (FORBIDDEN, Evidence(**GOOD), Fault.ACCOUNT),
        (CREDITS, Evidence(rows=32, **GOOD), Fault.ACCOUNT),
        (NOT_FOUND, ONE, Fault.SETTINGS),
        (errors.SettingsError("no such parameter"), MANY, Fault.SETTINGS),
        # An answer that shows an argument without effect concerns all rows, unless others came with the same arguments.
        (UNSEEN, ONE, Fault.SETTINGS),
        (UNSEEN, Evidence(**GOOD), Fault.ROW),
        (UNSEEN, Evidence(rows=32, **GOOD), Fault.BATCH),
        # A refused value is its row's fault, and in a batch somebody's.
        (TOO_MANY_TOKENS, ONE, Fault.ROW),
        (TOO_MANY_TOKENS, MANY, Fault.BATCH),
        (TOO_MANY_TOKENS, Evidence(rows=32, **GOOD), Fault.BATCH),
        (CONTENT_TYPE, MANY, Fault.ROW),
        (FILTERED, Evidence(**GOOD), Fault.ROW),
        # The same refusal of every row is the arguments' fault, …
        (TOO_MANY_TOKENS, Evidence(same_requests=20, same_rows=3), Fault.SETTINGS),
        (TOO_MANY_TOKENS, Evidence(rows=32, same_requests=20, same_rows=3), Fault.SETTINGS),
        (errors.BlockedAddress("a private address"), Evidence(same_requests=20, same_rows=20), Fault.ROW),
        # … and so is an answer in the same wrong form, unless the service has given a good one before.
        (NO_FORM, Evidence(same_requests=20, same_rows=3), Fault.SETTINGS),
        (SPENT, Evidence(same_requests=20, same_rows=20), Fault.SETTINGS),
        (NO_FORM, Evidence(same_requests=20, same_rows=20, service_passed=True), Fault.ROW),
        (NO_FORM, Evidence(same_requests=19, same_rows=19), Fault.ROW),
        (NO_FORM, Evidence(same_requests=50, same_rows=50, **GOOD), Fault.ROW),
        (REFUSED, Evidence(same_requests=50, same_rows=50), Fault.ROW),
        # … but not of few, not of lists alone, and not where a row has passed.
        (TOO_MANY_TOKENS, Evidence(same_requests=19, same_rows=19), Fault.ROW),
        (TOO_MANY_TOKENS, Evidence(rows=32, same_requests=40, same_rows=2), Fault.BATCH),
        (TOO_MANY_TOKENS, Evidence(same_requests=50, same_rows=50, **GOOD), Fault.ROW),
        # What may pass is tried again.
        (EMPTY, ONE, Fault.MOMENT),
        (EMPTY, Evidence(same_requests=50, same_rows=50), Fault.MOMENT),
        (BROKEN, ONE, Fault.MOMENT),
        (BROKEN, MANY, Fault.MOMENT),
        (LOST, Evidence(failures=4, **GOOD), Fault.MOMENT),
        # A list that fails again and again while others pass may hold one bad row.
        (BROKEN, Evidence(rows=32, **GOOD), Fault.MOMENT),
        (BROKEN, Evidence(rows=32, failures=2, **GOOD), Fault.BATCH),
        (LOST, Evidence(rows=32, failures=2, **GOOD), Fault.BATCH),
        (BROKEN, Evidence(rows=32, failures=2, passed=True, lists_passed=True), Fault.MOMENT),  # it is down now
        # Where lists fail and single rows pass, it is the lists.
        (BROKEN, Evidence(rows=2, **SINGLES), Fault.BATCH),
        (EMPTY, Evidence(rows=2, **SINGLES), Fault.BATCH),
        (BROKEN, Evidence(rows=32, failures=2, passed=True, lists_passed=True, others_left=False), Fault.BATCH),
        # One row alone is tried where only lists have been.
        (BROKEN, Evidence(rows=32, failures=2, tried_alone=False), Fault.BATCH),
        (BROKEN, Evidence(rows=32, failures=2), Fault.MOMENT),
        # A shorter list is done in time.
        (LATE, MANY, Fault.BATCH),
        (LATE, ONE, Fault.MOMENT),
        # A list is no reason for these.
        (SLOW, Evidence(rows=32, failures=9, **GOOD), Fault.MOMENT),
        (SLOW, Evidence(rows=2, **SINGLES), Fault.MOMENT),
        (LOADING, Evidence(rows=32, failures=9, **GOOD), Fault.MOMENT),
    ],
)
def test_whose_fault_it_is(error: HuggingFaceError, known: Evidence, fault: Fault) -> None:
    assert fault_of(error, known) is fault


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("no tools", "no tools", True),
        (
            "no tools (request 3f2504e0-4f89-11d3-9a0c-0305e82c3301)",
            "no tools (request 9b2e6c10-0000-11d3-9a0c-1)",
            True,
        ),
        ("at 2026-01-01T10:00:00Z: no", "at 2026-01-01T10:00:09Z: no", True),
        ("513 tokens are too many", "514 tokens are too many", False),  # each row is too long by itself
        ("no tools", "no system prompt", False),
    ],
)
def test_the_same_words_are_the_same_refusal(one: str, other: str, same: bool) -> None:
    counted = SameRefusals()
    counted.count(errors.InvalidInput(one), 1)
    assert counted.count(errors.InvalidInput(other), 8) == ((2, 1) if same else (1, 0))


@pytest.mark.parametrize(("argument", "requests"), [("max_tokens", 2), ("max_length", 1), ("model_name", 1), (None, 1)])
def test_numbers_are_those_of_each_row_unless_the_output_is_too_long(argument: str | None, requests: int) -> None:
    counted = SameRefusals()
    counted.count(errors.InvalidInput("513 of 512 words", argument=argument), 1)
    assert counted.count(errors.InvalidInput("514 of 512 words", argument=argument), 1)[0] == requests


def test_an_error_of_the_account_becomes_the_rows() -> None:
    error = row_error(FIREWALL)
    assert (error.code, error.fatal, error.status) == ("invalid_input", False, 403)
    assert "this row" in str(error)
    assert "Attention Required!" in str(error)
    assert row_error(TOO_MANY_TOKENS) is TOO_MANY_TOKENS


def test_an_error_of_the_settings_becomes_the_rows() -> None:
    error = row_error(UNSEEN)
    assert (error.code, error.fatal, str(error)) == ("invalid_answer", False, str(UNSEEN))


def codes(results: list[RowResult]) -> Counter[str]:
    return Counter("ok" if result.error is None else result.error.code for result in results)


def refusing(error: HuggingFaceError, *bad: int) -> Callable[[Batch, float], HuggingFaceError | None]:
    """Refuse each batch that holds a bad row; without any, each batch."""
    return lambda batch, now: error if not bad or any(item.index in bad for item in batch.items) else None


class TestContent:
    @pytest.mark.parametrize("size", [1, 32])
    @pytest.mark.parametrize("bad", [0, 3, 17, 399])
    def test_a_row_that_a_firewall_refuses_fails_alone(self, size: int, bad: int) -> None:
        service = Service(0.05, fault=refusing(FIREWALL, bad))
        _, results, scheduler = play(items(400), service, Limits(max_batch_size=size))
        assert codes(results) == {"ok": 399, "invalid_input": 1}
        assert next(result.item.index for result in results if result.error and result.item) == bad
        assert not scheduler.stopped

    def test_one_that_is_refused_before_any_answer_waits_for_one(self) -> None:
        """Firewalls are quicker than models."""

        class Slow(Service):
            def ask(self, batch: Batch, now: float):  # type: ignore[no-untyped-def]
                ends, result = super().ask(batch, now)
                return (now + 0.001 if isinstance(result, HuggingFaceError) else ends), result

        service = Slow(0.5, fault=refusing(FIREWALL, 1))
        _, results, _ = play(items(40), service, Limits(max_batch_size=1))
        assert codes(results) == {"ok": 39, "invalid_input": 1}

    @pytest.mark.parametrize("error", [FIREWALL, TOKEN, FORBIDDEN])
    @pytest.mark.parametrize("size", [1, 32])
    def test_where_nothing_passes_it_stops_at_once(self, error: HuggingFaceError, size: int) -> None:
        service = Service(0.05, fault=refusing(error))
        _, results, scheduler = play(items(4000), service, Limits(max_batch_size=size))
        assert len(service.sizes) <= 4
        assert scheduler.summary.stopped is error
        assert set(codes(results)) == {error.code, "not_attempted"}

    def test_the_rest_of_an_earlier_query_is_only_that_row(self) -> None:
        state = ServiceState()
        play(items(40), Service(0.05), state=state)
        _, results, _ = play(items(1), Service(0.05, fault=refusing(FIREWALL)), state=state)
        assert codes(results) == {"invalid_input": 1}

    def test_a_token_that_is_revoked_stops_the_query(self) -> None:
        service = Service(0.05, fault=lambda batch, now: TOKEN if now > 1.0 else None)
        _, results, scheduler = play(items(4000), service, Limits(max_batch_size=1))
        assert scheduler.summary.stopped is TOKEN
        assert codes(results)["not_attempted"] > 3000


class TestSettings:
    @pytest.mark.parametrize("size", [1, 8, 32])
    @pytest.mark.parametrize("per_minute", [None, 60.0])
    def test_one_refusal_of_every_row_stops_the_query(self, size: int, per_minute: float | None) -> None:
        service = Service(0.05, fault=refusing(TOO_MANY_TOKENS))
        limits = Limits(max_batch_size=size, requests_per_minute=per_minute)
        _, results, scheduler = play(items(400), service, limits)
        stopped = scheduler.summary.stopped
        assert len(service.sizes) <= 40
        assert isinstance(stopped, errors.SettingsError)
        assert "no row succeeded" in str(stopped)
        assert "max_tokens > 4096 must have stream=true" in str(stopped)
        assert "Check max_tokens" in str(stopped)
        assert codes(results)["not_attempted"] > 300

    @pytest.mark.parametrize("size", [1, 32])
    def test_answers_that_all_have_a_wrong_form_stop_the_query(self, size: int) -> None:
        """Each of them is billed, and none is of use."""
        service = Service(0.05, fault=refusing(NO_FORM))
        _, results, scheduler = play(items(400), service, Limits(max_batch_size=size))
        stopped = scheduler.summary.stopped
        assert len(service.sizes) <= 40
        assert isinstance(stopped, errors.SettingsError)
        assert "an argument, the model or the server is wrong" in str(stopped)
        assert "Check that the model fits" in str(stopped)
        assert codes(results)["not_attempted"] > 300

    def test_rows_that_are_refused_each_in_its_own_words_are_all_sent(self) -> None:
        service = Service(
            0.05, fault=lambda batch, now: errors.InvalidInput(f"{500 + batch.items[0].index} tokens are too many")
        )
        _, results, _ = play(items(100), service, Limits(max_batch_size=1))
        assert codes(results) == {"invalid_input": 100}

    def test_numbers_of_the_rows_do_not_make_words_about_an_argument_differ(self) -> None:
        def refused(batch: Batch, now: float) -> HuggingFaceError:
            tokens = len(str(batch.items[0].index))
            return errors.InvalidInput(f"{tokens} tokens + max_tokens 9999 > 4096", argument="max_tokens", status=422)

        service = Service(0.05, fault=refused)
        _, results, scheduler = play(items(400), service, Limits(max_batch_size=1))
        assert len(service.sizes) <= 40
        assert "Check max_tokens" in str(scheduler.summary.stopped)
        assert codes(results)["not_attempted"] > 300

    def test_one_good_row_among_the_first_and_all_are_sent(self) -> None:
        service = Service(0.05, fault=lambda batch, now: None if batch.items[0].index == 2 else TOO_MANY_TOKENS)
        _, results, _ = play(items(100), service, Limits(max_batch_size=1))
        assert codes(results) == {"ok": 1, "invalid_input": 99}


class TestLists:
    @pytest.mark.parametrize("error", [BROKEN, LOST, EMPTY, errors.InvalidInput("no lists", status=422)])
    @pytest.mark.parametrize("size", [8, 32])
    @pytest.mark.parametrize("per_minute", [None, 300.0])
    def test_a_server_that_fails_on_every_list_gets_single_rows(
        self, error: HuggingFaceError, size: int, per_minute: float | None
    ) -> None:
        service = Service(0.05, fault=lambda batch, now: error if len(batch) > 1 else None)
        limits = Limits(max_batch_size=size, requests_per_minute=per_minute)
        took, results, _ = play(items(300), service, limits)
        assert codes(results) == {"ok": 300}
        assert len(service.sizes) <= 300 + 40
        assert per_minute or took < 10.0

    def test_an_outage_does_not_leave_single_rows(self) -> None:
        service = Service(0.05, 0.005, fault=lambda batch, now: BROKEN if 1.0 < now < 4.0 else None)
        _, results, _ = play(items(8000), service)
        assert codes(results) == {"ok": 8000}
        assert len(service.sizes) < 8000 / 32 + 150

    def test_the_last_list_of_a_query_may_hold_a_bad_row_too(self) -> None:
        for bad in range(96, 128):
            service = Service(0.05, 0.005, slots=1, fault=refusing(BROKEN, bad))
            _, results, _ = play(items(128), service, Limits(max_concurrency=1))
            assert codes(results) == {"ok": 127, "unavailable": 1}, bad

    @pytest.mark.parametrize("seed", range(6))
    def test_faults_by_chance_do_not_end_in_single_rows(self, seed: int) -> None:
        chance = random.Random(seed)
        service = Service(0.05, 0.005, fault=lambda batch, now: BROKEN if chance.random() < 0.3 else None)
        _, results, _ = play(items(5000), service, seed=seed)
        assert codes(results) == {"ok": 5000}
        assert len(service.sizes) < 500
