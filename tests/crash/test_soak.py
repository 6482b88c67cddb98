"""The long lane: every point of every story, each write among them, and second kills while the first is mended; of
two processes either, and both.
"""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, PassedBy, Players, Tellers
from tests.crash.faults import Fault
from tests.crash.stories import STORIES, UNSTEADY, Story, points_of, sample
from tests.crash.tellings import DRIVER, ROLES, TELLER, TELLINGS, Telling, points_by

PARTS = 24
"""Tests that share a story's points: each stays below the time that a test may take."""
SECOND_KILLS = 6
"""For each first kill."""
TELLERS_KILLS = 3
"""For each kill of who drives."""

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_run_killed_anywhere_goes_on(story: Story, part: int, play: Players, passed: Passed) -> None:
    """Killed at any moment of any transaction, inside each of its writes too, a run ends as it would have."""
    for point in points_of(passed(story), all_writes=True)[part::PARTS]:
        killed = play(story, Fault(point))
        assert killed.judge() == [], f"{story} killed at {point}"
        assert point.transaction in UNSTEADY or killed.struck() is not None, f"{point} was not hit"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_run_killed_twice_goes_on(story: Story, part: int, play: Players, passed: Passed) -> None:
    """Killed again while it is being taken up, a run ends as it would have."""
    for first in points_of(passed(story))[part::PARTS]:
        once = play(story, Fault(first))
        assert once.judge() == [], f"{story} killed at {first}"
        for second in sample(points_of(once.passed[-1]), SECOND_KILLS):
            twice = play(story, Fault(first), Fault(second))
            assert twice.judge() == [], f"{story} killed at {first}, then at {second}"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("telling", TELLINGS, ids=str)
def test_whoever_is_killed_anywhere_it_is_obeyed_once(
    telling: Telling, role: str, part: int, tell: Tellers, passed_by: PassedBy
) -> None:
    """Who drives or who tells is killed at any moment of any transaction: what was said is obeyed by one entry."""
    for point in points_by(role, passed_by(telling, role))[part::PARTS]:
        told = tell(telling, **{role: Fault(point)})
        assert told.judge() == [], f"{telling}: {role} killed at {point}"
        assert told.struck(role) is not None, f"{point} was not hit"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("telling", TELLINGS, ids=str)
def test_both_are_killed_and_it_is_obeyed_once(
    telling: Telling, part: int, tell: Tellers, passed_by: PassedBy
) -> None:
    """Who drives and who tells are both killed: what was said is obeyed by one entry, once somebody has said it."""
    tellers = points_by(TELLER, passed_by(telling, TELLER))
    for first in points_by(DRIVER, passed_by(telling, DRIVER))[part::PARTS]:
        for second in sample(tellers[::-1] if part % 2 else tellers, TELLERS_KILLS):
            told = tell(telling, driver=Fault(first), teller=Fault(second))
            assert told.judge() == [], f"{telling}: killed at {first} and {second}"
