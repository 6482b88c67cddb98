"""What 100,000 runs cost that wait, and how soon a killed `clew up` with 10,000 open runs goes on.

    python bench/waiting.py [--runs N] [--open N] [--seconds S] [--only data|retry|input] [--json]

They wait for data that is not there, with the default delay between two looks; for an attempt that is due in a month;
or for a person's input. Their store is made by an orchestrator in a process of its own. Then `clew up` takes all of
them up, and is watched while nothing happens: over whole looks, if there are enough seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from idle import family, memory_mb, processor_seconds

IDLE_SECONDS = {"data": 330.0, "retry": 60.0, "input": 60.0}
"""How long they are watched: those that look every five minutes for a whole look and more."""

MEMORY_MB_MAX = 500.0

PROCESSOR_PERCENT_MAX = 2.0
"""Of one core, while nothing happens."""

PROGRESS_SECONDS_MAX = 2.0
"""From the start of `clew up`, after kill -9 with 10,000 open runs, to the first new entry on record."""

QUIET_SECONDS = 2.0
QUIET_PERCENT_MAX = 25.0
"""All is taken up when so many seconds in a row took less than that of a core."""

HERE = Path(__file__).resolve().parent

DATA, RETRY, INPUT = "data", "retry", "input"

REST = """
  - {name: work, after: [take], execute: {command: shell, params: ["true"]}, rollback: none}
  - {name: give, after: [work], execute: {command: shell, params: ["true"]}, rollback: none}
"""

PROGRAMS = {
    DATA: r"""name: waits
variables: {region: east}
stages:
  - name: take
    dependencies:
      file: {bucket: "file:BUCKET", prefix: [{match: daily}, {match: "{region}-\\d+\\.csv$", type: regex}]}
    execute: {command: shell, params: [echo, "{region}"]}
    rollback: none"""
    + REST,
    RETRY: r"""name: waits
variables: {region: east}
stages:
  - name: take
    execute: {command: python, params: {function: "stages:fail"}}
    retry: {attempts: 5, delay: 30 days, maximum_delay: 30 days}
    rollback: none"""
    + REST,
    INPUT: r"""name: waits
