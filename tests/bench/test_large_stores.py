"""The benchmarks of large stores, and of many orchestrators, run and judge what they measure. How fast is not asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.databases.postgres import PostgresServer

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import large_stores
import orchestrators


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_store_is_filled_and_measured_beside_an_empty_one(store: str, postgres: PostgresServer) -> None:
    """A few stages are stored, and a few more are driven on both: every figure is there."""
    where = "sqlite" if store == "sqlite" else postgres.url()
    figures = large_stores.measure(store, where, 60, 1, runs=4)
    assert figures["stages_per_second"].keys() == figures["memory_mb"].keys() == {"empty", "full"}
    assert figures["stored_stages"] == 60 and figures["throughput_share"] > 0
    assert figures["fill_memory_share"] > 0 and figures["stored_megabytes"] >= 0


@pytest.mark.parametrize(
    ("throughput", "memory", "filled", "count"),
    [(0.9, 1.1, 1.1, 0), (0.89, 1.1, 1.1, 1), (0.89, 1.2, 1.2, 3)],
)
def test_a_store_that_grows_slow_or_heavy_is_told(
    throughput: float, memory: float, filled: float, count: int
) -> None:
    """Each by itself."""
    figures = {"store": "sqlite", "throughput_share": throughput, "memory_share": memory}
    assert len(large_stores.broken({**figures, "fill_memory_share": filled})) == count


def test_two_orchestrators_drive_runs_together(postgres: PostgresServer) -> None:
    """Each drives its share, and it is known who had the processors."""
    found = orchestrators.measure(postgres.url(), 2, 8)
    told = orchestrators.summary(2, 8, [found])
    assert told["stages_per_second"] > 0 and 0 <= told["database_share"] < 1


@pytest.mark.parametrize(("together", "count"), [(90, 0), (89, 1)])
def test_orchestrators_that_hinder_each_other_are_told(together: int, count: int) -> None:
    """Together they reach at least nine tenths of one."""
    rows = [
        {"orchestrators": 1, "stages_per_second": 100},
        {"orchestrators": 2, "stages_per_second": together},
    ]
    assert len(orchestrators.broken(rows)) == count
