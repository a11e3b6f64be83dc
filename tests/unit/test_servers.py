"""What `make servers` asks, what it found and what docs/endpoints.md shows agree; the run itself needs 3 GB."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.servers import scripted
from tests.servers.case import HERE, Server
from tests.servers.cases import CASES, LLAMA_CHAT, SERVERS

FOUND: dict[str, Any] = json.loads((HERE / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_every_case_was_asked_and_went_as_expected(server: Server) -> None:
    wanted = [(case.task, case.title, case.expect) for case in CASES if case.server is server]
    if server is LLAMA_CHAT:
        wanted += [("chat-completion", scripted.title(using), scripted.GOOD) for using, _ in scripted.CASES]
    assert [(one["task"], one["arguments"], one["result"]) for one in FOUND[server.name]["cases"]] == wanted


def test_the_results_are_those_of_the_versions_that_are_installed() -> None:
    assert list(FOUND) == [server.name for server in SERVERS]
    for server in SERVERS:
        pinned = dict(one.split("==") for one in server.packages if "==" in one)
        known = {name.partition("[")[0]: version for name, version in pinned.items()}
        reported = FOUND[server.name]["versions"]
        assert {name: version for name, version in reported.items() if name in known} == {
            name: version for name, version in known.items() if name in reported
        }


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_no_case_is_asked_twice(server: Server) -> None:
    titles = [(case.task, case.title) for case in CASES if case.server is server]
    assert len(titles) == len(set(titles))
