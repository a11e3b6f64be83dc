"""Install servers in environments of their own, make their models, and run them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.servers.case import HERE, Server


def installed(server: Server, folder: Path) -> Path:
    """Make the server's environment and models, unless they are there, and return the environment's ``bin``."""
    venv = folder / server.environment
    stamp = venv / ".installed"
    if not stamp.exists() or stamp.read_text() != repr(server.packages):
        print(f"Installing {' '.join(server.packages)} into {venv}.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *server.packages], check=True)
        if server.unwanted:
            subprocess.run([*pip[:3], "uninstall", "--quiet", "--yes", *server.unwanted], check=True)
        if server.source:  # its packages are those above: its own list may need more than an index
            subprocess.run([*pip, "--no-deps", Path(os.environ[server.source]).resolve()], check=True)
        stamp.write_text(repr(server.packages))
    if not server.maker:
        return venv / "bin"
    maker = HERE / server.maker
    models = models_of(server, folder)
    models.mkdir(parents=True, exist_ok=True)
    missing = [name for name in server.models if not (models / name).exists()]
    if missing:
        subprocess.run(
            [venv / "bin" / "python", maker, models, *missing], check=True, env=closed(), stderr=subprocess.DEVNULL
        )
    return venv / "bin"


def models_of(server: Server, folder: Path) -> Path:
    """Return the folder of a server's models.

    It is another one when the script that makes them has changed, and for servers of other environments, whose
    libraries may not read each other's models.
    """
    made = (HERE / server.maker).read_bytes() if server.maker else b""
    return folder / "models" / f"{server.environment}-{hashlib.sha256(made).hexdigest()[:8]}"


def closed() -> dict[str, str]:
    """Return an environment in which nothing asks a hub, or counts who uses it."""
    kept = {name: value for name, value in os.environ.items() if "TOKEN" not in name and not name.startswith("HF_")}
    return {
        **kept, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0", "OMP_NUM_THREADS": "1",
        "OPENAI_API_KEY": "none", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
    }  # fmt: skip


def versions(server: Server, folder: Path) -> dict[str, str]:
    """Return the versions of the packages that the results tell."""
    script = "import sys, json, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    python = installed(server, folder) / "python"
    found = subprocess.run([python, "-c", script, *server.told], check=True, capture_output=True, text=True)
    told: dict[str, str] = json.loads(found.stdout)
    return {name: version.partition("+")[0] for name, version in told.items()}  # 2.13.0+cpu is 2.13.0


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def running(server: Server, folder: Path, port: int | None = None, behind: str = "") -> Iterator[str]:
    """Run a server, at a port of its own unless one is given, and give its URL.

    Args:
        behind: the URL of the server behind it.
    """
    port = port or free_port()
    programs, models = installed(server, folder), models_of(server, folder)
    program, *arguments = [one.format(port=port, here=HERE, models=models, behind=behind) for one in server.command]
    url = f"http://127.0.0.1:{port}"
    with (folder / f"{server.name}.log").open("w") as log:
        process = subprocess.Popen(
            [programs / program, *arguments],
            stdout=log,
            stderr=log,
            env=closed(),
            cwd=models if server.models else folder,
        )
        try:
            wait(process, f"{url}/health")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait(process: subprocess.Popen[bytes], url: str, patience: float = 300) -> None:
    """Wait until a server answers."""
    ends = time.monotonic() + patience
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < ends and process.poll() is None:
        try:
            direct.open(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if error.code != 503:  # llama.cpp while it loads
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"{url} did not come up: see the logs beside the models")
