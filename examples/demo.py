"""The main job, shown: three programs go forward, fail on purpose, and are wound back. See `make demo`.

    python examples/demo.py [FOLDER]

All of it happens in FOLDER (default: demo-output, made anew each time), with one store, through the command
line and the Python interface as anybody would use them. What is promised is looked at from outside (the
bucket's files, the warehouse's rows, the booking service's books); it ends with 1 if anything is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parent
MARK = "# Made by examples/demo.py, which makes this folder anew each time.\n*\n"
"""Stands in the folder's .gitignore: the folder is ours to delete, and nobody's to commit."""
COMPLETED, ROLLED_BACK = 0, 3
"""Exit statuses of `clew run`."""
VERB_SECONDS_MAX = 60
"""A verb of this demo takes a second or two; one that takes so long hangs."""


class Demo:
    """Runs clew's verbs in the demo's folder and keeps count of broken promises."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: list[str] = []

    def show(self, *words: str) -> bool:
        """Run a verb in the terminal, for people to read; gives whether it ended with 0."""
        return self._clew(words).returncode == 0

    def ask(self, *words: str, exit_status: int = 0) -> Any:
        """Run a verb for its JSON. Raises SystemExit if it ends otherwise, since nothing is promised then."""
        done = self._clew((*words, "--format", "json"), stdout=subprocess.PIPE)
        if done.returncode != exit_status:
            raise SystemExit(
                f"BROKEN PROMISE: that should have ended with {exit_status}, not {done.returncode}"
            )
        return json.loads(done.stdout)

    def run(self, *words: str, exit_status: int = COMPLETED) -> dict[str, Any]:
        """`clew run`, which tells the story as it goes where the run is to go back; gives the run."""
        how = ("--quiet",) if exit_status == COMPLETED else ()
        run: dict[str, Any] = self.ask("run", *words, *how, exit_status=exit_status)
        for stage in run["stages"]:
            print(f"  block {stage['block']}  {stage['name']:<16} {stage['status']}")
        print(f"  the run: {run['status']}")
        return run

    def _clew(self, words: tuple[str, ...], **how: Any) -> subprocess.CompletedProcess[str]:
        shown = shlex.join(words).replace(str(EXAMPLES), "examples").replace(str(self.folder), "$PWD")
        print(f"\n$ clew {shown}", flush=True)
        command = [sys.executable, "-m", "clew", *words]
        return subprocess.run(
            command, cwd=self.folder, text=True, timeout=VERB_SECONDS_MAX, check=False, **how
        )

    def promise(self, what: str, is_kept: bool) -> None:
        if not is_kept:
            self.broken.append(what)
        print(f"  {'as promised:' if is_kept else 'BROKEN PROMISE:'} {what}")


def title(text: str) -> None:
    print(f"\n\n{text}\n{'=' * len(text)}")


# ---- figure 4 --------------------------------------------------------------------------------------------


def show_figure4(demo: Demo) -> None:
    title("Figure 4: seven tasks, put into blocks by who needs whose output")
    program = str(EXAMPLES / "figure4.yaml")
    bucket = ("--bucket", "work=file:work")
    plan = demo.ask("plan", program, "--quiet")
    for block in plan["blocks"]:
        print(f"  block {block['index']}: {', '.join(stage['name'] for stage in block['stages'])}")
    sizes = [len(block["stages"]) for block in plan["blocks"]]
    demo.promise("the blocks hold 2, 1, 3 and 1 tasks", sizes == [2, 1, 3, 1])

    demo.run(program, *bucket)
    before = files_in(demo.folder / "work")
    demo.promise("each task left its file", len(before) == 7)

    print("\nNow task-415's result is spoilt, so its check fails: block 3 is undone, then 2, then 1.")
    run = demo.run(program, *bucket, "--var", "spoil=task-415", exit_status=ROLLED_BACK)
    demo.promise("nothing is left standing", run["status"] == "rolled_back" and not run["residue"])
    demo.promise("the bucket is exactly as before", files_in(demo.folder / "work") == before)


# ---- line sources ----------------------------------------------------------------------------------------


