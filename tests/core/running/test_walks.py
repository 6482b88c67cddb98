"""Wherever a run goes, what its journal amounts to holds together, and it comes to rest in the end."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.running.walk import Walk, portrait

from clew.core.running import entries as kinds
from clew.core.running.entries import ENTRY_KINDS

SEEDS = st.integers(0, 2**32)
ENDS = ("completed", "failed", "rolled_back", "missed")


@settings(max_examples=400)
@given(SEEDS)
def test_wherever_a_run_goes_it_holds_together_and_comes_to_rest(seed: int) -> None:
    """Every entry moves the run and its stages as they may be moved; counts equal a recount; nothing begins before what
    it needs, and nothing is undone before what needed it; what a run leaves is what its entries say it left; and once
    nothing goes wrong any more it settles."""
    walk = Walk(Random(seed)).walk()
    assert portrait(walk.state) == portrait(walk.again())


@settings(max_examples=50)
@given(SEEDS, st.integers(0, 40))
def test_deciding_changes_nothing(seed: int, steps: int) -> None:
    """What is due is the same however often one asks, and the state is as it was."""
    walk = Walk(Random(seed))
    for _ in range(steps):
        walk.step()
    before = portrait(walk.state)
    assert walk.due() == walk.due()
    assert portrait(walk.state) == before


def test_walks_go_everywhere() -> None:
    """A few hundred of them meet every kind of entry, every way to hold a run, and every end that a run can come to by
    itself."""
    said: set[str] = set()
    for seed in range(500):
        walk = Walk(Random(seed)).walk()
        said |= {type(entry.body).__struct_config__.tag for entry in walk.entries}
        said |= {entry.body.reason for entry in walk.entries if isinstance(entry.body, kinds.RunHeld)}
        said.add(walk.state.status)
    assert {*ENTRY_KINDS, *kinds.HOLD_REASONS, *ENDS} - said == set()
