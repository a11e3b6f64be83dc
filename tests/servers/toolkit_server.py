"""Run huggingface-inference-toolkit, as its container does, until it is ended.

::

    python toolkit_server.py TASK MODEL PORT
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg
import uvicorn

if __name__ == "__main__":
    task, model, port = sys.argv[1:]
    os.environ |= {"HF_TASK": task, "HF_MODEL_DIR": model}
    with tempfile.TemporaryDirectory() as programs:
        # The pipelines of audio run ffmpeg, which the container has; PyPI's has the name of its version.
        Path(programs, "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        os.environ["PATH"] = os.pathsep.join((programs, os.environ["PATH"]))
        uvicorn.run("huggingface_inference_toolkit.webservice_starlette:app", host="127.0.0.1", port=int(port))
