"""Due times of a matrix on the clocks of a zone, with dates written out."""

from __future__ import annotations

import pytest
from tests.core.timing.asking import at, between, cadence, days, said

from clew.core.timing.cadence import Cadence, CadenceError
from clew.core.timing.columns import Column
from clew.core.timing.rows import Row
from clew.core.timing.windows import RepeatingWindow, read_bound
from clew.core.timing.zones import zone

FIRST_ROW = ["* * 1-3 * *", "0 9 * * 1,2"]
SECOND_ROW = ["0 9 * * *", "* * * 2 *", "* * * * 4"]


def test_the_first_row_of_the_contract() -> None:
    """9:00 on a Monday or Tuesday within the first three days of a month."""
    assert between(cadence(FIRST_ROW), "2026-01-01 00:00", "2027-01-01 00:00") == [
        *days("23", "2026-02", "09:00"),
        *days("23", "2026-03", "09:00"),
        *days(["1", "2"], "2026-06", "09:00"),
        *days("3", "2026-08", "09:00"),
        *days("1", "2026-09", "09:00"),
        *days("23", "2026-11", "09:00"),
        *days("1", "2026-12", "09:00"),
    ]


def test_the_second_row_of_the_contract() -> None:
    """9:00 every Thursday in February."""
    assert between(cadence(SECOND_ROW), "2025-12-01 00:00", "2027-12-01 00:00") == [
        *days(["5", "12", "19", "26"], "2026-02", "09:00"),
        *days(["4", "11", "18", "25"], "2027-02", "09:00"),
    ]


def test_the_matrix_of_the_contract() -> None:
    """Its two rows together."""
    both = cadence(FIRST_ROW, SECOND_ROW)
    assert between(both, "2026-02-01 00:00", "2026-03-03 09:00") == [
        *days(["2", "3", "5", "12", "19", "26"], "2026-02", "09:00"),
        "2026-03-02 09:00",
    ]


def test_next_is_later_and_previous_earlier() -> None:
    """Neither gives the instant it is asked of; seconds count."""
    hourly = cadence("@hourly")
    assert said(hourly.next(at("2026-01-01 09:00"))) == "2026-01-01 10:00"
    assert said(hourly.next(at("2026-01-01 08:59:59"))) == "2026-01-01 09:00"
    assert said(hourly.previous(at("2026-01-01 09:00"))) == "2026-01-01 08:00"
    assert said(hourly.previous(at("2026-01-01 09:00:01"))) == "2026-01-01 09:00"


def test_every_day_of_a_month() -> None:
    """A month that is not the whole of a row's days ends with its own last day, also when it is come to from behind."""
    february = cadence("0 12 * 2 *")
    assert said(february.previous(at("2026-04-10 00:00"))) == "2026-02-28 12:00"
    assert said(february.previous(at("2024-04-10 00:00"))) == "2024-02-29 12:00"
    assert said(february.next(at("2026-02-28 12:00"))) == "2027-02-01 12:00"


def test_far_away() -> None:
    """29 February on a Monday comes every 28 years, and after 40 where a century skips its leap year."""
    rare = cadence(["0 0 29 2 *", "* * * * 1"], name="America/New_York")
    assert said(rare.next(at("2026-01-01 00:00"))) == "2044-02-29 05:00"
    assert said(rare.next(at("2072-03-01 00:00"))) == "2112-02-29 05:00"
    assert said(rare.previous(at("2026-01-01 00:00"))) == "2016-02-29 05:00"


def test_the_ends_of_the_calendar() -> None:
    """There is no time after the last one that dates can tell, nor before the first."""
    for asked in (cadence("0 0 1 1 *"), cadence("0 0 1 1 *", name="Europe/London")):
        assert asked.next(at("9990-12-30 00:00")) is None
        assert asked.previous(at("0010-01-01 00:00")) is None
        assert asked.next(at("9999-01-01 00:00")) is None
        assert asked.previous(at("0001-01-02 00:00")) is None
        assert said(asked.next(at("0001-01-02 00:00"))) is not None
        assert said(asked.previous(at("9999-01-02 00:00"))) is not None
    assert cadence(["0 0 29 2 *", "* * * * 1"]).next(at("9989-01-01 00:00")) is None
    assert cadence(["0 0 29 2 *", "* * * * 1"]).previous(at("0011-01-01 00:00")) is None


