"""The long lane: every point of every story, each write among them, and second kills while the first is mended."""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, Players
from tests.crash.faults import Fault
from tests.crash.stories import STORIES, Story, points_of, sample

PARTS = 24
"""Tests that share a story's points: each stays below the time that a test may take."""
SECOND_KILLS = 6
"""For each first kill."""

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_run_killed_anywhere_goes_on(story: Story, part: int, play: Players, passed: Passed) -> None:
    """Killed at any moment of any transaction, inside each of its writes too, a run ends as it would have."""
    for point in points_of(passed(story), all_writes=True)[part::PARTS]:
        killed = play(story, Fault(point))
        assert killed.judge() == [], f"{story} killed at {point}"
        assert killed.struck() is not None, f"{point} was not hit"


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
