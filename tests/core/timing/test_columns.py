"""One cron expression as sets, and the place of each mistake in one."""

from __future__ import annotations

import pytest

from clew.core.timing.columns import CadenceError, Column, is_expression


def bits(mask: int) -> list[int]:
    return [at for at in range(mask.bit_length()) if mask >> at & 1]


@pytest.mark.parametrize(
    ("text", "position", "what", "hint"),
    [
        ("60 * * * *", 1, "'60' is no minute", "write 0 to 59"),
        ("0 24 * * *", 3, "'24' is no hour", "write 0 to 23"),
        ("0 10-5 * * *", 3, "'10-5' runs backwards", "10-23,0-5"),
        ("/30 * * * *", 1, "'/30' steps from nowhere", "write */30"),
        ("/ * * * *", 1, "'/' steps from nowhere", "write */2"),
        ("0 */0 * * *", 5, "'0' is no step", "*/15"),
        ("0 */x * * *", 5, "'x' is no step", "*/15"),
        ("0 0 32 * *", 5, "'32' is no day of the month", "L for the last one"),
        ("0 0 L/2 * *", 5, "'L' is a single day and takes no step", "write L"),
        ("0 0 * 13 *", 7, "'13' is no month", "JAN to DEC"),
        ("0 0 * NOV-FEB *", 7, "'NOV-FEB' runs backwards", "NOV-DEC,JAN-FEB"),
        ("0 0 * 11-2 *", 7, "'11-2' runs backwards", "11-12,1-2"),
        ("0 0 * * FRI-MON", 9, "'FRI-MON' runs backwards", "FRI-SAT,SUN-MON"),
        ("0 0 * * 5-1", 9, "'5-1' runs backwards", "5-6,0-1"),
        ("0 0 * * MON#6", 9, "'MON#6' is no day of the week", "MON#2"),
        ("0 0 * * 1,2,FOO", 13, "'FOO' is no day of the week", "SUN to SAT"),
        ("0,,30 * * * *", 3, "there is nothing between two commas, or beside one", "0 to 59"),
        ("5- * * * *", 3, "a range without an end in '5-'", "0 to 59"),
        ("1-5-7 * * * *", 3, "'5-7' is no minute", "0 to 59"),
        ("*-5 * * * *", 1, "'*' is no minute", "0 to 59"),
        ("1-60 * * * *", 3, "'60' is no minute", "0 to 59"),
        ("0 9 * * * *", 11, "6 fields instead of five", "no field for seconds or years"),
        ("0 9 * * 1 2 3", 11, "7 fields instead of five", "minute, hour"),
        ("0 9 * *", 8, "4 fields instead of five", "minute, hour"),
        ("noon", 5, "1 field instead of five", "minute, hour"),
        ("  ", 1, "an empty expression", "minute, hour"),
        (" @dayly", 2, "there is no '@dayly'", "@daily"),
        ("@reboot", 1, "there is no '@reboot'", "once"),
        ("0 0 * * frı", 11, "'ı' can't be in a cron expression", "digits"),
        ("0 0 * * \x00", 9, "'\\x00' can't be in a cron expression", "digits"),
        ("0" * 501, None, "an expression of 501 characters", "at most 500"),
    ],
)
def test_a_mistake_has_its_place(text: str, position: int | None, what: str, hint: str) -> None:
    """What is wrong, where in the expression from 1, and what would be right."""
    with pytest.raises(CadenceError) as caught:
        Column(text)
    assert caught.value.what == what
    assert hint in str(caught.value)
    assert caught.value.position == position


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("0  9 *\t* mon-fri\n", "0 9 * * 1-5"),
        ("0 0 * jan,DEC 7", "0 0 * 1,12 0"),
        ("0 0 * * SUN", "0 0 * * 7"),
        ("23-23/3 07-7/2 * * *", "23 7 * * *"),
        ("00-0/5 0 * * SUN-0/3", "0 0 * * 0"),
        ("0 0 * MAR-3/2 MON-1/2", "0 0 * 3 1"),
        ("1-9/4,20-30/0005 * * * *", "1,5,9,20,25,30 * * * *"),
    ],
)
def test_the_same_in_other_words(text: str, same: str) -> None:
    """Names, letters of either size, blanks, and what cron files abbreviate with `@`."""
    one, other = Column(text), Column(same)
    assert (one.minutes, one.months) == (other.minutes, other.months)
    assert [one.days(day, 31) for day in range(7)] == [other.days(day, 31) for day in range(7)]


def test_sets() -> None:
    """Minutes of the day from minutes and hours; days by number, or by weekday, of a kind of month."""
    column = Column("0,30 9,10 * 2 *")
    assert bits(column.minutes) == [540, 570, 600, 630]
    assert (column.minute_set, column.hour_set) == ({0, 30}, {9, 10})
    assert bits(column.months) == [2]
    assert bits(column.days(0, 28)) == list(range(1, 29))
    # A month of 30 days that begins on a Wednesday.
    assert bits(Column("0 0 * * 1,SUN").days(3, 30)) == [5, 6, 12, 13, 19, 20, 26, 27]
    assert bits(Column("0 0 * * MON#2,TUE#5,WED#5").days(3, 30)) == [13, 29]
    assert bits(Column("0 0 30,31 * *").days(3, 30)) == [30]


@pytest.mark.parametrize(
    ("text", "first_weekday", "length", "days"),
    [
        ("0 0 L * *", 0, 28, [28]),
        ("0 */2 L * *", 0, 28, [28]),
        ("0 0 1,L * *", 0, 31, [1, 31]),
        ("0 0 LW * *", 3, 30, [30]),  # ends on a Thursday
        ("0 0 LW * *", 5, 30, [29]),  # on a Saturday
        ("0 0 LW * *", 6, 30, [28]),  # on a Sunday
        ("0 0 * * 5L", 3, 30, [24]),
        ("0 0 13 * 5", 5, 30, [1, 8, 13, 15, 22, 29]),  # either suffices
        ("0 0 */10 * 5", 5, 30, [1]),  # a star's step restricts nothing, as in every cron: both must match
        ("0 0 8-14 * */7", 1, 31, [14]),
    ],
)
def test_days_of_a_month(text: str, first_weekday: int, length: int, days: list[int]) -> None:
    """The last day, the last weekday, the last Friday; day and weekday: either, unless one begins with a star."""
    assert bits(Column(text).days(first_weekday, length)) == days


def test_elapsed() -> None:
    """A column follows elapsed time if its minute or its hour begins with a star."""
    assert [
        Column(text).is_elapsed for text in ("*/5 9 * * *", "0 * * * *", "@hourly", "0 9 * * *", "@daily")
    ] == [
        *(True, True, True),
        *(False, False),
    ]


def test_in_words() -> None:
    """An expression in English."""
    assert Column("0 9 * * 1").in_words() == "at 09:00 on Monday"
    assert Column("@hourly").in_words() == "at the start of every hour"


def test_what_looks_like_an_expression() -> None:
    """Three words or more, or an @: what else stands for a cadence is `once` or a date-time."""
    assert [is_expression(text) for text in ("@hourly", "0 9 * *", "once", "2026-01-01 13:00")] == [
        *(True, True),
        *(False, False),
    ]
