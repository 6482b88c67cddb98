"""Of several orchestrators one is stopped, killed or told to end: its runs go on with the others, and only there."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.many.fleet import Fleet, fleet, until

STOPS, STOPS_IN_SOAK = 20, 200
STALE_WRITES_MIN = 10
HOUR = 3600

REFUSED = "what was not recorded is its to decide"
"""Said of a run of which something was to be recorded by who does not drive it any more."""
LOST = "is taken over"


@pytest.fixture
def many(tmp_path: Path, postgres: Any) -> Iterator[Fleet]:
    with fleet(tmp_path, postgres.url(postgres.new_database())) as orchestrators:
        yield orchestrators


@pytest.mark.parametrize(
    "stops", [STOPS, pytest.param(STOPS_IN_SOAK, marks=pytest.mark.soak)], ids=["", "soak"]
)
def test_who_is_stopped_for_longer_than_his_lease_records_nothing_more(many: Fleet, stops: int) -> None:
    """And nothing of his runs beside what the others do, though his clock is wrong by an hour."""
    members = [many.start(HOUR), many.start(-HOUR), many.start(HOUR)]
    for _ in range(stops):
        many.ask(6)
        until(lambda: any(len(many.driven_by(member)) > 1 for member in members))
        stopped = max(members, key=lambda member: len(many.driven_by(member)))
        stopped.stop()
        count = stopped.count_said(LOST) + len(many.driven_by(stopped))
        until(lambda member=stopped: not many.driven_by(member))
        stopped.go_on()
        until(lambda member=stopped, count=count: member.count_said(LOST) >= count)
        until(lambda: not many.unsettled())
    many.judge()
    assert sum(member.count_said(REFUSED) for member in members) >= STALE_WRITES_MIN


def test_the_runs_of_who_is_killed_go_on_elsewhere(many: Fleet) -> None:
    """When his lease is over: each is taken once by each of the two."""
    killed = many.start()
    many.ask(8)
    until(lambda: len(many.driven_by(killed)) == 8)
    many.start()
    killed.signal(signal.SIGKILL)
    until(lambda: not many.unsettled())
    many.judge()
    assert many.rows("SELECT min(epoch), max(epoch) FROM runs") == [(3, 3)]


def test_who_is_told_to_end_hands_back_at_once_what_he_has_nothing_to_do_for(many: Fleet) -> None:
    """And the rest when it has ended: nobody waits for a lease."""
    ending = many.start()
    many.ask(8)
    until(lambda: len(many.driven_by(ending)) == 8)
    many.start()
    ending.signal(signal.SIGTERM)
    until(lambda: not many.unsettled())
    assert ending.process.wait(60) == 0
    many.judge()
    assert many.rows("SELECT count(*) FROM orchestrators") == [(1,)]
