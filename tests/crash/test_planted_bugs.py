"""The sweep finds what it is there to find: bugs planted on purpose make it fail, each by what it does outside."""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, Players
from tests.crash.faults import Fault, Point
from tests.crash.planted_bugs import ANSWERS_LATER, PINS_LATER
from tests.crash.stories import STORIES, points_of
from tests.crash.sweeping import kinds_beside

BACKWARD = next(story for story in STORIES if story.name == "backward")
SWAPPED = next(story for story in STORIES if story.name == "swapped")
UNDONE = next(story for story in STORIES if story.name == "undone")


@pytest.mark.parametrize(
    ("bug", "told"),
    [
        ("acts_before_the_commit", {"is lost", "has acted 2 times", "stands"}),
        ("starts_recorded_with_ends", {"has acted 2 times", "stands"}),
    ],
    ids=["acts-before-the-commit", "starts-recorded-with-ends"],
)
def test_a_planted_bug_is_found(bug: str, told: set[str], play: Players, passed: Passed) -> None:
    """With the bug, kills before this one story's commits, a fraction of the sweep, show all that it can do."""
    assert play(BACKWARD, bug=bug).judge() == [], "without a kill it does no harm"
    for point in points_of(passed(BACKWARD)):
        if point.moment == "before" and told:
            broken = play(BACKWARD, Fault(point), bug=bug).judge()
            told = {each for each in told if not any(each in line for line in broken)}
    assert not told, "no kill has shown this"


def test_an_answer_that_comes_apart_from_its_entry_is_found(play: Players, passed: Passed) -> None:
    """A person's word that is on record as an entry, and not as obeyed, shows in a kill right after."""
    assert play(UNDONE, bug=ANSWERS_LATER).judge() == [], "without a kill it does no harm"
    beside = kinds_beside(passed(UNDONE))
    [after] = [
        point
        for point in points_of(passed(UNDONE))
        if "rollback_requested" in beside[point.transaction, point.number] and point.moment == "after"
    ]
    broken = play(UNDONE, Fault(after), bug=ANSWERS_LATER).judge()
    assert any("says 0 instructions" in line for line in broken)


def test_code_that_is_pinned_too_late_is_found(play: Players) -> None:
    """An attempt that was lost before its end was on record is followed by other code, if its start does not pin it."""
    assert play(SWAPPED, bug=PINS_LATER).judge() == [], "without a kill it does no harm"
    lost = Fault(Point("attempt_ended", 1, "before"))
    assert play(SWAPPED, lost).judge() == []
    assert "other code was run than its first attempt ran" in play(SWAPPED, lost, bug=PINS_LATER).judge()
