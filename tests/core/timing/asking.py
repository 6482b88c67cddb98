"""Cadences asked in plain texts: the times of UTC that they give, to the minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from clew.core.timing.cadence import Cadence
from clew.core.timing.clock_change import ClockChange
from clew.core.timing.zones import instant_of, moment_of, zone


def cadence(
    *rows: Sequence[str] | str, name: str = "UTC", gap: str = "next", twice: str = "first"
) -> Cadence:
    matrix = [[row] if isinstance(row, str) else row for row in rows]
    return Cadence(matrix, zone(name), ClockChange(gap, twice))


def at(text: str) -> int:
    return instant_of(datetime.fromisoformat(text).replace(tzinfo=UTC))


def said(instant: int | None) -> str | None:
    return None if instant is None else moment_of(instant).strftime("%Y-%m-%d %H:%M")


def between(asked: Cadence, start: str, end: str) -> list[str]:
    """The due times, found forward; backward they must be the same."""
    forward = list(asked.between(at(start), at(end)))
    backward, before = [], asked.previous(at(end))
    while before is not None and before >= at(start):
        backward.append(before)
        before = asked.previous(before)
    assert forward == backward[::-1]
    return [moment_of(instant).strftime("%Y-%m-%d %H:%M") for instant in forward]


def days(times: Sequence[str], month: str, clock: str) -> list[str]:
    """`days("5 12", "2026-02", "09:00")`, for lists of times that are told by their days."""
    return [f"{month}-{int(day):02} {clock}" for day in times]
