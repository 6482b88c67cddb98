"""Whether programs, or runs, wait for each other in a circle, so that none of them ever goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from msgspec import Struct

Node = TypeVar("Node")

LENGTH_MAX = 12
"""Programs in one circle: longer ones are as good as none, and looking for them takes long."""

STEPS_MAX = 20_000
"""Steps along which a circle is looked for: those of hundreds of programs that await a few others each."""


class Awaits(Struct, frozen=True):
    """Each run of a program awaits the other program's run that is so many milliseconds away from it."""

    program: str
    other: str
    offset: int = 0


def waiting_circle(awaits: Iterable[Awaits]) -> tuple[str, ...]:
    """Programs of which each awaits the next one, and the last one the first, for the same time in the end; empty where
    there are none. Circles that lead to another time are none: what they lead to has a beginning."""
    by_program: dict[str, list[Awaits]] = {}
    for one in awaits:
        by_program.setdefault(one.program, []).append(one)
    steps = 0
    for start in sorted(by_program):
        stack: list[tuple[tuple[str, ...], int]] = [((start,), 0)]
        while stack:
            path, offset = stack.pop()
            for one in by_program.get(path[-1], ()):
                steps += 1
                if steps > STEPS_MAX:
                    return ()
                total = offset + one.offset
                if one.other == start and total == 0:
                    return path
                if one.other not in path and len(path) < LENGTH_MAX:
                    stack.append(((*path, one.other), total))
    return ()


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
