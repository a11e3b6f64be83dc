"""``python -m huggingface_api_handler.sandbox.serve``: run a MindsDB with the sandbox beside it until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time

from .mindsdb_server import HOST, MindsDBServer, ServerFailed, is_taken, service_environment, stop_on_signals, taken


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m huggingface_api_handler.sandbox.serve",
        description="Run a MindsDB server with the sandbox beside it until Ctrl-C. "
        "With HF_TOKEN set, it uses Hugging Face instead of the sandbox.",
    )
    parser.add_argument("--http-port", type=int, default=47334, help="0 picks a free one (default %(default)s)")
    parser.add_argument("--mysql-port", type=int, default=47335, help="0 picks a free one (default %(default)s)")
    parser.add_argument("--sandbox-port", type=int, default=8765, help="0 picks a free one (default %(default)s)")
    parser.add_argument("--storage", help="folder for models and engines (default: a temporary one)")
    parser.add_argument("--folder", help="the folder that relative paths in SQL start from (default: the storage)")
    given = parser.parse_args(arguments)

    for port in filter(None, (given.http_port, given.mysql_port, given.sandbox_port)):
        if is_taken(port):
            print(taken(port), file=sys.stderr)
            return 1
    # The stack is closed after the signals are ignored: a second Ctrl-C does not interrupt the clean-up.
    with contextlib.ExitStack() as stack:
        try:
            with stop_on_signals():
                return _serve(stack, given)
        except KeyboardInterrupt:
            print("\nStopping.", flush=True)
            return 0
        except ServerFailed as error:
            print(error, file=sys.stderr)
            return 1


def _serve(stack: contextlib.ExitStack, given: argparse.Namespace) -> int:
    environ: dict[str, str | None] = {}
    service = "https://huggingface.co, with your HF_TOKEN"
    if not os.environ.get("HF_TOKEN"):
        from . import Sandbox

        sandbox = stack.enter_context(Sandbox(port=given.sandbox_port))
        environ = service_environment(sandbox.url, sandbox.hub_url)
        service = f"the sandbox at {sandbox.url} (fake models; set HF_TOKEN for the real service)"
    server = MindsDBServer(
        given.storage,
        folder=given.folder,
        environ=environ,
        http_port=given.http_port,
        mysql_port=given.mysql_port,
        jobs=True,
    )
    stack.callback(server.stop)
    print("Starting MindsDB, which takes about half a minute.", flush=True)
    server.start()
    print(
        f"""
MindsDB answers; Hugging Face is {service}.

  HTTP    POST {server.url}/api/sql/query   {{"query": "SHOW ML_ENGINES"}}
  MySQL   mysql -h {HOST} -P {server.mysql_port} -u mindsdb mindsdb
  log     {server.log}
  shell   export MINDSDB_STORAGE_DIR={server.storage}    (for watch, stop and cache)

  CREATE ML_ENGINE hf FROM huggingface_api;
  CREATE MODEL sentiment PREDICT label USING engine = 'hf', task = 'text-classification', input_column = 'text';
  SELECT label FROM sentiment WHERE text = 'I like you. I love you.';

Ctrl-C stops everything.""",
        flush=True,
    )
    while server.is_running:
        time.sleep(0.5)
    raise ServerFailed("MindsDB has ended by itself. The end of its log:\n" + server.log_text()[-3000:])


if __name__ == "__main__":
    sys.exit(main())
