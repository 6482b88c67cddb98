"""Killed at every one of its writes, a backfill is gone on with, and each of its times is run once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from tests.surfaces.calling import ENVIRONMENT, SECONDS_MAX, Person

PROGRAM = """
name: daily
cadence: ["0 9 * * *"]
stages:
  - {name: load, execute: {command: wait, params: {duration: 0 seconds}}}
"""

CUT_OFF = """
import os, signal, sys
from clew.stores.sqlite import SqliteStore

number, moment = int(sys.argv[1]), sys.argv[2]
commit, count = SqliteStore._commit, 0

def cut_off(store):
    global count
    count += 1
    if (count, moment) == (number, "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    commit(store)
    if (count, moment) == (number, "after"):
        os.kill(os.getpid(), signal.SIGKILL)

SqliteStore._commit = cut_off
from clew.cli.main import main
sys.argv = ["clew", *sys.argv[3:]]
main()
"""
"""The command line, killed before or after its n-th commit."""

RANGE = ("--from", "2026-03-01", "--to", "2026-03-02")
COMMITS_MAX = 40
"""More than a backfill of two times makes."""


def killed(folder: Path, number: int, moment: str) -> bool:
    """Make the backfill in a fresh store; whether it was killed on the way."""
    words = (str(number), moment, "backfill", "daily.yaml", *RANGE)
    done = subprocess.run([sys.executable, "-c", CUT_OFF, *words], cwd=folder, env=ENVIRONMENT,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX, check=False)  # fmt: skip
    assert done.returncode in (0, -9), done.stderr.decode()
    return done.returncode == -9


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_it_runs_each_time_once(tmp_path: Path, moment: str) -> None:
    """Whoever goes on with it makes what is missing, and nothing else; one that is not on record was never made."""
    for number in range(1, COMMITS_MAX):
        folder = tmp_path / str(number)
        folder.mkdir()
        person = Person(folder)
        person.write("daily.yaml", PROGRAM)
        was_killed = killed(folder, number, moment)
        made = person.clew("backfill", "list", "--format", "json").document
        for one in made:
            person.clew(
                "backfill", "resume", one["backfill_id"], code=None if one["status"] == "completed" else 0
            )
        with closing(sqlite3.connect(folder / ".clew" / "clew.db")) as store:
            found = store.execute("SELECT run_time, generation, status FROM runs").fetchall()
            left = store.execute("SELECT count(*) FROM backfill_times WHERE run_id IS NULL").fetchone()
        times = Counter(run_time for run_time, _, _ in found)
        assert set(times.values()) <= {1} and len(times) == (2 if made else 0), f"killed {moment} {number}"
        assert {(generation, status) for _, generation, status in found} <= {(1, "completed")}
        assert left == (0,)
        person.clew("verify", "--all", code=0 if made else None)
        if not was_killed:
            assert number > 5, "so many writes it makes at least"
            return
    raise AssertionError("it makes more writes than are swept")
