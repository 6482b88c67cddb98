"""A row of a cadence: the local minutes at which every one of its columns matches.

Columns meet as sets, the minutes of the day first, then the days by the kinds of month that the calendar's cycle
of 400 years has: a first weekday and a length. Nothing is found by stepping one column against another.

A local minute is a whole number: minutes since the day before 1 January of the year 1, so that its day, divided
by 1440, is the ordinal of `datetime.date`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property

from clew.core.timing.columns import DAY_MINUTES, EVERY_DAY, EVERY_MONTH, Column

EVERY_MINUTE = (1 << DAY_MINUTES) - 1
# Clear of the calendar's ends, so that no time zone's offset leads beyond them.
FIRST_DAY = date(10, 1, 1).toordinal()
LAST_DAY = date(9990, 12, 31).toordinal()

_LENGTHS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

MonthKind = tuple[int, int, int]
"""A month's number, its first weekday (Sunday is 0) and its length in days."""

# In 400 years each month begins on every weekday, and so does each February of a leap year.
MONTH_KINDS: tuple[MonthKind, ...] = tuple(
    (month, weekday, length)
    for month in range(1, 13)
    for weekday in range(7)
    for length in ((28, 29) if month == 2 else (_LENGTHS[month],))
)


class Row:
    """What is due where all columns match, and within the part of a repeating window that it is given.

    `number` is the row's in its cadence. `weekdays` (bit 0 is Sunday) and `minutes` (of a day) are that part.
    """

    def __init__(
        self,
        number: int,
        columns: Sequence[Column],
        *,
        weekdays: int = 0b1111111,
        minutes: int = EVERY_MINUTE,
    ) -> None:
        self.number = number
        self.columns = tuple(columns)
        self.is_elapsed = all(column.is_elapsed for column in columns)
        self.weekdays = weekdays
        self.months = EVERY_MONTH
        for column in columns:
            minutes &= column.minutes
            self.months &= column.months
        self.minutes = minutes
        self._days: dict[tuple[int, int], int] = {}

    def days(self, first_weekday: int, length: int) -> int:
        """Bit d for each day d on which all columns match, in a month of that kind that all of them name."""
        known = self._days.get((first_weekday, length))
        if known is None:
            known = _days_of_weekdays(self.weekdays, first_weekday, length)
            for column in self.columns:
                known &= column.days(first_weekday, length)
            self._days[first_weekday, length] = known
        return known

    @cached_property
    def is_never_due(self) -> bool:
        """Whether no minute of the 400 years matches."""
        return not self.minutes or not any(
            self.months >> month & 1 and self.days(weekday, length) for month, weekday, length in MONTH_KINDS
        )

    def matches(self, minute: int) -> bool:
        """Whether it is due at that local minute."""
        day, of_day = divmod(minute, DAY_MINUTES)
        return bool(self.minutes >> of_day & 1) and self._matches_day(day)

    def _matches_day(self, day: int) -> bool:
        at = date.fromordinal(day)
        return bool(self.months >> at.month & 1 and self._days_around(at) >> at.day & 1)

    def _days_around(self, at: date) -> int:
        first_weekday = (at.toordinal() - at.day + 1) % 7
        return self.days(first_weekday, length_of(at.year, at.month))

    def next(self, minute: int) -> int | None:
        """The first due minute from that one on, itself included; None where the calendar ends."""
        day, of_day = divmod(minute, DAY_MINUTES)
        if self.is_never_due:
            return None
        left = self.minutes >> of_day
        if left and self._matches_day(day):
            return minute + _lowest(left)
        found = self._next_day(day + 1)
        return None if found is None else found * DAY_MINUTES + _lowest(self.minutes)

    def previous(self, minute: int) -> int | None:
        """The last due minute up to that one, itself included; None where the calendar begins."""
        day, of_day = divmod(minute, DAY_MINUTES)
        if self.is_never_due:
            return None
        left = self.minutes & ((2 << of_day) - 1)
        if left and self._matches_day(day):
            return day * DAY_MINUTES + left.bit_length() - 1
        found = self._previous_day(day - 1)
        return None if found is None else found * DAY_MINUTES + self.minutes.bit_length() - 1

    def _next_day(self, day: int) -> int | None:
        at = date.fromordinal(day)
        year, month, from_day = at.year, at.month, at.day
        first = day - at.day + 1
        while first <= LAST_DAY:
            length = length_of(year, month)
            if self.months >> month & 1:
                left = self.days(first % 7, length) >> from_day
                if left:
                    return first - 1 + from_day + _lowest(left)
            first, from_day = first + length, 1
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return None

    def _previous_day(self, day: int) -> int | None:
        at = date.fromordinal(day)
        year, month, to_day = at.year, at.month, at.day
        first = day - at.day + 1
        while first >= FIRST_DAY:
            length = length_of(year, month)
            if self.months >> month & 1:
                left = self.days(first % 7, length) & ((2 << to_day) - 1)
                if left:
                    return first - 2 + left.bit_length()
            year, month = (year, month - 1) if month > 1 else (year - 1, 12)
            first, to_day = first - length_of(year, month), 31
        return None


def is_due_every_minute(rows: Iterable[Row]) -> bool:
    """Whether the rows together leave out no minute."""
    rows = tuple(rows)
    together = 0
    for row in rows:
        together |= row.minutes
    # Most cadences end here.
    return together == EVERY_MINUTE and all(
        _minutes_of_day(rows, kind, day) == EVERY_MINUTE
        for kind in MONTH_KINDS
        for day in range(1, kind[2] + 1)
    )


def _minutes_of_day(rows: Iterable[Row], kind: MonthKind, day: int) -> int:
    month, weekday, length = kind
    together = 0
    for row in rows:
        if row.months >> month & 1 and row.days(weekday, length) >> day & 1:
            together |= row.minutes
    return together


def length_of(year: int, month: int) -> int:
    """The days of a month."""
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and is_leap else _LENGTHS[month]


def _days_of_weekdays(weekdays: int, first_weekday: int, length: int) -> int:
    if weekdays == 0b1111111:
        return EVERY_DAY
    return sum(1 << day for day in range(1, length + 1) if weekdays >> ((first_weekday + day - 1) % 7) & 1)


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
