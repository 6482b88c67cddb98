"""How soon a killed run goes on can be measured: the benchmark runs, and says it as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.crash.stories import ROOT


def test_the_recovery_benchmark_tells_its_moments() -> None:
    """One round gives the moments of a resumed run in their order, and the promise that they are held against."""
    bench = [sys.executable, str(ROOT / "bench" / "recovery.py"), "--rounds", "1", "--json"]
    told = json.loads(subprocess.run(bench, capture_output=True, check=True).stdout)
    assert [row["until"] for row in told["rows"]] == ["attempt_made_again", "next_new_stage", "run_completed"]
    seconds = [row["seconds"] for row in told["rows"]]
    assert 0 < seconds[0] <= seconds[1] <= seconds[2]
    assert told["is_kept"] == (seconds[1] <= told["seconds_max"])
