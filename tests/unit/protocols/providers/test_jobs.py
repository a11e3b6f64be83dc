"""Work that providers queue: it is waited for, begun once, and what became of it is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from huggingface_api_handler.cache import SqliteCache
from huggingface_api_handler.errors import (
    BlockedAddress,
    ConnectionFailed,
    InvalidAnswer,
    InvalidInput,
    RateLimited,
    ServiceTimeout,
    Unavailable,
)
from huggingface_api_handler.hub.facts import Served
from huggingface_api_handler.protocols.base import Call
from huggingface_api_handler.protocols.client import answer_of
from huggingface_api_handler.protocols.providers import find_provider
from huggingface_api_handler.protocols.providers.provider_api import ProviderAPI, Work
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.media import Media
from tests.unit.end_to_end import CALLER, engine, model, predict
from tests.unit.loopback import Loopback, answer, raw
from tests.unit.provider_router import PNG, TOKEN, Service, make, serve


def _fal(service: Service) -> None:
    serve_url = "https://queue.fal.run/fal-ai/video/requests/r1"
    service.routes["/fal-ai/fal-ai/video?_subdomain=queue"] = {
        "request_id": "r1", "status": "IN_QUEUE", "response_url": serve_url,
    }  # fmt: skip
    service.routes["/fal-ai/fal-ai/video/requests/r1/status?_subdomain=queue"] = [
        {"status": "IN_QUEUE"}, answer("busy", 503, "text/plain"), {"status": "IN_PROGRESS"}, {"status": "COMPLETED"},
    ]  # fmt: skip
    service.routes["/fal-ai/fal-ai/video/requests/r1?_subdomain=queue"] = [
        answer("<html>", 502, "text/html"), {"video": {"url": f"{service.url}/made.mp4"}},
    ]  # fmt: skip
    service.routes["/made.mp4"] = [answer("", 500), answer(b"MP4", content_type="video/mp4")]


def test_queued_work_is_waited_for_and_begun_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-video", "live", "fal-ai/video"))
    _fal(service)
    one = make(service, "fal-ai")
    reply = one.ask(TASKS["text-to-video"], Call("a boat", accept="*/*"), timeout=20)
    assert answer_of(reply) == Media(b"MP4", "video/mp4")
    assert [heard.method for heard in service.heard].count("POST") == 1
    by_path = {heard.target: heard.headers.get("authorization") for heard in service.heard}
    assert by_path.pop("/made.mp4") is None
    assert set(by_path.values()) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("provider", "posted", "first", "looked", "states"),
    [
        ("wavespeed", "/wavespeed/api/v3/m", {"data": {"urls": {"get": "https://api.x/api/v3/p/1/result"}}},
         "/wavespeed/api/v3/p/1/result",
         [{"data": {"status": "created"}}, {"data": {"status": "completed", "outputs": ["LINK"]}}]),
        ("replicate", "/replicate/v1/models/m/predictions",
         {"status": "starting", "output": None, "urls": {"get": "https://api.x/v1/predictions/1"}},
         "/replicate/v1/predictions/1", [{"status": "processing", "urls": {}}, {"status": "succeeded",
         "output": ["LINK"]}]),
        ("zai-org", "/zai-org/api/paas/v4/async/images/generations", {"id": "t 1", "task_status": "PROCESSING"},
         "/zai-org/api/paas/v4/async-result/t%201",
         [{"task_status": "PROCESSING"}, {"task_status": "SUCCESS", "image_result": [{"url": "LINK"}]}]),
    ],
)  # fmt: skip
def test_each_queue(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    posted: str,
    first: Any,
    looked: str,
    states: list[Any],
) -> None:
    serve(monkeypatch, Served(provider, "text-to-image", "live", "m"))
    service.routes[posted] = first
    service.routes[looked] = [json.loads(json.dumps(one).replace("LINK", f"{service.url}/x.png")) for one in states]
    service.routes["/x.png"] = answer(PNG, content_type="image/png")
    reply = make(service, provider).ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert answer_of(reply) == Media(PNG, "image/png")
    assert [heard.method for heard in service.heard].count("POST") == 1


def test_a_failed_job_is_the_rows_own(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-image", "live", "m"))
    service.routes["/wavespeed/api/v3/m"] = {"data": {"urls": {"get": "/r"}}}
    service.routes["/wavespeed/r"] = {"data": {"status": "failed", "error": "nsfw"}}
    with pytest.raises(InvalidInput, match="nsfw") as caught:
        make(service, "wavespeed").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert not caught.value.retryable


def test_a_late_job_is_not_begun_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-image", "live", "m"))
    service.routes["/wavespeed/api/v3/m"] = {"data": {"urls": {"get": "/r"}}}
    now = [0.0]

    def tick() -> float:
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(tick))
    for said in (
        {"data": {"status": "processing"}},
        answer("no", 503, "text/plain"),
        answer("<html>", 200, "text/html"),
    ):
        service.routes["/wavespeed/r"] = said
        with pytest.raises(ServiceTimeout) as caught:
            make(service, "wavespeed").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=10)
        assert not caught.value.retryable


# --- what began is not begun again -----------------------------------------------------------

#: Provider → where its work begins, and how it tells of a job that lies at /r.
QUEUES: dict[str, tuple[str, Any]] = {
    "fal-ai": (
        "/fal-ai/m?_subdomain=queue",
        {"request_id": "1", "status": "IN_QUEUE", "response_url": "https://q.x/r"},
    ),
    "replicate": ("/replicate/v1/models/m/predictions", {"status": "starting", "urls": {"get": "https://api.x/r"}}),
    "together": ("/together/v2/videos", {"id": "r", "status": "queued"}),
    "wavespeed": ("/wavespeed/api/v3/m", {"data": {"urls": {"get": "https://api.x/r"}, "status": "created"}}),
}
LOOKED = {
    "fal-ai": "/fal-ai/r/status?_subdomain=queue",
    "replicate": "/replicate/r",
    "together": "/together/v2/videos/r",
    "wavespeed": "/wavespeed/r",
}
FILM = TASKS["text-to-video"]
#: An answer that ends in the middle.
CUT = raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")


class Nowhere:
    """An address at which nobody listens."""

    url = "http://127.0.0.1:1"


def film(service: Loopback | Nowhere, provider: str, timeout: float = 5, **options: Any) -> Any:
    return make(service, provider, **options).ask(FILM, Call("a boat", accept="*/*"), timeout=timeout)


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest, service: Service, monkeypatch: pytest.MonkeyPatch) -> str:
    serve(monkeypatch, Served(request.param, "text-to-video", "live", "m"))
    return str(request.param)


def test_an_answer_that_cannot_be_read_may_mean_that_work_began(service: Service, queue: str) -> None:
    for said in (answer("<html>", content_type="text/html"), answer('{"id": "r', content_type="application/json")):
        service.routes[QUEUES[queue][0]] = said
        with pytest.raises(InvalidAnswer, match=f"whether {queue} has begun is unknown") as caught:
            film(service, queue)
        assert not caught.value.retryable


def test_a_connection_that_breaks_may_mean_that_work_began(service: Service, queue: str) -> None:
    service.routes[QUEUES[queue][0]] = CUT
    with pytest.raises(ConnectionFailed, match="is unknown") as caught:
        film(service, queue)
    assert not caught.value.retryable


def test_silence_may_mean_that_work_began(service: Service, queue: str) -> None:
    service.routes[QUEUES[queue][0]] = lambda heard, sock: service.wait(30)
    with pytest.raises(ServiceTimeout, match="is unknown") as caught:
        film(service, queue, timeout=0.3)
    assert not caught.value.retryable


def test_a_gateway_that_waited_in_vain_may_have_handed_the_work_over(service: Service, queue: str) -> None:
    at = engine(service)
    of = model(at, task="text-to-video", provider=queue, model_name="org/name", input_column="t")
    for status in (504, 524):
        service.heard.clear()
        service.routes[QUEUES[queue][0]] = answer("upstream request timeout", status, "text/plain")
        frame = predict(at, of, {"t": ["a boat"]}, max_retries=3)
        assert "is unknown, so the request is not retried" in frame["y_error"].tolist()[0]
        assert frame["y_retryable"].tolist() == [False]
        assert [heard.method for heard in service.heard].count("POST") == 1


def test_a_refusal_begins_nothing_and_may_be_tried_again(service: Service, queue: str) -> None:
    for status, kind in ((429, RateLimited), (503, Unavailable), (502, Unavailable), (500, Unavailable)):
        service.routes[QUEUES[queue][0]] = answer({"error": "busy"}, status)
        with pytest.raises(kind) as caught:
            film(service, queue)
        assert caught.value.retryable
    service.routes[QUEUES[queue][0]] = {"error": {"message": "Too many requests", "code": 429}}
    with pytest.raises(RateLimited) as refused:
        film(service, queue)
    assert refused.value.retryable


def test_no_connection_begins_nothing_and_may_be_tried_again(queue: str) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        film(Nowhere(), queue)
    assert caught.value.retryable


def test_a_request_that_begins_no_job_may_be_tried_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("nscale", "text-to-image", "live", "m"))
    service.routes["/nscale/v1/images/generations"] = CUT
    with pytest.raises(ConnectionFailed) as caught:
        make(service, "nscale").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    assert caught.value.retryable


def test_a_query_begins_each_rows_work_once(service: Service, queue: str) -> None:
    """With tries left: work that was begun and then went wrong in any way is not begun a second time."""
    at = engine(service)
    of = model(at, task="text-to-video", provider=queue, model_name="org/name", input_column="t")
    path, job = QUEUES[queue]
    failing = {**job, "status": "failed", "data": {**job.get("data", {}), "status": "failed"}}
    for looked, code in (
        (failing, "invalid_input"),
        (answer("gone", 404, "text/plain"), "invalid_answer"),
        (answer({"detail": "no boats"}, 422), "invalid_input"),
        (answer({"error": "credit"}, 402), "out_of_credits"),
    ):
        service.heard.clear()
        service.routes[path], service.routes[LOOKED[queue]] = answer(job, 201), looked
        frame = predict(at, of, {"t": ["a boat"]}, max_retries=3)
        assert frame["y_error_type"].tolist() == [code], frame["y_error"].tolist()
        assert frame["y_retryable"].tolist() == [False]
        assert [heard.method for heard in service.heard].count("POST") == 1


@pytest.mark.parametrize(
    ("looked", "code"),
    [
        ({"data": {"status": "failed", "error": "nsfw"}}, "invalid_input"),
        (answer({"detail": "no boats"}, 422), "invalid_input"),
        (answer({"detail": "no boats"}, 400), "invalid_input"),
        (answer("gone", 404, "text/plain"), "invalid_answer"),
        ({"data": {"status": "completed", "outputs": ["LINK/gone.mp4"]}}, "invalid_input"),
        ({"data": {"status": "completed", "outputs": []}}, "invalid_answer"),
    ],
    ids=["failed", "422", "400", "404", "no film", "no link"],
)
def test_work_that_began_is_paid_for_whatever_becomes_of_it(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, looked: Any, code: str
) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-video", "live", "m"))
    path, job = QUEUES["wavespeed"]
    service.routes[path] = answer(job, 201)
    service.routes[LOOKED["wavespeed"]] = looked if callable(looked) else json.loads(
        json.dumps(looked).replace("LINK", service.url)
    )  # fmt: skip
    at = engine(service)
    price = {"request": 0.5}
    of = model(at, task="text-to-video", provider="wavespeed", model_name="org/name", input_column="t", price=price)
    store = SqliteCache(tmp_path / "answers.sqlite")
    rows = {"t": ["a boat", "a ship", "a raft"]}
    found = predict(at, of, rows, store=store, max_cost=1.0, max_concurrency=1, include_meta=True)
    assert found["y_error_type"].tolist() == [code, code, "budget_exceeded"], found["y_error"].tolist()
    assert [heard.method for heard in service.heard].count("POST") == 2
    assert store.usage(CALLER.scope)["cost"] == 1.0
    assert [json.loads(meta)["cost"] for meta in found["y_meta"]] == [0.5, 0.5, 0]
    store.close()


def test_a_refusal_with_status_200_costs_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("wavespeed", "text-to-video", "live", "m"))
    service.routes[QUEUES["wavespeed"][0]] = {"error": {"message": "no boats", "code": 422}}
    at = engine(service)
    price = {"request": 0.5}
    of = model(at, task="text-to-video", provider="wavespeed", model_name="org/name", input_column="t", price=price)
    found = predict(at, of, {"t": ["a boat", "a ship"]}, max_cost=0.5, max_concurrency=1)
    assert found["y_error_type"].tolist() == ["invalid_input"] * 2


def test_a_job_takes_as_long_as_all_of_its_requests(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last request alone is short, and a price per second would count next to nothing."""
    serve(monkeypatch, Served("fal-ai", "text-to-video", "live", "fal-ai/video"))
    _fal(service)
    now = [0.0]
    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(lambda: now[0]))
    monkeypatch.setattr(ProviderAPI, "_sleep", staticmethod(lambda pause: now.__setitem__(0, now[0] + pause)))
    reply = make(service, "fal-ai").ask(TASKS["text-to-video"], Call("a boat", accept="*/*"), timeout=60)
    assert reply.elapsed == now[0] > 3


