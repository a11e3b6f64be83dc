"""What we mend in MindsDB's task queue on Redis, so that a query through it ends right or not at all.

As it is, a consumer takes a task off the queue before it works on it. Where the consumer is killed, Redis
is restarted, or the answer is read late, the query fails after a minute of silence or waits for nothing.
What a consumer was asked may be asked again without harm: answers that have been paid for are in the
answer store, so a prediction whose consumer is gone is put into the queue once more.

All of this concerns tasks of this engine alone.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import redis
from mindsdb.integrations.libs import ml_exec_base
from mindsdb.utilities.ml_task_queue import consumer as host_consumer
from mindsdb.utilities.ml_task_queue import producer as host_producer
from mindsdb.utilities.ml_task_queue.const import ML_TASK_STATUS, ML_TASK_TYPE, TASKS_STREAM_NAME
from mindsdb.utilities.ml_task_queue.task import Task
from mindsdb.utilities.ml_task_queue.utils import RedisKey, from_bytes

from ..errors import Unavailable
from .keys import sealed
from .patches import ENGINE, _mark, _mended, note_model, run_command_here

log = logging.getLogger(__name__)

#: Seconds between two looks at a task of which nothing is heard.
LOOK = 5.0
#: Seconds of silence after which a consumer is given up: before it has said that it works, as it may have
#: to start a worker for it, and after that, when it says so every 5 seconds.
SILENT, SILENT_AT_WORK = 60.0, 20.0
#: Seconds for which a task may wait for a consumer to take it, and for Redis to come back.
UNTAKEN, AWAY = 900.0, 180.0
#: Seconds for which it may wait where a consumer is known to have refused to start.
UNTAKEN_AFTER_REFUSAL = 120.0
#: Consumers that a task may be lost with.
TRIES = 6
#: Seconds for which MindsDB keeps a task's rows; kept longer while the task waits.
KEPT = 180
#: What comes to the same when it is asked twice, and so is asked again when it was lost.
REPEATABLE = (
    ML_TASK_TYPE.PREDICT,
    ML_TASK_TYPE.DESCRIBE,
    ML_TASK_TYPE.CREATE_VALIDATION,
    ML_TASK_TYPE.CREATE_ENGINE,
)


def protect() -> None:
    """Mend the side that puts tasks into the queue; a second call does nothing."""
    _name_tasks_apart()
    _share_connections()
    _follow_tasks()


@contextmanager
def _for_us() -> Iterator[None]:
    """Mark what this thread does with the queue as done for this engine: other engines' tasks stay as they are."""
    _thread.is_ours = True
    try:
        yield
    finally:
        _thread.is_ours = False


_thread = threading.local()


def _is_for_us() -> bool:
    return getattr(_thread, "is_ours", False)


def _name_tasks_apart() -> None:
    """Give every task of ours a name of its own.

    MindsDB names them by time and host: two processes of a server that ask within the same quarter of
    a microsecond would read each other's rows.
    """
    original = RedisKey.new
    if _mended(original):
        return

    @functools.wraps(original)
    def new() -> Any:
        key = original()
        return RedisKey(key.base + b"-" + uuid.uuid4().hex.encode()) if _is_for_us() else key

    RedisKey.new = staticmethod(_mark(new))


def _share_connections() -> None:
    """Have a process keep one set of connections to the queue for this engine.

    MindsDB opens new ones for every statement, and leaves it to the garbage collector to close them.
    """
    original = host_producer.MLTaskProducer.__init__
    if _mended(original):
        return
    kept: dict[int, dict[str, Any]] = {}

    @functools.wraps(original)
    def init(self: Any) -> None:
        if not _is_for_us():
            original(self)
            return
        if os.getpid() not in kept:
            original(self)  # waits for Redis, each caller for itself
            kept.setdefault(os.getpid(), dict(vars(self)))
        vars(self).update(kept[os.getpid()])

    host_producer.MLTaskProducer.__init__ = _mark(init)
    make = ml_exec_base.BaseMLEngineExec.__init__

    @functools.wraps(make)
    def make_engine(self: Any, name: str, integration_id: int, handler_module: Any) -> None:
        if handler_module.name != ENGINE:
            make(self, name, integration_id, handler_module)
            return
        with _for_us():
            make(self, name, integration_id, handler_module)

    ml_exec_base.BaseMLEngineExec.__init__ = _mark(make_engine)


