"""The benchmark of an idle orchestrator runs, and judges what it measures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import idle


def test_it_measures_processes_that_do_nothing() -> None:
    """A few programs for a moment: every figure is there, and is of the right size."""
    figures = {one["what"]: one for one in idle.measure(3, 0.2)}
    assert figures.keys() == {"first start", "idle", "bare loop"}
    assert figures["idle"]["programs"] == 3 and figures["idle"]["ready_seconds"] > 0
    assert 5 < figures["bare loop"]["memory_mb"] < figures["idle"]["memory_mb"] < 1_000


@pytest.mark.parametrize(
    ("percent", "megabytes", "count"), [(0.5, 100.0, 0), (1.0, 100.0, 1), (0.5, 150.0, 1), (2.0, 200.0, 2)]
)
def test_a_promise_that_is_not_kept_is_told(percent: float, megabytes: float, count: int) -> None:
    """Each by itself."""
    figures = [{"what": "idle", "processor_percent": percent, "memory_mb": megabytes}]
    assert len(idle.broken(figures)) == count