# --- what became of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "body", "reason"),
    [
        ("replicate", {"status": "failed", "error": "NSFW content was not found acceptable", "urls": {"get": "/r"}},
         "NSFW content was not found acceptable"),
        ("replicate", {"status": "canceled", "error": None, "urls": {"get": "/r"}}, "ended as 'canceled'"),
        ("replicate", {"status": "aborted"}, "ended as 'aborted'"),
        ("wavespeed", {"code": 200, "message": "success",
                       "data": {"status": "failed", "error": "too dark", "urls": {"get": "/r"}}}, "too dark"),
        ("together", {"id": "r", "status": "failed", "error": {"message": "no boats", "code": "x"}}, "no boats"),
        ("together", {"id": "r", "status": "cancelled"}, "ended as 'cancelled'"),
    ],
)  # fmt: skip
def test_work_that_fails_at_once_says_why(
    service: Service, monkeypatch: pytest.MonkeyPatch, provider: str, body: Any, reason: str
) -> None:
    serve(monkeypatch, Served(provider, "text-to-video", "live", "m"))
    service.routes[QUEUES[provider][0]] = answer(body, 201)
    with pytest.raises(InvalidInput, match=reason) as caught:
        film(service, provider)
    assert not caught.value.retryable
    assert not caught.value.fatal
    assert str(caught.value).startswith(f"{provider} could not complete this: ")


