"""`initial` and `final`: read, written, and what a repeating window holds."""

from __future__ import annotations

import pytest
from tests.core.timing.asking import at

from clew.core.timing.columns import CadenceError
from clew.core.timing.windows import (
    DateTime,
    OfWeek,
    ProgramWindow,
    RepeatingWindow,
    read_bound,
    read_date_time,
)
from clew.core.timing.zones import instant_at, local_of, milliseconds_at, moment_of, naive_of, zone


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-01-01 13:00", "2026-01-01 13:00"),
        ("2026-01-01T13:00:30", "2026-01-01 13:00:30"),
        ("2026-01-01T13:00Z", "2026-01-01T13:00:00Z"),
        ("2026-01-01 13:00 z", "2026-01-01T13:00:00Z"),
        ("2026-01-01T13:00:00+01:00", "2026-01-01T12:00:00Z"),
        ("Mon 21:00", "Mon 21:00"),
        (" tuesday 5:00", "Tue 05:00"),
        ("21:30", "21:30"),
    ],
)
def test_bounds(text: str, written: str) -> None:
    """Date-times are local or have an offset; a weekday and a time repeat, and so does a time alone."""
    bound = read_bound(text)
    assert str(bound) == written
    assert read_bound(written) == bound


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2026-01-01", "'2026-01-01' has no time of day; write for example 2026-01-01 00:00"),
        ("2026-02-30 00:00", "there is no '2026-02-30 00:00'"),
        (
            "0001-01-01 00:00+23:00",
            "'0001-01-01 00:00+23:00' is too far away; write a year from 1900 to 9000",
        ),
        ("9001-01-01 00:00", "'9001-01-01 00:00' is too far away"),
        ("soon", "'soon' is no time; write a date and a time"),
        ("Mon 24:00", "there is no time 'Mon 24:00'"),
        ("12:60", "there is no time '12:60'"),
        ("Mo 12:00", "there is no weekday 'Mo'; write one of Sun, Mon"),
    ],
)
def test_mistakes(text: str, what: str) -> None:
    """What is wrong, and what would be right."""
    with pytest.raises(CadenceError) as caught:
        read_bound(text)
    assert str(caught.value).startswith(what)


def instants(text: str, name: str) -> list[str]:
    read = read_date_time(text)
    ends = {read.first(zone(name)), read.last(zone(name))}
    return [moment_of(instant).strftime("%H:%M") for instant in sorted(ends)]


def test_instants_of_a_date_time() -> None:
    """One, two where clocks show it twice, and the first after the gap where they skip it."""
    assert instants("2026-07-01 12:00", "Europe/London") == ["11:00"]
    assert instants("2026-10-25 01:30", "Europe/London") == ["00:30", "01:30"]
    assert instants("2026-03-29 01:30", "Europe/London") == ["01:00"]
    assert instants("2026-03-29 01:30Z", "Europe/London") == ["01:30"]
    assert read_date_time("2026-03-29 01:30").shown(zone("Europe/London")) == ()
    assert isinstance(read_date_time("2026-03-29 01:30"), DateTime)


def minute(text: str) -> int:
    return at(text) // 60


@pytest.mark.parametrize(
    ("opens", "closes", "within", "outside"),
    [
        ("Mon 21:00", "Tue 05:00", "05 21:00, 06 05:00", "05 20:59, 06 05:01"),
        ("Fri 18:00", "Mon 06:00", "09 18:00, 10 12:00, 12 06:00", "08 20:00, 12 07:00"),
        ("Mon 09:00", "Mon 17:00", "05 09:00, 05 17:00", "05 08:00, 06 10:00"),
        ("Mon 17:00", "Mon 09:00", "05 08:00, 07 12:00, 05 17:00", "05 12:00"),
        ("09:00", "17:00", "05 09:00, 10 17:00", "05 08:59, 05 17:01"),
        ("21:00", "05:00", "05 21:00, 10 05:00", "05 05:01, 05 20:59"),
    ],
)
def test_what_a_window_holds(opens: str, closes: str, within: str, outside: str) -> None:
    """Over midnight, over a weekend, within a day, over all of the week but a part of a day; every day."""
    window = RepeatingWindow(read_bound(opens), read_bound(closes))
    assert all(window.holds(minute(f"2026-01-{text}")) for text in within.split(", "))
    assert not any(window.holds(minute(f"2026-01-{text}")) for text in outside.split(", "))
    assert isinstance(window.opens, OfWeek)


def test_local_seconds() -> None:
    """A naive time and its count lead to each other."""
    naive = read_date_time("2026-01-01 13:00:30").naive
    assert naive is not None
    assert naive_of(local_of(naive)) == naive


@pytest.mark.parametrize("name", ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo",
                                  "Pacific/Apia"])  # fmt: skip
@pytest.mark.parametrize(
    ("opens", "closes"),
    [("Mon 21:00", "Tue 05:00"), ("02:30", "01:15"), ("01:00", "01:59"), ("Fri 00:00", "Thu 23:59"),
     ("Sun 01:30", "Sun 02:10"), ("Sat 23:00", "Fri 04:00")],
)  # fmt: skip
def test_a_window_opens_and_closes_where_a_walker_sees_it(name: str, opens: str, closes: str) -> None:
    """Minute by minute through the weeks in which clocks change, and one in which a day is left out."""
    bounds = read_bound(opens), read_bound(closes)
    assert isinstance(bounds[0], OfWeek) and isinstance(bounds[1], OfWeek)
    window = ProgramWindow(RepeatingWindow(*bounds), zone(name))
    for begin in ("2026-03-01 00:00", "2026-10-01 00:00", "2011-12-20 00:00"):
        start = milliseconds_at(at(begin))
        walked, is_open = [], window.is_open(start)
        for moment in range(start, start + 36 * 86_400_000, 60_000):
            if window.is_open(moment) != is_open:
                walked.append(moment)
                is_open = not is_open
        found, edge = list[int](), window.next_edge(start)
        while edge is not None and edge < start + 36 * 86_400_000:
            found.append(edge)
            edge = window.next_edge(edge)
        assert found == walked


def test_a_window_that_holds_every_minute_has_no_edge() -> None:
    """It never closes."""
    whole = ProgramWindow(RepeatingWindow(OfWeek(0), OfWeek(24 * 60 - 1)), zone("UTC"))
    assert whole.next_edge(milliseconds_at(at("2026-01-01 00:00"))) is None


def test_moments_and_instants() -> None:
    """Seconds of an instant are whole, and rounded down."""
    assert milliseconds_at(at("1970-01-01 00:00")) == 0
    assert instant_at(1_999) == at("1970-01-01 00:00") + 1 == instant_at(1_000)
