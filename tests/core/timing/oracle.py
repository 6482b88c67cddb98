"""What is due when, found by walking UTC minute by minute. Written apart from the engine, and sharing nothing with it.

It reads expressions itself, knows of a zone only what clocks show at an instant, and sees a change of clocks as a
walker does: the time on the clock jumps, or is one that it has shown before.
"""

from __future__ import annotations

import calendar
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# Clocks of no zone have jumped further since the year 2000.
MARGIN = DAY + timedelta(hours=1)

MONTHS = ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
ALIASES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}


def number(text: str, names: Sequence[str]) -> int:
    return names.index(text) if text in names else int(text)


def numbers(field: str, low: int, high: int, names: Sequence[str] = ()) -> set[int]:
    """A field of stars, numbers, names, ranges and steps."""
    found: set[int] = set()
    for term in field.split(","):
        body, _, step = term.partition("/")
        if body == "*":
            first, last = low, high
        elif "-" in body:
            first, last = (number(end, names) for end in body.split("-"))
        else:
            first = number(body, names)
            last = high if step else first
        found |= set(range(first, last + 1, int(step or 1)))
    return found


class Expression:
    def __init__(self, text: str) -> None:
        minute, hour, self.day, month, self.weekday = ALIASES.get(text, text).split()
        self.is_elapsed = minute[0] == "*" or hour[0] == "*"
        self.minutes, self.hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.months = numbers(month, 1, 12, MONTHS)
        self.either = self.day[0] != "*" and self.weekday[0] != "*"

    def on_day(self, at: date) -> bool:
        if at.month not in self.months:
            return False
        length = calendar.monthrange(at.year, at.month)[1]
        day, weekday = self._by_number(at.day, length), self._by_weekday(at, length)
        return day or weekday if self.either else day and weekday

    def _by_number(self, day: int, length: int) -> bool:
        return any(
            day == length if term == "L" else day in numbers(term, 1, 31) for term in self.day.split(",")
        )

    def _by_weekday(self, at: date, length: int) -> bool:
        its = at.isoweekday()
        for term in self.weekday.split(","):
            name, hash_sign, which = term.partition("#")
            if hash_sign:
                if number(name, WEEKDAYS) % 7 == its % 7 and (at.day - 1) // 7 + 1 == int(which):
                    return True
            elif term.endswith("L"):
                if int(term[:-1]) % 7 == its % 7 and at.day + 7 > length:
                    return True
            elif {its, its % 7} & numbers(term, 0, 7, WEEKDAYS):
                return True
        return False


class Row:
    """Expressions that must all match: the times of a day that they have in common, and which days."""

    def __init__(self, texts: Sequence[str]) -> None:
        columns = [Expression(text) for text in texts]
        self.is_elapsed = all(one.is_elapsed for one in columns)
        hours = set.intersection(*(one.hours for one in columns))
        minutes = set.intersection(*(one.minutes for one in columns))
        self.times = {(hour, minute) for hour in hours for minute in minutes}

        @cache
        def on_day(day: date) -> bool:
            return all(one.on_day(day) for one in columns)

        self.on_day = on_day


class Walk:
    """What clocks of a zone show from MARGIN before `start` to MARGIN after `end`, at every minute of UTC."""

    def __init__(self, zone: str, start: datetime, end: datetime) -> None:
        self.zone, self.start, self.end = zone, start, end
        info = ZoneInfo(zone)
        self.steps: list[tuple[datetime, datetime, tuple[int, int]]] = []
        self.skipped: list[tuple[datetime, datetime]] = []
        self.instants: dict[datetime, list[datetime]] = {}
        expected = None
        at = (start - MARGIN).replace(tzinfo=UTC)
        last = (end + MARGIN).replace(tzinfo=UTC)
        while at <= last:
            utc, local = at.replace(tzinfo=None), at.astimezone(info).replace(tzinfo=None)
            while expected is not None and expected < local:
                self.skipped.append((utc, expected))
                expected += MINUTE
            self.steps.append((utc, local, (local.hour, local.minute)))
            self.instants.setdefault(local, []).append(utc)
            expected = local + MINUTE
            at += MINUTE

    def due(self, matrix: Sequence[Sequence[str]], gap: str = "next", twice: str = "first") -> list[datetime]:
        """The due instants from `start` to `end`, in order."""
        found: set[datetime] = set()
        for row in matrix:
            found |= self._due_of_row(Row(row), gap, twice)
        return sorted(at for at in found if self.start <= at <= self.end)

    def _due_of_row(self, row: Row, gap: str, twice: str) -> set[datetime]:
        due: set[datetime] = set()
        for at, local, clock in self.steps:
            if clock in row.times and row.on_day(local.date()):
                shown = self.instants[local]
                wanted = (
                    shown
                    if row.is_elapsed or twice == "both"
                    else shown[:1]
                    if twice == "first"
                    else shown[-1:]
                )
                if at in wanted:
                    due.add(at)
        if not row.is_elapsed and gap == "next":
            for at, local in self.skipped:
                if (local.hour, local.minute) in row.times and row.on_day(local.date()):
                    due.add(at)
        return due


def next_of(due: list[datetime], at: datetime) -> datetime | None:
    position = bisect_right(due, at)
    return due[position] if position < len(due) else None


def previous_of(due: list[datetime], at: datetime) -> datetime | None:
    position = bisect_left(due, at)
    return due[position - 1] if position else None


# ---- random cadences -------------------------------------------------------------------------------------


def random_matrix(chance: random.Random) -> list[list[str]]:
    """Up to four rows of up to four columns. The more columns, the less each leaves out, so that times are left."""
    return [
        [random_expression(chance, columns) for _ in range(columns)]
        for columns in (chance.choice([1, 1, 2, 3, 4]) for _ in range(chance.choice([1, 1, 2, 3, 4])))
    ]


def random_expression(chance: random.Random, columns: int) -> str:
    if chance.random() < 0.04:
        return chance.choice(sorted(ALIASES))
    star = 0.15 + 0.2 * columns
    fields = [
        "*" if chance.random() < star else _field(chance, 0, 59),
        "*" if chance.random() < star else _field(chance, 0, 23),
        "*" if chance.random() < star + 0.3 else _day(chance),
        "*" if chance.random() < star + 0.4 else _field(chance, 1, 12, MONTHS),
        "*" if chance.random() < star + 0.3 else _weekday(chance),
    ]
    return " ".join(fields)


def _field(chance: random.Random, low: int, high: int, names: Sequence[str] = ()) -> str:
    return ",".join(_term(chance, low, high, names) for _ in range(chance.choice([1, 1, 1, 2, 3])))


def _term(chance: random.Random, low: int, high: int, names: Sequence[str]) -> str:
    first, last = sorted(chance.randint(low, high) for _ in range(2))
    ends = [names[end] if names and chance.random() < 0.3 else str(end) for end in (first, last)]
    step = chance.choice([1, 2, 3, 5, 7, 10, 15, 20])
    return chance.choice(
        [ends[0], ends[0], "-".join(ends), "-".join(ends) + f"/{step}", f"*/{step}", f"{first}/{step}"]
    )


def _day(chance: random.Random) -> str:
    return "L" if chance.random() < 0.1 else _field(chance, 1, 31)


def _weekday(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.1:
        return f"{chance.randint(0, 6)}L"
    if kind < 0.2:
        return f"{chance.choice(WEEKDAYS)}#{chance.randint(1, 5)}"
    return _field(chance, 0, 6, WEEKDAYS)