def test_a_picture_that_zai_cannot_make(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("zai-org", "text-to-image", "live", "m"))
    service.routes["/zai-org/api/paas/v4/async/images/generations"] = {"id": "t", "task_status": "PROCESSING"}
    service.routes["/zai-org/api/paas/v4/async-result/t"] = {"id": "t", "task_status": "FAIL"}
    with pytest.raises(InvalidInput, match="zai-org could not complete this: its job ended as 'fail'"):
        make(service, "zai-org").ask(TASKS["text-to-image"], Call("a", accept="image/png"), timeout=5)
    last = service.heard[-1]
    assert (last.headers["x-source-channel"], last.headers["authorization"]) == ("hugging_face", f"Bearer {TOKEN}")


def test_what_fal_could_not_do_stands_where_the_result_would(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-video", "live", "m"))
    service.routes["/fal-ai/m?_subdomain=queue"] = QUEUES["fal-ai"][1]
    service.routes["/fal-ai/r/status?_subdomain=queue"] = answer({"status": "COMPLETED"}, 202)
    service.routes["/fal-ai/r?_subdomain=queue"] = answer(
        {"detail": [{"loc": ["body", "prompt"], "msg": "no boats"}]}, 422
    )
    with pytest.raises(InvalidInput, match="no boats") as caught:
        film(service, "fal-ai")
    assert not caught.value.retryable


def test_work_that_is_late_says_how_far_it_was_and_what_was_said_last(
    service: Service, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(10_000))
    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(lambda: float(next(ticks))))
    path, job = QUEUES[queue]
    service.routes[path] = job
    service.routes[LOOKED[queue]] = [
        {**job, "status": "in_progress", "data": {**job.get("data", {}), "status": "in_progress"}},
        answer({"error": "the store is full"}, 503),
    ]  # fmt: skip
    with pytest.raises(
        ServiceTimeout, match=rf"{queue} was still at work \(in_progress\).* 30 seconds; .*store is full"
    ):
        film(service, queue, timeout=30)
    assert [heard.method for heard in service.heard].count("POST") == 1


