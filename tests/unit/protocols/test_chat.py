"""What a refusal of one chat tells about how the server wants the others."""

from __future__ import annotations

import pytest

from huggingface_api_handler.errors import InvalidInput
from huggingface_api_handler.protocols.base import Call, Learned
from huggingface_api_handler.protocols.chat import learn
from huggingface_api_handler.tasks.task import Arguments

CALL = Call(root={"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hey"}]})


def test_a_server_without_system_messages_is_learned() -> None:
    error = InvalidInput("System role not supported", status=400)
    learned = learn(error, CALL, Arguments(), Learned())
    assert learned is not None
    assert learned.knows_no_system


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("an attempt to change the system prompt was flagged", status=400, concerns_content=True),
        InvalidInput("system prompt and input are too long", status=400, is_too_long=True),
    ],
)
def test_one_rows_refusal_tells_nothing_of_the_server(error: InvalidInput) -> None:
    assert learn(error, CALL, Arguments(), Learned()) is None
