"""Run the gallery on a MindsDB of its own with the sandbox, and write the outputs into the notebook.

    python examples/run_gallery.py [--pictures FOLDER]

``--pictures`` writes its pictures as PNG files too. It needs the extra ``gallery``.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOK = HERE / "gallery.ipynb"


def read() -> Any:
    """Return the notebook as it is stored."""
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def execute(notebook: Any, mysql_port: int, *, timeout: float = 300) -> None:
    """Run all cells of a notebook on the MindsDB at a port of this machine; its outputs are replaced.

    Args:
        timeout: seconds that one cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    # Makes its list of fonts when it is first imported, and says so: here, and not in the notebook.
    import matplotlib.font_manager  # noqa: F401
    from nbclient import NotebookClient

    environ = {**os.environ, "MINDSDB_HOST": "127.0.0.1", "MINDSDB_PORT": str(mysql_port)}
    environ.pop("MPLBACKEND", None)
    with tempfile.TemporaryDirectory(prefix="gallery-") as folder:
        environ["IPYTHONDIR"] = folder
        # Sockets in a folder of our own, which nobody else on this machine can read.
        client = NotebookClient(notebook, timeout=int(timeout), resources={"metadata": {"path": str(HERE)}})
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.connection_file = "ipc", f"{folder}/kernel.json"
        client.execute(env=environ)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def pictures(notebook: Any) -> Iterator[bytes]:
    """Yield the notebook's pictures as PNG."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode(output.data["image/png"])


def main(arguments: list[str] | None = None) -> int:
    import nbformat
    from make_shop import build

    from huggingface_api_handler.sandbox import Sandbox
    from huggingface_api_handler.sandbox.mindsdb_server import MindsDBServer, service_environment

    parser = argparse.ArgumentParser(description="Run examples/gallery.ipynb and write its outputs into it.")
    parser.add_argument("--pictures", type=Path, help="a folder for the pictures as PNG files")
    given = parser.parse_args(arguments)

    notebook = read()
    with Sandbox() as sandbox, MindsDBServer(environ=service_environment(sandbox.url, sandbox.hub_url)) as server:
        build(server.storage / "shop.duckdb")
        execute(notebook, server.mysql_port)
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]
    found = list(pictures(notebook))
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(found, start=1):
            (given.pictures / f"{number}.png").write_bytes(picture)
    print(f"{NOTEBOOK.name}: {len(found)} pictures, {NOTEBOOK.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
