"""Which row and column say that an instant is due, and which that it is not."""

from __future__ import annotations

from typing import Any

from tests.core.timing.asking import at

from clew.core.timing.explaining import Explanation, explain
from clew.core.timing.timing import Timing
from clew.core.timing.zones import zone


def explained(cadence: Any, moment: str, name: str = "UTC", **keys: Any) -> Explanation:
    return explain(Timing(cadence, zone(name), **keys), at(moment))


def test_rows_and_columns() -> None:
    """Each row's answer, and of each column the parts of the time that it names."""
    found = explained([["* * 1-3 * *", "0 9 * * 1,2"], ["0 9 * * *", "* * * 2 *"]], "2026-02-03 09:00")
    assert found.is_due and [row.is_due for row in found.rows] == [True, True]
    found = explained([["* * 1-3 * *", "0 9 * * 1,2"], ["0 9 * 3 *"]], "2026-02-04 09:01")
    assert not found.is_due
    told = [
        (column.expression, column.matches, column.minute, column.hour, column.day, column.month)
        for row in found.rows
        for column in row.columns
    ]
    assert told == [
        ("* * 1-3 * *", False, True, True, False, True),
        ("0 9 * * 1,2", False, False, True, False, True),
        ("0 9 * 3 *", False, False, True, True, False),
    ]


def test_what_clocks_do() -> None:
    """A time that they skip is due after the gap; of one that they show twice, one does not count."""
    (row,) = explained([["30 1 * * *"]], "2026-03-29 01:00", "Europe/London").rows
    assert row.is_due and row.why == "clocks skip 01:30, so it is due at the first instant after the gap"
    assert all(column.matches for column in row.columns)
    (row,) = explained([["30 1 * * *"]], "2026-10-25 01:30", "Europe/London").rows
    assert not row.is_due and row.why == "clocks show it twice, and the first time counts"


def test_windows_and_bounds() -> None:
    """What is outside says so."""
    assert (
        explained([["@hourly"]], "2026-01-01 12:00", initial="2026-01-02 00:00").why == "it is before initial"
    )
    assert explained([["@hourly"]], "2026-01-03 12:00", final="2026-01-02 00:00").why == "it is after final"
    found = explained([["@hourly"]], "2026-01-03 12:00", initial="21:00", final="05:00")
    assert [row.why for row in found.rows] == ["it is outside the window"]


def test_seconds_and_single_times() -> None:
    """No row is due between minutes; a program without a cadence has no rows."""
    (row,) = explained([["@hourly"]], "2026-01-03 12:00:30").rows
    assert (row.is_due, row.why) == (False, "it is not on the minute")
    assert explained("once", "2026-01-03 12:00").why == "it is due once, when it is first live"
    assert explained("2026-01-03 11:00", "2026-01-03 12:00").why == "it is due at another time"
    found = explained("2026-01-03 12:00", "2026-01-03 12:00")
    assert (found.is_due, found.rows, found.why) == (True, (), "")
