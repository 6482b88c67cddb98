"""The benchmarks measure what clew is today: each engine still fits clew's tables. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench" / "throughput.py"


@pytest.mark.parametrize("workload", ["chain", "graph"])
@pytest.mark.parametrize("engine", ["engine", "rows", "clew"])
def test_every_engine_of_the_benchmark_runs(engine: str, workload: str) -> None:
    """A measurement of a few runs ends, and says what it measured."""
    words = [sys.executable, str(BENCH), "--one", engine, workload, "4", "2"]

    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["flushes"] > 0
