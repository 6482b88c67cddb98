"""Fork servers for all tests of a worker process, and what passes in each story when nothing strikes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from examples.trip import booking_service
from tests.crash.faults import Fault, Transaction
from tests.crash.stories import ForkServer, Play, Story
from tests.crash.tellings import ROLES, Telling, TellingPlay
from tests.crash.trips import Service

Players = Callable[..., Play]
Passed = Callable[[Story], list[Transaction]]
Tellers = Callable[..., TellingPlay]
PassedBy = Callable[[Telling, str], list[Transaction]]


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Story], ForkServer]]:
    """The fork server that has what the story needs."""
    servers: dict[tuple[str, ...], ForkServer] = {}

    def server(story: Story) -> ForkServer:
        if story.modules not in servers:
            servers[story.modules] = ForkServer(tmp_path_factory.mktemp("killed"), *story.modules)
        return servers[story.modules]

    yield server
    for each in servers.values():
        each.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The booking service that trips are about."""
    database = tmp_path_factory.mktemp("service") / "bookings.db"
    with booking_service.running(database) as url:
        yield Service(url, database)


@pytest.fixture(scope="session")
def play(server_of: Callable[[Story], ForkServer]) -> Players:
    """Plays a story, struck by these faults."""

    def played(story: Story, *faults: Fault, strike: str = "", bug: str = "", fresh: str = "") -> Play:
        return Play(story, server_of(story), bug=bug, fresh=fresh).perform(*faults, strike=strike.split())

    return played


@pytest.fixture(scope="session")
def passed(play: Players) -> Passed:
    """The transactions that pass in the process of the story that is swept, when nothing strikes it."""
    known: dict[str, list[Transaction]] = {}

    def transactions(story: Story) -> list[Transaction]:
        if story.name not in known:
            unkilled = play(story)
            assert unkilled.judge() == []
            known[story.name] = unkilled.passed[1 if story.strikes_release else 0]
        return known[story.name]

    return transactions


@pytest.fixture(scope="session")
def tell(server_of: Callable[[Story], ForkServer]) -> Tellers:
    """Plays a telling, its `driver` and its `teller` struck by these faults."""

    def told(telling: Telling, **faults: Fault) -> TellingPlay:
        return TellingPlay(telling, server_of(telling.story)).perform_with(**faults)

    return told


@pytest.fixture(scope="session")
def passed_by(tell: Tellers) -> PassedBy:
    """The transactions that pass in the telling's process of that role, when nothing strikes."""
    known: dict[tuple[str, str], list[Transaction]] = {}

    def transactions(telling: Telling, role: str) -> list[Transaction]:
        if (str(telling), role) not in known:
            unkilled = tell(telling)
            assert unkilled.judge() == []
            known.update({(str(telling), each): unkilled.passed_by[each] for each in ROLES})
        return known[str(telling), role]

    return transactions
