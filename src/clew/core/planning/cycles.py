"""Whether programs, or runs, wait for each other in a circle, so that none of them ever goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from clew.core.program.model import Program, ProgramDependency

Node = TypeVar("Node")


class Awaits(Struct, frozen=True, order=True):
    """Each run of a program awaits the other program's run that is so many milliseconds away from it."""

    program: str
    other: str
    offset: int = 0


def awaits_of(programs: Mapping[str, Program]) -> list[Awaits]:
    """Which of these programs, by name, await each other's runs for set times. Those that run on request only have no
    such times, and a program that is not among them is none of the business."""
    return [
        Awaits(program.name, other, one.offset_milliseconds or 0)
        for program in programs.values()
        if program.cadence is not None
        for _, one in program_dependencies(program)
        if (other := awaited_by(program, one)) in programs and programs[other].cadence is not None
    ]


def program_dependencies(program: Program) -> Iterator[tuple[int, ProgramDependency]]:
    """Each with the position of its stage."""
    for at, stage in enumerate(program.stages):
        for one in stage.dependencies:
            if isinstance(one, ProgramDependency):
                yield at, one


def awaited_by(program: Program, dependency: ProgramDependency) -> str:
    """The name of the program that is awaited; of one whose name a run makes up, the text."""
    return program.name if dependency.program == "{program_name}" else dependency.program


def waiting_circle(awaits: Iterable[Awaits]) -> tuple[str, ...]:
    """Programs of which each awaits the next one, and the last one the first, for the same time in the end or for a
    later one: there is no beginning to it. Empty where there are none; a circle that leads to an earlier time is none.

    Each step counts for its offset, and a little more, so that exactly such circles make a way the longer the more
    often one goes round; whether there is a longest way is found out as Bellman and Ford do.
    """
    steps = _within_circles(sorted(set(awaits)))
    names = {name for one in steps for name in (one.program, one.other)}
    longest = dict.fromkeys(names, 0)
    last: dict[str, Awaits] = {}
    longer = ""
    for _ in range(len(names)):
        longer = ""
        for one in steps:
            length = longest[one.program] + one.offset * (len(names) + 1) + 1
            if length > longest[one.other]:
                longest[one.other], last[one.other] = length, one
                longer = one.other
        if not longer:
            return ()
    return _circle_behind(longer, last) if longer else ()


def _within_circles(steps: Sequence[Awaits]) -> list[Awaits]:
    """Without those that lead to programs that await nothing, or from programs that nobody awaits."""
    left = list(steps)
    while True:
        from_, to = {one.program for one in left}, {one.other for one in left}
        kept = [one for one in left if one.program in to and one.other in from_]
        if len(kept) == len(left):
            return kept
        left = kept


def _circle_behind(name: str, last: Mapping[str, Awaits]) -> tuple[str, ...]:
    """The circle to which the last steps lead back, from its first name on."""
    for _ in last:
        name = last[name].program
    circle = [name]
    while (before := last[circle[-1]].program) != name:
        circle.append(before)
    circle.reverse()
    first = circle.index(min(circle))
    return (*circle[first:], *circle[:first])


def circle_from(start: Node, next_of: Callable[[Node], Sequence[Node]], length_max: int) -> tuple[Node, ...]:
    """The first circle that one comes to from there; empty where there is none within so many steps."""
    path: list[Node] = []
    ahead: list[list[Node]] = [[start]]
    left = length_max
    known: set[Node] = set()
    while ahead:
        if not ahead[-1]:
            ahead.pop()
            if path:
                path.pop()
            continue
        node = ahead[-1].pop()
        if node in path:
            return tuple(path[path.index(node) :])
        if node in known or not left:
            continue
        left -= 1
        known.add(node)
        path.append(node)
        ahead.append(list(next_of(node)))
    return ()