# ---- clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "times"),
    [("next", ["28 01:30", "29 01:00", "30 00:30"]), ("skip", ["28 01:30", "30 00:30"])],
)
def test_a_time_that_clocks_skip(gap: str, times: list[str]) -> None:
    """It is due at the first instant after the gap, or not at all."""
    asked = cadence("30 1 * * *", name="Europe/London", gap=gap)
    assert between(asked, "2026-03-28 00:00", "2026-03-31 00:00") == [f"2026-03-{time}" for time in times]


def test_two_times_in_one_gap_are_one() -> None:
    """And one with a time that is due at the end of the gap by itself."""
    asked = cadence("15,45 1 * * *", "0 2 * * *", name="Europe/London")
    assert between(asked, "2026-03-29 00:00", "2026-03-30 00:00") == ["2026-03-29 01:00"]


@pytest.mark.parametrize(("twice", "hours"), [("first", ["00"]), ("second", ["01"]), ("both", ["00", "01"])])
def test_a_time_that_clocks_show_twice(twice: str, hours: list[str]) -> None:
    """It is due the first time, the second, or both."""
    asked = cadence("30 1 * * *", name="Europe/London", twice=twice)
    assert between(asked, "2026-10-25 00:00", "2026-10-26 00:00") == [
        f"2026-10-25 {hour}:30" for hour in hours
    ]


@pytest.mark.parametrize("twice", ["first", "second"])
def test_rows_that_follow_elapsed_time(twice: str) -> None:
    """A row of columns that each have a star in the minute or the hour is due whenever clocks show its times."""
    asked = cadence("*/30 1 * * *", name="Europe/London", twice=twice)
    assert between(asked, "2026-10-25 00:00", "2026-10-26 00:00") == [
        *("2026-10-25 00:00", "2026-10-25 00:30"),
        *("2026-10-25 01:00", "2026-10-25 01:30"),
    ]
    assert between(asked, "2026-03-29 00:00", "2026-03-30 00:00") == []
    fixed = cadence(["*/30 1 * * *", "0-59 1 * * *"], name="Europe/London", twice=twice)
    assert len(between(fixed, "2026-10-25 00:00", "2026-10-26 00:00")) == 2


def test_nothing_due_near_the_change() -> None:
    """What is due weeks before and after a change is found across it."""
    asked = cadence("0 12 15 * *", name="Europe/London")
    assert said(asked.next(at("2026-03-28 00:00"))) == "2026-04-15 11:00"
    assert said(asked.previous(at("2026-03-30 00:00"))) == "2026-03-15 12:00"


def test_half_an_hour() -> None:
    """In Lord Howe, clocks go back from 2:00 to 1:30, and forward from 2:00 to 2:30."""
    asked = cadence("45 1 * * *", "15 2 * * *", name="Australia/Lord_Howe")
    assert between(asked, "2026-04-04 12:00", "2026-04-05 12:00") == ["2026-04-04 14:45", "2026-04-04 15:45"]
    assert between(asked, "2026-10-03 12:00", "2026-10-04 12:00") == ["2026-10-03 15:15", "2026-10-03 15:30"]


def test_a_day_that_was_not() -> None:
    """Samoa had no 30 December 2011: what was due on it is due when the 31st begins."""
    asked = cadence("0 9 * * *", name="Pacific/Apia")
    assert between(asked, "2011-12-28 12:00", "2012-01-01 00:00") == [
        *("2011-12-28 19:00", "2011-12-29 19:00", "2011-12-30 10:00", "2011-12-30 19:00"),
        "2011-12-31 19:00",
    ]


def test_offsets_with_seconds() -> None:
    """Monrovia was 44 minutes and 30 seconds behind until 1972."""
    asked = cadence("0 9 * * *", name="Africa/Monrovia")
    assert between(asked, "1972-01-05 00:00", "1972-01-09 00:00")[0] == "1972-01-05 09:44"
    assert asked.rows_due(at("1972-01-05 09:44:30"))
    assert not asked.rows_due(at("1972-01-05 09:44:00"))


