"""The examples of how to run the queue name what there is, and agree with each other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

QUEUE = Path(__file__).parents[2] / "examples" / "queue"


def test_server_and_consumer_are_set_up_alike() -> None:
    services = yaml.safe_load((QUEUE / "compose.yaml").read_text())["services"]
    server, consumer = services["server"], services["consumer"]
    for name in ("image", "environment", "volumes", "restart"):
        assert server[name] == consumer[name]
    assert server["environment"]["MINDSDB_ML_QUEUE_HOST"] in services
    config = json.loads((QUEUE / "config.json").read_text())
    assert config["cache"]["type"] == "redis"
    assert config["cache"]["connection"]["host"] in services
    # Queue and answers in databases of their own.
    assert str(config["cache"]["connection"]["db"]) != server["environment"]["MINDSDB_ML_QUEUE_DB"]


def test_the_commands_exist() -> None:
    compose = yaml.safe_load((QUEUE / "compose.yaml").read_text())["services"]["consumer"]["command"]
    unit = re.search(r"^ExecStart=\S+/python (.*)$", (QUEUE / "mindsdb-consumer@.service").read_text(), re.MULTILINE)
    assert unit is not None
    assert compose == f"python {unit[1]}"
    shown = subprocess.run(
        [sys.executable, "-m", "huggingface_api_handler", "consumer", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in re.findall(r"--\w+", compose):
        assert option in shown
