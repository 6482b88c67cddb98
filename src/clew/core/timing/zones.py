"""A time zone as changes of its offset from UTC: the one place of core that reads the time zone data.

Moments are whole seconds. `at` is an instant: seconds of UTC since the day before 1 January of the year 1; adding
an offset gives local seconds, on the same count. `instant_of` and `moment_of` lead from and to `datetime`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from msgspec import Struct

DAY = 86_400
_FIRST = datetime(1, 1, 1, tzinfo=UTC)

# Offsets are kept by blocks of 2^22 seconds, 48 days: who looks 28 years ahead need not read what lies between.
_BLOCK = 22
# How far apart the offset is looked at. Between 1970 and 2037 no zone of release 2025b goes back within a week (the
# shortest summer, of Fernando de Noronha in the year 2000, has seven days), so no change hides between two looks.
_STEP = 5 * DAY
# As many zones as have a name.
_ZONE_COUNT_MAX = 1_024


class Change(Struct, frozen=True):
    """At instant `at` the offset, in seconds, goes from `before` to `after`."""

    at: int
    before: int
    after: int


class _Block(Struct, frozen=True):
    offset: int
    changes: tuple[Change, ...]


class Zone:
    """A time zone by its name in the database. `zone` raises KeyError where there is none of that name."""

    def __init__(self, name: str, info: tzinfo) -> None:
        self.name = name
        self._info = info
        self._blocks: dict[int, _Block] = {}

    def offset(self, at: int) -> int:
        """The local time's lead over UTC at that instant, in seconds."""
        block = self._block(at >> _BLOCK)
        offset = block.offset
        for change in block.changes:
            if change.at > at:
                break
            offset = change.after
        return offset

    def changes(self, start: int, end: int) -> tuple[Change, ...]:
        """The changes after instant `start` and up to instant `end`, in order."""
        first, last = start >> _BLOCK, end >> _BLOCK
        found = self._block(first).changes
        for number in range(first + 1, last + 1):
            found += self._block(number).changes
        return tuple(change for change in found if start < change.at <= end) if found else found

    def instants(self, local: int) -> tuple[int, ...]:
        """The instants at which clocks show that local second: none, one, or two in order."""
        near = {self.offset(local - DAY), self.offset(local + DAY)}
        near |= {change.after for change in self.changes(local - DAY, local + DAY)}
        return tuple(sorted(local - offset for offset in near if self.offset(local - offset) == offset))

    def gap(self, local: int) -> Change | None:
        """The change that leaves out that local second; None if clocks show it."""
        for change in self.changes(local - 2 * DAY, local + 2 * DAY):
            if change.at + change.before <= local < change.at + change.after:
                return change
        return None

    def _block(self, number: int) -> _Block:
        known = self._blocks.get(number)
        if known is None:
            known = self._blocks[number] = self._read_block(number << _BLOCK, (number + 1) << _BLOCK)
        return known

    def _read_block(self, start: int, end: int) -> _Block:
        if self._info is UTC:
            return _Block(0, ())
        first = offset = self._read_offset(start)
        changes = []
        # The last look is at the end, where the next block begins with the new offset and knows of no change.
        for at in range(start, end, _STEP):
            then = min(at + _STEP, end)
            after = self._read_offset(then)
            if after != offset:
                changes.append(Change(self._first_with(after, at, then), offset, after))
                offset = after
        return _Block(first, tuple(changes))

    def _first_with(self, offset: int, before: int, at: int) -> int:
        """The first instant with that offset, which holds at `at` and not at `before`."""
        while at - before > 1:
            middle = (before + at) // 2
            if self._read_offset(middle) == offset:
                at = middle
            else:
                before = middle
        return at

    def _read_offset(self, at: int) -> int:
        offset = moment_of(at).astimezone(self._info).utcoffset()
        assert offset is not None
        return offset.days * DAY + offset.seconds


@lru_cache(maxsize=_ZONE_COUNT_MAX)
def zone(name: str) -> Zone:
    """The zone of that name. Raises KeyError if the time zone data has none."""
    if name == "UTC":
        return Zone(name, UTC)
    # 10 ms, and most programs keep to UTC.
    from zoneinfo import ZoneInfo

    try:
        return Zone(name, ZoneInfo(name))
    # A name such as `America` is a folder of the data, which the library does not expect.
    except (ValueError, OSError) as error:
        raise KeyError(name) from error


def instant_of(moment: datetime) -> int:
    """The instant of an aware moment, in whole seconds, rounded down. Raises TypeError for a naive one."""
    since = moment - _FIRST
    return (since.days + 1) * DAY + since.seconds


def moment_of(instant: int) -> datetime:
    """The instant as a moment of UTC."""
    return _FIRST + timedelta(seconds=instant - DAY)


_EPOCH = instant_of(datetime(1970, 1, 1, tzinfo=UTC))


def instant_at(milliseconds: int) -> int:
    """The instant, rounded down, of a moment in milliseconds since 1970."""
    return milliseconds // 1000 + _EPOCH


def milliseconds_at(instant: int) -> int:
    """The instant in milliseconds since 1970."""
    return (instant - _EPOCH) * 1000


def local_of(naive: datetime) -> int:
    """A naive local time as local seconds, rounded down."""
    return naive.toordinal() * DAY + naive.hour * 3600 + naive.minute * 60 + naive.second


def naive_of(local: int) -> datetime:
    """Local seconds as a naive local time."""
    return moment_of(local).replace(tzinfo=None)
