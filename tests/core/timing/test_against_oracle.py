"""The engine and an oracle that walks UTC minute by minute never differ: over all zones, 2000 to 2037."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from tests.core.timing.oracle import DAY, MINUTE, Row, Walk, next_of, previous_of, random_matrix

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
MOMENTS_OF_MANY = 60
"""Where a million comparisons are wanted: they still come from thousands of matrices in a thousand windows."""


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


def compare(seed: int, least: int, moments: int = MOMENTS) -> int:
    """Compares until there were so many comparisons. Returns how many."""
    chance = random.Random(seed)
    count = 0
    for name, middle in windows(chance):
        walk = Walk(name, middle - 5 * DAY, middle + 5 * DAY)
        for _ in range(MATRICES):
            count += compare_matrix(walk, name, middle, chance, moments)
        if count >= least:
            return count
    raise AssertionError


def compare_matrix(walk: Walk, name: str, middle: datetime, chance: random.Random, moments: int) -> int:
    matrix = random_matrix(chance)
    gap, twice = chance.choice([("next", "first"), chance.choice(SETTINGS)])
    try:
        cadence = Cadence(matrix, zone(name), ClockChange(gap, twice))
    except CadenceError:
        # Said to be never due: then the oracle must not find a row of it due either.
        assert any(not walk.due([row], gap, twice) for row in matrix), matrix
        return 1
    due = walk.due(matrix, gap, twice)
    for _ in range(moments):
        near = chance.choice([5 * DAY, 5 * DAY, timedelta(hours=4)])
        at = middle + timedelta(seconds=chance.randint(-int(near.total_seconds()), int(near.total_seconds())))
        at = chance.choice([at, at.replace(second=0), *([chance.choice(due)] if due else [])])
        told = f"{matrix} in {name}, {gap}, {twice}, at {at}"
        later, earlier = cadence.next(counted(at)), cadence.previous(counted(at))
        expected = next_of(due, at)
        assert written(later, walk.end) == expected, f"next of {told}"
        expected = previous_of(due, at)
        assert written(earlier, walk.end, walk.start) == expected, f"previous of {told}"
    return 2 * moments + compare_far(cadence, matrix, walk, gap, twice)


def compare_far(cadence: Cadence, matrix: list[list[str]], walk: Walk, gap: str, twice: str) -> int:
    """The nearest times beyond the walk: due by a short walk there, with no day named in between."""
    later, earlier = cadence.next(counted(walk.end)), cadence.previous(counted(walk.start))
    found = [moment_of(instant).replace(tzinfo=None) for instant in (later, earlier) if instant is not None]
    for at in found:
        is_later = at > walk.end
        start, end = (
            (max(at - DAY, walk.end + MINUTE), at) if is_later else (at, min(at + DAY, walk.start - MINUTE))
        )
        told = f"{matrix} in {walk.zone}, {gap}, {twice}, {at} beyond {walk.start} to {walk.end}"
        assert Walk(walk.zone, start, end).due(matrix, gap, twice) == [at], told
        day, last = (walk.end + 2 * DAY, at - 2 * DAY) if is_later else (at + 2 * DAY, walk.start - 2 * DAY)
        # Of a time centuries away, a part of the days will do.
        last = min(last, day + 12_000 * DAY)
        rows = [Row(row) for row in matrix]
        while day < last:
            assert not any(row.times and row.on_day(day.date()) for row in rows), f"{told}: {day}"
            day += DAY
    return len(found)


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
    assert compare(seed=1_000 + part, least=100_000, moments=MOMENTS_OF_MANY) >= 100_000
