"""Shapes: how each part of a program document may look.

A shape reads a value and says as JSON Schema what it reads, so that there is one definition of both. Reading
never stops at a mistake: it notes the problem, gives `UNREADABLE` for what can't be used and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from clew.core.program.durations import read_duration, written_duration
from clew.core.program.model import Json
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
        return {"type": "string", **_about(self.about), **pattern}


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
        return {"type": "integer", "minimum": self.least, "maximum": self.most, **_about(self.about)}


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
        return {"type": "number", "minimum": self.least, "maximum": self.most, **_about(self.about)}


class Flag(Struct, frozen=True):
    """True or false."""

    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, bool):
            return found.problem(path, f"this is true or false, not {said(value)}")
        return value

    def schema(self) -> dict[str, Json]:
        return {"type": "boolean", **_about(self.about)}


class Duration(Struct, frozen=True):
    """A duration, in milliseconds once read; `least` of them or more."""

    about: str = ""
    least: int | None = 0

    def read(self, value: Json, path: Path, found: Found) -> Any:
        try:
            milliseconds = read_duration(value)
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            return found.problem(path, what, hint)
        if self.least is not None and milliseconds < self.least:
            return found.problem(
                path, f"{said(value)} is too short", f"at least {written_duration(self.least)}"
            )
        return milliseconds

    def schema(self) -> dict[str, Json]:
        return {"type": "string", **_about(self.about), "examples": ["5 seconds", "2 days 4 hours", "PT5M"]}


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
        return {"enum": list(self.words), **_about(self.about)}


class Anything(Struct, frozen=True):
    """Any JSON value, kept as it is."""

    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        return value

    def schema(self) -> dict[str, Json]:
        return _about(self.about)


# ---- lists and mappings ----------------------------------------------------------------------------------


class ListOf(Struct, frozen=True):
    """A list of one shape; items that can't be read are left out.

    `placed`: each item as (path, value) once read, so that problems found later know their place.
    """

    item: Shape
    about: str = ""
    least: int = 0
    placed: bool = False

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, list):
            return found.problem(path, f"this is a list, not {said(value)}", "write it as [...]")
        if len(value) < self.least:
            return found.problem(path, "this list is empty", f"at least {self.least} is needed")
        items = [((*path, at), self.item.read(item, (*path, at), found)) for at, item in enumerate(value)]
        return [
            (its_path, item) if self.placed else item for its_path, item in items if item is not UNREADABLE
        ]

    def schema(self) -> dict[str, Json]:
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.item.schema(), **least, **_about(self.about)}


class OneOrMore(Struct, frozen=True):
    """One of a shape, or a list of them; a list of (path, value) once read, as with `placed`."""

    item: Shape
    about: str = ""
    least: int = 1

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, list) and len(value) < self.least:
            return found.problem(path, "this list is empty", f"at least {self.least} is needed")
        placed = [(path, value)]
        if isinstance(value, list):
            placed = [((*path, at), item) for at, item in enumerate(value)]
        read = [(its_path, self.item.read(item, its_path, found)) for its_path, item in placed]
        return [(its_path, item) for its_path, item in read if item is not UNREADABLE]

    def schema(self) -> dict[str, Json]:
        one = self.item.schema()
        return {"oneOf": [one, {"type": "array", "items": one, "minItems": self.least}], **_about(self.about)}


class MappingOf(Struct, frozen=True):
    """A mapping from names to one shape; entries that can't be read are left out."""

    item: Shape
    name: Text = Text()
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, dict):
            return found.problem(path, f"this is a mapping, not {said(value)}", "write it as name: value")
        read = {}
        for key, item in value.items():
            its_name = self.name.read(key, (*path, key), found)
            its_value = self.item.read(item, (*path, key), found)
            if its_name is not UNREADABLE and its_value is not UNREADABLE:
                read[key] = its_value
        return read

    def schema(self) -> dict[str, Json]:
        names = {"propertyNames": self.name.schema()} if self.name.pattern else {}
        return {"type": "object", "additionalProperties": self.item.schema(), **names, **_about(self.about)}


