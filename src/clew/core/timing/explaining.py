"""Why an instant is due, or is not: which row and column said yes or no, and what clocks, window and bounds add."""

from __future__ import annotations

from datetime import date, datetime

from msgspec import Struct

from clew.core.timing.columns import DAY_MINUTES, Column
from clew.core.timing.rows import Row, length_of
from clew.core.timing.timing import Timing
from clew.core.timing.zones import naive_of


class ColumnAnswer(Struct, frozen=True):
    """Whether a column matches, and by what: the parts of the local time that its fields name."""

    expression: str
    matches: bool
    minute: bool
    hour: bool
    day: bool
    month: bool


class RowAnswer(Struct, frozen=True):
    """Whether a row makes the instant due. `local` is the time that its columns were asked of; `why` may be empty."""

    row: int
    is_due: bool
    columns: tuple[ColumnAnswer, ...]
    local: datetime
    why: str = ""


class Explanation(Struct, frozen=True):
    """`local` is what clocks show at the instant. `why` says what no row can: bounds, single times."""

    instant: int
    local: datetime
    is_due: bool
    rows: tuple[RowAnswer, ...] = ()
    why: str = ""


def explain(timing: Timing, at: int) -> Explanation:
    """What each row and column says of the instant."""
    local = naive_of(at + timing.zone.offset(at))
    is_due = timing.next(at - 1) == at
    rows: tuple[RowAnswer, ...] = ()
    if timing.cadence is not None:
        rows = tuple(_row_answer(timing, row, at) for row in timing.cadence.rows)
    return Explanation(at, local, is_due, rows, _why(timing, at, is_due))


def _why(timing: Timing, at: int, is_due: bool) -> str:
    if timing.first is not None and at < timing.first:
        return "it is before initial"
    if timing.last is not None and at > timing.last:
        return "it is after final"
    if timing.cadence is None and not is_due:
        return (
            "it is due once, when it is first live"
            if timing.is_once_when_live
            else "it is due at another time"
        )
    return ""


def _row_answer(timing: Timing, row: Row, at: int) -> RowAnswer:
    assert timing.cadence is not None
    second = at + timing.zone.offset(at)
    named = [minute for its, minute in timing.cadence.rows_due(at) if its.number == row.number]
    minute = named[0] if named else second // 60
    columns = tuple(_column_answer(column, minute) for column in row.columns)
    local = naive_of(minute * 60)
    if named:
        moved = minute * 60 != second
        why = f"clocks skip {local:%H:%M}, so it is due at the first instant after the gap" if moved else ""
        return RowAnswer(row.number, True, columns, local, why)
    return RowAnswer(row.number, False, columns, local, _why_not(timing, row, second))


def _why_not(timing: Timing, row: Row, second: int) -> str:
    """What keeps a row from being due although all its columns match."""
    if second % 60:
        return "it is not on the minute"
    if not row.matches(second // 60):
        return ""
    if timing.window is not None and not timing.window.holds(second // 60):
        return "it is outside the window"
    return f"clocks show it twice, and the {timing.clock_change.twice} time counts"


def _column_answer(column: Column, minute: int) -> ColumnAnswer:
    day, of_day = divmod(minute, DAY_MINUTES)
    at = date.fromordinal(day)
    alone = Row(0, [column])
    # Which days match does not depend on the month that is named.
    first = at.replace(day=1).toordinal()
    return ColumnAnswer(
        expression=column.text,
        matches=alone.matches(minute),
        minute=of_day % 60 in column.minute_set,
        hour=of_day // 60 in column.hour_set,
        day=bool(column.days(first % 7, length_of(at.year, at.month)) >> at.day & 1),
        month=bool(column.months >> at.month & 1),
    )
