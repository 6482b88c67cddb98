"""Killed anywhere, a run that writes into a store of S3 leaves there what it should, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.crash.faults import Fault, Point
from tests.crash.publications import AFTER, BACKWARD, BEFORE, FORWARD, MODULES, Publication
from tests.crash.stories import UNSTEADY, ForkServer, Story, points_of, sample
from tests.object_stores.serving import ENVIRONMENT, ObjectStore

POINTS = {FORWARD: 4, BACKWARD: 8}
"""How many points of each the ordinary run sweeps, of 110 and 146: each takes a second."""
PARTS = 12

Publish = Callable[..., Publication]


@pytest.fixture(scope="module")
def publish(moto: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publish]:
    """Plays a story, struck by these faults."""
    server = ForkServer(tmp_path_factory.mktemp("published"), *MODULES, environment=ENVIRONMENT)
    bucket = moto.new_bucket()

    def played(story: Story, *faults: Fault) -> Publication:
        played = Publication(story, server, moto, bucket)
        played.perform(*faults)
        return played

    yield played
    server.close()


@pytest.fixture(scope="module")
def points(publish: Publish) -> Callable[[Story], list[Point]]:
    """All points of a story at which it can be killed."""
    known: dict[Story, list[Point]] = {}

    def of(story: Story) -> list[Point]:
        if story not in known:
            unkilled = publish(story)
            assert unkilled.judge() == []
            known[story] = points_of(unkilled.passed[0])
        return known[story]

    return of


def killed_at(publish: Publish, story: Story, point: Point) -> None:
    killed = publish(story, Fault(point))
    assert killed.judge() == [], f"{story} killed at {point}"
    assert point.transaction in UNSTEADY or killed.struck() is not None, f"{point} was not hit"


def test_what_is_held_against_what() -> None:
    """Each command of the story leaves a mark."""
    assert {key for key in {*BEFORE, *AFTER} if BEFORE.get(key) != AFTER.get(key)} == {
        "large", "state", "empty", "fresh", "out/list", "out/copy", "out/large"
    }  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("story", POINTS, ids=str)
def test_a_killed_run_leaves_the_objects_that_it_should(
    story: Story, publish: Publish, points: Callable[[Story], list[Point]]
) -> None:
    """All of what it publishes, once it is completed; none of it, and all that was before, when it is taken back."""
    for point in sample(points(story), POINTS[story]):
        killed_at(publish, story, point)


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("story", POINTS, ids=str)
def test_killed_anywhere_it_leaves_the_objects_that_it_should(
    story: Story, part: int, publish: Publish, points: Callable[[Story], list[Point]]
) -> None:
    """At any moment of any transaction."""
    for point in points(story)[part::PARTS]:
        killed_at(publish, story, point)
