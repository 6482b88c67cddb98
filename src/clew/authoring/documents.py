"""What reading a text gives, in whichever format: a value and the position of each of its parts."""

from __future__ import annotations

from msgspec import Struct

from clew.core.program.bounds import DEPTH_MAX, NODE_COUNT_MAX
from clew.core.program.model import Json
from clew.core.program.problems import Path

Position = tuple[int, int]
"""A line and a column, both from 1."""

# Longer ones are no number that JSON keeps exact, and Python takes quadratic time to read them.
NUMBER_SIZE_MAX = 400


class Mistake(Exception):
    """The text can't be read from this place on."""

    def __init__(self, line: int, column: int, what: str, hint: str = "", path: Path = ()) -> None:
        self.line = line
        self.column = column
        self.what = what
        self.hint = hint
        self.path = path
        super().__init__(what)


class Document(Struct):
    """A value with the positions of its parts: for an entry of a mapping that of its key, else its own."""

    value: Json
    positions: dict[Path, Position] = {}


class Growth(Struct):
    """Counts what is being built, so that a small text can't become a large document."""

    node_count: int = 0

    def add(self, path: Path, position: Position) -> None:
        """One more value at that path. Raises Mistake beyond the bounds."""
        self.node_count += 1
        if self.node_count > NODE_COUNT_MAX:
            raise Mistake(*position, f"the document has more than {NODE_COUNT_MAX} values")
        if len(path) > DEPTH_MAX:
            raise Mistake(*position, f"this is nested more than {DEPTH_MAX} levels deep", path=path[:3])
