"""A problem: one mistake in a program, with its place, what is wrong and what would be right."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

Path = tuple[str | int, ...]
"""Where in a document: keys and list positions from its root, such as ("stages", 0, "execute")."""


class Place(Struct, frozen=True):
    """A position in a source text; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Struct, frozen=True):
    """`path` is always known; `place` only where the program came from a text."""

    path: Path
    what: str
    hint: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}{written(self.path)}: {self.what}{hint}"


class ProgramError(Exception):
    """The program has mistakes; `problems` holds every one of them."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def written(path: Path) -> str:
    """A path as a person writes it: `stages[0].execute.params`; the root is `program`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text or "program"


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion of the nearest known name, or an empty string."""
    # Only a program with mistakes needs it, and it takes its time to load.
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else ""
