"""Run a command, and end it with everything it started when nobody wants it any more.

::

    python guard.py COMMAND [ARGUMENT...]

The command gets a session, and so a process group, of its own: a Ctrl-C meant for whoever
asked for it does not reach it. The guard prints the command's process id and then reads its
own standard input. When that ends, since the asker closed it or is gone (a SIGKILL counts),
the whole group is told to stop, and after ``GRACE`` seconds made to. The guard's exit code is
the command's. It is run as a file by its path and needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

#: Seconds that processes have between being told to stop and being made to.
GRACE = 3.0


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _end(group: int, sign: signal.Signals, wait: float) -> bool:
    """Send ``sign`` to a process group; tell whether it was gone within ``wait`` seconds."""
    with contextlib.suppress(OSError):
        os.killpg(group, sign)
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
    """Let the command's orphans become our children, where Linux allows it, so that we see them end."""
    import ctypes

    set_child_subreaper = 36
    with contextlib.suppress(Exception):
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def main(command: list[str]) -> int:
    _adopt_orphans()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True)
    print(process.pid, flush=True)

    def wait_for_the_asker() -> None:
        while os.read(0, 1024):
            pass
        # The group's leader ends, and with it the wait below.
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(GRACE)
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)

    threading.Thread(target=wait_for_the_asker, daemon=True).start()
    code = process.wait()
    if not _end(process.pid, signal.SIGTERM, GRACE):
        _end(process.pid, signal.SIGKILL, GRACE)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
