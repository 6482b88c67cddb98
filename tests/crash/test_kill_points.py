"""Killed at any recorded transition, a run is taken up again and loses nothing, repeats nothing, leaves nothing."""

from __future__ import annotations

from itertools import chain

import pytest
from tests.crash.conftest import Passed, PassedBy, Players
from tests.crash.faults import OTHER_TRANSACTIONS, Fault
from tests.crash.stories import STORIES, UNSTEADY, Story, part_of
from tests.crash.sweeping import POINTS, kinds_beside, swept, swept_by
from tests.crash.tellings import ROLES, TELLINGS

from clew.core.running.entries import ENTRY_KINDS

POINTS_A_TEST = 8

PLAYS_MAX = 5
"""How often a story is played for a point that is not in each of its plays: on a busy machine the data that a stage is
to wait for may be there at its first look."""

PARTS = [
    pytest.param(story, first, id=f"{story}-{first}")
    for story in STORIES
    for first in range(0, POINTS[story.name], POINTS_A_TEST)
]

BY_ATTEMPTS = {
    "forward": ["one execute", "supply execute", "waiting execute", "two execute", "three execute"],
    "backward": [
        "one execute", "two-left execute", "two-right execute", "refuse execute", "consume execute",
        "consume rollback", "refuse rollback", "two-right rollback", "two-left rollback", "one rollback",
    ],
    "returning": ["three execute", "three rollback", "two rollback", "beside rollback"],
    "restoring": ["one execute", "two execute", "two rollback", "one rollback"],
    "sourced": ["one execute", "two execute", "three execute", "three rollback", "one rollback"],
    "undone": ["three rollback", "two-right rollback", "one rollback"],
}  # fmt: skip


@pytest.mark.parametrize(("story", "first"), PARTS)
def test_a_killed_run_goes_on(story: Story, first: int, play: Players, passed: Passed) -> None:
    """Killed before, inside or after a commit, a run ends as it would have, nothing lost, repeated or left."""
    for point in swept(story, passed)[first : first + POINTS_A_TEST]:
        struck = None
        for _ in range(PLAYS_MAX if point.transaction in UNSTEADY else 1):
            killed = play(story, Fault(point))
            assert killed.judge() == [], f"{story} killed at {point}"
            struck = killed.struck()
            if struck is not None:
                break
        assert struck is not None and point.transaction in struck["kinds"], f"{point} was not hit"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", [story for story in STORIES if story.name in BY_ATTEMPTS], ids=str)
def test_a_run_killed_by_its_own_attempt_goes_on(story: Story, moment: str, play: Players) -> None:
    """Killed while an attempt is under way, before or after that has acted, a run ends as it would have."""
    for attempt in BY_ATTEMPTS[story.name]:
        killed = play(story, strike=f"{attempt} {moment}")
        assert killed.judge() == [], f"{story} killed {moment} {attempt}"
        assert (killed.folder / "struck").exists(), f"{attempt} was not made"


BY_THE_CLOCK = {"window_closed", "window_opened"}


@pytest.mark.parametrize("part", ["before", "inside", "after"])
def test_every_kind_of_entry_is_hit(part: str, passed: Passed, passed_by: PassedBy) -> None:
    """The ordinary run kills before, inside and after the commit of every kind of entry that there is, but those that
    only the clock brings about: no window opens within the seconds of a story. Simulated months crash around them."""
    hit: set[str] = set()
    for passed_there, points in chain(
        ((passed(story), swept(story, passed)) for story in STORIES),
        ((passed_by(each, role), swept_by(each, role, passed_by)) for each in TELLINGS for role in ROLES),
    ):
        carried = kinds_beside(passed_there)
        for point in points:
            if part_of(point) == part:
                hit |= carried[point.transaction, point.number]
    assert {*ENTRY_KINDS, *OTHER_TRANSACTIONS} - hit == BY_THE_CLOCK


def test_there_are_enough_points() -> None:
    """The ordinary run kills at 300 points at least, not counting the trip's."""
    assert sum(POINTS.values()) + 2 * sum(map(len, BY_ATTEMPTS.values())) >= 300
