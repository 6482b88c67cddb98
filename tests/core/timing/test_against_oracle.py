"""The engine and an oracle that walks UTC minute by minute never differ: over all zones, 2000 to 2037."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from tests.core.timing.oracle import DAY, MINUTE, Walk, next_of, previous_of, random_matrix

from clew.core.timing.cadence import Cadence
from clew.core.timing.clock_change import ClockChange
from clew.core.timing.columns import CadenceError
from clew.core.timing.zones import instant_of, moment_of, zone

FIRST, LAST = datetime(2000, 1, 1), datetime(2037, 12, 31)
ZONES = sorted(available_timezones() - {"localtime"})
SETTINGS = [(gap, twice) for gap in ("next", "skip") for twice in ("first", "second", "both")]
MATRICES = 6
"""Of a window: walking it costs more than asking of it."""
MOMENTS = 25
"""Of a matrix: each asked for the next time and for the previous one."""


@cache
def changes(name: str) -> tuple[datetime, ...]:
    """About when the zone's clocks change, found by looking every six hours."""
    info = ZoneInfo(name)
    found, at, before = [], FIRST.replace(tzinfo=UTC), None
    while at < LAST.replace(tzinfo=UTC):
        offset = at.astimezone(info).utcoffset()
        if before is not None and offset != before:
            found.append(at.replace(tzinfo=None))
        at, before = at + timedelta(hours=6), offset
    return tuple(found)


def windows(chance: random.Random) -> Iterator[tuple[str, datetime]]:
    """The middles of windows: at changes of clocks, every zone in its turn, and now and then anywhere."""
    while True:
        for name in chance.sample(ZONES, len(ZONES)):
            its = changes(name) if chance.random() < 0.9 else ()
            anywhere = FIRST + MINUTE * chance.randrange(int((LAST - FIRST) / MINUTE))
            yield name, chance.choice(its) if its else anywhere


def compare(seed: int, least: int) -> int:
    """Compares until there were so many comparisons. Returns how many."""
    chance = random.Random(seed)
    count = 0
    for name, middle in windows(chance):
        walk = Walk(name, middle - 5 * DAY, middle + 5 * DAY)
        for _ in range(MATRICES):
            count += compare_matrix(walk, name, middle, chance)
        if count >= least:
            return count
    raise AssertionError


def compare_matrix(walk: Walk, name: str, middle: datetime, chance: random.Random) -> int:
    matrix = random_matrix(chance)
    gap, twice = chance.choice([("next", "first"), chance.choice(SETTINGS)])
    try:
        cadence = Cadence(matrix, zone(name), ClockChange(gap, twice))
    except CadenceError:
        # Said to be never due: then the oracle must not find a row of it due either.
        assert any(not walk.due([row], gap, twice) for row in matrix), matrix
        return 1
    due = walk.due(matrix, gap, twice)
    for _ in range(MOMENTS):
        near = chance.choice([5 * DAY, 5 * DAY, timedelta(hours=4)])
        at = middle + timedelta(seconds=chance.randint(-int(near.total_seconds()), int(near.total_seconds())))
        at = chance.choice([at, at.replace(second=0), *([chance.choice(due)] if due else [])])
        told = f"{matrix} in {name}, {gap}, {twice}, at {at}"
        later, earlier = cadence.next(counted(at)), cadence.previous(counted(at))
        expected = next_of(due, at)
        assert written(later, walk.end) == expected, f"next of {told}"
        expected = previous_of(due, at)
        assert written(earlier, walk.end, walk.start) == expected, f"previous of {told}"
    return 2 * MOMENTS


def counted(at: datetime) -> int:
    return instant_of(at.replace(tzinfo=UTC))


def written(instant: int | None, end: datetime, start: datetime = FIRST - 99 * DAY) -> datetime | None:
    """The instant as the oracle has it: it knows of none beyond its walk."""
    if instant is None:
        return None
    at = moment_of(instant).replace(tzinfo=None)
    return at if start <= at <= end else None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(4))
def test_no_difference(part: int) -> None:
    """20,000 comparisons in four parts, in windows around changes of clocks and anywhere."""
    assert compare(seed=part, least=5_000) >= 5_000


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(10))
def test_no_difference_in_a_million(part: int) -> None:
    """1,000,000 comparisons in ten parts, other ones than those of the ordinary run."""
    assert compare(seed=1_000 + part, least=100_000) >= 100_000
