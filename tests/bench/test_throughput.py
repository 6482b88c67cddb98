"""The benchmarks measure what clew is today: each engine still fits clew's tables. How fast is not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.databases.postgres import PostgresServer

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import postgres as bench_postgres
import throughput


def measured(store: str, engine: str, workload: str) -> dict[str, float]:
    words = [sys.executable, throughput.__file__, "--store", store, "--one", engine, workload, "4", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("workload", ["chain", "graph"])
@pytest.mark.parametrize("engine", ["engine", "rows", "clew"])
def test_every_engine_of_the_benchmark_runs(engine: str, workload: str) -> None:
    """A measurement of a few runs ends, and says what it measured."""
    assert measured("sqlite", engine, workload)["flushes"] > 0


@pytest.mark.parametrize("workload", ["chain", "graph"])
@pytest.mark.parametrize("engine", ["rows", "clew"])
def test_every_engine_runs_on_postgresql(postgres: PostgresServer, engine: str, workload: str) -> None:
    """So does one on a server, and it says what the server had of the processors."""
    figures = measured(postgres.url(), engine, workload)
    assert figures["flushes"] > 0 and figures["server_processor_seconds"] >= 0


def test_clew_is_compared_with_what_ran_on_the_same_store() -> None:
    """A ratio is of two figures of the same store, workload and number in flight."""
    shape = {"workload": "chain", "in_flight": 200, "milliseconds_per_run": 1.0}
    rows = [
        {"store": "sqlite", "engine": "rows", "stages_per_second": 40, **shape},
        {"store": "sqlite", "engine": "clew", "stages_per_second": 20, **shape},
        {"store": "postgresql", "engine": "rows", "stages_per_second": 10, **shape},
        {"store": "postgresql", "engine": "clew", "stages_per_second": 6, **shape},
    ]
    found = {(row["store"], row["ratio"]) for row in throughput.ratios(rows)}
    assert found == {("sqlite", 0.5), ("postgresql", 0.6)}


def test_a_process_is_counted_with_its_children() -> None:
    """What a child has used counts for its parent, while it is there and when it is gone; nobody is nothing."""
    busy = "sum(range(3_000_000)); print('done', flush=True); input()"
    before = bench_postgres.processor_seconds(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"done\n"
    meanwhile = bench_postgres.processor_seconds(os.getpid())
    child.communicate(b"\n")
    assert before < meanwhile <= bench_postgres.processor_seconds(os.getpid())
    assert bench_postgres.processor_seconds(child.pid) == 0
