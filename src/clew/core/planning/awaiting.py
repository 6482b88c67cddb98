"""What a plan can be warned of where its runs await those of other programs: that some never come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from clew.core.planning.cycles import awaited_by, awaits_of, program_dependencies, waiting_circle
from clew.core.program.model import Program
from clew.core.program.problems import Path, Problem
from clew.core.program.timing_keys import timing_of
from clew.core.timing.zones import instant_at, milliseconds_at

TIMES_LOOKED_AT = 20
"""Coming times of a program that are held against another's cadence: a few weeks of a daily one."""


def awaiting_warnings(program: Program, others: Mapping[str, Program], now: int) -> Iterator[Problem]:
    """The warnings of a program, beside those others, by name, that are known; `now` is in milliseconds since 1970."""
    for at, one in program_dependencies(program):
        name = awaited_by(program, one)
        path: Path = ("stages", at, "dependencies", one.name)
        other = program if name == program.name else others.get(name)
        if one.offset_milliseconds is not None and program.cadence is None:
            yield Problem(
                path,
                f"'{program.name}' has no cadence: the moment of a request, and what is so far from it, is never due",
                f"leave out the offset; then the latest run of '{name}' is awaited",
            )
        elif one.offset_milliseconds is not None and other is not None and other.cadence is None:
            yield Problem(
                path,
                f"'{name}' has no cadence: no run of it is for a set time",
                "leave out the offset; then its latest run is awaited",
            )
        elif other is not None and _never_meet(program, other, one.offset_milliseconds or 0, now):
            yield Problem(
                path,
                f"'{name}' is due at none of the times for which it is awaited by the next {TIMES_LOOKED_AT} of "
                f"'{program.name}'",
                "give it an offset that leads to a time at which it is due",
            )
    yield from _circle(program, others)


def _never_meet(program: Program, other: Program, offset: int, now: int) -> bool:
    """Whether none of the next times leads to one at which the other is due."""
    its, theirs = timing_of(program), timing_of(other)
    if its is None or theirs is None or its.is_once_when_live or theirs.is_once_when_live:
        return False
    coming = list(islice(its.between(instant_at(now), instant_at(now) + _CENTURY), TIMES_LOOKED_AT))
    awaited = [milliseconds_at(at) + offset for at in coming]
    return bool(awaited) and not any(is_due_at(other, at) for at in awaited)


def is_due_at(program: Program, at: int) -> bool:
    """Whether the program is due at that moment, in milliseconds since 1970; one whose moment nobody knows before it is
    live may be."""
    timing = timing_of(program)
    if timing is None:
        return False
    instant = instant_at(at)
    return timing.is_once_when_live or (
        milliseconds_at(instant) == at and timing.next(instant - 1) == instant
    )


def _circle(program: Program, others: Mapping[str, Program]) -> Iterator[Problem]:
    """A circle to which the program leads: it waits for ever, in it or behind it."""
    known = {**others, program.name: program}
    awaits = awaits_of(known)
    reached, more = {program.name}, {program.name}
    while more:
        more = {one.other for one in awaits if one.program in more} - reached
        reached |= more
    circle = waiting_circle(one for one in awaits if one.program in reached)
    if circle:
        yield Problem(("stages",), told_circle(circle), CIRCLE_HINT)


CIRCLE_HINT = "give one of them an offset that leads back in time, or let one not await the other"


def told_circle(circle: tuple[str, ...]) -> str:
    """The programs of a circle, as a person reads it."""
    path = " awaits ".join(f"'{name}'" for name in (*circle, circle[0]))
    return f"{path}, for the same time or a later one: none of them can ever go on"


_CENTURY = 100 * 366 * 86_400
"""Seconds: no cadence is looked through for longer."""
