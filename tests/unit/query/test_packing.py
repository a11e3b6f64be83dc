"""Rows that share prompts, from the queue of a query to its results: no answer on a wrong row, and few requests."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huggingface_api_handler.arguments import ModelSettings, engine_settings, model_settings, query_settings
from huggingface_api_handler.arguments.schema import read_schema
from huggingface_api_handler.arguments.template import Prompt, parse_template
from huggingface_api_handler.cache import Cache, NoCache
from huggingface_api_handler.errors import HuggingFaceError, InvalidInput
from huggingface_api_handler.hub.prices import Offer
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.protocols.chat import with_response_format
from huggingface_api_handler.protocols.detect import Answered
from huggingface_api_handler.protocols.usage import usage_of
from huggingface_api_handler.query.caller import Caller, key_maker
from huggingface_api_handler.query.cost import MILLION, Price, PriceList, upper_estimate
from huggingface_api_handler.query.execution import RequestExecutor
from huggingface_api_handler.query.packing import LEAST_AUDITED, MAX_CHARACTERS, Audit, Packing, agree
from huggingface_api_handler.query.pipeline import Prediction
from huggingface_api_handler.query.runtime import Runtime
from huggingface_api_handler.sandbox import Sandbox
from huggingface_api_handler.sandbox.chat_faults import STYLES, spoil
from huggingface_api_handler.sandbox.fake_chat import chat_completion, packed_rows
from huggingface_api_handler.scheduling.batches import Batch, Item
from huggingface_api_handler.scheduling.results import BatchResult, Limits, RowResult
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.packing import ENTRY_TOKENS
from huggingface_api_handler.tasks.task import Arguments, Row

from ..virtual import Service, play

CHAT = TASKS["chat-completion"]
CALLER = Caller(tenant="0/0", engine="engine-1", model="model-1", name="m", target="y")
PACKING = Packing(20, 0.0, 0.95)
OK = Response(200, {}, b"", "application/json", 0.1)
#: Styles that only an audit can see: two valid ids with each other's answers.
INVISIBLE = "swap"
FIELDS = "topic text, stars integer, mood text in (good, bad)"
VISIBLE = [style for style in STYLES["packed"] if style != INVISIBLE]


class Model:
    """A language model without a server: answers by the sandbox's fake, and spoils what ``fault`` says.

    Args:
        fault: (rows in the prompt) → the style of what goes wrong with the answer, or ``None``.
    """

    provider = None

    def __init__(self, fault: Callable[[int], str | None] = lambda rows: None) -> None:
        self.fault = fault
        self.tokens = 0
        self.requests = 0

    def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
        (row,) = rows
        arguments = with_response_format(arguments, "schema")
        body = {"messages": [{"role": "user", "content": row[0]}], **arguments.parameters}
        answer = chat_completion(body, {})
        style = self.fault(len(packed_rows(body)))
        if style is not None:
            answer = spoil("packed", style, body, answer)
        self.requests += 1
        self.tokens += answer["usage"]["total_tokens"]
        return Answered([CHAT.decode(answer, arguments)], OK, usage_of(OK, answer))


class Served(Service):
    """The virtual service of a ``Model``; a request takes ``fixed + each * rows`` seconds."""

    def __init__(self, model: Any, arguments: Arguments | None = None, fixed: float = 1.0, each: float = 0.05) -> None:
        super().__init__(fixed, each)
        endpoint: Any = model
        nothing: Any = None
        self.execute = RequestExecutor(CHAT, arguments or Arguments(), nothing, (), endpoint, (None, None))

    def ask(self, batch: Batch, now: float) -> tuple[float, BatchResult | HuggingFaceError]:
        ends, _ = super().ask(batch, now)
        try:
            return ends, self.execute(batch.items, 60)
        except HuggingFaceError as error:
            return ends, error


def texts(count: int) -> list[Item]:
    return [Item(index, f"key {index}", (f"row number {index}", None)) for index in range(count)]


def answered(
    count: int, model: Any, rows: int = 20, per_minute: float | None = None
) -> tuple[float, list[RowResult], list[int]]:
    """Run ``count`` rows: seconds, results and sizes of the requests."""
    limits = Limits(max_batch_size=rows, requests_per_minute=per_minute, fill_batches=True)
    service = Served(model)
    seconds, results, _ = play(replace(PACKING, rows=rows).items(texts(count), None), service, limits)
    return seconds, results, service.sizes


def wrong(results: Sequence[RowResult]) -> list[RowResult]:
    return [
        one
        for one in results
        if one.item is None or (one.error is None and one.value != f"You said: {one.item.payload[0]}")
    ]


# --- right rows ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 30), st.integers(0, 2**32), st.sampled_from([0.1, 0.5, 1.0]))
def test_no_answer_is_ever_on_a_wrong_row(count: int, rows: int, seed: int, share: float) -> None:
    """However the model mixes up what it is told, each row has its own answer in the end."""
    chance = random.Random(seed)

    def fault(rows: int) -> str | None:
        return chance.choice(VISIBLE) if rows and chance.random() < share else None

    _, results, _ = answered(count, Model(fault), rows)
    assert sorted(one.item.index for one in results if one.item) == list(range(count))
    assert wrong(results) == []
    assert all(one.error is None for one in results)


def test_two_valid_ids_with_each_others_answers_are_not_seen() -> None:
    """The limit of ids, which the documentation tells; an audit measures it."""
    _, results, _ = answered(20, Model(lambda rows: INVISIBLE))
    assert len(wrong(results)) == 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=0, max_size=6), st.text(max_size=6)), max_size=24), st.data())
def test_whatever_ids_a_model_writes_only_its_own_row_gets_an_answer(pairs: Any, data: Any) -> None:
    """A response made of right entries, repeated ones, foreign ones, in any order."""

    class Mixed(Model):
        def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
            body = {"messages": [{"role": "user", "content": rows[0][0]}], **arguments.parameters}
            asked = packed_rows(body)
            if not asked:
                return super().ask(rows, arguments, timeout)
            right = [{"id": row["id"], "answer": f"You said: {row['text']}"} for row in asked]
            selected = data.draw(st.lists(st.sampled_from(right), max_size=12))
            found = data.draw(st.permutations([*selected, *({"id": one, "answer": two} for one, two in pairs)]))
            content = json.dumps({"answers": found})
            answer = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
            return Answered([CHAT.decode(answer, arguments)], OK, usage_of(OK, answer))

    _, results, _ = answered(10, Mixed(), 5)
    assert len(results) == 10 and wrong(results) == []


# --- few requests ---


@pytest.mark.parametrize("style", STYLES["packed"])
def test_ten_percent_of_faulty_answers_cost_few_more_requests(style: str) -> None:
    chance = random.Random(style)
    _, results, sizes = answered(2000, Model(lambda rows: style if chance.random() < 0.1 else None))
    assert len(results) == 2000 and all(one.error is None for one in results)
    assert 100 <= len(sizes) <= 1.5 * 100


@pytest.mark.parametrize("style", VISIBLE)
def test_a_model_that_cannot_pack_costs_little_more_than_single_rows(style: str) -> None:
    _, results, sizes = answered(400, Model(lambda rows: style if rows else None))
    assert len(results) == 400 and wrong(results) == [] and all(one.error is None for one in results)
    assert len(sizes) <= 1.3 * 400


def test_a_model_that_answers_ten_rows_at_most() -> None:
    """What it cannot do is tried now and then, not each time."""
    _, results, sizes = answered(400, Model(lambda rows: "renumber" if rows > 10 else None))
    assert len(results) == 400 and all(one.error is None for one in results)
    assert len(sizes) <= 1.6 * 40


def test_one_guilty_row_fails_alone() -> None:
    """A row that the content filter refuses does not take those beside it along."""

    class Filtered(Model):
        def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
            if "number 33" in rows[0][0]:
                self.requests += 1
                raise InvalidInput("the service's content filter withheld the answer", divisible=False)
            return super().ask(rows, arguments, timeout)

    model = Filtered()
    _, results, sizes = answered(100, model)
    failed = [one for one in results if one.error is not None]
    assert [one.item.index for one in failed if one.item] == [33]
    assert len(results) == 100 and wrong(results) == []
    assert len(sizes) <= 5 + 12


def test_ten_thousand_rows_at_300_requests_a_minute() -> None:
    """Packed by 20 they take a twentieth of the time."""
    alone, one_by_one, _ = answered(10_000, Model(), 1, per_minute=300)
    packed, by_twenty, sizes = answered(10_000, Model(), 20, per_minute=300)
    assert wrong(one_by_one) == wrong(by_twenty) == []
    assert len(sizes) == 500
    assert alone / packed >= 15


# --- sizes ---


def test_long_rows_share_a_prompt_with_few_others() -> None:
    items = [Item(index, f"k{index}", ("x" * (MAX_CHARACTERS // 3), None)) for index in range(7)]
    service = Served(Model())
    limits = Limits(max_batch_size=20, max_batch_bytes=MAX_CHARACTERS, fill_batches=True)
    play(PACKING.items(items, None), service, limits)
    assert service.sizes == [3, 3, 1]


@pytest.mark.parametrize(("context", "characters"), [(None, MAX_CHARACTERS), (8192, 12_288), (131_072, 196_608)])
def test_rows_fill_half_of_the_context(context: int | None, characters: int) -> None:
    limits = PACKING.limits(Limits(max_concurrency=3), context)
    assert limits == Limits(20, 3, max_batch_bytes=characters, fill_batches=True)


def test_the_shortest_context_of_the_providers_counts() -> None:
    def offer(provider: str, context_length: int | None) -> Offer:
        return Offer(provider, "live", context_length=context_length)

    offers = (offer("groq", 8192), offer("novita", None), offer("together", 131_072))
    assert PriceList(offers=offers).context_length == 8192
    assert PriceList(offers=offers, wanted=("together",)).context_length == 131_072
    assert PriceList(offers=offers, wanted=("novita",)).context_length is None
    assert PriceList().context_length is None


def test_the_text_of_a_template_counts_once() -> None:
    template = parse_template("x" * MAX_CHARACTERS + "{{a}}{{b}}")
    (item,) = PACKING.items([Item(0, "k", (Prompt(template, ("four", None)), None), size=99)], None)
    assert item.size == 4


# --- whole queries ---


class Query:
    """A chat model at the sandbox, and its queries."""

    def __init__(self, sandbox: Sandbox, store: Cache | None = None, **using: Any) -> None:
        self.sandbox = sandbox
        self.store = store or NoCache()
        self.engine = engine_settings({"base_url": sandbox.url, "api_key": "hf_" + "x" * 34}, environ={})
        column = {} if "prompt_template" in using else {"input_column": "t"}
        base = {"task": "chat-completion", "model_name": "sandbox/chat-completion", **column}
        self.model = model_settings({**base, **using}, self.engine, hub=lambda *_: None)

    def settings(self, **using: Any) -> ModelSettings:
        return query_settings(self.model, self.engine, using)

    def run(self, cells: Sequence[Any] | Mapping[str, Sequence[Any]], **using: Any) -> pd.DataFrame:
        frame = pd.DataFrame(dict(cells) if isinstance(cells, Mapping) else {"t": list(cells)}, dtype=object)
        return Prediction(self.settings(**using), self.engine, CALLER, Runtime(), self.store).run(frame)

    @property
    def requests(self) -> int:
        return len(self.sandbox.inference_requests())

    @property
    def prompts(self) -> list[str]:
        return [one.inputs["messages"][-1]["content"] for one in self.sandbox.inference_requests()]

    @property
    def usage(self) -> Mapping[str, float]:
        return self.store.usage(CALLER.scope)


ROWS = [f"row number {number}" for number in range(45)]


def said(rows: Sequence[Any]) -> list[Any]:
    return [None if row is None else f"You said: {row}" for row in rows]


def test_rows_share_requests_and_each_gets_its_own_answer(sandbox: Sandbox) -> None:
    query = Query(sandbox, rows_per_request=20)
    mixed = [None, *ROWS, ROWS[3], None, ROWS[44]]
    found = query.run(mixed, include_meta=True)
    assert list(found["y"].where(found["y"].notna(), None)) == said(mixed)
    assert query.requests == 3
    reported = json.loads(found["y_explain"][1])
    assert reported["finish_reason"] == "stop" and reported["rows_in_request"] == 20
    assert json.loads(found["y_meta"][1])["attempts"] == 1


def test_the_columns_of_a_template_are_the_fields_of_a_row(sandbox: Sandbox) -> None:
    query = Query(sandbox, rows_per_request=5, prompt_template="Rate {{ review }} of {{ID}}.")
    query.run({"review": ["good", None], "ID": [7, 8]}, max_concurrency=1)
    (prompt,) = query.prompts
    assert "Rate {{review}} of {{ID_column}}." in prompt
    lines = [json.loads(line) for line in prompt.splitlines()[-2:]]
    assert [{**line, "id": "?"} for line in lines] == [
        {"id": "?", "review": "good", "ID_column": "7"}, {"id": "?", "review": "", "ID_column": "8"},
    ]  # fmt: skip


def test_each_column_of_a_template_has_a_field_of_its_own(sandbox: Sandbox) -> None:
    query = Query(sandbox, rows_per_request=5, prompt_template="{{id}} is {{id_column}}, {{ID}} is {{ID_column_}}")
    query.run({"id": ["a", "b"], "id_column": ["c", "d"], "ID": ["e", "f"], "ID_column_": ["g", "h"]})
    (prompt,) = query.prompts
    assert "{{id_column_}} is {{id_column}}, {{ID_column}} is {{ID_column_}}" in prompt
    line = json.loads(prompt.splitlines()[-2])
    assert (line["id_column_"], line["id_column"], line["ID_column"], line["ID_column_"]) == ("a", "c", "e", "g")


def test_one_row_alone_is_asked_as_without_packing(sandbox: Sandbox) -> None:
    query = Query(sandbox, rows_per_request=20, system_prompt="Be brief.", max_tokens=7)
    assert list(query.run(["hello"])["y"]) == ["You said: hello"]
    (request,) = sandbox.inference_requests()
    body = request.inputs
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert body["max_tokens"] == 7 and "response_format" not in body


def test_answers_are_stored_by_row(sandbox: Sandbox, store: Cache) -> None:
    """Neither how many rows share a prompt nor which changes the key; whether they do does."""
    query = Query(sandbox, store, rows_per_request=20)
    query.run(ROWS)
    assert query.requests == 3
    query.run(ROWS[::-1], rows_per_request=7, audit=1.0)
    assert query.requests == 3
    query.run([*ROWS[:5], "new"], rows_per_request=3)
    assert query.requests == 4
    query.run(ROWS[:5], rows_per_request=1)
    assert query.requests == 9


def test_the_keys_of_single_rows_are_what_they_were(sandbox: Sandbox) -> None:
    query = Query(sandbox)
    plain = key_maker(query.model, query.engine, CALLER)(("hello", None))
    for using, same in (({"rows_per_request": 1}, True), ({"rows_per_request": 2}, False)):
        assert (key_maker(query.settings(**using), query.engine, CALLER)(("hello", None)) == plain) is same


def test_a_dry_run_knows_what_is_stored(sandbox: Sandbox, store: Cache) -> None:
    query = Query(sandbox, store, rows_per_request=20)
    query.run(ROWS[:40])
    plan = query.run([*ROWS, ROWS[44]], dry_run=True)["y_plan"]
    assert plan.value_counts().to_dict() == {"cache": 40, "request": 5, "duplicate": 1}


def test_a_dry_run_counts_the_requests_of_an_audit(sandbox: Sandbox, store: Cache) -> None:
    query = Query(sandbox, store, rows_per_request=20, price={"request": 1}, audit=1.0)
    for _ in ("before the first answer", "after it"):
        assert sum(query.run(ROWS[:40], dry_run=True, use_cache=False)["y_cost"]) == pytest.approx(2 + 40)
        query.run(ROWS[:40])
    assert query.requests == 2 + 40


@pytest.mark.parametrize("style", ["drop", "renumber", "prose"])
def test_the_rows_cost_what_the_query_cost(sandbox: Sandbox, store: Cache, style: str) -> None:
    """Whatever was asked twice: responses that were of no use, and rows that were audited."""
    sandbox.faults = {"rules": [{"kind": "packed", "style": style, "next": 2}]}
    query = Query(sandbox, store, rows_per_request=20, price={"input": 100, "output": 300}, audit=0.3)
    found = query.run(ROWS, include_meta=True)
    assert list(found["y"]) == said(ROWS)
    costs = [json.loads(cell)["cost"] for cell in found["y_meta"]]
    tokens = [(one.input_tokens or 0, one.output_tokens or 0) for one in sandbox.inference_requests()]
    paid = sum(100e-6 * given + 300e-6 * made for given, made in tokens)
    assert sum(costs) == pytest.approx(paid) == pytest.approx(query.usage["cost"])
    assert query.usage["requests"] == len(tokens)


def test_the_upper_estimate_of_a_shared_prompt_covers_it() -> None:
    model = Model()
    items = [Item(index, f"k{index}", ('"\\\n\x01' * index, None)) for index in range(1, 20)]
    arguments = Arguments({"output_schema": read_schema(FIELDS).stored}, {"max_tokens": 30})
    found = RequestExecutor(CHAT, arguments, None, (), model, (None, None))(items, 60)  # type: ignore[arg-type]
    price = Price(input=MILLION, output=0)
    assert found.input_tokens and found.output_tokens
    assert (upper_estimate(items, arguments, price, task=CHAT, timeout=60) or 0) >= found.input_tokens
    most = upper_estimate(items, arguments, Price(input=0, output=MILLION), task=CHAT, timeout=60)
    assert most == len(items) * (30 + ENTRY_TOKENS)


# --- typed columns ---


@pytest.mark.parametrize("refused", ["nothing", "json_schema", "response_format"])
def test_rows_that_share_a_prompt_have_typed_columns(sandbox: Sandbox, refused: str) -> None:
    """In whichever form the service is asked for JSON, each row has what it has alone."""
    body = {"error": {"message": f"{refused} is not supported"}}
    sandbox.faults = {"rules": [{"kind": "status", "status": 400, "contains": f'"{refused}"', "body": body}]}
    alone = Query(sandbox, output_schema=FIELDS).run(ROWS)
    before = len(sandbox.inference_requests())
    found = Query(sandbox, output_schema=FIELDS, rows_per_request=20).run(ROWS)
    for name in ("y", "topic", "stars", "mood"):
        assert list(found[name]) == list(alone[name])
    assert (
        len(sandbox.inference_requests()) - before
        == 3 + {"nothing": 0, "json_schema": 1, "response_format": 3}[refused]
    )


def test_a_row_whose_answer_does_not_fit_is_sent_again_alone(sandbox: Sandbox) -> None:
    """As if it had never shared a prompt; the answers to the other rows are kept."""

    class Odd(Model):
        def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
            found = super().ask(rows, arguments, timeout)
            asked = packed_rows({"messages": [{"role": "user", "content": rows[0][0]}]})
            odd = next((row["id"] for row in asked if row["text"] == "row number 7"), None)
            if odd is None:
                return found
            answers = json.loads(str(found.answers[0].value))["answers"]
            changed = [{**one, "answer": {"said": 7}} if one["id"] == odd else one for one in answers]
            return replace(found, answers=[replace(found.answers[0], value=json.dumps({"answers": changed}))])

    args = Arguments({"output_schema": read_schema("said text").stored})
    service = Served(Odd(), args)
    _, results, _ = play(texts(40), service, Limits(max_batch_size=20, fill_batches=True))
    assert len(results) == 40 and all(one.error is None for one in results)
    assert all(isinstance(json.loads(str(one.value))["said"], str) for one in results)
    assert sorted(service.sizes) == [1, 20, 20]


def test_an_audit_of_typed_columns_compares_values() -> None:
    one, other = '{"mood": "Good.", "stars": 5, "tags": ["a"]}', '{"mood": "good", "stars": 5, "tags": [" A"]}'
    assert agree(one, other, typed=True)
    assert not agree(one, other.replace("5", "4"), typed=True)
    assert not agree(one, other.replace("5", "null"), typed=True)


# --- audit ---


def test_an_audit_counts_rows_and_shows_the_answer_of_the_row_alone(
    sandbox: Sandbox, store: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    query = Query(sandbox, store, rows_per_request=20, audit=0.2)
    rows = [f"row number {number}" for number in range(200)]
    found = query.run(rows)
    assert list(found["y"]) == said(rows)
    audited = int(query.usage["audited"])
    assert 20 <= audited <= 60
    assert query.usage["agreed"] == audited
    (run,) = query.store.runs()
    assert (run.audited, run.agreed) == (audited, audited)
    assert (run.rows, run.done) == (200, 200)
    assert query.usage["rows"] == query.usage["answered"] == 200
    assert query.usage.get("audit_stops", 0) == 0
    assert query.requests == query.usage["requests"] == 10 + audited
    alone = [json.loads(cell) for cell in found["y_explain"]]
    assert sum("rows_in_request" not in one for one in alone) == audited
    assert f"m: audit: {audited} of {audited} rows have the same answer alone and in a shared prompt" in caplog.text


def test_an_audit_that_fails_sends_the_rest_alone_and_says_so(
    sandbox: Sandbox, store: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    """Two of twenty answers to a shared prompt differ: 90 % agree."""
    sandbox.faults = {"rules": [{"kind": "packed", "style": "swap"}]}
    query = Query(sandbox, store, rows_per_request=20, audit=0.25, max_concurrency=4)
    rows = [f"row number {number}" for number in range(400)]
    found = query.run(rows)
    wrong = sum(one != two for one, two in zip(found["y"], said(rows), strict=True))
    audited, agreed = int(query.usage["audited"]), int(query.usage["agreed"])
    assert audited >= LEAST_AUDITED and agreed < 0.95 * audited
    assert query.usage["audit_stops"] == 1
    assert query.requests > 300
    assert wrong <= 16  # of the forty that the whole query would have had
    assert (
        f"m: audit: {agreed} of {audited} rows have the same answer alone and in a shared prompt: too few, so the rest "
        "of the rows were sent alone" in caplog.text
    )


def test_an_agreement_of_zero_never_stops(sandbox: Sandbox, store: Cache) -> None:
    sandbox.faults = {"rules": [{"kind": "packed", "style": "swap"}]}
    query = Query(sandbox, store, rows_per_request=10, audit=1.0, audit_agreement=0.0)
    rows = [f"row number {number}" for number in range(100)]
    assert list(query.run(rows)["y"]) == said(rows)
    assert query.usage["audited"] == 100 and query.usage["agreed"] == 80
    assert query.requests == 110


def result(value: Any, item: Item, alone: bool) -> RowResult:
    error = value if isinstance(value, HuggingFaceError) else None
    group = ("audit", item.index) if alone else None
    explain = {} if alone else {"rows_in_request": 20}
    return RowResult(None if error else value, explain, error=error, item=replace(item, group=group))


ERROR = InvalidInput("no")


@pytest.mark.parametrize(
    ("first", "second", "shown", "counted"),
    [
        (("p", False), ("s", True), ["p", "s"], 1),
        (("s", True), ("p", False), ["s"], 1),
        ((ERROR, True), ("p", False), [None, "p"], 0),
        (("p", False), (ERROR, True), ["p"], 0),
        ((ERROR, False), ("s", True), [None, "s"], 0),
        (("s", True), (ERROR, False), ["s"], 0),
        ((ERROR, False), (ERROR, True), [None], 0),
    ],
)
def test_a_row_shows_the_answer_that_it_got_alone_else_the_other(
    first: tuple[Any, bool], second: tuple[Any, bool], shown: list[Any], counted: int
) -> None:
    """In whatever order both come; an error never takes the place of an answer."""
    (item,) = texts(1)
    audit = Audit(replace(PACKING, audit=1.0), [item])
    results = [result(value, item, alone) for value, alone in (first, second)]
    taken = [audit.take(one) for one in results]
    finals = [final for _, final in taken]
    assert finals[0] is None and finals[1] is not None and finals[1].value == shown[-1]
    assert [one.value for one, (is_shown, _) in zip(results, taken, strict=True) if is_shown] == shown
    assert audit.audited == counted and audit.agreed == 0


def test_rows_that_shared_no_prompt_in_the_end_are_not_compared() -> None:
    """Such as those after an audit has failed: it stays failed, and its count says why."""
    items = texts(400)
    audit = Audit(replace(PACKING, audit=1.0), items)
    for item in items:
        audit.take(result("same", item, True))
        shared = result("same" if item.index >= 2 else "other", item, False)
        if item.index >= LEAST_AUDITED:
            shared.explain = {}
        audit.take(shared)
        assert audit.failed == (item.index >= LEAST_AUDITED - 1)
    assert (audit.audited, audit.agreed) == (LEAST_AUDITED, LEAST_AUDITED - 2)


def test_which_rows_are_audited_follows_from_their_keys() -> None:
    items = texts(10_000)
    audits = [Audit(replace(PACKING, audit=share), items) for share in (0.0, 0.02, 0.02, 0.1, 1.0)]
    chosen = [[item.index for item in items if audit.has(item)] for audit in audits]
    assert len(chosen[0]) == 0 and len(chosen[4]) == 10_000
    assert 140 <= len(chosen[1]) <= 260
    assert chosen[1] == chosen[2]
    assert set(chosen[1]) < set(chosen[3])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Positive", " positive.\n", True), ("a  b", "a b", True), ("yes", "no", False), ("!", "?", False),
        ("-5", "5", False), ("", "", True), ("1.5", "1.5", True), ("Ää", "ää", True), (None, "None", False),
    ],
)  # fmt: skip
def test_answers_agree_whatever_their_signs_and_capitals(one: Any, other: Any, same: bool) -> None:
    assert agree(one, other) is same
