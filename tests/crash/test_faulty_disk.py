"""On a disk that fails or is full, nothing is said to be durable that is not; and all goes on when it is well."""

from __future__ import annotations

import pytest
from tests.crash.conftest import Passed, Players
from tests.crash.faults import Fault
from tests.crash.stories import STORIES, UNSTEADY, Story, points_of, sample

POINTS = 8
"""Of each story and each way to fail: 64 in all."""
FLUSHES = ("sync", "synced")
WRITES = tuple(f"write-{number}" for number in range(1, 9))
"""Every record makes so many writes at least."""


@pytest.mark.parametrize("is_lasting", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize(("kind", "moments"), [("io", FLUSHES), ("full", WRITES)], ids=["io", "full"])
@pytest.mark.parametrize(
    "story", [story for story in STORIES if story.name in ("forward", "backward")], ids=str
)
def test_a_failing_disk_ends_the_orchestrator(
    story: Story, kind: str, moments: tuple[str, ...], is_lasting: bool, play: Players, passed: Passed
) -> None:
    """A flush that fails, or a write without room, ends the process unacknowledged; resumed, the run is whole."""
    points = [
        point
        for point in points_of(passed(story), all_writes=True)
        if point.moment in moments and point.transaction != "close"  # by then all is durable
    ]
    for point in sample(points, POINTS):
        ended = play(story, Fault(point, kind, is_lasting))
        assert ended.judge() == [], f"{story}: {kind} at {point}"
        # The data that a stage is to wait for may be there at its first look: then nothing waits.
        assert point.transaction in UNSTEADY or ended.struck() is not None, f"{point} was not hit"
