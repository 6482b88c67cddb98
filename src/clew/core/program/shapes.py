"""Shapes: how each part of a program document may look.

A shape reads a value and says as JSON Schema what it reads, so that there is one definition of both. Reading
never stops at a mistake: it notes the problem, gives `UNREADABLE` for what can't be used and goes on.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

from msgspec import Struct

from clew.core.program.durations import read_duration, written_duration
from clew.core.program.model import FOREVER, Json
from clew.core.program.problems import Path, Problem, nearest

NOT_AVAILABLE = "not available in this version of clew"


class _Unreadable:
    """What a shape gives for a value that it can't read; there is one such value."""


UNREADABLE = _Unreadable()


class Found(Struct):
    """What has been found on the way through a document.

    `names_are_complete` turns false where something could not be read that may declare names.
    """

    problems: list[Problem] = []
    names_are_complete: bool = True

    def problem(self, path: Path, what: str, hint: str = "") -> _Unreadable:
        self.problems.append(Problem(path, what, hint))
        return UNREADABLE


class Shape(Protocol):
    def read(self, value: Json, path: Path, found: Found) -> Any:
        """The value as the program's model wants it, or UNREADABLE once the problem is noted."""

    def schema(self) -> dict[str, Json]:
        """What is read, as JSON Schema."""


def said(value: Json) -> str:
    """A value as a problem quotes it: what it is, and its beginning."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"{str(value).lower()}"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(value)


# ---- single values ---------------------------------------------------------------------------------------


class Text(Struct, frozen=True):
    """A text; with a pattern, one that matches it as a whole, and `rule` says it in words."""

    about: str = ""
    pattern: str = ""
    rule: str = ""
    size_max: int = 1024 * 1024

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, str):
            hint = f'write "{said(value)}" in quotes' if isinstance(value, (bool, int, float)) else ""
            return found.problem(path, f"this is a text, not {said(value)}", hint)
        if len(value) > self.size_max:
            return found.problem(
                path, f"a text of {len(value)} characters", f"at most {self.size_max} are allowed"
            )
        if self.pattern and not (re.fullmatch(self.pattern, value) and value.isprintable()):
            return found.problem(path, f"{said(value)} can't be used here", self.rule)
        return value

    def schema(self) -> dict[str, Json]:
        pattern = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
        return {"type": "string", **about_it(self.about), **pattern}


class Whole(Struct, frozen=True):
    """A whole number within bounds."""

    least: int
    most: int
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            return found.problem(path, f"this is a whole number, not {said(value)}")
        if not self.least <= value <= self.most:
            return found.problem(path, f"{value} is out of bounds", f"write {self.least} to {self.most}")
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most, **about_it(self.about)}


class Number(Struct, frozen=True):
    """A number within bounds."""

    least: float
    most: float
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return found.problem(path, f"this is a number, not {said(value)}")
        if not self.least <= value <= self.most:
            return found.problem(path, f"{value} is out of bounds", f"write {self.least:g} to {self.most:g}")
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "number", "minimum": self.least, "maximum": self.most, **about_it(self.about)}


class Flag(Struct, frozen=True):
    """True or false."""

    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, bool):
            return found.problem(path, f"this is true or false, not {said(value)}")
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "boolean", **about_it(self.about)}


class Duration(Struct, frozen=True):
    """A duration, in milliseconds once read; `least` of them or more. Where it `looks_back`, a sign says nothing. Where
    it `may_be_forever`, that word is FOREVER."""

    about: str = ""
    least: int | None = 0
    looks_back: bool = False
    may_be_forever: bool = False

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if self.may_be_forever and value == "forever":
            return FOREVER
        try:
            milliseconds = read_duration(value)
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            return found.problem(path, what, hint)
        if self.looks_back:
            milliseconds = abs(milliseconds)
        if self.least is not None and milliseconds < self.least:
            return found.problem(
                path, f"{said(value)} is too short", f"at least {written_duration(self.least)}"
            )
        return milliseconds

    def schema(self) -> dict[str, Json]:
        examples = ["5 seconds", "2 days 4 hours", "PT5M", *(["forever"] if self.may_be_forever else [])]
        return {"type": "string", **about_it(self.about), "examples": examples}


class Choice(Struct, frozen=True):
    """One of a closed list of words; `later` are those that this version does not know yet."""

    words: tuple[str, ...]
    about: str = ""
    later: tuple[str, ...] = ()

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if value in self.later:
            return found.problem(path, f"'{value}' is {NOT_AVAILABLE}", f"there is {', '.join(self.words)}")
        if not isinstance(value, str) or value not in self.words:
            hint = nearest(value, self.words) if isinstance(value, str) else ""
            return found.problem(
                path, f"this can't be {said(value)}", hint or f"write {' or '.join(self.words)}"
            )
        return value

    def schema(self) -> dict[str, Json]:
        return {"enum": list(self.words), **about_it(self.about)}


class Anything(Struct, frozen=True):
    """Any JSON value, kept as it is."""

    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        return value

    def schema(self) -> dict[str, Json]:
        return about_it(self.about)


class Schema(Struct, frozen=True):
    """A JSON Schema, kept as it is."""

    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, (dict, bool)):
            return found.problem(
                path, f"this is a JSON Schema, not {said(value)}", "write for example {type: string}"
            )
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": ["object", "boolean"], **about_it(self.about)}


def about_it(text: str) -> dict[str, Json]:
    """The schema's description, if there is one."""
    return {"description": text} if text else {}
