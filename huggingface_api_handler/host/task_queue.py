"""Patches of MindsDB's task queue on Redis, at the side that puts tasks into it.

MindsDB's consumer takes a task off the queue before it works on it. If the consumer is killed, Redis is restarted or
the result is read late, the query fails after a minute of silence or waits for ever. Repeating a task is harmless:
responses that have been paid for are in the cache. So a prediction whose consumer is lost is put into the queue again.

All patches affect tasks of this engine alone.
"""

from __future__ import annotations

import copy
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import redis
from mindsdb.integrations.libs import ml_exec_base
from mindsdb.utilities.ml_task_queue import producer as host_producer
from mindsdb.utilities.ml_task_queue.const import ML_TASK_STATUS, ML_TASK_TYPE, TASKS_STREAM_NAME
from mindsdb.utilities.ml_task_queue.task import Task
from mindsdb.utilities.ml_task_queue.utils import RedisKey, from_bytes

from ..errors import Unavailable
from .consumer import PatchConsumer
from .keys import sealed
from .patches import patch_tasks
from .patching import patch
from .queue_notes import refusals
from .settings import ENGINE

log = logging.getLogger(__name__)

#: Seconds between two checks of a task that reports nothing.
CHECK_INTERVAL = 5.0
#: Seconds of silence after which a consumer counts as lost: before its first report, since it may have to start a
#: worker, and after that, when it reports every 5 seconds.
SILENCE_BEFORE_START, SILENCE_AT_WORK = 60.0, 20.0
#: Seconds for which a task may wait for a consumer to take it, and for Redis to come back.
MAX_WAIT, MAX_OUTAGE = 900.0, 180.0
#: Seconds for which a task may wait if a consumer has refused to start.
MAX_WAIT_AFTER_REFUSAL = 120.0
#: Attempts per task.
MAX_ATTEMPTS = 6
#: Seconds for which MindsDB stores a task's rows; renewed while the task waits.
ROWS_TTL = 180
_FINAL = (ML_TASK_STATUS.COMPLETE, ML_TASK_STATUS.ERROR)
#: Types of tasks that can be repeated, and so are when they are lost.
REPEATABLE = (
    ML_TASK_TYPE.PREDICT,
    ML_TASK_TYPE.DESCRIBE,
    ML_TASK_TYPE.CREATE_VALIDATION,
    ML_TASK_TYPE.CREATE_ENGINE,
)


def apply_patches() -> None:
    """Patch the side that puts tasks into the queue; a second call does nothing."""
    _names_of_tasks_are_unique()
    _queue_connections_are_shared()
    _lost_tasks_are_repeated()


@contextmanager
def _for_this_engine() -> Iterator[None]:
    """Mark what this thread does with the queue as done for this engine; other engines' tasks stay unchanged."""
    _thread.is_ours = True
    try:
        yield
    finally:
        _thread.is_ours = False


_thread = threading.local()


def _is_for_this_engine() -> bool:
    return getattr(_thread, "is_ours", False)


def _names_of_tasks_are_unique() -> None:
    """Give every task of this engine a unique name.

    MindsDB names them by time and host: two processes of a server that submit within the same quarter of a microsecond
    would read each other's rows.
    """

    @patch(RedisKey, "new")
    def new(original: Any) -> Any:
        key = original()
        return RedisKey(key.base + b"-" + uuid.uuid4().hex.encode()) if _is_for_this_engine() else key


def _queue_connections_are_shared() -> None:
    """Share one set of connections to the queue per process for this engine.

    MindsDB opens new ones for every statement and leaves it to the garbage collector to close them.
    """
    shared: dict[int, dict[str, Any]] = {}

    @patch(host_producer.MLTaskProducer, "__init__")
    def init_producer(original: Any, self: Any) -> None:
        if not _is_for_this_engine():
            original(self)
            return
        if os.getpid() not in shared:
            original(self)  # waits for Redis, each caller for itself
            shared.setdefault(os.getpid(), dict(vars(self)))
        vars(self).update(shared[os.getpid()])

    @patch(ml_exec_base.BaseMLEngineExec, "__init__")
    def init_engine(original: Any, self: Any, name: str, integration_id: int, handler_module: Any) -> None:
        if handler_module.name != ENGINE:
            original(self, name, integration_id, handler_module)
            return
        with _for_this_engine():
            original(self, name, integration_id, handler_module)


def _lost_tasks_are_repeated() -> None:
    """Return tasks that are tracked to their end, and patch the consumers that take them."""

    @patch_tasks(host_producer.MLTaskProducer)
    def apply_async(original: Any, self: Any, task_type: Any, model_id: Any, payload: Any, dataframe: Any) -> Any:
        payload = {**sealed(payload), "huggingface_api": PatchConsumer()}

        def submit() -> tuple[Task, Any]:
            producer = copy.copy(self)
            producer.stream = recording = _RecordingStream(self.stream)
            with _for_this_engine():
                return original(producer, task_type, model_id, payload, dataframe), recording.entry

        return TrackedTask(submit, task_type)


