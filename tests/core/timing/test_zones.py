"""Changes of clocks, found by looking at the offset now and then."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.core.timing.asking import at, said

from clew.core.timing.zones import Change, instant_of, local_of, zone


def test_changes_of_a_year() -> None:
    """Each to the second, in order, wherever the blocks begin that offsets are kept by."""
    london = zone("Europe/London")
    assert london.changes(at("2026-01-01 00:00"), at("2027-01-01 00:00")) == (
        Change(at("2026-03-29 01:00"), 0, 3600),
        Change(at("2026-10-25 01:00"), 3600, 0),
    )
    assert london.changes(at("2026-03-29 01:00"), at("2026-10-25 00:59")) == ()
    assert zone("UTC").changes(at("2000-01-01 00:00"), at("2026-01-01 00:00")) == ()


def test_a_change_at_the_seam_of_two_blocks() -> None:
    """A change in the first second of a block belongs to the one before, and is told once."""
    name = zone("Europe/London")
    seam = (at("2026-03-29 01:00") >> 22) << 22
    assert len(name.changes(seam - 1, seam + (1 << 23))) == len(set(name.changes(seam - 1, seam + (1 << 23))))
    assert name.offset(seam) in (0, 3600)


def test_a_week_of_summer() -> None:
    """The shortest time between two changes since 1970: seven days on Fernando de Noronha."""
    found = zone("America/Noronha").changes(at("2000-09-01 00:00"), at("2000-11-01 00:00"))
    assert [said(change.at) for change in found] == ["2000-10-08 02:00", "2000-10-15 01:00"]


def test_offset() -> None:
    """In seconds east of Greenwich, before, at and after a change."""
    london = zone("Europe/London")
    assert [london.offset(at(f"2026-03-29 {clock}")) for clock in ("00:59:59", "01:00", "12:00")] == [
        0,
        3600,
        3600,
    ]


@pytest.mark.parametrize("name", ["Mars/Olympus", "America", "../etc/passwd"])
def test_no_zone(name: str) -> None:
    """A name that the time zone data does not have is a KeyError."""
    with pytest.raises(KeyError):
        zone(name)


def test_local_times() -> None:
    """A local time has one instant, two, or is in a gap."""
    london = zone("Europe/London")
    assert len(london.instants(local_of(datetime(2026, 10, 25, 1, 30)))) == 2
    assert london.instants(local_of(datetime(2026, 3, 29, 1, 30))) == ()
    assert london.gap(local_of(datetime(2026, 3, 29, 1, 30))) == Change(at("2026-03-29 01:00"), 0, 3600)
    assert london.gap(local_of(datetime(2026, 3, 29, 2, 0))) is None


def test_an_instant_is_aware() -> None:
    """A naive time is no instant."""
    with pytest.raises(TypeError):
        instant_of(datetime(2026, 1, 1))
