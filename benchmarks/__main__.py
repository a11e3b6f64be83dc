"""Measure this package beside others, on a service of this machine.

Prints medians and ratios and writes ``results.json`` and ``results.svg``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from . import cases, contenders, packing, plot
from .service import Service, running

OURS = "this package"
PACKAGES = ("huggingface_hub", "hugging-py-face", "requests", "mindsdb")


def _table(title: str, measured: dict[str, Any]) -> None:
    print(f"\n{title}")
    own = measured.get(OURS)
    for name, found in measured.items():
        if "cannot run" in found:
            print(f"  {name:38} does not get through: {found['cannot run']}")
            continue
        each = found["seconds"] / found["rows"]
        ratio = f"{each / (own['seconds'] / own['rows']):6.2f} × ours" if own else ""
        cpu = found["cpu_seconds"] / found["rows"] * 1e6
        print(f"  {name:38} {found['seconds']:8.3f} s for {found['rows']:6} rows {cpu:8.0f} µs CPU a row {ratio}")


def _one_by_one(service: Service, repeats: int) -> Any:
    found = cases.one_by_one(service, repeats)
    for name, measured in found.items():
        _table(f"One row a request, 50 ms each: {name}", measured)
    return found


def _in_lists(service: Service, repeats: int) -> Any:
    found = cases.in_lists(service, repeats)
    for name, measured in found.items():
        _table(f"2,000 rows in lists: {name}", measured)
    return found


def _bundled(service: Service, repeats: int) -> Any:
    found = cases.bundled(service)
    for name, measured in found.items():
        _table(f"The handler bundled with MindsDB, 50 ms + 5 ms an item, 8 slots, {name}", measured)
    return found


def _storm(service: Service, repeats: int) -> Any:
    found = cases.storm(service)
    print("\nA third of the requests goes wrong, in every way at once")
    for name, figures in found.items():
        met = ", ".join(f"{count} × {fault}" for fault, count in sorted(figures["faults"].items()))
        print(
            f"  {name:38} {figures['seconds']:8.1f} s for {figures['rows']:6} rows, all right;"
            f" {figures['requests']} requests, {figures['served twice']} rows answered twice"
        )
        print(f"    {met}")
    return found


def _own_cost(service: Service, repeats: int) -> Any:
    found = cases.own_cost(service, repeats)
    _table("CPU of our own: the service answers at once", found)
    return found


def _allowed_rate(service: Service, repeats: int) -> Any:
    found = cases.allowed_rate(service)
    print("\nA service that allows 50 requests a second")
    for name, figures in found.items():
        print(f"  {name:38} {figures['used']:8.1%} of it used {figures['refused']:8.2%} of the requests refused")
    return found


def _changing_rate(service: Service, repeats: int) -> Any:
    found = cases.changing_rate(service)
    print("\nThe same, with the limit at 50, after 15 s at 25, after 30 s at 50: let through in each second")
    through = found["let through by second"]
    for at in range(0, len(through), 15):
        print("  " + " ".join(f"{count:3}" for count in through[at : at + 15]))
    print(f"  {found['refused']:.2%} of the requests refused")
    return found


def _many_rows(service: Service, repeats: int) -> Any:
    found = cases.many_rows(service)
    print("\nMany rows, in lists")
    for name, figures in found.items():
        print(
            f"  {name:38} {figures['seconds'] / figures['rows'] * 1e6:8.0f} µs a row"
            f" {figures['cpu_seconds'] / figures['rows'] * 1e6:8.0f} µs CPU a row {figures['more_mib']:8.0f} MiB more"
        )
    return found


def _rows_per_request(service: Service, repeats: int) -> Any:
    print(f"\n{packing.ROWS:,} reviews for a language model that allows {packing.PER_MINUTE} requests a minute")
    found = {}
    for instruction, system in packing.INSTRUCTIONS.items():
        found[instruction] = {str(rows): packing.measure(rows, system) for rows in (1, 5, 20)}
        for rows, figures in found[instruction].items():
            print(
                f"  {instruction}, {rows:2} rows a request: {figures['requests']:6} requests,"
                f" {figures['input_tokens']:9,} input and {figures['output_tokens']:7,} output tokens,"
                f" {figures['seconds']:7.1f} s"
            )
    return found


CASES: dict[str, Callable[[Service, int], Any]] = {
    "one-by-one": _one_by_one,
    "in-lists": _in_lists,
    "bundled": _bundled,
    "storm": _storm,
    "own-cost": _own_cost,
    "many-rows": _many_rows,
    "allowed-rate": _allowed_rate,
    "changing-rate": _changing_rate,
    "rows-per-request": _rows_per_request,
}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _load() -> float | None:
    """Runnable processes, as a mean over the last minute: what else the machine was doing."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _draw(found: dict[str, Any]) -> str:
    groups = []
    for workers, measured in found.get("one-by-one", {}).items():
        if OURS in measured:
            title = f"1,000 rows one by one, 50 ms each, {workers}: seconds, shorter is better"
            groups.append(
                (title, "s", [(name, figures["seconds"], name == OURS) for name, figures in measured.items()])
            )
    for name, measured in found.get("in-lists", {}).items():
        best = min(figures["seconds"] for who, figures in measured.items() if who != OURS)
        shown = [(OURS, measured[OURS]["seconds"], True), ("best list size and workers", best, False)]
        groups.append((f"2,000 rows, {name}: seconds", "s", shown))
    return plot.bars(groups)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), help="the cases to run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each contender (3)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for results.json and .svg")
    arguments = parser.parse_args(argv)
    machine: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "packages": {name: _installed(name) for name in PACKAGES},
        "load": {"before": _load()},
        "date": time.strftime("%Y-%m-%d"),
    }
    print(f"Python {machine['python']}, {machine['cores']} cores; the service runs on the same ones.")
    print(f"Other load at the start: {machine['load']['before']}.")
    found: dict[str, Any] = {}
    with running() as service:
        few = cases.texts(3)
        contenders.ours(service, few)
        contenders.hub_async(service, few, 3)
        for name in arguments.only:
            found[name] = CASES[name](service, arguments.repeats)
            machine["load"][f"after {name}"] = _load()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.json"
    results.write_text(json.dumps({"machine": machine, "cases": found}, indent=1) + "\n")
    print(f"\nWritten: {results}")
    if {"one-by-one", "in-lists"} & set(found):
        picture = arguments.out / "results.svg"
        picture.write_text(_draw(found))
        print(f"Written: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
