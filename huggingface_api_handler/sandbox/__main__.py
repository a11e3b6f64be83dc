"""``python -m huggingface_api_handler.sandbox``: run a sandbox until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading

from .faults import BadFaults, Faults
from .server import Sandbox


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m huggingface_api_handler.sandbox",
        description="A local server with Hugging Face's Inference API and Hub, and fake models behind them.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8765, help="0 picks a free one (default %(default)s)")
    parser.add_argument("--faults", default="{}", metavar="JSON", help="what goes wrong, such as '{\"latency\": 0.05}'")
    parser.add_argument("--bad-token", action="append", default=[], metavar="TOKEN", help="a token that is refused")
    parser.add_argument("--private", action="append", default=[], metavar="ID", help="a model that needs a token")
    parser.add_argument("--gated", action="append", default=[], metavar="ID", help="a model that nobody may use")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input ends, too")
    given = parser.parse_args(arguments)
    try:
        faults = Faults.of(json.loads(given.faults))
    except (BadFaults, json.JSONDecodeError) as error:
        parser.error(f"--faults: {error}")
    sandbox = Sandbox(
        given.port,
        host=given.host,
        faults=faults,
        bad_tokens=given.bad_token,
        private=given.private,
        gated=given.gated,
    )
    try:
        sandbox.start()
    except OSError as error:
        print(f"Cannot listen on {given.host} port {given.port}: {error.strerror or error}.", file=sys.stderr)
        return 1
    with sandbox, contextlib.suppress(KeyboardInterrupt):
        print(
            f"Sandbox at {sandbox.hub_url} (fake models; Ctrl-C stops it)\n"
            f"  HUGGINGFACE_API_BASE_URL={sandbox.url}\n"
            f"  HF_ENDPOINT={sandbox.hub_url}",
            flush=True,
        )
        if given.until_stdin_ends:
            sys.stdin.read()
        else:
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