def test_a_result_that_is_not_handed_over_in_time(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("fal-ai", "text-to-video", "live", "m"))
    ticks = iter(range(10_000))
    monkeypatch.setattr(ProviderAPI, "_clock", staticmethod(lambda: float(next(ticks))))
    service.routes["/fal-ai/m?_subdomain=queue"] = QUEUES["fal-ai"][1]
    service.routes["/fal-ai/r/status?_subdomain=queue"] = {"status": "COMPLETED"}
    service.routes["/fal-ai/r?_subdomain=queue"] = answer("no", 502, "text/plain")
    with pytest.raises(ServiceTimeout, match="fal-ai had not returned the result after timeout = 30") as caught:
        film(service, "fal-ai", timeout=30)
    assert not caught.value.retryable


def test_replicate_answers_before_we_give_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("replicate", "text-to-video", "live", "m"))
    service.routes[QUEUES["replicate"][0]] = answer({"status": "failed"}, 201)
    for timeout, held in ((60, "wait=55"), (600, "wait=60"), (3, "wait=1")):
        with pytest.raises(InvalidInput):
            film(service, "replicate", timeout=timeout)
        assert service.heard[-1].headers["prefer"] == held


def test_who_pays_is_named_at_each_question(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("together", "text-to-video", "live", "m"))
    service.routes["/together/v2/videos"] = {"id": "r", "status": "queued"}
    service.routes["/together/v2/videos/r"] = {
        "id": "r",
        "status": "completed",
        "outputs": {"video_url": f"{service.url}/v"},
    }
    service.routes["/v"] = answer(b"MP4", content_type="video/mp4")
    film(service, "together", bill_to="acme")
    assert [heard.headers.get("x-hf-bill-to") for heard in service.heard] == ["acme", "acme", None]


