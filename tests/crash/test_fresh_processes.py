"""What holds for forked victims holds for real ones: `python -m clew`, with nothing of a test in the process."""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, Players
from tests.crash.faults import Fault
from tests.crash.stories import STORIES, points_of, sample

STORY = {story.name: story for story in STORIES}
RESUMED_AFRESH = 4
"""Points of each of two stories, killed as they are swept, and then resumed by a new Python."""


@pytest.mark.parametrize(
    ("story", "strike"),
    [
        ("forward", "one execute after"),
        ("forward", "two execute before"),
        ("backward", "consume execute after"),
        ("backward", "two-left rollback before"),
        ("backward", "one rollback after"),
        ("returning", "two rollback after"),
        ("restoring", "one rollback after"),
    ],
)
def test_a_killed_command_line_is_resumed_by_another(story: str, strike: str, play: Players) -> None:
    """`clew run`, killed by an attempt of its own, and `clew resume` after it, lose, repeat and leave nothing."""
    killed = play(STORY[story], strike=strike, fresh="all")
    assert killed.judge() == []
    assert (killed.folder / "struck").exists()


@pytest.mark.parametrize("story", ["forward", "backward"])
def test_what_was_killed_at_a_commit_is_resumed_afresh(story: str, play: Players, passed: Passed) -> None:
    """What a forked victim has left is taken up by a new `python -m clew resume` as well."""
    for point in sample(points_of(passed(STORY[story])), RESUMED_AFRESH):
        assert play(STORY[story], Fault(point), fresh="resume").judge() == [], f"{story} killed at {point}"
