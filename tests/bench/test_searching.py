"""The benchmark of searching measures what clew is today, and its ways find the same. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "searching.py"


def test_every_way_of_the_benchmark_finds_the_same() -> None:
    """A round over few keys ends; clew asks for no more than somebody who knows S3 well, and listing all for more."""
    words = [sys.executable, str(BENCH), "--keys", "2000", "--rounds", "1", "--json"]

    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    requests = {
        (row["search"], row["way"]): row["requests"] for row in json.loads(done.stdout)["measurements"]
    }
    for search in ("narrow", "wide"):
        assert requests[search, "clew"] == requests[search, "folder"] == 1
        assert requests[search, "all"] == 2