def test_the_pause_that_a_queue_asks_for_is_kept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Served("together", "text-to-video", "live", "m"))
    slept: list[float] = []
    monkeypatch.setattr(ProviderAPI, "_sleep", staticmethod(slept.append))
    service.routes["/together/v2/videos"] = {"id": "r", "status": "queued"}
    service.routes["/together/v2/videos/r"] = [answer("slow down", 429, "text/plain", Retry_After="7"),
                                               {"status": "failed"}]  # fmt: skip
    with pytest.raises(InvalidInput):
        film(service, "together", timeout=60)
    assert slept == [0.5, 7.0]


def test_a_job_at_an_address_of_its_own_is_a_link_like_any_other(service: Service) -> None:
    """It is asked without the token and who pays, and not on the inside."""
    one = make(service, "black-forest-labs")
    assert isinstance(one, ProviderAPI)
    provider = find_provider("black-forest-labs")
    paid = {"X-HF-Bill-To": "acme"}
    work = Work(provider, "https://x.test", "https://x.test/m", paid, 5, one._clock() + 5)
    for url in ("http://169.254.169.254/x", f"{service.url}/job?id=1"):
        job = provider.job({"id": "1", "polling_url": url}, work.base, work.url)
        assert job is not None
        service.routes["/job?id=1"] = {"status": "Ready"}
        if "169" in url:
            with pytest.raises(BlockedAddress):
                one._get(work, job.status_url, job.purpose)
        else:
            one._get(work, job.status_url, job.purpose)
    (heard,) = service.heard
    assert not {"authorization", "x-hf-bill-to"} & set(heard.headers)


@pytest.mark.parametrize("body", [[], None, "x", {"id": 7}, {"data": []}, {"urls": {"get": 7}}, {"status": {"a": 1}}])
def test_strange_answers_announce_nothing(body: Any) -> None:
    for name in QUEUES:
        provider = find_provider(name)
        if isinstance(body, Mapping):
            assert provider.job(body, "https://x.test/p", "https://x.test/p/m") is None
        assert provider.state(body) == ""


def test_queued_work_that_ends_in_a_text_has_a_texts_bound(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound's words are no longer because replicate queues the work."""
    serve(monkeypatch, Served("replicate", "automatic-speech-recognition", "live", "m"))
    task, path = TASKS["automatic-speech-recognition"], "/replicate/v1/models/m/predictions"
    call = Call(media=Media(b"RIFF", "audio/wav"))
    long = {"status": "succeeded", "output": "a" * task.max_answer_bytes, "urls": {"get": "https://api.x/r"}}
    begun = {"status": "starting", "urls": {"get": "https://api.x/r"}}
    for first, looked in ((long, None), (begun, long)):
        service.routes[path], service.routes["/replicate/r"] = first, looked
        with pytest.raises(InvalidAnswer, match="is larger than 16777216 bytes"):
            make(service, "replicate").ask(task, call, timeout=20)
