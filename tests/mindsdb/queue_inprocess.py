"""Tasks in MindsDB's queue, with a consumer that does as the script says.

    python -m tests.mindsdb.queue_inprocess

Prints one JSON object: what came of each task, and how often it was put into the queue.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def main() -> None:
    from mindsdb.integrations.handlers.huggingface_api_handler.host import keys as host_keys
    from mindsdb.integrations.handlers.huggingface_api_handler.host import patches, queue_notes
    from mindsdb.integrations.handlers.huggingface_api_handler.host import task_queue as host_queue
    from mindsdb.integrations.handlers.huggingface_api_handler.host.consumer import PatchConsumer
    from mindsdb.integrations.libs.ml_exec_base import BaseMLEngineExec
    from mindsdb.utilities.cache import RedisCache
    from mindsdb.utilities.ml_task_queue import consumer, utils
    from mindsdb.utilities.ml_task_queue.const import ML_TASK_STATUS, ML_TASK_TYPE, TASKS_STREAM_NAME
    from pandas import DataFrame

    found: dict[str, Any] = {}

    patches.apply_patches()

    # A consumer is patched by what it unpickles.
    before = consumer.MLTaskConsumer._listen
    pickle.loads(pickle.dumps({"huggingface_api": PatchConsumer()}))
    found["consumer patched"] = consumer.MLTaskConsumer._listen is not before

    host_queue.CHECK_INTERVAL, host_queue.MAX_WAIT = 0.2, 15.0
    host_queue.SILENCE_BEFORE_START, host_queue.SILENCE_AT_WORK = 1.5, 1.0
    ours, another = SimpleNamespace(name="huggingface_api"), SimpleNamespace(name="another")
    ask_ours, ask_again, ask_another = (BaseMLEngineExec("e", 1, one).base_ml_executor for one in (ours, ours, another))
    producer = ask_ours
    at = {"host": os.environ["MINDSDB_ML_QUEUE_HOST"], "port": int(os.environ["MINDSDB_ML_QUEUE_PORT"])}
    caches = [RedisCache("predict", {**at, "db": number}) for number in (1, 1, 2)]
    found["connections shared"] = ask_again.db is ask_ours.db and caches[0].client is caches[1].client
    found["connections mixed up"] = caches[0].client is caches[2].client or ask_another.db is ask_ours.db
    db, cache = producer.db, producer.cache
    payload = {"handler_meta": {"engine": "huggingface_api"}, "args": {"predict_params": {}}}
    rows, answer = DataFrame({"text": ["a"]}), DataFrame({"label": ["A"]})

    # Two tasks of the same moment: of another engine, by MindsDB's own names, and of ours.
    def named_alike(asked: Any, engine: str) -> bool:
        of = {"handler_meta": {"engine": engine}, "args": {"predict_params": {}}}
        first, second = (asked.apply_async(ML_TASK_TYPE.PREDICT, 1, of, rows).redis_key.base for _ in range(2))
        db.delete(TASKS_STREAM_NAME)
        return bool(first == second)

    real, utils.time.time = time.time, lambda: 1_700_000_000.25
    found["same names without the patch"] = named_alike(ask_another, "another")
    found["same names"] = named_alike(ask_ours, "huggingface_api")
    utils.time.time = real

    # Keys that a statement gives, in the task that carries it.
    key = "hf_" + "q" * 34
    using = {"using": {"API_KEY": key, "task": "t"}}
    for part in ({"connection_args": {"api_key": key}}, {"problem_definition": using}):
        producer.apply_async(ML_TASK_TYPE.CREATE_ENGINE, 0, {**payload, **part})
        ((entry, message),) = db.xrange(TASKS_STREAM_NAME)
        db.xdel(TASKS_STREAM_NAME, entry)
        name = next(iter(part))
        found[f"key in the clear in {name}"] = key.encode() in message[b"payload"]
        found[f"key taken out of {name}"] = utils.from_bytes(message[b"payload"])[name] == part[name]
        before_secret, host_keys.secret_key = host_keys.secret_key, lambda: "another"
        read = json.dumps(utils.from_bytes(message[b"payload"])[name])
        host_keys.secret_key = before_secret
        found[f"key of another secret_key in {name}"] = read

    def taken() -> Any:
        """Take a task off the queue, as a consumer does."""
        while not (entries := db.xrange(TASKS_STREAM_NAME, count=1)):
            time.sleep(0.01)
        entry, message = entries[0]
        db.xdel(TASKS_STREAM_NAME, entry)
        key = utils.RedisKey(message[b"redis_key"])
        cache.delete(key.dataframe)
        return key

    def say(key: Any, status: Any) -> None:
        db.publish(key.status, status.value)
        cache.set(key.status, status.value, 180)

    def answered(key: Any) -> None:
        cache.set(key.dataframe, utils.to_bytes(answer), 10)
        say(key, ML_TASK_STATUS.COMPLETE)

    def failed(key: Any, error: BaseException) -> None:
        cache.set(key.exception, utils.to_bytes(error), 10)
        say(key, ML_TASK_STATUS.ERROR)

    def ask(name: str, *lives: Callable[[Any], None], kind: Any = ML_TASK_TYPE.PREDICT, early: bool = False) -> None:
        puts = [0]

        def consume() -> None:
            for live in lives:
                key = taken()
                puts[0] += 1
                live(key)

        task = producer.apply_async(kind, 1, payload, rows if kind == ML_TASK_TYPE.PREDICT else None)
        at_work = threading.Thread(target=consume, daemon=True)
        at_work.start()
        if early:
            at_work.join()
        try:
            reported = task.result()
            came = reported if reported is None else reported.to_dict("list")
        except Exception as error:
            came = f"{type(error).__name__}: {error}"
        at_work.join(5)
        found[name] = [came, puts[0]]

    def silent(key: Any) -> None:
        say(key, ML_TASK_STATUS.PROCESSING)

    def beats(key: Any) -> None:
        for _ in range(10):
            say(key, ML_TASK_STATUS.PROCESSING)
            time.sleep(0.3)
        answered(key)

    ask("answered", answered)
    ask("answered before anybody listens", answered, early=True)
    ask("slow, with signs of life", beats)
    ask("its consumer dies at work", silent, answered)
    ask("its consumer dies at once", lambda key: None, answered)
    ask("its answer is gone", lambda key: say(key, ML_TASK_STATUS.COMPLETE), answered)
    from concurrent.futures.process import BrokenProcessPool

    ask("its worker is killed", lambda key: failed(key, BrokenProcessPool("terminated")), answered)
    ask("it fails", lambda key: failed(key, ValueError("no")))
    ask("a training is not begun twice", silent, kind=ML_TASK_TYPE.LEARN)
    ask("every consumer dies", *[silent] * host_queue.MAX_ATTEMPTS)
    host_queue.MAX_WAIT = 2.5
    began = time.monotonic()
    ask("nobody takes it")
    found["waited"] = time.monotonic() - began
    host_queue.MAX_WAIT, host_queue.MAX_WAIT_AFTER_REFUSAL = 900.0, 1.0
    queue_notes.note_refusal(db, "its link leads elsewhere")
    ask("nobody takes it, and a consumer has refused to start")
    print("\n" + json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
