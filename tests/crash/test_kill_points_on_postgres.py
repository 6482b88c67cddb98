"""On PostgreSQL, too, a run that is killed at any transition loses nothing, repeats nothing, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.crash.faults import Fault, Point, Transaction
from tests.crash.postgres_play import MODULES, Database, PostgresPlay
from tests.crash.stories import STORIES, UNSTEADY, ForkServer, Story, points_of, sample
from tests.databases.postgres import PostgresServer

POINTS = {
    "forward": 24,
    "backward": 24,
    "released": 8,
    "backward-resumed": 16,
    "returning": 16,
    "each": 16,
    "undone": 8,
    "rewound": 16,
    "asked-twice": 8,
}
"""How many points of each story the ordinary run sweeps; the soak lane sweeps all, of all stories."""

POINTS_A_TEST = 8
PLAYS_MAX = 5
"""As in `test_kill_points`."""

Played = Callable[..., PostgresPlay]
Pass = Callable[[Story], list[Transaction]]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Played]:
    """Plays a story, struck by these faults."""
    servers: dict[tuple[str, ...], ForkServer] = {}
    database = Database(postgres)

    def play(story: Story, *faults: Fault) -> PostgresPlay:
        if story.modules not in servers:
            folder = tmp_path_factory.mktemp("killed-on-postgres")
            servers[story.modules] = ForkServer(folder, *MODULES, *story.modules)
        play = PostgresPlay(story, servers[story.modules], database)
        play.perform(*faults)
        return play

    yield play
    for each in servers.values():
        each.close()
    database.close()


@pytest.fixture(scope="session")
def passes(played: Played) -> Pass:
    """The transactions that pass in the process of the story that is swept, when nothing strikes it."""
    known: dict[str, list[Transaction]] = {}

    def transactions(story: Story) -> list[Transaction]:
        if story.name not in known:
            unkilled = played(story)
            assert unkilled.judge() == []
            known[story.name] = unkilled.passed[1 if story.strikes_release else 0]
        return known[story.name]

    return transactions


PARTS = [
    pytest.param(story, first, id=f"{story}-{first}")
    for story in STORIES
    for first in range(0, POINTS.get(story.name, 0), POINTS_A_TEST)
]


@pytest.mark.parametrize(("story", "first"), PARTS)
def test_a_killed_run_goes_on(story: Story, first: int, played: Played, passes: Pass) -> None:
    """Killed before a transaction, inside of it, when it was sent, or after it, a run ends as it would have."""
    points = sample(points_of(passes(story)), POINTS[story.name])
    assert len(points) == POINTS[story.name], "fewer points than there were: fewer are swept"
    _sweep(story, points[first : first + POINTS_A_TEST], played)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_run_killed_anywhere_goes_on(story: Story, part: int, played: Played, passes: Pass) -> None:
    """The same at every point of every story."""
    _sweep(story, points_of(passes(story))[part::12], played)


def _sweep(story: Story, points: list[Point], played: Played) -> None:
    for point in points:
        struck = None
        for _ in range(PLAYS_MAX if point.transaction in UNSTEADY else 1):
            killed = played(story, Fault(point))
            assert killed.judge() == [], f"{story} killed at {point}"
            struck = killed.struck()
            if struck is not None:
                break
        assert struck is not None and point.transaction in struck["kinds"], f"{point} was not hit"
