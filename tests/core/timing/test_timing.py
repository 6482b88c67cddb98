"""The due times of a program: its cadence or a single time, between its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.timing.asking import at, said

from clew.core.timing.clock_change import ClockChange
from clew.core.timing.columns import CadenceError
from clew.core.timing.timing import Timing
from clew.core.timing.zones import zone


def timing(cadence: Any, name: str = "UTC", **keys: Any) -> Timing:
    return Timing([[cadence]] if len(cadence.split()) > 2 else cadence, zone(name), **keys)


def between(asked: Timing, start: str, end: str) -> list[str | None]:
    return [said(instant) for instant in asked.between(at(start), at(end))]


def test_first_and_last_time_due() -> None:
    """Both bounds are due themselves, if the cadence names them."""
    asked = timing("0 12 * * *", initial="2026-01-02 12:00", final="2026-01-04 12:00")
    assert between(asked, "2025-01-01", "2027-01-01") == [f"2026-01-0{day} 12:00" for day in (2, 3, 4)]
    assert said(asked.previous(at("2030-01-01"))) == "2026-01-04 12:00"
    assert asked.previous(at("2026-01-02 12:00")) is None
    assert asked.next(at("2026-01-04 12:00")) is None


def test_a_wrong_bound() -> None:
    """A mistake in a bound says of which."""
    with pytest.raises(CadenceError) as caught:
        timing("@daily x x", final="soon")
    assert caught.value.key == "final"


def test_one_bound() -> None:
    """Without the other, the cadence goes on, or has gone on, for ever."""
    assert said(timing("0 12 * * *", initial="2026-01-02 13:00").next(at("2020-01-01"))) == "2026-01-03 12:00"
    assert (
        said(timing("0 12 * * *", final="2026-01-02 11:00").previous(at("2030-01-01"))) == "2026-01-01 12:00"
    )


def test_bounds_that_clocks_show_twice() -> None:
    """Such a time as initial is the first of the two, as final the second: neither cuts off what it names."""
    asked = timing("*/30 * * * *", "Europe/London", initial="2026-10-25 01:30", final="2026-10-25 01:30")
    assert between(asked, "2026-10-01", "2026-11-01") == [
        f"2026-10-25 {clock}" for clock in ("00:30", "01:00", "01:30")
    ]


def test_once() -> None:
    """At initial; without one, whoever makes the program live says when."""
    asked = timing("once", initial="2026-01-02 12:00")
    assert between(asked, "2025-01-01", "2027-01-01") == ["2026-01-02 12:00"]
    assert said(asked.previous(at("2027-01-01"))) == "2026-01-02 12:00"
    assert asked.previous(at("2026-01-02 12:00")) is None
    when_live = timing("once")
    assert when_live.is_once_when_live
    assert when_live.next(at("2026-01-01")) is None
    assert not when_live.is_due_every_minute


def test_a_single_date_time() -> None:
    """That one time; what a change of clocks makes of it is said as for a cadence."""
    assert between(timing("2026-07-01 09:00", "Europe/London"), "2026-01-01", "2027-01-01") == [
        "2026-07-01 08:00"
    ]
    assert between(timing("2026-03-29 01:30", "Europe/London"), "2026-01-01", "2027-01-01") == [
        "2026-03-29 01:00"
    ]
    both = timing("2026-10-25 01:30", "Europe/London", clock_change=ClockChange(twice="both"))
    assert between(both, "2026-01-01", "2027-01-01") == ["2026-10-25 00:30", "2026-10-25 01:30"]


def test_due_every_minute() -> None:
    """Which is worth a warning."""
    assert timing("* * * * *").is_due_every_minute
    assert not timing("* * * * *", initial="Mon 21:00", final="Tue 05:00").is_due_every_minute