def _follow_tasks() -> None:
    """Hand out tasks that are followed to their end, and have consumers mend themselves."""
    original = host_producer.MLTaskProducer.apply_async
    if _mended(original):
        return

    @functools.wraps(original)
    def apply_async(self: Any, task_type: Any, model_id: Any, payload: Any, dataframe: Any = None) -> Any:
        engine = payload["handler_meta"]["engine"]
        note_model(task_type, model_id, engine)
        if engine != ENGINE:
            return original(self, task_type, model_id, payload, dataframe)
        done = run_command_here(task_type, model_id, payload, dataframe)
        if done is not None:
            return done
        payload = {**sealed(payload), "huggingface_api": Mends()}

        def submit() -> tuple[Task, Any]:
            producer = copy.copy(self)
            producer.stream = noted = _Noted(self.stream)
            with _for_us():
                return original(producer, task_type, model_id, payload, dataframe), noted.entry

        return Followed(submit, task_type)

    host_producer.MLTaskProducer.apply_async = _mark(apply_async)


class _Noted:
    """A stream that notes what its entry is called: a consumer deletes it when it takes the task."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.entry: Any = None

    def add(self, message: Any) -> Any:
        self.entry = self._stream.add(message)
        return self.entry


class Mends:
    """Travels with a task, and mends the consumer that unpickles it: nothing else is imported there."""

    def __reduce__(self) -> Any:
        return mend_consumer, ()


def mend_consumer() -> None:
    """Mend the process of a consumer; a second call does nothing."""
    from . import patches

    patches.protect()
    original = host_consumer.MLTaskConsumer._listen
    if _mended(original):
        return

    @functools.wraps(original)
    def listen(self: Any) -> None:
        try:
            original(self)
        except redis.ConnectionError:
            # It would be there and never take a task again. It ends, as it does where reading the queue
            # meets the same, and is started anew by whoever looks after it.
            log.exception("Redis is away: this consumer ends when it has done what it is doing")
            self._stop_event.set()

    host_consumer.MLTaskConsumer._listen = _mark(listen)


class _Lost(Exception):
    """Nobody works on the task any more."""


class Followed(Task):  # type: ignore[misc]
    """A task that is put into the queue again when its consumer is lost.

    Args:
        submit: puts the task into the queue; returns MindsDB's own view of it, and its entry there.
        task_type: what is asked of the consumer.
    """

    def __init__(self, submit: Callable[[], tuple[Task, Any]], task_type: Any) -> None:
        self._submit = submit
        self._repeatable = task_type in REPEATABLE
        self._has_rows = task_type == ML_TASK_TYPE.PREDICT
        first, self._entry = submit()
        super().__init__(first.db, first.redis_key)

    def wait(self, status: Any = ML_TASK_STATUS.COMPLETE) -> None:
        """Return when the task is done.

        Raises:
            Unavailable: it was lost with ``TRIES`` consumers, or none took it, or Redis stays away.
            Exception: what the task ended in.
        """
        for left in reversed(range(TRIES)):
            try:
                self._end()
                return
            except _Lost as loss:
                if not self._repeatable or not left:
                    raise Unavailable(
                        f"MindsDB's task queue lost the task: {loss}",
                        advice="run the query again: answers that had arrived are kept; look at the consumers' log",
                    ) from None
                log.warning("a task is put into MindsDB's queue again: %s", loss)
                again, self._entry = _persistent(self._submit)
                self.redis_key = again.redis_key

    def _end(self) -> None:
        for told in self._told():
            if told == ML_TASK_STATUS.COMPLETE:
                self.dataframe = self._take(self.redis_key.dataframe)
                if self._has_rows and self.dataframe is None:
                    raise _Lost("its answer was gone before it was read")
                return
            if told == ML_TASK_STATUS.ERROR:
                error = self._take(self.redis_key.exception)
                if error is None:
                    raise _Lost("it failed, and why was gone before it was read")
                if isinstance(error, BrokenProcessPool):
                    raise _Lost("the consumer's worker was killed")
                raise error

    def _take(self, key: str) -> Any:
        cache = self.db.cache()
        held = _persistent(lambda: cache.get(key))
        if held is not None:
            _persistent(lambda: cache.delete(key))
        return None if held is None else from_bytes(held)

    def _told(self) -> Iterator[Any]:
        """Yield what is said of the task, until nothing has been said for too long.

        Listening begins after the task was put in, and is interrupted where Redis is: so what stands
        written of the task is looked at too.
        """
        began = heard = time.monotonic()
        at_work = False
        while True:
            pubsub = self.db.pubsub()
            try:
                pubsub.subscribe(self.redis_key.status)
                while True:
                    told, taken = self._written()
                    if told in (ML_TASK_STATUS.COMPLETE, ML_TASK_STATUS.ERROR):
                        yield told
                        return
                    now = time.monotonic()
                    if not taken:
                        heard = now
                        self._check_wait(now - began)
                    elif now - heard > (SILENT_AT_WORK if at_work else SILENT):
                        raise _Lost(f"its consumer has been silent for {now - heard:.0f} s")
                    message = pubsub.get_message(ignore_subscribe_messages=True, timeout=LOOK)
                    if message is None or message["type"] not in pubsub.PUBLISH_MESSAGE_TYPES:
                        continue
                    heard = time.monotonic()
                    told = ML_TASK_STATUS(message["data"])
                    at_work = at_work or told == ML_TASK_STATUS.PROCESSING
                    if told in (ML_TASK_STATUS.COMPLETE, ML_TASK_STATUS.ERROR):
                        yield told
                        return
            except (redis.ConnectionError, redis.TimeoutError):
                _persistent(self.db.ping)
                heard = time.monotonic()  # its consumer, too, must find Redis again
            finally:
                try:
                    pubsub.close()
                except redis.RedisError:
                    pass

    def _check_wait(self, waited: float) -> None:
        """Raise when a task has waited too long for a consumer to take it."""
        from ..cli import doctor_queue

        refused = doctor_queue.refusals(self.db)
        if waited <= (UNTAKEN_AFTER_REFUSAL if refused else UNTAKEN):
            return
        told = "".join(f"; the one on {machine} refuses to start: {reason}" for machine, reason in refused.items())
        raise Unavailable(
            f"no consumer of MindsDB's task queue took the query within {waited:.0f} s{told}",
            advice="start some: python -m huggingface_api_handler consumer; MindsDB's own takes "
            "nothing while its machine's CPUs are busier than 60 %",
        )

    def _written(self) -> tuple[Any, bool]:
        """Return the status that stands written, and whether a consumer has taken the task."""
        cache = self.db.cache()
        told = cache.get(self.redis_key.status)
        status = None if told is None else ML_TASK_STATUS(told)
        if status != ML_TASK_STATUS.WAITING or not self._stands():
            return status, True
        self.db.expire(cache.make_key(self.redis_key.status), KEPT)
        if self._has_rows and not self.db.expire(cache.make_key(self.redis_key.dataframe), KEPT):
            # Whoever takes a task takes it off the queue first, then its rows.
            if self._stands():
                raise _Lost("its rows were gone before a consumer took them")
            return status, True
        return status, False

    def _stands(self) -> bool:
        """Say whether the task is still in the queue."""
        return bool(self.db.xrange(TASKS_STREAM_NAME, self._entry, self._entry))


def _persistent(work: Callable[[], Any]) -> Any:
    """Do ``work``, again and again for a while where Redis is away."""
    until = time.monotonic() + AWAY
    while True:
        try:
            return work()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if time.monotonic() > until:
                raise Unavailable(
                    f"the Redis of MindsDB's task queue has been away for {AWAY:.0f} s",
                    advice="start it, then run the query again: answers that had arrived are kept",
                ) from error
            time.sleep(1.0)


# --- a consumer of our own making ------------------------------------------------------------


def consume(tasks: int) -> int:
    """Run MindsDB's consumer in this process until it is told to stop; return the exit code.

    It is the one that ``python -m mindsdb --ml_task_queue_consumer`` starts, with these differences: it is
    mended before its first task; it takes up to ``tasks`` at once, where MindsDB's takes any number of them,
    and none while the machine's CPUs are busier than 60 %, whoever keeps them so; it is one process and not
    two or four; and it leaves alone what a server does at its start, such as giving up models that are
    being created elsewhere.

    Args:
        tasks: each has a worker process of its own, of about 230 MB.

    Returns:
        0 after SIGTERM or SIGINT, when the tasks it had are done; 1 where Redis went away.
    """
    from mindsdb.integrations.libs.process_cache import process_cache
    from mindsdb.interfaces.storage import db
    from mindsdb.utilities.log import initialize_logging

    from ..cli import doctor_queue

    initialize_logging("ml_task_queue")
    db.init()
    mend_consumer()

    def wait_free_resources(self: Any) -> None:
        # The thread that listens is one of them.
        while len(self._listen_message_threads) > tasks and not self._stop_event.is_set():
            time.sleep(0.05)

    host_consumer.MLTaskConsumer.wait_free_resources = wait_free_resources
    try:
        consumer = host_consumer.MLTaskConsumer()
    except redis.ConnectionError:
        log.error("the Redis of MindsDB's task queue does not answer")
        os._exit(1)  # a thread of MindsDB's goes on for ever
    try:
        doctor_queue.note(consumer.db, "consumer")
    except Exception as error:  # a note that cannot be made is no reason not to work
        log.warning("this consumer's set-up could not be noted for the doctor: %s", error)
    told: list[int] = []

    def stop(sign: int, _: Any) -> None:
        told.append(sign)
        consumer._stop_event.set()

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    log.info("this consumer takes up to %d tasks at once", tasks)
    consumer.run()
    process_cache.shutdown(wait=True)
    return 0 if told else 1
