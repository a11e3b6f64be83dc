"""The long run: ``python -m tests.fuzz [SECONDS]``, guided by coverage where atheris can be installed.

What is found is written to ``tests/fuzz/found/``; put what is mended into ``corpus/``, which the tests replay.
"""

from __future__ import annotations

import hashlib
import random
import resource
import sys
import time
import traceback
from pathlib import Path

from .seeds import good_answers
from .targets import TARGETS, run

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


def _mutated(random: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with some bytes changed, cut, repeated or taken from another."""
    data = bytearray(random.choice(seeds))
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

    atheris.instrument_all()
    FOUND.mkdir(exist_ok=True)
    work = FOUND / "corpus"
    work.mkdir(exist_ok=True)
    for name, seed in good_answers().items():
        (work / f"answer-{name}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds:.0f}", f"-timeout={SLOW * 5:.0f}", f"-rss_limit_mb={MOST_MEMORY}", "-max_len=4096",
        f"-artifact_prefix={FOUND}/", "-print_final_stats=1", str(work), str(CORPUS),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], lambda data: run(data) and None)
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