# ---- never, and always -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        (["0 0 30 2 *"], 0, "no month that it names has such a day"),
        (["0 0 31 4,6 *"], 0, "no month that it names has such a day"),
        (["0 * * * *", "0-58/2 * * * *", "1-59/2 * * * *"], 2, "they have no minute of the day in common"),
        (["0 0 * 1 *", "0 0 * 2 *"], 1, "they have no month in common"),
        (["0 0 1 * *", "0 0 2 * *"], 1, "they have no day in common"),
        (["0 0 1,2 * *", "0 0 2,3 * *", "0 0 1,3 * *"], None, "they have no day in common"),
    ],
)
def test_what_can_never_be_due(row: list[str], column: int | None, what: str) -> None:
    """It is refused, with the column that excludes one before it, or that no calendar fulfils."""
    with pytest.raises(CadenceError) as caught:
        cadence("@daily", row)
    assert (caught.value.row, caught.value.column, caught.value.position) == (1, column, None)
    assert what in caught.value.what


def test_a_matrix_has_rows_and_columns() -> None:
    """None of either, or too many, are refused."""
    for rows in ([], [[]], [["@daily"] * 101], ["@daily"] * 101):
        with pytest.raises(CadenceError):
            cadence(*rows)


def test_a_mistake_has_its_row_and_column() -> None:
    """Both from 0, with the position in the expression."""
    with pytest.raises(CadenceError) as caught:
        cadence("@daily", ["@daily", "0 25 * * *"])
    assert (caught.value.row, caught.value.column, caught.value.position) == (1, 1, 3)


@pytest.mark.parametrize(
    ("rows", "is_so"),
    [
        (["* * * * *"], True),
        (["0-29 * * * *", "30-59 * * * *"], True),
        (["* * * 1-6 *", "* * 1-15 7-12 *", "* * 16-31 7-12 *"], True),
        (["* * * 1-6 *", "* * 1-15 7-12 *", "* * 16-30 7-12 *"], False),
        (["0-29 * * * *", "30-58 * * * *"], False),
        (["@hourly"], False),
    ],
)
def test_due_every_minute(rows: list[str], is_so: bool) -> None:
    """Whether the rows together leave out no minute of any day."""
    assert cadence(*rows).is_due_every_minute is is_so


# ---- windows and rows ------------------------------------------------------------------------------------


def windowed(expression: str, opens: str, closes: str) -> Cadence:
    window = RepeatingWindow(read_bound(opens), read_bound(closes))
    return Cadence([[expression]], zone("UTC"), window=window)


def test_a_repeating_window() -> None:
    """Times outside it are not due; its first and its last minute are within."""
    asked = windowed("0 */4 * * *", "Mon 20:00", "Tue 04:00")
    assert between(asked, "2026-01-01 00:00", "2026-01-14 00:00") == [
        *("2026-01-05 20:00", "2026-01-06 00:00", "2026-01-06 04:00"),
        *("2026-01-12 20:00", "2026-01-13 00:00", "2026-01-13 04:00"),
    ]


def test_never_due_within_the_window() -> None:
    """A cadence none of whose times the window holds is refused."""
    with pytest.raises(CadenceError, match="no time of it is within the window"):
        windowed("0 12 * * *", "21:00", "05:00")


def test_a_row_that_is_never_due() -> None:
    """A window's part may leave a row nothing: it has no next time and no previous one."""
    row = Row(0, [Column("0 12 * * *")], minutes=1)
    assert row.is_never_due
    assert (row.next(0), row.previous(0)) == (None, None)


def test_which_rows() -> None:
    """The rows that make an instant due, with the time that each names."""
    asked = cadence("30 1 * * *", "0 2 * * *", "*/30 * * * *", name="Europe/London")
    found = [(row.number, minute % 1440) for row, minute in asked.rows_due(at("2026-03-29 01:00"))]
    assert found == [(0, 90), (1, 120), (2, 120)]
    found = [row.number for row, _ in asked.rows_due(at("2026-10-25 01:30"))]
    assert found == [2]
    assert asked.rows_due(at("2026-03-29 01:01")) == []