class NamedItems(Struct, frozen=True):
    """Things with names: a mapping from name to thing, or a list of things with a `name`.

    Once read, a list of (path, name, fields). A thing that can't be read keeps its name where it has one,
    with UNREADABLE for its fields: others may refer to it. In a list, `bare` also allows a name alone.
    """

    item: Record
    name: Text
    about: str = ""
    bare: bool = False

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, dict):
            entries = [((*path, key), (*path, key), key, item) for key, item in value.items()]
        elif isinstance(value, list):
            entries = [self._entry(item, (*path, at), found) for at, item in enumerate(value)]
        else:
            found.names_are_complete = False
            return found.problem(path, f"this is a list or a mapping, not {said(value)}")
        return [self._read(*entry, found) for entry in entries if entry[2] is not None]

    def _entry(self, item: Json, path: Path, found: Found) -> tuple[Path, Path, str | None, Json]:
        if self.bare and isinstance(item, str):
            return path, path, item, {}
        if isinstance(item, dict):
            rest = {key: one for key, one in item.items() if key != "name"}
            if isinstance(item.get("name"), str):
                return path, (*path, "name"), item["name"], rest
            if "name" in item:
                found.problem((*path, "name"), f"this is a text, not {said(item['name'])}")
            else:
                found.problem(path, "the key 'name' is missing", self.name.about)
            # Its own mistakes are told all the same; what it is called can't be known.
            self.item.read(rest, path, found)
        else:
            found.problem(
                path, f"this is a mapping, not {said(item)}", "write name: ... and the rest below it"
            )
        found.names_are_complete = False
        return path, path, None, None

    def _read(self, path: Path, name_path: Path, name: str, item: Json, found: Found) -> Any:
        self.name.read(name, name_path, found)
        return path, name, self.item.read(item, path, found)

    def schema(self) -> dict[str, Json]:
        one = self.item.schema()
        mapping = {"type": "object", "additionalProperties": one, "propertyNames": self.name.schema()}
        named = {
            **one,
            "properties": {"name": self.name.schema(), **one["properties"]},
            "required": ["name", *one.get("required", [])],
        }
        items = {"oneOf": [self.name.schema(), named]} if self.bare else named
        return {"oneOf": [mapping, {"type": "array", "items": items}], **_about(self.about)}


class Key(Struct, frozen=True):
    """One key of a record."""

    shape: Shape
    required: bool = False


class Record(Struct, frozen=True):
    """A mapping with known keys: once read, those that were given and could be read.

    `later` are keys that this version does not know yet; one of `other_sorts` makes the whole a sort that it
    does not know. `naming` are the keys whose loss makes names unknown. `extra` adds to the schema what keys
    alone can't say.
    """

    keys: Mapping[str, Key]
    about: str = ""
    later: tuple[str, ...] = ()
    other_sorts: tuple[str, ...] = ()
    naming: tuple[str, ...] = ()
    extra: Callable[[], dict[str, Json]] | None = None

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, dict):
            if self.naming:
                found.names_are_complete = False
            return found.problem(
                path, f"this is a mapping, not {said(value)}", f"its keys are {', '.join(self.keys)}"
            )
        for key in self.other_sorts:
            if key in value:
                return found.problem((*path, key), f"'{key}: {value[key]}' is {NOT_AVAILABLE}", self.about)
        for key in value:
            if key not in self.keys:
                self._note_unknown(key, path, found)
        for key, one in self.keys.items():
            if one.required and key not in value:
                found.problem(path, f"the key '{key}' is missing", one.shape.schema().get("description", ""))
        read = {
            key: one.shape.read(value[key], (*path, key), found)
            for key, one in self.keys.items()
            if key in value
        }
        if any(read.get(key) is UNREADABLE for key in self.naming):
            found.names_are_complete = False
        return {key: item for key, item in read.items() if item is not UNREADABLE}

    def _note_unknown(self, key: str, path: Path, found: Found) -> None:
        if key in self.later:
            found.problem((*path, key), f"'{key}' is {NOT_AVAILABLE}", "leave it out")
            return
        hint = nearest(key, self.keys)
        if any(f"'{name}'" in hint for name in self.naming):
            found.names_are_complete = False
        found.problem(
            (*path, key), f"there is no key '{key}' here", hint or f"there are {', '.join(self.keys)}"
        )

    def schema(self) -> dict[str, Json]:
        required = [key for key, one in self.keys.items() if one.required]
        return {
            "type": "object",
            "properties": {key: one.shape.schema() for key, one in self.keys.items()},
            **({"required": required} if required else {}),
            "additionalProperties": False,
            **_about(self.about),
            **(self.extra() if self.extra else {}),
        }


class BySort(Struct, frozen=True):
    """A mapping of one shape, a list of another, or else a single value of a third."""

    single: Shape
    mapping: Shape | None = None
    items: Shape | None = None
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if isinstance(value, dict) and self.mapping is not None:
            return self.mapping.read(value, path, found)
        if isinstance(value, list) and self.items is not None:
            return self.items.read(value, path, found)
        return self.single.read(value, path, found)

    def schema(self) -> dict[str, Json]:
        shapes = (self.single, self.mapping, self.items)
        return {"anyOf": [one.schema() for one in shapes if one is not None], **_about(self.about)}


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
        return {"type": ["object", "boolean"], **_about(self.about)}


class Pair(Struct, frozen=True):
    """A list of exactly two: a word and what belongs to it; a tuple once read."""

    first: Shape
    second: Shape
    about: str = ""

    def read(self, value: Json, path: Path, found: Found) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            return found.problem(path, f"this is a list of two, not {said(value)}", self.about)
        first = self.first.read(value[0], (*path, 0), found)
        second = self.second.read(value[1], (*path, 1), found)
        return UNREADABLE if first is UNREADABLE or second is UNREADABLE else (first, second)

    def schema(self) -> dict[str, Json]:
        both = [self.first.schema(), self.second.schema()]
        return {"type": "array", "prefixItems": both, "minItems": 2, "maxItems": 2, **_about(self.about)}


def _about(text: str) -> dict[str, Json]:
    return {"description": text} if text else {}
