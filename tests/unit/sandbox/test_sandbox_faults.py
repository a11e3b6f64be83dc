"""What goes wrong in the sandbox when it is told to: the tests of retries and limits rest on it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from huggingface_api_handler.sandbox import BadFaults, Faults, Rule, Sandbox, SandboxProcess

MODEL = "sandbox/text-classification"
#: A labelled list, as many as asked for.
LIST = ["one good day", "two good days", "three good days"]


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def post(sandbox: Any, http: requests.Session, inputs: Any = "a good day", **more: Any) -> requests.Response:
    body = {"inputs": inputs, "parameters": {"top_k": 1}}
    return http.post(f"{sandbox.url}/models/{MODEL}", json=body, timeout=more.pop("timeout", 10), **more)


def test_a_status_for_the_next_requests(sandbox: Sandbox, http: requests.Session) -> None:
    body = {"error": "Model is currently loading", "estimated_time": 2.5}
    sandbox.faults = {
        "rules": [{"kind": "status", "status": 503, "body": body, "headers": {"Retry-After": "3"}, "next": 2}]
    }
    answers = [post(sandbox, http) for _ in range(3)]
    assert [one.status_code for one in answers] == [503, 503, 200]
    assert answers[0].json() == body
    assert answers[0].headers["retry-after"] == "3"
    assert [record.status for record in sandbox.inference_requests()] == [503, 503, 200]
    assert [record.fault for record in sandbox.inference_requests()] == ["status", "status", ""]


def test_a_text_body_travels_as_plain_text(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [Rule("status", status=502, body="Bad Gateway", next=1)]}
    answer = post(sandbox, http)
    assert (answer.status_code, answer.text) == (502, "Bad Gateway")
    assert answer.headers["content-type"].startswith("text/plain")


def test_only_where_a_text_stands(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.fail_on("zwölf", status=422)
    found = [post(sandbox, http, text).status_code for text in ("eins", "zwölf", "dreizehn", ["eins", "zwölf"])]
    assert found == [200, 422, 200, 422]


def test_only_lists_or_only_single_ones(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 400, "lists": True}]}
    assert [post(sandbox, http, inputs).status_code for inputs in ("a", ["a"], LIST)] == [200, 200, 400]


def test_only_one_model(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 500, "model": "sandbox/fill-mask"}]}
    assert post(sandbox, http).status_code == 200


def test_a_probability_is_a_share_and_the_same_each_time(sandbox: Sandbox, http: requests.Session) -> None:
    def run() -> list[int]:
        sandbox.faults = {"seed": 3, "rules": [{"kind": "status", "status": 500, "probability": 0.3}]}
        return [post(sandbox, http).status_code for _ in range(100)]

    first = run()
    assert run() == first
    assert 15 <= first.count(500) <= 45


def test_a_reset(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "reset", "next": 1}]}
    with pytest.raises(requests.exceptions.ConnectionError):
        post(sandbox, http)
    assert post(sandbox, http).status_code == 200


def test_an_answer_that_breaks_off(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "break", "next": 1}]}
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        post(sandbox, http)
    assert post(sandbox, http).status_code == 200


def test_half_of_the_json(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "cut", "next": 1}]}
    answer = post(sandbox, http)
    assert answer.status_code == 200
    with pytest.raises(ValueError):
        answer.json()


@pytest.mark.parametrize(("kind", "content"), [("html", b"<!DOCTYPE"), ("empty", b"")])
def test_a_200_that_is_none(sandbox: Sandbox, http: requests.Session, kind: str, content: bytes) -> None:
    sandbox.faults = {"rules": [{"kind": kind}]}
    answer = post(sandbox, http)
    assert answer.status_code == 200
    assert answer.content.startswith(content) and bool(answer.content) == bool(content)


def test_hanging_ends_when_the_client_goes(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"slots": 1, "rules": [{"kind": "hang", "next": 1}]}
    with pytest.raises(requests.exceptions.ReadTimeout):
        post(sandbox, http, timeout=0.3)
    # The slot is free again, or this would wait for an hour.
    assert post(sandbox, http, timeout=5).status_code == 200


def test_a_trickle_is_whole_and_slow(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "trickle", "seconds": 0.002, "next": 1}]}
    began = time.monotonic()
    slow = post(sandbox, http)
    took = time.monotonic() - began
    assert slow.json() == post(sandbox, http).json()
    assert took >= 0.002 * len(slow.content)


def test_one_answer_too_few(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "wrong_count", "lists": True}]}
    assert len(post(sandbox, http, LIST).json()) == len(LIST) - 1
    assert len(post(sandbox, http, "one").json()) == 1


def test_one_answer_too_few_in_a_fused_list(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "wrong_count"}]}
    answer = http.post(f"{sandbox.url}/models/{MODEL}", json={"inputs": LIST}, timeout=10).json()
    assert [len(inner) for inner in answer] == [len(LIST) - 1]


def test_a_shuffled_ranking_keeps_its_indices(sandbox: Sandbox, http: requests.Session) -> None:
    body = {"inputs": {"query": "bread", "texts": ["bread", "roses", "bread and roses"]}}
    url = f"{sandbox.url}/models/sandbox/text-ranking"
    plain = http.post(url, json=body, timeout=10).json()
    sandbox.faults = {"rules": [{"kind": "shuffle"}]}
    mixed = http.post(url, json=body, timeout=10).json()
    assert mixed != plain
    assert sorted(mixed, key=lambda one: one["index"]) == sorted(plain, key=lambda one: one["index"])


def test_latency_counts_items(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"latency": 0.05, "latency_per_item": 0.05}
    began = time.monotonic()
    post(sandbox, http, LIST)
    assert time.monotonic() - began >= 0.2


def test_slots_make_a_queue(sandbox: Sandbox, http: requests.Session) -> None:
    def together(slots: int) -> float:
        sandbox.faults = {"latency": 0.1, "slots": slots}
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: post(sandbox, requests.Session()), range(4)))
        return time.monotonic() - began

    assert together(1) >= 0.4
    assert together(4) < 0.35


def test_a_rate_is_kept_and_said(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"requests_per_second": 5}
    answers = [post(sandbox, http) for _ in range(8)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 3
    assert answers[-1].headers["retry-after"] == "1"
    time.sleep(1.05)
    assert post(sandbox, http).status_code == 200
    sandbox.faults = {"requests_per_second": 0.5, "retry_after": False}
    assert [post(sandbox, http).status_code for _ in range(2)] == [200, 429]
    assert "retry-after" not in post(sandbox, http).headers


def test_faults_are_for_inference_only(sandbox: Sandbox, http: requests.Session) -> None:
    sandbox.faults = {"rules": [{"kind": "status", "status": 500}]}
    assert http.get(f"{sandbox.hub_url}/api/models/{MODEL}", timeout=10).status_code == 200


def test_steering_over_http(sandbox: Sandbox, http: requests.Session) -> None:
    url = f"{sandbox.hub_url}/sandbox/faults"
    assert http.put(url, json={"rules": [{"kind": "status", "status": 500}]}, timeout=10).status_code == 200
    assert sandbox.faults.rules[0].status == 500
    assert post(sandbox, http).status_code == 500
    assert http.delete(url, timeout=10).json()["rules"] == []
    assert post(sandbox, http).status_code == 200
    assert http.put(url, data=b"{", timeout=10).status_code == 400
    assert "latncy" in http.put(url, json={"latncy": 1}, timeout=10).json()["error"]


@pytest.mark.parametrize(
    "given",
    [{"latncy": 1}, {"rules": [{"kind": "explode"}]}, {"rules": [{"knd": 1}]}, {"rules": {}}, 7,
     {"rules": [{"probability": 2}]}],
)  # fmt: skip
def test_settings_that_make_no_sense(given: Any) -> None:
    with pytest.raises(BadFaults):
        Faults.of(given)


def test_settings_survive_json() -> None:
    faults = Faults(latency=0.1, rules=(Rule("status", status=503, body={"error": "x"}, next=2),))
    assert Faults.of(json.loads(json.dumps(faults.to_dict()))) == faults


def test_a_process_of_its_own(http: requests.Session, bad_token: str) -> None:
    with SandboxProcess(faults={"latency": 0.01}, bad_tokens=[bad_token]) as sandbox:
        assert post(sandbox, http).json()[0][0]["label"] == "POSITIVE"
        assert post(sandbox, http, headers={"Authorization": f"Bearer {bad_token}"}).status_code == 401
        assert [record.inputs for record in sandbox.inference_requests()] == ["a good day", None]
        sandbox.fail_on("bad day")
        assert post(sandbox, http, "a bad day").status_code == 400
        sandbox.reset()
        assert sandbox.requests == []
        assert sandbox.faults.rules == ()
        port = int(sandbox.hub_url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_only_this_machine_reaches_it_and_a_taken_port_is_told() -> None:
    with Sandbox() as sandbox:
        assert sandbox.hub_url.startswith("http://127.0.0.1:")
        with pytest.raises(OSError, match="in use"):
            Sandbox(sandbox.port).start()
