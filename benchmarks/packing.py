"""What several rows in one request save: requests, tokens and time, in virtual time on the sandbox's fake model."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Sequence
from typing import Any

from huggingface_api_handler.arguments.template import Prompt, parse_template
from huggingface_api_handler.net.request import Response
from huggingface_api_handler.protocols.detect import Answered
from huggingface_api_handler.protocols.usage import Usage
from huggingface_api_handler.query.execution import RequestExecutor
from huggingface_api_handler.query.packing import MAX_CHARACTERS, Packing
from huggingface_api_handler.sandbox import fake_chat
from huggingface_api_handler.scheduling.batches import Batch, Item
from huggingface_api_handler.scheduling.results import BatchResult, Limits
from huggingface_api_handler.scheduling.scheduler import Scheduler
from huggingface_api_handler.scheduling.service_state import ServiceState
from huggingface_api_handler.tasks import TASKS
from huggingface_api_handler.tasks.task import Arguments, Row

ROWS, PER_MINUTE = 10_000, 300
#: Seconds that the model takes for a request, and for each token that it writes.
FIXED, EACH = 0.5, 0.005

TEMPLATE = parse_template(
    "You sort the reviews of an online shop. Say what the review is about, with one of these words: delivery, price, "
    "quality, service, other. A review about several of them is about the one that it says most about. Praise counts "
    "as much as complaints. Write the word alone, in lower case, without any sign.\n\nReview: {{review}}"
)
LABELS = ("delivery", "price", "quality", "service", "other")
WORDS = (
    "the", "a", "my", "order", "came", "late", "lamp", "was", "broken", "box", "they", "sent", "it", "back", "after",
    "two", "weeks", "price", "good", "quality", "nice",
)  # fmt: skip


OK = Response(200, {}, b"", "application/json", 0.0)
#: A long description of the labels, which is sent with each request.
GUIDE = " ".join(
    f"A review is about {label} if most of it tells how the {label} was, as in these cases: {case}."
    for label in LABELS
    for case in ("the customer names it first and returns to it at the end", "the rating follows from it",
                 "the customer asks for money back because of it", "nothing else in the review can be checked")
)  # fmt: skip

#: Name of an instruction → the system prompt beside ``TEMPLATE``.
INSTRUCTIONS = {"60 words": "", "600 words": GUIDE}


class Sorter:
    """A language model that answers with one word for each review."""

    provider = None

    def __init__(self, system: str = "") -> None:
        self.system = system
        self.input_tokens = self.output_tokens = 0
        self.last = 0

    def ask(self, rows: Sequence[Row], arguments: Arguments, timeout: float) -> Answered:
        messages = [{"role": "system", "content": self.system}] if self.system else []
        body = {"messages": [*messages, {"role": "user", "content": rows[0][0]}], **arguments.parameters}
        packed = fake_chat.packed_rows(body)
        answers = [{"id": row["id"], "answer": fake_chat.choose(LABELS, row["review"])} for row in packed]
        content = json.dumps({"answers": answers}) if packed else fake_chat.choose(LABELS, rows[0][0])
        message = {"role": "assistant", "content": content}
        usage = fake_chat.usage(body, message)
        self.input_tokens += usage["prompt_tokens"]
        self.last = usage["completion_tokens"]
        self.output_tokens += self.last
        answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        decoded = TASKS["chat-completion"].decode(answer, arguments)
        return Answered([decoded], OK, Usage())


def reviews(count: int) -> list[Item]:
    """Return reviews of 15 to 45 words."""
    drawn = random.Random(1)
    texts = (" ".join(drawn.choices(WORDS, k=drawn.randint(15, 45))) for _ in range(count))
    return [Item(at, f"review {at}", (Prompt(TEMPLATE, (text,)), None)) for at, text in enumerate(texts)]


def measure(rows: int, system: str = "", count: int = ROWS) -> dict[str, float]:
    """Return what ``count`` reviews take with ``rows`` in each request."""
    model: Any = Sorter(system)
    nothing: Any = None
    execute = RequestExecutor(TASKS["chat-completion"], Arguments(), nothing, (), model, (None, None))
    limits = Limits(
        max_batch_size=rows, requests_per_minute=PER_MINUTE, max_batch_bytes=MAX_CHARACTERS, fill_batches=True
    )
    items = Packing(rows, 0.0, 1.0).items(reviews(count), None)
    scheduler = Scheduler(items, limits, ServiceState(), now=0.0)
    now, under_way, number = 0.0, list[tuple[float, int, Batch, BatchResult]](), 0
    while not scheduler.done:
        step = scheduler.take(now)
        if isinstance(step, Batch):
            number += 1
            result = execute(step.items, 60)
            heapq.heappush(under_way, (now + FIXED + EACH * model.last, number, step, result))
            continue
        assert isinstance(step, (int, float))
        if under_way and under_way[0][0] <= step:
            now, _, batch, result = heapq.heappop(under_way)
            scheduler.answered(batch, result, now)
        else:
            now = step
    assert scheduler.summary.rows == count
    return {
        "requests": scheduler.summary.requests,
        "input_tokens": model.input_tokens,
        "output_tokens": model.output_tokens,
        "seconds": round(now, 1),
    }
