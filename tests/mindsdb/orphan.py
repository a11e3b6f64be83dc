"""A pool's worker at work, whose parent is killed.

    python -m tests.mindsdb.orphan FILE

Prints the worker's process id; the worker writes to FILE how it ended.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def work(file: str) -> None:
    from mindsdb.integrations.handlers.huggingface_api_handler.host import worker

    worker.exit_with_parent(interval=0.1)
    with worker.busy():
        print(os.getpid(), flush=True)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.3)  # what is on its way comes in
            Path(file).write_text("in good order")
            raise


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        pool.submit(work, sys.argv[1]).result()