def show_line_sources(demo: Demo) -> None:
    title("Line sources: the newest file of real readings goes into a warehouse")
    prepare(demo)
    program = str(EXAMPLES / "line-sources" / "line-sources.yaml")
    data = demo.folder / "lines-data"
    warehouse = data / "warehouse.db"
    words = (program, "--bucket", "lines=file:lines-data/lines", "--var", f"warehouse=sqlite:///{warehouse}")
    run = demo.run(*words)
    demo.promise("a month of readings is loaded", rows_in(warehouse)[0] == 30)
    reports = sorted(data.glob("lines/out/**/report.csv"))
    demo.promise("one report is published", len(reports) == 1)
    for report in reports:
        print(f"\n{report.relative_to(demo.folder)}:\n{report.read_text()}")
    skipped = statuses_of(run)["Note predictions"] == "skipped"
    demo.promise("no reading was predicted, so the stage that would note it is skipped", skipped)

    print("\nNow the newest file arrives with a digit altered. It loads, but its sums give it away.")
    prepare(demo, "--corrupt", "altered")
    before = files_in(data / "lines"), rows_in(warehouse)
    run = demo.run(*words, exit_status=ROLLED_BACK)
    demo.promise("nothing is left standing", run["status"] == "rolled_back" and not run["residue"])
    after = files_in(data / "lines"), rows_in(warehouse)
    demo.promise("warehouse and bucket are exactly as before", after == before)


def prepare(demo: Demo, *words: str) -> None:
    script = str(EXAMPLES / "line-sources" / "prepare.py")
    subprocess.run([sys.executable, script, str(demo.folder / "lines-data"), *words], check=True)


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_in(warehouse: Path) -> tuple[int, list[Any], list[Any]]:
    with closing(sqlite3.connect(warehouse)) as database:
        readings = database.execute("SELECT * FROM readings ORDER BY run_id, day").fetchall()
        return len(readings), readings, database.execute("SELECT * FROM months ORDER BY run_id").fetchall()


def statuses_of(run: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in run["stages"]}


# ---- the trip --------------------------------------------------------------------------------------------


def show_trip(demo: Demo) -> None:
    title("The trip: two bookings from Python, with a service that has books of its own")
    script = str(EXAMPLES / "trip" / "book.py")
    print("\n$ python examples/trip/book.py --bookings bookings.db", flush=True)
    command = [sys.executable, script, "--bookings", "bookings.db"]
    done = subprocess.run(command, cwd=demo.folder, timeout=VERB_SECONDS_MAX, check=False)
    demo.promise("one trip is booked, the other undone, and its books are as before", done.returncode == 0)


# ---- the record ------------------------------------------------------------------------------------------


def show_record(demo: Demo) -> None:
    title("The record: what became of every run, and that nobody has changed it since")
    demo.show("runs")
    runs = demo.ask("runs", "--quiet")
    found = sorted((run["program"], run["status"]) for run in runs)
    expected = [
        (program, status)
        for program in ("figure4", "line-sources", "trip")
        for status in ("completed", "rolled_back")
    ]
    demo.promise("each program completed once and was rolled back once", found == expected)
    undone = next(run for run in runs if run["program"] == "trip" and run["status"] == "rolled_back")
    print("\nThe trip that was undone:")
    demo.show("show", undone["run_id"])
    demo.promise("every journal is verified", demo.show("verify", "--all"))


def fresh(folder: Path) -> Path:
    """The folder, made anew. Raises SystemExit if it holds something that is not this demo's."""
    note = folder / ".gitignore"
    if folder.exists():
        if any(folder.iterdir()) and not (note.is_file() and note.read_text() == MARK):
            raise SystemExit(f"{folder} holds something that this demo did not make; name another folder.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    note.write_text(MARK)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description="Show clew's main job.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo-output"))
    demo = Demo(fresh(parser.parse_args().folder.resolve()))
    began = time.monotonic()
    for part in (show_figure4, show_line_sources, show_trip, show_record):
        part(demo)
    verdict = "Broken promises" if demo.broken else "All is as promised"
    title(f"{verdict} ({time.monotonic() - began:.0f} s)")
    for what in demo.broken:
        print(f"  {what}")
    print(f"Everything is in {os.path.relpath(demo.folder)}; `clew runs` in there is a good start.")
    return 1 if demo.broken else 0


if __name__ == "__main__":
    sys.exit(main())