class _RecordingStream:
    """A stream that records the ID of its last entry: a consumer deletes the entry when it takes the task."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.entry: Any = None

    def add(self, message: Any) -> Any:
        self.entry = self._stream.add(message)
        return self.entry


class _TaskLost(Exception):
    """No consumer works on the task any more."""


class TrackedTask(Task):  # type: ignore[misc]
    """A task that is put into the queue again when its consumer is lost.

    Args:
        submit: puts the task into the queue; returns MindsDB's own object for it, and the ID of its entry.
        task_type: what the consumer has to do.
    """

    def __init__(self, submit: Callable[[], tuple[Task, Any]], task_type: Any) -> None:
        self._submit = submit
        self._repeatable = task_type in REPEATABLE
        self._has_rows = task_type == ML_TASK_TYPE.PREDICT
        first, self._entry = submit()
        super().__init__(first.db, first.redis_key)

    def wait(self, status: Any = ML_TASK_STATUS.COMPLETE) -> None:
        """Return when the task is complete.

        Raises:
            Unavailable: it was lost ``MAX_ATTEMPTS`` times, or no consumer took it, or Redis does not come back.
            Exception: the error of the task.
        """
        for left in reversed(range(MAX_ATTEMPTS)):
            try:
                self._wait_for_end()
                return
            except _TaskLost as loss:
                if not self._repeatable or not left:
                    raise Unavailable(
                        f"MindsDB's task queue lost the task: {loss}",
                        advice="run the query again: answers that had arrived are cached; check the consumers' log",
                    ) from None
                log.warning("a task is put into MindsDB's queue again: %s", loss)
                again, self._entry = _retry_while_redis_is_away(self._submit)
                self.redis_key = again.redis_key

    def _wait_for_end(self) -> None:
        if self._final_status() == ML_TASK_STATUS.COMPLETE:
            self.dataframe = self._take(self.redis_key.dataframe)
            if self._has_rows and self.dataframe is None:
                raise _TaskLost("its result expired before it was read")
            return
        error = self._take(self.redis_key.exception)
        if error is None:
            raise _TaskLost("it failed, and its error expired before it was read")
        if isinstance(error, BrokenProcessPool):
            raise _TaskLost("the consumer's worker was killed")
        raise error

    def _take(self, key: str) -> Any:
        cache = self.db.cache()
        stored = _retry_while_redis_is_away(lambda: cache.get(key))
        if stored is not None:
            _retry_while_redis_is_away(lambda: cache.delete(key))
        return None if stored is None else from_bytes(stored)

    def _final_status(self) -> Any:
        """Wait for the final status of the task, COMPLETE or ERROR, and return it.

        Reports of the consumer are missed between the submission and the subscription, and while Redis is away. So the
        stored status is read as well.

        Raises:
            _TaskLost: the consumer has been silent for too long.
        """
        began = heard = time.monotonic()
        at_work = False
        while True:
            pubsub = self.db.pubsub()
            try:
                pubsub.subscribe(self.redis_key.status)
                while True:
                    status, taken = self._stored_status()
                    if status in _FINAL:
                        return status
                    now = time.monotonic()
                    if not taken:
                        heard = now
                        self._check_wait(now - began)
                    elif now - heard > (SILENCE_AT_WORK if at_work else SILENCE_BEFORE_START):
                        raise _TaskLost(f"its consumer has been silent for {now - heard:.0f} s")
                    message = pubsub.get_message(ignore_subscribe_messages=True, timeout=CHECK_INTERVAL)
                    if message is None or message["type"] not in pubsub.PUBLISH_MESSAGE_TYPES:
                        continue
                    heard = time.monotonic()
                    status = ML_TASK_STATUS(message["data"])
                    at_work = at_work or status == ML_TASK_STATUS.PROCESSING
                    if status in _FINAL:
                        return status
            except (redis.ConnectionError, redis.TimeoutError):
                _retry_while_redis_is_away(self.db.ping)
                heard = time.monotonic()  # the consumer has to reconnect too
            finally:
                try:
                    pubsub.close()
                except redis.RedisError:
                    pass

    def _check_wait(self, waited: float) -> None:
        """Raise ``Unavailable`` if the task has waited too long for a consumer to take it."""
        refused = refusals(self.db)
        if waited <= (MAX_WAIT_AFTER_REFUSAL if refused else MAX_WAIT):
            return
        reasons = "".join(f"; the one on {machine} refuses to start: {reason}" for machine, reason in refused.items())
        raise Unavailable(
            f"no consumer of MindsDB's task queue took the query within {waited:.0f} s{reasons}",
            advice="start consumers: python -m huggingface_api_handler consumer; MindsDB's own consumers take no "
            "task while their machine's CPU usage is above 60 %",
        )

    def _stored_status(self) -> tuple[Any, bool]:
        """Return the stored status, and whether a consumer has taken the task."""
        cache = self.db.cache()
        stored = cache.get(self.redis_key.status)
        status = None if stored is None else ML_TASK_STATUS(stored)
        if status != ML_TASK_STATUS.WAITING or not self._is_in_queue():
            return status, True
        self.db.expire(cache.make_key(self.redis_key.status), ROWS_TTL)
        if self._has_rows and not self.db.expire(cache.make_key(self.redis_key.dataframe), ROWS_TTL):
            # A consumer takes the task off the queue first, then its rows.
            if self._is_in_queue():
                raise _TaskLost("its rows expired before a consumer took them")
            return status, True
        return status, False

    def _is_in_queue(self) -> bool:
        """Return whether the task is still in the queue."""
        return bool(self.db.xrange(TASKS_STREAM_NAME, self._entry, self._entry))


def _retry_while_redis_is_away(work: Callable[[], Any]) -> Any:
    """Call ``work``; retry for up to ``MAX_OUTAGE`` seconds while Redis does not respond."""
    until = time.monotonic() + MAX_OUTAGE
    while True:
        try:
            return work()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if time.monotonic() > until:
                raise Unavailable(
                    f"the Redis of MindsDB's task queue has not responded for {MAX_OUTAGE:.0f} s",
                    advice="start it, then run the query again: answers that had arrived are cached",
                ) from error
            time.sleep(1.0)
