"""The benchmark of cadences still fits the engine. How fast that is is not asked here, where others run beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "cadence.py"


def bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--count", "2", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # 1 says that a promise was not kept, as may be on a busy machine.
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_it_measures_what_is_promised() -> None:
    """Each expression beside cronsim, the contract's matrix beside its columns, the far and the never due one."""
    figures = json.loads(bench("--json"))
    assert all(one["clew_each"] > 0 and one["cronsim_each"] > 0 for one in figures["singles"])
    assert {one["zone"] for one in figures["matrices"]} == {"UTC", "America/New_York"}
    assert figures["far_milliseconds"] > 0 and figures["never_milliseconds"] > 0
    assert len(figures["promises"]) == 6


def test_it_reports_to_people() -> None:
    """A line for each, and whether each promise was kept."""
    lines = bench().splitlines()
    assert sum(line.startswith(("kept", "BROKEN")) for line in lines) == 6
