"""Killed at any recorded transition, a run is taken up again and loses nothing, repeats nothing, leaves nothing."""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, Players
from tests.crash.faults import OTHER_TRANSACTIONS, Fault, Point, Transaction
from tests.crash.stories import STORIES, Story, part_of, points_of, sample

from clew.core.running.entries import ENTRY_KINDS

POINTS = {
    "forward": 56,
    "backward": 64,
    "skipping": 24,
    "held": 32,
    "released": 24,
    "forward-resumed": 32,
    "backward-resumed": 40,
}
"""How many points of each story the ordinary run sweeps: 272 of some 550, to which come 30 by their own attempts,
and those of the trip. The soak lane sweeps all, and more."""
POINTS_A_TEST = 8

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
}  # fmt: skip


def swept(story: Story, passed: Passed) -> list[Point]:
    points = sample(points_of(passed(story)), POINTS[story.name])
    assert len(points) == POINTS[story.name], "fewer points than there were: fewer are swept"
    return points


@pytest.mark.parametrize(("story", "first"), PARTS)
def test_a_killed_run_goes_on(story: Story, first: int, play: Players, passed: Passed) -> None:
    """Killed before, inside or after a commit, a run ends as it would have, nothing lost, repeated or left."""
    for point in swept(story, passed)[first : first + POINTS_A_TEST]:
        killed = play(story, Fault(point))
        assert killed.judge() == [], f"{story} killed at {point}"
        struck = killed.struck()
        assert struck is not None and point.transaction in struck["kinds"], f"{point} was not hit"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", [story for story in STORIES if story.name in BY_ATTEMPTS], ids=str)
def test_a_run_killed_by_its_own_attempt_goes_on(story: Story, moment: str, play: Players) -> None:
    """Killed while an attempt is under way, before or after that has acted, a run ends as it would have."""
    for attempt in BY_ATTEMPTS[story.name]:
        killed = play(story, strike=f"{attempt} {moment}")
        assert killed.judge() == [], f"{story} killed {moment} {attempt}"
        assert (killed.folder / "struck").exists(), f"{attempt} was not made"


@pytest.mark.parametrize("part", ["before", "inside", "after"])
def test_every_kind_of_entry_is_hit(part: str, passed: Passed) -> None:
    """The ordinary run kills before, inside and after the commit of every kind of entry that there is."""
    hit: set[str] = set()
    for story in STORIES:
        carried = kinds_beside(passed(story))
        for point in swept(story, passed):
            if part_of(point) == part:
                hit |= carried[point.transaction, point.number]
    assert hit >= {*ENTRY_KINDS, *OTHER_TRANSACTIONS}


def test_there_are_enough_points() -> None:
    """The ordinary run kills at 300 points at least, not counting the trip's."""
    assert sum(POINTS.values()) + 2 * sum(map(len, BY_ATTEMPTS.values())) >= 300


def kinds_beside(passed: list[Transaction]) -> dict[tuple[str, int], set[str]]:
    """For each kind and number: the kinds of the transaction that holds it."""
    beside: dict[tuple[str, int], set[str]] = {}
    counts: dict[str, int] = {}
    for transaction in passed:
        for kind in transaction.kinds:
            counts[kind] = counts.get(kind, 0) + 1
            beside[kind, counts[kind]] = set(transaction.kinds)
    return beside