variables: {region: east}
stages:
  - name: take
    dependencies:
      approval: {kind: input, schema: {type: boolean}}
    execute: {command: shell, params: [echo, "{region}"]}
    rollback: none"""
    + REST,
}

STAGES = "def fail():\n    raise RuntimeError('on purpose')\n"

SETTLED = "('completed', 'failed', 'rolled_back', 'missed', 'skipped')"


def write_program(folder: Path, what: str) -> None:
    (folder / "programs").mkdir()
    (folder / "bucket" / "daily").mkdir(parents=True)
    (folder / "programs" / "waits.yaml").write_text(PROGRAMS[what].replace("BUCKET", str(folder / "bucket")))
    (folder / "programs" / "stages.py").write_text(STAGES)


# ---- making a store full of runs that wait, in a process of its own ---------------------------------------

MADE_AT_ONCE = 1_000


async def make(count: int) -> dict[str, float]:
    """So many runs of the program in this folder, each as far as it goes; what the process costs by then."""
    from clew.orchestrator.driven_run import Origin
    from clew.settings import read_settings
    from clew.wiring import load_program, open_orchestrator, seal

    sys.path.insert(0, "programs")
    import stages

    loaded = load_program("programs/waits.yaml", folder=os.getcwd())
    sealed = seal(loaded.program)
    begun = time.monotonic()
    functions = {"stages:fail": stages.fail}
    settings = read_settings(folder=os.getcwd(), environment={})
    async with open_orchestrator(settings, functions=functions) as orchestrator:
        runs: list[Any] = []
        for first in range(0, count, MADE_AT_ONCE):
            for _ in range(first, min(first + MADE_AT_ONCE, count)):
                values = dict(loaded.program.variables)
                runs.append(
                    orchestrator.create(sealed, values, requested_by="bench", origin=Origin(loaded.folder))
                )
            while not all(_waits(run) for run in runs[first:]):
                orchestrator.check()
                await asyncio.sleep(0.005)
        del runs
        seconds = time.monotonic() - begun
        memory = memory_mb(family(os.getpid()))
        return {"seconds": round(seconds, 2), "memory_mb": round(memory, 1)}


def _waits(run: Any) -> bool:
    """It has begun what it is to wait in, and all of that is on record."""
    stage = run.state.stages["take"]
    return not run.entries and (stage.status == "waiting" or stage.retry_at > 0)


def made(folder: Path, what: str, count: int) -> dict[str, float]:
    write_program(folder, what)
    words = [sys.executable, __file__, "--make", str(count)]
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


# ---- `clew up` on it -------------------------------------------------------------------------------------


class Watched:
    """A `clew up` in the folder, and what it has on record."""

    def __init__(self, folder: Path) -> None:
        store = sqlite3.connect(f"file:{folder}/.clew/clew.db?mode=ro", uri=True, isolation_level=None)
        self._execute = store.execute
        self._entries_before = self.entry_count()
        self._taken_before = self._largest_epoch()
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew", "up", "programs"],
            cwd=folder,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def entry_count(self) -> int:
        return int(self._execute("SELECT total(entry_count) FROM runs").fetchone()[0])

    def _largest_epoch(self) -> int:
        return int(self._execute("SELECT max(epoch) FROM runs").fetchone()[0])

    def first_entry_seconds(self) -> float:
        """Until there is a first new entry."""
        while self.entry_count() == self._entries_before:
            self._check()
            time.sleep(0.01)
        return time.monotonic() - self.begun

    def taken_up_seconds(self) -> float:
        """Until all open runs are taken up, and nothing more is done."""
        query = f"SELECT count(*) FROM runs WHERE epoch <= ? AND status NOT IN {SETTLED}"
        while self._execute(query, (self._taken_before,)).fetchone()[0]:
            self._check()
            time.sleep(0.2)
        while True:
            before = processor_seconds(family(self.process.pid))
            ended = time.monotonic()
            time.sleep(QUIET_SECONDS)
            self._check()
            used = processor_seconds(family(self.process.pid)) - before
            if 100 * used / QUIET_SECONDS < QUIET_PERCENT_MAX:
                return ended - self.begun

    def _check(self) -> None:
        if self.process.poll() is not None:
            raise SystemExit("clew up has ended")

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=120)


def measure(what: str, count: int, seconds: float) -> dict[str, Any]:
    """All of them in one `clew up`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        making = made(folder, what, count)
        up = Watched(folder)
        taken_up_seconds = up.taken_up_seconds()
        pids = family(up.process.pid)
        before, begun = processor_seconds(pids), time.monotonic()
        time.sleep(seconds)
        used = processor_seconds(pids) - before
        percent = 100 * used / (time.monotonic() - begun)
        memory = memory_mb(pids)
        up.end(signal.SIGKILL)
    return {
        "what": what,
        "runs": count,
        "made_seconds": making["seconds"],
        "made_memory_mb": making["memory_mb"],
        "taken_up_seconds": round(taken_up_seconds, 2),
        "memory_mb": round(memory, 1),
        "seconds": seconds,
        "processor_percent": round(percent, 3),
    }


def measure_restart(what: str, count: int) -> dict[str, Any]:
    """A `clew up` killed with so many open runs, and started again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, what, count)
        victim = Watched(folder)
        victim.taken_up_seconds()
        victim.end(signal.SIGKILL)
        again = Watched(folder)
        first_entry_seconds = again.first_entry_seconds()
        taken_up_seconds = again.taken_up_seconds()
        again.end(signal.SIGKILL)
    return {
        "what": f"restart, {what}",
        "runs": count,
        "first_entry_seconds": round(first_entry_seconds, 2),
        "taken_up_seconds": round(taken_up_seconds, 2),
    }


def broken(figure: dict[str, Any]) -> list[str]:
    """Which promises are not kept."""
    promised = {
        "memory_mb": MEMORY_MB_MAX,
        "processor_percent": PROCESSOR_PERCENT_MAX,
        "first_entry_seconds": PROGRESS_SECONDS_MAX,
    }
    return [
        f"{figure['what']}: {name} is {figure[name]}, and less than {limit} is promised"
        for name, limit in promised.items()
        if figure.get(name, 0) >= limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument(
        "--open", type=int, default=10_000, help="runs that are open when it is killed; 0: not at all"
    )
    parser.add_argument("--seconds", type=float, help="how long they are watched")
    parser.add_argument("--only", choices=PROGRAMS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        sys.stdout.write(json.dumps(asyncio.run(make(given.make))))
        return 0
    is_kept = True
    for what in (given.only,) if given.only else PROGRAMS:
        figures = [measure(what, given.runs, given.seconds or IDLE_SECONDS[what])] if given.runs else []
        figures += [measure_restart(what, given.open)] if given.open else []
        for one in figures:
            told = (
                json.dumps(one) if given.json else "  ".join(f"{key} {value}" for key, value in one.items())
            )
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()
            for promise in broken(one):
                is_kept = False
                sys.stderr.write(f"broken: {promise}\n")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
