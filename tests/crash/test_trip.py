"""A trip whose orchestrator is killed is booked once and whole, or the service's books are what they were."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.crash.faults import Fault
from tests.crash.stories import ForkServer, Story, points_of, sample
from tests.crash.trips import BY_FILE, IN_PYTHON, Service, TripPlay

POINTS = 8
"""Of each of four stories."""


@pytest.mark.parametrize("story", [*BY_FILE, *IN_PYTHON], ids=str)
def test_a_killed_trip_is_booked_once_or_not_at_all(
    story: Story, server_of: Callable[[Story], ForkServer], service: Service
) -> None:
    """Killed at commits of all kinds and resumed, a trip is five sales, or leaves the books as they were."""
    unkilled = TripPlay(story, server_of(story), service).perform()
    assert unkilled.judge() == []
    for point in sample(points_of(unkilled.passed[0]), POINTS):
        play = TripPlay(story, server_of(story), service).perform(Fault(point))
        assert play.judge() == [], f"{story} killed at {point}"
        assert play.struck() is not None, f"{point} was not hit"
