"""`initial` and `final`: the first and the last time due, or a window that opens and closes every week or day.

A repeating window is on local time, as the cadence is: it holds each time that the cadence names from the minute
of `initial` to the minute of `final`, that one included. A time that a change of clocks moves is in the window if
the time that the cadence names is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec import Struct

from clew.core.timing.columns import DAY_MINUTES, CadenceError
from clew.core.timing.zones import DAY, Zone, instant_at, instant_of, local_of, milliseconds_at

# Far from the ends of the calendar, where an offset would lead beyond them.
YEAR_MIN, YEAR_MAX = 1900, 9000

WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_LONG = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_OF_DAY = re.compile(r"(?:(?P<day>[A-Za-z]+)\s+)?(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::00)?", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[ Tt]\d\d:\d\d(?::\d\d)?(?P<offset> ?[Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_HINT = "write a date and a time, such as 2026-01-01 13:00, or a weekday and a time, such as Mon 21:00"


class DateTime(Struct, frozen=True):
    """A date-time as it was written: local, or with its own offset an instant. Without fractions of a second."""

    naive: datetime | None = None
    moment: datetime | None = None

    def first(self, zone: Zone) -> int:
        """The instant; of two the earlier one, and the first after the gap for a time that clocks skip."""
        return self._instants(zone)[0]

    def last(self, zone: Zone) -> int:
        """The instant; of two the later one, and the first after the gap for a time that clocks skip."""
        return self._instants(zone)[-1]

    def _instants(self, zone: Zone) -> tuple[int, ...]:
        shown = self.shown(zone)
        if shown or self.naive is None:
            return shown
        gap = zone.gap(local_of(self.naive))
        assert gap is not None
        return (gap.at,)

    def shown(self, zone: Zone) -> tuple[int, ...]:
        """The instants at which clocks show it: none for a time that they skip."""
        if self.moment is not None:
            return (instant_of(self.moment),)
        assert self.naive is not None
        return zone.instants(local_of(self.naive))

    def __str__(self) -> str:
        if self.moment is not None:
            return f"{self.moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
        assert self.naive is not None
        form = "minutes" if self.naive.second == 0 else "seconds"
        return self.naive.isoformat(" ", timespec=form)


class OfWeek(Struct, frozen=True):
    """A minute of the day; with `weekday` (Sunday is 0), of that day of each week."""

    minute: int
    weekday: int | None = None

    def __str__(self) -> str:
        hour, minute = divmod(self.minute, 60)
        day = "" if self.weekday is None else f"{WEEKDAYS[self.weekday]} "
        return f"{day}{hour:02}:{minute:02}"


Bound = DateTime | OfWeek


class RepeatingWindow(Struct, frozen=True):
    """Open from `opens` to `closes`, both minutes included, every week or every day."""

    opens: OfWeek
    closes: OfWeek

    @property
    def parts(self) -> tuple[tuple[int, int], ...]:
        """Products of weekdays (bit 0 is Sunday) and minutes of the day (bit m) that together are the window."""
        opens, closes = self.opens.minute, self.closes.minute
        if self.opens.weekday is None or self.closes.weekday is None:
            every = 0b1111111
            if opens <= closes:
                return ((every, _minutes(opens, closes)),)
            return ((every, _minutes(opens, DAY_MINUTES - 1)), (every, _minutes(0, closes)))
        first, last = self.opens.weekday, self.closes.weekday
        if first == last and opens <= closes:
            return ((1 << first, _minutes(opens, closes)),)
        days = (last - first) % 7 or 7
        between = sum(1 << (first + day) % 7 for day in range(1, days))
        parts = [(1 << first, _minutes(opens, DAY_MINUTES - 1)), (1 << last, _minutes(0, closes))]
        return (*parts, (between, _minutes(0, DAY_MINUTES - 1))) if between else tuple(parts)

    def holds(self, minute: int) -> bool:
        """Whether that local minute (see `rows.py`) is within it."""
        day, of_day = divmod(minute, DAY_MINUTES)
        return any(days >> day % 7 & 1 and minutes >> of_day & 1 for days, minutes in self.parts)


class ProgramWindow(Struct, frozen=True):
    """A repeating window in a time zone: open or closed at each moment, in milliseconds since 1970."""

    window: RepeatingWindow
    zone: Zone

    def is_open(self, moment: int) -> bool:
        """Whether stages may begin at that moment."""
        return self._holds(instant_at(moment))

    def next_edge(self, after: int) -> int | None:
        """When it opens or closes next; None if it never does."""
        at = instant_at(after)
        is_open = self._holds(at)
        edges = sorted({edge for edge in self._candidates(at) if edge > at})
        found = next((edge for edge in edges if self._holds(edge) != is_open), None)
        return None if found is None else milliseconds_at(found)

    def _holds(self, at: int) -> bool:
        return self.window.holds((at + self.zone.offset(at)) // 60)

    def _candidates(self, at: int) -> Iterator[int]:
        """The instants of a week and a day at which it may open or close: where local time comes to a bound of it, or
        jumps."""
        last = at + 8 * DAY
        for change in self.zone.changes(at, last):
            yield change.at
        today = (at + self.zone.offset(at)) // DAY
        for day in range(today - 1, today + 9):
            for minute in (self.window.opens.minute, self.window.closes.minute + 1):
                yield from self.zone.instants(day * DAY + minute * 60)


def read_bound(text: str) -> Bound:
    """What `initial` or `final` says. Raises CadenceError."""
    found = _OF_DAY.fullmatch(text.strip())
    return read_date_time(text) if found is None else _of_week(text, found)


def read_date_time(text: str, hint: str = _HINT) -> DateTime:
    """A date-time, local or with an offset. Raises CadenceError."""
    found = _DATE_TIME.fullmatch(text.strip())
    if found is None:
        is_date = re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip(), re.ASCII)
        raise CadenceError(
            f"'{text}' has no time of day" if is_date else f"'{text}' is no time",
            f"write for example {text.strip()} 00:00" if is_date else hint,
        )
    try:
        moment = datetime.fromisoformat(text.strip().upper().replace(" Z", "Z"))
    except ValueError as error:
        raise CadenceError(f"there is no '{text}': {error}", hint) from error
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise CadenceError(f"'{text}' is too far away", f"write a year from {YEAR_MIN} to {YEAR_MAX}")
    return DateTime(naive=moment) if moment.tzinfo is None else DateTime(moment=moment.astimezone(UTC))


def _of_week(text: str, found: re.Match[str]) -> OfWeek:
    hour, minute = int(found["hour"]), int(found["minute"])
    if hour > 23 or minute > 59:
        raise CadenceError(f"there is no time '{text}'", "write 00:00 to 23:59")
    if found["day"] is None:
        return OfWeek(hour * 60 + minute)
    day = found["day"].lower()
    for number, name in enumerate(_LONG):
        if day in (name, name[:3]):
            return OfWeek(hour * 60 + minute, number)
    raise CadenceError(f"there is no weekday '{found['day']}'", f"write one of {', '.join(WEEKDAYS)}")


def _minutes(first: int, last: int) -> int:
    return (2 << last) - (1 << first)
