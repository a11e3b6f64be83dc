"""Run llama.cpp's server, out of the package xllamacpp, until it is ended.

::

    python llama_server.py KIND MODEL PORT

``KIND`` is ``chat``, ``vectors`` or ``ranks``.
"""

from __future__ import annotations

import sys
import threading

import xllamacpp

if __name__ == "__main__":
    kind, model, port = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = int(port)
    # What is computed for a request does not depend on those before it, so that samples are the same each time.
    params.n_parallel = 1
    params.cache_prompt = False
    params.n_ctx = 8192
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.embedding = kind != "chat"
    if kind == "ranks":
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    threading.Event().wait()
