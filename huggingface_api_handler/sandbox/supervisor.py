"""Run a command, and end it with everything it started as soon as its parent no longer needs it.

::

    python supervisor.py COMMAND [ARGUMENT...]

The command gets a session, and so a process group, of its own: a Ctrl-C for the parent does not reach it. The
supervisor prints the command's process id and then reads its own standard input. When that ends, because the parent
closed it or is gone (a SIGKILL counts), the supervisor sends SIGTERM to the whole group, and SIGKILL ``GRACE``
seconds later. Its exit code is the command's. It runs as a file by its path and needs the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

#: Seconds between SIGTERM and SIGKILL.
GRACE = 3.0


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _end(group: int, number: signal.Signals, wait: float) -> bool:
    """Send a signal to a process group; return whether the group was gone within ``wait`` seconds."""
    with contextlib.suppress(OSError):
        os.killpg(group, number)
    until = time.monotonic() + wait
    while _is_alive(group):
        if time.monotonic() > until:
            return False
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)
    return True


def _adopt_orphans() -> None:
    """Make the command's orphans our children, if Linux allows it, so that we see them end."""
    import ctypes

    set_child_subreaper = 36
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def main(command: list[str]) -> int:
    _adopt_orphans()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    print(process.pid, flush=True)

    def wait_for_the_parent() -> None:
        while os.read(0, 1024):
            pass
        # The leader of the group ends, and with it the wait below.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(GRACE)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)

    threading.Thread(target=wait_for_the_parent, daemon=True).start()
    code = process.wait()
    if not _end(process.pid, signal.SIGTERM, GRACE):
        _end(process.pid, signal.SIGKILL, GRACE)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
