"""The worker process in which MindsDB runs the handler."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: Raises KeyboardInterrupt in a worker. Not SIGINT, which is ignored in what a shell script starts with ``&``.
_STOP = signal.SIGUSR1


def exit_with_parent(interval: float = 1.0, grace: float = 60.0) -> None:
    """End this worker when its parent process is gone; a second call does nothing.

    A worker of a pool waits for its parent for ever, although nobody reads its results any more. With its parent gone,
    it sends no further request, and waits for responses under way, so that they are cached.

    Args:
        interval: seconds between two checks.
        grace: maximum seconds to wait for responses under way.
    """
    global _watching_pid
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None or _watching_pid == os.getpid() or os.getppid() != parent.pid:
        return
    _watching_pid = os.getpid()
    expected, worker = parent.pid, None
    if threading.current_thread() is threading.main_thread():  # elsewhere no handler can be set
        signal.signal(_STOP, signal.default_int_handler)
        worker = threading.get_ident()

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(interval)
        until = time.monotonic() + grace
        if _busy.is_set() and worker is not None:
            signal.pthread_kill(worker, _STOP)
        while _busy.is_set() and time.monotonic() < until:
            time.sleep(0.05)
        os._exit(1)

    threading.Thread(target=watch, name="huggingface-parent", daemon=True).start()


@contextmanager
def busy() -> Iterator[None]:
    """Mark this process as busy while the block runs, so that ``exit_with_parent`` waits for the end of the block."""
    _busy.set()
    try:
        yield
    finally:
        _busy.clear()


_busy = threading.Event()
_watching_pid = 0
