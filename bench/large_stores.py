"""What a store that has grown costs: throughput and memory after a million stored stages, beside an empty store's.

    python bench/large_stores.py [--json] [--stages 1000000] [--rounds 5] [--store sqlite|postgresql|postgresql://...]

Each store is filled by runs of 10 stages that clew itself drives, 200 in flight, in one process: so its rows, its
indexes and its gaps are those of a store that has been used, and what that process weighs at its end says whether
it has grown with what it did. Then 2,000 more runs are driven on the full store and on an empty one, by turns, each
time in a process of its own. Promised are 0.9 of the throughput and 1.1 times the memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import throughput

WORKLOAD, STAGES_A_RUN, IN_FLIGHT = "chain", 10, 200
RUNS = 2_000
"""Of a measurement, and those after which the process that fills is weighed first."""

THROUGHPUT_SHARE_MIN = 0.9
MEMORY_SHARE_MAX = 1.1


def memory_mb() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def fill(place: str, runs: int) -> dict[str, float]:
    """Drive so many runs on the store there; how fast the first and the last were, and what the process weighed."""
    from workloads import WORKLOADS

    from clew import open_session

    program = WORKLOADS[WORKLOAD]
    async with open_session(program, store=place if "://" in place else f"sqlite:///{place}") as session:

        async def one() -> None:
            result = await session.run(program)
            assert result.is_completed, result

        await one()
        figures: dict[str, float] = {}
        begun = time.perf_counter()
        first = min(RUNS, runs)
        figures["first_seconds"] = await throughput.timed(one, first, IN_FLIGHT)
        figures["memory_mb_first"] = memory_mb()
        between = max(0, runs - 2 * first)
        if between:
            await throughput.timed(one, between, IN_FLIGHT)
        figures["last_seconds"] = await throughput.timed(one, first, IN_FLIGHT)
        figures["memory_mb_last"] = memory_mb()
        figures["seconds"] = time.perf_counter() - begun
        return figures


async def drive(place: str, runs: int) -> dict[str, float]:
    """One measurement on the store there."""
    figures = await throughput.clew_engine(place, WORKLOAD, runs, IN_FLIGHT)
    return {**figures, "memory_mb": memory_mb()}


WORK = {"fill": fill, "drive": drive}


def apart(work: str, place: str, runs: int) -> dict[str, float]:
    """That work, in a process of its own."""
    words = [sys.executable, __file__, "--one", work, place, str(runs)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def measure(store: str, where: str, stages: int, rounds: int, runs: int = RUNS) -> dict[str, Any]:
    """The figures of one store. `where`: see `throughput.new_place`."""
    with throughput.new_place(where) as full:
        filling = apart("fill", full, stages // STAGES_A_RUN)
        size = Path(full).stat().st_size if "://" not in full else throughput.postgres.size(full)
        found: dict[str, list[dict[str, float]]] = {"empty": [], "full": []}
        for _ in range(rounds):
            with throughput.new_place(where) as empty:
                found["empty"].append(apart("drive", empty, runs))
            found["full"].append(apart("drive", full, runs))
    rates = {
        name: [runs * STAGES_A_RUN / each["seconds"] for each in figures] for name, figures in found.items()
    }
    speeds = {name: statistics.median(each) for name, each in rates.items()}
    memory = {
        name: statistics.median(each["memory_mb"] for each in figures) for name, figures in found.items()
    }
    return {
        "store": store,
        "stored_stages": stages,
        "stored_megabytes": round(size / 2**20),
        "fill_seconds": round(filling["seconds"], 1),
        "fill_last_by_first": round(filling["first_seconds"] / filling["last_seconds"], 3),
        "fill_memory_mb": [round(filling["memory_mb_first"], 1), round(filling["memory_mb_last"], 1)],
        "fill_memory_share": round(filling["memory_mb_last"] / filling["memory_mb_first"], 3),
        "stages_per_second": {name: round(each) for name, each in speeds.items()},
        "range": {name: [round(min(each)), round(max(each))] for name, each in rates.items()},
        "throughput_share": round(speeds["full"] / speeds["empty"], 3),
        "memory_mb": {name: round(each, 1) for name, each in memory.items()},
        "memory_share": round(memory["full"] / memory["empty"], 3),
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """Which promises are not kept on that store."""
    store, found, share = figures["store"], [], figures["throughput_share"]
    if share < THROUGHPUT_SHARE_MIN:
        found.append(
            f"{store}: {share} of an empty store's throughput, and {THROUGHPUT_SHARE_MIN} is promised"
        )
    for name in ("memory_share", "fill_memory_share"):
        if figures[name] > MEMORY_SHARE_MAX:
            found.append(f"{store}: {name} {figures[name]}, and no more than {MEMORY_SHARE_MAX} is promised")
    return found


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--stages", type=int, default=1_000_000)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--store", help="only this one: sqlite, postgresql, or the URL of a server")
    reader.add_argument("--one", nargs=3, metavar=("WORK", "PLACE", "RUNS"), help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.one:
        work, place, runs = given.one
        print(json.dumps(asyncio.run(WORK[work](place, int(runs)))))
        return 0
    promises: list[str] = []
    with ExitStack() as stack:
        for store, where in throughput.places(given.store, stack).items():
            figures = measure(store, where, given.stages, given.rounds)
            told = "  ".join(f"{key} {value}" for key, value in figures.items())
            print(json.dumps(figures) if given.json else told, flush=True)
            promises += broken(figures)
    for promise in promises:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if promises else 0


if __name__ == "__main__":
    sys.exit(main())
