"""What `clew up` costs that has nothing to do: processor time and memory with 1,000 programs that are not due.

`python bench/idle.py [--programs 1000] [--seconds 60] [--json]`. Beside it stands a bare event loop, which is what any
program of this kind costs at the least.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROCESSOR_PERCENT_MAX = 1.0
"""Of one core, while nothing is due."""

MEMORY_MB_MAX = 150.0

BARE = "import asyncio\nprint('ready', flush=True)\nasyncio.run(asyncio.sleep(100_000))"

TICKS = os.sysconf("SC_CLK_TCK")
SETTLING_SECONDS = 2.0
"""What is left to do right after the start is no idleness."""


def write_programs(folder: Path, count: int) -> None:
    """Programs of three stages that are due on the first of January, each at another minute."""
    for number in range(count):
        minute, hour = number % 60, number // 60 % 24
        (folder / f"program-{number:04}.yaml").write_text(
            f"""name: program-{number:04}
cadence: ["{minute} {hour} 1 1 *"]
backfill: 2 hours
variables: {{region: east}}
stages:
  - name: take
    dependencies:
      file: {{bucket: "file:/nowhere", prefix: [{{match: daily}}, {{match: '\\d+\\.csv$', type: regex}}]}}
    execute: {{command: shell, params: [echo, "{{region}}"]}}
    rollback: none
  - {{name: work, after: [take], execute: {{command: shell, params: ["true"]}}, rollback: none}}
  - {{name: give, after: [work], execute: {{command: shell, params: ["true"]}}, rollback: none}}
"""
        )


@contextmanager
def started(words: list[str], ready: str, folder: Path) -> Iterator[tuple[int, float]]:
    """The process' id, and the seconds until it said that it is ready."""
    begun = time.monotonic()
    process = subprocess.Popen(words, cwd=folder, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if ready in line:
                break
        else:
            raise SystemExit(f"{words} ended before it was ready")
        yield process.pid, time.monotonic() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def family(pid: int) -> list[int]:
    """The process and all that it has begun."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def processor_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mb(pids: list[int]) -> float:
    """Resident, what they share counted once each."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def watched(words: list[str], ready: str, folder: Path, seconds: float) -> dict[str, float]:
    """What the process costs in so many seconds in which nothing happens."""
    with started(words, ready, folder) as (pid, ready_seconds):
        time.sleep(SETTLING_SECONDS)
        pids = family(pid)
        before = processor_seconds(pids)
        time.sleep(seconds)
        used = processor_seconds(pids) - before
        return {
            "ready_seconds": round(ready_seconds, 2),
            "processor_percent": round(100 * used / seconds, 3),
            "memory_mb": round(memory_mb(pids), 1),
        }


def measure(count: int, seconds: float) -> list[dict[str, Any]]:
    """The first start on a fresh store, the second one on the same, and a bare event loop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "programs").mkdir()
        write_programs(folder / "programs", count)
        up = [sys.executable, "-m", "clew", "up", "programs"]
        first = watched(up, "programs live", folder, 1.0)
        second = watched(up, "programs live", folder, seconds)
        bare = watched([sys.executable, "-c", BARE], "ready", folder, min(seconds, 5.0))
    return [
        {"what": "first start", "programs": count, "ready_seconds": first["ready_seconds"]},
        {"what": "idle", "programs": count, "seconds": seconds, **second},
        {"what": "bare loop", **bare},
    ]


def broken(figures: list[dict[str, Any]]) -> list[str]:
    """Which promises are not kept."""
    idle = next(one for one in figures if one["what"] == "idle")
    found = []
    if idle["processor_percent"] >= PROCESSOR_PERCENT_MAX:
        found.append(
            f"{idle['processor_percent']} % of a core, and less than {PROCESSOR_PERCENT_MAX} % is promised"
        )
    if idle["memory_mb"] >= MEMORY_MB_MAX:
        found.append(f"{idle['memory_mb']} MB, and less than {MEMORY_MB_MAX} MB are promised")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.programs, given.seconds)
    for one in figures:
        told = json.dumps(one) if given.json else "  ".join(f"{key} {value}" for key, value in one.items())
        sys.stdout.write(f"{told}\n")
    for promise in broken(figures):
        sys.stderr.write(f"broken: {promise}\n")
    return 1 if broken(figures) else 0


if __name__ == "__main__":
    sys.exit(main())
