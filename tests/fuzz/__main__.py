"""The long run: ``python -m tests.fuzz [SECONDS]``, guided by coverage where atheris can be installed.

What is found is written to ``tests/fuzz/found/``; put what is fixed into ``corpus/``, which the tests replay.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import resource
import sys
import time
import traceback
from pathlib import Path
from types import FunctionType
from typing import Any

from .seeds import good_answers
from .targets import TARGETS, run

PACKAGE = "huggingface_api_handler"
HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FOUND = HERE / "found"
#: Seconds that one input may take, and MiB that the process may grow to.
SLOW = 2.0
MOST_MEMORY = 1500


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _keep(data: bytes, why: str) -> None:
    FOUND.mkdir(exist_ok=True)
    path = FOUND / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    print(f"\n{path}: {why}", flush=True)


#: What services put where something else was expected.
_ODD: tuple[Any, ...] = (
    "",
    " ",
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    0.5,
    [],
    {},
    [[]],
    "NaN",
    "\ud800",
    "data:,x",
    "http://x/",
)


def _holders(value: Any) -> list[Any]:
    """Return the lists and objects in a JSON that hold something, itself first."""
    if not isinstance(value, (dict, list)):
        return []
    inner = list(value.values()) if isinstance(value, dict) else value
    return ([value] if value else []) + [one for part in inner for one in _holders(part)]


def _bent(random: random.Random, data: bytes) -> bytes | None:
    """Return ``data`` with one value of its JSON made odd, left out or doubled; ``None`` where it holds none.

    Changes of bytes mostly end what JSON is, long before a reader sees it.
    """
    start = min((at for at in (data.find(b"["), data.find(b"{")) if at >= 0), default=len(data))
    try:
        value = json.loads(data[start:])
        holders = _holders(value)
        if not holders:
            return None
        holder = random.choice(holders)
        place = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        kind = random.randrange(4)
        if kind == 0:
            del holder[place]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(place, holder[place])
        elif kind == 2:
            holder[place] = [holder[place]]
        else:
            holder[place] = random.choice(_ODD)
        return data[:start] + json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None


def _mutated(random: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with some bytes changed, cut, repeated or taken from another, or a value of its JSON made odd."""
    whole = random.choice(seeds)
    if random.random() < 0.4:
        for _ in range(random.randint(1, 3)):
            whole = _bent(random, whole) or whole
        return whole[:4096]
    data = bytearray(whole)
    for _ in range(random.randint(1, 8)):
        place = random.randint(0, len(data))
        kind = random.randrange(5)
        if kind == 0 and data:
            data[place % len(data)] = random.randrange(256)
        elif kind == 1:
            data[place:place] = random.randbytes(random.randint(1, 8))
        elif kind == 2:
            del data[place : place + random.randint(1, 8)]
        elif kind == 3:
            data[place:place] = data[place : place + random.randint(1, 32)] * random.randint(1, 4)
        else:
            other = random.choice(seeds)
            start = random.randint(0, len(other))
            data[place:place] = other[start : start + 32]
    if random.random() < 0.2:
        data = bytearray([random.randrange(len(TARGETS))]) + random.randbytes(random.choice((8, 64, 512)))
    return bytes(data[:4096])


def _plain(seconds: float) -> int:
    """Mutate the corpus without guidance; return how many inputs failed in a new way."""
    seeds = [*(path.read_bytes() for path in sorted(CORPUS.iterdir())), *good_answers().values()]
    chance = random.Random()
    until, runs = time.monotonic() + seconds, 0
    ways: set[tuple[str, ...]] = set()
    while time.monotonic() < until:
        data = _mutated(chance, seeds)
        began = time.monotonic()
        try:
            run(data)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            way = (type(error).__name__, *(f"{frame.filename}:{frame.lineno}" for frame in frames[-2:]))
            if way not in ways:
                ways.add(way)
                _keep(data, traceback.format_exc())
        took = time.monotonic() - began
        if took > SLOW:
            ways.add(("slow", str(data[:1])))
            _keep(data, f"took {took:.1f} seconds")
        runs += 1
    print(f"{runs} inputs in {seconds:.0f} seconds, {len(ways)} faults, at most {_memory():.0f} MiB")
    if _memory() > MOST_MEMORY:
        print(f"memory grew beyond {MOST_MEMORY} MiB")
        return 1
    return len(ways)


def _guided(seconds: float) -> None:
    import atheris

    # All that is imported, pandas and its like among it, would take minutes, and lead the search elsewhere.
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and (one.__module__ or "").startswith(PACKAGE):
            atheris.instrument_func(one)
    FOUND.mkdir(exist_ok=True)
    work = FOUND / "corpus"
    work.mkdir(exist_ok=True)
    for name, seed in good_answers().items():
        (work / f"answer-{name}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds:.0f}", f"-timeout={SLOW * 5:.0f}", f"-rss_limit_mb={MOST_MEMORY}", "-max_len=4096",
        f"-artifact_prefix={FOUND}/", "-print_final_stats=1", str(work), str(CORPUS),
    ]  # fmt: skip

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        bent = _bent(random.Random(seed), data) if seed % 2 else None
        return bent if bent is not None and len(bent) <= most else bytes(atheris.Mutate(data, most))

    atheris.Setup([sys.argv[0], *options], lambda data: run(data) and None, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1800.0
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("atheris is not installed: mutating without guidance")
        return 1 if _plain(seconds) else 0
    _guided(seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
