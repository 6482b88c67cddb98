"""Whatever crashes, stalls, repeats itself, goes unanswered or is said at a bad moment, every run keeps its promises.

A failure names its seed: `python -m tests.simulation --seed N` plays that history again and tells its story.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.simulation.mutants import MUTANTS
from tests.simulation.odds import FAULTS
from tests.simulation.world import History, run_history

HISTORIES = 600
REPLAYED = 20
SEEDS_A_MUTANT_MAX = 500
"""Within so many histories each planted bug is found: several times what the slowest of them takes."""

RARE = {"letting_go_of_a_run_that_is_told_something"}
"""Planted bugs that need a word to a run at the moment at which its end is committed and nobody knows. A test of the
driver (`test_attending.py`) finds this one at once."""

SEEDS_A_RARE_MUTANT_MAX = 20_000

SOAK_CHUNKS, SOAK_CHUNK = 50, 200


def _bad(histories: list[History]) -> str:
    lines = [f"seed {each.seed}: {what}" for each in histories for what in each.found]
    return "\n".join([*lines, "replay with: python -m tests.simulation --seed N"]) if lines else ""


@pytest.mark.timeout(300)
def test_hundreds_of_histories_keep_every_promise_and_every_fault_strikes() -> None:
    """In 600 histories of random programs, with crashes, faulty stores and people's words at random moments, nothing is
    lost, doubled, left standing or stuck, and the fold of every journal equals the plain model."""
    histories = [run_history(seed) for seed in range(HISTORIES)]
    assert not _bad(histories), _bad(histories)
    fired: Counter[str] = sum((each.fired for each in histories), Counter())
    assert not set(FAULTS) - set(fired), "these never struck, so nothing is known of them"
    ended = Counter(status for each in histories for status in each.statuses)
    assert {"completed", "failed", "rolled_back", "missed", "rollback_failed", "held"} <= set(ended)
    assert min(ended["completed"], ended["rolled_back"]) > HISTORIES / 4, (
        "too few runs come to an ordinary end"
    )


@pytest.mark.timeout(300)
def test_a_seed_replays_byte_for_byte() -> None:
    """The same seed gives the same journals and the same outside log, in another process and hash order too."""
    here = [run_history(seed).digest for seed in range(REPLAYED)]
    assert [run_history(seed).digest for seed in range(REPLAYED)] == here
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--digests", "--histories", str(REPLAYED)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.splitlines() == [f"{seed} {digest}" for seed, digest in enumerate(here)]


@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - RARE))
def test_a_planted_bug_is_found(name: str) -> None:
    """The checkers notice a bug that breaks a promise."""
    with MUTANTS[name]():
        assert any(run_history(seed).found for seed in range(SEEDS_A_MUTANT_MAX)), f"{name} went unnoticed"


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", sorted(RARE))
def test_a_planted_bug_that_rarely_matters_is_found_in_the_end(name: str) -> None:
    """It takes an unlikely moment, which many histories come to."""
    with MUTANTS[name]():
        assert any(run_history(seed).found for seed in range(SEEDS_A_RARE_MUTANT_MAX)), (
            f"{name} went unnoticed"
        )


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("chunk", range(SOAK_CHUNKS))
def test_ten_thousand_more_histories_keep_every_promise(chunk: int) -> None:
    """What few histories find, many do."""
    first = HISTORIES + chunk * SOAK_CHUNK
    histories = [run_history(seed) for seed in range(first, first + SOAK_CHUNK)]
    assert not _bad(histories), _bad(histories)
