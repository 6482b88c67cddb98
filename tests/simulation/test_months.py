"""Through downtimes, jumps of the clock and pauses, each due time has exactly one run, or is on record as missed.

A failure names its seed: `Month(seed, programs=..., days=...).play()` lives through it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace
from pytest import MonkeyPatch
from tests.simulation.months import DAY, Month

from clew.core.running import places as deciding
from clew.core.running.places import Standing
from clew.core.timing import schedule as timing
from clew.core.timing.schedule import Batch, Pause
from clew.core.timing.windows import ProgramWindow
from clew.orchestrator import places, scheduler

SEEDS = (0, 1, 2)
PROGRAMS, DAYS = 50, 31


def _forgets_windows(patch: MonkeyPatch) -> None:
    patch.setattr(ProgramWindow, "is_open", lambda self, moment: True)


def played(seed: int, *, programs: int = PROGRAMS, days: int = DAYS) -> Counter[str]:
    month = Month(seed, programs=programs, days=days)
    counts = month.play()
    assert not month.found, "\n".join([f"seed {seed}:", *month.found])
    assert month.begun_in_windows > 10
    return counts


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", SEEDS)
def test_each_due_time_of_a_month_has_one_run_or_is_on_record(seed: int) -> None:
    """Of 50 programs, with orchestrators that are down for minutes to days, clocks that jump and people who pause."""
    counts = played(seed)
    assert {"completed", "missed", "skipped", "rolled_back"} <= counts.keys()
    assert counts["completed"] > 1_000


@pytest.mark.timeout(120)
def test_after_thirty_days_off_the_backlog_neither_floods_nor_starves() -> None:
    """What is due now begins at its time, and no more runs are held in memory than may be under way."""
    month = Month(7, programs=PROGRAMS, days=45, off=((2 * DAY, 30 * DAY),))
    counts = month.play()
    assert not month.found, "\n".join(month.found)
    assert counts["missed"] > 500, "there was no backlog"
    most = sum(program.sealed.program.max_active_runs or 0 for program in month.programs)
    assert month.driven_max <= most + PROGRAMS, "runs that wait for a place are left in the store"


# ---- planted bugs ----------------------------------------------------------------------------------------


def _settled_too_far(batch: Batch) -> Batch:
    return Batch(batch.times[:-1], batch.settled_until, batch.is_complete) if len(batch.times) > 1 else batch


def _forgets_a_time(patch: MonkeyPatch) -> None:
    """The last of several due times is settled without a run."""
    settle = scheduler.settle
    patch.setattr(scheduler, "settle", lambda *of, **facts: _settled_too_far(settle(*of, **facts)))


def _catches_up_what_was_paused(patch: MonkeyPatch) -> None:
    patch.setattr(Pause, "holds", lambda self, moment: False)


def _calls_nothing_late(patch: MonkeyPatch) -> None:
    patch.setattr(timing, "LATE_MILLISECONDS_MAX", 30 * 60_000)


def _gives_a_place_too_many(patch: MonkeyPatch) -> None:
    decide = places.decide_places

    def one_more(program, standings, **facts):  # type: ignore[no-untyped-def]
        most = program.max_active_runs
        return decide(replace(program, max_active_runs=most + 1), standings, **facts)

    patch.setattr(places, "decide_places", one_more)


def _prefers_what_makes_up(patch: MonkeyPatch) -> None:
    def by_turn(standing: Standing) -> tuple[bool, int, int]:
        return not standing.makes_up, standing.run_time, standing.generation

    patch.setattr(deciding, "_by_turn", by_turn)


PLANTED = {
    each.__name__: each
    for each in (
        _forgets_a_time, _catches_up_what_was_paused, _calls_nothing_late, _gives_a_place_too_many,
        _prefers_what_makes_up, _forgets_windows,
    )
}  # fmt: skip


@contextmanager
def planted(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name](patch)
        yield


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str) -> None:
    """The month notices what is not as it should be."""
    with planted(name):
        for seed in range(20):
            month = Month(seed, programs=20, days=20)
            month.play()
            if month.found:
                return
    pytest.fail(f"{name} went unnoticed")


# ---- much more of it -------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_a_year_of_five_hundred_programs() -> None:
    """What a month of a few does not come upon."""
    played(1_000, programs=500, days=365)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("first", range(100, 200, 10))
def test_a_hundred_more_months(first: int) -> None:
    """Each with other programs, downtimes and jumps."""
    for seed in range(first, first + 10):
        played(seed)
