"""Two orchestrators on one PostgreSQL of this machine, beside one alone: what both reach together, and who has had the
processors meanwhile.

    python bench/orchestrators.py [--json] [--runs 4000] [--rounds 5] [--count 2] [--store postgresql://...]

Each orchestrator is a process of its own with a session on the same database, and drives runs of 10 no-op stages of
the same program, 200 in flight; the time is from when all are ready to when the last one has driven its share. One
alone drives as many as all of them do. Promised is 0.9 of what one alone reaches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import postgres
import throughput

WORKLOAD, STAGES_A_RUN, IN_FLIGHT = "chain", 10, 200
SHARE_MIN = 0.9
"""Of one alone, for all together."""


async def orchestrate(url: str, runs: int) -> None:
    """What one process does: says that it is ready, waits for a line, drives its runs, and says what that took."""
    from workloads import WORKLOADS

    from clew import open_session

    program = WORKLOADS[WORKLOAD]
    async with open_session(program, store=url) as session:

        async def one() -> None:
            result = await session.run(program)
            assert result.is_completed, result

        await one()  # imports and the program's registration are start-up
        print("ready", flush=True)
        sys.stdin.readline()
        before = resource.getrusage(resource.RUSAGE_SELF)
        await throughput.timed(one, runs, IN_FLIGHT)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(json.dumps({"processor_seconds": used}), flush=True)


def measure(server_url: str, count: int, runs: int) -> dict[str, float]:
    """So many orchestrators drive so many runs, each its share."""
    server = postgres.process_id_of(server_url)
    with postgres.database(server_url) as url:
        words = [sys.executable, __file__, "--one", url, str(runs // count)]
        processes = [
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(count)
        ]
        for process in processes:
            _expect(process, "ready")
        before = postgres.processor_seconds(server)
        begun = time.perf_counter()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        used = sum(json.loads(_expect(process, "{"))["processor_seconds"] for process in processes)
        seconds = time.perf_counter() - begun
        of_server = postgres.processor_seconds(server) - before
        for process in processes:
            process.communicate()
    return {"seconds": seconds, "processor_seconds": used, "server_processor_seconds": of_server}


def _expect(process: subprocess.Popen[str], beginning: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(beginning):
        sys.exit("an orchestrator ended before its time")
    return line


def summary(count: int, runs: int, found: list[dict[str, float]]) -> dict[str, Any]:
    seconds = sorted(each["seconds"] for each in found)
    median = statistics.median(seconds)
    clients = statistics.median(each["processor_seconds"] for each in found)
    server = statistics.median(each["server_processor_seconds"] for each in found)
    return {
        "orchestrators": count,
        "runs": runs,
        "stages_per_second": round(runs * STAGES_A_RUN / median),
        "range": [round(runs * STAGES_A_RUN / each) for each in reversed(seconds)],
        "processor_seconds": round(clients, 3),
        "server_processor_seconds": round(server, 3),
        "database_share": round(server / (server + clients), 3),
        "cores_busy": round((server + clients) / median, 2),
    }


def broken(rows: list[dict[str, Any]]) -> list[str]:
    """Which promise is not kept."""
    alone, together = rows
    share = together["stages_per_second"] / alone["stages_per_second"]
    if share >= SHARE_MIN:
        return []
    return [f"{together['orchestrators']} reach {share:.2f} of one alone, and {SHARE_MIN} is promised"]


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--runs", type=int, default=4_000)
    reader.add_argument("--rounds", type=int, default=5)
    reader.add_argument("--count", type=int, default=2)
    reader.add_argument("--store", help="the URL of a server of this machine, instead of one of its own")
    reader.add_argument("--one", nargs=2, metavar=("URL", "RUNS"), help=argparse.SUPPRESS)
    given = reader.parse_args()
    if given.one:
        asyncio.run(orchestrate(given.one[0], int(given.one[1])))
        return 0
    found: dict[int, list[dict[str, float]]] = {1: [], given.count: []}
    with ExitStack() as stack:
        where = given.store or stack.enter_context(postgres.server())
        for _ in range(given.rounds):
            for count, figures in found.items():
                figures.append(measure(where, count, given.runs))
    rows = [summary(count, given.runs, figures) for count, figures in found.items()]
    for row in rows:
        row["share_of_one"] = round(row["stages_per_second"] / rows[0]["stages_per_second"], 3)
        row["cores"] = os.cpu_count()
        print(json.dumps(row) if given.json else "  ".join(f"{key} {value}" for key, value in row.items()))
    for promise in broken(rows):
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
