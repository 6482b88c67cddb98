"""On PostgreSQL, too, a run that is killed at any transition loses nothing, repeats nothing, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.crash.faults import Fault, Point
from tests.crash.postgres_play import MODULES, Database, PostgresPlay, PostgresTelling, PostgresTrip
from tests.crash.stories import STORIES, ForkServer, Story, points_of, sample
from tests.crash.tellings import DRIVER, ROLES, TELLER, TELLINGS, Telling, TellingPlay, points_by
from tests.crash.trips import BY_FILE, IN_PYTHON, Service
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
    "expiring": 8,
    "asked-twice": 8,
    "erased": 8,
}
"""How many points of each story the ordinary run sweeps; the soak lane sweeps all, of all stories."""

TELLING_POINTS = {DRIVER: 3, TELLER: 2}
"""Of each of two processes, of each telling."""

TRIP_POINTS = 3
"""Of each of four stories."""

POINTS_A_TEST = 8
PLAYS_MAX = 5
"""How often a story is played for a point: what ends at one moment is recorded together at times, and so counted."""

Played = Callable[..., PostgresPlay]
Told = Callable[..., TellingPlay]
PointsIn = Callable[[Story], list[Point]]
PointsBy = Callable[[Telling, str], list[Point]]


class Stage:
    """Where everything is played: a database, and the fork servers that have what a story needs."""

    def __init__(self, make_folder: Callable[[str], Path], postgres: PostgresServer) -> None:
        self.database = Database(postgres)
        self._make_folder = make_folder
        self._servers: dict[tuple[str, ...], ForkServer] = {}

    def server(self, story: Story) -> ForkServer:
        if story.modules not in self._servers:
            folder = self._make_folder("killed-on-postgres")
            self._servers[story.modules] = ForkServer(folder, *MODULES, *story.modules)
        return self._servers[story.modules]

    def close(self) -> None:
        for each in self._servers.values():
            each.close()
        self.database.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> Iterator[Stage]:
    opened = Stage(tmp_path_factory.mktemp, postgres)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def played(stage: Stage) -> Played:
    """Plays a story, struck by these faults."""

    def play(story: Story, *faults: Fault, bug: str = "") -> PostgresPlay:
        play = PostgresPlay(story, stage.server(story), stage.database, bug=bug)
        play.perform(*faults)
        return play

    return play


@pytest.fixture(scope="session")
def told(stage: Stage) -> Told:
    """Plays a telling, its `driver` and its `teller` struck by these faults."""

    def tell(telling: Telling, **faults: Fault) -> TellingPlay:
        play = PostgresTelling(telling, stage.server(telling.story), stage.database)
        return play.perform_with(**faults)

    return tell


@pytest.fixture(scope="session")
def telling_points(told: Told) -> PointsBy:
    """The points of the telling's process of that role that there are whenever it is played: whether what ends at one
    moment is recorded together, and so counted, is not steady."""
    known: dict[str, list[TellingPlay]] = {}

    def points(telling: Telling, role: str) -> list[Point]:
        if str(telling) not in known:
            known[str(telling)] = [told(telling) for _ in range(2)]
            assert [play.judge() for play in known[str(telling)]] == [[], []]
        one, two = (points_by(role, play.passed_by[role]) for play in known[str(telling)])
        return [point for point in one if point in two and point.transaction != "refuse"]

    return points


@pytest.fixture(scope="session")
def points_in(played: Played) -> PointsIn:
    """The points that there are in the process of the story that is swept whenever it is played: as with tellings."""
    known: dict[str, list[Point]] = {}

    def points(story: Story) -> list[Point]:
        if story.name not in known:
            one, two = once(story), once(story)
            known[story.name] = [point for point in one if point in two]
        return known[story.name]

    def once(story: Story) -> list[Point]:
        unkilled = played(story)
        assert unkilled.judge() == []
        return points_of(unkilled.passed[1 if story.strikes_release else 0])

    return points


PARTS = [
    pytest.param(story, first, id=f"{story}-{first}")
    for story in STORIES
    for first in range(0, POINTS.get(story.name, 0), POINTS_A_TEST)
]


@pytest.mark.parametrize(("story", "first"), PARTS)
def test_a_killed_run_goes_on(story: Story, first: int, played: Played, points_in: PointsIn) -> None:
    """Killed before a transaction, inside of it, when it was sent, or after it, a run ends as it would have."""
    points = sample(points_in(story), POINTS[story.name])
    assert len(points) == POINTS[story.name], "fewer points than there were: fewer are swept"
    _sweep(story, points[first : first + POINTS_A_TEST], played)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_run_killed_anywhere_goes_on(story: Story, part: int, played: Played, points_in: PointsIn) -> None:
    """The same at every point of every story."""
    _sweep(story, points_in(story)[part::12], played)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("telling", TELLINGS, ids=str)
def test_whoever_is_killed_it_is_obeyed_once(
    telling: Telling, role: str, told: Told, telling_points: PointsBy
) -> None:
    """Who drives or who tells is killed: the words are obeyed by one entry, whoever drives then."""
    points = sample(telling_points(telling, role), TELLING_POINTS[role])
    assert len(points) == TELLING_POINTS[role]
    _sweep_telling(telling, role, points, told)


@pytest.mark.soak
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("telling", TELLINGS, ids=str)
@pytest.mark.parametrize("part", range(6))
def test_whoever_is_killed_anywhere_it_is_obeyed_once(
    telling: Telling, role: str, part: int, told: Told, telling_points: PointsBy
) -> None:
    """The same at every point."""
    _sweep_telling(telling, role, telling_points(telling, role)[part::6], told)


@pytest.mark.parametrize("story", [*BY_FILE, *IN_PYTHON], ids=str)
def test_a_killed_trip_is_booked_once_or_not_at_all(story: Story, stage: Stage, service: Service) -> None:
    """Killed and resumed, a trip is five sales, or leaves the books as they were."""

    def play(*faults: Fault) -> PostgresTrip:
        trip = PostgresTrip(story, stage.server(story), stage.database, service)
        trip.perform(*faults)
        return trip

    unkilled = play()
    assert unkilled.judge() == []
    for point in sample(points_of(unkilled.passed[0]), TRIP_POINTS):
        killed = play(Fault(point))
        assert killed.judge() == [], f"{story} killed at {point}"
        assert killed.struck() is not None, f"{point} was not hit"


def test_a_planted_bug_is_found(played: Played, points_in: PointsIn) -> None:
    """Whoever acts before the commit is found out by a kill before one."""
    story, bug = next(story for story in STORIES if story.name == "backward"), "acts_before_the_commit"
    assert played(story, bug=bug).judge() == [], "without a kill it does no harm"
    befores = [point for point in points_in(story) if point.moment == "before"]
    assert any(played(story, Fault(point), bug=bug).judge() for point in befores)


def _sweep_telling(telling: Telling, role: str, points: list[Point], told: Told) -> None:
    was_hit = False
    for point in points:
        for _ in range(PLAYS_MAX):
            play = told(telling, **{role: Fault(point)})
            assert play.judge() == [], f"{telling}: {role} killed at {point}"
            if play.struck(role) is not None:
                was_hit = True
                break
    assert was_hit or not points, "nobody was killed"


def _sweep(story: Story, points: list[Point], played: Played) -> None:
    for point in points:
        struck = None
        for _ in range(PLAYS_MAX):
            killed = played(story, Fault(point))
            assert killed.judge() == [], f"{story} killed at {point}"
            struck = killed.struck()
            if struck is not None:
                break
        assert struck is not None and point.transaction in struck["kinds"], f"{point} was not hit"
