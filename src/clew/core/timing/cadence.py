"""A cadence: rows of columns of cron expressions, on the local time of a zone, as instants.

A time is due when in at least one row every column matches. What a change of clocks makes of that is decided
here, period by period between two changes, since within one local time and instants differ by a constant:

- A *fixed* row is due once at each local time it names. One that clocks skip is due at the first instant after
  the gap (`gap: next`) or not at all (`skip`); one that they show twice the first time, the second, or both.
- An *elapsed* row (in each of its columns the minute or the hour begins with `*`) is due at every instant at which
  clocks show a time that it names, whatever `clock_change` says.

Instants are whole seconds as `zones.py` counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from clew.core.timing.clock_change import USUAL, ClockChange
from clew.core.timing.columns import CadenceError, Column
from clew.core.timing.rows import FIRST_DAY, LAST_DAY, Row, is_due_every_minute
from clew.core.timing.windows import RepeatingWindow
from clew.core.timing.zones import DAY, Change, Zone

ROW_COUNT_MAX = 100
"""Rows of a cadence, and columns of a row: more than anybody can oversee."""

# Local time is less than a day from UTC, and what is due is less than a day, in UTC's count, from the time that names
# it: from two days before that time the search has it within the three days that it looks ahead.
_NEAR = 3 * DAY
_JUMP = 2 * DAY


class _Period(Struct, frozen=True):
    """From instant `start` to before `end` with a constant offset; the changes at both ends, where they are near."""

    start: int
    end: int
    offset: int
    opening: Change | None
    closing: Change | None


class Cadence:
    """The due times of a matrix.

    `matrix` is a sequence of rows, each a sequence of expressions. Raises CadenceError with the row, the column
    and the place of a mistake, also where a row, or with `window` all of them, can never be due.
    """

    def __init__(
        self,
        matrix: Sequence[Sequence[str]],
        zone: Zone,
        clock_change: ClockChange = USUAL,
        window: RepeatingWindow | None = None,
    ) -> None:
        self.zone = zone
        self.clock_change = clock_change
        self.window = window
        self.rows = rows_of(matrix)
        within = self.rows if window is None else _within(self.rows, window)
        if all(row.is_never_due for row in within):
            raise CadenceError(
                "no time of it is within the window", "widen the window, or change the cadence"
            )
        self._rows = tuple(row for row in within if not row.is_never_due)
        self._fixed = tuple(row for row in self._rows if not row.is_elapsed)
        self._elapsed = tuple(row for row in self._rows if row.is_elapsed)

    @property
    def is_due_every_minute(self) -> bool:
        """Whether no minute is left out."""
        return is_due_every_minute(self._rows)

    # ---- when it is due ----------------------------------------------------------------------------------

    def next(self, after: int) -> int | None:
        """The first due instant later than that one; None at the end of the calendar."""
        at = max(after, FIRST_DAY * DAY)
        while at < LAST_DAY * DAY:
            if not self.zone.changes(at - 2 * _NEAR, at + 2 * _NEAR):
                offset = self.zone.offset(at)
                minute = _next_of(self._rows, (at + offset) // 60 + 1)
                if minute is None:
                    return None
                found = minute * 60 - offset
                if found <= at + _NEAR:
                    return found
                # Nothing is named for a time before `minute`, so nothing is due until near it.
                at = max(at, minute * 60 - _JUMP)
                continue
            due = self._first_between(at + 1, at + _NEAR)
            if due is not None:
                return due
            at += _NEAR
        return None

    def previous(self, before: int) -> int | None:
        """The last due instant earlier than that one; None at the beginning of the calendar."""
        at = min(before, LAST_DAY * DAY)
        while at > FIRST_DAY * DAY:
            if not self.zone.changes(at - 2 * _NEAR, at + 2 * _NEAR):
                offset = self.zone.offset(at)
                minute = _previous_of(self._rows, (at + offset - 1) // 60)
                if minute is None:
                    return None
                found = minute * 60 - offset
                if found >= at - _NEAR:
                    return found
                at = min(at, minute * 60 + _JUMP)
                continue
            due = self._last_between(at - _NEAR, at - 1)
            if due is not None:
                return due
            at -= _NEAR
        return None

    def between(self, start: int, end: int) -> Iterator[int]:
        """The due instants from `start` on and before `end`, in order."""
        due = self.next(start - 1)
        while due is not None and due < end:
            yield due
            due = self.next(due)

    # ---- near a change of clocks -------------------------------------------------------------------------

    def _first_between(self, low: int, high: int) -> int | None:
        for period in self._periods(low, high):
            start, end = max(low, period.start), min(high, period.end - 1)
            if start == period.start and self.gap_rows(period.opening):
                return start
            found = [_next_of(self._elapsed, -(-(start + period.offset) // 60))]
            first, last = self._fixed_range(period, start, end)
            found.append(_next_of(self._fixed, -(-first // 60)))
            due = [
                minute * 60 - period.offset
                for minute, most in zip(found, (end + period.offset, last), strict=True)
                if minute is not None and minute * 60 <= most
            ]
            if due:
                return min(due)
        return None

    def _last_between(self, low: int, high: int) -> int | None:
        for period in reversed(self._periods(low, high)):
            start, end = max(low, period.start), min(high, period.end - 1)
            found = [_previous_of(self._elapsed, (end + period.offset) // 60)]
            first, last = self._fixed_range(period, start, end)
            found.append(_previous_of(self._fixed, last // 60))
            due = [
                minute * 60 - period.offset
                for minute, least in zip(found, (start + period.offset, first), strict=True)
                if minute is not None and minute * 60 >= least
            ]
            if due:
                return max(due)
            if start == period.start and self.gap_rows(period.opening):
                return start
        return None

    def _periods(self, low: int, high: int) -> list[_Period]:
        """The periods that have instants from `low` to `high`, in order."""
        changes = self.zone.changes(low - _NEAR, high + _NEAR)
        starts = [low - _NEAR, *(change.at for change in changes)]
        ends = [*(change.at for change in changes), high + _NEAR]
        around: list[Change | None] = [None, *changes, None]
        return [
            _Period(start, end, self.zone.offset(start), around[at], around[at + 1])
            for at, (start, end) in enumerate(zip(starts, ends, strict=True))
            if start <= high and end > low
        ]

    def _fixed_range(self, period: _Period, start: int, end: int) -> tuple[int, int]:
        """The first and the last local second of the period, from instant `start` to `end`, for fixed rows."""
        first, last = start + period.offset, end + period.offset
        # Where clocks go back, what they have shown by `start + before` they show again.
        if self.clock_change.twice == "first" and period.opening is not None:
            first = max(first, period.start + period.opening.before)
        if self.clock_change.twice == "second" and period.closing is not None:
            last = min(last, period.end + period.closing.after - 1)
        return first, last

    def gap_rows(self, change: Change | None) -> list[tuple[Row, int]]:
        """The fixed rows that are due at a change since it leaves out a time of theirs, with that local minute."""
        if change is None or change.after < change.before or self.clock_change.gap == "skip":
            return []
        found = []
        for row in self._fixed:
            minute = row.next(-(-(change.at + change.before) // 60))
            if minute is not None and minute * 60 < change.at + change.after:
                found.append((row, minute))
        return found

    # ---- which rows --------------------------------------------------------------------------------------

    def rows_due(self, at: int) -> list[tuple[Row, int]]:
        """The rows that make that instant due, each with the local minute that it names."""
        (period,) = self._periods(at, at)
        found = self.gap_rows(period.opening) if at == period.start else []
        local = at + period.offset
        if local % 60:
            return found
        first, last = self._fixed_range(period, at, at)
        rows = self._rows if first <= local <= last else self._elapsed
        return [*found, *((row, local // 60) for row in rows if row.matches(local // 60))]


def rows_of(matrix: Sequence[Sequence[str]]) -> tuple[Row, ...]:
    """The rows of a matrix, each of which can be due. Raises CadenceError."""
    if not matrix:
        raise CadenceError("a cadence without rows", "give at least one, or leave out the cadence")
    if len(matrix) > ROW_COUNT_MAX:
        raise CadenceError(f"a cadence of {len(matrix)} rows", f"at most {ROW_COUNT_MAX} are allowed")
    return tuple(row_of(number, expressions) for number, expressions in enumerate(matrix))


def row_of(number: int, expressions: Sequence[str]) -> Row:
    """The row of that number. Raises CadenceError."""
    if not expressions:
        raise CadenceError("a row without columns", "give at least one expression", row=number)
    if len(expressions) > ROW_COUNT_MAX:
        raise CadenceError(
            f"a row of {len(expressions)} columns", f"at most {ROW_COUNT_MAX} are allowed", row=number
        )
    columns = []
    for at, text in enumerate(expressions):
        try:
            columns.append(Column(text))
        except CadenceError as error:
            error.row, error.column = number, at
            raise
    row = Row(number, columns)
    if row.is_never_due:
        raise _never_due(row)
    return row


def _never_due(row: Row) -> CadenceError:
    """Says which columns of a row exclude each other: as few as the first one that does so needs."""
    for at, column in enumerate(row.columns):
        if Row(row.number, [column]).is_never_due:
            what = f"'{column.text}' is never due: no month that it names has such a day"
            return CadenceError(what, "name a day that the months have", row=row.number, column=at)
    for at, column in enumerate(row.columns):
        for before, other in enumerate(row.columns[:at]):
            pair = Row(row.number, [other, column])
            if pair.is_never_due:
                what = f"never due together with '{other.text}': {_without(pair)}"
                hint = f"change one of the columns {before + 1} and {at + 1}, or make them rows"
                return CadenceError(what, hint, row=row.number, column=at)
    return CadenceError(f"never due: {_without(row)}", "change one of its columns", row=row.number)


def _without(row: Row) -> str:
    if not row.minutes:
        return "they have no minute of the day in common"
    return "they have no month in common" if not row.months else "they have no day in common"


def _within(rows: Iterable[Row], window: RepeatingWindow) -> tuple[Row, ...]:
    """A repeating window is one more column of each row, in the parts that days and minutes make of it."""
    return tuple(
        Row(row.number, row.columns, weekdays=weekdays, minutes=minutes)
        for row in rows
        for weekdays, minutes in window.parts
    )


def _next_of(rows: Iterable[Row], minute: int) -> int | None:
    found = None
    for row in rows:
        its = row.next(minute)
        if its is not None and (found is None or its < found):
            found = its
    return found


def _previous_of(rows: Iterable[Row], minute: int) -> int | None:
    found = None
    for row in rows:
        its = row.previous(minute)
        if its is not None and (found is None or its > found):
            found = its
    return found
