"""A consumer of MindsDB's task queue: patches of MindsDB's own, and one with a fixed number of tasks."""

from __future__ import annotations

import logging
import os
import signal
import time
from typing import Any

import redis
from mindsdb.utilities.ml_task_queue import consumer as host_consumer

from . import queue_notes
from .patching import patch

log = logging.getLogger(__name__)


class PatchConsumer:
    """Part of a task that patches the consumer which unpickles it: nothing else is imported there."""

    def __reduce__(self) -> Any:
        return patch_consumer, ()


def patch_consumer() -> None:
    """Patch the process of a consumer; a second call does nothing."""
    from . import patches

    patches.apply_patches()
    _consumers_without_redis_end()


def _consumers_without_redis_end() -> None:
    """End a consumer whose thread that listens for tasks has lost Redis.

    MindsDB's would remain and never take a task again. It ends, as it does if reading the queue fails, and whatever
    supervises it starts it again.
    """

    @patch(host_consumer.MLTaskConsumer, "_listen")
    def listen(original: Any, self: Any) -> None:
        try:
            original(self)
        except redis.ConnectionError:
            log.exception("Redis does not respond: this consumer ends when its tasks are complete")
            self._stop_event.set()


def consume(tasks: int) -> int:
    """Run MindsDB's consumer in this process until it is told to stop; return the exit code.

    It is the consumer of ``python -m mindsdb --ml_task_queue_consumer`` with these differences: it is patched before
    its first task; it runs up to ``tasks`` at once, while MindsDB's runs any number, and none while the machine's CPUs
    are busier than 60 %; it is one process instead of two or four; and it does nothing that belongs to the start of a
    server, such as marking models as failed that are being created elsewhere.

    Args:
        tasks: maximum number of simultaneous tasks, each in a worker process of about 230 MB.

    Returns:
        0 after SIGTERM or SIGINT, when running tasks are complete; 1 if Redis does not respond any more.
    """
    from mindsdb.integrations.libs.process_cache import process_cache
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.log import initialize_logging

    initialize_logging("ml_task_queue")
    db.init()
    patch_consumer()

    def wait_free_resources(self: Any) -> None:
        # The thread that listens is one of them.
        while len(self._listen_message_threads) > tasks and not self._stop_event.is_set():
            time.sleep(0.05)

    host_consumer.MLTaskConsumer.wait_free_resources = wait_free_resources
    try:
        consumer = host_consumer.MLTaskConsumer()
    except redis.ConnectionError:
        log.error("the Redis of MindsDB's task queue does not respond")
        os._exit(1)  # a thread of MindsDB's runs for ever
    try:
        queue_notes.note(consumer.db, "consumer")
    except Exception as error:  # the note is optional
        log.warning("this consumer's set-up could not be noted for the doctor: %s", error)
    received: list[int] = []

    def stop(number: int, _: Any) -> None:
        received.append(number)
        consumer._stop_event.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("this consumer takes up to %d tasks at once", tasks)
    consumer.run()
    process_cache.shutdown(wait=True)
    return 0 if received else 1
