"""How soon a killed run goes on: from `clew resume` after kill -9 to the next new stage, no lease waited out.

    python bench/recovery.py [--json] [--rounds N]

A run of three stages in processes of this machine. Its orchestrator is killed while the second one is under
way, and `clew resume` is started in that moment: it has to wait until the cut-off attempt has ended, takes the
run up, makes that attempt again, and begins the third stage. The stages note the moments themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS_MAX = 0.6
"""What is promised from the restart to the next new stage."""

STAGES = '''
import os, signal, time

def note(folder, waits=False):
    """One line: the stage, its attempt, when. At the first attempt of one that waits, tell so and wait."""
    stage, attempt = os.environ["CLEW_STAGE"], os.environ["CLEW_ATTEMPT"]
    with open(os.path.join(folder, "notes"), "a") as notes:
        notes.write(f"{stage} {attempt} {time.monotonic_ns()}\\n")
    if waits and attempt == "1":
        open(os.path.join(folder, "under-way"), "w").close()
        signal.pause()
'''


def program(folder: str) -> dict[str, object]:
    """Three stages, one after another; the second waits to be killed."""
    stages = []
    for number, name in enumerate(("first", "second", "third")):
        given = {"folder": folder, "waits": name == "second"}
        execute = {"command": "python", "params": {"function": "stages:note", "with": given}}
        before = [stages[-1]["name"]] if number else []
        stages.append({"name": name, "execute": execute, "after": before, "rollback": "none"})
    return {"name": "recovery", "stages": stages}


def measure() -> dict[str, float]:
    """One kill and one resume; the seconds from the resume's start."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stages.py").write_text(STAGES)
        Path(folder, "recovery.json").write_text(json.dumps(program(folder)))
        under_way = Path(folder, "under-way")
        os.mkfifo(under_way)
        clew = [sys.executable, "-m", "clew"]
        victim = subprocess.Popen([*clew, "run", "recovery.json", "--quiet"], cwd=folder)
        under_way.read_bytes()
        victim.kill()
        victim.wait()
        started_at = time.monotonic_ns()
        subprocess.run(
            [*clew, "resume", "--quiet"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        ended_at = time.monotonic_ns()
        moments = {"ended": ended_at}
        for line in Path(folder, "notes").read_text().splitlines():
            stage, attempt, at = line.split()
            moments[f"{stage} {attempt}"] = int(at)
    return {
        name: (moments[key] - started_at) / 1e9
        for name, key in (
            ("attempt_made_again", "second 2"),
            ("next_new_stage", "third 1"),
            ("run_completed", "ended"),
        )
    }


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reader.add_argument("--json", action="store_true")
    reader.add_argument("--rounds", type=int, default=5)
    given = reader.parse_args()
    measure()  # so that what is on disk is in memory, as it is after a crash
    found = [measure() for _ in range(given.rounds)]
    rows = [
        {
            "until": name,
            "seconds": round(statistics.median(each[name] for each in found), 3),
            "range_seconds": [
                round(min(each[name] for each in found), 3),
                round(max(each[name] for each in found), 3),
            ],
        }
        for name in found[0]
    ]
    seconds = next(row["seconds"] for row in rows if row["until"] == "next_new_stage")
    is_kept = float(str(seconds)) <= SECONDS_MAX
    if given.json:
        print(json.dumps({"rows": rows, "seconds_max": SECONDS_MAX, "is_kept": is_kept}, indent=1))
        return
    print("after kill -9, from the start of `clew resume` until")
    for row in rows:
        low, high = row["range_seconds"]
        print(f"  {row['until']:<20} {row['seconds']:.3f} s   ({low:.3f} to {high:.3f})")
    print(f"  promised: {SECONDS_MAX} s to the next new stage, {'kept' if is_kept else 'BROKEN'}")


if __name__ == "__main__":
    main()
